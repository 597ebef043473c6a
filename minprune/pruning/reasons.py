"""Reasons: what a plan's choice rested on, group by group, in numbers that can be saved with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np

from ..scores import Scores, Vector
from .ranking import comparable

Range = tuple[float, float]  # lowest, highest


@dataclass(frozen=True)
class Evidence:
    """What the choice in one group rested on.

    Attributes
    ----------
    size : int
        How many neurons were scored.
    gone, stay : (float, float) or None
        The lowest and the highest score of those that go, and of those that stay (+∞ left out); None where there are
        none.
    infinite : int
        How many stay because their score is +∞.
    held : int
        How many stay though a neuron that is worth more goes: their group or layer could not spare them.
    """

    size: int
    gone: Range | None
    stay: Range | None
    infinite: int
    held: int

    def __str__(self) -> str:
        ends = ((self.gone, "go"), (self.stay, "stay"))
        parts = [f"{_range(pair)} {verb}" for pair, verb in ends if pair is not None]
        parts[:1] = [f"scores {first}" for first in parts[:1]]
        parts += [f"{self.infinite} stay with +∞"] if self.infinite else []
        parts += [f"{self.held} held back by the floor"] if self.held else []
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold; −∞ is a text."""
        ends = (("gone", self.gone), ("stay", self.stay))
        return asdict(self) | {name: pair and [x if isfinite(x) else str(x) for x in pair] for name, pair in ends}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Evidence:
        """What `as_dict` made; TypeError, KeyError or ValueError for anything else."""
        gone, stay = (None if content[name] is None else _as_range(content[name]) for name in ("gone", "stay"))
        size, infinite, held = (int(content[name]) for name in ("size", "infinite", "held"))
        return cls(size, gone, stay, infinite, held)


def evidence(scores: Scores, normalise: str | None, drop: Mapping[str, list[int]]) -> dict[str, Evidence]:
    """What stood behind a choice.

    Parameters
    ----------
    scores : Scores
    normalise : str or None
        By what neurons of different groups were compared; None where they were not.
    drop : mapping
        Group -> the neurons that go.

    Examples
    --------
    >>> scores = Scores("by hand", {"dense1": np.array([0.1, 3.0, 2.0, np.inf])})
    >>> print(evidence(scores, None, {"dense1": [0]})["dense1"])
    scores 0.1 go, 2 … 3 stay, 1 stay with +∞
    """
    goes = {group: np.isin(np.arange(len(values)), drop.get(group, [])) for group, values in scores.items()}
    levels = scores if normalise is None else comparable(scores, normalise)
    highest = {group: levels[group][mine].max(initial=-np.inf) for group, mine in goes.items()}
    limits = highest if normalise is None else dict.fromkeys(highest, max(highest.values(), default=-np.inf))
    return {
        group: Evidence(
            size=len(values),
            gone=_span(values[goes[group]]),
            stay=_span(values[~goes[group] & (values < np.inf)]),
            infinite=int(np.isposinf(values).sum()),
            held=int((~goes[group] & (levels[group] < limits[group])).sum()),
        )
        for group, values in scores.items()
    }


def _span(values: Vector) -> Range | None:
    return (float(values.min()), float(values.max())) if len(values) else None


def _as_range(ends: Any) -> Range:
    low, high = map(float, ends)
    return low, high


def _range(ends: Range) -> str:
    low, high = (f"{end:.4g}" for end in ends)
    return low if low == high else f"{low} … {high}"
