"""Budgets: met by the network that is made, with no neuron more than that takes; in rounds as at once."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, log2
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import EXAMPLES, samples

import minprune as mp
from minprune.errors import DataError, PlanError
from minprune.neurons import hidden
from minprune.nn import Graph
from minprune.pruning import budget
from minprune.pruning.budget import Budget, anchored, time_ratio
from minprune.scores import Scores
from minprune.timing import Ratio

INF = float("inf")
COUNTED = ("params", "macs", "bytes")


def mlp(*sizes: int) -> Graph:
    layers = [part for pair in pairwise(sizes) for part in (mp.Dense(*pair), mp.ReLU())]
    return mp.Sequential(*layers[:-1])


def scored(net: Graph, **groups: Any) -> Scores:
    return Scores("by hand", {name: np.array(values, dtype=float) for name, values in groups.items()}, net=net)


def drawn(net: Graph, seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    return scored(net, **{group: rng.random(net.neurons[group].size) for group in hidden(net)})


def judged(net: Graph) -> dict[str, int]:
    found = mp.evaluate(net, samples(net), runtime=(), progress=False)
    return {"params": found.params, "macs": found.macs, "bytes": found.bytes_memory}


# --- counted ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.9, 0.7, 0.5, 0.35])
@pytest.mark.parametrize("kind", COUNTED)
@pytest.mark.parametrize("name", ["mlp", "cnn", "nested", "residual", "depthwise with multiplier 2", "concat, flatten"])
def test_the_network_that_is_made_fits_and_with_one_neuron_more_it_would_not(
    name: str, kind: str, fraction: float
) -> None:
    net = EXAMPLES[name]()
    scores = drawn(net)
    dense = judged(net)[kind]
    try:
        plan = mp.decide(scores, Budget(**{kind: fraction}))
    except PlanError:
        least = mp.decide(scores, mp.Global(max_count(scores)))
        assert judged(mp.remove(net, least))[kind] > fraction * dense
        return
    assert judged(mp.remove(net, plan))[kind] <= fraction * dense
    if len(plan):
        fewer = mp.decide(scores, mp.Global(len(plan) - 1))
        assert judged(mp.remove(net, fewer))[kind] > fraction * dense


def max_count(scores: Scores) -> int:
    """How many may go at most."""
    for count in range(sum(map(len, scores.values())), 0, -1):
        try:
            mp.decide(scores, mp.Global(count))
        except PlanError:
            continue
        return count
    return 0


def test_neurons_are_those_of_the_scored_groups() -> None:
    net = mlp(3, 10, 10, 2)
    scores = scored(net, dense1=np.arange(10), dense2=np.arange(10) + 5)
    assert len(mp.decide(scores, Budget(neurons=0.5))) == 10
    assert len(mp.decide(scores, Budget(neurons=0.71))) == 6  # 14.2 may stay
    assert len(mp.decide(scores, Budget(neurons=1.0))) == 0
    by_hand = Scores("by hand", {"a": np.arange(100.0)})
    assert len(mp.decide(by_hand, Budget(neurons=0.29))) == 71  # 0.29 · 100 is a little less than 29


@given(st.integers(1, 200), st.integers(1, 200))
def test_a_fraction_keeps_the_floor_of_itself_times_the_total(kept: int, total: int) -> None:
    kept = min(kept, total)
    plan = mp.decide(Scores("by hand", {"a": np.arange(float(total))}), Budget(neurons=kept / total))
    assert len(plan) == total - kept


def test_the_lowest_go_first_and_at_a_tie_the_earlier_group_and_the_lower_index() -> None:
    net = mlp(4, 4, 4, 4)
    tied = scored(net, dense1=[1, 0, 1, 1], dense2=[1, 1, 0, 1])
    assert mp.decide(tied, Budget(neurons=5 / 8)).drop == {"dense1": [0, 1], "dense2": [2]}


def test_an_infinite_score_and_the_last_of_a_group_stay_and_the_next_goes_instead() -> None:
    net = mlp(4, 4, 4, 4)
    scores = scored(net, dense1=[0, INF, INF, INF], dense2=[9, 6, 7, 8])
    assert mp.decide(scores, Budget(neurons=5 / 8)).drop == {"dense1": [0], "dense2": [1, 2]}
    low = scored(net, dense1=[0, 1, 2, 3], dense2=[9, 6, 7, 8])
    assert mp.decide(low, Budget(neurons=0.5)).drop == {"dense1": [0, 1, 2], "dense2": [1]}
    assert mp.decide(low, Budget(neurons=0.5, at_least=2)).drop == {"dense1": [0, 1], "dense2": [1, 2]}


def test_normalisation_ranks_as_in_global() -> None:
    net = mlp(4, 6, 6, 4)
    for how in ("rank", "mac", "max"):
        plan = mp.decide(drawn(net), Budget(macs=0.6, normalise=how))
        assert plan.drop == mp.decide(drawn(net), mp.Global(len(plan), normalise=how)).drop


def test_bytes_count_the_select_that_pruned_inputs_leave() -> None:
    """The first feature to go brings eight bytes for each of the others: the sizes do not fall all the way."""
    net = mlp(20, 3, 2)
    scores = scored(net, input=np.arange(20))
    plan = mp.decide(scores, Budget(bytes=0.99))
    assert judged(mp.remove(net, plan))["bytes"] <= 0.99 * judged(net)["bytes"]
    fewer = mp.Plan({"input": plan.drop["input"][:-1]})
    assert judged(mp.remove(net, fewer))["bytes"] > 0.99 * judged(net)["bytes"]
    assert len(plan) > 1


@pytest.mark.parametrize("kind", COUNTED)
def test_a_budget_that_cannot_be_met_says_what_is_left(kind: str) -> None:
    with pytest.raises(
        PlanError, match=r"Budget: at most [\d,]+ .* may stay, but [\d,]+ are left when all that may go"
    ):
        mp.decide(drawn(mlp(4, 4, 4)), Budget(**{kind: 0.1}))
    with pytest.raises(PlanError, match=r"at most 2 neurons may stay, but 3 are left .*\(3 of each group and all with"):
        mp.decide(drawn(mlp(4, 4, 4)), Budget(neurons=0.5, at_least=3))


def test_all_but_neurons_need_to_know_the_network() -> None:
    for kind in (*COUNTED, "runtime"):
        with pytest.raises(PlanError, match=rf"Budget\({kind}=0.5\) needs the network, which these scores do not know"):
            mp.decide(Scores("by hand", {"a": np.arange(4.0)}), Budget(**{kind: 0.5}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give exactly one of neurons, params, macs, bytes, runtime; got none"),
        ({"params": 0.5, "macs": 0.5}, "give exactly one of .*; got params, macs"),
        ({"params": 0}, "params is 0, expected the fraction to keep, above 0 and up to 1"),
        ({"macs": 1.5}, "macs is 1.5, expected"),
        ({"bytes": float("nan")}, "bytes is nan, expected"),
        ({"runtime": True}, "runtime is True, expected"),
        ({"neurons": "half"}, "neurons is 'half', expected"),
    ],
)
def test_a_budget_is_one_fraction(given: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Budget(**given)


def test_a_budgets_batch_is_a_whole_number() -> None:
    with pytest.raises(DataError, match="batch: expected whole numbers of at least 1, got 0"):
        Budget(runtime=0.5, batch=0)


def test_an_unknown_normalisation_is_refused() -> None:
    with pytest.raises(PlanError, match="unknown normalisation 'sum'"):
        mp.decide(drawn(mlp(4, 4, 4)), Budget(macs=0.9, normalise="sum"))


def test_a_budget_is_written_short() -> None:
    assert repr(Budget(macs=0.5)) == "Budget(macs=0.5)"
    assert repr(Budget(runtime=0.5, batch=32, normalise="l2")) == "Budget(runtime=0.5, normalise='l2', batch=32)"


def test_the_plan_says_what_is_kept() -> None:
    plan = mp.decide(drawn(mlp(64, 32, 10)), Budget(params=0.5))
    assert plan.reason == "by hand, Budget(params=0.5); keeps 1,135 of 2,410 parameters (0.471)"
    assert plan.sizes["params"] == (2410, 1135)


# --- rounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", [*COUNTED, "neurons"])
def test_in_any_number_of_rounds_the_budget_is_of_the_dense_network(kind: str, rounds: int) -> None:
    net = EXAMPLES["nested"]() if kind == "macs" else mlp(6, 12, 9, 3)
    res = mp.prune(net, samples(net), "magnitude_l2", Budget(**{kind: 0.6}), rounds=rounds, progress=False)
    if kind == "neurons":
        assert sum(map(len, res.kept.values())) == int(0.6 * 21)
        return
    dense = judged(net)[kind]
    assert judged(res.net)[kind] <= 0.6 * dense
    for number, step in enumerate(res.history, 1):
        after = step.plan.sizes[kind][1]
        share = 1 - 0.4 * number / rounds
        assert after <= share * dense
        assert f"{after:,} of {dense:,} " in step.plan.reason


def test_parts_keep_what_they_are_fractions_of() -> None:
    net = mlp(4, 4, 4)
    whole = anchored(Budget(macs=0.2, normalise="l2", at_least=2), net, progress=False)
    half = whole.part(0.5, {}, {})
    assert half == Budget(macs=0.6, normalise="l2", at_least=2)
    assert isinstance(half, Budget)
    assert half.dense is net
    assert not half.progress
    assert whole.part(1.0, {}, {}) == whole
    assert anchored(whole, mlp(3, 3, 3)) is whole
    assert anchored(mp.Global(0.5), net) == mp.Global(0.5)


# --- measured --------------------------------------------------------------------------------------------------------


@pytest.fixture
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A clock that says how many parameters there are; what it was asked for."""
    asked: list[int] = []

    def ratio(small: Graph, dense: Graph, batch: int, seconds: float) -> Ratio:
        sizes = [sum(array.size for array in net.params.values()) for net in (small, dense)]
        asked.append(sizes[0])
        found = sizes[0] / sizes[1]
        return Ratio(found, 0.9 * found, 1.1 * found, 9, batch)

    monkeypatch.setattr(budget, "time_ratio", ratio)
    return asked


@pytest.mark.parametrize("fraction", [1.0, 0.9, 0.5, 0.25])
def test_a_runtime_is_met_by_bisection_with_the_fewest_neurons_gone(stopwatch: list[int], fraction: float) -> None:
    net = mlp(8, 60, 40, 4)
    plan = mp.decide(drawn(net), Budget(runtime=fraction, batch=7))
    assert plan.drop == mp.decide(drawn(net), Budget(params=fraction)).drop
    assert len(stopwatch) <= ceil(log2(101)) + 2
    kept = plan.sizes["params"][1] / plan.sizes["params"][0]
    interval = f"{kept:.3g} ({0.9 * kept:.3g}–{1.1 * kept:.3g})"
    assert (
        plan.reason == f"by hand, Budget(runtime={fraction:g}, batch=7); measured at batch 7: {interval} of the dense "
        "network's time"
    )


def test_the_number_of_measurements_is_bounded(stopwatch: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MEASUREMENTS", 5)
    net = mlp(2, 200, 2)
    plan = mp.decide(drawn(net), Budget(runtime=0.5))
    assert len(stopwatch) == 5 + 1  # once more for the reason
    fits = len(mp.decide(drawn(net), Budget(params=0.5)))
    assert 0 <= len(plan) - fits <= ceil(200 / 2**4)


def test_a_runtime_in_rounds_is_measured_against_the_dense_network(stopwatch: list[int]) -> None:
    net = mlp(8, 30, 20, 4)
    res = mp.prune(net, samples(net), "magnitude_l2", Budget(runtime=0.5), rounds=3, progress=False)
    sizes = [step.plan.sizes["params"][1] / sum(a.size for a in net.params.values()) for step in res.history]
    assert [size <= 1 - 0.5 * n / 3 for n, size in enumerate(sizes, 1)] == [True] * 3
    assert sizes[-1] > 0.4


def test_a_runtime_that_cannot_be_had_says_what_was_measured(stopwatch: list[int]) -> None:
    with pytest.raises(
        PlanError, match=r"at most 0.01 of the runtime may stay, but 0.\d+ was measured when all that may"
    ):
        mp.decide(drawn(mlp(8, 8, 8)), Budget(runtime=0.01))


def test_a_time_ratio_tells_a_small_network_from_a_large_one() -> None:
    large, small = mlp(64, 1024, 64), mlp(64, 8, 64)
    found = time_ratio(small, large, batch=256, seconds=0.02)
    assert found.low <= found.median <= found.high
    assert found.median < 0.7


def test_a_real_clock_finds_a_network_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "SECONDS", 0.01)
    net = mlp(128, 1024, 128)
    plan = mp.decide(drawn(net), Budget(runtime=0.5, batch=128, progress=False))
    assert "measured at batch 128: " in plan.reason
    assert 0 < len(plan) < 1024


def test_two_inputs_are_timed_too() -> None:
    net = EXAMPLES["two inputs"]()
    assert time_ratio(net, net, batch=2, seconds=0.01).pairs >= 9
