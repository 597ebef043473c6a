"""Pairs: what the removal of two neurons together costs, and how far that is from the sum of both."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from ..datasets.samples import as_samples
from ..errors import PlanError
from ..neurons import check_neuron
from ..nn import Graph
from ..targets import choose_loss
from .base import Context, Vector
from .oracle import Set, removal_costs


def pair_costs(
    net: Graph,
    data: Any,
    group: str,
    neurons: list[int] | None = None,
    *,
    loss: str | None = None,
    batch_size: int = 1024,
    progress: bool = True,
) -> Vector:
    r"""The exact change of the loss for every two neurons of a group that leave together.

    $C_{ij} = L_{\setminus \{i, j\}} - L$, and on the diagonal $C_{jj} = L_{\setminus j} - L$, the leave-one-out cost.
    What a pair costs beyond the sum of both, $C_{ij} - C_{ii} - C_{jj}$, is why the cheapest neurons are not the
    cheapest set: of two copies of a neuron each may be free, but not both.

    Parameters
    ----------
    net : Graph
        Is not changed; runs in evaluation mode.
    data : (x, y), an object with .x and .y, or a Dataset (its training part)
    group : str
        A group whose neurons can be removed.
    neurons : list of int, optional
        Which k of its neurons, each once; by default all. There are k (k − 1) / 2 pairs.
    loss, batch_size, progress
        As for `minprune.score`.

    Returns
    -------
    array (k, k) of float64
        Symmetric, in the order of `neurons`.

    Raises
    ------
    StructureError
        When there is no such group or neuron.
    PlanError
        When its neurons are never removed, or a neuron is named twice.
    DataError
        For data that cannot be used.

    Notes
    -----
    Source: Mozer and Smolensky 1989, *Skeletonization*, equation 1, for sets of two; spec D6.

    Examples
    --------
    >>> from minprune.worked import LOSS, TARGET, X, network
    >>> pair_costs(network(), (X, TARGET), "dense1", [1, 3], loss=LOSS).round(4)
    array([[-0.0099, -0.0263],
           [-0.0263, -0.0198]])
    """
    found = check_neuron(net, group, 0)
    if found.stays:
        raise PlanError(f"{group}: {found.stays}; its neurons are never removed, so there are no costs")
    chosen = list(range(found.size)) if neurons is None else list(neurons)
    for j in chosen:
        check_neuron(net, group, j)
    if len(set(chosen)) < len(chosen):
        raise PlanError(f"{group}: a neuron is named twice in {chosen}; expected each once")
    x, y = as_samples(data)
    context = Context(net, (found,), x, y, loss or choose_loss(y), batch_size, np.random.default_rng(0), progress)
    sets: list[Set] = [*((j,) for j in chosen), *combinations(chosen, 2)]
    costs = removal_costs(context, {group: sets})[group]
    table = np.diag(costs[: len(chosen)])
    above = np.triu_indices(len(chosen), 1)  # in the order of combinations
    table[above] = table.T[above] = costs[len(chosen) :]
    return table
