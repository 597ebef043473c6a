"""Sensitivity scan: every number is that of a removal by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, samples

import minprune as mp
from minprune import plots
from minprune.errors import DataError


def digits_net() -> mp.Graph:
    net = mp.Sequential(mp.Dense(64, 12), mp.ReLU(), mp.Dense(12, 8), mp.ReLU(), mp.Dense(8, 10), rng=0)
    mp.fit(net, mp.data.digits(), epochs=2, progress=False)
    return net


@pytest.mark.parametrize("repair", [None, "mean"])
def test_every_number_is_that_of_the_removal_from_one_group_alone(repair: str | None) -> None:
    net, data = digits_net(), mp.data.digits()
    scan = mp.sensitivity_scan(net, data, "taylor", [0.0, 0.25, 0.5], repair=repair, progress=False)
    assert [(row.group, row.fraction, row.removed) for row in scan.rows] == [
        *(("dense1", 0.0, 0), ("dense1", 0.25, 3), ("dense1", 0.5, 6)),
        *(("dense2", 0.0, 0), ("dense2", 0.25, 2), ("dense2", 0.5, 4)),
    ]
    scores = mp.score(net, data, "taylor")
    for row in scan.rows:
        lowest = np.argsort(scores[row.group], kind="stable")[: row.removed].tolist()
        small = mp.remove(net, mp.Plan({row.group: lowest}), repair, data.train)
        found = mp.evaluate(small, data.valid, runtime=(), progress=False)
        assert (row.loss, row.accuracy, row.rmse) == (found.loss, found.accuracy, None)
    assert scan.rows[0].accuracy == scan.dense.accuracy
    assert scan.evaluated_on == "validation"


def test_the_table_has_two_lines_for_each_group_and_says_what_it_is_of() -> None:
    lines = str(mp.sensitivity_scan(digits_net(), mp.data.digits(), fractions=[0.5], progress=False)).splitlines()
    assert lines[0].split() == ["group", "neurons", "dense", "50%"]
    assert [line.split()[0] for line in lines[1:5]] == ["dense1", "loss", "dense2", "loss"]
    assert lines[5] == "each group alone, the lowest by taylor removed; evaluated on validation data"


def test_numbers_are_judged_by_their_rmse_and_without_a_validation_part_on_the_training_data() -> None:
    net = EXAMPLES["cnn"]()
    data = samples(net, n=20)
    scan = mp.sensitivity_scan(net, data, "magnitude_l2", [0.5], groups=["conv2"], progress=False)
    assert (scan.measure, scan.evaluated_on, list(scan.sizes)) == ("rmse", "training", ["conv2"])
    assert scan.rows[0].accuracy is None
    assert scan.curves() == {"conv2": ([0.0, 0.5], [scan.dense.rmse, scan.rows[0].rmse])}
    assert json.loads(json.dumps(scan.as_dict()))["rows"][0]["removed"] == 1


def test_what_cannot_go_is_left_open_and_left_out_of_the_curve() -> None:
    net = mp.Sequential(mp.Dense(3, 4), mp.ReLU(), mp.Dense(4, 2), rng=0)
    net.params["dense2.W"] = [[1, 0, 0, 1], [0, 0, 0, -1]]  # what nobody reads has no sensitivity: 1/0
    data = (np.eye(3), np.arange(3) % 2)
    scan = mp.sensitivity_scan(net, data, "inverse_sensitivity", [0.5, 0.75], progress=False)
    assert np.isinf(scan.scores["dense1"]).sum() == 2
    assert [row.loss is None for row in scan.rows] == [False, True]
    assert scan.curves()["dense1"][0] == [0.0, 0.5]
    assert str(scan)


def test_the_scan_follows_from_the_seed_and_changes_nothing() -> None:
    net = digits_net()
    before = {name: array.tobytes() for name, array in net.arrays.items()}
    first, same = (mp.sensitivity_scan(net, mp.data.digits(), "random", [0.5], rng=3, progress=False) for _ in range(2))
    assert first.rows == same.rows
    assert {name: array.tobytes() for name, array in net.arrays.items()} == before


@pytest.mark.parametrize(("fractions", "got"), [([1.0], "1.0"), ([0.5, -0.1], "-0.1"), ([], "none"), ([np.nan], "nan")])
def test_fractions_are_from_zero_to_below_one(fractions: Any, got: str) -> None:
    net = EXAMPLES["mlp"]()
    with pytest.raises(DataError, match=f"fractions: expected numbers from 0 to below 1, got {got}"):
        mp.sensitivity_scan(net, samples(net), fractions=fractions)


def test_it_can_be_drawn() -> None:
    scan = mp.sensitivity_scan(digits_net(), mp.data.digits(), fractions=[0.25, 0.5], progress=False)
    figure = plots.sensitivity_scan(scan.curves(), "validation accuracy")
    assert [line.get_label() for line in figure.axes[0].lines] == ["dense1", "dense2"]
