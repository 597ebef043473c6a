"""Weight plans: what they hold, whom they fit, that they survive a file; and the masks that they put on a network."""

from __future__ import annotations

import copy
import json
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, inputs

import minprune as mp
from minprune.errors import DtypeError, FileError, PlanError, ShapeError, StructureError
from minprune.neurons import fingerprint
from minprune.nn import Graph


def mlp() -> Graph:
    return EXAMPLES["mlp"]()  # 4 inputs, dense1: 5, dense2: 4, dense3: 3


def some(shape: tuple[int, ...], seed: int = 0) -> Any:
    kept = np.random.default_rng(seed).random(shape) < 0.5
    kept.flat[0], kept.flat[-1] = True, False
    return kept


def some_of_all(net: Graph) -> mp.WeightPlan:
    return mp.WeightPlan({name: some(W.shape) for name, W in net.params.items() if W.size > 1}, fingerprint(net))


# --- plans -----------------------------------------------------------------------------------------------------------


def test_a_plan_counts_what_goes_and_leaves_out_parameters_that_lose_nothing() -> None:
    plan = mp.WeightPlan({"a": [[True, False], [False, True]], "b": np.ones(3, bool)}, reason="why")
    assert list(plan.keep) == ["a"]
    assert len(plan) == 2
    assert repr(plan) == "<WeightPlan (why): a −2>"
    assert repr(mp.WeightPlan({})) == "<WeightPlan (by hand): nothing>"
    assert plan.explain() == "why: drops 2 of 4 weights\n  a: 2 of 4 (50.0 %)"


def test_a_plan_holds_a_copy_of_what_it_was_given() -> None:
    kept = np.array([True, False])
    plan = mp.WeightPlan({"a": kept})
    kept[:] = True
    assert plan.keep["a"].tolist() == [True, False]


def test_plans_are_equal_when_they_keep_the_same_of_the_same_structure() -> None:
    plan = mp.WeightPlan({"a": [True, False]})
    assert plan == mp.WeightPlan({"a": [True, False], "b": [True]}, reason="another")
    assert plan != mp.WeightPlan({"a": [False, True]})
    assert plan != mp.WeightPlan({"b": [True, False]})
    assert plan != mp.WeightPlan({"a": [True, False]}, "0123")
    assert plan != "nothing"
    with pytest.raises(TypeError, match="unhashable"):
        hash(plan)


@pytest.mark.parametrize("mask", [[1, 0], [0.0], ["yes"], None])
def test_a_mask_that_is_no_array_of_bool_is_refused(mask: Any) -> None:
    with pytest.raises(PlanError, match=r"a: expected an array of bool \(True: kept\), got"):
        mp.WeightPlan({"a": mask})


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = some_of_all(EXAMPLES["cnn"]())
    plan.save(tmp_path / "plan.json")
    back = mp.WeightPlan.load(tmp_path / "plan.json")
    assert back == plan
    assert back.reason == plan.reason
    assert {name: kept.dtype for name, kept in back.keep.items()} == dict.fromkeys(plan.keep, np.dtype(bool))


@pytest.mark.parametrize(
    ("where", "value", "match"),
    [
        (("format",), "minprune plan 1", "expected format 'minprune weight plan 1', got 'minprune plan 1'"),
        (("keep",), 3, r"is no weight plan \(TypeError"),
        (("keep", "dense1.W"), [], "is no weight plan"),
        (("keep", "dense1.W", "shape"), 20, "dense1.W: its shape is 20, expected sizes of at least 1"),
        (("keep", "dense1.W", "shape"), [5, 0], r"its shape is \[5, 0\]"),
        (("keep", "dense1.W", "shape"), [5, True], r"its shape is \[5, True\]"),
        (("keep", "dense1.W", "shape"), [5, 5], "dense1.W: expected 4 bytes of bits, got 3"),
        (("keep", "dense1.W", "bits"), "????", "is no weight plan"),
        (("keep", "dense1.W", "bits"), 3, "is no weight plan"),
    ],
)
def test_a_damaged_plan_is_refused_with_its_path(
    where: tuple[str, ...], value: Any, match: str, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    some_of_all(mlp()).save(path)
    content = place = json.loads(path.read_text())
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(FileError, match=match) as caught:
        mp.WeightPlan.load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_plan_that_claims_more_than_it_has_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    keep = {"dense1.W": {"shape": [10**9, 10**9], "bits": ""}}
    path.write_text(json.dumps({"format": "minprune weight plan 1", "fingerprint": "", "reason": "", "keep": keep}))
    tracemalloc.start()
    with pytest.raises(FileError, match="expected 125,000,000,000,000,000 bytes of bits, got 0"):
        mp.WeightPlan.load(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


# --- masks -----------------------------------------------------------------------------------------------------------


def test_a_masked_network_has_zeros_and_leaves_the_other_weights_and_the_given_network_alone() -> None:
    net = mlp()
    before = {name: array.copy() for name, array in net.arrays.items()}
    plan = some_of_all(net)
    masked = mp.mask(net, plan)
    for name, array in net.arrays.items():
        np.testing.assert_array_equal(array, before[name])
        kept = plan.keep.get(name, np.ones(array.shape, bool))
        np.testing.assert_array_equal(masked.arrays[name], np.where(kept, array, 0))
        assert not np.shares_memory(masked.arrays[name], array)
    assert not net.masks
    assert list(masked.nodes) == list(net.nodes)
    assert f"{len(plan)} of them masked" in repr(masked)


def test_a_masked_weight_stays_masked_under_the_next_plan() -> None:
    net = mp.Sequential(mp.Dense(2, 2))
    first = mp.mask(net, mp.WeightPlan({"dense1.W": [[True, False], [True, True]]}))
    second = mp.mask(first, mp.WeightPlan({"dense1.W": [[True, True], [True, False]], "dense1.b": [False, True]}))
    assert second.masks["dense1.W"].tolist() == [[True, False], [True, False]]
    assert first.masks["dense1.W"].tolist() == [[True, False], [True, True]]
    assert second.masks["dense1.b"].tolist() == [False, True]
    with pytest.raises(PlanError, match=r"dense1\.W: nothing of it would be left"):
        mp.mask(first, mp.WeightPlan({"dense1.W": [[False, True], [False, False]]}))


def test_masks_cannot_be_written_to() -> None:
    masked = mp.mask(mlp(), some_of_all(mlp()))
    with pytest.raises(ValueError, match="read-only"):
        masked.masks["dense1.W"][0, 0] = False
    with pytest.raises(ValueError, match="read-only"):
        masked.masks["dense1.W"] = np.ones((5, 4), bool)
    with pytest.raises(StructureError, match=r"no array is called 'dense9\.W'"):
        masked.masks["dense9.W"] = np.ones((5, 4), bool)


def test_a_masked_network_can_be_copied_by_any_means() -> None:
    masked = mp.mask(mlp(), some_of_all(mlp()))
    for other in (copy.deepcopy(masked), pickle.loads(pickle.dumps(masked))):
        assert all(np.array_equal(other.masks[name], kept) for name, kept in masked.masks.items())
        assert other.masks.keys() == masked.masks.keys()


def test_a_plan_of_another_network_is_refused() -> None:
    net, plan = mlp(), some_of_all(EXAMPLES["sigmoid"]())
    with pytest.raises(StructureError, match="this plan was made for another network"):
        mp.mask(net, plan)
    with pytest.raises(StructureError, match=r"no parameter is called 'dense9\.W'; there are dense1\.W, "):
        mp.mask(net, mp.WeightPlan({"dense9.W": [True, False]}))
    with pytest.raises(ShapeError, match=r"dense1\.W: expected a mask of shape \(5, 4\), got \(2,\)"):
        mp.mask(net, mp.WeightPlan({"dense1.W": [True, False]}))
    with pytest.raises(PlanError, match=r"dense1\.W: the plan would drop all 20 weights; at least one must stay"):
        mp.mask(net, mp.WeightPlan({"dense1.W": np.zeros((5, 4), bool)}))


def test_remove_says_that_weights_are_only_masked() -> None:
    with pytest.raises(
        PlanError, match=r"takes a Plan of neurons, got WeightPlan; .*weights are masked: mask\(net, plan\)"
    ):
        mp.remove(mlp(), some_of_all(mlp()))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("masks", "error", "match"),
    [
        ({"y.V": np.ones(2, bool)}, StructureError, r"no parameter is called 'y\.V'; there are y\.W, y\.b"),
        ({"y.W": np.ones((2, 2), bool)}, ShapeError, r"the mask of y\.W: expected shape \(2, 3\), got \(2, 2\)"),
        ({"y.W": np.ones((2, 3))}, DtypeError, r"the mask of y\.W: expected bool \(True: kept\), got float64"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks: Any, error: Any, match: str) -> None:
    net = mp.Graph({"y": (mp.Dense(3, 2), "x")})
    with pytest.raises(error, match=match):
        Graph.assemble(net.nodes, net.inputs, net.output, net.arrays, net.input_shapes, masks)


def test_closing_masks_touches_nothing_but_masked_weights() -> None:
    net = mp.mask(mp.Sequential(mp.Dense(2, 1)), mp.WeightPlan({"dense1.W": [[True, False]]}))
    net.params["dense1.W"] = [[3.0, 4.0]]
    net.close_masks()
    assert net.params["dense1.W"].tolist() == [[3.0, 0.0]]


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_rationals_are_masked_as_floats_are(name: str) -> None:
    net = EXAMPLES[name]()
    plan = some_of_all(net)
    x = {k: np.round(4 * v) for k, v in inputs(net).items()}
    both = mp.mask(net, plan).astype(object), mp.mask(net.astype(object), plan)
    if name == "mlp":  # tanh has no value in rationals
        assert all((a == b).all() for a, b in zip(both[0].arrays.values(), both[1].arrays.values(), strict=True))
    else:
        with pytest.raises(DtypeError):  # batch-norm neither
            both[1](x)
    assert both[0].masks.keys() == both[1].masks.keys() == plan.keep.keys()


def test_a_mask_of_weights_stands_in_the_history_and_is_verified() -> None:
    net = mp.Sequential(mp.Dense(4, 6), mp.ReLU(), mp.Dense(6, 3))
    masked = mp.mask(net, mp.decide(mp.score(net, criterion="magnitude_l1", by="weight"), mp.Global(0.5)))
    (record,) = masked.history
    assert (record.action, record.how["kept"]) == ("mask weights", {n: int(k.sum()) for n, k in masked.masks.items()})
    found = mp.verify(masked, net)
    assert found.ok
    assert "mask weights done again" in str(found)
    other = net.copy()
    other.params["dense1.W"] += 1
    assert not mp.verify(masked, other).ok
    masked.params["dense1.W"][0, 0] += 1
    assert not mp.verify(masked).ok
