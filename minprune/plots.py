"""Figures: one style, safe for colour-blind eyes and for print, the same bytes for the same numbers.

Every function returns a matplotlib `Figure` made without pyplot, so nothing global is touched; `save` writes it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from .errors import DataError, FileError
from .files import atomic_write
from .ops import Array

# Okabe and Ito's palette, in the order in which it is used here.
BLUE, RED, GREEN, ORANGE, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7"
GREY = "#8C8C8C"
LINES = ((BLUE, "o", "-"), (RED, "s", "--"), (GREEN, "^", "-."), (ORANGE, "D", ":"), (PURPLE, "v", "-"))
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "svg.hashsalt": "minprune",
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
}
FEW = 24  # up to so many bars are labelled one by one


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure; the suffix of the path says as what.

    Parameters
    ----------
    figure : Figure
    path : str or path
        Ends in ``.png`` or ``.svg``.

    Raises
    ------
    FileError
        For another suffix.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> save(score_bars(np.array([1.0, 2.0]), [0]), Path(mkdtemp()) / "bars.svg")
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".png", ".svg"):
        raise FileError(f"{path}: a figure is saved as .png or .svg, not {suffix or 'without a suffix'}")
    undated: dict[str, Any] = {"metadata": {"Date": None}} if suffix == ".svg" else {}
    with rc_context(STYLE), atomic_write(path) as file:
        figure.savefig(file, format=suffix[1:], dpi=150, **undated)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def score_bars(
    scores: Array,
    drop: Sequence[int],
    truth: Array | None = None,
    title: str = "importance of every neuron",
    truth_label: str = "true cost of\nremoval (loss)",
) -> Figure:
    """One bar per neuron, the removed ones marked; below it what each removal really costs (spec E8).

    Few neurons are labelled h1, h2 …; many are sorted by score. A score of +∞ is drawn at the top and says so.

    Parameters
    ----------
    scores : array (n,)
        Of one group.
    drop : sequence of int
        Which of them are removed.
    truth : array (n,), optional
        True change of the loss without each.
    title, truth_label : str
        What the panels say.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        When there are no scores, or another number of true costs.

    Examples
    --------
    >>> len(score_bars(np.array([1.0, 2.0]), [0], truth=np.array([0.1, -0.1])).axes)
    2
    """
    scores = np.asarray(scores, dtype=float)
    if scores.size == 0:
        raise DataError("score_bars: there are no scores to draw")
    if truth is not None and len(truth) != len(scores):
        raise DataError(f"score_bars: {len(scores)} scores, but {len(truth)} true costs")
    few = len(scores) <= FEW
    order = np.arange(len(scores)) if few else np.argsort(scores, kind="stable")
    removed = np.isin(order, list(drop))
    with rc_context(STYLE):
        figure = _figure(7, 4.2 if truth is not None else 2.8)
        axes = figure.subplots(1 if truth is None else 2, 1, sharex=True, squeeze=False)[:, 0]
        _bars(axes[0], _finite(scores)[order], removed, np.isposinf(scores[order]))
        axes[0].set(title=title, ylabel="score")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2)
        if truth is not None:
            _bars(axes[1], np.asarray(truth, dtype=float)[order], removed, np.zeros(len(order), dtype=bool))
            axes[1].axhline(0, color="black", linewidth=0.8)
            axes[1].set_ylabel(truth_label)
        if few:
            axes[-1].set_xticks(range(len(order)), [f"h{j + 1}" for j in order])
        else:
            axes[-1].set(xlabel="neurons, sorted by score", xticks=[])
    return figure


def _finite(scores: Array) -> Array:
    """+∞ drawn a little above the largest finite score."""
    finite = scores[np.isfinite(scores)]
    top = 1.15 * float(finite.max()) if len(finite) and finite.max() > 0 else 1.0
    return np.where(np.isposinf(scores), top, scores)


def _bars(axes: Any, heights: Array, removed: Array, infinite: Array) -> None:
    x, width = np.arange(len(heights)), 0.8 if len(heights) <= FEW else 1.0
    hatch = "////" if len(heights) <= FEW else ""
    edge: Any = {"edgecolor": "white", "linewidth": 0.4 if len(heights) <= FEW else 0.0}
    axes.bar(x[~removed], heights[~removed], width, color=BLUE, label="kept", **edge)
    axes.bar(x[removed], heights[removed], width, color=RED, hatch=hatch, label="removed", **edge)
    for place in x[infinite]:
        axes.annotate("∞", (place, heights[place]), ha="center", va="bottom")


def accuracy_against_removed(
    curves: Mapping[str, tuple[Array, Array]],
    title: str = "accuracy against fraction of neurons removed: mean and range over seeds",
    ylabel: str = "validation accuracy",
) -> Figure:
    """A line per rule: the mean over seeds, with the range over all seeds as a band (spec F2).

    Parameters
    ----------
    curves : mapping
        Label -> (fractions (k,), accuracies (seeds, k)).
    title, ylabel : str

    Returns
    -------
    Figure

    Examples
    --------
    >>> figure = accuracy_against_removed({"taylor": (np.array([0.0, 0.5]), np.array([[0.9, 0.8], [0.92, 0.7]]))})
    >>> figure.axes[0].lines[0].get_ydata()
    array([0.91, 0.75])
    """
    if not curves:
        raise DataError("accuracy_against_removed: there are no curves to draw")
    with rc_context(STYLE):
        figure = _figure(7, 4)
        axes = figure.subplots()
        for number, (label, (fractions, accuracies)) in enumerate(curves.items()):
            color, marker, line = LINES[number % len(LINES)]
            accuracies = np.atleast_2d(accuracies)
            axes.fill_between(fractions, accuracies.min(axis=0), accuracies.max(axis=0), color=color, alpha=0.15, lw=0)
            axes.plot(fractions, accuracies.mean(axis=0), line, color=color, marker=marker, markersize=5, label=label)
        axes.set(title=title, xlabel="fraction of hidden neurons removed", ylabel=ylabel, ylim=(0, 1.02))
        axes.grid(axis="y", alpha=0.3)
        axes.legend(loc="lower left")
    return figure


def weight_images(
    before: Array, after: Array, drop: Sequence[int], scores: Array, shape: tuple[int, int], most: int = 40
) -> Figure:
    """What neurons look for: their incoming weights as images, before with the removed ones crossed out, and after.

    Before, an even sample from the lowest to the highest score is shown; after, the kept ones among them.

    Parameters
    ----------
    before : array (n, pixels)
        Weights of the dense layer.
    after : array (kept, pixels)
        Of the pruned one.
    drop : sequence of int
        Which neurons were removed.
    scores : array (n,)
        What they were ranked by.
    shape : (int, int)
        Of an image.
    most : int
        How many to show.

    Returns
    -------
    Figure

    Examples
    --------
    >>> W = np.eye(4)
    >>> figure = weight_images(W, W[1:], [0], np.arange(4.0), shape=(2, 2))
    >>> len(figure.subfigs)
    2
    """
    order = np.argsort(scores, kind="stable")
    shown = order[np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int))]
    kept = np.setdiff1d(np.arange(len(before)), list(drop))
    place = {int(j): row for row, j in enumerate(kept)}
    with rc_context(STYLE):
        figure = _figure(8, 3.6)
        left, right = np.ravel(np.asarray(figure.subfigures(1, 2)))
        _grid(left, [(before[j], int(j) not in place) for j in shown], shape)
        left.suptitle("before, lowest score first; removed ones crossed out", fontsize=10)
        _grid(right, [(after[place[int(j)]], False) if int(j) in place else None for j in shown], shape)
        right.suptitle("after", fontsize=10)
    return figure


def _grid(figure: Any, images: Sequence[tuple[Array, bool] | None], shape: tuple[int, int]) -> None:
    columns = min(8, len(images))
    axes = figure.subplots(ceil(len(images) / columns), columns, squeeze=False).ravel()
    limit = max((float(np.abs(image[0]).max()) for image in images if image is not None), default=1.0)
    for ax in axes:
        ax.set_axis_off()
    for ax, image in zip(axes, images, strict=False):
        if image is None:
            continue
        ax.imshow(image[0].reshape(shape), cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=0.45 if image[1] else 1.0)
        if image[1]:
            ax.plot([0, 1], [0, 1], color="black", linewidth=1, transform=ax.transAxes)
            ax.plot([0, 1], [1, 0], color="black", linewidth=1, transform=ax.transAxes)


def predictions(targets: Array, before: Array, after: Array, title: str = "prediction against target") -> Figure:
    """Prediction against target, before and after pruning, one panel per output (what spec E9 should have shown).

    Parameters
    ----------
    targets, before, after : array (N, K)
    title : str

    Returns
    -------
    Figure

    Examples
    --------
    >>> t = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> len(predictions(t, t, t).axes)
    2
    """
    targets, before, after = (np.asarray(values, dtype=float) for values in (targets, before, after))
    if not targets.shape == before.shape == after.shape:
        raise DataError(f"predictions: shapes differ: {targets.shape}, {before.shape}, {after.shape}")
    with rc_context(STYLE):
        figure = _figure(3.4 * targets.shape[1], 3.4)
        low, high = min(targets.min(), before.min(), after.min()), max(targets.max(), before.max(), after.max())
        for k, ax in enumerate(figure.subplots(1, targets.shape[1], squeeze=False)[0]):
            ax.plot([low, high], [low, high], color=GREY, linewidth=1, label="perfect")
            ax.plot(
                targets[:, k], before[:, k], "o", color=BLUE, markersize=9, fillstyle="none", label="before pruning"
            )
            ax.plot(targets[:, k], after[:, k], "s", color=RED, markersize=5, label="after")
            ax.set(title=f"output {k + 1}", xlabel="target", ylabel="prediction" if k == 0 else "")
        handles, labels = ax.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.suptitle(title, fontsize=11)
    return figure


def ratios(rows: Mapping[str, float], title: str = "pruned ÷ dense") -> Figure:
    """Horizontal bars of the pruned network's costs as fractions of the dense one's, with a line at 1.

    Parameters
    ----------
    rows : mapping
        What -> ratio.
    title : str

    Returns
    -------
    Figure

    Examples
    --------
    >>> len(ratios({"parameters": 0.3, "accuracy": 0.99}).axes[0].patches)
    2
    """
    if not rows:
        raise DataError("ratios: there is nothing to draw")
    with rc_context(STYLE):
        figure = _figure(7, 0.6 + 0.42 * len(rows))
        ax = figure.subplots()
        names = list(rows)[::-1]
        bars = ax.barh(names, [rows[name] for name in names], color=BLUE, height=0.65)
        ax.bar_label(bars, [f"{rows[name]:.2f}" for name in names], padding=4)
        ax.axvline(1, color="black", linewidth=1)
        ax.set(title=title, xlim=(0, max(1.15, 1.12 * max(rows.values()))))
    return figure
