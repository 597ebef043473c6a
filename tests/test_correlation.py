"""Rank correlation: the coefficients against scipy's, the weights against drawing in so many words."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from minprune.correlation import interval, kendall, resamples, signs, spearman

NUMBERS = st.sampled_from([-math.inf, -2.5, -1.0, 0.0, 1e-9, 1.0, 3.0, 1e9, math.inf])
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=30)


@settings(deadline=None, max_examples=300)
@given(PAIRS)
def test_both_coefficients_are_scipys_with_ties_and_infinities(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(spearman(x, y))
        assert math.isnan(kendall(x, y))
        return
    ranks = [stats.rankdata(v) for v in (x, y)]
    assert spearman(x, y) == pytest.approx(stats.spearmanr(*ranks).statistic, abs=1e-12)
    assert kendall(x, y) == pytest.approx(stats.kendalltau(*ranks).statistic, abs=1e-12)


@settings(deadline=None)
@given(PAIRS, st.data())
def test_a_weight_counts_an_entry_so_often(pairs: list[tuple[float, float]], data: st.DataObject) -> None:
    x, y = np.array(pairs).T
    weights = data.draw(st.lists(st.integers(0, 3), min_size=len(x), max_size=len(x)))
    drawn = np.repeat(np.arange(len(x)), weights)
    for coefficient in (spearman, kendall):
        np.testing.assert_allclose(
            coefficient(x, y, weights), coefficient(x[drawn], y[drawn]) if len(drawn) else np.nan, atol=1e-12
        )
        both = coefficient(x, y, [weights, [1] * len(x)])
        np.testing.assert_allclose(both, [coefficient(x, y, weights), coefficient(x, y)], atol=1e-12)


def test_a_growing_transformation_changes_nothing_and_a_falling_one_the_sign() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 20))
    for coefficient in (spearman, kendall):
        assert coefficient(np.exp(x), y) == pytest.approx(coefficient(x, y))
        assert coefficient(-x, y) == pytest.approx(-coefficient(x, y))
        assert coefficient(x, x) == 1


def test_resamples_draw_every_entry_equally_often() -> None:
    drawn = resamples(8, 20_000, np.random.default_rng(0))
    assert (drawn.sum(axis=1) == 8).all()
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.05)
    np.testing.assert_allclose(drawn.var(axis=0), 7 / 8, atol=0.05)


def test_the_interval_covers_the_true_coefficient_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    true = 6 / math.pi * math.asin(0.6 / 2)  # Spearman's for a normal pair of correlation 0.6 (Pearson 1907)
    hits = 0
    for _ in range(200):
        x, noise = rng.normal(size=(2, 80))
        y = 0.6 * x + 0.8 * noise
        low, high = interval(spearman(x, y, resamples(80, 200, rng)))
        hits += low <= true <= high
    assert 175 <= hits <= 199


def test_an_interval_leaves_out_resamples_without_an_order() -> None:
    assert interval(np.array([np.nan, 1.0, 1.0])) == (1, 1)
    assert all(math.isnan(end) for end in interval(np.array([np.nan])))


def test_signs_are_antisymmetric() -> None:
    table = signs([3.0, -math.inf, 3.0, 0.0])
    np.testing.assert_array_equal(table, -table.T)
