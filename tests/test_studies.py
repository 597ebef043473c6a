"""What the demo and the README claim, measured: on digits with five seeds, on MNIST with real training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import minprune as mp
from minprune import studies
from minprune.cli import main
from minprune.comparison import compare


@pytest.mark.slow
def test_half_of_the_hidden_neurons_of_a_digits_network_can_go() -> None:
    study = studies.digits(seeds=5, progress=False)
    dense = np.mean(study.accuracy)
    tuned = {rule: np.mean(study.tuned(rule, "least squares")) for rule in study.pruned}
    untuned = {rule: np.mean(study.repaired(rule, "mean")) for rule in study.pruned}
    assert dense >= 0.97
    assert tuned["taylor"] >= dense - 0.01
    assert untuned["inverse_sensitivity"] < untuned["random"] < untuned["taylor"]
    for runs in study.pruned.values():
        for run in runs:
            for outcome in run.outcomes.values():
                assert sum(outcome.net.neurons[name].size for name in run.scores) == 384


@pytest.mark.slow
def test_least_squares_outweighs_the_rule_and_mean_repair_does_not_help_every_rule() -> None:
    study = studies.digits(seeds=3, progress=False)
    dense = np.mean(study.accuracy)
    for rule in study.pruned:
        assert np.mean(study.repaired(rule, "least squares")) >= dense - 0.02
    assert np.mean(study.repaired("random", "mean")) < np.mean(study.repaired("random", "none"))
    assert np.mean(study.repaired("taylor", "mean")) > np.mean(study.repaired("taylor", "none"))


@pytest.mark.slow
def test_the_pruned_digits_network_is_faster_and_smaller() -> None:
    study = studies.digits(seeds=1, progress=False)
    found = compare(
        {"dense": study.dense[0], "pruned": study.pruned["taylor"][0].outcomes["least squares"].net},
        study.data,
        progress=False,
    )
    dense, pruned = found.evaluations["dense"], found.evaluations["pruned"]
    assert found.ratio["pruned"][256].median >= 1.5
    assert found.ratio["pruned"][256].low > 1
    assert pruned.bytes_memory < dense.bytes_memory / 2
    assert pruned.bytes_disk < dense.bytes_disk / 2


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    ("words", "least", "backend"),
    [
        ("--hidden 300-100 --dropout 0.2 --epochs 12", 0.98, "numpy"),
        ("--net lenet5 --hidden 20-50-500 --epochs 6", 0.99, "numba"),  # with NumPy it takes five times as long
    ],
    ids=["mlp", "lenet5"],
)
def test_training_on_mnist_reaches_the_expected_accuracy(
    words: str,
    least: float,
    backend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with mp.backend(backend):
        assert main(["train", "mnist", *words.split(), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    print(
        f"test accuracy {content['test']['accuracy']}, seconds per epoch {np.median(content['history']['seconds']):.1f}"
    )
    assert content["test"]["accuracy"] >= least
