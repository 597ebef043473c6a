"""Budgets: drop the lowest until what is left fits, counted in neurons, parameters, MACs, bytes or measured time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import floor
from typing import Any

import numpy as np

from ..errors import PlanError
from ..evaluation import check_sizes, ready_call
from ..nn import Graph
from ..progress import bar
from ..scores import Scores
from ..timing import Race, Ratio, ratio_of
from .deciding import Sizes, Strategy
from .plan import Plan
from .ranking import by_group, known_net, removal_order
from .sizes import Counts, Neuron, sizes_along
from .surgery import remove

KINDS = ("neurons", "params", "macs", "bytes", "runtime")
NAMES = {"neurons": "neurons", "params": "parameters", "macs": "MACs", "bytes": "bytes of arrays in memory"}
PAIRS = 51  # of timed blocks at most, for one measurement
SECONDS = 0.2  # of timing for one measurement; the network that is chosen gets three times as long
MEASUREMENTS = 12  # at most, while looking for that network


@dataclass(frozen=True)
class Budget:
    r"""Drop the lowest of all scored groups together, and no more of them than it takes to fit a budget.

    The smallest k with $S_k \leq f \cdot S_0$, where $S_k$ is the size without the first k of the ranking.

    Give exactly one of the five: what fraction f of the dense total is KEPT at most, above 0 and up to 1. Sizes are
    those of the network that `remove` makes, exactly (a repair that gives biases to layers without any adds them).

    Parameters
    ----------
    neurons : float
        Of the neurons of the scored groups.
    params, macs : float
        Of all parameters of the network, or of its multiply-accumulates for one sample of its `input_shapes`.
    bytes : float
        Of the bytes that all arrays take in memory, buffers included (`Evaluation.bytes_memory`); not of a file's.
    runtime : float
        Of the time of one call with `batch` samples, measured in interleaved pairs with the dense network, by bisection
        along the ranking: at most 12 candidates, and then once more for the plan's reason. A measurement is noisy: the
        plan can differ from run to run, and the last measurement can lie a little above the budget.
    normalise, at_least
        As for `Global`.
    batch : int
        For `runtime`: how many samples a call computes.
    progress : bool
        For `runtime`: whether to show a bar.
    dense : Graph, optional
        What the fraction is of; by default the network that was scored. `prune` sets it, since in its later rounds
        what is scored is no longer dense.

    Raises
    ------
    PlanError
        Unless exactly one budget is given, above 0 and up to 1. From `decide` where it cannot be met, and where the
        scores do not know their network (all but `neurons` need it).

    Notes
    -----
    Source: spec C3 (document 3.2.2): budgets in neurons, parameters, operations and measured runtime.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(64, 32), mp.ReLU(), mp.Dense(32, 10))
    >>> scores = mp.score(net, criterion="magnitude_l2")
    >>> plan = mp.decide(scores, Budget(params=0.5))  # 2,410 parameters; a neuron has 64 + 1 + 10 of them
    >>> len(plan), plan.sizes["params"]
    (17, (2410, 1135))
    >>> mp.evaluate(mp.remove(net, plan), mp.data.digits(), runtime=()).params
    1135
    """

    neurons: float | None = None
    params: float | None = None
    macs: float | None = None
    bytes: float | None = None
    runtime: float | None = None
    normalise: str = "none"
    at_least: int = 1
    batch: int = 1
    progress: bool = field(default=True, compare=False)
    dense: Graph | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise PlanError(f"Budget: give exactly one of {', '.join(KINDS)}; got {', '.join(given) or 'none'}")
        kept = self.kept
        if isinstance(kept, bool) or not isinstance(kept, int | float | np.number) or not 0 < kept <= 1:
            raise PlanError(f"Budget: {self.kind} is {kept!r}, expected the fraction to keep, above 0 and up to 1")
        check_sizes(batch=[self.batch])

    def __repr__(self) -> str:
        options = {"normalise": "none", "at_least": 1, "batch": 1}
        changed = [f"{name}={getattr(self, name)!r}" for name, usual in options.items() if getattr(self, name) != usual]
        return f"Budget({', '.join([f'{self.kind}={self.kept:.4g}', *changed])})"

    @property
    def kind(self) -> str:
        """What is counted."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def kept(self) -> float:
        """The fraction that is kept at most."""
        return getattr(self, self.kind)

    def choose(self, scores: Scores) -> dict[str, list[int]]:
        """As few of the lowest as make the rest fit."""
        order = removal_order(scores, self.normalise, self.at_least)
        count = self._fastest(scores, order) if self.kind == "runtime" else self._smallest(scores, order)
        return by_group(order[:count], scores)

    def part(self, share: float, dense: Sizes, now: Sizes) -> Budget:
        """Keep what is left after this share of the way; it counts from `self.dense`, however much is gone already."""
        given: dict[str, Any] = {self.kind: 1 - share + share * self.kept}
        return replace(self, **given)

    def outcome(self, scores: Scores, drop: Mapping[str, list[int]]) -> str:
        """How much is kept, or how much faster the rest is: measured anew, since the search took the luckiest."""
        if self.kind == "runtime":
            small = remove(known_net(scores, repr(self)), Plan(drop))
            ratio = time_ratio(small, self._dense(scores), self.batch, 3 * SECONDS)
            interval = f"{ratio.median:.3g} ({ratio.low:.3g}–{ratio.high:.3g})"
            return f"measured at batch {self.batch}: {interval} of the dense network's time"
        order = [(group, j) for group, neurons in drop.items() for j in neurons]
        left, total = int(self._sizes(scores, order)[-1]), self._total(scores)
        return f"keeps {left:,} of {total:,} {NAMES[self.kind]} ({left / total:.3g})"

    def _smallest(self, scores: Scores, order: list[Neuron]) -> int:
        """How many have to go: the first number of removals after which the size is within the budget."""
        sizes = self._sizes(scores, order)
        limit = floor(self.kept * self._total(scores) * (1 + 1e-12))  # 0.29 * 100 must be 29
        fits = np.flatnonzero(sizes <= limit)
        if not len(fits):
            raise PlanError(
                f"Budget: at most {limit:,} {NAMES[self.kind]} may stay, but {int(sizes.min()):,} are left when "
                f"{self._everything()}"
            )
        return int(fits[0])

    def _sizes(self, scores: Scores, order: list[Neuron]) -> Counts:
        if self.kind == "neurons":
            return sum(map(len, scores.values())) - np.arange(len(order) + 1)
        return sizes_along(known_net(scores, repr(self)), order)[self.kind]

    def _total(self, scores: Scores) -> int:
        """The dense total that the fraction is of."""
        if self.kind != "neurons":
            return int(sizes_along(self._dense(scores), [])[self.kind][0])
        if self.dense is None:
            return sum(map(len, scores.values()))
        return sum(self.dense.neurons[group].size for group in scores)

    def _dense(self, scores: Scores) -> Graph:
        return known_net(scores, repr(self)) if self.dense is None else self.dense

    def _fastest(self, scores: Scores, order: list[Neuron]) -> int:
        """How many have to go, by bisection: the time of what is left falls, but for noise, with every removal."""
        net, dense = known_net(scores, repr(self)), self._dense(scores)
        if net is dense and self.kept == 1:
            return 0
        slow, fast = -1, len(order)  # slow: too few went; fast: enough
        with bar("measuring", MEASUREMENTS, show=self.progress) as advance:
            for attempt in range(MEASUREMENTS):
                count = (slow + fast) // 2 if attempt else fast
                small = remove(net, Plan(by_group(order[:count], scores)))
                ratio = time_ratio(small, dense, self.batch, SECONDS).median
                advance(text=f"{count} of {len(order)} removed: {ratio:.3g}")
                if ratio > self.kept and not attempt:
                    raise PlanError(
                        f"Budget: at most {self.kept:.3g} of the runtime may stay, but {ratio:.3g} was measured when "
                        f"{self._everything()}"
                    )
                slow, fast = (slow, count) if ratio <= self.kept else (count, fast)
                if fast - slow <= 1:
                    break
        return fast

    def _everything(self) -> str:
        return f"all that may go has gone ({self.at_least} of each group and all with a score of +∞ stay)"


def time_ratio(small: Graph, dense: Graph, batch: int, seconds: float) -> Ratio:
    """The time of one network divided by that of another, on normal inputs, in interleaved pairs.

    Examples
    --------
    >>> from minprune.layers import Dense, ReLU
    >>> from minprune.nn import Sequential
    >>> dense = Sequential(Dense(8, 4096), ReLU(), Dense(4096, 2))
    >>> time_ratio(Sequential(Dense(8, 2)), dense, batch=64, seconds=0.02).median < 1
    True
    """
    rng = np.random.default_rng(0)
    shapes = dense.input_shapes or {}
    x = {name: rng.standard_normal((batch, *shape)) for name, shape in shapes.items()}
    race = Race.prepare(ready_call(small, x, batch), ready_call(dense, x, batch), PAIRS, seconds)
    first, second = race.run(PAIRS, seconds, rng, lambda: None)
    return ratio_of(first, second, race.calls)


def anchored(strategy: Strategy, net: Graph, progress: bool = True) -> Strategy:
    """The same strategy, its fractions counted from this network also where a smaller one is scored.

    Only a `Budget` has such; what already counts from a network stays as it is.
    """
    if isinstance(strategy, Budget) and strategy.dense is None:
        return replace(strategy, dense=net, progress=progress)
    return strategy
