"""The places where a kernel lies on an image: shared by convolution and pooling, in one or two dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from ..errors import ShapeError
from .op import Array

Sizes = tuple[int, ...]  # one number per spatial axis


def output_size(size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Sizes:
    """How many places a kernel has along each axis: ``⌊(S + 2p − d(K−1) − 1) / s⌋ + 1``.

    Raises
    ------
    ShapeError
        When the kernel does not fit even once.

    Examples
    --------
    >>> output_size((28, 28), (5, 5), (1, 1), (0, 0), (1, 1))
    (24, 24)
    """
    out = tuple(
        (s + 2 * p - d * (k - 1) - 1) // step + 1
        for s, k, step, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    if min(out) < 1:
        raise ShapeError(f"a kernel of {kernel} (dilation {dilation}) does not fit on {size} padded by {padding}")
    return out


def pad(x: Array, padding: Sizes, value: float = 0) -> Array:
    """Surround the spatial axes of x (N, C, …) with `value`."""
    if not any(padding):
        return x
    return np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)), constant_values=value)


def unpad(x: Array, padding: Sizes) -> Array:
    """Cut off what `pad` added."""
    inner = [slice(p, size - p) for p, size in zip(padding, x.shape[2:], strict=True)]
    return x[(slice(None), slice(None), *inner)]


def entry_label(channel: int, at: Sizes, padding: Sizes) -> str:
    """How an entry of a padded image is written: by its place in x, which lies outside of x where there is padding.

    Examples
    --------
    >>> entry_label(0, (0, 3), (1, 1))
    'x_{0,-1,2}'
    """
    return f"x_{{{','.join(map(str, (channel, *(a - p for a, p in zip(at, padding, strict=True)))))}}}"


def offsets(kernel: Sizes, stride: Sizes, dilation: Sizes, out: Sizes) -> Iterator[tuple[Any, Any]]:
    """For every entry of the kernel, the strided view of a padded image that this entry meets.

    Yields two indices: that of the entry, behind two axes, and that of the view, whose spatial shape is the output's.
    Looping over the few entries of a kernel keeps the long axes inside NumPy.

    Examples
    --------
    >>> image = np.arange(4.0).reshape(1, 1, 4)
    >>> [image[view].tolist() for _, view in offsets((2,), (1,), (1,), (3,))]
    [[[[0.0, 1.0, 2.0]]], [[[1.0, 2.0, 3.0]]]]
    """
    for entry in product(*map(range, kernel)):
        starts = [k * d for k, d in zip(entry, dilation, strict=True)]
        spans = [slice(a, a + (o - 1) * s + 1, s) for a, o, s in zip(starts, out, stride, strict=True)]
        yield (slice(None), slice(None), *entry), (slice(None), slice(None), *spans)
