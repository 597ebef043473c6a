"""Scores by the network of moduli: synflow and nisp beside products of matrices, loops and torch; lamp beside loops."""

from typing import Any

import numpy as np
import pytest
import torch
from networks import EXAMPLES, SINGLE_INPUT, randomised, samples
from torch_nets import PLAIN, along, at_reads, torch_run

import minprune as mp
from minprune.errors import StructureError
from minprune.layers import Layer, ReLU
from minprune.neurons import hidden
from minprune.ops import Array
from minprune.scores.linearised import linearised

NETS = ("mlp", "cnn", "residual", "residual, projected", "depthwise", "grouped", "concat, flatten", "average pooling")
CHAINS = ("mlp", "mlp without bias", "sigmoid output", "conv1d", "cnn, odd sizes", "cnn", "softmax inside")


def moduli(net: mp.Graph) -> dict[str, Any]:
    """The arrays of the network of moduli as tensors, W waiting for gradients."""
    arrays = {}
    for name, array in net.arrays.items():
        kind = name.rpartition(".")[2]
        made = torch.from_numpy(np.zeros_like(array) if kind in ("b", "beta", "mean") else np.abs(array))
        arrays[name] = made.requires_grad_() if kind == "W" else made
    return arrays


def output_sum(net: mp.Graph, arrays: Any, monkeypatch: Any, placed: Any = None, average: bool = False) -> Any:
    """R by torch, with every activation taken out and, for nisp, averages for maxima."""
    for kind in ("relu", "sigmoid", "tanh", "softmax"):
        monkeypatch.setitem(PLAIN, kind, lambda x: x)
    if average:
        monkeypatch.setattr(torch.nn.functional, "max_pool2d", torch.nn.functional.avg_pool2d)
    (shape,) = (net.input_shapes or {}).values()
    return torch_run(net, torch.ones((1, *shape), dtype=torch.float64), arrays, placed).sum()


@pytest.mark.parametrize("name", NETS)
def test_synflow_is_what_torch_differentiates_in_the_network_of_moduli(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = EXAMPLES[name]()
    arrays = moduli(net)
    output_sum(net, arrays, monkeypatch).backward()
    for parameter, values in mp.score(net, criterion="synflow", by="weight").items():
        expected = (arrays[parameter] * arrays[parameter].grad).detach().numpy()
        np.testing.assert_allclose(values, expected, rtol=1e-10, err_msg=parameter)
    for group, values in mp.score(net, criterion="synflow").items():
        found = net.neurons[group]
        m = torch.ones(found.size, dtype=torch.float64, requires_grad=True)
        placed = at_reads(found, lambda v, j, m=m: v * along(m, j, v, 1.0))
        (expected,) = torch.autograd.grad(output_sum(net, arrays, monkeypatch, placed), m)
        np.testing.assert_allclose(values, expected.numpy(), rtol=1e-10, err_msg=group)


@pytest.mark.parametrize("name", NETS)
def test_nisp_is_the_derivative_by_a_shift_of_the_neuron(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net = EXAMPLES[name]()
    arrays = moduli(net)
    for group, values in mp.score(net, criterion="nisp").items():
        found = net.neurons[group]
        d = torch.zeros(found.size, dtype=torch.float64, requires_grad=True)
        placed = at_reads(found, lambda v, j, d=d: v + along(d, j, v, 0.0))
        (expected,) = torch.autograd.grad(output_sum(net, arrays, monkeypatch, placed, average=True), d)
        np.testing.assert_allclose(values, expected.numpy(), rtol=1e-10, err_msg=group)


def test_synflow_and_nisp_of_an_mlp_are_products_of_moduli() -> None:
    net = EXAMPLES["mlp"]()
    A, B, C = (np.abs(net.params[f"dense{i}.W"]) for i in (1, 2, 3))  # (5,4), (4,5), (3,4)
    one = np.ones
    np.testing.assert_allclose(mp.score(net, criterion="nisp")["dense2"], one(3) @ C, rtol=1e-12)
    np.testing.assert_allclose(mp.score(net, criterion="nisp")["dense1"], one(3) @ C @ B, rtol=1e-12)
    flow = mp.score(net, criterion="synflow")
    np.testing.assert_allclose(flow["dense1"], (one(3) @ C @ B) * (A @ one(4)), rtol=1e-12)
    np.testing.assert_allclose(flow["dense2"], (one(3) @ C) * (B @ A @ one(4)), rtol=1e-12)
    by_weight = mp.score(net, criterion="synflow", by="weight")["dense2.W"]
    for k, j in np.ndindex(B.shape):
        assert by_weight[k, j] == pytest.approx((one(3) @ C)[k] * B[k, j] * (A @ one(4))[j], rel=1e-12)


@pytest.mark.parametrize("name", CHAINS)
def test_flow_is_conserved(name: str) -> None:
    """What enters a neuron leaves it again, and every layer of a chain passes all of it."""
    net = EXAMPLES[name]()
    neurons, weights = (mp.score(net, criterion="synflow", by=by) for by in ("neuron", "weight"))
    layers = [values.sum() for values in weights.values()]
    (shape,) = (net.input_shapes or {}).values()
    np.testing.assert_allclose(layers, linearised(net)(np.ones((1, *shape))).sum(), rtol=1e-10)
    for group in hidden(net):
        found = net.neurons[group]
        for role in (found.produced, found.consumed):
            (piece,) = (piece for piece in role if piece.array.endswith(".W"))
            entries = np.moveaxis(weights[piece.array], piece.axis, 0)
            sums = entries.reshape(len(entries), -1).sum(axis=1)
            total = [sums[piece.positions(j)].sum() for j in range(found.size)]
            np.testing.assert_allclose(neurons[group], total, rtol=1e-10, err_msg=f"{group} {piece.array}")


@pytest.mark.parametrize("name", SINGLE_INPUT)
def test_the_network_of_moduli_is_linear_and_never_negative(name: str) -> None:
    net = EXAMPLES[name]()
    if any(node.layer.kind in ("maxpool", "multiply", "matmul") for node in net.nodes.values()):
        return
    made = linearised(net)
    x = np.abs(samples(net, n=3)[0])
    assert (made(x) >= 0).all()
    np.testing.assert_allclose(made(2 * x + x[::-1]), 2 * made(x) + made(x[::-1]), rtol=1e-9, atol=1e-12)
    assert {array.dtype.kind for array in made.arrays.values()} <= {"f", "i"}


def test_neither_looks_at_data_bias_or_activation() -> None:
    net = EXAMPLES["mlp"]()
    other = net.copy()
    other.params["dense1.b"] = 1e3 + other.params["dense1.b"]
    for name in ("dense1.W", "dense3.W"):
        other.params[name] = -other.params[name]
    for criterion in ("synflow", "nisp"):
        plain, changed = (mp.score(made, criterion=criterion) for made in (net, other))
        with_data = mp.score(net, samples(net), criterion)
        for group in plain:
            np.testing.assert_array_equal(changed[group], plain[group])
            np.testing.assert_array_equal(with_data[group], plain[group])


def test_a_batch_norm_scales_the_flow_by_gamma_over_the_stored_spread() -> None:
    net = mp.Sequential(mp.Dense(1, 2), mp.BatchNorm(2, epsilon=1e-12), mp.ReLU(), mp.Dense(2, 1), dtype=np.float64)
    net.params["dense1.W"], net.params["dense2.W"] = [[1], [1]], [[1, 1]]
    net.params["batchnorm1.gamma"], net.buffers["batchnorm1.var"] = [-3, 1], [4, 1]
    net.params["batchnorm1.beta"], net.buffers["batchnorm1.mean"] = [9, 9], [7, 7]
    np.testing.assert_allclose(mp.score(net, criterion="synflow")["dense1"], [1.5, 1], rtol=1e-9)
    np.testing.assert_allclose(linearised(net)([[1.0]]), [[2.5]], rtol=1e-9)


def test_the_importance_of_a_maximum_is_shared_by_its_window() -> None:
    """A channel of 4 places, pooled in pairs that are read with 1 and 2: each entry of a pair gets half."""
    net = mp.Sequential(
        *(mp.Conv2d(1, 1, 1), mp.MaxPool2d((1, 2)), mp.Conv2d(1, 1, 1), mp.Flatten(), mp.Dense(2, 1)),
        input_shape=(1, 1, 4),
        dtype=np.float64,
    )
    net.params["conv2.W"], net.params["dense1.W"] = [[[[5]]]], [[1, -2]]
    assert mp.score(net, criterion="nisp")["conv2"].tolist() == [3]
    assert mp.score(net, criterion="nisp")["conv1"].tolist() == [15]
    assert mp.score(net, criterion="nisp", groups=["input"])["input"].tolist() == [
        15 * abs(net.params["conv1.W"].item())
    ]


def test_an_activation_of_ones_own_is_taken_out_too() -> None:
    class Doubled(ReLU):
        kind = "doubled"

        def forward(self, arrays: Any, *xs: Any, training: Any = None) -> Any:
            raise AssertionError("an activation was run")

    net = randomised(mp.Sequential(mp.Dense(3, 2), Doubled(), mp.Dense(2, 1), dtype=np.float64))
    assert isinstance(net.nodes["doubled1"].layer, Layer)
    assert (mp.score(net, criterion="synflow")["dense1"] > 0).all()


def test_without_the_shape_of_the_input_there_is_nothing_to_send_through() -> None:
    nodes = {"b": (mp.Dense(3, 2), "v"), "f": (mp.Flatten(), "u"), "both": (mp.Concat(), "b", "f")}
    net = mp.Graph(nodes, inputs=("u", "v"))
    assert net.input_shapes is None
    with pytest.raises(StructureError, match="leave the input's shape open; give input_shape= when making"):
        mp.score(net, criterion="synflow", by="weight")


# --- lamp ------------------------------------------------------------------------------------------------------------


def share_upwards(squares: list[float], u: int) -> float:
    total = sum(v for v in squares if v >= squares[u])
    return squares[u] / total if total else 0.0


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual, projected", "depthwise"])
def test_lamp_is_its_formula_in_plain_loops(name: str) -> None:
    net = EXAMPLES[name]()
    for parameter, values in mp.score(net, criterion="lamp", by="weight").items():
        squares = [float(w) ** 2 for w in net.params[parameter].ravel()]
        expected = [share_upwards(squares, u) for u in range(len(squares))]
        np.testing.assert_allclose(values.ravel(), expected, rtol=1e-10)
        assert values.max() == 1
    norms = mp.score(net, criterion="magnitude_l2")
    for group, values in mp.score(net, criterion="lamp").items():
        squares = (norms[group] ** 2).tolist()
        np.testing.assert_allclose(values, [share_upwards(squares, u) for u in range(len(squares))], rtol=1e-9)


def test_equal_weights_have_equal_shares_and_zeros_none() -> None:
    net = mp.Sequential(mp.Dense(2, 2), mp.Dense(2, 2))
    net.params["dense1.W"], net.params["dense2.W"] = [[0, 2], [-2, 1]], [[0, 0], [0, 0]]
    found: dict[str, Array] = dict(mp.score(net, criterion="lamp", by="weight"))
    assert found["dense1.W"].tolist() == [[0, 0.5], [0.5, 1 / 9]]
    assert found["dense2.W"].tolist() == [[0, 0], [0, 0]]
