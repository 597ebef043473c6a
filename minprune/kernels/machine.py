"""What one core of this machine can do at best, measured when it is first asked for: the roof over every kernel.

A kernel cannot be faster than its multiply-adds at the core's peak, nor than its weights at the speed of the L2 cache.

Source: Williams, Waterman and Patterson 2009, *Roofline: an insightful visual performance model*.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np

from .keeping import compiled, read
from .strips import aligned, dense_strips, padded, strip_buffer, tiled

ROUNDS = 20


@compiled(lambda t: t(read(t, 1, "C")))
def total(x):
    """The sum of an array: reading it, and next to nothing else."""
    found = x[0]
    for i in range(1, len(x)):
        found += x[i]
    return found


@dataclass(frozen=True)
class Machine:
    """Multiply-adds a second, and bytes a second."""

    peak: float
    bandwidth: float

    def least(self, macs: float, nbytes: float) -> float:
        """The least seconds that so many multiply-adds and bytes can take."""
        return max(macs / self.peak, nbytes / self.bandwidth)


@cache
def machine(dtype: np.dtype[Any]) -> Machine:
    """The core at hand, for a kind of numbers."""
    inputs, outputs = 128, 64
    X, Y = (strip_buffer(64, size, dtype) for size in (inputs, outputs))
    W, bias = tiled(np.zeros((outputs, inputs), dtype)), np.zeros(padded(outputs), dtype)
    samples = X.shape[2] * len(X)
    compute = _shortest(lambda: dense_strips[dtype](W, bias, False, samples, X, Y))
    numbers = aligned((512 * 1024 // dtype.itemsize,), dtype)
    reading = _shortest(lambda: total[dtype](numbers))
    return Machine(samples * inputs * outputs / compute, numbers.nbytes / reading)


def _shortest(function: Any) -> float:
    function()
    times = []
    for _ in range(ROUNDS):
        start = perf_counter()
        for _ in range(10):
            function()
        times.append((perf_counter() - start) / 10)
    return min(times)
