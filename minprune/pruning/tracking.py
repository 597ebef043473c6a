"""Tracking: which neuron of a smaller network is which of the network that it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..neurons import NOBODY, Ids, staying
from ..nn import Graph

Drop = Mapping[str, Iterable[int]]


def origins(net: Graph, small: Graph, drop: Drop, name: str) -> Ids:
    """For every neuron of a group of the smaller network, its index in the group of that name before.

    Looked up in the arrays rather than counted off: where several layers make a group together, a removal can part
    them, and only some of those that stay go on under its name.

    Parameters
    ----------
    net, small : Graph
        Before and after ``remove(net, Plan(drop))``.
    drop : mapping
        Group -> the neurons that were dropped.
    name : str
        A group of both.

    Returns
    -------
    array of int
        (n,), n neurons in `small`.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 4), mp.ReLU(), mp.Dense(4, 1))
    >>> origins(net, mp.remove(net, mp.Plan({"dense1": [0, 2]})), {"dense1": [0, 2]}, "dense1")
    array([1, 3])
    """
    stays = staying(net, drop)
    before = {(piece.array, piece.axis): piece.owner for piece in net.neurons[name].slices}
    found = np.full(small.neurons[name].size, NOBODY, dtype=np.intp)
    for piece in small.neurons[name].slices:
        key = (piece.array, piece.axis)
        if key in before:  # a Select, or a bias that a repair made, was not there before
            left = stays.get(piece.array, {}).get(piece.axis, slice(None))
            mine = piece.owner != NOBODY
            found[piece.owner[mine]] = before[key][left][mine]
    return found


def joined(net: Graph, small: Graph, drop: Drop, more: Drop) -> dict[str, list[int]]:
    """What is dropped of `net` in all, where `more` is to be dropped of the network that is left without `drop`.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 4), mp.ReLU(), mp.Dense(4, 1))
    >>> joined(net, mp.remove(net, mp.Plan({"dense1": [0, 2]})), {"dense1": [0, 2]}, {"dense1": [0]})
    {'dense1': [0, 1, 2]}
    """
    total = {name: set(neurons) for name, neurons in drop.items()}
    for name, neurons in more.items():
        total.setdefault(name, set()).update(origins(net, small, drop, name)[list(neurons)].tolist())
    return {name: sorted(total[name]) for name in net.neurons if name in total}
