"""Law: the order of a group's neurons is a matter of names: permuting it permutes scores, and no output."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from networks import EXAMPLES, SINGLE_INPUT, inputs, networks, samples, scorable

import minprune as mp
from minprune.neurons import NeuronGroup, hidden
from minprune.nn import Graph
from minprune.scores import CRITERIA

NOT_ALIKE = ("selects", "nested", "tied across concat")  # neurons there differ in how many entries are theirs
PERMUTABLE = [name for name in CRITERIA if name not in ("random", "shapley")]  # these draw


def permuted(net: Graph, group: NeuronGroup, order: list[int]) -> Graph | None:
    """The network with neuron ``order[j]`` in the place of neuron j; None where neurons differ in what is theirs."""
    arrays = {name: array.copy() for name, array in net.arrays.items()}
    for piece in group.slices:
        taken = np.arange(len(piece.owner))
        for j, other in enumerate(order):
            mine, theirs = piece.positions(j), piece.positions(other)
            if len(mine) != len(theirs) or (piece.array.endswith(".index") and j != other):
                return None
            taken[mine] = theirs
        arrays[piece.array] = np.take(arrays[piece.array], taken, axis=piece.axis)
    return net.with_arrays(arrays)


def assert_scores_move_along(net: Graph, group: NeuronGroup, order: list[int], data: Any) -> bool:
    other = permuted(net, group, order)
    if other is None:
        return False
    np.testing.assert_allclose(other(data[0]), net(data[0]), rtol=1e-9, atol=1e-9)
    for criterion in (name for name in PERMUTABLE if scorable(net, name)):
        before, after = (mp.score(made, data, criterion) for made in (net, other))
        for name, values in before.items():
            expected, found = values[order] if name == group.name else values, after[name]
            if criterion.startswith("inverse"):  # a slope of rounding errors alone has no inverse worth comparing
                expected, found = 1 / expected, 1 / found
            scale = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9 * scale, err_msg=criterion)
    return True


@pytest.mark.parametrize("name", [n for n in SINGLE_INPUT if hidden(EXAMPLES[n]())])
def test_permuting_the_neurons_of_any_wiring_permutes_their_scores(name: str) -> None:
    net = EXAMPLES[name]()
    for group_name in hidden(net):
        group = net.neurons[group_name]
        order = np.random.default_rng(4).permutation(group.size).tolist()
        assert assert_scores_move_along(net, group, order, samples(net)) or name in NOT_ALIKE


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_permuting_the_neurons_of_a_random_graph_permutes_their_scores(data: st.DataObject) -> None:
    net = data.draw(networks())
    groups = hidden(net)
    if not groups:
        return
    group = net.neurons[data.draw(st.sampled_from(groups))]
    order = data.draw(st.permutations(range(group.size)))
    note(f"{net.summary()}\n{group.name}: {order}")
    assert_scores_move_along(net, group, order, samples(net))


@settings(max_examples=60)
@given(st.data())
def test_permuting_any_group_leaves_the_output_alone(data: st.DataObject) -> None:
    net = data.draw(networks())
    free = [group for group in net.neurons.values() if not group.stays and group.name != "input"]
    for group in free:
        other = permuted(net, group, data.draw(st.permutations(range(group.size))))
        if other is not None:
            np.testing.assert_allclose(other(inputs(net)), net(inputs(net)), rtol=1e-9, atol=1e-9)


def test_a_plan_made_for_permuted_neurons_is_the_permuted_plan() -> None:
    net = EXAMPLES["cnn"]()
    order = [2, 0, 3, 1]
    other = permuted(net, net.neurons["conv1"], order)
    assert other is not None
    plan = mp.decide(mp.score(net, samples(net)), mp.PerLayer({"conv1": 2}))
    moved = mp.decide(mp.score(other, samples(net)), mp.PerLayer({"conv1": 2}))
    assert moved.drop["conv1"] == sorted(order.index(j) for j in plan.drop["conv1"])
