"""Layers without weights: activations, reshaping, dropout, gates, sums and joins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from .. import ops
from ..errors import StructureError
from ..tensor import Tensor, apply
from .base import Layer, Shape, Training, expect, positive


@dataclass(frozen=True)
class ReLU(Layer):
    r"""Let positive values through; $y = x\,[x > 0]$, with slope 0 at 0."""

    kind = "relu"
    op = ops.ReLU


@dataclass(frozen=True)
class LeakyReLU(Layer):
    r"""Shrink negative values by `slope`; $y = x\,([x > 0] + \alpha\,[x \leq 0])$."""

    slope: float = 0.01
    kind = "leakyrelu"
    op = ops.LeakyReLU

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        return apply(self.op, *xs, slope=self.slope)


@dataclass(frozen=True)
class Sigmoid(Layer):
    """Squash to (0, 1); $y = 1 / (1 + e^{-x})$."""

    kind = "sigmoid"
    op = ops.Sigmoid


@dataclass(frozen=True)
class Tanh(Layer):
    r"""Squash to (−1, 1); $y = \tanh(x)$."""

    kind = "tanh"
    op = ops.Tanh


@dataclass(frozen=True)
class Softmax(Layer):
    r"""Turn scores into shares along axis 1; $y_k = e^{x_k} / \sum_l e^{x_l}$. It binds the neurons that it reads."""

    kind = "softmax"
    op = ops.Softmax
    flow = "bound"


@dataclass(frozen=True)
class Identity(Layer):
    """Hand the value on; $y = x$."""

    kind = "identity"

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        return xs[0]


@dataclass(frozen=True)
class Flatten(Layer):
    """Write each sample as one row; a channel becomes a block of neighbouring features."""

    kind = "flatten"
    op = ops.Reshape
    flow = "blocks"

    def out_shape(self, *shapes: Shape) -> Shape:
        return (prod(shapes[0]),)


@dataclass(frozen=True)
class Dropout(Layer):
    r"""Silence values at random while training; $y = x\,[u \geq p]/(1-p)$, and $y = x$ afterwards.

    Parameters
    ----------
    p : float
        The fraction silenced, at least 0 and below 1.
    """

    p: float = 0.5
    kind = "dropout"
    op = ops.Dropout

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise StructureError(f"Dropout: p is {self.p!r}, expected a fraction of at least 0 and below 1")

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        if training is None:
            return xs[0]
        x = xs[0].value if isinstance(xs[0], Tensor) else xs[0]
        kept = training.rng.random(x.shape, dtype=np.float32) >= self.p
        return apply(self.op, *xs, kept.astype(x.dtype) / (1 - self.p))


@dataclass(frozen=True)
class Gate(Layer):
    """Scale each neuron by its gate m; $y_j = m_j a_j$. `mask` puts one wherever a consumer reads.

    Parameters
    ----------
    size : int
        How many channels.
    """

    size: int
    kind = "gate"
    op = ops.Gate
    carries = {"m": 0}

    def __post_init__(self) -> None:
        positive(self, size=self.size)

    def buffer_shapes(self) -> dict[str, Shape]:
        return {"m": (self.size,)}

    def init(self, rng: np.random.Generator) -> dict[str, ops.Array]:
        return {"m": np.ones(self.size)}

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        return apply(self.op, *xs, arrays["m"])

    def out_shape(self, *shapes: Shape) -> Shape:
        expect(shapes[0][0] == self.size, f"(N, {self.size}, …)", *shapes)
        return shapes[0]

    def resized(self, shapes: Mapping[str, Shape]) -> Gate:
        return replace(self, size=shapes["m"][0])


@dataclass(frozen=True)
class Select(Layer):
    """Read only some of the input's features; $y_k = x_{i_k}$. Removing input features leaves this behind.

    Parameters
    ----------
    inputs : int
        How many features there are.
    outputs : int
        How many of them are read; their indices are the buffer ``index``, at first 0, 1, 2 …
    """

    inputs: int
    outputs: int
    kind = "select"
    op = ops.Take
    flow = "select"
    carries = {"index": 0}

    def __post_init__(self) -> None:
        positive(self, inputs=self.inputs, outputs=self.outputs)
        if self.outputs > self.inputs:
            raise StructureError(f"Select: outputs is {self.outputs}, expected at most the {self.inputs} inputs")

    def buffer_shapes(self) -> dict[str, Shape]:
        return {"index": (self.outputs,)}

    def init(self, rng: np.random.Generator) -> dict[str, ops.Array]:
        return {"index": np.arange(self.outputs)}

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        return apply(self.op, *xs, arrays["index"])

    def out_shape(self, *shapes: Shape) -> Shape:
        expect(shapes[0][0] == self.inputs, f"(N, {self.inputs}, …)", *shapes)
        return (self.outputs, *shapes[0][1:])

    def resized(self, shapes: Mapping[str, Shape]) -> Select:
        return replace(self, outputs=shapes["index"][0])


@dataclass(frozen=True)
class _Folded(Layer):
    """A layer of two or more values, which its op takes two at a time."""

    inputs_needed = 2
    many_inputs = True

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        return reduce(lambda a, b: apply(self.op, a, b), xs)


@dataclass(frozen=True)
class Add(_Folded):
    """Add two or more values of the same shape; $y = a + b$. It ties their neurons: they stay or leave together."""

    kind = "add"
    op = ops.Add
    flow = "add"

    def out_shape(self, *shapes: Shape) -> Shape:
        expect(all(shape == shapes[0] for shape in shapes), "values of one shape", *shapes)
        return shapes[0]


@dataclass(frozen=True)
class Join(_Folded):
    """Put the channels of two or more values behind each other; $y = [a; b]$."""

    kind = "concat"
    op = ops.Concat
    flow = "join"

    def out_shape(self, *shapes: Shape) -> Shape:
        expect(all(shape[1:] == shapes[0][1:] for shape in shapes), "values alike in all but channels", *shapes)
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])


@dataclass(frozen=True)
class Multiply(_Folded):
    r"""Multiply two or more values; $y = a\, b$. One with a single place scales whole channels. It ties their neurons.

    A neuron of one value is tied to its partner in the other, as in a sum: they stay or leave together.
    """

    kind = "multiply"
    op = ops.Mul
    flow = "add"

    def out_shape(self, *shapes: Shape) -> Shape:
        alike = all(len(shape) == len(shapes[0]) and shape[0] == shapes[0][0] for shape in shapes)
        fits = alike and all(len(set(sizes) - {1}) <= 1 for sizes in zip(*shapes, strict=True))
        expect(fits, "values alike in channels, and in places or with a single one", *shapes)
        return tuple(max(sizes) for sizes in zip(*shapes, strict=True))


@dataclass(frozen=True)
class MatMul(Layer):
    r"""Multiply two matrices of every sample; $y = a\, b$ over the last two axes. It binds the neurons that it reads.

    Examples
    --------
    >>> MatMul().out_shape((8, 5, 3), (8, 3, 5))
    (8, 5, 5)
    """

    inputs_needed = 2
    many_inputs = True
    kind = "matmul"
    op = ops.MatMul
    flow = "mixed"

    def out_shape(self, *shapes: Shape) -> Shape:
        fits = len(shapes) == 2 and len(shapes[0]) == len(shapes[1]) >= 2 and shapes[0][-1] == shapes[1][-2]
        fits = fits and all(a == b or 1 in (a, b) for a, b in zip(*(shape[:-2] for shape in shapes), strict=True))
        expect(fits, "(N, …, I, K) and (N, …, K, J)", *shapes)
        a, b = shapes
        return (*(max(sizes) for sizes in zip(a[:-2], b[:-2], strict=True)), a[-2], b[-1])
