"""Plans of whole networks: against the tape, by weights and by gates, and in training and scoring."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import EXAMPLES, SHAPED, inputs, networks, randomised

import minprune as mp
from minprune.errors import ShapeError, StructureError
from minprune.evaluation import planned_run
from minprune.gradients import loss_and_gradients, plan_for
from minprune.layers import Training
from minprune.models import lenet5
from minprune.recording import with_gates
from minprune.runtime.planning import plan_network
from minprune.runtime.plans import NetPlan
from minprune.scores import CRITERIA, Context
from minprune.scores.gates import GateCriterion, planned_gradients
from minprune.scores.taylor import Taylor
from minprune.tensor import Tape, backward

UNPLANNED = ("attention, powers",)
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
MOMENTS = [name for name, criterion in CRITERIA.items() if issubclass(criterion, GateCriterion)]


def plan_of(net: mp.Graph, back: str, values: Any) -> NetPlan | str:
    with mp.backend("numba"):
        return plan_network(net, net.value_shapes({name: x.shape[1:] for name, x in values.items()}), back)


def context_of(net: mp.Graph, data: Any, groups: Any = ("input",)) -> Context:
    return Context(
        net, tuple(net.neurons[name] for name in groups), *data, "cross_entropy", 64, np.random.default_rng(0), False
    )


def close(found: Any, expected: Any, dtype: Any, what: str) -> None:
    tolerance = {"float32": 3e-4, "float64": 1e-11}[np.dtype(dtype).name]
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale, err_msg=what)


def compare_with_tape(net: mp.Graph, back: str, count: int, plan: NetPlan) -> None:
    """Ends, and the gradients of their sum weighted at random: by all weights, or by what gates let through."""
    values, rng = net.take(inputs(net, n=count)), np.random.default_rng(count)
    tape = Tape()
    if plan.trains and back == "weights":
        return  # it computes with the statistics of the batch: see below
    params = {name: tape.watch(array) for name, array in net.params.items()}
    watched = {name: tape.watch(x) for name, x in values.items()}
    expected = net.run(watched, {**net.arrays, **params})
    plan.load(net.arrays)
    found = plan.forward(values)
    for end, rows in found.items():
        close(rows, expected[end].value, net.dtype, end)
    seeds = {end: rng.standard_normal(rows.shape).astype(net.dtype) for end, rows in found.items()}
    passes = [backward(expected[end], seed) for end, seed in seeds.items()]
    grads = plan.backward(seeds)
    if back == "weights":
        planned = [name for name in net.params if name.rpartition(".")[0] in plan.inside]
        assert sorted(grads) == sorted(planned)
        for name in planned:
            close(grads[name], sum(p[params[name]] for p in passes), net.dtype, name)
        return
    for name in [name for name in net.nodes if name.endswith(".gate") and name in plan.inside]:
        g = sum(p[expected[name]] for p in passes)
        what, first, second = plan.seen(name)
        a = expected[name].value
        places = tuple(range(2, a.ndim))
        pair = (a, g) if what == "places" else ((a * g).sum(axis=places), g.sum(axis=places))
        close(first, pair[0], net.dtype, f"{name}: {what}")
        close(second, pair[1], net.dtype, f"{name}: {what}")


# Against the tape -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("back", ["weights", "gates"])
@pytest.mark.parametrize("name", SHAPED)
def test_a_plan_computes_what_the_tape_does(name: str, back: str, dtype: Any) -> None:
    net = EXAMPLES[name]()
    net = net.astype(dtype)
    net = with_gates(net)[0] if back == "gates" else net
    plan = plan_of(net, back, net.take(inputs(net, n=1)))
    if isinstance(plan, str):
        assert "known" in plan or "planned" in plan
        return
    for count in (35, 3, 36):  # less, and then more than there is room for
        compare_with_tape(net, back, count, plan)


@settings(max_examples=80, deadline=None)
@given(networks(), st.integers(1, 40), st.sampled_from(FLOATS), st.sampled_from(["weights", "gates"]))
def test_random_networks_are_planned_like_the_tape(net: mp.Graph, count: int, dtype: Any, back: str) -> None:
    net = net.astype(dtype)
    net = with_gates(net)[0] if back == "gates" else net
    plan = plan_of(net, back, net.take(inputs(net, n=1)))
    if isinstance(plan, NetPlan):
        compare_with_tape(net, back, count, plan)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", SHAPED)
def test_a_planned_step_of_training_is_that_of_the_tape(name: str, dtype: Any) -> None:
    """Loss, gradients and running averages; dropout draws the same numbers."""
    net = EXAMPLES[name]()
    assert compare_training(net.astype(dtype), 35, 9, 36) is (name not in UNPLANNED)


@settings(max_examples=60, deadline=None)
@given(networks(), st.integers(2, 40), st.sampled_from(FLOATS))
def test_random_networks_train_like_the_tape(net: mp.Graph, count: int, dtype: Any) -> None:
    compare_training(net.astype(dtype), count)


def compare_training(net: mp.Graph, *counts: int) -> bool:
    """Two steps with one plan, and with the tape; whether there is a plan."""
    nets, x = [net.copy(), net.copy()], inputs(net, n=max(counts))
    with mp.backend("numba"):
        plan = plan_for(nets[1], x, 32)
        if isinstance(plan, str):
            return False
        for count in counts:
            part = {name: value[:count] for name, value in x.items()}
            t = np.random.default_rng(0).standard_normal((count, net(part).shape[1])).astype(net.dtype)
            found = []
            for one, planned in zip(nets, (None, plan), strict=True):
                training = Training(np.random.default_rng(1))
                found.append(loss_and_gradients(one, part, t, "half_squared_error", training, plan=planned))
            (loss, grads), (planned_loss, planned_grads) = found
            close(planned_loss / max(1, loss), loss / max(1, loss), net.dtype, "the loss")
            most = max(1.0, *(float(np.abs(grad).max(initial=0)) for grad in grads.values()))
            for name, grad in grads.items():
                close(planned_grads[name] / most, grad / most, net.dtype, name)
                for one in nets:
                    one.params[name] = one.params[name] - 0.05 / most * grad
            for name, buffer in nets[0].buffers.items():
                close(nets[1].buffers[name], buffer, net.dtype, name)
    return True


def test_batch_norm_without_enough_entries_is_refused_by_name() -> None:
    net = mp.Sequential(mp.Conv2d(1, 2, 3), mp.BatchNorm(2), mp.ReLU(), mp.Flatten(), mp.Dense(2, 2), rng=0)
    x, y = np.ones((1, 1, 3, 3), np.float32), np.array([1])
    with mp.backend("numba"), pytest.raises(ShapeError, match="batchnorm1: expected at least 2 entries per channel"):
        mp.fit(net, (x, y), epochs=1, batch_size=32, progress=False)


def test_a_plan_for_training_is_not_taken_for_evaluation() -> None:
    net = mp.Sequential(mp.Dense(3, 4), mp.BatchNorm(4), mp.Dense(4, 2), input_shape=(3,))
    x, t = np.ones((2, 3), np.float32), np.ones((2, 2), np.float32)
    with mp.backend("numba"):
        plan = plan_for(net, x, 2)
        assert isinstance(plan, NetPlan)
        with pytest.raises(StructureError, match="this plan is for training"):
            loss_and_gradients(net, x, t, "mse", plan=plan)


def test_a_plan_goes_as_far_as_it_knows_the_layers() -> None:
    net = mp.Sequential(mp.Dense(3, 4), mp.ReLU(), mp.Softmax(), mp.Dense(4, 2), input_shape=(3,))
    values = net.take(np.ones((2, 3), np.float32))
    assert repr(plan_of(net, "weights", values)) == "<Plan: 1 on rows, as far as relu1>"
    assert repr(plan_of(net, "gates", values)) == "<Plan: 1 on rows, as far as relu1>"
    assert plan_of(mp.Sequential(mp.Softmax(), mp.Dense(3, 2)), "gates", values) == "no layer is known"
    assert plan_network(net, {}, "weights") == "backend numpy"


def test_a_closed_gate_is_not_planned_over() -> None:
    net = mp.Sequential(mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 2), input_shape=(3,))
    masked = mp.mask(net, mp.Plan({"dense1": [1]}))
    gated, _ = with_gates(masked)
    plan = plan_of(gated, "gates", gated.take(np.ones((2, 3), np.float32)))
    assert isinstance(plan, NetPlan)
    assert plan.ends != [gated.output]


# Scores ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MOMENTS)
def test_scores_by_a_plan_are_those_of_numpy(name: str) -> None:
    rng = np.random.default_rng(0)
    nets: list[tuple[mp.Graph, tuple[int, ...]]] = [
        (mp.Sequential(mp.Dense(20, 30), mp.ReLU(), mp.Dense(30, 9), mp.Tanh(), mp.Dense(9, 4), rng=0), (20,)),
        (lenet5((1, 16, 16), 4, widths=(6, 5, 12), rng=0), (1, 16, 16)),
        (mp.Sequential(mp.Dense(20, 8), mp.Residual(mp.Sequential(mp.Dense(8, 8), mp.ReLU())), mp.Dense(8, 4)), (20,)),
    ]
    for net, shape in nets:
        net = randomised(net).astype(np.float64)
        data = rng.standard_normal((300, *shape)), rng.integers(0, 4, 300)
        expected = mp.score(net, data, name, progress=False)
        with mp.backend("numba"):
            assert planned_gradients(context_of(net, data, [*expected])) is not None
            found = mp.score(net, data, name, progress=False)
        for group, scores in expected.items():
            np.testing.assert_allclose(found[group], scores, rtol=1e-9, atol=1e-12, err_msg=group)


def test_input_features_are_scored_by_a_plan_too() -> None:
    net = mp.Sequential(mp.Dense(20, 30), mp.ReLU(), mp.Dense(30, 4), rng=0, dtype=np.float64)
    data = np.random.default_rng(0).standard_normal((100, 20)), np.arange(100) % 4
    expected = mp.score(net, data, "taylor", groups=["input"], progress=False)
    with mp.backend("numba"):
        found = mp.score(net, data, "taylor", groups=["input"], progress=False)
    np.testing.assert_allclose(found["input"], expected["input"], rtol=1e-11)


TOWERS: dict[str, Any] = {
    "a": (mp.Conv2d(1, 4, 3), "x"),
    "fa": (mp.Flatten(), "a"),
    "da": (mp.Dense(144, 6), "fa"),
    "p": (mp.MaxPool2d(3, stride=1, padding=1), "x"),
    "b": (mp.Conv2d(1, 4, 3), "p"),
    "r": (mp.ReLU(), "b"),
    "c": (mp.Conv2d(4, 4, 3), "r"),
    "fc": (mp.Flatten(), "c"),
    "dc": (mp.Dense(64, 6), "fc"),
    "s": (mp.Add(), "da", "dc"),
    "y": (mp.Dense(6, 3), "s"),
}


def test_a_pool_on_the_input_and_an_end_behind_no_gate_are_planned_like_the_tape() -> None:
    net = randomised(mp.Graph(TOWERS, inputs=("x",), input_shape=(1, 8, 8), dtype=np.float64))
    assert compare_training(net, 40, 33)
    data = np.random.default_rng(0).standard_normal((70, 1, 8, 8)), np.arange(70) % 3
    expected = mp.score(net, data, progress=False)
    with mp.backend("numba"):
        found = mp.score(net, data, progress=False)
    for group, scores in expected.items():
        np.testing.assert_allclose(found[group], scores, rtol=1e-9, err_msg=group)


@pytest.mark.parametrize("first", [mp.MaxPool2d(2), mp.AvgPool2d(2), mp.ReLU(), mp.Tanh(), mp.BatchNorm(1)])
def test_any_layer_may_be_the_first(first: Any) -> None:
    side = 4 if "Pool" in type(first).__name__ else 8
    layers = first, mp.Conv2d(1, 2, 3, padding=1), mp.ReLU(), mp.Flatten(), mp.Dense(2 * side * side, 3)
    net = randomised(mp.Sequential(*layers, input_shape=(1, 8, 8), dtype=np.float64))
    assert compare_training(net, 35, 36)


def test_windows_never_reach_into_another_sample() -> None:
    layers = mp.Conv2d(1, 2, 3, padding=1), mp.Tanh(), mp.MaxPool2d(17, stride=1, padding=8), mp.Flatten()
    net = randomised(mp.Sequential(*layers, mp.Dense(128, 3), input_shape=(1, 8, 8), dtype=np.float64))
    compare_training(net, 35)
    x = inputs(net, n=70)
    with mp.backend("numba"):
        close(planned_run(net, net.input_shapes or {})(x), net(x), net.dtype, "the output")


def test_images_that_are_flattened_at_once_are_planned() -> None:
    net = mp.Sequential(
        mp.Flatten(), mp.Dense(64, 9), mp.ReLU(), mp.Dense(9, 3), input_shape=(1, 8, 8), dtype=np.float64
    )
    assert compare_training(randomised(net), 35, 9)


def test_a_value_that_is_added_to_itself_is_left_to_the_tape_or_right() -> None:
    nodes = {
        "c": (mp.Conv2d(1, 3, 3), "x"),
        "r": (mp.ReLU(), "c"),
        "s": (mp.Add(), "r", "r"),
        "f": (mp.Flatten(), "s"),
        "y": (mp.Dense(108, 2), "f"),
    }
    compare_training(randomised(mp.Graph(nodes, inputs=("x",), input_shape=(1, 8, 8), dtype=np.float64)), 35, 9)


def test_dropouts_draw_in_the_order_of_the_tape() -> None:
    nodes = {
        "s": (mp.Softmax(), "x"),
        "d1": (mp.Dropout(0.5), "s"),
        "h": (mp.Dense(6, 6), "x"),
        "d2": (mp.Dropout(0.5), "h"),
        "a": (mp.Add(), "d1", "d2"),
        "y": (mp.Dense(6, 2), "a"),
    }
    assert compare_training(randomised(mp.Graph(nodes, inputs=("x",), input_shape=(6,), dtype=np.float64)), 35)


def test_samples_of_another_shape_are_refused() -> None:
    net = mp.Sequential(mp.Conv2d(1, 4, 3, padding=1), mp.ReLU(), mp.GlobalAvgPool2d(), mp.Dense(4, 3), rng=0)
    with mp.backend("numba"):
        plan = plan_for(net, np.ones((32, 1, 8, 8), np.float32), 32)
    assert isinstance(plan, NetPlan)
    plan.load(net.arrays)
    with pytest.raises(ShapeError, match=r"input: planned for \('N', 1, 8, 8\), got \(32, 1, 4, 4\)"):
        plan.forward({"input": np.ones((32, 1, 4, 4), np.float32)})


def test_statistics_far_from_0_are_as_exact_as_the_tapes() -> None:
    net = mp.Sequential(
        mp.BatchNorm(1), mp.Conv2d(1, 1, 1), mp.GlobalAvgPool2d(), mp.Dense(1, 1), input_shape=(1, 64, 64)
    )
    x = (1000 + np.random.default_rng(0).standard_normal((32, 1, 64, 64))).astype(np.float32)
    with mp.backend("numba"):
        plan = plan_for(net, x, 32)
        assert isinstance(plan, NetPlan)
        plan.load(net.arrays)
        plan.forward({"input": x}, Training(np.random.default_rng(0)))
    np.testing.assert_allclose(net.buffers["batchnorm1.mean"], 0.1 * x.mean(dtype=np.float64), rtol=1e-6)


def test_a_criterion_that_looks_at_places_gets_them() -> None:
    class ByPlace(GateCriterion):
        name = "by_place"
        by_place = True

        def sample(self, gradients: Any) -> Any:
            return np.asarray(sum(r.per_neuron(np.abs(a * s), gradients.size) for r, a, s in gradients.places))

    net = lenet5((1, 16, 16), 4, widths=(6, 5, 12), rng=0)
    data = np.random.default_rng(0).standard_normal((70, 1, 16, 16)).astype(np.float32), np.arange(70) % 4
    expected = mp.score(net, data, ByPlace(), progress=False)
    with mp.backend("numba"):
        found = mp.score(net, data, ByPlace(), progress=False)
    np.testing.assert_allclose(found["conv1"], expected["conv1"], rtol=1e-3)


def test_a_mixed_in_sample_has_no_moment_either() -> None:
    class Mixin:
        def sample(self, gradients: Any) -> Any:
            return np.abs(gradients.effect) ** 3

    class Mixed(Mixin, Taylor):
        name = "mixed"

    assert (Mixed.moment, Taylor.moment) == ("", "|a s|")


def test_a_criterion_with_another_sample_has_no_moment_from_its_parent() -> None:
    class Cubed(Taylor):
        name = "cubed"

        def sample(self, gradients: Any) -> Any:
            return np.abs(gradients.effect) ** 3

    net = mp.Sequential(mp.Dense(20, 30), mp.ReLU(), mp.Dense(30, 4), rng=0, dtype=np.float64)
    data = np.random.default_rng(0).standard_normal((100, 20)), np.arange(100) % 4
    expected = mp.score(net, data, Cubed(), progress=False)
    with mp.backend("numba"):
        found = mp.score(net, data, Cubed(), progress=False)
        assert (found["dense1"] != mp.score(net, data, "taylor", progress=False)["dense1"]).all()
    np.testing.assert_allclose(found["dense1"], expected["dense1"], rtol=1e-11)


def test_a_score_does_not_depend_on_the_batch_size_of_a_plan() -> None:
    net = mp.Sequential(mp.Dense(20, 30), mp.ReLU(), mp.Dense(30, 4), rng=0, dtype=np.float64)
    data = np.random.default_rng(0).standard_normal((100, 20)), np.arange(100) % 4
    with mp.backend("numba"):
        found = [mp.score(net, data, batch_size=size, progress=False)["dense1"] for size in (1, 7, 100)]
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-12)


def test_without_a_plan_the_tape_scores() -> None:
    net = mp.Sequential(mp.Dense(20, 30), mp.Softmax(), mp.Dense(30, 4), rng=0, dtype=np.float64)
    data = np.random.default_rng(0).standard_normal((100, 20)), np.arange(100) % 4
    with mp.backend("numba"):
        found = mp.score(net, data, groups=["input"], progress=False)
        assert planned_gradients(context_of(net, data)) is None
    expected = mp.score(net, data, groups=["input"], progress=False)
    np.testing.assert_allclose(found["input"], expected["input"], rtol=1e-12)


# Evaluation -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", SHAPED)
def test_a_plan_without_a_way_back_computes_what_the_network_does(name: str, dtype: Any) -> None:
    net = EXAMPLES[name]()
    net = net.astype(dtype)
    with mp.backend("numba"):
        run = planned_run(net, net.input_shapes or {})
    for count in (35, 3, 70):
        x = inputs(net, n=count)
        close(run(x), net(x), dtype, name)


def test_a_large_evaluation_follows_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    net = lenet5((1, 16, 16), 4, widths=(6, 5, 12), rng=0)
    rng = np.random.default_rng(0)
    data = rng.random((1_100, 1, 16, 16), dtype=np.float32), rng.integers(0, 4, 1_100)
    expected = mp.evaluate(net, data, runtime=(), progress=False)
    with mp.backend("numba"):
        found = mp.evaluate(net, data, runtime=(), progress=False)
        monkeypatch.setattr("minprune.nn.Graph.__call__", None)
        assert mp.evaluate(net, data, runtime=(), progress=False) == found
    assert found.accuracy == expected.accuracy
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
