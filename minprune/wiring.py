"""How layers become a graph: nodes with names, chains, branches that are added or joined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import StructureError
from .layers import Add, Join, Layer


@dataclass(frozen=True)
class Node:
    """One step of a network: its layer, and the names of the values that it reads."""

    layer: Layer
    inputs: tuple[str, ...]


class Buildable(Protocol):
    """Anything that can be put into a network besides a plain layer: it adds its nodes itself."""

    def build(self, builder: Builder, *sources: str) -> str:
        """Add nodes that read `sources`, and return the name of the result."""


Item = Layer | Buildable


class Builder:
    """Collects nodes and names them by kind, numbered from 1: dense1, relu1, dense2 …"""

    def __init__(self, inputs: tuple[str, ...]) -> None:
        self.nodes: dict[str, Node] = {}
        self.inputs = inputs
        self._counts: Counter[str] = Counter()

    def add(self, item: Item, *sources: str, name: str | None = None) -> str:
        """Add a layer, or whatever an item is made of, and return the name of its value."""
        if not isinstance(item, Layer):
            if not hasattr(item, "build"):
                raise StructureError(f"expected a layer, got {item!r}")
            return item.build(self, *sources)
        most = len(sources) if item.many_inputs else item.inputs_needed
        name = name or self._next_name(item.kind)
        if name in self.nodes:
            raise StructureError(f"{name}: a part's layer was numbered so already; choose another name")
        if not item.inputs_needed <= len(sources) <= most:
            wanted = f"{item.inputs_needed}{' or more' if item.many_inputs else ''}"
            raise StructureError(f"{name}: {type(item).__name__} reads {wanted} value(s), got {len(sources)}")
        self.nodes[name] = Node(item, sources)
        return name

    def _next_name(self, kind: str) -> str:
        while True:
            self._counts[kind] += 1
            name = f"{kind}{self._counts[kind]}"
            if name not in self.nodes and name not in self.inputs:
                return name


@dataclass(frozen=True)
class Chain:
    """Items one after the other."""

    layers: tuple[Any, ...]

    def build(self, builder: Builder, *sources: str) -> str:
        """Add each item behind the one before."""
        (name,) = sources
        for layer in self.layers:
            name = builder.add(layer, name)
        return name


class Residual:
    r"""A body and a way around it, added; $y = \mathrm{body}(x) + \mathrm{shortcut}(x)$.

    Parameters
    ----------
    body : layer or network
        What is learnt on top.
    shortcut : layer or network, optional
        The way around; by default x itself.

    Notes
    -----
    Source: He et al. 2016, *Deep residual learning for image recognition*, equation 1.

    Examples
    --------
    >>> from minprune.layers import Dense, ReLU
    >>> from minprune.nn import Sequential
    >>> list(Sequential(Dense(3, 4), Residual(Sequential(Dense(4, 4), ReLU()))).nodes)
    ['dense1', 'dense2', 'relu1', 'add1']
    """

    def __init__(self, body: Any, shortcut: Any = None) -> None:
        self.body, self.shortcut = body, shortcut

    def build(self, builder: Builder, *sources: str) -> str:
        """Add both ways and their sum."""
        body = builder.add(self.body, *sources)
        around = sources[0] if self.shortcut is None else builder.add(self.shortcut, *sources)
        return builder.add(Add(), body, around)


class Concat:
    """Branches that read the same value, their channels put behind each other.

    Without branches, in a `Graph`, it joins the values that it is given.

    Parameters
    ----------
    *branches : layer or network
        At least two, or none.

    Notes
    -----
    Source: Szegedy et al. 2015, *Going deeper with convolutions*, figure 2.

    Examples
    --------
    >>> from minprune.layers import Dense, Tanh
    >>> from minprune.nn import Sequential
    >>> list(Sequential(Concat(Dense(3, 4), Sequential(Dense(3, 2), Tanh()))).nodes)
    ['dense1', 'dense2', 'tanh1', 'concat1']
    """

    def __init__(self, *branches: Any) -> None:
        self.branches = branches

    def build(self, builder: Builder, *sources: str) -> str:
        """Add all branches and the join."""
        ends = [builder.add(branch, *sources) for branch in self.branches] if self.branches else sources
        return builder.add(Join(), *ends)


def wire(nodes: Mapping[str, tuple[Any, ...]], inputs: tuple[str, ...]) -> tuple[dict[str, Node], dict[str, str]]:
    """Turn ``{name: (item, *sources)}`` into nodes; also which value each of these names stands for."""
    if len(set(inputs)) < len(inputs):
        raise StructureError(f"inputs are {', '.join(inputs)}: two of them bear one name")
    builder, stands_for = Builder(inputs), {name: name for name in inputs}
    for name, entry in nodes.items():
        if not isinstance(entry, tuple) or not entry:
            raise StructureError(f"{name}: expected (layer, *names of the values it reads), got {entry!r}")
        item, *sources = entry
        unknown = [source for source in sources if source not in stands_for]
        if unknown:
            raise StructureError(f"{name} reads {unknown[0]!r}, which is no input and no node before it")
        if name in stands_for:
            raise StructureError(f"{name}: two values bear this name")
        stands_for[name] = builder.add(item, *(stands_for[source] for source in sources), name=name)
    if len(stands_for) == len(inputs):
        raise StructureError("a network needs at least one node")
    return builder.nodes, stands_for
