"""Second-order scores: where they are the truth, where they stop being it, and against another engine."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from networks import EXAMPLES, samples

import minprune as mp
from minprune.errors import DataError, DtypeError, ShapeError
from minprune.neurons import hidden
from minprune.ops import LOSSES, Array
from minprune.recording import with_gates
from minprune.scores.curvature import CURVED, curvature_roots
from minprune.tensor import apply

HALF = "half_squared_error"


def affine_head(*layers: Any, **settings: Any) -> mp.Graph:
    """A network whose weights and data are small whole numbers: in float64 nothing of it is ever rounded."""
    net = mp.Sequential(*layers, dtype=np.float64, **settings)
    rng = np.random.default_rng(0)
    for name, array in net.params.items():
        net.params[name] = rng.integers(-3, 4, array.shape)
    return net


def whole_samples(net: mp.Graph, n: int = 8) -> tuple[Array, Array]:
    """Whole numbers; a mean over 8 samples is not rounded either."""
    rng = np.random.default_rng(1)
    x = rng.integers(-3, 4, (n, *next(iter((net.input_shapes or {}).values())))).astype(float)
    return x, rng.integers(-3, 4, net(x).shape).astype(float)


# --- where taylor2 is the truth --------------------------------------------------------------------------------------

HEADS = {
    "a dense layer": lambda: affine_head(mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 2)),
    "two dense layers": lambda: affine_head(mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 3), mp.Dense(3, 2)),
    "average pooling over a channel": lambda: affine_head(
        mp.Conv2d(1, 3, 2), mp.ReLU(), mp.AvgPool2d(2), mp.Flatten(), mp.Dense(12, 2), input_shape=(1, 5, 5)
    ),
    "a residual": lambda: affine_head(
        mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 3), mp.Residual(mp.Dense(3, 3)), mp.Dense(3, 2)
    ),
}


@pytest.mark.parametrize("loss", [HALF, "mse"])
@pytest.mark.parametrize("head", HEADS)
def test_behind_an_affine_head_with_squared_error_it_is_the_exact_cost_to_the_last_bit(head: str, loss: str) -> None:
    net = HEADS[head]()
    data = whole_samples(net)
    estimate, truth = (mp.score(net, data, criterion, loss=loss) for criterion in ("taylor2", "leave_one_out"))
    first = hidden(net)[0]
    assert estimate[first].tolist() == truth[first].tolist()
    assert np.count_nonzero(truth[first]) > 1
    assert mp.score(net, data, "taylor_signed", loss=loss)[first].tolist() != truth[first].tolist()  # one term is not


def test_it_is_the_exact_cost_in_rationals() -> None:
    net = HEADS["a dense layer"]()
    x, t = whole_samples(net)
    found = mp.score(net, (x, t), "taylor2", loss=HALF)["dense1"]
    W1, b1, W2, b2 = ([[Fraction(w) for w in row] for row in np.atleast_2d(array)] for array in net.params.values())

    def loss(n: int, without: int | None = None) -> Fraction:
        z = [sum(w * Fraction(v) for w, v in zip(row, x[n], strict=True)) + b for row, b in zip(W1, b1[0], strict=True)]
        a = [max(Fraction(0), value) for value in z]
        kept = [0 if i == without else value for i, value in enumerate(a)]
        y = [sum(w * v for w, v in zip(row, kept, strict=True)) + b for row, b in zip(W2, b2[0], strict=True)]
        return sum((yk - Fraction(tk)) ** 2 for yk, tk in zip(y, t[n], strict=True)) / Fraction(2)

    for j, value in enumerate(found):
        assert Fraction(value) == sum(loss(n, without=j) - loss(n) for n in range(len(x))) / len(x)


def test_by_hand() -> None:
    """y = 3 a₁ + a₂ at a = (2, 1), t = 5, so y − t = 2: J = (6, 1), first terms −12 and −2, second ones 18 and ½."""
    net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    net.params["dense1.W"], net.params["dense1.b"] = [[2], [1]], [0, 0]
    net.params["dense2.W"], net.params["dense2.b"] = [[3, 1]], [0]
    data = ([[1.0]], [[5.0]])
    assert mp.score(net, data, "curvature", loss=HALF)["dense1"].tolist() == [18, 0.5]
    assert mp.score(net, data, "taylor2", loss=HALF)["dense1"].tolist() == [6, -1.5]
    assert mp.score(net, data, "leave_one_out", loss=HALF)["dense1"].tolist() == [6, -1.5]
    assert mp.score(net, data, "curvature", loss="mse")["dense1"] == pytest.approx([36, 1], rel=1e-14)


# --- and where it stops being it -------------------------------------------------------------------------------------


def apart(net: mp.Graph, data: Any, loss: str) -> float:
    """The largest difference between the estimate for dense1 and the truth."""
    estimate, truth = (mp.score(net, data, name, loss=loss)["dense1"] for name in ("taylor2", "leave_one_out"))
    return float(np.abs(estimate - truth).max())


def test_a_curved_function_behind_the_neuron_ends_it() -> None:
    net = affine_head(mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 2), mp.Sigmoid())
    assert apart(net, whole_samples(net), HALF) > 1e-3


def test_cross_entropy_ends_it() -> None:
    net = HEADS["a dense layer"]()
    x, _ = whole_samples(net)
    assert apart(net, (x, np.arange(8) % 2), "cross_entropy") > 1e-3


def test_a_relu_behind_ends_it_exactly_where_its_input_changes_sides() -> None:
    net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), mp.ReLU(), mp.Dense(1, 1), dtype=np.float64)
    net.params["dense1.W"], net.params["dense1.b"] = [[1], [1]], [0, 0]
    net.params["dense2.W"], net.params["dense3.W"] = [[1, 1]], [[1]]
    for bias, expected in ((0.0, 0.0), (-1.5, 0.125)):  # without either neuron 1 is left of 2, and ReLU(1 − 1.5) = 0
        net.params["dense2.b"] = [bias]
        assert apart(net, ([[1.0]], [[0.0]]), HALF) == expected


def test_a_neuron_that_is_read_again_behind_itself_ends_it() -> None:
    """In a residual stream the gate stands twice on one path: the output is no longer affine in it, but quadratic."""
    net = affine_head(mp.Dense(3, 4), mp.ReLU(), mp.Residual(mp.Dense(4, 4)), mp.Dense(4, 2))
    assert len(net.neurons["dense1"].reads) == 2
    assert apart(net, whole_samples(net), HALF) > 1


# --- what it is made of ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "cnn", "read in two places", "added and read", "depthwise with multiplier 2"])
@pytest.mark.parametrize("loss", [HALF, "mse", "cross_entropy"])
def test_it_is_its_formula_in_plain_loops_over_moved_gates(name: str, loss: str) -> None:
    """J by central differences of the output by the gate, then Σ_kl J_k H_kl J_l entry by entry."""
    net = EXAMPLES[name]()
    x, t = samples(net, n=3)
    targets = np.arange(3) % t.shape[1] if loss == "cross_entropy" else t
    half, both, first = (mp.score(net, (x, targets), c, loss=loss) for c in ("curvature", "taylor2", "taylor_signed"))
    y, K = net(x), t.shape[1]
    gated, gates = with_gates(net)
    for group in hidden(net):
        for j in range(net.neurons[group].size):
            outputs = []
            for sign in (1, -1):
                moved = gated.copy()
                for read in net.neurons[group].reads:
                    moved.buffers[f"{gates[read.value]}.m"][read.owner == j] += sign * 1e-5
                outputs.append(moved(x))
            J = (outputs[0] - outputs[1]) / 2e-5
            expected = 0.0
            for n in range(3):
                H = hessian(loss, y[n])
                expected += sum(J[n, k] * H[k, m] * J[n, m] for k in range(K) for m in range(K)) / 2 / 3
            assert half[group][j] == pytest.approx(expected, rel=1e-4, abs=1e-7), f"{group}[{j}]"
            assert both[group][j] == pytest.approx(first[group][j] + half[group][j], rel=1e-12, abs=1e-14)


def hessian(loss: str, y: Array) -> Array:
    """Of one sample, as it stands in a textbook."""
    if loss == "cross_entropy":
        p = np.exp(y) / np.exp(y).sum()
        return np.diag(p) - np.outer(p, p)
    return np.eye(len(y)) * (1 if loss == HALF else 2 / len(y))


def curved(loss: str, J: Array, y: Array) -> Array:
    return sum((root[:, :, None] * J).sum(axis=1) ** 2 for root in curvature_roots(loss, y))


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_has_its_second_derivative(loss: str) -> None:
    """(ℓ(y + hJ) − 2 ℓ(y) + ℓ(y − hJ)) / h² is Jᵀ H J, whatever the target."""
    rng = np.random.default_rng(0)
    y, J = rng.standard_normal((6, 4)), rng.standard_normal((6, 4))
    t = np.arange(6) % 4 if loss == "cross_entropy" else rng.standard_normal((6, 4))
    h = 1e-4
    up, here, down = (apply(LOSSES[loss], y + step * J, t) for step in (h, 0, -h))
    np.testing.assert_allclose(
        curved(loss, J[:, :, None], y)[:, 0], (up - 2 * here + down) / h**2, rtol=1e-5, atol=1e-6
    )
    assert set(CURVED) == set(LOSSES)


def test_curvature_is_never_negative_nor_lost_where_the_network_is_sure() -> None:
    """Logits around 10³: p is 1 and 0 to the last bit, and no exponential overflows."""
    J = np.random.default_rng(0).standard_normal((5, 3, 2))
    sure = curved("cross_entropy", J, 1e3 * np.eye(5, 3))
    assert np.isfinite(sure).all()
    assert (sure >= 0).all()
    assert (sure[:3] == 0).all()


def test_a_channel_is_squared_after_the_sum_over_its_places() -> None:
    """A channel (1, −1) that is read with weights (1, 1) does nothing, so it has no curvature: Σ a² h would say 2."""
    net = mp.Sequential(mp.Conv2d(1, 1, 1), mp.Flatten(), mp.Dense(2, 1), input_shape=(1, 1, 2), dtype=np.float64)
    net.params["conv1.W"], net.params["conv1.b"], net.params["dense1.W"] = [[[[1]]]], [0], [[1, 1]]
    assert mp.score(net, ([[[[1.0, -1.0]]]], [[0.0]]), "curvature", loss=HALF)["conv1"].tolist() == [0]
    assert mp.score(net, ([[[[1.0, 1.0]]]], [[0.0]]), "curvature", loss=HALF)["conv1"].tolist() == [2]


# --- another engine --------------------------------------------------------------------------------------------------


def torch_by_gates(run: Any, x: Array, t: Array, neurons: int) -> tuple[list[float], list[float]]:
    """½ Jᵀ H J and −g + ½ Jᵀ H J of every gate, by torch's own derivatives, one sample at a time."""
    half, both = np.zeros(neurons), np.zeros(neurons)
    for n in range(len(x)):
        sample, label = torch.from_numpy(x[n : n + 1]), torch.from_numpy(t[n : n + 1])
        gates = torch.ones(neurons, dtype=torch.float64, requires_grad=True)
        J = torch.autograd.functional.jacobian(lambda m, s=sample: run(s, m)[0], gates)  # (K, n)
        y = run(sample, gates)
        H = torch.autograd.functional.hessian(
            lambda o, at=label: torch.nn.functional.cross_entropy(o[None], at), y[0].detach()
        )
        (g,) = torch.autograd.grad(torch.nn.functional.cross_entropy(y, label), gates)
        bend = torch.einsum("kj,kl,lj->j", J, H, J).detach().numpy() / 2
        half += bend / len(x)
        both += (bend - g.numpy()) / len(x)
    return half.tolist(), both.tolist()


def torch_mlp(params: dict[str, Any]) -> Any:
    def run(x: Any, gates: Any) -> Any:
        F = torch.nn.functional
        h = torch.relu(F.linear(x, params["dense1.W"], params["dense1.b"])) * gates
        h = torch.tanh(F.linear(h, params["dense2.W"], params["dense2.b"]))
        return F.linear(h, params["dense3.W"], params["dense3.b"])

    return run


def torch_cnn(params: dict[str, Any]) -> Any:
    def run(x: Any, gates: Any) -> Any:
        F, p = torch.nn.functional, params
        h = F.conv2d(x, p["conv1.W"], p["conv1.b"])
        norm = (p[f"batchnorm1.{name}"] for name in ("mean", "var", "gamma", "beta"))
        h = torch.relu(F.batch_norm(h, *norm, training=False, eps=1e-5))
        h = F.max_pool2d(h, 2) * gates[:, None, None]
        h = torch.relu(F.conv2d(h, p["conv2.W"], p["conv2.b"])).flatten(1)
        return F.linear(h, p["dense1.W"], p["dense1.b"])

    return run


@pytest.mark.parametrize(("name", "group", "make"), [("mlp", "dense1", torch_mlp), ("cnn", "conv1", torch_cnn)])
def test_with_cross_entropy_it_equals_what_torch_differentiates(name: str, group: str, make: Any) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net, n=5)
    labels = np.arange(5) % t.shape[1]
    run = make({key: torch.from_numpy(array.copy()) for key, array in net.arrays.items()})
    np.testing.assert_allclose(
        run(torch.from_numpy(x), torch.ones(net.neurons[group].size, dtype=torch.float64)).numpy(), net(x), rtol=1e-12
    )
    half, both = torch_by_gates(run, x, labels, net.neurons[group].size)
    np.testing.assert_allclose(mp.score(net, (x, labels), "curvature")[group], half, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(mp.score(net, (x, labels), "taylor2")[group], both, rtol=1e-10, atol=1e-13)


# --- what it needs ---------------------------------------------------------------------------------------------------


def test_curvature_needs_no_labels_when_the_loss_is_named() -> None:
    net = EXAMPLES["mlp"]()
    x, _ = samples(net)
    labelled = mp.score(net, (x, np.zeros(5, dtype=int)), "curvature")
    bare = mp.score(net, x, "curvature", loss="cross_entropy", batch_size=2)
    np.testing.assert_allclose(bare["dense1"], labelled["dense1"], rtol=1e-12)


def test_fisher_is_half_of_taylor_squared_and_ranks_alike() -> None:
    net = EXAMPLES["cnn"]()
    data = samples(net)
    squared, fisher = (mp.score(net, data, name)["conv1"] for name in ("taylor_squared", "fisher"))
    np.testing.assert_array_equal(2 * fisher, squared)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, DataError, "curvature: without labels it cannot be told which loss; name it with loss="),
        ({"loss": "hinge"}, DataError, "unknown loss 'hinge'; expected one of half_squared_error, mse, cross_entropy"),
    ],
)
def test_what_it_cannot_do_is_refused(arguments: dict[str, Any], error: Any, message: str) -> None:
    net = EXAMPLES["mlp"]()
    with pytest.raises(error, match=message):
        mp.score(net, samples(net)[0], "curvature", **arguments)


def test_an_output_that_is_no_row_is_refused() -> None:
    net = affine_head(mp.Conv2d(1, 2, 1), mp.Conv2d(2, 1, 1), input_shape=(1, 2, 2))
    with pytest.raises(ShapeError, match=r"curvature takes a network's output of shape \(N, K\), got \(3, 1, 2, 2\)"):
        mp.score(net, np.ones((3, 1, 2, 2)), "curvature", loss=HALF)


def test_rationals_are_refused() -> None:
    net = EXAMPLES["linear"]().astype(object)
    with pytest.raises(DtypeError, match="rationals and complex numbers go forward only, use float64"):
        mp.score(net, np.ones((2, 3)), "curvature", loss=HALF)
