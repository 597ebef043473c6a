"""Deciding: from scores to a plan, by one of the three strategies of the document (3.2.2); `Budget` is a fourth.

The lowest scores go first; at a tie the lower index goes first. A score of +∞ is never dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..errors import PlanError
from ..neurons import check_neuron
from ..scores import Scores
from .plan import Plan
from .ranking import by_group, how_many, removal_order
from .reasons import evidence
from .sizes import sizes_without

Sizes = Mapping[str, int]


class Strategy(Protocol):
    """Anything that chooses neurons by their scores."""

    def choose(self, scores: Scores) -> dict[str, list[int]]:
        """The neurons to drop, by group."""

    def part(self, share: float, dense: Sizes, now: Sizes) -> Strategy:
        """The strategy that brings a network with `now` neurons to this share of the way from `dense` to the end."""


@runtime_checkable
class Telling(Protocol):
    """A strategy that has more to say about what it chose than its settings do."""

    def outcome(self, scores: Scores, drop: Mapping[str, list[int]]) -> str:
        """What came of it, for the plan's reason."""


def decide(scores: Scores, strategy: Strategy, block: tuple[int, int] | None = None) -> Any:
    """Apply a strategy to scores.

    Parameters
    ----------
    scores : Scores
        From `score`.
    strategy : Global, PerLayer, Threshold or Budget
        How to choose.
    block : (int, int), optional
        For scores of weights: drop them in blocks of so many rows and columns; see `minprune.pruning.weights.deciding`.

    Returns
    -------
    Plan or WeightPlan
        For networks of the structure that was scored; a `WeightPlan` where weights were scored. `Plan.explain` tells
        why.

    Raises
    ------
    PlanError
        When there are no scores, or the strategy would empty a group, or cannot find as many neurons as it should drop.
    StructureError
        When the scores are of groups that their network does not have.

    Examples
    --------
    >>> scores = Scores("by hand", {"dense1": np.array([0.1, 3.0, 2.0, 0.2])})
    >>> decide(scores, Global(0.5)).drop
    {'dense1': [0, 3]}
    """
    if not isinstance(scores, Scores):
        raise PlanError(f"decide takes what score returns, got {type(scores).__name__}; by hand, make a Plan")
    if not hasattr(strategy, "choose"):
        raise PlanError(f"decide takes a strategy such as Global(0.5), got {strategy!r}")
    if not scores:
        raise PlanError("nothing to decide: there are no scores")
    if scores.by == "weight":
        from .weights.deciding import decide_weights  # it reads the strategies of this file

        return decide_weights(scores, strategy, block)
    if block is not None:
        raise PlanError(f"block is {block!r}, but neurons were scored; score weights with score(…, by='weight')")
    if scores.net is not None:
        for group, values in scores.items():
            check_neuron(scores.net, group, len(values) - 1)
    drop = strategy.choose(scores)
    reason = f"{scores.criterion}, {strategy}"
    if isinstance(strategy, Telling):
        reason = f"{reason}; {strategy.outcome(scores, drop)}"
    sizes = {} if scores.net is None else sizes_without(scores.net, drop)
    return Plan(drop, scores.fingerprint, reason, evidence(scores, getattr(strategy, "normalise", None), drop), sizes)


@dataclass(frozen=True)
class Threshold:
    """Drop every neuron whose score lies strictly below a threshold (the document's filter strategy).

    Exactly one of the three must be given. Quantile and maximum are taken over all scored groups together.

    Parameters
    ----------
    absolute : float
        The threshold itself.
    quantile : float
        The threshold is this quantile of all scores.
    of_max : float
        The threshold is this fraction of the largest finite score.

    Notes
    -----
    Source: spec C1 (document 3.2.2).

    Examples
    --------
    >>> scores = Scores("by hand", {"dense1": np.array([0.1, 3.0]), "dense2": np.array([0.2, 1.0])})
    >>> Threshold(absolute=0.5).choose(scores)
    {'dense1': [0], 'dense2': [0]}
    """

    absolute: float | None = None
    quantile: float | None = None
    of_max: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.absolute, self.quantile, self.of_max) if value is not None]
        if len(given) != 1:
            raise PlanError(f"Threshold: give exactly one of absolute, quantile, of_max; got {len(given)}")
        if self.quantile is not None and not 0 <= self.quantile <= 1:
            raise PlanError(f"Threshold: quantile is {self.quantile}, expected 0 to 1")

    def limit(self, scores: Scores) -> float:
        """The threshold for these scores."""
        if self.absolute is not None:
            return self.absolute
        pooled = np.concatenate(list(scores.values()))
        if self.quantile is not None:
            return float(np.quantile(pooled, self.quantile, method="lower"))
        finite = pooled[np.isfinite(pooled)]
        return float(self.of_max * finite.max()) if self.of_max is not None and len(finite) else -np.inf

    def choose(self, scores: Scores) -> dict[str, list[int]]:
        """Everything strictly below the limit."""
        limit = self.limit(scores)
        drop = {group: np.flatnonzero(values < limit).tolist() for group, values in scores.items()}
        for group, neurons in drop.items():
            if len(neurons) == len(scores[group]):
                raise PlanError(
                    f"{group}: all {len(neurons)} scores lie below the threshold {limit:.4g}; one neuron must stay"
                )
        return drop

    def outcome(self, scores: Scores, drop: Mapping[str, list[int]]) -> str:
        """Where the line is, and how many scores lie on it: they stay."""
        limit = self.limit(scores)
        equal = sum(int((values == limit).sum()) for values in scores.values())
        gone = sum(len(neurons) for neurons in drop.values())
        return f"{gone} scores lie below {limit:.4g}, {equal} are equal to it and stay"

    def part(self, share: float, dense: Sizes, now: Sizes) -> Threshold:
        """A quantile is approached step by step; the other two are what they are."""
        if self.quantile is None:
            return self
        n, left = sum(dense.values()), sum(now.values())
        whole = floor(self.quantile * (n - 1))  # how many lie below it in the dense network
        count = max(0, floor(whole * share + 1e-9) - (n - left))
        between = (count + 0.5) / max(1, left - 1)  # two scores: rounding is no matter
        return Threshold(quantile=min(1.0, between))


@dataclass(frozen=True)
class PerLayer:
    """Drop the same fraction of every group, or what is given for each (the document's layer strategy).

    Parameters
    ----------
    amount : float, int or mapping
        A float is a fraction (of n neurons ``floor(fraction·n)`` go), an int a count; a mapping gives either by group.
    at_least : int
        How many neurons of each group stay in any case.

    Notes
    -----
    Source: spec C2 (document 3.2.2).

    Examples
    --------
    >>> scores = Scores("by hand", {"dense1": np.array([0.1, 3.0]), "dense2": np.array([0.2, 1.0])})
    >>> PerLayer(0.5).choose(scores)
    {'dense1': [0], 'dense2': [0]}
    >>> PerLayer({"dense2": 1}).choose(scores)
    {'dense2': [0]}
    """

    amount: float | Mapping[str, float]
    at_least: int = 1

    def __post_init__(self) -> None:
        by_group = self.amount if isinstance(self.amount, Mapping) else {"PerLayer": self.amount}
        for group, amount in by_group.items():
            how_many(amount, 0, group)  # refuses what is no amount, however many neurons there are

    def amounts(self, sizes: Sizes) -> dict[str, int]:
        """How many neurons of every group are asked for, whether they can go or not."""
        given = self.amount if isinstance(self.amount, Mapping) else dict.fromkeys(sizes, self.amount)
        unknown = [group for group in given if group not in sizes]
        if unknown:
            raise PlanError(f"{unknown[0]}: no scores for this group; there are some for {', '.join(sizes)}")
        return {group: how_many(amount, sizes[group], group) for group, amount in given.items()}

    def counts(self, sizes: Sizes) -> dict[str, int]:
        """How many neurons of every group go."""
        counts = self.amounts(sizes)
        for group, count in counts.items():
            if count and count > sizes[group] - self.at_least:
                raise PlanError(
                    f"{group}: {count} of {sizes[group]} neurons were to go, but {self.at_least} must stay; take less"
                )
        return counts

    def choose(self, scores: Scores) -> dict[str, list[int]]:
        """The lowest of every group, but for the last that one of several layers has in it."""
        self._refuse_outputs(scores)
        counts = self.counts({group: len(values) for group, values in scores.items()})
        order = by_group(removal_order(scores, at_least=self.at_least), scores)
        for group, count in counts.items():
            if count > len(order[group]):
                raise PlanError(
                    f"{group}: {count} neurons were to go, but only {len(order[group])} can: others have a score of "
                    "+∞, or are the last of their layer; take less"
                )
        return {group: order[group][:count] for group, count in counts.items()}

    def _refuse_outputs(self, scores: Scores) -> None:
        """Say of a named group without scores why it has none, where the network tells."""
        if scores.net is None or not isinstance(self.amount, Mapping):
            return
        for group in self.amount:
            found = None if group in scores else scores.net.neurons.get(group)
            if found is not None and found.stays:
                raise PlanError(f"{group}: {found.stays}; its neurons are never removed; name {', '.join(scores)}")

    def part(self, share: float, dense: Sizes, now: Sizes) -> PerLayer:
        """Counts that bring every group this share of the way."""
        counts = {}
        for group, count in self.amounts(dense).items():
            counts[group] = max(0, floor(count * share + 1e-9) - (dense[group] - now[group]))
        return PerLayer(counts, self.at_least)


@dataclass(frozen=True)
class Global:
    """Rank the neurons of all scored groups together and drop the lowest (the document's global strategy).

    Parameters
    ----------
    amount : float or int
        A float is the fraction of all n neurons that goes (``floor(fraction·n)``), an int their number.
    at_least : int
        How many neurons of each group stay in any case, so that no layer empties.
    normalise : {"none", "mean", "max", "l2", "rank", "mac"}
        How scores of different groups are made comparable: within each group divided by their mean or largest modulus
        or by their l2 norm, replaced by their rank, or divided by the multiply-accumulates that the removal of the
        neuron saves; see `minprune.pruning.ranking.comparable`.

    Notes
    -----
    Source: spec C3 (document 3.2.2), read as one ranking over all layers.

    Examples
    --------
    >>> scores = Scores("by hand", {"dense1": np.array([0.1, 0.2]), "dense2": np.array([0.3, 1.0])})
    >>> Global(0.5).choose(scores)  # dense1 keeps one neuron
    {'dense1': [0], 'dense2': [0]}
    """

    amount: float
    at_least: int = 1
    normalise: str = "none"

    def __post_init__(self) -> None:
        how_many(self.amount, 0, "Global")  # refuses what is no amount, however many neurons there are

    def count(self, sizes: Sizes) -> int:
        """How many neurons of all groups together go."""
        return how_many(self.amount, sum(sizes.values()), "Global")

    def choose(self, scores: Scores) -> dict[str, list[int]]:
        """The lowest of all, as long as their group can spare them."""
        count = self.count({group: len(values) for group, values in scores.items()})
        order = removal_order(scores, self.normalise, self.at_least)
        if count > len(order):
            raise PlanError(
                f"Global: {count - len(order)} more neurons were to go, but {self.at_least} of each group must stay, "
                f"and so must all with a score of +∞; take less (at most {len(order)} can go)"
            )
        return by_group(order[:count], scores)

    def part(self, share: float, dense: Sizes, now: Sizes) -> Global:
        """The count that brings the whole this share of the way."""
        done = sum(dense.values()) - sum(now.values())
        count = max(0, floor(self.count(dense) * share + 1e-9) - done)
        return Global(count, self.at_least, self.normalise)
