"""The optimal brain surgeon for whole neurons: the weights that stay change so that the loss rises least."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from ...datasets.samples import count, rows
from ...errors import DataError, DtypeError, PlanError
from ...nn import Graph
from ...ops import Array
from ...progress import track
from ...scores.curvature import CURVED, curvature_roots
from ...tensor import Tape, Tensor, backward
from ..plan import Plan
from .least_squares import as_rows, check_settings, regressions
from .readers import readers_of_dropped, rows_left, spread, with_biases


@dataclass(frozen=True)
class OptimalBrainSurgeon:
    r"""Change what is left of every reader so that the loss, to second order, rises least; labels are not used.

    $\delta w_k = -H_k^{-1} E^\top (E H_k^{-1} E^\top)^{-1} E w_k, \quad H_k = \sum_n (h_{nk} + \mu \bar{h}_k)\,
    \tilde{a}_n \tilde{a}_n^\top + \lambda D$

    w_k are the weights and the bias of a reader's neuron k, the rows of E pick those that read dropped neurons,
    $\tilde{a} = (a, 1)$ is what it reads and $h_{nk}$ the loss's second derivative by its weighted sum.

    Where it comes from: the loss changes by about $\frac{1}{2} \sum_k \delta w_k^\top H_k\, \delta w_k$ (at a minimum
    the first order is 0), and the dropped weights must become 0, $E (w_k + \delta w_k) = 0$. Lagrange's conditions
    $H_k\, \delta w_k + E^\top \nu = 0$ give the formula. With R for the weights that stay and S for those that go it
    reads $\delta w_R = H_{RR}^{-1} H_{RS} w_S$: the regression of what is missing, $r_n = \sum_S w_j a_{nj}$, on what
    is left, in which sample n counts $h_{nk} + \mu \bar{h}_k$ times. So it is computed, and where several readers in a
    row have lost something r is all that is missing, as in `LeastSquares`.

    $h_{nk}$ is the diagonal of Gauss–Newton's $J_n^\top H_n J_n$, with J the gradient of the outputs by the reader's
    sums in the dense network and $H_n$ the loss's second derivative by the output; the terms between two of its neurons
    or places are dropped, for with them H has as many rows as the layer has weights. To approximate them as A ⊗ G
    (K-FAC) would be of no use here: G cancels, and what is left is `LeastSquares`. The damping μ is the trust in the
    quadratic model: a network that is sure of its samples has h near 0 for nearly all, and what a removal does to these
    is not second order. μ = 0 is Hassibi and Stork's update. On MNIST it loses to least squares; μ = 1 is level
    with it on 5,000 samples and better on 20,000 (`bench/repair.py`). For μ → ∞ it is `LeastSquares`.

    Parameters
    ----------
    loss : {"cross_entropy", "mse", "half_squared_error"}, optional
        Whose curvature. By default that of the data's labels, as everywhere: cross-entropy for integers, else mse.
    damping : float
        μ, at least 0.
    ridge : float
        λ by the mean diagonal entry of the sum, above 0; D = diag(1, …, 1, 0) leaves the bias alone. It pulls towards
        the weights that the removal left.
    samples, places : int
        How many samples are used at most, spread evenly over the data, and how many places of each.
    progress : bool
        Show a bar: there is one system to solve for every neuron of a reader.

    Raises
    ------
    PlanError
        When a setting is out of range.
    DataError
        For an unknown loss.
    DtypeError
        On calling it for a network of anything but floats.

    Notes
    -----
    Source: Hassibi and Stork 1993, *Second order derivatives for network pruning: optimal brain surgeon*, there for one
    weight; LeCun et al. 1990, *Optimal brain damage*, for Gauss–Newton; the damping, Levenberg 1944.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense1.b"] = [[1.0], [2.0]], [0.0, 5.0]
    >>> net.params["dense2.W"] = [[1.0, 3.0]]
    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> surgeon = OptimalBrainSurgeon("mse", ridge=1e-9)
    >>> small = mp.remove(net, mp.Plan({"dense1": [1]}), repair=surgeon, data=x)
    >>> small.params["dense2.W"].round(6), small.params["dense2.b"].round(6)  # x + 3 (2 x + 5) = 7 x + 15
    (array([[7.]]), array([15.]))
    """

    loss: str | None = None
    damping: float = 1.0
    ridge: float = 1e-3
    samples: int = 5000
    places: int = 4
    progress: bool = True

    def __post_init__(self) -> None:
        check_settings(self, ridge=self.ridge, samples=self.samples, places=self.places)
        if not (isinstance(self.damping, int | float | np.floating) and self.damping >= 0 and isfinite(self.damping)):
            raise PlanError(f"OptimalBrainSurgeon: damping is {self.damping!r}, expected a finite number of at least 0")
        if self.loss not in (None, *CURVED):
            raise DataError(f"unknown loss {self.loss!r}; expected one of {', '.join(CURVED)}")

    def __call__(self, net: Graph, small: Graph, plan: Plan, x: Any) -> Graph:
        """Repair `small`, which is what `plan` left of `net`, on samples x; the result is a network of its own."""
        if net.dtype.kind != "f":
            raise DtypeError(f"the surgeon needs a network of floats, got {net.dtype}; use repair='mean' or astype")
        if self.loss is None:
            raise DataError(
                "repair='obs' asks for the loss's curvature, and without labels it cannot be told which loss: "
                "pass (x, y), or OptimalBrainSurgeon(loss)"
            )
        x = rows(x, spread(count(x), self.samples))
        readers = readers_of_dropped(net, plan)
        repaired = with_biases(small, readers)
        for reader in readers:
            changes = self._changes(net, repaired, reader, rows_left(net, reader, plan), x)  # (O,F+1)
            W, b = repaired.params[f"{reader}.W"], repaired.params[f"{reader}.b"]
            W += changes[:, :-1].reshape(W.shape)
            b += changes[:, -1]
        return repaired

    def _changes(self, net: Graph, repaired: Graph, reader: str, left: Array, x: Any) -> Array:
        """Solve for every neuron of a reader: what to add to its weights and its bias (O, F+1)."""
        parts = []
        batches = regressions(net, repaired, reader, left, x, self.places)
        for batch in track(batches, f"brain surgeon, curvature behind {reader}", show=self.progress):
            h = loss_curvature(net, reader, batch.x, str(self.loss), batch.places)[:, left]  # (N,O,P)
            parts.append((batch.a, batch.r, as_rows(h.reshape(len(h), len(batch.a), -1, h.shape[2]))))
        a, r, h = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))  # (Q,n,F+1), (Q,n,o), (Q,n,o)
        mean = h.mean(axis=1, keepdims=True)
        weights = np.where(mean > 0, h / np.where(mean > 0, mean, 1), 1) + self.damping  # of no curvature at all: alike
        neurons = [(q, k) for q in range(len(r)) for k in range(r.shape[2])]
        shown = track(neurons, f"brain surgeon, {reader}", show=self.progress)
        return np.stack([_regress(a[q], r[q, :, k], weights[q, :, k], self.ridge) for q, k in shown])


def _regress(a: Array, r: Array, weights: Array, ridge: float) -> Array:
    """Weighted least squares of r (n,) on a (n, F+1), the last of which is the bias and not penalised."""
    weighted = a.T * weights  # (F+1,n)
    H = weighted @ a
    features = np.arange(len(H) - 1)
    size = H[features, features].mean() if len(features) else 0.0
    H[features, features] += ridge * (size or 1.0)  # all that is read is 0: any λ leaves the weights as they are
    return np.linalg.solve(H, weighted @ r)


def loss_curvature(net: Graph, name: str, x: Any, loss: str, places: Any = slice(None)) -> Array:
    r"""The second derivative of every sample's loss by the entries of a value, at some places: (N, C, P).

    By Gauss–Newton, $h_{nc} = J_{nc}^\top H_n J_{nc}$ with $J_{nkc} = \partial y_{nk} / \partial z_{nc}$. It costs one
    walk back per output.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 1), mp.Dense(1, 2), dtype=np.float64)
    >>> net.params["dense2.W"] = [[3.0], [4.0]]
    >>> loss_curvature(net, "dense1", np.ones((1, 1)), "half_squared_error")  # 3² + 4²
    array([[[25.]]])
    """
    values: dict[str, Any] = dict(net.take(x))
    arrays = net.arrays
    for node in net.nodes:
        values[node] = net.compute_node(node, values, arrays)
        if node == name:
            watched = values[node] = Tape().watch(values[node])
    output: Tensor = values[net.output]
    total: Any = 0.0  # (N,C,P)
    for root in curvature_roots(loss, output.value):
        gradient = backward(output, root, wrt=[watched])[watched]
        total = total + gradient.reshape(*gradient.shape[:2], -1)[..., places].astype(np.float64) ** 2
    return np.asarray(total)
