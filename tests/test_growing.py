"""Growing: new neurons change no output, and leave again without a trace; turnover keeps a network's size."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from networks import EXAMPLES, inputs, networks, samples

import minprune as mp
from minprune.errors import PlanError, StructureError
from minprune.layers import Select
from minprune.neurons import hidden, staying
from minprune.nn import Graph
from minprune.pruning.growing import added, grow, grown_state
from minprune.pruning.turnover import drop_and_grow


def growable(net: Graph) -> list[str]:
    """The hidden groups whose neurons all have as much of every array, and none of a Select's index."""

    def alike(name: str) -> bool:
        group = net.neurons[name]
        amounts = [{len(piece.positions(j)) for j in range(group.size)} for piece in group.slices]
        return all(len(each) == 1 for each in amounts) and not any(p.array.endswith(".index") for p in group.slices)

    return [name for name in hidden(net) if alike(name)]


def assert_nothing_changes(net: Graph, counts: dict[str, int], seed: int = 0) -> None:
    grown = grow(net, counts, rng=seed)
    for name, count in counts.items():
        assert grown.neurons[name].size == net.neurons[name].size + count
    xs = inputs(net)
    np.testing.assert_allclose(grown(xs), net(xs), rtol=1e-11, atol=1e-11)
    back = mp.remove(grown, mp.Plan(added(net, grown, counts)))
    assert {k: v.tobytes() for k, v in back.arrays.items()} == {k: v.tobytes() for k, v in net.arrays.items()}
    assert [node.layer for node in back.nodes.values()] == [node.layer for node in net.nodes.values()]


@pytest.mark.parametrize("name", [n for n in EXAMPLES if hidden(EXAMPLES[n]()) and n != "tied across concat"])
def test_added_neurons_change_no_output_of_any_wiring_and_leave_without_a_trace(name: str) -> None:
    net = EXAMPLES[name]()
    groups = growable(net)
    for group in groups:
        assert_nothing_changes(net, {group: 2})
    assert_nothing_changes(net, dict.fromkeys(groups, 1), seed=3)
    for group in set(hidden(net)) - set(groups):
        with pytest.raises(StructureError):
            grow(net, {group: 1})
    assert groups == hidden(net) or name in ("selects", "nested")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_added_neurons_change_no_output_of_random_networks(data: st.DataObject) -> None:
    net = data.draw(networks())
    counts = {group: data.draw(st.integers(0, 3)) for group in growable(net)}
    note(f"{counts} in {net.nodes}")
    assert_nothing_changes(net, counts, data.draw(st.integers(0, 9)))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_in_rationals_the_outputs_are_exactly_the_same(data: st.DataObject) -> None:
    net = data.draw(networks(exact=True))
    groups = growable(net)
    grown = grow(net, dict.fromkeys(groups, 1))
    x = np.arange(int(np.prod(next(iter((net.input_shapes or {}).values())))), dtype=int)
    xs = (x % 5 - 2).reshape(1, *next(iter((net.input_shapes or {}).values())))
    assert (grown(xs) == net(xs)).all()
    assert all(isinstance(value, Fraction) for array in grown.params.values() for value in array.flat)


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual, projected", "depthwise", "concat, flatten", "grouped"])
def test_new_neurons_compute_something_and_their_readers_can_learn_to_read_them(name: str) -> None:
    net = EXAMPLES[name]()
    group = hidden(net)[0]
    grown = grow(net, {group: 2}, rng=1)
    data = samples(net, n=20)
    grads = mp.record(grown, *data, loss="mse").grads
    new = added(net, grown, [group])[group]
    for piece in grown.neurons[group].produced:
        if piece.array.endswith(".W"):
            made = np.moveaxis(grown.params[piece.array], piece.axis, 0)[np.isin(piece.owner, new)]
            assert made.all()
    read = [np.moveaxis(grads[p.array], p.axis, 0)[np.isin(p.owner, new)] for p in grown.neurons[group].consumed]
    assert any(gradient.any() for gradient in read)
    assert not any(
        np.moveaxis(grown.params[p.array], p.axis, 0)[np.isin(p.owner, new)].any()
        for p in grown.neurons[group].consumed
    )


def test_new_weights_have_the_scale_of_a_new_layer_and_follow_from_the_seed() -> None:
    net = mp.Sequential(mp.Dense(200, 3), mp.BatchNorm(3), mp.ReLU(), mp.Dense(3, 2), dtype=np.float64)
    mp.fit(net, (np.random.default_rng(0).standard_normal((20, 200)), np.arange(20) % 2), epochs=1, progress=False)
    grown, same, other = (grow(net, {"dense1": 100}, rng=seed) for seed in (1, 1, 2))
    W = grown.params["dense1.W"][3:]
    assert W.std() == pytest.approx(np.sqrt(2 / 200), rel=0.05)
    assert not grown.params["dense1.b"][3:].any()
    assert (grown.params["batchnorm1.gamma"][3:] == 1).all()
    assert (grown.buffers["batchnorm1.var"][3:] == 1).all()
    assert (grown.buffers["batchnorm1.mean"][:3] == net.buffers["batchnorm1.mean"]).all()
    assert np.array_equal(W, same.params["dense1.W"][3:])
    assert not np.array_equal(W, other.params["dense1.W"][3:])


@pytest.mark.parametrize("name", ["mlp", "cnn", "depthwise", "concat, flatten"])
def test_the_optimisers_memory_of_old_entries_goes_along_and_is_cut_off_again_with_the_new(name: str) -> None:
    net = EXAMPLES[name]()
    data = samples(net, n=8)
    state = mp.fit(net, data, epochs=2, progress=False).state
    grown = grow(net, dict.fromkeys(hidden(net), 2))
    larger = grown_state(state, net, grown)
    back = larger.sliced(staying(grown, added(net, grown, hidden(net))))
    assert larger.step == state.step
    for param, slots in state.slots.items():
        for slot, array in slots.items():
            assert larger.slots[param][slot].shape == grown.params[param].shape
            assert np.array_equal(back.slots[param][slot], array)
            assert np.count_nonzero(larger.slots[param][slot]) == np.count_nonzero(array)
    mp.fit(grown, data, epochs=1, state=larger, progress=False)


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        ({"dense9": 1}, StructureError, "no group is called 'dense9'"),
        ({"dense3": 1}, PlanError, "dense3: output; no neurons are added to it"),
        ({"input": 1}, StructureError, "input: input features are given, none can be added"),
        ({"dense1": -1}, PlanError, "dense1: -1 neurons were to be added, expected a whole number of at least 0"),
        ({"dense1": 1.5}, PlanError, "dense1: 1.5 neurons were to be added"),
        ({"dense1": True}, PlanError, "dense1: True neurons were to be added"),
    ],
)
def test_growth_that_makes_no_sense_is_refused_by_name(counts: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        grow(EXAMPLES["mlp"](), counts)


def test_groups_that_cannot_grow_say_why() -> None:
    with pytest.raises(StructureError, match="a: not all its neurons are made and read by the same layers"):
        grow(EXAMPLES["tied across concat"](), {"a": 1})
    behind = mp.Sequential(mp.Dense(3, 4), Select(4, 4), mp.Dense(4, 2))
    with pytest.raises(StructureError, match="dense1: a Select stands behind it and would not let new neurons through"):
        grow(behind, {"dense1": 1})


# turnover --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual", "depthwise", "concat, flatten"])
def test_turnover_keeps_the_structure_and_the_network_that_was_given(name: str) -> None:
    net = EXAMPLES[name]()
    before = {k: v.tobytes() for k, v in net.arrays.items()}
    data = samples(net, n=16)
    res = drop_and_grow(net, data, share=0.4, rounds=3, progress=False)
    assert {k: v.shape for k, v in res.net.arrays.items()} == {k: v.shape for k, v in net.arrays.items()}
    assert {k: v.tobytes() for k, v in net.arrays.items()} == before
    assert len(res.history) == len(res.replaced) == 3
    assert res.history[-1].loss == mp.evaluate(res.net, data, runtime=()).loss
    assert res.state.step == 3


def test_a_round_is_score_remove_grow_and_train() -> None:
    net = EXAMPLES["mlp"]()
    data = samples(net, n=16)
    how = mp.FineTune(epochs=2)
    res = drop_and_grow(net, data, "taylor", share=0.5, rounds=1, finetune=how, rng=7, progress=False)
    rng = np.random.default_rng(7)
    plan = mp.decide(mp.score(net, data, "taylor"), mp.PerLayer(0.5))
    grown = grow(mp.remove(net, plan), {"dense1": 2, "dense2": 2}, rng)
    mp.fit(grown, data, epochs=2, rng=rng, progress=False)
    assert {k: v.tobytes() for k, v in res.net.arrays.items()} == {k: v.tobytes() for k, v in grown.arrays.items()}
    assert repr(res) == "<Turnover: 1 round(s), 4 neurons replaced>"


def test_fewer_and_fewer_neurons_are_replaced() -> None:
    net = mp.Sequential(mp.Dense(4, 100), mp.ReLU(), mp.Dense(100, 3))
    data = (np.random.default_rng(0).standard_normal((30, 4)), np.arange(30) % 3)
    res = drop_and_grow(net, data, share=0.4, rounds=4, progress=False)
    assert [counts["dense1"] for counts in res.replaced] == [
        int(100 * 0.2 * (1 + np.cos(np.pi * t / 4)) + 1e-9) for t in range(4)
    ]


def test_turnover_that_makes_no_sense_is_refused() -> None:
    net = EXAMPLES["mlp"]()
    data = samples(net)
    with pytest.raises(PlanError, match="rounds is 0, expected a whole number of at least 1"):
        drop_and_grow(net, data, rounds=0)
    with pytest.raises(PlanError, match="share is 1, expected a fraction above 0 and below 1"):
        drop_and_grow(net, data, share=1)
    depthwise = EXAMPLES["depthwise"]()
    with pytest.raises(StructureError, match="round 1: a layer that was left with a single channel does not grow back"):
        drop_and_grow(depthwise, samples(depthwise), share=0.9, groups=["conv1"])
