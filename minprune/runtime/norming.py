"""Batch-norm in training on tiles: the one layer whose samples depend on each other."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..kernels import norms, tiles
from ..layers import BatchNorm
from ..ops import Array
from ..ops.windows import Sizes
from .tile import Call, Part, Tile, by_places


class Norm(Part):
    """A batch-norm in training, and the ReLU behind it. Its statistics are those of all tiles: it begins a stage.

    In this order: `look` at all tiles for mean and variance; `forward`, tile by tile; on the way back `backward`, tile
    by tile, which only adds up Σ g and Σ g x̂; `sum_up`, when all tiles have been there; and `on_backward`, tile by
    tile, which computes the gradient by the source. `stops` is what it is in `Filters`.
    """

    def __init__(self, name: str, node: Any, target: str, shape: Sizes, dtype: Any) -> None:
        super().__init__(name, node.inputs, target)
        self.layer: BatchNorm = node.layer
        self.relu, self.stops = target != name, target != name
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
        self.slopes[...], self.products[...] = 0, 0  # an interrupted way back leaves something
        some = held[0].values[self.sources[0]][:, 0, 0, 0].copy()  # near the mean: differences are small numbers
        self.mean[...] = some + self._moment(held, some, False) / count
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
            if self.stops:
                stop(Z.reshape(-1), G.reshape(-1))
            kernel(G, X, self.mean, self.inverse, self.slopes, self.products)

        return call

    def sum_up(self, held: list[Tile]) -> None:
        """Take the gradients by γ and β, when all tiles have been there, and what the way back needs of them."""
        count = self.places * sum(tile.count for tile in held)
        held[0].grads[f"{self.name}.gamma"][...], held[0].grads[f"{self.name}.beta"][...] = self.products, self.slopes
        self.mean_g[...], self.mean_gx[...] = self.slopes / count, self.products / count

    def on_backward(self, tile: Tile) -> Call:
        """A call that computes the gradient by the source, after that."""
        source = self.sources[0]
        G, X, bar = map(by_places, (tile.bars[self.target], tile.values[source], tile.bars[source]))
        kernel = norms.normalise_back[X.dtype]
        known = self.mean, self.inverse, self.scale, self.mean_g, self.mean_gx
        return lambda: kernel(G, X, *known, tile.count, bar)
