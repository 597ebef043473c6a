r"""Shapley values: what each neuron is worth when those of its group arrive one after the other, in every order.

The game: neurons S of a group play, the others of the group are removed, all other groups are whole. It pays
$v(S) = -L_S$, the negative mean loss. A neuron is paid what it adds on arrival, averaged over all orders:

$\phi_j = \sum_{S \not\ni j} \frac{|S|!\,(n - |S| - 1)!}{n!} \left( v(S \cup \{j\}) - v(S) \right)$.

Together they are paid all there is: $\sum_j \phi_j = v(\mathrm{all}) - v(\emptyset)$, the loss without the whole group
less the loss with it. Of two neurons that can stand in for each other `leave_one_out` says that neither is worth
anything; here they share what both are worth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np

from ..datasets.samples import as_samples
from ..errors import DataError, PlanError
from ..neurons import NeuronGroup, check_neuron
from ..nn import Graph
from ..ops import Array
from ..targets import choose_loss
from .base import Context, Criterion, Vector
from .oracle import Set, removal_costs

EXACT = 12  # neurons whose coalitions are counted out: 4096 of them
ORDERS = 100  # drawn where there are more


@dataclass(frozen=True)
class Shapley(Criterion):
    r"""A neuron's Shapley value in the game that pays −L: what it saves of the loss, averaged over orders of arrival.

    $I_j = \frac{1}{n!} \sum_\pi (L_{S} - L_{S \cup \{j\}})$ over all orders π, with S those of its group that come
    before j in π, the rest of the group removed, other groups whole. Negative where the network is better off without.
    Of every group `samples` orders are drawn, at the cost of as many rounds of `leave_one_out` or somewhat more; where
    all coalitions are no more than that, $2^n \leq n \cdot$ `samples`, they are counted out, and nothing is drawn. For
    exact values of up to 12 neurons, and for standard errors, see `shapley_values`.

    Parameters
    ----------
    samples : int
        How many orders.

    Raises
    ------
    DataError
        When `samples` is no whole number of at least 1.

    Notes
    -----
    Source: Shapley 1953, *A value for n-person games*; Ghorbani and Zou 2020, *Neuron Shapley*, for neurons; for the
    orders drawn Castro, Gómez and Tejada 2009. TorchPruner draws 5 orders, the same for all batches, as here.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[1.0], [1.0]], [[2.0, 1.0]]  # y = 2 + 1, t = 3
    >>> data = ([[1.0]], [[3.0]])  # losses: 4½ without both, ½ with the first, 2 with the second, 0 with both
    >>> mp.score(net, data, "shapley", loss="half_squared_error")["dense1"]  # (4 + 2) / 2 and (½ + 2½) / 2
    array([3. , 1.5])
    """

    samples: int = 10

    name = "shapley"
    formula = r"I_j = \sum_{S \not\ni j} \frac{|S|!\,(n - |S| - 1)!}{n!} \left( L_{S} - L_{S \cup \{j\}} \right)"
    needs = ("data", "labels")
    source = "Shapley 1953; Ghorbani and Zou 2020"

    def __post_init__(self) -> None:
        _check_samples(self.samples)

    def score(self, context: Context) -> dict[str, Vector]:
        """Group by group."""
        return {group.name: self._of(replace(context, groups=(group,)), group) for group in context.groups}

    def _of(self, context: Context, group: NeuronGroup) -> Vector:
        if 2**group.size <= group.size * self.samples and group.size <= EXACT:
            return _exactly(context, group)
        return _sampled(context, group, self.samples).mean(axis=0)


def shapley_values(
    net: Graph,
    data: Any,
    group: str,
    samples: int | None = None,
    *,
    loss: str | None = None,
    rng: int | np.random.Generator = 0,
    batch_size: int = 1024,
    progress: bool = True,
) -> tuple[Vector, Vector]:
    r"""The Shapley values of a group's neurons, and how sure they are.

    $\phi_j = \sum_{S \not\ni j} \frac{|S|!\,(n - |S| - 1)!}{n!} \left( v(S \cup \{j\}) - v(S) \right)$, $v(S) = -L_S$.

    Parameters
    ----------
    net : Graph
        Is not changed; runs in evaluation mode.
    data : (x, y), an object with .x and .y, or a Dataset (its training part)
    group : str
        A group whose neurons can be removed.
    samples : int, optional
        How many orders of arrival to draw. By default none, and all 2ⁿ coalitions are counted out, where there are up
        to 12 neurons; else 100.
    loss, batch_size, progress
        As for `minprune.score`.
    rng : int or Generator
        Where the orders come from.

    Returns
    -------
    values, standard_error : arrays (n,) of float64
        The error is that of a mean over independent orders, s/√samples: 0 where nothing was drawn, NaN for a single
        order. Whatever was drawn, the values add up to the loss without the group less the loss with it.

    Raises
    ------
    StructureError
        When there is no such group.
    PlanError
        When its neurons are never removed.
    DataError
        For data that cannot be used, or a number of samples below 1.

    Notes
    -----
    Source: Shapley 1953, *A value for n-person games*; Castro, Gómez and Tejada 2009, *Polynomial calculation of the
    Shapley value based on sampling*.

    Examples
    --------
    >>> from minprune.worked import LOSS, TARGET, X, network
    >>> values, error = shapley_values(network(), (X, TARGET), "dense1", loss=LOSS)
    >>> values.round(4)
    array([ 0.1014, -0.0095,  0.1121, -0.0106, -0.0337])
    >>> error
    array([0., 0., 0., 0., 0.])
    """
    found = check_neuron(net, group, 0)
    if found.stays:
        raise PlanError(f"{group}: {found.stays}; its neurons are never removed, so they have no Shapley value")
    if samples is not None:
        _check_samples(samples)
    x, y = as_samples(data)
    context = Context(net, (found,), x, y, loss or choose_loss(y), batch_size, np.random.default_rng(rng), progress)
    if samples is None and found.size <= EXACT:
        return _exactly(context, found), np.zeros(found.size)
    gains = _sampled(context, found, samples or ORDERS)
    spread = gains.std(axis=0, ddof=1) if len(gains) > 1 else np.full(found.size, np.nan)
    return gains.mean(axis=0), spread / np.sqrt(len(gains))


def _check_samples(samples: int) -> None:
    if not isinstance(samples, int | np.integer) or samples < 1:
        raise DataError(f"shapley: samples is {samples!r}, expected a whole number of at least 1")


def _exactly(context: Context, group: NeuronGroup) -> Vector:
    sets: list[Set] = [[j for j in range(group.size) if gone >> j & 1] for gone in range(2**group.size)]
    values: Vector = average_gains(removal_costs(context, {group.name: sets})[group.name])
    return values


def average_gains(costs: Array) -> Array:
    r"""The Shapley values from the costs of all sets, by counting out: $\phi_j$ with $v(S) = -\mathrm{cost}(\bar{S})$.

    Parameters
    ----------
    costs : array (2ⁿ,)
        Entry R is the cost of removing the neurons whose bits are set in R; floats, or rationals.

    Returns
    -------
    array (n,)
        In the same kind of numbers.

    Examples
    --------
    >>> average_gains(np.array([0.0, 2.0, 0.5, 4.5]))
    array([3. , 1.5])
    """
    n = len(costs).bit_length() - 1
    gone = np.arange(len(costs))
    size = sum(gone >> j & 1 for j in range(n))
    values = np.zeros(n, dtype=costs.dtype)
    for j in range(n):
        without = gone[gone >> j & 1 == 1]  # the sets that hold j: what it costs that j is not there either
        gains = costs[without] - costs[without ^ (1 << j)]
        orders = np.array([n * comb(n - 1, k - 1) for k in np.asarray(size)[without].tolist()], dtype=costs.dtype)
        values[j] = (gains / orders).sum()
    return values


def _sampled(context: Context, group: NeuronGroup, samples: int) -> Array:
    """What every neuron adds on arrival, in every order drawn: (samples, n)."""
    orders = [context.rng.permutation(group.size) for _ in range(samples)]
    sets: list[Set] = [order[: k + 1].tolist() for order in orders for k in range(group.size)]
    costs = removal_costs(context, {group.name: sets})[group.name].reshape(samples, group.size)
    steps = np.diff(costs, axis=1, prepend=0)  # the order is that of leaving: the last to leave is the first to arrive
    gains = np.empty_like(steps)
    for row, order, step in zip(gains, orders, steps, strict=True):
        row[order] = step
    return gains
