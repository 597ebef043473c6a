r"""The truth that scores answer to: remove a neuron and look, without running the network again.

The layers that read a neuron are linear in what they read: $z = W a + b$, at every place of an image if they are
convolutions. Without neuron j they compute

$z_{\setminus j} = z - W_{\cdot j}\, a_j$:

the value that is already there, less what the layer makes of the channels of j alone. Behind a flatten $W_{\cdot j}$ is
a block of columns; for a convolution it is that channel's slice of every filter. So one pass over the data is enough
for everything up to and including the readers. What lies behind them has to be computed again, but for many neurons at
once: their changed values are stacked along the batch axis, and go through the rest of the network as one large batch.

A reader whose input has changed already, since the same neurons are read further up, is computed again as well, with
the neurons' channels set to zero. A neuron that is 0 on all samples costs nothing, and scores exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..neurons import NOBODY, Ids, NeuronGroup, Read
from ..nn import Graph
from ..ops import LOSSES, Array
from ..progress import bar
from ..targets import prepare_targets
from ..tensor import apply
from .base import Context, Criterion, Terms, Vector

STACKED = 1 << 20  # entries of the values that are computed at once: a few MB, which a processor keeps near

Set = Sequence[int]


class LeaveOneOut(Criterion):
    r"""What the removal of each neuron, alone, really does to the loss: $L_{\setminus j} - L$.

    Negative where the network is better off without it. Costs one pass over the data, and for every neuron the part of
    a pass that lies behind its readers. Exact up to rounding: taking $W_{\cdot j} a_j$ away again leaves an error of
    about the dtype's precision times the largest summand of z. Of a single weight $L(w = 0) - L$: see `weight_costs`.

    Notes
    -----
    Source: Mozer and Smolensky 1989, *Skeletonization*, equation 1 (relevance); spec D6.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 1), mp.Dense(1, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[1.0, 2.0]], [[1.0]]  # y = 1 + 2, t = 3
    >>> data = ([[1.0, 1.0]], [[3.0]])
    >>> mp.score(net, data, "leave_one_out", loss="half_squared_error")["dense1"]
    array([4.5])
    >>> mp.score(net, data, "leave_one_out", loss="half_squared_error", by="weight")["dense1.W"]
    array([[0.5, 2. ]])
    """

    name = "leave_one_out"
    formula = r"I_j = L_{\setminus j} - L"
    needs = ("data", "labels")
    source = "Mozer and Smolensky 1989, eq. 1; spec D6"

    def score(self, context: Context) -> dict[str, Vector]:
        """Every neuron as a set of one."""
        return removal_costs(context, {group.name: [(j,) for j in range(group.size)] for group in context.groups})

    def score_weights(self, context: Context) -> dict[str, Array]:
        """Every weight set to 0."""
        from .weight_oracle import weight_costs  # which is built upon this module

        return weight_costs(context)

    def terms(self, context: Context, j: int) -> Terms:
        """The change of every sample's loss."""
        (group,) = context.groups
        values = [Batch.computed(context, x, y).losses_without(group, j) for x, y in context.batches()]
        joined = np.concatenate(values).astype(np.float64)
        return Terms("sample", joined, "mean", float(joined.mean()))


def removal_costs(context: Context, sets: dict[str, list[Set]]) -> dict[str, Vector]:
    r"""How much the mean loss changes when the neurons of a set leave together: $L_{\setminus S} - L$.

    Memory is bounded: as many sets are taken at a time as keep the values behind the readers under `STACKED` entries,
    and at least one, which is what a pass over one batch takes.

    Parameters
    ----------
    context : Context
        Network, data and loss; its groups are those of the sets.
    sets : dict
        Group name -> sets of its neurons; no neuron twice in one set.

    Returns
    -------
    dict
        Group name -> (number of sets,) float64.
    """
    totals = {name: np.zeros(len(of_group)) for name, of_group in sets.items()}
    batches = -(-len(context.y) // context.batch_size)
    with bar("leave one out", batches * sum(map(len, sets.values())), show=context.progress) as advance:
        for x, y in context.batches():
            batch = Batch.computed(context, x, y)
            for group in context.groups:
                totals[group.name] += batch.costs(group, sets[group.name], advance)
    return {name: total / len(context.y) for name, total in totals.items()}


@dataclass(frozen=True)
class Batch:
    """Some samples and every value that the whole network has for them."""

    net: Graph
    arrays: dict[str, Array]
    values: dict[str, Any]
    loss: str
    targets: Array
    losses: Array  # (N,)

    @classmethod
    def computed(cls, context: Context, x: Any, y: Array) -> Batch:
        """Run the network on a batch and keep everything."""
        net = context.net
        arrays = net.arrays
        values = net.run(net.take(x), arrays)
        output = values[net.output]
        targets = prepare_targets(y, output.shape, context.loss, net.dtype)
        return cls(net, arrays, values, context.loss, targets, apply(LOSSES[context.loss], output, targets))

    def costs(self, group: NeuronGroup, sets: list[Set], advance: Callable[[int], None]) -> Vector:
        """For every set the change of the loss, summed over the samples."""
        total = np.zeros(len(sets))
        active = self._active(group)
        open_ = [i for i, members in enumerate(sets) if active[list(members)].any()]
        advance(len(sets) - len(open_))
        at_once = self.at_once({reader for read in group.reads for reader in read.readers})
        for start in range(0, len(open_), at_once):
            chosen = open_[start : start + at_once]
            total[chosen] = self.changes(self.output_without(group, [sets[i] for i in chosen]), len(chosen))
            advance(len(chosen))
        return total

    def changes(self, output: Array, count: int) -> Array:
        """The summed change of the loss, from the outputs (count·N, K) of all sets."""
        # Outputs have few columns: sums along them are several times faster where each column lies in one piece.
        losses = apply(LOSSES[self.loss], np.asfortranarray(output), stacked(self.targets, count))
        return (losses.reshape(count, -1) - self.losses).sum(axis=1, dtype=np.float64)

    def losses_without(self, group: NeuronGroup, j: int) -> Array:
        """The change of every sample's loss without neuron j (N,)."""
        if not self._active(group)[j]:
            return np.zeros_like(self.losses)
        return apply(LOSSES[self.loss], self.output_without(group, [(j,)]), self.targets) - self.losses

    def _active(self, group: NeuronGroup) -> Array:
        """Which neurons are not 0 everywhere they are read, on all samples."""
        active = np.zeros(group.size, dtype=bool)
        for read in group.reads:
            value = self.values[read.value]
            seen = (value != 0).any(axis=tuple(axis for axis in range(value.ndim) if axis != 1))  # per channel
            active[read.owner[seen & (read.owner != NOBODY)]] = True
        return active

    def at_once(self, changed: set[str]) -> int:
        """How many changes of these values to compute at once: as many as fit into `STACKED` entries."""
        behind, entries = set(changed), 0
        for name, node in self.net.nodes.items():
            if name in behind or behind.intersection(node.inputs):
                behind.add(name)
                entries += self.values[name].size
                # A convolution copies what each place sees: its input once for every entry of the kernel.
                entries += prod(getattr(node.layer, "kernel", (0,))) * self.values[node.inputs[0]].size
        return max(1, STACKED // max(1, entries))

    def output_without(self, group: NeuronGroup, sets: list[Set]) -> Array:
        """The network's outputs without each of the sets, one below the other: (sets·N, …)."""
        reads = {reader: read for read in group.reads for reader in read.readers}
        changed: dict[str, Any] = {}
        for name, node in self.net.nodes.items():
            if name in reads and node.inputs[0] not in changed:
                changed[name] = self._updated(name, group, reads[name], sets)
            elif any(source in changed for source in node.inputs):
                sources = {s: changed[s] if s in changed else stacked(self.values[s], len(sets)) for s in node.inputs}
                if name in reads:
                    sources[node.inputs[0]] = _closed(sources[node.inputs[0]], reads[name], sets)
                changed[name] = self.net.compute_node(name, sources, self.arrays)
        return changed[self.net.output]

    def output_with(self, changed: dict[str, Any], count: int) -> Array:
        """The network's outputs when some values are others: `count` of each, one below the other."""
        for name, node in self.net.nodes.items():
            if name not in changed and any(source in changed for source in node.inputs):
                sources = {s: changed[s] if s in changed else stacked(self.values[s], count) for s in node.inputs}
                changed[name] = self.net.compute_node(name, sources, self.arrays)
        return changed[self.net.output]

    def _updated(self, reader: str, group: NeuronGroup, read: Read, sets: list[Set]) -> Array:
        """The reader's z − W[:, S] a[S] for every set S. Where S begins with the set before it, its rest is enough."""
        z, a, W = self.values[reader], self.values[read.value], self.arrays[f"{reader}.W"]
        (columns,) = (piece.owner for piece in group.consumed if piece.array == f"{reader}.W")
        layer = self.net.nodes[reader].layer
        without = np.empty((len(sets), *z.shape), dtype=z.dtype)
        for i, members in enumerate(sets):
            before = sets[i - 1] if i else ()
            grown = 0 < len(before) < len(members) and list(members[: len(before)]) == list(before)
            rest, leaving = (without[i - 1], members[len(before) :]) if grown else (z, members)
            own, part = W[:, _within(columns, leaving)], a[:, _within(read.owner, leaving)]
            if own.ndim == 2 and part.shape[1] == 1:  # an outer product: a matrix product of one column is 3 x slower
                taken = np.multiply(part, own.T, out=without[i])
            else:
                taken = layer.forward({"W": own}, part)  # no bias
            np.subtract(rest, taken, out=without[i])
        return without.reshape(-1, *z.shape[1:])


def stacked(value: Array, count: int) -> Array:
    """The same samples `count` times, one below the other."""
    return np.concatenate([value] * count)


def _within(owner: Ids, members: Set) -> Ids:
    """The positions that belong to one of the members. (np.isin sorts: ten times slower for these few.)"""
    return np.flatnonzero(np.logical_or.reduce([owner == j for j in members]))


def _closed(value: Array, read: Read, sets: Iterable[Set]) -> Array:
    """A stacked value with the channels of each set at 0 in its own part."""
    value = value.copy()
    for part, members in zip(np.split(value, len(list(sets))), sets, strict=True):
        part[:, _within(read.owner, members)] = 0
    return value
