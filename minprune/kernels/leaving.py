"""Leave-one-out: what a network makes of its samples when neurons leave one by one.

`outputs_without`, for every sample n and neuron j of a stack:

    for s < S:
        n, j = samples[s], columns[s]
        for k < K:  u[k] = max(z[n, k] − a[n, j] · W[k, j], 0)
        for m < M:  Y[s, m] = c[m] + Σ_k u[k] · V[m, k]

naive     four passes over S × K numbers, as NumPy takes them: the product, the difference, ReLU, the matrix product
fused     8 rows of u at a time: they never leave the L1 cache, where the micro-kernel finds them
sorted    the rows of one neuron lie together, so its column of W is copied once for all of them

It is bound by the multiply-adds of the matrix product. With 10 outputs a vector of 16 is filled by five eighths; two
neurons could share one, but their rows do not have the samples in common.

`sums_without` is its first half, for a layer behind which comes anything else.
"""

from __future__ import annotations

import numpy as np
from numba import types

from ..backends import accelerates
from ..neurons import Ids
from ..ops import Array
from ..scores.leaving import outputs_without, sums_without
from .dense import AVX2, AVX512, matrices
from .gemm import NOTHING, pack, tiles
from .keeping import compiled, read, written
from .vectors import BYTES, ROWS, VECTORS

IDS = types.intp


@compiled(
    lambda t: types.void(
        read(t, 2, "C"), read(t, 2), read(t, 2), read(IDS, 1), read(IDS, 1), written(t, 1), written(t, 2)
    )
)
def subtract(z, a, W, samples, columns, w, sums):
    """sums[s] = z[n] − a[n, j] W[:, j], with n and j those of row s; w (K,) is room for a column."""
    last = -1
    for s in range(len(samples)):
        n, j = samples[s], columns[s]
        if j != last:
            for k in range(len(w)):
                w[k] = W[k, j]
            last = j
        active = a[n, j]
        for k in range(len(w)):
            sums[s, k] = z[n, k] - active * w[k]


@compiled(
    lambda t: types.void(
        read(t, 2, "C"),
        read(t, 2),
        read(t, 2),
        read(IDS, 1),
        read(IDS, 1),
        read(t, 2),
        read(t, 1, "C"),
        written(t, 1),
        written(t, 1),
        written(t, 2),
        written(t, 2),
    )
)
def hand_on(z, a, W, samples, columns, V, c, w, panels, u, Y):
    """Y[s] = c + max(z[n] − a[n, j] W[:, j], 0) Vᵀ; u (ROWS, K) and panels (V's columns, whole vectors) are room."""
    K, M = len(w), len(V)
    lanes = BYTES // Y.itemsize
    width = VECTORS * lanes
    for m0 in range(0, M, width):
        padded = (min(width, M - m0) + lanes - 1) // lanes * lanes
        pack(V.T, 0, K, m0, min(width, M - m0), padded, panels[m0 * K :])
    last = -1
    for start in range(0, len(samples), ROWS):
        rows = min(ROWS, len(samples) - start)
        for i in range(rows):
            n, j = samples[start + i], columns[start + i]
            if j != last:
                for k in range(K):
                    w[k] = W[k, j]
                last = j
            active = a[n, j]
            for k in range(K):
                value = z[n, k] - active * w[k]
                u[i, k] = 0 if value <= 0 else value  # NaN is handed on
        for m0 in range(0, M, width):
            columns_here = min(width, M - m0)
            vectors = (columns_here + lanes - 1) // lanes
            tiles(u, 0, rows, 0, K, panels[m0 * K :], vectors, c, Y[start:], m0, columns_here, True, False)


def takes_sums(z: Array, a: Array, W: Array, samples: Ids, columns: Ids) -> bool:
    """float32 or float64, AVX-512 or AVX2"""
    return (AVX512 or AVX2) and matrices(z, a) and matrices(z, W)


@accelerates(sums_without, "numba", takes=takes_sums)
def sums_kernel(z: Array, a: Array, W: Array, samples: Ids, columns: Ids) -> Array:
    """z[n] − a[n, j] W[:, j] for every row."""
    sums = np.empty((len(samples), z.shape[1]), z.dtype)
    subtract[z.dtype](np.ascontiguousarray(z), a, W, samples, columns, np.empty(len(W), z.dtype), sums)
    return sums


def takes_outputs(z: Array, a: Array, W: Array, samples: Ids, columns: Ids, V: Array, c: Array | None) -> bool:
    """float32 or float64, AVX-512 or AVX2"""
    return takes_sums(z, a, W, samples, columns) and matrices(z, V) and (c is None or c.dtype == z.dtype)


@accelerates(outputs_without, "numba", takes=takes_outputs)
def outputs_kernel(z: Array, a: Array, W: Array, samples: Ids, columns: Ids, V: Array, c: Array | None) -> Array:
    """max(z[n] − a[n, j] W[:, j], 0) Vᵀ + c for every row."""
    K, M, kind = len(W), len(V), z.dtype
    Y = np.empty((len(samples), M), kind)
    panels = np.empty((M + VECTORS * BYTES // kind.itemsize) * K, kind)
    start = NOTHING[kind] if c is None else np.ascontiguousarray(c)
    room = np.empty(K, kind), panels, np.empty((ROWS, K), kind)
    hand_on[kind](np.ascontiguousarray(z), a, W, samples, columns, V, start, *room, Y)
    return Y
