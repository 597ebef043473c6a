"""Substitution: neurons leave whose output is, for certain, a weighted sum of others' and a constant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...neurons import staying
from ...nn import Graph
from ...ops import Array
from ..plan import Plan
from ..repairs.readers import response, rows_left, with_biases
from ..surgery import remove


@dataclass(frozen=True)
class Substitute:
    r"""What stands for a neuron j that leaves: $a_j = \sum_i c_i a_i + d$.

    Attributes
    ----------
    group : str
        Its group.
    neuron : int
        j.
    why : str
        The reason, in words.
    weights : mapping
        i -> c_i, for neurons of the same group that stay.
    constants : mapping
        Value in which j is read -> d for each of its channels (C,), 0 where they are not j's.
    """

    group: str
    neuron: int
    why: str
    weights: Mapping[int, Any] = field(default_factory=dict)
    constants: Mapping[str, Array] = field(default_factory=dict)


def substituted(net: Graph, found: Iterable[Substitute]) -> Graph:
    r"""Remove neurons and put their substitutes in their place; the network computes what it did.

    For every reader k: $w_{ki} \leftarrow w_{ki} + c_i\, w_{kj}$ and $b_k \leftarrow b_k + w_{kj}\, d$.

    Parameters
    ----------
    net : Graph
        Is not changed.
    found : iterable of Substitute
        At most one for a neuron; none may rest on a neuron that leaves.

    Returns
    -------
    Graph
        Without these neurons. Readers get a bias where there is a constant to hold and they have none.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[1.0], [2.0]], [[10.0, 3.0]]
    >>> twice = Substitute("dense1", 1, "twice the first", {0: 2.0})
    >>> substituted(net, [twice]).params["dense2.W"]
    array([[16.]])
    """
    found = list(found)
    plan = Plan({name: [s.neuron for s in found if s.group == name] for name in net.neurons}, reason="substitution")
    shifts = {name: shift for name, shift in _shifts(net, found).items() if (shift != 0).any()}
    small = with_biases(remove(net, plan), shifts)
    stays = staying(net, plan.drop)
    for key, W in _taken_over(net, found).items():
        for axis, positions in stays[key].items():
            W = np.take(W, positions, axis=axis)
        small.params[key] = W
    for reader, shift in shifts.items():
        b = small.params[f"{reader}.b"]
        small.params[f"{reader}.b"] = b + shift[rows_left(net, reader, plan)]
    return small


def _taken_over(net: Graph, found: Iterable[Substitute]) -> dict[str, Array]:
    """The weights of all readers, with the columns of those that leave added to their substitutes'."""
    changed: dict[str, Array] = {}
    for substitute in found:
        for piece in net.neurons[substitute.group].consumed if substitute.weights else ():
            W = changed.setdefault(piece.array, _exactly(net.params[piece.array]))
            leaving = W[:, piece.owner == substitute.neuron]
            for i, c in substitute.weights.items():
                W[:, piece.owner == i] += c * leaving
    return changed


def _shifts(net: Graph, found: Iterable[Substitute]) -> dict[str, Array]:
    """What the constants add to every reader's biases."""
    totals: dict[str, Any] = {}
    for substitute in found:
        for value, constants in substitute.constants.items():
            totals[value] = totals.get(value, 0) + constants
    readers = {r.value: r.readers for group in net.neurons.values() for r in group.reads}
    return {reader: response(net, reader, total) for value, total in totals.items() for reader in readers[value]}


def _exactly(array: Array) -> Array:
    """A copy that is not rounded on the way: floats in float64."""
    return array.copy() if array.dtype == object else array.astype(np.float64)
