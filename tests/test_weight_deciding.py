"""Strategies for weights: the same choice as for neurons, by brute force; blocks, floors, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import EXAMPLES

import minprune as mp
from minprune.errors import MinpruneError, PlanError
from minprune.neurons import fingerprint
from minprune.pruning.deciding import Strategy
from minprune.pruning.ranking import NORMALISATIONS
from minprune.pruning.weights.deciding import decide_weights, part_of
from minprune.scores import Scores

INF = float("inf")


def scores(**params: Any) -> Scores:
    return Scores("by hand", {name: np.array(v, dtype=float) for name, v in params.items()}, by="weight")


def kept(strategy: Strategy, block: Any = None, **params: Any) -> dict[str, Any]:
    return {name: mask.tolist() for name, mask in mp.decide(scores(**params), strategy, block).keep.items()}


W = [[1.0, 6.0, 3.0], [4.0, 5.0, 2.0]]
V = [[0.5], [9.0]]


def test_global_takes_the_lowest_of_all_parameters() -> None:
    assert kept(mp.Global(3), W=W, V=V) == {"W": [[False, True, True], [True, True, False]], "V": [[False], [True]]}
    assert kept(mp.Global(0.375), W=W, V=V) == kept(mp.Global(3), W=W, V=V)


def test_per_layer_takes_the_lowest_of_every_parameter() -> None:
    assert kept(mp.PerLayer(0.5), W=W, V=V) == {
        "W": [[False, True, False], [True, True, False]],
        "V": [[False], [True]],
    }
    assert kept(mp.PerLayer({"W": 1}), W=W, V=V) == {"W": [[False, True, True], [True, True, True]]}


def test_a_threshold_takes_what_lies_strictly_below() -> None:
    assert kept(mp.Threshold(absolute=3.0), W=W) == {"W": [[False, True, True], [True, True, False]]}
    assert kept(mp.Threshold(of_max=0.5), W=W) == {"W": [[False, True, True], [True, True, False]]}
    assert kept(mp.Threshold(quantile=0.5), W=[[1.0, 2.0, 3.0]]) == {"W": [[False, True, True]]}


def test_at_a_tie_the_first_in_the_matrix_goes_first() -> None:
    assert kept(mp.Global(3), W=[[1.0, 1.0], [1.0, 1.0]]) == {"W": [[False, False], [False, True]]}
    assert kept(mp.Global(2), W=[[1.0, 1.0]], V=[[1.0, 1.0]]) == {"W": [[False, True]], "V": [[False, True]]}


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], Strategy]:
    """Flat scores with ties, and a strategy."""
    score = st.sampled_from([-2.0, -0.5, 0.0, 1.0, 1.0, 2.0, 3.5, INF])
    params = draw(st.dictionaries(st.sampled_from("abc"), st.lists(score, min_size=1, max_size=8), min_size=1))
    n = sum(map(len, params.values()))
    amount: Any = draw(st.one_of(st.integers(0, n), st.floats(0, 1)))
    at_least = draw(st.integers(0, 3))
    strategy = draw(
        st.sampled_from(
            [
                *(mp.Global(amount, at_least, how) for how in NORMALISATIONS),
                mp.PerLayer(amount, at_least),
                mp.PerLayer({next(iter(params)): amount}, at_least),
                mp.Threshold(absolute=draw(score)),
                mp.Threshold(quantile=draw(st.floats(0, 1))),
                mp.Threshold(of_max=draw(st.floats(0, 1))),
            ]
        )
    )
    return {name: np.array(values) for name, values in params.items()}, strategy


@given(case=cases())
def test_weights_are_chosen_as_neurons_are(case: tuple[dict[str, Any], Strategy]) -> None:
    """Of flat scores the same go as of a group of neurons, and the same strategies are impossible."""
    values, strategy = case
    try:
        drop = strategy.choose(Scores("", values))
    except PlanError:
        with pytest.raises(PlanError):
            decide_weights(Scores("", values, by="weight"), strategy)
        return
    plan = decide_weights(Scores("", values, by="weight"), strategy)
    gone = {name: np.flatnonzero(~kept).tolist() for name, kept in plan.keep.items()}
    assert gone == {name: sorted(indices) for name, indices in drop.items() if indices}


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    block=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    share=st.floats(0, 0.9),
    seed=st.integers(0, 999),
)
def test_blocks_go_whole_and_by_their_mean(shape: Any, block: Any, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.permutation(shape[0] * shape[1]).reshape(shape) * 1.0
    means = {}
    for p in range(0, shape[0], block[0]):
        for q in range(0, shape[1], block[1]):
            means[p, q] = values[p : p + block[0], q : q + block[1]].mean()
    count = min(int(share * len(means) + 1e-9), len(means) - 1)
    expected = np.ones(shape, bool)
    for p, q in sorted(means, key=lambda corner: (means[corner], corner))[:count]:
        expected[p : p + block[0], q : q + block[1]] = False
    plan = mp.decide(scores(W=values), mp.Global(count), block)
    np.testing.assert_array_equal(plan.keep.get("W", np.ones(shape, bool)), expected)


def test_a_filters_blocks_lie_in_its_row() -> None:
    values = np.ones((2, 1, 2, 2))
    values[0, 0, 0] = 0.1  # the first two of the four columns of row 0
    plan = mp.decide(scores(W=values), mp.Global(1), (1, 2))
    assert plan.keep["W"][0, 0].tolist() == [[False, False], [True, True]]
    assert plan.keep["W"][1].all()
    assert plan.reason == "by hand, Global(amount=1, at_least=1, normalise='none'), blocks of 1×2"


def test_what_is_masked_already_counts_and_goes_first() -> None:
    values = [[-INF, 5.0, 1.0, 2.0]]
    assert kept(mp.Global(2), W=values) == {"W": [[False, True, False, True]]}
    assert kept(mp.Global(0.5, normalise="mean"), W=values) == {"W": [[False, True, False, True]]}
    assert kept(mp.PerLayer(1), W=values) == {"W": [[False, True, True, True]]}


def test_in_a_block_a_masked_weight_counts_as_nothing_and_a_masked_block_goes_first() -> None:
    values = [[-INF, 4.0, 1.0, 1.0, -INF, -INF]]  # means 2, 1, −∞
    assert kept(mp.Global(1), (1, 2), W=values) == {"W": [[True, True, True, True, False, False]]}
    assert kept(mp.Global(2), (1, 2), W=values) == {"W": [[True, True, False, False, False, False]]}


def test_a_block_with_an_infinite_score_stays() -> None:
    assert kept(mp.Global(1), (1, 2), W=[[INF, 0.0, 3.0, 3.0]]) == {"W": [[True, True, False, False]]}


def test_the_plan_is_for_the_network_that_was_scored() -> None:
    net = EXAMPLES["mlp"]()
    found = mp.score(net, criterion="magnitude_l1", by="weight")
    plan = mp.decide(found, mp.Global(0.5))
    assert isinstance(plan, mp.WeightPlan)
    assert plan.fingerprint == fingerprint(net)
    assert len(plan) == 26  # of 20 + 20 + 12
    assert mp.mask(net, plan).masks.keys() == plan.keep.keys()
    pooled = np.concatenate([np.abs(net.params[name]).ravel() for name in found])
    left = np.concatenate([np.abs(W[kept]) for W, kept in ((net.params[n], plan.keep[n]) for n in plan.keep)])
    np.testing.assert_array_equal(np.sort(left), np.sort(pooled)[26:])


@pytest.mark.parametrize("strategy", [mp.Global(0.9), mp.PerLayer(7), mp.Threshold(quantile=0.8)])
@pytest.mark.parametrize("block", [None, (2, 2)])
def test_parts_grow_into_the_whole(strategy: Strategy, block: Any) -> None:
    rng = np.random.default_rng(0)
    found = scores(W=rng.permutation(80).reshape(8, 10), V=rng.permutation(64).reshape(8, 8))
    previous = None
    for share in (0.25, 0.5, 0.75, 1.0):
        plan = mp.decide(found, part_of(strategy, share, found, block), block)
        if previous is not None:
            assert len(plan) > len(previous)
            assert all((plan.keep[name] <= mask).all() for name, mask in previous.keep.items())
        previous = plan
    assert previous == mp.decide(found, strategy, block)


@pytest.mark.parametrize(
    ("strategy", "match"),
    [
        (mp.Global(6), r"Global: 6 of 6 were to go, but only 4 can: 1 of each parameter must stay, and so must all"),
        (mp.Global(5, at_least=1), "Global: 5 of 6 were to go, but only 4 can"),
        (mp.Global(3, at_least=2), "Global: 3 of 6 were to go, but only 2 can: 2 of each parameter must stay"),
        (mp.PerLayer({"V": 2}), "V: 2 of 2 were to go, but only 1 can"),
        (mp.PerLayer({"U": 2}), "U: no scores for this group; there are some for W, V"),
        (mp.Threshold(absolute=10.0), "V: all 2 scores lie below the threshold 10; one must stay"),
    ],
)
def test_a_strategy_that_cannot_be_carried_out_is_refused(strategy: Strategy, match: str) -> None:
    with pytest.raises(PlanError, match=match):
        mp.decide(scores(W=[[11.0, 1.0], [2.0, 3.0]], V=V), strategy)


def test_other_strategies_and_blocks_in_the_wrong_place_are_refused() -> None:
    class Mine:
        def choose(self, scores: Scores) -> dict[str, list[int]]:
            return {}

        def part(self, share: float, dense: Any, now: Any) -> Any:
            return self

    with pytest.raises(PlanError, match="weights are chosen by Global, PerLayer or Threshold, got"):
        mp.decide(scores(W=W), Mine())
    with pytest.raises(PlanError, match="block is 16, expected rows and columns"):
        mp.decide(scores(W=W), mp.Global(0.5), 16)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match=r"block is \(16, 1\), but neurons were scored; score weights"):
        mp.decide(Scores("", {"dense1": np.ones(3)}), mp.Global(0.5), (16, 1))
    with pytest.raises(MinpruneError, match="no scores"):
        mp.decide(Scores("", {}, by="weight"), mp.Global(0.5))
