"""Strategies: which neurons they choose, what they refuse, and that parts add up to the whole."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from networks import EXAMPLES

import minprune as mp
from minprune.errors import PlanError, StructureError
from minprune.pruning.deciding import Strategy, Threshold
from minprune.pruning.ranking import NORMALISATIONS, comparable, removal_order
from minprune.scores import Scores

INF = float("inf")
ALONE = [how for how in NORMALISATIONS if how != "mac"]  # those that need to know nothing but the scores


def scores(**groups: Any) -> Scores:
    return Scores("by hand", {name: np.array(values, dtype=float) for name, values in groups.items()})


def drop(strategy: Strategy, **groups: Any) -> dict[str, list[int]]:
    return mp.decide(scores(**groups), strategy).drop


# --- amounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fraction", "n", "count"),
    [
        (0.5, 5, 2),
        (0.29, 100, 29),
        (0.57, 100, 57),
        (0.99, 10, 9),
        (0.1, 9, 0),
        (0.0, 4, 0),
        (0.7, 10, 7),
        (0.3, 10, 3),
    ],
)
def test_a_fraction_removes_the_floor_of_itself_times_n(fraction: float, n: int, count: int) -> None:
    values = np.random.default_rng(0).permutation(n)
    for strategy in (mp.Global(fraction), mp.PerLayer(fraction)):
        assert len(mp.decide(scores(a=values), strategy)) == count
    assert drop(mp.Global(fraction), a=values).get("a", []) == sorted(np.argsort(values)[:count].tolist())


@pytest.mark.parametrize("amount", [-0.1, -1, True, np.True_, "half", None, float("nan")])
def test_what_is_no_fraction_and_no_count_is_refused(amount: Any) -> None:
    for name, make in {"Global": mp.Global, "PerLayer": mp.PerLayer, "a": lambda it: mp.PerLayer({"a": it})}.items():
        with pytest.raises(PlanError, match=rf"{name}: .* is neither a fraction from 0 to 1 nor a count"):
            make(amount)


def test_a_fraction_above_one_is_refused_before_there_are_scores() -> None:
    for make in (lambda: mp.Global(1.5), lambda: mp.PerLayer(1.5), lambda: mp.PerLayer({"a": np.float32(1.5)})):
        with pytest.raises(PlanError, match=r"the fraction removed is 1\.5, expected at most 1"):
            make()


def test_too_many_are_refused_with_what_to_do() -> None:
    with pytest.raises(PlanError, match=r"2 more neurons were to go, .*; take less \(at most 3 can go\)"):
        mp.decide(scores(a=[1, 2, 3], b=[4, 5]), mp.Global(1.0))
    with pytest.raises(PlanError, match="a: 3 of 3 neurons were to go, but 1 must stay; take less"):
        mp.decide(scores(a=[1, 2, 3]), mp.PerLayer(1.0))
    with pytest.raises(PlanError, match="a: 1 neurons were to go, but only 0 can: others have a score of"):
        mp.decide(scores(a=[INF, INF]), mp.PerLayer(1))


def test_the_last_neuron_of_one_of_several_layers_that_make_a_group_stays_and_the_next_goes_instead() -> None:
    net = EXAMPLES["tied across concat"]()  # a makes neurons 0 and 1, b the rest
    made = Scores("by hand", {"a": np.arange(1.0, net.neurons["a"].size + 1)}, net=net)
    for strategy in (mp.PerLayer(2), mp.Global(2)):
        plan = mp.decide(made, strategy)
        assert plan.drop == {"a": [0, 2]}
        assert mp.remove(net, plan).certificate.ok
        assert "1 held back by the floor" in str(plan.evidence["a"])
    with pytest.raises(PlanError, match=rf"a: {made['a'].size - 1} neurons were to go, but only .* the last of their"):
        mp.decide(made, mp.PerLayer(made["a"].size - 1))


def test_an_output_that_is_to_lose_neurons_is_called_one() -> None:
    net = EXAMPLES["mlp"]()
    found = mp.score(net, criterion="magnitude_l1")
    output = net.output
    with pytest.raises(PlanError, match=rf"{output}: output; its neurons are never removed; name {', '.join(found)}"):
        mp.decide(found, mp.PerLayer({output: 0.3}))


def test_a_threshold_tells_how_many_scores_are_equal_to_it_and_stay() -> None:
    plan = mp.decide(scores(a=[0, 0, 0, 3], b=[1, 2]), mp.Threshold(quantile=0.3))
    assert plan.drop == {}
    assert plan.reason.endswith("; 0 scores lie below 0, 3 are equal to it and stay")
    plan = mp.decide(scores(a=[0, 0, 0, 3], b=[1, 2]), mp.Threshold(absolute=1.5))
    assert plan.reason.endswith("; 4 scores lie below 1.5, 0 are equal to it and stay")


def test_counts_may_be_numpy_integers() -> None:
    assert drop(mp.Global(np.int64(1)), a=[2, 1]) == {"a": [1]}
    assert drop(mp.PerLayer({"a": np.int32(1)}), a=[2, 1]) == {"a": [1]}


def test_nothing_can_be_decided_without_scores() -> None:
    for strategy in (mp.Global(0.5), mp.PerLayer(0.5), mp.Threshold(quantile=0.5)):
        with pytest.raises(PlanError, match="nothing to decide: there are no scores"):
            mp.decide(scores(), strategy)


def test_scores_of_groups_that_their_network_lacks_are_refused() -> None:
    net = mp.Sequential(mp.Dense(3, 5), mp.ReLU(), mp.Dense(5, 2))
    with pytest.raises(StructureError, match="no group is called 'a'; there are input, dense1, dense2"):
        mp.decide(Scores("by hand", {"a": np.ones(2)}, net=net), mp.Global(1))
    with pytest.raises(StructureError, match="dense1: no neuron 5; expected 0 to 4"):
        mp.decide(Scores("by hand", {"dense1": np.ones(6)}, net=net), mp.Global(1))


def test_the_plan_says_where_it_comes_from() -> None:
    plan = mp.decide(Scores("taylor", {"a": np.array([1.0, 2.0])}, "0123"), mp.Global(1))
    assert plan.fingerprint == "0123"
    assert plan.reason == "taylor, Global(amount=1, at_least=1, normalise='none')"


# --- order -----------------------------------------------------------------------------------------------------------


def test_at_a_tie_the_lower_index_and_the_earlier_group_go_first() -> None:
    assert drop(mp.Global(3), a=[1, 1, 1, 1], b=[1, 1]) == {"a": [0, 1, 2]}
    assert drop(mp.Global(4), a=[1, 1, 1, 1], b=[1, 1]) == {"a": [0, 1, 2], "b": [0]}
    assert drop(mp.PerLayer(2), a=[3, 1, 1, 1], b=[0, 0, 0]) == {"a": [1, 2], "b": [0, 1]}
    assert drop(mp.Global(1), a=[0.0, -0.0]) == {"a": [0]}


def test_an_infinite_score_is_never_dropped() -> None:
    assert removal_order(scores(a=[INF, 1, INF, 0])) == [("a", 3), ("a", 1)]
    assert drop(mp.Global(1), a=[INF, 5], b=[INF, INF]) == {"a": [1]}
    for how in ALONE:
        assert drop(mp.Global(2, normalise=how), a=[INF, 5, 1], b=[INF, INF]) == {"a": [1, 2]}
        with pytest.raises(PlanError, match=r"Global: 1 more neurons were to go, but 1 of each .* a score of \+∞"):
            drop(mp.Global(3, normalise=how), a=[INF, 5, 1], b=[INF, INF])
    with pytest.raises(PlanError, match="a: 2 neurons were to go, but only 1 can: others"):
        drop(mp.PerLayer(2), a=[INF, 5, INF, INF])
    assert drop(mp.Threshold(absolute=INF), a=[INF, 5]) == {"a": [1]}


def test_minus_infinity_goes_first() -> None:
    for how in ("none", "mean", "max", "l2"):
        assert drop(mp.Global(1, normalise=how), a=[1, 2], b=[3, -INF]) == {"b": [1]}


# --- what stays ------------------------------------------------------------------------------------------------------


def test_global_leaves_one_neuron_in_every_group_and_goes_on_elsewhere() -> None:
    assert drop(mp.Global(0.5), a=[0.1, 0.2], b=[0.3, 1.0]) == {"a": [0], "b": [0]}
    assert drop(mp.Global(2, at_least=2), a=[0, 0, 0], b=[5, 4, 6]) == {"a": [0], "b": [1]}


def test_global_leaves_one_neuron_in_every_layer_also_where_several_make_a_group() -> None:
    net = EXAMPLES["tied across concat"]()  # a makes neurons 0 and 1, b the rest; c makes 0 to 2, d the rest
    made = Scores("by hand", {"a": np.array([0.0, 1, 2, 3, 4])}, net=net)
    assert removal_order(made) == [("a", 0), ("a", 2), ("a", 3)]
    mp.decide(made, mp.Global(3)).check(net)
    with pytest.raises(PlanError, match="Global: 1 more neurons were to go"):
        mp.decide(made, mp.Global(4))


def test_a_strategy_that_would_empty_a_group_is_refused() -> None:
    with pytest.raises(PlanError, match="Global: 1 more neurons were to go, but 1 of each group must stay"):
        drop(mp.Global(3), a=[1, 2], b=[3, 4])
    with pytest.raises(PlanError, match="a: 2 of 2 neurons were to go, but 1 must stay"):
        drop(mp.PerLayer(1.0), a=[1, 2])
    with pytest.raises(PlanError, match="a: 2 of 3 neurons were to go, but 2 must stay"):
        drop(mp.PerLayer(2, at_least=2), a=[1, 2, 3])
    with pytest.raises(PlanError, match="a: all 2 scores lie below the threshold 9; one neuron must stay"):
        drop(mp.Threshold(absolute=9), a=[1, 2], b=[1, 99])


def test_a_group_smaller_than_the_least_that_stays_just_stays() -> None:
    assert drop(mp.PerLayer({"a": 0, "b": 1}, at_least=3), a=[1, 2], b=[1, 2, 3, 4]) == {"b": [0]}
    assert drop(mp.Global(1, at_least=3), a=[1, 2], b=[5, 6, 7, 8]) == {"b": [0]}


def test_per_layer_takes_one_amount_per_group_and_leaves_the_others_alone() -> None:
    assert drop(mp.PerLayer({"b": 0.5, "c": 1}), a=[1, 2], b=[4, 3], c=[5, 6]) == {"b": [1], "c": [0]}
    with pytest.raises(PlanError, match="d: no scores for this group; there are some for a, b"):
        drop(mp.PerLayer({"d": 1}), a=[1, 2], b=[4, 3])


# --- threshold -------------------------------------------------------------------------------------------------------


def test_a_threshold_drops_what_is_strictly_below() -> None:
    assert drop(mp.Threshold(absolute=2), a=[1, 2, 3]) == {"a": [0]}
    assert drop(mp.Threshold(absolute=0), a=[0, -0.0, 1]) == {}
    assert drop(mp.Threshold(of_max=0.5), a=[2, 1.9], b=[4, INF]) == {"a": [1]}
    assert drop(mp.Threshold(quantile=0.5), a=[1, 4], b=[3, 2, 5]) == {"a": [0], "b": [1]}
    assert drop(mp.Threshold(quantile=0.0), a=[1, 2]) == {}


def test_quantile_and_maximum_are_taken_over_all_groups() -> None:
    assert mp.Threshold(quantile=0.5).limit(scores(a=[1, 9], b=[3, 4, 5])) == 4
    assert mp.Threshold(of_max=0.25).limit(scores(a=[1, 8], b=[3, INF])) == 2
    assert mp.Threshold(of_max=0.25).limit(scores(a=[INF])) == -INF
    assert drop(mp.Threshold(of_max=0.25), a=[INF, INF]) == {}


def test_exactly_one_threshold_must_be_given() -> None:
    with pytest.raises(PlanError, match="give exactly one of absolute, quantile, of_max; got 0"):
        mp.Threshold()
    with pytest.raises(PlanError, match="give exactly one of absolute, quantile, of_max; got 2"):
        mp.Threshold(absolute=1, quantile=0.5)
    for quantile in (-0.1, 1.1, float("nan")):
        with pytest.raises(PlanError, match=r"quantile is .*, expected 0 to 1"):
            mp.Threshold(quantile=quantile)


# --- normalisation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("none", [3, -1, INF, 4]),
        ("mean", [9 / 8, -3 / 8, INF, 12 / 8]),
        ("max", [0.75, -0.25, INF, 1]),
        ("l2", [3 / 26**0.5, -1 / 26**0.5, INF, 4 / 26**0.5]),
        ("rank", [2 / 4, 1 / 4, INF, 3 / 4]),
    ],
)
def test_a_normalisation_is_its_formula_over_the_finite_scores(how: str, expected: list[float]) -> None:
    np.testing.assert_allclose(comparable(scores(a=[3, -1, INF, 4]), how)["a"], expected, rtol=1e-15)


@pytest.mark.parametrize("how", ALONE)
def test_zeros_and_infinities_are_normalised_without_harm(how: str) -> None:
    values = comparable(scores(a=[0, 0], b=[INF, INF]), how)
    assert np.isfinite(values["a"]).all()
    assert (values["b"] == INF).all()


def test_per_mac_divides_by_what_the_removal_of_the_neuron_saves() -> None:
    net = mp.Sequential(mp.Dense(3, 5), mp.ReLU(), mp.Dense(5, 4), mp.ReLU(), mp.Dense(4, 2))
    made = Scores("by hand", {"dense1": np.array([14.0, 7, INF, -7, 0]), "dense2": np.arange(4.0)}, net=net)
    levels = comparable(made, "mac")
    assert levels["dense1"].tolist() == [2, 1, INF, -1, 0]  # 3 products in its row, 4 in the columns that read it
    assert levels["dense2"].tolist() == [0, 1 / 7, 2 / 7, 3 / 7]  # 5 and 2
    even = Scores("even", {"dense1": np.ones(5), "dense2": np.ones(4)}, net=mp.Sequential(*_one_dear_layer()))
    assert mp.decide(even, mp.Global(2)).drop == {"dense1": [0, 1]}
    assert mp.decide(even, mp.Global(2, normalise="mac")).drop == {"dense2": [0, 1]}  # the dearer ones


def _one_dear_layer() -> tuple[Any, ...]:
    return mp.Dense(3, 5), mp.ReLU(), mp.Dense(5, 4), mp.ReLU(), mp.Dense(4, 99)


def test_per_mac_needs_to_know_the_network() -> None:
    with pytest.raises(
        PlanError, match=r"normalise='mac' needs the network, which these scores do not know; take them"
    ):
        drop(mp.Global(1, normalise="mac"), a=[1, 2])


def test_normalising_makes_groups_of_different_scale_comparable() -> None:
    groups = {"a": [100, 200, 300], "b": [1, 2, 30]}
    assert drop(mp.Global(2), **groups) == {"b": [0, 1]}
    assert drop(mp.Global(2, normalise="rank"), **groups) == {"a": [0], "b": [0]}
    assert drop(mp.Global(3, normalise="max"), **groups) == {"a": [0], "b": [0, 1]}


def test_an_unknown_normalisation_is_refused() -> None:
    with pytest.raises(PlanError, match="unknown normalisation 'sum'; expected one of none, mean, max, l2, rank, mac"):
        drop(mp.Global(1, normalise="sum"), a=[1, 2])


# --- parts -----------------------------------------------------------------------------------------------------------

sizes = st.lists(st.integers(2, 12), min_size=1, max_size=4)


def total_in_rounds(strategy: Strategy, dense: list[int], rounds: int, seed: int) -> list[int]:
    """How many neurons each group loses when the strategy is applied in parts, with distinct scores drawn anew."""
    rng = np.random.default_rng(seed)
    full = {f"g{i}": n for i, n in enumerate(dense)}
    now = dict(full)
    for number in range(1, rounds + 1):
        order = rng.permutation(sum(now.values())).astype(float)
        cuts = np.cumsum(list(now.values()))[:-1]
        values = dict(zip(now, np.split(order, cuts), strict=True))
        part = strategy if rounds == 1 else strategy.part(number / rounds, full, now)
        gone = mp.decide(Scores("drawn", values), part).drop
        now = {g: n - len(gone.get(g, [])) for g, n in now.items()}
    return [full[g] - now[g] for g in full]


@given(sizes, st.one_of(st.floats(0, 1), st.integers(0, 20)), st.integers(0, 99))
def test_global_reaches_the_same_total_in_any_number_of_rounds(n: list[int], amount: float, seed: int) -> None:
    count = amount if isinstance(amount, int) else int(np.floor(amount * sum(n) + 1e-9))
    assume(count <= sum(n) - len(n))
    for rounds in range(1, 6):
        assert sum(total_in_rounds(mp.Global(amount), n, rounds, seed)) == count


@given(sizes, st.one_of(st.floats(0, 1), st.integers(0, 11)), st.integers(0, 99))
def test_per_layer_reaches_the_same_counts_in_any_number_of_rounds(n: list[int], amount: float, seed: int) -> None:
    counts = [amount if isinstance(amount, int) else int(np.floor(amount * size + 1e-9)) for size in n]
    assume(all(count < size for count, size in zip(counts, n, strict=True)))
    for rounds in range(1, 6):
        assert total_in_rounds(mp.PerLayer(amount), n, rounds, seed) == counts


@given(st.integers(2, 40), st.floats(0, 0.95), st.integers(0, 99))
@example(21, 0.9499999999999998, 0)  # just below 19 of 20
def test_a_quantile_reaches_the_same_total_in_any_number_of_rounds(n: int, quantile: float, seed: int) -> None:
    count = sum(total_in_rounds(mp.Threshold(quantile=quantile), [n], 1, seed))
    assert count == int(np.floor(quantile * (n - 1)))
    for rounds in range(2, 6):
        assert sum(total_in_rounds(mp.Threshold(quantile=quantile), [n], rounds, seed)) == count


def test_parts_approach_the_whole_evenly() -> None:
    dense = {"a": 10, "b": 10}
    assert mp.Global(0.5).part(0.5, dense, dense) == mp.Global(5)
    assert mp.Global(0.5, 2, "rank").part(1.0, dense, {"a": 7, "b": 8}) == mp.Global(5, 2, "rank")
    assert mp.PerLayer({"a": 0.4}).part(0.5, dense, dense) == mp.PerLayer({"a": 2})
    assert mp.PerLayer(4).part(1.0, dense, {"a": 8, "b": 10}) == mp.PerLayer({"a": 2, "b": 4})
    assert mp.Global(2).part(0.5, dense, {"a": 1, "b": 1}) == mp.Global(0)  # further than asked: nothing more goes


@pytest.mark.parametrize("threshold", [Threshold(absolute=2.0), Threshold(of_max=0.1)])
def test_an_absolute_threshold_is_the_same_in_every_round(threshold: Threshold) -> None:
    assert threshold.part(0.5, {"a": 4}, {"a": 3}) is threshold
