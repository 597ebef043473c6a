"""The truth: the cost of a removal, computed by updates, is what closing gates and running the whole network gives."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import EXAMPLES, inputs, networks

import minprune as mp
from minprune import worked
from minprune.errors import PlanError, StructureError
from minprune.neurons import hidden
from minprune.ops import LOSSES, Array
from minprune.recording import with_gates
from minprune.scores import Context, oracle
from minprune.scores.pairs import pair_costs
from minprune.scores.stacks import Stack
from minprune.tensor import apply

HALF = "half_squared_error"
GOLDEN = Path(__file__).parent / "golden"


def groups_of(net: mp.Graph) -> list[str]:
    """All that can be pruned, inputs included."""
    return [name for name, group in net.neurons.items() if not group.stays]


def plain_cost(net: mp.Graph, x: Any, t: Array, group: str, members: tuple[int, ...], loss: str = HALF) -> Any:
    """Close the gates of all members, run everything, and take the difference of the mean losses."""
    gated, gates = with_gates(net)
    closed = gated.copy()
    for read in net.neurons[group].reads:
        closed.buffers[f"{gates[read.value]}.m"][np.isin(read.owner, members)] = 0
    before, after = (apply(LOSSES[loss], made(x), t).sum() for made in (gated, closed))
    return (after - before) / len(t)


def check_all(net: mp.Graph, x: Any, t: Array) -> None:
    scores = mp.score(net, (x, t), "leave_one_out", loss=HALF, groups=groups_of(net), batch_size=2)
    for group, values in scores.items():
        for j, value in enumerate(values):
            expected = float(plain_cost(net, x, t, group, (j,)))
            assert value == pytest.approx(expected, rel=1e-10, abs=1e-10), f"{group}[{j}]"


def targets(net: mp.Graph, x: Any, seed: int = 3) -> Array:
    return np.random.default_rng(seed).standard_normal(net(x).shape)


@pytest.mark.parametrize("stacked", [1, 300, oracle.STACKED])
@pytest.mark.parametrize("name", [name for name in EXAMPLES if groups_of(EXAMPLES[name]())])
def test_updating_the_readers_gives_what_running_everything_gives(
    name: str, stacked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many neurons are stacked at a time: one, a few, or all."""
    monkeypatch.setattr(oracle, "STACKED", stacked)
    net = EXAMPLES[name]()
    x = inputs(net)
    x = x if len(x) > 1 else next(iter(x.values()))
    check_all(net, x, targets(net, x))


@settings(max_examples=60, deadline=None)
@given(networks(), st.integers(0, 9))
def test_random_networks_agree_too(net: mp.Graph, seed: int) -> None:
    (x,) = inputs(net, n=3, seed=seed).values()
    if groups_of(net):
        t = targets(net, x)
        scale = 1 + float(np.square(net(x)).max())  # rounding grows with the losses whose difference is taken
        scores = mp.score(net, (x, t), "leave_one_out", loss=HALF, groups=groups_of(net))
        for group, values in scores.items():
            expected = [plain_cost(net, x, t, group, (j,)) for j in range(len(values))]
            np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-10 * scale)


@settings(max_examples=40, deadline=None)
@given(networks(exact=True))
def test_in_rationals_the_outputs_are_the_same_to_the_last_digit(net: mp.Graph) -> None:
    (shape,) = (net.input_shapes or {}).values()
    x = mp.ops.exact(np.random.default_rng(1).integers(-3, 4, (2, *shape)))
    t = mp.ops.exact(np.ones(net(x).shape))
    gated, gates = with_gates(net)
    context = Context(net, (), x, t, HALF, 2, np.random.default_rng(0), False)
    batch = oracle.Batch.computed(context, x, t)
    for group in (net.neurons[name] for name in groups_of(net)):
        sets: list[Any] = [(j,) for j in range(group.size)] + [tuple(range(group.size))]
        stack = Stack([np.arange(len(x))] * len(sets))
        outputs = np.split(batch.output_without(group, sets, stack), len(sets))
        for members, output in zip(sets, outputs, strict=True):
            closed = gated.copy()
            for read in group.reads:
                closed.buffers[f"{gates[read.value]}.m"][np.isin(read.owner, members)] = 0
            assert (output == closed(x)).all(), f"{group.name}{members}"


def test_classes_are_judged_by_cross_entropy() -> None:
    net = EXAMPLES["cnn"]()
    (x,) = inputs(net).values()
    y = np.array([0, 1, 1, 0, 1])
    scores = mp.score(net, (x, y), "leave_one_out")
    for group, values in scores.items():
        expected = [plain_cost(net, x, y, group, (j,), "cross_entropy") for j in range(len(values))]
        np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-12)


def test_in_float32_the_truth_is_within_its_precision() -> None:
    net = EXAMPLES["nested"]()
    (x,) = inputs(net).values()
    t = targets(net, x)
    fine, coarse = (mp.score(n, (x, t), "leave_one_out", loss=HALF) for n in (net, net.astype(np.float32)))
    loss = mp.record(net, x, t, loss=HALF).loss
    for group in fine:
        np.testing.assert_allclose(coarse[group], fine[group], rtol=1e-4, atol=1e-5 * loss)


def test_a_neuron_that_is_zero_on_all_samples_costs_exactly_nothing() -> None:
    net = EXAMPLES["mlp"]().astype(np.float32)
    net.params["dense1.b"][1] = -1e3
    x = np.random.default_rng(0).standard_normal((500, 4))
    assert mp.score(net, (x, targets(net, x)), "leave_one_out")["dense1"][1] == 0


def test_memory_does_not_grow_with_the_number_of_neurons(monkeypatch: pytest.MonkeyPatch) -> None:
    net = mp.Sequential(mp.Dense(2, 50), mp.ReLU(), mp.Dense(50, 4), mp.ReLU(), mp.Dense(4, 2))
    x = np.random.default_rng(0).random((10, 2))
    seen = []
    plain = oracle.Batch.output_without
    monkeypatch.setattr(oracle, "STACKED", 10 * (4 + 4 + 2) * 7)
    monkeypatch.setattr(oracle.Batch, "output_without", lambda *args: seen.append(plain(*args)) or seen[-1])
    mp.score(net, (x, targets(net, x)), "leave_one_out", groups=["dense1"])
    assert 6 * 10 < max(len(output) for output in seen) <= 7 * 10


# --- pairs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("output", "file"), [("sigmoid", "worked_example"), ("linear", "worked_example_linear")])
def test_the_ten_pairs_of_the_worked_example(output: str, file: str) -> None:
    golden = json.loads((GOLDEN / f"{file}.json").read_text())
    costs = pair_costs(worked.network(output), (worked.X, worked.TARGET), "dense1", loss=worked.LOSS)
    for i, j in combinations(range(5), 2):
        assert costs[i, j] == costs[j, i] == pytest.approx(golden["ablation_pair"][f"{i},{j}"], abs=1e-12)
    truth = mp.score(worked.network(output), (worked.X, worked.TARGET), "leave_one_out", loss=worked.LOSS)
    np.testing.assert_array_equal(np.diag(costs), truth["dense1"])


@pytest.mark.parametrize("name", ["cnn", "grouped", "depthwise with multiplier 2", "added and read", "concat, flatten"])
def test_a_pair_costs_what_closing_both_gates_costs(name: str) -> None:
    net = EXAMPLES[name]()
    (x,) = inputs(net).values()
    t = targets(net, x)
    for group in hidden(net):
        chosen = list(range(net.neurons[group].size))[::-1][:3]
        costs = pair_costs(net, (x, t), group, chosen, loss=HALF)
        for a, b in combinations(range(len(chosen)), 2):
            expected = plain_cost(net, x, t, group, (chosen[a], chosen[b]))
            assert costs[a, b] == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_two_copies_of_a_neuron_cost_more_together_than_the_sum() -> None:
    net = mp.Sequential(mp.Dense(1, 2), mp.ReLU(), mp.Dense(2, 1), dtype=np.float64)
    net.params["dense1.W"], net.params["dense2.W"] = [[1], [1]], [[1, 1]]
    costs = pair_costs(net, ([[1.0]], [[2.0]]), "dense1", loss=HALF)
    np.testing.assert_allclose(costs, [[0.5, 2], [2, 0.5]])


def test_pairs_refuse_what_cannot_be_removed() -> None:
    net = EXAMPLES["mlp"]()
    (x,) = inputs(net).values()
    data = (x, targets(net, x))
    with pytest.raises(PlanError, match="dense3: output; its neurons are never removed, so there are no costs"):
        pair_costs(net, data, "dense3")
    with pytest.raises(PlanError, match=r"dense1: a neuron is named twice in \[1, 1\]; expected each once"):
        pair_costs(net, data, "dense1", [1, 1])
    with pytest.raises(StructureError, match="dense1: no neuron 9; expected 0 to 4"):
        pair_costs(net, data, "dense1", [0, 9])
