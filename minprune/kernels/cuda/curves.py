"""The other curves on the device, and their gradients: entry by entry, like those of `pointwise`.

Each loop is the formula of the op of its name in `minprune.ops.curves`, and bound by memory like all of its kind.
Settings are numbers of the arrays' own kind; constants are made from whole ones, so that no double slips in.
"""

from __future__ import annotations

import math
from typing import Any

from numba import cuda, int64, void

from .launching import kernel
from .memory import Device, like
from .pointwise import entries
from .sums import channel_sum, flat


@kernel(entries(2, settings=4))
def clip_loop(x: Any, y: Any, slope: Any, offset: Any, low: Any, high: Any) -> None:
    """Y = min(max(α x + β, l), u)."""
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        line = slope * x[i] + offset
        y[i] = low if line < low else high if line > high else line


@kernel(entries(3, settings=4))
def clip_grad_loop(g: Any, x: Any, y: Any, slope: Any, offset: Any, low: Any, high: Any) -> None:
    """Y = α g [l < α x + β < u]."""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = slope * g[i] * (one if low < slope * x[i] + offset < high else zero)


@kernel(entries(2, settings=2))
def elu_loop(x: Any, y: Any, alpha: Any, gamma: Any) -> None:
    """Y = γ x for x > 0, else γ α (e^x − 1)."""
    zero = y.dtype.type(0)
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = gamma * (x[i] if x[i] > zero else alpha * math.expm1(x[i]))


@kernel(entries(3, settings=2))
def elu_grad_loop(g: Any, x: Any, y: Any, alpha: Any, gamma: Any) -> None:
    """Y = γ g for x > 0, else γ α e^x g."""
    zero = y.dtype.type(0)
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = gamma * (g[i] if x[i] > zero else g[i] * (alpha * math.exp(x[i])))


@kernel(entries(2, settings=1))
def gelu_loop(x: Any, y: Any, root_half: Any) -> None:
    """Y = x Φ(x) = x (1 + erf(x √½)) / 2."""
    one, two = y.dtype.type(1), y.dtype.type(2)
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = x[i] * ((one + math.erf(x[i] * root_half)) / two)


@kernel(entries(3, settings=2))
def gelu_grad_loop(g: Any, x: Any, y: Any, root_half: Any, density: Any) -> None:
    """Y = g (Φ(x) + x e^(−x²/2) / √(2π))."""
    one, two = y.dtype.type(1), y.dtype.type(2)
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        below = (one + math.erf(x[i] * root_half)) / two
        y[i] = g[i] * (below + x[i] * math.exp(-x[i] * x[i] / two) * density)


@kernel(entries(2))
def erf_loop(x: Any, y: Any) -> None:
    """Y = erf(x)."""
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = math.erf(x[i])


@kernel(entries(3, settings=1))
def erf_grad_loop(g: Any, x: Any, y: Any, factor: Any) -> None:
    """Y = g e^(−x²) · 2/√π."""
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = g[i] * math.exp(-x[i] * x[i]) * factor


@kernel(entries(2))
def softplus_loop(x: Any, y: Any) -> None:
    """Y = log(1 + e^x) = max(x, 0) + log(1 + e^−|x|)."""
    zero = y.dtype.type(0)
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = (x[i] if x[i] > zero else zero) + math.log1p(math.exp(-abs(x[i])))


@kernel(entries(3))
def softplus_grad_loop(g: Any, y: Any, bar: Any) -> None:
    """Bar = g (1 − e^−y)."""
    for i in range(cuda.grid(1), len(bar), cuda.gridsize(1)):
        bar[i] = -g[i] * math.expm1(-y[i])


@kernel(lambda T: void(T[::1], T[::1], T[::1], int64, T[::1]))
def prelu_loop(g: Any, x: Any, a: Any, places: int, y: Any) -> None:
    """Y = g ([x > 0] + a[c] [x ≤ 0]): the gradient, and with x for g the activation."""
    zero = y.dtype.type(0)
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = g[i] if x[i] > zero else g[i] * a[i // places % len(a)]


@kernel(entries(2))
def below_loop(x: Any, y: Any) -> None:
    """Y = x [x ≤ 0]: by what the gradient of a slope is multiplied."""
    zero = y.dtype.type(0)
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = zero if x[i] > zero else x[i]


@kernel(lambda T: void(T[:, :, ::1], T[:, :, ::1]))
def log_softmax_loop(x: Any, y: Any) -> None:
    """y[n, k, p] = x[n, k, p] − log Σ_l e^x[n, l, p]."""
    P = y.shape[2]
    for e in range(cuda.grid(1), y.shape[0] * P, cuda.gridsize(1)):
        n, p = e // P, e % P
        top = x[n, 0, p]
        for k in range(1, x.shape[1]):
            top = max(top, x[n, k, p])
        total = y.dtype.type(0)
        for k in range(x.shape[1]):
            total += math.exp(x[n, k, p] - top)
        norm = math.log(total)
        for k in range(x.shape[1]):
            y[n, k, p] = x[n, k, p] - top - norm


@kernel(lambda T: void(T[:, :, ::1], T[:, :, ::1], T[:, :, ::1]))
def log_softmax_grad_loop(g: Any, y: Any, bar: Any) -> None:
    """bar[n, k, p] = g[n, k, p] − e^y[n, k, p] Σ_l g[n, l, p]."""
    P = y.shape[2]
    for e in range(cuda.grid(1), y.shape[0] * P, cuda.gridsize(1)):
        n, p = e // P, e % P
        total = bar.dtype.type(0)
        for k in range(y.shape[1]):
            total += g[n, k, p]
        for k in range(y.shape[1]):
            bar[n, k, p] = g[n, k, p] - math.exp(y[n, k, p]) * total


def prelu(g: Device, x: Device, a: Device) -> Device:
    """Multiply g by 1 where x is above 0, and by its channel's slope a (C,) elsewhere."""
    y = like(x)
    places = x.size // max(1, x.shape[0] * x.shape[1])
    prelu_loop.over(x.size, g.reshape(x.size), x.reshape(x.size), a, places, y.reshape(x.size))
    return y


def prelu_grad_a(g: Device, x: Device) -> Device:
    """The gradient by the slopes: Σ g x [x ≤ 0] for every channel."""
    below = like(x)
    below_loop.over(x.size, x.reshape(x.size), below.reshape(x.size))
    return channel_sum(g, below)


def log_softmax(x: Device) -> Device:
    """Logarithms of shares that sum to 1 along axis 1: (N, C, …)."""
    y = like(x)
    log_softmax_loop.over(x.size // max(1, x.shape[1]), flat(x), flat(y))
    return y


def log_softmax_grad(g: Device, y: Device) -> Device:
    """From the gradient by the logarithms to that by what they were made from."""
    bar = like(y)
    log_softmax_grad_loop.over(y.size // max(1, y.shape[1]), flat(g), flat(y), flat(bar))
    return bar
