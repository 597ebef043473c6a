"""Explain: every number comes from the score, the recording or the weights, and is computed here once more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, SINGLE_INPUT, samples, scorable

import minprune as mp
from minprune.cli import main
from minprune.errors import DataError, MinpruneError, PlanError, StructureError
from minprune.explaining.explanation import Explanation
from minprune.explaining.portrait import Connection, image_of
from minprune.layers import Select
from minprune.neurons import hidden
from minprune.plots import explain_figure
from minprune.scores import CRITERIA, Terms
from minprune.scores.taylor import Taylor
from minprune.worked import LOSS, TARGET, X, network

GOLDEN = json.loads((Path(__file__).parent / "golden" / "worked_example.json").read_text())


def worked(j: int, criterion: str = "taylor", **settings: Any) -> Explanation:
    return mp.explain(network(), "dense1", j, (X, TARGET), criterion, loss=LOSS, progress=False, **settings)


def told(net: mp.Graph, group: str, j: int, data: Any, criterion: Any = "taylor", **settings: Any) -> Explanation:
    return mp.explain(net, group, j, data, criterion, progress=False, **settings)


# --- the worked example, against the golden numbers ------------------------------------------------------------------


@pytest.mark.parametrize("j", range(5))
def test_every_number_of_the_worked_example_is_the_golden_one(j: int) -> None:
    found = worked(j)
    near = {"rel": 1e-12, "abs": 1e-14}
    assert found.score == pytest.approx(GOLDEN["scores"]["taylor"][j], **near)
    assert found.cost == pytest.approx(GOLDEN["ablation_single"][j], **near)
    slope, h = GOLDEN["sensitivity"]["dL_dh"][j], GOLDEN["forward"]["h"][j]
    assert found.terms is not None
    assert found.terms.columns["s"] == pytest.approx([slope], **near)
    assert found.terms.columns["a·s"] == pytest.approx([slope * h], **near)
    assert found.portrait.strongest == ((0, pytest.approx(h, **near)),)
    order = sorted(range(5), key=lambda i: GOLDEN["scores"]["taylor"][i])
    assert found.rank == found.rank_overall == (order.index(j) + 1, 5)
    W1, W2 = GOLDEN["given"]["W1"], GOLDEN["given"]["W2"]
    reads = sorted((f"input[{i}]", w) for i, w in enumerate(W1[j]))
    assert sorted((c.neuron, c.weight) for c in found.portrait.incoming) == reads
    norm, strongest = found.portrait.readers["dense2"]
    assert norm == pytest.approx((W2[0][j] ** 2 + W2[1][j] ** 2) ** 0.5, **near)
    assert {c.neuron: c.weight for c in strongest} == {"dense2[0]": W2[0][j], "dense2[1]": W2[1][j]}


@pytest.mark.parametrize("criterion", ["inverse_sensitivity", "sensitivity", "taylor_signed"])
def test_other_rules_of_the_worked_example_are_taken_apart_too(criterion: str) -> None:
    for j in range(5):
        found = worked(j, criterion)
        assert found.score == pytest.approx(GOLDEN["scores"][criterion][j], rel=1e-12)
        assert found.level == "sample"
        assert found.terms is not None
        assert found.terms.score == found.score


def test_the_printed_rules_choice_is_explained_and_told() -> None:
    plan = mp.Global(2)
    goes, stays = worked(0, "inverse_sensitivity", plan=plan), worked(1, "inverse_sensitivity", plan=plan)
    assert goes.boundary is not None
    assert goes.boundary.goes
    assert goes.boundary.highest_dropped == pytest.approx(GOLDEN["scores"]["inverse_sensitivity"][0])
    assert goes.boundary.lowest_kept == pytest.approx(GOLDEN["scores"]["inverse_sensitivity"][4])
    assert stays.boundary is not None
    assert not stays.boundary.goes
    text = str(goes)
    assert text.startswith("dense1[0], one of 5, made by dense1\nscore 11.7867 by inverse_sensitivity: I_j = 1")
    assert "  (0.08484) / 1 = 0.0848412 → 11.7867\n" in text
    assert "without it the loss changes by +0.0818375 (leave one out)" in text
    assert "goes: its score 11.7867 is not above any that stays; of dense1 2 of 5 go" in text
    assert "\nstays: its score 25.9955 is not below any that goes; " in str(stays)


# --- terms -----------------------------------------------------------------------------------------------------------

LEVELS = {
    "sample": ("taylor", "taylor_mean", "taylor2", "curvature", "fisher", "apoz", "activation_rms", "leave_one_out"),
    "weight": ("magnitude_l1", "magnitude_l2", "magnitude_l1_outgoing", "magnitude_l2_outgoing"),
    "length": ("magnitude_product",),
    "scale": ("bn_scale",),
    "neuron": ("fpgm",),
    "value read": ("activation_outgoing",),
    "score": ("random",),
}


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("name", ["cnn", "residual, projected", "depthwise with multiplier 2", "read in two places"])
def test_the_terms_of_every_criterion_give_its_score(name: str, criterion: str) -> None:
    net = EXAMPLES[name]()
    if not scorable(net, criterion):
        return
    data = samples(net, 7)
    scores = mp.score(net, data, criterion, loss="mse", progress=False)
    for group in hidden(net):
        j = net.neurons[group].size - 1
        found = told(net, group, j, data, criterion, loss="mse", batch_size=3)
        assert found.score == pytest.approx(scores[group][j], rel=1e-9)
        if found.terms is not None and np.isfinite(found.score):
            assert found.terms.score == pytest.approx(found.score, rel=1e-9, abs=1e-12)
            assert all(len(column) == len(found.terms.values) for column in found.terms.columns.values())


@pytest.mark.parametrize(("level", "criterion"), [(level, name) for level, names in LEVELS.items() for name in names])
def test_the_level_says_how_far_a_score_is_taken_apart(level: str, criterion: str) -> None:
    net = EXAMPLES["cnn"]()
    group = "conv1"
    found = told(net, group, 1, samples(net, 7), criterion, loss="mse", groups=[group])
    assert found.level == level
    assert f"level: {level}" in str(found)
    assert found.as_dict()["level"] == level


def test_terms_by_sample_are_those_of_each_sample_scored_alone() -> None:
    net = EXAMPLES["cnn"]()
    x, t = samples(net, 6)
    for criterion in ("taylor", "taylor_signed", "sensitivity", "curvature", "taylor2", "leave_one_out", "apoz"):
        found = told(net, "conv1", 2, (x, t), criterion, loss="mse", batch_size=4)
        alone = [mp.score(net, (x[[n]], t[[n]]), criterion, loss="mse", progress=False)["conv1"][2] for n in range(6)]
        assert found.terms is not None
        np.testing.assert_allclose(found.terms.values, alone, rtol=1e-10, atol=1e-13, err_msg=criterion)


def test_the_gates_columns_are_the_recordings() -> None:
    net = EXAMPLES["residual"]()
    x, t = samples(net, 6)
    found = told(net, "dense2", 3, (x, t), loss="mse")
    neuron = mp.record(net, x, t, loss="mse")["dense2"][3]
    assert found.terms is not None
    np.testing.assert_allclose(found.terms.columns["s"], neuron.grad_a, rtol=1e-12)
    np.testing.assert_allclose(found.terms.columns["a·s"], neuron.grad_a * neuron.a, rtol=1e-12)


def test_terms_by_weight_bear_the_weights_names() -> None:
    net = EXAMPLES["cnn"]()
    for criterion in ("magnitude_l1", "magnitude_l2_outgoing"):
        terms = told(net, "conv1", 1, samples(net), criterion, loss="mse").terms
        assert terms is not None
        for i in range(len(terms.values)):
            array, _, index = terms.label(i).partition("[")
            weight = net.params[array][tuple(int(k) for k in index[:-1].split(", "))]
            assert terms.columns["w"][i] == weight
            assert terms.values[i] == abs(weight) ** (1 if criterion == "magnitude_l1" else 2)
    assert terms.label(0) == "conv2.W[0, 1, 0, 0]"


def test_the_reduction_is_told_with_the_numbers_plugged_in() -> None:
    net = EXAMPLES["linear"]()
    net.params["dense1.W"][0] = [3.0, -4.0, 0.0]
    data = samples(net)
    text = str(told(net, "dense1", 0, data, "magnitude_l2", loss="mse"))
    assert "  √(16 + 9 + … 1 more) = 5\n" in text
    assert "  4 + 3 + … 1 more = 7\n" in str(told(net, "dense1", 0, data, "magnitude_l1", loss="mse"))
    net.params["dense2.W"][:, 0] = [0.0, 2.0]
    assert "  5 · 2 = 10\n" in str(told(net, "dense1", 0, data, "magnitude_product", loss="mse"))


def test_a_neuron_without_effect_has_terms_of_zero_and_stays_for_ever_by_the_documents_rule() -> None:
    net = EXAMPLES["linear"]()
    net.params["dense2.W"][:, 1] = 0
    found = told(net, "dense1", 1, samples(net), "inverse_sensitivity", plan=mp.PerLayer(3), loss="mse")
    assert found.score == np.inf
    assert found.strongest_terms() == []
    assert "  (… 5 more) / 5 = 0 → inf\n" in str(found)
    assert "stays: a score of +∞ is never dropped; of dense1 3 of 5 go" in str(found)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["score"] == "inf"


def test_terms_that_do_not_give_the_score_are_refused() -> None:
    class Wrong(Taylor):
        name = "wrong"

        def terms(self, context: Any, j: int) -> Terms:
            return Terms("sample", np.ones(3), "mean", 1.0)

    net = EXAMPLES["linear"]()
    with pytest.raises(MinpruneError, match=r"wrong: the terms of dense1\[0\] give 1, its score is "):
        told(net, "dense1", 0, samples(net), Wrong(), loss="mse")


# --- samples, weights, readers, twins --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SINGLE_INPUT)
def test_the_strongest_samples_are_those_of_the_largest_activation_on_every_wiring(name: str) -> None:
    net = EXAMPLES[name]()
    if not hidden(net):
        return
    group = net.neurons[hidden(net)[-1]]
    x, t = samples(net, 9)
    j = int(max(group.reads[0].owner))
    found = told(net, group.name, j, (x, t), loss="mse", batch_size=4, top=3)
    values = net.run(net.take(x), net.arrays)
    largest = [max(values[r.value][n][r.owner == j].max(initial=-9e9) for r in group.reads) for n in range(9)]
    order = sorted(range(9), key=lambda n: -largest[n])[:3]
    assert [n for n, _ in found.portrait.strongest] == order
    np.testing.assert_allclose([a for _, a in found.portrait.strongest], [largest[n] for n in order], rtol=1e-12)
    assert found.portrait.shown is not None
    np.testing.assert_array_equal(found.portrait.shown, x[order])
    assert found.as_dict()["samples"][0]["label"] == t[order[0]].tolist()
    assert str(found)


def test_of_a_neuron_that_nobody_reads_that_is_said() -> None:
    net = EXAMPLES["selects"]()  # of dense1 3 is not selected, 0 is not selected again
    for j in (0, 3):
        found = told(net, "dense1", j, samples(net), loss="mse")
        assert found.portrait.strongest == ()
        assert (found.score, found.cost) == (0, 0)
        assert "nobody reads what it puts out" in str(found)
        for criterion in ("magnitude_l1_outgoing", "magnitude_product", "activation_outgoing", "apoz"):
            assert told(net, "dense1", j, samples(net), criterion, loss="mse").score == 0
    explain_figure(found)


def test_a_filter_a_first_layer_and_a_row_of_pixels_are_images_and_a_hidden_row_is_not() -> None:
    net = EXAMPLES["cnn"]()
    data = samples(net)
    image = told(net, "conv1", 2, data, loss="mse").portrait.image
    np.testing.assert_array_equal(image, net.params["conv1.W"][2])
    pixels = mp.Sequential(mp.Dropout(0.1), mp.Dense(16, 3), mp.ReLU(), mp.Dense(3, 2))
    x = np.random.default_rng(0).random((4, 16))
    image = told(pixels, "dense1", 1, (x, np.array([0, 1, 1, 0]))).portrait.image
    np.testing.assert_array_equal(image, pixels.params["dense1.W"][1].reshape(1, 4, 4))
    flat = mp.Sequential(mp.Flatten(), mp.Dense(18, 3), mp.ReLU(), mp.Dense(3, 2), input_shape=(2, 3, 3))
    image = told(flat, "dense1", 1, (np.ones((4, 2, 3, 3)), np.array([0, 1, 1, 0]))).portrait.image
    np.testing.assert_array_equal(image, flat.params["dense1.W"][1].reshape(2, 3, 3))
    mlp = EXAMPLES["mlp"]()
    assert told(mlp, "dense2", 0, samples(mlp), loss="mse").portrait.image is None
    sequence = EXAMPLES["conv1d"]()
    image = told(sequence, "conv1", 0, samples(sequence), loss="mse").portrait.image
    np.testing.assert_array_equal(image, sequence.params["conv1.W"][0][:, None, :])
    assert image_of(np.ones(9), (9,)) is None  # too small to be an image


@pytest.mark.parametrize("flat", [False, True])
def test_pixels_that_were_removed_are_blank_in_the_weight_image(flat: bool) -> None:
    if flat:
        net = mp.Sequential(mp.Dense(16, 3), mp.ReLU(), mp.Dense(3, 2))
        x, dropped = np.random.default_rng(0).random((4, 16)), [0, 5]
    else:
        net = mp.Sequential(mp.Flatten(), mp.Dense(32, 3), mp.ReLU(), mp.Dense(3, 2), input_shape=(2, 4, 4))
        x, dropped = np.random.default_rng(0).random((4, 2, 4, 4)), [0]
    small = mp.remove(net, mp.Plan({"input": dropped}))
    assert any(isinstance(node.layer, Select) for node in small.nodes.values())
    image = told(small, "dense1", 1, (x, np.array([0, 1, 1, 0]))).portrait.image
    assert image is not None
    gone = np.isnan(image.reshape(len(image), -1) if not flat else image.reshape(-1))
    assert np.flatnonzero(gone if flat else gone.all(axis=1)).tolist() == dropped
    np.testing.assert_array_equal(image[~np.isnan(image)], small.params["dense1.W"][1])
    explain_figure(told(small, "dense1", 1, (x, np.array([0, 1, 1, 0]))))


def test_readers_are_told_with_the_length_of_their_weights_through_a_flatten() -> None:
    net = EXAMPLES["concat, flatten"]()
    found = told(net, "conv1", 1, samples(net), loss="mse").portrait
    block = net.params["dense1.W"][:, 9:18]
    norm, strongest = found.readers["dense1"]
    assert norm == pytest.approx(np.sqrt((block**2).sum()))
    assert {c.neuron for c in strongest} == {"dense1[0]", "dense1[1]"}
    assert strongest[0].weight == block.flat[np.abs(block).argmax()]
    two = EXAMPLES["read in two places"]()
    assert list(told(two, "h", 0, samples(two), loss="mse").portrait.readers) == ["p", "q"]


def test_of_a_kernel_it_is_said_which_entry_the_strongest_weight_is() -> None:
    net = EXAMPLES["cnn"]()
    first, second = net.params["conv1.W"], net.params["conv2.W"]
    first[1], second[:, 1] = 0.01, 0.01
    first[1, 0, 2, 1], second[2, 1, 0, 1] = -9.0, 7.0
    found = told(net, "conv1", 1, samples(net), loss="mse")
    assert found.portrait.incoming[0] == Connection("input[0]", -9.0, (2, 1))
    assert found.portrait.readers["conv2"][1][0] == Connection("conv2[2]", 7.0, (0, 1))
    assert "\nreads     input[0] at (2, 1) -9" in str(found)
    assert "conv2[2] at (0, 1) +7" in str(found)
    assert "input[0] at (2, 1)" not in str(told(net, "conv1", 0, samples(net), loss="mse"))
    flat = EXAMPLES["concat, flatten"]()
    flat.params["dense1.W"][1, 9 + 4] = 8.0
    assert told(flat, "conv1", 1, samples(flat), loss="mse").portrait.readers["dense1"][1][0].name == "dense1[1] at 4"
    plain = worked(0).portrait
    assert {c.entry for c in (*plain.incoming, *plain.readers["dense2"][1])} == {()}


def test_of_a_channel_it_is_said_that_the_largest_of_its_places_counts() -> None:
    net = EXAMPLES["cnn"]()
    found = told(net, "conv1", 1, samples(net), loss="mse")
    values = net.run(net.take(samples(net)[0]), net.arrays)
    (read,) = net.neurons["conv1"].reads
    assert found.portrait.places == values[read.value][0, 1].size > 1
    assert f"\nstrongest samples, by the largest of {found.portrait.places} numbers read of it (their av" in str(found)
    assert "\nputs out at most " in explain_figure(found).axes[2].get_title(loc="left")
    assert "largest of" not in str(worked(0))
    assert "\nstrongest samples (put out on average 0.75" in str(worked(0))


def test_it_is_said_what_sample_numbers_count() -> None:
    net = mp.Sequential(mp.Dense(64, 8), mp.ReLU(), mp.Dense(8, 10), rng=0)
    digits = mp.data.digits()
    assert "\n  sample numbers below count the training part, from 0\n" in str(told(net, "dense1", 0, digits))
    found = told(net, "dense1", 0, digits.train)
    assert "\n  sample numbers below count the data, from 0\n" in str(found)
    assert explain_figure(found).get_suptitle().endswith("; samples of the data")


def test_classes_are_called_by_their_names_where_they_have_some() -> None:
    net = mp.Sequential(mp.Dense(2, 4), mp.ReLU(), mp.Dense(4, 2), rng=0)
    x = np.random.default_rng(0).normal(size=(9, 2))
    named = mp.data.Samples(x, np.arange(9) % 2, ("left", "right"))
    for data in (named, mp.data.Dataset(named, named, named)):
        found = told(net, "dense1", 0, data)
        assert [found.label_of(n) for n in range(3)] == ["left", "right", "left"]
        assert {sample["label"] for sample in found.as_dict()["samples"]} <= {"left", "right"}
        n = found.portrait.strongest[0][0]
        assert f", class {found.label_of(n)}\n" in explain_figure(found).axes[1].get_title(loc="left")
        assert "  label " in str(found)
        assert "left" in str(found)


def test_what_ties_and_carries_a_neuron_is_told() -> None:
    net = EXAMPLES["residual, projected"]()
    found = told(net, "conv2", 0, samples(net), loss="mse")
    assert found.portrait.made_by == ("conv2", "conv3")
    assert str(found).startswith("conv2[0], one of 4, made by conv2, conv3; goes along in batchnorm1\n")
    deep = EXAMPLES["depthwise"]()
    assert told(deep, "conv1", 0, samples(deep), loss="mse").portrait.made_by == ("conv1", "conv2")


def test_behind_a_flatten_a_weights_other_end_is_a_channel_at_a_place() -> None:
    small = mp.Sequential(
        mp.Conv2d(1, 3, 2), mp.Flatten(), mp.Dense(12, 2), mp.ReLU(), mp.Dense(2, 2), input_shape=(1, 3, 3)
    )
    small.params["dense1.W"][0, 6] = 50.0
    found = told(small, "dense1", 0, (np.ones((3, 1, 3, 3)), np.array([0, 1, 1])))
    assert (found.portrait.incoming[0].neuron, found.portrait.incoming[0].weight) == ("conv1[1] at 2", 50.0)


def test_the_twin_is_the_neuron_whose_outputs_correlate_most() -> None:
    net = EXAMPLES["mlp"]()
    x, t = samples(net, 40)
    net.params["dense1.W"][3], net.params["dense1.b"][3] = 2 * net.params["dense1.W"][1], 2 * net.params["dense1.b"][1]
    found = told(net, "dense1", 1, (x, t), loss="mse", batch_size=7)
    assert found.portrait.twin == (3, pytest.approx(1))
    a = net.run(net.take(x), net.arrays)["relu1"]
    assert (found.portrait.mean, found.portrait.std) == (pytest.approx(a[:, 1].mean()), pytest.approx(a[:, 1].std()))
    other = told(net, "dense1", 0, (x, t), loss="mse").portrait.twin
    table = np.corrcoef(a.T)
    best = max((i for i in range(5) if i != 0), key=lambda i: abs(np.nan_to_num(table[0, i])))
    assert other == (best, pytest.approx(table[0, best]))


def test_a_feature_is_explained_where_it_is_asked_for() -> None:
    net = EXAMPLES["mlp"]()
    x, t = samples(net, 8)
    found = told(net, "input", 2, (x, t), loss="mse")
    assert (found.portrait.made_by, found.portrait.image, found.portrait.incoming) == ((), None, ())
    assert str(found).startswith("input[2], one of 4, an input feature\n")
    assert found.portrait.strongest[0] == (int(x[:, 2].argmax()), x[:, 2].max())
    explain_figure(found)


def test_two_inputs_show_the_samples_of_the_one_that_the_neuron_reads() -> None:
    net = EXAMPLES["image and vector"]()
    rng = np.random.default_rng(0)
    x = {"image": rng.standard_normal((6, 1, 5, 5)), "vector": rng.standard_normal((6, 3))}
    for group, value, shape in (("c", "image", (1, 5, 5)), ("h", "vector", (3,))):
        found = told(net, group, 0, (x, np.arange(6) % 2), top=2)
        order = [n for n, _ in found.portrait.strongest]
        assert found.portrait.shown is not None
        np.testing.assert_array_equal(found.portrait.shown, x[value][order])
        assert found.portrait.shown.shape == (2, *shape)
        explain_figure(found)


def test_without_labels_there_is_no_truth_but_all_the_rest() -> None:
    net = EXAMPLES["mlp"]()
    x, _ = samples(net)
    found = told(net, "dense1", 0, x, "activation_mean")
    assert (found.cost, found.labels, found.as_dict()["samples"][0]["label"]) == (None, None, None)
    assert "leave one out" not in str(found)


# --- why it stays or goes --------------------------------------------------------------------------------------------


def test_a_strategy_decides_as_decide_does_and_the_boundary_is_that_of_the_scores() -> None:
    net = EXAMPLES["mlp"]()
    data = samples(net, 20)
    scores = mp.score(net, data, loss="mse", progress=False)
    plan = mp.decide(scores, mp.Global(0.5))
    for group, drop in plan.drop.items():
        for j in range(len(scores[group])):
            for given in (plan, mp.Global(0.5)):
                found = told(net, group, j, data, plan=given, loss="mse")
                assert found.boundary is not None
                assert found.boundary.goes == (j in drop)
                assert found.boundary.highest_dropped == max(scores[group][drop])
                assert found.boundary.lowest_kept == min(s for i, s in enumerate(scores[group]) if i not in drop)
                assert found.dropped == tuple(drop)


def test_a_plan_that_does_not_follow_the_score_is_seen_through() -> None:
    net = EXAMPLES["mlp"]()
    data = samples(net, 20)
    order = np.argsort(mp.score(net, data, loss="mse", progress=False)["dense1"])
    plan = mp.Plan({"dense1": [int(order[-1])]})
    for j, word in ((order[-1], "goes"), (order[0], "stays")):
        text = str(told(net, "dense1", int(j), data, plan=plan, loss="mse"))
        assert f"\n{word}: not for its score of " in text
        assert text.endswith("(by hand)")
    assert str(told(net, "dense2", 0, data, plan=plan, loss="mse")).endswith(
        "stays: no neuron of dense2 goes (by hand)"
    )


@pytest.mark.parametrize(
    ("group", "j", "settings", "error", "message"),
    [
        ("dense9", 0, {}, StructureError, "no group is called 'dense9'"),
        ("dense1", 5, {}, StructureError, "dense1: no neuron 5; expected 0 to 4"),
        ("dense3", 0, {}, PlanError, "dense3: output; its neurons are never removed, so they have no score to explain"),
        ("dense1", 0, {"plan": 0.5}, PlanError, r"plan is 0.5, expected a Plan or a strategy such as Global"),
        ("dense1", 0, {"plan": mp.Plan({"dense1": [9]})}, StructureError, "dense1: no neuron 9"),
        ("dense1", 0, {"plan": mp.Plan({}, "feed")}, StructureError, "this plan was made for another network"),
        ("dense1", 0, {"top": 0}, DataError, "top is 0, expected a whole number of at least 1"),
        ("dense1", 0, {"criterion": "luck"}, DataError, "unknown criterion 'luck'"),
        ("dense1", 0, {"batch_size": 0}, DataError, "batch_size is 0"),
    ],
)
def test_what_cannot_be_explained_is_one_line(
    group: str, j: int, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    net = EXAMPLES["mlp"]()
    with pytest.raises(error, match=message):
        told(net, group, j, samples(net), **{"loss": "mse", **settings})


def test_a_drawn_score_is_the_one_that_score_draws() -> None:
    net = EXAMPLES["mlp"]()
    data = samples(net)
    score = mp.score(net, data, "random", rng=7)["dense2"][1]
    assert told(net, "dense2", 1, data, "random", rng=7, loss="mse").score == score
    assert told(net, "dense2", 1, data, "random", rng=np.random.default_rng(7), loss="mse").score >= 0


# --- figure and command line -----------------------------------------------------------------------------------------


def test_the_figure_shows_weights_samples_terms_readers_and_the_place() -> None:
    digits = mp.data.digits()
    net = mp.Sequential(mp.Dense(64, 8), mp.ReLU(), mp.Dense(8, 10), rng=0)
    found = told(net, "dense1", 3, digits, plan=mp.Global(0.5), top=4)
    figure = explain_figure(found)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert titles[0] == "reads with"
    n, activation = found.portrait.strongest[0]
    assert titles[1] == f"sample {n}, class {digits.train.y[n]}\nputs out {activation:.4g}"
    assert titles[5:] == ["the score: the strongest of 1,078 terms", "read by", "among the 8 of dense1"]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), net.params["dense1.W"][3].reshape(8, 8))
    terms = next(axes for axes in figure.axes if axes.get_title(loc="left").startswith("the score"))
    assert found.terms is not None
    expected = found.terms.values[found.strongest_terms()]
    np.testing.assert_allclose([bar.get_width() for bar in terms.patches], expected)
    place = figure.axes[-1] if figure.axes[-1].get_title(loc="left") else figure.axes[-2]
    np.testing.assert_allclose(
        sorted(bar.get_height() for bar in place.patches), np.sort(found.scores), rtol=1e-12, atol=1e-15
    )


def test_of_very_many_strongest_things_the_figure_draws_what_there_is_room_for() -> None:
    net = mp.Sequential(mp.Dense(7, 8), mp.ReLU(), mp.Dense(8, 40), rng=0)
    x = np.random.default_rng(0).random((60, 7))
    found = told(net, "dense1", 3, (x, np.arange(60) % 40), top=50)
    panels = {axes.get_title(loc="left"): axes for axes in explain_figure(found).axes}
    assert sum(title.startswith("sample ") for title in panels) == 5
    assert [len(panels[title].patches) for title in ("the score: the strongest of 60 terms", "read by")] == [12, 12]
    assert len(found.portrait.readers["dense2"][1]) == 40


def test_a_colour_image_and_many_channels_are_drawn() -> None:
    net = mp.Sequential(
        mp.Conv2d(3, 20, 3),
        mp.ReLU(),
        mp.Conv2d(20, 4, 2),
        mp.ReLU(),
        mp.Flatten(),
        mp.Dense(36, 2),
        input_shape=(3, 6, 6),
    )
    x = np.random.default_rng(0).random((5, 3, 6, 6))
    found = told(net, "conv2", 0, (x, np.arange(5) % 2))
    figure = explain_figure(found)
    assert figure.axes[0].get_title(loc="left") == "reads with (first 16 of 20 channels)"
    assert figure.axes[1].images[0].get_array().shape == (6, 6, 3)


def test_the_command_line_explains_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mp.save(mp.Sequential(mp.Dense(64, 8), mp.ReLU(), mp.Dense(8, 10), rng=0), "model.npz")
    words = ["explain", "model.npz", "digits", "dense1", "3", "--remove", "0.5", "--strategy", "per-layer"]
    assert main([*words, "-o", "neuron.png", "--top", "2"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("dense1[3], one of 8, made by dense1\nscore ")
    assert text.endswith("drawn in neuron.png\n")
    assert (tmp_path / "neuron.png").stat().st_size > 10_000
    assert main([*words, "--json", "--criterion", "magnitude_l1"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["neuron"] == {"group": "dense1", "j": 3, "size": 8, "made_by": ["dense1"]}
    assert content["plan"]["goes"] in (True, False)
    assert main(["explain", "model.npz", "digits", "dense1", "8"]) == 1
    assert "dense1: no neuron 8" in capsys.readouterr().err
