"""Sizes without making the network: exactly those of the network that is made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from networks import EXAMPLES, inputs, networks

import minprune as mp
from minprune.errors import MinpruneError
from minprune.nn import Graph
from minprune.pruning.sizes import Neuron, macs_saved, sizes_along, sizes_without
from minprune.reports import macs


def measured(net: Graph) -> dict[str, int]:
    """What `evaluate` says of a network."""
    x = inputs(net, n=2)
    found = mp.evaluate(net, (x, np.zeros((2, *net(x).shape[1:]))), loss="mse", runtime=(), progress=False)
    return {"params": found.params, "macs": found.macs, "bytes": found.bytes_memory}


def possible(net: Graph, order: list[Neuron]) -> list[Neuron]:
    """Of the neurons in this order those that can go, one after the other."""
    going: list[Neuron] = []
    for neuron in order:
        try:
            plan([*going, neuron]).check(net)
        except MinpruneError:
            continue
        going.append(neuron)
    return going


def plan(order: list[Neuron]) -> mp.Plan:
    return mp.Plan({group: [j for other, j in order if other == group] for group, _ in order})


def everybody(net: Graph) -> list[Neuron]:
    """All neurons that are no outputs, input features among them."""
    return [(group.name, j) for group in net.neurons.values() if not group.stays for j in range(group.size)]


def assert_sizes_are_those_of_the_removed(net: Graph, order: list[Neuron]) -> None:
    along = sizes_along(net, order)
    for k in range(len(order) + 1):
        found = {name: int(counts[k]) for name, counts in along.items()}
        assert found == measured(mp.remove(net, plan(order[:k]))), f"without {order[:k]}"
    assert {name: after for name, (_, after) in sizes_without(net, plan(order).drop).items()} == found


@pytest.mark.parametrize("name", EXAMPLES)
def test_sizes_along_any_removals_are_those_of_the_removed_network(name: str) -> None:
    net = EXAMPLES[name]()
    order = everybody(net)
    np.random.default_rng(3).shuffle(order)
    assert_sizes_are_those_of_the_removed(net, possible(net, [(group, int(j)) for group, j in order]))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_sizes_of_a_random_graph_are_those_of_the_removed_network(data: st.DataObject) -> None:
    net = data.draw(networks())
    order = possible(net, data.draw(st.permutations(everybody(net))))[:6]
    note(f"{net.summary()}\n{order}")
    assert_sizes_are_those_of_the_removed(net, order)


def test_float16_and_float32_count_their_bytes() -> None:
    for dtype in (np.float16, np.float32):
        net = EXAMPLES["cnn"]().astype(dtype)
        assert_sizes_are_those_of_the_removed(net, [("conv1", 2), ("conv2", 0), ("conv1", 0)])


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_macs_that_a_neuron_saves_are_those_that_are_missing_without_it(name: str) -> None:
    net = EXAMPLES[name]()
    before = sum(macs(net, net.input_shapes or {}).values())
    for group in (group for group in net.neurons.values() if not group.stays and group.size > 1):
        saved: Any = macs_saved(net, group)
        for j in range(group.size):
            small = mp.remove(net, mp.Plan({group.name: [j]}))
            assert saved[j] == before - sum(macs(small, small.input_shapes or {}).values()) > 0, (group.name, j)


def test_a_weight_whose_row_and_column_leave_counts_once() -> None:
    net = mp.Sequential(mp.Dense(2, 3), mp.ReLU(), mp.Dense(3, 3), mp.ReLU(), mp.Dense(3, 2))
    assert sizes_without(net, {"dense1": [0], "dense2": [1]})["macs"] == (6 + 9 + 6, 4 + 4 + 4)
