"""Numbers on real digits: networks of three seeds, 64-64-32-10 in float64, the same for every statement.

Scores, repairs and training see the training part; the accuracies are those of the test part, whatever was chosen was
chosen without it. Times are compared within this run and quoted as "more than": see `FASTER`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

import minprune as mp
from minprune.correlation import spearman
from minprune.learning_rates import Cosine
from minprune.models import mlp
from minprune.nn import Graph
from minprune.optim import AdamW
from minprune.pruning.plan import Plan

SEEDS = 3
HIDDEN = (64, 32)
FRACTIONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
RULES = ("leave_one_out", "taylor", "random", "inverse_sensitivity")
LABELS = {"leave_one_out": "leave one out", "taylor": "Taylor |o s|", "random": "random"} | {
    "inverse_sensitivity": "the document's 1/|s|"
}
FASTER = 1.5  # what "more than … times as fast" says; the run must give more


@dataclass(frozen=True, eq=False)
class Study:
    """The trained networks, and what is asked of them more than once."""

    data: Any = field(default_factory=mp.data.digits)

    @cached_property
    def nets(self) -> list[Graph]:
        """One dense network for every seed."""
        return [trained(mlp(64, HIDDEN, 10, rng=seed, dtype=np.float64), self.data, seed) for seed in range(SEEDS)]

    def plan(self, seed: int, rule: str, share: float) -> Plan:
        """The lowest `share` of both hidden layers together."""
        return mp.decide(self.scores(seed, rule), mp.Global(share))

    def scores(self, seed: int, rule: str) -> Any:
        """Of one network, on the training part."""
        return mp.score(self.nets[seed], self.data, rule, rng=seed, progress=False)

    def accuracy(self, net: Graph) -> float:
        """On the test part."""
        found = mp.evaluate(net, self.data, runtime=(), progress=False).accuracy
        assert found is not None
        return found

    def over_seeds(self, make: Callable[[int], Graph]) -> list[float]:
        """Accuracies of what is made for every seed."""
        return [self.accuracy(make(seed)) for seed in range(SEEDS)]

    def removed(self, rule: str, share: float, repair: str | None = None, tune: bool = False) -> list[float]:
        """Accuracies without the lowest `share`, one per seed."""

        def make(seed: int) -> Graph:
            net = mp.remove(self.nets[seed], self.plan(seed, rule, share), repair=repair, data=self.data)
            return trained(net, self.data, seed, epochs=5, rate=1e-3) if tune else net

        return self.over_seeds(make)

    @cached_property
    def curves(self) -> dict[str, list[list[float]]]:
        """Rule -> accuracy for every seed and fraction, nothing repaired."""
        found = {rule: [self.removed(rule, share) for share in FRACTIONS] for rule in RULES}
        return {rule: np.transpose(by).tolist() for rule, by in found.items()}


def trained(net: Graph, data: Any, seed: int, epochs: int = 15, rate: float = 2e-3) -> Graph:
    """The network itself, after some epochs."""
    schedule = Cosine()
    mp.fit(net, data, optimizer=AdamW(rate), schedule=schedule, epochs=epochs, batch_size=64, rng=seed, progress=False)
    return net


def percent(values: float | list[float]) -> str:
    """A mean as a percentage.

    Examples
    --------
    >>> percent([0.96, 0.97])
    '96.5 %'
    """
    return f"{100 * float(np.mean(values)):.1f} %"


def spread(values: list[float]) -> str:
    """A mean with its range.

    Examples
    --------
    >>> spread([0.96, 0.97])
    '96.5 % (96.0–97.0)'
    """
    return f"{percent(values)} ({100 * min(values):.1f}–{100 * max(values):.1f})"


def correlations(study: Study) -> dict[str, float]:
    """Spearman's ρ of rules with the truth, mean over seeds, both layers together."""
    found = {}
    for rule in ("inverse_sensitivity", "sensitivity", "taylor", "taylor2", "random"):
        rhos = []
        for seed in range(SEEDS):
            mine, truth = (np.concatenate([*study.scores(seed, name).values()]) for name in (rule, "leave_one_out"))
            rhos.append(float(spearman(mine, truth)))
        found[rule] = float(np.mean(rhos))
    return found
