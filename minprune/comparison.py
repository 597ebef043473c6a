"""Comparing networks: the same data, and times that are taken in turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from .datasets.samples import as_samples
from .errors import DataError
from .evaluation import Evaluation, check_sizes, evaluate, ready_call
from .nn import Graph
from .progress import bar
from .reports import duration, table
from .timing import FEWEST, Race, Ratio, Timing, ratio_of, summarise

BAR_AFTER = 2.0  # seconds: whatever takes longer shows a progress bar


@dataclass(frozen=True)
class Comparison:
    """Several networks on the same data. `print` it for a table.

    Attributes
    ----------
    reference : str
        The first network's name: what the others' speed is measured against.
    evaluations : dict of str to Evaluation
        Of every network; its `runtime` is that of its blocks (of the reference: in the pairs with the second network).
    ratio : dict of str to dict of int to Ratio
        For every other network and batch size the time of the reference divided by its own (``.median``, with the 95 %
        interval from ``.low`` to ``.high``): above 1 it is faster than the reference.
    """

    reference: str
    evaluations: dict[str, Evaluation]
    ratio: dict[str, dict[int, Ratio]]

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values that JSON can hold; batch sizes are texts."""
        return {
            "reference": self.reference,
            "evaluations": {name: ev.as_dict() for name, ev in self.evaluations.items()},
            "ratio": {name: {str(size): asdict(r) for size, r in by.items()} for name, by in self.ratio.items()},
        }

    def __str__(self) -> str:
        first = self.evaluations[self.reference]
        head = ["network", *first.quality(), "loss", "params", "MACs", "bytes in memory", "on disk"]
        for size in first.runtime:
            head += [f"time @{size}", f"speed-up @{size}"]
        rows = []
        for name, ev in self.evaluations.items():
            row = [name, *ev.quality().values(), ev.loss, ev.params, ev.macs, ev.bytes_memory, ev.bytes_disk]
            for size, timing in ev.runtime.items():
                row += [duration(timing.median), _speed_up(self.ratio.get(name, {}).get(size))]
            rows.append(row)
        return table(head, rows)


def _speed_up(ratio: Ratio | None) -> str:
    return "1" if ratio is None else f"{ratio.median:.3g} ({ratio.low:.3g}–{ratio.high:.3g})"


def compare(
    nets: Mapping[str, Graph],
    data: Any,
    loss: str | None = None,
    batches: Iterable[int] = (1, 256),
    rounds: int = 101,
    seconds: float = 1.0,
    rng: int | np.random.Generator = 0,
    progress: bool = True,
) -> Comparison:
    """Judge several networks on the same data, and time each against the first in interleaved pairs.

    speed-up = median over pairs of (time of the first) / (time of the other).

    The protocol, for each batch size and each network but the first: both are warmed up; then blocks of calls are timed
    in pairs, one block of each network, which goes first drawn by lot. Both blocks have the same number of calls, such
    that the faster one's lasts at least 1 ms. The two blocks of a pair run within milliseconds of each other, so
    whatever slows the machine down for longer hits both and cancels in their ratio. The interval is that of the sign
    test for the median, at least 95 %, which assumes nothing about the distribution of the ratios but takes the pairs
    as independent. It is about this machine, now, with as many threads as NumPy's BLAS takes. One thing remains: where
    arrays lie in memory can make two copies of one network differ by one or two percent, so leave such ratios alone.

    Parameters
    ----------
    nets : mapping of str to Graph
        At least two; the first is the reference.
    data, loss
        As for `evaluate`; of a `Dataset` the TEST part is taken.
    batches : tuple of int
        Batch sizes to time.
    rounds : int
        How many pairs at most, at least 9.
    seconds : float
        No more pairs are begun after this time for each batch size and network, but nine there are, however slow.
    rng : int or Generator
        Draws the order within pairs.
    progress : bool
        Whether to show a bar if it takes longer than two seconds.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        For networks without names, less than two of them, or too few rounds; otherwise as `evaluate`.

    Examples
    --------
    >>> from minprune.layers import Dense, ReLU
    >>> from minprune.nn import Sequential
    >>> nets = {"dense": Sequential(Dense(8, 64), ReLU(), Dense(64, 2)), "small": Sequential(Dense(8, 2))}
    >>> result = compare(nets, (np.ones((4, 8)), np.array([0, 1, 0, 1])), batches=(1,), seconds=0.05)
    >>> result.ratio["small"][1].median > 1
    True
    """
    if not isinstance(nets, Mapping):
        raise DataError(f"compare takes networks by name, as {{'dense': a, 'small': b}}; got {type(nets).__name__}")
    if len(nets) < 2:
        raise DataError(f"compare takes at least two networks, got {len(nets)}; for a single one use evaluate")
    if rounds < FEWEST:
        raise DataError(f"rounds is {rounds}, expected at least {FEWEST}: fewer pairs say too little")
    check_sizes(batches=(sizes := list(batches)))
    evaluations = {name: evaluate(net, data, loss, runtime=()) for name, net in nets.items()}
    x, _ = as_samples(getattr(data, "test", data))
    reference, *others = nets
    races = {
        (name, size): Race.prepare(
            ready_call(nets[reference], x, size), ready_call(nets[name], x, size), rounds, seconds
        )
        for name in others
        for size in sizes
    }
    times = _run_races(races, rounds, seconds, np.random.default_rng(rng), progress)
    runtime: dict[str, dict[int, Timing]] = {name: {} for name in nets}
    ratio: dict[str, dict[int, Ratio]] = {name: {} for name in others}
    for (name, size), (first, second) in times.items():
        calls = races[name, size].calls
        runtime[reference].setdefault(size, summarise(first, calls))
        runtime[name][size] = summarise(second, calls)
        ratio[name][size] = ratio_of(first, second, calls)
    timed = {name: replace(ev, runtime=runtime[name]) for name, ev in evaluations.items()}
    return Comparison(reference, timed, ratio)


Times = tuple[list[float], list[float]]


def _run_races(
    races: Mapping[tuple[str, int], Race], rounds: int, seconds: float, rng: np.random.Generator, progress: bool
) -> dict[tuple[str, int], Times]:
    expected = sum(max(min(seconds, rounds * race.pair_seconds), FEWEST * race.pair_seconds) for race in races.values())
    times = {}
    with bar("comparing", len(races) * rounds, show=progress and expected > BAR_AFTER) as advance:
        for key, race in races.items():
            times[key] = race.run(rounds, seconds, rng, advance)
            advance(rounds - len(times[key][0]))  # the pairs that there was no time for
    return times
