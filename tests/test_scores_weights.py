"""Scores of single weights: against another engine, plain loops, and the loss without the weight."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from networks import EXAMPLES, samples
from torch_nets import torch_arrays, torch_losses, torch_run

import minprune as mp
from minprune.ops import Array
from minprune.scores import weights

HALF = "half_squared_error"
NETS = ("mlp", "cnn", "residual", "depthwise", "cnn, odd sizes", "grouped", "residual, projected", "conv1d")


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


@pytest.mark.parametrize("at_once", [1, weights.AT_ONCE])
@pytest.mark.parametrize("name", NETS)
def test_gradient_scores_of_weights_are_those_of_torch(
    name: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many samples of a convolution are taken at a time."""
    monkeypatch.setattr(weights, "AT_ONCE", at_once)
    net = EXAMPLES[name]()
    x, t = samples(net, n=5)
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
