"""Batch-norm scales and distances between filters."""

import numpy as np
import pytest
from networks import EXAMPLES

import minprune as mp
from minprune.errors import DataError
from minprune.neurons import hidden


def test_the_scale_of_a_channel_is_the_modulus_of_its_gamma() -> None:
    net = EXAMPLES["cnn"]()
    net.params["batchnorm1.gamma"] = [1, -2, 0, 0.5]
    assert mp.score(net, criterion="bn_scale", groups=["conv1"])["conv1"].tolist() == [1, 2, 0, 0.5]


def test_scales_of_several_batch_norms_are_summed() -> None:
    net = EXAMPLES["residual, pre-activation"]()  # three channels in a stream that two batch-norms read
    gammas = [array for name, array in net.params.items() if name.endswith(".gamma") and len(array) == 3]
    touched = [piece.array for piece in net.neurons["conv1"].carried if piece.array.endswith(".gamma")]
    assert len(gammas) == 3
    assert len(touched) == 2
    expected = sum(np.abs(net.params[name]) for name in touched)
    np.testing.assert_allclose(mp.score(net, criterion="bn_scale", groups=["conv1"])["conv1"], expected, rtol=1e-12)


def test_both_channels_of_a_neuron_count() -> None:
    net = EXAMPLES["depthwise with multiplier 2"]()
    net.params["batchnorm1.gamma"] = [1, -2, 3, 4, 5, -6]
    assert mp.score(net, criterion="bn_scale", groups=["conv1"])["conv1"].tolist() == [3, 7, 11]


@pytest.mark.parametrize(("name", "group", "j"), [("cnn", "conv2", 0), ("concat, flatten", "conv1", 0)])
def test_a_group_without_a_batch_norm_is_refused_by_name(name: str, group: str, j: int) -> None:
    net = EXAMPLES[name]()
    with pytest.raises(
        DataError, match=f"{group}: neuron {j} passes no batch-norm, so it has no scale; leave the group"
    ):
        mp.score(net, criterion="bn_scale")


def test_a_group_of_which_one_neuron_passes_no_batch_norm_is_refused_too() -> None:
    a, b = mp.Sequential(mp.Dense(3, 2), mp.BatchNorm(2)), mp.Dense(3, 1)
    net = mp.Sequential(mp.Residual(mp.Concat(a, b), mp.Dense(3, 3)), mp.Dense(3, 2))
    (group,) = hidden(net)
    with pytest.raises(DataError, match=rf"{group}: neuron 2 passes no batch-norm"):
        mp.score(net, criterion="bn_scale")


@pytest.mark.parametrize("name", ["mlp", "cnn", "depthwise", "residual, projected", "conv1d"])
def test_fpgm_is_the_sum_of_distances_in_plain_loops(name: str) -> None:
    net = EXAMPLES[name]()
    for group, values in mp.score(net, criterion="fpgm").items():
        found = net.neurons[group]
        weights = [piece for piece in found.produced if piece.array.endswith(".W")]

        def row(j: int, weights: list = weights) -> list[float]:  # type: ignore[type-arg]
            return [float(w) for piece in weights for w in net.params[piece.array][piece.positions(j)].ravel()]

        for j, value in enumerate(values):
            distances = [
                sum((a - b) ** 2 for a, b in zip(row(j), row(i), strict=True)) ** 0.5 for i in range(found.size)
            ]
            assert value == pytest.approx(sum(distances), rel=1e-12), f"{group}[{j}]"


def test_fpgm_by_hand_takes_opposite_filters_for_far_apart() -> None:
    """At (3, 4), (−3, −4) and (0, 0): 5 and 10 from each other. Distances of moduli would call the first two one."""
    net = mp.Sequential(mp.Dense(2, 3), mp.ReLU(), mp.Dense(3, 1))
    net.params["dense1.W"], net.params["dense1.b"] = [[3, 4], [-3, -4], [0, 0]], [9, 8, 7]
    assert mp.score(net, criterion="fpgm")["dense1"].tolist() == [15, 15, 10]


def test_a_producer_that_does_not_make_a_neuron_gives_it_zeros() -> None:
    """Neurons 0, 1 are made by a and c, 2 by b and c, 3 and 4 by b and d."""
    net = EXAMPLES["tied across concat"]()
    W = {name: net.params[f"{name}.W"] for name in "abcd"}
    none = np.zeros(3)
    rows = [
        *(np.concatenate([W["a"][j], none, W["c"][j], none]) for j in range(2)),
        np.concatenate([none, W["b"][0], W["c"][2], none]),
        *(np.concatenate([none, W["b"][j + 1], none, W["d"][j]]) for j in range(2)),
    ]
    expected = [sum(np.linalg.norm(row - other) for other in rows) for row in rows]
    np.testing.assert_allclose(mp.score(net, criterion="fpgm")["a"], expected, rtol=1e-12)


def test_what_no_layer_makes_has_no_filters() -> None:
    with pytest.raises(DataError, match="input: no layer makes it, so it has no filters to compare"):
        mp.score(EXAMPLES["mlp"](), criterion="fpgm", groups=["input"])


def test_the_product_of_lengths_does_not_see_a_rescaling() -> None:
    net = EXAMPLES["mlp"]()
    before = mp.score(net, criterion="magnitude_product")["dense1"]
    net.params["dense1.W"][2] *= 8
    net.params["dense2.W"][:, 2] /= 8
    np.testing.assert_allclose(mp.score(net, criterion="magnitude_product")["dense1"], before, rtol=1e-12)
