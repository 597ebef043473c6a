r"""Sizes of a smaller network, without making it: parameters, multiply-accumulates and bytes after every removal.

A removal shortens axes, and an array is as large as the product of its axes. So an entry counts once, also where both
its row and its column leave. A weight costs one multiply-accumulate for every place it is used at, and how many places
there are no removal changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..layers import Select
from ..neurons import NOBODY, NeuronGroup
from ..nn import Graph
from ..reports import macs
from ..scores import Vector

Neuron = tuple[str, int]  # group, index
Counts = NDArray[np.int64]
INDEX_BYTES = np.dtype(np.int64).itemsize  # of one entry of a `Select`


def sizes_along(net: Graph, order: Sequence[Neuron]) -> dict[str, Counts]:
    r"""How large the network is after 0, 1, 2 … removals in the given order; exact, whatever is tied to what.

    $|A|_k = \prod_{\mathrm{axes}} \#\{\mathrm{positions\ whose\ neuron\ is\ not\ among\ the\ first\ } k\}$ entries of
    every array A; $\mathrm{MACs}_k = \sum_W |W|_k \cdot \mathrm{places}_W$.

    Parameters
    ----------
    net : Graph
        Is only looked at.
    order : sequence of (group, neuron)
        Whom to remove, first to last; each once.

    Returns
    -------
    dict
        ``"params"``, ``"macs"`` (for one sample of the network's `input_shapes`) and ``"bytes"`` (of all arrays in
        memory, as `Evaluation.bytes_memory`): arrays (len(order) + 1,).

    Examples
    --------
    >>> from minprune.nn import Sequential
    >>> from minprune.layers import Dense, ReLU
    >>> net = Sequential(Dense(3, 5), ReLU(), Dense(5, 4), ReLU(), Dense(4, 2))
    >>> sizes_along(net, [("dense1", 0), ("dense2", 1)])["macs"]  # 3·5 + 5·4 + 4·2, then the first 5 are 4, then …
    array([43, 36, 30])
    """
    left = _lengths(net, order)
    entries = {name: _entries(array.shape, left.get(name, {}), len(order)) for name, array in net.arrays.items()}
    nothing = np.zeros(len(order) + 1, dtype=np.int64)
    return {
        "params": sum((entries[name] for name in net.params), nothing),
        "macs": sum((uses * entries[name] for name, uses in _uses(net).items()), nothing),
        "bytes": sum((array.itemsize * entries[name] for name, array in net.arrays.items()), _selects(net, order)),
    }


def sizes_without(net: Graph, drop: Mapping[str, Iterable[int]]) -> dict[str, tuple[int, int]]:
    """How large the network is, and how large without the dropped neurons: parameters, MACs, bytes.

    Examples
    --------
    >>> from minprune.nn import Sequential
    >>> from minprune.layers import Dense, ReLU
    >>> sizes_without(Sequential(Dense(3, 5), ReLU(), Dense(5, 2)), {"dense1": [0, 2]})
    {'params': (32, 20), 'macs': (25, 15), 'bytes': (128, 80)}
    """
    along = sizes_along(net, [(group, j) for group, neurons in drop.items() for j in neurons])
    return {name: (int(counts[0]), int(counts[-1])) for name, counts in along.items()}


def macs_saved(net: Graph, group: NeuronGroup) -> Vector:
    r"""The multiply-accumulates that the network saves when a neuron leaves, alone: $c_j = M - M_{\setminus j}$.

    Its rows where it is made and its columns where it is read, each weight once, times the places they are used at.

    Examples
    --------
    >>> from minprune.nn import Sequential
    >>> from minprune.layers import Dense, ReLU
    >>> net = Sequential(Dense(3, 5), ReLU(), Dense(5, 2))
    >>> macs_saved(net, net.neurons["dense1"])
    array([5., 5., 5., 5., 5.])
    """
    uses = _uses(net)
    left: dict[str, Counts] = {}  # of every W its entries without each of the neurons (n,)
    for piece in group.slices:
        if piece.array in uses:
            mine = np.bincount(piece.owner[piece.owner != NOBODY], minlength=group.size)
            before = left.get(piece.array, net.arrays[piece.array].size)
            left[piece.array] = before // len(piece.owner) * (len(piece.owner) - mine)
    saved = np.zeros(group.size)
    for name, entries in left.items():
        saved += uses[name] * (net.arrays[name].size - entries)
    return saved


def _uses(net: Graph) -> dict[str, int]:
    """How many times each entry of a layer's W is used for one sample."""
    counts = macs(net, net.input_shapes or {})
    return {f"{name}.W": count // net.params[f"{name}.W"].size for name, count in counts.items() if count}


def _lengths(net: Graph, order: Sequence[Neuron]) -> dict[str, dict[int, Counts]]:
    """What is left of every array's axes after each number of removals: ``{array: {axis: (len(order) + 1,)}}``."""
    leaves: dict[str, dict[int, Counts]] = {}  # for every position the number of removals that it outlives
    for group, when in _departures(net, order).items():
        for piece in net.neurons[group].slices:
            axes = leaves.setdefault(piece.array, {})
            before = axes.get(piece.axis, np.full(len(piece.owner), len(order)))
            axes[piece.axis] = np.where(piece.owner == NOBODY, before, np.minimum(before, when[piece.owner]))
    return {name: {axis: _staying(times, len(order)) for axis, times in axes.items()} for name, axes in leaves.items()}


def _departures(net: Graph, order: Sequence[Neuron]) -> dict[str, Counts]:
    """For every neuron of the groups in `order` how many removals it outlives; len(order) for one that stays."""
    when = {group: np.full(net.neurons[group].size, len(order)) for group, _ in order}
    for k, (group, j) in enumerate(order):
        when[group][j] = k
    return when


def _staying(times: Counts, removals: int) -> Counts:
    """How many outlive 0, 1, 2 … removals."""
    return len(times) - np.searchsorted(np.sort(times), np.arange(removals + 1))


def _entries(shape: tuple[int, ...], left: Mapping[int, Counts], removals: int) -> Counts:
    """The entries of an array after each number of removals, some of its axes becoming shorter."""
    entries = np.ones(removals + 1, dtype=np.int64)
    for axis, length in enumerate(shape):
        entries *= left.get(axis, length)
    return entries


def _selects(net: Graph, order: Sequence[Neuron]) -> Counts:
    """Bytes of the `Select` that the removal of input features leaves behind, where something else reads the input."""
    total = np.zeros(len(order) + 1, dtype=np.int64)
    for group, when in _departures(net, order).items():
        for value in net.inputs:
            owner = net.neurons[group].channels.get(value)
            if owner is not None and not only_selected(net, value):
                times = np.where(owner == NOBODY, len(order), when[owner])
                total += INDEX_BYTES * _staying(times, len(order)) * (np.arange(len(order) + 1) > when.min())
    return total


def only_selected(net: Graph, value: str) -> bool:
    """Whether nothing but `Select` reads a value: then it can lose entries without another one."""
    return all(isinstance(node.layer, Select) for node in net.nodes.values() if value in node.inputs)
