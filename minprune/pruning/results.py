"""What a pruning did: round by round, and in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..evaluation import Evaluation
from ..nn import Graph
from ..optim import OptimizerState
from ..reports import table
from ..scores import Scores
from .deciding import Strategy
from .plan import Plan


@dataclass(frozen=True, eq=False)
class Round:
    """What one round did.

    Attributes
    ----------
    scores, plan
        Of the network that the round began with, in its indices.
    removed : Evaluation
        After the removal and the repair.
    tuned : Evaluation or None
        After fine-tuning.
    """

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
    plan : Plan
        All that was removed, in the indices of the given network: ``remove(early, result.plan)`` cuts the same neurons
        out of the network as it was earlier.
    state : OptimizerState or None
        Of the last fine-tuning.
    evaluated_on : str
        "validation" or "training" data.
    strategy : Global, PerLayer, Threshold or Budget
        As given.
    dense : dict
        Group -> how many neurons it had.
    """

    net: Graph
    before: Evaluation
    history: list[Round]
    plan: Plan
    state: OptimizerState | None
    evaluated_on: str
    strategy: Strategy
    dense: dict[str, int]

    @property
    def kept(self) -> dict[str, list[int]]:
        """Group -> the indices, in the given network, of the neurons that stayed."""
        return {g: sorted(set(range(size)) - set(self.plan.drop.get(g, ()))) for g, size in self.dense.items()}

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
        lines = [table(head, rows), sizes, note]
        lines += [f"nothing was removed: {self.history[-1].plan.reason}"] if not len(self.plan) else []
        return "\n".join([*lines, f"last round: {self.net.certificate}"])


def _row(name: str, plan: Plan | None, now: Evaluation, tuned: Evaluation | None, measure: str) -> tuple[Any, ...]:
    last = now if tuned is None else tuned
    later = None if tuned is None else getattr(tuned, measure)
    return name, None if plan is None else len(plan), getattr(now, measure), later, last.loss, last.params, last.macs
