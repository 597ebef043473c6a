"""Sparse times dense on the device: x Wᵀ + b from the kept weights of W alone (CSR).

    turn x once                                           so that what a weight needs of all samples lies in one piece
    for every neuron j and sample n, a thread:
        z[n, j] = b[j] + Σ_k values[k] xᵀ[columns[k], n]  for k from offsets[j] to offsets[j + 1]

by weight    a thread per weight adds to z: atomics, in another order every time
by row       a block per row of W, its parts summed in shared memory: short rows leave its threads idle
by sample    a warp is 32 samples of one neuron: all of it reads the same weight and column, one fetch for all, and 32
             neighbouring numbers of xᵀ; only z, which is written once, is written out of order

Every kept weight costs a multiply-add for every sample, and one index for 32. It is bound by the reads of xᵀ: a tile of
`gemm` uses each number that it fetched 64 times, this once. So few weights must be left before it is the faster one;
how few is to be measured.
"""

from __future__ import annotations

from typing import Any

from numba import cuda, int64, void

from .launching import SMALL, kernel
from .memory import Device, empty
from .moving import transpose

SAMPLES = 4 if SMALL else 32  # of a block: a warp
NEURONS = 2 if SMALL else 8  # of a block


@kernel(lambda T: void(T[:, ::1], T[::1], int64[::1], int64[::1], T[::1], T[:, ::1]))
def csr_loop(x: Any, values: Any, columns: Any, offsets: Any, bias: Any, z: Any) -> None:
    """z[n, j] = bias[j] + Σ_k values[k] x[columns[k], n]."""
    n = cuda.blockIdx.x * SAMPLES + cuda.threadIdx.x % SAMPLES
    j = cuda.blockIdx.y * NEURONS + cuda.threadIdx.x // SAMPLES
    if n < z.shape[0] and j < z.shape[1]:
        total = bias[j] if len(bias) else z.dtype.type(0)
        for k in range(offsets[j], offsets[j + 1]):
            total += values[k] * x[columns[k], n]
        z[n, j] = total


def csr_affine(x: Device, values: Device, columns: Device, offsets: Device, b: Device | None) -> Device:
    """Compute ``x Wᵀ + b`` from the CSR arrays of W, with indices of int64: x (N, I), b (J,) -> (N, J)."""
    z = empty((x.shape[0], offsets.size - 1), x.dtype)
    bias = empty((0,), x.dtype) if b is None else b
    grid = (-(-z.shape[0] // SAMPLES), -(-z.shape[1] // NEURONS))
    csr_loop.launch(grid, SAMPLES * NEURONS, transpose(x, (1, 0)), values, columns, offsets, bias, z)
    return z
