r"""Penalties: training that drives whole neurons to nothing, so that they can be removed afterwards.

`fit(net, data, penalty=...)` minimises L + λ Ω. Ω has a kink at 0, where a gradient step only circles around 0. So the
optimiser steps along the gradient of L alone, and a *proximal* step follows,
$\theta \leftarrow \arg\min_u \frac{1}{2} \|u - \theta\|^2 + \eta \lambda \Omega(u)$ with the learning rate η of that
step: neurons become exactly 0 and stay there unless L pulls them back. For plain gradient descent this is proximal
gradient descent (Parikh and Boyd 2014, *Proximal algorithms*, section 4.2).

How large λ must be depends on the optimiser. With SGD it weighs against the gradient of L; momentum μ makes the steps
along L 1/(1 − μ) times as long, so λ counts (1 − μ) times as much. Adam's steps are about η in every coordinate,
however small the gradient, so there λ weighs against 1 and must be some hundred times as large: prefer SGD.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Protocol

import numpy as np

from .errors import StructureError
from .layers import BatchNorm
from .neurons import NOBODY, NeuronGroup, Slice, hidden
from .nn import Graph
from .ops import Array
from .optim import require


class Penalty(Protocol):
    """Anything that pulls parameters towards 0 while a network trains."""

    def check(self, net: Graph) -> None:
        """Refuse a network in which there is nothing to penalise."""

    def shrink(self, net: Graph, lr: float) -> None:
        """The proximal step, in place."""


@dataclass(frozen=True)
class GroupLasso:
    r"""Penalise the length of every hidden neuron's incoming weights and bias, taken together.

    $\Omega = \sum_j \sqrt{p_j}\, \|\theta_j\|$, so the proximal step multiplies θ_j by
    $\max(0, 1 - \eta\lambda\sqrt{p_j} / \|\theta_j\|)$. θ_j are all $p_j$ entries that make neuron j: its rows of W
    and its biases, of every layer that makes it where several are tied.

    A neuron that came to 0 computes the same for every sample: behind ReLU or tanh it is 0 and can be removed without
    any change, by ``mp.prune(net, data, "magnitude_l2", mp.Threshold(absolute=1e-12))``; behind a sigmoid it is ½,
    which a mean repair takes over. A batch-norm undoes any scale of what it reads: there take `BatchNormL1`.

    Parameters
    ----------
    weight : float
        λ, above 0.

    Raises
    ------
    DataError
        When the weight is out of range.
    StructureError
        By `fit`, for a network without hidden neurons.

    Notes
    -----
    Source: spec B9; Wen et al. 2016, *Learning structured sparsity in deep neural networks*, whose groups are filters
    without their biases; Scardapane et al. 2017, *Group sparse regularization for deep neural networks*, whose groups
    are a neuron's *outgoing* weights; √p is there and in Yuan and Lin 2006. Both follow the gradient of Ω.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 2, bias=False), mp.ReLU(), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"] = [[3.0, 4.0], [0.3, 0.4]]
    >>> GroupLasso(1 / np.sqrt(2)).shrink(net, lr=1.0)  # lengths 5 and ½ become 4 and 0
    >>> net.params["dense1.W"].round(12)
    array([[2.4, 3.2],
           [0. , 0. ]])
    """

    weight: float

    def __post_init__(self) -> None:
        require(self, "weight", 0 < self.weight < inf, "a number above 0")

    def check(self, net: Graph) -> None:
        """Refuse a network without hidden neurons."""
        if not hidden(net):
            raise StructureError("GroupLasso: the network has no hidden neurons to penalise")

    def shrink(self, net: Graph, lr: float) -> None:
        """Shorten every neuron's vector by ηλ√p, at most to 0."""
        for name in hidden(net):
            group = net.neurons[name]
            length = np.sqrt(_per_neuron(group, {s: net.params[s.array] ** 2 for s in group.produced}))
            entries = _per_neuron(group, {s: np.ones_like(net.params[s.array]) for s in group.produced})
            cut = lr * self.weight * np.sqrt(entries)
            factor = np.where(length > cut, 1 - cut / np.where(length > 0, length, 1), 0)  # (n,)
            for piece in group.produced:
                array = net.params[piece.array]
                mine = np.where(piece.owner == NOBODY, 1, factor[piece.owner])
                array *= mine.astype(array.dtype).reshape(-1, *(1,) * (array.ndim - 1))


def _per_neuron(group: NeuronGroup, entries: dict[Slice, Array]) -> Array:
    """Sum entries over all that makes a neuron: (n,) in float64. Neurons are made along axis 0 of every array."""
    total = np.zeros(group.size)
    for piece, values in entries.items():
        mine = piece.owner != NOBODY
        rows = values.reshape(len(values), -1).sum(axis=1, dtype=np.float64)
        np.add.at(total, piece.owner[mine], rows[mine])
    return total


@dataclass(frozen=True)
class BatchNormL1:
    r"""Penalise the scales of all batch-norms: $\Omega = \sum_c |\gamma_c|$.

    $\gamma \leftarrow \mathrm{sgn}(\gamma) \max(0, |\gamma| - \eta\lambda)$.

    A channel whose γ came to 0 is β for every sample: ``mp.prune(net, data, "bn_scale",
    mp.Threshold(absolute=1e-12), repair="mean")`` removes it, and moves what is left of β into the next biases.

    Parameters
    ----------
    weight : float
        λ, above 0.

    Raises
    ------
    DataError
        When the weight is out of range.
    StructureError
        By `fit`, for a network without batch-norm.

    Notes
    -----
    Source: Liu et al. 2017, *Learning efficient convolutional networks through network slimming*, equation 1, which
    follows the subgradient sgn(γ); no γ becomes exactly 0 then.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 3), mp.BatchNorm(3), mp.ReLU(), mp.Dense(3, 1), dtype=np.float64)
    >>> net.params["batchnorm1.gamma"] = [1.0, -0.5, 0.25]
    >>> BatchNormL1(0.25).shrink(net, lr=1.0)
    >>> net.params["batchnorm1.gamma"]
    array([ 0.75, -0.25,  0.  ])
    """

    weight: float

    def __post_init__(self) -> None:
        require(self, "weight", 0 < self.weight < inf, "a number above 0")

    def check(self, net: Graph) -> None:
        """Refuse a network without batch-norm."""
        if not any(isinstance(node.layer, BatchNorm) for node in net.nodes.values()):
            raise StructureError("BatchNormL1: the network has no batch-norm to penalise; GroupLasso needs none")

    def shrink(self, net: Graph, lr: float) -> None:
        """Move every γ by ηλ towards 0, at most to 0."""
        for name, node in net.nodes.items():
            if isinstance(node.layer, BatchNorm):
                gamma = net.params[f"{name}.gamma"]
                gamma[...] = np.maximum(0, gamma - lr * self.weight) - np.maximum(0, -gamma - lr * self.weight)
