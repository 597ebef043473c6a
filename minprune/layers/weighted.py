"""Layers of neurons: weighted sums of what they read, everywhere or at every place of an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from .. import ops
from ..errors import StructureError
from ..ops.conv import patches
from ..ops.windows import output_size
from ..tensor import apply
from .base import Layer, Shape, Training, expect, he_normal, per_axis, positive


@dataclass(frozen=True)
class Dense(Layer):
    r"""A layer of neurons that each read every input.

    $z = x W^\top + b$; W (outputs, inputs), b (outputs,).

    Parameters
    ----------
    inputs, outputs : int
        How many features it reads, and how many neurons it has.
    bias : bool
        Whether each neuron has a bias.

    Examples
    --------
    >>> Dense(784, 300).param_shapes()
    {'W': (300, 784), 'b': (300,)}
    """

    inputs: int
    outputs: int
    bias: bool = True
    kind = "dense"
    op = ops.Affine
    flow = "new"
    produces = {"W": 0, "b": 0}
    consumes = {"W": 1}

    def __post_init__(self) -> None:
        positive(self, inputs=self.inputs, outputs=self.outputs)

    def param_shapes(self) -> dict[str, Shape]:
        return {"W": (self.outputs, self.inputs)} | ({"b": (self.outputs,)} if self.bias else {})

    def init(self, rng: np.random.Generator) -> dict[str, ops.Array]:
        start = {"W": he_normal(rng, (self.outputs, self.inputs))}
        return start | ({"b": np.zeros(self.outputs)} if self.bias else {})

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        return apply(self.op, *xs, arrays["W"], arrays.get("b"))

    def columns(self, x: ops.Array) -> ops.Array:
        """What its neurons see, one column for each place: (N, 1, I, 1), as for a convolution with one place."""
        return x[:, None, :, None]

    def out_shape(self, *shapes: Shape) -> Shape:
        expect(shapes[0] == (self.inputs,), f"(N, {self.inputs})", *shapes)
        return (self.outputs,)

    def macs(self, out: Shape) -> int:
        return self.inputs * self.outputs

    def resized(self, shapes: Mapping[str, Shape]) -> Dense:
        return replace(self, outputs=shapes["W"][0], inputs=shapes["W"][1], bias="b" in shapes)


@dataclass(frozen=True)
class Conv2d(Layer):
    r"""A layer of filters: neurons that are applied at every place of an image. A filter's output is a channel.

    $z_{n,o,p} = \sum_{c,k} W_{o,c,k}\, x_{n,c,sp+dk-r} + b_o$; W (outputs, inputs / groups, kH, kW), b (outputs,).

    Parameters
    ----------
    inputs, outputs : int
        Channels read, and filters.
    kernel, stride, padding, dilation : int or pair of int
        The window, its step, the zeros around the image, and the distance between the window's entries.
    groups : int
        Channel block q of the input feeds only block q of the output; `groups=inputs` is a depthwise convolution.
    bias : bool
        Whether each filter has a bias.

    Examples
    --------
    >>> Conv2d(1, 20, 5).out_shape((1, 28, 28))
    (20, 24, 24)
    """

    inputs: int
    outputs: int
    kernel: Any
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1
    bias: bool = True
    rank: ClassVar[int] = 2
    kind = "conv"
    op = ops.Conv
    flow = "conv"
    produces = {"W": 0, "b": 0}
    consumes = {"W": 1}

    def __post_init__(self) -> None:
        positive(self, inputs=self.inputs, outputs=self.outputs, groups=self.groups)
        per_axis(self, self.rank, kernel=self.kernel, stride=self.stride, dilation=self.dilation)
        per_axis(self, self.rank, least=0, padding=self.padding)
        if self.inputs % self.groups or self.outputs % self.groups:
            raise StructureError(
                f"{type(self).__name__}: groups is {self.groups}, expected a divisor of {self.inputs} input "
                f"and {self.outputs} output channels"
            )

    @property
    def depthwise(self) -> bool:
        """Whether every filter reads a single channel of several: then it carries that channel's neuron on."""
        return self.groups == self.inputs > 1

    def param_shapes(self) -> dict[str, Shape]:
        W = (self.outputs, self.inputs // self.groups, *self.kernel)
        return {"W": W} | ({"b": (self.outputs,)} if self.bias else {})

    def init(self, rng: np.random.Generator) -> dict[str, ops.Array]:
        start = {"W": he_normal(rng, self.param_shapes()["W"])}
        return start | ({"b": np.zeros(self.outputs)} if self.bias else {})

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        settings = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}
        return apply(self.op, *xs, arrays["W"], arrays.get("b"), **settings)

    def columns(self, x: ops.Array) -> ops.Array:
        """What its filters see, one column for each place, block by block: (N, C, …) -> (N, Q, C/Q · K, P)."""
        return patches(x, self.kernel, self.stride, self.padding, self.dilation, self.groups)

    def out_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        axes = ("H", "W")[2 - self.rank :]
        expected = f"(N, {', '.join((str(self.inputs), *axes))})"
        expect(len(shape) == self.rank + 1 and shape[0] == self.inputs, expected, shape)
        places = output_size(shape[1:], self.kernel, self.stride, self.padding, self.dilation)
        return (self.outputs, *places)

    def macs(self, out: Shape) -> int:
        return prod(out) * self.inputs // self.groups * prod(self.kernel)

    def resized(self, shapes: Mapping[str, Shape]) -> Conv2d:
        outputs, width = shapes["W"][:2]
        groups = outputs // (self.outputs // self.groups) if self.depthwise else self.groups
        return replace(self, outputs=outputs, inputs=width * groups, groups=groups, bias="b" in shapes)


@dataclass(frozen=True)
class Conv1d(Conv2d):
    """A layer of filters over a sequence: `Conv2d` with one spatial axis; values are (N, C, L).

    Examples
    --------
    >>> Conv1d(8, 4, 3, padding=1).out_shape((8, 100))
    (4, 100)
    """

    rank: ClassVar[int] = 1
