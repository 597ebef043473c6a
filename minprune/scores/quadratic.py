r"""Sets: what the removal of many neurons together costs, by a quadratic model of the loss.

Scores of single neurons do not add up: of two copies of a neuron each may be free, but not both. With a gate on every
neuron, and d the set that is closed ($d_j = 1$ where neuron j goes),

$\Delta L(d) \approx -g^\top d + \frac{1}{2}\, d^\top H d$,

with g the gradient by the gates and H the Gauss–Newton second derivative, within a layer and between layers. What a
single neuron costs by this model is `taylor2`; what is added here are the terms $H_{ij}$ beside the diagonal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.samples import as_samples
from ..errors import DataError, PlanError, ShapeError, StructureError
from ..neurons import Ids, fingerprint, hidden
from ..nn import Graph
from ..ops import Array
from ..targets import choose_loss
from . import chosen_groups
from .base import Context, Vector
from .curvature import curvature_rows
from .gates import GatedPass, gated_passes, loss_gradients

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class QuadraticModel:
    r"""The change of the loss for any set of neurons: $\Delta L(d) \approx -g^\top d + \frac{1}{2}\, d^\top H d$.

    Attributes
    ----------
    sizes : mapping
        Group -> how many neurons. The rows of g and H are the neurons of the first group, then of the second, …
    gradient : array (n,)
        $g_j = \frac{1}{N} \sum_n \partial \ell_n / \partial m_j$; zeros where the linear term is left out.
    hessian : array (n, n)
        Symmetric.
    fingerprint : str
        Of the network it was made for.

    Raises
    ------
    ShapeError
        When the shapes do not fit the sizes.
    DataError
        When an entry is not finite, or H is not symmetric.

    Examples
    --------
    >>> model = QuadraticModel({"dense1": 2}, np.array([1.0, 0.0]), np.array([[2.0, 1.0], [1.0, 4.0]]))
    >>> model.single
    array([0., 2.])
    >>> model.change({"dense1": [0, 1]})  # 0 + 2 + 1
    3.0
    """

    sizes: Mapping[str, int]
    gradient: Vector
    hessian: Matrix
    fingerprint: str = ""

    def __post_init__(self) -> None:
        n = sum(self.sizes.values())
        if self.gradient.shape != (n,) or self.hessian.shape != (n, n):
            raise ShapeError(
                f"quadratic model: a gradient of shape {self.gradient.shape} and a Hessian of shape "
                f"{self.hessian.shape} for {n} neurons, expected {(n,)} and {(n, n)}"
            )
        for j in np.flatnonzero(~(np.isfinite(self.gradient) & np.isfinite(self.hessian).all(axis=1)))[:1]:
            group, own = next((name, rows[0]) for name, rows in self.by_group([j]).items() if rows)
            raise DataError(f"quadratic model: what {group}[{own}] costs is not finite; look for NaN in the weights")
        if not np.array_equal(self.hessian, self.hessian.T):
            raise DataError("quadratic model: the Hessian is not symmetric; make it (H + H.T) / 2")

    def __repr__(self) -> str:
        sizes = ", ".join(f"{group} {size}" for group, size in self.sizes.items())
        return f"<{self.name}: {sizes}>"

    @property
    def name(self) -> str:
        """What it is, in words."""
        return "quadratic model" if self.gradient.any() else "quadratic model without linear term"

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups, in the order of the rows."""
        return tuple(self.sizes)

    @property
    def owner(self) -> Ids:
        """Which group each row belongs to: (n,), counted from 0."""
        return np.repeat(np.arange(len(self.sizes)), list(self.sizes.values()))

    @property
    def single(self) -> Vector:
        """What every neuron costs alone: −g + ½ diag H, (n,)."""
        return self.diagonal / 2 - self.gradient

    @property
    def diagonal(self) -> Vector:
        """Twice the curvature of every neuron: (n,)."""
        return np.diagonal(self.hessian)

    def positions(self, drop: Any) -> Ids:
        """The rows of a set of neurons, each once, in order.

        Parameters
        ----------
        drop : mapping or Plan
            Group -> indices.

        Raises
        ------
        PlanError
            When it is neither.
        StructureError
            When there is no such group or neuron.
        """
        start = dict(zip(self.sizes, np.cumsum([0, *self.sizes.values()]), strict=False))
        rows: list[int] = []
        by_group = getattr(drop, "drop", drop)
        if not isinstance(by_group, Mapping):
            raise PlanError(f"a set is a Plan or lists of neurons by group, as {{'dense1': [0, 2]}}; got {drop!r}")
        for group, neurons in by_group.items():
            if group not in self.sizes:
                raise StructureError(f"the model has no group {group!r}; there are {', '.join(start)}")
            if not isinstance(neurons, Iterable):
                raise PlanError(f"{group}: expected a list of neurons, got {neurons!r}")
            for j in neurons:
                if not isinstance(j, int | np.integer) or not 0 <= j < self.sizes[group]:
                    raise StructureError(f"{group}: no neuron {j!r}; expected 0 to {self.sizes[group] - 1}")
                rows.append(int(start[group] + j))
        return np.unique(np.array(rows, dtype=np.intp))

    def by_group(self, positions: Iterable[int]) -> dict[str, list[int]]:
        """The neurons of these rows, by group: the inverse of `positions`."""
        rows = np.unique(np.array(list(positions), dtype=np.intp))
        starts = np.cumsum([0, *self.sizes.values()])
        return {
            group: (rows[(rows >= start) & (rows < stop)] - start).tolist()
            for group, start, stop in zip(self.sizes, starts, starts[1:], strict=False)
        }

    def change(self, drop: Any) -> float:
        r"""By how much the mean loss changes when a set leaves: $-\sum_i g_i + \frac{1}{2} \sum_{ij} H_{ij}$ over it.

        Parameters
        ----------
        drop : mapping or Plan
            Group -> indices.

        Raises
        ------
        PlanError, StructureError
            As for `positions`.
        """
        return self.cost(self.positions(drop))

    def cost(self, rows: Ids) -> float:
        """The same for rows of the model, none twice."""
        return float(self.hessian[np.ix_(rows, rows)].sum() / 2 - self.gradient[rows].sum())


def quadratic_model(
    net: Graph,
    data: Any,
    *,
    loss: str | None = None,
    groups: tuple[str, ...] | list[str] | None = None,
    linear: bool = True,
    batch_size: int = 1024,
    progress: bool = True,
) -> QuadraticModel:
    r"""Model the loss over all sets of neurons that could be removed.

    $\Delta L(d) \approx -g^\top d + \frac{1}{2}\, d^\top H d$ with $H = \frac{1}{N} \sum_n J_n^\top H_n J_n$, where
    $J_{nkj} = \partial y_{nk} / \partial m_j$ by the gates of all neurons and $H_n$ is the loss's second derivative by
    the output.

    It *is* the change of the loss, for every set, where the output is affine in all gates and the error squared: one
    group, or several side by side, under an affine head. It stops being that with a curved function or another loss
    behind, where an input of a ReLU or a maximum changes sides, and for sets from layers behind one another: then the
    output contains products of gates.

    Parameters
    ----------
    net : Graph
        Is not changed; runs in evaluation mode.
    data : (x, y), an object with .x and .y, or a Dataset (its training part)
    loss : str, optional
        By default cross-entropy for integer y, else mse. To be named where there are no labels.
    groups : names, optional
        By default all hidden ones.
    linear : bool
        With False the linear term is left out, as if the network stood at a minimum: ½ dᵀ H d. Labels are not needed
        then.
    batch_size : int
        How many samples to take at a time. Memory grows with batch_size · outputs · neurons, and with neurons²; the
        result does not depend on it beyond rounding.
    progress : bool
        Show a bar.

    Returns
    -------
    QuadraticModel
        Summed in float64. Its diagonal is twice `curvature`, and its `single` is `taylor2`.

    Raises
    ------
    DataError
        For data or a loss that cannot be used.
    ShapeError
        When the network's output has another shape than (N, K).
    StructureError, PlanError
        When there is no such group, or its neurons are never removed.

    Notes
    -----
    It is made where nothing is removed, and the more is removed, the more it underestimates: where half of each layer
    of an MNIST network (784-300-100-10) goes, the loss rises ten times as much as the model says. What it is good for
    is to put sets in order. Without repair, greedy sets by ½ dᵀ H d cost
    3.0 / 8.5 / 17.9 % validation error at 50 / 70 / 80 % (dense 1.8), the lowest by `curvature` 5.1 / 24 / 46, and sets
    in five rounds, each by a new model, 2.6 / 4.8 / 10.4. With least-squares repair sets and sums are alike up to 70 %
    (bench/sets.py, three seeds).

    Source: LeCun, Denker and Solla 1990, *Optimal brain damage*, equation 1, with a gate in the place of a weight,
    Gauss–Newton for h, and the off-diagonal terms that the paper goes on to neglect.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 1.0]]  # y = 3 · 2 + 1 · 1, t = 5
    >>> model = quadratic_model(net, ([[1.0]], [[5.0]]), loss="half_squared_error")
    >>> model.hessian  # J = (6, 1)
    array([[36.,  6.],
           [ 6.,  1.]])
    >>> model.change({"dense1": [0, 1]})  # y − t goes from 2 to −5: (25 − 4) / 2
    10.5
    """
    if not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise DataError(f"batch_size is {batch_size!r}, expected a whole number of at least 1")
    x, y = as_samples(data, labels=False)
    if linear and y is None:
        raise DataError("quadratic model: its linear term needs labels; pass (x, y), or leave it out with linear=False")
    if loss is None and y is None:
        raise DataError("quadratic model: without labels it cannot be told which loss; name it with loss=")
    chosen = chosen_groups(net, hidden(net) if groups is None else groups)
    context = Context(net, chosen, x, y, loss or choose_loss(y), batch_size, np.random.default_rng(0), progress)
    sizes = {group.name: group.size for group in chosen}
    n = sum(sizes.values())
    g, H = np.zeros(n), np.zeros((n, n))
    for batch in gated_passes(context):
        if linear:
            g += _joined(sizes, _effects(context, batch)).sum(axis=0, dtype=np.float64)
        H += _curved(context, batch, sizes)
    return QuadraticModel(sizes, g / context.count, (H + H.T) / (2 * context.count), fingerprint(net))


def _joined(sizes: Mapping[str, int], by_group: Mapping[str, Array]) -> Array:
    """The neurons of all groups side by side, along the last axis."""
    return np.concatenate([by_group[name] for name in sizes], axis=-1)


def _effects(context: Context, batch: GatedPass) -> dict[str, Array]:
    """∂ℓ/∂m of every sample: group -> (N, n)."""
    return {name: gradients.effect for name, gradients in loss_gradients(context, batch).items()}


def _curved(context: Context, batch: GatedPass, sizes: Mapping[str, int]) -> Matrix:
    """Σ_n Jᵀ H J over a batch, as one matrix product of all samples and outputs: (n, n)."""
    A = _joined(sizes, curvature_rows(context, batch)).astype(np.float64)  # (N,K,n)
    rows = A.reshape(-1, A.shape[-1])
    return rows.T @ rows  # (n,NK)(NK,n)
