"""Comparing a kernel with its reference, case by case; in this process, or in one with another environment.

python tests/kernel_checks.py float32 [small]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from typing import Any

import numpy as np

from minprune.kernels import cases, window_cases
from minprune.kernels.cases import Case
from minprune.kernels.convolution import conv_grad_W_kernel, conv_grad_x_kernel, conv_kernel
from minprune.kernels.dense import affine_grad_W_kernel, affine_grad_x_kernel, affine_kernel
from minprune.kernels.elementwise import relu_grad_kernel
from minprune.kernels.leaving import outputs_kernel, sums_kernel
from minprune.kernels.losses import label_losses_kernel
from minprune.kernels.optimisers import adam_kernel, momentum_kernel
from minprune.kernels.pooling import avg_pool_grad_kernel, avg_pool_kernel, max_pool_grad_kernel, max_pool_kernel
from minprune.kernels.rows import dense_rows, sparse_rows
from minprune.kernels.sparse_filters import SparseFilters, correlate_kept
from minprune.kernels.sparse_loops import sparse_tiles
from minprune.kernels.strips import (
    PADDED,
    Parts,
    dense_strips,
    from_strips,
    padded,
    sparse_strips,
    strip_buffer,
    tiled,
    to_strips,
)
from minprune.kernels.vectors import BYTES
from minprune.ops.activations import relu_grad
from minprune.ops.affine import affine, affine_grad_W, affine_grad_x
from minprune.ops.conv import conv, conv_grad_W, conv_grad_x
from minprune.ops.losses import label_losses
from minprune.ops.pool import avg_pool, avg_pool_grad, max_pool, max_pool_grad
from minprune.optim import adam_step, momentum_step
from minprune.runtime.steps import csr
from minprune.scores.leaving import outputs_without, sums_without

DENSE = {affine: affine_kernel, affine_grad_x: affine_grad_x_kernel, affine_grad_W: affine_grad_W_kernel}
WINDOWS = {
    conv: conv_kernel,
    conv_grad_x: conv_grad_x_kernel,
    conv_grad_W: conv_grad_W_kernel,
    max_pool: max_pool_kernel,
    max_pool_grad: max_pool_grad_kernel,
    avg_pool: avg_pool_kernel,
    avg_pool_grad: avg_pool_grad_kernel,
    relu_grad: relu_grad_kernel,
}
TRUTH = {label_losses: label_losses_kernel, sums_without: sums_kernel, outputs_without: outputs_kernel}
KERNELS = DENSE | TRUTH | WINDOWS


def all_cases(reference: Callable[..., Any], dtype: Any, large: bool = True) -> Iterator[Case]:
    """The cases of a function, from the file that has them."""
    return (window_cases if reference in WINDOWS else cases).cases(reference, dtype, large=large)


def on_rows(x: Any, W: Any, b: Any) -> Any:
    y = np.empty((len(x), len(W)), x.dtype)
    dense_rows[x.dtype](*map(np.ascontiguousarray, (W, b)), False, np.ascontiguousarray(x), len(x), y)
    return y


def sparse_on_rows(x: Any, W: Any, b: Any) -> Any:
    y = np.empty((len(x), len(W)), x.dtype)
    sparse_rows[x.dtype](*csr(W, W != 0), np.ascontiguousarray(b), False, np.ascontiguousarray(x), len(x), y)
    return y


def on_strips(x: Any, W: Any, b: Any, rows: int = 0) -> Any:
    """All weights, or those that are not 0 in blocks of so many rows; what was in the buffers must not matter."""
    X, Y = (strip_buffer(len(x), size, x.dtype) for size in (x.shape[1], len(W)))
    X[...], Y[...] = np.nan, np.nan
    bias = np.zeros(padded(len(W)) + PADDED, x.dtype)
    bias[: len(W)] = b
    to_strips[x.dtype](np.ascontiguousarray(x), X)
    if rows:
        p = Parts.of(W, W != 0, rows)
        sparse_strips[x.dtype](p.rows, p.values, p.columns, p.offsets, bias, False, len(x), X, Y)
    else:
        dense_strips[x.dtype](tiled(W), bias, False, len(x), X, Y)
    y = np.empty((len(x), len(W)), x.dtype)
    from_strips[x.dtype](Y, y)
    return y


# Steps of optimisers change their arguments: kernel, how many arrays, and what else they are given.
SHAPES = ((), (0,), (1,), (13,), (17, 3), (300, 784), (5, 4, 3, 3))
IN_PLACE: dict[Any, tuple[Any, int, tuple[tuple[Any, ...], ...]]] = {
    momentum_step: (momentum_kernel, 3, ((0.1, 0.9, False), (0.01, 0.5, True))),
    adam_step: (adam_kernel, 4, ((1e-3, (0.9, 0.999), 1e-8, 1), (0.1, (0.5, 0.9), 1e-3, 7))),
}


def check_in_place(reference: Callable[..., Any], dtype: Any, shapes: Any = SHAPES) -> None:
    """Fail where a step leaves other numbers than its reference, by more than a few units in the last place."""
    kernel, count, settings = IN_PLACE[reference]
    rng = np.random.default_rng(0)
    for shape in shapes:
        for setting in settings:
            start = [np.asarray(rng.standard_normal(shape)).astype(dtype) for _ in range(count)]
            start[-1] = np.abs(start[-1])  # Adam's average of squares
            got, expected = [a.copy() for a in start], [a.copy() for a in start]
            kernel(*got, *setting)
            reference(*expected, *setting)
            assert shape == (0,) or not np.array_equal(got[0], start[0]), f"{reference.__name__}: nothing was done"
            for place, (one, other) in enumerate(zip(got, expected, strict=True)):
                scale = np.abs(start[place]) + np.abs(other) + np.abs(other - start[place]) + np.abs(start[1])
                far = np.abs(one - other) > 8 * np.finfo(dtype).eps * scale
                assert not far.any(), f"{reference.__name__}, {shape}, argument {place}: {one} instead of {other}"


# Other ways to compute `affine`, which programs choose from.
WAYS: dict[str, Callable[..., Any]] = {
    "rows": on_rows,
    "CSR on rows": sparse_on_rows,
    "strips": on_strips,
    "CSR on strips": partial(on_strips, rows=1),
    "4×1 on strips": partial(on_strips, rows=4),
    "16×1 on strips": partial(on_strips, rows=16),
}


def check_way(name: str, case: Case) -> None:
    """Fail where a way to compute an affine map, of which some weights are 0, is further off than rounding allows."""
    x, W, b = case.args
    W = np.where(np.random.default_rng(0).random(W.shape) < 0.4, W, W.dtype.type(0))
    b = np.zeros(len(W), W.dtype) if b is None else b
    got, expected = WAYS[name](x, W, b), affine(x, W, b)
    far = np.argwhere(~(np.abs(got - expected) <= cases.bound(affine, (x, W, b))))
    assert not len(far), f"{name}, {case.label}, at {far[0]}: {got[tuple(far[0])]}, {expected[tuple(far[0])]}"


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
    bound = window_cases.bound(conv, (x, W, b, *moves, groups))
    for name, got in (("images", correlate_kept(x, filters, b)), ("tiles", kept_on_tiles(x, filters, b))):
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype), f"{name}, {case.label}: {got.shape}"
        far = np.argwhere(~(np.abs(got - expected) <= bound))
        assert not len(far), f"{name}, {case.label}, at {far[0]}: {got[tuple(far[0])]}, {expected[tuple(far[0])]}"


def check(reference: Callable[..., Any], case: Case) -> None:
    """Fail with case and place where the kernel is further from its reference than rounding allows."""
    before = [a.copy() if isinstance(a, np.ndarray) else None for a in case.args]
    got, expected = KERNELS[reference](*case.args), reference(*case.args)
    for old, new in zip(before, case.args, strict=True):
        assert old is None or (old == new).all(), f"{case.label}: an argument was changed"
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype), f"{case.label}: {got.shape}, {got.dtype}"
    bound = (window_cases if reference in WINDOWS else cases).bound(reference, case.args)
    with np.errstate(invalid="ignore"):  # −∞ less −∞, where a window lies in the padding
        far = np.argwhere(~((got == expected) | (np.abs(got - expected) <= bound)))
    if len(far):
        place = tuple(far[0].tolist())
        raise AssertionError(
            f"{reference.__name__}, {case.label}, at {place}: expected {expected[place]!r}, got {got[place]!r}"
        )


if __name__ == "__main__":
    for function in KERNELS:
        for one in all_cases(function, np.dtype(sys.argv[1]), large="small" not in sys.argv):
            check(function, one)
    for function in IN_PLACE:
        check_in_place(function, np.dtype(sys.argv[1]), SHAPES[:5])
    for way in WAYS:
        for one in all_cases(affine, np.dtype(sys.argv[1]), large="small" not in sys.argv):
            check_way(way, one)
    for one in all_cases(conv, np.dtype(sys.argv[1]), large="small" not in sys.argv):
        check_kept(one)
    from minprune.kernels.vectors import TILE, tile

    print(TILE.bits, type(tile).__name__)
