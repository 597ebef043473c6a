"""What a program is made of: one call of a kernel, on the buffers of a workspace.

A value is in one of two forms: `rows`, one sample below the other, as everywhere in this package; or `strips` (S, C, L)
with the samples side by side (see `minprune.kernels.strips`). To a layer that treats every channel alike, a strip looks
like a one-dimensional image of L places: so activations, sums and batch-norms run on strips as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..kernels.columns import dense_columns, room
from ..kernels.gemm import READY, gemm
from ..kernels.rows import dense_rows, sparse_rows
from ..kernels.storing import stored
from ..kernels.strips import dense_strips, from_strips, sparse_strips, to_strips
from ..layers import Layer
from ..ops import Array
from .images import ImagePlan
from .pixels import PixelPlan

Call = Callable[[], Any]


@dataclass
class Workspace:
    """The arrays that one thread computes in: a value's name, with its form -> its buffer; and its calls."""

    arrays: dict[str, Array]
    count: int = 0  # samples of the batch at hand
    calls: list[Call] = field(default_factory=list)

    def run(self) -> None:
        """All calls, in their order."""
        for call in self.calls:
            call()


@dataclass(eq=False)
class Step(ABC):
    """One call: what it reads and writes, and what is known of it."""

    name: str  # the value that it writes
    sources: tuple[str, ...]  # the buffers that it reads
    target: str  # the buffer that it writes
    kernel: str = ""
    why: str = ""
    macs: int = 0  # for one sample
    nbytes: int = 0  # of weights, indices included
    seconds: float = field(default=0.0, init=False)  # measured, for the program's batch size

    @abstractmethod
    def bind(self, space: Workspace) -> Call:
        """A call that computes this step in a workspace; all that is known beforehand has been looked up."""


def strips_of(count: int, X: Array) -> int:
    """How many strips so many samples fill."""
    return -(-count // X.shape[2])


@dataclass(eq=False)
class ToStrips(Step):
    """From rows to strips."""

    def bind(self, space: Workspace) -> Call:
        arrays, source, X = space.arrays, self.sources[0], space.arrays[self.target]
        kernel = to_strips[X.dtype]
        return lambda: kernel(arrays[source], X)


@dataclass(eq=False)
class FromStrips(Step):
    """From strips to rows."""

    def bind(self, space: Workspace) -> Call:
        arrays, X, target = space.arrays, space.arrays[self.sources[0]], self.target
        kernel = from_strips[X.dtype]
        return lambda: kernel(X, arrays[target][: space.count])


@dataclass(eq=False)
class Affine(Step):
    """A dense layer and the ReLU behind it, in one of several ways."""

    bias: Array = field(default_factory=lambda: np.empty(0))
    relu: bool = False


@dataclass(eq=False)
class DenseStrips(Affine):
    """All weights, on strips."""

    tiles: Any = None  # as `tiled` makes them

    def bind(self, space: Workspace) -> Call:
        X, Y = space.arrays[self.sources[0]], space.arrays[self.target]
        kernel, (shape, W), bias, relu = dense_strips[X.dtype], self.tiles, self.bias, self.relu
        return lambda: kernel(shape, W, bias, relu, space.count, X, Y)


@dataclass(eq=False)
class SparseStrips(Affine):
    """The weights that are kept, on strips."""

    parts: Any = None

    def bind(self, space: Workspace) -> Call:
        X, Y = space.arrays[self.sources[0]], space.arrays[self.target]
        kernel, p, bias, relu = sparse_strips[X.dtype], self.parts, self.bias, self.relu
        return lambda: kernel(p.rows, p.values, p.columns, p.offsets, bias, relu, space.count, X, Y)


@dataclass(eq=False)
class DenseRows(Affine):
    """All weights, on a few rows."""

    W: Array = field(default_factory=lambda: np.empty(0))

    def bind(self, space: Workspace) -> Call:
        arrays, source, target = space.arrays, self.sources[0], self.target
        kernel, W, relu = dense_rows[self.W.dtype], self.W, self.relu
        return lambda: kernel(W, relu, arrays[source], space.count, arrays[target])


@dataclass(eq=False)
class DenseColumns(Affine):
    """The weights that meet no 0, on a few rows."""

    W: Array = field(default_factory=lambda: np.empty((0, 0, 0)))

    def bind(self, space: Workspace) -> Call:
        arrays, source, target = space.arrays, self.sources[0], self.target
        kernel, W, bias, relu = dense_columns[self.W.dtype], self.W, self.bias, self.relu
        scratch = room(W.shape[1], W.dtype)
        return lambda: kernel(W, bias, relu, arrays[source], space.count, scratch, arrays[target])


@dataclass(eq=False)
class ProductRows(Affine):
    """All weights, on many rows."""

    W: Array = field(default_factory=lambda: np.empty((0, 0)))
    panels: Array = field(default_factory=lambda: np.empty(0))  # of Wᵀ

    def bind(self, space: Workspace) -> Call:
        arrays, source, target = space.arrays, self.sources[0], self.target
        kernel, B, panels, relu = gemm[self.W.dtype], self.W.T, self.panels, self.relu
        bias = self.bias[: len(self.W)]
        return lambda: kernel(
            arrays[source][: space.count], B, bias, relu, READY, panels, arrays[target][: space.count]
        )


@dataclass(eq=False)
class SparseRows(Affine):
    """The weights that are kept, on a few rows."""

    matrix: Any = None

    def bind(self, space: Workspace) -> Call:
        arrays, source, target = space.arrays, self.sources[0], self.target
        values, columns, offsets = self.matrix
        kernel, bias, relu = sparse_rows[values.dtype], self.bias, self.relu
        return lambda: kernel(values, columns, offsets, bias, relu, arrays[source], space.count, arrays[target])


@dataclass(eq=False)
class LayerRows(Step):
    """Any layer, as the network computes it; NumPy makes new arrays for it."""

    layer: Layer | None = None
    own: dict[str, Array] = field(default_factory=dict)

    def bind(self, space: Workspace) -> Call:
        arrays, layer = space.arrays, self.layer
        assert layer is not None

        def call() -> None:
            values = (arrays[source][: space.count] for source in self.sources)
            arrays[self.target][: space.count] = layer.forward(self.own, *values)

        return call


@dataclass(eq=False)
class Images(Step):
    """All layers that work on images, on tiles or on pixels; from rows to rows. Every workspace has its own plan."""

    plan: ImagePlan | PixelPlan | None = None

    def bind(self, space: Workspace) -> Call:
        arrays, target = space.arrays, self.target
        assert self.plan is not None
        plan = self.plan.another()
        (end,) = plan.ends
        inputs = [(name, f"{name}:rows") for name in plan.inputs]

        def call() -> None:
            values = {name: arrays[buffer][: space.count] for name, buffer in inputs}
            plan.forward(values, {end: arrays[target][: space.count]})

        return call


@dataclass(eq=False)
class LayerStrips(LayerRows):
    """A layer that treats every channel alike, on strips; NumPy makes new arrays for it."""

    channels: tuple[int, ...] = ()

    def bind(self, space: Workspace) -> Call:
        arrays, layer = space.arrays, self.layer
        assert layer is not None

        def call() -> None:
            strips = strips_of(space.count, arrays[self.target])
            values = (arrays[s][:strips, :size] for s, size in zip(self.sources, self.channels, strict=True))
            result = layer.forward(self.own, *values)
            arrays[self.target][:strips, : result.shape[1]] = result

        return call


def csr(W: Array, kept: Array) -> tuple[Array, Array, Array]:
    """Values, columns and offsets for `sparse_rows`."""
    values, columns, offsets = stored(W, kept, 1, max(1, W.shape[1]))
    return values, columns, offsets[0]
