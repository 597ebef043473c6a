"""The cycle of the document (spec A2): score → decide → remove → evaluate, and round again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..datasets.samples import as_splits
from ..distillation import Distillation
from ..errors import PlanError
from ..evaluation import evaluate
from ..neurons import fingerprint, staying
from ..nn import Graph
from ..optim import Adam, Optimizer, OptimizerState, Schedule
from ..scores import Criterion, score
from ..train import fit
from .budget import anchored
from .deciding import Global, Strategy
from .pacing import Course, check_schedule
from .plan import Plan
from .repair import Repair
from .results import PruneResult, Round
from .surgery import remove
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


@dataclass(frozen=True, eq=False)
class _Standing:
    """Where a pruning stands: the smaller network, and the one that it was made of, to which repairs refit it."""

    reference: Graph
    drop: dict[str, list[int]]  # of the reference
    small: Graph
    state: OptimizerState | None  # of the reference

    def without(self, plan: Plan, repair: str | Repair | None, data: Any) -> _Standing:
        """Remove some more: the reference's neurons that a plan for `small` names, together with those gone already."""
        drop = joined(self.reference, self.small, self.drop, plan.drop)
        return _Standing(self.reference, drop, remove(self.reference, Plan(drop), repair, data), self.state)

    @property
    def small_state(self) -> OptimizerState | None:
        """The optimiser's memory that belongs to `small`."""
        return None if self.state is None else self.state.sliced(staying(self.reference, self.drop))


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
    history: list[Round] = []
    course: Course | None = None
    drop: dict[str, list[int]] = {}  # of the given network
    now = _Standing(net, {}, net, state)
    strategy = anchored(strategy, net, progress)
    for number in range(1, rounds + 1):
        scores = score(now.small, train, criterion, loss=loss, groups=groups, rng=generator, progress=progress)
        course = course or Course.starting(strategy, schedule, scores)
        groups = list(course.dense)  # a depthwise convolution left with one channel makes a new group: not later
        plan = course.decide(scores, drop, number / rounds)
        drop = joined(net, now.small, drop, plan.drop)
        now = now.without(plan, repair, train)
        removed = evaluate(now.small, judge, loss=loss, runtime=(), progress=progress)
        tuned = None
        if finetune is not None:
            tuned_state = finetune.run(now.small, data, loss, now.small_state, generator, progress, net)
            tuned = evaluate(now.small, judge, loss=loss, runtime=(), progress=progress)
            now = _Standing(now.small, {}, now.small, tuned_state)
        history.append(Round(scores, plan, removed, tuned))
    part = "training" if valid is None else "validation"
    total = Plan(drop, fingerprint(net), f"{history[0].scores.criterion}, {strategy}")
    dense = {group: net.neurons[group].size for group in groups or ()}
    return PruneResult(now.small, before, history, total, now.small_state, part, strategy, dense)
