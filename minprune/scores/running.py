"""Running scores: what a gradient criterion says of mini-batch after mini-batch, averaged as training goes on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..neurons import Ids, fingerprint
from ..nn import Graph
from .base import Scores, Vector
from .gates import GateCriterion, GateGradients


class RunningScores:
    r"""Scores averaged over training steps, the latest counting most.

    $v_t = \beta v_{t-1} + (1 - \beta)\, m_t$, read as $v_t / (1 - \beta^t)$, with $m_t$ the mean over the mini-batch of
    what the criterion says of every sample.

    Parameters
    ----------
    criterion : GateCriterion
        What is averaged.
    decay : float
        β, from 0 to below 1.

    Examples
    --------
    >>> from minprune.neurons import Read
    >>> from minprune.scores import CRITERIA
    >>> running = RunningScores(CRITERIA["taylor_squared"](), decay=0.5)
    >>> read = Read("relu1", ("dense2",), np.array([0, 1]))
    >>> a, g = np.array([[1.0, 2.0]]), np.array([[3.0, 1.0]])
    >>> running.add({"dense1": GateGradients([(read, a, g)], 2)})
    >>> running.average["dense1"] / (1 - 0.5)  # (a g)²
    array([9., 4.])
    """

    def __init__(self, criterion: GateCriterion, decay: float) -> None:
        self.criterion, self.decay = criterion, decay
        self.steps = 0
        self.average: dict[str, Vector] = {}

    def add(self, gradients: Mapping[str, GateGradients]) -> None:
        """Take in a mini-batch."""
        self.steps += 1
        for name, found in gradients.items():
            mean = self.criterion.sample(found).mean(axis=0, dtype=np.float64)  # (N,n) -> (n,)
            self.average[name] = self.decay * self.average.get(name, 0.0) + (1 - self.decay) * mean

    def scores(self, net: Graph) -> Scores:
        """The scores as they stand."""
        weight = 1 - self.decay**self.steps
        found = {name: self.criterion.finish(average / weight) for name, average in self.average.items()}
        return Scores(f"{self.criterion.name}, averaged while training", found, fingerprint(net), net=net)

    def keep(self, stay: Mapping[str, Ids]) -> None:
        """Forget those that left: group -> the neurons that are still there."""
        self.average = {name: average[stay[name]] for name, average in self.average.items()}
