"""Comparing a kernel with its reference, case by case; in this process, or in one with another environment.

python tests/kernel_checks.py float32 [small]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minprune.kernels import cases, window_cases
from minprune.kernels.cases import Case
from minprune.kernels.convolution import conv_grad_W_kernel, conv_grad_x_kernel, conv_kernel
from minprune.kernels.dense import affine_grad_W_kernel, affine_grad_x_kernel, affine_kernel
from minprune.kernels.elementwise import relu_grad_kernel
from minprune.kernels.pooling import avg_pool_grad_kernel, avg_pool_kernel, max_pool_grad_kernel, max_pool_kernel
from minprune.ops.activations import relu_grad
from minprune.ops.affine import affine, affine_grad_W, affine_grad_x
from minprune.ops.conv import conv, conv_grad_W, conv_grad_x
from minprune.ops.pool import avg_pool, avg_pool_grad, max_pool, max_pool_grad

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
KERNELS = DENSE | WINDOWS


def all_cases(reference: Callable[..., Any], dtype: Any, large: bool = True) -> Iterator[Case]:
    """The cases of a function, from the file that has them."""
    return (window_cases if reference in WINDOWS else cases).cases(reference, dtype, large=large)


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
    from minprune.kernels.vectors import TILE, tile

    print(TILE.bits, type(tile).__name__)
