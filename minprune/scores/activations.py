r"""Scores that look at what neurons put out: samples, but no labels and no gradient.

An *entry* of a neuron is one number that somebody reads of it: for every sample one per place of its channel, per
channel (behind a depthwise convolution it may have several) and per value in which it is read. A neuron that is read in
two values, say behind two activations, has the entries of both. Means are over all entries of a neuron, so that a large
map counts no more than a small one, and a flattened map as much as the map. A neuron that nobody reads has score 0.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..neurons import NOBODY, NeuronGroup, Read
from ..nn import Graph
from ..ops import Array
from ..progress import track
from .base import Context, Criterion, Terms, Vector
from .magnitude import sum_of_powers


def activations(context: Context) -> Iterator[dict[str, list[tuple[Read, Array]]]]:
    """Yield what is read of every group, a batch of samples at a time: values (N, C, …) in float64."""
    net = context.net
    count = -(-context.count // context.batch_size)
    for x, _ in track(context.batches(), "activations", show=context.progress, total=count):
        values = net.run(net.take(x), net.arrays)
        yield {
            group.name: [(read, values[read.value].astype(np.float64)) for read in group.reads]
            for group in context.groups
        }


def _per_neuron(read: Read, entries: Array, size: int) -> Vector:
    """Sum entries (N, C, …) over samples, places and channels: (size,)."""
    return read.per_neuron(entries, size).sum(axis=0)


def _ratio(total: Vector, count: Vector) -> Vector:
    """Compute total / count, and 0 where there is nothing to count."""
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0)


class ActivationCriterion(Criterion):
    """A criterion of the form ``finish(mean over entries of entry(a))``."""

    needs = ("data",)

    def entry(self, a: Array) -> Array:
        """What every entry contributes: an array like a."""
        raise TypeError(f"{type(self).__name__} states no entry(a)")

    def finish(self, mean: Vector) -> Vector:
        """From the mean over entries (n,) to the score (n,)."""
        return mean

    def score(self, context: Context) -> dict[str, Vector]:
        """Average over all entries."""
        totals = {group.name: np.zeros(group.size) for group in context.groups}
        counts = {group.name: np.zeros(group.size) for group in context.groups}
        for batch in activations(context):
            for name, reads in batch.items():
                for read, a in reads:
                    totals[name] += _per_neuron(read, self.entry(a), len(totals[name]))
                    counts[name] += _per_neuron(read, np.ones_like(a), len(totals[name]))
        return {name: self.finish(_ratio(total, counts[name])) for name, total in totals.items()}

    def terms(self, context: Context, j: int) -> Terms:
        """The mean over the entries of every sample: all samples have as many."""
        (group,) = context.groups
        parts = []
        for batch in activations(context):
            reads = batch[group.name]
            totals = sum(read.per_neuron(self.entry(a), group.size) for read, a in reads)  # (N,n)
            counts = sum(read.per_neuron(np.ones_like(a), group.size) for read, a in reads)
            parts.append(_ratio(np.asarray(totals), np.asarray(counts)))
        values = np.concatenate(parts)
        return Terms("sample", values[:, j], "mean", float(self.finish(values.mean(axis=0))[j]))


class ActivationMean(ActivationCriterion):
    r"""How much a neuron puts out on average: $\frac{1}{|P|}\sum_{p} a_{jp}$ over its entries.

    With its sign: behind a ReLU that is the mean modulus too; behind anything else values of opposite sign cancel, and
    `activation_rms` is the one that does not let them.

    Notes
    -----
    Source: Molchanov et al. 2017, *Pruning convolutional neural networks for resource efficient inference*, section 2.2
    (criterion "activation"). Torch-Pruning's activation score is Σ|a| before a dense layer and mean |a| before a
    convolutional one.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.ReLU(), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense1.b"] = [[1.0], [0.0]], [0.0, 7.0]  # puts out (2, 7) and (0, 7)
    >>> mp.score(net, [[2.0], [-1.0]], "activation_mean")["dense1"]
    array([1., 7.])
    """

    name = "activation_mean"
    formula = r"I_j = \frac{1}{|P|} \sum_{p \in P} a_{jp}"
    source = "Molchanov et al. 2017, section 2.2"

    def entry(self, a: Array) -> Array:
        """Return a itself."""
        return a


class ActivationRms(ActivationCriterion):
    r"""The root mean square of what a neuron puts out: $\sqrt{\frac{1}{|P|}\sum_{p} a_{jp}^2}$ over its entries.

    Notes
    -----
    Source: as `ActivationMean`, with the quadratic mean, so that values of opposite sign do not cancel.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.ReLU(), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense1.b"] = [[1.0], [0.0]], [0.0, 7.0]  # puts out (2, 7) and (0, 7)
    >>> mp.score(net, [[2.0], [-1.0]], "activation_rms")["dense1"].round(4)
    array([1.4142, 7.    ])
    """

    name = "activation_rms"
    formula = r"I_j = \sqrt{\frac{1}{|P|} \sum_{p \in P} a_{jp}^2}"
    source = "Molchanov et al. 2017, section 2.2, quadratic mean"

    def entry(self, a: Array) -> Array:
        """a²."""
        return a * a

    def finish(self, mean: Vector) -> Vector:
        """√mean."""
        return np.sqrt(mean)


class Apoz(ActivationCriterion):
    r"""How often a neuron puts out anything but zero: $1 - \mathrm{APoZ}_j = \frac{1}{|P|}\sum_{p} [a_{jp} \ne 0]$.

    APoZ is the average percentage of zeros; it is turned round here so that larger means keep. Behind an activation
    that is never exactly 0, such as a sigmoid, every neuron has score 1. Zeros are counted where the neuron is read:
    behind a maximum pooling there are fewer than behind the ReLU before it.

    Notes
    -----
    Source: Hu et al. 2016, *Network trimming: a data-driven neuron pruning approach towards efficient deep
    architectures*, equation 1. TorchPruner counts a > 0 instead, which differs behind activations that can be negative.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.ReLU(), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense1.b"] = [[1.0], [0.0]], [0.0, 7.0]  # puts out (2, 7) and (0, 7)
    >>> mp.score(net, [[2.0], [-1.0]], "apoz")["dense1"]
    array([0.5, 1. ])
    """

    name = "apoz"
    formula = r"I_j = 1 - \mathrm{APoZ}_j = \frac{1}{|P|} \sum_{p \in P} [a_{jp} \neq 0]"
    source = "Hu et al. 2016, eq. 1, turned round"

    def entry(self, a: Array) -> Array:
        """1 where a is not 0."""
        return (a != 0).astype(np.float64)


class _Spread:
    """The variance of every neuron's entries in one value, gathered batch by batch.

    The sums of squares are around the mean, and merged as in Chan, Golub and LeVeque 1979: the difference of mean a²
    and (mean a)² would be lost to rounding for a neuron that is large and almost constant.
    """

    def __init__(self, size: int) -> None:
        self.count, self.mean, self.squares = np.zeros(size), np.zeros(size), np.zeros(size)

    def add(self, read: Read, a: Array) -> None:
        size = len(self.count)
        count = _per_neuron(read, np.ones_like(a), size)
        mean = _ratio(_per_neuron(read, a, size), count)
        shift = np.where(read.owner == NOBODY, 0, mean[read.owner])
        away = a - shift.reshape(-1, *[1] * (a.ndim - 2))  # (C,) -> (C,1,…)
        step, whole = mean - self.mean, self.count + count
        self.squares += _per_neuron(read, away**2, size) + step**2 * _ratio(self.count * count, whole)
        self.mean += step * _ratio(count, whole)
        self.count = whole

    @property
    def variance(self) -> Vector:
        return _ratio(self.squares, self.count)


class ActivationOutgoing(Criterion):
    r"""How much a neuron moves those that read it: $\mathrm{std}(a_j)\, \|w^{\mathrm{out}}_j\|_2$.

    The standard deviation is over the neuron's entries (samples, places, channels; divided by their number), the length
    over all weights that read it. Of a neuron that is read in several values,
    $\sqrt{\sum_v \mathrm{var}(a_j^v)\, \|w_j^v\|^2}$: every value with the weights of its own readers. What is constant
    scores 0: a bias can do the same.

    Notes
    -----
    Source: the root of the weighted fluctuation metric (WIFV) of An et al. 2024, *Fluctuation-based adaptive structured
    pruning for large language models*; there the variance is divided by the number of samples less one.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.ReLU(), mp.Dense(2, 2), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense1.b"] = [[1.0], [0.0]], [0.0, 7.0]  # puts out (2, 7) and (0, 7)
    >>> net.params["dense2.W"] = [[3.0, 1.0], [4.0, 1.0]]
    >>> mp.score(net, [[2.0], [-1.0]], "activation_outgoing")["dense1"]
    array([5., 0.])
    """

    name = "activation_outgoing"
    formula = r"I_j = \mathrm{std}(a_j) \, \| w^{\mathrm{out}}_j \|_2"
    needs = ("data",)
    source = "An et al. 2024, WIFV, under a root"

    def score(self, context: Context) -> dict[str, Vector]:
        """Variance times squared length, summed over the values that are read, under a root."""
        return {name: np.sqrt(sum(moved, np.zeros(1))) for name, moved in self._moved(context).items()}

    def terms(self, context: Context, j: int) -> Terms:
        """Variance times squared length for every value that is read."""
        (group,) = context.groups
        values = np.array([moved[j] for moved in self._moved(context)[group.name]])
        names = [read.value for read in group.reads]
        return Terms("value read", values, "root of the sum", float(np.sqrt(values.sum())), names.__getitem__)

    def _moved(self, context: Context) -> dict[str, list[Vector]]:
        spreads = {group.name: [_Spread(group.size) for _ in group.reads] for group in context.groups}
        for batch in activations(context):
            for name, reads in batch.items():
                for spread, (read, a) in zip(spreads[name], reads, strict=True):
                    spread.add(read, a)
        return {group.name: _moved(context.net, group, spreads[group.name]) for group in context.groups}


def _moved(net: Graph, group: NeuronGroup, spreads: list[_Spread]) -> list[Vector]:
    """Variance times squared length of the weights of its own readers, for every value that is read."""
    moved = [np.zeros(group.size)] if not group.reads else []
    for read, spread in zip(group.reads, spreads, strict=True):
        mine = [piece for piece in group.consumed if piece.array.rpartition(".")[0] in read.readers]
        moved.append(spread.variance * sum_of_powers(net, group, mine, 2))
    return moved
