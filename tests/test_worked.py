"""The document's worked example (4.3), number by number against its golden files (computed without any autograd)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minprune as mp
from minprune import worked
from minprune.errors import DataError
from minprune.ops import Array
from minprune.tensor import Tape, backward

GOLDEN = {
    "sigmoid": json.loads((Path(__file__).parent / "golden" / "worked_example.json").read_text()),
    "linear": json.loads((Path(__file__).parent / "golden" / "worked_example_linear.json").read_text()),
}
EXAMPLES = {output: worked.example(output) for output in GOLDEN}
CRITERION = {"magnitude_l2_incoming": "magnitude_l2"}
PARAMETER = {"W1": "dense1.W", "b1": "dense1.b", "W2": "dense2.W", "b2": "dense2.b"}


def numbers(output: str) -> dict[str, Any]:
    """Every number that the engine has for the example, named as in the golden file."""
    example = EXAMPLES[output]
    net, rec = example.net, example.rec
    hidden, last = rec["dense1"], rec["dense2"]
    found: dict[str, Any] = {f"given.{name}": net.params[key] for name, key in PARAMETER.items()}
    found |= {"given.x": worked.X[0], "given.target": worked.TARGET[0]}
    found |= {"forward.z1": hidden.z[0], "forward.h": hidden.a[0], "forward.z2": last.z[0]}
    found |= {"forward.o": rec.output[0], "forward.loss": rec.loss}
    found |= {"sensitivity.dL_do": last.grad_a[0], "sensitivity.dL_dz2": last.grad_z[0]}
    found |= {"sensitivity.dL_dh": hidden.grad_a[0], "sensitivity.dL_dz1": hidden.grad_z[0]}
    found |= {f"gradients.{name}": rec.grads[key] for name, key in PARAMETER.items()}
    found |= {"gradients.x": rec["input"].grad_a[0]}
    found |= {"document_as_printed.sum_i_(y_i-o_i)*do_i_dh_j": example.printed}
    data = (worked.X, worked.TARGET)
    for name in GOLDEN[output]["scores"]:
        score = mp.score(net, data, CRITERION.get(name, name), loss=worked.LOSS)
        found[f"scores.{name}"] = score["dense1"]
    for name in GOLDEN[output]["lowest_two"]:
        found[f"lowest_two.{name}"] = np.argsort(example.scores[name]["dense1"])[:2]
    found |= {f"ablation_single.{j}": example.change(j) for j in range(5)}
    found |= {f"ablation_pair.{i},{j}": example.change(i, j) for i in range(5) for j in range(i + 1, 5)}
    return found


def expected(output: str) -> dict[str, Any]:
    golden = dict(GOLDEN[output])
    golden["ablation_single"] = dict(enumerate(golden["ablation_single"]))
    given = golden["given"]
    assert (given.pop("hidden"), given.pop("output")) == ("sigmoid", output)
    return {f"{part}.{name}": value for part, values in golden.items() for name, value in values.items()}


EXPECTED = {(output, name): value for output in GOLDEN for name, value in expected(output).items()}
FOUND = {(output, name): value for output in GOLDEN for name, value in numbers(output).items()}


def test_the_engine_has_every_number_of_the_golden_files() -> None:
    assert FOUND.keys() == EXPECTED.keys()
    assert len(EXPECTED) == 2 * 45


@pytest.mark.parametrize(("output", "name"), EXPECTED)
def test_the_engine_computes_the_golden_number(output: str, name: str) -> None:
    np.testing.assert_allclose(FOUND[output, name], EXPECTED[output, name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("output", GOLDEN)
def test_the_document_prints_the_gradients_with_the_wrong_sign(output: str) -> None:
    example = EXAMPLES[output]
    np.testing.assert_allclose(example.printed, -example.rec["dense1"].grad_a[0], rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("rule", "pair", "loss"),
    [
        ("inverse_sensitivity", [0, 2], 0.323),  # h1 and h3, as the document says: the loss is tripled
        ("inverse_sensitivity_signed", [0, 2], 0.323),
        ("sensitivity", [1, 3], 0.078),
        ("taylor", [1, 3], 0.078),
        ("taylor_signed", [3, 4], 0.065),
        ("leave_one_out", [3, 4], 0.065),
        (worked.PRINTED_SIGNS, [1, 3], 0.078),
    ],
)
def test_every_rule_picks_the_pair_of_the_ledger(rule: str, pair: list[int], loss: float) -> None:
    example = EXAMPLES["sigmoid"]
    assert example.picks[rule] == pair
    assert example.loss_without[tuple(pair)] == pytest.approx(loss, abs=5e-4)
    assert example.rec.loss == pytest.approx(0.104, abs=5e-4)


def test_the_signed_taylor_score_picks_the_best_of_all_pairs() -> None:
    pairs = {gone: loss for gone, loss in EXAMPLES["sigmoid"].loss_without.items() if len(gone) == 2}
    assert min(pairs, key=lambda gone: pairs[gone]) == (3, 4)


def test_with_a_linear_output_the_printed_rule_picks_the_best_pair_and_taylor_another() -> None:
    example = EXAMPLES["linear"]
    assert example.picks["inverse_sensitivity"] == [0, 3]
    assert example.change(0, 3) == pytest.approx(-0.987, abs=5e-4)
    assert example.change(0, 3) == min(example.change(*gone) for gone in example.loss_without if len(gone) == 2)
    assert example.picks["taylor"] == example.picks["sensitivity"] == [1, 4]
    assert example.change(1, 4) == pytest.approx(-0.359, abs=5e-4)
    assert all(example.change(j) < 0 for j in range(5))


def test_removing_h1_and_h3_leaves_a_net_that_computes_what_the_masked_one_does() -> None:
    small, masked = worked.pruned(), mp.mask(worked.network(), mp.Plan({"dense1": [0, 2]}))
    assert {name: array.shape for name, array in small.params.items()} == {
        "dense1.W": (3, 3),
        "dense1.b": (3,),
        "dense2.W": (2, 3),
        "dense2.b": (2,),
    }
    assert small.certificate.ok
    np.testing.assert_allclose(small(worked.X), masked(worked.X), rtol=0, atol=1e-15)
    loss = mp.record(small, worked.X, worked.TARGET, loss=worked.LOSS).loss
    assert loss == pytest.approx(EXAMPLES["sigmoid"].loss_without[0, 2], abs=1e-15)


def test_the_shortcut_printed_for_a_linear_output_ranks_nobody_and_the_correct_slope_does() -> None:
    rec = EXAMPLES["linear"].rec
    printed = worked.printed_linear_shortcut(rec)
    assert printed.shape == (5,)
    assert len(set(printed)) == 1
    o, W2 = rec.output[0], np.array(worked.WEIGHTS["dense2.W"])
    assert printed[0] == pytest.approx((o - worked.TARGET[0]).sum(), abs=1e-15)
    correct = W2.T @ (o - np.array(worked.TARGET[0]))
    np.testing.assert_allclose(rec["dense1"].grad_a[0], correct, rtol=0, atol=1e-15)
    assert len(set(correct.round(6))) == 5


def test_the_shortcut_holds_where_every_outgoing_weight_is_one() -> None:
    net = worked.network("linear")
    net.params["dense2.W"] = np.ones((2, 5))
    rec = mp.record(net, worked.X, worked.TARGET, loss=worked.LOSS)
    np.testing.assert_allclose(rec["dense1"].grad_a[0], worked.printed_linear_shortcut(rec), rtol=1e-15)


def jacobian(net: mp.Graph, value: str) -> Array:
    """∂y_k/∂o_i by one walk back per output: (K, n)."""
    tape = Tape()
    arrays = {name: tape.watch(array) for name, array in net.arrays.items()}
    values = net.run({"input": tape.watch(np.array(worked.X))}, arrays)
    rows = []
    for k in range(2):
        seed = np.zeros((1, 2))
        seed[0, k] = 1
        rows.append(backward(values[net.output], seed)[values[value]][0])
    return np.array(rows)


@pytest.mark.parametrize("output", GOLDEN)
def test_for_several_outputs_the_chain_rule_is_a_sum_over_outputs(output: str) -> None:
    rec = EXAMPLES[output].rec
    J = jacobian(EXAMPLES[output].net, "sigmoid1")
    by_output = rec["dense2"].grad_a[0]  # ∂L/∂y_k
    summed = sum(by_output[k] * J[k] for k in range(2))
    np.testing.assert_allclose(rec["dense1"].grad_a[0], summed, rtol=0, atol=1e-15)
    for k in range(2):  # one output alone is not enough
        assert not np.allclose(rec["dense1"].grad_a[0], by_output[k] * J[k])


def test_the_report_shows_both_examples_and_every_rule() -> None:
    text = worked.report()
    assert "o = [0.177241 0.578969], L = 0.104341" in text
    assert "linear output" in text
    for rule in (*worked.RULES, worked.PRINTED_SIGNS):
        assert text.count(f"\n{rule} ") == 2, rule


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(DataError, match="output is 'relu', expected 'sigmoid' or 'linear'"):
        worked.network("relu")
