"""Timing: how long a call takes, and which of two calls is faster.

A single call can be shorter than a timer can tell. So calls are timed in blocks that last at least a millisecond
(10,000 ticks of the coarsest timer, 100 ns on Windows), and a *time* below is a block's time divided by its calls.
What disturbs a measurement (other programs, interrupts) only ever adds time: hence medians, not means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, comb
from time import perf_counter
from typing import Any

import numpy as np

Function = Callable[[], Any]

BLOCK = 1e-3  # seconds that a block of calls lasts at least
FEWEST = 9  # blocks of each kind, however slow


@dataclass(frozen=True)
class Timing:
    """Seconds per call: the median of the blocks, and the interquartile range around it.

    Attributes
    ----------
    median, iqr : float
        In seconds.
    blocks, calls : int
        How many blocks were timed, and how many calls each of them has.
    """

    median: float
    iqr: float
    blocks: int
    calls: int


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as the reference: the median over pairs, and the ends of its 95 % interval.

    Attributes
    ----------
    median, low, high : float
        Time of the reference divided by time of the other: above 1 the other is faster.
    pairs, calls : int
        How many pairs of blocks were timed, and how many calls each block has.
    """

    median: float
    low: float
    high: float
    pairs: int
    calls: int


def time_block(function: Function, calls: int) -> float:
    """Seconds that so many calls take."""
    start = perf_counter()
    for _ in range(calls):
        function()
    return perf_counter() - start


def calibrate(function: Function) -> tuple[int, float]:
    """Warm up; return the number of calls that make a block, and the seconds of one call, roughly."""
    function()  # the first call fills caches and builds what is built once
    calls = 1
    while (seconds := time_block(function, calls)) < BLOCK:
        calls *= 2
    return calls, seconds / calls


def summarise(times: Sequence[float], calls: int) -> Timing:
    """Seconds per call from the times of blocks.

    Examples
    --------
    >>> summarise([0.3, 0.1, 0.2], calls=5)
    Timing(median=0.2, iqr=0.1, blocks=3, calls=5)
    """
    low, median, high = np.quantile(times, (0.25, 0.5, 0.75))
    return Timing(float(median), round(float(high - low), 12), len(times), calls)


def measure(function: Function, seconds: float = 0.2) -> Timing:
    """Time a function: warm-up, then blocks of calls until `seconds` are over and there are at least nine.

    Examples
    --------
    >>> measure(lambda: sum(range(1000)), seconds=0.01).median < 1e-3
    True
    """
    calls, _ = calibrate(function)
    end = perf_counter() + seconds
    times: list[float] = []
    while len(times) < FEWEST or perf_counter() < end:
        times.append(time_block(function, calls) / calls)
    return summarise(times, calls)


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    r"""The median, and an interval that covers the true one with a probability of at least 95 %.

    $[x_{(k)}, x_{(n+1-k)}]$ with the largest k for which $2 \cdot 2^{-n} \sum_{i<k} \binom{n}{i} \leq 0.05$.

    Parameters
    ----------
    values : sequence of float
        At least 6; independent, of any continuous distribution.

    Returns
    -------
    median, low, high : float

    Notes
    -----
    Source: the sign test turned round; Conover 1999, *Practical Nonparametric Statistics*, section 3.2.

    Examples
    --------
    >>> median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    (5.0, 2.0, 8.0)
    """
    n, k, outside = len(values), 0, 1
    while 40 * outside <= 2**n:  # both tails together: 2 · outside / 2^n <= 0.05
        k += 1
        outside += comb(n, k)
    if k == 0:
        raise ValueError(f"{n} values cannot give a 95 % interval, expected at least 6")
    ordered = sorted(values)
    return float(np.median(ordered)), ordered[k - 1], ordered[n - k]


@dataclass
class Race:
    """Two functions to be timed in turn, with the same number of calls in every block."""

    first: Function
    second: Function
    calls: int
    pair_seconds: float  # what one pair takes, roughly

    @classmethod
    def prepare(cls, first: Function, second: Function, rounds: int, seconds: float) -> Race:
        """Warm up, and choose how many calls fill `seconds` with `rounds` pairs, or a block with the faster one."""
        one, other = calibrate(first)[1], calibrate(second)[1]
        calls = max(ceil(BLOCK / min(one, other)), int(seconds / rounds / (one + other)))
        return cls(first, second, calls, calls * (one + other))

    def run(
        self, rounds: int, seconds: float, rng: np.random.Generator, advance: Callable[[], Any]
    ) -> tuple[list[float], list[float]]:
        """Time pairs, which comes first drawn by lot, until there are `rounds`, or nine and `seconds` are over."""
        times: tuple[list[float], list[float]] = ([], [])
        functions = (self.first, self.second)
        end = perf_counter() + seconds
        while len(times[0]) < rounds and (len(times[0]) < FEWEST or perf_counter() < end):
            turn = int(rng.integers(2))
            for side in (turn, 1 - turn):
                times[side].append(time_block(functions[side], self.calls) / self.calls)
            advance()
        return times


def ratio_of(first: Sequence[float], second: Sequence[float], calls: int) -> Ratio:
    """Compare the times of paired blocks.

    Examples
    --------
    >>> ratio_of([2.0] * 9, [1.0] * 9, calls=3)
    Ratio(median=2.0, low=2.0, high=2.0, pairs=9, calls=3)
    """
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    return Ratio(*median_interval(ratios), pairs=len(ratios), calls=calls)
