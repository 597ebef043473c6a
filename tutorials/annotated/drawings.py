"""The figures of the annotated document, as PNG for reading and SVG for print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import minprune as mp
from minprune import plots, worked

from .digits import FRACTIONS, LABELS, Study, trained


def network(study: Study) -> Figure:
    """The example before and after: the pair that the document names has gone."""
    plan = mp.Plan({"dense1": [0, 2]})
    return plots.network_drawing(worked.network(), plan, title="The worked example without h1 and h3")


def scores(study: Study) -> Figure:
    """The figure of 5.3.8 as meant: a bar for each neuron, and under it what its removal really costs."""
    found = worked.example()
    rule = "inverse_sensitivity"
    return plots.score_bars(
        found.scores[rule]["dense1"],
        found.picks[rule],
        truth=found.scores["leave_one_out"]["dense1"],
        title="1/|s|: what has a low bar goes, and costs most",
        xlabel="hidden neuron",
    )


def ranks(study: Study) -> Figure:
    """Which rule puts the neurons of a digits network in the order of the truth."""
    rules = ("inverse_sensitivity", "random", "taylor", "taylor2")
    mine = {rule: np.concatenate([*study.scores(0, rule).values()]) for rule in rules}
    truth = np.concatenate([*study.scores(0, "leave_one_out").values()])
    return plots.rank_ranks(mine, truth, removed=28, title="96 hidden neurons of a digits network, one seed")


def accuracy(study: Study) -> Figure:
    """Accuracy against the share removed, with its spread over seeds."""
    curves = {LABELS[rule]: (FRACTIONS, by_seed) for rule, by_seed in study.curves.items()}
    return plots.accuracy_against_removed(curves, ylabel="test accuracy, neither repaired nor tuned")


def front(study: Study) -> Figure:
    """Accuracy against time and bytes, of many candidates; the smallest that loses at most two points."""
    choice = mp.choose(study.nets[0], study.data, max_loss=0.02, batch=256, seconds=0.1, progress=False)
    return plots.pareto(**choice.for_plot())


def weights(study: Study) -> Figure:
    """What the neurons of the first layer read, before and after: removed, refitted, trained again."""
    net, plan = study.nets[0], study.plan(0, "taylor", 0.5)
    small = trained(mp.remove(net, plan, repair="least_squares", data=study.data), study.data, 0, epochs=5, rate=1e-3)
    scores = study.scores(0, "taylor")["dense1"]
    return plots.weight_images(net.params["dense1.W"], small.params["dense1.W"], plan.drop["dense1"], scores, (8, 8))


FIGURES: dict[str, Callable[[Study], Figure]] = {
    "document-network": network,
    "document-scores": scores,
    "document-ranks": ranks,
    "document-accuracy": accuracy,
    "document-front": front,
    "document-weights": weights,
}


def paths(folder: Path) -> list[Path]:
    """Where the figures lie."""
    return [folder / f"{name}{suffix}" for name in FIGURES for suffix in (".png", ".svg")]


def draw(study: Study, folder: Path) -> None:
    """Write all of them."""
    for name, make in FIGURES.items():
        figure = make(study)
        for suffix in (".png", ".svg"):
            plots.save(figure, folder / f"{name}{suffix}")
