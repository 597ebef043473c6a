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

tiles      of a dense layer: 6 neurons for the 4 vectors of a strip do 24 multiply-adds with 10 loads; where half of the
           strip would be empty, 10 neurons for 2 vectors do 20 with 12. Which is faster is tried
in order   its weights lie as they are read, part by part and in these tile by tile: one stream, which the CPU fetches
           ahead of time

L is 4 vectors: 64 samples in float32 with AVX-512. The last strip of a batch may hold anything behind the last sample.

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

HALF = VECTORS // 2  # of a strip
# Neurons of a dense layer at a time, for all vectors of a strip and for half of them: each sum needs a register.
LOW, TALL = (3, 6) if TILE.bits == 256 else (6, 10)
PART = 128  # columns of a sparse layer
DEPTH = 256  # inputs of a dense one
PADDED = 16  # rows of the largest block


def lanes(dtype: Any) -> int:
    """How many samples a strip has."""
    return VECTORS * BYTES // np.dtype(dtype).itemsize


def padded(features: int) -> int:
    """How many features a strip has room for: whole blocks of a sparse layer, whole tiles of a dense one."""
    return max(-(-features // rows) * rows for rows in (PADDED, LOW, TALL))


@register_jitable
def dense_part(rows, tiles, W, w, count, flat, x, bias, out, y, down, first, relu):
    """All neurons for a part of the columns: y += W[w …] · x. Each call is compiled for the constants in it."""
    for tile in range(tiles):
        i, start, z = tile * rows, w + tile * count * rows, y + tile * down
        if rows == LOW:
            walk(LOW, VECTORS, W, start, 1, LOW, None, 0, count, flat, x, bias, i, out, z, first, relu)
        else:
            walk(TALL, HALF, W, start, 1, TALL, None, 0, count, flat, x, bias, i, out, z, first, relu)


@compiled(
    lambda t: types.void(
        types.UniTuple(types.intp, 3), read(t, 1, "C"), read(t, 1, "C"), types.boolean, types.intp, written(t, 3),
        written(t, 3),
    )
)  # fmt: skip
def dense_strips(shape, W, bias, relu, samples, X, Y):
    """Y[s] = W X[s] + bias for the strips that hold so many samples; W as `tiled`, bias padded.

    `shape` has the rows of a tile, LOW or TALL, how many tiles there are, and the columns.
    """
    (rows, tiles, I), L = shape, X.shape[2]  # noqa: E741
    flat, out = X.reshape(-1), Y.reshape(-1)
    for s in range((samples + L - 1) // L):
        for k0 in range(0, max(I, 1), DEPTH):
            count = min(DEPTH, I - k0)
            first, clip = k0 == 0, relu and k0 + count >= I
            w, x, y, down = k0 * tiles * rows, (s * X.shape[1] + k0) * L, s * Y.shape[1] * L, rows * L
            if rows == LOW:
                dense_part(LOW, tiles, W, w, count, flat, x, bias, out, y, down, first, clip)
            else:
                for at in range(0, min(samples - s * L, L), L // 2):
                    dense_part(TALL, tiles, W, w, count, flat, x + at, bias, out, y + at, down, first, clip)


def tiled(W: Array, rows: int) -> tuple[tuple[int, int, int], Array]:
    """A matrix (J, I) as `dense_strips` reads it: its `shape`, and the numbers in the order in which they are read.

    They lie by parts of the columns, in these by tiles of so many rows, and in these by columns.

    Examples
    --------
    >>> shape, stored = tiled(np.array([[1.0, 2.0], [3.0, 4.0]]), rows=3)
    >>> shape, stored
    ((3, 1, 2), array([1., 3., 0., 2., 4., 0.]))
    """
    J, I = W.shape  # noqa: E741
    tiles = -(-J // rows)
    whole = np.zeros((tiles * rows, I), W.dtype)
    whole[:J] = W
    stored = aligned((whole.size,), W.dtype)
    for k0 in range(0, I, DEPTH):
        part = whole[:, k0 : k0 + DEPTH]
        part = part.reshape(tiles, rows, part.shape[1]).swapaxes(1, 2)
        stored[k0 * tiles * rows :][: part.size] = part.reshape(-1)
    return (rows, tiles, I), stored


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
