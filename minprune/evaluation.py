"""Judging networks: how right, how large and how fast one is, and how it compares with others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from .datasets.samples import as_samples
from .errors import DataError, DtypeError
from .formats.npz import npz_bytes
from .nn import Graph
from .ops import LOSSES, Array
from .progress import bar, track
from .reports import duration, macs, table
from .targets import choose_loss, prepare_targets
from .tensor import apply
from .timing import FEWEST, Race, Ratio, Timing, measure, ratio_of, summarise

BAR_AFTER = 2.0  # seconds: whatever takes longer shows a progress bar


@dataclass(frozen=True)
class Evaluation:
    """What a network does on some data, and what it costs. `print` it for a table.

    Attributes
    ----------
    loss : float
        Mean over the samples of the loss named `loss_name`.
    accuracy : float or None
        Fraction of samples whose largest output is the right class; None for a regression.
    rmse, r2 : float or None
        Root of the mean squared error, and explained variance 1 − SS_residual / SS_total, both over all outputs
        together; None for a classification. r2 is None too where the targets do not vary.
    params, macs : int
        Number of parameters (buffers apart), and multiply-accumulates for one sample of this data.
    bytes_memory, bytes_disk : int
        Size of all arrays, and of the file that ``save(net, "x.npz")`` writes.
    runtime : dict of int to Timing
        For each batch size the seconds of one call: ``.median`` and ``.iqr``.
    samples : int
        How many samples it was judged on.
    """

    loss: float
    accuracy: float | None
    rmse: float | None
    r2: float | None
    params: int
    macs: int
    bytes_memory: int
    bytes_disk: int
    runtime: dict[int, Timing]
    samples: int
    loss_name: str

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values that JSON can hold; batch sizes are texts."""
        return asdict(self) | {"runtime": {str(size): asdict(timing) for size, timing in self.runtime.items()}}

    def __str__(self) -> str:
        rows: list[tuple[str, Any]] = [("samples", self.samples), (f"loss ({self.loss_name})", self.loss)]
        rows += [(name, value) for name, value in self._quality().items() if value is not None]
        rows += [("parameters", self.params), ("MACs per sample", self.macs)]
        rows += [("bytes in memory", self.bytes_memory), ("bytes on disk", self.bytes_disk)]
        for size, timing in self.runtime.items():
            rows.append((f"time, batch of {size}", f"{duration(timing.median)}, IQR {duration(timing.iqr)}"))
        return table(("quantity", "value"), rows)

    def _quality(self) -> dict[str, float | None]:
        if self.accuracy is not None:
            return {"accuracy": self.accuracy}
        return {"RMSE": self.rmse, "R²": self.r2}


def evaluate(
    net: Graph,
    data: Any,
    loss: str | None = None,
    batch_size: int = 1024,
    runtime: Iterable[int] = (1, 256),
    progress: bool = False,
) -> Evaluation:
    r"""Judge a network: its loss and accuracy (or error), its size, its speed.

    accuracy $= \frac{1}{N} \sum_n [\arg\max_k y_{nk} = t_n]$; $R^2 = 1 - \sum (y - t)^2 / \sum (t - \bar{t})^2$.

    Parameters
    ----------
    net : Graph
        In floats. Runs in evaluation mode.
    data : (x, y), or an object with .x and .y
        Of a `Dataset` (anything with ``.test``) the TEST part is taken.
    loss : str, optional
        By default cross_entropy for integer y, else mse. It counts as a classification, which has an accuracy, if the
        loss is cross_entropy or y consists of one-hot rows (of at least two classes), else as a regression. So a
        network with a single output under a squared loss is a regression, whatever its targets.
    batch_size : int
        How many samples are computed at a time: memory does not grow with the number of samples.
    runtime : tuple of int
        Batch sizes to time; ``()`` skips it. For each: warm-up, then blocks of calls (each at least 1 ms) for 0.2 s, at
        least nine; median and interquartile range over blocks. The batch is made of the data's own first samples,
        over and over if need be, and is cast to the network's dtype beforehand.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError, DtypeError, ShapeError
        For data that do not fit the network or the loss, or a network that does not compute in floats.

    Examples
    --------
    >>> from minprune.layers import Dense
    >>> from minprune.nn import Sequential
    >>> net = Sequential(Dense(2, 2))
    >>> net.params["dense1.W"] = np.eye(2)
    >>> ev = evaluate(net, (np.eye(2), np.array([0, 0])), runtime=())
    >>> ev.accuracy, round(ev.loss, 4), ev.params, ev.macs
    (0.5, 0.8133, 6, 4)
    """
    if net.dtype.kind != "f":
        raise DtypeError(f"evaluate takes a network of floats, this one holds {net.dtype}; use astype(np.float64)")
    _check_sizes(batch_size=[batch_size], runtime=(sizes := list(runtime)))
    x, y = as_samples(getattr(data, "test", data))
    shapes = {name: tuple(x.shape[1:]) for name in net.inputs}
    net.take(x[:1])
    loss = choose_loss(y) if loss is None else loss
    targets = prepare_targets(y, (len(x), *net.value_shapes(shapes)[net.output]), loss, net.dtype)
    total, quality = _quality(net, x, targets, loss, batch_size, progress)
    return Evaluation(
        loss=total,
        **quality,
        params=sum(array.size for array in net.params.values()),
        macs=sum(macs(net, shapes).values()),
        bytes_memory=sum(array.nbytes for array in net.arrays.values()),
        bytes_disk=npz_bytes(net),
        runtime={size: measure(_call(net, x, size)) for size in sizes},
        samples=len(x),
        loss_name=loss,
    )


def _check_sizes(**sizes: list[int]) -> None:
    for name, values in sizes.items():
        for value in values:
            if not isinstance(value, int | np.integer) or value < 1:
                raise DataError(f"{name}: expected whole numbers of at least 1, got {value!r}")


def _quality(
    net: Graph, x: Array, t: Array, loss: str, batch_size: int, progress: bool
) -> tuple[float, dict[str, float | None]]:
    """The mean loss and what else can be said about the outputs, gone through batch by batch, summed in float64."""
    classes = _classes(t, loss)
    center = t.mean(axis=0, dtype=np.float64)
    total = right = residual = variation = 0.0
    for start in track(range(0, len(x), batch_size), "evaluating", show=progress):
        batch = slice(start, start + batch_size)
        out = net(x[batch])
        total += float(apply(LOSSES[loss], out, t[batch]).sum(dtype=np.float64))
        if classes is not None:
            numbers = ~np.isnan(out).any(axis=1)  # an output that is no number is never right
            right += np.count_nonzero(numbers & (out.argmax(axis=1) == classes[batch]))
        else:
            residual += float(np.square(out - t[batch], dtype=np.float64).sum())
            variation += float(np.square(t[batch] - center, dtype=np.float64).sum())
    if classes is not None:
        return total / len(x), {"accuracy": right / len(x), "rmse": None, "r2": None}
    r2 = 1 - residual / variation if variation > 0 else None
    return total / len(x), {"accuracy": None, "rmse": sqrt(residual / t.size), "r2": r2}


def _classes(t: Array, loss: str) -> Array | None:
    """The class of every sample, or None where the targets are no classes."""
    if t.ndim == 1:
        return t
    one_hot = t.shape[1] > 1 and ((t == 0) | (t == 1)).all() and (t.sum(axis=1) == 1).all()
    classes: Array = t.argmax(axis=1)
    return classes if loss == "cross_entropy" or one_hot else None


def _call(net: Graph, x: Array, size: int) -> Any:
    """A call of the network on a batch of the given size, ready to be timed."""
    batch = x[np.arange(size) % len(x)].astype(net.dtype)
    return lambda: net(batch)


@dataclass(frozen=True)
class Comparison:
    """Several networks on the same data. `print` it for a table.

    Attributes
    ----------
    reference : str
        The first network's name: what the others' speed is measured against.
    evaluations : dict of str to Evaluation
        Of every network, with the times of the compared blocks as its `runtime`.
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
        head = ["network", *first._quality(), "loss", "params", "MACs", "bytes in memory", "on disk"]
        for size in first.runtime:
            head += [f"time @{size}", f"speed-up @{size}"]
        rows = []
        for name, ev in self.evaluations.items():
            row = [name, *ev._quality().values(), ev.loss, ev.params, ev.macs, ev.bytes_memory, ev.bytes_disk]
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
    as independent. It is about this machine, now, with as many threads as NumPy's BLAS takes.

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
        For less than two networks, or too few rounds; otherwise as `evaluate`.

    Examples
    --------
    >>> from minprune.layers import Dense, ReLU
    >>> from minprune.nn import Sequential
    >>> nets = {"dense": Sequential(Dense(8, 64), ReLU(), Dense(64, 2)), "small": Sequential(Dense(8, 2))}
    >>> result = compare(nets, (np.ones((4, 8)), np.array([0, 1, 0, 1])), batches=(1,), seconds=0.05)
    >>> result.ratio["small"][1].median > 1
    True
    """
    if len(nets) < 2:
        raise DataError(f"compare takes at least two networks, got {len(nets)}; for a single one use evaluate")
    if rounds < FEWEST:
        raise DataError(f"rounds is {rounds}, expected at least {FEWEST}: fewer pairs say too little")
    _check_sizes(batches=(sizes := list(batches)))
    evaluations = {name: evaluate(net, data, loss, runtime=()) for name, net in nets.items()}
    x, _ = as_samples(getattr(data, "test", data))
    reference, *others = nets
    races = {
        (name, size): Race.prepare(_call(nets[reference], x, size), _call(nets[name], x, size), rounds, seconds)
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
