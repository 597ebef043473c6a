"""Scores of a channel by its batch-norm's scale, or by its filter's distance to the others: no data, no gradient."""

from __future__ import annotations

import numpy as np

from ..errors import DataError
from ..neurons import NOBODY, NeuronGroup, Slice
from ..nn import Graph
from ..ops import Array
from .base import Context, Criterion, Terms, Vector


class BnScale(Criterion):
    r"""The modulus of the scale by which a batch-norm multiplies a neuron: $|\gamma_j|$.

    It tells something in networks that were trained with a penalty on |γ|. A neuron that passes several batch-norms
    (tied producers, several channels) gets the sum; a group in which a neuron passes none is refused.

    Notes
    -----
    Source: Liu et al. 2017, *Learning efficient convolutional networks through network slimming*, section 3.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 2), mp.BatchNorm(2), mp.ReLU(), mp.Dense(2, 1))
    >>> net.params["batchnorm1.gamma"] = [0.5, -2.0]
    >>> mp.score(net, criterion="bn_scale")["dense1"]
    array([0.5, 2. ])
    """

    name = "bn_scale"
    formula = r"I_j = |\gamma_j|"
    source = "Liu et al. 2017, section 3"

    def score(self, context: Context) -> dict[str, Vector]:
        """|γ|."""
        return {group.name: _scales(context.net, group) for group in context.groups}

    def terms(self, context: Context, j: int) -> Terms:
        """|γ| of every batch-norm entry that the neuron passes."""
        (group,) = context.groups
        gammas = [(s.array, int(k)) for s in group.carried if s.array.endswith(".gamma") for k in s.positions(j)]
        scales = np.array([context.net.params[array][k] for array, k in gammas], dtype=np.float64)
        names = [f"{array}[{k}]" for array, k in gammas]
        values = np.abs(scales)
        return Terms("scale", values, "sum", float(values.sum()), names.__getitem__, {"γ": scales})


def _scales(net: Graph, group: NeuronGroup) -> Vector:
    total, found = np.zeros(group.size), np.zeros(group.size, dtype=bool)
    for piece in group.carried:
        if piece.array.endswith(".gamma"):
            mine = piece.owner != NOBODY
            np.add.at(total, piece.owner[mine], np.abs(net.params[piece.array][mine].astype(np.float64)))
            found[piece.owner[mine]] = True
    if not found.all():
        raise DataError(
            f"{group.name}: neuron {np.argmin(found)} passes no batch-norm, so it has no scale; "
            "leave the group out with groups=, or take another criterion"
        )
    return total


class Fpgm(Criterion):
    r"""How far a neuron's incoming weights are from those of its group: $\sum_i \|w_j - w_i\|_2$, bias apart.

    What is near all the others, near their geometric median, can be replaced by them. Tied producers are put one behind
    the other; a producer that does not make a neuron gives it zeros.

    Notes
    -----
    Source: He et al. 2019, *Filter pruning via geometric median for deep convolutional neural networks acceleration*.
    Torch-Pruning takes distances between |w|² entry by entry, so that w and −w coincide; NNI and NNCF use w as here.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 3), mp.ReLU(), mp.Dense(3, 1))
    >>> net.params["dense1.W"] = [[3.0, 4.0], [-3.0, -4.0], [0.0, 0.0]]
    >>> mp.score(net, criterion="fpgm")["dense1"]
    array([15., 15., 10.])
    """

    name = "fpgm"
    formula = r"I_j = \sum_i \| w_j - w_i \|_2"
    source = "He et al. 2019"

    def score(self, context: Context) -> dict[str, Vector]:
        """Distances from every row to all rows."""
        scores = {}
        for group in context.groups:
            rows = _filters(context.net, group)
            scores[group.name] = np.array([np.sqrt(((rows - row) ** 2).sum(axis=1)).sum() for row in rows])
        return scores

    def terms(self, context: Context, j: int) -> Terms:
        """The distance to every neuron of the group."""
        (group,) = context.groups
        rows = _filters(context.net, group)
        values = np.sqrt(((rows - rows[j]) ** 2).sum(axis=1))
        return Terms("neuron", values, "sum", float(values.sum()), lambda i: f"{group.name}[{i}]")


def _filters(net: Graph, group: NeuronGroup) -> Array:
    """The incoming weights of all neurons as rows."""
    weights = [piece for piece in group.produced if piece.array.endswith(".W")]
    if not weights:
        raise DataError(f"{group.name}: no layer makes it, so it has no filters to compare; take another criterion")
    return np.concatenate([_rows(net.params[piece.array], piece, group.size) for piece in weights], axis=1)


def _rows(W: Array, piece: Slice, size: int) -> Array:
    """The filters of one producer: (size, most filters of a neuron · weights of a filter), zeros where it has none."""
    filters = np.moveaxis(W, piece.axis, 0).reshape(len(piece.owner), -1).astype(np.float64)
    most = np.bincount(piece.owner[piece.owner != NOBODY]).max()
    rows = np.zeros((size, most, filters.shape[1]))
    for j in range(size):
        mine = filters[piece.positions(j)]
        rows[j, : len(mine)] = mine
    return rows.reshape(size, -1)
