"""A network as a drawing: every neuron a circle, every weight a line, before and after pruning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..errors import DataError
from ..nn import Graph
from ..ops import Array
from ..pruning.plan import Plan
from ..pruning.surgery import remove
from .drawing import BLACK, BLUE, ORANGE, VERMILION, headline, new_figure

MOST = 24  # neurons in a column that can still be told apart
LETTERED = 12  # up to here they have names
PALE = "#BBBBBB"
DASHED: Any = (0, (2.5, 1.2))
WIDEST, NARROWEST = 3.2, 0.4  # points: the lines of the largest weight, and of those near 0
DRAWN = {"dense", "relu", "leakyrelu", "sigmoid", "tanh", "softmax", "identity", "dropout"}


@dataclass(frozen=True)
class Column:
    """A layer of circles: how many places it has, which neurons are there, and which of them stay."""

    name: str
    places: int
    there: list[int]
    stay: set[int]

    def height(self, j: int) -> float:
        """Where neuron j stands: the first on top, the middle at 0."""
        return (self.places - 1) / 2 - j


def network_drawing(before: Graph, plan: Plan, after: Graph | None = None, title: str = "") -> Figure:
    r"""Draw a small dense network before and after pruning: what stays has the same place in both.

    A line is as wide as $|w|$ against the largest weight of both networks: vermilion where w is above 0, blue and
    dashed where it is below. On the left the neurons that go are crossed out and their weights pale.

    Parameters
    ----------
    before : Graph
        A chain of dense layers with activations between them, at most 24 neurons in each.
    plan : Plan
        What goes; it may name inputs, too.
    after : Graph, optional
        What is left of it, repaired or fine-tuned; by default ``remove(before, plan)``.
    title : str

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        When the network is no such chain or too large to be drawn, or `after` is not what the plan leaves.
    PlanError
        When the plan does not fit the network.

    Examples
    --------
    >>> import minprune as mp
    >>> from minprune import worked
    >>> figure = network_drawing(worked.network(), mp.Plan({"dense1": [0, 2]}))
    >>> [panel.get_title(loc="left") for panel in figure.axes]
    ['before: 3-5-2, 32 parameters', 'after: 3-3-2, 20 parameters']
    """
    plan.check(before)
    sizes = _sizes(before)
    after = remove(before, plan) if after is None else after
    stay = {name: set(range(size)) - set(plan.drop.get(name, ())) for name, size in sizes.items()}
    left = {name: len(kept) for name, kept in stay.items()}
    if _sizes(after) != left:
        raise DataError(f"after: expected {_shape(left)} neurons, as the plan leaves them, got {_shape(_sizes(after))}")
    largest = max(float(np.abs(W).max()) for net in (before, after) for W in _matrices(net).values()) or 1.0
    figure = new_figure(4.0 + 2.4 * (len(sizes) - 1), 1.4 + 0.42 * max(4, *sizes.values()))
    for axes, net, word in zip(figure.subplots(1, 2), (before, after), ("before", "after"), strict=True):
        columns = [
            Column(name, size, [*range(size)] if net is before else sorted(stay[name]), stay[name])
            for name, size in sizes.items()
        ]
        _panel(axes, columns, _matrices(net), largest)
        axes.set_title(f"{word}: {_shape(_sizes(net))}, {_counted(net)}", loc="left", fontsize=11)
    figure.legend(handles=_key(any(plan.drop.values())), loc="outside lower center", ncols=3, frameon=False)
    headline(figure, title)
    return figure


def _matrices(net: Graph) -> dict[str, Array]:
    """Dense layer -> W, in order."""
    return {name: net.params[f"{name}.W"] for name, node in net.nodes.items() if node.layer.kind == "dense"}


def _sizes(net: Graph) -> dict[str, int]:
    """Neurons of every column, the input first."""
    for earlier, (name, node) in zip((net.inputs[0], *net.nodes), net.nodes.items(), strict=False):
        if node.inputs != (earlier,) or node.layer.kind not in DRAWN:
            raise DataError(f"{name}: only a chain of dense layers can be drawn; see weight_images and score_bars")
    matrices = _matrices(net)
    if not matrices:
        raise DataError("the network has no dense layer, so there is nothing to draw")
    sizes = {net.inputs[0]: next(iter(matrices.values())).shape[1]} | {name: len(W) for name, W in matrices.items()}
    for name, size in sizes.items():
        if size > MOST:
            raise DataError(f"{name} has {size} neurons, at most {MOST} can be drawn; see weight_images and score_bars")
    return sizes


def _counted(net: Graph) -> str:
    """How many parameters there are; where weights are 0, how many are not."""
    matrices = _matrices(net).values()
    drawn, whole = (sum(count(W) for W in matrices) for count in (np.count_nonzero, np.size))
    if drawn < whole:
        return f"{drawn:,} of {whole:,} weights not 0"
    return f"{sum(array.size for array in net.params.values()):,} parameters"


def _shape(sizes: Mapping[str, int]) -> str:
    return "-".join(map(str, sizes.values()))


def _panel(axes: Axes, columns: Sequence[Column], matrices: Mapping[str, Array], largest: float) -> None:
    """One network: the lines below, the circles above."""
    for x, (first, second) in enumerate(pairwise(columns)):
        _lines(axes, x, first, second, matrices[second.name] / largest)
    for x, column in enumerate(columns):
        letter = "x" if x == 0 else "o" if x == len(columns) - 1 else "h"
        for j in column.there:
            _circle(axes, x, column.height(j), column.places <= LETTERED and f"{letter}{j + 1}", j in column.stay)
        axes.annotate(column.name, (x, 0), (0, 0), ("data", "axes fraction"), "offset points", ha="center", va="top")
    half = max(column.places for column in columns) / 2
    axes.set(xlim=(-0.3, len(columns) - 0.7), ylim=(-half - 0.25, half + 0.1))
    axes.set_axis_off()


def _circle(axes: Axes, x: float, y: float, name: str | bool, stays: bool) -> None:
    if not stays:
        axes.plot(x, y, "x", color=BLACK, markersize=23, mew=1.8, zorder=3)  # its arms reach out behind the circle
    axes.plot(x, y, "o", color="white" if stays else ORANGE, mec=BLACK, mew=1.2, markersize=18, zorder=4)
    if name:
        axes.text(x, y, str(name), ha="center", va="center_baseline", fontsize=8, zorder=5)


def _lines(axes: Axes, x: int, first: Column, second: Column, W: Array) -> None:
    """The weights between two columns, as shares of the largest; those that go lie behind the others."""
    lines: dict[tuple[bool, bool], list[tuple[Any, float]]] = {}
    for (row, j), (at, i) in product(enumerate(second.there), enumerate(first.there)):
        w = float(W[row, at])
        if w != 0:
            stays = i in first.stay and j in second.stay
            line = [(x, first.height(i)), (x + 1, second.height(j))]
            lines.setdefault((stays, w > 0), []).append((line, max(NARROWEST, WIDEST * abs(w))))
    for (stays, positive), drawn in lines.items():
        colour = (VERMILION if positive else BLUE) if stays else PALE
        style = "solid" if positive else DASHED
        segments, widths = [line for line, _ in drawn], [width for _, width in drawn]
        axes.add_collection(
            LineCollection(segments, linewidths=widths, colors=colour, linestyles=style, zorder=1 + stays)
        )


def _key(some_go: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], color=VERMILION, linewidth=2.4, label="weight above 0"),
        Line2D([], [], color=BLUE, linewidth=2.4, linestyle=DASHED, label="weight below 0"),
    ]
    gone = Line2D([], [], color=ORANGE, marker="o", mec=BLACK, markersize=10, linestyle="", label="pruned")
    return [*handles, gone] if some_go else handles
