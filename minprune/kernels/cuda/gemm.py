"""The matrix product C = A B + bias on the device: affine maps and both of their gradients are this.

    for every tile of C, a block of threads:
        for k over the sum, DEPTH at a time:
            left  = A[tile's rows, k …]       fetched so that neighbouring threads read neighbouring numbers,
            right = B[k …, tile's columns]    whichever way round the matrix lies in memory
            total += left · right             `tiles.multiply`
        C's tile = total + bias

naive        a thread per entry of C, both factors from global memory
tiled        through shared memory, with 4 × 4 entries in each thread's registers: see `tiles`
turned       A or B may be handed over transposed, as x Wᵀ and gᵀ x need it: only the fetch differs, nothing is copied
with bias    added as the tile is written, which saves a pass over C

For A (M, K) and B (K, N) it does 2MNK operations; each number is fetched once per tile of the other factor, so
MNK/32 numbers in all. With large sizes it is bound by the multiply-adds and by shared memory. With a few samples there
are few tiles, so most of the device is idle: that would need the sum split over blocks, which this does not do.
"""

from __future__ import annotations

from typing import Any

from numba import boolean, cuda, void

from ...errors import ShapeError
from .launching import kernel
from .memory import Device, empty
from .tiles import DEPTH, EACH, PITCH, SIDE, TILE, WORKERS, clear, multiply, tiles


@kernel(lambda T: void(T[:, ::1], T[:, ::1], T[::1], boolean, boolean, T[:, ::1]))
def product_loop(A: Any, B: Any, bias: Any, turned_A: bool, turned_B: bool, C: Any) -> None:
    """C[m, n] = bias[n] + Σ_k A[m, k] B[k, n], a tile for a block; `turned` ones lie as (K, M) and (N, K)."""
    left = cuda.shared.array((DEPTH, PITCH), C.dtype)
    right = cuda.shared.array((DEPTH, PITCH), C.dtype)
    total = cuda.local.array((EACH, EACH), C.dtype)
    zero = C.dtype.type(0)
    M, N = C.shape
    K = A.shape[0] if turned_A else A.shape[1]
    m0, n0 = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE
    t = cuda.threadIdx.x
    row, column = t // SIDE, t % SIDE
    clear(total, zero)
    for k0 in range(0, K, DEPTH):
        for e in range(t, DEPTH * TILE, WORKERS):
            k, m = (e // TILE, e % TILE) if turned_A else (e % DEPTH, e // DEPTH)
            inside = k0 + k < K and m0 + m < M
            if turned_A:
                left[k, m] = A[k0 + k, m0 + m] if inside else zero
            else:
                left[k, m] = A[m0 + m, k0 + k] if inside else zero
            k, n = (e % DEPTH, e // DEPTH) if turned_B else (e // TILE, e % TILE)
            inside = k0 + k < K and n0 + n < N
            if turned_B:
                right[k, n] = B[n0 + n, k0 + k] if inside else zero
            else:
                right[k, n] = B[k0 + k, n0 + n] if inside else zero
        cuda.syncthreads()
        multiply(left, right, row, column, total)
        cuda.syncthreads()
    for i in range(EACH):
        for j in range(EACH):
            m, n = m0 + row + i * SIDE, n0 + column + j * SIDE
            if m < M and n < N:
                C[m, n] = total[i, j] + bias[n] if len(bias) else total[i, j]


def product(A: Device, B: Device, bias: Device = None, *, turned_A: bool = False, turned_B: bool = False) -> Device:
    """Compute ``A B + bias``, with A and B as they are or transposed.

    Parameters
    ----------
    A, B : device array (M, K), (K, N)
        Where they are `turned`, they lie as (K, M) and (N, K).
    bias : device array (N,), optional
        Added to every row.

    Returns
    -------
    device array (M, N)

    Raises
    ------
    ShapeError
        When the inner sizes differ.
    """
    M, K = A.shape[::-1] if turned_A else A.shape
    depth, N = B.shape[::-1] if turned_B else B.shape
    if depth != K:
        raise ShapeError(f"product: A has {K} columns and B {depth} rows; they must be as many")
    C = empty((M, N), A.dtype)
    start = empty((0,), A.dtype) if bias is None else bias
    product_loop.launch((tiles(M), tiles(N)), WORKERS, A, B, start, turned_A, turned_B, C)
    return C


def affine(x: Device, W: Device, b: Device | None) -> Device:
    """Z = x Wᵀ + b: x (N, I), W (J, I), b (J,) -> (N, J)."""
    return product(x, W, b, turned_B=True)


def affine_grad_x(g: Device, W: Device) -> Device:
    """x̄ = g W: g (N, J), W (J, I) -> (N, I)."""
    return product(g, W)


def affine_grad_W(g: Device, x: Device) -> Device:
    """W̄ = gᵀ x: g (N, J), x (N, I) -> (J, I)."""
    return product(g, x, turned_A=True)
