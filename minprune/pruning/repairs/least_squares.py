"""Least squares: refit the readers of dropped neurons so that they compute, from what is left, what they used to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

import numpy as np

from ...datasets.samples import count, rows
from ...errors import DtypeError, PlanError
from ...nn import Graph
from ...ops import Array
from ..plan import Plan
from .readers import compute, readers_of_dropped, rows_left, spread, with_biases

BATCH = 256  # samples taken at once, or fewer: as many as keep a batch's patches within ENTRIES numbers
ENTRIES = 2**22


@dataclass(frozen=True)
class LeastSquares:
    r"""Refit every layer that read a dropped neuron to the dense network's pre-activations; labels are not used.

    $\min_{\Delta W, \Delta b} \sum_n \| z_n - (W + \Delta W)\, a_n - b - \Delta b \|^2 + \lambda \| \Delta W \|^2$

    z is what the reader's weighted sum was in the dense network, a what it reads in the smaller one, W and b what the
    removal left of it; λ is `ridge` times the mean diagonal entry of $\sum_n a_n a_n^\top$. The bias is not penalised.
    With $\tilde{a} = (a, 1)$ and $r = z - W a - b$, what is missing, the solution is that of the normal equations
    $(\sum_n \tilde{a}_n \tilde{a}_n^\top + \lambda D)\, (\Delta W, \Delta b)^\top = \sum_n \tilde{a}_n r_n^\top$, where
    D = diag(1, …, 1, 0).

    So the old weights are what λ pulls towards: a direction in which the samples say nothing stays as it was, λ → 0
    is plain least squares, and λ → ∞ leaves the bias alone to be fitted, which is the mean repair.

    Readers are refitted in the order in which they compute, each on what the smaller network, repaired so far, gives
    it: errors of earlier layers are corrected by later ones and do not pile up. In a convolution every place of every
    sample is an equation and the filter's window the unknowns (with groups, one system for each). Readers without a
    bias get one; depthwise convolutions carry a neuron on and are no readers.

    Parameters
    ----------
    ridge : float
        Above 0, relative to the size of what is read.
    samples : int
        How many samples are used at most, spread evenly over the data.
    places : int
        How many places of a sample are used at most, drawn anew (seeded) for every batch.

    Raises
    ------
    PlanError
        When a setting is out of range.
    DtypeError
        On calling it for a network of anything but floats.

    Notes
    -----
    For one dense reader and λ → 0 it is the update of the optimal brain surgeon for whole neurons, with the reader's
    own squared error as the loss (Hassibi and Stork 1993; Dong et al. 2017, *Learning to prune deep neural networks
    via layer-wise optimal brain surgeon*).

    Source: He et al. 2017, *Channel pruning for accelerating very deep neural networks*, equations 2 and 3; Luo et al.
    2017, *ThiNet*, equations 6 and 7. Both regress z on a without a penalty or with one that pulls to zero, and on
    some places of each image. He et al. regress on what the smaller network gives, as here.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense1.b"] = [[1.0], [2.0]], [0.0, 5.0]
    >>> net.params["dense2.W"] = [[1.0, 3.0]]
    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> small = mp.remove(net, mp.Plan({"dense1": [1]}), repair=LeastSquares(ridge=1e-9), data=x)
    >>> small.params["dense2.W"].round(6), small.params["dense2.b"].round(6)  # x + 3 (2 x + 5) = 7 x + 15
    (array([[7.]]), array([15.]))
    """

    ridge: float = 1e-3
    samples: int = 5000
    places: int = 20

    def __post_init__(self) -> None:
        check_settings(self, ridge=self.ridge, samples=self.samples, places=self.places)

    def __call__(self, net: Graph, small: Graph, plan: Plan, x: Any) -> Graph:
        """Repair `small`, which is what `plan` left of `net`, on samples x; the result is a network of its own."""
        if net.dtype.kind != "f":
            raise DtypeError(f"least squares needs a network of floats, got {net.dtype}; use repair='mean' or astype")
        x = rows(x, spread(count(x), self.samples))
        readers = readers_of_dropped(net, plan)
        repaired = with_biases(small, readers)
        for reader in readers:
            gram, cross = self._equations(net, repaired, reader, rows_left(net, reader, plan), x)
            weights, bias = _solve(gram, cross, self.ridge)
            W, b = repaired.params[f"{reader}.W"], repaired.params[f"{reader}.b"]
            W += weights.reshape(W.shape)
            b += bias
        return repaired

    def _equations(self, net: Graph, repaired: Graph, reader: str, left: Array, x: Any) -> tuple[Array, Array]:
        """Both sides of the normal equations, summed batch by batch: (Q, F+1, F+1) and (Q, F+1, o)."""
        gram: Any = 0.0
        cross: Any = 0.0
        for batch in regressions(net, repaired, reader, left, x, self.places):
            at = batch.a.swapaxes(1, 2)
            gram = gram + at @ batch.a  # (Q,F+1,n)(Q,n,F+1) -> (Q,F+1,F+1)
            cross = cross + at @ batch.r  # (Q,F+1,n)(Q,n,o) -> (Q,F+1,o)
        return gram, cross


@dataclass(frozen=True)
class Regression:
    """What a reader sees in some samples and places, and what it misses.

    Attributes
    ----------
    x : array
        The samples.
    places : index
        Which places of each.
    a : array (Q, n, F + 1)
        What it reads, and 1 for the bias; one row for each sample and place, Q groups of a convolution.
    r : array (Q, n, o)
        What it computed in the dense network, less what it does now.
    """

    x: Any
    places: Any
    a: Array
    r: Array


def regressions(net: Graph, repaired: Graph, reader: str, left: Array, x: Any, places: int) -> Iterator[Regression]:
    """A reader's regression of what is missing on what it reads, a batch of samples at a time."""
    layer: Any = repaired.nodes[reader].layer
    (source,) = repaired.nodes[reader].inputs
    rng = np.random.default_rng(0)
    for part in _batches(repaired, reader, x):
        target = compute(net, reader, part)[reader][:, left]
        values = compute(repaired, reader, part)
        columns = layer.columns(values[source])  # (N,Q,F,P)
        missing = (target.astype(np.float64) - values[reader]).reshape(*columns.shape[:2], -1, columns.shape[3])
        chosen = _some_places(columns.shape[3], places, rng)
        a, r = as_rows(columns[..., chosen]), as_rows(missing[..., chosen])  # (Q,n,F), (Q,n,o)
        yield Regression(part, chosen, np.concatenate([a, np.ones_like(a[..., :1])], axis=2), r)


def check_settings(repair: Any, *, ridge: float, samples: int, places: int) -> None:
    """Refuse what no regression can be made with."""
    kind = type(repair).__name__
    if not (isinstance(ridge, int | float | np.floating) and ridge > 0 and isfinite(ridge)):
        raise PlanError(f"{kind}: ridge is {ridge!r}, expected a finite number above 0")
    for name, value in (("samples", samples), ("places", places)):
        if not isinstance(value, int | np.integer) or value < 1:
            raise PlanError(f"{kind}: {name} is {value!r}, expected a whole number of at least 1")


def _solve(gram: Array, cross: Array, ridge: float) -> tuple[Array, Array]:
    """Solve the penalised normal equations: what to add to the weights (Q, o, F) and to the biases (Q·o,)."""
    features = np.arange(gram.shape[1] - 1)
    size = gram[:, features, features].mean(axis=1, keepdims=True)  # (Q,1)
    size[size == 0] = 1  # all that is read is 0: any λ leaves the weights as they are
    gram[:, features, features] += ridge * size
    solution = np.linalg.solve(gram, cross)  # (Q,F+1,o)
    return solution[:, :-1].swapaxes(1, 2), solution[:, -1].reshape(-1)


def _batches(net: Graph, reader: str, x: Any) -> Iterator[Any]:
    """The samples in parts that keep memory flat, however many there are."""
    shapes = net.value_shapes(net.input_shapes or {})
    window, places = prod(net.params[f"{reader}.W"].shape[1:]), prod(shapes[reader][1:])
    groups = getattr(net.nodes[reader].layer, "groups", 1)
    size = max(1, min(BATCH, ENTRIES // (groups * window * places)))
    for start in range(0, count(x), size):
        yield rows(x, slice(start, start + size))


def _some_places(available: int, wanted: int, rng: np.random.Generator) -> Any:
    """All places where they are few, else some of them."""
    return slice(None) if available <= wanted else rng.choice(available, wanted, replace=False)


def as_rows(columns: Array) -> Array:
    """One row for each sample and place, in float64: (N, Q, F, P) -> (Q, N·P, F)."""
    return columns.transpose(1, 0, 3, 2).reshape(columns.shape[1], -1, columns.shape[2]).astype(np.float64)
