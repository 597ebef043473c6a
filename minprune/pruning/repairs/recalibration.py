"""Recalibration: batch-norms count anew what comes to them once neurons have left."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...datasets.samples import count, rows
from ...errors import DataError, DtypeError, StructureError
from ...layers import BatchNorm
from ...nn import Graph
from ...ops import Array
from ..plan import Plan
from .readers import compute, readers_of_dropped

BATCH = 256  # samples taken at once


def batch_norm_repair(net: Graph, small: Graph, plan: Plan, x: Any) -> Graph:
    r"""Replace the running statistics of every batch-norm behind a reader of dropped neurons by those on samples.

    $\mu_c = \frac{1}{m} \sum_{n,p} z_{n,c,p}$, $\mathrm{var}_c = \frac{1}{m-1} \sum_{n,p} (z_{n,c,p} - \mu_c)^2$,
    with z what comes to the batch-norm in the smaller network and m the number of samples times places.

    Batch-norms are taken in the order in which they compute, each on what the network, recalibrated so far, gives it.
    Those before the removal see what they always did, and keep their statistics.

    Parameters
    ----------
    net, small : Graph
        The network before, and after `remove` without repair.
    plan : Plan
        What was dropped.
    x : array (N, …)
        The samples that are counted, all of them; labels are not used.

    Returns
    -------
    Graph
        The repaired network; `small` is not changed.

    Raises
    ------
    StructureError
        When the network has no batch-norm.
    DataError
        When there are fewer than two entries per channel.
    DtypeError
        For a network of anything but floats.

    Notes
    -----
    Source: Li et al. 2020, *EagleEye: fast sub-net evaluation for efficient neural network pruning*, section 3.2
    ("adaptive batch normalization": by running averages there, by exact ones here).

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), mp.BatchNorm(1), mp.Dense(1, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[1.0], [3.0]], [[1.0, 1.0]]
    >>> small = mp.remove(net, mp.Plan({"dense1": [1]}), repair="batch_norm", data=np.array([[0.0], [2.0]]))
    >>> small.buffers["batchnorm1.mean"], small.buffers["batchnorm1.var"]  # of 0 and 2
    (array([1.]), array([2.]))
    """
    if net.dtype.kind != "f":
        raise DtypeError(f"batch-norms are recalibrated in floats, got {net.dtype}; use repair='mean' or astype")
    if not any(isinstance(node.layer, BatchNorm) for node in net.nodes.values()):
        raise StructureError("there is no batch-norm to recalibrate; use repair='mean' or 'least_squares'")
    repaired = small.copy()
    behind: set[str] = set(readers_of_dropped(net, plan))
    for name, node in repaired.nodes.items():
        if not behind.isdisjoint(node.inputs):
            behind.add(name)
            if isinstance(node.layer, BatchNorm):
                mean, var = _statistics(repaired, name, x)
                repaired.buffers[f"{name}.mean"], repaired.buffers[f"{name}.var"] = mean, var
    return repaired


def _statistics(net: Graph, name: str, x: Any) -> tuple[Array, Array]:
    """Mean and unbiased variance (C,) of what comes to a batch-norm, in float64, joined batch by batch."""
    source = net.nodes[name].inputs[0]
    seen, mean, squares = 0, np.zeros(1), np.zeros(1)
    for start in range(0, count(x), BATCH):
        z = compute(net, source, rows(x, slice(start, start + BATCH)))[source].astype(np.float64)
        z = np.moveaxis(z, 1, -1).reshape(-1, z.shape[1])  # (N,C,…) -> (N·P,C)
        shift = z.mean(axis=0) - mean
        total = seen + len(z)
        # Chan et al. 1983: squares around each batch's own mean, which do not cancel as sums of squares would
        squares = squares + z.var(axis=0) * len(z) + shift**2 * (seen * len(z) / total)
        mean, seen = mean + shift * (len(z) / total), total
    if seen < 2:
        raise DataError(f"{name}: expected at least 2 entries per channel to recalibrate with, got {seen}")
    return mean, squares / (seen - 1)
