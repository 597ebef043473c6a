"""Merging: a dropped neuron's outgoing weights go to the neuron that is left most like it. No data is needed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import DtypeError, StructureError
from ...layers import BatchNorm, Gate
from ...neurons import Ids, NeuronGroup, staying
from ...nn import Graph
from ...ops import Array
from ..plan import Plan
from .readers import needed_for

# Layers f with f(c·z) = c·f(z) for c ≥ 0: behind them a multiple of the incoming weights is the same multiple of a.
HOMOGENEOUS = {
    *("relu", "leakyrelu", "maxpool", "avgpool", "globalavgpool", "flatten", "dropout", "identity", "add", "concat")
}


def merge_repair(net: Graph, small: Graph, plan: Plan, x: Any = None) -> Graph:
    r"""Add every dropped neuron's outgoing weights to those of its nearest partner among the neurons that stay.

    $w_{ki} \leftarrow w_{ki} + c\, w_{kj}$ for every reader k, with v a neuron's incoming weights and bias.
    Behind ReLU and other layers with f(c z) = c f(z) it is $i = \arg\min_i \|v_j - c_i v_i\|$ with
    $c_i = \max(0, v_j \cdot v_i / \|v_i\|^2)$, behind any other $i = \arg\min_i \|v_j - v_i\|$ with c = 1.

    Parameters
    ----------
    net, small : Graph
        The network before, and after `remove` without repair.
    plan : Plan
        What was dropped.
    x : array (N, …), optional
        Is not looked at.

    Returns
    -------
    Graph
        The repaired network; `small` is not changed.

    Raises
    ------
    StructureError
        When neurons are made by several layers or by none, or when a batch-norm or gate stands before a reader: then
        incoming weights do not tell what a neuron computes.
    DtypeError
        For a network of anything but floats.

    Notes
    -----
    Source: Srinivas and Babu 2015, *Data-free parameter pruning for deep neural networks*, section 3. There partners
    have equal weights up to an error and are taken one by one; the scale c is what they leave to a normalisation.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.ReLU(), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense1.b"] = [[1.0], [2.0]], [-1.0, -2.0]  # the second is twice the first
    >>> net.params["dense2.W"] = [[10.0, 3.0]]
    >>> mp.remove(net, mp.Plan({"dense1": [1]}), repair="merge").params["dense2.W"]
    array([[16.]])
    """
    if net.dtype.kind != "f":
        raise DtypeError(f"merging needs a network of floats, got {net.dtype}; use repair='mean' or astype")
    merged: dict[str, Array] = {}
    for name, neurons in plan.drop.items():
        group = net.neurons[name]
        for read in group.reads if neurons else ():
            partners, scales = _partners(_incoming(net, group), neurons, _is_homogeneous(net, group, read.value))
            for reader in read.readers:
                W = merged.setdefault(f"{reader}.W", net.params[f"{reader}.W"].copy())
                _add_columns(W, _columns_of(group, reader), neurons, partners, scales)
    repaired = small.copy()
    for key, axes in staying(net, plan.drop).items():
        if key in merged:
            for axis, positions in axes.items():
                merged[key] = np.take(merged[key], positions, axis=axis)
            repaired.params[key] = merged[key]
    return repaired


def _incoming(net: Graph, group: NeuronGroup) -> Array:
    """Every neuron's incoming weights and bias as one row, in float64."""
    if len({piece.array.rpartition(".")[0] for piece in group.produced}) != 1:
        raise StructureError(
            f"{group.name}: merging compares the weights of a single layer, and this group is made by several or none; "
            "use repair='least_squares'"
        )
    rows = [
        np.concatenate([net.params[piece.array][piece.positions(j)].ravel() for piece in group.produced])
        for j in range(group.size)
    ]
    return np.stack(rows).astype(np.float64)


def _is_homogeneous(net: Graph, group: NeuronGroup, value: str) -> bool:
    """Whether what a reader sees grows in proportion to the group's weighted sums, as far as scales ≥ 0 go."""
    on_the_way = needed_for(net, value) & group.channels.keys() - {group.source}
    between = [net.nodes[name].layer for name in net.nodes if name in on_the_way]
    blocking = next((layer for layer in between if isinstance(layer, BatchNorm | Gate)), None)
    if blocking is not None:
        raise StructureError(
            f"{group.name}: a {blocking.kind} stands between these neurons and {value}, so that their weights alone do "
            "not tell what they compute; use repair='least_squares'"
        )
    return all(layer.kind in HOMOGENEOUS for layer in between)


def _partners(incoming: Array, neurons: list[int], homogeneous: bool) -> tuple[Ids, Array]:
    """For every dropped neuron the one that takes over (D,), and the scale (D,)."""
    kept = np.setdiff1d(np.arange(len(incoming)), neurons)
    v, u = incoming[neurons], incoming[kept]  # (D,F), (K,F)
    squares = (u**2).sum(axis=1)
    scales = np.ones((len(v), len(u)))
    if homogeneous:
        scales = np.maximum(0, v @ u.T) / np.where(squares > 0, squares, 1)  # (D,F)(F,K) -> (D,K)
    distances = scales**2 * squares - 2 * scales * (v @ u.T)  # ‖v − c u‖² but for ‖v‖², which all share
    best = distances.argmin(axis=1)
    return kept[best], scales[np.arange(len(v)), best]


def _columns_of(group: NeuronGroup, reader: str) -> Ids:
    """The neuron of each of a reader's columns, or −1."""
    return next(piece.owner for piece in group.consumed if piece.array == f"{reader}.W")


def _add_columns(W: Array, owner: Ids, neurons: list[int], partners: Ids, scales: Array) -> None:
    """Add the columns of dropped neurons, scaled, to those of their partners: behind a flatten, place by place."""
    for j, i, scale in zip(neurons, partners.tolist(), scales.tolist(), strict=True):
        W[:, owner == i] += scale * W[:, owner == j]
