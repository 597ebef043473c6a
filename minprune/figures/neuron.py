"""One neuron as a figure: its weights, what it answers to, where its score comes from, who reads it, its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..explaining.portrait import image_of
from ..ops import Array
from .drawing import BLACK, BLUE, GREY, ORANGE, VERMILION, headline, new_figure, plain_axes

if TYPE_CHECKING:
    from ..explaining.explanation import Explanation

MOST_CHANNELS = 16  # of a filter that are drawn
MOST_SAMPLES = 5  # whose titles have room beside each other
MOST_ROWS = 12  # of bars that have room below each other
FEWEST_ROWS = 5  # that bars leave room for: a single one would fill the panel


def explain_figure(found: Explanation) -> Figure:
    r"""Draw what `minprune.explain` found.

    Above, the weights that the neuron reads with, as an image where they are one, else the strongest as bars, and the
    samples that it answers to most. Below, the strongest terms of its score, the strongest weights that read it, and
    where its score stands in its group, with what the plan drops, where there is one. At most 5 samples and 12 bars of
    a kind are drawn; ``print`` tells of all that were asked for.

    Parameters
    ----------
    found : Explanation

    Returns
    -------
    Figure

    Notes
    -----
    Source: spec F5, F11 (document 3.3, 8.3).

    Examples
    --------
    >>> import minprune as mp
    >>> from minprune.worked import LOSS, TARGET, X, network
    >>> figure = explain_figure(mp.explain(network(), "dense1", 0, (X, TARGET), loss=LOSS, progress=False))
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['reads with', 'sample 0\nputs out 0.7503', 'the score: 1 term', 'read by', 'among the 5 of dense1']
    """
    figure = new_figure(11.0, 6.4)
    rows: Any = figure.subfigures(2, 1, height_ratios=(1.0, 1.2))
    above, below = rows
    shown = found.portrait.strongest[:MOST_SAMPLES]
    panels = above.subplots(1, 1 + max(1, len(shown)), width_ratios=[1.35, *[1] * max(1, len(shown))])
    _weights(panels[0], found)
    if not shown:
        panels[1].set_title("nobody reads what it puts out", loc="left", fontsize=9)
        panels[1].set_axis_off()
    most = "at most " if found.portrait.places > 1 else ""
    for axes, (n, activation), sample in zip(panels[1:], shown, _samples(found), strict=False):
        _sample(axes, sample)
        axes.set_title(f"{_named(found, n)}\nputs out {most}{activation:.4g}", loc="left", fontsize=8)
    terms, readers, place = below.subplots(1, 3, width_ratios=(1.2, 1.0, 1.0))
    _terms(terms, found)
    _readers(readers, found)
    _place(place, found)
    headline(figure, _title(found))
    return figure


def _named(found: Explanation, sample: int) -> str:
    label = found.label_of(sample)
    return f"sample {sample}, class {label}" if isinstance(label, int | str) else f"sample {sample}"


def _title(found: Explanation) -> str:
    verdict = "" if found.boundary is None else " – goes" if found.boundary.goes else " – stays"
    truth = "" if found.cost is None else f"; without it the loss changes by {found.cost:+.3g}"
    return f"{found.group}[{found.j}]{verdict}: {found.criterion} {found.score:.4g}{truth}; samples of {found.numbered}"


def _weights(axes: Axes, found: Explanation) -> None:
    """Incoming weights: an image, a sheet of channels, or bars."""
    image = found.portrait.image
    axes.set_title("reads with", loc="left", fontsize=9)
    if image is None:
        _bars(axes, [c.name for c in found.portrait.incoming], [c.weight for c in found.portrait.incoming])
        return
    scale = float(np.nanmax(np.abs(image))) or 1.0
    drawn = axes.imshow(_sheet(image[:MOST_CHANNELS]), cmap="RdBu_r", vmin=-scale, vmax=scale)
    axes.set_axis_off()
    axes.figure.colorbar(drawn, ax=axes, shrink=0.8, aspect=14, pad=0.03)
    if len(image) > MOST_CHANNELS:
        axes.set_title(f"reads with (first {MOST_CHANNELS} of {len(image)} channels)", loc="left", fontsize=9)


def _sheet(image: Array) -> Array:
    """Channels (c, h, w) side by side with a gap, in a square of images."""
    across = int(np.ceil(np.sqrt(len(image))))
    _, height, width = image.shape
    sheet = np.full((int(np.ceil(len(image) / across)) * (height + 1), across * (width + 1)), np.nan)
    for i, channel in enumerate(image):
        top, left = i // across * (height + 1), i % across * (width + 1)
        sheet[top : top + height, left : left + width] = channel
    return sheet[:-1, :-1]


def _samples(found: Explanation) -> list[Array]:
    return [] if found.portrait.shown is None else list(found.portrait.shown)


def _sample(axes: Axes, sample: Array) -> None:
    """An image in grey or colour, or the numbers as bars."""
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    image = image_of(np.asarray(sample, dtype=np.float64), sample.shape)
    if image is None:
        numbers = np.asarray(sample, dtype=np.float64).ravel()
        axes.bar(np.arange(len(numbers)), numbers, color=GREY, width=0.8)
        axes.axhline(0, color=BLACK, linewidth=0.8)
        axes.tick_params(labelsize=7)
        plain_axes(axes, "y")
        return
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#BBBBBB")
    if len(image) == 3:
        low, high = image.min(), image.max()
        axes.imshow(np.moveaxis((image - low) / ((high - low) or 1.0), 0, -1))
    else:
        axes.imshow(_sheet(image), cmap="gray_r" if image.min() >= 0 else "gray")


def _bars(axes: Axes, names: list[str], values: list[float]) -> None:
    """Horizontal bars, the first on top; red above 0 and blue below, as in the weight image."""
    names, values = names[:MOST_ROWS], values[:MOST_ROWS]
    colours = [VERMILION if value >= 0 else BLUE for value in values]
    axes.barh(range(len(values)), values, color=colours, edgecolor=BLACK, linewidth=0.8, height=0.65)
    axes.axvline(0, color=BLACK, linewidth=0.8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_ylim(max(len(values), FEWEST_ROWS) - 0.5, -0.5)
    axes.locator_params(axis="x", nbins=4)
    plain_axes(axes, "x")


def _terms(axes: Axes, found: Explanation) -> None:
    terms, shown = found.terms, found.strongest_terms()[:MOST_ROWS]
    if terms is None:
        axes.set_title(f"{found.criterion} tells no more than its score", loc="left", fontsize=9)
        axes.set_axis_off()
        return
    many = f"{len(terms.values):,} term{'s' * (len(terms.values) != 1)}"
    strongest = f"the strongest of {many}" if len(shown) < len(terms.values) else many
    axes.set_title(f"the score: {strongest}", loc="left", fontsize=9)
    names = [_named(found, i) if terms.of == "sample" else terms.label(i) for i in shown]
    _bars(axes, names, [float(terms.values[i]) for i in shown])
    axes.set_xlabel(f"term; {terms.reduction} of all: {terms.reduced:.4g}", fontsize=8)


def _readers(axes: Axes, found: Explanation) -> None:
    axes.set_title("read by", loc="left", fontsize=9)
    all_ = [c for _, strongest in found.portrait.readers.values() for c in strongest]
    best = sorted(all_, key=lambda c: -abs(c.weight))[: found.top]
    _bars(axes, [c.name for c in best], [c.weight for c in best])
    axes.set_xlabel("weight", fontsize=8)


def _place(axes: Axes, found: Explanation) -> None:
    """All scores of the group from the lowest up; those that go, and the neuron itself, are marked."""
    axes.set_title(f"among the {found.size:,} of {found.group}", loc="left", fontsize=9)
    order = np.argsort(found.scores, kind="stable")
    heights, places = found.scores[order], np.arange(1, found.size + 1)
    bounded = heights[np.isfinite(heights)]
    top = bounded.max() if len(bounded) else 1.0
    heights = np.where(np.isposinf(heights), top, heights)
    gone = np.isin(order, found.dropped)
    for which, colour, name in ((~gone, BLUE, "stay"), (gone, ORANGE, "go")):
        label = f"{name} ({which.sum()})" if found.boundary is not None else None
        axes.bar(places[which], heights[which], width=1.0, color=colour, label=label)
    mine = found.rank[0]
    axes.axhline(0, color=BLACK, linewidth=0.8)
    axes.plot([mine], [heights[mine - 1]], "v", color=BLACK, markersize=8, label=f"{found.group}[{found.j}]")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.28 * (high - low))  # room for the legend
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    axes.set_xlabel("place, lowest score first", fontsize=8)
    axes.set_ylabel(found.criterion, fontsize=8)
    axes.tick_params(labelsize=8)
    plain_axes(axes, "y")
