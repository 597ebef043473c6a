"""The order that a score puts neurons in, against the order of their true removal costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..correlation import spearman
from ..errors import DataError, ShapeError
from ..ops import Array
from .drawing import BLACK, BLUE, GREY, headline, new_figure, plain_axes, vector

NAMED = 12  # more neurons than this lose their names


def rank_rank(scores: Mapping[str, ArrayLike], truth: ArrayLike, title: str = "") -> Figure:
    r"""Draw each neuron's rank by a score against its rank by the truth, one panel a score; on the diagonal they agree.

    Rank 1 leaves first. Above each panel stands Spearman's $\rho$; equal scores share a rank.

    Parameters
    ----------
    scores : mapping
        ``{name: scores (n,)}``, at most five; infinite ones are ranked, NaN is refused.
    truth : array (n,)
        What each neuron's removal costs.
    title : str

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        For no scores, more than five, or NaN.
    ShapeError
        When scores and truth differ in length.

    Examples
    --------
    >>> figure = rank_rank({"same": [1, 2, 3], "reversed": [3, 2, 1]}, [0.1, 0.2, 0.3])
    >>> [panel.get_title() for panel in figure.axes]
    ['same\nρ = 1.00', 'reversed\nρ = -1.00']
    """
    if not 1 <= len(scores) <= 5:
        raise DataError(f"scores: expected one to five, got {len(scores)}")
    wanted = vector(truth, "truth")
    figure = new_figure(max(3.2, 2.5 * len(scores)), 3.2)
    panels: Any = figure.subplots(1, len(scores), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, values) in zip(panels, scores.items(), strict=True):
        found = vector(values, name)
        if len(found) != len(wanted):
            raise ShapeError(f"{name}: expected {len(wanted)} scores, one for each true cost, got {len(found)}")
        x, y = _ranks(wanted, "truth"), _ranks(found, name)
        axes.plot([1, len(x)], [1, len(x)], "--", color=GREY, linewidth=1)
        few = len(x) <= NAMED
        axes.plot(x, y, "o", color=BLUE, markersize=7 if few else 3, alpha=1.0 if few else 0.6)
        for j in range(len(x)) if few else ():
            axes.annotate(f"h{j + 1}", (x[j], y[j]), (6, -3), textcoords="offset points", fontsize=8, color=BLACK)
        axes.set_title(f"{name}\nρ = {float(spearman(found, wanted)):.2f}", fontsize=10)
        axes.set_xlabel("rank by true cost")
        axes.set_aspect("equal")
        plain_axes(axes, "both")
    panels[0].set_ylabel("rank by score")
    headline(figure, title)
    return figure


def _ranks(values: Array, name: str) -> Array:
    """Ranks from 1; equal values get the mean of theirs."""
    if np.isnan(values).any():
        raise DataError(f"{name}: expected numbers, got nan")
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((2 * last - counts + 1) / 2)[which]
