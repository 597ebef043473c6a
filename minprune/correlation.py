r"""Rank correlation: how far two lists put the same things in the same order, whatever their scales.

Both coefficients are made of one table (Daniels 1944): the signs $s_{ij} = \mathrm{sgn}(x_i - x_j)$ say of every two
entries which is larger. The rank of an entry is, up to constants, the sum of its row, so Spearman's ρ is the
correlation of row sums, and Kendall's τ that of the signs themselves. Equal entries have sign 0, which amounts to
average ranks; ±∞ are entries like others.

A bootstrap sample (Efron 1979) draws n entries with replacement: entry i comes $w_i$ times. Counts are all that
matters, so the coefficients take weights, and thousands of resamples are a few matrix products.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]


def signs(values: ArrayLike) -> Numbers:
    """Which of every two entries is larger: sgn(x_i − x_j), (n,) -> (n, n).

    Examples
    --------
    >>> signs([2.0, np.inf, 2.0])
    array([[ 0., -1.,  0.],
           [ 1.,  0.,  1.],
           [ 0., -1.,  0.]])
    """
    _, level = np.unique(np.asarray(values), return_inverse=True)  # whole numbers: ∞ − ∞ would be no number
    return np.sign(level[:, None] - level[None, :]).astype(np.float64)


def spearman(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> Any:
    r"""Spearman's rank correlation, with average ranks for ties.

    $\rho = \sum_i w_i u_i v_i / \sqrt{\sum_i w_i u_i^2 \sum_i w_i v_i^2}$ with
    $u_i = \sum_j w_j\,\mathrm{sgn}(x_i - x_j)$, twice the rank of $x_i$ less its mean, and v likewise of y.

    Parameters
    ----------
    x, y : array (n,)
        Any numbers but NaN.
    weights : array (n,) or (B, n), optional
        How often each entry counts; by default once.

    Returns
    -------
    float64 or array (B,)
        From −1 to 1; NaN where x or y is the same everywhere, so that there is no order.

    Notes
    -----
    Source: Spearman 1904, *The proof and measurement of association between two things*; Daniels 1944.

    Examples
    --------
    >>> float(spearman([1, 2, 3, 4], [1, 10, 10, 50]).round(4))
    0.9487
    """
    w = np.ones(len(np.asarray(x))) if weights is None else np.asarray(weights, dtype=np.float64)
    u, v = w @ signs(x).T, w @ signs(y).T
    return _ratio((w * u * v).sum(axis=-1), (w * u * u).sum(axis=-1), (w * v * v).sum(axis=-1))


def kendall(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> Any:
    r"""Kendall's rank correlation τ_b: pairs in the same order less pairs in opposite order, among those that have one.

    $\tau_b = \sum_{ij} w_i w_j s_{ij} t_{ij} / \sqrt{\sum_{ij} w_i w_j s_{ij}^2 \sum_{ij} w_i w_j t_{ij}^2}$ with
    $s_{ij} = \mathrm{sgn}(x_i - x_j)$ and t likewise of y.

    Parameters
    ----------
    x, y, weights
        As for `spearman`.

    Returns
    -------
    float64 or array (B,)
        From −1 to 1; NaN where x or y is the same everywhere.

    Notes
    -----
    Source: Kendall 1938, *A new measure of rank correlation*; τ_b (with ties) Kendall 1945. Memory is O(n²).

    Examples
    --------
    >>> float(kendall([1, 2, 3, 4], [1, 10, 10, 50]).round(4))
    0.9129
    """
    w = np.ones(len(np.asarray(x))) if weights is None else np.asarray(weights, dtype=np.float64)
    s, t = signs(x), signs(y)
    return _ratio(*(((w @ table) * w).sum(axis=-1) for table in (s * t, s * s, t * t)))


def _ratio(both: Any, first: Any, second: Any) -> Any:
    """Both / √(first · second), which no rounding takes beyond ±1; NaN where the denominator is 0."""
    size = np.sqrt(first * second)  # √(a · a) is a to the last bit: a list agrees with itself at exactly 1
    defined = size > 0
    ratio = np.clip(np.divide(both, size, out=np.full_like(size, np.nan), where=defined), -1, 1)
    return ratio[()]


def resamples(n: int, count: int, rng: np.random.Generator) -> Numbers:
    """Bootstrap samples as weights: how often each of n entries comes when n are drawn with replacement; (count, n).

    Examples
    --------
    >>> resamples(5, 3, np.random.default_rng(0)).sum(axis=1)
    array([5., 5., 5.])
    """
    return rng.multinomial(n, np.full(n, 1 / n), size=count).astype(np.float64)


def interval(values: Numbers) -> tuple[float, float]:
    """The 95 % bootstrap interval by percentiles: 2.5 % of the resampled values lie below it, 2.5 % above.

    Resamples without a value (all drawn entries alike) are left out; (NaN, NaN) where none has one.

    Notes
    -----
    Source: Efron 1979, *Bootstrap methods: another look at the jackknife*; percentiles, Efron 1981.

    Examples
    --------
    >>> interval(np.arange(201.0))
    (5.0, 195.0)
    """
    found = values[~np.isnan(values)]
    if not len(found):
        return float("nan"), float("nan")
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)
