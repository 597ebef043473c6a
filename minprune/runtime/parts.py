"""Layers of images on one tile, forwards and backwards (see `minprune.kernels.tiles`): what `images` plans with.

A part is bound to a tile once, and from then on is a call without arguments: all shapes, tables and buffers were looked
up before. Its backward call puts the gradient by what it reads into `Tile.bars`, and adds those by its parameters to
`Tile.grads`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..kernels import norms, tiles
from ..kernels.convolution import both, rows_met
from ..kernels.filters import height_for
from ..kernels.gemm import NOTHING
from ..kernels.layout import aligned, seen, seen_by, with_rows
from ..kernels.pooling import stand_alone
from ..layers import BatchNorm, Conv2d, Gate, Layer
from ..nn import Graph
from ..ops import Array
from ..ops.windows import Sizes
from ..tensor import Tape, Tensor, backward

Call = Callable[[], Any]


@dataclass
class Tile:
    """Where the values of some samples lie.

    Attributes
    ----------
    values : dict
        Value -> (C, H, W, T); of one spatial axis (C, 1, L, T), of none (C, 1, 1, T).
    which : dict
        What max-pools took.
    bars, grads : dict
        Gradients by values, and by parameters, which all tiles share.
    seen : dict
        What gates saw: Σ a g and Σ g over places, (C, T) each.
    valid : list of int
        How many samples there are, which are the first: the only entry.
    """

    values: dict[str, Array]
    which: dict[str, Array]
    bars: dict[str, Array]
    grads: dict[str, Array] = field(default_factory=dict)
    seen: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    valid: list[int] = field(default_factory=lambda: [0])

    @property
    def count(self) -> int:
        """How many samples there are."""
        return self.valid[0]


class Part(ABC):
    """One layer; `sources` and `target` are names of values."""

    def __init__(self, name: str, sources: tuple[str, ...], target: str) -> None:
        self.name, self.sources, self.target = name, sources, target
        self.inner: tuple[str, ...] = ()  # sources by which a gradient is wanted

    def load(self, arrays: Mapping[str, Array]) -> None:  # noqa: B027 (most have no arrays)
        """Take the network's arrays as they are now."""

    @abstractmethod
    def forward(self, tile: Tile) -> Call:
        """A call that computes the target."""

    @abstractmethod
    def backward(self, tile: Tile) -> Call:
        """A call that computes the gradients by the inner sources, from that by the target."""


class Windows:
    """What every place of a window sees along both axes, forwards and backwards."""

    def __init__(self, size: Sizes, out: Sizes, moves: tuple[Sizes, Sizes, Sizes, Sizes]) -> None:
        kernel, stride, padding, dilation = moves
        self.kernel, self.padding = both(kernel, 1), both(padding, 0)
        settings = both(size, 1), self.kernel, both(stride, 1), self.padding, both(dilation, 1), both(out, 1)
        self.forward = tuple(seen(*axis) for axis in zip(*settings, strict=True))
        self.backward = tuple(seen_by(*axis) for axis in zip(*settings, strict=True))
        self.size, self.out, self.stride, self.dilation = settings[0], settings[5], settings[2], settings[4]


def lists(entries: int) -> tuple[Array, Array]:
    """Room to write down what a place sees."""
    return np.empty(entries, np.intp), np.empty(entries, np.intp)


class Blocks:
    """Filters as `correlate_tile` reads them: (groups, filters, channels, kH, kW), packed."""

    def __init__(self, groups: int, filters: int, entries: int, dtype: Any) -> None:
        self.height, self.entries = height_for(filters), entries
        self.shape = self.height, groups, filters
        self.packed = aligned((groups * -(-filters // self.height) * self.height * entries,), dtype)

    def load(self, W: Array) -> None:
        """Pack these weights."""
        tiles.pack_blocks[W.dtype](W, self.height, self.packed)

    def bind(self, X: Array, sees: Any, bias: Array, relu: bool, Z: Array) -> Call:
        """A call that correlates X with them into Z."""
        kernel, packed, shape, room = tiles.correlate_tile[X.dtype], self.packed, self.shape, lists(self.entries)
        return lambda: kernel(X, packed, shape, sees, room, bias, relu, Z)


class Filters(Part):
    """A convolution, and the ReLU behind it.

    `open` tells whether that ReLU must still be seen to when the gradient comes: a max-pool has done it already.
    """

    def __init__(self, name: str, node: Any, target: str, shape: Sizes, out: Sizes, dtype: Any) -> None:
        super().__init__(name, node.inputs, target)
        layer: Conv2d = node.layer
        self.relu, self.open = target != name, target != name
        self.windows = Windows(shape[1:], out[1:], (layer.kernel, layer.stride, layer.padding, layer.dilation))
        self.groups, self.channels = layer.groups, shape[0]
        self.filters, self.width = layer.outputs // layer.groups, layer.inputs // layer.groups
        entries = prod(layer.kernel)
        self.blocks = Blocks(self.groups, self.filters, self.width * entries, dtype)
        self.turned = Blocks(self.groups, self.width, self.filters * entries, dtype)
        self.bias = np.zeros(layer.outputs if layer.bias else 0, dtype)

    def load(self, arrays: Mapping[str, Array]) -> None:
        W = with_rows(arrays[f"{self.name}.W"])
        grouped = W.reshape(self.groups, self.filters, *W.shape[1:])
        self.blocks.load(grouped)
        if self.inner:
            self.turned.load(grouped.swapaxes(1, 2))
        if len(self.bias):
            self.bias[...] = arrays[f"{self.name}.b"]

    def forward(self, tile: Tile) -> Call:
        X, Z = tile.values[self.sources[0]], tile.values[self.target]
        return self.blocks.bind(X, self.windows.forward, self.bias, self.relu, Z)

    def backward(self, tile: Tile) -> Call:
        Z, G = tile.values[self.target], tile.bars[self.target]
        stop, flat = tiles.stop_at_zero[G.dtype], (Z.reshape(-1), G.reshape(-1))
        by_W, by_x = self._by_weights(tile, G) if tile.grads else None, None
        if self.inner:
            by_x = self.turned.bind(G, self.windows.backward, NOTHING[G.dtype], False, tile.bars[self.sources[0]])

        def call() -> None:
            if self.open:
                stop(*flat)
            if by_W is not None:
                by_W()
            if by_x is not None:
                by_x()

        return call

    def _by_weights(self, tile: Tile, G: Array) -> Call:
        """A call that adds to the gradients by W and b."""
        w, X, dtype = self.windows, tile.values[self.sources[0]], G.dtype
        size = self.channels, *w.size
        entry_rows, place_rows = rows_met(size, w.kernel, w.out, w.stride, w.padding, w.dilation)
        T = tiles.samples_of(dtype)
        shifts, at = entry_rows * T, tiles.vectors_met(place_rows, dtype)
        D = tile.grads[f"{self.name}.W"].reshape(-1)
        d = tile.grads[f"{self.name}.b"] if len(self.bias) else NOTHING[dtype]
        kernel = tiles.correlate_tile_weights[dtype]
        shape = self.groups, self.filters, self.width * prod(w.kernel)
        if not any(w.padding):
            return lambda: kernel(G, X, shape, shifts, at, D, d)
        (down, along), (rows, columns) = w.padding, w.size
        padded = aligned((self.channels, rows + 2 * down, columns + 2 * along, T), dtype)
        padded[...] = 0
        middle = padded[:, down : down + rows, along : along + columns]

        def call() -> None:
            middle[...] = X
            kernel(G, padded, shape, shifts, at, D, d)

        return call


class Largest(Part):
    """A max-pool; `relu`: of the values of a ReLU that nobody else reads, whose gradient it sees to."""

    def __init__(self, name: str, node: Any, relu: bool, shape: Sizes, out: Sizes) -> None:
        super().__init__(name, node.inputs, name)
        layer, self.relu = node.layer, relu
        self.windows = Windows(shape[1:], out[1:], (layer.kernel, layer.stride, layer.padding, layer.dilation))
        gaps = any(d > 1 for d in layer.dilation)
        self.alone = not gaps and stand_alone(shape[1:], layer.kernel, layer.stride, layer.padding)

    def forward(self, tile: Tile) -> Call:
        X, Z, which = tile.values[self.sources[0]], tile.values[self.target], tile.which[self.target]
        kernel, sees, room, relu = tiles.pool_tile[X.dtype], self.windows.forward, self._room(), self.relu
        return lambda: kernel(X, sees, room, relu, Z, which)

    def backward(self, tile: Tile) -> Call:
        G, which, bar = tile.bars[self.target], tile.which[self.target], tile.bars[self.sources[0]]
        kernel, sees, room, alone = tiles.unpool_tile[G.dtype], self.windows.forward, self._room(), self.alone
        return lambda: kernel(G, which, sees, room, alone, bar)

    def _room(self) -> tuple[Array, Array]:
        return lists(prod(self.windows.kernel))


class Means(Part):
    """An average pool, over windows or everything: a convolution of every channel with a filter of equal weights."""

    def __init__(self, name: str, node: Any, shape: Sizes, out: Sizes, dtype: Any) -> None:
        super().__init__(name, node.inputs, name)
        moves = shape[1:], (1,) * len(shape[1:]), (0,) * len(shape[1:]), (1,) * len(shape[1:])
        if hasattr(node.layer, "kernel"):
            moves = node.layer.kernel, node.layer.stride, node.layer.padding, node.layer.dilation
        self.windows = Windows(shape[1:], out[1:] or (1,) * len(shape[1:]), moves)
        entries = prod(self.windows.kernel)
        self.blocks = Blocks(shape[0], 1, entries, dtype)
        self.blocks.load(np.full((shape[0], 1, 1, *self.windows.kernel), 1 / entries, dtype))

    def forward(self, tile: Tile) -> Call:
        X, Z = tile.values[self.sources[0]], tile.values[self.target]
        return self.blocks.bind(X, self.windows.forward, NOTHING[X.dtype], False, Z)

    def backward(self, tile: Tile) -> Call:
        G, bar = tile.bars[self.target], tile.bars[self.sources[0]]
        return self.blocks.bind(G, self.windows.backward, NOTHING[G.dtype], False, bar)


class Norm(Part):
    """A batch-norm in training, and the ReLU behind it. Its statistics are those of all tiles: it begins a stage.

    `open` is what it is in `Filters`.
    """

    def __init__(self, name: str, node: Any, target: str, shape: Sizes, dtype: Any) -> None:
        super().__init__(name, node.inputs, target)
        self.layer: BatchNorm = node.layer
        self.relu, self.open = target != name, target != name
        self.places = prod(shape[1:])
        self.mean, self.inverse, self.scale, self.mean_g, self.mean_gx = np.zeros((5, shape[0]), dtype)
        self.slopes, self.products = np.zeros((2, shape[0]))

    def load(self, arrays: Mapping[str, Array]) -> None:
        self.gamma, self.beta = arrays[f"{self.name}.gamma"], arrays[f"{self.name}.beta"]
        self.kept_mean, self.kept_var = arrays[f"{self.name}.mean"], arrays[f"{self.name}.var"]

    def look(self, held: list[Tile]) -> None:
        """Take the statistics of what it reads, from all tiles, and move the running averages towards them."""
        count = self.places * sum(tile.count for tile in held)
        if count < 2:
            raise ShapeError(f"{self.name}: expected at least 2 entries per channel to normalise in training, got 1")
        self.mean[...] = self._moment(held, np.zeros_like(self.mean), False) / count
        var = (self._moment(held, self.mean, True) / count).astype(self.mean.dtype)
        self.inverse[...] = 1 / np.sqrt(var + float(self.layer.epsilon))
        self.scale[...] = self.gamma * self.inverse
        self.kept_mean += self.layer.momentum * (self.mean - self.kept_mean)
        self.kept_var += self.layer.momentum * (var * (count / (count - 1)) - self.kept_var)

    def _moment(self, held: list[Tile], center: Array, squared: bool) -> Array:
        sums, kernel = np.zeros(len(center)), norms.add_moments[center.dtype]
        for tile in held:
            kernel(by_places(tile.values[self.sources[0]]), tile.count, center, squared, sums)
        return sums

    def forward(self, tile: Tile) -> Call:
        X, Z = (by_places(tile.values[value]) for value in (self.sources[0], self.target))
        kernel = norms.normalise[X.dtype]
        return lambda: kernel(X, self.mean, self.scale, self.beta, self.relu, Z)

    def backward(self, tile: Tile) -> Call:
        """A call that adds to Σ g and Σ g x̂."""
        X, Z = (by_places(tile.values[value]) for value in (self.sources[0], self.target))
        G = by_places(tile.bars[self.target])
        stop, kernel = tiles.stop_at_zero[X.dtype], norms.add_slopes[X.dtype]

        def call() -> None:
            if self.open:
                stop(Z.reshape(-1), G.reshape(-1))
            kernel(G, X, self.mean, self.inverse, self.slopes, self.products)

        return call

    def sum_up(self, held: list[Tile]) -> None:
        """Take the gradients by γ and β, when all tiles have been there, and what the way back needs of them."""
        count = self.places * sum(tile.count for tile in held)
        held[0].grads[f"{self.name}.gamma"][...], held[0].grads[f"{self.name}.beta"][...] = self.products, self.slopes
        self.mean_g[...], self.mean_gx[...] = self.slopes / count, self.products / count
        self.slopes[...], self.products[...] = 0, 0

    def on_backward(self, tile: Tile) -> Call:
        """A call that computes the gradient by the source, after that."""
        source = self.sources[0]
        G, X, bar = map(by_places, (tile.bars[self.target], tile.values[source], tile.bars[source]))
        kernel = norms.normalise_back[X.dtype]
        known = self.mean, self.inverse, self.scale, self.mean_g, self.mean_gx
        return lambda: kernel(G, X, *known, tile.count, bar)


class Same(Part):
    """A ReLU that could not be put behind a convolution."""

    def __init__(self, name: str, node: Any) -> None:
        super().__init__(name, node.inputs, name)

    def forward(self, tile: Tile) -> Call:
        X, Z = tile.values[self.sources[0]], tile.values[self.target]
        return lambda: np.maximum(X, 0, out=Z)

    def backward(self, tile: Tile) -> Call:
        Z, G, bar = tile.values[self.target], tile.bars[self.target], tile.bars[self.sources[0]]
        stop, flat = tiles.stop_at_zero[G.dtype], (Z.reshape(-1), bar.reshape(-1))

        def call() -> None:
            bar[...] = G
            stop(*flat)

        return call


class AnyLayer(Part):
    """A layer without parameters that treats all entries alike, or adds or joins values: as the network has it.

    To such a layer a tile is one image (1, C, H, W · T); NumPy makes new arrays for it.
    """

    def __init__(self, name: str, node: Any, own: dict[str, Array]) -> None:
        super().__init__(name, node.inputs, name)
        self.layer: Layer = node.layer
        self.own = own

    def _images(self, tile: Tile) -> list[Array]:
        return [as_image(tile.values[source]) for source in self.sources]

    def forward(self, tile: Tile) -> Call:
        Z, layer, own = as_image(tile.values[self.target]), self.layer, self.own
        images = self._images(tile)

        def call() -> None:
            Z[...] = layer.forward(own, *images)

        return call

    def backward(self, tile: Tile) -> Call:
        G, layer, own, images = as_image(tile.bars[self.target]), self.layer, self.own, self._images(tile)
        wanted = [source in self.inner for source in self.sources]
        bars = [as_image(tile.bars[source]) for source in self.sources if source in self.inner]

        def call() -> None:
            tape = Tape()
            watched = [tape.watch(image) for image in images]
            y: Tensor = layer.forward(own, *watched)
            found = backward(y, G)
            chosen = [tensor for tensor, is_wanted in zip(watched, wanted, strict=True) if is_wanted]
            for tensor, bar in zip(chosen, bars, strict=True):
                bar[...] = found[tensor]

        return call


class TileGate(Part):
    """An open gate, which remembers what goes through it; its target is its source."""

    def __init__(self, name: str, node: Any) -> None:
        super().__init__(name, node.inputs, name)

    def forward(self, tile: Tile) -> Call:
        return lambda: None

    def backward(self, tile: Tile) -> Call:
        a, G, seen = tile.values[self.target], tile.bars[self.target], tile.seen[self.target]
        kernel, bar = tiles.effects_tile[G.dtype], tile.bars[self.sources[0]] if self.inner else None

        def call() -> None:
            kernel(a, G, *seen)
            if bar is not None:
                bar[...] = G

        return call


def wanted(parts: Iterable[Any], back: str, start: Set[str] = frozenset()) -> set[str]:
    """The values by which a gradient is wanted: for weights all, for gates those that come from one, or from start."""
    found = set(start)
    for part in parts:
        gate = isinstance(part, TileGate) or getattr(part, "gate", False)
        if back == "weights" or (back == "gates" and (gate or found & set(part.sources))):
            found.add(part.target)
    return found - start


def is_open(net: Graph, name: str) -> bool:
    """Whether a node is a gate that lets everything through."""
    return isinstance(net.nodes[name].layer, Gate) and bool((net.arrays[f"{name}.m"] == 1).all())


def by_places(X: Array) -> Array:
    """View a tile (C, H, W, T) as (C, H · W, T)."""
    return X.reshape(X.shape[0], X.shape[1] * X.shape[2], X.shape[3])


def as_image(X: Array) -> Array:
    """View a tile (C, H, W, T) as one image (1, C, H, W · T)."""
    return X.reshape(1, *X.shape[:2], X.shape[2] * X.shape[3])
