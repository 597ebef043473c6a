"""One neuron to look at: the weights it reads with, what it answers to most, who reads it, and who is most like it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt, prod
from typing import Any

import numpy as np

from ..datasets.samples import rows
from ..layers import Layer, Select
from ..neurons import NOBODY, NeuronGroup, Slice
from ..nn import Graph
from ..ops import Array
from ..progress import track
from ..scores import Context

PASSING = {"flatten", "dropout", "identity", "gate", "select"}  # between an input and a layer that still sees it
SMALLEST_SIDE = 4  # rows of 16, 25 … numbers are drawn as squares


@dataclass(frozen=True)
class Connection:
    """A weight, and the neuron or the feature at its other end.

    Attributes
    ----------
    neuron : str
    weight : float
        Of several that lead there, such as the entries of a kernel, that of largest modulus.
    entry : tuple of int
        Which of the several: (row, column) in a kernel, or the place behind a flatten; empty where there is only one.

    Examples
    --------
    >>> Connection("input[0]", -0.5, (1, 2)).name, Connection("dense1[3]", 0.25).name
    ('input[0] at (1, 2)', 'dense1[3]')
    """

    neuron: str
    weight: float
    entry: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The other end, with the entry where there are several."""
        if not self.entry:
            return self.neuron
        return f"{self.neuron} at {self.entry if len(self.entry) > 1 else self.entry[0]}"


@dataclass(frozen=True, eq=False)
class Portrait:
    """What can be seen of a neuron.

    Attributes
    ----------
    made_by, carried : tuple of str
        The layers that make it, and those that it passes with entries of its own (batch-norm).
    weights : array or None
        Its row of the first layer that makes it: (features,) or (channels, h, w); None for an input feature.
    image : array (c, h, w) or None
        The same as an image, where it is one: a filter, or weights on an image, or on a row of pixels that would make
        a square. Features that it cannot see, since they were removed, are NaN.
    incoming : tuple of Connection
        Its strongest weights.
    readers : dict
        Layer that reads it -> the length of all weights it reads it with, and the strongest.
    strongest : tuple of (int, float)
        Sample, and the largest number that anybody reads of the neuron there; the largest first. Empty where nobody
        reads it.
    shown : array (top, …) or None
        These samples, of the input that the image belongs to.
    mean, std : float
        Of what it puts out, over samples (places averaged).
    twin : (int, float) or None
        The neuron of its group whose outputs correlate most with its own, and the correlation.
    places : int
        How many numbers are read of it for one sample: 1, or the places of a channel.
    """

    made_by: tuple[str, ...]
    carried: tuple[str, ...]
    weights: Array | None
    image: Array | None
    incoming: tuple[Connection, ...]
    readers: Mapping[str, tuple[float, tuple[Connection, ...]]]
    strongest: tuple[tuple[int, float], ...]
    shown: Array | None
    mean: float
    std: float
    twin: tuple[int, float] | None
    places: int


def look_at(context: Context, j: int, top: int) -> Portrait:
    """Look at neuron j of the only group of a context.

    Examples
    --------
    >>> from minprune.worked import X, network
    >>> net = network()
    >>> context = Context(net, (net.neurons["dense1"],), np.array(X), None, "", 9, np.random.default_rng(0), False)
    >>> found = look_at(context, 2, 1)
    >>> found.incoming, found.readers["dense2"][1], found.strongest[0][1].__round__(6)
    ((Connection(neuron='input[2]', weight=0.4, entry=()),), (Connection(neuron='dense2[0]', weight=-0.7, entry=()),),
     0.858149)
    """
    net, (group,) = context.net, context.groups
    makers = [piece for piece in group.produced if piece.array.endswith(".W") and len(piece.positions(j))]
    weights = image = None
    incoming: tuple[Connection, ...] = ()
    source = next(iter(net.inputs))
    if makers:
        weights = np.take(net.params[makers[0].array], makers[0].positions(j)[0], axis=makers[0].axis)
        incoming = _incoming(net, makers[0], weights, top)
        source, image = _as_image(net, makers[0].array.rpartition(".")[0], weights)
    largest, means, places = _outputs(context, j)
    order = np.argsort(-largest, kind="stable")[:top]
    return Portrait(
        tuple(dict.fromkeys(piece.array.rpartition(".")[0] for piece in makers)),
        tuple(dict.fromkeys(piece.array.rpartition(".")[0] for piece in group.carried if len(piece.positions(j)))),
        weights,
        image,
        incoming,
        _readers(net, group, j, top),
        tuple((int(n), float(largest[n])) for n in order),
        rows(context.x, order)[source] if isinstance(context.x, Mapping) else context.x[order],
        *(float(means[:, j].mean()), float(means[:, j].std())) if means.size else (0.0, 0.0),
        _twin(means, j),
        places,
    )


def _outputs(context: Context, j: int) -> tuple[Array, Array, int]:
    """For every sample the largest number read of j (N,), or (0,) where nobody reads it; means (N, n); how many."""
    net, (group,) = context.net, context.groups
    largest, means, places = [], [], 0
    count = -(-context.count // context.batch_size)
    for x, _ in track(context.batches(), "activations", show=context.progress, total=count if group.reads else 0):
        values = net.run(net.take(x), net.arrays)
        seen = [values[read.value].astype(np.float64) for read in group.reads]
        mine = [a[:, read.owner == j].reshape(len(a), -1) for a, read in zip(seen, group.reads, strict=True)]
        together = np.concatenate([np.zeros((len(next(iter(values.values()))), 0)), *mine], axis=1)
        places = together.shape[1]
        largest.append(together.max(axis=1) if together.size else np.zeros(0))
        total = sum(read.per_neuron(a, group.size) for a, read in zip(seen, group.reads, strict=True))
        entries = sum(read.per_neuron(np.ones_like(a), group.size) for a, read in zip(seen, group.reads, strict=True))
        means.append(np.asarray(total) / np.maximum(entries, 1))
    return np.concatenate(largest), np.concatenate(means), places


def _strongest(weights: Array) -> tuple[Array, list[tuple[int, ...]]]:
    """Of every row (n, …) the entry of largest modulus (n,), and which it is; () where there is no other."""
    flat = weights.reshape(len(weights), -1)
    best = np.abs(flat).argmax(axis=1)
    where = zip(*np.unravel_index(best, weights.shape[1:]), strict=True) if flat.shape[1] > 1 else [()] * len(best)
    return flat[np.arange(len(best)), best], [tuple(map(int, entry)) for entry in where]


def _twin(means: Array, j: int) -> tuple[int, float] | None:
    """The neuron whose mean outputs correlate most with those of j, in size; None where one of the two is constant."""
    if means.ndim != 2 or means.shape[1] < 2:
        return None
    centred = means - means.mean(axis=0)
    lengths = np.sqrt((centred**2).sum(axis=0))
    products = lengths * lengths[j]
    alike = np.divide(centred.T @ centred[:, j], products, out=np.zeros(len(lengths)), where=products > 0)
    alike[j] = 0
    best = int(np.abs(alike).argmax())
    return (best, float(alike[best])) if alike[best] else None


def _incoming(net: Graph, piece: Slice, weights: Array, top: int) -> tuple[Connection, ...]:
    """The strongest weights; of a filter, one number for every channel: the weight of largest modulus."""
    layer = piece.array.rpartition(".")[0]
    strongest, entries = _strongest(weights)
    names = _names(net, net.nodes[layer].inputs[0])
    order = np.argsort(-np.abs(strongest))[:top]
    return tuple(Connection(names(int(i)), float(strongest[i]), entries[i]) for i in order)


def _names(net: Graph, value: str) -> Any:
    """From a channel of a value to its neuron: ``dense1[7]``, behind a flatten with the place: ``conv1[2] at 5``."""
    for group in net.neurons.values():
        owner = group.channels.get(value)
        if owner is not None and (owner != NOBODY).all():
            return lambda i, owner=owner, group=group: _name(group, owner, i)
    return lambda i: f"{value}[{i}]"


def _name(group: NeuronGroup, owner: Array, i: int) -> str:
    several = np.count_nonzero(owner == owner[i]) > 1
    place = f" at {np.count_nonzero(owner[:i] == owner[i])}" if several else ""
    return f"{group.name}[{owner[i]}]{place}"


def _readers(net: Graph, group: NeuronGroup, j: int, top: int) -> dict[str, tuple[float, tuple[Connection, ...]]]:
    """For every layer that reads neuron j the length of its weights, and the strongest, with who has them."""
    found = {}
    for piece in group.consumed:
        if not len(piece.positions(j)):
            continue
        layer = piece.array.rpartition(".")[0]
        columns = np.take(net.params[piece.array], piece.positions(j), axis=piece.axis)
        columns = columns.astype(np.float64)  # (O, weights of j), of a convolution (O, 1, kernel)
        strongest, entries = _strongest(columns[:, 0] if columns.shape[1] == 1 else columns)
        order = np.argsort(-np.abs(strongest), kind="stable")[:top]
        best = tuple(Connection(f"{layer}[{k}]", float(strongest[k]), entries[k]) for k in order)
        found[layer] = (float(np.sqrt((columns**2).sum())), best)
    return found


def _as_image(net: Graph, layer: str, weights: Array) -> tuple[str, Array | None]:
    """The input that a layer's weights belong to, and the weights as an image, where they are one."""
    value = net.nodes[layer].inputs[0]
    path: list[tuple[str, Layer]] = []
    while value in net.nodes and net.nodes[value].layer.kind in PASSING:
        path.append((value, net.nodes[value].layer))
        (value,) = net.nodes[value].inputs
    source = value if value in net.inputs else next(iter(net.inputs))
    if weights.ndim == 3:
        return source, weights
    if weights.ndim == 2:  # over a sequence
        return source, weights[:, None, :]
    if value not in net.inputs:
        return source, None
    for name, passed in path:  # nearest first: what was not selected is not seen
        if isinstance(passed, Select):
            full = np.full((passed.inputs, weights.size // passed.outputs), np.nan)  # places of a channel together
            full[net.buffers[f"{name}.index"]] = weights.reshape(passed.outputs, -1)
            weights = full.reshape(-1)
    return source, image_of(weights, (net.input_shapes or {})[value])


def image_of(numbers: Array, shape: tuple[int, ...]) -> Array | None:
    """Numbers of an input of that shape as an image (c, h, w); None where they make none."""
    if len(shape) == 3 and prod(shape) == numbers.size:
        return numbers.reshape(shape)
    side = isqrt(numbers.size)
    square = len(shape) == 1 and side * side == numbers.size and side >= SMALLEST_SIDE
    return numbers.reshape(1, side, side) if square else None
