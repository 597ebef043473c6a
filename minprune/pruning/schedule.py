"""The cycle of the document (spec A2): score → decide → remove → evaluate, and round again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..datasets.samples import Samples, as_splits
from ..distillation import Distillation
from ..errors import PlanError
from ..evaluation import Evaluation, evaluate
from ..formats.state_files import Keeper, Within
from ..learning_rates import Schedule
from ..neurons import fingerprint
from ..nn import Graph
from ..optim import Adam, Optimizer, OptimizerState
from ..scores import Criterion, score
from ..train import fit
from .budget import anchored
from .deciding import Global, Strategy
from .pacing import Course, check_schedule
from .plan import Plan
from .repair import Repair
from .results import PruneResult, Round
from .standing import Progress, Standing
from .tracking import joined


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
    distill : Distillation, optional
        Learn from the network that was given to `prune`, too.
    """

    epochs: int = 5
    optimizer: Optimizer = field(default_factory=Adam)
    batch_size: int = 128
    schedule: Schedule | None = None
    distill: Distillation | None = None

    def run(
        self,
        net: Graph,
        data: Any,
        loss: str | None,
        state: OptimizerState | None,
        rng: np.random.Generator,
        progress: bool,
        dense: Graph,
        keeper: Keeper | None = None,
    ) -> OptimizerState:
        """Train a network in place, with the dense one as its teacher if wanted; returns where the optimiser stands."""
        history = fit(
            net,
            data,
            loss=loss,
            optimizer=self.optimizer,
            epochs=self.epochs,
            batch_size=self.batch_size,
            schedule=self.schedule,
            teacher=None if self.distill is None else dense,
            distill=self.distill,
            state=state,
            rng=rng,
            progress=progress,
            keeper=keeper,
        )
        return history.state


def check_finetune(given: Any) -> None:
    """Refuse what does not say how to fine-tune.

    Raises
    ------
    PlanError
        Shows what to write.

    Examples
    --------
    >>> check_finetune(3)
    Traceback (most recent call last):
    minprune.errors.PlanError: finetune is 3, expected None or a FineTune, such as FineTune(epochs=3)
    """
    if given is not None and not isinstance(given, FineTune):
        epochs = given if isinstance(given, int | np.integer) and not isinstance(given, bool) and given > 0 else 5
        raise PlanError(f"finetune is {given!r}, expected None or a FineTune, such as FineTune(epochs={epochs})")


def prune(
    net: Graph,
    data: Any,
    criterion: str | Criterion = "taylor",
    strategy: Strategy = Global(0.5),  # noqa: B008  a frozen value
    *,
    rounds: int = 1,
    schedule: str = "linear",
    finetune: FineTune | None = None,
    repair: str | Repair | None = None,
    groups: list[str] | tuple[str, ...] | None = None,
    loss: str | None = None,
    state: OptimizerState | None = None,
    rng: int | np.random.Generator = 0,
    progress: bool = True,
    keeper: Keeper | None = None,
) -> PruneResult:
    """Go round the cycle: score the neurons, decide, remove, repair, fine-tune, evaluate.

    Every round scores what is left, repaired, and decides on it; then all that is gone so far is removed from the
    network that was given and repaired at once, so that repairs refit to the dense network and their errors do not
    pile up. After a fine-tuning it is the tuned network that later rounds start from.

    Parameters
    ----------
    net : Graph
        Is not changed.
    data : (x, y), Samples or Dataset
        Scores, repair and fine-tuning see the training part; evaluation the validation part where there is one. The
        test part is never touched.
    criterion : str or Criterion
        See `minprune.criteria`.
    strategy : Global, PerLayer, Threshold or Budget
        Its fraction is the final total, however many rounds it takes.
    rounds : int
        In how many parts to remove, scoring anew before each. Without fine-tuning all of them together are the removal
        of their union, ``remove(net, result.plan, repair)``.
    schedule : {"linear", "cubic", "exponential"}
        How large these parts are: the same number in every round, many at first, or the same fraction of what is left;
        see `minprune.pruning.pacing`.
    finetune : FineTune, optional
        Training after every removal; without one there is none.
    repair : {None, "mean", "least_squares", "merge", "batch_norm", "obs"} or a repair
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
    keeper : Keeper, optional
        Is told after every removal and every epoch where the pruning stands, and asked before the first: what is
        interrupted goes on there, and ends with the same bits. See `minprune.formats.state_files`.

    Returns
    -------
    PruneResult
        ``.net`` is the smaller network, ``.report()`` tells what happened.

    Raises
    ------
    PlanError
        When `rounds` is below 1, the schedule unknown, `finetune` no `FineTune`, or the strategy cannot be carried out;
        see `decide`.

    Notes
    -----
    Source: spec A2, A8 (document 2, 3.1).

    A network that was never trained is pruned in the same way, and trained afterwards (pruning at initialisation). And
    ``remove(early, result.plan)``, with the network as it was in an early epoch, puts the neurons that stay back to
    their weights of then: that is weight rewinding (Frankle and Carbin 2019, *The lottery ticket hypothesis*; Frankle
    et al. 2020, *Linear mode connectivity and the lottery ticket hypothesis*, for an epoch after the first).

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
    check_schedule(schedule)
    check_finetune(finetune)
    generator = np.random.default_rng(rng)
    train, valid = as_splits(data)
    judge = train if valid is None else valid
    before = evaluate(net, judge, loss=loss, runtime=(), progress=progress)
    strategy = anchored(strategy, net, progress)
    cycle = _Cycle(net, data, judge, criterion, strategy, schedule, finetune, repair, loss, generator, progress, keeper)
    stands = cycle.run(Progress(Standing(net, {}, net, state)), rounds, groups)
    part = "training" if valid is None else "validation"
    history, drop = stands.history, stands.drop
    total = Plan(drop, fingerprint(net), f"{history[0].scores.criterion}, {strategy}")
    dense = {group: net.neurons[group].size for group in history[0].scores}
    return PruneResult(stands.now.small, before, history, total, stands.now.small_state, part, strategy, dense)


@dataclass(frozen=True, eq=False)
class _Cycle:
    """One call of `prune`: what stays the same in all rounds."""

    net: Graph
    data: Any
    judge: Samples
    criterion: str | Criterion
    strategy: Strategy
    schedule: str
    finetune: FineTune | None
    repair: str | Repair | None
    loss: str | None
    rng: np.random.Generator
    progress: bool
    keeper: Keeper | None

    def run(self, stands: Progress, rounds: int, groups: list[str] | tuple[str, ...] | None) -> Progress:
        """Go round, from where it was left if it was."""
        kept = None if self.keeper is None else self.keeper.kept()
        if kept is not None:
            stands.restore(kept, self.strategy, self.schedule, self.rng)
        tuning = kept is not None and "fit" in kept.parts  # the last run was stopped within a fine-tuning
        for number in range(stands.tuned + 1, rounds + 1):
            if len(stands.history) < number:
                self.cut(stands, number / rounds, groups)
            if self.finetune is not None:
                self.tune(stands, self.finetune, tuning)
            tuning = False
            stands.tuned = number
            self.keep(stands)
        return stands

    def cut(self, stands: Progress, part: float, groups: list[str] | tuple[str, ...] | None) -> None:
        """Score, decide, remove, repair, evaluate."""
        train, _ = as_splits(self.data)
        # A depthwise convolution left with one channel makes a new group: none that was not there at the start.
        groups = groups if stands.course is None else list(stands.course.dense)
        now, progress = stands.now, self.progress
        scores = score(now.small, train, self.criterion, loss=self.loss, groups=groups, rng=self.rng, progress=progress)
        stands.course = stands.course or Course.starting(self.strategy, self.schedule, scores)
        plan = stands.course.decide(scores, stands.drop, part)
        stands.drop = joined(self.net, now.small, stands.drop, plan.drop)
        stands.now = now.without(plan, self.repair, train)
        stands.history.append(Round(scores, plan, self.judged(stands), None))

    def tune(self, stands: Progress, how: FineTune, begun: bool) -> None:
        """Fine-tune what was cut, and evaluate again; a tuning that was begun goes on where its own state says."""
        state = stands.now.small_state
        stands.now = Standing(stands.now.small, {}, stands.now.small, state)
        if not begun:
            self.keep(stands)
        small = stands.now.small
        inner = None if self.keeper is None else Within(self.keeper, stands.kept(self.rng), "fit")
        tuned = how.run(small, self.data, self.loss, stands.now.state, self.rng, self.progress, self.net, inner)
        stands.now = Standing(small, {}, small, tuned)
        stands.history[-1] = replace(stands.history[-1], tuned=self.judged(stands))

    def judged(self, stands: Progress) -> Evaluation:
        """The network as it is now."""
        return evaluate(stands.now.small, self.judge, loss=self.loss, runtime=(), progress=self.progress)

    def keep(self, stands: Progress) -> None:
        """Note where it stands, and go on from what was noted: then who starts there finds the very same arrays."""
        if self.keeper is None:
            return
        self.keeper.keep(stands.kept(self.rng))
        again = self.keeper.kept()
        if again is not None:
            stands.restore(again, self.strategy, self.schedule, self.rng)
