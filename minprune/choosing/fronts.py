"""Pareto fronts: what nothing else beats in everything at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def pareto_front(costs: ArrayLike) -> list[int]:
    r"""The points that no other point dominates, in their order.

    $p$ dominates $q$ if $p_i \leq q_i$ for every cost i and $p_i < q_i$ for one; equal points leave each other alone.

    Parameters
    ----------
    costs : array (points, costs)
        The lower the better; of what should be high, take the negative.

    Returns
    -------
    list of int
        Indices of the front.

    Notes
    -----
    Source: Pareto 1906; spec A5.

    Examples
    --------
    >>> pareto_front([[1, 5], [2, 2], [3, 3], [5, 1]])
    [0, 1, 3]
    """
    points = np.asarray(costs, dtype=np.float64)
    return [i for i, p in enumerate(points) if not ((points <= p).all(axis=1) & (points < p).any(axis=1)).any()]
