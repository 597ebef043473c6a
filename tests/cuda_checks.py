"""What must hold wherever CUDA kernels run: on a GPU, or in Numba's simulator. `test_cuda.py` runs it in a process.

NUMBA_ENABLE_CUDASIM=1 python -m pytest tests/cuda_checks.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, inputs
from op_cases import CASES as OP_CASES
from op_cases import Case as OpCase

import minprune as mp
from minprune import backends
from minprune.errors import DataError, DtypeError, ShapeError, StructureError
from minprune.kernels.cuda import Program, calls, crossings, devices, rules, scores, to_device, to_host
from minprune.kernels.cuda.cases import bound, cases
from minprune.kernels.cuda.launching import KERNELS
from minprune.nn import Graph
from minprune.ops import run
from minprune.optim import OptimizerState
from minprune.targets import prepare_targets
from minprune.train import hide_masked, loss_and_gradients

# The simulator's threads are Python's, and wait for each other all the time: with the usual 5 ms they mostly wait.
sys.setswitchinterval(1e-5)

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
# By how much a value may differ from the reference's, as a share of the largest in the array (or of 1). Single sums of
# products have a bound of their own, entry by entry, in `minprune.kernels.cases`.
TOLERANCE = {FLOATS[0]: 1e-5, FLOATS[1]: 1e-12}


def agree(got: Any, expected: Any, what: str = "") -> None:
    """Fail with the first place where two arrays are not the same within the tolerance, or of another kind."""
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype), f"{what}: {got.shape} of {got.dtype}"
    tolerance = TOLERANCE[expected.dtype] * max(1, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance, err_msg=what)


# Single functions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("reference", [pair[0] for pair in calls.PAIRS], ids=lambda f: f.__name__)
def test_a_function_of_the_backend_agrees_with_its_reference(reference: Callable[..., Any], dtype: Any) -> None:
    key = f"{reference.__module__}.{reference.__qualname__}"
    kernel = backends._kernels[key]["cuda"]
    for case in cases(reference, dtype):
        assert kernel.takes(*case.args), case.label
        before = [a.copy() if isinstance(a, np.ndarray) else a for a in case.args]
        got, expected = kernel.run(*case.args), reference(*case.args)
        for old, new in zip(before, case.args, strict=True):
            np.testing.assert_array_equal(old, new, err_msg=f"{case.label}: an argument was changed")
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype), case.label
        close = (np.abs(got - expected) <= bound(reference, case.args)) | (got == expected)
        far = np.argwhere(~(close | (np.isnan(got) & np.isnan(expected))))
        assert not len(far), f"{case.label}, at {far[0]}: expected {expected[tuple(far[0])]}, got {got[tuple(far[0])]}"


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("case", [c for c in OP_CASES if c.op in rules.FORWARD], ids=str)
def test_an_op_and_its_gradients_agree_with_the_book(case: OpCase, dtype: Any) -> None:
    args = tuple(a if a is None or a.dtype.kind in "iu" else np.asarray(a, dtype) for a in case.args)
    book = run(case.op, args, case.options)
    call = rules.forward(case.op, tuple(None if a is None else to_device(a) for a in args), case.options)
    agree(to_host(call.out), book.out)
    g = np.random.default_rng(0).standard_normal(book.out.shape).astype(dtype)
    for arg in case.op.rules:
        if getattr(book, arg) is not None:
            agree(to_host(rules.BACKWARD[case.op, arg](call, to_device(g))), case.op.grad(arg)(book, g), arg)


# Whole networks -------------------------------------------------------------------------------------------------------

ABLE = [name for name in EXAMPLES if name not in ("curves", "constants")]


def example(name: str, dtype: Any, n: int = 3) -> tuple[Graph, dict[str, Any], Any]:
    """A network, samples and numbers as targets."""
    net = EXAMPLES[name]().astype(dtype)
    x = {key: value.astype(dtype) for key, value in inputs(net, n).items()}
    return net, x, np.random.default_rng(3).standard_normal(net(x).shape).astype(dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", ABLE)
def test_a_network_and_its_gradients_agree_with_numpy(name: str, dtype: Any) -> None:
    net, x, y = example(name, dtype)
    program = Program(net)
    up = program.inputs(x)
    agree(to_host(program(up)), net(x))
    losses, grads = program.gradients(up, program.targets(y, "half_squared_error"), "half_squared_error")
    loss, expected = loss_and_gradients(net, x, y, "half_squared_error")
    agree(to_host(losses).mean(), np.asarray(loss, dtype))
    assert set(grads) == set(expected)
    for param, g in grads.items():
        agree(to_host(g), expected[param], param)
