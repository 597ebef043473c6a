"""Small figures in SVG, for pages: 360 units wide, so that their letters can be read on a phone too.

Colours are classes, which the page's style gives for light and for dark; what a colour says, the page says in words as
well. Every text from elsewhere is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isfinite
from typing import NamedTuple

import numpy as np

from ..ops import Array

WIDTH, LINE = 360, 34
BINS = 40
LONGEST = 40  # characters of a name


class Bar(NamedTuple):
    """A line of `bars`: what it is, which part of the whole is left (0 to 1), and what is written behind."""

    name: str
    part: float
    text: str


def svg(height: float, inner: str, label: str) -> str:
    """A figure of that height, with what it shows in words for those who do not see it."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(label, quote=True)}" '
        f'xmlns="http://www.w3.org/2000/svg">{inner}</svg>'
    )


def bars(rows: Sequence[Bar], label: str) -> str:
    """What is left of each of several wholes, one below the other.

    Examples
    --------
    >>> print(bars([Bar("parameters", 0.25, "1,000 → 250")], "sizes")[:60])
    <svg viewBox="0 0 360 34" role="img" aria-label="sizes" xmln
    """
    parts = []
    for place, row in enumerate(rows):
        y = place * LINE
        filled = WIDTH * min(1.0, max(0.0, row.part))
        parts += [
            text(0, y + 11, row.name),
            text(WIDTH, y + 11, row.text, "end"),
            f'<rect class="whole" x="0.5" y="{y + 16.5}" width="{WIDTH - 1}" height="11" rx="2"/>',
            f'<rect class="keep" x="0.5" y="{y + 16.5}" width="{max(0.0, filled - 1):.1f}" height="11" rx="2"/>',
        ]
    return svg(len(rows) * LINE, "".join(parts), label)


def histogram(values: Array, gone: Array, label: str) -> str:
    """How the scores of a layer's neurons lie, those that go below those that stay.

    Positive scores are drawn on a logarithmic axis; infinite ones are left out.

    Examples
    --------
    >>> histogram(np.array([1.0, 10.0]), np.array([True, False]), "scores").count("<rect")
    2
    """
    finite = np.isfinite(values)
    shown, goes = values[finite], gone[finite]
    if not len(shown):
        return ""
    logarithmic = bool((shown > 0).all())
    places = np.log10(shown) if logarithmic else shown
    low, high = float(places.min()), float(places.max())
    span = (high - low) or 1.0
    bins = np.minimum(((places - low) / span * BINS).astype(int), BINS - 1)
    counts = [np.bincount(bins[which], minlength=BINS) for which in (goes, ~goes)]
    most = int((counts[0] + counts[1]).max())
    height, wide = 70.0, WIDTH / BINS
    parts = ['<line class="axis" x1="0" y1="70" x2="360" y2="70"/>']
    for place in range(BINS):
        base = height
        for kind, count in zip(("gone", "keep"), (counts[0][place], counts[1][place]), strict=True):
            tall = height * float(count) / most
            if tall:
                base -= tall
                at = f'x="{place * wide + 0.5:.1f}" y="{base:.1f}" width="{wide - 1:.1f}" height="{tall:.1f}"'
                parts.append(f'<rect class="{kind}" {at}/>')
    ends = [f"{10**end if logarithmic else end:.3g}" for end in (low, high)]
    parts += [text(0, 84, ends[0]), text(WIDTH, 84, ends[1], "end")]
    parts.append(text(WIDTH / 2, 84, "score, logarithmic" if logarithmic else "score", "middle", "soft"))
    return svg(90, "".join(parts), label)


def curve(values: Sequence[float], names: Sequence[str], label: str) -> str:
    """Values one after the other, with the first, the last and the lowest written at their points.

    Examples
    --------
    >>> "0.9" in curve([0.9, 0.8], ["before", "round 1"], "accuracy")
    True
    """
    numbers = [value for value in values if isfinite(value)]
    low, high = min(numbers), max(numbers)
    span = (high - low) or 1.0
    step = (WIDTH - 60) / max(1, len(values) - 1)
    at = [(30 + place * step, 20 + 60 * (high - value) / span) for place, value in enumerate(values)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    parts = [f'<polyline class="line" points="{path}"/>']
    spoken = {0, len(values) - 1, values.index(low)}
    for place, (x, y) in enumerate(at):
        parts.append(f'<circle class="keep" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        if place in spoken:
            under = place == values.index(low) and 0 < place < len(values) - 1  # in a valley the line is above
            parts.append(text(x, y + 16 if under else y - 7, f"{values[place]:.4g}", "middle"))
            parts.append(text(x, 112, names[place], "middle", "soft"))
    return svg(118, "".join(parts), label)


def text(x: float, y: float, content: str, anchor: str = "start", kind: str = "ink") -> str:
    """A text that begins, ends or has its middle at a place; a long one is cut."""
    short = content if len(content) <= LONGEST else f"{content[: LONGEST - 1]}…"
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(short)}</text>'
