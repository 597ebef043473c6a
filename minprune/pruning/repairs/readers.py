"""Readers of dropped neurons: the layers that lost something, and what repairs need to work on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ...nn import Graph, Node
from ...ops import Array
from ..plan import Plan


def readers_of_dropped(net: Graph, plan: Plan) -> list[str]:
    """The layers that read a dropped neuron with weights of their own, in the order in which they compute.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(4, 3), mp.ReLU(), mp.Dense(3, 3), mp.ReLU(), mp.Dense(3, 2))
    >>> readers_of_dropped(net, Plan({"dense1": [0]}))
    ['dense2']
    """
    readers = {
        reader
        for name, neurons in plan.drop.items()
        for read in net.neurons[name].reads
        if np.isin(read.owner, neurons).any()
        for reader in read.readers
    }
    return [name for name in net.nodes if name in readers]


def rows_left(net: Graph, layer: str, plan: Plan) -> Array:
    """Which of a layer's own neurons are still there, as one bool for each."""
    left = np.ones(len(net.params[f"{layer}.W"]), dtype=bool)
    for name, neurons in plan.drop.items():
        for piece in net.neurons[name].produced:
            if piece.array == f"{layer}.W":
                left &= ~np.isin(piece.owner, neurons)
    return left


def with_biases(net: Graph, layers: Iterable[str]) -> Graph:
    """A copy of a network in which these layers have a bias: a new one is 0.

    Also where a batch-norm follows: outside training its mean is fixed, so that a bias before it does count.
    """
    nodes, arrays = dict(net.nodes), {name: array.copy() for name, array in net.arrays.items()}
    for name in layers:
        if f"{name}.b" not in arrays:
            layer: Any = nodes[name].layer
            nodes[name] = Node(replace(layer, bias=True), nodes[name].inputs)
            W = arrays[f"{name}.W"]
            arrays[f"{name}.b"] = np.full(len(W), 0 * W.flat[0], dtype=W.dtype)  # 0 of its kind, rationals included
    return Graph.assemble(nodes, net.inputs, net.output, arrays, net.input_shapes, net.masks)


def response(net: Graph, reader: str, constants: Array) -> Array:
    """What a layer's weighted sums get from a constant input (C,): one number for each of its neurons."""
    W = net.params[f"{reader}.W"]
    weights = W.reshape(*W.shape[:2], -1).sum(axis=2)  # (O, C/groups): a filter's entries all see the same constant
    groups = getattr(net.nodes[reader].layer, "groups", 1)
    blocks = weights.reshape(groups, -1, weights.shape[1]) @ constants.reshape(groups, -1, 1)
    return blocks.reshape(-1)


def spread(available: int, wanted: int) -> Array:
    """Indices of at most `wanted` samples, at even distances: data sorted by class gives some of each."""
    return np.arange(min(available, wanted)) * available // min(available, wanted)


def needed_for(net: Graph, wanted: str) -> set[str]:
    """The name of a value, and of all values that it depends on."""
    needed = {wanted}
    for name in reversed(net.nodes):
        if name in needed:
            needed.update(net.nodes[name].inputs)
    return needed


def compute(net: Graph, wanted: str, x: Any) -> dict[str, Array]:
    """The value of a node, and of all nodes that it depends on."""
    values, arrays, needed = net.take(x), net.arrays, needed_for(net, wanted)
    for name in net.nodes:
        if name in needed:
            values[name] = net.compute_node(name, values, arrays)
    return values
