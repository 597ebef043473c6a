"""Sums over the entries of a channel: the gradient of a bias, of a gate, of batch-norm's scale.

    for every channel c, a block of threads:
        each thread:  part += a[n, c, p] · b[n, c, p]      for every THREADS-th entry of the channel
        halve:        the upper half of the threads' parts is added to the lower, until one is left

    where a channel has a single place, for every COLUMNS channels a block of COLUMNS × ROWS threads:
        each thread:  part += a[n, c] · b[n, c]            for every ROWS-th sample n

naive     a thread per channel: as many threads as channels, and each reads with a stride
atomics   a thread per entry adds to its channel's sum, in another order every time: no two runs agree to the last bit
tree      a block per channel, parts in shared memory, halved: the same order always
columns   of a matrix (N, C) that would read one number of each cache line; here a warp reads 32 neighbouring channels

It is bound by how fast a and b are read. Parts are summed in the numbers' own kind, many beside each other, which errs
less than one long sum.
"""

from __future__ import annotations

from typing import Any

from numba import boolean, cuda, void

from .launching import THREADS, kernel
from .memory import Device, empty

COLUMNS = min(32, THREADS // 2)  # channels of a block: a warp
ROWS = THREADS // COLUMNS


@kernel(lambda T: void(T[:, :, ::1], T[:, :, ::1], boolean, T[::1]))
def channel_sum_loop(a: Any, b: Any, weighted: bool, y: Any) -> None:
    """y[c] = Σ_np a[n, c, p] b[n, c, p], or without b."""
    parts = cuda.shared.array(THREADS, y.dtype)
    N, _, P = a.shape
    c, t = cuda.blockIdx.x, cuda.threadIdx.x
    part = y.dtype.type(0)
    for e in range(t, N * P, THREADS):
        n, p = e // P, e % P
        part += a[n, c, p] * b[n, c, p] if weighted else a[n, c, p]
    parts[t] = part
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if t < half:
            parts[t] += parts[t + half]
        cuda.syncthreads()
        half //= 2
    if t == 0:
        y[c] = parts[0]


@kernel(lambda T: void(T[:, ::1], T[:, ::1], boolean, T[::1]))
def column_sum_loop(a: Any, b: Any, weighted: bool, y: Any) -> None:
    """y[c] = Σ_n a[n, c] b[n, c], or without b."""
    parts = cuda.shared.array((ROWS, COLUMNS), y.dtype)
    row, column = cuda.threadIdx.x // COLUMNS, cuda.threadIdx.x % COLUMNS
    c = cuda.blockIdx.x * COLUMNS + column
    part = y.dtype.type(0)
    if c < len(y):
        for n in range(row, a.shape[0], ROWS):
            part += a[n, c] * b[n, c] if weighted else a[n, c]
    parts[row, column] = part
    cuda.syncthreads()
    if row == 0 and c < len(y):
        for other in range(1, ROWS):
            part += parts[other, column]
        y[c] = part


def flat(x: Device) -> Device:
    """View (N, C, …) as (N, C, P)."""
    places = 1
    for size in x.shape[2:]:
        places *= size
    return x.reshape(x.shape[0], x.shape[1], places)


def channel_sum(a: Device, b: Device = None) -> Device:
    """Sum a, or a · b, over samples and places: (N, C, …) -> (C,)."""
    y = empty(a.shape[1:2], a.dtype)
    x, factor = flat(a), flat(a if b is None else b)
    if x.shape[2] == 1:
        x, factor = (array.reshape(*array.shape[:2]) for array in (x, factor))
        column_sum_loop.launch(-(-y.size // COLUMNS), ROWS * COLUMNS, x, factor, b is not None, y)
    else:
        channel_sum_loop.rows(y.size, x, factor, b is not None, y)
    return y
