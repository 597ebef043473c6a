"""The quadratic model of the loss over sets: where it is the truth, where it stops being it, and another engine."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, combinations
from typing import Any

import numpy as np
import pytest
import torch
from networks import EXAMPLES, SINGLE_INPUT, samples
from test_scores_curvature import HALF, HEADS, affine_head, hessian, torch_cnn, whole_samples

import minprune as mp
from minprune.errors import DataError, PlanError, ShapeError, StructureError
from minprune.neurons import hidden
from minprune.ops import LOSSES, Array
from minprune.recording import with_gates
from minprune.scores import Context
from minprune.scores.oracle import removal_costs
from minprune.scores.quadratic import QuadraticModel
from minprune.targets import prepare_targets
from minprune.tensor import apply


def subsets(n: int) -> list[tuple[int, ...]]:
    """All of them but the empty one."""
    return list(chain.from_iterable(combinations(range(n), k) for k in range(1, n + 1)))


def true_costs(net: mp.Graph, data: Any, loss: str, group: str, sets: list[tuple[int, ...]]) -> list[float]:
    x, y = data
    context = Context(net, (net.neurons[group],), x, y, loss, 1024, np.random.default_rng(0), False)
    return removal_costs(context, {group: list(sets)})[group].tolist()


def masked_cost(net: mp.Graph, data: Any, loss: str, drop: dict[str, list[int]]) -> float:
    """The same by masking, for sets from several groups."""
    x, y = data
    outputs = net(x), mp.mask(net, mp.Plan(drop))(x)
    whole, without = (apply(LOSSES[loss], o, prepare_targets(y, o.shape, loss, net.dtype)).mean() for o in outputs)
    return float(without - whole)


# --- where it is the truth -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [HALF, "mse"])
@pytest.mark.parametrize("head", HEADS)
def test_behind_an_affine_head_with_squared_error_it_is_the_exact_cost_of_every_set(head: str, loss: str) -> None:
    net = HEADS[head]()
    data = whole_samples(net)
    group = hidden(net)[0]
    model = mp.quadratic_model(net, data, loss=loss, groups=[group])
    sets = subsets(net.neurons[group].size)
    truth = true_costs(net, data, loss, group, sets)
    assert [model.change({group: members}) for members in sets] == truth
    alone = model.single
    assert [sum(alone[list(members)]) for members in sets] != truth  # sums of single costs are not


def test_it_is_the_exact_cost_of_every_set_in_rationals() -> None:
    net = HEADS["a dense layer"]()
    x, t = whole_samples(net)
    model = mp.quadratic_model(net, (x, t), loss=HALF)
    W1, b1, W2, b2 = ([[Fraction(w) for w in row] for row in np.atleast_2d(array)] for array in net.params.values())

    def loss(n: int, without: tuple[int, ...] = ()) -> Fraction:
        z = [sum(w * Fraction(v) for w, v in zip(row, x[n], strict=True)) + b for row, b in zip(W1, b1[0], strict=True)]
        a = [max(Fraction(0), value) for value in z]
        kept = [0 if i in without else value for i, value in enumerate(a)]
        y = [sum(w * v for w, v in zip(row, kept, strict=True)) + b for row, b in zip(W2, b2[0], strict=True)]
        return sum((yk - Fraction(tk)) ** 2 for yk, tk in zip(y, t[n], strict=True)) / Fraction(2)

    whole = sum(loss(n) for n in range(len(x)))
    for members in subsets(4):
        truth = (sum(loss(n, members) for n in range(len(x))) - whole) / len(x)
        assert Fraction(model.change({"dense1": members})) == truth


def side_by_side() -> mp.Graph:
    """Two groups, neither of which is behind the other."""
    branches = (mp.Sequential(mp.Dense(3, 3), mp.ReLU()), mp.Sequential(mp.Dense(3, 2), mp.ReLU()))
    return affine_head(mp.Concat(*branches), mp.Dense(5, 2))


def spread_sets(net: mp.Graph) -> Iterator[dict[str, list[int]]]:
    """All sets that take some neurons of each of two groups, and leave some."""
    one, other = hidden(net)
    for first in subsets(net.neurons[one].size)[:-1]:
        for second in subsets(net.neurons[other].size)[:-1]:
            yield {one: list(first), other: list(second)}


def test_it_is_exact_for_sets_from_several_groups_side_by_side() -> None:
    net = side_by_side()
    data = whole_samples(net)
    model = mp.quadratic_model(net, data, loss=HALF)
    assert model.groups == ("dense1", "dense2")
    assert np.count_nonzero(model.hessian[:3, 3:])
    for drop in spread_sets(net):
        assert model.change(drop) == masked_cost(net, data, HALF, drop)


def test_of_two_copies_of_a_neuron_the_second_costs_three_times_the_first() -> None:
    """½ (2J)² is 4 times ½ J²: with curvature alone, a pair of twins costs twice the sum of both."""
    net = HEADS["a dense layer"]()
    for name in ("dense1.W", "dense1.b"):
        net.params[name][1] = net.params[name][0]
    net.params["dense2.W"][:, 1] = net.params["dense2.W"][:, 0]
    model = mp.quadratic_model(net, whole_samples(net), loss=HALF, linear=False)
    assert model.single[0] == model.single[1] > 0
    assert model.change({"dense1": [0, 1]}) == 4 * model.change({"dense1": [0]})


# --- and where it stops being it -------------------------------------------------------------------------------------


def apart(net: mp.Graph, data: Any, loss: str) -> float:
    """The largest difference between model and truth over all sets of dense1."""
    model = mp.quadratic_model(net, data, loss=loss)
    sets = subsets(net.neurons["dense1"].size)
    truth = true_costs(net, data, loss, "dense1", sets)
    return max(abs(model.change({"dense1": s}) - cost) for s, cost in zip(sets, truth, strict=True))


def test_a_curved_function_behind_the_group_ends_it() -> None:
    net = affine_head(mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 2), mp.Sigmoid())
    assert apart(net, whole_samples(net), HALF) > 1e-2


def test_cross_entropy_ends_it() -> None:
    net = HEADS["a dense layer"]()
    x, _ = whole_samples(net)
    assert apart(net, (x, np.arange(8) % 2), "cross_entropy") > 1e-2


def test_a_relu_that_only_both_neurons_together_switch_ends_it_for_the_pair_alone() -> None:
    """ReLU(a₁ + a₂ − ½) at a = (1, 1): without one of them it is ½, without both 0 and not −½."""
    net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), mp.ReLU(), mp.Dense(1, 1), dtype=np.float64)
    net.params["dense1.W"], net.params["dense1.b"] = [[1], [1]], [0, 0]
    net.params["dense2.W"], net.params["dense2.b"], net.params["dense3.W"] = [[1, 1]], [-0.5], [[1]]
    data = np.array([[1.0]]), np.array([[1.0]])
    model = mp.quadratic_model(net, data, loss=HALF, groups=["dense1"])
    assert true_costs(net, data, HALF, "dense1", [(0,), (1,), (0, 1)]) == [0, 0, 0.375]  # ½ (0 − 1)² − ½ (1.5 − 1)²
    assert [model.change({"dense1": s}) for s in ([0], [1], [0, 1])] == [0, 0, 1]  # ½ (−½ − 1)² − ½ (1.5 − 1)²


def test_layers_behind_one_another_end_it_only_for_sets_that_take_from_both() -> None:
    """The output holds products of gates, m₁ m₂: quadratic in both, affine in each."""
    net = affine_head(mp.Dense(3, 3), mp.Dense(3, 3), mp.Dense(3, 2))
    data = whole_samples(net)
    model = mp.quadratic_model(net, data, loss=HALF)
    for group in hidden(net):
        truth = true_costs(net, data, HALF, group, subsets(3))
        assert [model.change({group: members}) for members in subsets(3)] == truth
    differences = [abs(model.change(drop) - masked_cost(net, data, HALF, drop)) for drop in spread_sets(net)]
    assert max(differences) > 100


# --- what it is made of ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", SINGLE_INPUT)
def test_its_diagonal_is_twice_curvature_and_its_single_costs_are_taylor2(name: str, loss: str) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net)
    y = np.arange(len(x)) % t.shape[1] if loss == "cross_entropy" else t
    model = mp.quadratic_model(net, (x, y), loss=loss)
    half, both, first = (mp.score(net, (x, y), c, loss=loss) for c in ("curvature", "taylor2", "taylor_signed"))
    assert model.sizes == {group: len(values) for group, values in half.items()}
    for row, expected in ((model.diagonal / 2, half), (model.single, both), (-model.gradient, first)):
        np.testing.assert_allclose(row, np.concatenate(list(expected.values())), rtol=1e-9, atol=1e-12)


LOOPED = ["mlp", "residual", "concat, flatten", "read in two places", "depthwise with multiplier 2"]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", LOOPED)
def test_it_is_its_formula_in_plain_loops_over_moved_gates(name: str, loss: str) -> None:
    """J by central differences of the output by every gate, then Σ_kl J_ki H_kl J_lj entry by entry."""
    net = EXAMPLES[name]()
    x, t = samples(net, n=2)
    y, K = net(x), t.shape[1]
    labels = np.arange(2) % K if loss == "cross_entropy" else t
    model = mp.quadratic_model(net, (x, labels), loss=loss)
    J = [moved(net, x, group, j) for group in hidden(net) for j in range(net.neurons[group].size)]
    for i, left in enumerate(J):
        for j, right in enumerate(J):
            expected = 0.0
            for n in range(2):
                H = hessian(loss, y[n])
                expected += sum(left[n, k] * H[k, m] * right[n, m] for k in range(K) for m in range(K)) / 2
            assert model.hessian[i, j] == pytest.approx(expected, rel=1e-4, abs=1e-6), f"{i}, {j}"


def moved(net: mp.Graph, x: Any, group: str, j: int) -> Array:
    """The output's derivative by the gate of a neuron, by central differences: (N, K)."""
    gated, gates = with_gates(net)
    outputs = []
    for sign in (1, -1):
        other = gated.copy()
        for read in net.neurons[group].reads:
            other.buffers[f"{gates[read.value]}.m"][read.owner == j] += sign * 1e-5
        outputs.append(other(x))
    return np.asarray((outputs[0] - outputs[1]) / 2e-5)


def torch_two_layers(params: dict[str, Any]) -> Any:
    """The example "mlp" with gates on both of its layers, those of the first in front."""

    def run(x: Any, gates: Any) -> Any:
        F, n = torch.nn.functional, len(params["dense1.b"])
        h = torch.relu(F.linear(x, params["dense1.W"], params["dense1.b"])) * gates[:n]
        h = torch.tanh(F.linear(h, params["dense2.W"], params["dense2.b"])) * gates[n:]
        return F.linear(h, params["dense3.W"], params["dense3.b"])

    return run


@pytest.mark.parametrize(
    ("name", "groups", "make"), [("mlp", ["dense1", "dense2"], torch_two_layers), ("cnn", ["conv1"], torch_cnn)]
)
def test_with_cross_entropy_it_equals_what_torch_differentiates(name: str, groups: list[str], make: Any) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net, n=5)
    labels = np.arange(5) % t.shape[1]
    run = make({key: torch.from_numpy(array.copy()) for key, array in net.arrays.items()})
    n = sum(net.neurons[group].size for group in groups)
    g, H = np.zeros(n), np.zeros((n, n))
    for sample, label in zip(torch.from_numpy(x).split(1), torch.from_numpy(labels).split(1), strict=True):
        gates = torch.ones(n, dtype=torch.float64, requires_grad=True)
        y = run(sample, gates)
        J = torch.autograd.functional.jacobian(lambda m, s=sample: run(s, m)[0], gates)
        curved = torch.autograd.functional.hessian(
            lambda o, at=label: torch.nn.functional.cross_entropy(o[None], at), y[0].detach()
        )
        H += (J.T @ curved @ J).numpy() / 5
        g += torch.autograd.grad(torch.nn.functional.cross_entropy(y, label), gates)[0].numpy() / 5
    model = mp.quadratic_model(net, (x, labels), groups=groups)
    np.testing.assert_allclose(model.hessian, H, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(model.gradient, g, rtol=1e-9, atol=1e-13)


def test_it_does_not_depend_on_the_batch_size_and_sums_float32_in_float64() -> None:
    net = EXAMPLES["mlp"]()
    x, t = samples(net, n=64)
    labels = np.arange(64) % t.shape[1]
    model = mp.quadratic_model(net, (x, labels))
    small = mp.quadratic_model(net.astype(np.float32), (x, labels), batch_size=7)
    assert small.hessian.dtype == small.gradient.dtype == np.float64
    np.testing.assert_allclose(small.hessian, model.hessian, rtol=1e-5, atol=1e-6)
    pieces = mp.quadratic_model(net, (x, labels), batch_size=7)
    np.testing.assert_allclose(pieces.hessian, model.hessian, rtol=1e-12, atol=1e-14)


def test_no_set_lowers_the_curved_term() -> None:
    net = EXAMPLES["cnn"]()
    model = mp.quadratic_model(net, samples(net), linear=False)
    lowest = np.linalg.eigvalsh(model.hessian)[0]
    assert lowest > -1e-12 * np.trace(model.hessian)


def test_input_features_are_neurons_too_where_they_are_named() -> None:
    net = HEADS["a dense layer"]()
    data = whole_samples(net)
    model = mp.quadratic_model(net, data, loss=HALF, groups=["input", "dense1"])
    assert model.sizes == {"input": 3, "dense1": 4}
    alone = mp.score(net, data, "taylor2", loss=HALF, groups=["input", "dense1"])
    np.testing.assert_allclose(model.single, np.concatenate(list(alone.values())), rtol=1e-12)


# --- the linear term -------------------------------------------------------------------------------------------------


def test_without_the_linear_term_labels_are_not_needed() -> None:
    net = EXAMPLES["mlp"]()
    x, t = samples(net)
    whole = mp.quadratic_model(net, (x, np.arange(5) % t.shape[1]))
    bare = mp.quadratic_model(net, x, loss="cross_entropy", linear=False)
    assert not bare.gradient.any()
    np.testing.assert_array_equal(bare.hessian, whole.hessian)
    assert bare.change({"dense1": [0, 2]}) == whole.hessian[np.ix_([0, 2], [0, 2])].sum() / 2
    assert [repr(m) for m in (whole, bare)] == [
        "<quadratic model: dense1 5, dense2 4>",
        "<quadratic model without linear term: dense1 5, dense2 4>",
    ]


# --- sets ------------------------------------------------------------------------------------------------------------


def small_model() -> QuadraticModel:
    return QuadraticModel({"a": 2, "b": 3}, np.arange(5.0), np.add.outer(np.arange(5.0), np.arange(5.0)))


def test_sets_are_named_by_group_or_by_a_plan_and_a_neuron_counts_once() -> None:
    model = small_model()
    assert model.positions({"b": [2, 0, 2], "a": np.array([1])}).tolist() == [1, 2, 4]
    assert model.by_group([4, 1, 2]) == {"a": [1], "b": [0, 2]}
    assert model.owner.tolist() == [0, 0, 1, 1, 1]
    assert model.change(mp.Plan({"b": [0, 2]})) == model.change({"b": [2, 0, 2]}) == (4 + 6 + 6 + 8) / 2 - 6
    assert model.change({}) == 0


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ({"c": [0]}, "the model has no group 'c'; there are a, b"),
        ({"b": [3]}, "b: no neuron 3; expected 0 to 2"),
        ({"b": [-1]}, "b: no neuron -1; expected 0 to 2"),
        ({"b": [0.5]}, "b: no neuron 0.5; expected 0 to 2"),
    ],
)
def test_a_set_that_the_model_does_not_know_is_refused(drop: Any, message: str) -> None:
    with pytest.raises(StructureError, match=message):
        small_model().change(drop)


def test_what_is_no_set_is_refused() -> None:
    with pytest.raises(PlanError, match=r"a set is a Plan or lists of neurons by group, as .*; got \[0, 1\]"):
        small_model().change([0, 1])
    with pytest.raises(PlanError, match="b: expected a list of neurons, got 1"):
        small_model().change({"b": 1})


def test_a_model_that_is_none_is_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"gradient of shape \(2,\) and a Hessian of shape \(2, 2\) for 3 neurons, expected \(3,\) and"
    ):
        QuadraticModel({"a": 3}, np.zeros(2), np.eye(2))
    with pytest.raises(DataError, match=r"what b\[0\] costs is not finite; look for NaN in the weights"):
        QuadraticModel({"a": 1, "b": 1}, np.array([0, np.inf]), np.eye(2))
    with pytest.raises(DataError, match=r"what a\[1\] costs is not finite; look for NaN in the weights"):
        QuadraticModel({"a": 2}, np.zeros(2), np.diag([1, np.nan]))
    with pytest.raises(DataError, match=r"the Hessian is not symmetric; make it \(H \+ H\.T\) / 2"):
        QuadraticModel({"a": 2}, np.zeros(2), np.triu(np.ones((2, 2))))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"linear": False}, DataError, "without labels it cannot be told which loss; name it with loss="),
        ({"linear": False, "loss": "hinge"}, DataError, "unknown loss 'hinge'; expected one of half_squared_error, "),
        ({"loss": HALF}, DataError, "its linear term needs labels; pass \\(x, y\\), or leave it out with linear=False"),
        ({"linear": False, "loss": HALF, "batch_size": 0}, DataError, "batch_size is 0, expected a whole number"),
        ({"linear": False, "loss": HALF, "groups": ["dense9"]}, StructureError, "no group is called 'dense9'"),
        ({"linear": False, "loss": HALF, "groups": ["dense3"]}, PlanError, "dense3: output; its neurons are never"),
    ],
)
def test_what_it_cannot_do_is_refused(arguments: dict[str, Any], error: Any, message: str) -> None:
    net = EXAMPLES["mlp"]()
    with pytest.raises(error, match=message):
        mp.quadratic_model(net, samples(net)[0], **arguments)


def test_an_output_that_is_no_row_is_refused() -> None:
    net = affine_head(mp.Conv2d(1, 2, 1), mp.Conv2d(2, 1, 1), input_shape=(1, 2, 2))
    with pytest.raises(ShapeError, match=r"curvature takes a network's output of shape \(N, K\), got \(3, 1, 2, 2\)"):
        mp.quadratic_model(net, np.ones((3, 1, 2, 2)), loss=HALF, linear=False)
