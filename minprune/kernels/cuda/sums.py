"""Sums over the entries of a channel: the gradient of a bias, of a gate, of batch-norm's scale.

    for every channel c, a block of threads:
        each thread:  part += a[n, c, p] · b[n, c, p]      for every THREADS-th entry of the channel
        halve:        the upper half of the threads' parts is added to the lower, until one is left

naive     a thread per channel: as many threads as channels, and each reads with a stride
atomics   a thread per entry adds to its channel's sum, in another order every time: no two runs agree to the last bit
tree      a block per channel, parts in shared memory, halved: the same order always

It is bound by how fast a and b are read. Parts are summed in the numbers' own kind, THREADS at a time, which errs less
than one long sum.
"""

from __future__ import annotations

from typing import Any

from numba import boolean, cuda, void

from .launching import THREADS, kernel
from .memory import Device, empty


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


def flat(x: Device) -> Device:
    """View (N, C, …) as (N, C, P)."""
    places = 1
    for size in x.shape[2:]:
        places *= size
    return x.reshape(x.shape[0], x.shape[1], places)


def channel_sum(a: Device, b: Device = None) -> Device:
    """Sum a, or a · b, over samples and places: (N, C, …) -> (C,)."""
    y = empty(a.shape[1:2], a.dtype)
    channel_sum_loop.rows(a.shape[1], flat(a), flat(a if b is None else b), b is not None, y)
    return y
