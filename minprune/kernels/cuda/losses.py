"""Softmax and losses on the device: one thread for each row of answers.

    for every sample n, a thread:
        top  = max_k y[n, k]
        sum  = Σ_k e^(y[n, k] − top)
        ℓ[n] = top + log sum − y[n, t[n]]

naive         a kernel for the maximum, one for the powers, one for their sum: K numbers written and read each time
fused         one thread walks its row two or three times; the row stays in the cache
a warp a row  would read a long row in parallel; answers have ten entries or a thousand, and this is no bottleneck

It is bound by memory, and for a few samples by the launch. Squared errors are the same walk with one pass.
"""

from __future__ import annotations

import math
from typing import Any

from numba import boolean, cuda, int64, void

from ...errors import DataError
from .launching import inner, kernel
from .memory import Device, empty, like
from .sums import flat


@inner
def log_sum(y: Any, n: int, p: int, zero: Any) -> Any:
    """Compute log Σ_k e^y[n, k, p]; the largest is taken out first."""
    top = y[n, 0, p]
    for k in range(1, y.shape[1]):
        top = max(top, y[n, k, p])
    total = zero
    for k in range(y.shape[1]):
        total += math.exp(y[n, k, p] - top)
    return top + math.log(total)


@kernel(lambda T: void(T[:, :, ::1], T[:, :, ::1]))
def softmax_loop(x: Any, y: Any) -> None:
    """y[n, k, p] = e^x[n, k, p] / Σ_l e^x[n, l, p]."""
    zero, P = y.dtype.type(0), y.shape[2]
    for e in range(cuda.grid(1), y.shape[0] * P, cuda.gridsize(1)):
        n, p = e // P, e % P
        norm = log_sum(x, n, p, zero)
        for k in range(y.shape[1]):
            y[n, k, p] = math.exp(x[n, k, p] - norm)


@kernel(lambda T: void(T[:, :, ::1], T[:, :, ::1], T[:, :, ::1]))
def softmax_grad_loop(g: Any, y: Any, bar: Any) -> None:
    """bar[n, k, p] = y[n, k, p] (g[n, k, p] − Σ_l g[n, l, p] y[n, l, p])."""
    P = y.shape[2]
    for e in range(cuda.grid(1), y.shape[0] * P, cuda.gridsize(1)):
        n, p = e // P, e % P
        dot = bar.dtype.type(0)
        for k in range(y.shape[1]):
            dot += g[n, k, p] * y[n, k, p]
        for k in range(y.shape[1]):
            bar[n, k, p] = y[n, k, p] * (g[n, k, p] - dot)


@kernel(lambda T: void(T[:, :, ::1], T[:, ::1], int64[::1], T[::1]))
def cross_entropy_loop(y: Any, rows: Any, labels: Any, losses: Any) -> None:
    """ℓ[n] = log Σ_k e^y[n, k] − y[n, t[n]]; of targets in rows Σ_k t[n, k] (log Σ_l e^y[n, l] − y[n, k])."""
    zero = losses.dtype.type(0)
    for n in range(cuda.grid(1), len(losses), cuda.gridsize(1)):
        norm = log_sum(y, n, 0, zero)
        if len(labels):
            losses[n] = norm - y[n, labels[n], 0]
        else:
            shares = dot = zero
            for k in range(y.shape[1]):
                shares += rows[n, k]
                dot += rows[n, k] * y[n, k, 0]
            losses[n] = norm * shares - dot


@kernel(lambda T: void(T[::1], T[:, :, ::1], T[:, ::1], int64[::1], T[:, ::1]))
def cross_entropy_grad_loop(g: Any, y: Any, rows: Any, labels: Any, bar: Any) -> None:
    """bar[n, k] = g[n] (softmax(y[n])[k] Σ_l t[n, l] − t[n, k])."""
    zero, one = bar.dtype.type(0), bar.dtype.type(1)
    for n in range(cuda.grid(1), len(g), cuda.gridsize(1)):
        norm, shares = log_sum(y, n, 0, zero), one
        if len(labels) == 0:
            shares = zero
            for k in range(y.shape[1]):
                shares += rows[n, k]
        for k in range(y.shape[1]):
            target = (one if k == labels[n] else zero) if len(labels) else rows[n, k]
            bar[n, k] = g[n] * (math.exp(y[n, k, 0] - norm) * shares - target)


@kernel(lambda T: void(T[:, ::1], T[:, ::1], boolean, T[::1]))
def squared_error_loop(y: Any, t: Any, mean: bool, losses: Any) -> None:
    """ℓ[n] = Σ_k (y[n, k] − t[n, k])² / 2, or / K."""
    share = losses.dtype.type(y.shape[1] if mean else 2)
    for n in range(cuda.grid(1), len(losses), cuda.gridsize(1)):
        total = losses.dtype.type(0)
        for k in range(y.shape[1]):
            d = y[n, k] - t[n, k]
            total += d * d
        losses[n] = total / share


@kernel(lambda T: void(T[::1], T[:, ::1], T[:, ::1], boolean, T[:, ::1]))
def squared_error_grad_loop(g: Any, y: Any, t: Any, mean: bool, bar: Any) -> None:
    """bar[n, k] = g[n] (y[n, k] − t[n, k]), or that times 2 / K."""
    K = bar.shape[1]
    factor = bar.dtype.type(2) / bar.dtype.type(K) if mean else bar.dtype.type(1)
    for e in range(cuda.grid(1), bar.shape[0] * K, cuda.gridsize(1)):
        n, k = e // K, e % K
        bar[n, k] = factor * g[n] * (y[n, k] - t[n, k])


def _targets(t: Device, dtype: Any) -> tuple[Device, Device]:
    """Rows and labels, of which one is empty."""
    if len(t.shape) == 1:
        if t.dtype.kind not in "iu" or t.dtype.itemsize != 8:
            raise DataError(f"cross_entropy: t holds {t.dtype} on the device, expected labels of int64, or rows")
        return empty((0, 0), dtype), t
    return t, empty((0,), "int64")


def cross_entropy(y: Device, t: Device) -> Device:
    """The losses (N,) from logits y (N, K) and labels (N,) of int64 or rows (N, K)."""
    losses = empty((y.shape[0],), y.dtype)
    cross_entropy_loop.over(y.shape[0], y.reshape(*y.shape, 1), *_targets(t, y.dtype), losses)
    return losses


def cross_entropy_grad(g: Device, y: Device, t: Device) -> Device:
    """From the gradient by the losses (N,) to that by the logits (N, K)."""
    bar = like(y)
    cross_entropy_grad_loop.over(y.shape[0], g, y.reshape(*y.shape, 1), *_targets(t, y.dtype), bar)
    return bar


def squared_error(y: Device, t: Device, *, mean: bool) -> Device:
    """Half the sum of the squared differences of each sample, or their mean: (N, K), (N, K) -> (N,)."""
    losses = empty((y.shape[0],), y.dtype)
    squared_error_loop.over(y.shape[0], y, t, mean, losses)
    return losses


def squared_error_grad(g: Device, y: Device, t: Device, *, mean: bool) -> Device:
    """From the gradient by the losses (N,) to that by y (N, K)."""
    bar = like(y)
    squared_error_grad_loop.over(bar.size, g, y, t, mean, bar)
    return bar


def softmax(x: Device) -> Device:
    """Shares that sum to 1 along axis 1: (N, C, …)."""
    y = like(x)
    softmax_loop.over(x.size // max(1, x.shape[1]), flat(x), flat(y))
    return y


def softmax_grad(g: Device, y: Device) -> Device:
    """From the gradient by the shares to that by what they were made from."""
    bar = like(y)
    softmax_grad_loop.over(y.size // max(1, y.shape[1]), flat(g), flat(y), flat(bar))
    return bar
