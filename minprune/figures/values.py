"""A small network as it is drawn on a board: circles with their values, lines as thick as their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from ..errors import DataError, ShapeError
from ..ops import Array
from .drawing import BLACK, BLUE, GREY, VERMILION, finite, headline, marked, new_figure, vector

MOST = 12  # circles in one column that can be told apart
RADIUS = 0.3


def network_values(
    layers: Mapping[str, ArrayLike],
    weights: Sequence[ArrayLike],
    drop: Mapping[str, Sequence[int]] | None = None,
    title: str = "",
) -> Figure:
    r"""Draw a network of dense layers, layer by layer from left to right, with a value in every circle.

    Parameters
    ----------
    layers : mapping
        ``{letter: values (n,)}``, at most 12 in a layer; h1, h2, … are the circles of layer h.
    weights : sequence of array (J, I)
        Between each layer and the next: row j is what circle j of the next one reads with.
    drop : mapping, optional
        ``{letter: indices}`` of neurons that are gone: their circles are dashed and have no lines.
    title : str

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        For fewer than two layers, one of more than 12, or numbers that are not finite.
    ShapeError
        When the weights do not fit the layers.
    PlanError
        When `drop` names a neuron that is not there.

    Examples
    --------
    >>> figure = network_values({"x": [1, 2], "y": [0.5]}, [[[0.3, -0.1]]], {"x": [1]})
    >>> len(figure.axes[0].patches), len(figure.axes[0].lines)
    (3, 1)
    """
    values = {name: finite(vector(numbers, name), name) for name, numbers in layers.items()}
    sizes = [len(numbers) for numbers in values.values()]
    if len(sizes) < 2 or max(sizes) > MOST:
        raise DataError(f"layers: expected at least two, of at most {MOST} neurons each, got sizes {sizes}")
    matrices = [finite(np.asarray(W, dtype=np.float64), "weights") for W in weights]
    expected = [(after, before) for before, after in pairwise(sizes)]
    if [W.shape for W in matrices] != expected:
        raise ShapeError(f"weights: expected shapes {expected}, got {[W.shape for W in matrices]}")
    gone = {name: marked((drop or {}).get(name, ()), len(numbers)) for name, numbers in values.items()}
    figure = new_figure(0.6 + 1.75 * len(sizes), 0.6 + 0.75 * max(sizes))
    axes = figure.subplots()
    columns = [_places(column, size) for column, size in enumerate(sizes)]
    absent = list(gone.values())
    for column, W in enumerate(matrices):
        _lines(axes, W, columns[column : column + 2], absent[column : column + 2])
    for (name, numbers), places in zip(values.items(), columns, strict=True):
        _circles(axes, name, numbers, places, gone[name])
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.margins(0.02)
    handles = [
        Line2D([], [], color=BLUE, linestyle="-", label="positive weight"),
        Line2D([], [], color=VERMILION, linestyle="--", label="negative"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=2, frameon=False, fontsize=8)
    headline(figure, title)
    return figure


def _places(column: int, size: int) -> Array:
    """Centres (n, 2) of a layer's circles, the first on top."""
    return np.stack([np.full(size, 2.4 * column), 0.5 * (size - 1) - np.arange(size)], axis=1)


def _lines(axes: Axes, W: Array, places: Sequence[Array], gone: Sequence[Array]) -> None:
    strongest = float(np.abs(W).max()) or 1.0
    for j, i in np.ndindex(W.shape):
        if gone[0][i] or gone[1][j]:
            continue
        (x, y), (x_next, y_next) = places[0][i], places[1][j]
        colour, dash = (BLUE, "-") if W[j, i] >= 0 else (VERMILION, "--")
        width = 0.3 + 2.7 * abs(W[j, i]) / strongest
        axes.plot([x, x_next], [y, y_next], dash, color=colour, linewidth=width, alpha=0.75, zorder=1)


def _circles(axes: Axes, name: str, numbers: Array, places: Array, gone: Array) -> None:
    for j, (number, (x, y)) in enumerate(zip(numbers, places, strict=True)):
        edge, line = (GREY, "--") if gone[j] else (BLACK, "-")
        axes.add_patch(Circle((x, y), RADIUS, facecolor="white", edgecolor=edge, linestyle=line, zorder=2))
        said = "gone" if gone[j] else f"{number:.4g}" if abs(number) >= 1 else f"{number:.3f}"
        axes.text(x, y, said, ha="center", va="center", fontsize=8, color=edge, zorder=3)
        axes.text(x, y + RADIUS + 0.02, f"{name}{j + 1}", ha="center", va="bottom", fontsize=7, color=GREY, zorder=3)
