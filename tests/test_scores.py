"""Scores: every criterion against plain loops, removal, differences and another engine."""

from typing import Any

import numpy as np
import pytest
import torch
from networks import EXAMPLES, SINGLE_INPUT, randomised, samples, scorable
from torch_nets import along, at_reads, torch_arrays, torch_losses, torch_run

import minprune as mp
from minprune.errors import DataError, DtypeError, PlanError, StructureError
from minprune.layers import Gate
from minprune.neurons import fingerprint, hidden
from minprune.ops import LOSSES, Array
from minprune.recording import with_gates
from minprune.scores import CRITERIA, Context, Criterion, Scores
from minprune.scores.gates import GateCriterion
from minprune.tensor import apply

INF = float("inf")
HALF = "half_squared_error"
GRADIENT = [name for name, rule in CRITERIA.items() if {"gradient", "curvature"} & set(rule.needs) == {"gradient"}]
SCORED = [name for name in SINGLE_INPUT if hidden(EXAMPLES[name]())]


def every_group(net: mp.Graph) -> list[str]:
    """All that can be pruned, inputs included."""
    return [name for name, group in net.neurons.items() if not group.stays]


# --- plain loops -----------------------------------------------------------------------------------------------------


def effects_and_slopes(net: mp.Graph, x: Array, t: Array, group: str, j: int) -> tuple[list[float], list[float]]:
    """Of one neuron, sample by sample: Σ a ∂ℓ/∂a and Σ ∂ℓ/∂a over the places where it is read."""
    effects, slopes = [], []
    for n in range(len(x)):
        rec = mp.record(net, x[n : n + 1], t[n : n + 1], loss=HALF)
        effect = slope = 0.0
        for place in rec[group].places:
            for channel, owner in enumerate(place.read.owner):
                if owner == j:
                    a, g = place.a[0, channel].ravel(), place.grad[0, channel].ravel()
                    effect += sum(float(a[p]) * float(g[p]) for p in range(a.size))
                    slope += sum(float(g[p]) for p in range(a.size))
        effects.append(effect)
        slopes.append(slope)
    return effects, slopes


def mean(values: Any) -> float:
    values = list(values)
    return sum(values) / len(values)


def inverse(s: float) -> float:
    return INF if s == 0 else 1 / s


BY_HAND = {
    "sensitivity": lambda effects, slopes: mean(abs(s) for s in slopes),
    "sensitivity_signed": lambda effects, slopes: mean(slopes),
    "inverse_sensitivity": lambda effects, slopes: inverse(mean(abs(s) for s in slopes)),
    "inverse_sensitivity_mean": lambda effects, slopes: inverse(abs(mean(slopes))),
    "inverse_sensitivity_signed": lambda effects, slopes: inverse(mean(slopes)),
    "taylor": lambda effects, slopes: mean(abs(e) for e in effects),
    "taylor_mean": lambda effects, slopes: abs(mean(effects)),
    "taylor_signed": lambda effects, slopes: -mean(effects),
    "taylor_squared": lambda effects, slopes: mean(e * e for e in effects),
    "fisher": lambda effects, slopes: mean(e * e for e in effects) / 2,
}


@pytest.mark.parametrize(
    "name", ["sigmoid", "mlp", "cnn", "read in two places", "depthwise with multiplier 2", "residual"]
)
@pytest.mark.parametrize("criterion", BY_HAND)
def test_a_gradient_criterion_is_its_formula_in_plain_loops(name: str, criterion: str) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net, n=4)
    scores = mp.score(net, (x, t), criterion, loss=HALF, groups=every_group(net))
    for group, values in scores.items():
        assert values.dtype == np.float64
        for j, value in enumerate(values):
            expected = BY_HAND[criterion](*effects_and_slopes(net, x, t, group, j))
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-12), f"{group}[{j}]"


def test_the_loops_cover_every_criterion_of_gradients() -> None:
    """`snip` and `conductance` are made of them in other ways, and have files of their own."""
    assert set(BY_HAND) | {"snip", "conductance"} == set(GRADIENT)


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual, projected", "depthwise with multiplier 2", "grouped"])
def test_a_magnitude_is_the_sum_over_a_neurons_own_weights(name: str) -> None:
    net = EXAMPLES[name]()
    for group in hidden(net):
        found = net.neurons[group]
        for j in range(found.size):
            weights = {role: own_weights(net, getattr(found, role), j) for role in ("produced", "consumed")}
            for role, suffix in (("produced", ""), ("consumed", "_outgoing")):
                l1, l2 = sum(abs(w) for w in weights[role]), sum(w * w for w in weights[role]) ** 0.5
                assert mp.score(net, criterion=f"magnitude_l1{suffix}")[group][j] == pytest.approx(l1, rel=1e-12)
                assert mp.score(net, criterion=f"magnitude_l2{suffix}")[group][j] == pytest.approx(l2, rel=1e-12)
            product = (sum(w * w for w in weights["produced"]) * sum(w * w for w in weights["consumed"])) ** 0.5
            assert mp.score(net, criterion="magnitude_product")[group][j] == pytest.approx(product, rel=1e-12)


def own_weights(net: mp.Graph, slices: Any, j: int) -> list[float]:
    """Rows and columns of the W of neuron j, entry by entry; no bias, no batch-norm."""
    return [
        float(w)
        for piece in slices
        if piece.array.endswith(".W")
        for position in piece.positions(j)
        for w in np.take(net.params[piece.array], position, axis=piece.axis).ravel()
    ]


def test_magnitudes_by_hand() -> None:
    net = mp.Sequential(mp.Dense(2, 2), mp.ReLU(), mp.Dense(2, 2))
    net.params["dense1.W"], net.params["dense1.b"] = [[3, -4], [0, 1]], [100, 100]
    net.params["dense2.W"] = [[1, -2], [1, 2]]
    expected = {
        "l1": [7, 1],
        "l2": [5, 1],
        "l1_outgoing": [2, 4],
        "l2_outgoing": [2**0.5, 8**0.5],
        "product": [50**0.5, 8**0.5],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(mp.score(net, criterion=f"magnitude_{name}")["dense1"], values, rtol=1e-7)


def test_what_has_no_weights_on_that_side_has_no_magnitude() -> None:
    net = EXAMPLES["mlp"]()
    with pytest.raises(DataError, match="input: it has no weights on this side, so it has no magnitude"):
        mp.score(net, criterion="magnitude_l1", groups=["input"])
    assert mp.score(net, criterion="magnitude_l1_outgoing", groups=["input"])["input"].shape == (4,)


# --- the truth -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCORED)
def test_leave_one_out_is_what_masking_each_neuron_does_to_the_loss(name: str) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net)
    scores = mp.score(net, (x, t), "leave_one_out", loss=HALF, groups=every_group(net))
    before = mp.record(net, x, t, loss=HALF).loss
    for group, values in scores.items():
        for j, value in enumerate(values):
            if net.neurons[group].size == 1:
                continue  # the only neuron of a group can be scored but not removed
            masked = mp.mask(net, mp.Plan({group: [j]}))
            change = mp.record(masked, x, t, loss=HALF).loss - before
            assert value == pytest.approx(change, rel=1e-9, abs=1e-9), f"{group}[{j}]"


def test_the_cost_of_a_removal_is_the_same_removed() -> None:
    net = EXAMPLES["nested"]()
    x, t = samples(net)
    scores = mp.score(net, (x, t), "leave_one_out", loss=HALF)
    small = mp.remove(net, mp.Plan({"dense1": [2]}))
    change = mp.record(small, x, t, loss=HALF).loss - mp.record(net, x, t, loss=HALF).loss
    assert scores["dense1"][2] == pytest.approx(change, rel=1e-9)


@pytest.mark.parametrize("name", SCORED)
def test_the_gradient_by_a_gate_is_the_slope_of_the_loss_by_its_value(name: str) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net, n=3)
    step = 1e-6
    scores = mp.score(net, (x, t), "taylor_signed", loss=HALF, groups=every_group(net))
    gated, gates = with_gates(net)
    for group, values in scores.items():
        for j, value in enumerate(values):
            losses = []
            for sign in (1, -1):
                moved = gated.copy()
                for read in net.neurons[group].reads:
                    moved.buffers[f"{gates[read.value]}.m"][read.owner == j] += sign * step
                losses.append(apply(LOSSES[HALF], moved(x), t).mean())
            slope = (losses[0] - losses[1]) / (2 * step)
            assert -value == pytest.approx(slope, rel=1e-5, abs=1e-6), f"{group}[{j}]"


def test_a_gate_that_is_also_added_is_counted_once_per_place() -> None:
    """The sum behind it has a gate of its own: what goes that way must not be counted at both."""
    net = EXAMPLES["gate that is added"]()
    plain = mp.Graph(
        {
            "h": (mp.Dense(3, 4), "x"),
            "p": (mp.Dense(4, 4), "h"),
            "sum": (mp.Add(), "h", "p"),
            "r": (mp.ReLU(), "sum"),
            "y": (mp.Dense(4, 2), "r"),
        },
        dtype=np.float64,
    )
    for name, array in net.params.items():
        plain.params[name] = array
    assert isinstance(net.nodes["g"].layer, Gate)
    x, t = samples(net)
    for criterion in ("taylor", "sensitivity", "leave_one_out"):
        with_gate, without = (mp.score(made, (x, t), criterion)["h"] for made in (net, plain))
        np.testing.assert_allclose(with_gate, without, rtol=1e-12)


def test_a_masked_neuron_has_no_effect_left() -> None:
    net = EXAMPLES["cnn"]()
    x, t = samples(net)
    masked = mp.mask(net, mp.Plan({"conv1": [2]}))
    for criterion in ("taylor", "taylor_mean", "taylor_signed", "leave_one_out"):
        assert mp.score(masked, (x, t), criterion)["conv1"][2] == 0


# --- another engine --------------------------------------------------------------------------------------------------


def torch_scores(run: Any, params: dict[str, Any], x: Array, t: Array) -> dict[str, Array]:
    """taylor, taylor_signed and sensitivity of the values that `run` leaves in its list of places, by torch."""
    places, output = run(torch.from_numpy(x), params)
    losses = ((output - torch.from_numpy(t)) ** 2).sum(dim=1) / 2
    grads = torch.autograd.grad(losses.sum(), places)
    effect = sum((a * g).reshape(*a.shape[:2], -1).sum(dim=2) for a, g in zip(places, grads, strict=True))
    slope = sum(g.reshape(*g.shape[:2], -1).sum(dim=2) for g in grads)
    found = {
        "taylor": effect.abs().mean(dim=0),
        "taylor_signed": -effect.mean(dim=0),
        "sensitivity": slope.abs().mean(0),
    }
    return {name: values.detach().numpy() for name, values in found.items()}


def read_here(places: list[Any], value: Any) -> Any:
    """A place where a layer reads: a value of its own, so that its gradient is of this way only."""
    own = value.clone()
    places.append(own)
    return own


def torch_mlp(x: Any, p: dict[str, Any]) -> Any:
    places: list[Any] = []
    h = read_here(places, torch.relu(torch.nn.functional.linear(x, p["dense1.W"], p["dense1.b"])))
    h = torch.tanh(torch.nn.functional.linear(h, p["dense2.W"], p["dense2.b"]))
    return places, torch.nn.functional.linear(h, p["dense3.W"], p["dense3.b"])


def torch_norm(x: Any, p: dict[str, Any], name: str) -> Any:
    return torch.nn.functional.batch_norm(
        x, p[f"{name}.mean"], p[f"{name}.var"], p[f"{name}.gamma"], p[f"{name}.beta"], training=False, eps=1e-5
    )


def torch_cnn(x: Any, p: dict[str, Any]) -> Any:
    F, places = torch.nn.functional, []
    h = torch.relu(torch_norm(F.conv2d(x, p["conv1.W"], p["conv1.b"]), p, "batchnorm1"))
    h = read_here(places, F.max_pool2d(h, 2))
    h = torch.relu(F.conv2d(h, p["conv2.W"], p["conv2.b"])).flatten(1)
    return places, F.linear(h, p["dense1.W"], p["dense1.b"])


def torch_residual(x: Any, p: dict[str, Any]) -> Any:
    F, places = torch.nn.functional, []
    h = torch.relu(F.linear(x, p["dense1.W"], p["dense1.b"]))
    body = torch.relu(F.linear(read_here(places, h), p["dense2.W"], p["dense2.b"]))
    h = read_here(places, torch.relu(F.linear(body, p["dense3.W"], p["dense3.b"]) + h))
    return places, F.linear(h, p["dense4.W"], p["dense4.b"])


def torch_depthwise(x: Any, p: dict[str, Any]) -> Any:
    F, places = torch.nn.functional, []
    h = torch.relu(F.conv2d(x, p["conv1.W"], p["conv1.b"]))
    h = torch.relu(torch_norm(F.conv2d(h, p["conv2.W"], p["conv2.b"], groups=4), p, "batchnorm1"))
    h = torch.relu(F.conv2d(read_here(places, h), p["conv3.W"], p["conv3.b"])).flatten(1)
    return places, F.linear(h, p["dense1.W"], p["dense1.b"])


@pytest.mark.parametrize(
    ("name", "group", "run"),
    [
        ("mlp", "dense1", torch_mlp),
        ("cnn", "conv1", torch_cnn),
        ("residual", "dense1", torch_residual),
        ("depthwise", "conv1", torch_depthwise),
    ],
)
def test_gradient_scores_equal_those_of_torch(name: str, group: str, run: Any) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net, n=6)
    params = {key: torch.from_numpy(array.copy()) for key, array in net.arrays.items()}
    params["conv1.W" if "conv1.W" in params else "dense1.W"].requires_grad_()
    for criterion, expected in torch_scores(run, params, x, t).items():
        found = mp.score(net, (x, t), criterion, loss=HALF)[group]
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13, err_msg=criterion)


def torch_by_neuron(net: mp.Graph, group: str, x: Array, t: Array) -> tuple[Array, Array]:
    """Σ a ∂ℓ/∂a and Σ ∂ℓ/∂a of every sample and neuron (N, n): derivatives by a gate, and by a shift, by torch."""
    found, arrays = net.neurons[group], torch_arrays(net)
    effects, slopes = [], []
    for n in range(len(x)):
        m = torch.ones(found.size, dtype=torch.float64, requires_grad=True)
        d = torch.zeros(found.size, dtype=torch.float64, requires_grad=True)
        placed = at_reads(found, lambda v, j, m=m, d=d: v * along(m, j, v, 1.0) + along(d, j, v, 0.0))
        output = torch_run(net, torch.from_numpy(x[n : n + 1]), arrays, placed)
        by_gate, by_shift = torch.autograd.grad(torch_losses(output, t[n : n + 1], HALF).sum(), (m, d))
        effects.append(by_gate.numpy())
        slopes.append(by_shift.numpy())
    return np.stack(effects), np.stack(slopes)


@pytest.mark.parametrize("name", ["mlp", "cnn", "residual", "depthwise", "concat, flatten"])
def test_all_gradient_scores_of_all_groups_equal_those_of_torch(name: str) -> None:
    net = EXAMPLES[name]()
    x, t = samples(net, n=4)
    groups = hidden(net)
    by_torch = {group: torch_by_neuron(net, group, x, t) for group in groups}
    for criterion, rule in BY_HAND.items():
        scores = mp.score(net, (x, t), criterion, loss=HALF)
        for group, (effects, slopes) in by_torch.items():
            expected = [rule(effects[:, j].tolist(), slopes[:, j].tolist()) for j in range(effects.shape[1])]
            np.testing.assert_allclose(scores[group], expected, rtol=1e-7, atol=1e-11, err_msg=criterion)


# --- laws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCORED)
@pytest.mark.parametrize("criterion", [c for c in CRITERIA if c != "random"])
def test_the_batch_size_does_not_change_a_score(name: str, criterion: str) -> None:
    net = EXAMPLES[name]()
    if not scorable(net, criterion):
        return
    data = samples(net, n=5)
    whole = mp.score(net, data, criterion)
    for size in (1, 2, 5):
        parts = mp.score(net, data, criterion, batch_size=size)
        for group, values in whole.items():
            np.testing.assert_allclose(parts[group], values, rtol=1e-8, atol=1e-10)


def test_groups_are_scored_as_asked_for_and_once() -> None:
    net = EXAMPLES["mlp"]()
    data = samples(net)
    every = mp.score(net, data, "leave_one_out", groups=["dense2", "input", "dense1", "dense2"])
    assert list(every) == ["dense2", "input", "dense1"]
    assert list(mp.score(net, data, "leave_one_out")) == ["dense1", "dense2"]
    for group in ("dense1", "dense2"):
        np.testing.assert_array_equal(every[group], mp.score(net, data, "leave_one_out")[group])
    assert mp.score(net, data, groups=("input",))["input"].shape == (4,)


def test_scoring_leaves_the_network_as_it_was() -> None:
    net = EXAMPLES["nested"]()
    before = {name: array.tobytes() for name, array in net.arrays.items()}
    for criterion in CRITERIA:
        if scorable(net, criterion):
            mp.score(net, samples(net), criterion)
    assert {name: array.tobytes() for name, array in net.arrays.items()} == before


def test_scores_know_their_rule_and_the_structure_they_are_of() -> None:
    net = EXAMPLES["mlp"]()
    scores = mp.score(net, criterion="magnitude_l1")
    assert (scores.criterion, scores.fingerprint, len(scores)) == ("magnitude_l1", fingerprint(net), 2)
    assert repr(Scores("by hand", {"a": np.array([0.5, INF])})) == "<by hand: a (2): 0.5 … inf>"


def test_random_scores_follow_from_the_seed() -> None:
    net = EXAMPLES["mlp"]()
    first, same = (mp.score(net, criterion="random", rng=7) for _ in range(2))
    other = mp.score(net, criterion="random", rng=np.random.default_rng(8))
    for group in first:
        assert first[group].tobytes() == same[group].tobytes()
        assert not np.array_equal(first[group], other[group])
        assert ((first[group] >= 0) & (first[group] < 1)).all()
    assert not np.array_equal(first["dense1"][:4], first["dense2"])


def test_float32_networks_are_scored_in_float64_sums() -> None:
    net = EXAMPLES["cnn"]().astype(np.float32)
    scores = mp.score(net, samples(net), "taylor")
    assert scores["conv1"].dtype == np.float64
    np.testing.assert_allclose(scores["conv1"], mp.score(EXAMPLES["cnn"](), samples(net))["conv1"], rtol=1e-3)


# --- zeros and signs -------------------------------------------------------------------------------------------------


def opposed() -> tuple[mp.Graph, tuple[Array, Array]]:
    """Two samples that pull in opposite directions; the third neuron is read with weight 0, so its slope is ±0."""
    net = mp.Sequential(mp.Dense(1, 3), mp.Dense(3, 1), dtype=np.float64)
    net.params["dense1.W"], net.params["dense2.W"] = [[1], [2], [3]], [[1, -0.5, 0]]
    net.params["dense2.b"] = [0]
    return net, (np.array([[0.0], [0.0]]), np.array([[1.0], [-1.0]]))


def test_the_order_of_mean_and_modulus_is_as_stated() -> None:
    net, data = opposed()
    expected = {
        "sensitivity": [1, 0.5, 0],
        "sensitivity_signed": [0, 0, 0],
        "inverse_sensitivity": [1, 2, INF],
        "inverse_sensitivity_mean": [INF, INF, INF],
        "inverse_sensitivity_signed": [INF, INF, INF],
    }
    for criterion, values in expected.items():
        assert mp.score(net, data, criterion, loss=HALF)["dense1"].tolist() == values, criterion


def test_minus_zero_is_the_most_important_too_and_never_the_first_to_go() -> None:
    net, (x, t) = opposed()
    data = (x[:1], t[:1])  # y − t = −1: the third slope is −1 · 0 = −0
    signed = mp.score(net, data, "sensitivity_signed", loss=HALF)["dense1"]
    assert np.signbit(signed[2]) or signed[2] == 0
    assert mp.score(net, data, "inverse_sensitivity_signed", loss=HALF)["dense1"].tolist() == [-1, 2, INF]
    scores = mp.score(net, data, "inverse_sensitivity_signed", loss=HALF)
    assert mp.decide(scores, mp.Global(2)).drop == {"dense1": [0, 1]}


def test_minus_zero_itself_gives_plus_infinity() -> None:
    rule = CRITERIA["inverse_sensitivity_signed"]()
    assert isinstance(rule, GateCriterion)
    assert rule.finish(np.array([-0.0, 0.0, -2.0])).tolist() == [INF, INF, -0.5]


def test_a_dead_relu_generally_has_a_slope_but_no_effect() -> None:
    net = EXAMPLES["mlp"]()
    net.params["dense1.b"][1] = -1e3
    x, t = samples(net)
    assert mp.score(net, (x, t), "taylor")["dense1"][1] == 0
    assert mp.score(net, (x, t), "sensitivity")["dense1"][1] > 0
    assert mp.score(net, (x, t), "leave_one_out")["dense1"][1] == 0


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_table_lists_every_criterion() -> None:
    lines = mp.criteria().splitlines()
    assert [line.split()[0] for line in lines] == ["criterion", *CRITERIA]


@pytest.mark.parametrize("name", CRITERIA)
def test_every_criterion_states_name_formula_needs_and_source(name: str) -> None:
    from matplotlib.mathtext import MathTextParser

    rule = CRITERIA[name]
    assert rule.name == name
    assert MathTextParser("agg").parse(f"${rule.formula}$").width > 0
    assert rule.source
    assert set(rule.needs) <= {"data", "labels", "gradient", "curvature"}
    assert ("labels" in rule.needs) <= ("data" in rule.needs)
    assert ("curvature" in rule.needs) <= ("gradient" in rule.needs) <= ("data" in rule.needs)
    assert rule.__doc__
    assert "Source:" in rule.__doc__
    assert ">>> " in rule.__doc__, "a hand-sized example"
    assert "mp.score(" in rule.__doc__


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"criterion": "tailor"}, DataError, "unknown criterion 'tailor'; expected one of inverse_sensitivity, inver"),
        ({"criterion": "taylor", "order": 2}, DataError, "taylor: unknown option 'order'; expected none"),
        ({"criterion": CRITERIA["taylor"](), "order": 2}, DataError, r"taylor: options \(order\) go with a name, not"),
        ({"data": None}, DataError, "no data: expected"),
        ({"data": np.ones((2, 4))}, DataError, "labels are needed here"),
        ({"groups": ["dense9"]}, StructureError, "no group is called 'dense9'; there are input, dense1"),
        ({"groups": ["dense3"]}, PlanError, "dense3: output; its neurons are never removed, so they have no score"),
        ({"groups": []}, PlanError, "nothing to score: the network has no hidden neurons; name groups="),
        ({"batch_size": 0}, DataError, "batch_size is 0, expected a whole number of at least 1"),
        ({"batch_size": -3}, DataError, "batch_size is -3, expected a whole number of at least 1"),
        ({"batch_size": 1.5}, DataError, r"batch_size is 1\.5, expected a whole number of at least 1"),
        ({"loss": "hinge"}, DataError, "unknown loss 'hinge'"),
    ],
)
def test_what_cannot_be_scored_is_refused_by_name(arguments: dict[str, Any], error: Any, message: str) -> None:
    net = EXAMPLES["mlp"]()
    with pytest.raises(error, match=message):
        mp.score(net, **{"data": samples(net), **arguments})


def test_a_network_without_hidden_neurons_has_nothing_to_score_but_its_input() -> None:
    net = randomised(mp.Sequential(mp.Dense(3, 2), dtype=np.float64))
    with pytest.raises(PlanError, match="nothing to score"):
        mp.score(net, samples(net))
    assert mp.score(net, samples(net), groups=["input"])["input"].shape == (3,)


def test_a_score_that_is_no_number_is_refused_by_neuron() -> None:
    net = EXAMPLES["mlp"]()
    net.params["dense1.W"][3, 0] = np.nan
    with pytest.raises(DataError, match=r"magnitude_l1: the score of dense1\[3\] is not a number"):
        mp.score(net, criterion="magnitude_l1")


def test_gradients_of_rationals_are_refused() -> None:
    net = EXAMPLES["linear"]().astype(object)
    with pytest.raises(DtypeError, match="rationals and complex numbers go forward only, use float64"):
        mp.score(net, (np.ones((2, 3)), np.ones((2, 2))))


def test_a_criterion_of_ones_own_takes_part() -> None:
    class Index(Criterion):
        name = "index"

        def score(self, context: Context) -> dict[str, Any]:
            return {group.name: np.arange(float(group.size)) for group in context.groups}

    net = EXAMPLES["mlp"]()
    scores = mp.score(net, criterion=Index())
    assert (scores.criterion, scores["dense2"].tolist()) == ("index", [0, 1, 2, 3])


def test_a_criterion_that_states_nothing_says_so() -> None:
    class Empty(Criterion):
        name = "empty"

    class Gated(GateCriterion):
        name = "gated"

    net = EXAMPLES["mlp"]()
    with pytest.raises(TypeError, match=r"Empty states no score\(context\)"):
        mp.score(net, criterion=Empty())
    with pytest.raises(TypeError, match=r"Gated states no sample\(gradients\)"):
        mp.score(net, samples(net), Gated())


def test_a_bar_changes_no_score() -> None:
    net = EXAMPLES["mlp"]()
    for criterion in ("leave_one_out", "taylor"):
        quiet, shown = (mp.score(net, samples(net), criterion, progress=show) for show in (False, True))
        assert shown["dense1"].tobytes() == quiet["dense1"].tobytes()


def test_weights_are_scored_by_parameter_in_its_shape() -> None:
    net = mp.Sequential(mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 2))
    found = mp.score(net, criterion="magnitude_l1", by="weight")
    assert found.by == "weight"
    assert list(found) == ["dense1.W", "dense2.W"]
    for name, values in found.items():
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, np.abs(net.params[name]))
    assert list(mp.score(net, criterion="random", by="weight", groups=["dense2.W"])) == ["dense2.W"]
    assert [c.name for c in CRITERIA.values() if c.scores_weights()].count("magnitude_l1") == 1


def test_what_cannot_be_scored_by_weight_is_refused() -> None:
    net = mp.Sequential(mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 2))
    with pytest.raises(DataError, match="by is 'layer', expected 'neuron' or 'weight'"):
        mp.score(net, criterion="magnitude_l2", by="layer")
    with pytest.raises(DataError, match="apoz scores neurons only; for weights take another criterion"):
        mp.score(net, samples(net), criterion="apoz", by="weight")
    with pytest.raises(StructureError, match=r"no weights are called 'dense1\.b'; there are dense1\.W, dense2\.W"):
        mp.score(net, criterion="magnitude_l1", by="weight", groups=["dense1.b"])
    with pytest.raises(PlanError, match=r"expected a list of parameter names: \['dense1.W'\]"):
        mp.score(net, criterion="magnitude_l1", by="weight", groups="dense1.W")


def test_the_place_of_a_weight_without_a_score_is_named() -> None:
    with pytest.raises(DataError, match=r"the score of dense1.W\[0, 1\] is not a number"):
        Scores("by hand", {"dense1.W": np.array([[1.0, np.nan]])}, by="weight")
