"""The truth that scores answer to: remove a neuron and look."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..neurons import NeuronGroup
from ..nn import Graph
from ..ops import LOSSES, Array
from ..progress import bar
from ..recording import with_gates
from ..targets import prepare_targets
from ..tensor import apply
from .base import Context, Criterion, Vector


class LeaveOneOut(Criterion):
    r"""What the removal of each neuron, alone, really does to the loss: $L_{\setminus j} - L$.

    Negative where the network is better off without it. Every neuron costs one pass from where it is read to the loss.

    Notes
    -----
    Source: Mozer and Smolensky 1989, *Skeletonization*, equation 1 (relevance); spec D6.
    """

    name = "leave_one_out"
    formula = r"I_j = L_{\setminus j} - L"
    needs = ("data", "labels")
    source = "Mozer and Smolensky 1989, eq. 1; spec D6"

    def score(self, context: Context) -> dict[str, Vector]:
        """Close one gate at a time."""
        gated, gates = with_gates(context.net)
        totals = {group.name: np.zeros(group.size) for group in context.groups}
        batches = -(-len(context.y) // context.batch_size)
        steps = batches * sum(group.size for group in context.groups)
        with bar("leave one out", steps, show=context.progress) as advance:
            for x, y in context.batches():
                values = gated.run(gated.take(x), gated.arrays)
                loss = _summed_loss(values[gated.output], y, context)
                for group in context.groups:
                    for j in range(group.size):
                        without = _output_without(gated, gates, group, j, values)
                        totals[group.name][j] += _summed_loss(without, y, context) - loss
                        advance()
        return {name: total / len(context.y) for name, total in totals.items()}


def _output_without(gated: Graph, gates: dict[str, str], group: NeuronGroup, j: int, values: dict[str, Any]) -> Array:
    """The output with neuron j's gates closed; what does not depend on them is taken from `values`."""
    arrays = dict(gated.arrays)
    changed: dict[str, Any] = {}
    for read in group.reads:
        gate = f"{gates[read.value]}.m"
        arrays[gate] = np.where(read.owner == j, 0, arrays[gate]).astype(arrays[gate].dtype)
    closed = {gates[read.value] for read in group.reads}
    for name, node in gated.nodes.items():
        if name in closed or any(source in changed for source in node.inputs):
            changed[name] = gated.compute_node(name, {**values, **changed}, arrays)
    return changed.get(gated.output, values[gated.output])


def _summed_loss(output: Array, y: Array, context: Context) -> float:
    targets = prepare_targets(y, output.shape, context.loss, context.net.dtype)
    return float(apply(LOSSES[context.loss], output, targets).sum(dtype=np.float64))
