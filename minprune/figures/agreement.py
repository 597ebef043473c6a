"""The figure of an agreement: how every criterion's order correlates with the truth, and what its choices cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..cuts import SCRATCH, epochs_of
from ..errors import DataError
from .drawing import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, as_percent, new_figure, plain_axes

if TYPE_CHECKING:
    from ..ranks import Row
    from ..truth import Agreement


class Mark(NamedTuple):
    """What tells a criterion apart, in all panels alike."""

    colour: str
    marker: str
    dash: str = "-"
    size: float = 6


MARKS = {
    "leave_one_out": Mark(BLACK, "D"),
    "random": Mark(GREY, "X", "--", 7),
    SCRATCH: Mark(ORANGE, "*", "-.", 10),
    "taylor2": Mark(GREEN, "^", size=7),
    "taylor": Mark(BLUE, "s"),
    "inverse_sensitivity": Mark(VERMILION, "v", size=7),
    "magnitude_l2": Mark(SKY, "p", size=7),
    "obs": Mark(PURPLE, "h", "--", 7),
}
SPARE = (Mark(PURPLE, "P", size=7),)
PALE = Mark("#BBBBBB", "o", size=3.5)  # for those that are too many to tell apart
OTHERS = "others"
ACCURACIES = (0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 1)


def agreement_figure(found: Agreement, measure: str | None = None) -> Figure:
    r"""Draw an agreement: correlations with the truth on the left, what the choices cost on the right.

    Left Spearman's ρ over all groups with its 95 % interval, a line for each criterion. Right accuracy (for a
    regression RMSE) against the fraction removed, above without training, below after it, the network from scratch
    beside them. Nine have colours and markers: the truth, `random`, the network from scratch, `taylor`, `taylor2`, the
    document's rule, `magnitude_l2`, and the two best of the others, also in place of those that were not asked for. The
    rest stay pale; the left panel has their names. A score that is the same everywhere has no ρ, and no point.

    Parameters
    ----------
    found : Agreement
    measure : {"accuracy", "rmse", "loss"}, optional
        What the right panels show; by default accuracy, or RMSE for a regression.

    Returns
    -------
    Figure
        One panel where nothing was removed, else two, or three where there was training.

    Raises
    ------
    DataError
        When the cuts were not judged by that measure.

    Examples
    --------
    >>> from minprune.truth import agreement
    >>> from minprune.worked import LOSS, TARGET, X, network
    >>> found = agreement(network(), (X, TARGET), ["taylor"], fractions=[0.4], loss=LOSS)
    >>> [panel.get_ylabel() for panel in agreement_figure(found).axes]
    ['', 'training accuracy\n(steps widen towards 100%)']
    """
    measure = measure or found.measure
    if getattr(found.dense, measure, None) is None:
        raise DataError(f"measure is {measure!r}, expected {found.measure} or loss")
    rows = list({row.criterion: row for row in found.rows}.values())  # the last of a criterion is over all groups
    marks = _marks([row.criterion for row in rows])
    states = [state for state in ("removed", "tuned") if any(getattr(cut, state) is not None for cut in found.cuts)]
    height = 0.5 + max(1.6 + 0.21 * len(rows), 3.2 * len(states))
    figure = new_figure(12.5 if states else 6.5, height)
    grid = figure.add_gridspec(max(1, len(states)), 2 if states else 1, width_ratios=[1, 1.25] if states else [1])
    _correlations(figure.add_subplot(grid[:, 0]), rows, marks)
    for place, state in enumerate(states):
        _costs(figure.add_subplot(grid[place, 1]), found, state, measure, marks)
    if states:
        named = (axes.get_legend_handles_labels() for axes in figure.axes[1:])
        lines = {label: line for handles, labels in named for line, label in zip(handles, labels, strict=True)}
        lines |= {OTHERS: lines.pop(OTHERS)} if OTHERS in lines else {}  # at the end
        figure.legend(lines.values(), lines, loc="outside lower center", ncols=6, frameon=False)
    return figure


def _marks(names: list[str]) -> dict[str, Mark]:
    """A mark for every criterion, best first: the fixed ones, then those that nobody has, then the pale."""
    spare = iter([*SPARE, *(mark for name, mark in MARKS.items() if name not in (*names, "random", SCRATCH))])
    return {SCRATCH: MARKS[SCRATCH]} | {name: MARKS.get(name) or next(spare, PALE) for name in names}


def _correlations(axes: Axes, rows: list[Row], marks: Mapping[str, Mark]) -> None:
    """A point with its interval for every criterion, the best on top."""
    for place, row in enumerate(rows):
        colour, marker, _, size = marks[row.criterion]
        axes.plot(row.spearman_interval, [place, place], color=colour, linewidth=1.6, zorder=2)
        axes.plot(row.spearman, place, marker, color=colour, markersize=size, zorder=3)
    axes.axvline(0, color=BLACK, linewidth=0.8, zorder=1)
    axes.set_yticks(range(len(rows)), [row.criterion for row in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-1.04, 1.04)
    axes.set_xlabel("Spearman's ρ with the loss change when removed alone, 95 %")
    axes.set_title(f"{rows[0].neurons} neurons ({rows[0].group}), one at a time", fontsize=11, loc="left")
    plain_axes(axes, "both")


def _costs(axes: Axes, found: Agreement, state: str, measure: str, marks: Mapping[str, Mark]) -> None:
    """A curve for every criterion that was judged in this state, the pale ones behind the others."""
    axes.axhline(getattr(found.dense, measure), color=BLACK, linewidth=1, linestyle=":", zorder=1, label="dense")
    for name in dict.fromkeys(cut.criterion for cut in found.cuts):
        colour, marker, dash, size = mark = marks.get(name, PALE)
        heights = np.array(found.curve(name, state, measure), dtype=np.float64)  # None becomes NaN: a gap
        style = {"linewidth": 0.8, "zorder": 2} if mark == PALE else {"marker": marker, "linewidth": 1.6, "zorder": 3}
        if state in found.states(name):
            label = OTHERS if mark == PALE else name
            axes.plot(found.fractions, heights, dash, color=colour, markersize=size, label=label, **style)
    as_percent(axes.xaxis)
    axes.set_xlabel("hidden neurons removed")
    axes.set_ylabel(f"{found.evaluated_on} {'RMSE' if measure == 'rmse' else measure}")
    if measure == "accuracy":
        _stretch(axes)
    axes.set_title(_headline(found, state), fontsize=11, loc="left")
    plain_axes(axes, "both")


def _stretch(axes: Axes) -> None:
    """Steps of accuracy that widen towards 100 %, so that 97 and 98 % can be told apart where others are at 20 %."""
    over = 1.02  # where the scale would be infinite
    axes.set_ylim(0, 1.003)  # before the scale: it is asked for no place beyond
    axes.set_yscale("function", functions=(lambda share: -np.log(over - share), lambda height: over - np.exp(-height)))
    axes.set_yticks(ACCURACIES)
    as_percent(axes.yaxis)
    axes.set_ylabel(f"{axes.get_ylabel()}\n(steps widen towards 100%)")


def _headline(found: Agreement, state: str) -> str:
    """What was done to the networks of a panel."""
    if state == "removed":
        return f"lowest scores removed together ({found.ranking}), no training"
    budgets = {"fine-tuned": found.finetune, SCRATCH: found.scratch}
    return ", ".join(f"{what} for {epochs_of(how)}" for what, how in budgets.items() if how is not None)
