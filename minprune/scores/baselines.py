"""What every rule must beat."""

from __future__ import annotations

from ..ops import Array
from .base import Context, Criterion, Vector


class Random(Criterion):
    r"""A number drawn from [0, 1) for every neuron, or every weight: $I_j \sim U(0, 1)$.

    Notes
    -----
    Source: spec A3 (document 2.4).

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 3), mp.ReLU(), mp.Dense(3, 1))
    >>> mp.score(net, criterion="random", rng=0)["dense1"].round(4)
    array([0.637 , 0.2698, 0.041 ])
    """

    name = "random"
    formula = r"I_j \sim U(0, 1)"
    source = "spec A3 (document 2.4)"

    def score(self, context: Context) -> dict[str, Vector]:
        """Draw from the given rng."""
        return {group.name: context.rng.random(group.size) for group in context.groups}

    def score_weights(self, context: Context) -> dict[str, Array]:
        """Draw from the given rng."""
        return {name: context.rng.random(context.net.params[name].shape) for name in context.weights}
