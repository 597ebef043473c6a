"""Layers on tiles that have no windows: ReLU, gates, and all that the network itself computes entry by entry."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any

import numpy as np

from ..kernels import tiles
from ..layers import Add, Gate, Layer, Multiply, Scale, Shift
from ..nn import Graph
from ..ops import Array
from ..tensor import Tape, Tensor, backward
from .tile import Call, Part, Tile, as_image


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


# What one function of NumPy computes, and so into its place.
DIRECT: dict[type[Layer], np.ufunc] = {Add: np.add, Multiply: np.multiply, Shift: np.add, Scale: np.multiply}


class AnyLayer(Part):
    """A layer without parameters that treats all entries alike, or adds or joins values: as the network has it.

    To such a layer a tile is one image (1, C, H, W · T); NumPy makes new arrays for most of them.
    """

    def __init__(self, name: str, node: Any, own: dict[str, Array]) -> None:
        super().__init__(name, node.inputs, name)
        self.layer: Layer = node.layer
        self.own = own

    def _images(self, tile: Tile) -> list[Array]:
        return [as_image(tile.values[source]) for source in self.sources]

    def forward(self, tile: Tile) -> Call:
        return self.on(self._images(tile), as_image(tile.values[self.target]))

    def on(self, images: list[Array], Z: Array) -> Call:
        """A call that computes Z (1, C, H, W) from images."""
        layer, own, operands = self.layer, self.own, [*images, *self.own.values()]
        if type(layer) in DIRECT and len(operands) == 2:
            function, (one, other) = DIRECT[type(layer)], operands
            return lambda: function(one, other, out=Z)

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
