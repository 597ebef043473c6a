"""Choosing sets by a quadratic model: greedy with rescoring, and exchanges."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_scores_curvature import HALF, HEADS, whole_samples
from test_scores_quadratic import true_costs

import minprune as mp
from minprune.errors import PlanError, StructureError
from minprune.fetching import root_folder
from minprune.models import mlp
from minprune.pruning.sets import Quota, rounding
from minprune.scores import Scores
from minprune.scores.quadratic import QuadraticModel

Strategy = mp.Global | mp.PerLayer


@st.composite
def models(draw: st.DrawFn, semidefinite: bool = True) -> QuadraticModel:
    """Small models of one to three groups in whole numbers, so that many sets cost the same; some neurons are dead."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    n, whole = sum(sizes), st.integers(-3, 3)
    rank = draw(st.integers(1, n + 2))
    rows = draw(st.lists(st.lists(whole, min_size=n, max_size=n), min_size=rank, max_size=rank))
    A = np.array(rows, dtype=float)
    H = A.T @ A if semidefinite else np.tril(np.resize(A, (n, n))) + np.tril(np.resize(A, (n, n)), -1).T
    g = np.array(draw(st.lists(whole, min_size=n, max_size=n)), dtype=float)
    return QuadraticModel({f"g{i}": size for i, size in enumerate(sizes)}, g, H)


def strategies(model: QuadraticModel) -> st.SearchStrategy[Strategy]:
    """Those that can be met: of every group one neuron stays, or with at_least=0 perhaps none."""
    floors = st.integers(0, 1)

    def of_floor(at_least: int) -> st.SearchStrategy[Strategy]:
        room = {group: size - at_least for group, size in model.sizes.items()}
        counts = st.fixed_dictionaries({}, optional={group: st.integers(0, most) for group, most in room.items()})
        per_layer = counts.map(lambda amounts: mp.PerLayer(amounts, at_least=at_least))
        return per_layer | st.integers(0, sum(room.values())).map(lambda count: mp.Global(count, at_least=at_least))

    return floors.flatmap(of_floor)


def allowed(model: QuadraticModel, strategy: Strategy) -> list[tuple[int, ...]]:
    """All sets that a strategy allows, told from its own words."""
    owner, sizes = model.owner.tolist(), list(model.sizes.values())
    if isinstance(strategy, mp.PerLayer):
        assert isinstance(strategy.amount, dict)
        least = most = [strategy.amount.get(group, 0) for group in model.groups]
        count = sum(most)
    else:
        least, most = [0] * len(sizes), [max(0, size - strategy.at_least) for size in sizes]
        count = int(strategy.amount)

    def fits(rows: tuple[int, ...]) -> bool:
        taken = [sum(owner[j] == group for j in rows) for group in range(len(sizes))]
        return all(low <= k <= high for low, k, high in zip(least, taken, most, strict=True))

    return [rows for rows in combinations(range(len(owner)), count) if fits(rows)]


def cost(model: QuadraticModel, rows: Any) -> float:
    """In plain loops."""
    H, g = model.hessian, model.gradient
    return sum(H[i, j] for i in rows for j in rows) / 2 - sum(g[i] for i in rows)


def chosen(model: QuadraticModel, strategy: Strategy, **options: Any) -> tuple[int, ...]:
    return tuple(model.positions(mp.choose_set(model, strategy, **options)).tolist())


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_greedy_set_takes_the_cheapest_beside_those_that_are_gone_one_at_a_time(data: st.DataObject) -> None:
    model = data.draw(models())
    strategy = data.draw(strategies(model))
    sets = allowed(model, strategy)
    gone: tuple[int, ...] = ()
    for _ in range(len(sets[0])):
        fitting = {j for rows in sets if set(gone) <= set(rows) for j in rows} - set(gone)
        gone = (*gone, min(sorted(fitting), key=lambda j: cost(model, (*gone, j))))
    assert chosen(model, strategy, swaps=False) == tuple(sorted(gone))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_after_the_swaps_no_exchange_of_two_neurons_lowers_the_cost(data: st.DataObject) -> None:
    model = data.draw(models())
    strategy = data.draw(strategies(model))
    sets = allowed(model, strategy)
    found = chosen(model, strategy)
    assert found in sets
    assert cost(model, found) <= cost(model, chosen(model, strategy, swaps=False))
    neighbours = [rows for rows in sets if len(set(rows) - set(found)) == 1]
    assert all(cost(model, found) <= cost(model, rows) for rows in neighbours)


def test_without_terms_between_neurons_it_is_the_choice_by_single_scores() -> None:
    rng = np.random.default_rng(0)
    model = QuadraticModel({"a": 6, "b": 5}, rng.standard_normal(11), np.diag(rng.uniform(0, 2, 11)), "abc")
    scores = Scores("by hand", {"a": model.single[:6], "b": model.single[6:]}, "abc")
    for strategy in (mp.Global(0.5), mp.Global(9), mp.PerLayer(0.5), mp.PerLayer({"b": 3})):
        assert mp.choose_set(model, strategy) == mp.decide(scores, strategy)


def test_of_two_copies_only_one_goes_where_single_scores_would_take_both() -> None:
    """Removed together the copies cost 4 · 0.9, not 2 · 0.9: then a third that costs 1 alone is cheaper."""
    H = np.array([[1.8, 1.8, 0.0], [1.8, 1.8, 0.0], [0.0, 0.0, 2.0]])
    model = QuadraticModel({"a": 3}, np.zeros(3), H)
    assert np.argsort(model.single)[:2].tolist() == [0, 1]
    assert chosen(model, mp.PerLayer(2)) == (0, 2)


def test_a_plan_says_how_it_came_about_and_belongs_to_its_network() -> None:
    net = HEADS["a dense layer"]()
    data = whole_samples(net)
    plans = [
        mp.choose_set(mp.quadratic_model(net, data, loss=HALF, linear=linear), mp.PerLayer(2), swaps=swaps)
        for linear, swaps in ((True, True), (False, False))
    ]
    assert [plan.reason for plan in plans] == [
        "quadratic model, greedy with swaps, PerLayer(amount=2, at_least=1)",
        "quadratic model without linear term, greedy, PerLayer(amount=2, at_least=1)",
    ]
    assert mp.remove(net, plans[0]).neurons["dense1"].size == 2
    with pytest.raises(StructureError, match="made for another network"):
        mp.remove(HEADS["two dense layers"](), plans[0])


def test_nothing_is_chosen_where_nothing_is_to_go() -> None:
    model = QuadraticModel({"a": 2}, np.ones(2), np.eye(2))
    assert chosen(model, mp.Global(0)) == chosen(model, mp.PerLayer({})) == ()


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (mp.Threshold(absolute=1), "a set is chosen by Global or PerLayer, which say how many neurons go; got Thresh"),
        (0.5, "a set is chosen by Global or PerLayer, which say how many neurons go; got 0.5"),
        (mp.Global(1, normalise="rank"), "normalise is 'rank'; a model's costs are comparable as they are"),
        (mp.Global(5, at_least=2), "Global: 5 of 7 neurons were to go, but 2 of each group must stay"),
        (mp.PerLayer(2), "a: 2 of 2 neurons were to go, but 1 must stay"),
        (mp.PerLayer({"c": 1}), "c: no scores for this group; there are some for a, b"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(strategy: Any, message: str) -> None:
    model = QuadraticModel({"a": 2, "b": 5}, np.zeros(7), np.eye(7))
    with pytest.raises(PlanError, match=message):
        mp.choose_set(model, strategy)
    with pytest.raises(PlanError, match=message):
        mp.best_set(model, strategy)


def test_sets_are_not_chosen_by_scores() -> None:
    for choose in (mp.choose_set, mp.best_set):
        with pytest.raises(PlanError, match="a set is chosen by what quadratic_model returns, got Scores"):
            choose(Scores("by hand", {"a": np.zeros(2)}), mp.Global(1))


def test_the_lowest_values_are_taken_as_long_as_their_group_has_room() -> None:
    quota = Quota(3, np.array([1, 5]), np.array([0, 0, 1, 1, 1]))
    assert quota.lowest(np.array([0.0, 1.0, 9.0, 7.0, 7.0])).tolist() == [0, 3, 4]
    assert quota.room(np.array([0.5, 0.25, 1, 1, 0])).tolist() == [0.25, 3]


def test_rounding_is_below_every_difference_that_counts_and_above_what_sums_lose() -> None:
    H = np.full((50, 50), 0.1)
    model = QuadraticModel({"a": 50}, np.full(50, 0.1), H)
    lost = abs(model.change({"a": range(50)}) - (250 / 2 - 5))
    assert lost < rounding(model) < 1e-10


# --- on networks -----------------------------------------------------------------------------------------------------


def trained(hidden: tuple[int, ...], seed: int, epochs: int) -> tuple[mp.Graph, Any]:
    """A network, and 300 of the digits that it was trained on."""
    digits = mp.data.digits()
    net = mlp(64, hidden, 10, rng=seed)
    mp.fit(net, digits, epochs=epochs, batch_size=16, rng=seed, progress=False)
    return net.astype(np.float64), (digits.train.x[:300], digits.train.y[:300])


def test_sets_cost_the_network_less_than_sums_of_single_scores() -> None:
    net, data = trained((40, 20), seed=0, epochs=8)
    for linear, criterion in ((True, "taylor2"), (False, "curvature"), (True, "leave_one_out")):
        model = mp.quadratic_model(net, data, linear=linear)
        scores = mp.score(net, data, criterion)
        for amount in (0.3, 0.5, 0.7):
            plans = mp.choose_set(model, mp.PerLayer(amount)), mp.decide(scores, mp.PerLayer(amount))
            together, added = (mp.evaluate(mp.remove(net, plan), data, runtime=()).loss for plan in plans)
            assert together < added, (criterion, amount)


def test_greedy_by_the_truth_is_prune_with_a_round_for_every_neuron() -> None:
    """Each round takes the neuron whose removal, beside those that are gone, costs least."""
    net, data = trained((14,), seed=0, epochs=4)

    def truth(sets: list[tuple[int, ...]]) -> list[float]:
        return true_costs(net, data, "cross_entropy", "dense1", sets)

    found = mp.prune(net, data, "leave_one_out", mp.PerLayer(5), rounds=5, progress=False)
    gone: tuple[int, ...] = ()
    for _ in range(5):
        wider = [(*gone, j) for j in range(14) if j not in gone]
        gone = wider[int(np.argmin(truth(wider)))]
    assert found.kept["dense1"] == [j for j in range(14) if j not in gone]
    at_once = mp.decide(mp.score(net, data, "leave_one_out"), mp.PerLayer(5)).drop["dense1"]
    step_by_step, summed = truth([gone, tuple(at_once)])
    best = min(truth(list(combinations(range(14), 5))))
    assert best < step_by_step < 1.02 * best  # of 2002 sets
    assert summed > 1.15 * best
    by_model = mp.best_set(mp.quadratic_model(net, data), mp.PerLayer(5)).plan.drop["dense1"]
    assert truth([tuple(by_model)]) == [best]  # here the model, which looks once, finds what greedy misses


@pytest.mark.slow
@pytest.mark.data
def test_on_mnist_half_of_the_hidden_neurons_leave_as_a_set_for_half_of_what_the_lowest_scores_cost() -> None:
    """Measured over three seeds without repair: 1.80 % dense, 2.5 to 3.3 by sets, 4.7 to 5.8 by curvature."""
    if not (root_folder() / "mnist").is_dir():
        pytest.skip("MINPRUNE_DATA holds no mnist")
    data = mp.data.mnist()
    net = mlp(784, (300, 100), 10, rng=0)
    how: dict[str, Any] = {"optimizer": mp.AdamW(2e-3), "schedule": mp.Cosine(), "epochs": 8, "batch_size": 100}
    mp.fit(net, data, **how, keep="last", rng=0, progress=False)
    seen = data.train.x[:5000], data.train.y[:5000]
    model = mp.quadratic_model(net, seen[0], loss="cross_entropy", linear=False)
    by_sets = mp.choose_set(model, mp.PerLayer(0.5))
    by_scores = mp.decide(mp.score(net, seen, "curvature"), mp.PerLayer(0.5))
    dense, together, added = (
        100 * np.mean(n(data.valid.x).argmax(axis=1) != data.valid.y)
        for n in (net, mp.remove(net, by_sets), mp.remove(net, by_scores))
    )
    assert together - dense < 0.6 * (added - dense)
    assert together < dense + 2
    sure = mp.best_set(model, mp.PerLayer(0.5), nodes=1)
    assert 0 < sure.bound < sure.change <= model.change(by_sets)
