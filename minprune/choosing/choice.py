"""A wish, what came of it, and why: the choice that `choose` hands back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DataError
from ..nn import Graph
from ..pruning.plan import Plan
from ..reports import duration, table
from .candidates import COSTS, HEAD, Candidate
from .fronts import pareto_front

SAME = 1e-9  # accuracies are counts divided by counts: closer than this is equal


@dataclass(frozen=True)
class Wish:
    """What is asked of a network.

    Attributes
    ----------
    max_loss : float or None
        How much accuracy (as a fraction; for a regression R²) may be lost against the dense network.
    max_runtime, max_bytes : float or None
        Seconds of a call, and bytes of arrays in memory.
    smallest_by : str
        What is to be small where `max_loss` is given.
    """

    max_loss: float | None
    max_runtime: float | None
    max_bytes: float | None
    smallest_by: str

    def __post_init__(self) -> None:
        limits = {"max_loss": self.max_loss, "max_runtime": self.max_runtime, "max_bytes": self.max_bytes}
        if all(limit is None for limit in limits.values()):
            raise DataError("nothing is asked for; give max_loss= (for the smallest), max_runtime= or max_bytes=")
        for name, limit in limits.items():
            if limit is not None and not (0 <= limit <= 1 if name == "max_loss" else limit > 0):
                wanted = "a fraction of accuracy from 0 to 1" if name == "max_loss" else "a number above 0"
                raise DataError(f"{name} is {limit!r}, expected {wanted}")
        if self.smallest_by not in COSTS:
            raise DataError(f"smallest_by is {self.smallest_by!r}, expected one of {', '.join(COSTS)}")

    def excess(self, candidate: Candidate, dense: Candidate) -> float:
        """By how much the worst limit is missed, in accuracy or as a share of the limit; at most 0 where all hold."""
        missed = []
        if self.max_loss is not None:
            missed.append(dense.quality - candidate.quality - self.max_loss - SAME)
        for limit, cost in ((self.max_runtime, "runtime"), (self.max_bytes, "bytes")):
            if limit is not None:
                missed.append(candidate.cost(cost) / limit - 1)
        return max(missed)

    def best(self, candidates: Sequence[Candidate]) -> Candidate:
        """The smallest where a loss is allowed for, else the most accurate; then the other way; then the first."""

        def rank(candidate: Candidate) -> tuple[float, float]:
            size, error = candidate.cost(self.smallest_by), -candidate.quality
            return (size, error) if self.max_loss is not None else (error, size)

        return min(candidates, key=rank)

    def __str__(self) -> str:
        limits = [f"at most {self.max_loss:.4g} lost"] if self.max_loss is not None else []
        limits += [f"at most {duration(self.max_runtime)}"] if self.max_runtime is not None else []
        limits += [f"at most {self.max_bytes:,.0f} bytes"] if self.max_bytes is not None else []
        return ", ".join(limits)


@dataclass(frozen=True, eq=False)
class Choice:
    """What `choose` chose, and from what.

    Attributes
    ----------
    chosen : Candidate
    candidates : list of Candidate
        All that were measured, the dense network first.
    wish : Wish
    batch : int
        Samples in each timed call.
    evaluated_on : str
        "validation" or "training" data.
    skipped : dict
        Criterion and strategy -> why there is no such candidate.
    """

    chosen: Candidate
    candidates: list[Candidate]
    wish: Wish
    batch: int
    evaluated_on: str
    skipped: dict[str, str]

    @property
    def net(self) -> Graph:
        """The network that was chosen."""
        return self.chosen.net

    @property
    def plan(self) -> Plan:
        """What was removed for it, without its repair."""
        return self.chosen.plan

    @property
    def dense(self) -> Candidate:
        """The network that was given."""
        return self.candidates[0]

    @property
    def front(self) -> list[Candidate]:
        """Those that no other beats in accuracy, runtime and bytes at once, the largest first; of equals the first."""
        costs = [(-c.quality, c.seconds, c.cost("bytes")) for c in self.candidates]
        different = {costs[i]: self.candidates[i] for i in reversed(pareto_front(costs))}
        return sorted(different.values(), key=lambda c: -c.cost("bytes"))

    def __repr__(self) -> str:
        return f"<Choice of {len(self.candidates)}: {self.chosen}; print(choice.report()) tells more>"

    def table(self, candidates: Sequence[Candidate] | None = None) -> str:
        """Some candidates, by default all, as a table; the chosen one is marked."""
        rows = [("*" * (c is self.chosen), *c.row(self.dense)) for c in candidates or self.candidates]
        head = [self.quality_name if name == "quality" else name for name in HEAD]
        return table(("", *head), rows, left=4)

    @property
    def quality_name(self) -> str:
        """What is to be high: "accuracy", or "R²" for a regression."""
        return "R²" if self.dense.evaluation.accuracy is None else "accuracy"

    def report(self) -> str:
        """What was chosen and why, and the front."""
        goal = "the most accurate" if self.wish.max_loss is None else f"the smallest by {self.wish.smallest_by}"
        met = sum(self.wish.excess(c, self.dense) <= 0 for c in self.candidates)
        lines = [
            f"chosen: {self.chosen}",
            f"{goal} of the {met} with {self.wish}; {len(self.candidates)} measured on {self.evaluated_on} data",
            "",
            "not beaten in accuracy, time and bytes at once (* chosen):",
            self.table(self.front),
            f"time: a call with {self.batch} sample(s), paired with the dense network's; bytes: of arrays in memory",
        ]
        return "\n".join(lines + [f"without {name}: {why}" for name, why in self.skipped.items()])

    def for_plot(self) -> dict[str, Any]:
        """What `plots.pareto` takes: ``plots.pareto(**choice.for_plot())``."""
        asked = {"seconds": self.wish.max_runtime, "bytes": self.wish.max_bytes}
        if self.wish.max_loss is not None:
            asked["quality"] = self.dense.quality - self.wish.max_loss
        return {
            "quality": [candidate.quality for candidate in self.candidates],
            "seconds": [candidate.seconds for candidate in self.candidates],
            "sizes": [candidate.cost("bytes") for candidate in self.candidates],
            "chosen": self.candidates.index(self.chosen),
            "limits": {name: limit for name, limit in asked.items() if limit is not None},
            "ylabel": f"{self.evaluated_on} {self.quality_name}",
            "title": f"chosen: {self.chosen}",
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the networks; candidates of chosen and front by their place."""
        return {
            "wish": str(self.wish),
            "chosen": self.candidates.index(self.chosen),
            "front": [self.candidates.index(candidate) for candidate in self.front],
            "batch": self.batch,
            "evaluated_on": self.evaluated_on,
            "candidates": [candidate.as_dict() for candidate in self.candidates],
            "skipped": self.skipped,
        }
