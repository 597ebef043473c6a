"""How images lie in memory for the kernels, and which entries of one each place sees."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ..ops import Array
from ..ops.windows import Sizes
from .gemm import NOTHING

LINE = 64  # bytes of a cache line


def floats(*arrays: Any) -> bool:
    """Whether all are plain arrays of float32, or all of float64.

    Examples
    --------
    >>> floats(np.ones(2), np.ones(3)), floats(np.ones(2), np.ones(3, np.float32)), floats(np.ones(2), None)
    (True, False, False)
    """
    first = arrays[0]
    return all(type(array) is np.ndarray and array.dtype in NOTHING and array.dtype == first.dtype for array in arrays)


def aligned(shape: Sizes, dtype: Any) -> Array:
    """An array that is not filled, and starts at a cache line.

    Examples
    --------
    >>> aligned((3, 5), np.float32).ctypes.data % 64
    0
    """
    size, item = prod(shape), np.dtype(dtype).itemsize
    base = np.empty(size + LINE // item, dtype)
    start = -base.ctypes.data % LINE // item
    return base[start : start + size].reshape(shape)


def batch_last(shape: Sizes, dtype: Any) -> tuple[Array, Array]:
    """An array of shape (N, C, …) whose samples lie side by side, and the same memory in its order: (C, …, N).

    Examples
    --------
    >>> images, memory = batch_last((2, 3, 4, 5), np.float64)
    >>> images.shape, memory.shape, memory.flags.c_contiguous
    ((2, 3, 4, 5), (3, 4, 5, 2), True)
    """
    memory = aligned((*shape[1:], shape[0]), dtype)
    return np.moveaxis(memory, -1, 0), memory


def is_batch_last(x: Array) -> bool:
    """Whether the samples lie side by side, and all of it without gaps."""
    return np.moveaxis(x, 0, -1).flags.c_contiguous


def as_rows(x: Array) -> Array:
    """View images (N, C, …) as a matrix (C·…, N), one row for every entry; copied only where there is no such view."""
    if is_batch_last(x):
        return np.moveaxis(x, 0, -1).reshape(prod(x.shape[1:]), len(x))
    return np.ascontiguousarray(x).reshape(len(x), prod(x.shape[1:])).T


def with_rows(x: Array) -> Array:
    """Give images of one spatial axis a second one, of size 1, in front."""
    return x if x.ndim == 4 else x[:, :, None]


def in_memory_order(x: Array) -> Array:
    """View images (N, C, …) as (C, H, W, N) with the samples side by side; copied where they lie otherwise."""
    return np.ascontiguousarray(np.moveaxis(with_rows(x), 0, -1))


@lru_cache(maxsize=256)
def seen(size: int, kernel: int, stride: int, padding: int, dilation: int, out: int) -> Array:
    """Along one axis: the entry that place p sees through entry k of a filter, −1 for padding; (out, kernel).

    Examples
    --------
    >>> seen(size=3, kernel=3, stride=1, padding=1, dilation=1, out=3)
    array([[-1,  0,  1],
           [ 0,  1,  2],
           [ 1,  2, -1]])
    """
    at = np.arange(out)[:, None] * stride + np.arange(kernel) * dilation - padding
    table = np.where((at >= 0) & (at < size), at, -1).astype(np.intp)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=256)
def seen_by(size: int, kernel: int, stride: int, padding: int, dilation: int, out: int) -> Array:
    """The same from the other side: the place that sees an entry through entry k of a filter, or −1; (size, kernel).

    Examples
    --------
    >>> seen_by(size=4, kernel=2, stride=2, padding=0, dilation=1, out=2)
    array([[ 0, -1],
           [-1,  0],
           [ 1, -1],
           [-1,  1]])
    """
    table = np.full((size, kernel), -1, np.intp)
    places, entries = np.nonzero(seen(size, kernel, stride, padding, dilation, out) >= 0)
    table[seen(size, kernel, stride, padding, dilation, out)[places, entries], entries] = places
    table.flags.writeable = False
    return table
