"""Layers: what kind of step a node is, which arrays it owns, and which of their axes belong to neurons.

A layer is a small immutable description; the arrays live in the network. It states only its own axes:

* `produces`: arrays whose axis makes the layer's own neurons (the rows of W, the entries of b);
* `consumes`: arrays whose axis reads the neurons of its input (the columns of W);
* `carries`: arrays with one entry for every neuron that passes through (batch-norm, gates);
* `flow`: how neurons get from the input to the output (see `minprune.neurons`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any, ClassVar

import numpy as np

from .. import ops
from ..errors import ShapeError, StructureError
from ..tensor import apply

Shape = tuple[int, ...]  # always without the batch axis


@dataclass(frozen=True)
class Training:
    """What layers need to know while training: where randomness comes from."""

    rng: np.random.Generator


@dataclass(frozen=True)
class Layer:
    """The base of all layers: one input, no arrays, the same channels out as in."""

    kind: ClassVar[str]  # the node is named after it: dense1, conv2
    op: ClassVar[Any]  # the op that computes it, where one is enough
    inputs_needed: ClassVar[int] = 1  # the least number of values it reads
    many_inputs: ClassVar[bool] = False  # whether it may read more
    flow: ClassVar[str] = "same"
    produces: ClassVar[Mapping[str, int]] = {}
    consumes: ClassVar[Mapping[str, int]] = {}
    carries: ClassVar[Mapping[str, int]] = {}

    def param_shapes(self) -> dict[str, Shape]:
        """The arrays that training changes, W before b."""
        return {}

    def buffer_shapes(self) -> dict[str, Shape]:
        """The arrays that belong to the layer but are not trained by gradients."""
        return {}

    def init(self, rng: np.random.Generator) -> dict[str, ops.Array]:
        """Starting values of all arrays, in float64."""
        return {}

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        """Compute the layer's value from its arrays and the values that it reads (arrays or tensors)."""
        return apply(self.op, *xs)

    def out_shape(self, *shapes: Shape) -> Shape:
        """The shape of the value, from those of the values that it reads; ShapeError where they do not fit."""
        return shapes[0]

    def macs(self, out: Shape) -> int:
        """Multiply-accumulates for one sample. Only weighted sums count; element-wise work does not."""
        return 0

    def resized(self, shapes: Mapping[str, Shape]) -> Layer:
        """The same layer for arrays of other shapes, after neurons have left."""
        return self


def positive(layer: Layer, **sizes: int) -> None:
    """Refuse sizes that are no whole numbers of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or size < 1:
            raise StructureError(f"{type(layer).__name__}: {name} is {size!r}, expected a whole number of at least 1")


def expect(condition: bool, expected: str, *shapes: Shape) -> None:
    """Refuse shapes that do not meet the condition, saying what was expected and what came."""
    if not condition:
        got = ", ".join(f"({', '.join(map(str, ('N', *shape)))})" for shape in shapes)
        raise ShapeError(f"expected {expected}, got {got}")


def he_normal(rng: np.random.Generator, shape: Shape) -> ops.Array:
    """Draw weights of variance 2 / fan-in, which keeps the scale of values through ReLU layers (He et al. 2015)."""
    return rng.standard_normal(shape) * sqrt(2 / prod(shape[1:]))


def per_axis(layer: Layer, rank: int, least: int = 1, **settings: Any) -> None:
    """Write a setting out as one number per spatial axis: 3 -> (3, 3)."""
    for name, value in settings.items():
        values = tuple(value) if isinstance(value, tuple | list) else (value,) * rank
        if len(values) != rank or any(not isinstance(v, int | np.integer) or v < least for v in values):
            raise StructureError(
                f"{type(layer).__name__}: {name} is {value!r}, expected {rank} whole number(s) of at least {least}"
            )
        object.__setattr__(layer, name, tuple(int(v) for v in values))
