"""How long things take, beside each other, on a scale where ten times as long is always the same step."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from ..errors import DataError
from .drawing import BLACK, BLUE, finite, headline, new_figure, plain_axes, vector


def time_bars(rows: Mapping[str, float], xlabel: str = "seconds", title: str = "") -> Figure:
    r"""Draw one bar for each time, from top to bottom, on a logarithmic scale; beside it how many times the last it is.

    $t_i / t_\mathrm{last}$.

    Parameters
    ----------
    rows : mapping
        ``{what: time}``, each above 0; the last is what the others are compared with.
    xlabel : str
        The unit.
    title : str

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        For no rows, or times that are not finite and above 0.

    Examples
    --------
    >>> figure = time_bars({"naive": 2.0, "clever": 0.5})
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['2  (4 ×)', '0.5  (1 ×)']
    """
    times = finite(vector([*rows.values()], "rows"), "rows")
    if times.min() <= 0:
        raise DataError(f"rows: expected times above 0, got {times.min():g}")
    figure = new_figure(7.5, 1.0 + 0.42 * len(times))
    axes = figure.subplots()
    axes.barh(range(len(times)), times, height=0.62, color=BLUE, edgecolor=BLACK, linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(times.min() / 2, times.max() * 30)  # room for the numbers
    for place, time in enumerate(times):
        ratio = time / times[-1]
        note = f"{time:.3g}  ({ratio:,.0f} ×)" if ratio >= 100 else f"{time:.3g}  ({ratio:.3g} ×)"
        axes.annotate(note, (time, place), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(times)), [*rows])
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(xlabel)
    plain_axes(axes, "x")
    headline(figure, title)
    return figure
