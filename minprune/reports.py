"""Tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from io import StringIO
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .nn import Graph


WIDEST = 10_000  # characters: a table is never folded


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], left: int = 1) -> str:
    """Lay out rows in aligned columns of plain text; the first `left` columns to the left, the others to the right.

    Examples
    --------
    >>> print(table(("name", "size"), [("a", 1), ("b", 1000)]))
    name   size
    a         1
    b     1,000
    """
    from rich.console import Console  # takes tens of milliseconds to import: only where a table is made
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="")
    for place, name in enumerate(head):
        grid.add_column(name, justify="left" if place < left else "right", no_wrap=True)
    for row in rows:
        grid.add_row(*(Text(_cell(value)) for value in row))  # as Text: brackets are not taken for markup
    page = StringIO()
    Console(file=page, width=WIDEST, color_system=None).print(grid)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Write a time in the unit that suits it.

    Examples
    --------
    >>> duration(12.3e-6), duration(0.25), duration(90.0)
    ('12.3 µs', '250 ms', '90 s')
    """
    unit, scale = ("s", 1.0) if seconds >= 1 else ("ms", 1e3) if seconds >= 1e-3 else ("µs", 1e6)
    return f"{seconds * scale:.4g} {unit}"


def macs(net: Graph, input_shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """Multiply-accumulates of every node for one sample of the given input shapes.

    Examples
    --------
    >>> from minprune.nn import Sequential
    >>> from minprune.layers import Dense, ReLU
    >>> macs(Sequential(Dense(3, 5), ReLU(), Dense(5, 2)), {"input": (3,)})
    {'dense1': 15, 'relu1': 0, 'dense2': 10}
    """
    shapes = net.value_shapes(input_shapes)
    return {name: node.layer.macs(shapes[name]) for name, node in net.nodes.items()}


def summary(net: Graph) -> str:
    """The table of a network's nodes, and its groups of neurons; see `Graph.summary`."""
    from .kept_nodes import told

    shapes = net.value_shapes(net.input_shapes) if net.input_shapes else {}
    counts = macs(net, net.input_shapes) if net.input_shapes else {}
    rows: list[tuple[Any, ...]] = []
    for name, node in net.nodes.items():
        parameters = sum(prod(shape) for shape in node.layer.param_shapes().values())
        rows.append((name, brief(node.layer), str(shapes.get(name, "?")), parameters, counts.get(name, "?")))
    total = sum(row[3] for row in rows)
    rows.append(("total", "", "", total, sum(counts.values()) if counts else "?"))
    lines = [table(("node", "layer", "output", "parameters", "MACs"), rows, left=3)]
    if net.input_shapes:
        groups = (f"{g.name} {g.size}{f' ({g.stays})' if g.stays else ''}" for g in net.neurons.values())
        lines.append(f"neurons: {', '.join(groups)}")
        lines += told(net)
    return "\n".join(lines)


def brief(described: Any) -> str:
    """A layer or a strategy (a dataclass) as one would write it, settings at their default left out.

    Examples
    --------
    >>> from minprune.layers import Conv2d
    >>> brief(Conv2d(1, 20, 5, padding=2))
    'Conv2d(inputs=1, outputs=20, kernel=(5, 5), padding=(2, 2))'
    """
    given = [
        f"{field.name}={getattr(described, field.name)}"
        for field in fields(described)
        if field.repr
        and getattr(described, field.name) not in (field.default, (field.default,) * getattr(described, "rank", 1))
    ]
    return f"{type(described).__name__}({', '.join(given)})"
