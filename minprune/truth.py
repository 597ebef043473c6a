r"""Agreement: every criterion beside the truth, and what its choices cost.

A score promises that the lowest can go. Two questions test the promise. Does it put the neurons in the order of what
their removal, one at a time, really does to the loss? And what are the loss and the accuracy when its choice goes,
many neurons at once, and after some training has made up for it? The second is what counts; the first does not decide
it, since removals do not add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

import numpy as np

from .cuts import SCRATCH, Conditions, Cut, Quality, epochs_of
from .datasets.samples import Samples, as_splits
from .errors import DataError
from .nn import Graph
from .progress import bar
from .pruning.deciding import Global, PerLayer
from .pruning.schedule import FineTune
from .ranks import Row, compare_all
from .reports import table
from .scores import CRITERIA, Criterion, Scores, score

TRUTH = "leave_one_out"
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RANKINGS = {"global": Global, "per-layer": PerLayer}
DENSE_EPOCHS = 20  # how long `fit` trains if nobody says otherwise


@dataclass(frozen=True)
class Agreement:
    """Every criterion beside the truth. `print` it for a table in two parts; `plots.agreement_figure` draws it.

    Attributes
    ----------
    rows : list of Row
        Per criterion and group, the best over all groups first.
    cuts : list of Cut
        Per criterion and fraction, in the same order; last, where there is a budget for it, ``"from scratch"``.
    dense : Quality
        Of the network as it is.
    ranking : str
        How the cuts were chosen.
    evaluated_on : str
        "validation" or "training" data.
    finetune, scratch : FineTune or None
        What every choice, and the network from scratch, was trained by.
    scores : dict
        Criterion -> Scores, `leave_one_out` among them.
    skipped : dict
        Criterion -> why this network has no such score.
    """

    rows: list[Row]
    cuts: list[Cut]
    dense: Quality
    ranking: str
    evaluated_on: str
    finetune: FineTune | None
    scratch: FineTune | None
    scores: Mapping[str, Scores]
    skipped: Mapping[str, str]

    @property
    def measure(self) -> str:
        """What the cuts are judged by beside the loss: accuracy, or rmse for a regression."""
        return "rmse" if self.dense.accuracy is None else "accuracy"

    @property
    def fractions(self) -> list[float]:
        """The fractions removed, from the smallest."""
        return sorted({cut.fraction for cut in self.cuts})

    def states(self, criterion: str) -> tuple[str, ...]:
        """When its cuts were judged: "removed", "tuned"."""
        if criterion == SCRATCH:
            return ("tuned",)
        return ("removed",) if self.finetune is None else ("removed", "tuned")

    def curve(self, criterion: str, state: str, measure: str) -> list[float | None]:
        """What one criterion's cuts reach, in the order of `fractions`: ``curve("taylor", "tuned", "loss")``."""
        cuts = {cut.fraction: getattr(cut, state) for cut in self.cuts if cut.criterion == criterion}
        return [getattr(cuts[fraction], measure, None) for fraction in self.fractions]

    def as_dict(self) -> dict[str, Any]:
        """All but the scores, as plain values for JSON; NaN and ∞ are None."""
        return {
            "rows": [_plain(asdict(row)) for row in self.rows],
            "cuts": [_plain(asdict(cut)) for cut in self.cuts],
            "dense": _plain(asdict(self.dense)),
            "ranking": self.ranking,
            "evaluated_on": self.evaluated_on,
            "finetune": _budget(self.finetune),
            "scratch": _budget(self.scratch),
            "skipped": dict(self.skipped),
        }

    def __str__(self) -> str:
        names = ("criterion", "group", "neurons", "Spearman", "95 %", "Kendall", "95 %", "lowest ¼ shared")
        lines = [table(names, [_cells(row) for row in self.rows], left=2)]
        if self.cuts:
            head = ("criterion", "", "dense", *(f"{fraction:.3g}" for fraction in self.fractions))
            lines += ["", *self._protocol(), table(head, self._cut_rows(), left=2)]
        lines += [f"without {name}: {why}" for name, why in self.skipped.items()]
        return "\n".join(lines)

    def _protocol(self) -> list[str]:
        """What the second part shows."""
        what = f"{self.measure} and loss on {self.evaluated_on} data, the choice removed ({self.ranking}), not repaired"
        tuned = "" if self.finetune is None else f"; tuned: {epochs_of(self.finetune)} later, the same for all"
        if self.scratch is not None:
            last = f"as many neurons in the dense network's proportions, new weights, {epochs_of(self.scratch)}"
        else:
            last = "none, there is no budget for training; give finetune=FineTune(epochs=…), or --epochs"
        return [what + tuned, f"{SCRATCH}: {last}"]

    def _cut_rows(self) -> list[tuple[Any, ...]]:
        """For every criterion the measure and the loss, each before and after fine-tuning, where there is any."""
        rows: list[tuple[Any, ...]] = []
        for name in dict.fromkeys(cut.criterion for cut in self.cuts):
            head = name
            for measure in (self.measure, "loss"):
                for state in self.states(name):
                    dense = getattr(self.dense, measure) if state == "removed" else None
                    what = f"{measure} tuned" if state == "tuned" else measure
                    rows.append((head, what, dense, *self.curve(name, state, measure)))
                    head = ""
        return rows


def agreement(
    net: Graph,
    data: Any,
    criteria: Iterable[str | Criterion] | None = None,
    *,
    fractions: Iterable[float] = FRACTIONS,
    ranking: str = "global",
    finetune: FineTune | None = None,
    scratch: FineTune | None = None,
    loss: str | None = None,
    rng: int | np.random.Generator = 0,
    bootstrap: int = 1000,
    progress: bool = True,
) -> Agreement:
    r"""Hold criteria against the exact cost of every removal, and try their choices.

    Spearman's $\rho$ and Kendall's $\tau_b$ between $I_j$ and $L_{\setminus j} - L$ over the neurons j.

    Parameters
    ----------
    net : Graph
        Is not changed.
    data : (x, y), an object with .x and .y, or a Dataset
        Scores, truth and training take it (of a Dataset, the training part), and the cuts are judged on it (of a
        Dataset, on the validation part; the test part is left for the end).
    criteria : names or instances, optional
        By default all that this network has; `random` and `leave_one_out` are always among them.
    fractions : floats
        Of the hidden neurons, to be removed; from 0 to below 1.
    ranking : {"global", "per-layer"}
        Whether the lowest of all neurons go, or the same fraction of every group.
    finetune : FineTune, optional
        The training that every choice gets after its removal; by default none. It is the same for all, shuffling
        included, and ends with the last weights: nothing is chosen on the data that the cuts are judged on.
    scratch : FineTune, optional
        The training of the network that starts from new weights, at every fraction with as many neurons in the dense
        network's proportions (under "per-layer" the sizes of every choice). A fair one takes as long as dense training
        and fine-tuning together. By default `finetune` with 20 epochs more, which is how long `fit` trains if nobody
        says otherwise; without `finetune` there is no such network.
    loss : str, optional
        By default cross-entropy for integer y, else mse.
    rng : int or Generator
        For criteria that draw, the bootstrap, new weights and shuffling: same seed, same result, whatever the other
        criteria.
    bootstrap : int
        How many resamples the intervals are made of.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    Agreement

    Raises
    ------
    DataError
        For data or a named criterion that cannot be used, an unknown ranking, a fraction out of range, or no resamples.
    PlanError
        When there are no hidden neurons.
    TrainingError
        When fine-tuning goes astray; the message names the choice.

    Notes
    -----
    Cost: the truth (see `leave_one_out`), each score, for each criterion and fraction a removal, a pass and the epochs
    of `finetune`, and for each fraction those of `scratch`. With 25 criteria and nine fractions an epoch is 225 epochs:
    name fewer criteria or fractions where one takes more than a second.

    On samples that the network was not trained on the truth is another one: there an overconfident network's loss falls
    when a confident neuron goes, and a ranking by it removes what accuracy needs. Measured on MNIST (784-300-100-10, 5
    seeds, ``bench/agreement.py``): a `taylor` that agrees with the truth at ρ = .81 on training samples does at .31 on
    validation samples, and half of the neurons removed by the truth (global) leave an error on the validation part of
    6 % (4–9) by the former, of 31 % (22–37) by the latter.

    Source: Spearman 1904; Kendall 1938; Efron 1979; Mozer and Smolensky 1989.

    Examples
    --------
    >>> from minprune.worked import LOSS, TARGET, X, network
    >>> found = agreement(network(), (X, TARGET), ["taylor_signed", "inverse_sensitivity"], fractions=[0.4], loss=LOSS)
    >>> [(row.criterion, round(row.spearman, 2)) for row in found.rows]
    [('leave_one_out', 1.0), ('taylor_signed', 1.0), ('inverse_sensitivity', -0.6), ('random', -0.7)]
    """
    if ranking not in RANKINGS:
        raise DataError(f"ranking is {ranking!r}, expected one of {', '.join(RANKINGS)}")
    if not isinstance(bootstrap, int | np.integer) or bootstrap < 1:
        raise DataError(f"bootstrap is {bootstrap!r}, expected a whole number of at least 1")
    strategies = {fraction: RANKINGS[ranking](fraction) for fraction in map(float, fractions)}
    for fraction in strategies:
        if not 0 <= fraction < 1:
            raise DataError(f"fractions: expected numbers from 0 to below 1, got {fraction}")
    if finetune is not None and scratch is None:
        scratch = replace(finetune, epochs=DENSE_EPOCHS + finetune.epochs)
    train, valid = as_splits(data)
    seed = int(np.random.default_rng(rng).integers(2**62))
    conditions = Conditions(train, valid or train, loss, seed, finetune, scratch)
    wanted = _wanted(criteria)
    truth = score(net, train, TRUTH, loss=loss, rng=seed, progress=progress)
    with bar("agreement", _steps(len(wanted), len(strategies), finetune, scratch), show=progress) as advance:
        scores, skipped = _scores(net, train, wanted, criteria is not None, loss, seed, advance)
        scores = {TRUTH: truth, **scores}
        rows = compare_all(scores, TRUTH, bootstrap, seed)
        cuts = []
        for name in dict.fromkeys(row.criterion for row in rows):
            for fraction, strategy in strategies.items():
                cuts.append(conditions.cut(net, scores[name], strategy, fraction))
                advance(1 + _length(finetune), text=f"{name}, {fraction:.0%} removed")
        for fraction in strategies if scratch is not None else ():
            cuts.append(conditions.from_scratch(net, truth, fraction))
            advance(_length(scratch), text=f"{SCRATCH}, {fraction:.0%} less")
    dense = conditions.quality(net)
    part = "training" if valid is None else "validation"
    return Agreement(rows, cuts, dense, ranking, part, finetune, scratch, scores, skipped)


def _steps(criteria: int, fractions: int, finetune: FineTune | None, scratch: FineTune | None) -> int:
    """How long it takes, where a score, a removal and an epoch count one; the truth has a bar of its own."""
    return criteria + (1 + criteria) * fractions * (1 + _length(finetune)) + fractions * _length(scratch)


def _length(how: FineTune | None) -> int:
    return 0 if how is None else how.epochs


def _budget(how: FineTune | None) -> dict[str, Any] | None:
    """A training budget as plain values."""
    return None if how is None else {k: v if isinstance(v, int | None) else str(v) for k, v in vars(how).items()}


def _wanted(criteria: Iterable[str | Criterion] | None) -> list[str | Criterion]:
    """What was asked for, and random; the truth is apart."""
    asked = list(CRITERIA if criteria is None else criteria)
    names = [c if isinstance(c, str) else c.name for c in asked]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"criteria: {twice[0]} is named twice; expected each once")
    asked = [c for c, name in zip(asked, names, strict=True) if name != TRUTH]
    return [*asked, *([] if "random" in names else ["random"])]


def _scores(
    net: Graph, data: Samples, wanted: list[str | Criterion], named: bool, loss: str | None, seed: int, advance: Any
) -> tuple[dict[str, Scores], dict[str, str]]:
    """The scores by criterion, and why others are missing; those that were named must not be."""
    scores, skipped = {}, {}
    for criterion in wanted:
        name = criterion if isinstance(criterion, str) else criterion.name
        advance(0, text=name)
        try:
            scores[name] = score(net, data, criterion, loss=loss, rng=seed, progress=False)
        except DataError as error:
            if named or name == "random":
                raise
            skipped[name] = str(error)
        advance()
    return scores, skipped


def _cells(row: Row) -> tuple[Any, ...]:
    numbers = (row.spearman, _between(row.spearman_interval), row.kendall, _between(row.kendall_interval), row.overlap)
    cells = (f"{number:.2f}" if isinstance(number, float) else number for number in numbers)
    return (row.criterion, row.group, row.neurons, *cells)


def _between(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.2f} … {ends[1]:.2f}"


def _plain(values: Any) -> Any:
    """What is no number or infinite, which JSON does not know, as None."""
    if isinstance(values, dict):
        return {name: _plain(value) for name, value in values.items()}
    if isinstance(values, tuple):
        return [_plain(value) for value in values]
    return None if isinstance(values, float) and not isfinite(values) else values
