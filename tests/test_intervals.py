"""Interval bounds: no value ever leaves its interval, however it is rounded."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import EXAMPLES, networks, randomised

import minprune as mp
from minprune.errors import DataError, DtypeError, ShapeError, StructureError
from minprune.layers import Layer, Power
from minprune.ops import Array, exact
from minprune.pruning.exact.intervals import interval_bounds


def within(net: mp.Graph, low: float, high: float, n: int = 200) -> dict[str, Array]:
    """Inputs of the box: half of them corners."""
    rng = np.random.default_rng(3)
    xs = {}
    for name, shape in (net.input_shapes or {}).items():
        x = rng.uniform(low, high, (n, *shape))
        x[::2] = rng.choice([low, high], x[::2].shape)
        xs[name] = x
    return xs


def assert_sound(net: mp.Graph, low: float, high: float) -> None:
    bounds = interval_bounds(net, dict.fromkeys(net.inputs, (low, high)))
    values = net.run(net.take(within(net, low, high)), net.arrays)
    assert bounds.keys() == values.keys()
    for name, value in values.items():
        found = bounds[name]
        assert (found.low <= value).all(), name
        assert (value <= found.high).all(), name
        assert found.low.shape == value.shape[1:]
        fixed = value[:, ~np.broadcast_to(found.varies, value.shape[1:])]
        last = 1e-4 if net.dtype == np.float32 else 1e-12  # a product may round the last rows of a batch differently
        np.testing.assert_allclose(fixed, np.broadcast_to(fixed[:1], fixed.shape), rtol=last, atol=last, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EXAMPLES)
def test_no_value_of_an_input_in_the_box_leaves_its_interval(name: str, dtype: Any) -> None:
    assert_sound(EXAMPLES[name]().astype(dtype), -1.0, 2.0)


@settings(max_examples=40)
@given(net=networks(), low=st.floats(-3, 3), width=st.floats(0, 3), wide=st.booleans())
def test_nor_in_any_network(net: mp.Graph, low: float, width: float, wide: bool) -> None:
    dtype = np.float64 if wide else np.float32
    ends = (float(dtype(low)), float(dtype(low + width)))
    assert_sound(net.astype(dtype), *ends)


def test_on_a_box_without_width_bounds_are_a_value_and_its_rounding() -> None:
    net = EXAMPLES["nested"]()
    x = np.random.default_rng(0).standard_normal((2, 7, 7))
    values = net.run(net.take(x[None]), net.arrays)
    for name, found in interval_bounds(net, (x, x)).items():
        assert not found.varies.any()
        assert (found.low <= values[name][0]).all()
        assert (values[name][0] <= found.high).all()
        np.testing.assert_allclose(found.low, found.high, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "layer", [mp.Dense(5, 4), mp.Dense(5, 2, bias=False), mp.Conv2d(2, 2, (2, 1), padding=1, groups=2)]
)
def test_the_first_weighted_sum_has_the_extremes_of_the_corners_exactly(layer: Any) -> None:
    net = mp.Sequential(layer, input_shape=(5,) if isinstance(layer, mp.Dense) else (2, 3, 1))
    net = randomised(net).astype(Fraction)
    (shape,) = (net.input_shapes or {}).values()
    low, high = Fraction(-1), Fraction(1, 3)
    corners = exact(list(product((low, high), repeat=int(np.prod(shape))))).reshape(-1, *shape)
    values = net(corners)
    found = interval_bounds(net, (low, high))[net.output]
    assert (found.low == values.min(axis=0)).all()
    assert (found.high == values.max(axis=0)).all()


def test_a_leaky_relu_that_falls_turns_at_zero() -> None:
    net = mp.Sequential(mp.Dense(1, 1), mp.LeakyReLU(-1.0), mp.Dense(1, 1), dtype=np.float64)
    net.params["dense1.W"] = [[1.0]]
    found = interval_bounds(net, (-2.0, 1.0))["leakyrelu1"]
    assert -1e-12 < found.low[0] <= 0
    assert 2 <= found.high[0] < 2 + 1e-12


def test_sums_of_terms_of_one_sign_do_not_cross_zero_by_rounding() -> None:
    net = mp.Sequential(mp.Dense(3, 2, bias=False), mp.ReLU(), mp.Dense(2, 1))
    net.params["dense1.W"] = [[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]]
    found = interval_bounds(net, (0, 1))["dense1"]
    assert found.low[0] == 0
    assert found.high[1] == 0
    net.params["dense1.W"] = [[0.1, 0.2, -1e-9], [-0.1, -0.2, 1e-9]]
    found = interval_bounds(net, (0, 1))["dense1"]
    assert found.low[0] < -1e-9
    assert found.high[1] > 1e-9


def test_what_is_multiplied_by_zero_does_not_vary() -> None:
    net = EXAMPLES["cnn"]()
    net.params["batchnorm1.gamma"][2] = 0
    net.params["conv1.W"][1] = 0
    bounds = interval_bounds(net, (-1, 1))
    assert [c for c in range(4) if not bounds["batchnorm1"].varies[c].any()] == [1, 2]
    assert (bounds["batchnorm1"].low[2] == net.params["batchnorm1.beta"][2]).all()
    masked = mp.mask(net, mp.Plan({"conv1": [3]}))
    gate = interval_bounds(masked, (-1, 1))["maxpool1.gate"]
    assert not gate.varies[3].any()
    assert (gate.low[3] == 0).all()
    assert (gate.high[3] == 0).all()


def test_a_softmax_is_bounded_by_its_most_and_least_favourable_corners() -> None:
    net = mp.Sequential(mp.Dense(3, 3, bias=False), mp.Softmax(), dtype=np.float64)
    net.params["dense1.W"] = np.eye(3)
    found = interval_bounds(net, (-1, 2))["softmax1"]
    corners = np.array(list(product((-1.0, 2.0), repeat=3)))
    np.testing.assert_allclose(found.low, net(corners).min(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found.high, net(corners).max(axis=0), rtol=1e-10)


def test_a_box_can_have_ends_for_every_feature_and_every_input() -> None:
    net = EXAMPLES["image and vector"]()
    low, high = np.array([0.0, 1.0, 2.0]), np.array([0.0, 3.0, 2.5])
    found = interval_bounds(net, {"image": (0, 1), "vector": (low, high)})
    np.testing.assert_array_equal(found["vector"].low, low)
    np.testing.assert_array_equal(found["vector"].varies, [False, True, True])
    assert found["image"].high.shape == (1, 5, 5)


@dataclass(frozen=True)
class Strange(Layer):
    """A layer that nobody gave an interval rule."""

    kind = "strange"


@pytest.mark.parametrize(
    ("box", "error", "message"),
    [
        (3, DataError, r"input: box is 3, expected a pair \(low, high\)"),
        ((0, 1, 2), DataError, r"input: box is \(0, 1, 2\), expected a pair"),
        ((0, float("inf")), DataError, "input: box holds inf, expected finite numbers"),
        (("a", 1), DataError, "input: box holds 'a', expected finite numbers"),
        ((2, 1), DataError, "input: the box's lower bound lies above the upper one in 4 entries"),
        (([0, 0], 1), ShapeError, r"input: box has shape \(2,\), which does not fit the input's \(4,\)"),
        ({"x": (0, 1)}, DataError, "box: expected a mapping with input, got x"),
    ],
)
def test_boxes_that_are_none_are_refused(box: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        interval_bounds(EXAMPLES["mlp"](), box)


def test_networks_without_bounds_are_refused() -> None:
    with pytest.raises(DataError, match="box: expected a mapping with u, v, got tuple"):
        interval_bounds(EXAMPLES["two inputs"](), (0, 1))
    with pytest.raises(DtypeError, match=r"bounds need a network of floats or rationals, got complex128; use astype"):
        interval_bounds(EXAMPLES["mlp"]().astype(np.complex128), (0, 1))
    with pytest.raises(DtypeError, match="dense1: float16 is too coarse to bound sums of 2002 terms; use astype"):
        interval_bounds(mp.Sequential(mp.Dense(2000, 1)).astype(np.float16), (0, 1))
    inverse = mp.Sequential(Power((1,)), input_shape=(1,), dtype=np.float64)
    inverse.buffers["power1.p"] = np.array([-2.0])
    bounds = interval_bounds(inverse, (0.5, 2))["power1"]
    assert (bounds.low[0], bounds.high[0]) == pytest.approx((0.25, 4.0), rel=1e-4)
    with pytest.raises(StructureError, match="power1: its input may reach 0"):
        interval_bounds(inverse, (0, 1))
    with pytest.raises(StructureError, match="strange1: there is no interval rule for Strange"):
        interval_bounds(mp.Sequential(mp.Dense(2, 2), Strange()), (0, 1))
    with pytest.raises(StructureError, match="the layers leave the input's shape open; give input_shape="):
        interval_bounds(mp.Sequential(mp.ReLU()), (0, 1))
