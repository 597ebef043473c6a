"""Explaining: what one neuron does, where its score comes from, and why it stays or goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isclose
from typing import Any

import numpy as np

from ..datasets.samples import as_samples
from ..errors import DataError, MinpruneError, PlanError
from ..neurons import check_neuron, hidden
from ..nn import Graph
from ..ops import Array
from ..pruning.deciding import Strategy, decide
from ..pruning.plan import Plan
from ..scores import CRITERIA, Context, Criterion, Scores, Terms, score
from ..scores.oracle import removal_costs
from ..targets import choose_loss
from .portrait import Portrait, look_at
from .telling import TOLERANCE, tell


@dataclass(frozen=True)
class Boundary:
    """Where a plan draws the line within the neuron's group, by score.

    Attributes
    ----------
    goes : bool
        Whether the plan drops the neuron.
    plan : str
        How the plan came about.
    highest_dropped, lowest_kept : float or None
        Of the neuron's group.
    text : str
        Why it stays or goes.
    """

    goes: bool
    plan: str
    highest_dropped: float | None
    lowest_kept: float | None
    text: str


@dataclass(frozen=True, eq=False)
class Explanation:
    """What `explain` found; ``print`` it, or draw it with `minprune.plots.explain_figure`.

    Attributes
    ----------
    group, j, size : str, int, int
        Which neuron, and how many its group has.
    criterion : str
    formula, source : str
        Of the criterion.
    score : float
        As `minprune.score` gives it.
    scores : array (n,)
        Of the whole group.
    rank, rank_overall : (int, int)
        Its place from the lowest score up, and of how many: in its group, and among all groups that were scored.
    terms : Terms or None
        What the score is made of; None where the criterion tells no more than the number.
    cost : float or None
        The truth: by how much the loss changes when it leaves alone; None without labels.
    labels : array (N,) or (N, K), or None
        The targets of the samples.
    classes : tuple of str or None
        The names of the classes, where the data have some.
    numbered : str
        What sample numbers count, from 0: "the training part" or "the data".
    portrait : Portrait
        Its weights, readers, strongest samples and twin.
    boundary : Boundary or None
        Why it stays or goes, where a plan or a strategy was given.
    dropped : tuple of int
        Which neurons of its group that plan drops.
    top : int
        How many of everything are listed.
    """

    group: str
    j: int
    size: int
    criterion: str
    formula: str
    source: str
    score: float
    scores: Array
    rank: tuple[int, int]
    rank_overall: tuple[int, int]
    terms: Terms | None
    cost: float | None
    labels: Array | None
    classes: tuple[str, ...] | None
    numbered: str
    portrait: Portrait
    boundary: Boundary | None
    dropped: tuple[int, ...]
    top: int

    @property
    def level(self) -> str:
        """How far the score can be taken apart: "sample", "weight" …, or "score" where it is only a number."""
        return "score" if self.terms is None else self.terms.of

    def strongest_terms(self) -> list[int]:
        """The numbers of the largest terms by modulus, largest first."""
        if self.terms is None:
            return []
        order = np.argsort(-np.abs(self.terms.values), kind="stable")
        return [int(i) for i in order[: self.top] if self.terms.values[i] != 0]

    def label_of(self, sample: int) -> Any:
        """The target of a sample, as a plain value; the name of its class where it has one; None without targets."""
        label = None if self.labels is None else self.labels[sample].tolist()
        return self.classes[label] if self.classes and isinstance(label, int) else label

    def as_dict(self) -> dict[str, Any]:
        """For JSON; infinite numbers as text."""
        found = {
            "neuron": {"group": self.group, "j": self.j, "size": self.size, "made_by": list(self.portrait.made_by)},
            "criterion": {"name": self.criterion, "formula": self.formula, "source": self.source},
            "score": self.score,
            "rank": list(self.rank),
            "rank_overall": list(self.rank_overall),
            "leave_one_out": self.cost,
            "level": self.level,
            "terms": self._terms_as_dict(),
            "samples": [{"sample": n, "label": self.label_of(n), "activation": a} for n, a in self.portrait.strongest],
            "reads": [vars(c) for c in self.portrait.incoming],
            "read_by": {
                reader: {"norm": norm, "strongest": [vars(c) for c in found]}
                for reader, (norm, found) in self.portrait.readers.items()
            },
            "twin": None if self.portrait.twin is None else dict(zip(("j", "r"), self.portrait.twin, strict=True)),
            "plan": None if self.boundary is None else vars(self.boundary),
        }
        return _plain(found)

    def _terms_as_dict(self) -> dict[str, Any] | None:
        terms = self.terms
        if terms is None:
            return None
        strongest = [
            {"term": terms.label(i), "value": float(terms.values[i])}
            | {name: float(column[i]) for name, column in terms.columns.items()}
            for i in self.strongest_terms()
        ]
        return {
            "count": len(terms.values),
            "reduction": terms.reduction,
            "reduced": terms.reduced,
            "score": terms.score,
            "strongest": strongest,
        }

    def __str__(self) -> str:
        return tell(self)


def _plain(value: Any) -> Any:
    """What JSON can hold: no infinities, no tuples of NumPy's numbers."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, float) and abs(value) == inf else value


def explain(
    net: Graph,
    group: str,
    j: int,
    data: Any,
    criterion: str | Criterion = "taylor",
    plan: Plan | Strategy | None = None,
    top: int = 5,
    *,
    loss: str | None = None,
    groups: Sequence[str] | None = None,
    rng: int | np.random.Generator = 0,
    batch_size: int = 1024,
    progress: bool = True,
    **options: Any,
) -> Explanation:
    """Explain one neuron: where its score comes from, term by term, what it answers to, and why it stays or goes.

    Parameters
    ----------
    net : Graph
        Is not changed; it is run in evaluation mode.
    group, j : str, int
        Which neuron.
    data : (x, y), an object with .x and .y, a Dataset (its training part), or x
        What scores are computed on and the strongest samples chosen from. Without labels there is no truth.
    criterion : str or Criterion
        Whose score is explained, as far as it can be: see ``.level``.
    plan : Plan or strategy, optional
        Whose decision is explained: a plan for this network, or a strategy such as `Global(0.5)`.
    top : int
        How many terms, samples and connections to list.
    loss, groups, rng, batch_size, progress, **options
        As for `minprune.score`: the neuron is ranked within its group and among `groups`.

    Returns
    -------
    Explanation

    Raises
    ------
    StructureError
        When there is no such group or neuron, or the plan was made for another network.
    PlanError
        When the neuron has no score, being an output's, or `plan` is neither plan nor strategy.
    DataError
        For data or a `top` that cannot be used.
    MinpruneError
        When a criterion's terms do not give its score (a defect of the criterion).

    Notes
    -----
    Source: spec F5, F11 (document 3.3, 8.3).

    Examples
    --------
    >>> from minprune.worked import LOSS, TARGET, X, network
    >>> found = explain(network(), "dense1", 0, (X, TARGET), loss=LOSS, progress=False)
    >>> found.score.__round__(6), found.terms.columns["s"].round(6), round(found.cost, 6)
    (0.063653, array([-0.084841]), 0.081837)
    """
    found = check_neuron(net, group, j)
    if not isinstance(top, int | np.integer) or top < 1:
        raise DataError(f"top is {top!r}, expected a whole number of at least 1")
    names = list(dict.fromkeys([*(hidden(net) if groups is None else groups), *([] if found.stays else [group])]))
    if found.stays:
        raise PlanError(f"{group}: {found.stays}; its neurons are never removed, so they have no score to explain")
    x, y = as_samples(data, labels=False)
    seed = np.random.default_rng(rng).integers(2**63) if isinstance(rng, np.random.Generator) else rng
    shared: dict[str, Any] = {"loss": loss, "rng": seed, "batch_size": batch_size, "progress": progress}
    scores = score(net, data, criterion, groups=names, **shared, **options)
    rule = criterion if isinstance(criterion, Criterion) else CRITERIA[criterion](**options)
    context = Context(net, (found,), x, y, loss or choose_loss(y), batch_size, np.random.default_rng(seed), progress)
    terms = rule.terms(context, j)
    value = float(scores[group][j])
    if terms is not None:
        _agree(rule, terms, value, f"{group}[{j}]")
    decided = _decided(plan, scores, net)
    pooled = np.concatenate(list(scores.values()))
    return Explanation(
        *(group, int(j), found.size, rule.name, rule.formula, rule.source, value, scores[group]),
        rank=_place(scores[group], int(j)),
        rank_overall=_place(pooled, int(j) + _before(scores, group)),
        terms=terms,
        cost=None if y is None else float(removal_costs(context, {group: [(int(j),)]})[group][0]),
        labels=y,
        classes=getattr(getattr(data, "train", data), "classes", None),
        numbered="the training part" if hasattr(data, "train") else "the data",
        portrait=look_at(context, int(j), top),
        boundary=None if decided is None else _boundary(decided, scores, group, int(j)),
        dropped=() if decided is None else tuple(decided.drop.get(group, [])),
        top=int(top),
    )


def _decided(plan: Plan | Strategy | None, scores: Scores, net: Graph) -> Plan | None:
    """The plan that was given, or what a strategy makes of the scores."""
    if plan is None:
        return None
    if not isinstance(plan, Plan) and not hasattr(plan, "choose"):
        raise PlanError(f"plan is {plan!r}, expected a Plan or a strategy such as Global(0.5)")
    chosen: Plan = plan if isinstance(plan, Plan) else decide(scores, plan)
    chosen.check(net)
    return chosen


def _agree(rule: Criterion, terms: Terms, value: float, neuron: str) -> None:
    if not isclose(terms.score, value, rel_tol=TOLERANCE, abs_tol=1e-12):
        raise MinpruneError(f"{rule.name}: the terms of {neuron} give {terms.score:.9g}, its score is {value:.9g}")


def _place(scores: Array, j: int) -> tuple[int, int]:
    """From the lowest up, the lower index first at a tie, as `decide` takes them; from 1."""
    return int(np.flatnonzero(np.argsort(scores, kind="stable") == j)[0]) + 1, len(scores)


def _before(scores: Scores, group: str) -> int:
    """How many neurons stand before a group when all scores are put behind each other."""
    total = 0
    for name, values in scores.items():
        if name == group:
            break
        total += len(values)
    return total


def _boundary(plan: Plan, scores: Scores, group: str, j: int) -> Boundary:
    """Why the plan drops or keeps the neuron, as far as its score tells."""
    values, drop = scores[group], plan.drop.get(group, [])
    goes = j in drop
    gone, kept = values[drop], np.delete(values, drop)
    highest = float(gone.max()) if len(gone) else None
    lowest = float(kept.min())
    text = _why(group, float(values[j]), goes, highest, lowest, len(drop), len(values))
    return Boundary(goes, plan.reason, highest, lowest, f"{text} ({plan.reason})")


def _why(group: str, value: float, goes: bool, highest: float | None, lowest: float, drop: int, size: int) -> str:
    if highest is None:
        return f"no neuron of {group} goes"
    line = (
        f"of {group} {drop} of {size} go, the highest score among them is {highest:.6g}, the lowest kept {lowest:.6g}"
    )
    if goes and value <= lowest:
        return f"its score {value:.6g} is not above any that stays; {line}"
    if not goes and value == inf:
        return f"a score of +∞ is never dropped; {line}"
    if not goes and value >= highest:
        return f"its score {value:.6g} is not below any that goes; {line}"
    return f"not for its score of {value:.6g}: the plan does not follow this score within {group}; {line}"
