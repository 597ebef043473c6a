"""Layers on strips: X (S, I, L) -> Y (S, J, L), where a strip holds a feature of L samples side by side.

    for every strip:
        for every part of the columns, which stays in the L1 cache:
            for the neurons, a few at a time:
                Y[strip, those] += their weights in the part · the strip's rows                  `walk.walk`

naive      samples below each other: a sparse neuron gathers single numbers from each row, one multiply-add for each
strips     a weight meets L samples at once, whatever column it stands in: nothing is gathered, dense and sparse
           differ only in the list of columns
parts      of `PART` columns: 128 rows of 64 samples are 32 kB. The weights are sorted by part when they are stored
blocks     R neurons that keep the same columns share each row of X, in registers: R times fewer loads

L is 4 vectors: 64 samples in float32 with AVX-512. The last strip of a batch may hold
anything behind the last sample; the dense layer skips its empty half.

Dense and blocks are bound by the multiply-adds, CSR by the loads of X: at best 4 multiply-adds in 3 cycles, two thirds
of dense. So CSR pays from about a third of zeros on, and blocks at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numba import types
from numba.extending import register_jitable

from ..ops import Array
from .keeping import compiled, read, written
from .storing import COLUMN, stored
from .vectors import BYTES, TILE, turn
from .walk import VECTORS, walk

ROWS, HALF = 6, VECTORS // 2  # neurons of a dense layer, and vectors of half a strip, at a time
WHOLE = VECTORS if TILE.bits != 256 else HALF  # 6 × 4 sums need 32 registers
PART = 128  # columns of a sparse layer
DEPTH = 256  # inputs of a dense one
PADDED = 16  # rows of the largest block


def lanes(dtype: Any) -> int:
    """How many samples a strip has."""
    return VECTORS * BYTES // np.dtype(dtype).itemsize


def padded(features: int) -> int:
    """How many features a strip has room for: whole blocks of the sparse layers, whole tiles of the dense ones."""
    return max(-(-features // PADDED) * PADDED, -(-features // ROWS) * ROWS)


@compiled(
    lambda t: types.void(
        read(t, 1, "C"),
        types.intp,
        types.intp,
        read(t, 1, "C"),
        types.boolean,
        types.intp,
        written(t, 3),
        written(t, 3),
    )
)
def dense_strips(W, tiles, I, bias, relu, samples, X, Y):  # noqa: E741
    """Y[s] = W X[s] + bias for the strips that hold so many samples; W as `tiled`, bias padded."""
    L = X.shape[2]
    flat, out = X.reshape(-1), Y.reshape(-1)
    half = L // 2
    for s in range((samples + L - 1) // L):
        wide = min(samples - s * L, L)
        for k0 in range(0, max(I, 1), DEPTH):
            count = min(DEPTH, I - k0)
            last = k0 + count >= I
            at = 0
            while at < wide:
                for tile in range(tiles):
                    w, x = (k0 * tiles + tile * count) * ROWS, (s * X.shape[1] + k0) * L + at
                    y = (s * Y.shape[1] + tile * ROWS) * L + at
                    # fmt: off
                    if at + half < wide and WHOLE == VECTORS:
                        walk(ROWS, WHOLE, W, w, 1, ROWS, None, 0, count, flat, x, bias, tile * ROWS, out, y,
                             k0 == 0, relu and last)
                    else:
                        walk(ROWS, HALF, W, w, 1, ROWS, None, 0, count, flat, x, bias, tile * ROWS, out, y,
                             k0 == 0, relu and last)
                    # fmt: on
                at += L if at + half < wide and WHOLE == VECTORS else half


def tiled(W: Array) -> Array:
    """A matrix (J, I) as `dense_strips` reads it: by parts of the columns, by tiles of six rows, by columns; flat.

    Examples
    --------
    >>> tiled(np.array([[1.0, 2.0], [3.0, 4.0]]))[:9]
    array([1., 3., 0., 0., 0., 0., 2., 4., 0.])
    """
    J, I = W.shape  # noqa: E741
    tiles = -(-J // ROWS)
    rows = np.zeros((tiles * ROWS, I), W.dtype)
    rows[:J] = W
    stored = aligned((tiles * I * ROWS,), W.dtype)
    for k0 in range(0, I, DEPTH):
        part = rows[:, k0 : k0 + DEPTH]
        part = part.reshape(tiles, ROWS, part.shape[1]).swapaxes(1, 2)
        stored[k0 * tiles * ROWS :][: part.size] = part.reshape(-1)
    return stored


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array of zeros that starts at a multiple of 64 bytes: each of its vectors lies in one cache line."""
    dtype = np.dtype(dtype)
    size = prod(shape)
    memory = np.zeros(size + 64 // dtype.itemsize, dtype)
    start = -memory.ctypes.data % 64 // dtype.itemsize
    return memory[start : start + size].reshape(shape)


def strip_buffer(count: int, features: int, dtype: Any) -> Array:
    """Room for so many samples."""
    L = lanes(dtype)
    return aligned((-(-count // L), padded(features), L), dtype)


def aligned_copy(array: Array) -> Array:
    """The same numbers, contiguous, from a multiple of 64 bytes on."""
    copy = aligned(array.shape, array.dtype)
    copy[...] = array
    return copy


@register_jitable
def block_row(R, values, v, columns, p, count, flat, x, bias, i, out, y, first, relu, half):
    """One row of blocks. Each call is compiled for the constants in it; more rows leave registers for fewer vectors."""
    if R == 1:
        walk(1, 4, values, v, 1, 1, columns, p, count, flat, x, bias, i, out, y, first, relu)
    elif R == 4:
        walk(4, 4, values, v, 1, 4, columns, p, count, flat, x, bias, i, out, y, first, relu)
    else:
        for at in range(0, 2 * half, half):
            walk(8, 2, values, v, 1, 16, columns, p, count, flat, x + at, bias, i, out, y + at, first, relu)
            z = y + 8 * 2 * half + at
            walk(8, 2, values, v + 8, 1, 16, columns, p, count, flat, x + at, bias, i + 8, out, z, first, relu)


@compiled(
    lambda t: types.void(
        types.intp,
        read(t, 1, "C"),
        read(COLUMN, 1, "C"),
        read(types.intp, 2, "C"),
        read(t, 1, "C"),
        types.boolean,
        types.intp,
        written(t, 3),
        written(t, 3),
    )
)
def sparse_strips(R, values, columns, offsets, bias, relu, samples, X, Y):
    """Y[s] = W X[s] + bias for the strips that hold so many samples, W in R×1 blocks, part by part: see `Parts`."""
    L = X.shape[2]
    flat, out = X.reshape(-1), Y.reshape(-1)
    parts, rows = offsets.shape[0], offsets.shape[1] - 1
    for s in range((samples + L - 1) // L):
        for part in range(parts):
            x = s * X.shape[1] * L + part * PART * L
            first, clip = part == 0, relu and part == parts - 1
            for r in range(rows):
                p = offsets[part, r]
                count = offsets[part, r + 1] - p
                y = s * Y.shape[1] * L + r * R * L
                block_row(R, values, p * R, columns, p, count, flat, x, bias, r * R, out, y, first, clip, L // 2)


@dataclass(frozen=True, eq=False)
class Parts:
    """A matrix in CSR or R×1 blocks, sorted by parts of `PART` columns.

    Attributes
    ----------
    rows : {1, 4, 16}
        R, the rows of a block.
    values : array (n · R,)
        Block by block: part by part, in each row of blocks by row of blocks.
    columns : array of uint16 (n,)
        Counted from the start of the part.
    offsets : array (parts, r + 1)
        Where the rows of blocks begin, in each part.
    shape : (int, int)
        Of the whole matrix.

    Examples
    --------
    >>> W = np.array([[0.0, 5.0, 0.0], [7.0, 0.0, 8.0]])
    >>> parts = Parts.of(W, W != 0, rows=1)
    >>> parts.values, parts.columns, parts.offsets
    (array([5., 7., 8.]), array([1, 0, 2], dtype=uint16), array([[0, 1, 3]]))
    """

    rows: int
    values: Array
    columns: Array
    offsets: Array
    shape: tuple[int, int]

    @classmethod
    def of(cls, W: Array, kept: Array, rows: int) -> Parts:
        """Store the kept weights of a matrix (J, I); what else is in their blocks is stored as 0."""
        return cls(rows, *stored(W, kept, rows, PART), W.shape)


@compiled(lambda t: types.void(read(t, 2, "C"), written(t, 3)))
def to_strips(x, X):
    """X[s, i, l] = x[s L + l, i] for the samples that x has; what else is in the last strip stays as it is."""
    N, I = x.shape  # noqa: E741
    L, block = X.shape[2], BYTES // x.itemsize
    B = x.T
    for s in range((N + L - 1) // L):
        strip = X[s].reshape(-1)
        samples = min(L, N - s * L)
        l_whole, i_whole = samples // block * block, I // block * block  # what goes by whole blocks
        for at in range(0, l_whole, block):
            for i in range(0, i_whole, block):
                turn(B, i, s * L + at, strip, i * L + at, L)
        for i in range(I):
            for at in range(l_whole if i < i_whole else 0, samples):
                strip[i * L + at] = B[i, s * L + at]


@compiled(lambda t: types.void(read(t, 3, "C"), types.Array(t, 2, "A")))
def from_strips(X, x):
    """x[s L + l, j] = X[s, j, l] for the samples and features that x has."""
    N, J = x.shape
    L = X.shape[2]
    for n in range(N):
        strip, at = X[n // L], n % L
        for j in range(J):
            x[n, j] = strip[j, at]
