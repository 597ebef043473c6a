"""What must hold wherever CUDA kernels run: on a GPU, or in Numba's simulator. `test_cuda.py` runs it in a process.

NUMBA_ENABLE_CUDASIM=1 python -m pytest tests/cuda_checks.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, SINGLE_INPUT, inputs
from numba import cuda
from op_cases import CASES as OP_CASES
from op_cases import Case as OpCase

import minprune as mp
from minprune import backends
from minprune.errors import DataError, DtypeError, ShapeError, StructureError
from minprune.gradients import loss_and_gradients
from minprune.kernels.cuda import (
    Program,
    calls,
    conv,
    crossings,
    gemm,
    launching,
    losses,
    moving,
    rules,
    scores,
    scoring,
    steps,
    tiles,
    to_device,
    to_host,
)
from minprune.kernels.cuda.cases import bound, cases
from minprune.kernels.cuda.launching import KERNELS
from minprune.neurons import hidden
from minprune.nn import Graph
from minprune.ops import AvgPool, MaxPool, run
from minprune.ops.affine import affine
from minprune.ops.conv import conv as conv_reference
from minprune.optim import OptimizerState
from minprune.train import hide_masked

# The simulator's threads are Python's, and wait for each other all the time: with the usual 5 ms they mostly wait.
sys.setswitchinterval(1e-5)

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
EACH_KIND = [pytest.param(FLOATS[0], id="float32"), pytest.param(FLOATS[1], id="float64", marks=pytest.mark.slow)]
# By how much a value may differ from the reference's, as a share of the largest in the array (or of 1). Single sums of
# products have a bound of their own, entry by entry, in `minprune.kernels.cases`.
TOLERANCE = {FLOATS[0]: 1e-5, FLOATS[1]: 1e-12}


def agree(got: Any, expected: Any, what: str = "") -> None:
    """Fail with the first place where two arrays are not the same within the tolerance, or of another kind."""
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype), f"{what}: {got.shape} of {got.dtype}"
    tolerance = TOLERANCE[expected.dtype] * max(1, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance, err_msg=what)


# Single functions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", EACH_KIND)
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
        with np.errstate(invalid="ignore"):  # ∞ − ∞
            close = np.abs(got - expected) <= bound(reference, case.args)
        close |= got == expected
        far = np.argwhere(~(close | (np.isnan(got) & np.isnan(expected))))
        assert not len(far), f"{case.label}, at {far[0]}: expected {expected[tuple(far[0])]}, got {got[tuple(far[0])]}"


REFUSED = ("attention, powers",)  # examples with an op that has no CUDA kernel


def test_a_network_with_an_op_that_has_no_kernel_is_refused_by_name() -> None:
    for name in REFUSED:
        net = EXAMPLES[name]().astype(np.float32)
        with pytest.raises(StructureError, match=r"the op (matmul|power) has no CUDA kernel"):
            Program(net)(Program(net).inputs(inputs(net)))


def on_device(case: OpCase) -> bool:
    """Whether the device takes a case: pools with gaps or over volumes are refused, as the test below holds."""
    pool = case.op in (MaxPool, AvgPool)
    whole = all(d == 1 for d in case.options.get("dilation", ())) and len(case.options.get("kernel", ())) <= 2
    return case.op in rules.FORWARD and (whole or not pool)


@pytest.mark.parametrize("case", [c for c in OP_CASES if c.op in rules.FORWARD and not on_device(c)], ids=str)
def test_pools_with_gaps_or_over_volumes_are_refused_by_name(case: OpCase) -> None:
    args = tuple(np.asarray(a, np.float32) for a in case.args)
    with pytest.raises(StructureError, match=f"{case.op.name} .* has no CUDA kernel"):
        rules.forward(case.op, tuple(map(to_device, args)), case.options)


@pytest.mark.parametrize("dtype", EACH_KIND)
@pytest.mark.parametrize("case", [c for c in OP_CASES if on_device(c)], ids=str)
def test_an_op_and_its_gradients_agree_with_the_book(case: OpCase, dtype: Any) -> None:
    args = tuple(a if a is None or a.dtype.kind in "iu" else np.asarray(a, dtype) for a in case.args)
    book = run(case.op, args, case.options)
    call = rules.forward(case.op, tuple(None if a is None else to_device(a) for a in args), case.options)
    agree(to_host(call.out), book.out)
    g = np.random.default_rng(0).standard_normal(book.out.shape).astype(dtype)
    for arg in case.op.rules:
        if getattr(book, arg) is not None:
            agree(to_host(rules.BACKWARD[case.op, arg](call, to_device(g))), case.op.grad(arg)(book, g), arg)


FULL_SIZE: dict[Callable[..., Any], tuple[Any, ...]] = {
    gemm.affine: ((70, 19), (67, 19), (67,)),
    conv.conv: ((3, 3, 7, 6), (66, 3, 3, 2), (66,), (1, 1), (0, 0), (1, 1), 1),
    conv.conv_grad_W: ((3, 66, 5, 5), (3, 3, 7, 6), (66, 3, 3, 2), (1, 1), (0, 0), (1, 1), 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("run_it", FULL_SIZE, ids=lambda f: f.__name__)
def test_sizes_beyond_a_full_size_tile_agree_with_numpy(run_it: Callable[..., Any]) -> None:
    assert ((16, 8) if launching.SMALL else (64, 256)) == (tiles.TILE, launching.THREADS)
    (reference,) = [pair[0] for pair in calls.PAIRS if pair[1] is run_it]
    rng = np.random.default_rng(0)
    count = 2 if run_it is conv.conv_grad_W else 3  # so many are arrays, and the rest settings
    shapes = FULL_SIZE[run_it]
    args = (*(rng.standard_normal(shape).astype(np.float32) for shape in shapes[:count]), *shapes[count:])
    agree(calls.across(run_it)(*args), reference(*args))


def test_a_single_number_is_repeated_and_its_gradient_summed() -> None:
    a, b = to_device(np.arange(6.0).reshape(2, 3)), to_device(np.array(2.0))
    call = rules.forward(mp.ops.Mul, (a, b), {})
    np.testing.assert_array_equal(to_host(call.out), 2 * np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(to_host(rules.BACKWARD[mp.ops.Mul, "b"](call, a)), np.array(55.0))


# Whole networks -------------------------------------------------------------------------------------------------------

QUICK = ("mlp", "cnn")
SLOW_CNN = pytest.param("cnn", FLOATS[1], marks=pytest.mark.slow)


def chosen(name: str, *dtype: Any) -> Any:
    """An example as a parameter of a test; slow unless it is one of two."""
    return pytest.param(name, *dtype, marks=() if name in QUICK else pytest.mark.slow)


def example(name: str, dtype: Any, n: int = 3) -> tuple[Graph, dict[str, Any], Any]:
    """A network, samples and numbers as targets."""
    net = EXAMPLES[name]().astype(dtype)
    x = {key: value.astype(dtype) for key, value in inputs(net, n).items()}
    return net, x, np.random.default_rng(3).standard_normal(net(x).shape).astype(dtype)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *(chosen(name, FLOATS[1]) for name in EXAMPLES if name not in REFUSED),
        *(chosen(name, FLOATS[0]) for name in QUICK),
    ],
)
def test_a_network_and_its_gradients_agree_with_numpy(name: str, dtype: Any) -> None:
    net, x, y = example(name, dtype)
    program = Program(net)
    up, t = program.inputs(x), program.targets(y, "half_squared_error")
    agree(to_host(program(up)), net(x))
    losses, grads = program.gradients(up, t, "half_squared_error")
    loss, expected = loss_and_gradients(net, x, y, "half_squared_error")
    agree(to_host(losses).mean(), np.asarray(loss, dtype))
    assert set(grads) == set(expected)
    for param, g in grads.items():
        agree(to_host(g), expected[param], param)


CRITERIA = [name for name, c in mp.scores.CRITERIA.items() if scoring.row_of(c) is not None]


def test_the_criteria_on_the_device_are_those_made_of_gates_and_entries() -> None:
    assert set(CRITERIA) == {
        *("taylor", "taylor_signed", "taylor_mean", "taylor_squared", "fisher"),
        *("sensitivity", "sensitivity_signed", "inverse_sensitivity", "inverse_sensitivity_mean"),
        *("inverse_sensitivity_signed", "activation_mean", "activation_rms", "apoz"),
    }


def scored(name: str, criteria: Sequence[str]) -> None:
    """Fail where the device's scores of a network are not those of `minprune.score`."""
    net, x, y = example(name, FLOATS[1], n=5)
    (x,) = x.values()
    program = Program(net)
    parts = (slice(3), slice(3, 5))
    batches = [(program.inputs(x[part]), program.targets(y[part], "half_squared_error")) for part in parts]
    for criterion in criteria:
        found = scores(program, batches, criterion, "half_squared_error")
        expected = mp.score(net, (x, y), criterion, loss="half_squared_error", progress=False)
        assert set(found) == set(expected)
        for group, values in found.items():
            agree(values, expected[group], f"{criterion}, {group}")


@pytest.mark.parametrize(
    "name", [chosen(name) for name in SINGLE_INPUT if hidden(EXAMPLES[name]()) and name not in REFUSED]
)
def test_scores_agree_with_numpy_over_several_batches(name: str) -> None:
    scored(name, ("taylor", "activation_rms"))


@pytest.mark.slow
@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_on_the_device_agrees_with_numpy(criterion: str) -> None:
    scored("mlp", (criterion,))


OPTIMIZERS = [
    mp.SGD(0.05),
    mp.SGD(0.05, momentum=0.9, weight_decay=0.01),
    mp.SGD(0.05, momentum=0.9, nesterov=True),
    mp.Adam(0.01, weight_decay=0.01),
    mp.AdamW(0.01),
]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_a_step_of_an_optimiser_agrees_with_numpy(optimizer: Any, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    theta = {"W": rng.standard_normal((3, 4)).astype(dtype), "b": rng.standard_normal(5).astype(dtype)}
    up, memory, state = {name: to_device(array) for name, array in theta.items()}, steps.Memory(), OptimizerState()
    for step in range(3):
        g = {name: rng.standard_normal(array.shape).astype(dtype) for name, array in theta.items()}
        steps.update(optimizer, up, {name: to_device(array) for name, array in g.items()}, memory, 0.01 * (step + 1))
        optimizer.update(theta, g, state, 0.01 * (step + 1))
    for name, array in theta.items():
        agree(to_host(up[name]), array, name)


def train(net: Graph, x: Any, y: Any, optimizer: Any, count: int) -> list[float]:
    """Steps of `fit` without its shuffling, in NumPy and in place: the losses before each."""
    state, losses = OptimizerState(), []
    net.close_masks()
    for _ in range(count):
        loss, grads = loss_and_gradients(net, x, y, "cross_entropy")
        optimizer.update(net.params, hide_masked(net, grads), state, optimizer.lr)
        net.close_masks()
        losses.append(loss)
    return losses


def trainable(name: str, dtype: Any) -> Graph:
    """A small perceptron, some of its weights masked, or a small convolutional network."""
    if name == "mlp":
        net = mp.Sequential(mp.Dense(6, 9), mp.ReLU(), mp.Dense(9, 5), mp.Tanh(), mp.Dense(5, 3), rng=0, dtype=dtype)
        return mp.mask(net, mp.decide(mp.score(net, criterion="magnitude_l1", by="weight"), mp.Global(0.3)))
    layers = (mp.Conv2d(1, 3, 3, padding=1), mp.ReLU(), mp.MaxPool2d(2), mp.Conv2d(3, 4, 2), mp.ReLU())
    return mp.Sequential(*layers, mp.Flatten(), mp.Dense(16, 3), rng=0, dtype=dtype, input_shape=(1, 6, 6))


@pytest.mark.parametrize(("name", "dtype"), [("mlp", FLOATS[1]), ("cnn", FLOATS[0]), SLOW_CNN])
def test_training_agrees_with_numpy_and_copies_only_at_its_ends(name: str, dtype: Any) -> None:
    net = trainable(name, dtype)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((4, *net.input_shapes["input"])).astype(dtype), np.array([0, 2, 1, 2])
    program, before = Program(net), {name: array.copy() for name, array in net.params.items()}
    with crossings() as ends, driver_copies() as copied:
        up, t = program.inputs(x), program.targets(y, "cross_entropy")
    assert (ends.up, ends.down) == (2, 0) == copied
    with crossings() as between, driver_copies() as copied:
        output = program(up)
        losses = [program.step(up, t, "cross_entropy", mp.Adam(0.01)) for _ in range(4)]
    assert (between.up, between.down) == (0, 0) == copied
    with crossings() as ends, driver_copies() as copied:
        trained = program.network()
    assert (ends.up, ends.down) == (0, len(net.arrays)) == copied
    agree(to_host(output), net(x))
    for param, array in net.params.items():
        np.testing.assert_array_equal(array, before[param], err_msg=f"{param}: the host's network was changed")
    expected = train(net, x, y, mp.Adam(0.01), 4)
    agree(np.array([to_host(loss).mean() for loss in losses]), np.array(expected, dtype))
    for param, array in trained.params.items():
        agree(array, net.params[param], param)


@contextmanager
def driver_copies() -> Iterator[Copies]:
    """Count what Numba itself copies between host and device, whoever asks for it."""
    counted = Copies()
    with pytest.MonkeyPatch.context() as patch:
        made = type(cuda.device_array(1))
        down, up = made.copy_to_host, cuda.to_device
        patch.setattr(made, "copy_to_host", lambda *args, **kw: (counted.add(down=1), down(*args, **kw))[1])
        patch.setattr(cuda, "to_device", lambda *args, **kw: (counted.add(up=1), up(*args, **kw))[1])
        yield counted


class Copies:
    """How many arrays went up and came down; equal to a pair of numbers."""

    def __init__(self) -> None:
        self.up = self.down = 0

    def add(self, up: int = 0, down: int = 0) -> None:
        self.up, self.down = self.up + up, self.down + down

    def __eq__(self, pair: object) -> bool:
        return (self.up, self.down) == pair

    def __repr__(self) -> str:
        return f"{self.up} up, {self.down} down"


# What is refused ------------------------------------------------------------------------------------------------------


def test_an_op_without_a_kernel_is_named_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, _ = example("mlp", FLOATS[0])
    monkeypatch.delitem(rules.FORWARD, mp.ops.Tanh)
    program = Program(net)
    with pytest.raises(StructureError, match="the op tanh has no CUDA kernel; use backend 'numpy' or 'numba'"):
        program(program.inputs(x))


def test_a_kernel_takes_no_array_of_the_host() -> None:
    with pytest.raises(DtypeError, match="relu_loop: an array is not on the device; bring it there with to_device"):
        KERNELS["relu_loop"].over(2, np.ones(2), np.ones(2))


def test_arrays_of_another_kind_or_in_pieces_are_refused() -> None:
    a, b = to_device(np.ones(6)), to_device(np.ones(6, np.float32))
    with pytest.raises(DtypeError, match="relu_loop: argument 1 is of float32 with 1 axes, expected float64 with 1"):
        KERNELS["relu_loop"].over(6, a, b)
    with pytest.raises(DtypeError, match="relu_loop: argument 0 is of float64 with 2 axes, expected float64 with 1"):
        KERNELS["relu_loop"].over(6, a.reshape(2, 3), a)
    with pytest.raises(DtypeError, match=r"relu_loop: argument 0 is of float64 with 1 axes, .* contiguous"):
        KERNELS["relu_loop"].over(3, a[::2], a[:3])


def test_only_float32_and_float64_go_to_the_device() -> None:
    half = to_device(np.ones(2, np.float16))
    with pytest.raises(DtypeError, match="relu_loop: expected float32 or float64, got float16"):
        KERNELS["relu_loop"].over(2, half, half)
    with pytest.raises(DtypeError, match="the network holds complex128; only float32 and float64 go to the device"):
        Program(EXAMPLES["mlp"]().astype(complex))


@pytest.mark.parametrize(("name", "node"), [("cnn", "batchnorm1"), ("leaky relu, dropout", "dropout1")])
def test_what_works_differently_in_training_is_not_trained(name: str, node: str) -> None:
    net, x, y = example(name, FLOATS[0])
    program = Program(net)
    with pytest.raises(StructureError, match=f"{node} works differently in training, which the device cannot do"):
        program.step(program.inputs(x), program.targets(y, "mse"), "mse", mp.Adam())


def test_an_unknown_optimiser_or_criterion_is_refused_by_name() -> None:
    net, x, y = example("mlp", FLOATS[0])
    program = Program(net)
    up, t = program.inputs(x), program.targets(y, "mse")

    class Mine(mp.SGD):
        pass

    with pytest.raises(DataError, match="Mine has no step on the device; use SGD, Adam or AdamW"):
        program.step(up, t, "mse", Mine(0.1))
    with pytest.raises(DataError, match=r"criterion 'magnitude_l1' is not on the device; expected one of .*taylor"):
        scores(program, [(up, t)], "magnitude_l1", "mse")


def test_labels_of_another_kind_and_inner_sizes_that_differ_are_refused() -> None:
    y = to_device(np.zeros((2, 3)))
    with pytest.raises(
        DataError, match="cross_entropy: t holds uint8 on the device, expected labels of int64, or rows"
    ):
        losses.cross_entropy(y, to_device(np.zeros(2, np.uint8)))
    with pytest.raises(ShapeError, match="product: A has 3 columns and B 2 rows; they must be as many"):
        gemm.product(y, y)
    with pytest.raises(ShapeError, match="on the device values have up to 5 axes, got 6"):
        moving.transpose(to_device(np.zeros((1,) * 6)), (0, 1, 2, 3, 5, 4))


# The backend ----------------------------------------------------------------------------------------------------------


def test_the_backend_runs_heavy_functions_on_the_device_and_the_rest_in_numpy() -> None:
    net, x, _ = example("cnn", FLOATS[0])
    plain = net(x)
    with mp.backend("cuda"), crossings() as moved:
        agree(net(x), plain)
    assert moved.down == 4  # two convolutions, a pooling, a dense layer
    with mp.backend("cuda"), crossings() as moved:
        EXAMPLES["mlp"]().astype(Fraction)
        affine(*(mp.ops.exact(np.ones(shape)) for shape in ((2, 3), (4, 3), 4)))
    assert moved.down == 0


def test_arguments_that_do_not_fit_are_left_to_the_reference() -> None:
    bad = {
        affine: (np.ones((2, 3)), np.ones((4, 5)), None),
        conv_reference: (np.ones((1, 3, 4)), np.ones((2, 2, 2)), None, (1,), (0,), (1,), 1),
    }
    for reference, args in bad.items():
        key = f"{reference.__module__}.{reference.__qualname__}"
        assert not backends._kernels[key]["cuda"].takes(*args)
        with mp.backend("cuda"), pytest.raises(ValueError, match=r"matmul|mismatch|shape"):
            reference(*args)


@pytest.mark.slow
def test_twice_the_same_gives_the_same_bytes() -> None:
    net, x, y = example("cnn", FLOATS[0])
    found = set()
    for _ in range(2):
        program = Program(net)
        _, grads = program.gradients(program.inputs(x), program.targets(y, "mse"), "mse")
        found.add(b"".join(to_host(g).tobytes() for g in grads.values()))
    assert len(found) == 1


def test_every_kernel_has_run_here() -> None:
    assert {name for name, kernel in KERNELS.items() if not kernel.made} == set()
