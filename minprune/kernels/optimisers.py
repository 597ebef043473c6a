"""Optimisers: a step of Adam or of SGD with momentum, in place.

    for every number of the parameter:  m ← …, v ← …, θ ← …

naive     as NumPy takes it: a dozen passes over arrays of the parameter's size, most of them into new memory
fused     one pass: every number is read once and written once

It is bound by memory: Adam moves 28 bytes for each float32. For parameters that fit into the caches it is bound by the
division and the root, which take as long as a dozen multiplications.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numba import types

from ..backends import accelerates
from ..ops import Array
from ..optim import adam_step, momentum_step
from .gemm import NOTHING
from .keeping import compiled, read, written


@compiled(lambda t: types.void(written(t, 1), read(t, 1, "C"), written(t, 1), t, t, types.boolean))
def momentum_loop(theta, g, velocity, lr, momentum, nesterov):
    """Velocity and parameter in one pass."""
    for i in range(len(theta)):
        moved = velocity[i] * momentum + g[i]
        velocity[i] = moved
        theta[i] -= lr * (g[i] + momentum * moved if nesterov else moved)


@compiled(lambda t: types.void(written(t, 1), read(t, 1, "C"), written(t, 1), written(t, 1), t, t, t, t, t, t, t))
def adam_loop(theta, g, m, v, beta1, rest1, beta2, rest2, rate, root, epsilon):
    """Both averages and the parameter in one pass; `rest` is 1 − β, `rate` and `root` correct the start."""
    for i in range(len(theta)):
        first = m[i] * beta1 + rest1 * g[i]
        second = v[i] * beta2 + rest2 * g[i] * g[i]
        m[i], v[i] = first, second
        theta[i] -= rate * first / (np.sqrt(second) * root + epsilon)


def contiguous(*arrays: Any) -> bool:
    """Whether all are contiguous and of one kind, float32 or float64."""
    kinds = {(type(array), array.dtype, array.shape) for array in arrays}
    return len(kinds) == 1 and arrays[0].dtype in NOTHING and all(a.flags.c_contiguous for a in arrays)


def takes_momentum(theta: Array, g: Array, velocity: Array, lr: float, momentum: float, nesterov: bool) -> bool:
    """float32 or float64, contiguous"""
    return type(theta) is np.ndarray and contiguous(theta, g, velocity)


@accelerates(momentum_step, "numba", takes=takes_momentum)
def momentum_kernel(theta: Array, g: Array, velocity: Array, lr: float, momentum: float, nesterov: bool) -> None:
    """One pass over a parameter."""
    momentum_loop[theta.dtype](theta.ravel(), g.ravel(), velocity.ravel(), lr, momentum, nesterov)


def takes_adam(theta: Array, g: Array, m: Array, v: Array, *settings: Any) -> bool:
    """float32 or float64, contiguous"""
    return type(theta) is np.ndarray and contiguous(theta, g, m, v)


@accelerates(adam_step, "numba", takes=takes_adam)
def adam_kernel(
    theta: Array, g: Array, m: Array, v: Array, lr: float, betas: tuple[float, float], epsilon: float, step: int
) -> None:
    """One pass over a parameter."""
    beta1, beta2 = betas
    rate, root = lr / (1 - beta1**step), 1 / sqrt(1 - beta2**step)
    arrays = (array.ravel() for array in (theta, g, m, v))
    adam_loop[theta.dtype](*arrays, beta1, 1 - beta1, beta2, 1 - beta2, rate, root, epsilon)
