"""Pareto fronts: what nothing beats, and a witness against everybody else."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minprune.choosing.fronts import pareto_front

POINTS = st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=12)


def beats(p: tuple[int, ...], q: tuple[int, ...]) -> bool:
    return all(a <= b for a, b in zip(p, q, strict=True)) and p != q


@given(POINTS)
def test_nothing_beats_the_front_and_something_beats_everybody_else(points: list[tuple[int, ...]]) -> None:
    front = pareto_front(points)
    assert front == sorted(set(front))
    for i, point in enumerate(points):
        assert (i in front) == (not any(beats(other, point) for other in points))


@given(POINTS)
def test_whoever_is_beaten_is_beaten_by_one_of_the_front(points: list[tuple[int, ...]]) -> None:
    front = pareto_front(points)
    for i in set(range(len(points))) - set(front):
        assert any(beats(points[j], points[i]) for j in front)


def test_equal_points_stay_together() -> None:
    assert pareto_front(np.array([[1.0, 2], [1, 2], [3, 3]])) == [0, 1]
