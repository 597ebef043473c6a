"""Comparing a convolution with the kept weights alone with one that multiplies with zeros."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from minprune.kernels.cases import Case
from minprune.kernels.sparse_filters import SparseFilters, correlate_kept
from minprune.kernels.sparse_loops import sparse_tiles
from minprune.kernels.vectors import BYTES
from minprune.kernels.window_cases import bound
from minprune.ops.conv import conv


def kept_on_tiles(x: Any, filters: Any, b: Any, relu: bool = False, vectors: int = 2) -> Any:
    """The convolution of images that lie as tiles; what else is in the last tile must not matter."""
    placed, width = filters.on(x.shape[2:]), vectors * BYTES // x.itemsize
    tiles, O, places = -(-len(x) // width), filters.shape[0], prod(placed.out)  # noqa: E741
    X = np.full((tiles * width, prod(x.shape[1:])), np.nan, x.dtype)
    X[: len(x)] = x.reshape(len(x), X.shape[1])
    X = X.reshape(tiles, width, X.shape[1]).swapaxes(1, 2).reshape(tiles, X.shape[1] * width)
    Y = np.full((tiles, O * places * width), np.nan, x.dtype)
    bias = np.zeros(O, x.dtype) if b is None else np.ascontiguousarray(b)
    scratch = placed.scratch(vectors, padded=False)
    sparse_tiles[x.dtype](
        *placed.arrays, bias, relu, placed.geometry, vectors, tiles, np.ascontiguousarray(X), scratch, Y
    )
    return Y.reshape(tiles, O * places, width).swapaxes(1, 2).reshape(tiles * width, O, *placed.out)[: len(x)]


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
