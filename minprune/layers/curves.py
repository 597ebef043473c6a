"""More activations, as other libraries' networks have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import ops
from ..errors import StructureError
from ..ops.curves import LARGEST
from ..tensor import apply
from .base import Layer, Shape, Training, expect, positive


@dataclass(frozen=True)
class PReLU(Layer):
    r"""Shrink negative values, each channel by a factor that it learns; $y = x\,([x > 0] + a_j\,[x \leq 0])$.

    Parameters
    ----------
    size : int
        How many channels.
    """

    size: int
    kind = "prelu"
    op = ops.PReLU
    carries = {"a": 0}

    def __post_init__(self) -> None:
        positive(self, size=self.size)

    def param_shapes(self) -> dict[str, Shape]:
        return {"a": (self.size,)}

    def init(self, rng: np.random.Generator) -> dict[str, ops.Array]:
        return {"a": np.full(self.size, 0.25)}

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        return apply(self.op, *xs, arrays["a"])

    def out_shape(self, *shapes: Shape) -> Shape:
        expect(bool(shapes[0]) and shapes[0][0] == self.size, f"(N, {self.size}, …)", *shapes)
        return shapes[0]

    def resized(self, shapes: Mapping[str, Shape]) -> PReLU:
        return replace(self, size=shapes["a"][0])


@dataclass(frozen=True)
class Clip(Layer):
    r"""Cut off what lies outside of an interval; $y = \min(\max(x, l), u)$."""

    low: float = -LARGEST
    high: float = LARGEST
    kind = "clip"
    op = ops.Clip

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise StructureError(f"Clip: low is {self.low!r} and high {self.high!r}, expected low ≤ high")

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        return apply(self.op, *xs, low=self.low, high=self.high)


@dataclass(frozen=True)
class HardSigmoid(Layer):
    r"""A sigmoid of straight lines; $y = \min(\max(\alpha x + \beta, 0), 1)$."""

    slope: float = 0.2
    offset: float = 0.5
    kind = "hardsigmoid"
    op = ops.HardSigmoid

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        return apply(self.op, *xs, slope=self.slope, offset=self.offset)


@dataclass(frozen=True)
class ELU(Layer):
    r"""Bend negative values towards −α; $y = \gamma\,(x\,[x > 0] + \alpha\,(e^x - 1)\,[x \leq 0])$."""

    alpha: float = 1.0
    gamma: float = 1.0
    kind = "elu"
    op = ops.ELU

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        return apply(self.op, *xs, alpha=self.alpha, gamma=self.gamma)


@dataclass(frozen=True)
class GELU(Layer):
    r"""Let a value through as far as the normal distribution lies below it; $y = x\, \Phi(x)$."""

    kind = "gelu"
    op = ops.GELU


@dataclass(frozen=True)
class Erf(Layer):
    r"""The error function; $y = \mathrm{erf}(x)$."""

    kind = "erf"
    op = ops.Erf


@dataclass(frozen=True)
class Softplus(Layer):
    r"""A ReLU without its corner; $y = \log(1 + e^x)$."""

    kind = "softplus"
    op = ops.Softplus


@dataclass(frozen=True)
class LogSoftmax(Layer):
    r"""The logarithm of a softmax along axis 1; $y_k = x_k - \log \sum_l e^{x_l}$. It binds what it reads."""

    kind = "logsoftmax"
    op = ops.LogSoftmax
    flow = "bound"
