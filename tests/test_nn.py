"""Networks: the same numbers and gradients as PyTorch, names, shapes, and what cannot be built."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import EXAMPLES

import minprune as mp
from minprune.errors import DtypeError, ShapeError, StructureError
from minprune.layers import (
    ELU,
    GELU,
    LAYERS,
    AvgPool1d,
    AvgPool3d,
    Clip,
    Erf,
    Gate,
    HardSigmoid,
    Join,
    LogSoftmax,
    MatMul,
    MaxPool1d,
    MaxPool3d,
    Multiply,
    Pad,
    Power,
    PReLU,
    Rearrange,
    Scale,
    Select,
    Shift,
    Softplus,
    Training,
)
from minprune.nn import Arrays, Graph
from minprune.tensor import Tape, backward
from minprune.wiring import Builder

# against PyTorch ---------------------------------------------------------------------------------------------


def torch_dropout(layer, rng, x):
    return (
        x if rng is None else x * torch.tensor(rng.random(tuple(x.shape), dtype=np.float32) >= layer.p) / (1 - layer.p)
    )


def torch_conv(layer, a, x):
    convolve = F.conv1d if layer.rank == 1 else F.conv2d
    return convolve(x, a["W"], a.get("b"), layer.stride, layer.padding, layer.dilation, layer.groups)


def torch_norm(layer, a, rng, x):
    return F.batch_norm(x, a["mean"], a["var"], a["gamma"], a["beta"], rng is not None, layer.momentum, layer.epsilon)


def along(vector, x):
    return vector.reshape(1, -1, *(1,) * (x.ndim - 2))


TORCH = {
    "Dense": lambda layer, a, rng, x: F.linear(x, a["W"], a.get("b")),
    "Conv1d": lambda layer, a, rng, x: torch_conv(layer, a, x),
    "Conv2d": lambda layer, a, rng, x: torch_conv(layer, a, x),
    "BatchNorm": torch_norm,
    "MaxPool2d": lambda layer, a, rng, x: F.max_pool2d(x, layer.kernel, layer.stride, layer.padding, layer.dilation),
    "AvgPool2d": lambda layer, a, rng, x: F.avg_pool2d(x, layer.kernel, layer.stride, layer.padding),
    "GlobalAvgPool2d": lambda layer, a, rng, x: x.mean(dim=tuple(range(2, x.ndim))),
    "ReLU": lambda layer, a, rng, x: F.relu(x),
    "LeakyReLU": lambda layer, a, rng, x: F.leaky_relu(x, layer.slope),
    "Sigmoid": lambda layer, a, rng, x: torch.sigmoid(x),
    "Tanh": lambda layer, a, rng, x: torch.tanh(x),
    "Softmax": lambda layer, a, rng, x: torch.softmax(x, dim=1),
    "Identity": lambda layer, a, rng, x: x,
    "Flatten": lambda layer, a, rng, x: x.flatten(1),
    "Dropout": lambda layer, a, rng, x: torch_dropout(layer, rng, x),
    "Gate": lambda layer, a, rng, x: x * along(a["m"], x),
    "Select": lambda layer, a, rng, x: x[:, a["index"]],
    "Add": lambda layer, a, rng, *xs: sum(xs[1:], xs[0]),
    "Join": lambda layer, a, rng, *xs: torch.cat(xs, dim=1),
    "Multiply": lambda layer, a, rng, *xs: math.prod(xs[1:], start=xs[0]),
    "MaxPool1d": lambda layer, a, rng, x: F.max_pool1d(x, layer.kernel, layer.stride, layer.padding),
    "AvgPool1d": lambda layer, a, rng, x: F.avg_pool1d(x, layer.kernel, layer.stride, layer.padding),
    "PReLU": lambda layer, a, rng, x: F.prelu(x, a["a"]),
    "Clip": lambda layer, a, rng, x: torch.clamp(x, layer.low, layer.high),
    "HardSigmoid": lambda layer, a, rng, x: torch.clamp(layer.slope * x + layer.offset, 0, 1),
    "ELU": lambda layer, a, rng, x: layer.gamma * F.elu(x, layer.alpha),
    "GELU": lambda layer, a, rng, x: F.gelu(x),
    "Erf": lambda layer, a, rng, x: torch.erf(x),
    "Softplus": lambda layer, a, rng, x: F.softplus(x),
    "LogSoftmax": lambda layer, a, rng, x: F.log_softmax(x, dim=1),
    "Rearrange": lambda layer, a, rng, x: x.permute(0, 2, 3, 1).reshape(len(x), *layer.shape),
    "Pad": lambda layer, a, rng, x: F.pad(x, (layer.before[0], layer.after[0]), value=layer.value),
    "Shift": lambda layer, a, rng, x: x + a["b"],
    "Scale": lambda layer, a, rng, x: x * a["m"],
    "Power": lambda layer, a, rng, x: x ** a["p"],
    "MatMul": lambda layer, a, rng, x, y: x @ y,
    "MaxPool3d": lambda layer, a, rng, x: F.max_pool3d(x, layer.kernel, layer.stride, layer.padding, layer.dilation),
    "AvgPool3d": lambda layer, a, rng, x: F.avg_pool3d(x, layer.kernel, layer.stride, layer.padding),
}


def torch_run(net, values, arrays, rng):
    """The network in PyTorch, node by node."""
    values = dict(values)
    for name, node in net.nodes.items():
        own = {short: arrays[f"{name}.{short}"] for short in net.array_names[name]}
        values[name] = TORCH[type(node.layer).__name__](node.layer, own, rng, *(values[v] for v in node.inputs))
    return values[net.output]


def chain(*layers):
    return mp.Sequential(*layers, dtype=np.float64, rng=3)


ONE_LAYER = {
    "dense": (chain(mp.Dense(4, 3)), (4,)),
    "dense without bias": (chain(mp.Dense(4, 3, bias=False)), (4,)),
    "conv": (chain(mp.Conv2d(2, 3, 3)), (2, 6, 5)),
    "conv, all settings": (chain(mp.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), groups=2, bias=False)), (4, 7, 6)),
    "depthwise conv": (chain(mp.Conv2d(3, 6, 3, padding=1, groups=3)), (3, 5, 5)),
    "conv over sequences": (chain(mp.Conv1d(3, 4, 3, 2, 1, 2)), (3, 11)),
    "batch-norm of features": (chain(mp.BatchNorm(4)), (4,)),
    "batch-norm of images": (chain(mp.BatchNorm(3, epsilon=1e-2, momentum=0.3)), (3, 4, 2)),
    "max-pool": (chain(mp.MaxPool2d(2)), (2, 6, 5)),
    "overlapping max-pool": (chain(mp.MaxPool2d(3, 2, 1)), (2, 7, 6)),
    "avg-pool": (chain(mp.AvgPool2d((3, 2), (2, 1), 1)), (2, 7, 6)),
    "global avg-pool": (chain(mp.GlobalAvgPool2d()), (3, 4, 5)),
    "relu": (chain(mp.ReLU()), (5,)),
    "leaky relu": (chain(mp.LeakyReLU(0.2)), (5,)),
    "sigmoid": (chain(mp.Sigmoid()), (5,)),
    "tanh": (chain(mp.Tanh()), (5,)),
    "softmax": (chain(mp.Softmax()), (5,)),
    "softmax of images": (chain(mp.Softmax()), (3, 2, 2)),
    "identity": (chain(mp.Identity()), (5,)),
    "flatten": (chain(mp.Flatten()), (2, 3, 2)),
    "dropout": (chain(mp.Dropout(0.4)), (6,)),
    "gate": (chain(Gate(3)), (3, 2, 2)),
    "select": (chain(Select(5, 3)), (5,)),
    "max-pool over sequences": (chain(MaxPool1d(3, 2, 1)), (2, 7)),
    "avg-pool over sequences": (chain(AvgPool1d(2)), (2, 7)),
    "prelu": (chain(PReLU(3)), (3, 2)),
    "clip": (chain(Clip(-0.5, 1.0)), (5,)),
    "hard sigmoid": (chain(HardSigmoid()), (5,)),
    "elu": (chain(ELU(1.5, 1.25)), (5,)),
    "gelu": (chain(GELU()), (5,)),
    "erf": (chain(Erf()), (5,)),
    "softplus": (chain(Softplus()), (5,)),
    "log-softmax": (chain(LogSoftmax()), (5,)),
    "rearrange": (chain(Rearrange((1, 2, 0), (-1, 2))), (3, 4, 2)),
    "pad": (chain(Pad((1,), (2,), 0.5)), (3, 4)),
    "shift": (chain(Shift((3, 1))), (3, 4)),
    "scale": (chain(Scale((1, 4))), (3, 4)),
    "power": (chain(Softplus(), Power((1, 4))), (3, 4)),
    "matmul": (Graph({"y": (MatMul(), "x", "x")}, dtype=np.float64), (2, 3, 3)),
    "max-pool with gaps": (chain(mp.MaxPool2d(2, 1, (1, 0), (2, 3))), (2, 5, 6)),
    "max-pool of volumes": (chain(MaxPool3d(2, (1, 2, 2))), (2, 3, 4, 5)),
    "avg-pool of volumes": (chain(AvgPool3d(2, 1, 1)), (2, 3, 2, 2)),
    "multiply": (Graph({"y": (Multiply(), "x", "x")}, dtype=np.float64), (3, 2)),
    "add": (Graph({"y": (mp.Add(), "x", "x", "x")}, dtype=np.float64), (3,)),
    "join": (Graph({"y": (Join(), "x", "x")}, dtype=np.float64), (3, 2, 2)),
}
NETWORKS = {
    "perceptron": (
        chain(mp.Dense(5, 6), mp.Tanh(), mp.Dropout(0.3), mp.Dense(6, 4), mp.Sigmoid(), mp.Dense(4, 3)),
        (5,),
    ),
    "images, batch-norm": (
        chain(
            *(mp.Conv2d(1, 4, 3, padding=1, bias=False), mp.BatchNorm(4), mp.ReLU(), mp.MaxPool2d(2)),
            *(mp.Conv2d(4, 6, 3), mp.BatchNorm(6), mp.LeakyReLU(), mp.AvgPool2d(2), mp.Flatten(), mp.Dropout(0.2)),
            mp.Dense(6, 3),
        ),
        (1, 8, 8),
    ),
    "residual": (
        chain(
            mp.Conv2d(2, 4, 3, padding=1),
            mp.Residual(mp.Sequential(mp.Conv2d(4, 4, 3, padding=1), mp.BatchNorm(4), mp.ReLU())),
            mp.Residual(mp.Conv2d(4, 6, 3, 2, 1), shortcut=mp.Conv2d(4, 6, 1, 2)),
            *(mp.GlobalAvgPool2d(), mp.Dense(6, 2)),
        ),
        (2, 6, 6),
    ),
    "branches": (
        chain(mp.Concat(mp.Dense(4, 3), mp.Sequential(mp.Dense(4, 5), mp.ReLU()), mp.Identity()), mp.Dense(12, 2)),
        (4,),
    ),
    "sequences": (chain(mp.Conv1d(2, 4, 3), mp.ReLU(), mp.Conv1d(4, 3, 2), mp.GlobalAvgPool2d()), (2, 9)),
}
CASES = ONE_LAYER | NETWORKS


def test_every_layer_has_a_case():
    covered = {type(node.layer).__name__ for net, _ in CASES.values() for node in net.nodes.values()}
    assert covered == set(LAYERS)


def compare_with_torch(net, xs, training):
    net = net.copy()
    draw = np.random.default_rng(11)
    for name, array in net.arrays.items():
        if array.dtype.kind == "f":
            array[...] = (
                draw.uniform(0.5, 1.5, array.shape) if name.endswith((".var", ".m")) else draw.normal(size=array.shape)
            )
        else:
            array[...] = draw.permutation(5)[: len(array)]
    theirs = {name: torch.tensor(array.copy()) for name, array in net.arrays.items()}
    their_xs = {name: torch.tensor(x, requires_grad=True) for name, x in xs.items()}
    for name in net.params:
        theirs[name].requires_grad_()
    out = torch_run(net, their_xs, theirs, np.random.default_rng(8) if training else None)

    tape = Tape()
    ours = {name: tape.watch(value) for name, value in {**xs, **net.params}.items()}
    mode = Training(np.random.default_rng(8)) if training else None
    y = net.run({name: ours[name] for name in xs}, {**net.buffers, **ours}, mode)[net.output]
    np.testing.assert_allclose(y.value, out.detach().numpy(), rtol=1e-10, atol=1e-12)
    seed = draw.normal(size=y.shape)
    out.backward(torch.tensor(seed))
    grads = backward(y, seed)
    for name, tensor in ours.items():
        expected = their_xs[name].grad if name in xs else theirs[name].grad
        np.testing.assert_allclose(grads[tensor], expected.numpy(), rtol=1e-9, atol=1e-11, err_msg=name)
    for name, array in net.buffers.items():
        np.testing.assert_allclose(array, theirs[name].numpy(), rtol=1e-12, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("training", [False, True], ids=["evaluating", "training"])
@pytest.mark.parametrize("case", CASES)
def test_values_gradients_and_statistics_are_those_of_pytorch(case, training):
    net, shape = CASES[case]
    x = np.random.default_rng(2).normal(size=(5, *shape))
    compare_with_torch(net, {net.inputs[0]: x}, training)


@pytest.mark.parametrize("training", [False, True], ids=["evaluating", "training"])
def test_a_network_of_two_inputs_is_that_of_pytorch(training):
    net = Graph(
        {
            "seen": (mp.Sequential(mp.Conv2d(1, 3, 3), mp.ReLU(), mp.Flatten()), "image"),
            "h": (mp.Dense(12, 4), "seen"),
            "side": (mp.Dense(2, 4), "extra"),
            "sum": (mp.Add(), "h", "side"),
            "all": (mp.Concat(), "sum", "side"),
            "y": (mp.Dense(8, 2), "all"),
        },
        inputs=("image", "extra"),
        dtype=np.float64,
    )
    draw = np.random.default_rng(4)
    compare_with_torch(net, {"image": draw.normal(size=(5, 1, 4, 4)), "extra": draw.normal(size=(5, 2))}, training)


@pytest.mark.parametrize("case", NETWORKS)
def test_calling_a_network_is_running_it_in_evaluation_mode(case):
    net, shape = NETWORKS[case]
    x = np.random.default_rng(2).normal(size=(3, *shape))
    before = {name: array.copy() for name, array in net.arrays.items()}
    assert np.array_equal(net(x), net.run(net.take(x), net.arrays)[net.output])
    assert all(np.array_equal(array, before[name]) for name, array in net.arrays.items())


@given(parts=st.lists(st.integers(1, 4), min_size=1, max_size=4))
@settings(deadline=None)
def test_a_batch_is_computed_sample_by_sample_in_evaluation_mode(parts):
    net, shape = NETWORKS["images, batch-norm"]
    x = np.random.default_rng(sum(parts)).normal(size=(sum(parts), *shape))
    pieces = [net(piece) for piece in np.split(x, np.cumsum(parts)[:-1])]
    np.testing.assert_allclose(np.concatenate(pieces), net(x), rtol=1e-12, atol=1e-13)


def test_an_empty_batch_gives_an_empty_output():
    for net, shape in NETWORKS.values():
        assert net(np.zeros((0, *shape))).shape == (0, *net(np.zeros((1, *shape))).shape[1:])


def test_dropout_keeps_the_mean_and_does_nothing_outside_training():
    net, x = chain(mp.Dropout(0.25)), np.ones((200, 200))
    dropped = net.run({"input": x}, {}, Training(np.random.default_rng(0)))["dropout1"]
    assert set(np.unique(dropped)) == {0.0, 1 / 0.75}
    assert dropped.mean() == pytest.approx(1, abs=0.01)
    assert np.array_equal(net(x), x)


def test_batch_norm_refuses_to_train_on_a_single_entry_per_channel():
    net = chain(mp.BatchNorm(2))
    with pytest.raises(
        ShapeError, match="batchnorm1: expected at least 2 entries per channel to normalise in training, got 1"
    ):
        net.run({"input": np.ones((1, 2))}, net.arrays, Training(np.random.default_rng(0)))


# names and weights -------------------------------------------------------------------------------------------


def test_nodes_are_numbered_by_kind_over_the_flattened_network():
    net = mp.Sequential(
        mp.Conv2d(1, 2, 3),
        mp.Residual(mp.Sequential(mp.Conv2d(2, 2, 3, padding=1), mp.ReLU())),
        mp.Concat(mp.Conv2d(2, 1, 1), mp.Conv2d(2, 1, 1)),
        *(mp.GlobalAvgPool2d(), mp.Dense(2, 2)),
    )
    expected = "conv1 conv2 relu1 add1 conv3 conv4 concat1 globalavgpool1 dense1"
    assert list(net.nodes) == expected.split()
    assert list(net.params)[:4] == ["conv1.W", "conv1.b", "conv2.W", "conv2.b"]


def test_numbers_step_over_names_that_are_taken():
    net = Graph({"dense1": (mp.Dense(2, 3), "x"), "part": (mp.Sequential(mp.Dense(3, 3), mp.Dense(3, 1)), "dense1")})
    assert list(net.nodes) == ["dense1", "dense2", "dense3"]
    with pytest.raises(StructureError, match="dense1: a part's layer was numbered so already; choose another name"):
        Graph({"part": (mp.Sequential(mp.Dense(2, 3)), "x"), "dense1": (mp.Dense(3, 1), "part")})


def test_a_parts_own_name_stands_for_its_last_value():
    net = Graph({"part": (mp.Sequential(mp.Dense(2, 3), mp.ReLU()), "x"), "y": (mp.Dense(3, 1), "part")})
    assert net.nodes["y"].inputs == ("relu1",)
    assert Graph({"part": (mp.Sequential(mp.Dense(2, 3), mp.ReLU()), "x")}, output="part").output == "relu1"


def test_the_same_seed_draws_the_same_weights_of_the_variance_that_relu_needs():
    first, same, other = (mp.Sequential(mp.Dense(400, 300), rng=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.params["dense1.W"], same.params["dense1.W"])
    assert not np.array_equal(first.params["dense1.W"], other.params["dense1.W"])
    assert first.params["dense1.W"].var() == pytest.approx(2 / 400, rel=0.02)
    assert mp.Sequential(mp.Conv2d(8, 64, 5)).params["conv1.W"].var() == pytest.approx(2 / 200, rel=0.05)


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_a_fresh_network_is_the_same_network_as_one_just_made(name):
    net = EXAMPLES[name]()
    again = Graph(net_nodes(net), net.inputs, net.output, rng=5, dtype=np.float64, input_shape=net.input_shapes)
    fresh = net.fresh(5)
    assert list(fresh.arrays) == list(again.arrays)
    for key, array in again.arrays.items():
        # which features are read, which gates are closed, constants
        structure = key.endswith((".index", ".m", ".p")) or key.startswith("shift")
        np.testing.assert_array_equal(fresh.arrays[key], net.arrays[key] if structure else array)
        assert fresh.arrays[key].dtype == array.dtype
    assert (fresh.nodes, fresh.inputs, fresh.output) == (net.nodes, net.inputs, net.output)


def net_nodes(net):
    """The wiring as `Graph` takes it."""
    return {name: (node.layer, *node.inputs) for name, node in net.nodes.items()}


def test_a_fresh_network_has_the_sizes_that_pruning_left_and_shares_nothing():
    net = mp.Sequential(mp.Dense(6, 8), mp.BatchNorm(8), mp.ReLU(), mp.Dense(8, 3), rng=0)
    net.buffers["batchnorm1.mean"][:] = 7
    small = mp.remove(net, mp.Plan({"dense1": [0, 2, 3], "input": [1]}))
    fresh = small.fresh(np.random.default_rng(5))
    new = mp.Sequential(mp.Dense(5, 5), mp.BatchNorm(5), mp.ReLU(), mp.Dense(5, 3), rng=5)
    for key, array in new.arrays.items():
        np.testing.assert_array_equal(fresh.arrays[key], array)
    assert fresh.buffers["input.select.index"].tolist() == [0, 2, 3, 4, 5]  # which features are read is structure
    assert fresh.certificate is None
    assert small.buffers["batchnorm1.mean"].tolist() == [7] * 5
    assert not any(np.shares_memory(a, b) for a in fresh.arrays.values() for b in small.arrays.values())


def test_closed_gates_stay_closed_in_a_fresh_network():
    masked = mp.mask(mp.Sequential(mp.Dense(2, 3), mp.ReLU(), mp.Dense(3, 1)), mp.Plan({"dense1": [1]}))
    assert masked.fresh().buffers["relu1.gate.m"].tolist() == [1, 0, 1]


@pytest.mark.parametrize("kind", [object, complex])
def test_only_networks_of_floats_start_anew(kind):
    with pytest.raises(DtypeError, match="dtype: a network is made with float32 or float64, got"):
        mp.Sequential(mp.Dense(2, 3)).astype(kind).fresh()


def test_parts_are_drawn_anew_and_stay_as_they_were():
    part = mp.Sequential(mp.Dense(3, 3), rng=9)
    net = mp.Sequential(part, part, rng=0)
    assert not np.array_equal(net.params["dense1.W"], net.params["dense2.W"])
    net.params["dense1.W"][:] = 0
    assert part.params["dense1.W"].all()


def test_copies_are_independent_and_equal():
    net = mp.Sequential(mp.Dense(3, 2), mp.BatchNorm(2))
    copy = net.copy()
    copy.params["dense1.W"][:] = 0
    copy.buffers["batchnorm1.mean"][:] = 5
    assert net.params["dense1.W"].all()
    assert not net.buffers["batchnorm1.mean"].any()
    assert (copy.input_shapes, copy.inputs, copy.output) == (net.input_shapes, net.inputs, net.output)


def test_with_arrays_shares_the_arrays_that_it_is_given():
    net = mp.Sequential(mp.Dense(3, 2))
    net.with_arrays(net.arrays).params["dense1.b"][:] = 7
    assert net.params["dense1.b"].tolist() == [7, 7]


def test_astype_converts_everything_but_indices_and_leaves_the_network_alone():
    net = mp.Sequential(Select(4, 3), mp.Dense(3, 2), mp.BatchNorm(2))
    wide = net.astype(np.float64)
    assert {name: str(array.dtype) for name, array in wide.arrays.items() if array.dtype != float} == {
        "select1.index": "int64"
    }
    wide.params["dense1.b"][:] = 3
    wide.buffers["select1.index"][:] = 3
    assert not net.params["dense1.b"].any()
    assert net.buffers["select1.index"].tolist() == [0, 1, 2]
    assert net.astype(complex)(np.ones((1, 4))).dtype == complex


def test_rationals_go_through_exactly():
    net = mp.Sequential(mp.Dense(2, 1), dtype=np.float64)
    net.params["dense1.W"] = [[0.1, 0.25]]
    exact = net.astype(Fraction)
    assert exact(np.array([[3, 2]])).tolist() == [[3 * Fraction(0.1) + Fraction(1, 2)]]
    exact.params["dense1.b"] = [0.5]
    assert exact.params["dense1.b"].tolist() == [Fraction(1, 2)]


@pytest.mark.parametrize("dtype", [np.int32, bool, "U3"])
def test_astype_refuses_what_is_no_float(dtype):
    with pytest.raises(DtypeError, match="astype: expected a float or complex dtype or Fraction"):
        mp.Sequential(mp.Dense(2, 1)).astype(dtype)


def test_networks_are_made_of_floats():
    with pytest.raises(DtypeError, match=r"dtype: a network is made with float32 or float64, got .*int"):
        mp.Sequential(mp.Dense(2, 1), dtype=int)
    assert mp.Sequential(mp.Dense(2, 1), dtype=np.float64)(np.ones((1, 2), dtype=np.float32)).dtype == np.float64
    assert mp.Sequential(mp.Dense(2, 1))(np.ones((1, 2), dtype=np.uint8)).dtype == np.float32


# named arrays ------------------------------------------------------------------------------------------------


def test_setting_an_array_copies_into_the_one_that_is_there():
    arrays = Arrays({"b": np.zeros(2, dtype=np.float32)})
    held, value = arrays["b"], np.array([1.0, 2.0])
    arrays["b"] = value
    value[:] = 9
    assert held.tolist() == [1, 2]
    assert held.dtype == np.float32
    arrays["b"] += 1
    assert held.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("c", [1.0, 2.0], StructureError, "no array is called 'c'; there are b, index"),
        ("b", [1.0], ShapeError, r"b: expected shape \(2,\), got \(1,\)"),
        ("b", 1.0, ShapeError, r"b: expected shape \(2,\), got \(\)"),
        ("b", ["x", "y"], DtypeError, "b: expected float64, got <U1"),
        ("b", [1j, 0], DtypeError, "b: expected float64, got complex128"),
        ("index", [0.5, 1.0], DtypeError, "index: expected int64, got float64"),
    ],
)
def test_arrays_of_another_name_shape_or_kind_are_refused(name, value, error, message):
    arrays = Arrays({"b": np.zeros(2), "index": np.arange(2)})
    with pytest.raises(error, match=message):
        arrays[name] = value
    assert arrays["b"].tolist() == [0, 0]
    assert arrays["index"].tolist() == [0, 1]


def test_arrays_and_networks_say_what_they_hold():
    net = mp.Sequential(mp.Dense(3, 2))
    assert repr(net.params).split() == ["dense1.W", "float32", "(2,", "3)", "dense1.b", "float32", "(2,)"]
    assert repr(net) == "<Sequential: 1 nodes, 8 parameters>"
    assert len(net.params) == 2


# shapes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ((mp.Dense(7, 2),), (7,)),
        ((mp.ReLU(), mp.BatchNorm(4), mp.Dense(4, 2)), (4,)),
        (
            (mp.Conv2d(1, 6, 5), mp.MaxPool2d(2), mp.Conv2d(6, 16, 5), mp.MaxPool2d(2), mp.Flatten(), mp.Dense(256, 9)),
            (1, 28, 28),
        ),
        ((mp.Conv2d(3, 2, 3), mp.GlobalAvgPool2d(), mp.Dense(2, 2)), (3, 3, 3)),
        ((mp.Conv1d(2, 3, 4), mp.Flatten(), mp.Dense(21, 2)), (2, 10)),
        ((Select(9, 4), mp.Dense(4, 1)), (9,)),
        ((mp.Residual(mp.Conv2d(2, 2, 3, padding=1)),), (2, 1, 1)),
    ],
)
def test_the_smallest_input_that_fits_is_deduced(layers, shape):
    assert mp.Sequential(*layers).input_shapes == {"input": shape}


def test_a_shape_that_the_layers_leave_open_stays_open_or_is_declared():
    assert mp.Sequential(mp.ReLU()).input_shapes is None
    assert mp.Sequential(mp.ReLU(), input_shape=(3, 4)).input_shapes == {"input": (3, 4)}
    net = mp.Sequential(mp.Conv2d(1, 2, 3), mp.Flatten(), mp.Dense(2 * 4 * 6, 1), input_shape=[1, 6, 8])
    assert net(np.zeros((2, 1, 6, 8))).shape == (2, 1)


def two_inputs(**options):
    return Graph(
        {"a": (mp.Dense(2, 3), "u"), "b": (mp.Dense(4, 3), "v"), "y": (mp.Add(), "a", "b")}, ("u", "v"), **options
    )


def test_several_inputs_are_deduced_declared_and_given_by_name_or_in_order():
    net = two_inputs(input_shape={"v": (4,), "u": (2,)})
    assert net.input_shapes == two_inputs().input_shapes == {"u": (2,), "v": (4,)}
    u, v = np.ones((5, 2)), np.ones((5, 4))
    assert np.array_equal(net(u, v), net({"v": v, "u": u}))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: chain(mp.Dense(2, 3), mp.Dense(4, 1)), r"dense2: expected \(N, 4\), got \(N, 3\)"),
        (
            lambda: chain(mp.Conv2d(1, 2, 5), mp.Flatten(), mp.Dense(7, 1)),
            "no square image up to 512 fits .*give input_shape=",
        ),
        (lambda: mp.Sequential(mp.Dense(2, 3), input_shape=(4,)), r"dense1: expected \(N, 2\), got \(N, 4\)"),
        (
            lambda: mp.Sequential(mp.Dense(2, 3), input_shape=2),
            r"input_shape: expected \(features,\) or \(C, H, W\), got 2",
        ),
        (lambda: two_inputs(input_shape=(2,)), r"input_shape: expected a mapping with u, v, got \(2,\)"),
        (lambda: two_inputs(input_shape={"u": (2,)}), "input_shape: expected a mapping with u, v, got u"),
        (
            lambda: mp.Sequential(mp.Residual(mp.Dense(3, 4))),
            r"add1: expected values of one shape, got \(N, 4\), \(N, 3\)",
        ),
        (
            lambda: mp.Sequential(mp.Concat(mp.Conv2d(1, 2, 1), mp.Conv2d(1, 2, 3)), input_shape=(1, 5, 5)),
            r"concat1: expected values alike in all but channels, got \(N, 2, 5, 5\), \(N, 2, 3, 3\)",
        ),
        (
            lambda: mp.Sequential(mp.Conv2d(1, 2, 9), input_shape=(1, 8, 8)),
            r"conv1: a kernel of \(9, 9\) .*does not fit",
        ),
        (lambda: mp.Sequential(mp.BatchNorm(3), input_shape=(4,)), r"batchnorm1: expected \(N, 3, …\), got \(N, 4\)"),
        (lambda: mp.Sequential(Gate(3), input_shape=(4,)), r"gate1: expected \(N, 3, …\), got \(N, 4\)"),
        (lambda: mp.Sequential(Select(3, 2), input_shape=(4,)), r"select1: expected \(N, 3, …\), got \(N, 4\)"),
        (lambda: mp.Sequential(mp.MaxPool2d(2), input_shape=(4,)), r"maxpool1: expected \(N, C, H, W\), got \(N, 4\)"),
        (lambda: mp.Sequential(mp.GlobalAvgPool2d(), input_shape=(4,)), "globalavgpool1: expected"),
        (
            lambda: mp.Sequential(mp.Conv1d(2, 2, 1), input_shape=(2, 3, 3)),
            r"conv1: expected \(N, 2, W\), got \(N, 2, 3, 3\)",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused_with_the_nodes_name(make, message):
    with pytest.raises(ShapeError, match=message):
        make()


@pytest.mark.parametrize(
    ("xs", "error", "message"),
    [
        (
            (np.ones(2),),
            ShapeError,
            r"input: expected a batch \(N, …\), got shape \(2,\); for one sample write x\[None\]",
        ),
        ((np.ones((1, 3)),), ShapeError, r"dense1: expected \(N, 2\), got \(N, 3\)"),
        ((np.ones((1, 2)), np.ones((1, 2))), ShapeError, r"the network has 1 input\(s\) \(input\), got 2"),
        ((), ShapeError, r"the network has 1 input\(s\) \(input\), got 0"),
        (({"x": np.ones((1, 2))},), ShapeError, "the inputs: expected a mapping with input, got x"),
        ((np.array([["a", "b"]]),), DtypeError, "input: expected real numbers that fit float32, got <U1"),
        (
            (np.ones((1, 2), dtype=complex),),
            DtypeError,
            "input: expected real numbers that fit float32, got complex128",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(xs, error, message):
    with pytest.raises(error, match=message):
        mp.Sequential(mp.Dense(2, 1))(*xs)


def test_inputs_of_different_lengths_are_refused():
    with pytest.raises(ShapeError, match=r"the inputs have different numbers of samples: \[2, 3\]"):
        two_inputs()(np.ones((2, 2)), np.ones((3, 4)))


# wiring ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mp.Sequential(), "Sequential: expected at least one layer"),
        (lambda: mp.Sequential(mp.Dense), "expected a layer, got <class"),
        (lambda: Graph({}), "a network needs at least one node"),
        (lambda: Graph({"y": mp.Dense(2, 1)}), r"y: expected \(layer, \*names of the values it reads\), got Dense"),
        (lambda: Graph({"y": (mp.Dense(2, 1), "z")}), "y reads 'z', which is no input and no node before it"),
        (lambda: Graph({"y": (mp.Dense(2, 1),)}), r"y: Dense reads 1 value\(s\), got 0"),
        (lambda: Graph({"y": (mp.Add(), "x")}), r"y: Add reads 2 or more value\(s\), got 1"),
        (lambda: Graph({"x": (mp.Dense(2, 1), "x")}), "x: two values bear this name"),
        (lambda: Graph({"y": (mp.Dense(2, 1), "x")}, ("x", "x")), "inputs are x, x: two of them bear one name"),
        (lambda: Graph({"y": (mp.Dense(2, 1), "x")}, ("x", "u")), "u: nothing reads it; take it out"),
        (lambda: Graph({"y": (mp.ReLU(), "x"), "z": (mp.ReLU(), "x")}), "y: nothing reads it; take it out"),
        (lambda: Graph({"y": (mp.ReLU(), "x")}, output="q"), "output is 'q', expected one of the nodes: y"),
        (lambda: Graph({"y": (mp.ReLU(), "x")}, output="x"), "output is 'x', expected one of the nodes: y"),
        (lambda: mp.Sequential(mp.Concat(mp.Dense(2, 1))), r"concat1: Join reads 2 or more value\(s\), got 1"),
        (
            lambda: Graph({"y": (mp.Sequential(mp.ReLU()), "a", "b")}, ("a", "b")),
            r"a part with 1 input\(s\) was given 2 value\(s\)",
        ),
        (lambda: mp.Dense(0, 3), "Dense: inputs is 0, expected a whole number of at least 1"),
        (lambda: mp.Dense(3, 2.5), "Dense: outputs is 2.5, expected a whole number"),
        (
            lambda: mp.Conv2d(1, 2, (3, 3, 3)),
            r"Conv2d: kernel is \(3, 3, 3\), expected 2 whole number\(s\) of at least 1",
        ),
        (lambda: mp.Conv2d(1, 2, 1.5), "Conv2d: kernel is 1.5, expected 2 whole"),
        (lambda: mp.Conv1d(1, 2, 3, padding=-1), r"Conv1d: padding is -1, expected 1 whole number\(s\) of at least 0"),
        (
            lambda: mp.Conv2d(4, 6, 3, groups=4),
            "Conv2d: groups is 4, expected a divisor of 4 input and 6 output channels",
        ),
        (lambda: mp.MaxPool2d(2, stride=0), "MaxPool2d: stride is 0, expected 2 whole"),
        (
            lambda: mp.AvgPool2d(2, padding=2),
            r"AvgPool2d: padding is \(2, 2\), expected at most half the kernel \(2, 2\)",
        ),
        (lambda: mp.BatchNorm(0), "BatchNorm: size is 0, expected a whole number"),
        (lambda: mp.BatchNorm(2, epsilon=0), "BatchNorm: epsilon is 0 and momentum 0.1, expected epsilon above 0"),
        (
            lambda: mp.BatchNorm(2, momentum=2),
            "momentum 2, expected epsilon above 0 and momentum above 0 and at most 1",
        ),
        (lambda: mp.Dropout(1), "Dropout: p is 1, expected a fraction of at least 0 and below 1"),
        (lambda: Select(2, 3), "Select: outputs is 3, expected at most the 2 inputs"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(make, message):
    with pytest.raises(StructureError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def assemble(nodes, arrays, inputs=("x",), output="y"):
    return Graph.assemble(nodes, inputs, output, arrays)


def test_assembling_checks_wiring_and_arrays():
    nodes = mp.Sequential(mp.Dense(2, 1)).nodes
    parts = {"y": type(nodes["dense1"])(mp.Dense(2, 1), ("x",))}
    W, b = np.zeros((1, 2)), np.zeros(1)
    assert assemble(parts, {"y.W": W, "y.b": b}).params["y.W"] is W
    with pytest.raises(StructureError, match=r"y.b: the array is missing"):
        assemble(parts, {"y.W": W})
    with pytest.raises(ShapeError, match=r"y.W: expected shape \(1, 2\), got \(2, 1\)"):
        assemble(parts, {"y.W": W.T, "y.b": b})
    with pytest.raises(StructureError, match="x: two values bear this name"):
        assemble({"x": parts["y"]}, {"x.W": W, "x.b": b}, output="x")
    with pytest.raises(StructureError, match="y reads 'x', which is no input and no node before it"):
        assemble(parts, {"y.W": W, "y.b": b}, inputs=("u",))


def test_a_builder_takes_no_strangers():
    with pytest.raises(StructureError, match="expected a layer, got 'dense'"):
        Builder(("x",)).add("dense", "x")


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (mp.Dense(784, 300), (300,), 784 * 300),
        (mp.Conv2d(1, 20, 5), (20, 24, 24), 20 * 24 * 24 * 25),
        (mp.Conv2d(4, 8, 3, groups=4), (8, 5, 5), 8 * 25 * 9),
        (mp.ReLU(), (5,), 0),
    ],
)
def test_multiply_accumulates_are_counted_by_hand(layer, shape, macs):
    assert layer.macs(shape) == macs


def test_layers_are_resized_to_the_arrays_that_are_left():
    assert mp.Dense(4, 3).resized({"W": (2, 3)}) == mp.Dense(3, 2, bias=False)
    assert mp.Conv2d(4, 6, 3).resized({"W": (5, 2, 3, 3), "b": (5,)}) == mp.Conv2d(2, 5, 3)
    assert mp.Conv2d(4, 8, 3, groups=4).resized({"W": (6, 1, 3, 3), "b": (6,)}) == mp.Conv2d(3, 6, 3, groups=3)
    assert mp.BatchNorm(4, 1e-3).resized({"gamma": (3,)}) == mp.BatchNorm(3, 1e-3)
    assert Gate(4).resized({"m": (2,)}) == Gate(2)
    assert Select(9, 4).resized({"index": (2,)}) == Select(9, 2)
    assert mp.ReLU().resized({}) == mp.ReLU()


def test_an_input_that_is_only_added_has_the_shape_of_its_partner() -> None:
    net = mp.Graph({"h": (mp.Dense(64, 32), "x"), "y": (mp.Add(), "h", "x2")}, inputs=("x", "x2"))
    assert net.input_shapes == {"x": (64,), "x2": (32,)}
    assert net(np.zeros((2, 64)), np.zeros((2, 32))).shape == (2, 32)
    assert list(net.neurons) == ["x", "x2"]  # x2 and h are one group: their neurons are added
