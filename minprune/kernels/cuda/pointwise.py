"""What is done to every entry by itself: activations and their gradients, gates, batch-norm for inference, sums.

    for every entry i, a thread; thread t also takes i = t + T, t + 2T, … for T threads in all:
        y[i] = f(x[i])

naive        a thread per entry, as many blocks as that needs
grid stride  a bounded number of blocks whose threads step through the entries: few launches' worth of blocks, and
             neighbouring threads still read neighbouring numbers

It is bound by memory: one number is read and one written for a handful of operations. What would help is to fuse it
into the kernel before it, so that the number never leaves the registers.

A comparison with NaN is false; where NaN has to be handed on, as NumPy's maximum does, ``x != x`` finds it.
"""

from __future__ import annotations

import math
from typing import Any

from numba import cuda, int64, void

from ...ops.windows import Sizes
from .launching import Kernel, kernel
from .memory import Device, empty, like


def entries(arrays: int, settings: int = 0) -> Any:
    """The signature of a kernel over vectors, with settings of the same kind of numbers."""
    return lambda T: void(*[T[::1]] * arrays, *[T] * settings)


@kernel(entries(2))
def relu_loop(x: Any, y: Any) -> None:
    """Y = x [x > 0]."""
    zero = y.dtype.type(0)
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = x[i] if x[i] > zero or x[i] != x[i] else zero


@kernel(entries(3))
def relu_grad_loop(g: Any, x: Any, y: Any) -> None:
    """Y = g [x > 0]."""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = g[i] * (one if x[i] > zero else zero)


@kernel(entries(3, settings=1))
def leaky_loop(g: Any, x: Any, y: Any, slope: Any) -> None:
    """Y = g ([x > 0] + α [x ≤ 0]): the gradient, and with x for g the activation."""
    zero = y.dtype.type(0)
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = g[i] if x[i] > zero else g[i] * slope


@kernel(entries(2))
def sigmoid_loop(x: Any, y: Any) -> None:
    """Y = 1 / (1 + e^−x); e is only ever raised to a power of at most 0."""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        small = math.exp(-abs(x[i]))
        y[i] = (small if x[i] < zero else one) / (one + small)


@kernel(entries(3))
def sigmoid_grad_loop(g: Any, y: Any, bar: Any) -> None:
    """Bar = g y (1 − y)."""
    one = bar.dtype.type(1)
    for i in range(cuda.grid(1), len(bar), cuda.gridsize(1)):
        bar[i] = g[i] * y[i] * (one - y[i])


@kernel(entries(2))
def tanh_loop(x: Any, y: Any) -> None:
    """Y = tanh(x)."""
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = math.tanh(x[i])


@kernel(entries(3))
def tanh_grad_loop(g: Any, y: Any, bar: Any) -> None:
    """Bar = g (1 − y²)."""
    one = bar.dtype.type(1)
    for i in range(cuda.grid(1), len(bar), cuda.gridsize(1)):
        bar[i] = g[i] * (one - y[i] * y[i])


@kernel(entries(3))
def add_loop(a: Any, b: Any, y: Any) -> None:
    """Y = a + b."""
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = a[i] + b[i]


@kernel(entries(3))
def times_loop(a: Any, b: Any, y: Any) -> None:
    """Y = a b."""
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = a[i] * b[i]


@kernel(entries(1, settings=1))
def fill_loop(y: Any, value: Any) -> None:
    """Y = value."""
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = value


@kernel(lambda T: void(T[::1], T[::1], T[::1], int64, T[::1]))
def channels_loop(x: Any, scale: Any, shift: Any, places: int, y: Any) -> None:
    """y[n, c, p] = scale[c] x[n, c, p] + shift[c], or without a shift."""
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        c = i // places % len(scale)
        y[i] = scale[c] * x[i] + shift[c] if len(shift) else scale[c] * x[i]


@kernel(lambda T: void(T[::1], T[::1], T[::1], T, int64, T[::1]))
def normalise_loop(x: Any, mean: Any, var: Any, epsilon: Any, places: int, y: Any) -> None:
    """y[n, c, p] = (x[n, c, p] − μ[c]) / √(var[c] + ε)."""
    one = y.dtype.type(1)
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        c = i // places % len(mean)
        y[i] = (x[i] - mean[c]) * (one / math.sqrt(var[c] + epsilon))


@kernel(entries(3, settings=1))
def inverse_deviation_loop(var: Any, gamma: Any, y: Any, epsilon: Any) -> None:
    """y[c] = γ[c] / √(var[c] + ε): by what batch-norm for inference multiplies."""
    one = y.dtype.type(1)
    for c in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[c] = gamma[c] * (one / math.sqrt(var[c] + epsilon))


@kernel(lambda T: void(T[::1], int64, T[::1]))
def spread_loop(g: Any, places: int, y: Any) -> None:
    """y[n, c, p] = g[n, c] / P: the gradient of a mean over places."""
    for i in range(cuda.grid(1), len(y), cuda.gridsize(1)):
        y[i] = g[i // places] / y.dtype.type(places)


def pointwise(loop: Kernel, *arrays: Device, settings: tuple[float, ...] = ()) -> Device:
    """Run a kernel over arrays of one shape, and return what it makes of them."""
    y = like(arrays[0])
    loop.over(y.size, *(array.reshape(array.size) for array in arrays), y.reshape(y.size), *map(float, settings))
    return y


def fill(array: Device, value: float) -> Device:
    """Set every entry, in place."""
    fill_loop.over(array.size, array.reshape(array.size), float(value))
    return array


def per_channel(x: Device, scale: Device, shift: Device | None = None) -> Device:
    """Multiply by a number of each channel, and add one: (N, C, …), (C,), (C,)."""
    y = like(x)
    places = x.size // max(1, x.shape[0] * x.shape[1])
    none = empty((0,), x.dtype) if shift is None else shift
    channels_loop.over(x.size, x.reshape(x.size), scale, none, places, y.reshape(y.size))
    return y


def normalise(x: Device, mean: Device, var: Device, epsilon: float) -> Device:
    """x̂ = (x − μ) / √(var + ε) for every channel."""
    y = like(x)
    places = x.size // max(1, x.shape[0] * x.shape[1])
    normalise_loop.over(x.size, x.reshape(x.size), mean, var, float(epsilon), places, y.reshape(y.size))
    return y


def inverse_deviation(var: Device, gamma: Device, epsilon: float) -> Device:
    """γ / √(var + ε): (C,)."""
    y = like(var)
    inverse_deviation_loop.over(y.size, var, gamma, y, float(epsilon))
    return y


def spread(g: Device, shape: Sizes) -> Device:
    """Share g (N, C) equally among the places of each channel: -> (N, C, …)."""
    y = empty(shape, g.dtype)
    spread_loop.over(y.size, g.reshape(g.size), y.size // max(1, g.size), y.reshape(y.size))
    return y
