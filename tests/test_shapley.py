"""Shapley values: exact ones beside all orders in rationals, drawn ones within their error bars of the exact ones."""

from fractions import Fraction
from itertools import combinations, permutations
from math import factorial
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, samples

import minprune as mp
from minprune.errors import DataError, PlanError, StructureError
from minprune.neurons import hidden
from minprune.ops import LOSSES, Array, exact
from minprune.recording import with_gates
from minprune.scores import Context, oracle
from minprune.scores.shapley import average_gains, shapley_values
from minprune.tensor import apply

HALF = "half_squared_error"


def losses_without(net: mp.Graph, x: Any, t: Array, group: str) -> dict[frozenset[int], Any]:
    """The mean loss without every set of a group's neurons, by closing their gates and running everything."""
    gated, gates = with_gates(net)
    found = net.neurons[group]
    table = {}
    for size in range(found.size + 1):
        for gone in combinations(range(found.size), size):
            closed = gated.copy()
            for read in found.reads:
                closed.buffers[f"{gates[read.value]}.m"][np.isin(read.owner, gone)] = 0
            table[frozenset(gone)] = sum(apply(LOSSES[HALF], closed(x), t).tolist()) / len(t)
    return table


def over_all_orders(table: dict[frozenset[int], Any], n: int) -> list[Any]:
    """What every neuron saves on arrival, averaged over all n! orders."""
    worth = [0 * table[frozenset()]] * n
    for order in permutations(range(n)):
        for place, j in enumerate(order):
            absent = frozenset(order[place:])
            worth[j] += table[absent] - table[absent - {j}]
    return [value / factorial(n) for value in worth]


def test_in_rationals_it_is_the_average_over_all_orders_exactly() -> None:
    net = mp.Sequential(mp.Dense(2, 4), mp.ReLU(), mp.Dense(4, 2), dtype=np.float64)
    rng = np.random.default_rng(0)
    for name, array in net.params.items():
        net.params[name] = rng.integers(-3, 4, array.shape)
    x, t = rng.integers(-3, 4, (3, 2)), rng.integers(-3, 4, (3, 2))
    table = losses_without(net.astype(Fraction), exact(x), exact(t), "dense1")
    expected = over_all_orders(table, 4)
    costs = [table[frozenset(j for j in range(4) if gone >> j & 1)] - table[frozenset()] for gone in range(16)]
    found = average_gains(np.array(costs, dtype=object))
    assert found.tolist() == expected
    assert all(isinstance(value, Fraction) for value in found)
    assert len({*expected}) == 4
    assert sum(expected) == table[frozenset(range(4))] - table[frozenset()]
    values, error = shapley_values(net, (x.astype(float), t.astype(float)), "dense1", loss=HALF)
    np.testing.assert_allclose(values, [float(value) for value in expected], rtol=1e-12)
    assert error.tolist() == [0] * 4


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual", "depthwise", "read in two places"])
def test_exact_values_are_those_of_closed_gates_in_all_orders(name: str) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net, n=3)
    for group in hidden(net):
        n = net.neurons[group].size
        expected = over_all_orders(losses_without(net, x, t, group), n)
        values, _ = shapley_values(net, (x, t), group, loss=HALF, batch_size=2)
        np.testing.assert_allclose(values, expected, rtol=1e-8, atol=1e-9)


def wide(size: int = 12) -> tuple[mp.Graph, tuple[Array, Array]]:
    net = mp.Sequential(mp.Dense(3, size), mp.Tanh(), mp.Dense(size, 3), mp.ReLU(), mp.Dense(3, 2), dtype=np.float64)
    rng = np.random.default_rng(5)
    for name, array in net.params.items():
        net.params[name] = rng.standard_normal(array.shape)
    return net, (rng.standard_normal((20, 3)), rng.standard_normal((20, 2)))


def test_drawn_values_lie_within_their_error_bars_of_the_exact_ones() -> None:
    """Of 9 neurons and 40 draws of 50 orders, 95 % should be within 2.0 standard errors; and none is far away."""
    net, data = wide(9)
    truth, _ = shapley_values(net, data, "dense1", loss=HALF)
    rng = np.random.default_rng(0)
    away = []
    for _ in range(40):
        values, error = shapley_values(net, data, "dense1", samples=50, loss=HALF, rng=rng)
        assert (error > 0).all()
        away.append((values - truth) / error)
    within = (np.abs(away) < 2).mean()
    assert 0.91 < within < 0.98
    assert np.abs(away).max() < 5
    assert np.abs(np.mean(away)) < 0.1


def test_whatever_is_drawn_adds_up_to_what_the_group_is_worth() -> None:
    net, data = wide()
    table_end = mp.record(net, *data, loss=HALF).loss
    without = net.copy()
    without.params["dense2.W"] = np.zeros((3, 12))
    worth = mp.record(without, *data, loss=HALF).loss - table_end
    for samples_drawn in (None, 1, 7):
        values, _ = shapley_values(net, data, "dense1", samples_drawn, loss=HALF)
        assert values.sum() == pytest.approx(worth, rel=1e-10)


def test_twins_are_paid_alike_and_a_neuron_that_does_nothing_is_paid_nothing() -> None:
    net, data = wide(5)
    net.params["dense1.W"][3], net.params["dense1.b"][3] = net.params["dense1.W"][1], net.params["dense1.b"][1]
    net.params["dense2.W"][:, 3] = net.params["dense2.W"][:, 1]
    net.params["dense2.W"][:, 2] = 0
    values, _ = shapley_values(net, data, "dense1", loss=HALF)
    assert values[1] == pytest.approx(values[3], rel=1e-12)
    assert values[2] == pytest.approx(0, abs=1e-12)


def test_twins_that_can_stand_in_for_each_other_share_where_leaving_one_out_says_nothing() -> None:
    """y = ReLU(1 − a₁ − a₂) with a = (1, 1), t = 0. Without either the loss stays 0, without both it is ½."""
    net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), mp.ReLU(), dtype=np.float64)
    net.params["dense1.W"], net.params["dense2.W"], net.params["dense2.b"] = [[1], [1]], [[-1, -1]], [1]
    data = ([[1.0]], [[0.0]])
    assert mp.score(net, data, "leave_one_out", loss=HALF)["dense1"].tolist() == [0, 0]
    assert mp.score(net, data, "shapley", loss=HALF)["dense1"].tolist() == [0.25, 0.25]


def test_the_criterion_counts_out_what_is_no_dearer_than_drawing() -> None:
    net, data = wide(5)
    truth, _ = shapley_values(net, data, "dense1", loss=HALF)
    for rng in (0, 1):  # 2⁵ sets are less than 5 · 10
        np.testing.assert_array_equal(mp.score(net, data, "shapley", loss=HALF, rng=rng)["dense1"], truth)
    drawn = [mp.score(net, data, "shapley", loss=HALF, rng=rng, samples=3)["dense1"] for rng in (0, 0, 1)]
    assert drawn[0].tolist() == drawn[1].tolist() != drawn[2].tolist()


def test_the_criterion_draws_as_the_function_does() -> None:
    net, data = wide()
    values, _ = shapley_values(net, data, "dense1", samples=10, loss=HALF, rng=3)
    np.testing.assert_array_equal(mp.score(net, data, "shapley", loss=HALF, rng=3, groups=["dense1"])["dense1"], values)


def test_more_than_twelve_neurons_are_drawn_by_default_with_an_error() -> None:
    net, data = wide(13)
    _, error = shapley_values(net, (data[0][:2], data[1][:2]), "dense1", loss=HALF)
    assert (error > 0).all()
    few, many = (shapley_values(net, data, "dense1", samples=n, loss=HALF)[1] for n in (10, 160))
    assert 0.15 < np.median(many / few) < 0.4  # a quarter: 1/√16


def test_a_single_order_has_no_error_to_tell() -> None:
    net, data = wide()
    values, error = shapley_values(net, data, "dense1", samples=1, loss=HALF)
    assert np.isfinite(values).all()
    assert np.isnan(error).all()


@pytest.mark.parametrize("stacked", [1, 200, oracle.STACKED])
def test_sets_that_grow_by_one_cost_what_closed_gates_cost(stacked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The readers are updated by the newcomer only; however many sets are stacked at a time."""
    monkeypatch.setattr(oracle, "STACKED", stacked)
    for name in ("cnn", "depthwise with multiplier 2", "added and read", "grouped"):
        net = EXAMPLES[name]()
        x, t = samples(net, n=3)
        for group in hidden(net):
            found = net.neurons[group]
            context = Context(net, (found,), x, t, HALF, 2, np.random.default_rng(0), False)
            order = np.random.default_rng(1).permutation(found.size).tolist()
            sets: list[Any] = [order[:k] for k in range(found.size + 1)] + [order[::-1][:2], order[:1]]
            costs = oracle.removal_costs(context, {group: sets})[group]
            table = losses_without(net, x, t, group)
            expected = [table[frozenset(members)] - table[frozenset()] for members in sets]
            np.testing.assert_allclose(costs, expected, rtol=1e-9, atol=1e-9, err_msg=f"{name} {group}")


def test_what_has_no_shapley_value_is_refused_by_name() -> None:
    net, data = wide()
    with pytest.raises(PlanError, match="dense3: output; its neurons are never removed, so they have no Shapley value"):
        shapley_values(net, data, "dense3")
    with pytest.raises(StructureError, match="no group is called 'dense9'"):
        shapley_values(net, data, "dense9")
    for count in (0, 2.5):
        with pytest.raises(DataError, match=f"shapley: samples is {count}, expected a whole number of at least 1"):
            shapley_values(net, data, "dense1", samples=count)  # type: ignore[arg-type]
        with pytest.raises(DataError, match=f"shapley: samples is {count}, expected a whole number of at least 1"):
            mp.score(net, data, "shapley", samples=count)
