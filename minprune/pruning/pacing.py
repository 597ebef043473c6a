r"""Pacing: which share of all that is to go is gone after which part of the way.

With $\tau = t/n$ (t of n rounds are over), $s_1 = 1$ and r the fraction of the neurons that are left in the end:

* `linear`: $s_\tau = \tau$, every round the same number;
* `cubic`: $s_\tau = 1 - (1 - \tau)^3$, many at first, while there are neurons to spare, few in the end
  (Zhu and Gupta 2017, *To prune, or not to prune*, equation 1, from an initial sparsity of 0);
* `exponential`: $s_\tau = (1 - r^\tau)/(1 - r)$, every round the same fraction of what is left, so that $r^\tau$ of all
  is there (Tanaka et al. 2020, *Pruning neural networks without any data by iteratively conserving synaptic flow*,
  algorithm 1).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ..errors import PlanError
from ..scores import Scores
from .deciding import Sizes, Strategy, decide
from .plan import Plan


def linear(part: float, left: float) -> float:
    r"""$s_\tau = \tau$."""
    return part


def cubic(part: float, left: float) -> float:
    r"""$s_\tau = 1 - (1 - \tau)^3$."""
    return 1 - (1 - part) ** 3


def exponential(part: float, left: float) -> float:
    r"""$s_\tau = (1 - r^\tau)/(1 - r)$; its limit τ where nothing is to go."""
    return float((1 - left**part) / (1 - left)) if left < 1 else part


PACES: dict[str, Callable[[float, float], float]] = {"linear": linear, "cubic": cubic, "exponential": exponential}


def check_schedule(schedule: str) -> None:
    """Refuse a schedule that nobody knows.

    Raises
    ------
    PlanError
        For an unknown name.
    """
    if schedule not in PACES:
        raise PlanError(f"unknown schedule {schedule!r}; expected one of {', '.join(PACES)}")


@dataclass(frozen=True)
class Course:
    """A strategy that is carried out part by part, along a schedule.

    Attributes
    ----------
    strategy : Strategy
        Its fraction is what is gone in the end.
    schedule : str
        A key of `PACES`.
    dense : mapping
        Group -> how many neurons it has at the start.
    left : float
        The fraction of all these neurons that is left in the end; only the exponential schedule asks for it.
    """

    strategy: Strategy
    schedule: str
    dense: Sizes
    left: float

    @classmethod
    def starting(cls, strategy: Strategy, schedule: str, scores: Scores) -> Course:
        """The course from the network with these scores; what the strategy makes of them tells where it ends."""
        check_schedule(schedule)
        dense = {group: len(values) for group, values in scores.items()}
        gone = len(decide(scores, strategy)) if schedule == "exponential" else 0
        return cls(strategy, schedule, dense, 1 - gone / sum(dense.values()))

    def decide(self, scores: Scores, gone: Mapping[str, Collection[int]], part: float) -> Plan:
        """What is to go next, where `gone` has left already and the given part of the way is then over.

        Examples
        --------
        >>> import numpy as np
        >>> from minprune.pruning.deciding import PerLayer
        >>> scores = Scores("by hand", {"dense1": np.arange(8.0)})
        >>> course = Course.starting(PerLayer(0.5), "cubic", scores)
        >>> [len(course.decide(scores, {}, part)) for part in (0.25, 0.5, 1)]
        [2, 3, 4]
        """
        now = {group: size - len(gone.get(group, ())) for group, size in self.dense.items()}
        if part == 1 and now == self.dense:
            return decide(scores, self.strategy)
        return decide(scores, self.strategy.part(PACES[self.schedule](part, self.left), self.dense, now))
