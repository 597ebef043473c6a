"""What every rule must beat."""

from __future__ import annotations

from ..ops import Array
from .base import Context, Criterion, Vector


class Random(Criterion):
    r"""A number drawn from [0, 1) for every neuron, or every weight: $I_j \sim U(0, 1)$.

    Notes
    -----
    Source: spec A3 (document 2.4).
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
