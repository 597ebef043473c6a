"""Scores before training: snip and grasp beside torch, and the exact product of the Hessian with a vector."""

from typing import Any

import numpy as np
import pytest
import torch
from networks import EXAMPLES, samples
from torch_nets import torch_arrays, torch_losses, torch_run

import minprune as mp
from minprune.errors import DataError
from minprune.ops import Array
from minprune.scores import Context
from minprune.scores.hessian import hessian_times

HALF = "half_squared_error"
NETS = ("mlp", "sigmoid output", "cnn", "residual", "depthwise", "softmax inside", "leaky relu, dropout")


def context_of(net: mp.Graph, x: Any, t: Any, loss: str, batch_size: int = 3) -> Context:
    weights = tuple(name for name in net.params if name.endswith(".W"))
    return Context(net, (), x, t, loss, batch_size, np.random.default_rng(0), False, weights)


def torch_product(net: mp.Graph, x: Array, t: Array, loss: str, direction: Any = None) -> dict[str, tuple[Array, ...]]:
    """g and H v by torch's double backward, v the gradient itself where none is given."""
    arrays = torch_arrays(net)
    weights = {name: array for name, array in arrays.items() if name.endswith(".W")}
    mean = torch_losses(torch_run(net, torch.from_numpy(x), arrays), t, loss).mean()
    grads = torch.autograd.grad(mean, list(weights.values()), create_graph=True)
    v = [g.detach() for g in grads] if direction is None else [torch.from_numpy(direction[name]) for name in weights]
    dot = sum((g * along).sum() for g, along in zip(grads, v, strict=True))
    product = torch.autograd.grad(dot, list(weights.values()), allow_unused=True)
    return {
        name: (g.detach().numpy(), np.zeros(g.shape) if p is None else p.numpy())
        for name, g, p in zip(weights, grads, product, strict=True)
    }


@pytest.mark.parametrize("loss", [HALF, "cross_entropy"])
@pytest.mark.parametrize("name", NETS)
def test_the_hessian_times_a_vector_is_what_torch_differentiates_twice(name: str, loss: str) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net, n=4)
    t = np.arange(4) % t.shape[1] if loss == "cross_entropy" else t
    rng = np.random.default_rng(7)
    v = {name: rng.standard_normal(array.shape) for name, array in net.params.items() if name.endswith(".W")}
    found = hessian_times(context_of(net, x, t, loss), v)
    for parameter, (_, expected) in torch_product(net, x, t, loss, v).items():
        assert found[parameter].dtype == np.float64
        np.testing.assert_allclose(found[parameter], expected, rtol=1e-9, atol=1e-10, err_msg=parameter)


def test_it_is_the_whole_hessian_column_by_column() -> None:
    """Against central differences of gradients, on a smooth network."""
    net = EXAMPLES["sigmoid"]()
    x, t = samples(net, n=3)
    context = context_of(net, x, t, "mse")
    size, h = net.params["dense1.W"].size, 1e-5
    none = {name: np.zeros(net.params[name].shape) for name in context.weights}
    for entry in range(size):
        unit = np.eye(size)[entry].reshape(net.params["dense1.W"].shape)
        product = hessian_times(context, {**none, "dense1.W": unit})
        moved = [net.copy(), net.copy()]
        for sign, other in zip((1, -1), moved, strict=True):
            other.params["dense1.W"] = net.params["dense1.W"] + sign * h * unit
        up, down = (mp.record(other, x, t, loss="mse").grads for other in moved)
        for name in context.weights:
            np.testing.assert_allclose(product[name], (up[name] - down[name]) / (2 * h), rtol=1e-6, atol=1e-8)


def test_no_kink_is_crossed_on_the_way() -> None:
    """z = ±2e-12 is nearer to the ReLU's kink than any difference step: H of ½ z² is x² on one side, 0 on the other."""
    net = mp.Sequential(mp.Dense(1, 1, bias=False), mp.ReLU(), dtype=np.float64)
    context = context_of(net, np.array([[2.0]]), np.array([[0.0]]), HALF)
    for w, expected in ((1e-12, 4.0), (-1e-12, 0.0), (0.0, 0.0)):
        net.params["dense1.W"] = [[w]]
        assert hessian_times(context, {"dense1.W": np.array([[1.0]])})["dense1.W"].tolist() == [[expected]]


# --- grasp -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [HALF, "cross_entropy"])
@pytest.mark.parametrize("name", NETS)
def test_grasp_is_the_weight_times_the_hessian_times_the_gradient_of_torch(name: str, loss: str) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net, n=5)
    t = np.arange(5) % t.shape[1] if loss == "cross_entropy" else t
    expected = {n: net.params[n] * product for n, (_, product) in torch_product(net, x, t, loss).items()}
    for parameter, values in mp.score(net, (x, t), "grasp", loss=loss, by="weight", batch_size=2).items():
        np.testing.assert_allclose(values, expected[parameter], rtol=1e-8, atol=1e-9, err_msg=parameter)
    for group, values in mp.score(net, (x, t), "grasp", loss=loss).items():
        for j, value in enumerate(values):
            total = 0.0
            for piece in net.neurons[group].consumed:
                for position in piece.positions(j):
                    total += sum(np.take(expected[piece.array], position, axis=piece.axis).ravel().tolist())
            assert value == pytest.approx(total, rel=1e-8, abs=1e-9), f"{group}[{j}]"


def test_twice_grasp_is_how_fast_the_flow_falls_with_the_weight() -> None:
    """‖∇L‖² with w scaled by 1 ± h: what is lost to first order when w goes is what the paper calls −S."""
    net = EXAMPLES["sigmoid"]()
    x, t = samples(net, n=3)
    scores = mp.score(net, (x, t), "grasp", loss=HALF, by="weight")

    def flow(made: mp.Graph) -> float:
        grads = mp.record(made, x, t, loss=HALF).grads
        return sum(float((g * g).sum()) for name, g in grads.items() if name.endswith(".W"))

    for parameter, values in scores.items():
        for place in np.ndindex(values.shape):
            moved = [net.copy(), net.copy()]
            for sign, other in zip((1, -1), moved, strict=True):
                other.params[parameter][place] *= 1 + sign * 1e-6
            slope = (flow(moved[0]) - flow(moved[1])) / 2e-6
            assert 2 * values[place] == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_grasp_of_some_parameters_is_still_about_the_flow_through_all() -> None:
    net = EXAMPLES["mlp"]()
    data = samples(net)
    every, one = (mp.score(net, data, "grasp", by="weight", groups=g) for g in (None, ["dense2.W"]))
    np.testing.assert_array_equal(one["dense2.W"], every["dense2.W"])


def test_a_float32_network_is_looked_at_in_float64() -> None:
    net = EXAMPLES["cnn"]()
    data = samples(net)
    rounded = net.astype(np.float32)
    fine, coarse = (mp.score(made, data, "grasp", by="weight") for made in (rounded.astype(np.float64), rounded))
    for parameter in fine:
        np.testing.assert_array_equal(coarse[parameter], fine[parameter])


# --- snip ------------------------------------------------------------------------------------------------------------


def test_snip_by_hand() -> None:
    """y = 3 · 2 + 2 · 1, t = 7, so y − t is 1: the gates answer with 6 and 2, the four weights with 6, 2, 6, 2."""
    net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    net.params["dense1.W"], net.params["dense2.W"] = [[2], [1]], [[3, 2]]
    data = ([[1.0]], [[7.0]])
    assert mp.score(net, data, "snip", loss=HALF)["dense1"].tolist() == [0.75, 0.25]
    found = mp.score(net, data, "snip", loss=HALF, by="weight")
    assert found["dense1.W"].tolist() == [[0.375], [0.125]]
    assert found["dense2.W"].tolist() == [[0.375, 0.125]]


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual", "depthwise"])
def test_snip_is_the_share_of_the_mean_losss_gradient(name: str) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net, n=5)
    products = {n: np.abs(net.params[n] * g) for n, (g, _) in torch_product(net, x, t, HALF).items()}
    whole = sum(product.sum() for product in products.values())
    for parameter, values in mp.score(net, (x, t), "snip", loss=HALF, by="weight", batch_size=2).items():
        np.testing.assert_allclose(values, products[parameter] / whole, rtol=1e-9, atol=1e-13)
    shares, sizes = (mp.score(net, (x, t), criterion, loss=HALF) for criterion in ("snip", "taylor_mean"))
    assert sum(values.sum() for values in shares.values()) == pytest.approx(1, rel=1e-12)
    whole = sum(values.sum() for values in sizes.values())
    for group, values in shares.items():
        np.testing.assert_allclose(values * whole, sizes[group], rtol=1e-12)


def test_without_any_gradient_no_gate_has_a_share() -> None:
    net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1))
    net.params["dense2.W"] = [[0, 0]]
    assert mp.score(net, ([[1.0]], [[0.0]]), "snip", loss=HALF)["dense1"].tolist() == [0, 0]


def test_grasp_of_what_nothing_makes_still_has_outgoing_weights() -> None:
    net = EXAMPLES["mlp"]()
    assert mp.score(net, samples(net), "grasp", groups=["input"])["input"].shape == (4,)
    with pytest.raises(DataError, match="labels are needed here"):
        mp.score(net, samples(net)[0], "grasp", loss=HALF)
