"""Comparing a kernel with its reference, case by case; in this process, or in one with another environment.

python tests/kernel_checks.py float32 [small]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from minprune.kernels.cases import Case, bound, cases
from minprune.kernels.dense import affine_grad_W_kernel, affine_grad_x_kernel, affine_kernel
from minprune.kernels.leaving import outputs_kernel, sums_kernel
from minprune.kernels.losses import label_losses_kernel
from minprune.ops.affine import affine, affine_grad_W, affine_grad_x
from minprune.ops.losses import label_losses
from minprune.scores.leaving import outputs_without, sums_without

KERNELS = {
    affine: affine_kernel,
    affine_grad_x: affine_grad_x_kernel,
    affine_grad_W: affine_grad_W_kernel,
    label_losses: label_losses_kernel,
    sums_without: sums_kernel,
    outputs_without: outputs_kernel,
}


def check(reference: Callable[..., Any], case: Case) -> None:
    """Fail with case and place where the kernel is further from its reference than rounding allows."""
    before = [None if a is None else a.copy() for a in case.args]
    got, expected = KERNELS[reference](*case.args), reference(*case.args)
    for old, new in zip(before, case.args, strict=True):
        assert old is None or (old == new).all(), f"{case.label}: an argument was changed"
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype), f"{case.label}: {got.shape}, {got.dtype}"
    far = np.argwhere(~(np.abs(got - expected) <= bound(reference, case.args)))
    if len(far):
        place = tuple(far[0].tolist())
        raise AssertionError(
            f"{reference.__name__}, {case.label}, at {place}: expected {expected[place]!r}, got {got[place]!r}"
        )


if __name__ == "__main__":
    for function in KERNELS:
        for one in cases(function, np.dtype(sys.argv[1]), large="small" not in sys.argv):
            check(function, one)
    from minprune.kernels.vectors import TILE, tile

    print(TILE.bits, type(tile).__name__)
