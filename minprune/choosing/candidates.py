"""Candidates: smaller networks, each measured, for `choose` to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import nan
from typing import Any

import numpy as np

from ..evaluation import Evaluation, ready_call
from ..nn import Graph
from ..progress import bar
from ..pruning.plan import Plan
from ..reports import duration
from ..timing import Race, Ratio, measure, ratio_of

PAIRS = 101  # of timed blocks at most, for one structure
COSTS = ("params", "macs", "bytes", "runtime")
HEAD = ("criterion", "strategy", "repair", "quality", "lost", "parameters", "MACs", "bytes", "time", "speed-up")


@dataclass(frozen=True, eq=False)
class Candidate:
    """A network that can be chosen, with all that was measured.

    Attributes
    ----------
    criterion, strategy, repair : str
        How it was made; the first is "dense" for the network that was given, the others are "" then.
    plan : Plan
        What it lacks.
    net : Graph
    evaluation : Evaluation
        On the data that the choice is made on.
    seconds : float
        Of one call: the dense network's median time, divided by the median of the paired ratios.
    speed_up : Ratio or None
        Time of the dense network divided by its own, in interleaved pairs; None for the dense network itself.
    """

    criterion: str
    strategy: str
    repair: str
    plan: Plan
    net: Graph
    evaluation: Evaluation
    seconds: float = nan
    speed_up: Ratio | None = None

    @property
    def quality(self) -> float:
        """The accuracy, or for a regression R²; NaN where the targets do not vary."""
        found = self.evaluation.accuracy if self.evaluation.accuracy is not None else self.evaluation.r2
        return nan if found is None else found

    def cost(self, name: str) -> float:
        """One of "params", "macs", "bytes" (of arrays in memory), "runtime" (seconds)."""
        ev = self.evaluation
        return {"params": ev.params, "macs": ev.macs, "bytes": ev.bytes_memory, "runtime": self.seconds}[name]

    def __str__(self) -> str:
        return ", ".join(part for part in (self.criterion, self.strategy, self.repair) if part)

    def __repr__(self) -> str:
        return f"<{self}: {self.quality:.4g}, {self.evaluation.params:,} parameters>"

    def row(self, dense: Candidate) -> tuple[Any, ...]:
        """Its line of a table under `HEAD`."""
        ev, ratio = self.evaluation, self.speed_up
        faster = "1" if ratio is None else f"{ratio.median:.3g} ({ratio.low:.3g}–{ratio.high:.3g})"
        lost = dense.quality - self.quality + 0.0  # no -0
        sizes = (ev.params, ev.macs, ev.bytes_memory, duration(self.seconds))
        return self.criterion, self.strategy, self.repair, f"{self.quality:.4f}", f"{lost:.4f}", *sizes, faster

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the network."""
        return {
            "criterion": self.criterion,
            "strategy": self.strategy,
            "repair": self.repair,
            "drop": self.plan.drop,
            "evaluation": self.evaluation.as_dict(),
            "seconds": self.seconds,
            "speed_up": None if self.speed_up is None else asdict(self.speed_up),
        }


def timed(
    dense: Candidate,
    others: Sequence[Candidate],
    x: Any,
    batch: int,
    seconds: float,
    rng: np.random.Generator,
    progress: bool,
) -> list[Candidate]:
    """The dense network and the others with their times: each structure raced against the dense one, once.

    Candidates whose arrays have the same shapes compute the same, so they share a measurement; else noise would tell
    them apart.

    Parameters
    ----------
    dense, others
        To be timed; all run on the first `batch` samples of x.
    x : samples
    batch : int
    seconds : float
        Of timing for each structure.
    rng : Generator
        Draws who goes first in each pair.
    progress : bool
        Whether to show a bar.
    """
    own = ready_call(dense.net, x, batch)
    structures = {_structure(other.net): other.net for other in others}
    ratios: dict[Any, Ratio] = {}
    times: list[float] = []
    with bar("timing", len(structures), show=progress) as advance:
        for structure, net in structures.items():
            race = Race.prepare(own, ready_call(net, x, batch), PAIRS, seconds)
            first, second = race.run(PAIRS, seconds, rng, lambda: None)
            ratios[structure] = ratio_of(first, second, race.calls)
            times += first
            advance()
    whole = float(np.median(times)) if times else measure(own, seconds).median
    return [
        replace(dense, seconds=whole),
        *(_with_time(other, ratios[_structure(other.net)], whole) for other in others),
    ]


def _with_time(candidate: Candidate, ratio: Ratio, whole: float) -> Candidate:
    return replace(candidate, seconds=whole / ratio.median, speed_up=ratio)


def _structure(net: Graph) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, array.shape) for name, array in net.arrays.items())
