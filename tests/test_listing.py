"""The document's program (spec E): the same run with neurons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minprune import listing, plots


@pytest.mark.parametrize("hidden", [3, 5])
def test_two_neurons_with_the_lowest_printed_score_go(hidden: int) -> None:
    found = listing.experiment(hidden)
    lowest = sorted(np.argsort(found.scores["dense1"])[:2].tolist())
    assert found.plan.drop == {"dense1": lowest}
    assert found.pruned.neurons["dense1"].size == hidden - 2
    assert found.retrained.params["dense2.W"].shape == (2, hidden - 2)
    assert found.pruned.certificate is not None
    assert found.pruned.certificate.ok


def test_the_listing_scores_four_tensors_not_neurons() -> None:
    found = listing.experiment(5)
    assert list(found.per_tensor) == ["dense1.W", "dense1.b", "dense2.W", "dense2.b"]
    grads = listing.record(found.trained, listing.X, listing.T, loss="mse").grads
    assert found.per_tensor["dense2.b"] == pytest.approx(1 / np.abs(grads["dense2.b"]).mean())


def test_training_lowers_the_loss_and_more_epochs_lower_it_further() -> None:
    found = listing.experiment(5)
    start, trained, longer = (
        listing.record(net, listing.X, listing.T, loss="mse").loss
        for net in (listing.network(5, 42), found.trained, found.longer)
    )
    assert longer < trained < start


def test_retraining_goes_on_from_the_pruned_network_with_a_fresh_optimiser() -> None:
    found = listing.experiment(5)
    before = listing.record(found.pruned, listing.X, listing.T, loss="mse").loss
    after = listing.record(found.retrained, listing.X, listing.T, loss="mse").loss
    assert after < before


def test_same_seed_same_numbers_and_other_seed_other_numbers() -> None:
    first, again, other = listing.experiment(5, 42), listing.experiment(5, 42), listing.experiment(5, 43)
    for name, array in first.retrained.params.items():
        assert array.tobytes() == again.retrained.params[name].tobytes()
    assert not np.array_equal(first.scores["dense1"], other.scores["dense1"])


def test_accuracy_on_two_samples_is_0_a_half_or_1() -> None:
    outputs = [[[0.1, 0.9], [0.9, 0.1]], [[0.1, 0.9], [0.1, 0.9]], [[0.9, 0.1], [0.1, 0.9]]]
    assert [listing.agreement(np.array(o)) for o in outputs] == [1.0, 0.5, 0.0]


def test_the_figure_of_predictions_says_how_long_both_networks_were_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = {}
    monkeypatch.setattr(plots, "save", lambda figure, path: drawn.update({path.name: figure}))
    listing.run(tmp_path, hidden=3)
    (legend,) = drawn["predictions.png"].legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["exact", "dense, 200 epochs", "pruned after 100 of 200"]


def test_the_run_draws_both_figures_and_reports(tmp_path: Path) -> None:
    text, content = listing.run(tmp_path / "out", hidden=3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["predictions.png", "scores.png"]
    assert "dense, 200 epochs" in text
    assert len(content["scores"]) == 3
    assert len(content["removed"]) == 2
