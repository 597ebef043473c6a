"""The matrix product C = A B + bias, for any strides: affine maps and both of their gradients are this.

    for k over parts of the sum:                the part of B that is packed at a time stays in the L2 cache
        pack B's rows k .. k+depth as panels:   contiguous, and padded with 0 to whole vectors
        for i over blocks of A's rows:          a block's part stays in the L2 cache, too
            for j over panels:
                for i over the block's tiles:   C's tile += A's rows · panel            `vectors.tile`

naive     three loops: a multiply-add waits for two loads, and one of the matrices is walked along the wrong axis
tiled     a tile of C in registers: what is loaded is used several times
packed    every number of a panel is used by all rows of A, so that copying it costs 1/rows of the work, and the
          micro-kernel finds it contiguous however B lies in memory; A is read where it lies
blocked   over A's rows, since otherwise all of A passes through the caches once for every panel

For A (M, K) and B (K, N) it does 2MNK operations on MK + KN + MN numbers: with hundreds of rows it is bound by the
multiply-adds. With few rows the packing is most of the time, and a product that packs nothing is faster; with a single
one it is bound by how fast B is read, and so is NumPy's.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import register_jitable

from ..ops import Array
from .keeping import compiled, read, written
from .vectors import BYTES, ROWS, VECTORS, copy, tile, turn

# How much is worked on at a time. In float32 and with AVX-512 a panel of full depth has 98 kB.
DEPTH = 512  # rows of B
WIDTH = 1536  # columns of B, where A has several blocks; a single block needs one panel at a time, which stays cached
HEIGHT = 16 * ROWS  # rows of A


@register_jitable
def pack(B, k0, depth, j0, columns, width, panel):
    """Copy B[k0:k0+depth, j0:j0+columns] into the panel, row by row, each padded with 0 to `width`."""
    lanes, down, along = BYTES // B.itemsize, B.strides[0], B.strides[1]
    k_whole = j_whole = 0  # what goes by whole vectors or blocks
    if along == B.itemsize:
        k_whole, j_whole = depth, columns // lanes * lanes
        for k in range(depth):
            for j in range(0, j_whole, lanes):
                copy(B, k0 + k, j0 + j, panel, k * width + j)
    elif down == B.itemsize:
        k_whole, j_whole = depth // lanes * lanes, columns // lanes * lanes
        for j in range(0, j_whole, lanes):
            for k in range(0, k_whole, lanes):
                turn(B, k0 + k, j0 + j, panel, k * width + j, width)
    for k in range(depth):
        start = j_whole if k < k_whole else 0
        for j in range(start, columns):
            panel[k * width + j] = B[k0 + k, j0 + j]
        for j in range(columns, width):
            panel[k * width + j] = 0


@register_jitable
def tiles(A, i0, stop, k0, depth, panel, vectors, bias, C, j0, columns, first, relu):
    """A block of A's rows against one panel. Each call is compiled for the constant number of vectors in it."""
    for i in range(i0, stop, ROWS):
        rows = min(ROWS, stop - i)
        if vectors == 1:
            tile(1, A, i, k0, depth, panel, bias, C, j0, rows, columns, first, relu)
        elif vectors == 2:
            tile(2, A, i, k0, depth, panel, bias, C, j0, rows, columns, first, relu)
        else:
            tile(VECTORS, A, i, k0, depth, panel, bias, C, j0, rows, columns, first, relu)


@register_jitable
def block(A, B, k0, depth, start, stop, packs, panels, bias, C, first, relu):
    """Pack B[k0:k0+depth, start:stop] as panels, and add the product with A's columns k0:k0+depth to C."""
    lanes = BYTES // C.itemsize
    width = VECTORS * lanes
    for j0 in range(start, stop if packs else start, width):
        columns = min(width, stop - j0)
        padded = (columns + lanes - 1) // lanes * lanes
        pack(B, k0, depth, j0, columns, padded, panels[(j0 - start) * depth :])
    for i0 in range(0, A.shape[0], HEIGHT):
        end = min(i0 + HEIGHT, A.shape[0])
        for j0 in range(start, stop, width):
            columns = min(width, stop - j0)
            vectors = (columns + lanes - 1) // lanes
            tiles(A, i0, end, k0, depth, panels[(j0 - start) * depth :], vectors, bias, C, j0, columns, first, relu)


SCRATCH, KEPT, READY = 0, 1, 2  # what becomes of panels: they are room for the next ones; all stay; all are there


@compiled(
    lambda t: types.void(
        read(t, 2), read(t, 2), read(t, 1, "C"), types.boolean, types.intp, written(t, 1), written(t, 2)
    )
)
def gemm(A, B, bias, relu, how, panels, C):
    """C = A B + bias, or what of it is above 0: A (M, K), B (K, N), bias (N,) or (0,) for none.

    With `how` KEPT all of B's panels stay (there is room for them in `panels_for`), A may have no rows; with READY
    they are there already, and B is asked for its shape alone.
    """
    K, N = B.shape
    parts = max(1, (K + DEPTH - 1) // DEPTH)
    depth = max(1, (K + parts - 1) // parts)  # parts of about the same size
    panels = panels[-panels.ctypes.data % 64 // panels.itemsize :]  # so that a vector lies in one cache line, not two
    lanes = BYTES // C.itemsize
    width = WIDTH if A.shape[0] > HEIGHT else VECTORS * lanes
    whole = (N + lanes - 1) // lanes * lanes  # columns, with those that fill up the last panel
    for k0 in range(0, max(K, 1), depth):
        deep, last = min(depth, K - k0), k0 + depth >= K
        for start in range(0, N, width):
            stop = min(start + width, N)
            at = 0 if how == SCRATCH else k0 * whole + start * deep
            block(A, B, k0, deep, start, stop, how != READY, panels[at:], bias, C, k0 == 0, relu and last)


def panels_for(B: Array) -> Array:
    """Room for all panels of a matrix (K, N)."""
    lanes = BYTES // B.itemsize
    return np.empty(len(B) * -(-B.shape[1] // lanes) * lanes + 64, B.dtype)


def pack_all(B: Array, panels: Array) -> None:
    """Pack a matrix (K, N) once, for many products."""
    nothing = np.empty((0, len(B)), B.dtype), np.empty((0, B.shape[1]), B.dtype)
    gemm[B.dtype](nothing[0], B, NOTHING[B.dtype], False, KEPT, panels, nothing[1])


NOTHING = {np.dtype(kind): np.empty(0, kind) for kind in (np.float32, np.float64)}  # the bias where there is none


def product(A: Array, B: Array, bias: Array | None = None, *, relu: bool = False) -> Array:
    """Compute ``A B + bias``, or what of it is above 0.

    Parameters
    ----------
    A, B : array (M, K), (K, N)
        Of float32 or of float64, with any strides.
    bias : array (N,), optional
        Added to every row.
    relu : bool
        Whether negative entries become 0.

    Returns
    -------
    array (M, N)

    Examples
    --------
    >>> product(np.eye(2), np.array([[1.0, -2.0], [3.0, 4.0]]), relu=True)
    array([[1., 0.],
           [3., 4.]])
    """
    C = np.empty((len(A), B.shape[1]), A.dtype)
    width = min(WIDTH, B.shape[1]) + VECTORS * BYTES // A.itemsize  # whole panels
    panels = np.empty(min(DEPTH, len(B)) * width + 64, A.dtype)
    start = NOTHING[A.dtype] if bias is None else np.ascontiguousarray(bias)
    gemm[A.dtype](A, B, start, relu, SCRATCH, panels, C)
    return C
