"""Mean repair: what a dropped neuron gave on average goes into the biases of its readers."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, inputs, randomised, samples

import minprune as mp
from minprune.cli import main
from minprune.ops import Array
from minprune.pruning.repair import REPAIRS


def constant(net: mp.Graph, *rows: tuple[str, int]) -> mp.Graph:
    """Make neurons constant: their incoming weights 0, so that only the bias is left."""
    for name, j in rows:
        net.params[f"{name}.W"][j] = 0
    return net


def loss_of(net: mp.Graph, x: Array, t: Array) -> float:
    return mp.record(net, x, t, loss="half_squared_error").loss


@pytest.mark.parametrize(
    ("name", "group"),
    [("mlp", "dense1"), ("sigmoid", "dense1"), ("leaky relu, dropout", "dense1"), ("average pooling", "conv1")],
)
def test_a_constant_neuron_is_replaced_without_loss(name: str, group: str) -> None:
    net = constant(EXAMPLES[name](), (group, 1))
    net.params[f"{group}.b"][1] = 0.7
    x, _ = samples(net)
    plan = mp.Plan({group: [1]})
    repaired, bare = mp.remove(net, plan, repair="mean", data=x), mp.remove(net, plan)
    np.testing.assert_allclose(repaired(x), net(x), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(repaired(3 * x), net(3 * x), rtol=1e-12, atol=1e-12)  # on any input
    assert not np.allclose(bare(x), net(x))
    assert repaired.certificate == bare.certificate or repaired.certificate.ok


def test_a_constant_channel_before_batch_norm_and_a_convolution_without_padding_is_replaced_without_loss() -> None:
    net = randomised(
        mp.Sequential(
            *(mp.Conv2d(1, 4, 3), mp.BatchNorm(4), mp.Tanh(), mp.Conv2d(4, 3, 2, stride=2, bias=False), mp.ReLU()),
            *(mp.Flatten(), mp.Dense(12, 2)),
            dtype=np.float64,
            input_shape=(1, 6, 6),
        )
    )
    net = constant(net, ("conv1", 0), ("conv1", 2))
    x, _ = samples(net)
    repaired = mp.remove(net, mp.Plan({"conv1": [0, 2]}), repair="mean", data=x)
    np.testing.assert_allclose(repaired(x), net(x), rtol=1e-12, atol=1e-12)
    assert repaired.params["conv2.b"].shape == (3,)  # created: there was none
    assert repaired.nodes["conv2"].layer.bias
    assert list(repaired.params)[:6] == ["conv1.W", "conv1.b", "batchnorm1.gamma", "batchnorm1.beta", *CONV2]


CONV2 = ["conv2.W", "conv2.b"]


def test_a_constant_neuron_of_a_grouped_and_of_a_depthwise_convolution_is_replaced_without_loss() -> None:
    for name in ("grouped", "depthwise with multiplier 2"):
        net = EXAMPLES[name]()
        for producer in ("conv1", "conv2") if name.startswith("depthwise") else ("conv1",):
            (rows,) = [p for p in net.neurons["conv1"].produced if p.array == f"{producer}.W"]
            net.params[f"{producer}.W"][rows.positions(1)] = 0
        x, _ = samples(net)
        repaired = mp.remove(net, mp.Plan({"conv1": [1]}), repair="mean", data=x)
        np.testing.assert_allclose(repaired(x), net(x), rtol=1e-11, atol=1e-11)


def test_the_shift_is_the_formula_computed_by_hand_for_dense_readers() -> None:
    net = EXAMPLES["mlp"]()
    x, _ = samples(net)
    plan = mp.Plan({"dense1": [1, 4], "dense2": [0]})
    repaired = mp.remove(net, plan, repair="mean", data=x)
    values = net.run(net.take(x), net.arrays)
    a1, a2 = values["relu1"].mean(axis=0), values["tanh1"].mean(axis=0)
    W2, W3 = net.params["dense2.W"], net.params["dense3.W"]
    expected2 = [net.params["dense2.b"][k] + W2[k, 1] * a1[1] + W2[k, 4] * a1[4] for k in (1, 2, 3)]
    expected3 = [net.params["dense3.b"][k] + W3[k, 0] * a2[0] for k in range(3)]
    np.testing.assert_allclose(repaired.params["dense2.b"], expected2, rtol=1e-14)
    np.testing.assert_allclose(repaired.params["dense3.b"], expected3, rtol=1e-14)
    bare = mp.remove(net, plan)
    changed = {name for name in bare.params if not np.array_equal(bare.params[name], repaired.params[name])}
    assert changed == {"dense2.b", "dense3.b"}


def test_the_shift_is_the_formula_computed_by_hand_for_a_convolution() -> None:
    net = EXAMPLES["cnn"]()
    x, _ = samples(net)
    repaired = mp.remove(net, mp.Plan({"conv1": [3]}), repair="mean", data=x)
    seen = net.run(net.take(x), net.arrays)["maxpool1"][:, 3]
    mean = seen.sum() / seen.size
    expected = [net.params["conv2.b"][k] + net.params["conv2.W"][k, 3].sum() * mean for k in range(3)]
    np.testing.assert_allclose(repaired.params["conv2.b"], expected, rtol=1e-13)


def test_all_readers_of_a_neuron_are_repaired_each_from_what_it_saw() -> None:
    net = EXAMPLES["read in two places"]()
    x, _ = samples(net)
    repaired = mp.remove(net, mp.Plan({"h": [2]}), repair="mean", data=x)
    values = net.run(net.take(x), net.arrays)
    for reader, value in (("p", "r"), ("q", "s")):
        shift = net.params[f"{reader}.W"][:, 2] * values[value][:, 2].mean()
        np.testing.assert_allclose(repaired.params[f"{reader}.b"], net.params[f"{reader}.b"] + shift, rtol=1e-13)


def test_dropped_features_are_repaired_too() -> None:
    net = EXAMPLES["mlp"]()
    x, _ = samples(net)
    x[:, 2] = 1.5  # a constant feature carries no information
    repaired = mp.remove(net, mp.Plan({"input": [2]}), repair="mean", data=x)
    np.testing.assert_allclose(repaired(x), net(x), rtol=1e-13)


@pytest.mark.parametrize("name", ["mlp", "sigmoid", "linear", "softmax output", "added to itself"])
def test_on_a_single_sample_the_repair_leaves_the_loss_as_it_was(name: str) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net, n=1)
    group = net.neurons[next(g for g, found in net.neurons.items() if g != "input" and not found.stays)]
    plan = mp.Plan({group.name: range(1, group.size)})
    repaired = mp.remove(net, plan, repair="mean", data=x)
    assert loss_of(repaired, x, t) == pytest.approx(loss_of(net, x, t), rel=1e-12)
    assert loss_of(mp.remove(net, plan), x, t) != pytest.approx(loss_of(net, x, t), rel=1e-3)


def test_the_mean_is_over_all_samples() -> None:
    net = EXAMPLES["linear"]()
    x, _ = samples(net, n=7)
    repaired = mp.remove(net, mp.Plan({"dense1": [0]}), repair="mean", data=(x, np.zeros(7)))
    assert np.allclose((repaired(x) - net(x)).mean(axis=0), 0, atol=1e-13)  # the mean output is untouched
    assert not np.allclose(repaired(x), net(x))


def test_a_closed_gate_leaves_nothing_to_make_up_for() -> None:
    net = EXAMPLES["mlp"]()
    x, _ = samples(net)
    plan = mp.Plan({"dense1": [1]})
    masked = mp.mask(net, plan)
    np.testing.assert_allclose(mp.remove(masked, plan, repair="mean", data=x)(x), masked(x), rtol=1e-13, atol=1e-13)


def test_rationals_are_repaired_exactly() -> None:
    net = EXAMPLES["mlp without bias"]()
    net.params["dense1.W"] = np.round(4 * net.params["dense1.W"])
    net.params["dense2.W"] = np.round(4 * net.params["dense2.W"])
    net = net.astype(Fraction)
    x: Any = np.array([[1, 2, 3, 4]])
    repaired = mp.remove(net, mp.Plan({"dense1": [0, 1, 2]}), repair="mean", data=x)
    assert (repaired(x) == net(x)).all()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_repair_keeps_shapes_dtype_and_what_it_was_given(name: str) -> None:
    net = EXAMPLES[name]().astype(np.float32)
    if len(net.inputs) > 1:
        return
    group = next(g for g in net.neurons.values() if not g.stays and g.size > 1)
    x = next(iter(inputs(net).values()))
    before = {key: array.copy() for key, array in net.arrays.items()}
    plan = mp.Plan({group.name: [0]})
    repaired, bare = mp.remove(net, plan, repair="mean", data=x), mp.remove(net, plan)
    assert all(np.array_equal(net.arrays[key], array) for key, array in before.items())
    for key, array in bare.arrays.items():
        assert (repaired.arrays[key].shape, repaired.arrays[key].dtype) == (array.shape, array.dtype)
    assert {array.dtype for array in repaired.params.values()} == {np.dtype(np.float32)}
    assert repaired(x).shape == net(x).shape
    assert repaired.certificate.ok


def test_the_command_line_offers_every_repair_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["prune", "--help"])
    assert f"{{{','.join(REPAIRS)}}}" in capsys.readouterr().out
