"""Recording: what every neuron computed and what the loss answers, against computation by hand and differences."""

from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, SINGLE_INPUT, inputs, randomised, samples

import minprune as mp
from minprune.errors import DataError, DtypeError, ShapeError, StructureError
from minprune.layers import Gate, Select
from minprune.ops import LOSSES, Array
from minprune.recording import PASSING, with_gates
from minprune.tensor import apply

# Central differences in float64: an error of about step² from the third derivative and ε/step from rounding.
STEP, CLOSE = 1e-6, {"rtol": 1e-5, "atol": 1e-6}
SCATTERED = ("tied across concat", "nested")  # a group there is made by several layers, none of which makes all of it
HALF = "half_squared_error"


def targets(net: mp.Graph, n: int = 5) -> Array:
    return np.random.default_rng(7).standard_normal((n, net(inputs(net, 1)).shape[1]))


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_a_pass_through_an_mlp_is_what_one_writes_by_hand() -> None:
    net = randomised(mp.Sequential(mp.Dense(3, 4), mp.Sigmoid(), mp.Dense(4, 2), dtype=np.float64))
    W1, b1, W2, b2 = net.params.values()
    x, t = samples(net)
    rec = mp.record(net, x, t, loss=HALF)
    for n in range(len(x)):
        z1 = [sum(W1[j, i] * x[n, i] for i in range(3)) + b1[j] for j in range(4)]
        a1 = [1 / (1 + np.exp(-z)) for z in z1]
        o = [sum(W2[k, j] * a1[j] for j in range(4)) + b2[k] for k in range(2)]
        grad_a = [sum((o[k] - t[n, k]) * W2[k, j] for k in range(2)) for j in range(4)]
        grad_z = [grad_a[j] * a1[j] * (1 - a1[j]) for j in range(4)]
        np.testing.assert_allclose(rec["dense1"].z[n], z1, rtol=1e-13)
        np.testing.assert_allclose(rec["dense1"].a[n], a1, rtol=1e-13)
        np.testing.assert_allclose(rec["dense1"].grad_a[n], grad_a, rtol=1e-12)
        np.testing.assert_allclose(rec["dense1"].grad_z[n], grad_z, rtol=1e-12)
        np.testing.assert_allclose(rec.losses[n], sum((o[k] - t[n, k]) ** 2 for k in range(2)) / 2, rtol=1e-13)
        np.testing.assert_allclose(rec.output[n], o, rtol=1e-13)
    assert rec.loss == pytest.approx(rec.losses.sum() / len(x), rel=1e-15)
    assert rec.loss_name == HALF


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_recorded_values_are_those_of_a_plain_pass(name: str) -> None:
    net = EXAMPLES[name]()
    x = inputs(net)
    values = net.run(net.take(x), net.arrays)
    rec = mp.record(net, x, targets(net), loss=HALF)
    assert rec.output.tobytes() == net(x).tobytes()
    assert list(rec) == list(net.neurons)
    assert len(rec) == len(net.neurons)
    for value, array in values.items():
        assert rec.tensors[value].value.tobytes() == array.tobytes()


@pytest.mark.parametrize("name", [n for n in EXAMPLES if n not in SCATTERED])
def test_z_is_what_the_producer_made_and_a_what_the_readers_are_fed_from(name: str) -> None:
    net = EXAMPLES[name]()
    x = inputs(net)
    values = net.run(net.take(x), net.arrays)
    rec = mp.record(net, x, targets(net), loss=HALF)
    for group_name, group in net.neurons.items():
        made = values[group.source]
        owner = group.channels[group.source]
        for j in range(group.size):
            mine = made[:, owner == j]
            mine = mine[:, 0] if mine.shape[1] == 1 else mine
            np.testing.assert_array_equal(rec[group_name].z[:, j], mine)
            np.testing.assert_array_equal(rec[group_name][j].z, mine)
        value = rec.activation_of(group)
        begins = value in net.inputs or value == group.source  # which an arrangement of inputs may make
        assert begins or net.nodes[value].layer.kind not in PASSING
        assert rec[group_name].a.shape[:2] == (5, group.size)
        assert rec[group_name].grad_a.shape == rec[group_name].a.shape
        assert rec[group_name].grad_z.shape == rec[group_name].z.shape
        assert len(rec[group_name]) == group.size


@pytest.mark.parametrize(
    ("name", "group", "value"),
    [
        ("mlp", "dense1", "relu1"),
        ("mlp", "dense3", "dense3"),
        ("mlp", "input", "input"),
        ("linear", "dense1", "dense1"),
        ("sigmoid output", "dense2", "sigmoid2"),
        ("cnn", "conv1", "relu1"),  # before max-pooling
        ("cnn", "conv2", "relu2"),  # before the flatten
        ("conv without bias", "conv1", "sigmoid1"),  # before global pooling
        ("leaky relu, dropout", "dense1", "leakyrelu1"),
        ("residual", "dense1", "relu1"),  # the first of two places
        ("depthwise", "conv1", "relu2"),  # behind the filter that carries it on
        ("residual, pre-activation", "conv1", "relu1"),
        ("concat, flatten", "conv2", "concat1"),
        ("selects", "dense1", "relu1"),
    ],
)
def test_the_activation_is_the_last_value_before_pooling_and_flattening(name: str, group: str, value: str) -> None:
    net = EXAMPLES[name]()
    rec = mp.record(net, inputs(net), targets(net), loss=HALF)
    assert rec.activation_of(net.neurons[group]) == value


def test_neurons_of_several_channels_show_them_along_an_axis_of_their_own() -> None:
    net = EXAMPLES["depthwise with multiplier 2"]()
    x = inputs(net)
    rec = mp.record(net, x, targets(net), loss=HALF)
    values = net.run(net.take(x), net.arrays)
    assert rec["conv1"].z.shape == (5, 3, 4, 4)
    assert rec["conv1"].a.shape == (5, 3, 2, 3, 3)
    np.testing.assert_array_equal(rec["conv1"][1].a, values["relu2"][:, [2, 3]])
    grouped = EXAMPLES["grouped"]()
    rec = mp.record(grouped, inputs(grouped), targets(grouped), loss=HALF)
    assert rec["conv1"].z.shape == (5, 3, 2, 3, 3)
    np.testing.assert_array_equal(rec["conv1"][2].z, rec.tensors["conv1"].value[:, [2, 5]])
    assert rec["conv1"][2].w_in.shape == (2, 1, 2, 2)


def test_a_group_that_no_single_value_holds_says_so() -> None:
    net = EXAMPLES["tied across concat"]()
    rec = mp.record(net, inputs(net), targets(net), loss=HALF)
    with pytest.raises(StructureError, match="a: no one of a, b, c, d holds all its 5 neurons; look at places or"):
        _ = rec["a"].z
    assert rec["a"].a.shape == (5, 5)  # behind the sum they are together
    assert rec.activation_of(net.neurons["a"]) == "r"


# --- gradients against differences -----------------------------------------------------------------------------------


def losses_with(net: mp.Graph, x: Any, t: Array, value: str, shift: Array) -> Array:
    """The per-sample losses when one value is shifted, everything after it computed anew."""
    values: dict[str, Any] = dict(net.take(x))
    if value in values:
        values[value] = values[value] + shift
    for name in net.nodes:
        values[name] = net.compute_node(name, values, net.arrays)
        if name == value:
            values[name] = values[name] + shift
    return apply(LOSSES[HALF], values[net.output], t)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_gradients_of_neurons_are_slopes_of_the_per_sample_losses(name: str) -> None:
    net = EXAMPLES[name]()
    x, t = inputs(net, n=3), targets(net, n=3)
    rec = mp.record(net, x, t, loss=HALF)
    rng = np.random.default_rng(11)
    for group_name, group in net.neurons.items():
        spots = {rec.activation_of(group)} | ({rec.made_in(group)} if name not in SCATTERED else set())
        for value in spots:
            direction = rng.standard_normal(rec.tensors[value].shape)
            up, down = (losses_with(net, x, t, value, sign * STEP * direction) for sign in (1, -1))
            expected = (up - down) / (2 * STEP)
            found = (rec.gradients[rec.tensors[value]] * direction).reshape(3, -1).sum(axis=1)
            np.testing.assert_allclose(found, expected, **CLOSE, err_msg=f"{group_name} at {value}")


def test_every_entry_of_grad_z_and_grad_a_is_a_slope_of_its_own_samples_loss() -> None:
    net = EXAMPLES["cnn"]()
    x, t = samples(net, n=2)
    rec = mp.record(net, x, t, loss=HALF)
    for value, gradient in (("conv1", rec["conv1"].grad_z), ("relu1", rec["conv1"].grad_a)):
        for index in np.ndindex(gradient.shape):
            shift = np.zeros(gradient.shape)
            shift[index] = STEP
            slope = (losses_with(net, x, t, value, shift) - losses_with(net, x, t, value, -shift)) / (2 * STEP)
            expected = np.zeros(2)
            expected[index[0]] = gradient[index]
            np.testing.assert_allclose(slope, expected, **CLOSE)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_gradients_of_parameters_are_of_the_mean_loss(name: str) -> None:
    net = EXAMPLES[name]()
    x, t = inputs(net, n=3), targets(net, n=3)
    rec = mp.record(net, x, t, loss=HALF)
    assert list(rec.grads) == list(net.params)
    rng = np.random.default_rng(13)
    for key, gradient in rec.grads.items():
        direction = rng.standard_normal(gradient.shape)
        losses = []
        for sign in (1, -1):
            moved = net.copy()
            moved.params[key] = net.params[key] + sign * STEP * direction
            losses.append(mp.record(moved, x, t, loss=HALF).loss)
        np.testing.assert_allclose((gradient * direction).sum(), (losses[0] - losses[1]) / (2 * STEP), **CLOSE)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_gradient_at_a_place_is_by_the_value_on_its_way_to_the_readers_only(name: str) -> None:
    """Opening a gate a little wider: the place's a·grad, summed over its neurons and places, is the loss's slope."""
    net = EXAMPLES[name]()
    x, t = inputs(net, n=3), targets(net, n=3)
    rec = mp.record(net, x, t, loss=HALF)
    gated, gates = with_gates(net)
    for group in net.neurons.values():
        for place, read in zip(rec[group.name].places, group.reads, strict=True):
            losses = []
            for sign in (1, -1):
                moved = gated.copy()
                moved.buffers[f"{gates[read.value]}.m"][:] += sign * STEP * (read.owner >= 0)
                losses.append(apply(LOSSES[HALF], moved(x), t))
            expected = (losses[0] - losses[1]) / (2 * STEP)
            mine = place.read.owner >= 0
            found = (place.a * place.grad)[:, mine].reshape(3, -1).sum(axis=1)
            np.testing.assert_allclose(found, expected, **CLOSE)


# --- one neuron ------------------------------------------------------------------------------------------------------


def test_a_neuron_can_be_held_with_its_weights() -> None:
    net = EXAMPLES["mlp"]()
    x, t = samples(net)
    rec = mp.record(net, x, t)
    neuron = rec["dense1"][2]
    np.testing.assert_array_equal(neuron.w_in, net.params["dense1.W"][2])
    np.testing.assert_array_equal(neuron.w_out, net.params["dense2.W"][:, 2])
    assert neuron.b == net.params["dense1.b"][2]
    assert isinstance(neuron.b, float)
    np.testing.assert_array_equal(neuron.a, np.maximum(neuron.z, 0))
    np.testing.assert_array_equal(neuron.grad_z, neuron.grad_a * (neuron.z > 0))
    assert repr(neuron) == "<dense1[2]: a (5,), w_in (4,)>"
    assert repr(rec["dense1"]) == "<dense1: z (5, 5), a (5, 5) and their gradients>"
    assert [n.j for n in rec["dense1"]] == [0, 1, 2, 3, 4]


def test_a_channels_weights_out_are_a_block_of_columns_behind_a_flatten() -> None:
    net = EXAMPLES["average pooling"]()
    x, t = samples(net)
    neuron = mp.record(net, x, t)["conv1"][1]
    np.testing.assert_array_equal(neuron.w_in, net.params["conv1.W"][1])
    np.testing.assert_array_equal(neuron.w_out, net.params["dense1.W"][:, 4:8])


def test_what_a_neuron_does_not_have_is_none() -> None:
    net = EXAMPLES["mlp without bias"]()
    x, t = samples(net)
    rec = mp.record(net, x, t)
    assert (rec["input"][0].w_in, rec["input"][0].b, rec["dense1"][0].b, rec["dense2"][0].w_out) == (None,) * 4


def test_groups_and_neurons_that_are_not_there_are_refused() -> None:
    net = EXAMPLES["mlp"]()
    rec = mp.record(net, *samples(net))
    with pytest.raises(StructureError, match="no group is called 'relu1'; there are input, dense1, dense2, dense3"):
        _ = rec["relu1"]
    for j in (5, -1):
        with pytest.raises(StructureError, match=f"dense1: no neuron {j}; expected 0 to 4"):
            _ = rec["dense1"][j]


# --- evaluation mode, targets, inputs --------------------------------------------------------------------------------


def test_recording_is_in_evaluation_mode_and_changes_nothing() -> None:
    net = randomised(mp.Sequential(mp.Dense(3, 4), mp.BatchNorm(4), mp.Dropout(0.9), mp.Dense(4, 2), dtype=np.float64))
    x, t = samples(net)
    before = {name: array.copy() for name, array in net.arrays.items()}
    rec = mp.record(net, x, t)
    z = x @ net.params["dense1.W"].T + net.params["dense1.b"]
    hat = (z - net.buffers["batchnorm1.mean"]) / np.sqrt(net.buffers["batchnorm1.var"] + 1e-5)
    np.testing.assert_allclose(rec["dense1"].a, net.params["batchnorm1.gamma"] * hat + net.params["batchnorm1.beta"])
    assert all(np.array_equal(before[name], array) for name, array in net.arrays.items())
    one_by_one = [mp.record(net, x[n : n + 1], t[n : n + 1]).losses[0] for n in range(5)]
    np.testing.assert_allclose(rec.losses, one_by_one, rtol=1e-14)


def test_per_sample_gradients_do_not_depend_on_the_other_samples() -> None:
    net = EXAMPLES["nested"]()
    x, t = samples(net)
    rec = mp.record(net, x, t)
    for n in range(5):
        alone = mp.record(net, x[n : n + 1], t[n : n + 1])
        for group in net.neurons:
            np.testing.assert_allclose(rec[group].grad_a[n], alone[group].grad_a[0], rtol=1e-10, atol=1e-12)
    summed = sum(mp.record(net, x[n : n + 1], t[n : n + 1]).grads["conv1.W"] for n in range(5))
    np.testing.assert_allclose(rec.grads["conv1.W"], summed / 5, rtol=1e-10)


def test_the_loss_follows_from_the_targets_where_none_is_named() -> None:
    net = EXAMPLES["mlp"]()
    x, t = samples(net)
    assert mp.record(net, x, t).loss_name == "mse"
    rec = mp.record(net, x, [0, 1, 2, 0, 1])
    assert rec.loss_name == "cross_entropy"
    p = np.exp(rec.output) / np.exp(rec.output).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(rec["dense3"].grad_z, p - np.eye(3)[[0, 1, 2, 0, 1]], rtol=1e-12)
    one_hot = mp.record(net, x, np.eye(3)[[0, 1, 2, 0, 1]], loss="cross_entropy")
    np.testing.assert_allclose(rec.losses, one_hot.losses, rtol=1e-14)


def test_several_inputs_are_given_by_name() -> None:
    net = EXAMPLES["image and vector"]()
    rec = mp.record(net, inputs(net), targets(net))
    assert rec["image"].a.shape == (5, 1, 5, 5)
    assert rec["vector"].grad_a.shape == (5, 3)


def test_a_float32_network_is_recorded_in_float32() -> None:
    net = EXAMPLES["cnn"]().astype(np.float32)
    rec = mp.record(net, *samples(net))
    assert {rec["conv1"].z.dtype, rec["conv1"].grad_a.dtype, rec.grads["conv1.W"].dtype} == {np.dtype(np.float32)}


def test_what_does_not_fit_is_refused_by_name() -> None:
    net = EXAMPLES["mlp"]()
    x, t = samples(net)
    with pytest.raises(ShapeError, match=r"dense1: expected \(N, 4\), got \(N, 3\)"):
        mp.record(net, x[:, :3], t)
    with pytest.raises(ShapeError, match="4 targets for 5 samples"):
        mp.record(net, x, t[:4])
    with pytest.raises(DataError, match="unknown loss 'hinge'; expected one of half_squared_error, mse, cross_entropy"):
        mp.record(net, x, t, loss="hinge")
    with pytest.raises(DtypeError, match="rationals and complex numbers go forward only"):
        mp.record(EXAMPLES["mlp without bias"]().astype(object), x, t)


# --- gates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_open_gates_change_nothing_bit_for_bit(name: str) -> None:
    net = EXAMPLES[name]()
    gated, gates = with_gates(net)
    assert gated(inputs(net)).tobytes() == net(inputs(net)).tobytes()
    assert set(gates) == {read.value for group in net.neurons.values() for read in group.reads}
    assert all(gated.arrays[key] is array for key, array in net.arrays.items())
    again, same = with_gates(gated)
    assert list(again.nodes) == list(gated.nodes)
    assert set(same.values()) == set(gates.values())


def test_a_gate_stands_only_before_readers_with_weights() -> None:
    gated, gates = with_gates(EXAMPLES["residual"]())
    assert gates == {"input": "input.gate", "relu1": "relu1.gate", "relu2": "relu2.gate", "relu3": "relu3.gate"}
    assert gated.nodes["dense2"].inputs == ("relu1.gate",)
    assert gated.nodes["add1"].inputs == ("dense3", "relu1")


def test_a_gate_that_is_read_otherwise_too_is_not_used_again() -> None:
    net = EXAMPLES["gate that is added"]()
    gated, gates = with_gates(net)
    assert gates["g"] == "g.gate"
    assert gated.nodes["sum"].inputs == ("g", "p")
    nothing = mp.Graph({"h": (mp.Dense(3, 4), "x"), "g": (Gate(4), "h"), "y": (mp.Dense(4, 4), "g")})
    assert with_gates(nothing)[1] == {"x": "x.gate", "g": "g"}


def test_a_features_record_survives_its_selection() -> None:
    net = EXAMPLES["mlp"]()
    small = mp.remove(net, mp.Plan({"input": [1]}))
    x, t = samples(net)
    rec = mp.record(small, x, t)
    assert isinstance(small.nodes["input.select"].layer, Select)
    np.testing.assert_array_equal(rec["input"].a, x[:, [0, 2, 3]])


@pytest.mark.parametrize("name", SINGLE_INPUT)
def test_an_array_is_taken_where_there_is_one_input(name: str) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net)
    assert mp.record(net, x, t).loss == mp.record(net, {net.inputs[0]: x}, t).loss
