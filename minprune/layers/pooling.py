"""Pooling layers: one number for every window of an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .. import ops
from ..errors import StructureError
from ..ops.windows import output_size
from ..tensor import apply
from .base import Layer, Shape, Training, expect, per_axis


@dataclass(frozen=True)
class MaxPool2d(Layer):
    r"""Keep the largest entry of each window; $y_p = \max_k x_{sp+dk-r}$.

    Parameters
    ----------
    kernel, stride, padding : int or pair of int
        The window, its step (by default the window's own size) and the border, which counts as −∞.
    dilation : int or pair of int
        How far apart a window's entries lie.

    Examples
    --------
    >>> MaxPool2d(2).out_shape((20, 24, 24))
    (20, 12, 12)
    """

    kernel: Any
    stride: Any = None
    padding: Any = 0
    dilation: Any = 1
    rank: ClassVar[int] = 2
    kind = "maxpool"
    op: ClassVar[type[ops.Op]] = ops.MaxPool

    def __post_init__(self) -> None:
        per_axis(self, self.rank, kernel=self.kernel)
        per_axis(self, self.rank, stride=self.kernel if self.stride is None else self.stride)
        per_axis(self, self.rank, dilation=self.dilation)
        per_axis(self, self.rank, least=0, padding=self.padding)
        spans = tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        if any(2 * p > span for p, span in zip(self.padding, spans, strict=True)):
            raise StructureError(
                f"{type(self).__name__}: padding is {self.padding}, expected at most half the kernel {spans}"
            )

    def forward(self, arrays: Mapping[str, Any], *xs: Any, training: Training | None = None) -> Any:
        settings = {"kernel": self.kernel, "stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        return apply(self.op, *xs, **settings)

    def out_shape(self, *shapes: Shape) -> Shape:
        (shape,) = shapes
        expect(len(shape) == self.rank + 1, f"(N, C, {', '.join('DHW'[3 - self.rank :])})", shape)
        return (shape[0], *output_size(shape[1:], self.kernel, self.stride, self.padding, self.dilation))


@dataclass(frozen=True)
class AvgPool2d(MaxPool2d):
    r"""Average each window; $y_p = \frac{1}{K}\sum_k x_{sp+dk-r}$. The border counts as zeros, and is counted.

    Parameters
    ----------
    kernel, stride, padding : int or pair of int
        The window, its step (by default the window's own size) and the border.
    dilation : int or pair of int
        How far apart a window's entries lie.

    Examples
    --------
    >>> AvgPool2d(2).out_shape((20, 24, 24))
    (20, 12, 12)
    """

    kind = "avgpool"
    op = ops.AvgPool


@dataclass(frozen=True)
class GlobalAvgPool2d(Layer):
    r"""Average each channel over all places; $y_{n,c} = \frac{1}{P} \sum_p x_{n,c,p}$.

    Examples
    --------
    >>> GlobalAvgPool2d().out_shape((20, 4, 4))
    (20,)
    """

    kind = "globalavgpool"
    op = ops.GlobalAvgPool

    def out_shape(self, *shapes: Shape) -> Shape:
        expect(len(shapes[0]) >= 2, "(N, C, H, W)", *shapes)
        return shapes[0][:1]


@dataclass(frozen=True)
class MaxPool1d(MaxPool2d):
    """Keep the largest entry of each window of a sequence: `MaxPool2d` with one spatial axis; values are (N, C, L).

    Examples
    --------
    >>> MaxPool1d(2).out_shape((20, 24))
    (20, 12)
    """

    rank: ClassVar[int] = 1


@dataclass(frozen=True)
class AvgPool1d(AvgPool2d):
    """Average each window of a sequence: `AvgPool2d` with one spatial axis; values are (N, C, L).

    Examples
    --------
    >>> AvgPool1d(2).out_shape((20, 24))
    (20, 12)
    """

    rank: ClassVar[int] = 1


@dataclass(frozen=True)
class MaxPool3d(MaxPool2d):
    """Keep the largest entry of each window of a volume: `MaxPool2d` with three spatial axes.

    Examples
    --------
    >>> MaxPool3d(2).out_shape((20, 8, 24, 24))
    (20, 4, 12, 12)
    """

    rank: ClassVar[int] = 3


@dataclass(frozen=True)
class AvgPool3d(AvgPool2d):
    """Average each window of a volume: `AvgPool2d` with three spatial axes.

    Examples
    --------
    >>> AvgPool3d(2).out_shape((20, 8, 24, 24))
    (20, 4, 12, 12)
    """

    rank: ClassVar[int] = 3
