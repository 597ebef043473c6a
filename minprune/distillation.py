"""Distillation: learn from what another network answers, rather than from the labels alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from .datasets.samples import count, rows
from .errors import ShapeError, StructureError
from .layers import Softmax
from .nn import Graph
from .ops import LOSSES, Add, Array, KLDivergence, Mul
from .optim import require
from .tensor import Tensor, apply

BATCH = 1024  # samples at a time


@dataclass(frozen=True)
class Distillation:
    r"""How much a teacher's outputs count beside the labels, and how soft they are taken.

    $\ell_n = \alpha\, T^2\, \mathrm{KL}(\mathrm{softmax}(u_n/T)\, \|\, \mathrm{softmax}(y_n/T)) + (1 - \alpha)\,
    \mathrm{CE}(y_n, t_n)$ with the teacher's logits u. Under a squared loss ℓ it is α ℓ(y, u) + (1 − α) ℓ(y, t), and
    T has no part in it.

    Parameters
    ----------
    temperature : float
        T, above 0: the higher, the more the teacher's ranking of the wrong classes counts. The factor T² keeps the
        gradients' size.
    weight : float
        α, from 0 to 1. With 1 the labels are not looked at, and none are needed.

    Raises
    ------
    DataError
        When a setting is out of range.

    Notes
    -----
    Source: Hinton, Vinyals and Dean 2015, *Distilling the knowledge in a neural network*, section 2. They write the
    cross-entropy with the soft targets, which differs from KL by the teacher's entropy, a constant.

    Examples
    --------
    >>> import minprune as mp
    >>> dense = mp.Sequential(mp.Dense(64, 32), mp.ReLU(), mp.Dense(32, 10))
    >>> small = mp.Sequential(mp.Dense(64, 8), mp.ReLU(), mp.Dense(8, 10), rng=1)
    >>> x = mp.data.digits().train.x
    >>> how = Distillation(weight=1.0)  # no labels
    >>> history = mp.fit(small, x, "cross_entropy", epochs=2, teacher=dense, distill=how, progress=False)
    >>> history.loss[1] < history.loss[0]
    True
    """

    temperature: float = 4.0
    weight: float = 0.9

    def __post_init__(self) -> None:
        require(self, "temperature", 0 < self.temperature < inf, "a number above 0")
        require(self, "weight", 0 <= self.weight <= 1, "a number from 0 to 1")

    def losses(self, y: Tensor, t: Array, u: Array, loss: str) -> Tensor:
        """The loss of every sample (N,), from the outputs y, the targets t and the teacher's outputs u."""
        if loss == "cross_entropy":
            soft: Tensor = apply(KLDivergence, y, u, temperature=self.temperature)
        else:
            soft = apply(LOSSES[loss], y, u)
        if self.weight == 1:
            return soft
        share, rest = (np.asarray(part, dtype=y.value.dtype) for part in (self.weight, 1 - self.weight))
        mixed: Tensor = apply(Add, apply(Mul, soft, share), apply(Mul, apply(LOSSES[loss], y, t), rest))
        return mixed


def taught(teacher: Graph, net: Graph, x: Any, loss: str) -> Array:
    """What the teacher answers to every sample: (N, K), in the dtype of the network that learns.

    Raises
    ------
    ShapeError
        When the two networks' outputs differ in shape.
    StructureError
        When the teacher answers with probabilities where logits are needed.
    """
    if loss == "cross_entropy" and isinstance(teacher.nodes[teacher.output].layer, Softmax):
        raise StructureError(
            f"the teacher's {teacher.output} is a Softmax, but distillation takes what comes before; leave it out"
        )
    answers = [teacher(rows(x, slice(start, start + BATCH))) for start in range(0, count(x), BATCH)]
    u = np.concatenate(answers).astype(net.dtype, copy=False)
    own = net(rows(x, slice(1))).shape[1:]
    if u.shape[1:] != own:
        raise ShapeError(
            f"the teacher's outputs have shape (N, {_sizes(u.shape[1:])}), the network's (N, {_sizes(own)})"
        )
    return u


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
