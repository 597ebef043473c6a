"""Schedules: how the learning rate changes while training, as a factor of the optimiser's own."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import Protocol

from .optim import require


class Schedule(Protocol):
    """Anything that knows the factor for a step."""

    def at(self, step: int, steps: int, epoch: int) -> float:
        """Give the factor of the learning rate for `step` of `steps` in all, in `epoch`; all count from 0."""


@dataclass(frozen=True)
class Constant:
    """Leave the learning rate as it is.

    Examples
    --------
    >>> Constant().at(step=5, steps=10, epoch=0)
    1.0
    """

    def at(self, step: int, steps: int, epoch: int) -> float:
        """Give 1."""
        return 1.0


@dataclass(frozen=True)
class Cosine:
    r"""Let the learning rate fall along half a cosine wave.

    $f + (1 - f)\,(1 + \cos(\pi t / T)) / 2$ in step t of T.

    Parameters
    ----------
    final : float
        f, the factor that it falls towards, from 0 to 1.

    Raises
    ------
    MinpruneError
        For another factor.

    Notes
    -----
    Source: Loshchilov and Hutter 2017, *SGDR: stochastic gradient descent with warm restarts*, equation 5 (one run,
    without restarts).

    Examples
    --------
    >>> [round(Cosine().at(step, 4, 0), 3) for step in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        require(self, 0 <= self.final <= 1, "final", "a factor from 0 to 1")

    def at(self, step: int, steps: int, epoch: int) -> float:
        """Give the factor for a step."""
        return _between(1.0, self.final, step / steps)


@dataclass(frozen=True)
class Step:
    r"""Lower the learning rate every few epochs.

    $\gamma^{\lfloor e / E \rfloor}$ in epoch e.

    Parameters
    ----------
    every : int
        E, how many epochs stay alike.
    factor : float
        γ, above 0.

    Raises
    ------
    MinpruneError
        For settings outside of these ranges.

    Notes
    -----
    Source: common practice, as in Krizhevsky, Sutskever and Hinton 2012, section 5 (there by hand).

    Examples
    --------
    >>> [Step(every=2, factor=0.5).at(0, 1, epoch) for epoch in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        require(self, self.every >= 1, "every", "at least 1 epoch")
        require(self, self.factor > 0, "factor", "a number above 0")

    def at(self, step: int, steps: int, epoch: int) -> float:
        """Give the factor for an epoch."""
        return float(self.factor ** (epoch // self.every))


@dataclass(frozen=True)
class OneCycle:
    r"""Let the learning rate rise from a small one to its full size, and fall to almost nothing.

    Along half a cosine wave each: from s to 1 over steps 0 to $wT - 1$, then from 1 to f over the rest of T steps.

    Parameters
    ----------
    warmup : float
        w, the share of the steps in which it rises, at least 0 and below 1.
    start, final : float
        s and f, the factors at both ends, from 0 to 1.

    Raises
    ------
    MinpruneError
        For settings outside of these ranges.

    Notes
    -----
    Source: Smith and Topin 2018, *Super-convergence*, section 3; cosine waves instead of straight lines.

    Examples
    --------
    >>> [round(OneCycle(warmup=0.4, final=0).at(step, 10, 0), 2) for step in (0, 3, 6, 9)]
    [0.04, 1.0, 0.5, 0.0]
    """

    warmup: float = 0.3
    start: float = 1 / 25
    final: float = 4e-6

    def __post_init__(self) -> None:
        require(self, 0 <= self.warmup < 1, "warmup", "a share of at least 0 and below 1")
        require(self, 0 <= self.start <= 1, "start", "a factor from 0 to 1")
        require(self, 0 <= self.final <= 1, "final", "a factor from 0 to 1")

    def at(self, step: int, steps: int, epoch: int) -> float:
        """Give the factor for a step."""
        peak = self.warmup * steps - 1
        if step < peak:
            return _between(self.start, 1.0, step / peak)
        return _between(1.0, self.final, (step - peak) / (steps - 1 - peak))


def _between(first: float, last: float, share: float) -> float:
    """Go from `first` to `last` along half a cosine wave."""
    return last + (first - last) * (1 + cos(pi * share)) / 2
