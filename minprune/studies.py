"""Studies: experiments of several seeds whose numbers and figures the project shows.

`digits` is what `minprune demo` runs: one dense network per seed, trained on the UCI digits, pruned by several rules to
the same size, fine-tuned alike, judged on the test part once, at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .data import Dataset
from .data import digits as load_digits
from .evaluation import evaluate
from .learning_rates import Cosine
from .models import mlp
from .nn import Graph
from .optim import AdamW
from .progress import bar
from .pruning.deciding import Global, decide
from .pruning.plan import Plan
from .pruning.surgery import remove
from .scores import Scores, score
from .train import fit

HIDDEN = (512, 256)
EPOCHS = 20
TUNING_EPOCHS = 10
REMOVED = 0.5
FRACTIONS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
REPAIRS: dict[str, str | None] = {"none": None, "mean": "mean", "least squares": "least_squares"}
RULES = ("inverse_sensitivity", "random", "taylor", "leave_one_out")


def dense_network(seed: int, data: Dataset, progress: bool = False) -> Graph:
    """Train the study's dense network; the hyper-parameters were chosen on the validation part.

    Parameters
    ----------
    seed : int
        Of weights, shuffling and dropout.
    data : Dataset
        Trained on the training part, weights chosen on the validation part.
    progress : bool
        Show a bar.
    """
    net = mlp(data.train.x.shape[1], HIDDEN, 10, rng=seed)
    fit(net, data, optimizer=AdamW(1e-3), schedule=Cosine(), epochs=EPOCHS, batch_size=64, rng=seed, progress=progress)
    return net


def tune(net: Graph, seed: int, data: Dataset, progress: bool = False) -> None:
    """Fine-tune a pruned network, in place, with the study's setting."""
    fit(
        net,
        data,
        optimizer=AdamW(5e-4),
        schedule=Cosine(),
        epochs=TUNING_EPOCHS,
        batch_size=64,
        rng=seed,
        progress=progress,
    )


@dataclass(frozen=True, eq=False)
class Outcome:
    """A pruned and repaired network, and its accuracy on the test part before and after fine-tuning."""

    net: Graph
    repaired: float
    tuned: float


@dataclass(frozen=True, eq=False)
class Pruned:
    """One network pruned by one rule.

    Attributes
    ----------
    scores : Scores
    plan : Plan
        Half of the hidden neurons.
    outcomes : dict
        Repair ("none" …) -> Outcome.
    curves : dict
        Repair -> validation accuracy without fine-tuning, for every fraction.
    """

    scores: Scores
    plan: Plan
    outcomes: dict[str, Outcome]
    curves: dict[str, list[float]]


@dataclass(frozen=True, eq=False)
class DigitsStudy:
    """What `digits` found.

    Attributes
    ----------
    data : Dataset
    dense : list of Graph
        One per seed.
    accuracy : list of float
        Of the dense networks, on the test part.
    pruned : dict
        Rule -> one `Pruned` per seed.
    """

    data: Dataset
    dense: list[Graph]
    accuracy: list[float]
    pruned: dict[str, list[Pruned]]

    def curves(self, repair: str) -> dict[str, tuple[Any, Any]]:
        """Rule -> (fractions (k,), accuracies (seeds, k))."""
        return {
            rule: (np.array(FRACTIONS), np.array([run.curves[repair] for run in runs]))
            for rule, runs in self.pruned.items()
        }

    def repaired(self, rule: str, repair: str) -> list[float]:
        """Test accuracies of half the network, one per seed, before fine-tuning."""
        return [run.outcomes[repair].repaired for run in self.pruned[rule]]

    def tuned(self, rule: str, repair: str) -> list[float]:
        """Test accuracies of half the network, one per seed, after fine-tuning."""
        return [run.outcomes[repair].tuned for run in self.pruned[rule]]


def digits(seeds: int = 5, progress: bool = True) -> DigitsStudy:
    """Prune half of the hidden neurons of a 64-512-256-10 network, by four rules and three repairs, over several seeds.

    Parameters
    ----------
    seeds : int
        How many; they are 0, 1, 2 …
    progress : bool
        Show a bar.

    Returns
    -------
    DigitsStudy

    Notes
    -----
    Scores and repairs see the training part; the ranking is global over both hidden layers, in one shot. Settings and
    epochs were chosen on the validation part, which the curves are on; all other accuracies are on the test part.
    Source: spec F2, F4.
    """
    data = load_digits()
    dense: list[Graph] = []
    accuracy: list[float] = []
    pruned: dict[str, list[Pruned]] = {rule: [] for rule in RULES}
    with bar("digits", seeds * (1 + len(RULES)), show=progress) as advance:
        for seed in range(seeds):
            net = dense_network(seed, data)
            dense.append(net)
            accuracy.append(_accuracy(net, data.test))
            advance(text=f"seed {seed}: dense {accuracy[-1]:.3f}")
            for rule in RULES:
                pruned[rule].append(_prune_by(rule, net, seed, data))
                advance(text=f"seed {seed}: {rule}")
    return DigitsStudy(data, dense, accuracy, pruned)


def _prune_by(rule: str, net: Graph, seed: int, data: Dataset) -> Pruned:
    scores = score(net, data, rule, rng=seed)
    curves = {
        name: [
            _accuracy(remove(net, decide(scores, Global(fraction)), repair=repair, data=data), data.valid)
            for fraction in FRACTIONS
        ]
        for name, repair in REPAIRS.items()
    }
    plan = decide(scores, Global(REMOVED))
    outcomes = {name: _outcome(net, plan, repair, seed, data) for name, repair in REPAIRS.items()}
    return Pruned(scores, plan, outcomes, curves)


def _outcome(net: Graph, plan: Plan, repair: str | None, seed: int, data: Dataset) -> Outcome:
    small = remove(net, plan, repair=repair, data=data)
    repaired = _accuracy(small, data.test)
    tune(small, seed, data)
    return Outcome(small, repaired, _accuracy(small, data.test))


def _accuracy(net: Graph, samples: Any) -> float:
    found = evaluate(net, (samples.x, samples.y), runtime=()).accuracy
    assert found is not None  # digits are classes
    return found
