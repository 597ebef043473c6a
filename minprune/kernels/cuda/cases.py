"""Inputs for the functions that have a CUDA kernel, small enough for the simulator, and how exact each must be.

Dense layers take the small cases of `minprune.kernels.cases`; for convolution, pooling and sparse products there are
more of the same kind here: a single entry, an empty batch, tiles that are not full, stride, padding, dilation, groups,
one spatial axis, and arrays that lie otherwise in memory. The bound is that of Higham's section 3.5, as there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np

from ...ops import Array
from ...ops.conv import conv, conv_grad_W, conv_grad_x
from ...ops.pool import avg_pool, max_pool, max_pool_grad
from ...ops.windows import Sizes, output_size
from ...sparse import SparseMatrix, csr_affine
from ..cases import SUMMANDS, Args, Case, layouts, normal
from ..cases import cases as dense_cases

# x, W, stride, padding, dilation, groups
CONVOLUTIONS: dict[str, tuple[Sizes, Sizes, Sizes, Sizes, Sizes, int]] = {
    "single": ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    "odd": ((2, 3, 5, 4), (5, 3, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    "stride leaves a rest": ((1, 2, 6, 5), (3, 2, 2, 2), (3, 2), (0, 0), (1, 1), 1),
    "stride, padding, dilation, groups": ((2, 2, 5, 4), (4, 1, 2, 2), (2, 1), (1, 2), (2, 1), 2),
    "depthwise": ((1, 3, 4, 4), (3, 1, 3, 3), (1, 1), (1, 1), (1, 1), 3),
    "one axis": ((2, 2, 7), (3, 2, 3), (2,), (1,), (1,), 1),
    "empty batch": ((0, 2, 3, 3), (2, 2, 2, 2), (1, 1), (0, 0), (1, 1), 1),
}
# x, kernel, stride, padding
POOLINGS: dict[str, tuple[Sizes, Sizes, Sizes, Sizes]] = {
    "single": ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0)),
    "odd": ((2, 3, 5, 4), (2, 2), (2, 2), (0, 0)),
    "overlap and padding": ((2, 2, 5, 4), (3, 2), (2, 1), (1, 1)),
    "one axis": ((2, 2, 7), (3,), (2,), (1,)),
    "empty batch": ((0, 2, 3, 3), (2, 2), (1, 1), (0, 0)),
}
# N, I, J and the share of zeros
SPARSE: dict[str, tuple[int, int, int, float]] = {
    "single": (1, 1, 1, 0.0),
    "odd": (3, 5, 7, 0.5),
    "all pruned": (3, 4, 5, 1.0),
    "nothing pruned": (5, 6, 3, 0.0),
    "empty batch": (0, 4, 3, 0.5),
    "no neurons": (2, 3, 0, 0.5),
}


def cases(reference: Callable[..., Array], dtype: Any) -> Iterator[Case]:
    """All cases of a function, in float32 or float64."""
    if reference in SUMMANDS:
        found = dense_cases(reference, dtype, large=False)
        yield from (case for case in found if "(19, " not in case.label or "0 reversed" in case.label)
    elif reference is csr_affine:
        for label, sizes in SPARSE.items():
            yield Case(label, _csr_args(sizes, dtype))
    elif reference in (conv, conv_grad_x, conv_grad_W):
        yield from _otherwise(Case(label, _conv_args(reference, label, dtype)) for label in CONVOLUTIONS)
    else:
        yield from _otherwise(Case(label, _pool_args(reference, label, dtype)) for label in POOLINGS)
        if reference in (max_pool, max_pool_grad):
            yield Case("ties", _tied(reference, dtype))


def _otherwise(found: Iterator[Case]) -> Iterator[Case]:
    """The cases, and after "one axis" the same with every array lying otherwise in memory."""
    for case in found:
        yield case
        if case.label == "one axis":
            for place, array in enumerate(case.args):
                for name, other in layouts(array).items() if isinstance(array, np.ndarray) else ():
                    args = (*case.args[:place], other, *case.args[place + 1 :])
                    yield Case(f"{case.label}, argument {place} {name}", args)


def _conv_args(reference: Callable[..., Array], label: str, dtype: Any) -> Args:
    x, W, stride, padding, dilation, groups = CONVOLUTIONS[label]
    rng = np.random.default_rng(prod(W))
    settings = (stride, padding, dilation, groups)
    g = (x[0], W[0], *output_size(x[2:], W[2:], stride, padding, dilation))
    if reference is conv:
        bias = normal(rng, dtype, W[0]) if groups == 1 else None
        return (normal(rng, dtype, *x), normal(rng, dtype, *W), bias, *settings)
    if reference is conv_grad_x:
        return (normal(rng, dtype, *g), normal(rng, dtype, *W), x, *settings)
    return (normal(rng, dtype, *g), normal(rng, dtype, *x), W, *settings)


def _pool_args(reference: Callable[..., Array], label: str, dtype: Any) -> Args:
    shape, *window = POOLINGS[label]
    rng = np.random.default_rng(prod(shape))
    x = normal(rng, dtype, *shape)
    if reference in (max_pool, avg_pool):
        return (x, *window)
    best = max_pool(x, *window)
    g = normal(rng, dtype, *best.shape)
    return (g, x, best, *window) if reference is max_pool_grad else (g, shape, *window)


def _tied(reference: Callable[..., Array], dtype: Any) -> Args:
    """Windows full of equal entries, and NaN and −∞ among them."""
    x = np.ones((1, 2, 4, 4), dtype)
    x[0, 1, 0, 0], x[0, 1, 2:] = np.nan, -np.inf
    window = ((3, 3), (1, 1), (1, 1))
    best = max_pool(x, *window)
    g = normal(np.random.default_rng(0), dtype, *best.shape)
    return (x, *window) if reference is max_pool else (g, x, best, *window)


def _csr_args(sizes: tuple[int, int, int, float], dtype: Any) -> Args:
    N, I, J, zeros = sizes  # noqa: E741
    rng = np.random.default_rng([N, I, J])
    W = normal(rng, dtype, J, I) * (rng.random((J, I)) >= zeros)
    sparse = SparseMatrix.from_dense(W.astype(dtype))
    bias = normal(rng, dtype, J) if zeros else None
    return normal(rng, dtype, N, I), sparse.values.reshape(-1), sparse.columns, sparse.offsets, bias


def summands(reference: Callable[..., Array], args: Args) -> int:
    """How many numbers each entry of the result adds, at most."""
    if reference in SUMMANDS:
        return SUMMANDS[reference](*args)
    if reference is csr_affine:
        return int(args[0].shape[1]) + 1
    if reference is conv:
        return prod(args[1].shape[1:]) + 1
    if reference is conv_grad_x:
        return prod(args[1].shape) // int(args[1].shape[1])
    if reference is conv_grad_W:
        return int(args[0].shape[0]) * prod(args[0].shape[2:])
    return prod(args[-3]) + 1  # the kernel


def bound(reference: Callable[..., Array], args: Args) -> Array:
    """By how much kernel and reference may differ, entry by entry: 2 γ Σ |a| |b|, and not at all for a maximum.

    Examples
    --------
    >>> window = ((2,), (2,), (0,))
    >>> bound(avg_pool, (np.ones((1, 1, 2)), *window)) / np.finfo(float).eps
    array([[[3.]]])
    """
    if reference is max_pool:
        return np.zeros(())
    K = summands(reference, args)
    u = np.finfo(args[0].dtype).eps / 2
    gamma = K * u / (1 - K * u)
    kept = (2, 3) if reference is csr_affine else (1, 2) if reference is max_pool_grad else ()  # where, not how much
    loose = [place for place, a in enumerate(args) if isinstance(a, np.ndarray) and place not in kept]
    sizes = [np.abs(a).astype(float) if place in loose else a for place, a in enumerate(args)]
    return 2 * gamma * reference(*sizes)
