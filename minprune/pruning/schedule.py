"""The cycle of the document (spec A2): score → decide → remove → evaluate, and round again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..datasets.samples import as_splits
from ..errors import PlanError
from ..evaluation import Evaluation, evaluate
from ..neurons import staying
from ..nn import Graph
from ..optim import Adam, Optimizer, OptimizerState, Schedule
from ..reports import table
from ..scores import Criterion, Scores, score
from ..train import fit
from .budget import anchored
from .deciding import Global, Strategy, decide
from .plan import Plan
from .repair import Repair
from .surgery import remove


@dataclass(frozen=True)
class FineTune:
    """How to train after a removal.

    Parameters
    ----------
    epochs : int
        Per round.
    optimizer : optimizer
        By default Adam with a learning rate of 1e-3.
    batch_size : int
        Samples per step.
    schedule : schedule, optional
        Of the learning rate, within each round.
    """

    epochs: int = 5
    optimizer: Optimizer = field(default_factory=Adam)
    batch_size: int = 128
    schedule: Schedule | None = None


@dataclass(frozen=True, eq=False)
class Round:
    """What one round did: its scores and plan, and the network before, after the removal, and at the round's end."""

    scores: Scores
    plan: Plan
    removed: Evaluation
    tuned: Evaluation | None

    @property
    def after(self) -> Evaluation:
        """The network at the end of the round."""
        return self.removed if self.tuned is None else self.tuned


@dataclass(frozen=True, eq=False)
class PruneResult:
    """What `prune` did.

    Attributes
    ----------
    net : Graph
        The smaller network.
    before : Evaluation
        Of the network that was given, on the validation part where there is one.
    history : list of Round
        In order.
    kept : dict
        Group -> the indices, in the given network, of the neurons that stayed.
    state : OptimizerState or None
        Of the last fine-tuning.
    evaluated_on : str
        "validation" or "training" data.
    strategy : Global, PerLayer or Threshold
        As given.
    dense : dict
        Group -> how many neurons it had.
    """

    net: Graph
    before: Evaluation
    history: list[Round]
    kept: dict[str, list[int]]
    state: OptimizerState | None
    evaluated_on: str
    strategy: Strategy
    dense: dict[str, int]

    @property
    def after(self) -> Evaluation:
        """Of the smaller network, on the same data as `before`."""
        return self.history[-1].after

    def __repr__(self) -> str:
        sizes = ", ".join(f"{group} {len(left)}" for group, left in self.kept.items())
        return f"<PruneResult: {len(self.history)} round(s), {sizes} left; print(result.report()) tells more>"

    def report(self) -> str:
        """The rounds as a table."""
        measure = "accuracy" if self.before.accuracy is not None else "rmse"
        head = ("round", "neurons removed", measure, f"{measure} tuned", "loss", "parameters", "MACs")
        rows: list[tuple[Any, ...]] = [_row("before", None, self.before, None, measure)]
        rows += [_row(str(n), r.plan, r.removed, r.tuned, measure) for n, r in enumerate(self.history, 1)]
        sizes = ", ".join(f"{g} {self.dense[g]} → {len(left)}" for g, left in self.kept.items())
        note = f"{self.history[0].scores.criterion}, {self.strategy}; evaluated on {self.evaluated_on} data"
        return f"{table(head, rows)}\n{sizes}\n{note}\nlast round: {self.net.certificate}"


def _row(name: str, plan: Plan | None, now: Evaluation, tuned: Evaluation | None, measure: str) -> tuple[Any, ...]:
    last = now if tuned is None else tuned
    later = None if tuned is None else getattr(tuned, measure)
    return name, None if plan is None else len(plan), getattr(now, measure), later, last.loss, last.params, last.macs


def prune(
    net: Graph,
    data: Any,
    criterion: str | Criterion = "taylor",
    strategy: Strategy = Global(0.5),  # noqa: B008  a frozen value
    *,
    rounds: int = 1,
    finetune: FineTune | None = None,
    repair: str | Repair | None = None,
    groups: list[str] | tuple[str, ...] | None = None,
    loss: str | None = None,
    state: OptimizerState | None = None,
    rng: int | np.random.Generator = 0,
    progress: bool = True,
) -> PruneResult:
    """Go round the cycle: score the neurons, decide, remove, repair, fine-tune, evaluate.

    Parameters
    ----------
    net : Graph
        Is not changed.
    data : (x, y), Samples or Dataset
        Scores, repair and fine-tuning see the training part; evaluation the validation part where there is one. The
        test part is never touched.
    criterion : str or Criterion
        See `minprune.criteria`.
    strategy : Global, PerLayer or Threshold
        Its fraction is the final total, however many rounds it takes.
    rounds : int
        In how many equal parts to remove, scoring anew before each.
    finetune : FineTune, optional
        Training after every removal; without one there is none.
    repair : {None, "mean", "least_squares", "merge", "batch_norm"} or a repair
        See `remove`.
    groups : names, optional
        Which groups to prune; by default all hidden ones.
    loss : str, optional
        By default cross-entropy for integer y, else mse.
    state : OptimizerState, optional
        Of the training before: its rows follow the neurons that stay, and fine-tuning goes on with it.
    rng : int or Generator
        For criteria that draw, and for fine-tuning.
    progress : bool
        Show bars.

    Returns
    -------
    PruneResult
        ``.net`` is the smaller network, ``.report()`` tells what happened.

    Raises
    ------
    PlanError
        When `rounds` is below 1, or the strategy cannot be carried out; see `decide`.

    Notes
    -----
    Source: spec A2, A8 (document 2, 3.1).

    Examples
    --------
    >>> import minprune as mp
    >>> digits = mp.data.digits()
    >>> net = mp.Sequential(mp.Dense(64, 16), mp.ReLU(), mp.Dense(16, 10))
    >>> res = prune(net, digits, "magnitude_l2", mp.PerLayer(0.25), rounds=2)
    >>> [len(step.plan) for step in res.history], res.net.neurons["dense1"].size
    ([2, 2], 12)
    """
    if not isinstance(rounds, int | np.integer) or rounds < 1:
        raise PlanError(f"rounds is {rounds!r}, expected a whole number of at least 1")
    generator = np.random.default_rng(rng)
    train, valid = as_splits(data)
    judge = train if valid is None else valid
    before = evaluate(net, judge, loss=loss, runtime=())
    history: list[Round] = []
    kept: dict[str, list[int]] = {}
    dense: dict[str, int] = {}
    strategy = anchored(strategy, net, progress)
    for number in range(1, rounds + 1):
        scores = score(net, train, criterion, loss=loss, groups=groups, rng=generator, progress=progress)
        now = {group: len(values) for group, values in scores.items()}
        dense = dense or now
        groups = list(dense)  # a depthwise convolution left with one channel makes a new group: not in later rounds
        kept = kept or {group: list(range(size)) for group, size in now.items()}
        plan = decide(scores, strategy if rounds == 1 else strategy.part(number / rounds, dense, now))
        small = remove(net, plan, repair=repair, data=train)
        removed = evaluate(small, judge, loss=loss, runtime=())
        state = None if state is None else state.sliced(staying(net, plan.drop))
        tuned = None
        if finetune is not None:
            state = _tune(small, data, finetune, loss, state, generator, progress)
            tuned = evaluate(small, judge, loss=loss, runtime=())
        kept = {g: [i for j, i in enumerate(left) if j not in plan.drop.get(g, [])] for g, left in kept.items()}
        history.append(Round(scores, plan, removed, tuned))
        net = small
    part = "training" if valid is None else "validation"
    return PruneResult(net, before, history, kept, state, part, strategy, dense)


def _tune(
    net: Graph,
    data: Any,
    how: FineTune,
    loss: str | None,
    state: OptimizerState | None,
    rng: np.random.Generator,
    progress: bool,
) -> OptimizerState:
    """Train in place and return where the optimiser stands."""
    history = fit(
        net,
        data,
        loss=loss,
        optimizer=how.optimizer,
        epochs=how.epochs,
        batch_size=how.batch_size,
        schedule=how.schedule,
        state=state,
        rng=rng,
        progress=progress,
    )
    return history.state
