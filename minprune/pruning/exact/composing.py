"""Composition: two dense layers with nothing but straight lines between them are one dense layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...layers import Dense
from ...neurons import NeuronGroup
from ...nn import Graph, Node
from .redundancy import Survey, linear_neurons

PLAIN = {"relu", "leakyrelu", "identity", "dropout"}


def composable(survey: Survey, group: NeuronGroup) -> bool:
    """Whether a group is a dense layer that one other reads and nobody else, all of its neurons linear on the box."""
    way = _way(survey.net, group)
    return way is not None and len(linear_neurons(survey, group)) == group.size


def makes_it_smaller(net: Graph, group: NeuronGroup) -> bool:
    """Whether both layers in one have no more weights than apart; not behind a bottleneck."""
    first: Any = net.nodes[group.source].layer
    second: Any = net.nodes[group.reads[0].readers[0]].layer
    together = first.inputs * second.outputs + second.outputs * (first.bias or second.bias)
    apart = first.outputs * (first.inputs + first.bias) + second.outputs * (second.inputs + second.bias)
    return bool(together <= apart)


def _way(net: Graph, group: NeuronGroup) -> list[str] | None:
    """The nodes from a dense producer to its only reader, the reader excluded; None where there is another way."""
    readers = [reader for read in group.reads for reader in read.readers]
    ends = [net.nodes[name].layer for name in (group.source, *readers) if name in net.nodes]
    if len(ends) != 2 or not all(isinstance(layer, Dense) for layer in ends):
        return None
    way = [group.source]
    while True:
        following = [name for name, node in net.nodes.items() if way[-1] in node.inputs]
        if way[-1] == net.output or len(following) != 1:
            return None
        if following == readers:
            return way
        if net.nodes[following[0]].layer.kind not in PLAIN:
            return None
        way += following


def composed(net: Graph, group: NeuronGroup) -> Graph:
    r"""Multiply a layer into the one that reads it: $W = W_2 W_1$, $b = W_2 b_1 + b_2$. The reader's name stays."""
    way = _way(net, group)
    assert way is not None
    (reader,) = group.reads[0].readers
    first: Any = net.nodes[group.source].layer
    second: Any = net.nodes[reader].layer
    wide = object if net.dtype == object else np.float64
    W2 = net.params[f"{reader}.W"].astype(wide)
    arrays = {name: array for name, array in net.arrays.items() if name.partition(".")[0] not in way}
    arrays[f"{reader}.W"] = (W2 @ net.params[f"{group.source}.W"].astype(wide)).astype(net.dtype)
    b = [W2 @ net.params[f"{group.source}.b"]] if first.bias else []
    b += [net.params[f"{reader}.b"]] if second.bias else []
    if b:
        arrays[f"{reader}.b"] = np.asarray(sum(b)).astype(net.dtype)
    nodes = {name: node for name, node in net.nodes.items() if name not in way}
    layer = replace(second, inputs=first.inputs, bias=bool(b))
    nodes[reader] = Node(layer, net.nodes[group.source].inputs)
    masks = {name: kept for name, kept in net.masks.items() if name.rpartition(".")[0] not in (*way, reader)}
    return Graph.assemble(nodes, net.inputs, net.output, arrays, net.input_shapes, masks)
