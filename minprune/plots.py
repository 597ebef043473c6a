"""Figures: scores beside the truth, accuracy against size, weights as images, predictions, what pruning bought.

Every function returns a `matplotlib.figure.Figure` that belongs to nobody: no pyplot, no window, no global state.
`save` writes it, `show` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, inf
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .errors import DataError, ShapeError
from .figures.agreement import agreement_figure
from .figures.arrays import array_map
from .figures.choice import pareto, sensitivity_scan
from .figures.drawing import (
    BLACK,
    BLUE,
    DASHES,
    GREY,
    LINES,
    MARKERS,
    ORANGE,
    VERMILION,
    as_percent,
    finite,
    headline,
    marked,
    new_figure,
    plain_axes,
    save,
    vector,
)
from .figures.durations import time_bars
from .figures.lessons import running_sum, step_sizes, with_tangents
from .figures.mosaics import weight_images
from .figures.networks import network_drawing
from .figures.neuron import explain_figure
from .figures.ordering import rank_ranks
from .figures.savings import speed_size
from .figures.showing import show
from .figures.values import network_values
from .ops import Array

__all__ = [
    "accuracy_against_removed",
    "agreement_figure",
    "array_map",
    "explain_figure",
    "network_drawing",
    "network_values",
    "pareto",
    "predictions",
    "rank_ranks",
    "running_sum",
    "save",
    "score_bars",
    "sensitivity_scan",
    "show",
    "speed_size",
    "step_sizes",
    "time_bars",
    "weight_images",
    "with_tangents",
]

LABELLED = 32  # more bars than this are sorted and lose their names and outlines


def score_bars(
    scores: ArrayLike,
    drop: Sequence[int],
    truth: ArrayLike | None = None,
    title: str = "",
    xlabel: str = "neuron",
    ylabel: str = "importance score",
) -> Figure:
    """Draw one bar for every neuron of a group, the pruned ones marked, and under it what its removal really costs.

    Up to 32 neurons stand in their own order with their names, h1 first; more are sorted by score.

    Parameters
    ----------
    scores : array (n,)
        Larger = keep. +∞ is drawn to the top and marked.
    drop : sequence of int
        Indices of the pruned neurons, from 0.
    truth : array (n,), optional
        The loss change when that neuron alone is removed (criterion ``leave_one_out``); gets a second panel.
    title, xlabel : str
    ylabel : str
        What the bars of the first panel are.

    Returns
    -------
    Figure
        One panel, or two that share the neurons' axis.

    Raises
    ------
    DataError
        For no neurons, NaN, −∞, or a truth that is not finite.
    ShapeError
        When scores and truth are not vectors of one length.
    PlanError
        When `drop` names a neuron that is not there.

    Notes
    -----
    Source: spec E8 (document 5.3.8), as meant: a bar per neuron, not per parameter tensor.

    Examples
    --------
    >>> figure = score_bars([0.5, 0.1, np.inf], drop=[1], truth=[0.2, -0.1, 0.3])
    >>> [len(panel.patches) for panel in figure.axes]
    [3, 3]
    """
    heights = vector(scores, "scores")
    if np.isnan(heights).any() or (heights == -inf).any():
        raise DataError(f"scores: expected finite numbers or +inf, got {heights[~(heights > -inf)][0]}")
    gone = marked(drop, len(heights))
    few = len(heights) <= LABELLED
    order = np.arange(len(heights)) if few else np.argsort(-heights, kind="stable")
    figure = new_figure(max(5.0, 0.32 * len(heights)) if few else 9.0, 3.2 if truth is None else 5.2)
    panels = figure.subplots(1 if truth is None else 2, 1, sharex=True, squeeze=False)[:, 0]
    _score_panel(panels[0], heights[order], gone[order], few)
    panels[0].set_ylabel(ylabel)
    if truth is not None:
        costs = finite(vector(truth, "truth"), "truth")
        if len(costs) != len(heights):
            raise ShapeError(f"truth: expected shape {heights.shape} like the scores, got {costs.shape}")
        _bars(panels[1], costs[order], gone[order], few)
        panels[1].axhline(0, color=BLACK, linewidth=0.8)
        panels[1].set_ylabel("loss change when\nremoved alone")
    panels[-1].set_xlim(-0.8, len(heights) - 0.2)
    panels[-1].set_xticks(range(len(heights)) if few else [], [f"h{j + 1}" for j in order] if few else [])
    panels[-1].set_xlabel(xlabel if few else f"{len(heights)} {xlabel}s, sorted by score")
    if few and len(heights) > 9:  # h10 is wider than its bar
        panels[-1].tick_params(axis="x", labelsize=8)
    headline(figure, title)
    return figure


def _score_panel(axes: Axes, heights: Array, gone: Array, few: bool) -> None:
    """The bars of the scores; an infinite one ends at a triangle a little above the highest finite one."""
    endless = np.flatnonzero(heights == inf)
    bounded = [0.0, *heights[heights < inf]]
    top = max(bounded) + 0.15 * (np.ptp(bounded) or 1.0)
    _bars(axes, np.where(heights == inf, top, heights), gone, few)
    axes.axhline(0, color=BLACK, linewidth=0.8)
    if len(endless):
        axes.set_ylim(top=top + 0.12 * (top - min(bounded)))  # room for the sign
        axes.plot(endless, np.full(len(endless), top), "^", color=BLACK, markersize=6 if few else 3, clip_on=False)
        notes = [(j, "∞") for j in endless] if few else [(endless.mean(), f"∞ × {len(endless)}")]
        for x, note in notes:
            axes.annotate(note, (x, top), (0, 4), textcoords="offset points", ha="center", fontsize=12)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.02), ncols=2, frameon=False, borderaxespad=0)


def _bars(axes: Axes, heights: Array, gone: Array, few: bool) -> None:
    for which, colour, hatch, name in ((~gone, BLUE, "", "kept"), (gone, ORANGE, "////", "pruned")):
        at = np.flatnonzero(which)
        outline = {"edgecolor": BLACK, "linewidth": 0.8, "hatch": hatch, "width": 0.7} if few else {"width": 1.0}
        axes.bar(at, heights[at], color=colour, label=f"{name} ({len(at)})", **outline)
    plain_axes(axes, "y")


def accuracy_against_removed(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], ylabel: str = "accuracy", xlabel: str = "neurons removed"
) -> Figure:
    """Draw accuracy against the fraction of neurons removed: the mean over seeds, and their range as a band.

    Parameters
    ----------
    curves : mapping
        ``{label: (fractions (k,), accuracies (seeds, k))}``, all from 0 to 1.
    ylabel, xlabel : str
        Accuracy of what, on what; and what was removed.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        For no curves, an empty one, or numbers that are not finite.
    ShapeError
        When a curve's accuracies are not (seeds, k).

    Notes
    -----
    Source: spec F2 (document 3.3, 8.1).

    Examples
    --------
    >>> figure = accuracy_against_removed({"taylor": ([0, 0.5], [[0.9, 0.8], [0.92, 0.7]])})
    >>> figure.axes[0].lines[0].get_ydata()
    array([0.91, 0.75])
    """
    if not curves:
        raise DataError("curves: expected at least one, got none")
    figure = new_figure(7.0, 4.4)
    axes = figure.subplots()
    seeds = set()
    for i, (label, (fractions, accuracies)) in enumerate(curves.items()):
        x = finite(vector(fractions, f"{label}: fractions"), label)
        y = finite(np.asarray(accuracies, dtype=np.float64), label)
        if y.ndim != 2 or not len(y) or y.shape[1] != len(x):
            raise ShapeError(f"{label}: expected accuracies of shape (seeds, {len(x)}), got {y.shape}")
        colour, marker, dash = LINES[i % len(LINES)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)]
        axes.fill_between(x, y.min(axis=0), y.max(axis=0), color=colour, alpha=0.18, linewidth=0)
        axes.plot(x, y.mean(axis=0), dash, marker=marker, color=colour, label=label, markersize=6)
        seeds.add(len(y))
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    as_percent(axes.xaxis)
    as_percent(axes.yaxis)
    many = max(seeds) > 1
    title = f"mean and range over {'–'.join(map(str, sorted(seeds)))} seeds" if many else None
    axes.legend(loc="lower left", frameon=True, framealpha=0.9, edgecolor="none", title=title, alignment="left")
    plain_axes(axes, "both")
    return figure


def predictions(
    targets: ArrayLike,
    before: ArrayLike,
    after: ArrayLike,
    labels: tuple[str, str] = ("before pruning", "after pruning"),
) -> Figure:
    """Draw prediction against target, before and after pruning, one panel per output; on the diagonal they agree.

    Parameters
    ----------
    targets, before, after : array (N, K), or (N,) for one output
        What was wanted, and what the dense and the pruned network say.
    labels : (str, str)
        What these two networks are called.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        For no samples, or numbers that are not finite.
    ShapeError
        When the three differ in shape.

    Notes
    -----
    Source: spec E9 (document 5.3.12), as meant: the listing's figure holds no target.

    Examples
    --------
    >>> figure = predictions([[0, 1], [1, 0]], [[0.2, 0.7], [0.8, 0.1]], [[0.1, 0.8], [0.7, 0.3]])
    >>> [panel.get_title() for panel in figure.axes]
    ['output 1', 'output 2']
    """
    wanted = np.asarray(targets, dtype=np.float64)
    series = [np.asarray(said, dtype=np.float64) for said in (wanted, before, after)]
    if wanted.ndim not in (1, 2) or {said.shape for said in series} != {wanted.shape}:
        raise ShapeError(f"predictions: expected three arrays (N, K), got {', '.join(str(s.shape) for s in series)}")
    if not wanted.size:
        raise DataError("predictions: expected at least one sample and output, got none")
    columns = [finite(said, "predictions").reshape(len(wanted), -1) for said in series]
    count = columns[0].shape[1]
    across = min(count, 5)
    down = ceil(count / across)
    figure = new_figure(max(5.2, 2.9 * across), 0.7 + 2.9 * down)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    low, high = min(c.min() for c in columns), max(c.max() for c in columns)
    margin = 0.06 * (high - low or 1.0)
    for k, axes in enumerate(panels.flat[:count]):
        _prediction_panel(axes, k, labels, *(column[:, k] for column in columns))
        axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal")
        if k + across >= count:  # nothing stands below it
            axes.set_xlabel("target")
            axes.tick_params(labelbottom=True)
    for axes in panels.flat[count:]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel("prediction")
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def _prediction_panel(axes: Axes, k: int, labels: tuple[str, str], wanted: Array, before: Array, after: Array) -> None:
    few = len(wanted) <= LABELLED
    axes.axline((0, 0), slope=1, color=GREY, linestyle="--", linewidth=1, label="exact")
    size, alpha = (8, 1.0) if few else (4, 0.5)
    style: dict[str, Any] = {"markersize": size, "alpha": alpha, "mew": 1.5}
    axes.plot(wanted, before, "o", mfc="none", mec=BLUE, label=labels[0], **style)
    axes.plot(wanted, after, "x", color=VERMILION, label=labels[1], **style)
    axes.set_title(f"output {k + 1}", fontsize=11)
    plain_axes(axes, "both")
