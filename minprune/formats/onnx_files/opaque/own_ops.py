"""Ops that the package's evaluator computes slowly, for some settings only, or otherwise than they are defined."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np

from ....ops import Array


def conv_transpose(X: Array, W: Array, B: Array | None, stride: Any, dilation: Any, groups: int, extra: Any) -> Array:
    r"""What every input spreads over a window, added up, without any border taken off.

    $y_{m,\, s p + d k} \mathrel{+}= \sum_c x_{c,p}\, W_{c,m,k}$.

    Examples
    --------
    >>> conv_transpose(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0]]]), None, [1], [1], 1, [0])
    array([[[ 1., 12., 20.]]])
    """
    count, channels, *size = X.shape
    kernel, made = W.shape[2:], W.shape[1]
    full = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, stride, dilation, kernel, strict=True)]
    y = np.zeros((count, groups, made, *(f + e for f, e in zip(full, extra, strict=True))), dtype=X.dtype)
    x = X.reshape(count, groups, channels // groups, -1)
    w = W.reshape(groups, channels // groups, made, *kernel)
    for place in product(*map(range, kernel)):
        part: tuple[Any, ...] = (..., *place)
        spread = np.matmul(w[part].transpose(0, 2, 1), x).reshape(count, groups, made, *size)
        starts = [p * d for p, d in zip(place, dilation, strict=True)]
        cut = [slice(p, p + (n - 1) * s + 1, s) for p, n, s in zip(starts, size, stride, strict=True)]
        window: tuple[Any, ...] = (..., *cut)
        y[window] += spread
    y = y.reshape(count, groups * made, *y.shape[3:])
    return y if B is None else y + B.reshape(-1, *(1,) * len(size))


def response_normalised(x: Array, size: int, alpha: float, beta: float, bias: float) -> Array:
    r"""$y_c = x_c / (b + \frac{\alpha}{n} \sum_{c'} x_{c'}^2)^\beta$ over n neighbouring channels c'.

    Examples
    --------
    >>> response_normalised(np.array([[[1.0], [2.0]]]), 3, 3.0, 1.0, 0.0)
    array([[[0.2],
            [0.4]]])
    """
    before, after = (size - 1) // 2, size // 2
    total = np.zeros_like(x)
    for step in range(-min(before, x.shape[1] - 1), min(after, x.shape[1] - 1) + 1):
        near = x[:, max(step, 0) : x.shape[1] + min(step, 0)] ** 2
        total[:, max(-step, 0) : x.shape[1] - max(step, 0)] += near
    return np.asarray(x / (bias + alpha / size * total) ** beta)


def gathered(x: Array, index: Array, axis: int) -> Array:
    """Entry by entry along an axis; the index may be smaller than the data along the others.

    Examples
    --------
    >>> gathered(np.array([[1, 2], [3, 4]]), np.array([[-1], [0]]), 1)
    array([[2],
           [3]])
    """
    axis %= x.ndim
    cut = tuple(slice(None) if place == axis else slice(size) for place, size in enumerate(index.shape))
    return np.take_along_axis(x[cut], index, axis)


def group_normalised(x: Array, scale: Array, bias: Array, groups: int, epsilon: float) -> Array:
    """Every group of channels with mean 0 and variance 1, then scaled and shifted channel by channel.

    Examples
    --------
    >>> group_normalised(np.array([[[1.0], [3.0]]]), np.ones(2), np.zeros(2), 1, 0.0)
    array([[[-1.],
            [ 1.]]])
    """
    parts = x.reshape(len(x), groups, -1)
    mean, var = parts.mean(axis=2, keepdims=True), parts.var(axis=2, keepdims=True)
    even = ((parts - mean) / np.sqrt(var + epsilon)).reshape(x.shape)
    ones = (1,) * (x.ndim - 2)
    return np.asarray(even * scale.reshape(-1, *ones) + bias.reshape(-1, *ones))


@cache
def own_ops() -> tuple[Any, ...]:
    """These, as the evaluator takes them."""
    from onnx.reference.op_run import OpRun

    class ConvTranspose(OpRun):  # type: ignore[misc]
        def _run(self, X: Array, W: Array, B: Array | None = None, **given: Any) -> tuple[Array]:
            rank = X.ndim - 2
            ones, zeros = [1] * rank, [0] * rank
            stride, dilation, extra = (
                given.get(name) or default
                for name, default in (("strides", ones), ("dilations", ones), ("output_padding", zeros))
            )
            pads = given.get("pads") or zeros * 2
            y = conv_transpose(X, W, B, stride, dilation, given.get("group") or 1, extra)
            sides = zip(pads[:rank], pads[rank:], y.shape[2:], strict=True)
            inner: tuple[Any, ...] = (..., *(slice(before, size - after) for before, after, size in sides))
            return (y[inner],)

    class LRN(OpRun):  # type: ignore[misc]
        def _run(self, x: Array, **given: Any) -> tuple[Array]:
            return (response_normalised(x, given["size"], given["alpha"], given["beta"], given["bias"]),)

    class GatherElements(OpRun):  # type: ignore[misc]
        def _run(self, x: Array, index: Array, **given: Any) -> tuple[Array]:
            return (gathered(x, index, given.get("axis") or 0),)

    class GroupNormalization(OpRun):  # type: ignore[misc]
        def _run(self, x: Array, scale: Array, bias: Array, **given: Any) -> tuple[Array]:
            return (group_normalised(x, scale, bias, given["num_groups"], given["epsilon"]).astype(x.dtype),)

    made = (ConvTranspose, LRN, GatherElements, GroupNormalization)
    for op in made:
        op.op_domain = ""
    return made
