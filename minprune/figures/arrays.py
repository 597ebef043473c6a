"""Small arrays as tables of coloured numbers, some of them outlined: what belongs to one neuron."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from ..errors import DataError, ShapeError
from ..ops import Array
from .drawing import BLACK, finite, headline, new_figure

MOST = 200  # numbers that can be read


def array_map(
    arrays: Mapping[str, ArrayLike], outlined: Mapping[str, ArrayLike] | None = None, title: str = ""
) -> Figure:
    """Draw arrays side by side, every number in its cell; outline some entries.

    Parameters
    ----------
    arrays : mapping
        ``{name: array (rows, columns) or (rows,)}``, a vector as a column; at most 200 numbers in all. Red is above 0,
        blue below.
    outlined : mapping, optional
        ``{name: booleans of the array's shape}``.
    title : str

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        For no numbers, more than 200, or some that are not finite.
    ShapeError
        When an array is no table, or a mask has another shape than its array.

    Examples
    --------
    >>> figure = array_map({"W": [[0.5, -1.0], [0.0, 2.0]]}, {"W": [[True, True], [False, False]]})
    >>> len(figure.axes[0].texts), len(figure.axes[0].patches)
    (4, 2)
    """
    tables = {name: finite(_table(values, name), name) for name, values in arrays.items()}
    if not 1 <= sum(table.size for table in tables.values()) <= MOST:
        raise DataError(f"arrays: expected 1 to {MOST} numbers in all, got {sum(t.size for t in tables.values())}")
    scale = max(float(np.abs(table).max()) for table in tables.values()) or 1.0
    columns = [table.shape[1] for table in tables.values()]
    tallest = max(len(table) for table in tables.values())
    figure = new_figure(0.6 + 0.62 * sum(columns) + 0.5 * len(columns), 1.0 + 0.42 * tallest)
    panels = figure.subplots(1, len(tables), squeeze=False, width_ratios=columns)[0]
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        mask: Array = np.zeros(table.shape, dtype=bool)
        if outlined is not None and name in outlined:
            shape = np.shape(outlined[name])
            if shape != np.shape(arrays[name]):
                raise ShapeError(f"outlined: {name} has shape {np.shape(arrays[name])}, its mask {shape}")
            mask = np.asarray(outlined[name], dtype=bool).reshape(table.shape)
        axes.set_title(f"{name} {np.shape(arrays[name])}", fontsize=10)
        _cells(axes, table, mask, scale)
        axes.set_ylim(tallest - 0.4, -0.6)  # rows of all arrays on one height
    headline(figure, title)
    return figure


def _table(values: ArrayLike, name: str) -> Array:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim not in (1, 2):
        raise ShapeError(f"{name}: expected a table or a vector, got shape {numbers.shape}")
    return numbers.reshape(len(numbers), -1)


def _cells(axes: Axes, table: Array, mask: Array, scale: float) -> None:
    columns = table.shape[1]
    axes.imshow(table, cmap="RdBu_r", vmin=-1.6 * scale, vmax=1.6 * scale, aspect="auto")  # pale: numbers stay legible
    for row, column in np.ndindex(table.shape):
        weight = "bold" if mask[row, column] else "normal"
        axes.text(column, row, f"{table[row, column]:.3g}", ha="center", va="center", fontsize=9, weight=weight)
        if mask[row, column]:
            axes.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=BLACK, lw=2))
    axes.set_xlim(-0.6, columns - 0.4)
    axes.set_axis_off()
