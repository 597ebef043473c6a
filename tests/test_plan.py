"""Plans: what they hold, whom they fit, and that they survive a file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES

import minprune as mp
from minprune.errors import FileError, MinpruneError, PlanError, StructureError
from minprune.neurons import fingerprint
from minprune.scores import Scores


def mlp() -> mp.Graph:
    return EXAMPLES["mlp"]()  # 4 inputs, dense1: 5, dense2: 4, dense3: 3


def test_a_plan_sorts_its_neurons_takes_each_once_and_leaves_empty_groups_out() -> None:
    plan = mp.Plan({"dense1": [4, 0, 4, np.int64(2)], "dense2": [], "b": np.array([1]), "c": (j for j in (3, 1))})
    assert plan.drop == {"dense1": [0, 2, 4], "b": [1], "c": [1, 3]}
    assert all(type(j) is int for neurons in plan.drop.values() for j in neurons)
    assert len(plan) == 6
    assert repr(plan) == "<Plan (by hand): dense1 −3, b −1, c −2>"
    assert repr(mp.Plan({})) == "<Plan (by hand): nothing>"


@pytest.mark.parametrize("j", [True, np.True_, 1.0, "1", None])
def test_what_is_no_whole_number_is_no_neuron(j: Any) -> None:
    with pytest.raises(PlanError, match=r"dense1: .* is no neuron; expected whole numbers"):
        mp.Plan({"dense1": [j]})


def test_a_boolean_mask_is_not_mistaken_for_indices() -> None:
    with pytest.raises(PlanError, match="is no neuron"):
        mp.Plan({"dense1": np.array([True, False])})


def test_a_bare_number_is_no_list_of_neurons() -> None:
    with pytest.raises(PlanError, match="dense1: expected a list of neurons, got 3"):
        mp.Plan({"dense1": 3})  # type: ignore[dict-item]


def test_plans_are_equal_when_they_drop_the_same_from_the_same_structure() -> None:
    assert mp.Plan({"a": [1, 0]}) == mp.Plan({"a": [0, 1]}, reason="another")
    assert mp.Plan({"a": [0]}) != mp.Plan({"a": [1]})
    assert mp.Plan({"a": [0]}) != mp.Plan({"a": [0]}, "0123")
    assert mp.Plan({}) != "nothing"
    with pytest.raises(TypeError, match="unhashable"):
        hash(mp.Plan({}))


def test_a_plan_explains_itself() -> None:
    plan = mp.decide(mp.score(mlp(), criterion="magnitude_l2"), mp.PerLayer(1))
    lines = plan.explain().splitlines()
    assert lines[0] == "magnitude_l2, PerLayer(amount=1, at_least=1): drops 2 neurons"
    assert [line.split(":")[0].strip() for line in lines[1:3]] == ["dense1", "dense2"]
    small = mp.remove(mlp(), plan)
    assert small.params["dense2.W"].shape == (3, 4)
    left = sum(array.size for array in small.params.values())
    assert lines[3] == f"parameters 64 → {left}, MACs 52 → 37, bytes 512 → {8 * left}"


def made(**groups: Any) -> Scores:
    return Scores("by hand", {name: np.array(values, dtype=float) for name, values in groups.items()})


def test_a_plan_says_how_many_go_where_the_line_was_and_who_was_held_back() -> None:
    plan = mp.decide(made(a=[0.5, np.inf, 0.25, 4], b=[1, 2], c=[9, 3], d=[0.125, 0.25]), mp.Global(5))
    assert plan.explain().splitlines() == [
        "by hand, Global(amount=5, at_least=1, normalise='none'): drops 5 neurons",
        "  a: 2 of 4 go: 0, 2; scores 0.25 … 0.5 go, 4 stay, 1 stay with +∞",
        "  b: 1 of 2 go: 0; scores 1 go, 2 stay, 1 held back by the floor",
        "  c: 1 of 2 go: 1; scores 3 go, 9 stay",
        "  d: 1 of 2 go: 0; scores 0.125 go, 0.25 stay, 1 held back by the floor",
    ]


def test_a_long_list_of_neurons_is_cut_short() -> None:
    text = mp.decide(made(a=np.arange(40), b=[50, 60]), mp.Global(15)).explain()
    assert text.splitlines()[1:] == [
        "  a: 15 of 40 go: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more; scores 0 … 14 go, 15 … 39 stay",
        "  b: 0 of 2 go; scores 50 … 60 stay",
    ]


def test_nobody_is_held_back_where_groups_are_not_compared() -> None:
    plan = mp.decide(made(a=[1, 2], b=[8, 9]), mp.PerLayer({"b": 1}))
    assert [why.held for why in plan.evidence.values()] == [0, 0]


def test_who_was_held_back_is_told_by_what_was_compared() -> None:
    plan = mp.decide(made(a=[1, 2], b=[100, 300, 900]), mp.Global(2, normalise="max", at_least=1))
    assert plan.drop == {"b": [0, 1]}  # 1/9 and 1/3; 1/2 comes next
    assert [why.held for why in plan.evidence.values()] == [0, 0]
    plan = mp.decide(made(a=[1, 2], b=[100, 300, 900]), mp.Global(2, at_least=1))
    assert plan.drop == {"a": [0], "b": [0]}
    assert [why.held for why in plan.evidence.values()] == [1, 0]  # 2 is less than 100


def test_why_a_neuron_goes_or_stays() -> None:
    scores = made(a=[0.5, np.inf, 0.25, 0.5, 0.75], b=[0, 0.125], c=[7, 8])
    plan = mp.decide(scores, mp.Global(3))
    assert plan.drop == {"a": [0, 2], "b": [0]}
    assert plan.why("a", 2, scores) == "a[2] goes: score 0.25, 1st lowest of 5; the lowest that stays in a is 0.5"
    assert plan.why("a", 3, scores) == "a[3] stays: score 0.5, 3rd lowest of 5; the highest that goes in a is 0.5"
    assert plan.why("a", 1, scores) == "a[1] stays: score +∞ is never dropped"
    assert plan.why("b", 1, scores) == "b[1] stays: score 0.125, 2nd lowest of 2; the highest that goes in b is 0"
    assert plan.why("c", 0, scores) == "c[0] stays: score 7, 1st lowest of 2; none of c goes"
    tied = EXAMPLES["tied across concat"]()
    held = Scores("by hand", {"a": np.array([0.0, 1, 2, 3, 4])}, net=tied)
    text = mp.decide(held, mp.Global(2)).why("a", 1, held)
    assert text.endswith("the highest that goes in a is 2, so its layer could not spare it")
    for group, j in (("d", 0), ("a", 5), ("a", -1)):
        with pytest.raises(PlanError, match=r"no score for this neuron; there are some for a \(5\), b \(2\), c \(2\)"):
            plan.why(group, j, scores)


@pytest.mark.parametrize(
    ("drop", "error", "message"),
    [
        ({"dense9": [0]}, StructureError, "no group is called 'dense9'; there are input, dense1, dense2, dense3"),
        ({"dense1": [5]}, StructureError, "dense1: no neuron 5; expected 0 to 4"),
        ({"dense1": [0, 99]}, StructureError, "dense1: no neuron 99; expected 0 to 4"),
        ({"dense1": [-1, 2]}, StructureError, "dense1: no neuron -1; expected 0 to 4"),
        ({"dense3": [0]}, PlanError, "dense3: output; its neurons are never removed"),
        ({"dense1": range(5)}, PlanError, "dense1: the plan would drop all 5 neurons; at least one must stay"),
        ({"input": range(4)}, PlanError, "input: the plan would drop all 4 neurons; at least one must stay"),
    ],
)
@pytest.mark.parametrize("verb", [mp.mask, mp.remove])
def test_a_removal_that_must_not_happen_is_refused(
    verb: Any, drop: dict[str, Any], error: type[MinpruneError], message: str
) -> None:
    with pytest.raises(error, match=message):
        verb(mlp(), mp.Plan(drop))


def test_neurons_before_a_softmax_are_never_removed() -> None:
    with pytest.raises(PlanError, match="dense1: softmax1 computes with all of them at once; its neurons are never"):
        mp.remove(EXAMPLES["softmax inside"](), mp.Plan({"dense1": [0]}))


def test_a_plan_that_empties_one_of_several_layers_that_make_a_group_is_refused() -> None:
    net = EXAMPLES["tied across concat"]()  # a makes neurons 0 and 1, b the rest
    with pytest.raises(PlanError, match=r"a\.W: the plan would leave nothing of it; at least one of its neurons must"):
        mp.remove(net, mp.Plan({"a": [0, 1]}))
    assert mp.remove(net, mp.Plan({"a": [0, 2]})).params["a.W"].shape == (1, 3)


def test_a_plan_belongs_to_the_structure_it_was_made_for() -> None:
    plan = mp.decide(mp.score(mlp(), criterion="magnitude_l2"), mp.PerLayer(1))
    plan.check(mlp())
    plan.check(mp.mask(mlp(), mp.Plan({"dense1": [0]})))  # gates are no other structure
    other = mp.Sequential(mp.Dense(4, 6), mp.ReLU(), mp.Dense(6, 4), mp.ReLU(), mp.Dense(4, 3))
    with pytest.raises(StructureError, match=rf"made for another network \(structure {fingerprint(mlp())}, this one"):
        plan.check(other)


def test_a_saved_plan_comes_back_as_it_was(tmp_path: Path) -> None:
    plan = mp.decide(mp.score(mlp(), criterion="magnitude_l1"), mp.Global(0.3))
    plan.save(tmp_path / "plan.json")
    back = mp.Plan.load(tmp_path / "plan.json")
    assert back == plan
    assert (back.drop, back.fingerprint, back.reason) == (plan.drop, plan.fingerprint, plan.reason)
    assert (back.evidence, back.sizes) == (plan.evidence, plan.sizes)
    assert back.explain() == plan.explain()
    assert mp.remove(mlp(), back)(np.ones((1, 4))).tobytes() == mp.remove(mlp(), plan)(np.ones((1, 4))).tobytes()


def test_infinite_ends_survive_the_file_which_is_strict_json(tmp_path: Path) -> None:
    plan = mp.decide(made(a=[-np.inf, -np.inf, np.inf], b=[-np.inf, 2]), mp.Global(2))
    plan.save(tmp_path / "plan.json")
    json.loads((tmp_path / "plan.json").read_text(), parse_constant=pytest.fail)
    assert mp.Plan.load(tmp_path / "plan.json").evidence == plan.evidence
    assert plan.evidence["a"].gone == (-np.inf, -np.inf)


def test_a_plan_of_the_first_format_still_loads(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(
        json.dumps({"format": "minprune plan 1", "fingerprint": "01", "reason": "old", "drop": {"dense1": [3, 0]}})
    )
    plan = mp.Plan.load(path)
    assert (plan.drop, plan.fingerprint, plan.reason) == ({"dense1": [0, 3]}, "01", "old")
    assert (plan.evidence, plan.sizes) == ({}, {})
    assert plan.explain() == "old: drops 2 neurons\n  dense1: 0, 3"


WHY = {"size": 5, "gone": [0, 1.5], "stay": None, "infinite": 0, "held": 0}
WHOLE = {
    "format": "minprune plan 2",
    "fingerprint": "",
    "reason": "",
    "drop": {"dense1": [0]},
    "evidence": {"dense1": WHY},
    "sizes": {"params": [9, 3]},
}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"[]",
        b"null",
        b"{}",
        *(json.dumps({k: v for k, v in WHOLE.items() if k != key}).encode() for key in WHOLE),
        *(json.dumps({**WHOLE, "drop": drop}).encode() for drop in (None, 3, [1], {"dense1": 1}, {"dense1": [0.5]})),
        *(json.dumps({**WHOLE, "drop": drop}).encode() for drop in ({"dense1": [True]}, {"dense1": "01"})),
        *(
            json.dumps({**WHOLE, "evidence": why}).encode()
            for why in (None, [1], {"dense1": 1}, {"dense1": {"size": 1}})
        ),
        *(
            json.dumps({**WHOLE, "evidence": {"a": {**WHY, "gone": gone}}}).encode()
            for gone in (1, [1], ["x", 2], "12x")
        ),
        *(json.dumps({**WHOLE, "sizes": sizes}).encode() for sizes in (None, 3, {"params": 1}, {"params": [1, 2, 3]})),
        json.dumps(WHOLE).encode()[:-5],
    ],
)
def test_a_damaged_file_is_no_plan(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"plan\.json: is no plan"):
        mp.Plan.load(path)


def test_a_plan_of_another_format_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**WHOLE, "format": "minprune plan 3"}))
    with pytest.raises(FileError, match="expected format 'minprune plan 2', got 'minprune plan 3'"):
        mp.Plan.load(path)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mp.Plan.load(tmp_path / "none.json")
