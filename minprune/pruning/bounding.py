r"""The best set by a quadratic model, proven: branch and bound.

The search splits the sets into those with neuron j and those without, again and again, always where the cheapest set
could still be. It drops a part as soon as a lower bound of all its sets reaches the cost of the best set known, and
ends when no part is left: that set is proven to be the best.

The bound. With $c = -g$, the cost of a set is $f(d) = c^\top d + \frac{1}{2}\, d^\top H d$. As $d_j^2 = d_j$ for 0 and
1, a part of the diagonal can move into the linear term: for every δ,

$f(d) = (c + \frac{1}{2} \delta)^\top d + \frac{1}{2}\, d^\top (H - \mathrm{diag}\, \delta)\, d$.

Take $\delta = t\, \mathrm{diag}\, H$ with t the smallest eigenvalue of the matrix $H_{ij} / \sqrt{H_{ii} H_{jj}}$. Then
$H - \mathrm{diag}\, \delta$ is positive semidefinite, so that f is convex between 0 and 1 as well, and lies above its
tangents: at every x,

$f(d) \ge f(x) + \nabla f(x)^\top (d - x)$,

and the set with the lowest right-hand side is that of the lowest $\nabla f(x)_j$: a sort. Any x gives a bound; one
that minimises f over fractions of neurons gives the best one. For a Gauss–Newton H, which is positive semidefinite,
t ≥ 0: the more of the diagonal moves, the less can be won by halves of neurons. (For any other H, t is negative, and
the bound holds just as well, but is weak.)
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from ..errors import PlanError
from ..neurons import Ids
from ..progress import bar
from ..scores import Vector
from ..scores.quadratic import Matrix, QuadraticModel
from .deciding import Global, PerLayer
from .plan import Plan
from .sets import Quota, greedy, rounding, swapped

NODES = 10_000
MOVES = 20  # per neuron: enough to come close to the best bound; fewer would be valid too
CLOSE = 1e-2  # of the steepest slope: what could still be won costs more time than the nodes that it would save
TINY = 1e-12  # a fraction below this is nothing


@dataclass(frozen=True, eq=False)
class BestSet:
    """The cheapest set that was found, and below what no set can be.

    Attributes
    ----------
    plan : Plan
        The set.
    change : float
        What it costs, by the model.
    bound : float
        No set that the strategy allows costs less (up to rounding).
    nodes : int
        How many parts of the search were looked at.
    """

    plan: Plan
    change: float
    bound: float
    nodes: int

    @property
    def gap(self) -> float:
        """By how much at most a better set could be better; 0 where the set is proven to be the best."""
        return self.change - self.bound

    def __repr__(self) -> str:
        sure = "the best" if not self.gap else f"none costs less than {self.bound:.6g}"
        return f"<BestSet: {len(self.plan)} neurons, change {self.change:.6g}, {sure}; {self.nodes} nodes>"


def best_set(
    model: QuadraticModel, strategy: Global | PerLayer, *, nodes: int = NODES, progress: bool = True
) -> BestSet:
    r"""Find the set whose removal costs least by the model, and prove it; or say how far from it the set may be.

    $\min_d\, -g^\top d + \frac{1}{2}\, d^\top H d$ over all $d \in \{0, 1\}^n$ that the strategy allows.

    Parameters
    ----------
    model : QuadraticModel
        From `quadratic_model`.
    strategy : Global or PerLayer
        How many neurons go and how many of each group stay, as for `decide`.
    nodes : int
        How many parts of the search to look at before giving up the proof; with 1 only the bound over all sets is
        computed, beside the set of `choose_set` or a better one.
    progress : bool
        Show a bar.

    Returns
    -------
    BestSet
        With `gap` 0 where the set is proven to be the best. The search begins with the set of `choose_set`, so it is
        never worse than that.

    Raises
    ------
    PlanError
        For another strategy, when there are not so many neurons that may go, or for fewer than one node.

    Notes
    -----
    The number of nodes may grow exponentially with the neurons. Sets whose costs differ by rounding only count as
    equal.

    Source: Land and Doig 1960, *An automatic method of solving discrete programming problems* (branch and bound);
    Hammer and Rubin 1970, *Some remarks on quadratic programming with 0–1 variables* (moving the diagonal).

    Examples
    --------
    >>> H = np.array([[2.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    >>> found = best_set(QuadraticModel({"dense1": 3}, np.zeros(3), H), PerLayer(2))
    >>> found.plan.drop, found.change, found.gap
    ({'dense1': [0, 2]}, 2.5, 0.0)
    """
    if not isinstance(nodes, int | np.integer) or nodes < 1:
        raise PlanError(f"nodes is {nodes!r}, expected a whole number of at least 1")
    search = _Search(model, Quota.of(model, strategy))
    looked_at = search.run(nodes, progress)
    how = "best set" if search.bound == search.change else f"best set known (none costs less than {search.bound:.6g})"
    plan = Plan(model.by_group(search.rows), model.fingerprint, f"{model.name}, {how}, {strategy}")
    return BestSet(plan, search.change, search.bound, looked_at)


class _Search:
    """The best set so far, and the parts in which a better one may be.

    A part is all sets with the neurons `gone` and, for the rest, some of those that are `free`. They lie on a heap, the
    lowest bound first, as (bound, number, gone, free, x).
    """

    def __init__(self, model: QuadraticModel, quota: Quota) -> None:
        self.model, self.quota = model, quota
        self.enough = rounding(model)
        self.rows = swapped(model, quota, greedy(model, quota))
        self.change = model.cost(self.rows)
        self.parts: list[tuple[float, int, Ids, Ids, Vector]] = []
        self.made = 0
        self.add(np.empty(0, dtype=np.intp), np.arange(len(model.gradient)))

    @property
    def bound(self) -> float:
        """No set costs less."""
        return self.parts[0][0] if self.open else self.change

    @property
    def open(self) -> bool:
        """Whether there may be a better set."""
        return bool(self.parts) and self.parts[0][0] < self.change - self.enough

    def run(self, nodes: int, progress: bool) -> int:
        """Split the most promising part until none is left or so many have been made; how many have been."""
        with bar("branch and bound", nodes, show=progress) as advance:
            while self.open and self.made < nodes:
                before = self.made
                _, _, gone, free, x = heappop(self.parts)
                at = int(np.argmin(np.abs(x - 0.5)))  # the neuron of which x says least
                rest = np.delete(free, at)
                self.add(np.append(gone, free[at]), rest)
                self.add(gone, rest)
                advance(self.made - before, f"{self.change:.4g}, none below {self.bound:.4g}")
        return self.made

    def add(self, gone: Ids, free: Ids) -> None:
        """Put a part on the heap, unless it holds no set or none that is better; look for a better one in it."""
        model, used = self.model, np.bincount(self.quota.owner[gone], minlength=len(self.quota.most))
        quota = Quota(self.quota.count - len(gone), self.quota.most - used, self.quota.owner[free])
        if quota.count < 0 or (quota.most < 0).any() or len(quota.lowest(np.zeros(len(free)))) < quota.count:
            return
        self.made += 1
        c = model.hessian[np.ix_(free, gone)].sum(axis=1) - model.gradient[free]
        below, x = relaxed(c, model.hessian[np.ix_(free, free)], quota)
        self.consider(np.append(gone, free[quota.lowest(-x)]))
        bound = model.cost(gone) + below
        if bound < self.change - self.enough:
            heappush(self.parts, (bound, self.made, gone, free, x))

    def consider(self, rows: Ids) -> None:
        """Take a set, and what exchanges make of it, if it is better than the best so far."""
        if self.model.cost(rows) < self.change - self.enough:
            self.rows = swapped(self.model, self.quota, rows)
            self.change = self.model.cost(self.rows)


def relaxed(c: Vector, H: Matrix, quota: Quota) -> tuple[float, Vector]:
    """A lower bound of cᵀd + ½ dᵀHd over the sets of a quota, and the fractions x (n,) at which it was taken.

    x minimises f by moving fractions from the neuron with the steepest slope to the one with the least, by as much as
    lowers f most: f falls by a parabola along such a move.
    """
    delta = shift(H)
    c, H = c + delta / 2, H - np.diag(delta)
    x = np.zeros(len(c))
    x[quota.lowest(c)] = 1
    slope = c + H @ x
    for _ in range(MOVES * len(c)):
        gain, i, j, most = _steepest_move(slope, x, quota)
        if gain <= CLOSE * np.abs(slope).max():
            break
        bend = H[i, i] + H[j, j] - 2 * H[i, j]
        step = min(most, gain / bend) if bend > 0 else most
        x[i], x[j] = x[i] - step, x[j] + step
        slope += step * (H[j] - H[i])
    slope = c + H @ x  # without what the moves have rounded away
    return float((c + slope) @ x / 2 + slope[quota.lowest(slope)].sum() - slope @ x), x


def shift(H: Matrix) -> Vector:
    """The part δ of the diagonal that leaves H − diag δ positive semidefinite: t · diag H; see the head of the file.

    Neurons that do nothing, with a row of zeros, have nothing to move, and do not hold the others back.
    """
    delta, alive = np.zeros(len(H)), H.any(axis=1)
    if alive.any():
        size = np.diagonal(H)[alive]
        size = np.where(size > 0, size, 1.0)
        t = np.linalg.eigvalsh(H[np.ix_(alive, alive)] / np.sqrt(np.outer(size, size)))[0]
        delta[alive] = (t - len(H) ** 2 * np.finfo(np.float64).eps) * size  # less than t may be off by
    return delta


def _steepest_move(slope: Vector, x: Vector, quota: Quota) -> tuple[float, int, int, float]:
    """How fast f falls when a fraction moves from i to j, from which i to which j, and how much can move."""
    gives, takes = np.where(x > TINY, slope, -np.inf), np.where(x < 1 - TINY, slope, np.inf)
    best, anywhere = (0.0, 0, 0, 0.0), int(gives.argmax())
    for group, room in enumerate(quota.room(x)):
        mine = quota.owner == group
        own, to = np.where(mine, gives, -np.inf), np.where(mine, takes, np.inf)
        i, j, most = int(own.argmax()), int(to.argmin()), 1.0
        high = own[i]
        if room > TINY and gives[anywhere] > high:
            i, high, most = anywhere, gives[anywhere], float(room)
        if high - to[j] > best[0]:
            best = (float(high - to[j]), i, j, min(most, float(x[i]), float(1 - x[j])))
    return best
