r"""The truth for single weights: set one to 0 and look, without running the network again.

The layer that holds weight $w_{kj}$ computes $z_k = \sum_j w_{kj} a_j + b_k$. Without it

$z_{k \setminus j} = z_k - w_{kj} a_j$, at every place of an image where it stands in a filter;

nothing else of z changes. What lies behind has to be computed again, for many weights at once: their changed values are
stacked along the batch axis, as in `oracle`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..layers import Conv2d
from ..ops import Array
from ..ops.conv import patches
from ..progress import bar
from .base import Context
from .oracle import Batch
from .stacks import Stack


def weight_costs(context: Context) -> dict[str, Array]:
    r"""How much the mean loss changes when one weight is set to 0: $L(w = 0) - L$, for every weight.

    A weight that is 0, or that only ever meets zeros, costs exactly nothing. Memory is bounded as in `removal_costs`;
    the time is that of a pass behind the layer for every weight: for small networks, or few samples.

    Parameters
    ----------
    context : Context
        Network, data and loss; its weights are those that are scored.

    Returns
    -------
    dict
        Parameter -> float64 array of its shape.
    """
    totals = {name: np.zeros(context.net.params[name].shape) for name in context.weights}
    batches = -(-context.count // context.batch_size)
    with bar("leave one out", batches * sum(t.size for t in totals.values()), show=context.progress) as advance:
        for x, y in context.batches():
            batch = Batch.computed(context, x, y)
            for name, total in totals.items():
                total += _costs(batch, name, advance)
    return {name: total / context.count for name, total in totals.items()}


def _costs(batch: Batch, name: str, advance: Callable[[int], None]) -> Array:
    """For every weight of a parameter the change of the loss, summed over the samples."""
    node = name.rpartition(".")[0]
    W, z = batch.arrays[name], batch.values[node]
    meets = _meetings(batch, node)
    rows = W.reshape(len(W), -1)
    total = np.zeros(rows.shape)
    open_ = [(k, i) for k, i in np.argwhere(rows != 0).tolist() if meets(k, i).any()]
    advance(W.size - len(open_))
    everywhere = np.arange(len(z))
    at_once = max(1, batch.room({node}) // len(z))
    for start in range(0, len(open_), at_once):
        chosen = open_[start : start + at_once]
        stack = Stack([everywhere] * len(chosen))
        without = stack.of(z)
        for span, (k, i) in zip(stack.spans, chosen, strict=True):
            part = without[span]
            part[:, k] -= rows[k, i] * meets(k, i).reshape(part[:, k].shape)
        total[tuple(np.transpose(chosen))] = batch.changes(batch.output_with({node: without}, stack), stack)
        advance(len(chosen))
    return total.reshape(W.shape)


def _meetings(batch: Batch, node: str) -> Callable[[int, int], Array]:
    """A function (k, i) -> what the i-th weight of neuron k is multiplied with: (N, places)."""
    layer, a = batch.net.nodes[node].layer, batch.values[batch.net.nodes[node].inputs[0]]
    if not isinstance(layer, Conv2d):
        return lambda k, i: a[:, i]
    columns = patches(a, layer.kernel, layer.stride, layer.padding, layer.dilation, layer.groups)  # (N,Q,cK,P)
    filters = layer.outputs // layer.groups
    return lambda k, i: columns[:, k // filters, i]
