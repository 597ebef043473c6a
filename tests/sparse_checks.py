"""Comparing a convolution with the kept weights alone with one that multiplies with zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

from minprune.kernels.cases import Case
from minprune.kernels.sparse_filters import SparseFilters, correlate_kept
from minprune.kernels.sparse_loops import sparse_tile
from minprune.kernels.vectors import BYTES
from minprune.kernels.window_cases import bound
from minprune.ops.conv import conv


def kept_on_tiles(x: Any, filters: Any, b: Any, relu: bool = False, vectors: int = 2) -> Any:
    """The convolution of images that lie as tiles; what else is in the last tile, and in Z, must not matter."""
    placed, width = filters.on(x.shape[2:]), vectors * BYTES // x.itemsize
    size, padding, out, steps = placed.geometry
    z = np.empty((len(x), filters.shape[0], *out), x.dtype)
    bias = np.zeros(z.shape[1], x.dtype) if b is None else np.ascontiguousarray(b)
    for n in range(0, len(x), width):
        few = min(width, len(x) - n)
        X = np.pad(np.full((*size, width), np.nan, x.dtype), ((0, 0), *((p, p) for p in padding), (0, 0)))
        inside = tuple(slice(p, p + s) for p, s in zip(padding, size[1:], strict=True))
        X[(slice(None), *inside, slice(0, few))] = np.moveaxis(x[n : n + few].reshape(few, *size), 0, -1)
        Z = np.full((*z.shape[1:], width), np.nan, x.dtype)
        sparse_tile[x.dtype](*placed.arrays, bias, relu, out, steps, X, placed.room(vectors), Z)
        z[n : n + few] = np.moveaxis(Z, -1, 0)[:few]
    return z.reshape(*z.shape[:2], *placed.out)


def check_kept(case: Case, share: float = 0.3) -> None:
    """Fail where a convolution with a share of its weights, of filter 0 none, is further off than rounding allows."""
    x, W, b, *moves, groups = case.args
    kept = np.random.default_rng(0).random(W.shape) < share
    kept[:1] &= share == 1
    filters = SparseFilters.of(W, kept, *moves, groups)
    W = np.where(kept, W, W.dtype.type(0))
    expected = conv(x, W, b, *moves, groups)
    most = bound(conv, (x, W, b, *moves, groups))
    for name, got in (("images", correlate_kept(x, filters, b)), ("tiles", kept_on_tiles(x, filters, b))):
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype), f"{name}, {case.label}: {got.shape}"
        far = np.argwhere(~(np.abs(got - expected) <= most))
        assert not len(far), f"{name}, {case.label}, at {far[0]}: {got[tuple(far[0])]}, {expected[tuple(far[0])]}"
