"""Pooling on the device: the largest entry or the mean of each window, and where their gradients go.

    for every place p of the output, a thread: walk over the window, keep the largest or add up
    for every place q of the input, a thread:  walk over the windows that q lies in, and add what each sends to q

scattered   a thread per window adds to the place of its maximum: where windows overlap two threads meet at one place,
            and atomics make the order of summing a matter of chance
gathered    a thread per place of the input asks every window whether it is meant. A maximum goes to the first entry
            that equals it, so the window is walked up to q; it has few entries, and those are in the cache

It is bound by memory: each number is read once from it and then from the caches, for a comparison or an addition.
"""

from __future__ import annotations

import math
from typing import Any

from numba import boolean, cuda, int64, types, void

from ...ops.windows import Sizes, output_size
from .conv import image
from .launching import inner, kernel
from .memory import Device, empty

WINDOW = types.UniTuple(int64, 6)  # kernel, stride and padding, of both axes each


@kernel(lambda T: void(T[:, :, :, ::1], WINDOW, boolean, T[:, :, :, ::1]))
def pool_loop(x: Any, window: Any, largest: bool, y: Any) -> None:
    """y[n, c, p] = max_k or mean_k of x[n, c, s p + k − r]; padding is −∞ to the one and 0 to the other."""
    k1, k2, s1, s2, r1, r2 = window
    C, height, width = y.shape[1], y.shape[2], y.shape[3]
    share = y.dtype.type(k1 * k2)
    for e in range(cuda.grid(1), y.shape[0] * C * height * width, cuda.gridsize(1)):
        p2, p1, c, n = e % width, e // width % height, e // (width * height) % C, e // (width * height * C)
        total, best, met = y.dtype.type(0), y.dtype.type(0), False
        for i in range(max(0, p1 * s1 - r1), min(x.shape[2], p1 * s1 - r1 + k1)):
            for j in range(max(0, p2 * s2 - r2), min(x.shape[3], p2 * s2 - r2 + k2)):
                value = x[n, c, i, j]
                total += value
                if not met or value > best or value != value:  # NaN is handed on
                    best, met = value, True
        if not largest:
            y[n, c, p1, p2] = total / share
        else:
            y[n, c, p1, p2] = best if met else y.dtype.type(-math.inf)


@inner
def is_first(x: Any, n: int, c: int, i: int, j: int, i0: int, j0: int, k2: int, best: Any) -> bool:
    """Whether x[n, c, i, j] equals the maximum of the window from (i0, j0), and no entry before it does."""
    if x[n, c, i, j] != best:
        return False
    for e in range((i - i0) * k2 + j - j0):
        a, b = i0 + e // k2, j0 + e % k2
        inside = 0 <= a < x.shape[2] and 0 <= b < x.shape[3]
        if (x[n, c, a, b] if inside else x.dtype.type(-math.inf)) == best:
            return False
    return True


@kernel(lambda T: void(T[:, :, :, ::1], T[:, :, :, ::1], T[:, :, :, ::1], WINDOW, boolean, T[:, :, :, ::1]))
def pool_grad_loop(g: Any, x: Any, best: Any, window: Any, largest: bool, bar: Any) -> None:
    """bar[n, c, q] = Σ_p g[n, c, p] for the windows p that q is the first maximum of; or Σ_p g[n, c, p] / K for all."""
    k1, k2, s1, s2, r1, r2 = window
    C, height, width = bar.shape[1], bar.shape[2], bar.shape[3]
    share = bar.dtype.type(k1 * k2)
    for e in range(cuda.grid(1), bar.shape[0] * C * height * width, cuda.gridsize(1)):
        j, i, c, n = e % width, e // width % height, e // (width * height) % C, e // (width * height * C)
        total = bar.dtype.type(0)
        for p1 in range(max(0, (i + r1 - k1) // s1 + 1), min(g.shape[2], (i + r1) // s1 + 1)):
            for p2 in range(max(0, (j + r2 - k2) // s2 + 1), min(g.shape[3], (j + r2) // s2 + 1)):
                if not largest:
                    total += g[n, c, p1, p2] / share
                elif is_first(x, n, c, i, j, p1 * s1 - r1, p2 * s2 - r2, k2, best[n, c, p1, p2]):
                    total += g[n, c, p1, p2]
        bar[n, c, i, j] = total


def _window(kernel: Sizes, stride: Sizes, padding: Sizes) -> Sizes:
    one = len(kernel) == 1
    return (*((1,) * one), *kernel, *((1,) * one), *stride, *((0,) * one), *padding)


def _pool(x: Device, kernel: Sizes, stride: Sizes, padding: Sizes, largest: bool) -> Device:
    out = output_size(x.shape[2:], kernel, stride, padding, (1,) * len(kernel))
    y = empty((*x.shape[:2], *out), x.dtype)
    pool_loop.over(y.size, image(x), _window(kernel, stride, padding), largest, image(y))
    return y


def max_pool(x: Device, kernel: Sizes, stride: Sizes, padding: Sizes) -> Device:
    """Take the largest entry of each window: x (N, C, …) -> (N, C, …)."""
    return _pool(x, kernel, stride, padding, largest=True)


def avg_pool(x: Device, kernel: Sizes, stride: Sizes, padding: Sizes) -> Device:
    """Average each window: x (N, C, …) -> (N, C, …)."""
    return _pool(x, kernel, stride, padding, largest=False)


def max_pool_grad(g: Device, x: Device, best: Device, kernel: Sizes, stride: Sizes, padding: Sizes) -> Device:
    """Send each g to the first entry of its window that equals the window's maximum."""
    bar, window = empty(x.shape, g.dtype), _window(kernel, stride, padding)
    pool_grad_loop.over(bar.size, image(g), image(x), image(best), window, True, image(bar))
    return bar


def avg_pool_grad(g: Device, shape: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes) -> Device:
    """Share each g equally among the entries of its window."""
    bar, window = empty(shape, g.dtype), _window(kernel, stride, padding)
    pool_grad_loop.over(bar.size, image(g), image(g), image(g), window, False, image(bar))
    return bar
