"""Scores that look at weights only: no data, no gradient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..errors import DataError
from ..neurons import NOBODY, NeuronGroup, Slice
from ..nn import Graph
from ..ops import Array
from .base import Context, Criterion, Terms, Vector


def weights_among(group: NeuronGroup, slices: Iterable[Slice]) -> list[Slice]:
    """Those of the slices that are connections, which biases and batch-norm are not; there must be one."""
    weights = [piece for piece in slices if piece.array.endswith(".W")]
    if not weights:
        raise DataError(f"{group.name}: it has no weights on this side, so it has no magnitude; take another criterion")
    return weights


def sum_over_weights(group: NeuronGroup, slices: Iterable[Slice], numbers: Mapping[str, Array]) -> Vector:
    """Sum a number per weight, by parameter, over the weights of each neuron in the given slices."""
    total = np.zeros(group.size)
    for piece in weights_among(group, slices):
        of_entry = np.moveaxis(numbers[piece.array], piece.axis, 0)
        mine = piece.owner != NOBODY
        np.add.at(total, piece.owner[mine], of_entry.sum(axis=tuple(range(1, of_entry.ndim)))[mine])
    return total


def sum_of_powers(net: Graph, group: NeuronGroup, slices: Iterable[Slice], power: int) -> Vector:
    """Σ |w|^power over the weights of each neuron in the given slices."""
    weights = weights_among(group, slices)
    sizes = {piece.array: np.abs(net.params[piece.array].astype(np.float64)) ** power for piece in weights}
    return sum_over_weights(group, weights, sizes)


def weight_terms(net: Graph, slices: Iterable[Slice], j: int, power: int) -> Terms:
    """|w|^power of every weight of neuron j in the given slices; for the square, under a root."""
    places = [(piece, position) for piece in slices if piece.array.endswith(".W") for position in piece.positions(j)]
    shapes = [np.delete(net.params[piece.array].shape, piece.axis) for piece, _ in places]
    rows = [np.take(net.params[piece.array], k, axis=piece.axis).ravel().astype(np.float64) for piece, k in places]
    starts = np.cumsum([0, *(len(row) for row in rows)])

    def label(i: int) -> str:
        which = int(np.searchsorted(starts, i, side="right")) - 1
        piece, position = places[which]
        index = np.insert(np.unravel_index(i - starts[which], shapes[which]), piece.axis, position)
        return f"{piece.array}[{', '.join(map(str, index))}]"

    weights = np.concatenate([np.zeros(0), *rows])  # none where nobody reads the neuron
    values = np.abs(weights) ** power
    score = float(values.sum()) if power == 1 else float(np.sqrt(values.sum()))
    return Terms(
        *("weight", values, "sum" if power == 1 else "root of the sum", score, label),
        columns={"w": weights},
    )


class MagnitudeL1(Criterion):
    r"""The sum of the moduli of a neuron's incoming weights: $\sum_i |w_{ji}|$, bias apart.

    Tied producers are summed. Of a single weight: $|w|$.

    Notes
    -----
    Source: Li et al. 2017, *Pruning filters for efficient ConvNets*, section 3.1.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 2), mp.ReLU(), mp.Dense(2, 2), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[3.0, -4.0], [0.0, 1.0]], [[3.0, 0.0], [4.0, -2.0]]
    >>> mp.score(net, criterion="magnitude_l1")["dense1"]
    array([7., 1.])
    """

    name = "magnitude_l1"
    formula = r"I_j = \sum_i |w_{ji}|"
    source = "Li et al. 2017, section 3.1"

    def score(self, context: Context) -> dict[str, Vector]:
        """Σ|w| over the rows."""
        return {g.name: sum_of_powers(context.net, g, g.produced, 1) for g in context.groups}

    def terms(self, context: Context, j: int) -> Terms:
        """|w| of every weight of the rows."""
        (group,) = context.groups
        return weight_terms(context.net, group.produced, j, 1)

    def score_weights(self, context: Context) -> dict[str, Array]:
        """|w|."""
        return {name: np.abs(context.net.params[name].astype(np.float64)) for name in context.weights}


class MagnitudeL2(Criterion):
    r"""The length of a neuron's incoming weights: $\sqrt{\sum_i w_{ji}^2}$, bias apart.

    Tied producers are summed under the root. Of a single weight: $|w|$, like `magnitude_l1`.

    Notes
    -----
    Source: Li et al. 2017, *Pruning filters for efficient ConvNets*, section 4.4 (compared there with l1).

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 2), mp.ReLU(), mp.Dense(2, 2), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[3.0, -4.0], [0.0, 1.0]], [[3.0, 0.0], [4.0, -2.0]]
    >>> mp.score(net, criterion="magnitude_l2")["dense1"]
    array([5., 1.])
    """

    name = "magnitude_l2"
    formula = r"I_j = \sqrt{\sum_i w_{ji}^2}"
    source = "Li et al. 2017, section 4.4"

    def score(self, context: Context) -> dict[str, Vector]:
        """√Σw² over the rows."""
        return {g.name: np.sqrt(sum_of_powers(context.net, g, g.produced, 2)) for g in context.groups}

    def score_weights(self, context: Context) -> dict[str, Array]:
        """|w|."""
        return MagnitudeL1().score_weights(context)

    def terms(self, context: Context, j: int) -> Terms:
        """w² of every weight of the rows."""
        (group,) = context.groups
        return weight_terms(context.net, group.produced, j, 2)


class MagnitudeL1Outgoing(Criterion):
    r"""The sum of the moduli of the weights that read a neuron: $\sum_k |w_{kj}|$.

    Notes
    -----
    Source: He et al. 2014, *Reshaping deep neural network for fast decoding by node-pruning*, section 3.2.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 2), mp.ReLU(), mp.Dense(2, 2), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[3.0, -4.0], [0.0, 1.0]], [[3.0, 0.0], [4.0, -2.0]]
    >>> mp.score(net, criterion="magnitude_l1_outgoing")["dense1"]
    array([7., 2.])
    """

    name = "magnitude_l1_outgoing"
    formula = r"I_j = \sum_k |w_{kj}|"
    source = "He et al. 2014, section 3.2"

    def score(self, context: Context) -> dict[str, Vector]:
        """Σ|w| over the columns."""
        return {g.name: sum_of_powers(context.net, g, g.consumed, 1) for g in context.groups}

    def terms(self, context: Context, j: int) -> Terms:
        """|w| of every weight of the columns."""
        (group,) = context.groups
        return weight_terms(context.net, group.consumed, j, 1)


class MagnitudeL2Outgoing(Criterion):
    r"""The length of the weights that read a neuron: $\sqrt{\sum_k w_{kj}^2}$.

    Notes
    -----
    Source: as `MagnitudeL1Outgoing`, with the other norm.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 2), mp.ReLU(), mp.Dense(2, 2), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[3.0, -4.0], [0.0, 1.0]], [[3.0, 0.0], [4.0, -2.0]]
    >>> mp.score(net, criterion="magnitude_l2_outgoing")["dense1"]
    array([5., 2.])
    """

    name = "magnitude_l2_outgoing"
    formula = r"I_j = \sqrt{\sum_k w_{kj}^2}"
    source = "He et al. 2014, section 3.2, other norm"

    def score(self, context: Context) -> dict[str, Vector]:
        """√Σw² over the columns."""
        return {g.name: np.sqrt(sum_of_powers(context.net, g, g.consumed, 2)) for g in context.groups}

    def terms(self, context: Context, j: int) -> Terms:
        """w² of every weight of the columns."""
        (group,) = context.groups
        return weight_terms(context.net, group.consumed, j, 2)


class MagnitudeProduct(Criterion):
    r"""The length of a neuron's incoming weights times that of its outgoing ones: $\|w^{in}_j\| \, \|w^{out}_j\|$.

    Scaling a ReLU neuron's row up and its column down by the same factor changes no output and not this score, but both
    of its factors. Tied producers, and several readers, are summed under the root.

    Notes
    -----
    Source: the product of `MagnitudeL2` and `MagnitudeL2Outgoing`; for the invariance Neyshabur et al. 2015,
    *Path-SGD*, section 2.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 2), mp.ReLU(), mp.Dense(2, 2), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[3.0, -4.0], [0.0, 1.0]], [[3.0, 0.0], [4.0, -2.0]]
    >>> mp.score(net, criterion="magnitude_product")["dense1"]
    array([25.,  2.])
    """

    name = "magnitude_product"
    formula = r"I_j = \| w^{\mathrm{in}}_j \|_2 \, \| w^{\mathrm{out}}_j \|_2"
    source = "rescaling: Neyshabur et al. 2015, section 2"

    def score(self, context: Context) -> dict[str, Vector]:
        """√Σw² over the rows times √Σw² over the columns."""
        net = context.net
        squares = {
            g.name: sum_of_powers(net, g, g.produced, 2) * sum_of_powers(net, g, g.consumed, 2) for g in context.groups
        }
        return {name: np.sqrt(square) for name, square in squares.items()}

    def terms(self, context: Context, j: int) -> Terms:
        """The two lengths."""
        (group,) = context.groups
        lengths = [weight_terms(context.net, slices, j, 2).score for slices in (group.produced, group.consumed)]
        sides = ("incoming weights", "outgoing weights")
        return Terms("length", np.array(lengths), "product", lengths[0] * lengths[1], sides.__getitem__)


class Lamp(Criterion):
    r"""A weight's share of what its layer holds from it upwards: $w_u^2 / \sum_{v:\, |w_v| \geq |w_u|} w_v^2$.

    The sum is over the weights of the same layer that are at least as large, itself and its equals among them: the
    largest of a layer scores 1, so a global ranking empties no layer. Within a layer it ranks like the magnitude. Of a
    neuron: the same with $\sum_i w_{ji}^2$ over its incoming weights, bias apart and tied producers summed, in the
    place of $w^2$, and its group in the place of the layer. Weights that are all 0 score 0.

    Notes
    -----
    Source: Lee et al. 2021, *Layer-adaptive sparsity for the magnitude-based pruning*, equation 1, for weights; there
    equals are put in some order, so that their scores differ. Torch-Pruning's LAMP importance divides in this way what
    it makes of a neuron's incoming and outgoing weights and of its batch-norm together.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 3), mp.ReLU(), mp.Dense(3, 1))
    >>> net.params["dense1.W"] = [[1.0], [-2.0], [3.0]]  # 1 / (1 + 4 + 9), 4 / (4 + 9), 9 / 9
    >>> mp.score(net, criterion="lamp")["dense1"].round(4)
    array([0.0714, 0.3077, 1.    ])
    """

    name = "lamp"
    formula = r"I_u = w_u^2 \,/ \sum_{v:\, |w_v| \geq |w_u|} w_v^2"
    source = "Lee et al. 2021, eq. 1"

    def score(self, context: Context) -> dict[str, Vector]:
        """Shares of Σw² over the rows."""
        return {g.name: _shares_upwards(sum_of_powers(context.net, g, g.produced, 2)) for g in context.groups}

    def score_weights(self, context: Context) -> dict[str, Array]:
        """Shares of w²."""
        return {n: _shares_upwards(context.net.params[n].astype(np.float64) ** 2) for n in context.weights}


def _shares_upwards(squares: Array) -> Array:
    """Divide each by the sum of all that are at least as large."""
    values, place, count = np.unique(squares, return_inverse=True, return_counts=True)
    from_here = np.cumsum((values * count)[::-1])[::-1]
    shares = np.divide(values, from_here, out=np.zeros_like(values), where=from_here > 0)
    return shares[place].reshape(squares.shape)
