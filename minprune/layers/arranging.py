"""Layers that move numbers about, and constants that are added or multiplied: what other libraries' networks hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar

import numpy as np

from .. import ops
from ..errors import StructureError
from ..ops.shaping import filled
from ..tensor import apply
from .base import Layer, Shape, Training, expect


@dataclass(frozen=True)
class Rearrange(Layer):
    r"""Exchange the axes of every sample, then arrange its entries anew; $y = \mathrm{reshape}(x^{\pi})$.

    Where every row of the result belongs to one neuron, these are its channels; where not, the neurons that it reads
    have to stay.

    Parameters
    ----------
    order : tuple of int
        For every axis of the exchanged sample the axis that it was, from 0, without the batch axis.
    shape : tuple of int
        The new shape of a sample; one size can be -1: whatever is left.

    Examples
    --------
    >>> Rearrange((1, 2, 0), (-1,)).out_shape((8, 4, 3))  # channels last, then one row
    (96,)
    """

    order: Any
    shape: Any
    kind = "rearrange"
    op = ops.Rearrange
    flow = "rearrange"

    def __post_init__(self) -> None:
        for name in ("order", "shape"):
            object.__setattr__(self, name, tuple(int(value) for value in getattr(self, name)))
        if sorted(self.order) != list(range(len(self.order))):
            raise StructureError(f"Rearrange: order is {self.order}, expected every axis from 0 once")
        if not self.shape or any(size < 1 and size != -1 for size in self.shape) or self.shape.count(-1) > 1:
            raise StructureError(
                f"Rearrange: shape is {self.shape}, expected sizes of at least 1, one of them perhaps -1"
            )

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        return apply(self.op, *xs, order=self.order, shape=self.shape)

    def out_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        expect(len(shape) == len(self.order), f"{len(self.order)} axes behind N", shape)
        new = filled(self.shape, shape)
        expect(prod(new) == prod(shape), f"as many entries as {('N', *self.shape)}", shape)
        return new


@dataclass(frozen=True)
class Pad(Layer):
    r"""Surround every channel's image with a number; $y_{n,c,p} = x_{n,c,p-r}$ inside of it.

    Parameters
    ----------
    before, after : tuple of int
        How far, for every spatial axis.
    value : float
        The number.

    Examples
    --------
    >>> Pad((0, 0), (1, 2)).out_shape((3, 4, 4))
    (3, 5, 6)
    """

    before: Any
    after: Any
    value: float = 0.0
    kind = "pad"
    op = ops.Pad

    def __post_init__(self) -> None:
        for name in ("before", "after"):
            object.__setattr__(self, name, tuple(int(value) for value in getattr(self, name)))
        if len(self.before) != len(self.after) or min(*self.before, *self.after, 0) < 0:
            raise StructureError(
                f"Pad: before is {self.before}, after {self.after}, expected a number of at least 0 per axis in both"
            )

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        return apply(self.op, *xs, before=self.before, after=self.after, value=self.value)

    def out_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        expect(len(shape) == len(self.before) + 1, f"{len(self.before)} axes behind (N, C)", shape)
        return (shape[0], *(b + s + a for b, s, a in zip(self.before, shape[1:], self.after, strict=True)))


@dataclass(frozen=True)
class Shift(Layer):
    """Add a constant; $y = x + b$. It learns nothing.

    Parameters
    ----------
    shape : tuple of int
        The constant's: as many axes as a sample, each as long as the sample's or 1.
    """

    shape: Any
    kind = "shift"
    op: ClassVar[type[ops.Op]] = ops.Add
    array: ClassVar[str] = "b"
    start: ClassVar[float] = 0.0  # of every entry

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        if not self.shape or min(self.shape) < 1:
            raise StructureError(f"{type(self).__name__}: shape is {self.shape}, expected sizes of at least 1")

    @property
    def carries(self) -> Mapping[str, int]:  # type: ignore[override]
        """An entry for every channel, unless one serves all."""
        return {self.array: 0} if self.shape[0] > 1 else {}

    def buffer_shapes(self) -> dict[str, Shape]:
        return {self.array: self.shape}

    def init(self, rng: np.random.Generator) -> dict[str, ops.Array]:
        return {self.array: np.full(self.shape, self.start)}

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        return apply(self.op, *xs, arrays[self.array])

    def out_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        fits = len(shape) == len(self.shape) and all(
            size in (1, own) for size, own in zip(self.shape, shape, strict=True)
        )
        expect(fits, f"what {('N', *self.shape)} can be added to, axis by axis", shape)
        return shape

    def resized(self, shapes: Mapping[str, Shape]) -> Shift:
        return replace(self, shape=shapes[self.array])


@dataclass(frozen=True)
class Scale(Shift):
    """Multiply by a constant; $y = m x$. It learns nothing.

    Parameters
    ----------
    shape : tuple of int
        The constant's: as many axes as a sample, each as long as the sample's or 1.
    """

    kind = "scale"
    op: ClassVar[type[ops.Op]] = ops.Mul
    array: ClassVar[str] = "m"
    start: ClassVar[float] = 1.0


@dataclass(frozen=True)
class Power(Shift):
    """Raise to a constant power; $y = x^p$. It learns nothing.

    Parameters
    ----------
    shape : tuple of int
        The exponents': as many axes as a sample, each as long as the sample's or 1.
    """

    kind = "power"
    op: ClassVar[type[ops.Op]] = ops.Power
    array: ClassVar[str] = "p"
    start: ClassVar[float] = 1.0
