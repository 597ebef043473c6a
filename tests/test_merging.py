"""Merging: a dropped neuron's outgoing weights go to its nearest partner, without data."""

from fractions import Fraction

import numpy as np
import pytest
from networks import EXAMPLES, inputs

import minprune as mp
from minprune.errors import DtypeError, StructureError


def scaled_twin(net: mp.Graph, group: str, j: int, k: int, scale: float) -> mp.Graph:
    """Make neuron k's incoming weights and bias a multiple of neuron j's."""
    for piece in net.neurons[group].produced:
        array = net.params[piece.array]
        array[piece.positions(k)] = scale * array[piece.positions(j)]
    return net


MULTIPLES = {
    "mlp": ("dense1", 2.5),
    "leaky relu, dropout": ("dense1", 0.2),
    "conv1d": ("conv1", 3.0),
    "cnn, odd sizes": ("conv1", 2.0),
    "concat with itself": ("dense1", 1.5),
    "added to itself": ("h", 0.5),
    "grouped input": ("conv1", 2.0),
    "grouped": ("conv1", 3.0),
    "image and vector": ("c", 4.0),
    "concat, flatten": ("conv1", 2.0),
    "sigmoid": ("dense1", 1.0),  # not in proportion to z: only twins
    "average pooling": ("conv1", 1.0),
    "read in two places": ("h", 1.0),
}


@pytest.mark.parametrize(("name", "group", "scale"), [(name, *case) for name, case in MULTIPLES.items()])
def test_a_neuron_that_is_a_multiple_of_another_leaves_without_loss(name: str, group: str, scale: float) -> None:
    net = EXAMPLES[name]()
    scaled_twin(net, group, 0, 1, scale)
    x = inputs(net, n=10)
    plan = mp.Plan({group: [1]})
    repaired, bare = mp.remove(net, plan, repair="merge"), mp.remove(net, plan)
    np.testing.assert_allclose(repaired(x), net(x), rtol=1e-12, atol=1e-12)
    assert not np.allclose(bare(x), net(x))
    assert repaired.certificate == bare.certificate


def test_several_neurons_can_go_to_one_partner_and_groups_on_either_side_of_a_reader_are_cut() -> None:
    net = EXAMPLES["mlp"]()
    scaled_twin(net, "dense1", 2, 0, 2.0)
    scaled_twin(net, "dense1", 2, 4, 3.0)
    scaled_twin(net, "dense2", 1, 3, 1.0)
    repaired = mp.remove(net, mp.Plan({"dense1": [0, 4], "dense2": [3]}), repair="merge")
    W = net.params["dense2.W"]
    expected = np.column_stack([W[:, 1], W[:, 2] + 2 * W[:, 0] + 3 * W[:, 4], W[:, 3]])[:3]
    np.testing.assert_allclose(repaired.params["dense2.W"], expected, rtol=1e-12)
    x = inputs(net, n=10)
    np.testing.assert_allclose(repaired(x), net(x), rtol=1e-12)


@pytest.mark.parametrize("name", ["mlp", "sigmoid"])
def test_the_partner_is_the_nearest_by_brute_force(name: str) -> None:
    net = EXAMPLES[name]()
    v = np.column_stack([net.params["dense1.W"], net.params["dense1.b"]])
    expected = net.params["dense2.W"][:, [0, 2, 3]]
    for j in (1, 4):
        scales = [max(0, v[j] @ v[i] / (v[i] @ v[i])) if name == "mlp" else 1.0 for i in (0, 2, 3)]
        at = np.argmin([np.linalg.norm(v[j] - c * v[i]) for c, i in zip(scales, (0, 2, 3), strict=True)])
        expected[:, at] += scales[at] * net.params["dense2.W"][:, j]
    repaired = mp.remove(net, mp.Plan({"dense1": [1, 4]}), repair="merge")
    np.testing.assert_allclose(repaired.params["dense2.W"], expected, rtol=1e-12)


def test_a_neuron_that_points_away_from_all_others_is_not_merged_behind_relu() -> None:
    net = mp.Sequential(mp.Dense(1, 2), mp.ReLU(), mp.Dense(2, 1), dtype=np.float64)
    net.params["dense1.W"], net.params["dense1.b"] = [[1.0], [-1.0]], [0.0, 0.0]
    repaired = mp.remove(net, mp.Plan({"dense1": [1]}), repair="merge")
    np.testing.assert_array_equal(repaired.params["dense2.W"], net.params["dense2.W"][:, :1])


def test_a_partner_of_zero_weights_takes_nothing_behind_relu() -> None:
    net = mp.Sequential(mp.Dense(1, 2), mp.ReLU(), mp.Dense(2, 1), dtype=np.float64)
    net.params["dense1.W"] = [[0.0], [1.0]]
    repaired = mp.remove(net, mp.Plan({"dense1": [1]}), repair="merge")
    np.testing.assert_array_equal(repaired.params["dense2.W"], net.params["dense2.W"][:, :1])


def test_what_it_was_given_stays_as_it_was_and_an_empty_plan_changes_nothing() -> None:
    net = EXAMPLES["mlp"]()
    before = {key: array.copy() for key, array in net.arrays.items()}
    mp.remove(net, mp.Plan({"dense1": [1]}), repair="merge")
    same = mp.remove(net, mp.Plan({"dense1": []}), repair="merge")
    for key, array in before.items():
        np.testing.assert_array_equal(net.arrays[key], array)
        np.testing.assert_array_equal(same.arrays[key], array)


@pytest.mark.parametrize(
    ("name", "group", "message"),
    [
        ("mlp", "input", "input: merging compares the weights of a single layer, and this group is made by several or"),
        ("residual", "dense1", "dense1: merging compares the weights of a single layer"),
        ("depthwise", "conv1", "conv1: merging compares the weights of a single layer"),
        ("cnn", "conv1", "conv1: a batchnorm stands between these neurons and maxpool1"),
    ],
)
def test_neurons_whose_weights_do_not_tell_what_they_compute_are_refused(name: str, group: str, message: str) -> None:
    with pytest.raises(StructureError, match=f"{message}.*use repair='least_squares'"):
        mp.remove(EXAMPLES[name](), mp.Plan({group: [0]}), repair="merge")


def test_masked_networks_and_those_of_other_numbers_are_refused() -> None:
    net, plan = EXAMPLES["mlp"](), mp.Plan({"dense1": [0]})
    with pytest.raises(StructureError, match=r"dense1: a gate stands between these neurons and relu1.gate"):
        mp.remove(mp.mask(net, plan), plan, repair="merge")
    with pytest.raises(DtypeError, match="merging needs a network of floats, got object; use repair='mean' or astype"):
        mp.remove(EXAMPLES["mlp without bias"]().astype(Fraction), plan, repair="merge")
