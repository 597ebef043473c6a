"""Pruning while training: training as `fit` does it, scores as `score` makes them, cuts as the schedule says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, SINGLE_INPUT, samples

import minprune as mp
from minprune.errors import DataError, PlanError, StructureError, TrainingError
from minprune.layers import Training
from minprune.neurons import hidden, staying
from minprune.pruning.while_training import prune_while_training
from minprune.scores.running import RunningScores
from minprune.tensor import apply

RNG = np.random.default_rng(5)
X = RNG.standard_normal((60, 6))
Y = X[:, :3].argmax(axis=1)


def network(dtype: Any = np.float64) -> mp.Graph:
    return mp.Sequential(
        *(mp.Dense(6, 12), mp.BatchNorm(12), mp.ReLU(), mp.Dropout(0.3)),
        *(mp.Dense(12, 8), mp.Tanh(), mp.Dense(8, 3)),
        dtype=dtype,
    )


def plain() -> mp.Graph:
    return mp.Sequential(mp.Dense(6, 12), mp.ReLU(), mp.Dense(12, 8), mp.Tanh(), mp.Dense(8, 3), dtype=np.float64)


def run(net: mp.Graph, data: Any = (X, Y), strategy: Any = mp.PerLayer(0.5), **settings: Any) -> Any:  # noqa: B008
    how = {"epochs": 3, "batch_size": 20, "every": 2, "progress": False} | settings
    return prune_while_training(net, data, strategy=strategy, **how)


def bytes_of(net: mp.Graph) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in net.arrays.items()}


@pytest.mark.parametrize("make", [network, plain])
def test_with_nothing_to_remove_it_is_training(make: Any) -> None:
    """The same bytes as `fit`: gates that are open, and scores on the side, change no step."""
    net, other = make(), make()
    res = run(net, strategy=mp.PerLayer(0.0), rng=3)
    history = mp.fit(other, (X, Y), epochs=3, batch_size=20, rng=3, progress=False)
    assert bytes_of(res.net) == bytes_of(other)
    assert res.loss == history.loss
    assert res.state.step == history.state.step == 9
    assert bytes_of(net) == bytes_of(make())  # the network given is not changed


def test_after_a_cut_training_goes_on_with_the_weights_and_the_memory_of_those_that_stay() -> None:
    res = run(plain(), every=3, epochs=2, rng=1, schedule="linear")  # one cut after each epoch of three steps
    by_hand = plain()
    rng = np.random.default_rng(1)
    state = mp.fit(by_hand, (X, Y), epochs=1, batch_size=20, rng=rng, progress=False).state
    first = {g: set(range(n)) for g, n in (("dense1", 12), ("dense2", 8))}
    assert res.sizes == [{"dense1": 9, "dense2": 6}, {"dense1": 6, "dense2": 4}]
    gone = mp.Plan({g: first[g] - set(halfway(res)[g]) for g in first})
    state = state.sliced(staying(by_hand, gone.drop))
    by_hand = mp.remove(by_hand, gone)
    mp.fit(by_hand, (X, Y), epochs=1, batch_size=20, rng=rng, state=state, progress=False)
    later = mp.Plan({g: [i for i, j in enumerate(halfway(res)[g]) if j not in res.kept[g]] for g in first})
    assert bytes_of(res.net) == bytes_of(mp.remove(by_hand, later))


def halfway(res: Any) -> dict[str, list[int]]:
    """The neurons that were left after the first of two epochs: the same run, stopped there."""
    part = run(plain(), strategy=mp.PerLayer(0.25), every=3, epochs=1, rng=1, schedule="linear")
    assert {g: len(left) for g, left in part.kept.items()} == res.sizes[0]
    return part.kept


def test_the_score_of_a_step_is_the_criterions_own_on_that_batch_where_training_mode_makes_no_difference() -> None:
    """One step of a network without dropout and batch-norm: the first average is what `score` says of it."""
    for criterion in ("taylor_squared", "taylor", "sensitivity", "inverse_sensitivity"):
        net = plain()
        res = run(net, batch_size=60, epochs=1, every=1, criterion=criterion, strategy=mp.PerLayer(0.25))
        plan = mp.decide(mp.score(net, (X, Y), criterion), mp.PerLayer(0.25))
        assert res.plan.drop == plan.drop


@pytest.mark.parametrize("name", [n for n in SINGLE_INPUT if hidden(EXAMPLES[n]())])
def test_what_a_step_sees_is_what_the_gates_of_the_network_in_training_mode_see(name: str, monkeypatch: Any) -> None:
    """Mean of (∂ℓ/∂m)², by central differences through every sample's own gate, dropout and statistics held alike."""
    net = EXAMPLES[name]()
    data = samples(net, n=4)
    seen: dict[str, Any] = {}
    monkeypatch.setattr(RunningScores, "add", spy(seen))
    run(net, data, mp.PerLayer(0.0), batch_size=4, epochs=1, every=1, rng=0, optimizer=mp.SGD(1e-9))
    order = np.random.default_rng(0)
    chosen = order.permutation(4)
    for group, effect in seen.items():
        expected = [[by_difference(net, data, chosen, group, n, j) for j in range(effect.shape[1])] for n in range(4)]
        np.testing.assert_allclose(effect, expected, rtol=1e-5, atol=1e-6, err_msg=group)


def spy(seen: dict[str, Any]) -> Any:
    original = RunningScores.add

    def add(self: RunningScores, gradients: Any) -> None:
        seen.update({name: found.effect for name, found in gradients.items()})
        original(self, gradients)

    return add


def by_difference(net: mp.Graph, data: Any, chosen: Any, group: str, n: int, j: int, h: float = 1e-5) -> float:
    """How the sum of the losses changes when neuron j of sample n is read a little larger."""
    from minprune.ops import LOSSES

    def total(shift: float) -> float:
        rng = np.random.default_rng(0)
        rng.permutation(4)  # as the run has drawn it
        copy, values = net.copy(), {}
        values.update(copy.take(data[0][chosen]))
        training = Training(rng)
        reads = {read.value: read for read in net.neurons[group].reads}
        for name in copy.nodes:
            shifted = {
                v: scaled(values[v], reads[v], name, n, j, 1 + shift) for v in copy.nodes[name].inputs if v in reads
            }
            values[name] = copy.compute_node(name, values | shifted, copy.arrays, training)
        return float(apply(LOSSES["mse"], values[copy.output], data[1][chosen]).sum())

    return (total(h) - total(-h)) / (2 * h)


def scaled(value: Any, read: Any, reader: str, n: int, j: int, factor: float) -> Any:
    if reader not in read.readers:
        return value
    value = value.copy()
    value[n, read.owner == j] *= factor
    return value


def test_scores_are_averages_in_which_older_steps_count_less() -> None:
    class Fixed:
        """Gradients whose effect is given."""

        def __init__(self, effect: Any) -> None:
            self.effect = np.array(effect)

    running = RunningScores(mp.scores.CRITERIA["taylor_squared"](), decay=0.75)  # type: ignore[arg-type]
    net = mp.Sequential(mp.Dense(1, 2), mp.ReLU(), mp.Dense(2, 1))
    steps = [np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([[2.0, 2.0]])]
    for effect in steps:
        running.add({"dense1": Fixed(effect)})  # type: ignore[dict-item]
    means = [(effect**2).mean(axis=0) for effect in steps]
    weights = np.array([0.75**2, 0.75, 1.0])
    expected = sum(w * m for w, m in zip(weights, means, strict=True)) / weights.sum()
    np.testing.assert_allclose(running.scores(net)["dense1"], expected, rtol=1e-12)
    running.keep({"dense1": np.array([1])})
    np.testing.assert_allclose(running.average["dense1"] / (1 - 0.75**3), expected[1:], rtol=1e-12)


@pytest.mark.parametrize("schedule", ["linear", "cubic", "exponential"])
@pytest.mark.parametrize("strategy", [mp.PerLayer({"dense1": 0.75, "dense2": 2}), mp.Global(0.6)])
def test_it_ends_where_the_strategy_says_and_gets_there_by_the_schedule(schedule: str, strategy: Any) -> None:
    net = plain()
    res = run(net, strategy=strategy, schedule=schedule, epochs=4)
    totals = [sum(sizes.values()) for sizes in res.sizes]
    assert len(totals) == 6
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] == {"PerLayer": 9, "Global": 8}[type(strategy).__name__]
    assert {g: len(left) for g, left in res.kept.items()} == res.sizes[-1]
    assert res.net.neurons["dense1"].size == res.sizes[-1]["dense1"]
    res.plan.check(net)
    assert len(res.plan) == 20 - totals[-1]


def test_input_features_are_pruned_when_they_are_asked_for() -> None:
    x = np.concatenate([X, np.zeros((60, 2)), X[:, :2]], axis=1)  # features 6 and 7 say nothing
    net = mp.Sequential(mp.Dense(10, 12), mp.ReLU(), mp.Dense(12, 3), dtype=np.float64)
    res = run(net, (x, Y), mp.PerLayer({"input": 5, "dense1": 4}), groups=["input", "dense1"], epochs=20)
    assert {g: len(left) for g, left in res.kept.items()} == {"input": 5, "dense1": 8}
    assert not {6, 7} & set(res.kept["input"])
    assert res.net(x).shape == (60, 3)
    moved = x.copy()
    moved[:, res.plan.drop["input"]] += 7
    np.testing.assert_array_equal(res.net(moved), res.net(x))
    np.testing.assert_array_equal(mp.remove(net, res.plan).buffers["input.select.index"], res.kept["input"])


@pytest.mark.parametrize("name", [n for n in SINGLE_INPUT if hidden(EXAMPLES[n]()) and n != "softmax output"])
def test_every_wiring_can_be_pruned_while_it_trains(name: str) -> None:
    net = EXAMPLES[name]()
    data = samples(net, n=12)
    amount = 1 if name in ("grouped input", "tied across concat") else 2  # a second would empty a layer
    res = run(net, data, mp.Global(amount), batch_size=6, every=1, optimizer=mp.Adam(1e-3))
    small = mp.remove(net, res.plan)
    assert {k: v.shape for k, v in small.params.items()} == {k: v.shape for k, v in res.net.params.items()}
    assert np.isfinite(res.net(data[0])).all()
    assert all(slot.shape == res.net.params[k].shape for k, s in res.state.slots.items() for slot in s.values())
    mp.fit(res.net, data, epochs=1, state=res.state, progress=False)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    first, same, other = (run(network(np.float32), rng=seed) for seed in (1, 1, 2))
    assert bytes_of(first.net) == bytes_of(same.net)
    assert bytes_of(first.net) != bytes_of(other.net)
    assert repr(first) == "<TrainedAndPruned: 3 epoch(s), 5 cuts, dense1 6, dense2 4 left>"


def test_it_goes_on_from_the_state_of_an_earlier_training_which_is_not_changed() -> None:
    net = plain()
    state = mp.fit(net, (X, Y), epochs=1, batch_size=20, progress=False).state
    before = state.slots["dense1.W"]["m"].copy()
    assert run(net, state=state).state.step == 3 + 9
    assert np.array_equal(state.slots["dense1.W"]["m"], before)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"epochs": 0}, DataError, "prune_while_training: epochs is 0, expected a whole number of at least 1"),
        ({"every": 2.5}, DataError, "prune_while_training: every is 2.5, expected a whole number of at least 1"),
        ({"batch_size": -1}, DataError, "prune_while_training: batch_size is -1, expected a whole number"),
        ({"decay": 1.0}, DataError, "prune_while_training: decay is 1.0, expected at least 0 and below 1"),
        ({"criterion": "magnitude_l2"}, DataError, "criterion is 'magnitude_l2', expected one of .*taylor_squared"),
        ({"criterion": "best"}, DataError, "criterion is 'best', expected one of .*taylor_squared"),
        ({"schedule": "square"}, PlanError, "unknown schedule 'square'; expected one of linear, cubic, exponential"),
        (
            {"groups": "dense1"},
            PlanError,
            r"groups is 'dense1', expected a list of names, such as \['dense1', 'dense2'\]",
        ),
        ({"groups": []}, PlanError, r"groups is \[\], expected a list of names"),
        ({"groups": ["dense9"]}, StructureError, "no group is called 'dense9'"),
        ({"groups": ["dense3"]}, PlanError, "dense3: output; its neurons are never removed"),
        ({"strategy": mp.PerLayer(12)}, PlanError, "neurons were to go, but 1 must stay"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        run(plain(), **settings)


def test_a_training_that_diverges_says_so_without_warnings() -> None:
    net = mp.Sequential(mp.Dense(6, 8), mp.ReLU(), mp.Dense(8, 1))
    with pytest.raises(TrainingError, match=r"step \d+: the loss is (nan|inf); try a smaller learning rate"):
        run(net, (X, X[:, 0] * 100), optimizer=mp.SGD(1e6), every=1000, epochs=9)
    with pytest.raises(StructureError, match="softmax1 is a Softmax, but cross_entropy takes what comes before"):
        run(mp.Sequential(mp.Dense(6, 4), mp.ReLU(), mp.Dense(4, 3), mp.Softmax()))
