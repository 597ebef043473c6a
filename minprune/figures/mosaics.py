"""What neurons of a first layer look at: their incoming weights as images, before and after pruning."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod, sqrt

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..errors import ShapeError
from ..ops import Array
from .drawing import BLACK, finite, marked, new_figure, vector


def weight_images(
    W_before: ArrayLike,
    W_after: ArrayLike,
    drop: Sequence[int],
    scores: ArrayLike,
    shape: tuple[int, int],
    limit: int = 48,
) -> Figure:
    """Draw each neuron's incoming weights as an image: before pruning, the pruned ones crossed out, and after.

    The best score comes first; of more than `limit` neurons, `limit` are shown, evenly spaced in that order. Both
    panels have the same places and the same scale, so what fine-tuning changed can be seen.

    Parameters
    ----------
    W_before : array (n, height · width)
        Weights of the dense network's first layer, a row for every neuron.
    W_after : array (n − len(drop), height · width)
        Those of the kept neurons, in their old order, after fine-tuning.
    drop : sequence of int
        Indices of the pruned neurons, from 0.
    scores : array (n,)
        What ranks them.
    shape : (height, width)
        Of one image, in pixels.
    limit : int
        The most neurons to show.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        For no neurons, or weights that are not finite.
    ShapeError
        When the rows do not make images of `shape`, or the counts do not fit.
    PlanError
        When `drop` names a neuron that is not there.

    Notes
    -----
    Source: spec F5 (document 3.3, 8.3).

    Examples
    --------
    >>> W = np.eye(4)
    >>> figure = weight_images(W, W[1:], [0], scores=[1, 2, 3, 4], shape=(2, 2))
    >>> [panel.get_title(loc="left") for panel in figure.axes[:2]]
    ['before: 4 neurons, 1 of them pruned', 'after: the 3 kept']
    """
    ranks = vector(scores, "scores")
    gone = marked(drop, len(ranks))
    before = _images(W_before, len(ranks), shape, "W_before")
    after = np.full_like(before, np.nan)
    after[~gone] = _images(W_after, int((~gone).sum()), shape, "W_after")
    order = np.argsort(-ranks, kind="stable")
    shown = order[np.linspace(0, len(order) - 1, min(limit, len(order))).round().astype(int)]
    figure = _draw(before[shown], after[shown], gone[shown])
    pruned = int(gone[shown].sum())
    sample = f"{len(shown)} neurons" if len(shown) == len(order) else f"{len(shown)} of {len(order)} neurons"
    figure.axes[0].set_title(f"before: {sample}, {pruned} of them pruned", loc="left", fontsize=11)
    figure.axes[1].set_title(f"after: the {len(shown) - pruned} kept", loc="left", fontsize=11)
    return figure


def _draw(before: Array, after: Array, gone: Array) -> Figure:
    """The two panels without their titles: images (m, h, w) in order, with NaN where there is none."""
    count, height, width = before.shape
    across = ceil(sqrt(count))
    gap = max(1, width // 8)
    figure = new_figure(9.0, 1.05 + 4.3 * ceil(count / across) / across * height / width)
    panels = figure.subplots(1, 2, gridspec_kw={"wspace": 0.06})
    scale = float(np.nanmax(np.abs([before, after]))) or 1.0
    for axes, images in zip(panels, (before, after), strict=True):
        picture = axes.imshow(_mosaic(images, across, gap), cmap="RdBu_r", vmin=-scale, vmax=scale)
        axes.set_axis_off()
    for place in np.flatnonzero(gone):
        row, column = divmod(int(place), across)
        _cross_out(panels[0], row * (height + gap) - 0.5, column * (width + gap) - 0.5, height, width)
    bar = figure.colorbar(picture, ax=list(panels), location="bottom", shrink=0.4, aspect=40, pad=0.02)
    bar.set_label("weight (neurons in order of their score, best first)")
    return figure


def _images(W: ArrayLike, count: int, shape: tuple[int, int], name: str) -> Array:
    rows = np.asarray(W, dtype=np.float64)
    if rows.shape != (count, prod(shape)):
        raise ShapeError(f"{name}: expected shape ({count}, {prod(shape)}) for images of {shape}, got {rows.shape}")
    return finite(rows, name).reshape(count, *shape)


def _mosaic(images: Array, across: int, gap: int) -> Array:
    """Images (m, h, w) side by side, `across` in a row, empty pixels between them."""
    count, height, width = images.shape
    sheet = np.full((ceil(count / across), across, height + gap, width + gap), np.nan)
    for place, image in enumerate(images):
        sheet[place // across, place % across, :height, :width] = image
    rows = sheet.swapaxes(1, 2).reshape(-1, across * (width + gap))  # (R,A,h,w) -> (R·h, A·w)
    return rows[:-gap, :-gap]


def _cross_out(axes: Axes, top: float, left: float, height: int, width: int) -> None:
    """Fade an image and cross it, a little inside its edges so that neighbours stay apart."""
    right, bottom = left + width, top + height
    axes.fill([left, right, right, left], [top, top, bottom, bottom], color="white", alpha=0.45, linewidth=0)
    x, y = (left + 0.1 * width, right - 0.1 * width), (top + 0.1 * height, bottom - 0.1 * height)
    axes.plot([x[0], x[1], np.nan, x[0], x[1]], [y[0], y[1], np.nan, y[1], y[0]], color=BLACK, linewidth=1.2)
