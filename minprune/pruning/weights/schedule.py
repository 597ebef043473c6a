"""The cycle for single weights: score → decide → mask → fine-tune → evaluate, and round again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...datasets.samples import as_splits
from ...errors import PlanError
from ...evaluation import Evaluation, evaluate
from ...nn import Graph
from ...optim import OptimizerState
from ...reports import table
from ...scores import Criterion, Scores, score
from ..deciding import Global, Strategy
from ..pacing import PACES, check_schedule
from ..schedule import FineTune, check_finetune
from .deciding import decide_weights, part_of
from .plan import WeightPlan, mask_weights


@dataclass(frozen=True, eq=False)
class WeightRound:
    """What one round did: its scores, its plan (of all that is masked by then), and the network after either step."""

    scores: Scores
    plan: WeightPlan
    masked: Evaluation
    tuned: Evaluation | None

    @property
    def after(self) -> Evaluation:
        """The network at the end of the round."""
        return self.masked if self.tuned is None else self.tuned


@dataclass(frozen=True, eq=False)
class WeightPruneResult:
    """What `prune_weights` did.

    Attributes
    ----------
    net : Graph
        With masks.
    before : Evaluation
        Of the network that was given, on the validation part where there is one.
    history : list of WeightRound
        In order.
    state : OptimizerState or None
        Of the last fine-tuning.
    evaluated_on : str
        "validation" or "training" data.
    """

    net: Graph
    before: Evaluation
    history: list[WeightRound]
    state: OptimizerState | None
    evaluated_on: str

    @property
    def after(self) -> Evaluation:
        """Of the masked network, on the same data as `before`."""
        return self.history[-1].after

    def __repr__(self) -> str:
        return f"<WeightPruneResult: {len(self.history)} round(s), {self.net!r}; print(result.report()) tells more>"

    def report(self) -> str:
        """The rounds as a table, and what is left of every parameter."""
        measure = "accuracy" if self.before.accuracy is not None else "rmse"
        head = ("round", measure, f"{measure} tuned", "loss", "parameters not 0", "bytes on disk")
        rows = [_row("before", self.before, None, measure)]
        rows += [_row(str(n), r.masked, r.tuned, measure) for n, r in enumerate(self.history, 1)]
        kept = ", ".join(f"{name} {k.size} → {int(k.sum())}" for name, k in self.net.masks.items())
        return f"{table(head, rows)}\n{kept}\n{self.history[-1].plan.reason}; evaluated on {self.evaluated_on} data"


def _row(name: str, now: Evaluation, tuned: Evaluation | None, measure: str) -> tuple[Any, ...]:
    last, later = (now, None) if tuned is None else (tuned, getattr(tuned, measure))
    return name, getattr(now, measure), later, last.loss, last.nonzero, last.bytes_disk


def prune_weights(
    net: Graph,
    data: Any,
    criterion: str | Criterion = "magnitude_l1",
    strategy: Strategy = Global(0.9),  # noqa: B008  a frozen value
    *,
    rounds: int = 1,
    schedule: str = "linear",
    finetune: FineTune | None = None,
    block: tuple[int, int] | None = None,
    groups: list[str] | tuple[str, ...] | None = None,
    loss: str | None = None,
    state: OptimizerState | None = None,
    rng: int | np.random.Generator = 0,
    progress: bool = True,
) -> WeightPruneResult:
    r"""Go round the cycle with weights: score them, decide, mask, fine-tune, evaluate.

    After round k of K the strategy's amount times $s_{k/K}$ is masked, with $s_\tau$ as in `minprune.pruning.pacing`.
    What was masked once stays masked.

    Parameters
    ----------
    net : Graph
        Is not changed.
    data : (x, y), Samples or Dataset
        Scores and fine-tuning see the training part; evaluation the validation part where there is one. The test part
        is never touched.
    criterion : str or Criterion
        One that scores weights.
    strategy : Global, PerLayer or Threshold
        Its amount is the final total, however many rounds it takes, with what was masked before.
    rounds : int
        How often to score, mask and fine-tune.
    schedule : {"linear", "cubic", "exponential"}
        How the amount grows.
    finetune : FineTune, optional
        Training after every round; without one there is none.
    block : (int, int), optional
        Mask whole blocks of so many rows and columns; see `decide_weights`.
    groups : names, optional
        Which parameters; by default the W of every layer.
    loss : str, optional
        By default cross-entropy for integer y, else mse.
    state : OptimizerState, optional
        Of the training before: fine-tuning goes on with it.
    rng : int or Generator
        For criteria that draw, and for fine-tuning.
    progress : bool
        Show bars.

    Returns
    -------
    WeightPruneResult
        ``.net`` has the masks, ``.report()`` tells what happened.

    Raises
    ------
    PlanError
        When `rounds` is below 1, the schedule is unknown, or the strategy cannot be carried out; see `decide_weights`.
    DataError
        When the criterion does not score weights.

    Notes
    -----
    Source: Han et al. 2015, *Learning both weights and connections for efficient neural networks* (rounds of pruning
    and training); Zhu and Gupta 2017, *To prune, or not to prune*; spec A1, A4.

    Examples
    --------
    >>> import minprune as mp
    >>> digits = mp.data.digits()
    >>> net = mp.Sequential(mp.Dense(64, 16), mp.ReLU(), mp.Dense(16, 10))
    >>> res = prune_weights(net, digits, strategy=mp.PerLayer(0.75), rounds=2, progress=False)
    >>> [len(step.plan) for step in res.history], res.after.nonzero  # of 1,184 weights
    ([444, 888], 296)
    """
    if not isinstance(rounds, int | np.integer) or rounds < 1:
        raise PlanError(f"rounds is {rounds!r}, expected a whole number of at least 1")
    check_schedule(schedule)
    check_finetune(finetune)
    generator = np.random.default_rng(rng)
    train, valid = as_splits(data)
    judge = train if valid is None else valid
    before = evaluate(net, judge, loss=loss, runtime=(), progress=progress)
    given, left, history = net, 1.0, list[WeightRound]()
    for number in range(1, rounds + 1):
        scores = score(net, train, criterion, loss=loss, by="weight", groups=groups, rng=generator, progress=progress)
        if number == 1 and schedule == "exponential":
            left = 1 - len(decide_weights(scores, strategy, block)) / sum(values.size for values in scores.values())
        share = PACES[schedule](number / rounds, left)
        plan = decide_weights(scores, strategy if number == rounds else part_of(strategy, share, scores, block), block)
        net = mask_weights(net, plan)
        masked = evaluate(net, judge, loss=loss, runtime=(), progress=progress)
        tuned = None
        if finetune is not None:
            state = finetune.run(net, data, loss, state, generator, progress, given)
            tuned = evaluate(net, judge, loss=loss, runtime=(), progress=progress)
        history.append(WeightRound(scores, plan, masked, tuned))
    return WeightPruneResult(net, before, history, state, "training" if valid is None else "validation")
