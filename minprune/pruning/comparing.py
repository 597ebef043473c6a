"""What is compared of two networks that should compute the same.

The output; and where nodes of a file are kept as they are (`minprune.layers.opaque`), what goes into each of them. Of
such a node no slope is known: it may turn a difference in the last place into another answer. But it is the same in
both networks, and reads all that it read. So both are followed in stages: what it reads must be the same up to
rounding, and from there on both go on with one and the same value of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..layers.opaque import Opaque
from ..nn import Graph
from ..ops import Array


@dataclass(frozen=True, eq=False)
class Compared:
    """One value, in both networks.

    Attributes
    ----------
    value : str
        What it is called in the first network.
    wanted, found : array (N, …)
    """

    value: str
    wanted: Array
    found: Array


def compared(masked: Graph, small: Graph, xs: Any) -> list[Compared]:
    """All that must be the same in two networks, the output last.

    Examples
    --------
    >>> import numpy as np
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 3), mp.ReLU(), mp.Dense(3, 1))
    >>> [part.value for part in compared(net, net.copy(), np.ones((1, 2)))]
    ['dense2']
    """
    if not any(isinstance(node.layer, Opaque) for node in masked.nodes.values()):
        return [Compared(masked.output, masked(xs), small(xs))]
    first, made = _followed(masked, xs, {})
    second, _ = _followed(small, xs, made)
    return [Compared(value, wanted, second[key]) for key, (value, wanted) in _by_key(masked, first)]


def _followed(net: Graph, xs: Any, given: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """What opaque nodes read and the output, by a key; and what they make, where it is not given."""
    values: dict[str, Any] = net.take(xs)
    last = {source: name for name, node in net.nodes.items() for source in node.inputs}
    read: dict[str, Array] = {}
    arrays, made = net.arrays, dict(given)
    for name, node in net.nodes.items():
        if isinstance(node.layer, Opaque):
            read |= {f"{name}:{place}": values[source] for place, source in enumerate(node.inputs)}
            if name not in made:
                made[name] = net.compute_node(name, values, arrays)
            values[name] = made[name]
        else:
            values[name] = net.compute_node(name, values, arrays)
        for source in node.inputs:
            if last[source] == name:
                values.pop(source, None)
    return read | {"": values[net.output]}, made


def _by_key(net: Graph, found: Mapping[str, Array]) -> Iterator[tuple[str, tuple[str, Array]]]:
    """Every key with the value that it stands for."""
    for key, wanted in found.items():
        name, _, place = key.rpartition(":")
        yield key, (net.nodes[name].inputs[int(place)] if key else net.output, wanted)
