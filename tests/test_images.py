"""Plans of the layers that work on images: against the tape, forwards and backwards, in training and in programs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_checks import ON_PIXELS, ON_TILES, all_cases, check, conv_on_pixels, conv_on_tiles
from networks import EXAMPLES, SHAPED, inputs, networks, randomised

import minprune as mp
from minprune.gradients import loss_and_gradients, plan_for
from minprune.layers import Conv1d, Training
from minprune.models import lenet5
from minprune.ops.conv import conv
from minprune.runtime.folding import folded
from minprune.runtime.images import ImagePlan
from minprune.runtime.pixels import PixelPlan
from minprune.runtime.planning import plan_images, plan_network
from minprune.runtime.plans import NetPlan
from minprune.runtime.steps import Images
from minprune.tensor import Tape, backward

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def planned(net: mp.Graph, back: str = "weights") -> ImagePlan | str:
    return plan_images(net, net.value_shapes(net.input_shapes or {}), back)


def small_lenet(dtype: Any = np.float32) -> mp.Graph:
    return lenet5((1, 16, 16), 10, widths=(6, 11, 30), rng=0).astype(dtype)


def compare_with_tape(net: mp.Graph, plan: ImagePlan, count: int) -> None:
    """Values and gradients by parameters, for gradients by the ends that are drawn."""
    values, rng = net.take(inputs(net, n=count)), np.random.default_rng(count)
    tape = Tape()
    params = {name: tape.watch(array) for name, array in net.params.items()}
    expected = net.run(values, {**net.arrays, **params})
    plan.load(net.arrays)
    found = plan.forward(values)
    bars = {end: rng.standard_normal(x.shape).astype(net.dtype) for end, x in found.items()}
    tolerance = 1e-11 if net.dtype == np.float64 else 2e-4
    for end in plan.ends:
        scale = max(1.0, float(np.abs(expected[end].value).max(initial=0)))
        np.testing.assert_allclose(found[end], expected[end].value, rtol=0, atol=tolerance * scale)
    grads = plan.backward(bars)
    passes = [backward(expected[end], bar) for end, bar in bars.items()]
    for name, grad in grads.items():
        total = sum(found[params[name]] for found in passes)
        np.testing.assert_allclose(grad, total, rtol=0, atol=tolerance * max(1.0, float(np.abs(total).max())))


# Kernels --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("reference", ON_TILES, ids=lambda function: function.__name__)
def test_layers_on_tiles_agree_with_their_references_on_every_case(reference: Any, dtype: Any) -> None:
    for case in all_cases(reference, dtype):
        check(reference, case, ON_TILES)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("reference", ON_PIXELS, ids=lambda function: function.__name__)
def test_layers_on_pixels_agree_with_their_references_on_every_case(reference: Any, dtype: Any) -> None:
    for case in all_cases(reference, dtype):
        check(reference, case, ON_PIXELS)


@pytest.mark.parametrize("way", [conv_on_tiles, conv_on_pixels], ids=lambda function: function.__name__)
def test_a_relu_behind_a_convolution_hands_nan_on(way: Any) -> None:
    x, W = np.ones((3, 1, 4, 4)), np.ones((2, 1, 2, 2))
    x[1, 0, 0, 0], W[1] = np.nan, -1
    settings = (1, 1), (0, 0), (1, 1), 1
    found = way(x, W, None, *settings, relu=True)
    np.testing.assert_array_equal(found, np.maximum(conv(x, W, None, *settings), 0))
    assert np.isnan(found).sum() == 2


# Plans ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", SHAPED)
def test_a_plan_computes_what_the_tape_does(name: str, dtype: Any) -> None:
    net = EXAMPLES[name]()
    net = net.astype(dtype)
    plan = planned(net)
    if isinstance(plan, str):
        assert "no convolution" in plan or "is not planned" in plan
        return
    if len(plan._stages) > 1:
        return  # with the statistics of the batch: in test_plans
    for count in (plan.samples + 1, 3):  # the second has less tiles than there are
        compare_with_tape(net, plan, count)


@settings(max_examples=60, deadline=None)
@given(networks(), st.integers(1, 40), st.sampled_from(FLOATS))
def test_random_networks_are_planned_like_the_tape(net: mp.Graph, count: int, dtype: Any) -> None:
    net = net.astype(dtype)
    plan = planned(net)
    if isinstance(plan, ImagePlan) and len(plan._stages) == 1:
        compare_with_tape(net, plan, count)


def test_what_leaves_in_several_places_and_is_read_inside_too_gets_all_gradients() -> None:
    nodes = {
        "c": (mp.Conv2d(1, 3, 3, padding=1), "x"),
        "r": (mp.ReLU(), "c"),
        "d": (mp.Conv2d(3, 3, 3, padding=1), "r"),
        "sum": (mp.Add(), "r", "d"),
        "f": (mp.Flatten(), "r"),
        "g": (mp.Flatten(), "sum"),
        "both": (mp.Concat(), "f", "g"),
        "y": (mp.Dense(96, 2), "both"),
    }
    net = randomised(mp.Graph(nodes, inputs=("x",), input_shape=(1, 4, 4), dtype=np.float64))
    plan = planned(net)
    assert isinstance(plan, ImagePlan)
    assert (plan.ends, plan.summed) == (["r", "sum"], {"r"})
    compare_with_tape(net, plan, 20)


def test_a_convolution_of_sequences_is_planned() -> None:
    net = randomised(
        mp.Sequential(Conv1d(2, 3, 3, padding=1), mp.ReLU(), mp.Flatten(), mp.Dense(30, 2), input_shape=(2, 10))
    )
    plan = planned(net)
    assert isinstance(plan, ImagePlan)
    compare_with_tape(net, plan, 40)


@pytest.mark.parametrize(
    ("name", "entering", "left"),
    [("channels last", ["rearrange1"], []), ("turned and read twice", ["i", "t"], ["i", "t"])],
)
def test_what_turns_inputs_round_enters_the_plan(name: str, entering: list[str], left: list[str]) -> None:
    net = EXAMPLES[name]()
    plan = planned(net)
    assert isinstance(plan, ImagePlan)
    assert list(plan.entering) == entering
    assert [name for name in entering if name not in plan.inside] == left  # somebody else reads it, too
    with mp.backend("numba"):
        whole = plan_for(net, inputs(net, n=1), 20)
    assert isinstance(whole, NetPlan)
    x, t = inputs(net, n=20), np.arange(20) % 2
    expected, found = (loss_and_gradients(net, x, t, "cross_entropy", plan=p) for p in (None, whole))
    assert found[0] == pytest.approx(expected[0], rel=1e-12)
    for parameter, grad in expected[1].items():
        np.testing.assert_allclose(found[1][parameter], grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("net", "why"),
    [
        (mp.Sequential(mp.Dense(3, 2), input_shape=(3,)), "it has no convolution"),
        (
            mp.Sequential(mp.Dropout(0.5), mp.Conv2d(1, 2, 3), mp.Flatten(), mp.Dense(8, 2), input_shape=(1, 4, 4)),
            "dropout1 (Dropout) is not planned",
        ),
    ],
)
def test_where_there_is_no_plan_it_is_said_why(net: mp.Graph, why: str) -> None:
    assert planned(net) == why


# Training -------------------------------------------------------------------------------------------------------------


def test_gradients_by_a_plan_are_those_of_the_tape_whatever_the_loss() -> None:
    net, rng = small_lenet(np.float64), np.random.default_rng(0)
    x, t = rng.standard_normal((20, 1, 16, 16)), rng.standard_normal((20, 10))
    with mp.backend("numba"):
        plan = plan_for(net, x, 20)
    assert isinstance(plan, NetPlan)
    assert plan.ends == ["dense2"]
    for loss in ("mse", "half_squared_error"):
        expected = loss_and_gradients(net, x, t, loss)
        found = loss_and_gradients(net, x, t, loss, plan=plan)
        assert found[0] == pytest.approx(expected[0], rel=1e-12)
        assert list(found[1]) == list(expected[1])
        for name, grad in expected[1].items():
            np.testing.assert_allclose(found[1][name], grad, rtol=0, atol=1e-12, err_msg=name)


def test_dropout_and_batch_norm_behind_the_planned_layers_train_as_on_the_tape() -> None:
    layers = mp.Conv2d(1, 3, 3), mp.ReLU(), mp.Flatten(), mp.Dropout(0.5), mp.Dense(12, 5), mp.BatchNorm(5)
    nets = [mp.Sequential(*layers, input_shape=(1, 4, 4), rng=0, dtype=np.float64) for _ in range(2)]
    x, t = np.random.default_rng(0).standard_normal((18, 1, 4, 4)), np.arange(18) % 5
    with mp.backend("numba"):
        whole = plan_network(nets[1], nets[1].value_shapes({"input": (1, 4, 4)}), "weights")
    assert isinstance(whole, NetPlan)
    assert whole.ends == ["batchnorm1"]
    found = [
        loss_and_gradients(net, x, t, "cross_entropy", Training(np.random.default_rng(3)), plan=plan)
        for net, plan in zip(nets, (None, whole), strict=True)
    ]
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    for name, grad in found[0][1].items():
        np.testing.assert_allclose(found[1][1][name], grad, rtol=0, atol=1e-12, err_msg=name)
    for name, buffer in nets[0].buffers.items():
        np.testing.assert_allclose(nets[1].buffers[name], buffer, atol=1e-13)


def test_fit_plans_under_numba_and_says_so() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((70, 1, 16, 16), dtype=np.float32), rng.integers(0, 10, 70)
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 32, "progress": False}
    with mp.backend("numba"):
        assert mp.fit(small_lenet(), (x, y), **settings).plan == "<Plan: 4 on images, 3 on rows, as far as dense2>"
        assert mp.fit(small_lenet(), (x, y), **settings | {"batch_size": 4}).plan.startswith("batches of 4 fill")
        assert plan_for(mp.Sequential(mp.Softmax(), mp.Dense(3, 2)), x[:, 0, 0, :3], 32) == "no layer is known"
    with mp.backend("numpy"):
        assert mp.fit(small_lenet(), (x, y), **settings).plan == "backend numpy"


def test_masked_weights_stay_0_in_a_planned_training() -> None:
    net = small_lenet()
    masked = mp.mask(net, mp.decide(mp.score(net, criterion="magnitude_l1", by="weight"), mp.Global(0.5)))
    rng = np.random.default_rng(0)
    with mp.backend("numba"):
        mp.fit(
            masked, (rng.random((64, 1, 16, 16), dtype=np.float32), rng.integers(0, 10, 64)), epochs=1, progress=False
        )
    for name, kept in masked.masks.items():
        assert not masked.params[name][~kept].any()
        assert (masked.params[name] != net.params[name]).any()


def test_the_same_seed_gives_the_same_bytes() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((100, 1, 16, 16), dtype=np.float32), rng.integers(0, 10, 100)
    nets = [small_lenet(), small_lenet()]
    with mp.backend("numba"):
        for net in nets:
            mp.fit(net, (x, y), epochs=2, batch_size=40, progress=False)
    assert all((nets[0].params[name] == array).all() for name, array in nets[1].params.items())


# Programs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPED)
def test_a_program_of_tiles_or_pixels_computes_what_the_network_does(name: str) -> None:
    from minprune.runtime import building, program

    net = EXAMPLES[name]()
    net, x = folded(net), inputs(net, n=37)
    plans = [plan for plan in program._plans(net) if plan is not None]
    for plan, form in product(plans, ("rows", "strips")):
        steps = building.Builder(net, form, 37, plan).build()
        assert isinstance(steps[0], Images)
        compiled = program.Program(net, steps, 37, 1)
        expected = net(x)
        np.testing.assert_allclose(compiled(x), expected, atol=1e-11 * max(1.0, np.abs(expected).max()))


@settings(max_examples=60, deadline=None)
@given(networks(), st.sampled_from(FLOATS))
def test_random_networks_run_on_pixels(net: mp.Graph, dtype: Any) -> None:
    net = folded(net.astype(dtype))
    plan = planned(net, back="")
    if isinstance(plan, str):
        return
    plan.load(net.arrays)
    values = net.take(inputs(net, n=3))
    expected = net.run(values, net.arrays)
    found = {end: np.empty_like(expected[end]) for end in plan.ends}
    for run in (PixelPlan(plan), PixelPlan(plan).another()):
        run.forward(values, found)
    tolerance = 1e-11 if dtype == np.float64 else 2e-4
    for end, values in found.items():
        np.testing.assert_allclose(values, expected[end], atol=tolerance * max(1.0, float(np.abs(expected[end]).max())))


@pytest.mark.parametrize(("batch_size", "form"), [(1, "pixels"), (256, "tiles")])
def test_lenet_runs_with_the_same_bytes_in_any_batch_and_thread(batch_size: int, form: str) -> None:
    net = small_lenet()
    x = np.random.default_rng(0).random((300, 1, 16, 16), dtype=np.float32)
    compiled = mp.compile(net, batch_size=batch_size)
    assert [step.kernel for step in compiled.steps if isinstance(step, Images)] == [form]
    assert "sample(s) at a time through all of them" in compiled.plan()
    together = compiled(x)
    np.testing.assert_allclose(together, net(x), atol=1e-4)
    np.testing.assert_array_equal(np.concatenate([compiled(x[:7]), compiled(x[7:140]), compiled(x[140:])]), together)
    with ThreadPoolExecutor(4) as pool:
        for found in [pool.submit(compiled, x) for _ in range(8)]:
            np.testing.assert_array_equal(found.result(), together)


@pytest.mark.parametrize("batch_size", [1, 256])
def test_nan_stays_in_its_sample(batch_size: int) -> None:
    x = np.random.default_rng(0).random((40, 1, 16, 16), dtype=np.float32)
    x[3, 0, 5, 5] = np.nan
    compiled = mp.compile(small_lenet(), batch_size=batch_size)
    assert any(isinstance(step, Images) for step in compiled.steps)
    found = compiled(x)
    assert np.isnan(found[3]).all()
    assert np.isfinite(np.delete(found, 3, axis=0)).all()
