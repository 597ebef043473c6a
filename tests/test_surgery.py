"""Surgery: mask, remove and the certificate; the law itself is tested in tests/laws."""

from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, inputs, whole

import minprune as mp
from minprune.errors import DataError, MinpruneError, PlanError, ShapeError
from minprune.layers import Gate, Select
from minprune.pruning.surgery import certify


def snapshot(net: mp.Graph) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in net.arrays.items()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_neither_verb_changes_the_network_or_shares_its_arrays(name: str) -> None:
    net = EXAMPLES[name]()
    group = next(g for g in net.neurons.values() if not g.stays and g.size > 1)
    before, nodes = snapshot(net), dict(net.nodes)
    for other in (mp.mask(net, mp.Plan({group.name: [0]})), mp.remove(net, mp.Plan({group.name: [0]}))):
        for array in other.arrays.values():
            array[...] = 0
    assert snapshot(net) == before
    assert net.nodes == nodes


def test_a_masked_network_keeps_all_weights_and_closes_gates_after_the_activation() -> None:
    net = EXAMPLES["sigmoid"]()
    masked = mp.mask(net, mp.Plan({"dense1": [1, 3]}))
    assert masked.buffers["sigmoid1.gate.m"].tolist() == [1, 0, 1, 0, 1]
    assert all(np.array_equal(masked.params[name], array) for name, array in net.params.items())
    values = masked.run(masked.take(inputs(net)), masked.arrays)
    assert (values["sigmoid1"] > 0).all()  # before the gate; were it before the sigmoid, σ(0) = ½ would be read
    assert (values["sigmoid1.gate"][:, [1, 3]] == 0).all()


def test_masking_is_reversible() -> None:
    net = EXAMPLES["cnn"]()
    masked = mp.mask(net, mp.Plan({"conv1": [0, 2], "conv2": [1]}))
    assert not np.allclose(masked(inputs(net)), net(inputs(net)))
    for name, array in masked.buffers.items():
        if name.endswith(".m"):
            array[:] = 1
    assert masked(inputs(net)).tobytes() == net(inputs(net)).tobytes()


def test_masks_add_up() -> None:
    net = EXAMPLES["mlp"]()
    twice = mp.mask(mp.mask(net, mp.Plan({"dense1": [0]})), mp.Plan({"dense1": [3], "dense2": [1]}))
    once = mp.mask(net, mp.Plan({"dense1": [0, 3], "dense2": [1]}))
    assert twice(inputs(net)).tobytes() == once(inputs(net)).tobytes()
    assert (
        sum(isinstance(node.layer, Gate) for node in twice.nodes.values()) == 2
    )  # one where each of the two groups is read


def test_removal_from_a_masked_network_takes_the_gates_entries_along() -> None:
    net = EXAMPLES["cnn"]()
    plan = mp.Plan({"conv1": [0, 2], "conv2": [1]})
    small = mp.remove(mp.mask(net, plan), plan)
    assert small.buffers["maxpool1.gate.m"].tolist() == [1, 1]
    np.testing.assert_allclose(small(inputs(net)), mp.remove(net, plan)(inputs(net)), rtol=1e-13, atol=1e-13)


def test_what_stays_is_cut_out_of_every_array_in_order() -> None:
    net = EXAMPLES["cnn"]()
    small = mp.remove(net, mp.Plan({"conv1": [1, 2], "conv2": [0]}))
    stay, stay2 = [0, 3], [1, 2]
    for name in ("conv1.W", "conv1.b", "batchnorm1.gamma", "batchnorm1.beta"):
        np.testing.assert_array_equal(small.params[name], net.params[name][stay])
    for name in ("batchnorm1.mean", "batchnorm1.var"):
        np.testing.assert_array_equal(small.buffers[name], net.buffers[name][stay])
    np.testing.assert_array_equal(small.params["conv2.W"], net.params["conv2.W"][stay2][:, stay])
    np.testing.assert_array_equal(small.params["dense1.W"], net.params["dense1.W"][:, stay2])
    np.testing.assert_array_equal(small.params["dense1.b"], net.params["dense1.b"])
    layers = {name: node.layer for name, node in small.nodes.items()}
    assert (layers["conv1"].outputs, layers["conv2"].inputs, layers["conv2"].outputs) == (2, 2, 2)
    assert (layers["batchnorm1"].size, layers["dense1"].inputs) == (2, 2)
    assert small.dtype == net.dtype


def test_a_grouped_convolution_keeps_its_groups_and_a_depthwise_one_a_group_per_channel() -> None:
    small = mp.remove(EXAMPLES["grouped"](), mp.Plan({"conv1": [1], "conv2": [0]}))
    conv = small.nodes["conv2"].layer
    assert (conv.inputs, conv.outputs, conv.groups) == (4, 2, 2)
    small = mp.remove(EXAMPLES["depthwise with multiplier 2"](), mp.Plan({"conv1": [1]}))
    conv = small.nodes["conv2"].layer
    assert (conv.inputs, conv.outputs, conv.groups) == (2, 4, 2)


@pytest.mark.parametrize("name", ["depthwise", "depthwise with multiplier 2"])
def test_a_depthwise_convolution_survives_down_to_one_channel(name: str) -> None:
    net = EXAMPLES[name]()
    keep = 1
    small = mp.remove(net, mp.Plan({"conv1": [j for j in range(net.neurons["conv1"].size) if j != keep]}))
    assert small.certificate.ok
    assert small.nodes["conv2"].layer.groups == 1
    assert "conv2" in small.neurons  # reading one channel it is depthwise no more: its filters are neurons of their own


# --- inputs ----------------------------------------------------------------------------------------------------------


def test_dropped_features_leave_a_select_behind_and_the_network_takes_the_same_inputs() -> None:
    net = EXAMPLES["mlp"]()
    small = mp.remove(net, mp.Plan({"input": [0, 2]}))
    assert small.nodes["input.select"].layer == Select(4, 2)
    assert small.buffers["input.select.index"].tolist() == [1, 3]
    assert small.params["dense1.W"].shape == (5, 2)
    x = inputs(net)["input"]
    changed = x.copy()
    changed[:, [0, 2]] = 99
    assert small(x).tobytes() == small(changed).tobytes()
    again = mp.remove(small, mp.Plan({"input": [0]}))
    assert [name for name in again.nodes if "select" in name] == ["input.select"]
    assert again.buffers["input.select.index"].tolist() == [3]
    assert again(x).shape == net(x).shape


def test_features_of_every_tied_input_are_dropped_together() -> None:
    net = EXAMPLES["tied inputs"]()
    small = mp.remove(net, mp.Plan({"u": [1]}))
    assert small.buffers["u.select.index"].tolist() == small.buffers["v.select.index"].tolist() == [0, 2]


def test_one_of_several_inputs_loses_features_alone() -> None:
    small = mp.remove(EXAMPLES["image and vector"](), mp.Plan({"vector": [0], "c": [2]}))
    assert "image.select" not in small.nodes
    assert small.buffers["vector.select.index"].tolist() == [1, 2]


def test_channels_that_are_read_in_blocks_are_dropped_in_blocks() -> None:
    small = mp.remove(EXAMPLES["grouped input"](), mp.Plan({"input": [0]}))
    assert small.buffers["input.select.index"].tolist() == [1, 3]


def test_a_select_that_was_there_selects_from_what_is_left() -> None:
    net = EXAMPLES["selects"]()  # of five neurons 4, 0, 2, 1; of these the third, first and fourth: 2, 4, 1
    small = mp.remove(net, mp.Plan({"dense1": [0, 4]}))
    assert small.params["dense1.W"].shape == (3, 4)  # 1, 2 and 3 are left
    assert small.buffers["select1.index"].tolist() == [1, 0]  # 2 and 1
    assert small.buffers["select2.index"].tolist() == [0, 1]  # 2 and 1
    beside = mp.remove(EXAMPLES["select beside a reader"](), mp.Plan({"input": [1]}))
    assert beside.buffers["x.select.index"].tolist() == [0, 2, 3]
    assert beside.buffers["s.index"].tolist() == [2]


# --- certificate -----------------------------------------------------------------------------------------------------


def test_the_certificate_says_what_was_compared() -> None:
    net = EXAMPLES["cnn"]()
    certificate = mp.remove(net, mp.Plan({"conv1": [0]})).certificate
    assert certificate.inputs == "64 seeded normal inputs"
    assert str(certificate).startswith("masked ≡ removed: largest difference ")
    x = np.random.default_rng(0).standard_normal((9, 1, 6, 6))
    assert mp.remove(net, mp.Plan({"conv1": [0]}), data=x).certificate.inputs == "9 samples of the data"
    y = np.zeros(99)
    data = (np.random.default_rng(0).standard_normal((99, 1, 6, 6)), y)
    assert mp.remove(net, mp.Plan({"conv1": [0]}), data=data).certificate.inputs == "64 samples of the data"
    exact = whole(EXAMPLES["mlp without bias"]())
    certificate = mp.remove(exact, mp.Plan({"dense1": [0]})).certificate
    assert (certificate.inputs, certificate.bound, certificate.max_difference) == ("64 seeded whole numbers", 0, 0)


def test_the_certificate_belongs_to_the_removal_and_a_copy_keeps_it() -> None:
    net = EXAMPLES["mlp"]()
    small = mp.remove(net, mp.Plan({"dense1": [0]}))
    assert net.certificate is None
    assert net.history == ()
    for other in (small.copy(), small.astype(np.float64)):
        assert other.certificate == small.certificate
        assert other.history == small.history


def test_two_networks_that_differ_get_no_certificate() -> None:
    net = EXAMPLES["mlp"]()
    other = mp.remove(net, mp.Plan({"dense1": [1]}))
    certificate = certify(mp.mask(net, mp.Plan({"dense1": [0]})), other)
    assert not certificate.ok
    assert certificate.max_difference > certificate.bound > 0
    assert str(certificate).startswith("masked and removed DIFFER: largest difference")


def test_a_difference_that_is_no_number_is_not_certified() -> None:
    net = EXAMPLES["mlp"]()
    net.params["dense3.b"] = np.full(3, np.nan)
    with pytest.raises(DataError, match="look for NaN in its weights"):
        mp.remove(net, mp.Plan({"dense1": [0]}))


def test_the_bound_grows_with_what_flows_through() -> None:
    net = EXAMPLES["leaky relu, dropout"]()
    x = inputs(net)["input"]
    small, large = (mp.remove(net, mp.Plan({"dense1": [0]}), data=scale * x).certificate for scale in (1, 1e6))
    assert small.ok
    assert large.ok
    assert large.bound == pytest.approx(1e6 * small.bound, rel=0.9)
    assert 0 < small.bound < 1e-12


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"repair": "glue"}, PlanError, "unknown repair 'glue'; expected None or one of mean"),
        ({"repair": "mean"}, DataError, "repair='mean' needs data: pass data=x"),
        ({"data": np.ones((2, 3))}, ShapeError, r"dense1: expected \(N, 4\), got \(N, 3\)"),
        ({"data": np.full((2, 4), np.nan)}, DataError, r"x\[0, 0\] is nan: data must be finite"),
    ],
)
def test_what_remove_cannot_use_is_refused_by_name(
    arguments: dict[str, Any], error: type[MinpruneError], message: str
) -> None:
    with pytest.raises(error, match=message):
        mp.remove(EXAMPLES["mlp"](), mp.Plan({"dense1": [0]}), **arguments)
