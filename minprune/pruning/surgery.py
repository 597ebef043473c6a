"""Surgery: `mask` switches neurons off, `remove` makes a smaller network, and a certificate says that both agree.

Removing a neuron deletes its row and bias where it is made, its entries in batch-norm and the like, and its columns
wherever it is read (a block of columns behind a flatten). Which entries those are, `minprune.neurons` knows; here they
are only taken out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..certificate import Certificate
from ..datasets.samples import as_samples, count, rows
from ..errors import DataError, MinpruneError, PlanError
from ..layers import Select
from ..neurons import staying
from ..nn import Graph, Node
from ..ops import Array
from ..recording import with_gates
from .plan import Plan
from .repair import Repair, repaired

TRIAL_SAMPLES = 64  # how many inputs a certificate is taken on


def mask(net: Graph, plan: Plan) -> Graph:
    r"""Switch neurons off, reversibly: their gates are closed wherever they are read.

    $a_j \to 0$ for every dropped neuron j, after its activation (σ(0) is ½, so before would not do).

    Parameters
    ----------
    net : Graph
        Is not changed.
    plan : Plan
        Which neurons.

    Returns
    -------
    Graph
        A network of its own: the same shapes, with gates. All weights are still there.

    Raises
    ------
    StructureError, PlanError
        When the plan does not fit; see `Plan.check`.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 3), mp.Sigmoid(), mp.Dense(3, 1))
    >>> masked = mask(net, Plan({"dense1": [0, 1]}))
    >>> masked.buffers["sigmoid1.gate.m"]
    array([0., 0., 1.], dtype=float32)
    """
    plan.check(net)
    gated, gates = with_gates(net, plan.drop)
    masked = gated.copy()
    for name, neurons in plan.drop.items():
        for read in net.neurons[name].reads:
            masked.buffers[f"{gates[read.value]}.m"][np.isin(read.owner, neurons)] = 0
    return masked


def remove(net: Graph, plan: Plan, repair: str | Repair | None = None, data: Any = None) -> Graph:
    """Make the smaller network: every array loses what belongs to the dropped neurons.

    Parameters
    ----------
    net : Graph
        Is not changed.
    plan : Plan
        Which neurons.
    repair : {None, "mean", "least_squares", "merge", "batch_norm", "obs"} or a repair
        How the remaining network makes up for the loss, by name or such as `LeastSquares(ridge=1e-2)`; see
        `minprune.pruning.repair`.
    data : (x, y), x, Samples or Dataset, optional
        What the repair and the certificate are computed on; the certificate does with seeded random inputs.

    Returns
    -------
    Graph
        With the attribute `certificate`. Dropped input features leave a `Select` behind: the smaller network takes
        the same inputs.

    Raises
    ------
    StructureError, PlanError
        When the plan does not fit; see `Plan.check`.
    DataError
        When the repair needs data and there is none.
    MinpruneError
        When the smaller network does not compute what the masked one does (which would be a defect of minprune).

    Notes
    -----
    Source: spec C4 (document 3.2.3).

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 3), mp.Sigmoid(), mp.Dense(3, 1))
    >>> small = remove(net, Plan({"dense1": [0, 2]}))
    >>> {name: array.shape for name, array in small.params.items()}
    {'dense1.W': (1, 2), 'dense1.b': (1,), 'dense2.W': (1, 1), 'dense2.b': (1,)}
    >>> small.certificate.ok
    True
    """
    if not isinstance(plan, Plan):
        raise PlanError(f"remove takes a Plan, got {type(plan).__name__}; decide(scores, strategy) makes one")
    plan.check(net)
    small = _cut(_with_selects(net, plan), plan)
    certificate = certify(mask(net, plan), small, data)
    if not np.isfinite(certificate.max_difference):
        raise DataError("the network's output is not finite on the certificate's inputs; look for NaN in its weights")
    if not certificate.ok:
        raise MinpruneError(
            f"removal failed its check ({certificate}); extreme weights can do that, else please report it"
        )
    small = repaired(net, small, plan, repair, data)
    small.certificate = certificate
    return small


def _with_selects(net: Graph, plan: Plan) -> Graph:
    """Put a `Select` of all features behind every input that is to lose some, unless only Selects read it."""
    losing = [value for value in net.inputs if any(value in net.neurons[name].channels for name in plan.drop)]
    selects = {value: f"{value}.select" for value in losing if not _only_selected(net, value)}
    if not selects:
        return net
    nodes: dict[str, Node] = {}
    arrays = dict(net.arrays)
    shapes = net.input_shapes or {}
    for value, select in selects.items():
        features = shapes[value][0]
        nodes[select] = Node(Select(features, features), (value,))
        arrays[f"{select}.index"] = np.arange(features)
    for name, node in net.nodes.items():
        nodes[name] = Node(node.layer, tuple(selects.get(source, source) for source in node.inputs))
    return Graph.assemble(nodes, net.inputs, net.output, arrays, net.input_shapes)


def _only_selected(net: Graph, value: str) -> bool:
    return all(isinstance(node.layer, Select) for node in net.nodes.values() if value in node.inputs)


def _cut(net: Graph, plan: Plan) -> Graph:
    """Take the dropped neurons' entries out of every array, and tell every layer its new size."""
    arrays: dict[str, Array] = {name: array.copy() for name, array in net.arrays.items()}
    for name, axes in staying(net, plan.drop).items():
        for axis, positions in axes.items():
            arrays[name] = np.take(arrays[name], positions, axis=axis)
    nodes = {}
    for name, node in net.nodes.items():
        own = {short: arrays[f"{name}.{short}"].shape for short in net.array_names[name]}
        layer = node.layer.resized(own)
        if isinstance(layer, Select):  # what it selects from may have moved
            left = _channels_left(net, node.inputs[0], plan)
            arrays[f"{name}.index"] = np.searchsorted(left, arrays[f"{name}.index"])
            layer = Select(len(left), layer.outputs)
        nodes[name] = Node(layer, node.inputs)
    return Graph.assemble(nodes, net.inputs, net.output, arrays, net.input_shapes)


def _channels_left(net: Graph, value: str, plan: Plan) -> Array:
    """Which channels of a value are still there after the removal; an input keeps all."""
    left = np.ones(net.value_shapes(net.input_shapes or {})[value][0], dtype=bool)
    for name, neurons in plan.drop.items():
        if value not in net.inputs and value in net.neurons[name].channels:
            left &= ~np.isin(net.neurons[name].channels[value], neurons)
    return np.flatnonzero(left)


def certify(masked: Graph, small: Graph, data: Any = None) -> Certificate:
    """Compare a removed network with the masked one; see `Certificate`.

    Parameters
    ----------
    masked, small : Graph
        From `mask` and `remove`.
    data : samples, optional
        The first 64 are used; without any, 64 seeded standard normal inputs.
    """
    xs, inputs = _trial_inputs(masked, data)
    if masked.dtype.kind == "f":
        masked, small = masked.astype(np.float64), small.astype(np.float64)
    values = masked.run(masked.take(xs), masked.arrays)
    difference = float(np.abs(values[masked.output] - small(xs)).max(initial=0))
    bound = 0.0
    if masked.dtype.kind == "f":
        fan_in = sum(int(np.prod(array.shape[1:])) for array in masked.params.values() if array.ndim > 1)
        largest = max(float(np.abs(value).max(initial=1)) for value in values.values())
        bound = 4 * float(np.finfo(np.float64).eps) * fan_in * largest
    return Certificate(difference, bound, difference <= bound, inputs)


def _trial_inputs(net: Graph, data: Any) -> tuple[Any, str]:
    if data is not None:
        x, _ = as_samples(data, labels=False)
        return rows(x, slice(TRIAL_SAMPLES)), f"{min(count(x), TRIAL_SAMPLES)} samples of the data"
    rng = np.random.default_rng(0)
    shapes = net.input_shapes or {}
    if net.dtype.kind == "O":
        xs = {name: rng.integers(-8, 9, (TRIAL_SAMPLES, *shape)) for name, shape in shapes.items()}
        return xs, f"{TRIAL_SAMPLES} seeded whole numbers"
    return {name: rng.standard_normal((TRIAL_SAMPLES, *shape)) for name, shape in shapes.items()}, (
        f"{TRIAL_SAMPLES} seeded normal inputs"
    )
