"""Conductance: it adds up to the fall of the loss, and is its formula."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from networks import EXAMPLES, randomised, samples
from torch_nets import at_reads, torch_arrays, torch_losses, torch_run

import minprune as mp
from minprune.errors import DataError
from minprune.ops import Array

HALF = "half_squared_error"


def fall(net: mp.Graph, x: Array, t: Array, loss: str = HALF) -> float:
    """By how much the mean loss falls from an input of zeros to x."""
    return mp.record(net, 0 * x, t, loss=loss).loss - mp.record(net, x, t, loss=loss).loss


def smooth() -> mp.Graph:
    layers = (mp.Dense(3, 4), mp.Tanh(), mp.Dense(4, 3), mp.Sigmoid(), mp.Dense(3, 2))
    return randomised(mp.Sequential(*layers, dtype=np.float64), 3)


def error(net: mp.Graph, data: Any, steps: int) -> float:
    scores = mp.score(net, data, "conductance", loss=HALF, steps=steps, groups=["input", "dense1", "dense2"])
    return max(abs(values.sum() - fall(net, *data)) for values in scores.values())


def test_the_scores_of_every_layer_add_up_to_the_fall_of_the_loss() -> None:
    """And four times as well with twice the steps: the error is of second order."""
    net = smooth()
    data = samples(net, n=3)
    errors = [error(net, data, steps) for steps in (32, 64, 128)]
    assert errors[2] < 1e-3 * abs(fall(net, *data))
    assert 3.5 < errors[0] / errors[1] < 4.5
    assert 3.5 < errors[1] / errors[2] < 4.5


@pytest.mark.parametrize("name", ["mlp", "cnn", "conv without bias", "concat, flatten"])
def test_it_is_complete_with_kinks_and_channels_too(name: str) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net, n=3)
    expected = fall(net, x, t)
    scores = mp.score(net, (x, t), "conductance", loss=HALF, steps=400)
    if name == "concat, flatten":  # two groups stand beside each other; together they pass everything
        assert sum(values.sum() for values in scores.values()) == pytest.approx(expected, rel=2e-3)
    else:
        for group, values in scores.items():
            assert values.sum() == pytest.approx(expected, rel=2e-2), group


def test_classes_add_up_as_well() -> None:
    net = EXAMPLES["mlp"]()
    x, y = samples(net, n=4)[0], np.array([0, 1, 2, 1])
    values = mp.score(net, (x, y), "conductance", steps=300)["dense2"]
    assert values.sum() == pytest.approx(fall(net, x, y, "cross_entropy"), rel=1e-2)


@pytest.mark.parametrize("steps", [1, 3])
def test_where_all_is_affine_one_step_is_exact(steps: int) -> None:
    net = EXAMPLES["linear"]()
    x, t = samples(net, n=3)
    values = mp.score(net, (x, t), "conductance", loss=HALF, steps=steps)["dense1"]
    assert values.sum() == pytest.approx(fall(net, x, t), rel=1e-10)


def test_by_hand() -> None:
    """y goes from 0 to 3 · 2 + 1, t = 5: ∂ℓ/∂y from −5 to 2, −1.5 on average, times what each neuron adds to y."""
    net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    net.params["dense1.W"], net.params["dense2.W"] = [[2], [1]], [[3, 1]]
    data = ([[1.0]], [[5.0]])
    assert mp.score(net, data, "conductance", loss=HALF)["dense1"].tolist() == [9, 1.5]
    assert mp.score(net, data, "conductance", loss=HALF, groups=["input"])["input"].tolist() == [10.5]


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual", "depthwise"])
def test_it_is_the_trapezoidal_sum_of_what_torch_says(name: str) -> None:
    """Slopes and activations at every end of a piece by torch, added up in plain loops."""
    net, steps = EXAMPLES[name](), 3
    x, t = samples(net, n=2)
    arrays = torch_arrays(net)
    for group, values in mp.score(net, (x, t), "conductance", loss=HALF, steps=steps, batch_size=1).items():
        found = net.neurons[group]
        ends = []
        for step in range(steps + 1):
            seen: list[Any] = []

            def keep(value: Any, owner: Any, seen: list[Any] = seen) -> Any:
                value = value.clone()
                seen.append((value, owner))
                return value

            output = torch_run(net, torch.from_numpy(x * step / steps), arrays, at_reads(found, keep))
            grads = torch.autograd.grad(torch_losses(output, t, HALF).sum(), [value for value, _ in seen])
            ends.append([(v.detach(), g, owner) for (v, owner), g in zip(seen, grads, strict=True)])
        expected = np.zeros(found.size)
        for before, after in pairwise(ends):
            for (a, g, owner), (a_next, g_next, _) in zip(before, after, strict=True):
                part = (-(g + g_next) / 2 * (a_next - a)).transpose(0, 1).flatten(1).sum(dim=1) / len(x)
                for channel, j in enumerate(owner.tolist()):
                    expected[j] += part[channel].item() if j >= 0 else 0
        np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-10, err_msg=group)


def test_several_inputs_grow_together() -> None:
    net = EXAMPLES["two inputs"]()
    rng = np.random.default_rng(0)
    x = {"u": rng.standard_normal((4, 3)), "v": rng.standard_normal((4, 2))}
    t = rng.standard_normal((4, 2))
    scores = mp.score(net, (x, t), "conductance", loss=HALF, steps=400, batch_size=3)
    zero = {name: 0 * values for name, values in x.items()}
    losses = [mp.record(net, values, t, loss=HALF).loss for values in (zero, x)]
    assert sum(v.sum() for v in scores.values()) == pytest.approx(losses[0] - losses[1], rel=1e-3)


@pytest.mark.parametrize("steps", [0, -1, 2.5])
def test_a_way_has_at_least_one_step(steps: Any) -> None:
    net = EXAMPLES["mlp"]()
    with pytest.raises(DataError, match=rf"conductance: steps is {steps}, expected a whole number of at least 1"):
        mp.score(net, samples(net), "conductance", steps=steps)
