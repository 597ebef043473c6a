"""A step of an optimiser on the device: everything that happens to a weight, in one kernel.

    for every weight i, a thread:
        g = grad[i] + λ θ[i]
        v[i] = μ v[i] + g                        SGD with momentum
        θ[i] −= η v[i]

separate   one kernel for each of these lines, as NumPy does it: Adam reads and writes five arrays about ten times
fused      every number is read once and written once, and everything between stays in registers

It is bound by memory: Adam reads θ, g, m, v and writes θ, m, v, so 28 bytes a weight in float32.
What depends on the number of the step alone is computed on the host, and handed over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from numba import boolean, cuda, void

from ...errors import DataError
from ...optim import SGD, Adam, AdamW
from .launching import kernel
from .memory import Device, empty, like
from .pointwise import fill


@kernel(lambda T: void(T[::1], T[::1], T[::1], T, T, T, boolean))
def sgd_loop(theta: Any, grad: Any, velocity: Any, lr: Any, momentum: Any, decay: Any, nesterov: bool) -> None:
    """V = μ v + g, θ = θ − η v; or with the look-ahead θ − η (g + μ v); without momentum θ − η g."""
    for i in range(cuda.grid(1), len(theta), cuda.gridsize(1)):
        g = grad[i] + decay * theta[i]
        if len(velocity):
            velocity[i] = momentum * velocity[i] + g
            g = g + momentum * velocity[i] if nesterov else velocity[i]
        theta[i] -= lr * g


@kernel(lambda T: void(*[T[::1]] * 4, *[T] * 9))
def adam_loop(
    theta: Any, grad: Any, m: Any, v: Any,
    beta1: Any, rest1: Any, beta2: Any, rest2: Any, lr: Any, root: Any, epsilon: Any, decay: Any, shrink: Any,
) -> None:  # fmt: skip
    """M = β₁ m + (1 − β₁) g, v = β₂ v + (1 − β₂) g², θ = shrink θ − η m / (√v / root + ε)."""
    for i in range(cuda.grid(1), len(theta), cuda.gridsize(1)):
        g = grad[i] + decay * theta[i]
        m[i] = beta1 * m[i] + rest1 * g
        v[i] = beta2 * v[i] + rest2 * g * g
        theta[i] = shrink * theta[i] - lr * m[i] / (math.sqrt(v[i]) / root + epsilon)


class Memory:
    """What an optimiser remembers between steps, on the device: the steps taken, and arrays by parameter."""

    def __init__(self) -> None:
        self.step = 0
        self.slots: dict[str, dict[str, Device]] = {}

    def slot(self, param: str, name: str, theta: Device) -> Device:
        """One array of a parameter, zeros at first."""
        held = self.slots.setdefault(param, {})
        if name not in held:
            held[name] = fill(like(theta), 0.0)
        return held[name]


def update(
    optimizer: Any, params: Mapping[str, Device], grads: Mapping[str, Device], memory: Memory, lr: float
) -> None:
    """Take a step: `optimizer.update` on the device, with the same formulas.

    Raises
    ------
    DataError
        For an optimiser that is not SGD, Adam or AdamW.
    """
    if type(optimizer) not in (SGD, Adam, AdamW):
        raise DataError(f"{type(optimizer).__name__} has no step on the device; use SGD, Adam or AdamW")
    memory.step += 1
    for name, theta in params.items():
        step = _sgd if isinstance(optimizer, SGD) else _adam
        step(optimizer, name, theta.reshape(theta.size), grads[name].reshape(theta.size), memory, float(lr))


def _sgd(spec: SGD, name: str, theta: Device, g: Device, memory: Memory, lr: float) -> None:
    velocity = memory.slot(name, "velocity", theta) if spec.momentum else empty((0,), theta.dtype)
    settings = map(float, (lr, spec.momentum, spec.weight_decay))
    sgd_loop.over(theta.size, theta, g, velocity, *settings, spec.nesterov)


def _adam(spec: Adam, name: str, theta: Device, g: Device, memory: Memory, lr: float) -> None:
    beta1, beta2 = spec.betas
    apart = isinstance(spec, AdamW)  # the decay passes by the averages
    rate, root = lr / (1 - beta1**memory.step), math.sqrt(1 - beta2**memory.step)
    decay, shrink = (0.0, 1 - lr * spec.weight_decay) if apart else (spec.weight_decay, 1.0)
    settings = (beta1, 1 - beta1, beta2, 1 - beta2, rate, root, spec.epsilon, decay, shrink)
    m, v = (memory.slot(name, slot, theta) for slot in ("m", "v"))
    adam_loop.over(theta.size, theta, g, m, v, *map(float, settings))
