"""Law: the removed network computes what the masked one computes; removal composes, and removing nothing is nothing."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st
from networks import EXAMPLES, inputs, networks, plans, whole

import minprune as mp
from minprune.errors import MinpruneError, PlanError
from minprune.neurons import NeuronGroup, fingerprint, hidden
from minprune.nn import Graph
from minprune.ops import exact
from minprune.pruning import surgery
from minprune.reports import macs
from minprune.scores import Scores

QUICK = settings(max_examples=70, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
SLOW_NUMBERS = settings(QUICK, max_examples=40)  # rationals take their time
LONG = settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def whole_inputs(net: Graph, seed: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {name: rng.integers(-3, 4, (3, *shape)) for name, shape in (net.input_shapes or {}).items()}


def assert_masked_is_removed(net: Graph, plan: mp.Plan, x: Any) -> None:
    """Exactly in rationals, within the certificate's own bound in float64."""
    masked, small = mp.mask(net, plan), mp.remove(net, plan)
    certificate = small.certificate
    assert certificate is not None
    assert certificate.ok, str(certificate)
    assert certificate.bound == 0 or net.dtype != object
    difference = np.abs(masked(x) - small(x)).max()
    assert difference == 0 if net.dtype == object else difference <= max(certificate.bound, 1e-12)
    rows = {name: len(array) for name, array in net.params.items()}
    for name, neurons in plan.drop.items():
        for piece in net.neurons[name].produced:
            rows[piece.array] -= int(np.isin(piece.owner, neurons).sum())
    for name, left in rows.items():
        if name.endswith(".W"):
            assert len(small.params[name]) == left, name


def everything_but_one(net: Graph, seed: int) -> mp.Plan:
    """The largest plan, and always another neuron that stays."""
    rng = np.random.default_rng(seed)
    groups = [group for group in net.neurons.values() if not group.stays and group.size > 1]
    return mp.Plan({g.name: sorted(set(range(g.size)) - one_of_every_array(g, rng)) for g in groups})


def one_of_every_array(group: NeuronGroup, rng: np.random.Generator) -> set[int]:
    """Neurons to keep so that no layer is emptied: where several make a group, one of each."""
    keep: set[int] = set()
    for piece in group.slices:
        owners = set(piece.owner.tolist()) - {-1}
        if not owners & keep:
            keep.add(int(rng.choice(sorted(owners))))
    return keep


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_wiring_computes_masked_what_it_computes_removed(name: str, seed: int) -> None:
    net = EXAMPLES[name]()
    rng = np.random.default_rng(seed)
    for group in net.neurons.values():
        if not group.stays and group.size > 1:
            assert_masked_is_removed(net, mp.Plan({group.name: [int(rng.integers(group.size))]}), inputs(net))
    assert_masked_is_removed(net, everything_but_one(net, seed), inputs(net))


TRANSCENDENTAL = ("batchnorm", "sigmoid", "tanh", "softmax", "logsoftmax", "elu", "gelu", "erf", "softplus", "power")
EXACT = [n for n in EXAMPLES if not any(node.layer.kind in TRANSCENDENTAL for node in EXAMPLES[n]().nodes.values())]


@pytest.mark.parametrize("name", EXACT)
def test_every_exact_wiring_is_removed_without_any_difference_in_rationals(name: str) -> None:
    net = whole(EXAMPLES[name]())
    assert net.dtype == object
    assert_masked_is_removed(net, everything_but_one(net, 0), whole_inputs(net))


def draw_both(data: st.DataObject, exact: bool) -> tuple[Graph, mp.Plan]:
    net = data.draw(networks(exact))
    plan = data.draw(plans(net))
    note(f"{net.summary()}\n{plan.explain()}")
    return net, plan


@QUICK
@given(st.data())
def test_masked_is_removed_in_float64(data: st.DataObject) -> None:
    net, plan = draw_both(data, exact=False)
    assert_masked_is_removed(net, plan, inputs(net))


@SLOW_NUMBERS
@given(st.data())
def test_masked_is_removed_exactly_in_rationals(data: st.DataObject) -> None:
    net, plan = draw_both(data, exact=True)
    assert_masked_is_removed(net, plan, whole_inputs(net))


def sizes(net: Graph) -> dict[str, int]:
    return {
        "neurons": sum(net.neurons[group].size for group in hidden(net)),
        "params": sum(array.size for array in net.params.values()),
        "macs": sum(macs(net, net.input_shapes or {}).values()),
        "bytes": sum(array.nbytes for array in net.arrays.values()),
    }


def removals_one_by_one(net: Graph, scores: Scores) -> list[list[tuple[str, int]]]:
    """What has gone after 0, 1, 2 … removals, the lowest that can go first; whether it can, the surgery says."""
    row = sorted(
        (v, place, j) for place, values in enumerate(scores.values()) for j, v in enumerate(values) if v < np.inf
    )
    gone: list[list[tuple[str, int]]] = [[]]
    for _, place, j in row:
        further = [*gone[-1], ([*scores][place], j)]
        try:
            as_plan(further).check(net)
        except MinpruneError:
            continue
        gone.append(further)
    return gone


def as_plan(neurons: list[tuple[str, int]]) -> mp.Plan:
    return mp.Plan({group: [j for other, j in neurons if other == group] for group, _ in neurons})


def assert_a_budget_is_the_first_that_fits(data: st.DataObject) -> None:
    """Against removals made one by one and measured; and masked is removed, by every strategy of that size."""
    net = data.draw(networks())
    groups = hidden(net)
    assume(groups)
    some = st.sampled_from([0.0, 1.0, 2.0, 3.0, np.inf])  # with ties
    values = {g: data.draw(st.lists(some, min_size=(n := net.neurons[g].size), max_size=n)) for g in groups}
    scores = Scores("drawn", {g: np.array(drawn) for g, drawn in values.items()}, fingerprint(net), net=net)
    kind, fraction = data.draw(st.sampled_from(["neurons", "params", "macs", "bytes"])), data.draw(st.floats(0.2, 1))
    note(f"{net.summary()}\n{values}\n{kind} {fraction}")
    limit = fraction * sizes(net)[kind]
    gone = removals_one_by_one(net, scores)
    # The neurons that a removal leaves can be called otherwise; those of the scored groups are counted off.
    left = [
        sizes(mp.remove(net, as_plan(part)))[kind] if kind != "neurons" else sizes(net)[kind] - len(part)
        for part in gone
    ]
    fitting = [part for part, size in zip(gone, left, strict=True) if size <= limit * (1 + 1e-12)]
    budget = mp.Budget(**{kind: fraction})
    if not fitting:
        with pytest.raises(PlanError, match="may stay, but"):
            mp.decide(scores, budget)
        return
    plan = mp.decide(scores, budget)
    assert plan.drop == as_plan(fitting[0]).drop
    for strategy in (budget, mp.Global(len(plan)), mp.PerLayer({g: len(neurons) for g, neurons in plan.drop.items()})):
        assert_masked_is_removed(net, mp.decide(scores, strategy), inputs(net))
    try:
        plan = mp.decide(scores, mp.Threshold(absolute=data.draw(st.sampled_from([0.5, 1.5, 2.5]))))
        plan.check(net)
    except PlanError:  # a threshold can ask for all of a group
        return
    assert_masked_is_removed(net, plan, inputs(net))


@settings(QUICK, max_examples=25)
@given(st.data())
def test_masked_is_removed_for_every_strategy_and_a_budget_takes_the_first_removals_that_fit(
    data: st.DataObject,
) -> None:
    assert_a_budget_is_the_first_that_fits(data)


@pytest.mark.slow
@LONG
@given(st.data())
def test_a_budget_takes_the_first_removals_that_fit_at_length(data: st.DataObject) -> None:
    assert_a_budget_is_the_first_that_fits(data)


@pytest.mark.slow
@LONG
@given(st.data())
def test_masked_is_removed_in_float64_at_length(data: st.DataObject) -> None:
    net, plan = draw_both(data, exact=False)
    assert_masked_is_removed(net, plan, inputs(net))


@pytest.mark.slow
@LONG
@given(st.data())
def test_masked_is_removed_exactly_in_rationals_at_length(data: st.DataObject) -> None:
    net, plan = draw_both(data, exact=True)
    assert_masked_is_removed(net, plan, whole_inputs(net))


def test_masked_is_removed_at_the_precision_of_float32() -> None:
    net = EXAMPLES["nested"]().astype(np.float32)
    plan = everything_but_one(net, 0)
    masked, small = mp.mask(net, plan), mp.remove(net, plan)
    assert small.dtype == np.float32
    np.testing.assert_allclose(masked(inputs(net)), small(inputs(net)), rtol=1e-4, atol=1e-4)
    assert small.certificate.ok
    assert small.certificate.max_difference < 1e-10  # the comparison is made in float64


@QUICK
@given(networks())
def test_removing_nothing_changes_nothing_bit_for_bit(net: Graph) -> None:
    x = inputs(net)
    for same in (mp.remove(net, mp.Plan({})), mp.mask(net, mp.Plan({}))):
        assert same(x).tobytes() == net(x).tobytes()
    same = mp.remove(net, mp.Plan({}))
    assert list(same.nodes) == list(net.nodes)
    assert all(same.arrays[name].tobytes() == array.tobytes() for name, array in net.arrays.items())
    assert not any(np.shares_memory(same.arrays[name], array) for name, array in net.arrays.items())


def later_indices(first: list[int], second: list[int]) -> list[int]:
    """What neurons are called once `first` have left."""
    return [j - sum(i < j for i in first) for j in second]


def same_groups(net: Graph, plan: mp.Plan) -> bool:
    """Whether no convolution becomes depthwise, or stops being, by the removal: then groups merge or split."""
    small = mp.remove(net, plan)
    return [*small.neurons] == [*net.neurons] and all(
        small.neurons[g].size == net.neurons[g].size - len(plan.drop.get(g, [])) for g in net.neurons
    )


@QUICK
@given(st.data())
def test_removing_in_two_steps_is_removing_the_union(data: st.DataObject) -> None:
    net = data.draw(networks())
    union = data.draw(plans(net))
    first = mp.Plan({g: [j for j in neurons if data.draw(st.booleans())] for g, neurons in union.drop.items()})
    if not same_groups(net, first):
        return
    rest = {g: [j for j in neurons if j not in first.drop.get(g, [])] for g, neurons in union.drop.items()}
    second = mp.Plan({g: later_indices(first.drop.get(g, []), neurons) for g, neurons in rest.items()})
    note(f"{net.summary()}\n{first.explain()}\n{second.explain()}")
    twice, once = mp.remove(mp.remove(net, first), second), mp.remove(net, union)
    assert list(twice.arrays) == list(once.arrays)
    for name, array in once.arrays.items():
        np.testing.assert_array_equal(twice.arrays[name], array, err_msg=name)
    assert twice.nodes == once.nodes
    masked_twice = mp.mask(mp.mask(net, first), mp.Plan(rest))
    assert masked_twice(inputs(net)).tobytes() == mp.mask(net, union)(inputs(net)).tobytes()
    removed_after_mask = mp.remove(mp.mask(net, union), union)
    np.testing.assert_allclose(removed_after_mask(inputs(net)), once(inputs(net)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", ["linear", "residual", "grouped input", "concat with itself"])
def test_the_certificate_catches_a_surgery_that_takes_another_neuron(
    name: str, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = surgery._cut
    monkeypatch.setattr(surgery, "_cut", lambda net, plan: cut(net, mp.Plan({g: [1] for g in plan.drop})))
    net = EXAMPLES[name]()
    net = whole(net, 5) if exact else net
    group = next(g for g, found in net.neurons.items() if not found.stays)
    with pytest.raises(MinpruneError, match=r"remove failed its check \(masked and removed DIFFER"):
        mp.remove(net, mp.Plan({group: [0]}))


def test_a_silent_relu_stays_rational_through_a_mean() -> None:
    """Its zeros were whole numbers once, and whole numbers divided by the count of places are floats."""
    net = mp.Sequential(mp.Conv2d(1, 1, 1), mp.ReLU(), mp.GlobalAvgPool2d(), mp.Dense(1, 1), input_shape=(1, 3, 3))
    net.params["conv1.W"], net.params["conv1.b"] = [[[[0]]]], [-1]
    values = net.astype(Fraction).run({"input": exact(np.ones((1, 1, 3, 3)))}, net.astype(Fraction).arrays)
    assert {type(entry) for value in values.values() for entry in value.ravel()} == {Fraction}


def test_rationals_stay_rationals_through_mask_and_removal() -> None:
    net = whole(EXAMPLES["mlp without bias"]())
    plan = mp.Plan({"dense1": [0, 3]})
    for smaller in (mp.mask(net, plan), mp.remove(net, plan)):
        assert {type(v) for v in smaller(whole_inputs(net)).ravel()} == {Fraction}
