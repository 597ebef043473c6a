"""Penalties: the proximal step against its definition, and neurons that training drives to exactly nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES

import minprune as mp
from minprune.errors import DataError, StructureError
from minprune.neurons import hidden
from minprune.penalties import BatchNormL1, GroupLasso


def entries(net: mp.Graph, group: str, j: int) -> Any:
    """All that makes a neuron, gathered entry by entry."""
    found: list[float] = []
    for piece in net.neurons[group].produced:
        for position in range(len(piece.owner)):
            if piece.owner[position] == j:
                found += np.take(net.params[piece.array], position, axis=piece.axis).ravel().tolist()
    return np.array(found)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if hidden(EXAMPLES[name]())])
@pytest.mark.parametrize("weight", [0.1, 0.7])
def test_the_group_lassos_step_minimises_what_it_says_in_every_wiring(name: str, weight: float) -> None:
    """½‖u − θ‖² + c‖u‖ is least where u − θ + c u/‖u‖ = 0, and at u = 0 where ‖θ‖ ≤ c."""
    net, after = EXAMPLES[name](), EXAMPLES[name]()
    GroupLasso(weight).shrink(after, lr=0.8)
    for group in hidden(net):
        for j in range(net.neurons[group].size):
            theta, u = entries(net, group, j), entries(after, group, j)
            cut = 0.8 * weight * np.sqrt(len(theta))
            if np.linalg.norm(theta) <= cut:
                assert not u.any()
            else:
                np.testing.assert_allclose(u - theta + cut * u / np.linalg.norm(u), 0, atol=1e-12)


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual", "tied to the output"])
def test_the_group_lasso_leaves_alone_what_makes_no_hidden_neuron(name: str) -> None:
    net, after = EXAMPLES[name](), EXAMPLES[name]()
    GroupLasso(0.5).shrink(after, lr=1.0)
    made = {piece.array for group in hidden(net) for piece in net.neurons[group].produced}
    assert made < set(net.params)
    for key, array in net.arrays.items():
        assert np.array_equal(array, after.arrays[key]) == (key not in made), key


def test_some_neurons_come_to_nothing_in_training_and_leave_without_any_change() -> None:
    digits = mp.data.digits()
    net, plain = (mp.Sequential(mp.Dense(64, 40), mp.ReLU(), mp.Dense(40, 10), rng=0) for _ in range(2))
    how: dict[str, Any] = {
        "optimizer": mp.SGD(0.1, 0.9),
        "epochs": 15,
        "batch_size": 64,
        "keep": "last",
        "progress": False,
    }
    mp.fit(net, digits, penalty=GroupLasso(1e-2), **how)
    mp.fit(plain, digits, **how)
    empty = [j for j in range(40) if not entries(net, "dense1", j).any()]
    assert 3 <= len(empty) <= 36
    assert not any(not entries(plain, "dense1", j).any() for j in range(40))
    res = mp.prune(net, digits, "magnitude_l2", mp.Threshold(absolute=1e-12), progress=False)
    assert res.plan.drop == {"dense1": empty}
    x = digits.valid.x
    np.testing.assert_allclose(res.net(x), net(x), atol=1e-5)
    assert res.after.accuracy is not None
    assert res.after.accuracy > 0.9


def test_the_step_is_as_long_as_the_learning_rate_of_the_moment() -> None:
    rates: list[float] = []

    class Recorder:
        def check(self, net: mp.Graph) -> None:
            rates.append(0.0)

        def shrink(self, net: mp.Graph, lr: float) -> None:
            rates.append(lr)

    net = mp.Sequential(mp.Dense(2, 2))
    data = (np.eye(2), np.array([0, 1]))
    mp.fit(net, data, optimizer=mp.SGD(0.5), epochs=3, schedule=mp.Step(1), penalty=Recorder(), progress=False)
    assert rates == pytest.approx([0, 0.5, 0.05, 0.005])


def test_the_scales_of_batch_norms_shrink_by_the_same_amount_and_stop_at_nothing() -> None:
    net, after = EXAMPLES["nested"](), EXAMPLES["nested"]()
    BatchNormL1(0.5).shrink(after, lr=0.6)
    for key, array in net.params.items():
        if not key.endswith(".gamma"):
            assert np.array_equal(array, after.params[key])
            continue
        for before, now in zip(array.tolist(), after.params[key].tolist(), strict=True):
            expected = before - 0.3 if before > 0.3 else before + 0.3 if before < -0.3 else 0.0
            assert now == pytest.approx(expected, abs=1e-15)


def test_channels_whose_scale_came_to_nothing_leave_by_a_mean_repair_almost_without_a_change() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 8)).astype(np.float32)
    data = (x, (x[:, 0] * x[:, 1] > 0).astype(int))
    net = mp.Sequential(mp.Dense(8, 30), mp.BatchNorm(30), mp.ReLU(), mp.Dense(30, 2), rng=0)
    mp.fit(net, data, optimizer=mp.SGD(0.5), epochs=60, batch_size=50, penalty=BatchNormL1(0.01), progress=False)
    zero = np.flatnonzero(net.params["batchnorm1.gamma"] == 0)
    assert 3 <= len(zero) <= 27
    res = mp.prune(net, data, "bn_scale", mp.Threshold(absolute=1e-12), repair="mean", progress=False)
    assert res.plan.drop == {"dense1": zero.tolist()}
    np.testing.assert_allclose(res.net(x), net(x), atol=1e-5)


@pytest.mark.parametrize("penalty", [GroupLasso, BatchNormL1])
@pytest.mark.parametrize("weight", [0, -1.0, np.inf, np.nan])
def test_a_weight_that_makes_no_sense_is_refused(penalty: Any, weight: float) -> None:
    with pytest.raises(DataError, match=f"{penalty.__name__}: weight is .*, expected a number above 0"):
        penalty(weight)


def test_networks_without_anything_to_penalise_are_refused() -> None:
    net, data = mp.Sequential(mp.Dense(2, 2)), (np.eye(2), np.array([0, 1]))
    with pytest.raises(StructureError, match="GroupLasso: the network has no hidden neurons to penalise"):
        mp.fit(net, data, penalty=GroupLasso(1.0))
    with pytest.raises(StructureError, match="BatchNormL1: the network has no batch-norm to penalise"):
        mp.fit(net, data, penalty=BatchNormL1(1.0))
    for wrong in (0.1, GroupLasso):
        with pytest.raises(DataError, match=r"fit: penalty is .*, expected an instance such as GroupLasso\(1e-4\)"):
            mp.fit(net, data, penalty=wrong)  # type: ignore[arg-type]
