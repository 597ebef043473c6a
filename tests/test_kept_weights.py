"""Programs of masked convolutions: the kept weights alone where that is faster."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import minprune as mp
from minprune.runtime import building, kept_weights, program
from minprune.runtime.images import ImagePlan
from minprune.runtime.kept_weights import KeptFilters
from minprune.runtime.planning import plan_images
from minprune.runtime.windows import Filters

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def thinned(net: mp.Graph, share: float = 0.7, dtype: Any = np.float32) -> mp.Graph:
    """The same network, a share of all its convolutions' weights 0."""
    net, rng = net.astype(dtype), np.random.default_rng(0)
    for name, W in net.params.items():
        if W.ndim > 2:
            W[rng.random(W.shape) < share] = 0
        elif name.endswith("b"):
            W[...] = rng.standard_normal(W.shape)
    return net


def images() -> mp.Graph:
    return mp.Sequential(
        *(
            mp.Conv2d(3, 9, 3, padding=1),
            mp.ReLU(),
            mp.MaxPool2d(2),
            mp.Conv2d(9, 12, (3, 2), stride=(2, 1), bias=False),
        ),
        *(mp.ReLU(), mp.Conv2d(12, 6, 2, groups=3, dilation=2, padding=(0, 2)), mp.Flatten(), mp.Dense(42, 4)),
        input_shape=(3, 14, 13),
        rng=0,
    )


def sequences() -> mp.Graph:
    return mp.Sequential(
        *(mp.Conv1d(2, 5, 4, stride=2, padding=3), mp.ReLU(), mp.Flatten(), mp.Dense(70, 3)),
        input_shape=(2, 25),
        rng=0,
    )


def turns(monkeypatch: pytest.MonkeyPatch, *times: float) -> None:
    """What the trials seem to take: the sparse kernel, the dense one, and again."""
    found: Iterator[float] = iter(times * 10)
    monkeypatch.setattr(kept_weights, "seconds", lambda call: [call(), next(found)][1])


def plan_of(net: mp.Graph) -> ImagePlan:
    (_, plan, _) = program._plans(net)
    assert isinstance(plan, ImagePlan)
    return plan


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("made", [images, sequences])
def test_a_program_from_kept_weights_computes_what_the_network_does(
    made: Any, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = thinned(made(), dtype=dtype)
    turns(monkeypatch, 1.0, 2.0)
    plan = plan_of(net)
    convolutions = [part for part in plan.parts if isinstance(part, KeptFilters)]
    assert len(convolutions) == (3 if made is images else 1)
    assert all(part.placed is not None for part in convolutions)
    compiled = program.Program(net, building.Builder(net, "rows", 9, plan).build(), 9, 1)
    for count in (1, 9, 40, 130):
        x = np.random.default_rng(count).standard_normal((count, *net.input_shapes["input"])).astype(dtype)
        tolerance = 1e-4 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(compiled(x), net(x), rtol=tolerance, atol=10 * tolerance)


def test_the_faster_kernel_is_taken_and_the_plan_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    net = thinned(images())
    macs = {}
    for sparse, dense in ((3e-6, 7e-6), (7e-6, 3e-6)):
        turns(monkeypatch, sparse, dense)
        plan = plan_of(net)
        taken = [part.placed is not None for part in plan.parts if isinstance(part, KeptFilters)]
        assert taken == [sparse < dense] * 3
        step = building.Builder(net, "rows", 9, plan).build()[0]
        for name in ("conv1", "conv2", "conv3"):
            assert f"{name} from its kept weights {sparse * 1e6:.1f} µs, dense {dense * 1e6:.1f} µs" in step.why
        macs[sparse] = step.macs
    shapes, gone = net.value_shapes(net.input_shapes), 0
    for name in ("conv1", "conv2", "conv3"):
        gone += int((net.params[f"{name}.W"] == 0).sum()) * int(np.prod(shapes[name][1:]))
    assert macs[7e-6] - macs[3e-6] == gone


def test_without_enough_zeros_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    turns(monkeypatch)  # a trial would find no time
    plan = plan_of(thinned(images(), 0.1))
    assert not any(part.why for part in plan.parts)


def test_where_gradients_are_asked_for_zeros_are_weights_like_others() -> None:
    net = thinned(images())
    plan = plan_images(net, net.value_shapes(net.input_shapes), "weights")
    assert isinstance(plan, ImagePlan)
    assert {type(part) for part in plan.parts if isinstance(part, Filters)} == {Filters}


def test_the_same_bytes_come_from_any_batch_and_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    net = thinned(images())
    turns(monkeypatch, 1.0, 2.0)
    compiled = program.Program(net, building.Builder(net, "rows", 128, plan_of(net)).build(), 128, 1)
    x = np.random.default_rng(0).random((150, 3, 14, 13), dtype=np.float32)
    together = compiled(x)
    np.testing.assert_array_equal(np.concatenate([compiled(x[:7]), compiled(x[7:40]), compiled(x[40:])]), together)
    with ThreadPoolExecutor(4) as pool:
        for found in [pool.submit(compiled, x) for _ in range(8)]:
            np.testing.assert_array_equal(found.result(), together)
