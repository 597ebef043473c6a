"""Figures to choose by: what each layer can spare alone, and what accuracy costs in time and bytes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike

from ..choosing.fronts import pareto_front
from ..errors import DataError, ShapeError
from ..ops import Array
from .drawing import (
    BLACK,
    BLUE,
    DASHES,
    GREY,
    LINES,
    MARKERS,
    VERMILION,
    as_percent,
    finite,
    headline,
    new_figure,
    plain_axes,
    vector,
)

LIGHT = "#BBBBBB"
FARTHEST = 10  # times the error of the dense network: what is worse is not drawn


def sensitivity_scan(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], ylabel: str = "accuracy") -> Figure:
    """Draw what is left of the accuracy when a fraction of one group goes, a line for each group.

    Parameters
    ----------
    curves : mapping
        ``{group: (fractions removed (k,), accuracies (k,))}``; `Scan.curves` makes it.
    ylabel : str
        What the numbers are; "accuracy" and the like, from 0 to 1, are written as percentages.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        For no curves, an empty one, or numbers that are not finite.
    ShapeError
        When a curve's fractions and accuracies are not equally many.

    Examples
    --------
    >>> figure = sensitivity_scan({"dense1": ([0, 0.5], [0.9, 0.8]), "dense2": ([0, 0.5], [0.9, 0.4])})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['dense1', 'dense2']
    """
    if not curves:
        raise DataError("curves: expected at least one, got none")
    figure = new_figure(7.0, 4.4)
    axes = figure.subplots()
    for i, (group, (fractions, values)) in enumerate(curves.items()):
        x = finite(vector(fractions, f"{group}: fractions"), group)
        y = finite(vector(values, group), group)
        if len(x) != len(y):
            raise ShapeError(f"{group}: expected as many values as fractions, {len(x)}, got {len(y)}")
        dash, marker, colour = DASHES[i % len(DASHES)], MARKERS[i % len(MARKERS)], LINES[i % len(LINES)]
        axes.plot(x, y, dash, marker=marker, color=colour, label=group, markersize=6)
    axes.set_xlabel("neurons removed from this group alone")
    axes.set_ylabel(ylabel)
    as_percent(axes.xaxis)
    if "accuracy" in ylabel:
        as_percent(axes.yaxis)
    axes.legend(loc="lower left", frameon=True, framealpha=0.9, edgecolor="none")
    plain_axes(axes, "both")
    return figure


def pareto(
    quality: ArrayLike,
    seconds: ArrayLike,
    sizes: ArrayLike,
    chosen: int,
    limits: Mapping[str, float] | None = None,
    ylabel: str = "accuracy",
    title: str = "",
) -> Figure:
    """Draw accuracy against time and against bytes, one mark for each candidate; a line joins what nothing beats.

    Parameters
    ----------
    quality, seconds, sizes : array (n,)
        Accuracy, seconds of a call and bytes of every candidate, the dense network first; `Choice.for_plot` has them.
    chosen : int
        Whose mark gets a ring.
    limits : mapping, optional
        "quality", "seconds", "bytes" -> what was asked for: drawn as dashed lines.
    ylabel, title : str

    Returns
    -------
    Figure
        Two panels that share the vertical axis; the horizontal ones are logarithmic. The line in each is the front of
        these two numbers alone; a filled mark is on the front of all three. Candidates that lack more than ten times as
        much as the dense network (of an accuracy or R² of 1), and more than 0.1, lie below the figure and are counted
        in its legend.

    Raises
    ------
    DataError
        For no candidates, numbers that are not finite, times or bytes that are not above 0, or a `chosen` that is not
        there.
    ShapeError
        When the three are not vectors of one length.

    Notes
    -----
    Source: spec A5 (document 2.6, 9.6).

    Examples
    --------
    >>> figure = pareto([0.97, 0.96, 0.9], [4e-5, 2e-5, 3e-5], [4000, 2000, 1000], chosen=1)
    >>> [panel.get_xlabel() for panel in figure.axes]
    ['time of a call (µs)', 'kB in memory']
    """
    y, times, sizes = (
        finite(vector(values, name), name)
        for values, name in ((quality, "quality"), (seconds, "seconds"), (sizes, "sizes"))
    )
    if not len(y) == len(times) == len(sizes):
        raise ShapeError(f"pareto: expected three vectors of one length, got {len(y)}, {len(times)}, {len(sizes)}")
    if not 0 <= chosen < len(y):
        raise DataError(f"chosen is {chosen}, expected an index from 0 to {len(y) - 1}")
    if min(times.min(), sizes.min()) <= 0:
        raise DataError(f"pareto: expected times and bytes above 0, got {min(times.min(), sizes.min())}")
    limits = limits or {}
    seen = np.flatnonzero(y >= min(y[chosen], 1 - max(0.1, FARTHEST * (1 - y[0]))))  # chosen and dense are among them
    below, chosen = len(y) - len(seen), int(np.searchsorted(seen, chosen))
    front = np.searchsorted(seen, [i for i in pareto_front(np.column_stack([-y, times, sizes])) if i in seen])
    y, times, sizes = y[seen], times[seen], sizes[seen]
    figure = new_figure(9.0, 4.6)
    left, right = figure.subplots(1, 2, sharey=True)
    unit, scale = ("ms", 1e3) if np.median(times) >= 1e-3 else ("µs", 1e6)
    _trade(left, times * scale, y, front, chosen, limits.get("seconds", np.nan) * scale)
    _trade(right, sizes / 1000, y, front, chosen, limits.get("bytes", np.nan) / 1000)
    for axes in (left, right):
        axes.axhline(limits.get("quality", np.nan), color=GREY, linestyle=":", linewidth=1.2)
        if limits:
            axes.plot([], [], ":", color=GREY, label="asked for")
    left.set_xlabel(f"time of a call ({unit})")
    right.set_xlabel("kB in memory")
    left.set_ylabel(ylabel)
    if "accuracy" in ylabel:
        as_percent(left.yaxis)
    if below:
        right.plot([], [], " ", label=f"({below} below)")
    handles, labels = right.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=7, columnspacing=1.2, handletextpad=0.5, frameon=False
    )
    headline(figure, title)
    return figure


def _trade(axes: Axes, costs: Array, y: Array, front: Array, chosen: int, limit: float) -> None:
    """One panel: the candidates, the front of these two numbers as a staircase, and who was chosen."""
    steps = sorted(pareto_front(np.column_stack([-y, costs])), key=lambda i: costs[i])
    axes.plot(costs[steps], y[steps], drawstyle="steps-post", color=BLUE, linewidth=1.2, label="front of these two")
    beaten = np.setdiff1d(np.arange(1, len(y)), front)
    axes.plot(costs[beaten], y[beaten], "o", mfc="none", mec=LIGHT, markersize=5, label="beaten")
    best = np.setdiff1d(front, [0])
    axes.plot(costs[best], y[best], "o", color=BLUE, markersize=5, label="front of all three")
    axes.plot(costs[:1], y[:1], "D", color=BLACK, markersize=6, label="dense")
    (ring,) = axes.plot(costs[[chosen]], y[[chosen]], "o", mfc="none", mec=VERMILION, markersize=13, label="chosen")
    ring.set(markeredgewidth=2, zorder=5)
    axes.axvline(limit, color=GREY, linestyle=":", linewidth=1.2)
    axes.set_xscale("log")
    narrow = costs.max() < 5 * costs.min()  # then 1, 2 and 5 would be too few
    axes.xaxis.set_major_locator(LogLocator(subs=range(1, 10) if narrow else (1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.4g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    plain_axes(axes, "both")
