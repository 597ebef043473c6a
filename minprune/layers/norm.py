"""Batch normalisation as a layer: it keeps the running statistics that it will use after training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError, StructureError
from ..ops.norm import batch_statistics
from ..tensor import Tensor, apply
from .base import Layer, Shape, Training, expect, positive


@dataclass(frozen=True)
class BatchNorm(Layer):
    r"""Normalise every channel, then scale and shift it.

    $y = \gamma (x - \mu)/\sqrt{\mathrm{var} + \varepsilon} + \beta$. In training μ and var are the batch's own, and
    running averages of them are kept (``mean``, ``var``: buffers); afterwards these are used.

    Parameters
    ----------
    size : int
        How many channels.
    epsilon : float
        Keeps the root away from zero.
    momentum : float
        The weight of the newest batch in the running averages; the variance kept is the unbiased one.

    Examples
    --------
    >>> BatchNorm(8).param_shapes()
    {'gamma': (8,), 'beta': (8,)}
    """

    size: int
    epsilon: float = 1e-5
    momentum: float = 0.1
    kind = "batchnorm"
    op = ops.BatchNormEval
    carries = {"gamma": 0, "beta": 0, "mean": 0, "var": 0}

    def __post_init__(self) -> None:
        positive(self, size=self.size)
        if not self.epsilon > 0 or not 0 < self.momentum <= 1:
            raise StructureError(
                f"BatchNorm: epsilon is {self.epsilon!r} and momentum {self.momentum!r}, expected epsilon above 0 and "
                "momentum above 0 and at most 1"
            )

    def param_shapes(self) -> dict[str, Shape]:
        return {"gamma": (self.size,), "beta": (self.size,)}

    def buffer_shapes(self) -> dict[str, Shape]:
        return {"mean": (self.size,), "var": (self.size,)}

    def init(self, rng: np.random.Generator) -> dict[str, ops.Array]:
        one, zero = np.ones(self.size), np.zeros(self.size)
        return {"gamma": one, "beta": zero, "mean": zero.copy(), "var": one.copy()}

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        gamma, beta, mean, var = (arrays[name] for name in ("gamma", "beta", "mean", "var"))
        if training is None:
            return apply(self.op, *xs, gamma, beta, mean, var, epsilon=self.epsilon)
        self._keep_statistics(xs[0].value if isinstance(xs[0], Tensor) else xs[0], mean, var)
        return apply(ops.BatchNormTrain, *xs, gamma, beta, epsilon=self.epsilon)

    def _keep_statistics(self, x: ops.Array, mean: ops.Array, var: ops.Array) -> None:
        """Move the running averages, in place, towards this batch's statistics."""
        count = x.size // x.shape[1]
        if count < 2:
            raise ShapeError("expected at least 2 entries per channel to normalise in training, got 1")
        batch_mean, batch_var = batch_statistics(x)
        mean += self.momentum * (batch_mean - mean)
        var += self.momentum * (batch_var * (count / (count - 1)) - var)

    def out_shape(self, *shapes: Shape) -> Shape:
        expect(bool(shapes[0]) and shapes[0][0] == self.size, f"(N, {self.size}, …)", *shapes)
        return shapes[0]

    def resized(self, shapes: Mapping[str, Shape]) -> BatchNorm:
        return replace(self, size=shapes["gamma"][0])
