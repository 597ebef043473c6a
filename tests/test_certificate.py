"""Certificates and records: what a mask, a removal, a repair and a training leave behind, and that it is true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, inputs, whole

import minprune as mp
from minprune.certificate import Certificate, RepairCertificate
from minprune.errors import DataError, MinpruneError
from minprune.neurons import fingerprint
from minprune.nn import Graph
from minprune.provenance import digest, note, samples_digest
from minprune.pruning import surgery
from minprune.pruning.certifying import certify_repair, may_change, with_closed_columns


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_mask_computes_what_closed_columns_compute_on_every_wiring(name: str) -> None:
    net = EXAMPLES[name]()
    for group in net.neurons.values():
        if not group.stays and group.size > 1:
            plan = mp.Plan({group.name: [group.size - 1]})
            masked = mp.mask(net, plan)
            assert masked.certificate.ok
            assert masked.certificate.claim == "masked ≡ closed columns"
            x = inputs(net)
            np.testing.assert_allclose(masked(x), with_closed_columns(net, plan)(x), rtol=1e-12, atol=1e-12)


def test_closed_columns_are_those_that_read_the_neuron_and_no_others() -> None:
    net = EXAMPLES["concat, flatten"]()
    closed = with_closed_columns(net, mp.Plan({"conv1": [1]}))
    changed = [name for name in net.params if not np.array_equal(net.params[name], closed.params[name])]
    assert changed == ["dense1.W"]
    zero = (closed.params["dense1.W"] == 0).all(axis=0)
    assert np.flatnonzero(zero).tolist() == list(range(9, 18))  # channel 1 of 3 × 3 places


def test_a_mask_is_certified_on_the_data_and_in_rationals_without_any_difference() -> None:
    net = EXAMPLES["mlp"]()
    assert mp.mask(net, mp.Plan({"dense1": [0]}), np.ones((9, 4))).certificate.inputs == "9 samples of the data"
    exact = mp.mask(whole(EXAMPLES["mlp without bias"]()), mp.Plan({"dense1": [0]})).certificate
    assert (exact.max_difference, exact.bound, exact.ok) == (0, 0, True)


def test_the_certificate_catches_a_mask_that_closes_another_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    right = surgery.masked
    monkeypatch.setattr(surgery, "masked", lambda net, plan: right(net, mp.Plan({g: [1] for g in plan.drop})))
    with pytest.raises(MinpruneError, match=r"mask failed its check \(masked and closed columns DIFFER: largest diff"):
        mp.mask(EXAMPLES["mlp"](), mp.Plan({"dense1": [0]}))


def test_a_mask_of_a_network_that_puts_out_no_numbers_is_refused() -> None:
    net = EXAMPLES["mlp"]()
    net.params["dense3.b"][0] = np.nan
    with pytest.raises(DataError, match="look for NaN in its weights"):
        mp.mask(net, mp.Plan({"dense1": [0]}))


def test_a_record_holds_the_plan_the_structure_and_both_networks() -> None:
    net = EXAMPLES["mlp"]()
    small = mp.remove(net, mp.Plan({"dense1": [0, 2]}))
    (record,) = small.history
    assert (record.action, record.drop, record.structure) == ("remove", {"dense1": [0, 2]}, fingerprint(net))
    assert (record.before, record.after) == (digest(net), digest(small))
    assert str(record) == "remove 2 of dense1"
    assert isinstance(record.certificate, Certificate)
    assert str(mp.remove(net, mp.Plan({})).history[0]) == "remove nothing"


def test_the_history_goes_on_where_the_networks_own_ends() -> None:
    net = EXAMPLES["mlp"]()
    once = mp.remove(mp.mask(net, mp.Plan({"dense1": [1]})), mp.Plan({"dense1": [1]}))
    twice = mp.remove(once, mp.Plan({"dense2": [0]}), repair="merge")
    assert twice.history[:2] == once.history
    assert [record.action for record in twice.history] == ["mask", "remove", "remove", "repair"]
    ends = [record.after for record in twice.history]
    assert [record.before for record in twice.history] == [digest(net), *ends[:-1]]
    assert ends[-1] == digest(twice)
    assert net.history == ()
    assert len(once.history) == 2
    assert twice.certificate == twice.history[2].certificate  # of the removal, before the repair


# --- repairs ---------------------------------------------------------------------------------------------------------


def proof_of(net: Graph, plan: mp.Plan, repair: Any, x: Any) -> RepairCertificate:
    proof = mp.remove(net, plan, repair=repair, data=x).history[-1].certificate
    assert isinstance(proof, RepairCertificate)
    return proof


def test_a_repair_is_certified_with_the_differences_computed_by_hand() -> None:
    net = EXAMPLES["mlp"]()
    x = np.random.default_rng(0).standard_normal((300, 4))
    plan = mp.Plan({"dense1": [1], "dense2": [0]})
    proof = proof_of(net, plan, "mean", x)
    chosen = x[[n * 300 // 256 for n in range(256)]]
    for i, other in enumerate((mp.remove(net, plan), mp.remove(net, plan, repair="mean", data=x))):
        off = [[y - t for y, t in zip(*row, strict=True)] for row in zip(other(chosen), net(chosen), strict=True)]
        assert proof.largest[i] == pytest.approx(max(abs(e) for row in off for e in row), rel=1e-12)
        assert proof.rms[i] == pytest.approx((sum(e * e for row in off for e in row) / (256 * 3)) ** 0.5, rel=1e-12)
    assert (proof.samples, proof.digest) == (300, samples_digest(x))
    assert (proof.inputs, proof.changed, proof.strayed) == ("256 samples of the data", ("dense2.b", "dense3.b"), ())
    assert str(proof).startswith("improved: output off the dense network's by rms ")


def test_a_repair_that_made_it_worse_says_so() -> None:
    net = EXAMPLES["mlp"]()
    x = np.random.default_rng(0).standard_normal((50, 4))
    plan = mp.Plan({"dense1": [1]})
    x[:40] += 30  # means of samples that are nothing like the others
    small, repaired = mp.remove(net, plan), mp.remove(net, plan, repair="mean", data=x)
    proof = certify_repair(net, small, repaired, plan, data=x[40:])
    assert (proof.verdict, proof.ok) == ("worsened", True)
    assert proof.rms[1] > proof.rms[0]
    assert certify_repair(net, small, small, plan).verdict == "unchanged"
    assert "changed nothing" in str(certify_repair(net, small, small, plan))


def test_a_repair_without_data_is_judged_on_seeded_inputs() -> None:
    proof = proof_of(EXAMPLES["mlp"](), mp.Plan({"dense1": [1]}), "merge", None)
    assert (proof.inputs, proof.samples, proof.digest) == ("256 seeded normal inputs", 0, "")
    assert proof.changed == ("dense2.W",)


def test_repairs_may_change_readers_and_the_statistics_behind_them_only() -> None:
    net = EXAMPLES["conv without bias"]()
    assert may_change(net, net, mp.Plan({"conv1": [0]})) == {"dense1.W", "dense1.b"}
    deep = EXAMPLES["nested"]()
    allowed = may_change(deep, deep, mp.Plan({"conv1": [0]}))
    assert "conv1.W" not in allowed
    assert {"conv2.W", "conv2.b", "batchnorm2.mean", "batchnorm4.var"} <= allowed
    assert not {"batchnorm1.mean", "batchnorm2.gamma"} & allowed


def test_a_repair_that_leaves_no_numbers_is_refused() -> None:
    def spoil(net: Graph, small: Graph, plan: mp.Plan, x: Any) -> Graph:
        other = small.copy()
        other.params["dense3.b"][0] = np.inf
        return other

    with pytest.raises(DataError, match="the repair is judged on 2 samples of the data, and there an output is not"):
        mp.remove(EXAMPLES["mlp"](), mp.Plan({"dense1": [0]}), repair=spoil, data=np.ones((2, 4)))


def test_a_repair_that_returns_what_it_was_given_leaves_the_bare_networks_history_alone() -> None:
    given: list[Graph] = []

    def nothing(net: Graph, small: Graph, plan: mp.Plan, x: Any) -> Graph:
        given.append(small)
        return small

    small = mp.remove(EXAMPLES["mlp"](), mp.Plan({"dense1": [0]}), repair=nothing, data=np.ones((2, 4)))
    assert len(given[0].history) == 1
    assert [record.action for record in small.history] == ["remove", "repair"]
    assert small.history[-1].certificate.verdict == "unchanged"


# --- digests and training --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_digest_tells_any_change_of_any_array(name: str) -> None:
    net = EXAMPLES[name]()
    assert digest(net.copy()) == digest(net)
    assert digest(net.astype(np.float32)) != digest(net)
    for key, array in net.arrays.items():
        other = net.copy()
        other.arrays[key].flat[-1] = array.flat[-1] + 1 if array.dtype.kind in "iu" else np.nextafter(array.flat[-1], 9)
        assert digest(other) != digest(net), key


def test_a_digest_does_not_depend_on_how_numbers_lie_in_memory() -> None:
    net = EXAMPLES["mlp"]()
    turned = {k: np.asfortranarray(v.astype(v.dtype.newbyteorder(">"))) for k, v in net.arrays.items()}
    assert digest(net.with_arrays(turned)) == digest(net)
    sized = mp.Sequential(mp.Dense(np.int64(4), 2), mp.Dropout(np.float64(0.5)), rng=0)
    assert digest(sized) == digest(mp.Sequential(mp.Dense(4, 2), mp.Dropout(0.5), rng=0))


def test_a_digest_tells_settings_and_wiring_apart() -> None:
    nets = [
        mp.Sequential(mp.Dense(2, 2), mp.LeakyReLU(0.1), rng=0),
        mp.Sequential(mp.Dense(2, 2), mp.LeakyReLU(0.2), rng=0),
        mp.Sequential(mp.Dense(2, 2), mp.ReLU(), rng=0),
        mp.Sequential(mp.ReLU(), mp.Dense(2, 2), rng=0),
    ]
    assert len({digest(net) for net in nets}) == 4
    assert samples_digest(np.ones((2, 3))) != samples_digest(np.ones((3, 2)))
    assert samples_digest({"a": np.ones((2, 3))}) != samples_digest({"b": np.ones((2, 3))})


def test_training_is_noted_where_there_is_a_history_to_go_on_with() -> None:
    net = EXAMPLES["linear"]()
    x = np.random.default_rng(0).standard_normal((20, 3))
    mp.fit(net, (x, x[:, :2]), epochs=2, progress=False)
    assert net.history == ()
    small = mp.remove(net, mp.Plan({"dense1": [0]}))
    before = digest(small)
    mp.fit(small, (x, x[:, :2]), epochs=3, progress=False)
    record = small.history[-1]
    assert (record.action, record.before, record.after) == ("train", before, digest(small))
    assert record.how["epochs"] == 3
    assert str(record).startswith("train (epochs=3, optimizer=Adam(lr=0.001")
    assert small.certificate == small.history[0].certificate
    note(net, "train", "", epochs=1)
    assert net.history == ()
