"""Convolutions of which weights are gone, in plans that no gradient is asked of: their kept weights alone.

Masked filters stay as many and as large, and the dense kernel multiplies with their zeros. Which of the two is faster
depends on how many are left, and on the machine: both are tried when the weights are loaded (`Part.why` has the times).
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import numpy as np

from ..kernels import tiles
from ..kernels.layout import aligned
from ..kernels.maxima import WIDE
from ..kernels.sparse_filters import Placed, SparseFilters
from ..kernels.sparse_loops import sparse_tile
from ..layers import Conv2d
from ..ops import Array
from ..ops.windows import Sizes
from .tile import Call, Tile
from .windows import Filters

FULL = 0.8  # of the weights kept: above, only the dense kernel is tried
ROUNDS = 5


class KeptFilters(Filters):
    """A convolution, and the ReLU behind it, by the faster of both kernels; forwards only."""

    def __init__(self, name: str, node: Any, target: str, shape: Sizes, out: Sizes, dtype: Any) -> None:
        super().__init__(name, node, target, shape, out, dtype)
        self.layer: Conv2d = node.layer
        self.size = shape[1:]
        self.placed: Placed | None = None  # where the sparse kernel was faster

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take the network's arrays as they are now, and try both kernels where enough of the weights are 0."""
        super().load(arrays)
        self.placed, self.why, self.saved = None, "", 0
        W, layer = arrays[f"{self.name}.W"], self.layer
        kept = W != 0
        if kept.sum() > FULL * W.size:
            return
        filters = SparseFilters.of(W, kept, layer.stride, layer.padding, layer.dilation, layer.groups)
        placed, tile = filters.on(self.size), self._trial(W.dtype)
        sparse, dense = (seconds(call) for call in (self._by_kept(tile, placed), self.forward(tile)))
        self.why = f"{self.name} from its kept weights {sparse * 1e6:,.1f} µs, dense {dense * 1e6:,.1f} µs"
        if sparse < dense:
            self.placed = placed
            self.saved = (W.size - len(filters.values)) * int(np.prod(self.windows.out))

    def forward(self, tile: Tile) -> Call:
        """A call that computes the target."""
        return super().forward(tile) if self.placed is None else self._by_kept(tile, self.placed)

    def _by_kept(self, tile: Tile, placed: Placed) -> Call:
        X, Z, relu = tile.values[self.sources[0]], tile.values[self.target], self.relu
        size, (down, along), out, steps = placed.geometry
        kernel, sums, arrays = sparse_tile[X.dtype], placed.room(WIDE), placed.arrays
        bias = self.bias if len(self.bias) else np.zeros(len(Z), X.dtype)
        if down == along == 0:
            return lambda: kernel(*arrays, bias, relu, out, steps, X, sums, Z)
        padded = aligned((size[0], size[1] + 2 * down, size[2] + 2 * along, X.shape[3]), X.dtype)
        padded[...] = 0
        middle = padded[:, down : down + size[1], along : along + size[2]]

        def call() -> None:
            middle[...] = X
            kernel(*arrays, bias, relu, out, steps, padded, sums, Z)

        return call

    def _trial(self, dtype: Any) -> Tile:
        """A tile of random images."""
        T, w = tiles.samples_of(dtype), self.windows
        X, Z = aligned((self.channels, *w.size, T), dtype), aligned((self.groups * self.filters, *w.out, T), dtype)
        X[...] = np.random.default_rng(0).random(X.shape)
        return Tile({self.sources[0]: X, self.target: Z}, {}, {})


def seconds(call: Call) -> float:
    """The shortest of a few calls' times, after one that does not count."""
    call()
    times = []
    for _ in range(ROUNDS):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times)
