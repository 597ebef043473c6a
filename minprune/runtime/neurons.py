"""Layers of neurons on rows, forwards and backwards: the parts of a plan behind the images (see `plans`).

All samples of a batch go through a layer together, since every weight is read once for all of them. The products are
those of the numba backend where it takes them, and NumPy's elsewhere, into buffers that are made once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np

from ..errors import ShapeError
from ..kernels.dense import takes_affine, takes_grad_W, takes_grad_x
from ..kernels.elementwise import relu_back
from ..kernels.gemm import DEPTH, NOTHING, READY, SCRATCH, WIDTH, gemm, pack_all, panels_for
from ..kernels.layout import aligned
from ..kernels.vectors import BYTES, VECTORS
from ..layers import Layer, Training
from ..ops import Array
from ..tensor import Tape, Tensor, backward


@dataclass
class Rows:
    """The values of a batch, (N, …), their gradients, and those by the parameters.

    Attributes
    ----------
    wanted : set of str
        Values by which a gradient is wanted.
    summed : set of str
        Those to which several places contribute.
    training : Training or None
        With it, layers are in training mode.
    """

    values: dict[str, Array] = field(default_factory=dict)
    bars: dict[str, Array] = field(default_factory=dict)
    grads: dict[str, Array] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)
    summed: set[str] = field(default_factory=set)
    training: Training | None = None
    panels: Array = field(default_factory=lambda: np.empty(0))
    spare: Array = field(default_factory=lambda: np.empty(0))

    def give(self, value: str, bar: Array) -> None:
        """Take in what one place contributes to the gradient by a value."""
        if value in self.summed:
            self.bars[value] += bar
        else:
            self.bars[value][...] = bar

    def scratch(self, shape: tuple[int, ...]) -> Array:
        """Room that is free again when the layer is done."""
        if self.spare.size < prod(shape):
            self.spare = aligned((prod(shape),), self.panels.dtype)
        return self.spare[: prod(shape)].reshape(shape)

    def room(self, K: int, N: int) -> Array:
        """Room for the panels of a product with B (K, N)."""
        dtype = self.panels.dtype
        size = min(DEPTH, K) * (min(WIDTH, N) + VECTORS * BYTES // dtype.itemsize) + 64
        if len(self.panels) < size:
            self.panels = np.empty(size, dtype)
        return self.panels


class RowsPart:
    """One layer; `sources` and `target` are names of values."""

    def __init__(self, name: str, sources: tuple[str, ...], target: str) -> None:
        self.name, self.sources, self.target = name, sources, target

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take the network's arrays as they are now."""

    def forward(self, rows: Rows) -> None:
        """Compute the target."""
        raise TypeError(f"{type(self).__name__} states no forward(rows)")

    def backward(self, rows: Rows) -> None:
        """Compute the gradients by the wanted sources, from that by the target."""
        raise TypeError(f"{type(self).__name__} states no backward(rows)")


class Neurons(RowsPart):
    """A dense layer, and the ReLU behind it."""

    def __init__(self, name: str, sources: tuple[str, ...], target: str) -> None:
        super().__init__(name, sources, target)
        self.relu = target != name
        self.W: Array = np.empty((0, 0))
        self.b: Array | None = None
        self.panels: Array | None = None  # the weights, packed
        self.stale = True  # whether others have been loaded since

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Look at the weights where they are."""
        self.W, self.b = arrays[f"{self.name}.W"], arrays.get(f"{self.name}.b")
        self.stale = True

    def forward(self, rows: Rows) -> None:
        """Y = X Wᵀ + b, or what of it is above 0."""
        X, Y, W, b = rows.values[self.sources[0]], rows.values[self.target], self.W, self.b
        if takes_affine(X, W, b):
            trains = f"{self.name}.W" in rows.grads  # then other weights come with the next batch
            how, panels = (SCRATCH, rows.room(W.shape[1], len(W))) if trains else (READY, self._panels())
            gemm[X.dtype](X, W.T, NOTHING[X.dtype] if b is None else b, self.relu, how, panels, Y)
            return
        np.matmul(X, W.T, out=Y)
        if b is not None:
            Y += b
        if self.relu:
            np.maximum(Y, 0, out=Y)

    def _panels(self) -> Array:
        """The weights, packed; anew only where others were loaded."""
        if self.panels is None:
            self.panels = panels_for(self.W.T)
        if self.stale:
            pack_all(self.W.T, self.panels)
            self.stale = False
        return self.panels

    def backward(self, rows: Rows) -> None:
        """X̄ = G W, W̄ = Gᵀ X, b̄ = Σ_n G."""
        source, X, G = self.sources[0], rows.values[self.sources[0]], rows.bars[self.target]
        if self.relu:  # into other memory: G may be what a gate has seen
            G = rows.scratch(G.shape)
            relu_back[G.dtype](*(a.reshape(-1) for a in (rows.bars[self.target], rows.values[self.target], G)))
        if f"{self.name}.W" in rows.grads:
            self._by_weights(rows, G, X)
        if source not in rows.wanted:
            return
        bar = np.empty_like(X) if source in rows.summed else rows.bars[source]
        if takes_grad_x(G, self.W):
            gemm[G.dtype](G, self.W, NOTHING[G.dtype], False, SCRATCH, rows.room(*self.W.shape), bar)
        else:
            np.matmul(G, self.W, out=bar)
        if source in rows.summed:
            rows.give(source, bar)

    def _by_weights(self, rows: Rows, G: Array, X: Array) -> None:
        bar = rows.grads[f"{self.name}.W"]
        if takes_grad_W(G, X):
            gemm[G.dtype](G.T, X, NOTHING[G.dtype], False, SCRATCH, rows.room(*X.shape), bar)
        else:
            np.matmul(G.T, X, out=bar)
        if self.b is not None:
            G.sum(axis=0, out=rows.grads[f"{self.name}.b"])


class Through(RowsPart):
    """What only names or reshapes a value: Flatten, Identity, an open gate. Its target is its source, seen otherwise.

    So are their gradients, except where several places contribute to that by the source.
    """

    def __init__(self, name: str, sources: tuple[str, ...], gate: bool) -> None:
        super().__init__(name, sources, name)
        self.gate = gate

    def forward(self, rows: Rows) -> None:
        """Look at the source again: an input is another array each time."""
        rows.values[self.target] = rows.values[self.sources[0]].reshape(rows.values[self.target].shape)

    def backward(self, rows: Rows) -> None:
        """Hand on the gradient, where it isn't the same array."""
        (source,) = self.sources
        if source in rows.wanted & rows.summed:
            rows.give(source, rows.bars[self.target].reshape(rows.values[source].shape))


class AnyRows(RowsPart):
    """Any other layer, as the network has it, on a tape of its own; NumPy makes new arrays for it."""

    def __init__(
        self, name: str, sources: tuple[str, ...], layer: Layer, params: list[str], buffers: list[str]
    ) -> None:
        super().__init__(name, sources, name)
        self.layer, self.params, self.buffers = layer, params, buffers
        self.arrays: Mapping[str, Array] = {}
        self._run: tuple[list[Tensor], dict[str, Tensor], Tensor] | None = None

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Look at the arrays where they are."""
        self.arrays = arrays

    def forward(self, rows: Rows) -> None:
        """Run the layer on a tape, for the way back."""
        tape = Tape()
        watched = [tape.watch(rows.values[source]) for source in self.sources]
        own = {short: tape.watch(self.arrays[f"{self.name}.{short}"]) for short in self.params}
        kept = {short: self.arrays[f"{self.name}.{short}"] for short in self.buffers}
        try:
            y = self.layer.forward({**own, **kept}, *watched, training=rows.training)
        except ShapeError as error:
            raise ShapeError(f"{self.name}: {error}") from None
        self._run = watched, own, y
        rows.values[self.target][...] = y.value

    def backward(self, rows: Rows) -> None:
        """Walk back along it."""
        assert self._run is not None
        watched, own, y = self._run
        found = backward(y, rows.bars[self.target])
        for source, tensor in zip(self.sources, watched, strict=True):
            if source in rows.wanted:
                rows.give(source, found[tensor])
        for short, tensor in own.items():
            if f"{self.name}.{short}" in rows.grads:
                rows.grads[f"{self.name}.{short}"][...] = found[tensor]
