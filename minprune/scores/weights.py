r"""Gradients by single weights, sample by sample, without ever holding one number per sample and weight.

A dense layer's weight $w_{ji}$ meets sample n once: $\partial\ell_n / \partial w_{ji} = g_{nj} x_{ni}$, with g the
gradient by z and x what the layer reads. For every f with f(ab) = f(a) f(b), such as the modulus and the square,

$\sum_n f(g_{nj} x_{ni}) = \sum_n f(g_{nj})\, f(x_{ni})$,

one matrix product. A filter's weight meets a sample at every place, and $\partial\ell_n / \partial w$ is the sum over
places *before* f: these are made for a few samples at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..layers import Conv2d, Layer
from ..ops import Array
from ..progress import track
from ..tensor import Tape, Tensor, backward
from .base import Context
from .gates import sample_losses

AT_ONCE = 1 << 20  # entries of the per-sample gradients of filters that are held at once
Power = Callable[[Array], Array]  # f with f(ab) = f(a) f(b): np.positive, np.abs, np.square


@dataclass(frozen=True)
class Weighing:
    """One layer at work on a batch: what it reads, and the value that it makes of it.

    Attributes
    ----------
    layer : Layer
        Dense or convolutional.
    shape : tuple
        Of its W.
    x : array (N, …)
        What it reads.
    z : Tensor (N, O, …)
        What it makes.
    """

    layer: Layer
    shape: tuple[int, ...]
    x: Array
    z: Tensor

    def summed(self, g: Array, power: Power) -> Array:
        """Σ_n power(∂ℓ_n/∂W) in the shape of W, from the gradients g (N, O, …) by z; in float64."""
        x, g = self.x.astype(np.float64, copy=False), g.astype(np.float64, copy=False)
        if not isinstance(self.layer, Conv2d):
            return power(g).T @ power(x)  # (O,N)(N,I) -> (O,I)
        total = np.zeros(self.shape)
        each = prod(self.layer.kernel) * x.shape[1] * prod(g.shape[2:]) + total.size  # columns and gradient of a sample
        step = max(1, AT_ONCE // each)
        for start in range(0, len(x), step):
            part = slice(start, start + step)
            total += power(_by_sample(self.layer, x[part], g[part])).sum(axis=0).reshape(self.shape)
        return total


def _by_sample(layer: Conv2d, x: Array, g: Array) -> Array:
    """The gradients of every sample by all filters, summed over places: (N, Q, o, cK)."""
    columns = layer.columns(x)  # (N,Q,cK,P)
    g = g.reshape(len(g), layer.groups, layer.outputs // layer.groups, prod(g.shape[2:]))  # (N,Q,o,P)
    return g @ columns.swapaxes(2, 3)


@dataclass(frozen=True)
class WeighedPass:
    """A batch on its way through the layers to the output, on a tape.

    Attributes
    ----------
    y : array or None
        The batch's labels.
    output : Tensor
        (N, K).
    layers : mapping
        Parameter -> its layer at work.
    """

    y: Any
    output: Tensor
    layers: Mapping[str, Weighing]

    def sums(self, of: Tensor, seed: Array, power: Power) -> dict[str, Array]:
        """Σ_n power(gradient of ``(seed * of).sum()`` by every weight), sample by sample."""
        bars = backward(of, seed, wrt={layer.z for layer in self.layers.values()})
        return {name: layer.summed(bars[layer.z], power) for name, layer in self.layers.items()}


def weighed_passes(context: Context) -> Iterator[WeighedPass]:
    """Run the network from the first weights that are scored, a batch of samples at a time."""
    net = context.net
    count = -(-context.count // context.batch_size)
    for x, y in track(context.batches(), "gradients", show=context.progress, total=count):
        tape = Tape()
        arrays: dict[str, Any] = dict(net.arrays)
        for name in context.weights:
            arrays[name] = tape.watch(arrays[name])
        values = net.run(net.take(x), arrays)
        layers = {}
        for name in context.weights:
            made = name.rpartition(".")[0]
            node = net.nodes[made]
            read = values[node.inputs[0]]
            x_in = read.value if isinstance(read, Tensor) else read
            layers[name] = Weighing(node.layer, arrays[name].shape, x_in, values[made])
        yield WeighedPass(y, values[net.output], layers)


def loss_sums(context: Context, batch: WeighedPass, power: Power) -> dict[str, Array]:
    """Σ_n power(∂ℓ_n/∂w) over the samples of a batch."""
    losses = sample_losses(context, batch.y, batch.output)
    return batch.sums(losses, np.ones_like(losses.value), power)


def batch_mean(context: Context, batches: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
    """Average over all samples what every batch sums over its own: parameter -> array of its shape."""
    totals = {name: np.zeros(context.net.params[name].shape) for name in context.weights}
    for batch in batches:
        for name, part in batch.items():
            totals[name] += part
    return {name: total / context.count for name, total in totals.items()}


def weight_slopes(context: Context, power: Power) -> dict[str, Array]:
    r"""$\frac{1}{N} \sum_n f(\partial\ell_n / \partial w)$ of every weight: parameter -> array of its shape."""
    return batch_mean(context, (loss_sums(context, batch, power) for batch in weighed_passes(context)))


def weight_effects(context: Context, power: Power) -> dict[str, Array]:
    r"""$\frac{1}{N} \sum_n f(w\, \partial\ell_n / \partial w)$ of every weight: the gate is on the weight itself."""
    slopes = weight_slopes(context, power)
    return {name: power(context.net.params[name].astype(np.float64)) * slope for name, slope in slopes.items()}
