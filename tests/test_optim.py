"""Optimisers against PyTorch step by step, and the memory that they keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minprune as mp
from minprune.errors import DataError, StructureError
from minprune.optim import OptimizerState, clip

SHAPES = {"W": (4, 3), "b": (4,)}
OURS_AND_TORCHS = [
    (mp.SGD(0.05), lambda p: torch.optim.SGD(p, 0.05)),
    (mp.SGD(0.05, momentum=0.9), lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)),
    (mp.SGD(0.05, 0.9, nesterov=True), lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True)),
    (
        mp.SGD(0.05, 0.8, True, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.8, nesterov=True, weight_decay=0.1),
    ),
    (mp.Adam(0.01), lambda p: torch.optim.Adam(p, 0.01)),
    (
        mp.Adam(0.01, (0.8, 0.95), 1e-3, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, 0.01, (0.8, 0.95), 1e-3, weight_decay=0.1),
    ),
    (mp.AdamW(0.01), lambda p: torch.optim.AdamW(p, 0.01)),
    (mp.AdamW(0.01, weight_decay=0.3), lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.3)),
]


def start(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}


@pytest.mark.parametrize(("ours", "torchs"), OURS_AND_TORCHS, ids=[repr(ours) for ours, _ in OURS_AND_TORCHS])
def test_fifteen_steps_agree_with_pytorch_under_a_changing_learning_rate(ours, torchs):
    params, state = start(), OptimizerState()
    theirs = {name: torch.tensor(value, requires_grad=True) for name, value in params.items()}
    optimizer = torchs(list(theirs.values()))
    for step in range(15):
        grads = start(seed=step + 1)
        lr = ours.lr * (1 + step % 3)
        ours.update(params, grads, state, lr)
        for name, tensor in theirs.items():
            tensor.grad = torch.tensor(grads[name])
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
        for name, tensor in theirs.items():
            np.testing.assert_allclose(params[name], tensor.detach().numpy(), rtol=1e-12, atol=1e-12)
    assert state.step == 15


@pytest.mark.parametrize("optimizer", [mp.SGD(0.1, 0.9, True, 0.1), mp.Adam(weight_decay=0.1), mp.AdamW()])
def test_an_update_keeps_float32_and_leaves_gradients_alone(optimizer):
    params = {name: value.astype(np.float32) for name, value in start().items()}
    grads = {name: value.astype(np.float32) for name, value in start(1).items()}
    before, state = {name: value.copy() for name, value in grads.items()}, OptimizerState()
    optimizer.update(params, grads, state, 0.1)
    arrays = [*params.values(), *(array for held in state.slots.values() for array in held.values())]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert all(np.array_equal(grads[name], before[name]) for name in grads)


@pytest.mark.parametrize("optimizer", [mp.SGD(0.1, 0.9), mp.Adam(), mp.AdamW()])
@given(
    keep=st.sets(st.integers(0, 3), min_size=1), columns=st.sets(st.integers(0, 2), min_size=1), seed=st.integers(0, 9)
)
def test_slicing_the_state_and_stepping_is_stepping_and_slicing(optimizer, keep, columns, seed):
    rows, columns = sorted(keep), sorted(columns)
    params, state = start(seed), OptimizerState()
    for step in range(3):
        optimizer.update(params, start(step), state, 0.1)
    stays = {"W": {0: np.array(rows), 1: np.array(columns)}, "b": {0: np.array(rows)}}
    small_state = state.sliced(stays)
    small = {"W": params["W"][np.ix_(rows, columns)].copy(), "b": params["b"][rows].copy()}
    grads = start(7)
    optimizer.update(params, grads, state, 0.1)
    optimizer.update(small, {"W": grads["W"][np.ix_(rows, columns)], "b": grads["b"][rows]}, small_state, 0.1)
    assert np.array_equal(small["W"], params["W"][np.ix_(rows, columns)])
    assert np.array_equal(small["b"], params["b"][rows])


def test_slicing_copies_and_keeps_what_is_not_named_whole():
    state = OptimizerState(5, {"W": {"m": np.ones((4, 3)), "v": np.ones((4, 3))}, "b": {"m": np.ones(4)}})
    small = state.sliced({"W": {0: np.array([1, 3])}})
    small.slots["b"]["m"][:] = 0
    assert small.step == 5
    assert {name: array.shape for name, array in small.slots["W"].items()} == {"m": (2, 3), "v": (2, 3)}
    assert small.slots["b"]["m"].shape == (4,)
    assert state.slots["b"]["m"].all()


def test_a_parameter_that_is_new_to_the_state_starts_with_zeros():
    state = OptimizerState()
    mp.SGD(0.1, 0.9).update({"W": np.ones(2)}, {"W": np.ones(2)}, state, 0.1)
    params = {"W": np.ones(2), "b": np.ones(2)}
    mp.SGD(0.1, 0.9).update(params, {"W": np.ones(2), "b": np.ones(2)}, state, 0.1)
    assert state.slots["b"]["velocity"].tolist() == [1.0, 1.0]


def test_the_memory_of_another_kind_of_optimiser_is_refused():
    params, state = start(), OptimizerState()
    mp.SGD(0.1, 0.9).update(params, start(1), state, 0.1)
    with pytest.raises(StructureError, match=r"W: the optimiser's state holds velocity, expected m, v; .*fresh one"):
        mp.Adam().update(params, start(1), state, 0.1)


def test_a_state_that_was_not_cut_with_its_parameter_is_refused():
    state = OptimizerState()
    mp.Adam().update({"b": np.ones(4)}, {"b": np.ones(4)}, state, 0.1)
    with pytest.raises(
        StructureError, match=r"b: the optimiser's state has shape \(4,\), expected \(3,\); cut it down"
    ):
        mp.Adam().update({"b": np.ones(3)}, {"b": np.ones(3)}, state, 0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mp.SGD(0), "SGD: lr is 0, expected a number above 0"),
        (lambda: mp.SGD(float("nan")), "SGD: lr is nan, expected a number above 0"),
        (lambda: mp.SGD(0.1, momentum=1), "SGD: momentum is 1, expected at least 0 and below 1"),
        (lambda: mp.SGD(0.1, nesterov=True), "SGD: momentum is 0.0, expected above 0 with nesterov=True"),
        (lambda: mp.SGD(0.1, weight_decay=-1), "SGD: weight_decay is -1, expected a number of at least 0"),
        (lambda: mp.Adam(-1), "Adam: lr is -1, expected a number above 0"),
        (lambda: mp.Adam(betas=(0.9, 1.0)), r"Adam: betas is \(0.9, 1.0\), expected two from 0 to below 1"),
        (lambda: mp.Adam(betas=(0.9,)), r"Adam: betas is \(0.9,\), expected two"),
        (lambda: mp.AdamW(epsilon=0), "AdamW: epsilon is 0, expected a number above 0"),
        (lambda: mp.AdamW(weight_decay=-0.1), "AdamW: weight_decay is -0.1, expected a number of at least 0"),
        (lambda: mp.Cosine(2), "Cosine: final is 2, expected a factor from 0 to 1"),
        (lambda: mp.Step(0), "Step: every is 0, expected at least 1 epoch"),
        (lambda: mp.Step(1, by=0), "Step: by is 0, expected a number above 0"),
        (lambda: mp.OneCycle(warmup=1), "OneCycle: warmup is 1, expected a fraction of at least 0 and below 1"),
        (lambda: mp.OneCycle(start=-1), "OneCycle: start is -1, expected a factor from 0 to 1"),
        (lambda: mp.OneCycle(final=3), "OneCycle: final is 3, expected a factor from 0 to 1"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(DataError, match=message):
        make()


def rates_of_pytorch(scheduler, optimizer, steps):
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_the_cosine_is_that_of_pytorch():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 2.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.5)
    expected = rates_of_pytorch(scheduler, optimizer, 20)
    np.testing.assert_allclose([2 * mp.Cosine(final=0.25).factor(s, 20, 5) for s in range(20)], expected, rtol=1e-12)


def test_the_staircase_goes_down_after_whole_epochs():
    factors = [mp.Step(every=2, by=0.5).factor(step, 15, 3) for step in range(15)]
    assert factors == [1.0] * 6 + [0.5] * 6 + [0.25] * 3


@given(steps=st.integers(1, 200), warmup=st.floats(0, 0.99))
def test_one_cycle_rises_to_its_peak_and_falls_from_there(steps, warmup):
    factors = [mp.OneCycle(warmup, start=0.1, final=0.01).factor(step, steps, 1) for step in range(steps)]
    peak = int(np.argmax(factors))
    assert all(np.diff(factors[: peak + 1]) > 0)
    assert all(np.diff(factors[peak:]) < 0)
    assert min(factors) >= 0.01 - 1e-12
    assert max(factors) <= 1
    assert factors[0] == pytest.approx(0.1 if warmup * steps > 0 else 1.0)


def test_clipping_shortens_all_gradients_together_to_pytorchs_length():
    grads = start()
    tensors = [torch.zeros(shape, requires_grad=True) for shape in SHAPES.values()]
    for tensor, g in zip(tensors, grads.values(), strict=True):
        tensor.grad = torch.tensor(g, dtype=torch.float32)
    length = float(torch.nn.utils.clip_grad_norm_(tensors, 0.5))
    short = clip(grads, 0.5)
    assert np.sqrt(sum((g * g).sum() for g in short.values())) == pytest.approx(0.5)
    assert short["W"] == pytest.approx(grads["W"] * 0.5 / length, rel=1e-5)
    assert tensors[0].grad.numpy() == pytest.approx(short["W"], rel=1e-4)


def test_gradients_that_are_short_enough_are_handed_on_as_they_are():
    grads = {"W": np.array([3.0]), "b": np.array([4.0]), "zero": np.zeros(2)}
    assert all(clip(grads, 5.0)[name] is grads[name] for name in grads)
    assert clip({"W": np.zeros(2)}, 1.0)["W"].tolist() == [0.0, 0.0]
