"""Figures that a lesson needs: a sum that grows term by term, a curve and its tangents, errors by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..errors import DataError, ShapeError
from ..ops import Array
from .drawing import BLACK, BLUE, GREEN, GREY, VERMILION, finite, headline, new_figure, plain_axes, vector

Curve = Callable[[Any], Any]
ZERO = 1e-19  # where a logarithmic scale shows an error of 0
PAPER = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}  # behind a word


def running_sum(terms: Mapping[str, float], title: str = "", ylabel: str = "sum so far") -> Figure:
    r"""Draw a sum as a staircase: every term begins where the one before it ended; the last bar is the result.

    $s_k = \sum_{i \le k} t_i$.

    Parameters
    ----------
    terms : mapping
        ``{name: term}``, in order. What adds is blue, what takes away vermilion and hatched.
    title, ylabel : str

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        For no terms, or numbers that are not finite.

    Examples
    --------
    >>> figure = running_sum({"a": 0.5, "b": -0.2})
    >>> [round(float(bar.get_height()), 2) for bar in figure.axes[0].patches]
    [0.5, -0.2, 0.3]
    """
    values = finite(vector([*terms.values()], "terms"), "terms")
    ends = [0.0, *accumulate(values.tolist())]
    names = [*terms, "sum"]
    figure = new_figure(max(4.5, 0.9 * len(names)), 3.2)
    axes = figure.subplots()
    outline: dict[str, Any] = {"edgecolor": BLACK, "linewidth": 0.8, "width": 0.62}
    for place, (start, end) in enumerate(pairwise(ends)):
        up = end >= start
        axes.bar(place, end - start, bottom=start, color=BLUE if up else VERMILION, hatch="" if up else "//", **outline)
        axes.plot([place, place + 1], [end, end], color=GREY, linewidth=0.8, linestyle=":")
        axes.annotate(f"{end - start:+.4g}", (place, max(start, end)), (0, 3), textcoords="offset points", ha="center")
    axes.bar(len(values), ends[-1], color=GREY, **outline)
    axes.annotate(f"{ends[-1]:.4g}", (len(values), max(0, ends[-1])), (0, 3), textcoords="offset points", ha="center")
    axes.axhline(0, color=BLACK, linewidth=0.8)
    low, high = min(ends), max(ends)
    axes.set_ylim(low - 0.12 * (high - low) * (low < 0), high + 0.12 * (high - low))  # room for the numbers
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel(ylabel)
    plain_axes(axes, "y")
    headline(figure, title)
    return figure


def with_tangents(
    curve: Curve,
    between: tuple[float, float],
    at: float,
    approximations: Mapping[str, Curve],
    marks: Mapping[str, float] | None = None,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
) -> Figure:
    """Draw a curve, the point where it is looked at, and what approximates it there.

    Parameters
    ----------
    curve : callable
        Takes an array (n,) and gives one.
    between : (float, float)
        From where to where.
    at : float
        Where the approximations touch the curve.
    approximations : mapping
        ``{name: callable}``: a tangent, a parabola.
    marks : mapping, optional
        ``{name: x}``: further points on the curve.
    title, xlabel, ylabel : str

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        For an empty interval, or a curve that is not finite there.

    Examples
    --------
    >>> figure = with_tangents(np.square, (-1, 2), 1.0, {"tangent": lambda x: 2 * x - 1})
    >>> [line.get_label() for line in figure.axes[0].lines][:2]
    ['exact', 'tangent']
    """
    low, high = between
    if not low < high:
        raise DataError(f"between: expected a lower and a higher end, got {low} and {high}")
    x: Array = np.linspace(low, high, 201)
    figure = new_figure(5.6, 3.6)
    axes = figure.subplots()
    axes.plot(x, finite(np.asarray(curve(x), dtype=np.float64), "curve"), color=BLUE, linewidth=2, label="exact")
    room = axes.get_ylim()
    for (name, approximation), colour, dash in zip(
        approximations.items(), (VERMILION, GREEN, BLACK), ("--", "-.", ":"), strict=False
    ):
        axes.plot(x, approximation(x), dash, color=colour, linewidth=1.6, label=name)
    axes.set_ylim(room[0] - 0.1 * (room[1] - room[0]), room[1])
    for name, place in {"here": at, **(marks or {})}.items():
        height, ahead = (float(v) for v in curve(np.array([place, place + 0.01 * (high - low)])))
        axes.plot([place], [height], "o" if name == "here" else "s", color=BLACK, markersize=7)
        aside = (9, -13) if ahead > height else (9, 5)  # where the curve is not
        axes.annotate(name, (place, height), aside, textcoords="offset points", bbox=PAPER)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.legend(frameon=False)
    plain_axes(axes, "both")
    headline(figure, title)
    return figure


def step_sizes(steps: ArrayLike, errors: Mapping[str, ArrayLike], title: str = "") -> Figure:
    """Draw how far numeric derivatives are off, against their step, both on logarithmic scales.

    Parameters
    ----------
    steps : array (n,)
        Above 0.
    errors : mapping
        ``{name: errors (n,)}``, at least 0; an error of 0 is drawn at 10⁻¹⁹, at the bottom.
    title : str

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        For steps that are not above 0, or numbers that are not finite.
    ShapeError
        When steps and errors differ in length.

    Examples
    --------
    >>> figure = step_sizes([0.1, 0.01], {"central difference": [1e-3, 0.0]})
    >>> figure.axes[0].lines[0].get_ydata().tolist()
    [0.001, 1e-19]
    """
    sizes = finite(vector(steps, "steps"), "steps")
    if (sizes <= 0).any():
        raise DataError(f"steps: expected numbers above 0, got {sizes.min():g}")
    figure = new_figure(5.6, 3.6)
    axes = figure.subplots()
    for (name, off), colour, marker in zip(errors.items(), (VERMILION, BLUE, GREEN), "osv", strict=False):
        heights = finite(vector(off, name), name)
        if len(heights) != len(sizes):
            raise ShapeError(f"{name}: expected {len(sizes)} errors, one for each step, got {len(heights)}")
        axes.loglog(sizes, np.maximum(heights, ZERO), marker=marker, color=colour, label=name)
    axes.set_xlabel("step ε")
    axes.set_ylabel("error")
    axes.legend(frameon=False)
    plain_axes(axes, "both")
    headline(figure, title)
    return figure
