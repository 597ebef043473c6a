r"""What removing a neuron costs when those that read it may be refitted: the optimal brain surgeon, for whole neurons.

Other scores ask what happens when a neuron goes and nothing else changes. But something else does change, where a
repair follows: the readers' other weights take over what they can. A neuron that the others can stand in for costs
little then, however large it is. `repair="least_squares"` does the taking over, and this score foresees it; the repair
of the same name, `OptimalBrainSurgeon`, weighs samples by the loss besides.

It foresees, too, that those who stand in are needed from then on. So neurons are taken away one by one, the cheapest
first, and what is left is refitted and asked again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite, prod
from typing import Any

import numpy as np

from ..errors import DataError
from ..neurons import Ids, NeuronGroup
from ..nn import Graph
from ..ops import Array
from ..progress import track
from ..tensor import Tape, Tensor, backward
from .base import Context, Criterion, Vector
from .curvature import curvature_roots

ENTRIES = 1 << 23  # numbers of a batch's Jacobians held at once: fewer samples are taken at a time where more come up


@dataclass(frozen=True)
class Obs(Criterion):
    r"""What a neuron's removal costs, to second order, with its readers refitted, when the cheaper ones have gone.

    $I_j = \max_{i \preceq j} c_i$ with
    $c_i = \frac{1}{2} \sum_r \mathrm{tr}\left(G_r\, W_{ri}\, ([A_r^{-1}]_{ii})^{-1}\, W_{ri}^\top\right)$ at i's turn.

    r are the layers that read the neuron, $W_{ri}$ (O, |i|) the columns that read it (a block of them behind a
    flatten, a kernel's entries in a convolution), and $[A^{-1}]_{ii}$ the block of the inverse that belongs to them.
    $A_r$ is the mean of $\tilde{a}\tilde{a}^\top$ over samples and places, with $\tilde{a} = (a, 1)$ what the reader
    reads, and a ridge on its diagonal, so that large changes of the weights count as costs too; it is relative to each
    entry, so that scaling a ReLU neuron up and its readers down changes no score. $G_r$ is the mean over samples,
    summed over places, of the loss's Gauss–Newton second derivative by the reader's sums z. With one
    column per neuron $c_i = \frac{1}{2} \sum_r w_{ri}^\top G_r w_{ri} / [A_r^{-1}]_{ii}$: about as large as `curvature`
    would have it, times the share of a that no other neuron can give.

    The one with the least c leaves, and the others take over:
    $W \leftarrow W - W_i ([A^{-1}]_{ii})^{-1} [A^{-1}]_{i\cdot}$ and
    $A^{-1} \leftarrow A^{-1} - [A^{-1}]_{\cdot i} ([A^{-1}]_{ii})^{-1} [A^{-1}]_{i\cdot}$. Then c is taken anew, until
    all have had their turn. The score is the highest cost up to then ($i \preceq j$: i left before j, or is j), so
    that it puts the neurons of a group in the order in which they left. Each group is taken apart with the others
    whole.

    That is the surgeon's saliency and update for a group of weights, the columns of one neuron in a reader, under a
    second derivative that factors: $H_r \approx A_r \otimes G_r$, where samples' activations and curvatures are taken
    to be independent, and so are places. The update is that of `LeastSquares`, which does not depend on G; so with this
    repair the first k to leave cost together the sum of their c, exactly so for one affine reader under half the
    squared error. A later c can exceed what the neuron would cost alone: by then it does the work of others too.

    Labels are not used; without them name the loss. It costs one walk back per output, and for every reader the
    inverse of a matrix as wide as what it reads, F, and F² steps for every neuron.

    Parameters
    ----------
    ridge : float
        Above 0, relative to each diagonal entry of A, the bias apart.

    Raises
    ------
    DataError
        When `ridge` is out of range.

    Notes
    -----
    Source: Hassibi and Stork 1993, *Second order derivatives for network pruning: optimal brain surgeon*, whose
    $w_q^2 / (2 [H^{-1}]_{qq})$ and update these are for a block of weights; the factors of H: Martens and Grosse 2015,
    *Optimizing neural networks with Kronecker-factored approximate curvature*. Wang et al. 2019, *EigenDamage*, use the
    same factors for a filter's incoming weights; here it is the outgoing ones, which a repair can do without.

    Examples
    --------
    Of two neurons that say the same the first can go at no cost, since the other stands in. `curvature` does not know.

    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 3), mp.ReLU(), mp.Dense(3, 1), dtype=np.float64)
    >>> net.params["dense1.W"] = [[1.0], [2.0], [-1.0]]
    >>> net.params["dense2.W"] = [[5.0, 5.0, 1.0]]
    >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> for criterion in (Obs(ridge=1e-12), "curvature"):
    ...     print(mp.score(net, x, criterion, loss="half_squared_error")["dense1"].round(1))
    [ 0.  69.1  0.1]
    [15.6 62.5  0.6]
    """

    ridge: float = 1e-3
    name = "obs"
    formula = (
        r"I_j = \max_{i \preceq j} c_i, \quad "
        r"c_i = \frac{1}{2} \sum_r \mathrm{tr}\left(G_r\, W_{ri}\, ([A_r^{-1}]_{ii})^{-1}\, W_{ri}^\top\right)"
    )
    needs = ("data", "gradient", "curvature")
    source = "Hassibi and Stork 1993, for a neuron's outgoing weights"

    def __post_init__(self) -> None:
        if not (isinstance(self.ridge, int | float | np.floating) and self.ridge > 0 and isfinite(self.ridge)):
            raise DataError(f"obs: ridge is {self.ridge!r}, expected a finite number above 0")

    def score(self, context: Context) -> dict[str, Vector]:
        """The highest cost up to every neuron's turn."""
        factors = _factors(context)
        scores = {}
        for group in context.groups:
            order, costs = turns(_readings(context.net, group, factors, self.ridge), group, context.progress)
            scores[group.name] = np.empty(group.size)
            scores[group.name][order] = np.maximum.accumulate(costs)
        return scores


class Reading:
    """One block of a reader while neurons leave: its weights, seen through the loss, and the inverse of A.

    Parameters
    ----------
    W : array (o, F)
        The block's weights; a bias is not needed, as it costs nothing to change.
    owner : array of int (F,)
        The neuron that each column belongs to, or −1.
    A : array (F+1, F+1)
        The mean of ã ãᵀ.
    G : array (o, o)
        The loss's second derivative by what the block computes.
    ridge : float
        Added to the diagonal of A, relative to each entry, the bias apart.
    """

    def __init__(self, W: Array, owner: Ids, A: Array, G: Array, ridge: float) -> None:
        values, vectors = np.linalg.eigh(G)
        root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T  # RᵀR = G
        features = np.arange(W.shape[1])
        size = A[features, features]
        A = A.copy()
        A[features, features] = np.where(size > 0, (1 + ridge) * size, 1)
        V = root @ np.where(size > 0, W, 0)  # what is 0 on all samples does nothing
        self.V = np.concatenate([V, np.zeros((len(W), 1))], axis=1)  # R W, and the bias: (o,F+1)
        self.inverse = np.linalg.inv(A)
        self.owner = owner

    def costs(self, there: Ids) -> Vector:
        """½ tr(G W_i ([A⁻¹]_ii)⁻¹ W_iᵀ) of some neurons: those with as many columns are computed together."""
        columns = [np.flatnonzero(self.owner == i) for i in there]
        counts = np.array([len(mine) for mine in columns])
        found = np.zeros(len(there))
        for count in np.unique(counts[counts > 0]):
            some = np.flatnonzero(counts == count)
            mine = np.stack([columns[place] for place in some])  # (k,m)
            blocks = self.inverse[mine[:, :, None], mine[:, None, :]]  # (k,m,m)
            V = self.V[:, mine].swapaxes(0, 1)  # (k,o,m)
            found[some] = (V * np.linalg.solve(blocks, V.swapaxes(1, 2)).swapaxes(1, 2)).sum(axis=(1, 2)) / 2
        return found

    def remove(self, i: int) -> None:
        """Take a neuron away, and let the others take over: its columns, and its part of A⁻¹, become 0."""
        mine = np.flatnonzero(self.owner == i)
        if len(mine):
            share = np.linalg.solve(self.inverse[np.ix_(mine, mine)], self.inverse[mine])  # (m,F+1)
            self.V -= self.V[:, mine] @ share
            self.inverse -= self.inverse[:, mine] @ share


def turns(readings: list[Reading], group: NeuronGroup, progress: bool = False) -> tuple[Ids, Vector]:
    """The order in which a group's neurons leave, the cheapest first, and what each costs at its turn."""
    there = np.arange(group.size)
    order, costs = np.empty(group.size, dtype=np.intp), np.empty(group.size)
    for turn in track(range(group.size), f"surgeon, {group.name}", show=progress):
        now = np.sum([reading.costs(there) for reading in readings], axis=0)
        cheapest = int(np.argmin(now))
        order[turn], costs[turn] = there[cheapest], now[cheapest]
        for reading in readings:
            reading.remove(int(there[cheapest]))
        there = np.delete(there, cheapest)
    return order, costs


def _readings(net: Graph, group: NeuronGroup, factors: Mapping[str, _Factors], ridge: float) -> list[Reading]:
    """Every block of every layer that reads a group."""
    found = []
    for reader in dict.fromkeys(reader for read in group.reads for reader in read.readers):
        W = net.params[f"{reader}.W"].astype(np.float64)
        blocks = W.reshape(len(factors[reader].A), -1, prod(W.shape[1:]))  # (Q,o,F)
        (columns,) = (piece.owner for piece in group.consumed if piece.array == f"{reader}.W")
        owner = np.repeat(columns, prod(W.shape[2:]))  # (F,): the neuron that each of a reader's unknowns belongs to
        for w, A, G in zip(blocks, factors[reader].A, factors[reader].G, strict=True):
            found.append(Reading(w, owner, A, G, ridge))
    return found


@dataclass
class _Factors:
    """The two factors of a reader's second derivative, for each of its blocks: A (Q, F+1, F+1) and G (Q, o, o)."""

    A: Any = field(default=0.0)
    G: Any = field(default=0.0)


def _factors(context: Context) -> dict[str, _Factors]:
    """A and G of every layer that reads one of the groups, averaged over all samples."""
    net = context.net
    readers = list(dict.fromkeys(r for group in context.groups for read in group.reads for r in read.readers))
    found: dict[str, _Factors] = defaultdict(_Factors)
    small = replace(context, batch_size=min(context.batch_size, _samples_at_once(net, readers)))
    total = -(-context.count // small.batch_size)
    for x, _ in track(small.batches(), "surgeon", show=context.progress, total=total):
        tape = Tape()
        values: dict[str, Tensor] = net.run({name: tape.watch(v) for name, v in net.take(x).items()}, net.arrays)
        curvatures = _curvatures(context.loss, values[net.output], {r: values[r] for r in readers})
        for reader in readers:
            node: Any = net.nodes[reader]
            columns = node.layer.columns(values[node.inputs[0]].value)  # (N,Q,F,P)
            found[reader].A += _mean_outer(columns) * len(columns) / context.count
            found[reader].G += _by_block(curvatures[reader], columns.shape[1]) / context.count
    return found


def _samples_at_once(net: Graph, readers: list[str]) -> int:
    """How many samples keep the Jacobians by all readers' sums, and the columns they read, within `ENTRIES`."""
    shapes = net.value_shapes(net.input_shapes or {})
    outputs = prod(shapes[net.output])
    entries = 0
    for reader in readers:
        window = prod(net.params[f"{reader}.W"].shape[1:]) * getattr(net.nodes[reader].layer, "groups", 1)
        entries += outputs * prod(shapes[reader]) + window * prod(shapes[reader][1:])
    return max(1, ENTRIES // max(1, entries))


def _curvatures(loss: str, output: Tensor, sums: Mapping[str, Tensor]) -> dict[str, Array]:
    """What the loss's second derivative by each reader's sums is made of: rows (·, O) whose RᵀR it is, place by place.

    There is one row per sample, output and place.
    """
    walks: dict[str, list[Array]] = {reader: [] for reader in sums}
    for root in curvature_roots(loss, output.value):
        bars = backward(output, root, wrt=sums.values())
        for reader, z in sums.items():
            by_place = bars[z].reshape(*z.shape[:2], -1).swapaxes(1, 2)  # (N,O,…) -> (N,P,O)
            walks[reader].append(by_place.reshape(-1, z.shape[1]))
    return {reader: np.concatenate(rows) for reader, rows in walks.items()}


def _by_block(rows: Array, blocks: int) -> Array:
    """RᵀR within each block of channels: (·, O) -> (Q, o, o), in float64."""
    parts = rows.astype(np.float64).reshape(len(rows), blocks, -1).swapaxes(0, 1)  # (Q,·,o)
    return parts.swapaxes(1, 2) @ parts


def _mean_outer(columns: Array) -> Array:
    """The mean of ã ãᵀ over samples and places, ã = (a, 1): (N, Q, F, P) -> (Q, F+1, F+1), in float64."""
    a = columns.transpose(1, 0, 3, 2).reshape(columns.shape[1], -1, columns.shape[2]).astype(np.float64)  # (Q,N·P,F)
    a = np.concatenate([a, np.ones_like(a[..., :1])], axis=2)
    return a.swapaxes(1, 2) @ a / a.shape[1]
