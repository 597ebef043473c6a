"""The surgeon's score: against loops, against the repair that it foresees, against another engine's curvature."""

from typing import Any

import numpy as np
import pytest
import torch
from networks import EXAMPLES, randomised, samples

import minprune as mp
from minprune.errors import DataError, ShapeError
from minprune.ops import Array
from minprune.ops.losses import log_sum_exp
from minprune.pruning.repairs.least_squares import LeastSquares
from minprune.scores.surgeon import Obs

HALF = "half_squared_error"
RIDGE = 1e-3


def mlp(rng: int = 0) -> mp.Graph:
    net = mp.Sequential(mp.Dense(4, 6), mp.Tanh(), mp.Dense(6, 5), mp.ReLU(), mp.Dense(5, 3), dtype=np.float64)
    return randomised(net, rng)


def inputs(count: int = 40, features: int = 4) -> Array:
    return np.random.default_rng(1).standard_normal((count, features))


def second_moments(rows: Array) -> Array:
    """A in plain loops, with its ridge: the mean of ã ãᵀ over the rows (n, F)."""
    size = rows.shape[1] + 1
    A = np.zeros((size, size))
    for row in rows:
        wide = [*row, 1.0]
        for i in range(size):
            for k in range(size):
                A[i, k] += wide[i] * wide[k] / len(rows)
    for i in range(size - 1):
        A[i, i] *= 1 + RIDGE
    return A


def by_hand(W: Array, A: Array, G: Array, columns: list[list[int]]) -> Array:
    """Neurons in turn, each time the one whose removal with all before it costs least.

    A set costs Q(S) = ½ tr(G W_S ([A⁻¹]_SS)⁻¹ W_Sᵀ), asked anew from the dense weights: nothing is updated.
    """
    inverse = np.linalg.inv(A)

    def cost(members: list[int]) -> float:
        own = [c for j in members for c in columns[j]]
        return float(np.trace(G @ W[:, own] @ np.linalg.inv(inverse[np.ix_(own, own)]) @ W[:, own].T)) / 2

    gone: list[int] = []
    scores, highest, before = np.zeros(len(columns)), 0.0, 0.0
    while len(gone) < len(columns):
        after = {j: cost([*gone, j]) for j in range(len(columns)) if j not in gone}
        j = min(after, key=lambda other: after[other])
        highest, before = max(highest, after[j] - before), after[j]
        scores[j] = highest
        gone.append(j)
    return scores


def softmax_curvature(net: mp.Graph, x: Array, reader: str) -> Array:
    """The mean over samples of Jᵀ (diag p − p pᵀ) J, J from PyTorch: how the logits answer to the reader's sums."""
    values = net.run(net.take(x), net.arrays)
    start = list(net.nodes).index(reader) + 1

    def behind(z: Any) -> Any:
        for name in list(net.nodes)[start:]:
            kind = net.nodes[name].layer.kind
            if kind == "dense":
                z = z @ torch.tensor(net.params[f"{name}.W"]).T + torch.tensor(net.params[f"{name}.b"])
            else:
                z = torch.relu(z) if kind == "relu" else torch.tanh(z)
        return z

    total: Any = 0.0
    for n in range(len(x)):
        z = torch.tensor(values[reader][n])
        J = torch.autograd.functional.jacobian(behind, z).numpy()
        y = values[net.output][n]
        p = np.exp(y - log_sum_exp(y[None])[0])
        total = total + J.T @ (np.diag(p) - np.outer(p, p)) @ J
    return total / len(x)


def test_the_score_of_a_dense_net_is_that_of_sets_asked_one_by_one_and_another_engines_curvature() -> None:
    net, x = mlp(), inputs()
    y = np.arange(len(x)) % 3
    found = mp.score(net, (x, y), "obs", batch_size=7)
    values = net.run(net.take(x), net.arrays)
    for group, read, reader in (("dense1", "tanh1", "dense2"), ("dense2", "relu1", "dense3")):
        W, A = net.params[f"{reader}.W"], second_moments(values[read])
        expected = by_hand(W, A, softmax_curvature(net, x, reader), [[j] for j in range(W.shape[1])])
        np.testing.assert_allclose(found[group], expected, rtol=1e-7)


@pytest.mark.parametrize(
    "name", ["mlp", "cnn", "average pooling", "conv1d", "depthwise", "grouped", "concat with itself"]
)
def test_it_is_what_the_repair_leaves_behind_an_affine_reader_set_after_set(name: str) -> None:
    """Half the squared error of the output after least squares, as more leave: for groups that the last layer reads."""
    net = EXAMPLES[name]()
    x, _ = samples(net, 60)
    last = [group for group in net.neurons.values() if [r.readers for r in group.reads] == [(net.output,)]]
    group = next(g for g in last if not g.stays)
    found = mp.score(net, x, Obs(ridge=1e-9), loss=HALF, groups=[group.name])[group.name]
    order = np.argsort(found, kind="stable")
    left = [0.0]
    for k in range(1, group.size):
        plan = mp.Plan({group.name: order[:k].tolist()})
        small = mp.remove(net, plan, repair=LeastSquares(ridge=1e-9), data=x)
        left.append((np.square(small(x) - net(x)).sum(axis=1) / 2).mean())
    expected = np.maximum.accumulate(np.diff(left))
    np.testing.assert_allclose(found[order][:-1], expected, rtol=1e-4, atol=1e-6, err_msg=f"{name}: {group.name}")


def test_a_convolution_is_scored_place_by_place() -> None:
    net = mp.Sequential(
        *(mp.Conv2d(1, 3, 2), mp.Tanh(), mp.Conv2d(3, 2, 2, padding=1), mp.Flatten()), input_shape=(1, 3, 3), rng=1
    ).astype(np.float64)
    x = np.random.default_rng(0).standard_normal((30, 1, 3, 3))
    found = mp.score(net, x, Obs(ridge=RIDGE), loss=HALF)["conv1"]
    a = np.pad(net.run(net.take(x), net.arrays)["tanh1"], ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows = [a[n, :, i : i + 2, k : k + 2].ravel() for n in range(len(x)) for i in range(3) for k in range(3)]
    G = 9 * np.eye(2)  # of half the squared error, summed over the nine places
    columns = [list(range(4 * j, 4 * j + 4)) for j in range(3)]
    expected = by_hand(net.params["conv2.W"].reshape(2, 12), second_moments(np.array(rows)), G, columns)
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_of_twins_one_is_free_and_the_other_is_not() -> None:
    net = mlp()
    for short in ("W", "b"):
        net.params[f"dense1.{short}"][1] = net.params[f"dense1.{short}"][0]
    x = inputs()
    one, other = sorted(mp.score(net, x, Obs(ridge=1e-9), loss="cross_entropy", groups=["dense1"])["dense1"][:2])
    assert one < 1e-6 * other
    curvature = mp.score(net, x, "curvature", loss="cross_entropy", groups=["dense1"])["dense1"]
    assert curvature[:2].min() > 1e-3 * curvature[2:].min()


def test_the_batch_size_does_not_change_the_score() -> None:
    net = EXAMPLES["cnn"]()
    data = samples(net, 20)
    one, all_ = (mp.score(net, data, "obs", batch_size=size) for size in (1, 20))
    for group, values in one.items():
        np.testing.assert_allclose(values, all_[group], rtol=1e-10)


def test_a_silent_neuron_costs_nothing_however_large_its_weights() -> None:
    net = mlp()
    net.params["dense2.W"][2], net.params["dense2.b"][2] = 0, -1  # never above 0
    net.params["dense3.W"][:, 2] = 1e6
    assert mp.score(net, inputs(), "obs", loss="cross_entropy")["dense2"][2] == 0


def test_scaling_a_neuron_up_and_its_readers_down_changes_nothing() -> None:
    net = mlp()
    scaled = net.copy()
    for j, factor in ((0, 30.0), (3, 0.01)):
        scaled.params["dense2.W"][j] *= factor
        scaled.params["dense2.b"][j] *= factor
        scaled.params["dense3.W"][:, j] /= factor
    one, other = (mp.score(n, inputs(), "obs", loss="cross_entropy")["dense2"] for n in (net, scaled))
    np.testing.assert_allclose(other, one, rtol=1e-7)


@pytest.mark.parametrize("ridge", [0.0, -1.0, np.inf, "much"])
def test_a_ridge_out_of_range_is_refused(ridge: Any) -> None:
    with pytest.raises(DataError, match=r"obs: ridge is .*, expected a finite number above 0"):
        mp.score(mlp(), inputs(), "obs", loss=HALF, ridge=ridge)


def test_what_has_no_curvature_is_refused() -> None:
    with pytest.raises(DataError, match="unknown loss 'hinge'; expected one of half_squared_error, mse, cross_entropy"):
        mp.score(mlp(), inputs(), "obs", loss="hinge")
    image = mp.Sequential(mp.Conv2d(1, 2, 2), mp.ReLU(), mp.Conv2d(2, 1, 2), input_shape=(1, 4, 4))
    with pytest.raises(ShapeError, match="curvature takes a network's output of shape"):
        mp.score(image, np.ones((2, 1, 4, 4)), "obs", loss=HALF)
