"""Ranks: how far the order that a criterion puts the neurons in is that of another, group by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

import numpy as np

from .correlation import interval, kendall, resamples, spearman
from .scores import Scores, Vector

TOGETHER = "all groups"
OVERLAP = 0.25  # the share of lowest neurons that two rankings are compared by


@dataclass(frozen=True)
class Row:
    """How well one criterion agrees with the truth within one group, or over all of them.

    Attributes
    ----------
    criterion, group : str
    neurons : int
    spearman, kendall : float
        ρ and τ_b; NaN where the scores are all the same.
    spearman_interval, kendall_interval : (float, float)
        95 %, by bootstrap over neurons.
    overlap : float
        Of the lowest quarter by score, the share that is in the lowest quarter by truth; ¼ is expected by chance.
    """

    criterion: str
    group: str
    neurons: int
    spearman: float
    spearman_interval: tuple[float, float]
    kendall: float
    kendall_interval: tuple[float, float]
    overlap: float


def compare_all(scores: Mapping[str, Scores], truth: str, bootstrap: int, seed: int) -> list[Row]:
    """All rows; the criteria in the order of their correlation over all groups, the truth first."""
    true = _by_group(scores[truth])
    weights = {
        group: resamples(len(values), bootstrap, np.random.default_rng([seed, place]))
        for place, (group, values) in enumerate(true.items())
    }
    by_criterion = [
        [_row(name, group, values, true[group], weights[group]) for group, values in _by_group(found).items()]
        for name, found in scores.items()
    ]
    by_criterion.sort(key=lambda rows: (rows[0].criterion != truth, isnan(rows[-1].spearman), -rows[-1].spearman))
    return [row for rows in by_criterion for row in rows]


def _by_group(scores: Scores) -> dict[str, Vector]:
    """Every group, and where there are several all of them together, last."""
    groups = dict(scores)
    return groups | {TOGETHER: np.concatenate(list(groups.values()))} if len(groups) > 1 else groups


def _row(name: str, group: str, values: Vector, truth: Vector, weights: Vector) -> Row:
    return Row(
        criterion=name,
        group=group,
        neurons=len(values),
        spearman=float(spearman(values, truth)),
        spearman_interval=interval(spearman(values, truth, weights)),
        kendall=float(kendall(values, truth)),
        kendall_interval=interval(kendall(values, truth, weights)),
        overlap=overlap(values, truth),
    )


def overlap(values: Vector, truth: Vector, share: float = OVERLAP) -> float:
    """Of the k lowest by one list the share that is among the k lowest by the other; k is a share of all, at least 1.

    Examples
    --------
    >>> overlap(np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 0.0, 9.0, 8.0]), 0.5)
    1.0
    >>> overlap(np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 0.0, 1.0, 8.0]), 0.5)
    0.5
    """
    k = max(1, round(share * len(values)))
    first, second = (set(np.argsort(numbers, kind="stable")[:k].tolist()) for numbers in (values, truth))
    return len(first & second) / k
