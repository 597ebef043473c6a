r"""Gradients by the gates: the quantity that all gradient criteria of neurons are made of.

Put a gate $m_j = 1$ wherever neuron j is read. The loss of sample n changes with it at the rate

$\partial \ell_n / \partial m_j = \sum_{\mathrm{places}} a_{nj}\, \partial \ell_n / \partial a_{nj}$,

summed over the places of a channel and over all layers that read it. `effect` is that; `slope` is the same without the
factor a: the rate at which the loss changes when the neuron's output is shifted, the document's sensitivity s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ops import LOSSES, Array
from ..progress import track
from ..recording import with_gates
from ..targets import prepare_targets
from ..tensor import Tape, Tensor, apply, backward
from .base import Context, Criterion, Vector


@dataclass(frozen=True)
class GateGradients:
    """Per sample and neuron of one group.

    Attributes
    ----------
    effect : array (N, n)
        Σ a ∂ℓ/∂a: the gradient by the gate.
    slope : array (N, n)
        Σ ∂ℓ/∂a: the gradient by a shift of the output.
    """

    effect: Array
    slope: Array


def gate_gradients(context: Context) -> Iterator[dict[str, GateGradients]]:
    """Yield the gradients by the gates of all groups, a batch of samples at a time.

    Only the way from the first gate to the loss is put on the tape: no gradient by a weight is computed.
    """
    gated, gates = with_gates(context.net)
    wanted = {gates[read.value] for group in context.groups for read in group.reads}
    count = -(-len(context.y) // context.batch_size)
    for x, y in track(context.batches(), "gradients", show=context.progress, total=count):
        tape = Tape()
        arrays: dict[str, Any] = dict(gated.arrays)
        for gate in wanted:
            arrays[f"{gate}.m"] = tape.watch(arrays[f"{gate}.m"])
        values = gated.run(gated.take(x), arrays)
        output = values[gated.output]
        targets = prepare_targets(y, output.shape, context.loss, context.net.dtype)  # refuses an unknown loss by name
        losses = apply(LOSSES[context.loss], output, targets)
        bars = backward(losses, np.ones_like(losses.value), wrt=[values[gate] for gate in wanted])
        yield {
            group.name: _at_places([(read, values[gates[read.value]]) for read in group.reads], bars, group.size)
            for group in context.groups
        }


def _at_places(places: list[tuple[Any, Tensor]], bars: Any, size: int) -> GateGradients:
    effect = sum(read.per_neuron(tensor.value * bars[tensor], size) for read, tensor in places)
    slope = sum(read.per_neuron(bars[tensor], size) for read, tensor in places)
    return GateGradients(np.asarray(effect), np.asarray(slope))


class GateCriterion(Criterion):
    """A criterion of the form ``finish(mean over samples of sample(gradients))``."""

    needs = ("data", "labels", "gradient")

    def sample(self, gradients: GateGradients) -> Array:
        """What every sample contributes: (N, n)."""
        raise TypeError(f"{type(self).__name__} states no sample(gradients)")

    def finish(self, mean: Vector) -> Vector:
        """From the mean over samples (n,) to the score (n,)."""
        return mean

    def score(self, context: Context) -> dict[str, Vector]:
        """Average over all samples, in float64."""
        totals = {group.name: np.zeros(group.size) for group in context.groups}
        for batch in gate_gradients(context):
            for name, gradients in batch.items():
                totals[name] += self.sample(gradients).sum(axis=0, dtype=np.float64)
        return {name: self.finish(total / len(context.y)) for name, total in totals.items()}
