"""The rounding bound: true errors, from exact rationals or from more digits, stay below it; and it is not wide."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from networks import EXAMPLES, inputs, randomised

import minprune as mp
from minprune.layers import LAYERS
from minprune.nn import Graph
from minprune.rounding import COPYING, rounding_bound

TRANSCENDENTAL = {"batchnorm", "sigmoid", "tanh", "softmax", "logsoftmax", "elu", "gelu", "erf", "softplus", "power"}
KINDS = {name: {node.layer.kind for node in make().nodes.values()} for name, make in EXAMPLES.items()}


def errors_and_bounds(net: Graph, truth: Graph) -> tuple[np.ndarray, np.ndarray]:
    """For every sample and output the error against the truth, and the bound."""
    x = net.take(inputs(net, 3))
    found, exact = net(x), truth(x)
    errors, bounds = np.zeros(found.shape), np.zeros(found.shape)
    for n, k in np.ndindex(found.shape):
        errors[n, k] = abs(Fraction(float(found[n, k])) - Fraction(exact[n, k]))
        bounds[n, k] = rounding_bound(net, {name: value[[n]] for name, value in x.items()}, (k,))
    return errors, bounds


@pytest.mark.parametrize("name", [name for name in EXAMPLES if not KINDS[name] & TRANSCENDENTAL])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_error_against_exact_rationals_is_within_the_bound(name: str, dtype: type) -> None:
    net = EXAMPLES[name]().astype(dtype)
    errors, bounds = errors_and_bounds(net, net.astype(Fraction))
    assert errors.max() > 0
    assert (errors <= bounds).all()
    assert bounds.max() < 1000 * np.finfo(dtype).eps * np.abs(net(inputs(net, 3))).max()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_error_of_float32_against_float64_is_within_the_bound(name: str) -> None:
    net = EXAMPLES[name]().astype(np.float32)
    errors, bounds = errors_and_bounds(net, net.astype(np.float64))
    assert (errors <= bounds).all()
    assert (bounds < 0.01).all()


def test_every_kind_of_layer_is_among_the_examples() -> None:
    seen = set.union(*KINDS.values())
    assert {layer.kind for layer in LAYERS.values()} - seen <= {"identity"}
    assert seen >= COPYING - {"identity"}


@pytest.mark.parametrize("activation", [mp.ReLU(), mp.Tanh()])
def test_the_bound_does_not_grow_exponentially_with_depth(activation: mp.ReLU | mp.Tanh) -> None:
    for depth in (3, 20):
        hidden = [part for _ in range(depth - 1) for part in (mp.Dense(100, 100), activation)]
        net = mp.Sequential(*hidden, mp.Dense(100, 10), rng=0, dtype=np.float64)
        assert rounding_bound(net, inputs(net, 1), (0,)) < 2e-11


def test_the_bound_of_one_sum_is_gamma_times_the_moduli() -> None:
    net = randomised(mp.Sequential(mp.Dense(7, 1), dtype=np.float64))
    (x,) = inputs(net, 1).values()
    u = 2.0**-53
    moduli = np.abs(net.params["dense1.W"][0]) @ np.abs(x[0]) + np.abs(net.params["dense1.b"][0])
    assert rounding_bound(net, {"input": x}, (0,)) == pytest.approx(8 * u / (1 - 8 * u) * moduli, rel=1e-13)


def test_what_no_output_listens_to_adds_nothing() -> None:
    net = randomised(mp.Sequential(mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 2), dtype=np.float64))
    x = inputs(net, 1)
    net.params["dense2.W"][0] = 0
    net.params["dense2.b"][0] = 0
    assert rounding_bound(net, x, (0,)) == 0
    assert rounding_bound(net, x, (1,)) > 0
