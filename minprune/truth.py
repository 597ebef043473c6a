r"""Agreement: every criterion beside the truth, and what its choices cost.

A score promises that the lowest can go. Two questions test the promise. Does it put the neurons in the order of what
their removal, one at a time, really does to the loss? And what are the loss and the accuracy when its choice goes,
many neurons at once? The second is what counts; the first does not decide it, since removals do not add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import isfinite, isnan
from typing import Any

import numpy as np

from .correlation import interval, kendall, resamples, spearman
from .datasets.samples import Samples, as_splits
from .errors import DataError, PlanError
from .evaluation import evaluate
from .nn import Graph
from .progress import bar
from .pruning.deciding import Global, PerLayer, decide
from .pruning.surgery import remove
from .reports import table
from .scores import CRITERIA, Criterion, Scores, Vector, score

TRUTH = "leave_one_out"
TOGETHER = "all groups"
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RANKINGS = {"global": Global, "per-layer": PerLayer}
OVERLAP = 0.25  # the share of lowest neurons that two rankings are compared by


@dataclass(frozen=True)
class Row:
    """How well one criterion agrees with the truth within one group, or over all of them.

    Attributes
    ----------
    criterion, group : str
    neurons : int
    spearman, kendall : float
        ρ and τ_b; NaN where the scores are all the same.
    spearman_interval, kendall_interval : (float, float)
        95 %, by bootstrap over neurons.
    overlap : float
        Of the lowest quarter by score, the share that is in the lowest quarter by truth; ¼ is expected by chance.
    """

    criterion: str
    group: str
    neurons: int
    spearman: float
    spearman_interval: tuple[float, float]
    kendall: float
    kendall_interval: tuple[float, float]
    overlap: float


@dataclass(frozen=True)
class Cut:
    """What removing one criterion's choice costs, without repair or fine-tuning.

    `loss`, `accuracy` and `rmse` are as in an `Evaluation`, or None where the criterion cannot choose so many neurons
    (those with a score of +∞ stay, and so does one of every group).
    """

    criterion: str
    fraction: float
    loss: float | None
    accuracy: float | None
    rmse: float | None


@dataclass(frozen=True)
class Agreement:
    """Every criterion beside the truth. `print` it for two tables.

    Attributes
    ----------
    rows : list of Row
        Per criterion and group, the best over all groups first.
    cuts : list of Cut
        Per criterion and fraction, in the same order.
    dense : Cut
        The network as it is.
    ranking : str
        How the cuts were chosen.
    scores : dict
        Criterion -> Scores, `leave_one_out` among them.
    skipped : dict
        Criterion -> why this network has no such score.
    """

    rows: list[Row]
    cuts: list[Cut]
    dense: Cut
    ranking: str
    scores: Mapping[str, Scores]
    skipped: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Rows, cuts, the dense network, ranking and what was skipped, as plain values for JSON; NaN and ∞ are None."""
        return {
            "rows": [_plain(asdict(row)) for row in self.rows],
            "cuts": [_plain(asdict(cut)) for cut in self.cuts],
            "dense": _plain(asdict(self.dense)),
            "ranking": self.ranking,
            "skipped": dict(self.skipped),
        }

    def __str__(self) -> str:
        names = ("criterion", "group", "neurons", "Spearman", "95 %", "Kendall", "95 %", "lowest ¼ shared")
        lines = [table(names, [_cells(row) for row in self.rows], left=2), ""]
        measure = "RMSE" if self.dense.accuracy is None else "accuracy"
        lines.append(f"{measure} after removing the choice ({self.ranking}), no repair, no fine-tuning; loss below it")
        fractions = sorted({cut.fraction for cut in self.cuts})
        head = ("criterion", "", "dense", *(f"{fraction:.0%}" for fraction in fractions))
        lines.append(table(head, self._cut_rows(), left=2))
        lines += [f"without {name}: {why}" for name, why in self.skipped.items()]
        return "\n".join(lines)

    def _cut_rows(self) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for name in dict.fromkeys(cut.criterion for cut in self.cuts):
            cuts = [self.dense, *sorted((c for c in self.cuts if c.criterion == name), key=lambda cut: cut.fraction)]
            measure = "rmse" if self.dense.accuracy is None else "accuracy"
            rows.append((name, measure, *(getattr(cut, measure) for cut in cuts)))
            rows.append(("", "loss", *(cut.loss for cut in cuts)))
        return rows


def agreement(
    net: Graph,
    data: Any,
    criteria: Iterable[str | Criterion] | None = None,
    *,
    fractions: Iterable[float] = FRACTIONS,
    ranking: str = "global",
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
        Scores and truth are taken on it (of a Dataset, on the training part), and the cuts are judged on it (of a
        Dataset, on the validation part; the test part is left for the end).
    criteria : names or instances, optional
        By default all that this network has; `random` and `leave_one_out` are always among them.
    fractions : floats
        Of the hidden neurons, to be removed; from 0 to below 1.
    ranking : {"global", "per-layer"}
        Whether the lowest of all neurons go, or the same fraction of every group.
    loss : str, optional
        By default cross-entropy for integer y, else mse.
    rng : int or Generator
        For criteria that draw, and for the bootstrap: same seed, same result, whatever the other criteria.
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

    Notes
    -----
    Cost: the truth (see `leave_one_out`), each score, and for each criterion and fraction a removal and a pass. There
    is no fine-tuning after the cuts, and no network of the same size trained from scratch beside them: what this
    compares is choices, not recipes.

    On samples that the network was not trained on the truth is another one: there an overconfident network's loss falls
    when a confident neuron goes, and a ranking by it removes what accuracy needs. Measured on MNIST (784-300-100-10, 5
    seeds): a `taylor` that agrees with the truth at ρ = .77 on training samples does at .27 on validation samples, and
    half of the neurons removed by the truth cost 11 % error with the former, 36 % with the latter.

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
    train, valid = as_splits(data)
    seed = int(np.random.default_rng(rng).integers(2**62))
    wanted = _wanted(criteria)
    with bar("agreement", len(wanted) * (1 + len(strategies)), show=progress) as advance:
        scores, skipped = _scores(net, train, wanted, criteria is not None, loss, seed, advance)
        rows = _rows(scores, bootstrap, seed)
        judged = valid or train
        dense = _cut(net, judged, loss, "dense", 0.0)
        cuts = []
        for name in dict.fromkeys(row.criterion for row in rows):
            for fraction, strategy in strategies.items():
                cuts.append(_tried(net, scores[name], strategy, judged, loss, fraction))
                advance()
    return Agreement(rows, cuts, dense, ranking, scores, skipped)


def _wanted(criteria: Iterable[str | Criterion] | None) -> list[str | Criterion]:
    """The truth first, then what was asked for, and random."""
    asked = list(CRITERIA if criteria is None else criteria)
    names = [c if isinstance(c, str) else c.name for c in asked]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"criteria: {twice[0]} is named twice; expected each once")
    asked = [c for c, name in zip(asked, names, strict=True) if name != TRUTH]
    return [TRUTH, *asked, *([] if "random" in names else ["random"])]


def _scores(
    net: Graph, data: Samples, wanted: list[str | Criterion], named: bool, loss: str | None, seed: int, advance: Any
) -> tuple[dict[str, Scores], dict[str, str]]:
    """The scores by criterion, and why others are missing; those that were named must not be."""
    scores, skipped = {}, {}
    for criterion in wanted:
        name = criterion if isinstance(criterion, str) else criterion.name
        try:
            scores[name] = score(net, data, criterion, loss=loss, rng=seed)
        except DataError as error:
            if named or name in (TRUTH, "random"):
                raise
            skipped[name] = str(error)
        advance()
    return scores, skipped


def _rows(scores: Mapping[str, Scores], bootstrap: int, seed: int) -> list[Row]:
    """All rows; the criteria in the order of their correlation over all groups, the truth first."""
    truth = _by_group(scores[TRUTH])
    weights = {
        group: resamples(len(values), bootstrap, np.random.default_rng([seed, place]))
        for place, (group, values) in enumerate(truth.items())
    }
    by_criterion = [
        [_row(name, group, values, truth[group], weights[group]) for group, values in _by_group(found).items()]
        for name, found in scores.items()
    ]
    by_criterion.sort(key=lambda rows: (rows[0].criterion != TRUTH, isnan(rows[-1].spearman), -rows[-1].spearman))
    return [row for rows in by_criterion for row in rows]


def _by_group(scores: Scores) -> dict[str, Vector]:
    """Every group, and where there are several all of them together, last."""
    groups = dict(scores)
    return groups | {TOGETHER: np.concatenate(list(groups.values()))} if len(groups) > 1 else groups


def _row(name: str, group: str, values: Vector, truth: Vector, weights: Vector) -> Row:
    return Row(
        criterion=name,
        group=group,
        neurons=len(values),
        spearman=float(spearman(values, truth)),
        spearman_interval=interval(spearman(values, truth, weights)),
        kendall=float(kendall(values, truth)),
        kendall_interval=interval(kendall(values, truth, weights)),
        overlap=overlap(values, truth),
    )


def overlap(values: Vector, truth: Vector, share: float = OVERLAP) -> float:
    """Of the k lowest by one list the share that is among the k lowest by the other; k is a share of all, at least 1.

    Examples
    --------
    >>> overlap(np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 0.0, 9.0, 8.0]), 0.5)
    1.0
    >>> overlap(np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, 0.0, 1.0, 8.0]), 0.5)
    0.5
    """
    k = max(1, round(share * len(values)))
    first, second = (set(np.argsort(numbers, kind="stable")[:k].tolist()) for numbers in (values, truth))
    return len(first & second) / k


def _tried(
    net: Graph, scores: Scores, strategy: Global | PerLayer, data: Samples, loss: str | None, fraction: float
) -> Cut:
    """The network without the choice."""
    try:
        plan = decide(scores, strategy)
    except PlanError:  # there are not so many that may go
        return Cut(scores.criterion, fraction, None, None, None)
    return _cut(remove(net, plan), data, loss, scores.criterion, fraction)


def _cut(net: Graph, data: Samples, loss: str | None, name: str, fraction: float) -> Cut:
    found = evaluate(net, data, loss=loss, runtime=())
    return Cut(name, fraction, found.loss, found.accuracy, found.rmse)


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
