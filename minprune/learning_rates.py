"""Schedules: by which factor the learning rate is multiplied, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, inf, pi
from typing import Protocol

from .optim import require


class Schedule(Protocol):
    """Anything that says by which factor the learning rate is multiplied at a step."""

    def factor(self, step: int, steps: int, per_epoch: int) -> float:
        """The factor at step 0 … steps − 1, of which there are `per_epoch` in an epoch."""


@dataclass(frozen=True)
class Cosine:
    r"""From 1 down to `final` along half a cosine: $f + (1-f)\,(1+\cos(\pi s / S))/2$.

    Notes
    -----
    Source: Loshchilov and Hutter 2017, *SGDR*, equation 5, without restarts.

    Examples
    --------
    >>> [round(Cosine().factor(s, 4, 1), 3) for s in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        require(self, "final", 0 <= self.final <= 1, "a factor from 0 to 1")

    def factor(self, step: int, steps: int, per_epoch: int) -> float:
        """Half a cosine over all steps."""
        return self.final + (1 - self.final) * (1 + cos(pi * step / steps)) / 2


@dataclass(frozen=True)
class Step:
    r"""Multiplied by `by` after every `every` epochs: $b^{\lfloor e / E \rfloor}$.

    Examples
    --------
    >>> [Step(every=2, by=0.5).factor(s, 4, 1) for s in range(4)]
    [1.0, 1.0, 0.5, 0.5]
    """

    every: int
    by: float = 0.1

    def __post_init__(self) -> None:
        require(self, "every", self.every >= 1, "at least 1 epoch")
        require(self, "by", 0 < self.by < inf, "a number above 0")

    def factor(self, step: int, steps: int, per_epoch: int) -> float:
        """A staircase."""
        return float(self.by ** (step // per_epoch // self.every))


@dataclass(frozen=True)
class OneCycle:
    r"""Up from `start` to 1 in the first part, then down to `final`, both along half a cosine.

    Parameters
    ----------
    warmup : float
        The fraction of all steps that goes up.
    start, final : float
        Factors at the two ends.

    Notes
    -----
    Source: Smith and Topin 2018, *Super-convergence*; with cosines, as in fastai and PyTorch.

    Examples
    --------
    >>> [round(OneCycle(warmup=0.5, start=0.0, final=0.0).factor(s, 4, 1), 3) for s in range(4)]
    [0.0, 0.5, 1.0, 0.5]
    """

    warmup: float = 0.3
    start: float = 1 / 25
    final: float = 1e-4

    def __post_init__(self) -> None:
        require(self, "warmup", 0 <= self.warmup < 1, "a fraction of at least 0 and below 1")
        require(self, "start", 0 <= self.start <= 1, "a factor from 0 to 1")
        require(self, "final", 0 <= self.final <= 1, "a factor from 0 to 1")

    def factor(self, step: int, steps: int, per_epoch: int) -> float:
        """Half a cosine up, half a cosine down."""
        top = self.warmup * steps
        if step < top:
            return 1 - (1 - self.start) * (1 + cos(pi * step / top)) / 2
        return self.final + (1 - self.final) * (1 + cos(pi * (step - top) / (steps - top))) / 2
