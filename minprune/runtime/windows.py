"""Layers with windows on tiles: convolutions and pools."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from ..kernels import tiles
from ..kernels.convolution import both, rows_met
from ..kernels.filters import height_for
from ..kernels.gemm import NOTHING
from ..kernels.layout import aligned, seen, seen_by, with_rows
from ..kernels.pooling import stand_alone
from ..layers import Conv2d
from ..ops import Array
from ..ops.windows import Sizes
from .tile import Call, Part, Tile


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

    `stops` tells whether that ReLU must still be seen to when the gradient comes: a max-pool has done it already.
    """

    def __init__(self, name: str, node: Any, target: str, shape: Sizes, out: Sizes, dtype: Any) -> None:
        super().__init__(name, node.inputs, target)
        layer: Conv2d = node.layer
        self.relu, self.stops = target != name, target != name
        self.windows = Windows(shape[1:], out[1:], (layer.kernel, layer.stride, layer.padding, layer.dilation))
        self.groups, self.channels = layer.groups, shape[0]
        self.filters, self.width = layer.outputs // layer.groups, layer.inputs // layer.groups
        entries = prod(layer.kernel)
        self.blocks = Blocks(self.groups, self.filters, self.width * entries, dtype)
        self.turned = Blocks(self.groups, self.width, self.filters * entries, dtype)
        self.W = NOTHING[np.dtype(dtype)]  # as they were loaded
        self.bias = np.zeros(layer.outputs if layer.bias else 0, dtype)

    def load(self, arrays: Mapping[str, Array]) -> None:
        self.W = W = with_rows(arrays[f"{self.name}.W"])
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
            if self.stops:
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
        key = f"{self.name} with its padding"
        if key not in tile.spare:
            tile.spare[key] = aligned((self.channels, rows + 2 * down, columns + 2 * along, T), dtype)
            tile.spare[key][...] = 0
        padded = tile.spare[key]
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
