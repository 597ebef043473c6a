"""Sparse times dense on the device: x Wᵀ + b from the kept weights of W alone (CSR).

    for every neuron j and sample n, a thread:
        z[n, j] = b[j] + Σ_k values[k] x[n, columns[k]]      for k from offsets[j] to offsets[j + 1]

row by row     a block per row of W: short rows leave its threads idle
by sample      neighbouring threads are neighbouring samples of one neuron: they read the same weight at the same time
               (one fetch for all of them), and x as xᵀ would make their reads of x neighbours, too; x is (N, I) here,
               so that these go through the cache
tiled          a block takes 16 × 16 neurons and samples: neurons of a block share what they read of x in the cache

Each weight that is kept costs a multiply-add for every sample, and an index. It is bound by memory: the reads of x are
scattered. Below some 90 % zeros the dense product, which reads in order, may well be faster; measure.
"""

from __future__ import annotations

from typing import Any

from numba import cuda, int64, void

from .launching import SMALL, kernel
from .memory import Device, empty

SQUARE = 2 if SMALL else 16  # neurons, and samples, of a block


@kernel(lambda T: void(T[:, ::1], T[::1], int64[::1], int64[::1], T[::1], T[:, ::1]))
def csr_loop(x: Any, values: Any, columns: Any, offsets: Any, bias: Any, z: Any) -> None:
    """z[n, j] = bias[j] + Σ_k values[k] x[n, columns[k]]."""
    n = cuda.blockIdx.x * SQUARE + cuda.threadIdx.x % SQUARE
    j = cuda.blockIdx.y * SQUARE + cuda.threadIdx.x // SQUARE
    if n < z.shape[0] and j < z.shape[1]:
        total = bias[j] if len(bias) else z.dtype.type(0)
        for k in range(offsets[j], offsets[j + 1]):
            total += values[k] * x[n, columns[k]]
        z[n, j] = total


def csr_affine(x: Device, values: Device, columns: Device, offsets: Device, b: Device | None) -> Device:
    """Compute ``x Wᵀ + b`` from the CSR arrays of W, with indices of int64: x (N, I), b (J,) -> (N, J)."""
    z = empty((x.shape[0], offsets.size - 1), x.dtype)
    bias = empty((0,), x.dtype) if b is None else b
    grid = tuple(-(-size // SQUARE) for size in z.shape)
    csr_loop.launch(grid, SQUARE * SQUARE, x, values, columns, offsets, bias, z)
    return z
