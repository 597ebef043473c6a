"""Recalibration: batch-norms behind a removal take the statistics of what now comes to them."""

from fractions import Fraction

import numpy as np
import pytest
from networks import EXAMPLES, inputs, randomised, samples

import minprune as mp
from minprune.errors import DataError, DtypeError, StructureError
from minprune.pruning.repairs import recalibration


def two_norms() -> mp.Graph:
    return randomised(
        mp.Sequential(
            *(mp.Conv2d(1, 4, 3), mp.BatchNorm(4), mp.ReLU(), mp.Conv2d(4, 5, 2), mp.BatchNorm(5), mp.Tanh()),
            *(mp.Conv2d(5, 3, 1, bias=False), mp.BatchNorm(3), mp.Flatten(), mp.Dense(27, 2)),
            dtype=np.float64,
            input_shape=(1, 6, 6),
        )
    )


def test_every_batch_norm_behind_the_removal_normalises_what_comes_to_it() -> None:
    net = two_norms()
    x, _ = samples(net, n=20)
    plan = mp.Plan({"conv1": [1, 2]})
    repaired, bare = mp.remove(net, plan, repair="batch_norm", data=x), mp.remove(net, plan)
    values = repaired.run(repaired.take(x), repaired.arrays)
    for source, norm in (("conv2", "batchnorm2"), ("conv3", "batchnorm3")):
        z = values[source]
        np.testing.assert_allclose(repaired.buffers[f"{norm}.mean"], z.mean(axis=(0, 2, 3)), rtol=1e-12)
        np.testing.assert_allclose(repaired.buffers[f"{norm}.var"], z.var(axis=(0, 2, 3), ddof=1), rtol=1e-12)
        y = values[norm]
        np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), net.params[f"{norm}.beta"], atol=1e-12)
    changed = {key for key in bare.arrays if not np.array_equal(bare.arrays[key], repaired.arrays[key])}
    assert changed == {f"batchnorm{k}.{short}" for k in (2, 3) for short in ("mean", "var")}
    assert repaired.certificate == mp.remove(net, plan, data=x).certificate  # taken before the repair


def test_a_depthwise_convolution_alone_hands_on_what_it_did_before() -> None:
    net = EXAMPLES["depthwise"]()
    x, _ = samples(net, n=10)
    plan = mp.Plan({"conv1": [1]})
    repaired, bare = mp.remove(net, plan, repair="batch_norm", data=x), mp.remove(net, plan)
    assert all(np.array_equal(repaired.arrays[key], array) for key, array in bare.arrays.items())


def test_a_removal_behind_the_last_batch_norm_changes_none() -> None:
    net = EXAMPLES["cnn"]()
    x, _ = samples(net, n=10)
    plan = mp.Plan({"conv2": [1]})
    repaired, bare = mp.remove(net, plan, repair="batch_norm", data=x), mp.remove(net, plan)
    assert all(np.array_equal(repaired.arrays[key], array) for key, array in bare.arrays.items())


def test_statistics_do_not_depend_on_the_batches_nor_cancel_far_from_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    net = two_norms()
    net.params["conv2.b"] = np.full(5, 1e6)
    x, _ = samples(net, n=20)
    plan = mp.Plan({"conv1": [0]})
    whole = mp.remove(net, plan, repair="batch_norm", data=x)
    monkeypatch.setattr(recalibration, "BATCH", 3)
    parts = mp.remove(net, plan, repair="batch_norm", data=x)
    for key, array in whole.buffers.items():
        np.testing.assert_allclose(parts.buffers[key], array, rtol=1e-8)
    z = whole.run(whole.take(x), whole.arrays)["conv2"]
    np.testing.assert_allclose(parts.buffers["batchnorm2.var"], z.var(axis=(0, 2, 3), ddof=1), rtol=1e-8)


def test_dtype_and_what_was_given_stay() -> None:
    net = two_norms().astype(np.float32)
    x = inputs(net)["input"]
    before = {key: array.copy() for key, array in net.arrays.items()}
    repaired = mp.remove(net, mp.Plan({"conv1": [0]}), repair="batch_norm", data=x)
    assert all(np.array_equal(net.arrays[key], array) for key, array in before.items())
    assert {array.dtype for array in repaired.arrays.values()} == {np.dtype(np.float32)}


def test_what_cannot_be_recalibrated_is_refused_by_name() -> None:
    plan = mp.Plan({"dense1": [0]})
    with pytest.raises(StructureError, match="there is no batch-norm to recalibrate; use repair='mean' or 'least_sq"):
        mp.remove(EXAMPLES["mlp"](), plan, repair="batch_norm", data=np.ones((2, 4)))
    net = EXAMPLES["mlp without bias"]().astype(Fraction)
    with pytest.raises(DtypeError, match="batch-norms are recalibrated in floats, got object; use repair='mean'"):
        mp.remove(net, plan, repair="batch_norm", data=np.ones((2, 4), dtype=int))
    layers = mp.Dense(2, 3), mp.ReLU(), mp.Dense(3, 2), mp.BatchNorm(2), mp.Dense(2, 1)
    with pytest.raises(DataError, match="batchnorm1: expected at least 2 entries per channel to recalibrate with, got"):
        mp.remove(mp.Sequential(*layers), plan, repair="batch_norm", data=np.ones((1, 2)))
