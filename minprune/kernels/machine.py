"""What one core of this machine can do at best, measured when it is first asked for: the roof over every kernel.

A kernel cannot be faster than its multiply-adds at the core's peak, nor than its weights at the speed of the L2 cache.
Both are measured by loops that do nothing else, so that no kernel can be above them but by chance:

`spin`    multiply-adds of numbers that are in registers, into sums that do not wait for each other: nothing is loaded
`sweep`   eight vectors after each other are loaded and added to eight sums, from half a megabyte, again and again

Source: Williams, Waterman and Patterson 2009, *Roofline: an insightful visual performance model*.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from .keeping import compiled, read, written
from .strips import aligned
from .vectors import BYTES, TILE, Emitter, N, Value

ROUNDS, STEPS = 20, 2000
SPINNING, SWEEPING = TILE.rows * TILE.vectors, 8  # sums, each a vector


def spin_loops(steps, memory):
    """Add the products of the first two vectors to `SPINNING` sums, so many times; they end in memory."""
    lanes = BYTES // memory.itemsize
    for i in range(SPINNING):
        for l in range(lanes):  # noqa: E741
            total = memory.dtype.type(0)
            for _ in range(steps):
                total += memory[l] * memory[lanes + l]
            memory[(2 + i) * lanes + l] = total


def sweep_loops(numbers, sums):
    """Add up numbers, every so many of them to one sum."""
    width = len(sums)
    for i in range(width):
        sums[i] = 0
    for start in range(0, len(numbers), width):
        for i in range(width):
            sums[i] += numbers[start + i]


def emit_spin(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`spin_loops` in registers."""
    steps, memory = args
    e = Emitter(context, builder, signature.args[1].dtype)
    start, _ = e.array(signature.args[1], memory)
    places = [e.at(start, (e.index(i), e.index(BYTES))) for i in range(2 + SPINNING)]
    a, b = e.load(places[0]), e.load(places[1])
    sums = [cgutils.alloca_once(builder, e.vector) for _ in range(SPINNING)]
    for sum_ in sums:
        builder.store(e.zero, sum_)
    with cgutils.for_range(builder, steps):
        for sum_ in sums:
            builder.store(e.multiply_add(a, b, builder.load(sum_, typ=e.vector)), sum_)
    for sum_, place in zip(sums, places[2:], strict=True):
        e.store(builder.load(sum_, typ=e.vector), place)
    return context.get_dummy_value()


def emit_sweep(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`sweep_loops` in registers."""
    e = Emitter(context, builder, signature.args[0].dtype)
    (numbers, _), (out, _) = (e.array(kind, array) for kind, array in zip(signature.args, args, strict=True))
    shape = context.make_array(signature.args[0])(context, builder, args[0]).shape
    steps = builder.sdiv(cgutils.unpack_tuple(builder, shape, 1)[0], e.index(SWEEPING * e.lanes))
    sums = [cgutils.alloca_once(builder, e.vector) for _ in range(SWEEPING)]
    for sum_ in sums:
        builder.store(e.zero, sum_)
    with cgutils.for_range(builder, steps) as loop:
        row = e.at(numbers, (loop.index, e.index(SWEEPING * BYTES)))
        for i, sum_ in enumerate(sums):
            loaded = e.load(e.at(row, (e.index(i), e.index(BYTES))))
            builder.store(builder.fadd(builder.load(sum_, typ=e.vector), loaded), sum_)
    for i, sum_ in enumerate(sums):
        e.store(builder.load(sum_, typ=e.vector), e.at(out, (e.index(i), e.index(BYTES))))
    return context.get_dummy_value()


@intrinsic
def spin_vectors(typing, steps, memory):
    """`spin_loops` as instructions."""
    return types.void(N, memory), emit_spin


@intrinsic
def sweep_vectors(typing, numbers, sums):
    """`sweep_loops` as instructions."""
    return types.void(numbers, sums), emit_sweep


if TILE.bits and not config.DISABLE_JIT:
    spin, sweep = spin_vectors, sweep_vectors
else:
    spin, sweep = (register_jitable(loops) for loops in (spin_loops, sweep_loops))


@compiled(lambda t: types.void(types.intp, written(t, 1)))
def multiply_adds(steps, memory):
    """Nothing but multiply-adds."""
    spin(steps, memory)


@compiled(lambda t: types.void(read(t, 1, "C"), written(t, 1)))
def reading(numbers, sums):
    """Nothing but reading."""
    sweep(numbers, sums)


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
    lanes = BYTES // dtype.itemsize
    memory, numbers = aligned(((2 + SPINNING) * lanes,), dtype), aligned((2**19 // dtype.itemsize,), dtype)
    numbers[...] = 1  # else all of it is one page of zeros
    sums = aligned((SWEEPING * lanes,), dtype)
    spinning, sweeping = multiply_adds[dtype], reading[dtype]
    peak = STEPS * SPINNING * lanes / _shortest(lambda: spinning(STEPS, memory))
    return Machine(peak, numbers.nbytes / _shortest(lambda: sweeping(numbers, sums)))


def _shortest(function: Any) -> float:
    function()
    times = []
    for _ in range(ROUNDS):
        start = perf_counter()
        for _ in range(10):
            function()
        times.append((perf_counter() - start) / 10)
    return min(times)
