"""Ranking: who goes first when the neurons of all groups are put in one row, and who has to stay."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor

import numpy as np

from ..errors import PlanError
from ..neurons import NOBODY, NeuronGroup
from ..nn import Graph
from ..scores import Scores, Vector
from .sizes import Neuron, macs_saved

NORMALISATIONS = ("none", "mean", "max", "l2", "rank", "mac")


def how_many(given: float, size: int, name: str) -> int:
    """How many of `size` neurons a fraction or a count means.

    Examples
    --------
    >>> how_many(0.29, 100, "dense1"), how_many(3, 100, "dense1")
    (29, 3)
    """
    if isinstance(given, bool) or not isinstance(given, int | float | np.integer | np.floating) or not given >= 0:
        raise PlanError(f"{name}: {given!r} is neither a fraction from 0 to 1 nor a count")
    if isinstance(given, int | np.integer):
        return int(given)
    if given > 1:
        raise PlanError(f"{name}: the fraction removed is {given}, expected at most 1")
    return floor(given * size + 1e-9)  # 0.29 * 100 must be 29


def comparable(scores: Scores, how: str) -> dict[str, Vector]:
    r"""What neurons of different groups are compared by; +∞ stays +∞.

    Parameters
    ----------
    scores : Scores
    how : {"none", "mean", "max", "l2", "rank", "mac"}
        Within each group: divide by the mean or the maximum modulus, or by the root of the sum of squares; or replace
        by rank / n. "mac": $I_j / c_j$, the score for each multiply-accumulate that the network saves when j leaves
        alone (its rows where it is made, its columns where it is read, times the places they are used at), so that of
        two neurons that matter as much the dearer one goes first.

    Raises
    ------
    PlanError
        For an unknown normalisation, or "mac" where the scores do not know their network.

    Notes
    -----
    Source: spec C3. Molchanov et al. 2017, *Pruning convolutional neural networks for resource efficient inference*,
    divide by the l2 norm; they set FLOPs against the score by a difference with a weight to be chosen, where "mac"
    takes the quotient.

    Examples
    --------
    >>> made = Scores("by hand", {"dense1": np.array([1.0, 3.0]), "dense2": np.array([7.0, 5.0, 6.0])})
    >>> comparable(made, "mean")["dense1"], comparable(made, "rank")["dense2"].round(2)
    (array([0.5, 1.5]), array([1.  , 0.33, 0.67]))
    """
    if how not in NORMALISATIONS:
        raise PlanError(f"unknown normalisation {how!r}; expected one of {', '.join(NORMALISATIONS)}")
    if how != "mac":
        return {group: _normalised(values, how) for group, values in scores.items()}
    net = known_net(scores, "normalise='mac'")
    return {group: values / macs_saved(net, net.neurons[group]) for group, values in scores.items()}


def known_net(scores: Scores, purpose: str) -> Graph:
    """The network that was scored.

    Raises
    ------
    PlanError
        When the scores do not know it.
    """
    if scores.net is None:
        raise PlanError(f"{purpose} needs the network, which these scores do not know; take them from score(net, …)")
    return scores.net


def _normalised(values: Vector, how: str) -> Vector:
    """The scores of one group, by what can be told from them alone."""
    finite = values[np.isfinite(values)]
    if how == "none" or not len(finite):
        return values
    if how == "rank":
        ranks = np.empty(len(values))
        ranks[np.argsort(values, kind="stable")] = np.arange(1, len(values) + 1) / len(values)
        return np.where(np.isposinf(values), np.inf, ranks)
    size = {"mean": np.abs(finite).mean(), "max": np.abs(finite).max(), "l2": np.sqrt((finite**2).sum())}[how]
    return values / size if size > 0 else values


def removal_order(scores: Scores, normalise: str = "none", at_least: int = 1) -> list[Neuron]:
    """All neurons that may go, whom first: the lowest of all groups together.

    At a tie the earlier group and the lower index go first. Left out are those with a score of +∞, and those whose
    group would fall below `at_least` or, where several layers make a group, one of whose layers would lose its last.

    Examples
    --------
    >>> removal_order(Scores("by hand", {"dense1": np.array([0.1, 0.2]), "dense2": np.array([0.3, 1.0, 0.0])}))
    [('dense2', 2), ('dense1', 0), ('dense2', 0)]
    """
    levels = comparable(scores, normalise)
    ranked = [(float(level), group, j) for group in scores for j, level in enumerate(levels[group]) if level < np.inf]
    ranked.sort(key=lambda entry: entry[0])  # stable
    spare = {group: len(values) - at_least for group, values in scores.items()}
    axes = _Axes([] if scores.net is None else [scores.net.neurons[group] for group in scores])
    order = []
    for _, group, j in ranked:
        if spare[group] > 0 and axes.can_lose(group, j):
            spare[group] -= 1
            order.append((group, j))
    return order


def by_group(order: Iterable[Neuron], groups: Iterable[str]) -> dict[str, list[int]]:
    """The neurons of every group, in the order in which they go.

    Examples
    --------
    >>> by_group([("dense2", 2), ("dense1", 0), ("dense2", 0)], ["dense1", "dense2", "dense3"])
    {'dense1': [0], 'dense2': [2, 0], 'dense3': []}
    """
    drop: dict[str, list[int]] = {group: [] for group in groups}
    for group, j in order:
        drop[group].append(j)
    return drop


class _Axes:
    """What is left of every axis that loses entries: none may become empty, also not of a layer that is not alone."""

    def __init__(self, groups: Iterable[NeuronGroup]) -> None:
        self.left: dict[tuple[str, int], int] = {}
        self.entries: dict[str, list[tuple[tuple[str, int], list[int]]]] = {}  # group -> axes, entries of each neuron
        for group in groups:
            own = self.entries.setdefault(group.name, [])
            for piece in group.slices:
                axis = (piece.array, piece.axis)
                self.left[axis] = len(piece.owner)
                mine = piece.owner[piece.owner != NOBODY]
                own.append((axis, np.bincount(mine, minlength=group.size).tolist()))

    def can_lose(self, group: str, j: int) -> bool:
        """Take the neuron's entries off, if that leaves some of every axis."""
        taken = [(axis, entries[j]) for axis, entries in self.entries.get(group, []) if entries[j]]
        if any(self.left[axis] <= count for axis, count in taken):
            return False
        for axis, count in taken:
            self.left[axis] -= count
        return True
