"""Filters of which weights are gone, here and there: how the kept ones are stored, and a convolution with them.

A list for every filter: what is kept of its weights, and which entry of the image each of them meets at the first
place. It is made once in one pass over the weights, and once for every size of images. The channels are cut into parts,
such that what a span of places sees of one stays in the L1 cache (see `sparse_loops`, which reads the lists).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np

from ..errors import ShapeError
from ..ops import Array
from ..ops.windows import Sizes, output_size
from .convolution import both, rows_met
from .layout import LINE, as_rows, batch_last, floats, with_rows
from .spans import SPANS, WIDE
from .sparse_loops import sparse_correlate
from .storing import list_kept
from .vectors import BYTES

WINDOW, FEW = 2**15, 10  # bytes of a panel that a span may see in a part; weights of a filter that make a part worth it
VECTORS = 2  # of samples in a tile, where there are more than WIDE


@dataclass(frozen=True, eq=False)
class SparseFilters:
    """The kept weights of a convolution's filters, sorted by parts of the channels.

    Attributes
    ----------
    values, entries : array (n,)
        Part by part, and in each filter by filter: the weights, and which entry each is, c · K + k, the channels
        counted through all groups.
    starts : array (parts, O + 1)
        Where filters begin, in each part.
    shape : tuple of int
        Of all weights: (O, C / groups, …).
    moves : (tuple, tuple, tuple)
        Stride, padding and dilation.
    groups : int

    Examples
    --------
    >>> W = np.array([[[0.0, 5.0], [0.0, 0.0]], [[7.0, 0.0], [0.0, 8.0]]])  # 2 filters, 2 channels, 2 entries each
    >>> filters = SparseFilters.of(W)
    >>> filters.values, filters.entries, filters.starts
    (array([5., 7., 8.]), array([1, 0, 3], dtype=int32), array([[0, 1, 3]]))
    """

    values: Array
    entries: Array
    starts: Array
    shape: Sizes
    moves: tuple[Sizes, Sizes, Sizes]
    groups: int
    known: dict[Sizes, Placed] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        W: Array,
        kept: Array | None = None,
        stride: Sizes | None = None,
        padding: Sizes | None = None,
        dilation: Sizes | None = None,
        groups: int = 1,
    ) -> SparseFilters:
        """Store the kept weights of filters (O, C / groups, …); by default those that are not 0.

        Raises
        ------
        ShapeError
            When the arrays are no filters of so many groups.
        """
        kept = W != 0 if kept is None else kept
        if not floats(W) or W.ndim not in (3, 4) or W.shape != kept.shape or len(W) % groups:
            raise ShapeError(
                f"filters {W.dtype} {W.shape} in {groups} group(s), kept {kept.shape}: expected (O, C / groups, …) of "
                "float32 or float64, kept of the same shape, and O a multiple of groups"
            )
        ones, zeros = (1,) * (W.ndim - 2), (0,) * (W.ndim - 2)
        moves = stride or ones, padding or zeros, dilation or ones
        K, channels, n = prod(W.shape[2:]), W.shape[1] * groups, int(np.count_nonzero(kept))
        part = channels_together(W.shape[2:], moves, n / max(1, W.size))
        values, entries = np.empty(n + 1, W.dtype), np.empty(n + 1, np.int32)  # one more is written than is kept
        starts = np.empty((max(1, -(-channels // part)), len(W) + 1), np.intp)
        rows, found = (np.ascontiguousarray(a).reshape(len(W), W.shape[1] * K) for a in (W, kept))
        list_kept[W.dtype](rows, found, (max(1, len(W) // groups), K, part), values, entries, starts)
        return cls(values[:n], entries[:n], starts, W.shape, moves, groups)

    def on(self, size: Sizes) -> Placed:
        """Place them on images of `size`, without the channels; once for each size.

        Raises
        ------
        ShapeError
            When the window does not fit.
        """
        if size not in self.known:
            self.known[size] = self._placed(size)
        return self.known[size]

    def _placed(self, size: Sizes) -> Placed:
        stride, padding, dilation = (both(move, fill) for move, fill in zip(self.moves, (1, 0, 1), strict=True))
        out = output_size(size, self.shape[2:], *self.moves)
        images = (self.shape[1] * self.groups, *both(size, 1))
        rows, _ = rows_met(images, both(self.shape[2:], 1), both(out, 1), stride, padding, dilation)
        steps = stride[0] * (images[2] + 2 * padding[1]), stride[1]
        arrays = self.values, rows.astype(np.int32)[self.entries], self.starts
        return Placed(arrays, (images, padding, both(out, 1), steps), out)


@dataclass(frozen=True, eq=False)
class Placed:
    """Sparse filters on images of one size: what `sparse_tile` and `sparse_correlate` are given.

    Attributes
    ----------
    arrays : (array, array, array)
        Values, rows of the panel that they meet at the first place, and starts.
    geometry : tuple
        The images' size (channels, rows, columns), their padding, the places (rows, columns), and how many rows of the
        panel further on the next place sees, below and beside.
    out : tuple of int
        The places, along as many axes as the images have.
    """

    arrays: tuple[Array, Array, Array]
    geometry: tuple[Sizes, Sizes, Sizes, Sizes]
    out: Sizes

    def room(self, vectors: int) -> Array:
        """Memory for the sums of a span of so many vectors."""
        values, _, starts = self.arrays
        sums = (starts.shape[1] - 1) * SPANS[0] * vectors * BYTES // values.itemsize
        return np.empty(sums + LINE, values.dtype)


def channels_together(kernel: Sizes, moves: tuple[Sizes, Sizes, Sizes], share: float) -> int:
    """How many channels make a part: what a span sees of them has `WINDOW` bytes, or filters keep `FEW` weights there.

    Examples
    --------
    >>> moves = (1, 1), (0, 0), (1, 1)
    >>> channels_together((3, 3), moves, 0.02) > channels_together((3, 3), moves, 0.5) > 0
    True
    """
    stride, _, dilation = (move[-1] for move in moves)
    along = (SPANS[0] - 1) * stride + (kernel[-1] - 1) * dilation + 1
    window = prod(kernel[:-1]) * min(along, SPANS[0] * kernel[-1]) * VECTORS * BYTES
    return max(1, WINDOW // max(1, window), int(np.ceil(FEW / max(share * prod(kernel), 1e-3))))


def correlate_kept(x: Array, filters: SparseFilters, b: Array | None = None, relu: bool = False) -> Array:
    """Compute what `minprune.ops.conv.conv` says, from the kept weights alone: x (N, C, …) -> (N, O, …).

    For every sample n, filter o and place p: z[n, o, p] = b[o] + Σ_{kept (c, k)} W[o, c, k] x[n, c, s·p + d·k − r],
    or what of it is above 0. What a weight that is not kept would meet is not looked at: NaN and infinity do not pass.

    Parameters
    ----------
    x : array (N, C, …)
        Of the filters' dtype, with any strides.
    filters : SparseFilters
        Made once.
    b : array (O,), optional
    relu : bool
        Whether negative entries become 0.

    Returns
    -------
    array (N, O, …)
        With the samples side by side in memory.

    Raises
    ------
    ShapeError
        When the arrays do not belong together, or the window does not fit.

    Examples
    --------
    >>> filters = SparseFilters.of(np.array([[[1.0, 0.0, -1.0]]]))
    >>> correlate_kept(np.array([[[1.0, 2.0, 4.0, 8.0]]]), filters)
    array([[[-3., -6.]]])
    """
    O, C = filters.shape[0], filters.shape[1] * filters.groups  # noqa: E741
    if not floats(x, filters.values) or x.ndim != len(filters.shape) or x.shape[1] != C:
        raise ShapeError(f"x is {x.dtype} {x.shape}, the filters ask for {filters.values.dtype} (N, {C}, …)")
    bias = np.zeros(O, x.dtype) if b is None else np.ascontiguousarray(b, x.dtype)
    if bias.shape != (O,):
        raise ShapeError(f"b is {bias.shape}, expected a number for each of the {O} filters")
    placed = filters.on(x.shape[2:])
    z, memory = batch_last((len(x), O, *placed.out), x.dtype)
    Z = memory.reshape(O * prod(placed.out), len(x))
    vectors = -(-len(x) * x.itemsize // BYTES)
    most = max(1, vectors if vectors <= WIDE else VECTORS)
    spare = len(Z) * most * BYTES // x.itemsize if len(x) * x.itemsize % (most * BYTES) else 0
    size, padding, *_ = placed.geometry
    panel = prod(s + 2 * p for s, p in zip(size, (0, *padding), strict=True)) * most * BYTES // x.itemsize
    scratch = np.empty(panel + LINE, x.dtype), placed.room(most), np.empty(spare + LINE, x.dtype)
    sparse_correlate[x.dtype](*placed.arrays, bias, relu, placed.geometry, most, as_rows(with_rows(x)), scratch, Z)
    return z
