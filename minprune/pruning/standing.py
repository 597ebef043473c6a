"""Where a pruning stands between and within its rounds: as it goes on with it, and as a state file keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..checkpoints import kept_slots, prefixed, slots_kept, without_prefix
from ..errors import FileError, one_line
from ..evaluation import Evaluation
from ..formats.state_files import WRONG, Kept
from ..neurons import staying
from ..nn import Graph
from ..ops import Array
from ..optim import OptimizerState
from ..scores import Scores
from .pacing import Course
from .plan import Plan
from .repair import Repair
from .results import Round
from .surgery import remove
from .tracking import joined


@dataclass(frozen=True, eq=False)
class Standing:
    """The smaller network, and the one that it was made of, to which repairs refit it."""

    reference: Graph
    drop: dict[str, list[int]]  # of the reference
    small: Graph
    state: OptimizerState | None  # of the reference

    def without(self, plan: Plan, repair: str | Repair | None, data: Any) -> Standing:
        """Remove some more: the reference's neurons that a plan for `small` names, together with those gone already."""
        drop = joined(self.reference, self.small, self.drop, plan.drop)
        return Standing(self.reference, drop, remove(self.reference, Plan(drop), repair, data), self.state)

    @property
    def small_state(self) -> OptimizerState | None:
        """The optimiser's memory that belongs to `small`."""
        return None if self.state is None else self.state.sliced(staying(self.reference, self.drop))


@dataclass(eq=False)
class Progress:
    """How far a pruning has come.

    Attributes
    ----------
    now : Standing
    history : list of Round
        What is over; the last one may still wait for its fine-tuning.
    tuned : int
        How many rounds are over, fine-tuning included.
    drop : dict
        All that is gone, of the given network.
    course : Course or None
        None before the first scores.
    """

    now: Standing
    history: list[Round] = field(default_factory=list)
    tuned: int = 0
    drop: dict[str, list[int]] = field(default_factory=dict)
    course: Course | None = None

    def kept(self, rng: np.random.Generator) -> Kept:
        """For a state file. What it started from is not in it: who goes on has that."""
        assert self.course is not None
        arrays: dict[str, Array] = {}
        for number, entry in enumerate(self.history):
            arrays |= prefixed(f"scores {number}", entry.scores.by_group)
        state = self.now.small_state
        said = {
            "rounds": [_said(entry) for entry in self.history],
            "tuned": self.tuned,
            "drop": self.drop,
            "dense": dict(self.course.dense),
            "left": self.course.left,
            "given": self.now.reference is not self.now.small,
            "step": None if state is None else state.step,
            "rng": rng.bit_generator.state,
        }
        slots = {} if state is None else kept_slots("state", state)
        return Kept(said, arrays | slots, {"small": self.now.small.copy()})  # fine-tuning changes it in place

    def restore(self, kept: Kept, strategy: Any, schedule: str, rng: np.random.Generator) -> None:
        """Go back to where a state file says that the pruning stood; `self` is at the start of the same one.

        Raises
        ------
        FileError
            When it is no state of a pruning.
        """
        try:
            said, small = kept.said, kept.nets["small"]
            self.history = [_round(number, entry, kept) for number, entry in enumerate(said["rounds"])]
            self.tuned = int(said["tuned"])
            self.drop = Plan(said["drop"]).drop
            dense = {str(group): int(size) for group, size in said["dense"].items()}
            self.course = Course(strategy, schedule, dense, float(said["left"]))
            state = None if said["step"] is None else slots_kept("state", said["step"], kept.arrays)
            if said["given"]:  # it is still the given network that is cut, and its own optimiser's memory
                self.now = Standing(self.now.reference, self.drop, small, self.now.state)
            else:
                self.now = Standing(small, {}, small, state)
            rng.bit_generator.state = said["rng"]
        except WRONG as error:
            raise FileError(f"this is no state of a pruning ({type(error).__name__}: {one_line(error)})") from None


def _said(entry: Round) -> dict[str, Any]:
    scores = {"criterion": entry.scores.criterion, "fingerprint": entry.scores.fingerprint}
    tuned = None if entry.tuned is None else entry.tuned.as_dict()
    return {"scores": scores, "plan": entry.plan.as_dict(), "removed": entry.removed.as_dict(), "tuned": tuned}


def _round(number: int, said: dict[str, Any], kept: Kept) -> Round:
    scores = Scores(by_group=without_prefix(f"scores {number}", kept.arrays), **said["scores"])
    tuned = None if said["tuned"] is None else Evaluation(**said["tuned"])
    return Round(scores, Plan.from_dict(said["plan"]), Evaluation(**said["removed"]), tuned)
