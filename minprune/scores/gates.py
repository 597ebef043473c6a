r"""Gradients by the gates: the quantity that all gradient criteria of neurons are made of.

Put a gate $m_j = 1$ wherever neuron j is read. The loss of sample n changes with it at the rate

$\partial \ell_n / \partial m_j = \sum_{\mathrm{places}} a_{nj}\, \partial \ell_n / \partial a_{nj}$,

summed over the places of a channel and over all layers that read it. `effect` is that; `slope` is the same without the
factor a: the rate at which the loss changes when the neuron's output is shifted, the document's sensitivity s.

What is said here of the loss holds of anything behind the gates: `minprune.scores.curvature` asks it of the outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..backends import backend
from ..neurons import NeuronGroup, Read
from ..nn import Graph
from ..ops import LOSSES, Array
from ..progress import track
from ..recording import with_gates
from ..targets import prepare_targets
from ..tensor import Tape, Tensor, apply, backward
from .base import Context, Criterion, Terms, Vector
from .effects import SUMS, effect_sums

if TYPE_CHECKING:
    from ..runtime.plans import NetPlan


@dataclass(frozen=True)
class GateGradients:
    """How something behind the gates of one group changes, per sample and neuron.

    Attributes
    ----------
    places : list of (Read, a, g)
        Every value in which the group is read, (N, C, …), and the gradient by it.
    size : int
        How many neurons.
    """

    places: list[tuple[Read, Array, Array]]
    size: int

    @property
    def one_by_one(self) -> bool:
        """Whether there is one place, and every neuron has one entry of it: a and g are (N, n)."""
        read, a, _ = self.places[0]
        return len(self.places) == 1 and a.ndim == 2 and np.array_equal(read.owner, np.arange(self.size))

    @property
    def effect(self) -> Array:
        """Σ a g, (N, n): the gradient by the gate."""
        return np.asarray(sum(read.per_neuron(a * g, self.size) for read, a, g in self.places))

    @property
    def slope(self) -> Array:
        """Σ g, (N, n): the gradient by a shift of the output."""
        return np.asarray(sum(read.per_neuron(g, self.size) for read, _, g in self.places))


@dataclass(frozen=True)
class GateSums:
    """The same, where the sums over places are all that there is: (N, n) each."""

    effect: Array
    slope: Array


@dataclass(frozen=True)
class GatedPass:
    """A batch on its way from the gates to the output, on a tape.

    Attributes
    ----------
    y : array or None
        The batch's labels.
    output : Tensor
        (N, K).
    gates : mapping
        Group -> every value in which it is read, and the gated value itself.
    sizes : mapping
        Group -> how many neurons.
    """

    y: Any
    output: Tensor
    gates: Mapping[str, list[tuple[Read, Tensor]]]
    sizes: Mapping[str, int]

    def gradients(self, of: Tensor, seed: Array) -> dict[str, GateGradients]:
        """Gradients by the gates of all groups: of ``(seed * of).sum()``, so sample by sample."""
        wanted = {tensor for places in self.gates.values() for _, tensor in places}
        bars = backward(of, seed, wrt=wanted)
        return {
            name: GateGradients([(read, t.value, bars[t]) for read, t in places], self.sizes[name])
            for name, places in self.gates.items()
        }


def gated_passes(context: Context) -> Iterator[GatedPass]:
    """Run the network with open gates, a batch of samples at a time.

    Only the way from the first gate to the output is put on the tape: no gradient by a weight is computed.
    """
    gated, gates = with_gates(context.net, [group.name for group in context.groups])
    wanted = {gates[read.value] for group in context.groups for read in group.reads}
    sizes = {group.name: group.size for group in context.groups}
    count = -(-context.count // context.batch_size)
    for x, y in track(context.batches(), "gradients", show=context.progress, total=count):
        tape = Tape()
        arrays: dict[str, Any] = dict(gated.arrays)
        for gate in wanted:
            arrays[f"{gate}.m"] = tape.watch(arrays[f"{gate}.m"])
        values = gated.run(gated.take(x), arrays)
        places = {g.name: [(read, values[gates[read.value]]) for read in g.reads] for g in context.groups}
        yield GatedPass(y, values[gated.output], places, sizes)


def sample_losses(context: Context, y: Any, output: Tensor) -> Tensor:
    """The loss of every sample of a batch, (N,)."""
    targets = prepare_targets(y, output.shape, context.loss, context.net.dtype)  # refuses an unknown loss by name
    losses: Tensor = apply(LOSSES[context.loss], output, targets)
    return losses


def loss_gradients(context: Context, batch: GatedPass) -> dict[str, GateGradients]:
    """Gradients of the per-sample losses by the gates."""
    losses = sample_losses(context, batch.y, batch.output)
    return batch.gradients(losses, np.ones_like(losses.value))


def gate_gradients(context: Context) -> Iterator[dict[str, GateGradients]]:
    """Yield the gradients of the losses by the gates of all groups, a batch of samples at a time."""
    for batch in gated_passes(context):
        yield loss_gradients(context, batch)


def planned_gradients(context: Context) -> Iterator[dict[str, GateGradients | GateSums]] | None:
    """The same by a plan, which keeps no tape and asks for no gradients but those; None where there is no plan.

    What it yields is overwritten when it goes on.
    """
    if backend() != "numba":
        return None
    from ..runtime.planning import plan_network

    gated, gates = with_gates(context.net, [group.name for group in context.groups])
    first = gated.take(next(context.batches())[0])
    plan = plan_network(gated, gated.value_shapes({name: x.shape[1:] for name, x in first.items()}), "gates")
    if isinstance(plan, str) or plan.ends != [gated.output]:
        return None
    plan.load(gated.arrays)
    return _walk(context, gated, gates, plan)


def _walk(
    context: Context, gated: Graph, gates: Mapping[str, str], plan: NetPlan
) -> Iterator[dict[str, GateGradients | GateSums]]:
    """Run a plan over all samples."""
    count = -(-context.count // context.batch_size)
    for x, y in track(context.batches(), "gradients", show=context.progress, total=count):
        tape = Tape()
        output = tape.watch(plan.forward(gated.take(x))[gated.output])
        losses = sample_losses(context, y, output)
        plan.backward({gated.output: backward(losses, np.ones_like(losses.value), wrt=[output])[output]})
        yield {group.name: _seen(plan, group, gates) for group in context.groups}


def _seen(plan: NetPlan, group: NeuronGroup, gates: Mapping[str, str]) -> GateGradients | GateSums:
    """What the gates of a group have seen."""
    found = [(read, *plan.seen(gates[read.value])) for read in group.reads]
    if all(what == "places" for _, what, _, _ in found):
        return GateGradients([(read, a, g) for read, _, a, g in found], group.size)
    pairs = [(read, a * g, g) if what == "places" else (read, a, g) for read, what, a, g in found]
    effect, slope = (sum(read.per_neuron(pair[k], group.size) for read, *pair in pairs) for k in (0, 1))
    return GateSums(np.asarray(effect), np.asarray(slope))


def sample_mean(context: Context, batches: Iterable[Mapping[str, Array]]) -> dict[str, Vector]:
    """Average what every sample contributes, group -> (N, n) per batch, over all samples, in float64."""
    totals = {group.name: np.zeros(group.size) for group in context.groups}
    for batch in batches:
        for name, contributions in batch.items():
            totals[name] += contributions.sum(axis=0, dtype=np.float64)
    return {name: total / context.count for name, total in totals.items()}


class GateCriterion(Criterion):
    """A criterion of the form ``finish(mean over samples of sample(gradients))``.

    `sample` may look at ``gradients.effect`` and ``gradients.slope``; where it needs ``gradients.places``, the
    criterion says so (``by_place = True``), and no plan is followed, which keeps only sums over places.
    """

    needs = ("data", "labels", "gradient")
    moment: ClassVar[str] = ""  # which of `effects.SUMS` adds up what `sample` tells, or "-" and one for its opposite

    by_place: ClassVar[bool] = False  # whether `sample` looks at `places`; else at `effect` and `slope` alone

    def __init_subclass__(cls) -> None:
        first = next(base for base in cls.__mro__ if {"sample", "moment"} & set(vars(base)))
        if "moment" not in vars(first):
            cls.moment = ""  # another `sample`, another sum

    def sample(self, gradients: GateGradients | GateSums) -> Array:
        """What every sample contributes: (N, n)."""
        raise TypeError(f"{type(self).__name__} states no sample(gradients)")

    def total(self, gradients: GateGradients | GateSums) -> Vector:
        """The sum of that over samples: (n,)."""
        if self.moment and isinstance(gradients, GateGradients) and gradients.one_by_one:
            ((_, a, g),) = gradients.places
            found: Vector = effect_sums(a, g)[SUMS.index(self.moment.removeprefix("-"))]
            return -found if self.moment.startswith("-") else found
        total: Vector = self.sample(gradients).sum(axis=0, dtype=np.float64)
        return total

    def finish(self, mean: Vector) -> Vector:
        """From the mean over samples (n,) to the score (n,)."""
        return mean

    def score(self, context: Context) -> dict[str, Vector]:
        """Average over all samples."""
        totals = {group.name: np.zeros(group.size) for group in context.groups}
        planned = None if self.by_place else planned_gradients(context)
        for batch in planned or gate_gradients(context):
            for name, gradients in batch.items():
                totals[name] += self.total(gradients)
        return {name: self.finish(total / context.count) for name, total in totals.items()}

    def terms(self, context: Context, j: int) -> Terms:
        """What every sample contributes, beside its s (the slope) and a·s (the effect)."""
        (group,) = context.groups
        batches = [batch[group.name] for batch in gate_gradients(context)]
        values = np.concatenate([self.sample(g) for g in batches]).astype(np.float64)  # (N,n)
        columns = {"s": [g.slope[:, j] for g in batches], "a·s": [g.effect[:, j] for g in batches]}
        joined = {name: np.concatenate(parts).astype(np.float64) for name, parts in columns.items()}
        return Terms("sample", values[:, j], "mean", float(self.finish(values.mean(axis=0))[j]), columns=joined)
