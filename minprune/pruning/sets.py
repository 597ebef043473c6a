r"""Choosing sets by a quadratic model: whom to take next depends on who has gone already.

Once S has gone, neuron j costs $-g_j + \frac{1}{2} H_{jj} + \sum_{i \in S} H_{ij}$ more. So after every removal all
others are scored again by adding one row of H. Greedy, that finds a good set quickly; exchanging one member at a time
for one of the others then makes it better, until no exchange does. For the best set of all see `best_set`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from ..neurons import Ids
from ..ops import Array
from ..progress import bar
from ..scores import Vector
from ..scores.quadratic import Matrix, QuadraticModel
from .deciding import Global, PerLayer
from .plan import Plan


def choose_set(
    model: QuadraticModel, strategy: Global | PerLayer, *, swaps: bool = True, progress: bool = True
) -> Plan:
    r"""Choose neurons that are cheap to remove together.

    $j = \mathrm{argmin}_{j \notin S}\, -g_j + \frac{1}{2} H_{jj} + \sum_{i \in S} H_{ij}$, joins S, until there are
    enough; then members are exchanged, the most profitable exchange first, until none lowers the cost.

    Parameters
    ----------
    model : QuadraticModel
        From `quadratic_model`.
    strategy : Global or PerLayer
        How many neurons go and how many of each group stay, as for `decide`.
    swaps : bool
        With False the greedy set is left as it is.
    progress : bool
        Show a bar.

    Returns
    -------
    Plan

    Raises
    ------
    PlanError
        For another strategy, or when there are not so many neurons that may go.

    Notes
    -----
    A step costs O(n) for the greedy set, O(n²) for an exchange. Neither finds the best set for certain: `best_set`
    does, and tells how far at most a set is from it. On networks of some hundred neurons a cheaper set by the model is
    not reliably a better network: what the swaps win there is less than what the model is off by (bench/sets.py).

    Examples
    --------
    Of the twins 0 and 1 each is cheap, but not both:

    >>> H = np.array([[2.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    >>> model = QuadraticModel({"dense1": 3}, np.zeros(3), H)
    >>> choose_set(model, PerLayer(2)).drop
    {'dense1': [0, 2]}
    """
    quota = Quota.of(model, strategy)
    chosen = greedy(model, quota)
    if swaps:
        chosen = swapped(model, quota, chosen, progress=progress)
    how = "greedy with swaps" if swaps else "greedy"
    return Plan(model.by_group(chosen), model.fingerprint, f"{model.name}, {how}, {strategy}")


@dataclass(frozen=True, eq=False)
class Quota:
    """Which sets may be chosen: so many neurons, and of every group at most so many.

    Attributes
    ----------
    count : int
        How many neurons the set has.
    most : array (groups,) of int
        How many of each group it may have. `PerLayer` leaves no choice: they add up to `count`.
    owner : array (n,) of int
        Which group each neuron belongs to.
    """

    count: int
    most: Ids
    owner: Ids

    @classmethod
    def of(cls, model: Any, strategy: Any) -> Quota:
        """What a strategy allows."""
        if not isinstance(model, QuadraticModel):
            raise PlanError(f"a set is chosen by what quadratic_model returns, got {type(model).__name__}")
        sizes = model.sizes
        if isinstance(strategy, PerLayer):
            counts = strategy.counts(sizes)
            return cls(sum(counts.values()), np.array([counts.get(group, 0) for group in sizes]), model.owner)
        if not isinstance(strategy, Global):
            raise PlanError(f"a set is chosen by Global or PerLayer, which say how many neurons go; got {strategy!r}")
        if strategy.normalise != "none":
            raise PlanError(f"Global: normalise is {strategy.normalise!r}; a model's costs are comparable as they are")
        count = strategy.count(sizes)
        most = np.array([max(0, size - strategy.at_least) for size in sizes.values()])
        if count > most.sum():
            raise PlanError(
                f"Global: {count} of {sum(sizes.values())} neurons were to go, but {strategy.at_least} of each group "
                "must stay"
            )
        return cls(count, most, model.owner)

    def lowest(self, values: Vector) -> Ids:
        """The set of the lowest sum: the lowest values first, as long as their group has room."""
        order = np.argsort(values, kind="stable")  # at a tie the lower index
        fits = np.zeros(len(values), dtype=bool)
        for group, most in enumerate(self.most):
            fits[order[self.owner[order] == group][:most]] = True
        return order[fits[order]][: self.count]

    def room(self, member: Array) -> Vector:
        """How many more each group may lose: of members (n,), which are 0 or 1 or between."""
        return self.most - 1.0 * np.bincount(self.owner, weights=member, minlength=len(self.most))


def greedy(model: QuadraticModel, quota: Quota) -> Ids:
    """Take the cheapest, score the others again, and so on: the indices, in the order in which they go."""
    cost = model.single.copy()
    member = np.zeros(len(cost), dtype=bool)
    chosen = np.empty(quota.count, dtype=np.intp)
    for step in range(quota.count):
        free = ~member & (quota.room(member) > 0)[quota.owner]
        j = np.argmin(np.where(free, cost, np.inf))
        chosen[step], member[j] = j, True
        cost += model.hessian[j]
    return chosen


def swapped(model: QuadraticModel, quota: Quota, chosen: Ids, *, progress: bool = False) -> Ids:
    """Exchange one member at a time, by the most that can be won, until nothing can: the indices, in order."""
    member = np.zeros(len(model.gradient), dtype=bool)
    member[chosen] = True
    with bar("exchanging neurons", None, show=progress) as advance:
        while True:
            inside, outside = np.flatnonzero(member), np.flatnonzero(~member)
            gains = _gains(model, quota, member, inside, outside)
            if not gains.size or gains.max() <= rounding(model):
                return inside
            leaves, joins = np.unravel_index(gains.argmax(), gains.shape)
            member[inside[leaves]], member[outside[joins]] = False, True
            advance()


def _gains(model: QuadraticModel, quota: Quota, member: NDArray[np.bool_], inside: Ids, outside: Ids) -> Matrix:
    """By how much the cost falls when i stays and j goes in its place: (members, others); −∞ where that is not allowed.

    i stays: it costs −g_i + Σ_S H_i − ½ H_ii less; then j goes: it costs −g_j + Σ_S H_j + ½ H_jj − H_ij more.
    """
    slope = model.hessian[:, member].sum(axis=1) - model.gradient
    saved = (slope - model.diagonal / 2)[inside, None]
    spent = (slope + model.diagonal / 2)[outside] - model.hessian[np.ix_(inside, outside)]
    within = quota.owner[inside, None] == quota.owner[outside]
    allowed = within | (quota.room(member) > 0)[quota.owner[outside]]
    return np.where(allowed, saved - spent, -np.inf)


def rounding(model: QuadraticModel) -> float:
    """Differences of costs below this are none: they are sums of up to all entries of g and H."""
    return float(16 * np.finfo(np.float64).eps * (np.abs(model.gradient).sum() + np.abs(model.hessian).sum()))
