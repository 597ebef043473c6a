"""Rank against rank: does a score put the neurons in the order of the truth?"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..correlation import signs, spearman
from ..errors import DataError, ShapeError
from ..ops import Array
from .drawing import BLUE, GREY, ORANGE, finite, headline, new_figure, plain_axes, vector

ACROSS = 4  # panels in a row


def rank_ranks(
    scores: Mapping[str, ArrayLike], truth: ArrayLike, removed: int = 0, title: str = "", unit: str = "neuron"
) -> Figure:
    r"""Draw every neuron's rank by a score against its rank by the truth, one panel for each score.

    On the rising diagonal both say the same; Spearman's ρ, the correlation of these ranks, stands above.

    Parameters
    ----------
    scores : mapping
        ``{criterion: scores (n,)}``; larger = keep, +∞ allowed.
    truth : array (n,)
        What removing each alone costs.
    removed : int
        How many with the lowest scores are marked as going.
    title : str
    unit : str
        What is ranked.

    Returns
    -------
    Figure
        Rank 1 is the lowest; equal scores share the mean of their ranks.

    Raises
    ------
    DataError
        For no scores, NaN, a truth that is not finite, or a `removed` that is out of range.
    ShapeError
        When a score and the truth differ in length.

    Examples
    --------
    >>> figure = rank_ranks({"right": [1, 2, 3], "backwards": [3, 2, 1]}, truth=[0.1, 0.2, 0.3])
    >>> [panel.get_title(loc="left") for panel in figure.axes]
    ['right: ρ = 1.00', 'backwards: ρ = -1.00']
    """
    if not scores:
        raise DataError("scores: expected at least one criterion, got none")
    costs = finite(vector(truth, "truth"), "truth")
    if not 0 <= removed <= len(costs):
        raise DataError(f"removed is {removed}, expected a number from 0 to {len(costs)}")
    down = ceil(len(scores) / ACROSS)
    across = ceil(len(scores) / down)
    figure = new_figure(max(4.2, 2.9 * across), 0.9 + 2.9 * down)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axes, (name, values) in zip(panels.flat, scores.items(), strict=False):
        numbers = vector(values, name)
        if len(numbers) != len(costs):
            raise ShapeError(f"{name}: expected shape {costs.shape} like the truth, got {numbers.shape}")
        if np.isnan(numbers).any():
            raise DataError(f"{name}: expected numbers, got nan")
        _panel(axes, name, numbers, costs, removed)
    for axes in panels.flat[len(scores) :]:
        axes.set_axis_off()
    for place in range(across):  # the lowest of each column
        lowest = panels.flat[max(i for i in range(len(scores)) if i % across == place)]
        lowest.set_xlabel(f"{unit}'s rank by the truth")
        lowest.tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel("rank by the score")
    if removed:
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    headline(figure, title)
    return figure


def _ranks(values: Array) -> Array:
    """Ranks from 1, of equal values their mean."""
    return (signs(values).sum(axis=1) + len(values) + 1) / 2


def _panel(axes: Axes, name: str, values: Array, costs: Array, removed: int) -> None:
    ranks, wanted = _ranks(values), _ranks(costs)
    goes = np.zeros(len(values), dtype=bool)
    goes[np.argsort(values, kind="stable")[:removed]] = True
    size = 7 if len(values) <= 40 else 3.5
    axes.axline((1, 1), slope=1, color=GREY, linestyle="--", linewidth=1, label="the same order")
    axes.plot(wanted[~goes], ranks[~goes], "o", mfc="none", mec=BLUE, markersize=size, label="kept")
    axes.plot(wanted[goes], ranks[goes], "s", color=ORANGE, mec="black", mew=0.5, markersize=size, label="pruned")
    rho = float(spearman(values, costs))
    axes.set_title(
        f"{name}: ρ = {round(rho, 2) + 0.0:.2f}" if np.isfinite(rho) else f"{name}: all equal", loc="left", fontsize=10
    )
    axes.set_aspect("equal")
    plain_axes(axes, "both")
