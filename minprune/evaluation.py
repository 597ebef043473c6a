"""Judging a network: how right, how large and how fast it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np

from .arguments import check_network
from .backends import backend
from .datasets.samples import as_samples, count, rows
from .errors import DataError, DtypeError
from .formats.npz import npz_bytes
from .nn import Graph
from .ops import LOSSES, Array
from .progress import track
from .reports import duration, macs, table
from .targets import choose_loss, prepare_targets
from .tensor import apply
from .timing import Timing, measure

WORTH_A_PLAN = 1_000  # samples


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
        Number of parameters (buffers apart), and multiply-accumulates for one sample of this data. Zeros are counted:
        the network computes with them.
    nonzero : int
        How many of the parameters are not 0.
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
    nonzero: int
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
        rows += [(name, value) for name, value in self.quality().items() if value is not None]
        rows += [("parameters", self.params), ("of them not 0", self.nonzero), ("MACs per sample", self.macs)]
        rows += [("bytes in memory", self.bytes_memory), ("bytes on disk", self.bytes_disk)]
        for size, timing in self.runtime.items():
            rows.append((f"time, batch of {size}", f"{duration(timing.median)}, IQR {duration(timing.iqr)}"))
        return table(("quantity", "value"), rows)

    def quality(self) -> dict[str, float | None]:
        """How right the network is, by the name that tables show."""
        if self.accuracy is not None:
            return {"accuracy": self.accuracy}
        return {"RMSE": self.rmse, "R²": self.r2}


def evaluate(
    net: Graph,
    data: Any,
    loss: str | None = None,
    batch_size: int = 1024,
    runtime: Iterable[int] = (1, 256),
    progress: bool = True,
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
    StructureError
        When `net` is no network.

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
    check_network(net, "evaluate")
    if net.dtype.kind != "f":
        raise DtypeError(f"evaluate takes a network of floats, this one holds {net.dtype}; use astype(np.float64)")
    check_sizes(batch_size=[batch_size], runtime=(sizes := list(runtime)))
    x, y = as_samples(getattr(data, "test", data))
    shapes = {name: value.shape[1:] for name, value in net.take(rows(x, slice(1))).items()}
    loss = choose_loss(y) if loss is None else loss
    targets = prepare_targets(y, (count(x), *net.value_shapes(shapes)[net.output]), loss, net.dtype)
    run = planned_run(net, shapes) if count(x) >= WORTH_A_PLAN else net
    total, quality = _quality(run, x, targets, loss, batch_size, progress)
    return Evaluation(
        loss=total,
        **quality,
        params=sum(array.size for array in net.params.values()),
        nonzero=sum(int(np.count_nonzero(array)) for array in net.params.values()),
        macs=sum(macs(net, shapes).values()),
        bytes_memory=sum(array.nbytes for array in net.arrays.values()),
        bytes_disk=npz_bytes(net),
        runtime={size: measure(ready_call(net, x, size)) for size in sizes},
        samples=count(x),
        loss_name=loss,
    )


def check_sizes(**sizes: list[int]) -> None:
    """Refuse batch sizes that are no whole numbers of at least 1.

    Examples
    --------
    >>> check_sizes(runtime=[1, 0])
    Traceback (most recent call last):
    minprune.errors.DataError: runtime: expected whole numbers of at least 1, got 0
    """
    for name, values in sizes.items():
        for value in values:
            if not isinstance(value, int | np.integer) or value < 1:
                raise DataError(f"{name}: expected whole numbers of at least 1, got {value!r}")


def planned_run(net: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Callable[[Any], Array]:
    """The network, or where the backend has a plan for all of it, that plan; whose outputs the next call overwrites.

    Examples
    --------
    >>> from minprune.layers import Flatten
    >>> from minprune.nn import Sequential
    >>> planned_run(net := Sequential(Flatten()), {"input": (2, 3)}) is net
    True
    """
    if backend() != "numba":
        return net
    from .runtime.planning import plan_network

    plan = plan_network(net, net.value_shapes(shapes), "")
    if isinstance(plan, str) or plan.ends != [net.output]:
        return net
    plan.load(net.arrays)
    return lambda x: plan.forward(net.take(x))[net.output]


def _quality(
    run: Callable[[Any], Array], x: Any, t: Array, loss: str, batch_size: int, progress: bool
) -> tuple[float, dict[str, float | None]]:
    """The mean loss and what else can be said about the outputs, gone through batch by batch, summed in float64."""
    classes = _classes(t, loss)
    center = t.mean(axis=0, dtype=np.float64)
    total = right = residual = variation = 0.0
    for start in track(range(0, count(x), batch_size), "evaluating", show=progress):
        batch = slice(start, start + batch_size)
        out = run(rows(x, batch))
        total += float(apply(LOSSES[loss], out, t[batch]).sum(dtype=np.float64))
        if classes is not None:
            numbers = ~np.isnan(out).any(axis=1)  # an output that is no number is never right
            right += int((numbers & (out.argmax(axis=1) == classes[batch])).sum())
        else:
            residual += float(np.square(out - t[batch], dtype=np.float64).sum())
            variation += float(np.square(t[batch] - center, dtype=np.float64).sum())
    if classes is not None:
        return total / count(x), {"accuracy": right / count(x), "rmse": None, "r2": None}
    r2 = 1 - residual / variation if variation > 0 else None
    return total / count(x), {"accuracy": None, "rmse": sqrt(residual / t.size), "r2": r2}


def _classes(t: Array, loss: str) -> Array | None:
    """The class of every sample, or None where the targets are no classes."""
    if t.ndim == 1:
        return t
    one_hot = t.shape[1] > 1 and ((t == 0) | (t == 1)).all() and (t.sum(axis=1) == 1).all()
    classes: Array = t.argmax(axis=1)
    return classes if loss == "cross_entropy" or one_hot else None


def ready_call(net: Graph, x: Any, size: int) -> Callable[[], Array]:
    """A call of the network on a batch of the given size, ready to be timed.

    Examples
    --------
    >>> from minprune.layers import Flatten
    >>> from minprune.nn import Sequential
    >>> ready_call(Sequential(Flatten()), np.eye(2), 3)()
    array([[1., 0.],
           [0., 1.],
           [1., 0.]], dtype=float32)
    """
    batch = net.take(rows(x, np.arange(size) % count(x)))
    return lambda: net(batch)
