"""Choosing: "the smallest network that loses at most p", "the best one under t µs or k bytes", among measured ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from ..arguments import check_list
from ..datasets.samples import Samples, as_splits
from ..errors import DataError, PlanError
from ..evaluation import check_sizes, evaluate
from ..nn import Graph
from ..progress import bar
from ..pruning.deciding import Global, PerLayer, Strategy, decide
from ..pruning.plan import Plan
from ..pruning.repair import Repair
from ..pruning.schedule import FineTune, check_finetune
from ..pruning.surgery import remove
from ..reports import brief, duration
from ..scores import Criterion, Scores, score
from .candidates import Candidate, timed
from .choice import Choice, Wish

CRITERIA = ("taylor", "obs")  # what is right without a repair, and what foresees one
FRACTIONS = (0.2, 0.35, 0.5, 0.65, 0.8, 0.9)
STRATEGIES: tuple[Strategy, ...] = (*map(Global, FRACTIONS), *map(PerLayer, FRACTIONS))
REPAIRS = (None, "least_squares")


def choose(
    net: Graph,
    data: Any,
    *,
    max_loss: float | None = None,
    max_runtime: float | None = None,
    max_bytes: float | None = None,
    smallest_by: str = "params",
    criteria: Iterable[str | Criterion] = CRITERIA,
    strategies: Iterable[Strategy] = STRATEGIES,
    repairs: Iterable[str | Repair | None] = REPAIRS,
    finetune: FineTune | None = None,
    groups: list[str] | tuple[str, ...] | None = None,
    loss: str | None = None,
    batch: int = 1,
    seconds: float = 0.1,
    rng: int | np.random.Generator = 0,
    progress: bool = True,
) -> Choice:
    r"""Make and measure many smaller networks, and choose: the smallest that loses little, or the best within limits.

    $\min\ S$ subject to $A_\mathrm{dense} - A \leq p$; or $\max\ A$ subject to time $\leq t$ and bytes $\leq k$.

    Parameters
    ----------
    net : Graph
        Is not changed. It is a candidate too.
    data : (x, y), Samples or Dataset
        Scores, repair and fine-tuning see the training part; candidates are judged on the validation part where there
        is one. The test part is never touched.
    max_loss : float, optional
        The smallest network is wanted that loses at most so much accuracy (0.01 is one point; for a regression: R²).
    max_runtime, max_bytes : float, optional
        Upper limits of the seconds of one call and of the bytes that all arrays take in memory. Without `max_loss` the
        most accurate network is wanted; several limits hold together.
    smallest_by : {"params", "macs", "bytes", "runtime"}
        What is small; between equals the more accurate one.
    criteria, strategies, repairs
        What to try, every one with every other. By default `taylor` and `obs` scores, `Global` and `PerLayer` at 20,
        35, 50, 65, 80 and 90 %, without repair and with least squares.
    finetune : FineTune, optional
        Training after each removal, with the same seed for all.
    groups : names, optional
        Which groups to prune; by default all hidden ones.
    loss : str, optional
        By default cross-entropy for integer y, else mse.
    batch : int
        How many samples a timed call computes.
    seconds : float
        Of timing for each structure; see `minprune.choosing.candidates.timed`.
    rng : int or Generator
        For criteria that draw, fine-tuning, and the order within timed pairs.
    progress : bool
        Whether to show bars.

    Returns
    -------
    Choice
        ``.net``, ``.plan``, ``.candidates``, ``.front``, ``.report()``.

    Raises
    ------
    DataError
        When nothing is wished for, a limit is out of range, or R² is not defined.
    PlanError
        When no candidate meets the wish, the nearest of which is named; or when something is no list.

    Notes
    -----
    What is best of many on some samples looks better on these than it is: judge the winner on the test part, once.
    Times are of this machine, now; differences within their intervals are none.

    Source: spec A5, F9 (document 2.6, 9.6).

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(64, 32), mp.ReLU(), mp.Dense(32, 10))
    >>> history = mp.fit(net, mp.data.digits(), epochs=10, progress=False)
    >>> choice = choose(net, mp.data.digits(), max_loss=0.02, criteria=["taylor"], seconds=0.02)
    >>> choice.chosen.evaluation.params < choice.dense.evaluation.params
    True
    >>> choice.dense.quality - choice.chosen.quality <= 0.02
    True
    """
    wish = Wish(max_loss, max_runtime, max_bytes, smallest_by)
    check_sizes(batch=[batch])
    check_finetune(finetune)
    for name, given in {"criteria": criteria, "strategies": strategies, "repairs": repairs}.items():
        check_list(given, name)
    generator = np.random.default_rng(rng)
    train, valid = as_splits(data)
    judge = train if valid is None else valid
    judged = evaluate(net, judge, loss=loss, runtime=(), progress=False)
    dense = Candidate("dense", "", "", Plan({}), net, judged)
    if isnan(dense.quality):
        raise DataError("the targets do not vary, so nothing can be said to be better; give other data")
    scores = [score(net, train, rule, loss=loss, groups=groups, rng=generator, progress=progress) for rule in criteria]
    plans, skipped = _plans(net, scores, strategies)
    make = _Maker(net, data, judge, finetune, loss, int(generator.integers(2**62)))
    made = make.all(plans, list(repairs), progress)
    candidates = timed(dense, made, judge.x, batch, seconds, generator, progress)
    part = "training" if valid is None else "validation"
    return Choice(_chosen(candidates, wish), candidates, wish, batch, part, skipped)


Plans = dict[tuple[str, str], Plan]  # by criterion and strategy


def _plans(net: Graph, scores: Iterable[Scores], strategies: Iterable[Strategy]) -> tuple[Plans, dict[str, str]]:
    """The plans of all scores and strategies, each once, and why others are missing."""
    plans: Plans = {}
    skipped = {}
    strategies = list(strategies)
    for found in scores:
        for strategy in strategies:
            try:
                plan = decide(found, strategy)
                plan.check(net)
            except PlanError as error:  # so many cannot go
                skipped[f"{found.criterion}, {brief(strategy)}"] = str(error)
                continue
            if plan.drop and plan not in plans.values():
                plans[found.criterion, brief(strategy)] = plan
    return plans, skipped


@dataclass(frozen=True, eq=False)
class _Maker:
    """Makes candidates from plans and repairs, all in the same way."""

    net: Graph
    data: Any
    judge: Samples
    finetune: FineTune | None
    loss: str | None
    seed: int

    def all(self, plans: Mapping[tuple[str, str], Plan], repairs: list[Any], progress: bool) -> list[Candidate]:
        """Every plan with every repair."""
        made = []
        with bar("candidates", len(plans) * len(repairs), show=progress) as advance:
            for (criterion, strategy), plan in plans.items():
                for repair in repairs:
                    made.append(self.one(criterion, strategy, plan, repair))
                    advance(text=f"{made[-1]}: {made[-1].quality:.4g}")
        return made

    def one(self, criterion: str, strategy: str, plan: Plan, repair: str | Repair | None) -> Candidate:
        """Remove, repair, fine-tune, evaluate."""
        train, _ = as_splits(self.data)
        small = remove(self.net, plan, repair=repair, data=train)
        if self.finetune is not None:
            self.tune(small, self.finetune)
        found = evaluate(small, self.judge, loss=self.loss, runtime=(), progress=False)
        name = "no repair" if repair is None else repair if isinstance(repair, str) else brief(repair)
        return Candidate(criterion, strategy, name, plan, small, found)

    def tune(self, small: Graph, how: FineTune) -> None:
        """Train in place."""
        how.run(small, self.data, self.loss, None, np.random.default_rng(self.seed), False, self.net)


def _chosen(candidates: list[Candidate], wish: Wish) -> Candidate:
    """The best of those that meet the wish."""
    dense = candidates[0]
    meeting = [candidate for candidate in candidates if wish.excess(candidate, dense) <= 0]
    if meeting:
        return wish.best(meeting)
    near = min(candidates, key=lambda candidate: wish.excess(candidate, dense))
    raise PlanError(
        f"none of {len(candidates)} networks meets {wish}; the nearest is {near}: "
        f"{dense.quality - near.quality:.4f} lost, {duration(near.seconds)}, {near.cost('bytes'):,.0f} bytes. "
        "Allow more, or try other strategies or fine-tuning"
    )
