"""What all figures share: one style, checked numbers, and files that are the same bytes every time.

Colours are those of Okabe and Ito (2008, *Color universal design*), which people with any colour vision tell apart;
hatches, markers and line styles say the same once more for print without colour.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike

from ..errors import DataError, FileError, PlanError, ShapeError
from ..files import atomic_write
from ..ops import Array

BLACK, GREY = "#000000", "#666666"
BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"
LINES = (BLUE, VERMILION, GREEN, BLACK, PURPLE, ORANGE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # one more than LINES: the pair repeats only after 56 curves
DASHES = ("-", "--", "-.", ":")
DPI = 150
METADATA = {".png": {"Software": None}, ".svg": {"Date": None}}  # nothing in a file that changes by itself


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG (150 dots per inch) or SVG, by suffix; the same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure
        Its layout is settled here; what is added later is drawn, but makes no room for itself.
    path : path
        Ends in ``.png`` or ``.svg``; it holds either its old bytes or all of the new ones.

    Raises
    ------
    FileError
        For any other suffix.

    Examples
    --------
    >>> save(new_figure(4, 3), "scores.pdf")
    Traceback (most recent call last):
    minprune.errors.FileError: scores.pdf: figures are written as .png or .svg, got suffix '.pdf'
    """
    suffix = Path(path).suffix.lower()
    if suffix not in METADATA:
        raise FileError(f"{path}: figures are written as .png or .svg, got suffix {Path(path).suffix!r}")
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once: every further layout would move things by a hair
        for axes in figure.axes:  # and the layout itself is not the same to the last bit every time
            axes.set_position(Bbox(axes.get_position(original=True).get_points().round(9)))
    # An SVG's inner names are salted hashes; by default the salt is drawn anew for every file.
    with matplotlib.rc_context({"svg.hashsalt": "minprune"}), atomic_write(path) as file:
        figure.savefig(file, format=suffix[1:], dpi=DPI, metadata=METADATA[suffix])


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches that lays out its parts without overlaps, and belongs to nobody."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def headline(figure: Figure, title: str) -> None:
    """Put a title, if there is one, over the whole figure, at its left edge; what is too long takes more lines."""
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, wrap=True)


def plain_axes(axes: Axes, grid: Literal["x", "y", "both"]) -> None:
    """Leave out what carries no number: the frame's upper and right side; grid lines stay behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)


def as_percent(axis: Axis) -> None:
    """Write an axis's numbers as percentages, each with as many digits as it has: 0.975 is 97.5%, not 98%."""
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{round(100 * share, 6) + 0.0:g}%"))


def vector(values: ArrayLike, name: str) -> Array:
    """The numbers as float64 (n,), n at least 1."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1:
        raise ShapeError(f"{name}: expected shape (n,), got {numbers.shape}")
    if not len(numbers):
        raise DataError(f"{name}: expected at least one number, got none")
    return numbers


def finite(values: Array, name: str) -> Array:
    """The same numbers, none of them infinite or NaN."""
    if not np.isfinite(values).all():
        raise DataError(f"{name}: expected finite numbers, got {values[~np.isfinite(values)][0]}")
    return values


def marked(drop: Sequence[int], count: int) -> Array:
    """Which of `count` neurons are pruned, as booleans."""
    outside = [j for j in drop if not 0 <= j < count]
    if outside:
        raise PlanError(f"drop: neuron {outside[0]} is not there; expected indices from 0 to {count - 1}")
    gone = np.zeros(count, dtype=bool)
    gone[list(drop)] = True
    return gone
