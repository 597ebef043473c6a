"""Dense layers: the affine map and its two gradients, as matrix products in Numba, and when NumPy's are left to it.

NumPy calls OpenBLAS, which is written in assembly and has a version for every CPU; for small products it has some that
copy nothing. What is faster here was measured on one core with AVX-512, of a machine that was busy with other work: the
ratios of the shortest blocks in `bench/dense.py`.

    forward      faster for batches of 32 and more (mostly 1.2 to 1.7 times): the bias needs no second pass
    by x         about the same, up to 1.3 times as fast for large products, slower for small ones
    by W         faster for small batches (1.2 times for 32; 3 times and more for one sample), not for large ones

AVX2 was measured on the same core, with Numba and OpenBLAS both restricted to it (NUMBA_CPU_NAME, OPENBLAS_CORETYPE;
the benchmark removes the latter): forward 1.0 to 1.6 times from 128 samples on, gradients no faster.

One sample forward or by x is bound by how fast W is read. Plain loops over four rows at a time were as fast as
OpenBLAS there, and the call of a kernel costs half a microsecond more: NumPy keeps it.

So each kernel states what it takes, and `minprune.backends.table` shows it: everything else runs the NumPy reference.
On other CPUs, ARM among them, nothing has been measured yet, and NumPy does all of it.
"""

from __future__ import annotations

import numpy as np

from ..backends import accelerates
from ..ops import Array
from ..ops.affine import affine, affine_grad_W, affine_grad_x
from .gemm import NOTHING, product
from .vectors import TILE

AVX512, AVX2 = TILE.bits == 512, TILE.bits == 256
SMALL = 1_000_000  # multiply-adds: up to here OpenBLAS packs nothing on CPUs with AVX-512


def matrices(first: Array, second: Array) -> bool:
    """Whether both are plain arrays of two axes, and both of float32 or both of float64."""
    return (
        type(first) is type(second) is np.ndarray
        and first.ndim == second.ndim == 2
        and first.dtype in NOTHING
        and first.dtype == second.dtype
    )


def takes_affine(x: Array, W: Array, b: Array | None) -> bool:
    """float32 or float64, 200,000 multiply-adds, rows: 16 with AVX-512, 128 with AVX2"""
    if not (matrices(x, W) and x.shape[1] == W.shape[1] and (AVX512 or AVX2)):
        return False
    if b is not None and not (type(b) is np.ndarray and b.dtype == x.dtype and b.shape == W.shape[:1]):
        return False
    return len(x) >= (16 if AVX512 else 128) and x.size * len(W) >= 200_000


@accelerates(affine, "numba", takes=takes_affine)
def affine_kernel(x: Array, W: Array, b: Array | None) -> Array:
    """For every sample n and neuron j: z[n, j] = b[j] + Σ_i x[n, i] W[j, i]."""
    return product(x, W.T, b)


def takes_grad_x(g: Array, W: Array) -> bool:
    """float32 or float64, AVX-512, 8 rows, 1,000,000 multiply-adds"""
    return AVX512 and matrices(g, W) and g.shape[1] == len(W) and len(g) >= 8 and len(g) * W.size > SMALL


@accelerates(affine_grad_x, "numba", takes=takes_grad_x)
def affine_grad_x_kernel(g: Array, W: Array) -> Array:
    """For every sample n and input i: x̄[n, i] = Σ_j g[n, j] W[j, i]."""
    return product(g, W)


def takes_grad_W(g: Array, x: Array) -> bool:
    """float32 or float64, AVX-512, 8 neurons, up to 64 rows, 1,000,000 multiply-adds, or 10,000 of a single row"""
    if not (AVX512 and matrices(g, x) and len(g) == len(x) and g.shape[1] >= 8):
        return False
    return len(x) <= 64 and g.shape[1] * x.size > (10_000 if len(x) == 1 else SMALL)


@accelerates(affine_grad_W, "numba", takes=takes_grad_W)
def affine_grad_W_kernel(g: Array, x: Array) -> Array:
    """For every neuron j and input i: W̄[j, i] = Σ_n g[n, j] x[n, i]."""
    return product(g.T, x)
