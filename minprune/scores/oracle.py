r"""The truth that scores answer to: remove a neuron and look, without running the network again.

The layers that read a neuron are linear in what they read: $z = W a + b$, at every place of an image if they are
convolutions. Without neuron j they compute

$z_{\setminus j} = z - W_{\cdot j}\, a_j$:

the value that is already there, less what the layer makes of the channels of j alone. Behind a flatten $W_{\cdot j}$ is
a block of columns; for a convolution it is that channel's slice of every filter. So one pass over the data is enough
for everything up to and including the readers. What lies behind them has to be computed again, but for many neurons at
once: their changed values are stacked along the batch axis, and go through the rest of the network as one large batch.
Where $a_j$ is 0 (for a ReLU often half of the samples) nothing changes, and the sample is left out of the stack.

A reader whose input has changed already, since the same neurons are read further up, is computed again as well, with
the neurons' channels set to zero. A neuron that is 0 on all samples costs nothing, and scores exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..layers import Dense, ReLU
from ..neurons import NOBODY, Ids, NeuronGroup, Read
from ..nn import Graph
from ..ops import LOSSES, Array
from ..progress import bar
from ..targets import prepare_targets
from ..tensor import apply
from .base import Context, Criterion, Terms, Vector
from .leaving import outputs_without, sums_without
from .stacks import Stack, at_a_time

STACKED = 1 << 21  # entries of the values that are computed at once: 8 MB in float32

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
        reached = self._reached(group, sets)
        open_ = [i for i, samples in enumerate(reached) if len(samples)]
        advance(len(sets) - len(open_))
        room = self.room({reader for read in group.reads for reader in read.readers})
        for chosen in at_a_time(open_, [len(reached[i]) for i in open_], room):
            stack = Stack([reached[i] for i in chosen])
            total[chosen] = self.changes(self.output_without(group, [sets[i] for i in chosen], stack), stack)
            advance(len(chosen))
        return total

    def changes(self, output: Array, stack: Stack) -> Array:
        """For every part of the stack the change of the loss, summed over its samples, from the outputs (S, K)."""
        return stack.totals(apply(LOSSES[self.loss], output, stack.of(self.targets)) - stack.of(self.losses))

    def losses_without(self, group: NeuronGroup, j: int) -> Array:
        """The change of every sample's loss without neuron j (N,)."""
        changes = np.zeros_like(self.losses)
        (samples,) = self._reached(group, [(j,)])
        if len(samples):
            stack = Stack([samples])
            losses = apply(LOSSES[self.loss], self.output_without(group, [(j,)], stack), stack.of(self.targets))
            changes[samples] = losses - self.losses[samples]
        return changes

    def _reached(self, group: NeuronGroup, sets: list[Set]) -> list[Ids]:
        """For every set the samples on which one of its neurons is not 0 where it is read."""
        active = np.zeros((group.size, len(self.losses)), dtype=bool)
        for read in group.reads:
            seen = self.values[read.value] != 0
            seen = seen.any(axis=tuple(range(2, seen.ndim))).T  # (channels, N)
            for channel in np.flatnonzero(read.owner != NOBODY):
                active[read.owner[channel]] |= seen[channel]
        if singles(sets):
            return [active[j].nonzero()[0] for (j,) in sets]
        # Sets that grow from each other are updated from each other: all on the same samples.
        everywhere, nowhere = np.arange(len(self.losses)), np.arange(0)
        return [everywhere if active[list(members)].any() else nowhere for members in sets]

    def room(self, changed: set[str]) -> int:
        """For how many samples to compute changes of these values at once: as many as fit into `STACKED` entries."""
        behind, entries = set(changed), 0
        for name, node in self.net.nodes.items():
            if name in behind or behind.intersection(node.inputs):
                behind.add(name)
                entries += self.values[name][0].size
                # A convolution copies what each place sees: its input once for every entry of the kernel.
                entries += prod(getattr(node.layer, "kernel", (0,))) * self.values[node.inputs[0]][0].size
        return max(1, STACKED // max(1, entries))

    def output_without(self, group: NeuronGroup, sets: list[Set], stack: Stack) -> Array:
        """The network's outputs without each of the sets, on the samples of its part of the stack."""
        reads = {reader: read for read in group.reads for reader in read.readers}
        changed: dict[str, Any] = {}
        for name, node in self.net.nodes.items():
            if name in changed:
                continue
            if name in reads and node.inputs[0] not in changed:
                changed |= self._updated(name, group, reads, sets, stack)
            elif any(source in changed for source in node.inputs):
                sources = self._sources(node.inputs, changed, stack)
                if name in reads:
                    sources[node.inputs[0]] = _closed(sources[node.inputs[0]], reads[name], sets, stack)
                changed[name] = self.net.compute_node(name, sources, self.arrays)
        return changed[self.net.output]

    def output_with(self, changed: dict[str, Any], stack: Stack) -> Array:
        """The network's outputs when some values are others, on the samples of the stack."""
        for name, node in self.net.nodes.items():
            if name not in changed and any(source in changed for source in node.inputs):
                changed[name] = self.net.compute_node(name, self._sources(node.inputs, changed, stack), self.arrays)
        return changed[self.net.output]

    def _sources(self, names: Iterable[str], changed: dict[str, Any], stack: Stack) -> dict[str, Any]:
        """What a node reads: the changed values, and of the others what the stack's samples have."""
        return {name: changed[name] if name in changed else stack.of(self.values[name]) for name in names}

    def _updated(
        self, reader: str, group: NeuronGroup, reads: dict[str, Read], sets: list[Set], stack: Stack
    ) -> dict[str, Array]:
        """The reader's z − W[:, S] a[S] for every set S; or what comes behind it, if nothing else is needed."""
        read = reads[reader]
        z, a, W = self.values[reader], self.values[read.value], self.arrays[f"{reader}.W"]
        (owner,) = (piece.owner for piece in group.consumed if piece.array == f"{reader}.W")
        own = _single_columns(owner, sets)
        if W.ndim == 2 and own is not None:
            columns = np.repeat(own, [len(part) for part in stack.parts])
            behind = self._behind(reader)
            if behind is None or behind in reads:
                return {reader: sums_without(z, a, W, stack.samples, columns)}
            V, c = self.arrays[f"{behind}.W"], self.arrays.get(f"{behind}.b")
            return {behind: outputs_without(z, a, W, stack.samples, columns, V, c)}
        return {reader: self._less(reader, owner, read, sets, stack)}

    def _behind(self, reader: str) -> str | None:
        """The dense layer that reads this one's ReLU, where neither sums nor ReLU are needed for anything else."""
        for kind in (ReLU, Dense):
            following = [name for name, node in self.net.nodes.items() if reader in node.inputs]
            if reader == self.net.output or len(following) != 1:
                return None
            (reader,) = following
            if not isinstance(self.net.nodes[reader].layer, kind):
                return None
        return reader

    def _less(self, reader: str, owner: Ids, read: Read, sets: list[Set], stack: Stack) -> Array:
        """The reader's z − W[:, S] a[S] for any sets. Where S begins with the set before it, its rest is enough."""
        z, a, W = self.values[reader], self.values[read.value], self.arrays[f"{reader}.W"]
        layer = self.net.nodes[reader].layer
        without = np.empty((len(stack.samples), *z.shape[1:]), dtype=z.dtype)
        for i, (members, samples, span) in enumerate(zip(sets, stack.parts, stack.spans, strict=True)):
            before = sets[i - 1] if i else ()
            grown = 0 < len(before) < len(members) and list(members[: len(before)]) == list(before)
            rest, leaving = (without[stack.spans[i - 1]], members[len(before) :]) if grown else (z[samples], members)
            own, part = W[:, _within(owner, leaving)], a[:, _within(read.owner, leaving)]
            np.subtract(rest, layer.forward({"W": own}, part[samples]), out=without[span])  # no bias
        return without


def singles(sets: list[Set]) -> bool:
    """Whether every set has a single neuron."""
    return all(len(members) == 1 for members in sets)


def _single_columns(owner: Ids, sets: list[Set]) -> Ids | None:
    """For sets of one neuron the column of each, if every one has just one."""
    mine = np.flatnonzero(owner != NOBODY)
    if not singles(sets) or not len(mine):
        return None
    column = np.full(1 + max(owner.max(), *(j for (j,) in sets)), NOBODY)
    column[owner[mine]] = mine
    own = column[[j for (j,) in sets]]
    return own if (own != NOBODY).all() and (column[owner[mine]] == mine).all() else None


def _within(owner: Ids, members: Set) -> Ids:
    """The positions that belong to one of the members. (np.isin sorts: ten times slower for these few.)"""
    return np.flatnonzero(np.logical_or.reduce([owner == j for j in members]))


def _closed(value: Array, read: Read, sets: Iterable[Set], stack: Stack) -> Array:
    """A stacked value with the channels of each set at 0 in its own part."""
    value = value.copy()
    for span, members in zip(stack.spans, sets, strict=True):
        value[span, _within(read.owner, members)] = 0
    return value
