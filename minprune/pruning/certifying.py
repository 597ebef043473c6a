"""Certifying: two networks that should agree are run on the same inputs; repairs are held against the dense network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..certificate import MASKED, REMOVED, Certificate, Record, RepairCertificate
from ..datasets.samples import as_samples, count, rows
from ..errors import DataError
from ..layers import BatchNorm
from ..neurons import fingerprint
from ..nn import Graph
from ..ops import Array
from ..provenance import digest, samples_digest
from ..rounding import rounding_bound
from .comparing import Compared, compared
from .plan import Plan
from .repairs.readers import readers_of_dropped, spread

TRIAL_SAMPLES = 64  # how many inputs a mask or a removal is certified on
REPAIR_SAMPLES = 256  # how many inputs a repair is judged on


def trial_inputs(net: Graph, data: Any, wanted: int = TRIAL_SAMPLES) -> tuple[Any, str]:
    """Inputs to compare networks on, and what they are: of the data if there is any, else seeded ones."""
    if data is not None:
        x, _ = as_samples(data, labels=False)
        found = min(count(x), wanted)
        return rows(x, spread(count(x), wanted)), f"{found} samples of the data"
    rng = np.random.default_rng(0)
    shapes = net.input_shapes or {}
    if net.dtype.kind == "O":
        xs = {name: rng.integers(-8, 9, (wanted, *shape)) for name, shape in shapes.items()}
        return xs, f"{wanted} seeded whole numbers"
    return {name: rng.standard_normal((wanted, *shape)) for name, shape in shapes.items()}, (
        f"{wanted} seeded normal inputs"
    )


def certify(masked: Graph, small: Graph, data: Any = None, claim: str = REMOVED) -> Certificate:
    """Compare two networks that should compute the same; see `Certificate`.

    Where nodes of a file are kept as they are, also what they read is compared; see `minprune.pruning.comparing`. The
    certificate is that of the output, or of the first value that differs.

    Parameters
    ----------
    masked, small : Graph
        From `mask` and `remove`, say.
    data : samples, optional
        64 of them are used, spread evenly; without any, 64 seeded standard normal inputs.
    claim : str
        What is compared with what.

    Raises
    ------
    DataError
        When the output is not finite on these inputs: then there is nothing to compare.
    """
    xs, inputs = trial_inputs(masked, data)
    if masked.dtype.kind == "f":
        masked, small = masked.astype(np.float64), small.astype(np.float64)
    proofs = [_certified(masked, part, xs, inputs, claim) for part in compared(masked, small, xs)]
    return next((proof for proof in proofs if not proof.ok), proofs[-1])


def _certified(masked: Graph, part: Compared, xs: Any, inputs: str, claim: str) -> Certificate:
    """Whether one value is the same in both networks, up to rounding."""
    differences = np.abs(part.wanted - part.found)
    among = (
        differences if differences.any() else np.abs(part.wanted)
    )  # no difference at all: look where most is computed
    worst = np.unravel_index(int(np.argmax(among)), among.shape)
    largest = float(differences[worst])
    if not np.isfinite(largest):
        raise DataError("the network's output is not finite on the certificate's inputs; look for NaN in its weights")
    bound = 0.0
    if masked.dtype.kind == "f":
        sample, *output = (int(i) for i in worst)
        one = {name: value[[sample]] for name, value in masked.take(xs).items()}
        # Twice, since both networks round; and twice again for what is not of first order in the rounding unit, and
        # for a ReLU whose input rounding carries over its kink, which the sum of slopes does not see.
        bound = 4 * rounding_bound(masked, one, tuple(output), part.value)
    return Certificate(largest, bound, largest <= bound, inputs, claim)


def with_closed_columns(net: Graph, plan: Plan) -> Graph:
    """A copy in which the weights that read a dropped neuron are 0: what a mask must be equal to."""
    closed = net.copy()
    for name, neurons in plan.drop.items():
        for piece in net.neurons[name].consumed:
            columns = np.moveaxis(closed.params[piece.array], piece.axis, 0)
            columns[np.isin(piece.owner, neurons)] *= 0  # 0 of its kind, rationals included
    return closed


def record_mask(net: Graph, masked: Graph, plan: Plan, data: Any) -> Record:
    """Certify a mask."""
    certificate = certify(masked, with_closed_columns(net, plan), data, MASKED)
    return _record("mask", net, masked, plan, certificate)


def record_removal(net: Graph, masked: Graph, small: Graph, plan: Plan, data: Any) -> Record:
    """Certify a removal."""
    return _record("remove", net, small, plan, certify(masked, small, data))


def record_repair(
    net: Graph, small: Graph, repaired: Graph, plan: Plan, how: Mapping[str, Any], seen: Any, data: Any
) -> Record:
    """Certify a repair of `small`, which is what `plan` left of `net`.

    Parameters
    ----------
    net, small, repaired : Graph
    plan : Plan
    how : mapping
        The repair's name and settings.
    seen : array, mapping of arrays or None
        The samples that the repair used.
    data : samples or None
        What the outputs are compared on; without any, seeded inputs.
    """
    certificate = certify_repair(net, small, repaired, plan, seen, data)
    return Record("repair", digest(small), digest(repaired), fingerprint(net), dict(plan.drop), how, certificate)


def certify_repair(
    net: Graph, small: Graph, repaired: Graph, plan: Plan, seen: Any = None, data: Any = None
) -> RepairCertificate:
    """Hold the outputs before and after a repair against the dense network's; see `RepairCertificate`.

    Raises
    ------
    DataError
        When an output is not finite.
    """
    xs, inputs = trial_inputs(net, data, REPAIR_SAMPLES)
    wanted = net(xs)
    largest, rms = zip(*(_off(wanted, other(xs)) for other in (small, repaired)), strict=True)
    if not np.isfinite([*largest, *rms]).all():
        raise DataError(f"the repair is judged on {inputs}, and there an output is not finite; look for extreme values")
    changed = changed_arrays(small, repaired)
    allowed = may_change(net, repaired, plan)
    strayed = tuple(name for name in changed if name not in allowed)
    samples = 0 if seen is None else count(seen)
    return RepairCertificate(
        inputs, samples, "" if seen is None else samples_digest(seen), largest, rms, changed, strayed
    )


def _off(wanted: Array, found: Array) -> tuple[float, float]:
    """The largest and the root mean square of the differences of two outputs."""
    differences = (found - wanted).astype(np.float64)
    return float(np.abs(differences).max()), float(np.sqrt(np.mean(differences**2)))


def changed_arrays(before: Graph, after: Graph) -> tuple[str, ...]:
    """The arrays that differ between two networks, and those that only one of them has."""
    old, new = before.arrays, after.arrays
    names = dict.fromkeys([*new, *old])
    return tuple(n for n in names if n not in old or n not in new or not np.array_equal(old[n], new[n]))


def may_change(net: Graph, repaired: Graph, plan: Plan) -> set[str]:
    """What a repair may touch: weights and biases of readers of dropped neurons, and batch-norm statistics behind."""
    readers = readers_of_dropped(net, plan)
    behind = set(readers)
    allowed = {f"{reader}.{short}" for reader in readers for short in ("W", "b")}
    for name, node in repaired.nodes.items():
        if not behind.isdisjoint(node.inputs):
            behind.add(name)
            if isinstance(node.layer, BatchNorm):
                allowed |= {f"{name}.mean", f"{name}.var"}
    return allowed


def _record(action: str, net: Graph, after: Graph, plan: Plan, certificate: Certificate) -> Record:
    return Record(action, digest(net), digest(after), fingerprint(net), dict(plan.drop), {}, certificate)
