"""The cycle: scores, plan, removal, repair, fine-tuning and evaluation, round after round."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, SINGLE_INPUT, samples

import minprune as mp
from minprune.errors import PlanError
from minprune.neurons import hidden, staying
from minprune.pruning.schedule import FineTune, prune
from minprune.pruning.tracking import joined, origins


def mlp() -> tuple[mp.Graph, Any]:
    net = EXAMPLES["mlp"]()  # dense1: 5, dense2: 4
    return net, samples(net, n=12)


@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("strategy", "left"), [(mp.Global(0.5), 5), (mp.PerLayer(0.5), 5), (mp.Global(3), 6)])
def test_the_strategys_fraction_is_the_final_total_however_many_rounds(rounds: int, strategy: Any, left: int) -> None:
    net, data = mlp()
    res = prune(net, data, "taylor", strategy, rounds=rounds)
    assert len(res.history) == rounds
    assert sum(res.net.neurons[g].size for g in ("dense1", "dense2")) == left
    assert sum(len(step.plan) for step in res.history) == 9 - left


def test_a_single_round_is_score_decide_and_remove() -> None:
    net, data = mlp()
    res = prune(net, data, "taylor", mp.PerLayer(0.5))
    by_hand = mp.remove(net, mp.decide(mp.score(net, data, "taylor"), mp.PerLayer(0.5)))
    assert res.net(data[0]).tobytes() == by_hand(data[0]).tobytes()
    assert res.history[0].tuned is None
    assert res.after is res.history[0].removed


def test_several_rounds_score_what_is_left_anew() -> None:
    net, data = mlp()
    res = prune(net, data, "leave_one_out", mp.Global(4), rounds=4)
    by_hand = net
    for step in res.history:
        scores = mp.score(by_hand, data, "leave_one_out")
        assert step.plan.drop == mp.decide(scores, mp.Global(1)).drop
        by_hand = mp.remove(by_hand, step.plan)
    assert res.net(data[0]).tobytes() == by_hand(data[0]).tobytes()


def test_what_was_kept_is_named_by_the_first_networks_indices() -> None:
    net, data = mlp()
    res = prune(net, data, "taylor", mp.PerLayer(0.5), rounds=2)
    assert [len(kept) for kept in res.kept.values()] == [3, 2]
    np.testing.assert_array_equal(res.net.params["dense1.W"], net.params["dense1.W"][res.kept["dense1"]])
    gone = {g: [j for j in range(net.neurons[g].size) if j not in kept] for g, kept in res.kept.items()}
    np.testing.assert_allclose(res.net(data[0]), mp.mask(net, mp.Plan(gone))(data[0]), rtol=1e-12)


def test_the_given_network_is_not_changed_even_by_fine_tuning() -> None:
    net, data = mlp()
    before = {name: array.tobytes() for name, array in net.arrays.items()}
    res = prune(net, data, "taylor", mp.Global(2), finetune=FineTune(epochs=2), repair="mean", rounds=2)
    assert {name: array.tobytes() for name, array in net.arrays.items()} == before
    assert all(step.tuned is not None and step.after is step.tuned for step in res.history)
    assert res.state is not None


def test_fine_tuning_lowers_the_training_loss_and_follows_from_the_seed() -> None:
    net, data = mlp()
    tune = FineTune(epochs=20)
    first, same = (prune(net, data, "taylor", mp.Global(4), finetune=tune, rng=3) for _ in range(2))
    assert first.after.loss < first.history[0].removed.loss
    assert first.net(data[0]).tobytes() == same.net(data[0]).tobytes()


def test_fine_tuning_works_where_the_repair_makes_new_biases() -> None:
    net = EXAMPLES["mlp without bias"]()
    data = samples(net, n=12)
    res = prune(net, data, "taylor", mp.Global(2), rounds=2, finetune=FineTune(epochs=1), repair="mean")
    assert "dense2.b" in res.net.params


def test_a_depthwise_network_can_be_pruned_to_one_channel_in_rounds() -> None:
    net = EXAMPLES["depthwise"]()
    res = prune(net, samples(net), "taylor", mp.PerLayer({"conv1": 3, "conv3": 1}), rounds=3)
    assert (res.net.neurons["conv1"].size, res.net.neurons["conv3"].size) == (1, 2)


def test_evaluation_is_on_validation_data_where_there_is_some() -> None:
    digits = mp.data.digits()
    net = mp.Sequential(mp.Dense(64, 8), mp.ReLU(), mp.Dense(8, 10))
    res = prune(net, digits, "magnitude_l2", mp.PerLayer(0.25), rounds=2)
    assert res.evaluated_on == "validation"
    assert res.after.accuracy == mp.evaluate(res.net, digits.valid, runtime=()).accuracy
    text = res.report()
    assert "accuracy" in text
    assert "evaluated on validation data" in text
    assert "masked ≡ removed" in text
    regression, data = mlp()
    assert "rmse" in prune(regression, data, "taylor", mp.Global(1)).report()


@pytest.mark.parametrize("rounds", [0, -1, 1.5])
def test_there_is_at_least_one_round(rounds: Any) -> None:
    net, data = mlp()
    with pytest.raises(PlanError, match=r"rounds is .*, expected a whole number of at least 1"):
        prune(net, data, rounds=rounds)


def test_the_optimisers_memory_follows_the_neurons_that_stay() -> None:
    net = mp.Sequential(mp.Dense(4, 8), mp.ReLU(), mp.Dense(8, 3), rng=0)
    data = (np.random.default_rng(0).standard_normal((64, 4)), np.arange(64) % 3)
    before = mp.fit(net, data, epochs=2, batch_size=16, progress=False).state
    kept_only = mp.prune(net, data, "magnitude_l2", mp.Global(0.5), state=before, progress=False)
    kept = kept_only.kept["dense1"]
    assert kept_only.state is not None
    assert kept_only.state.step == before.step
    for slot in ("m", "v"):
        assert np.array_equal(kept_only.state.slots["dense1.W"][slot], before.slots["dense1.W"][slot][kept])
        assert np.array_equal(kept_only.state.slots["dense2.W"][slot], before.slots["dense2.W"][slot][:, kept])
    tuned = mp.prune(
        net, data, "taylor", mp.Global(0.5), rounds=2, finetune=mp.FineTune(epochs=1), state=before, progress=False
    )
    assert tuned.state is not None
    assert tuned.state.step == before.step + 2  # 64 samples are one batch of 128: a step a round


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual, projected", "depthwise", "concat, flatten", "grouped"])
@pytest.mark.parametrize("repair", [None, "mean", "least_squares", mp.LeastSquares(ridge=1e-2)])
def test_without_fine_tuning_all_rounds_are_one_removal_of_their_union(name: str, repair: Any) -> None:
    net = EXAMPLES[name]()
    data = samples(net, n=40)
    res = prune(net, data, "taylor", mp.Global(0.5), rounds=3, repair=repair)
    at_once = mp.remove(net, res.plan, repair, data)
    assert sum(len(step.plan) for step in res.history) == len(res.plan)
    res.plan.check(net)
    assert {k: v.tobytes() for k, v in res.net.arrays.items()} == {k: v.tobytes() for k, v in at_once.arrays.items()}
    assert res.history[-1].removed.loss == mp.evaluate(at_once, data, runtime=()).loss


def test_every_round_scores_the_repaired_network() -> None:
    net, data = mlp()
    res = prune(net, data, "taylor", mp.Global(4), rounds=2, repair="least_squares")
    first = mp.remove(net, res.history[0].plan, "least_squares", data)
    second = mp.score(first, data, "taylor")
    assert all(np.array_equal(res.history[1].scores[group], second[group]) for group in second)


def test_after_fine_tuning_repairs_refit_to_the_tuned_network() -> None:
    net, data = mlp()
    tune = FineTune(epochs=3)
    res = prune(net, data, "magnitude_l2", mp.Global(4), rounds=2, repair="least_squares", finetune=tune, rng=0)
    rng = np.random.default_rng(0)
    by_hand = before = net
    state: Any = None
    for step in res.history:
        by_hand = mp.remove(by_hand, step.plan, "least_squares", data)
        state = None if state is None else state.sliced(staying(before, step.plan.drop))
        state = mp.fit(by_hand, data, optimizer=tune.optimizer, epochs=3, state=state, rng=rng, progress=False).state
        before = by_hand
    assert res.net(data[0]).tobytes() == by_hand(data[0]).tobytes()


def test_input_features_leave_in_rounds_as_they_leave_at_once() -> None:
    net, data = mlp()
    res = prune(net, data, "taylor", mp.PerLayer(0.5), rounds=2, groups=["dense1", "input"], repair="least_squares")
    assert [len(left) for left in res.kept.values()] == [3, 2]
    at_once = mp.remove(net, res.plan, "least_squares", data)
    assert res.net(data[0]).tobytes() == at_once(data[0]).tobytes()


def test_neurons_are_told_apart_where_a_removal_parts_their_group() -> None:
    """Dropping neuron 2 parts the layers a, c from b, d: what goes on as group "a" has neurons 0 and 1 only."""
    net = EXAMPLES["tied across concat"]()
    small = mp.remove(net, mp.Plan({"a": [2]}))
    assert {name: group.size for name, group in small.neurons.items()}["b"] == 2
    assert origins(net, small, {"a": [2]}, "a").tolist() == [0, 1]
    assert joined(net, small, {"a": [2]}, {"a": [1]}) == {"a": [1, 2]}


@pytest.mark.parametrize("name", [name for name in SINGLE_INPUT if hidden(EXAMPLES[name]())])
def test_what_is_left_is_traced_back_in_every_wiring(name: str) -> None:
    net = EXAMPLES[name]()
    for group in hidden(net):
        stay = [j for j in range(net.neurons[group].size) if j != 1]
        small = mp.remove(net, mp.Plan({group: [1]}))
        found = origins(net, small, {group: [1]}, group).tolist()
        assert found == stay[: len(found)]
        assert len(found) == len(stay) or name in ("tied across concat", "nested")


# schedules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["linear", "cubic", "exponential"])
@pytest.mark.parametrize("strategy", [mp.Global(0.8), mp.PerLayer({"dense1": 0.75, "dense2": 6}), mp.Global(0)])
def test_every_schedule_ends_where_the_strategy_says_and_never_goes_back(schedule: str, strategy: Any) -> None:
    net = mp.Sequential(mp.Dense(4, 40), mp.ReLU(), mp.Dense(40, 20), mp.ReLU(), mp.Dense(20, 3))
    data = (np.eye(4), np.arange(4) % 3)
    res = prune(net, data, "magnitude_l2", strategy, rounds=7, schedule=schedule)
    assert len(res.plan) == len(prune(net, data, "magnitude_l2", strategy).plan)
    assert sum(len(step.plan) for step in res.history) == len(res.plan)


def removed_by(schedule: str, rounds: int) -> list[int]:
    net = mp.Sequential(mp.Dense(4, 1000), mp.ReLU(), mp.Dense(1000, 3))
    data = (np.eye(4), np.arange(4) % 3)
    res = prune(net, data, "magnitude_l2", mp.PerLayer(0.9), rounds=rounds, schedule=schedule)
    return np.cumsum([len(step.plan) for step in res.history]).tolist()


def test_the_shares_of_a_schedule_are_those_of_its_formula() -> None:
    assert removed_by("linear", 4) == [225, 450, 675, 900]
    assert removed_by("cubic", 4) == [int(900 * (1 - (1 - t / 4) ** 3)) for t in (1, 2, 3, 4)]
    assert removed_by("exponential", 2) == [int(1000 * (1 - 0.1**0.5)), 900]


def test_a_cubic_schedule_follows_equation_1_of_zhu_and_gupta() -> None:
    """Written as printed: s_t = s_f + (s_i − s_f) (1 − (t − t_0) / (n Δt))³."""
    s_i, s_f, t_0, n, dt = 0.0, 0.9, 0, 4, 1
    printed = [s_f + (s_i - s_f) * (1 - (t - t_0) / (n * dt)) ** 3 for t in (1, 2, 3, 4)]
    assert removed_by("cubic", 4) == [int(1000 * s + 1e-9) for s in printed]


def test_the_exponential_schedule_removes_the_same_fraction_of_what_is_left() -> None:
    left = [1000, *(1000 - gone for gone in removed_by("exponential", 10))]
    ratios = [after / before for before, after in pairwise(left)]
    assert ratios == pytest.approx([0.1 ** (1 / 10)] * 10, abs=0.006)


def test_a_round_that_removes_nothing_says_so_and_why() -> None:
    net = mp.Sequential(mp.Dense(2, 4), mp.ReLU(), mp.Dense(4, 1))
    net.params["dense1.W"] = [[0, 0], [0, 0], [0, 0], [1, 2]]
    data = np.ones((3, 2)), np.ones((3, 1))
    idle = prune(net, data, "magnitude_l1", mp.Threshold(quantile=0.25), progress=False)
    assert "nothing was removed: magnitude_l1, Threshold(" in idle.report()
    assert "; 0 scores lie below 0, 3 are equal to it and stay\n" in idle.report()
    assert "nothing was removed" not in prune(net, data, "magnitude_l1", mp.Global(1), progress=False).report()


def test_an_unknown_schedule_is_refused_before_anything_is_computed() -> None:
    net, _ = mlp()
    with pytest.raises(PlanError, match="unknown schedule 'square'; expected one of linear, cubic, exponential"):
        prune(net, None, schedule="square")


# before training, and back to early weights ----------------------------------------------------------------------


def test_a_network_that_was_never_trained_is_pruned_and_then_trained() -> None:
    digits = mp.data.digits()
    net = mp.Sequential(mp.Dense(64, 60), mp.ReLU(), mp.Dense(60, 10), rng=0)
    res = prune(net, digits, "taylor", mp.Global(0.5), rounds=10, schedule="exponential", progress=False)
    assert res.after.accuracy is not None
    assert res.after.accuracy < 0.4
    np.testing.assert_array_equal(res.net.params["dense1.W"], net.params["dense1.W"][res.kept["dense1"]])
    assert mp.fit(res.net, digits, optimizer=mp.Adam(1e-2), epochs=10, progress=False).valid_accuracy[-1] > 0.9


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual, projected", "depthwise", "concat, flatten"])
def test_removing_the_same_neurons_from_the_early_network_rewinds_the_weights_that_stay(name: str) -> None:
    net = EXAMPLES[name]()
    data = samples(net, n=20)
    early = net.copy()
    mp.fit(net, data, epochs=3, progress=False)
    res = prune(net, data, "magnitude_l2", mp.Global(0.5), rounds=2, finetune=FineTune(epochs=1), progress=False)
    ticket = mp.remove(early, res.plan)
    for key, array in early.arrays.items():
        expected = array
        for piece in (s for group in net.neurons.values() for s in group.slices if s.array == key):
            gone = res.plan.drop.get(next(g for g, v in net.neurons.items() if piece in v.slices), [])
            closed = np.isin(piece.owner, gone)
            shape = [1] * array.ndim
            shape[piece.axis] = -1
            expected = np.where(closed.reshape(shape), np.nan, expected)
        np.testing.assert_array_equal(ticket.arrays[key].ravel(), expected[~np.isnan(expected)].ravel())
