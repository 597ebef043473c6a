"""Scores of single weights: against another engine, plain loops, and the loss without the weight."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from networks import EXAMPLES, samples
from torch_nets import torch_arrays, torch_losses, torch_run

import minprune as mp
from minprune.errors import DataError, ShapeError
from minprune.neurons import hidden
from minprune.ops import Array
from minprune.scores import CRITERIA, oracle, weights

HALF = "half_squared_error"
NETS = ("mlp", "cnn", "residual", "depthwise", "cnn, odd sizes", "grouped")


def gradients(net: mp.Graph, x: Array, t: Array, loss: str) -> dict[str, Array]:
    """The gradient of every sample's loss by every weight, by torch, one sample after the other: (N, shape)."""
    arrays = torch_arrays(net)
    names = [name for name in arrays if name.endswith(".W")]
    rows: dict[str, list[Array]] = {name: [] for name in names}
    for n in range(len(x)):
        losses = torch_losses(torch_run(net, torch.from_numpy(x[n : n + 1]), arrays), t[n : n + 1], loss)
        for name, grad in zip(names, torch.autograd.grad(losses[0], [arrays[k] for k in names]), strict=True):
            rows[name].append(grad.numpy())
    return {name: np.stack(row) for name, row in rows.items()}


def inverse(s: Array) -> Array:
    return np.array([np.inf if v == 0 else 1 / v for v in s.ravel()]).reshape(s.shape)


BY_SAMPLE: dict[str, Callable[[Array, Array], Array]] = {
    "taylor": lambda w, g: np.abs(w * g).mean(axis=0),
    "taylor_mean": lambda w, g: np.abs((w * g).mean(axis=0)),
    "taylor_signed": lambda w, g: -(w * g).mean(axis=0),
    "taylor_squared": lambda w, g: ((w * g) ** 2).mean(axis=0),
    "fisher": lambda w, g: ((w * g) ** 2).mean(axis=0) / 2,
    "sensitivity": lambda w, g: np.abs(g).mean(axis=0),
    "sensitivity_signed": lambda w, g: g.mean(axis=0),
    "inverse_sensitivity": lambda w, g: inverse(np.abs(g).mean(axis=0)),
    "inverse_sensitivity_mean": lambda w, g: inverse(np.abs(g.mean(axis=0))),
    "inverse_sensitivity_signed": lambda w, g: inverse(g.mean(axis=0)),
}


@pytest.mark.parametrize(("name", "at_once"), [("cnn", 1), ("grouped", 300), *((n, weights.AT_ONCE) for n in NETS)])
def test_gradient_scores_of_weights_are_those_of_torch(
    name: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many samples of a convolution are taken at a time."""
    monkeypatch.setattr(weights, "AT_ONCE", at_once)
    net = EXAMPLES[name]()
    x, t = samples(net, n=4)
    by_sample = gradients(net, x, t, HALF)
    for criterion, formula in BY_SAMPLE.items():
        scores = mp.score(net, (x, t), criterion, loss=HALF, by="weight", batch_size=3)
        assert list(scores) == list(by_sample)
        for parameter, found in scores.items():
            expected = formula(net.params[parameter], by_sample[parameter])
            finite = np.isfinite(expected)
            np.testing.assert_array_equal(np.isfinite(found), finite)
            np.testing.assert_allclose(
                found[finite], expected[finite], rtol=1e-8, atol=1e-12, err_msg=f"{criterion} {parameter}"
            )


def test_gradient_scores_of_weights_by_hand() -> None:
    """y = w₁ x₁ + w₂ x₂ = 3 · 1 + 1 · 2 and 3 · 2 + 1 · 0, t = 4, so y − t is 1 and 2, and g is (1, 2) and (4, 0)."""
    net = mp.Sequential(mp.Dense(2, 1), dtype=np.float64)
    net.params["dense1.W"] = [[3, 1]]
    data = ([[1.0, 2.0], [2.0, 0.0]], [[4.0], [4.0]])
    expected = {
        "sensitivity": [[2.5, 1]],
        "inverse_sensitivity": [[0.4, 1]],
        "taylor": [[7.5, 1]],
        "taylor_signed": [[-7.5, -1]],
        "taylor_squared": [[76.5, 2]],
        "fisher": [[38.25, 1]],
        "magnitude_l1": [[3, 1]],
        "magnitude_l2": [[3, 1]],
    }
    for criterion, values in expected.items():
        found: Any = mp.score(net, data, criterion, loss=HALF, by="weight")["dense1.W"]
        assert found.tolist() == values, criterion


def test_only_the_parameters_asked_for_are_scored() -> None:
    net = EXAMPLES["cnn"]()
    data = samples(net)
    every = mp.score(net, data, "taylor", by="weight")
    one = mp.score(net, data, "taylor", by="weight", groups=["conv2.W"])
    assert list(one) == ["conv2.W"]
    np.testing.assert_allclose(one["conv2.W"], every["conv2.W"], rtol=1e-12)


def test_a_float32_network_has_its_weights_scored_in_float64_sums() -> None:
    net = EXAMPLES["cnn"]()
    data = samples(net)
    fine, coarse = (mp.score(made, data, "taylor", by="weight") for made in (net, net.astype(np.float32)))
    for parameter in fine:
        assert coarse[parameter].dtype == np.float64
        np.testing.assert_allclose(coarse[parameter], fine[parameter], rtol=1e-3, atol=1e-4)


# --- second order ----------------------------------------------------------------------------------------------------


def jacobians(net: mp.Graph, x: Array) -> dict[str, Array]:
    """The gradient of every output of every sample by every weight, by torch: (N, K, shape)."""
    arrays = torch_arrays(net)
    names = [name for name in arrays if name.endswith(".W")]
    rows: dict[str, list[Array]] = {name: [] for name in names}
    for n in range(len(x)):
        output = torch_run(net, torch.from_numpy(x[n : n + 1]), arrays)[0]
        grads = [torch.autograd.grad(y, [arrays[k] for k in names], retain_graph=True) for y in output]
        for place, name in enumerate(names):
            rows[name].append(np.stack([grad[place].numpy() for grad in grads]))
    return {name: np.stack(row) for name, row in rows.items()}


def hessian(loss: str, y: Array) -> Array:
    """Of one sample by its outputs, as it stands in a textbook."""
    if loss == "cross_entropy":
        p = np.exp(y) / np.exp(y).sum()
        return np.diag(p) - np.outer(p, p)
    return np.eye(len(y)) * (1 if loss == HALF else 2 / len(y))


@pytest.mark.parametrize(("name", "loss"), [("mlp", "mse"), ("cnn", HALF), *((name, "cross_entropy") for name in NETS)])
def test_curvature_of_weights_is_the_gauss_newton_diagonal_of_torch(name: str, loss: str) -> None:
    """A filter's weight has its J summed over places before it is squared."""
    net = EXAMPLES[name]()
    x, t = samples(net, n=4)
    t = np.arange(4) % t.shape[1] if loss == "cross_entropy" else t
    H = np.stack([hessian(loss, y) for y in net(x)])
    first = mp.score(net, (x, t), "taylor_signed", loss=loss, by="weight")
    found = {c: mp.score(net, (x, t), c, loss=loss, by="weight", batch_size=3) for c in ("curvature", "obd", "taylor2")}
    for parameter, J in jacobians(net, x).items():
        J = J.reshape(*J.shape[:2], -1)
        half = np.einsum("nkw,nkl,nlw->w", J, H, J).reshape(net.params[parameter].shape) / 2 / len(x)
        half *= net.params[parameter] ** 2
        np.testing.assert_allclose(found["curvature"][parameter], half, rtol=1e-8, atol=1e-12)
        np.testing.assert_array_equal(found["obd"][parameter], found["curvature"][parameter])
        np.testing.assert_allclose(found["taylor2"][parameter], first[parameter] + half, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual", "depthwise with multiplier 2", "tied across concat"])
def test_obd_of_a_neuron_adds_up_its_incoming_weights_in_plain_loops(name: str) -> None:
    net = EXAMPLES[name]()
    data = samples(net)
    saliencies = mp.score(net, data, "obd", loss=HALF, by="weight")
    for group, values in mp.score(net, data, "obd", loss=HALF).items():
        for j, value in enumerate(values):
            total = 0.0
            for piece in net.neurons[group].produced:
                if piece.array.endswith(".W"):
                    for position in piece.positions(j):
                        total += sum(np.take(saliencies[piece.array], position, axis=piece.axis).ravel().tolist())
            assert value == pytest.approx(total, rel=1e-10), f"{group}[{j}]"


def test_obd_and_curvature_of_a_neuron_are_two_things() -> None:
    """The effects 6 and −6 of two weights cancel where both go together; h is 9 x², so obd says ½ (9·4 + 36·1)."""
    net = mp.Sequential(mp.Dense(2, 1), mp.Dense(1, 1), dtype=np.float64)
    net.params["dense1.W"], net.params["dense2.W"] = [[2, -1]], [[3]]
    assert mp.score(net, [[1.0, 2.0]], "obd", loss=HALF)["dense1"].tolist() == [36]
    assert mp.score(net, [[1.0, 2.0]], "curvature", loss=HALF)["dense1"].tolist() == [0]


def test_what_no_layer_makes_has_no_incoming_saliency() -> None:
    net = EXAMPLES["mlp"]()
    with pytest.raises(DataError, match="input: it has no weights on this side"):
        mp.score(net, samples(net), "obd", groups=["input"])


def test_curvature_of_weights_needs_a_row_of_outputs_and_a_known_loss() -> None:
    net = mp.Sequential(mp.Conv2d(1, 1, 1), input_shape=(1, 2, 2))
    with pytest.raises(ShapeError, match=r"takes a network's output of shape \(N, K\), got \(3, 1, 2, 2\)"):
        mp.score(net, np.ones((3, 1, 2, 2)), "curvature", loss=HALF, by="weight")
    with pytest.raises(DataError, match="unknown loss 'hinge'"):
        mp.score(EXAMPLES["mlp"](), samples(EXAMPLES["mlp"]()), "obd", loss="hinge")


# --- the truth -------------------------------------------------------------------------------------------------------


def cost_without(net: mp.Graph, x: Array, t: Array, parameter: str, place: tuple[int, ...]) -> float:
    """Set one weight to 0, run everything, and take the difference of the mean losses."""
    other = net.copy()
    other.params[parameter][place] = 0
    before, after = (mp.record(made, x, t, loss=HALF).loss for made in (net, other))
    return after - before


@pytest.mark.parametrize(
    ("name", "stacked"),
    [
        ("mlp", 1),
        ("cnn", 300),
        *((n, oracle.STACKED) for n in ("mlp", "cnn", "residual", "depthwise", "grouped", "conv1d")),
    ],
)
def test_leaving_a_weight_out_costs_what_setting_it_to_zero_costs(
    name: str, stacked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many weights are stacked at a time."""
    monkeypatch.setattr(oracle, "STACKED", stacked)
    net = EXAMPLES[name]()
    x, t = samples(net, n=3)
    for parameter, costs in mp.score(net, (x, t), "leave_one_out", loss=HALF, by="weight", batch_size=2).items():
        assert costs.shape == net.params[parameter].shape
        for place in np.ndindex(costs.shape):
            expected = cost_without(net, x, t, parameter, place)
            assert costs[place] == pytest.approx(expected, rel=1e-9, abs=1e-9), f"{parameter}{place}"


def test_a_weight_that_is_zero_or_meets_only_zeros_costs_exactly_nothing() -> None:
    net = EXAMPLES["mlp"]().astype(np.float32)
    net.params["dense1.W"][2, 1] = 0
    net.params["dense1.b"][3] = -1e3  # a dead ReLU
    costs = mp.score(net, samples(net, n=50), "leave_one_out", by="weight")
    assert costs["dense1.W"][2, 1] == 0
    assert (costs["dense2.W"][:, 3] == 0).all()
    assert np.count_nonzero(costs["dense2.W"]) == 4 * 4


@pytest.mark.parametrize("residual", [False, True])
def test_with_squared_error_and_affine_layers_behind_taylor2_is_the_cost_to_the_last_bit(residual: bool) -> None:
    """Whole numbers: nothing is rounded. A weight stands once on every path, so a residual stream is no exception."""
    behind = [mp.Residual(mp.Dense(4, 4))] if residual else []
    net = mp.Sequential(mp.Dense(3, 4), mp.ReLU(), *behind, mp.Dense(4, 2), dtype=np.float64)
    rng = np.random.default_rng(0)
    for name, array in net.params.items():
        net.params[name] = rng.integers(-3, 4, array.shape)
    x, t = rng.integers(-3, 4, (8, 3)).astype(float), rng.integers(-3, 4, (8, 2)).astype(float)
    estimate, truth = (mp.score(net, (x, t), c, loss=HALF, by="weight") for c in ("taylor2", "leave_one_out"))
    for parameter in list(truth)[1:]:  # a ReLU stands behind the first
        assert estimate[parameter].tolist() == truth[parameter].tolist()
        assert np.count_nonzero(truth[parameter]) > 1


# --- which criteria --------------------------------------------------------------------------------------------------


def test_the_table_says_what_a_criterion_scores() -> None:
    lines = {line.split()[0]: line for line in mp.criteria().splitlines()}
    for name, rule in CRITERIA.items():
        assert ("neuron, weight" in lines[name]) == rule.scores_weights()
    both = [name for name, rule in CRITERIA.items() if rule.scores_weights()]
    families = ("taylor", "inverse", "sensitivity", "fisher", "curvature", "obd", "snip", "grasp", "synflow", "lamp")
    assert {name for name in CRITERIA if name.startswith(families)} < set(both)
    assert {"magnitude_l1", "magnitude_l2", "random", "leave_one_out"} < set(both)


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual, projected"])
def test_permuting_neurons_permutes_the_scores_of_their_weights(name: str) -> None:
    net = EXAMPLES[name]()
    data = samples(net)
    group = net.neurons[hidden(net)[0]]
    order = np.random.default_rng(4).permutation(group.size)

    def moved(arrays: dict[str, Array]) -> dict[str, Array]:
        arrays = dict(arrays)
        for piece in group.slices:
            if piece.array in arrays:
                taken = np.arange(len(piece.owner))
                for j, other in enumerate(order):
                    taken[piece.positions(j)] = piece.positions(other)
                arrays[piece.array] = np.take(arrays[piece.array], taken, axis=piece.axis)
        return arrays

    other = net.with_arrays(moved(net.arrays))
    for criterion in (c for c, rule in CRITERIA.items() if rule.scores_weights() and c != "random"):
        before, after = (dict(mp.score(made, data, criterion, by="weight")) for made in (net, other))
        for parameter, expected in moved(before).items():
            scale = max(1.0, float(np.abs(expected[np.isfinite(expected)]).max()))
            np.testing.assert_allclose(after[parameter], expected, rtol=1e-7, atol=1e-10 * scale, err_msg=criterion)
