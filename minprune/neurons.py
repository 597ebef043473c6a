"""Neurons: who they are, who is tied to whom, which entries of which arrays are theirs.

A neuron of a dense layer is a row of W and an entry of b; to other layers it is a column of *their* W. Batch-norm adds
an entry of each of its arrays; behind a flatten the column becomes a block of columns; a sum ties a neuron to its
partner in the other branch, and a depthwise convolution to the filter that carries it on. What belongs together must
stay or leave together: that is a *neuron*; the neurons that are made by the same (tied) layers are a *group*.

How it is found: give every channel of every producer an identity, walk the graph once, and let each kind of layer say
what it does to identities (keep, repeat, pick, chain, tie). Whatever array axis is met on the way is written down with
the identities of its entries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import StructureError
from .nn import Graph, Node
from .ops import Array

Ids = NDArray[np.intp]
NOBODY = -1


@dataclass(frozen=True, eq=False)
class Slice:
    """The entries of one array axis that belong to a group.

    Attributes
    ----------
    array : str
        Name of the parameter or buffer: ``"dense2.W"``.
    axis : int
        Which of its axes.
    owner : array of int
        For every position on that axis the neuron it belongs to, or −1 where it is none of this group's.
    """

    array: str
    axis: int
    owner: Ids

    def __repr__(self) -> str:
        return f"<{self.array}[{self.axis}]: {np.count_nonzero(self.owner != NOBODY)} of {len(self.owner)} entries>"

    def positions(self, j: int) -> Ids:
        """The positions that belong to neuron j."""
        return np.flatnonzero(self.owner == j)


@dataclass(frozen=True, eq=False)
class Read:
    """A value that layers read from a group: where `mask` puts a gate.

    Attributes
    ----------
    value : str
        Name of the value.
    readers : tuple of str
        The layers that read it with weights of their own.
    owner : array of int
        For every channel of the value the neuron it belongs to, or −1.
    """

    value: str
    readers: tuple[str, ...]
    owner: Ids

    def per_neuron(self, entries: Array, size: int) -> Array:
        """Sum entries (N, C, …) over places, and over the channels of each neuron: (N, size)."""
        entries = entries.sum(axis=tuple(range(2, entries.ndim)))  # (N,C,…) -> (N,C)
        each, rest = divmod(len(self.owner), max(1, size))
        if not rest and np.array_equal(self.owner, np.repeat(np.arange(size), each)):  # one after the other
            return entries if each == 1 else entries.reshape(len(entries), size, each).sum(axis=2)
        total = np.zeros((len(entries), size), dtype=entries.dtype)
        mine = self.owner != NOBODY
        np.add.at(total.T, self.owner[mine], entries[:, mine].T)
        return total


@dataclass(frozen=True, eq=False)
class NeuronGroup:
    """Neurons that are made by the same layers, and all that is theirs.

    Attributes
    ----------
    name : str
        The first layer that makes them; ``"input"`` for the features of a single input.
    size : int
        How many neurons.
    source : str
        The value in which the first producer puts them.
    produced, carried, consumed : tuple of Slice
        The rows that make them, the entries that go along (batch-norm), and the columns that read them.
    reads : tuple of Read
        The values in which they are read.
    channels : mapping
        For every value that holds some of them: the neuron of each channel, or −1.
    stays : str
        Why none of them can be removed ("output"), or "" where they can.
    """

    name: str
    size: int
    source: str
    produced: tuple[Slice, ...]
    carried: tuple[Slice, ...]
    consumed: tuple[Slice, ...]
    reads: tuple[Read, ...]
    channels: Mapping[str, Ids]
    stays: str

    @property
    def slices(self) -> tuple[Slice, ...]:
        """Produced, carried and consumed together."""
        return self.produced + self.carried + self.consumed

    def __repr__(self) -> str:
        roles = (("produced", self.produced), ("carried", self.carried), ("consumed", self.consumed))
        parts = (f"{role} {', '.join(f'{s.array}[{s.axis}]' for s in slices)}" for role, slices in roles if slices)
        return f"<{self.name}: {self.size} neurons; {'; '.join(parts)}{f'; {self.stays}' * bool(self.stays)}>"


class _Walk:
    """One walk along a graph: identities of all channels, and what they touch."""

    def __init__(self, net: Graph) -> None:
        if net.input_shapes is None:
            raise StructureError("the layers leave the input's shape open; give input_shape= when making the network")
        self.net = net
        self.shapes = net.value_shapes(net.input_shapes)
        self.parent: list[int] = []  # union-find: tied identities lead to the same root
        self.sources: dict[str, Ids] = {}  # producer -> the identities it made
        self.touched: list[tuple[str, str, int, Ids]] = []  # role, array, axis, identities
        self.read: dict[str, tuple[list[str], Ids]] = {}  # value -> its readers, identities
        self.bound: dict[int, str] = {}  # identity -> why it stays
        self.channels: dict[str, Ids] = {name: self.fresh(name, self.shapes[name][0]) for name in net.inputs}
        for name, node in net.nodes.items():
            self.channels[name] = self.follow(name, node)
        self.bind(self.channels[net.output], "output")

    def fresh(self, name: str, count: int) -> Ids:
        ids = np.arange(len(self.parent), len(self.parent) + count)
        self.parent.extend(ids.tolist())
        self.sources[name] = ids
        return ids

    def root(self, identity: int) -> int:
        while self.parent[identity] != identity:
            self.parent[identity] = self.parent[self.parent[identity]]
            identity = self.parent[identity]
        return identity

    def tie(self, first: Ids, second: Ids) -> None:
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            low, high = sorted((self.root(a), self.root(b)))
            self.parent[high] = low

    def bind(self, ids: Ids, why: str) -> None:
        self.bound.update(dict.fromkeys(ids.tolist(), why))

    def touch(self, role: str, name: str, axes: Mapping[str, int], ids: Ids) -> None:
        arrays = self.net.arrays
        self.touched += [(role, f"{name}.{a}", axis, ids) for a, axis in axes.items() if f"{name}.{a}" in arrays]

    def consume(self, name: str, node: Node, ids: Ids, columns: Ids) -> None:
        (value,) = node.inputs
        self.read.setdefault(value, ([], ids))[0].append(name)
        self.touch("consumed", name, node.layer.consumes, columns)

    def follow(self, name: str, node: Node) -> Ids:
        """The identities of a node's channels, from those of the values that it reads."""
        layer: Any = node.layer
        ids = [self.channels[source] for source in node.inputs]
        if layer.flow == "join":
            return np.concatenate(ids)
        if layer.flow == "add":
            for other in ids[1:]:
                self.tie(ids[0], other)
            return ids[0]
        if layer.flow in ("new", "conv"):
            return self.follow_weights(name, node, layer, ids[0])
        if layer.flow == "mixed":
            return self.follow_mixed(name, layer, ids)
        out = ids[0]
        if layer.flow == "blocks":
            out = np.repeat(out, prod(self.shapes[node.inputs[0]][1:]))
        elif layer.flow == "rearrange":
            out = self.follow_rearranged(name, node, layer, out)
        elif layer.flow == "select":
            out = out[self.net.buffers[f"{name}.index"]]
        elif layer.flow == "bound":
            self.bind(out, f"{name} computes with all of them at once")
        self.touch("carried", name, layer.carries, out)
        return out

    def follow_mixed(self, name: str, layer: Any, ids: list[Ids]) -> Ids:
        """What is computed from all of them at once: they stay, and the result has nobody's neurons."""
        kept = layer.kind == "opaque"
        why = (
            f"{layer.told} is kept as it is and reads them whole"
            if kept
            else f"{name} computes with all of them at once"
        )
        self.bind(np.concatenate(ids), why)
        mixed = self.fresh(name, self.shapes[name][0])
        self.bind(mixed, f"{layer.told} makes them" if kept else f"{name} mixes neurons in them")
        return mixed

    def follow_rearranged(self, name: str, node: Node, layer: Any, ids: Ids) -> Ids:
        """Move the identity of every single entry as the entry moves: where a row has but one, it has a neuron."""
        shape = self.shapes[node.inputs[0]]
        entries = np.broadcast_to(ids.reshape(-1, *(1,) * (len(shape) - 1)), shape)
        rows = entries.transpose(layer.order).reshape(self.shapes[name][0], -1)
        if (rows == rows[:, :1]).all():
            return rows[:, 0]
        self.bind(ids, f"{name} spreads them over its channels")
        mixed = self.fresh(name, len(rows))
        self.bind(mixed, f"{name} mixes neurons in them")
        return mixed

    def follow_weights(self, name: str, node: Node, layer: Any, ids: Ids) -> Ids:
        """A layer with weights reads its input and makes new neurons; a depthwise one carries its input's on."""
        groups = getattr(layer, "groups", 1)
        if getattr(layer, "depthwise", False):
            out = np.repeat(ids, layer.outputs // groups)
            self.touch("produced", name, layer.produces, out)
            return out
        out = self.fresh(name, layer.outputs)
        by_group, out_by_group = ids.reshape(groups, -1), out.reshape(groups, -1)
        for q in range(1, groups):  # all blocks of W have the same width: its k-th columns leave together
            self.tie(by_group[0], by_group[q])
            self.tie(out_by_group[0], out_by_group[q])
        self.consume(name, node, ids, by_group[0])
        self.touch("produced", name, layer.produces, out)
        return out


def find_groups(net: Graph) -> dict[str, NeuronGroup]:
    """Find the groups of neurons of a network.

    Raises
    ------
    StructureError
        When the shape of the network's input is not known, or a node is called "input" beside an input of another name.

    Examples
    --------
    >>> from minprune.nn import Sequential
    >>> from minprune.layers import Conv2d, ReLU, Flatten, Dense
    >>> net = Sequential(Conv2d(1, 2, 3), ReLU(), Flatten(), Dense(8, 10), input_shape=(1, 4, 4))
    >>> find_groups(net)["conv1"]
    <conv1: 2 neurons; produced conv1.W[0], conv1.b[0]; consumed dense1.W[1]>
    >>> find_groups(net)["conv1"].consumed[0].owner
    array([0, 0, 0, 0, 1, 1, 1, 1])
    """
    walk = _Walk(net)
    roots = np.array([walk.root(identity) for identity in range(len(walk.parent))], dtype=np.intp)
    seen = {int(r) for _, _, _, ids in walk.touched for r in roots[ids]}
    groups = {}
    for names in _tied_sources(walk.sources, roots):
        made = np.concatenate([roots[walk.sources[name]] for name in names])
        members = [r for r in dict.fromkeys(made.tolist()) if r in seen]  # in order of first appearance
        if members:
            group = _make_group(walk, roots, names, members)
            if group.name in groups:
                raise StructureError(f"{group.name}: the input's group bears this name; give the node another one")
            groups[group.name] = group
    return groups


def _tied_sources(sources: Mapping[str, Ids], roots: Ids) -> list[list[str]]:
    """The producers, those that share a neuron put together."""
    together: list[tuple[list[str], set[int]]] = []
    for name, ids in sources.items():
        names, members = [name], set(roots[ids].tolist())
        for other in [t for t in together if t[1] & members]:
            together.remove(other)
            names, members = other[0] + names, members | other[1]
        together.append((names, members))
    order = list(sources)
    return sorted((sorted(names, key=order.index) for names, _ in together), key=lambda names: order.index(names[0]))


def _make_group(walk: _Walk, roots: Ids, names: list[str], members: list[int]) -> NeuronGroup:
    number = np.full(len(roots), NOBODY, dtype=np.intp)
    number[members] = np.arange(len(members))

    def owners(ids: Ids) -> Ids:
        return number[roots[ids]]

    by_role: dict[str, list[Slice]] = {"produced": [], "carried": [], "consumed": []}
    for role, array, axis, ids in walk.touched:
        if (owners(ids) != NOBODY).any():
            by_role[role].append(Slice(array, axis, owners(ids)))
    reads = [Read(value, tuple(readers), owners(ids)) for value, (readers, ids) in walk.read.items()]
    channels = {value: owners(ids) for value, ids in walk.channels.items()}
    mine = {int(identity) for identity in np.flatnonzero(number[roots] != NOBODY)}
    reasons = dict.fromkeys(why for identity, why in walk.bound.items() if identity in mine)
    single_input = walk.net.inputs == (names[0],)
    return NeuronGroup(
        name="input" if single_input else names[0],
        size=len(members),
        source=names[0],
        produced=tuple(by_role["produced"]),
        carried=tuple(by_role["carried"]),
        consumed=tuple(by_role["consumed"]),
        reads=tuple(read for read in reads if (read.owner != NOBODY).any()),
        channels={value: owner for value, owner in channels.items() if (owner != NOBODY).any()},
        stays="output" if "output" in reasons else "; ".join(reasons),
    )


def is_input(net: Graph, group: NeuronGroup) -> bool:
    """Whether a group consists of input features."""
    return group.source in net.inputs


def hidden(net: Graph) -> list[str]:
    """The names of the groups that may be pruned without being asked for by name: neither inputs nor outputs.

    Examples
    --------
    >>> from minprune.nn import Sequential
    >>> from minprune.layers import Dense, ReLU
    >>> hidden(Sequential(Dense(3, 5), ReLU(), Dense(5, 2)))
    ['dense1']
    """
    return [name for name, group in net.neurons.items() if not group.stays and not is_input(net, group)]


def staying(net: Graph, drop: Mapping[str, Iterable[int]]) -> dict[str, dict[int, Ids]]:
    """Which positions of which array axes stay when neurons are dropped: ``{array: {axis: positions}}``.

    Examples
    --------
    >>> from minprune.nn import Sequential
    >>> from minprune.layers import Dense, ReLU
    >>> stay = staying(Sequential(Dense(3, 5), ReLU(), Dense(5, 2)), {"dense1": [0, 2]})
    >>> for name, axes in stay.items():
    ...     print(name, {axis: positions.tolist() for axis, positions in axes.items()})
    dense1.W {0: [1, 3, 4]}
    dense1.b {0: [1, 3, 4]}
    dense2.W {1: [1, 3, 4]}
    """
    stays: dict[str, dict[int, Ids]] = {}
    for name, neurons in drop.items():
        for piece in net.neurons[name].slices:
            kept = np.flatnonzero(~np.isin(piece.owner, list(neurons)))
            axes = stays.setdefault(piece.array, {})
            axes[piece.axis] = np.intersect1d(axes[piece.axis], kept) if piece.axis in axes else kept
    return stays


def fingerprint(net: Graph) -> str:
    """A short hash of groups and parameter shapes: what a plan belongs to. Gates and values do not count."""
    groups = [(group.name, group.size) for group in net.neurons.values()]
    shapes = [(name, array.shape) for name, array in net.params.items()]
    return hashlib.sha256(json.dumps([groups, shapes]).encode()).hexdigest()[:16]


def check_neuron(net: Graph, group: str, j: int) -> NeuronGroup:
    """Return the group that holds neuron j.

    Raises
    ------
    StructureError
        When there is no such group or neuron.
    """
    if group not in net.neurons:
        raise StructureError(f"no group is called {group!r}; there are {', '.join(net.neurons)}")
    found = net.neurons[group]
    if not isinstance(j, int | np.integer) or not 0 <= j < found.size:
        raise StructureError(f"{group}: no neuron {j}; expected 0 to {found.size - 1}")
    return found
