"""What pruning bought: accuracy, parameters, bytes, times, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from matplotlib.figure import Figure

from ..errors import DataError
from .drawing import BLACK, BLUE, headline, new_figure, plain_axes

PAPER = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}  # a number on it covers lines


def speed_size(rows: Mapping[str, tuple[float, float]], title: str = "") -> Figure:
    """Draw what pruning bought: one bar per quantity, pruned ÷ dense, beside the two numbers themselves.

    Parameters
    ----------
    rows : mapping
        ``{quantity with its unit: (dense, pruned)}``, drawn from top to bottom; dense above 0.
    title : str

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        For no rows, numbers that are not finite, or a dense value that is not above 0.

    Notes
    -----
    Source: spec A6 (document 2.7, 3.2.4, 9.6).

    Examples
    --------
    >>> figure = speed_size({"accuracy": (0.97, 0.96), "parameters": (2000, 500)})
    >>> float(figure.axes[0].patches[1].get_width())
    0.25
    """
    if not rows:
        raise DataError("rows: expected at least one quantity, got none")
    for name, (dense, pruned) in rows.items():
        if not (isfinite(dense) and isfinite(pruned) and dense > 0):
            raise DataError(f"{name}: expected finite numbers and dense above 0, got {dense} and {pruned}")
    ratios = [pruned / dense for dense, pruned in rows.values()]
    figure = new_figure(7.5, 1.0 + 0.42 * len(rows))
    axes = figure.subplots()
    axes.barh(range(len(rows)), ratios, height=0.62, color=BLUE, edgecolor=BLACK, linewidth=0.8)
    axes.axvline(1, color=BLACK, linestyle="--", linewidth=1)
    axes.annotate("dense", (1, 1), (0, 3), ("data", "axes fraction"), "offset points", ha="center", va="bottom")
    widest = max(1.0, *ratios)
    for place, (dense, pruned) in enumerate(rows.values()):
        beside: dict[str, Any] = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "bbox": PAPER}
        axes.annotate(f"{ratios[place]:.3f}", (ratios[place], place), **beside)
        axes.text(1.22 * widest, place, f"{_number(dense)} → {_number(pruned)}", va="center")
    axes.set_xlim(0, 1.18 * widest)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlabel("pruned ÷ dense")
    plain_axes(axes, "x")
    headline(figure, title)
    return figure


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
