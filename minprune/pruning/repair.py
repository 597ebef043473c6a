"""Repair: what the remaining network can do, without training, to make up for neurons that left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass, replace
from typing import Any, Protocol

import numpy as np

from ..datasets.samples import as_samples, count, rows
from ..errors import DataError, PlanError
from ..nn import Graph
from ..ops import Array, divide
from ..targets import choose_loss
from .certifying import record_repair
from .plan import Plan
from .repairs.brain_surgeon import OptimalBrainSurgeon
from .repairs.least_squares import LeastSquares
from .repairs.merging import merge_repair
from .repairs.readers import readers_of_dropped, response, rows_left, with_biases
from .repairs.recalibration import batch_norm_repair

BATCH = 1024  # samples at a time


class Repair(Protocol):
    """A way to repair: from the network before and after the plan's removal, and samples, to a repaired network."""

    def __call__(self, net: Graph, small: Graph, plan: Plan, x: Any) -> Graph:
        """Return a repaired copy of `small`."""


def mean_repair(net: Graph, small: Graph, plan: Plan, x: Any) -> Graph:
    r"""Replace every dropped neuron by its mean: add what it contributed on average to the biases of its readers.

    $b_k \leftarrow b_k + \sum_{j\ \mathrm{dropped}} w_{kj}\, \bar{a}_j$, with $\bar{a}_j$ the mean over the samples of
    what the reader saw; for a convolution $w_{kj}$ is the sum over the filter's entries and $\bar{a}_j$ the mean over
    the places too (exact inside the image, an approximation where the filter reaches over a padded border).

    Readers without a bias get one.

    Parameters
    ----------
    net, small : Graph
        The network before, and after `remove` without repair.
    plan : Plan
        What was dropped.
    x : array (N, …)
        The samples that the mean is taken over.

    Returns
    -------
    Graph
        The repaired network; `small` is not changed.

    Notes
    -----
    Source: spec C4; Molchanov et al. 2017 prune to zero, Ye et al. 2018, *Rethinking the smaller-norm-less-informative
    assumption*, section 4.1, move the constant into the next bias.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense1.b"] = [[1.0], [0.0]], [0.0, 5.0]
    >>> net.params["dense2.W"] = [[1.0, 3.0]]
    >>> small = mp.remove(net, mp.Plan({"dense1": [1]}), repair="mean", data=np.ones((4, 1)))
    >>> small.params["dense2.b"]  # the constant neuron is replaced without loss
    array([15.])
    """
    means_of = _means(net, x, {read.value for name in plan.drop for read in net.neurons[name].reads})
    repaired = with_biases(small, readers_of_dropped(net, plan))
    for name, neurons in plan.drop.items():
        for read in net.neurons[name].reads:
            means = np.where(np.isin(read.owner, neurons), means_of[read.value], 0).astype(net.dtype)
            for reader in read.readers if means.any() else ():
                repaired.params[f"{reader}.b"] += response(net, reader, means)[rows_left(net, reader, plan)]
    return repaired


def _means(net: Graph, x: Any, names: set[str]) -> dict[str, Array]:
    """The mean of every channel of some values (C,), over samples and places, a batch at a time: memory stays flat."""
    wide = None if net.dtype == object else np.float64  # rationals are exact as they are
    totals: dict[str, Any] = dict.fromkeys(names, 0)
    entries = dict.fromkeys(names, 0)  # of one channel
    for start in range(0, count(x), BATCH):
        values = net.run(net.take(rows(x, slice(start, start + BATCH))), net.arrays)
        for name in names:
            value = values[name]
            totals[name] = totals[name] + value.sum(axis=(0, *range(2, value.ndim)), dtype=wide)
            entries[name] += value.size // value.shape[1]
    return {name: divide(totals[name], entries[name]) for name in names}


REPAIRS: dict[str, Repair] = {
    "mean": mean_repair,
    "least_squares": LeastSquares(),
    "merge": merge_repair,
    "batch_norm": batch_norm_repair,
    "obs": OptimalBrainSurgeon(),
}


def described(repair: Repair) -> dict[str, Any]:
    """A repair as a record holds it: its name, and where it has some its settings.

    Examples
    --------
    >>> described(LeastSquares(ridge=0.5))
    {'repair': 'least_squares', 'ridge': 0.5, 'samples': 5000, 'places': 20}
    """
    for name, known in REPAIRS.items():
        if known is repair or (type(known) is type(repair) and _settings(repair)):
            return {"repair": name} | _settings(repair)
    return {"repair": getattr(repair, "__name__", type(repair).__name__), "known": False}


def _settings(repair: Any) -> dict[str, Any]:
    """The settings of a repair that is a dataclass."""
    return asdict(repair) if is_dataclass(repair) and not isinstance(repair, type) else {}


def from_description(how: Mapping[str, Any]) -> Repair | None:
    """The repair that a record describes; None for one that is not minprune's own, or settings that it has not."""
    known: Any = REPAIRS.get(str(how.get("repair")))
    settings = {name: value for name, value in how.items() if name != "repair"}
    if known is None or set(settings) != set(_settings(known)):
        return None
    return replace(known, **settings) if settings else known


def repaired(net: Graph, small: Graph, plan: Plan, repair: str | Repair | None, data: Any) -> Graph:
    """Apply a repair, given by its name or itself, and certify it; None leaves the network as it is.

    Raises
    ------
    PlanError
        For an unknown name.
    DataError
        When there is no data to repair with, or an output is not finite.
    """
    if repair is None:
        return small
    work = REPAIRS.get(repair) if isinstance(repair, str) else repair
    if not callable(work):
        raise PlanError(f"unknown repair {repair!r}; expected None or one of {', '.join(REPAIRS)}")
    seen = None
    if work is not merge_repair:  # the one that needs no data
        if data is None:
            raise DataError(f"repair={repair!r} needs data: pass data=x (labels are not used)")
        seen, y = as_samples(data, labels=False)
        if isinstance(work, OptimalBrainSurgeon) and work.loss is None and y is not None:
            work = replace(work, loss=choose_loss(y))
    done = work(net, small, plan, seen)
    done = done.copy() if done is small else done  # two histories, two networks
    done.close_masks()
    done.history = (*small.history, record_repair(net, small, done, plan, described(work), seen, data))
    return done
