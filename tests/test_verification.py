"""Verify: a network is what its history says, or the reason is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, SINGLE_INPUT, inputs, whole

import minprune as mp
from minprune.certificate import Record
from minprune.cli import main
from minprune.errors import DataError
from minprune.nn import Graph
from minprune.ops import Array
from minprune.provenance import digest
from minprune.pruning.repair import REPAIRS
from minprune.verification import FAILED, OK, UNCHECKED


def example() -> tuple[Graph, Array]:
    net = EXAMPLES["mlp"]()
    return net, np.random.default_rng(5).standard_normal((40, 4))


def pruned(repair: Any = "mean") -> tuple[Graph, Graph, Array]:
    """The dense network, one that lost three neurons and was repaired, and the samples that the repair saw."""
    net, x = example()
    return net, mp.remove(net, mp.Plan({"dense1": [1, 4], "dense2": [0]}), repair=repair, data=x), x


def statuses(found: Any) -> dict[tuple[int, str], str]:
    return {(check.step, check.what): check.status for check in found.checks}


def saved(net: Graph, folder: Path) -> Graph:
    mp.save(net, folder / "net.npz")
    return mp.load(folder / "net.npz")


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_masked_and_a_smaller_network_of_every_wiring_verify_after_saving_and_loading(
    name: str, tmp_path: Path
) -> None:
    net = EXAMPLES[name]()
    group = next(g for g in net.neurons.values() if not g.stays and g.size > 1)
    for verb in (mp.mask, mp.remove):
        found = mp.verify(saved(verb(net, mp.Plan({group.name: [0]})), tmp_path), saved(net, tmp_path))
        assert found.ok, str(found)
        assert {check.status for check in found.checks} == {OK}


@pytest.mark.parametrize("repair", [*REPAIRS, mp.LeastSquares(ridge=0.5, samples=30)])
def test_every_repair_is_done_again_and_gives_the_same(repair: Any, tmp_path: Path) -> None:
    net = EXAMPLES["cnn"]()
    if repair == "merge":
        net = EXAMPLES["mlp"]()
    group = next(name for name, found in net.neurons.items() if name != "input" and not found.stays)
    x = np.random.default_rng(0).standard_normal((20, *(net.input_shapes or {})["input"]))
    small = saved(mp.remove(net, mp.Plan({group: [1]}), repair=repair, data=(x, np.arange(20) % 2)), tmp_path)
    found = mp.verify(small, net, x)
    assert found.ok, str(found)
    again = next(check for check in found.checks if check.what == "repair done again")
    assert (again.status, again.detail) == (OK, "the same arrays, bit for bit")


def test_a_history_of_many_steps_verifies_as_far_as_it_can_be_done_again() -> None:
    net, x = example()
    masked = mp.mask(net, mp.Plan({"dense1": [3]}))
    small = mp.remove(masked.astype(np.float32), mp.Plan({"dense1": [3]}), repair="mean", data=x)
    mp.fit(small, (x, x[:, :3]), epochs=2, progress=False)
    last = mp.remove(small, mp.Plan({"dense2": [1]}))
    assert [record.action for record in last.history] == ["mask", "cast", "remove", "repair", "train", "remove"]
    found = mp.verify(last, net, x)
    assert found.ok, str(found)
    again = {check.step: check.status for check in found.checks if check.what.endswith("done again")}
    assert again == {1: OK, 2: OK, 3: OK, 4: OK, 5: UNCHECKED, 6: UNCHECKED}
    assert found.summary == "verified: 16 checks hold, 2 could not be made"


def test_pruning_over_rounds_verifies_with_and_without_training() -> None:
    digits = mp.data.digits()
    net = mp.Sequential(mp.Dense(64, 8), mp.ReLU(), mp.Dense(8, 10))
    for finetune in (None, mp.FineTune(epochs=1)):
        small = mp.prune(net, digits, strategy=mp.Global(0.5), rounds=2, finetune=finetune, progress=False).net
        found = mp.verify(small, net, digits)
        assert found.ok, str(found)
        assert any(check.status == UNCHECKED for check in found.checks) == (finetune is not None)


def test_rationals_verify() -> None:
    net = whole(EXAMPLES["mlp without bias"]())
    found = mp.verify(mp.remove(net, mp.Plan({"dense1": [0]}), repair="mean", data=np.ones((2, 4), int)), net)
    assert found.ok
    assert "bound 0" in str(found)


def test_without_the_original_the_records_and_the_weights_are_checked() -> None:
    _, small, _ = pruned()
    assert statuses(mp.verify(small)) == {
        (1, "certificate on record"): OK,
        (2, "goes on where the last step ended"): OK,
        (2, "certificate on record"): OK,
        (0, "weights are those recorded"): OK,
    }


def test_without_the_samples_a_repair_is_still_seen_to_have_changed_only_what_it_says() -> None:
    net, small, x = pruned()
    for data in (None, x[:30]):
        found = statuses(mp.verify(small, net, data))
        assert found[2, "repair done again"] == UNCHECKED
        assert found[2, "repair changed only what it says"] == OK


def test_a_network_without_a_history_has_nothing_to_verify() -> None:
    net, _ = example()
    with pytest.raises(DataError, match="there is nothing to verify: the network has no record of a mask"):
        mp.verify(net)


# --- what is wrong is found ------------------------------------------------------------------------------------------


def failure(net: Graph, original: Graph | None = None, data: Any = None) -> tuple[int, str, str]:
    found = mp.verify(net, original, data)
    assert not found.ok
    assert found.summary.startswith("NOT verified: step ")
    first = found.failures[0]
    return first.step, first.what, first.detail


def test_one_changed_weight_is_found() -> None:
    net, small, _ = pruned()
    small.params["dense1.W"][0, 0] = np.nextafter(small.params["dense1.W"][0, 0], np.inf)
    expected = (0, "weights are those recorded", "they were changed since (trained elsewhere, cast or edited)")
    assert failure(small) == failure(small, net) == expected


def test_a_changed_buffer_and_a_changed_layer_are_found() -> None:
    net = EXAMPLES["cnn"]()
    small = mp.remove(net, mp.Plan({"conv1": [0]}))
    small.buffers["batchnorm1.var"][1] *= 2
    assert failure(small)[1] == "weights are those recorded"
    masked = mp.mask(EXAMPLES["mlp"](), mp.Plan({"dense1": [0]}))
    masked.buffers["relu1.gate.m"][0] = 1  # the gate is open again
    assert failure(masked)[1] == "weights are those recorded"


def tampered(net: Graph, place: int, **changes: Any) -> Graph:
    """A copy with one record changed."""
    other = net.copy()
    records = list(net.history)
    records[place] = replace(records[place], **changes)
    other.history = tuple(records)
    return other


def test_another_list_of_neurons_is_found_with_the_original() -> None:
    net, small, x = pruned()
    wrong = tampered(small, 0, drop={"dense1": [1, 3], "dense2": [0]})
    assert mp.verify(wrong).ok  # alone, nothing contradicts it
    assert failure(wrong, net, x) == (1, "remove done again", "gives other arrays than those recorded")
    for drop, reason in (({"dense9": [0]}, "no group is called 'dense9'"), ({"dense1": [9]}, "dense1: no neuron 9")):
        step, what, detail = failure(tampered(small, 0, drop=drop), net)
        assert (step, what) == (1, "remove done again")
        assert detail.startswith(reason)


def test_another_original_is_found() -> None:
    net, small, _ = pruned()
    net.params["dense3.b"][0] += 1
    assert failure(small, net) == (
        *(1, "the original is the network it began with"),
        "it is another network, or was trained since",
    )


def test_a_swapped_file_is_found() -> None:
    net, small, _ = pruned()
    other = mp.remove(net, mp.Plan({"dense1": [0, 2], "dense2": [3]}))
    other.history = small.history
    assert failure(other)[1] == "weights are those recorded"


def test_a_missing_record_is_found() -> None:
    net, small, _ = pruned()
    again = mp.remove(small, mp.Plan({"dense1": [0]}))
    again.history = (again.history[0], again.history[2])
    expected = "the weights were changed in between (trained elsewhere, or edited)"
    assert failure(again, net) == (2, "goes on where the last step ended", expected)


def test_a_certificate_that_says_no_or_contradicts_itself_is_found() -> None:
    _, small, _ = pruned()
    for changes in ({"ok": False}, {"max_difference": 1.0}):
        wrong = tampered(small, 0, certificate=replace(small.history[0].certificate, **changes))
        assert failure(wrong)[:2] == (1, "certificate on record")


def test_a_repair_that_did_something_else_is_found() -> None:
    net, small, x = pruned()
    assert failure(tampered(small, 1, how={"repair": "batch_norm"}), net, x)[1] == "repair done again"
    other = mp.remove(net, mp.Plan({"dense1": [1, 4], "dense2": [0]}), repair="least_squares", data=x)
    other.history = (*other.history[:1], replace(other.history[1], how={"repair": "mean"}))
    assert failure(other, net, x) == (2, "repair done again", "gives other weights")
    mp.fit(other, (x, x[:, :3]), epochs=1, progress=False)
    assert failure(other, net, x) == (2, "repair done again", "gives other arrays than those recorded")


@pytest.mark.parametrize(("shift", "status"), [(1e-12, OK), (1e-4, FAILED)])
def test_a_repair_done_again_on_another_machine_may_differ_by_rounding_only(shift: float, status: str) -> None:
    net, small, x = pruned("least_squares")
    small.params["dense2.W"][0, 0] += shift  # as another BLAS would have left it
    other = tampered(small, 1, after=digest(small))
    again = next(check for check in mp.verify(other, net, x).checks if check.what == "repair done again")
    assert again.status == status
    assert again.detail == ("the same up to rounding" if status == OK else "gives other weights")


def test_a_repair_done_again_must_select_the_same_features() -> None:
    net, x = example()
    small = mp.remove(net, mp.Plan({"input": [0]}), repair="mean", data=x)
    small.buffers["input.select.index"] = [1, 3, 2]
    other = tampered(small, 1, after=digest(small))
    assert failure(other, net, x) == (2, "repair done again", "gives other weights")


def test_a_repair_that_touched_more_than_it_says_is_found() -> None:
    net, small, _ = pruned()
    proof = replace(small.history[1].certificate, changed=("dense2.b",))
    step, what, detail = failure(tampered(small, 1, certificate=proof), net)
    assert (step, what, detail) == (2, "repair changed only what it says", "also dense3.b")


def wild(net: Graph, small: Graph, plan: mp.Plan, x: Any) -> Graph:
    other = small.copy()
    other.params["dense1.b"] += 1
    return other


def test_a_repair_of_ones_own_is_recorded_and_what_it_may_not_touch_is_named() -> None:
    net, small, x = pruned(wild)
    record = small.history[1]
    assert str(record) == "repair wild (known=False)"
    assert (record.certificate.changed, record.certificate.strayed) == (("dense1.b",), ("dense1.b",))
    assert str(record.certificate).endswith("changed dense1.b; of these dense1.b it MAY NOT")
    assert failure(small)[:2] == (2, "certificate on record")
    assert statuses(mp.verify(small, net, x))[2, "repair done again"] == UNCHECKED


def test_settings_that_a_repair_has_not_are_no_reason_to_break() -> None:
    net, small, x = pruned("least_squares")
    for how in ({"repair": "least_squares", "ridge": 1.0}, {"repair": "mean", "ridge": 1.0}, {}, {"repair": [1]}):
        assert statuses(mp.verify(tampered(small, 1, how=how), net, x))[2, "repair done again"] == UNCHECKED
    wrong = tampered(small, 1, how={**small.history[1].how, "ridge": -1.0})
    assert failure(wrong, net, x)[2].startswith("LeastSquares: ridge is -1.0")


def test_a_cast_that_did_something_else_is_found() -> None:
    net, small, x = pruned()
    cast = small.astype(np.float32)
    assert mp.verify(cast, net).ok
    wrong = tampered(cast, 2, how={"dtype": "float16"})
    assert failure(wrong, net, x)[1:] == ("cast done again", "gives other arrays")
    assert failure(tampered(cast, 2, how={"dtype": "int8"}), net, x)[1] == "cast done again"


def test_a_file_from_before_histories_is_not_said_to_be_wrong(tmp_path: Path) -> None:
    net, _ = example()
    stored = {"max_difference": 0.0, "bound": 1e-12, "ok": True, "inputs": "64 seeded normal inputs"}
    mp.save(net, tmp_path / "old.npz", {"certificate": stored})
    found = mp.verify(mp.load(tmp_path / "old.npz"), net)
    assert found.ok
    assert statuses(found)[0, "weights are those recorded"] == UNCHECKED
    assert statuses(found)[1, "the original is the network it began with"] == UNCHECKED


# --- the report, and the command line --------------------------------------------------------------------------------


def test_the_report_reads_as_text_and_as_json() -> None:
    net, small, x = pruned()
    found = mp.verify(small, net, x)
    lines = str(found).splitlines()
    assert lines[:2] == ["1. remove 2 of dense1, 1 of dense2", "2. repair mean"]
    assert lines[-1] == found.summary == "verified: 8 checks hold"
    content = json.loads(json.dumps(found.as_dict()))
    assert content["ok"] is True
    assert len(content["checks"]) == 8
    assert FAILED not in str(found)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Graph], None]:
    monkeypatch.chdir(tmp_path)
    net, small, x = pruned()
    np.savez("data.npz", x=x, y=np.zeros(len(x)))
    mp.save(net, "model.npz")

    def write(given: Graph | None = None) -> None:
        mp.save(small if given is None else given, "small.npz")

    write()
    return write


def test_the_command_exits_with_0_only_if_all_verifies(files: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "small.npz"]) == 0
    assert main(["verify", "small.npz", "--original", "model.npz"]) == 0
    assert "verified: " in capsys.readouterr().out
    net = mp.load("small.npz")
    net.params["dense1.W"][0, 0] += 1
    files(net)
    assert main(["verify", "small.npz", "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["failed"].startswith("NOT verified: step now, weights are those recorded")
    assert printed.err.startswith("minprune verify: NOT verified: step now")
    assert main(["verify", "model.npz"]) == 1
    assert "there is nothing to verify" in capsys.readouterr().err


def test_an_exact_reduction_is_told_by_what_it_found() -> None:
    net = mp.Sequential(mp.Dense(2, 4), mp.ReLU(), mp.Dense(4, 1), rng=0, dtype=np.float64)
    net.params["dense1.W"] = [[1.0, -1.0], [-1.0, -2.0], [2.0, -2.0], [-3.0, 1.0]]
    small = mp.reduce_exactly(net, (0, 1)).net
    assert str(mp.verify(small)).startswith("1. reduce dead 1, duplicate 1\n")
    assert str(mp.verify(mp.reduce_exactly(small, (0, 1)).net)).splitlines()[1] == "2. reduce nothing"
    assert [str(Record("train", "", "", how=how)) for how in ({}, {"epochs": 2})] == ["train", "train (epochs=2)"]
    assert str(Record("repair", "", "", how={"repair": "mean"})) == "repair mean"


@pytest.mark.parametrize("name", [name for name in SINGLE_INPUT if "softmax" not in name])
def test_a_repair_is_certified_on_every_wiring(name: str) -> None:
    net = EXAMPLES[name]()
    group = next(g for g in net.neurons.values() if not g.stays and g.size > 1)
    (x,) = inputs(net, 12).values()
    small = mp.remove(net, mp.Plan({group.name: [0]}), repair="mean", data=x)
    proof = small.history[-1].certificate
    assert proof.ok
    assert set(proof.changed) <= {f"{reader}.b" for read in group.reads for reader in read.readers}
    assert mp.verify(small, net, x).ok
