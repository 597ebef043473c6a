"""Cuts: what is left of a network when a choice of neurons goes, and what a fixed budget of training makes of it.

Every choice gets the same budget: the same samples in the same order, as many steps, no look at the data it is judged
on, the last weights. What differs afterwards is the choice. Beside them stands a network of the same size that starts
from nothing: what it reaches, nobody needs a score for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .datasets.samples import Samples
from .errors import PlanError, TrainingError
from .evaluation import evaluate
from .nn import Graph
from .pruning.deciding import PerLayer, Strategy, decide
from .pruning.schedule import FineTune
from .pruning.surgery import remove
from .scores import Scores

SCRATCH = "from scratch"


@dataclass(frozen=True)
class Quality:
    """How right a network is: its loss, and its accuracy or (for a regression) RMSE, as in an `Evaluation`."""

    loss: float
    accuracy: float | None
    rmse: float | None


@dataclass(frozen=True)
class Cut:
    """What removing one criterion's choice costs, without repair.

    Attributes
    ----------
    criterion : str
        Or ``"from scratch"``, for a network of that size with new weights.
    fraction : float
        Of the hidden neurons, removed.
    removed : Quality or None
        Before any training; None where the criterion cannot choose so many neurons (those with a score of +∞ stay, and
        so does one of every group), and from scratch.
    tuned : Quality or None
        After the training budget, where there is one.
    """

    criterion: str
    fraction: float
    removed: Quality | None
    tuned: Quality | None


@dataclass(frozen=True)
class Conditions:
    """What is the same for every choice: data to train and to judge on, loss, seed and budgets.

    With dropout the order of the samples is the same in the first epoch only: its draws go with the size of the layers.
    """

    train: Samples
    judged: Samples
    loss: str | None
    seed: int
    finetune: FineTune | None
    scratch: FineTune | None

    def cut(self, net: Graph, scores: Scores, strategy: Strategy, fraction: float) -> Cut:
        """Remove what the scores choose, judge, fine-tune, judge again."""
        try:
            plan = decide(scores, strategy)
        except PlanError:  # there are not so many that may go
            return Cut(scores.criterion, fraction, None, None)
        small = remove(net, plan)
        removed = self.quality(small)
        return Cut(
            scores.criterion, fraction, removed, self._tuned(small, self.finetune, net, scores.criterion, fraction)
        )

    def from_scratch(self, net: Graph, scores: Scores, fraction: float) -> Cut:
        """Train a network of new weights from which that fraction of every group is missing; which ones is no matter.

        It does not depend on any criterion: where the ranking is global every choice has other sizes, and none of them
        is the right one; the dense network's proportions are what is known without a score.
        """
        small = remove(net, decide(scores, PerLayer(fraction))).fresh(self.seed)
        return Cut(SCRATCH, fraction, None, self._tuned(small, self.scratch, net, SCRATCH, fraction))

    def quality(self, net: Graph) -> Quality:
        """Judge a network."""
        found = evaluate(net, self.judged, loss=self.loss, runtime=(), progress=False)
        return Quality(found.loss, found.accuracy, found.rmse)

    def _tuned(self, net: Graph, how: FineTune | None, dense: Graph, name: str, fraction: float) -> Quality | None:
        """Train in place, if there is a budget, and judge."""
        if how is None:
            return None
        try:  # without a validation part: the last weights, whatever they are
            how.run(net, self.train, self.loss, None, np.random.default_rng(self.seed), False, dense)
        except TrainingError as error:
            raise TrainingError(f"{name}, {fraction:.0%} removed: {error}") from None
        return self.quality(net)


def epochs_of(how: FineTune) -> str:
    """How long a training is, for people.

    Examples
    --------
    >>> epochs_of(FineTune(1)), epochs_of(FineTune(2))
    ('1 epoch', '2 epochs')
    """
    return f"{how.epochs} epoch{'s' * (how.epochs != 1)}"
