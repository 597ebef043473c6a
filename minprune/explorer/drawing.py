"""The network as one SVG picture: a column per node, a cell per number, a line per weight.

The picture is made here, whole, with every value in it; the page's script only recolours its cells and draws over them
what a step reads. A cell is found by ``data-v`` (the value's name) and ``data-i`` (its place in one sample).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from math import ceil, isqrt, prod
from typing import Any

CIRCLES = 20  # a vector of at most so many numbers is a column of circles
CHANNELS = 12  # of an image, that are drawn
ENTRIES = 6_000  # small squares in one picture
EDGES = 400  # lines between two columns
LARGE = 8  # a column of at most so many has large circles
GAP = 84  # between columns
LOSSES = "losses"  # the last column
TILE = 66  # the longer side of an image
TOP, FOOT = 12, 44


@dataclass(frozen=True)
class Column:
    """One node's place: its left edge, its size, and how its numbers are laid out."""

    name: str
    kind: str
    shape: tuple[int, ...]
    x: float
    y: float
    width: float
    height: float

    @property
    def is_circles(self) -> bool:
        """Whether its numbers are large enough to be read."""
        return len(self.shape) <= 1 and prod(self.shape) <= CIRCLES

    @property
    def radius(self) -> float:
        """Of its circles."""
        return 22.0 if prod(self.shape) <= LARGE else 13.0

    @property
    def spacing(self) -> float:
        """From one circle to the next."""
        return 52.0 if prod(self.shape) <= LARGE else 29.0

    def centre(self, i: int) -> tuple[float, float]:
        """Where the i-th circle is."""
        return self.x + self.width / 2, self.y + self.spacing * (i + 0.5)

    def cells(self) -> Iterator[tuple[int, float, float, float]]:
        """Every small square: its place in the sample, left, top, side."""
        channels, rows, columns = image(self.shape)
        side = tile_side(rows, columns)
        for c in range(min(channels, CHANNELS)):
            top = self.y + c * (rows * side + 10)
            for i in range(min(rows * columns, prod(self.shape) - c * rows * columns)):
                yield c * rows * columns + i, self.x + (i % columns) * side, top + (i // columns) * side, side


def image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """How numbers that are too many for circles are arranged: channels, rows, columns.

    Examples
    --------
    >>> image((64,)), image((4, 6, 6)), image((3, 20)), image((54,))
    ((1, 8, 8), (4, 6, 6), (3, 1, 20), (1, 7, 8))
    """
    if len(shape) >= 3:
        return shape[0], prod(shape[1:-1]), shape[-1]
    if len(shape) == 2:
        return shape[0], 1, shape[1]
    size = prod(shape)
    columns = isqrt(size) if isqrt(size) ** 2 == size else ceil(size**0.5)
    return 1, ceil(size / columns), columns


def tile_side(rows: int, columns: int) -> float:
    """The side of one square of an image."""
    return round(max(1.5, min(12.0, TILE / max(rows, columns))), 2)


def columns(network: Mapping[str, Any]) -> list[Column]:
    """Every input and node, from left to right by how far it is from the inputs; branches stand below each other."""
    depth = dict.fromkeys(network["inputs"], 0)
    known = [(name, "input", tuple(shape)) for name, shape in network["inputs"].items()]
    for node in network["nodes"]:
        depth[node["name"]] = 1 + max(depth[source] for source in node["inputs"])
        known.append((node["name"], node["kind"], tuple(node["shape"])))
    depth[LOSSES] = depth[network["output"]] + 1
    known.append((LOSSES, "loss", ()))
    found, x = [], 16.0
    for level in range(max(depth.values()) + 1):
        y, widest = float(TOP), 0.0
        for name, kind, shape in known:
            if depth[name] == level:
                column = _sized(Column(name, kind, shape, x, y, 0, 0))
                width, height = column.width, column.height
                found.append(column)
                y, widest = y + height + FOOT + 24, max(widest, width)
        x += widest + GAP
    return _centred(found)


def _sized(column: Column) -> Column:
    """A column with the room that its cells take."""
    if column.is_circles:
        return replace(column, width=44.0, height=column.spacing * prod(column.shape))
    channels, rows, across = image(column.shape)
    side, shown = tile_side(rows, across), min(channels, CHANNELS)
    return replace(column, width=max(across * side, 44.0), height=shown * (rows * side + 10) - 10)


def _centred(found: list[Column]) -> list[Column]:
    """Columns on one middle line, each as high as it is."""
    heights: dict[float, float] = {}
    for column in found:
        heights[column.x] = max(heights.get(column.x, 0), column.y + column.height)
    tallest = max(heights.values())
    return [replace(c, y=c.y + (tallest - heights[c.x]) / 2) for c in found]


def picture(
    network: Mapping[str, Any], weights: Mapping[str, Any], labels: Mapping[str, str], values: Mapping[str, Any]
) -> str:
    """The SVG.

    Parameters
    ----------
    network : mapping
        Of a trace.
    weights : mapping
        Name of a dense node -> its W, as nested lists; they become lines.
    labels : mapping
        Name of a value -> what stands below its column.
    values : mapping
        Name of a value -> its numbers for the sample that is drawn, flat.
    """
    placed = {column.name: column for column in columns(network)}
    width = max(c.x + c.width for c in placed.values()) + 24
    height = max(c.y + c.height for c in placed.values()) + FOOT
    owners = {
        (value, i): (group["name"], j)
        for group in network["groups"]
        for value, neurons in group["values"].items()
        for i, j in enumerate(neurons)
    }
    parts = [
        f'<svg id="net" viewBox="0 0 {width:g} {height:g}" style="--w:{width:g}px" role="img"',
        ' aria-labelledby="net-title">',
        '<title id="net-title">network</title>',
        '<g class="edges">',
        *_edges(network, placed, weights),
        '</g><g id="reads"></g>',
    ]
    for column in placed.values():
        parts.append(_column(column, owners, labels.get(column.name, ""), values[column.name]))
    return "".join([*parts, '<g id="marks"></g></svg>'])


def _edges(network: Mapping[str, Any], placed: Mapping[str, Column], weights: Mapping[str, Any]) -> Iterator[str]:
    reads = [(node["name"], node["inputs"]) for node in network["nodes"]]
    for name, sources in [*reads, (LOSSES, [network["output"]])]:
        end = placed[name]
        for source in sources:
            start = placed[source]
            if start.is_circles and end.is_circles and prod(start.shape) * prod(end.shape) <= EDGES:
                yield from _lines(start, end, weights.get(name))
            else:
                yield _band(start, end)


def _lines(start: Column, end: Column, W: Any) -> Iterator[str]:
    """A line per weight, as thick as it is large; without weights one from each number to its own."""
    largest = max((abs(w) for row in W for w in row), default=1) or 1 if W else 1
    joined = W is not None or end.name == LOSSES
    for q in range(prod(end.shape)):
        for i in range(prod(start.shape)) if joined else [min(q, prod(start.shape) - 1)]:
            (x1, y1), (x2, y2) = start.centre(i), end.centre(q)
            w = W[q][i] if W else 0.0
            kind = "one" if not W else "pos" if w >= 0 else "neg"
            thick = 0.6 + 3.4 * abs(w) / largest if W else 1.0
            yield (
                f'<line class="{kind}" x1="{x1 + start.radius:g}" y1="{y1:g}" x2="{x2 - end.radius:g}" y2="{y2:g}" '
                f'stroke-width="{thick:.2f}"/>'
            )


def _band(start: Column, end: Column) -> str:
    x1, x2 = start.x + start.width + 4, end.x - 4
    a, b, c, d = start.y, start.y + start.height, end.y + end.height, end.y
    middle = (x1 + x2) / 2
    return (
        f'<path class="band" d="M{x1:g} {a:g}C{middle:g} {a:g} {middle:g} {d:g} {x2:g} {d:g}V{c:g}'
        f'C{middle:g} {c:g} {middle:g} {b:g} {x1:g} {b:g}Z"/>'
    )


Owners = Mapping[tuple[str, int], tuple[str, int]]


def _column(column: Column, owners: Owners, label: str, values: Sequence[float]) -> str:
    name = escape(column.name)
    inside = "".join((_circles if column.is_circles else _squares)(column, owners, values))
    middle, foot = column.x + column.width / 2, column.y + column.height + 16
    hidden = image(column.shape)[0] - CHANNELS if len(column.shape) > 1 else 0
    more = f'<text class="small" x="{middle:g}" y="{foot + 28:g}">+ {hidden}</text>' if hidden > 0 else ""
    return (
        f'<g class="column" data-v="{name}">{inside}'
        f'<text class="name" x="{middle:g}" y="{foot:g}">{name}</text>'
        f'<text class="small below" x="{middle:g}" y="{foot + 14:g}">{escape(label)}</text>{more}</g>'
    )


def _circles(column: Column, owners: Owners, values: Sequence[float]) -> Iterator[str]:
    r, little = column.radius, " little" if prod(column.shape) > LARGE else ""
    colours = _colours(values)
    for i in range(prod(column.shape)):
        x, y = column.centre(i)
        slope = "" if little else f'<text class="g" x="{x:g}" y="{y + 12:g}"></text>'
        value = f"{values[i]:.{2 if little else 3}g}".replace("-", "−")
        yield (
            f'<g class="cell ball{little}" {_owned(column.name, i, owners)} data-i="{i}" data-x="{x:g}" data-y="{y:g}">'
            f'<circle{colours[i]} cx="{x:g}" cy="{y:g}" r="{r:g}"/>'
            f'<text class="v" x="{x:g}" y="{y + 4:g}">{value}</text>{slope}</g>'
        )


def _squares(column: Column, owners: Owners, values: Sequence[float]) -> Iterator[str]:
    _, rows, across = image(column.shape)
    size, flat, colours = rows * across, len(column.shape) <= 1, _colours(values)
    for number, (i, x, y, side) in enumerate(column.cells()):
        if number >= ENTRIES:
            break
        if not flat and i % size == 0:
            yield ("" if i == 0 else "</g>") + f'<g class="tile" {_owned(column.name, i // size, owners)}>'
        owner = _owned(column.name, i, owners) if flat else f'data-v="{escape(column.name)}"'
        middle = f'data-x="{x + side / 2:g}" data-y="{y + side / 2:g}"'
        kind = colours[i].replace(' class="neg"', "")
        yield (
            f'<rect class="cell{" neg" if "neg" in colours[i] else ""}"{kind} {owner} data-i="{i}" {middle} '
            f'x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}"/>'
        )
    if not flat:
        yield "</g>"


def _colours(values: Sequence[float]) -> list[str]:
    """How strongly, and in which of two colours, every cell is filled: against the largest of its column."""
    largest = max(map(abs, values), default=0) or 1
    return [
        (' class="neg"' if value < 0 else "") + (f' style="--s:{abs(value) / largest:.2f}"' if value else "")
        for value in values
    ]


def _owned(value: str, channel: int, owners: Owners) -> str:
    """The attributes that say which value and whose neuron a cell is."""
    group, neuron = owners.get((value, channel), ("", -1))
    owner = f' data-group="{escape(group)}" data-neuron="{neuron}"' if neuron >= 0 else ""
    return f'data-v="{escape(value)}"{owner}'
