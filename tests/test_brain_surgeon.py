"""The optimal brain surgeon: what is left of a reader changes so that the loss's quadratic model rises least."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, SINGLE_INPUT, inputs, samples

import minprune as mp
from minprune.errors import DataError, DtypeError, PlanError
from minprune.fetching import root_folder
from minprune.models import mlp
from minprune.ops import Array
from minprune.pruning.repairs import least_squares
from minprune.pruning.repairs.brain_surgeon import OptimalBrainSurgeon, loss_curvature
from minprune.pruning.repairs.least_squares import LeastSquares


def surgeon(loss: str = "cross_entropy", **settings: Any) -> OptimalBrainSurgeon:
    return OptimalBrainSurgeon(loss, **{"ridge": 1e-12, "places": 1000, "progress": False, **settings})


def value(net: mp.Graph, name: str, x: Any) -> Array:
    return net.run(net.take(x), net.arrays)[name]


def second_derivatives(J: Array, y: Array, loss: str) -> Array:
    """Jᵀ H J, one sample, one neuron and one pair of outputs at a time: J (N,K,n) -> (N,n)."""
    n, classes, neurons = J.shape
    found = np.zeros((n, neurons))
    for i in range(n):
        p = np.exp(y[i]) / np.exp(y[i]).sum()
        H = {"cross_entropy": np.diag(p) - np.outer(p, p), "mse": 2 / classes * np.eye(classes)}[loss]
        for k in range(neurons):
            found[i, k] = J[i, :, k] @ H @ J[i, :, k]
    return found


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_the_curvature_of_the_loss_by_a_weighted_sum_is_that_of_gauss_and_newton(loss: str) -> None:
    net = EXAMPLES["mlp"]()
    x, _ = samples(net, n=6)
    y, z = net(x), value(net, "dense2", x)
    J = net.params["dense3.W"][None] * (1 - np.tanh(z) ** 2)[:, None, :]  # (N,K,n)
    expected = second_derivatives(J, y, loss)
    np.testing.assert_allclose(loss_curvature(net, "dense2", x, loss)[..., 0], expected, rtol=1e-10)
    expected = second_derivatives(np.repeat(np.eye(3)[None], 6, axis=0), y, loss)
    np.testing.assert_allclose(loss_curvature(net, "dense3", x, loss)[..., 0], expected, rtol=1e-10)


def test_in_a_convolution_it_is_taken_at_every_place() -> None:
    net = mp.Sequential(
        *(mp.Conv2d(1, 2, 2), mp.ReLU(), mp.Flatten(), mp.Dense(18, 3)), dtype=np.float64, input_shape=(1, 4, 4), rng=3
    )
    x, _ = samples(net, n=5)
    z = value(net, "conv1", x).reshape(5, 18)
    expected = second_derivatives(net.params["dense1.W"][None] * (z > 0)[:, None, :], net(x), "cross_entropy")
    found = loss_curvature(net, "conv1", x, "cross_entropy")
    np.testing.assert_allclose(found.reshape(5, 18), expected, rtol=1e-10)
    np.testing.assert_array_equal(loss_curvature(net, "conv1", x, "cross_entropy", [7, 2]), found[..., [7, 2]])


def hessians(net: mp.Graph, reader: str, source: str, x: Any, damping: float) -> Array:
    """H_k of every neuron of a dense reader, over all its weights and its bias: (O, F+1, F+1)."""
    a = np.column_stack([value(net, source, x), np.ones(len(x))])
    h = loss_curvature(net, reader, x, "cross_entropy")[..., 0]
    return np.stack(
        [
            sum((h[n, k] + damping * h[:, k].mean()) * np.outer(a[n], a[n]) for n in range(len(x)))
            for k in range(h.shape[1])
        ]
    )


@pytest.mark.parametrize("damping", [0.0, 0.5, 3.0])
@pytest.mark.parametrize(("group", "reader", "source"), [("dense1", "dense2", "relu1"), ("dense2", "dense3", "tanh1")])
def test_the_update_is_hassibis_and_storks_and_meets_lagranges_conditions(
    group: str, reader: str, source: str, damping: float
) -> None:
    net = EXAMPLES["mlp"]()
    x, _ = samples(net, n=60)
    dropped = [1, 3]
    repaired = mp.remove(net, mp.Plan({group: dropped}), repair=surgeon(damping=damping), data=x)
    W = np.column_stack([net.params[f"{reader}.W"], net.params[f"{reader}.b"]])
    new = np.column_stack([repaired.params[f"{reader}.W"], repaired.params[f"{reader}.b"]])
    kept = [j for j in range(W.shape[1]) if j not in dropped]
    E = np.eye(W.shape[1])[dropped]
    for k, H in enumerate(hessians(net, reader, source, x, damping)):
        inverse = np.linalg.inv(H)
        change = -inverse @ E.T @ np.linalg.inv(E @ inverse @ E.T) @ E @ W[k]
        np.testing.assert_allclose((W[k] + change)[dropped], 0, atol=1e-9)
        np.testing.assert_allclose(new[k], (W[k] + change)[kept], rtol=1e-6, atol=1e-8)
        mine = -W[k]
        mine[kept] += new[k]
        np.testing.assert_allclose((H @ mine)[kept], 0, atol=1e-8 * np.abs(H).max())  # nothing is left to gain


def test_no_other_change_of_the_weights_that_stay_makes_the_quadratic_model_smaller() -> None:
    net = EXAMPLES["mlp"]()
    x, _ = samples(net, n=60)
    plan = mp.Plan({"dense1": [0, 2]})
    H = hessians(net, "dense2", "relu1", x, 1.0)
    kept = [1, 3, 4, 5]

    def rise(small: mp.Graph) -> float:
        change = -np.column_stack([net.params["dense2.W"], net.params["dense2.b"]])
        change[:, kept] += np.column_stack([small.params["dense2.W"], small.params["dense2.b"]])
        return float(np.einsum("ki,kij,kj->", change, H, change)) / 2

    best = mp.remove(net, plan, repair=surgeon(), data=x)
    others = [mp.remove(net, plan, repair=r, data=x) for r in (None, "mean", "merge", LeastSquares(1e-12))]
    rng = np.random.default_rng(0)
    for size in (1e-3, 0.1):
        other = best.copy()
        other.params["dense2.W"] += size * rng.standard_normal(other.params["dense2.W"].shape)
        others.append(other)
    assert all(rise(best) < rise(other) * (1 - 1e-9) for other in others)


def test_where_the_curvature_is_the_same_everywhere_it_is_least_squares() -> None:
    for name, group in (("linear", "dense1"), ("sigmoid", "dense1")):
        net = EXAMPLES[name]()
        x, _ = samples(net, n=40)
        plan = mp.Plan({group: [1, 2]})
        mine, plain = (mp.remove(net, plan, repair=r, data=x) for r in (surgeon("mse"), LeastSquares(1e-12)))
        for key, array in plain.params.items():
            np.testing.assert_allclose(mine.params[key], array, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["mlp", "cnn", "grouped", "residual", "added and read", "conv1d"])
def test_with_a_large_damping_it_is_least_squares(name: str) -> None:
    net = EXAMPLES[name]()
    x, _ = samples(net, n=40)
    plan = mp.Plan({g.name: [0] for g in net.neurons.values() if not g.stays and g.size > 1})
    far = mp.remove(net, plan, repair=surgeon(damping=1e12, ridge=1e-2), data=x)
    plain = mp.remove(net, plan, repair=LeastSquares(1e-2, places=1000), data=x)
    near = mp.remove(net, plan, repair=surgeon(ridge=1e-2), data=x)
    for key, array in plain.params.items():
        np.testing.assert_allclose(far.params[key], array, rtol=1e-6, atol=1e-8, err_msg=key)
    assert any(not np.allclose(near.params[key], array, rtol=1e-4) for key, array in plain.params.items())


def test_a_neuron_that_the_loss_does_not_see_is_refitted_by_plain_least_squares() -> None:
    net = EXAMPLES["mlp"]()
    net.params["dense3.W"][:, 2] = 0
    x, _ = samples(net, n=40)
    plan = mp.Plan({"dense1": [1]})
    mine, plain = (mp.remove(net, plan, repair=r, data=x) for r in (surgeon(damping=0), LeastSquares(1e-12)))
    np.testing.assert_allclose(mine.params["dense2.W"][2], plain.params["dense2.W"][2], rtol=1e-7)
    assert not np.allclose(mine.params["dense2.W"][1], plain.params["dense2.W"][1], rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "group"), [("mlp", "dense1"), ("average pooling", "conv1"), ("residual, projected", "conv2")]
)
def test_a_neuron_with_a_twin_leaves_without_loss(name: str, group: str) -> None:
    net = EXAMPLES[name]()
    for piece in net.neurons[group].produced if group in net.neurons else net.neurons["conv1"].produced:
        array = net.arrays[piece.array]
        array[piece.positions(1)] = array[piece.positions(0)]
    if name == "residual, projected":
        for piece in net.neurons["conv2"].produced + net.neurons["conv2"].carried:
            array = net.arrays[piece.array]
            array[piece.positions(1)] = array[piece.positions(0)]
    x, _ = samples(net, n=60)
    repaired = mp.remove(net, mp.Plan({group: [1]}), repair=surgeon(), data=x)
    np.testing.assert_allclose(repaired(x), net(x), rtol=1e-5, atol=1e-5)


def test_the_result_does_not_depend_on_how_the_samples_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    net = EXAMPLES["nested"]()
    x, _ = samples(net, n=25)
    plan = mp.Plan({"conv1": [1]})
    whole = mp.remove(net, plan, repair=surgeon(ridge=1e-3), data=x)
    monkeypatch.setattr(least_squares, "BATCH", 7)
    parts = mp.remove(net, plan, repair=surgeon(ridge=1e-3), data=x)
    for key, array in whole.params.items():
        np.testing.assert_allclose(parts.params[key], array, rtol=1e-7, atol=1e-9)


def test_at_most_the_asked_samples_are_used_spread_evenly() -> None:
    net = EXAMPLES["mlp"]()
    x, _ = samples(net, n=30)
    plan = mp.Plan({"dense1": [1]})
    some = mp.remove(net, plan, repair=surgeon(samples=10, ridge=1e-3), data=x)
    same = mp.remove(net, plan, repair=surgeon(ridge=1e-3), data=x[::3])
    np.testing.assert_array_equal(some.params["dense2.W"], same.params["dense2.W"])


@pytest.mark.parametrize("name", SINGLE_INPUT)
def test_the_repair_keeps_shapes_dtype_and_what_it_was_given(name: str) -> None:
    net = EXAMPLES[name]().astype(np.float32)
    group = next(g for g in net.neurons.values() if not g.stays and g.size > 1)
    x = inputs(net, n=8)
    before = {key: array.copy() for key, array in net.arrays.items()}
    plan = mp.Plan({group.name: [0]})
    bare = mp.remove(net, plan)
    kept = bare.copy()
    repaired = OptimalBrainSurgeon("cross_entropy", progress=False)(net, bare, plan, x)
    assert all(np.array_equal(net.arrays[key], array) for key, array in before.items())
    assert all(np.array_equal(bare.arrays[key], array) for key, array in kept.arrays.items())
    for key, array in bare.arrays.items():
        assert (repaired.arrays[key].shape, repaired.arrays[key].dtype) == (array.shape, array.dtype)
    assert np.isfinite(repaired(x)).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ridge": 0}, PlanError, "OptimalBrainSurgeon: ridge is 0, expected a finite number above 0"),
        ({"samples": 0}, PlanError, "OptimalBrainSurgeon: samples is 0, expected a whole number of at least 1"),
        ({"places": 2.5}, PlanError, "OptimalBrainSurgeon: places is 2.5, expected a whole number of at least 1"),
        ({"damping": -1}, PlanError, "OptimalBrainSurgeon: damping is -1, expected a finite number of at least 0"),
        ({"damping": float("nan")}, PlanError, "damping is nan, expected a finite number of at least 0"),
        ({"loss": "hinge"}, DataError, "unknown loss 'hinge'; expected one of half_squared_error, mse, cross_entropy"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        OptimalBrainSurgeon(**arguments)


def test_networks_of_other_numbers_and_a_repair_without_data_are_refused() -> None:
    net, plan = EXAMPLES["mlp without bias"](), mp.Plan({"dense1": [0]})
    with pytest.raises(DtypeError, match="the surgeon needs a network of floats, got object; use repair='mean'"):
        mp.remove(net.astype(Fraction), plan, repair="obs", data=np.ones((2, 4), dtype=int))
    with pytest.raises(DataError, match="repair='obs' needs data"):
        mp.remove(net, plan, repair="obs")


@pytest.mark.slow
@pytest.mark.data
def test_on_mnist_it_leaves_fewer_errors_than_least_squares() -> None:
    """Measured over two seeds, 70 % removed: curvature 3.28 against 3.52 %, random 4.38 against 4.75."""
    if not (root_folder() / "mnist").is_dir():
        pytest.skip("MINPRUNE_DATA holds no mnist")
    data = mp.data.mnist()
    net = mlp(784, (300, 100), 10, rng=0)
    how: dict[str, Any] = {"optimizer": mp.AdamW(1e-3), "schedule": mp.Cosine(), "epochs": 12, "keep": "last"}
    mp.fit(net, data, **how, progress=False)
    repairs = (OptimalBrainSurgeon("cross_entropy", samples=20000, progress=False), LeastSquares(samples=20000))
    for criterion in ("curvature", "random"):
        scores = mp.score(net, (data.train.x[:5000], data.train.y[:5000]), criterion)
        plan = mp.decide(scores, mp.PerLayer(0.7))
        nets = (mp.remove(net, plan, repair=repair, data=data.train.x) for repair in repairs)
        mine, plain = (100 * np.mean(n(data.valid.x).argmax(axis=1) != data.valid.y) for n in nets)
        assert mine < plain


def test_whose_curvature_it_is_the_labels_say_and_without_any_it_asks() -> None:
    net, plan = EXAMPLES["mlp"](), mp.Plan({"dense1": [0]})
    x, numbers = samples(net, 30)
    for y, loss in ((numbers, "mse"), (np.arange(30) % 3, "cross_entropy")):
        small = mp.remove(net, plan, repair="obs", data=(x, y))
        assert small.history[-1].how["loss"] == loss
        by_name = mp.remove(net, plan, repair=OptimalBrainSurgeon(loss, progress=False), data=x)
        for name, array in by_name.params.items():
            np.testing.assert_array_equal(small.params[name], array)
    with pytest.raises(DataError, match=r"it cannot be told which loss: pass \(x, y\), or OptimalBrainSurgeon"):
        mp.remove(net, plan, repair="obs", data=x)
