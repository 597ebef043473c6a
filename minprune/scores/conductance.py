"""Conductance: how the change of the loss on the way from nothing to the sample goes through each neuron."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import DataError
from ..ops import Array
from ..progress import track
from .base import Context, Criterion, Vector
from .gates import GateGradients, gate_gradients, sample_mean


@dataclass(frozen=True)
class Conductance(Criterion):
    r"""What flows through a neuron of the loss's fall from an input of zeros to the sample, averaged over samples.

    $I_j = -\frac{1}{N} \sum_n \int_0^1 \sum_p g_{njp}\, \frac{d a_{njp}}{d \alpha}\, d\alpha$ along the straight way
    $x = \alpha x_n$, with $g = \partial\ell/\partial a$, summed over places and over the values in which the neuron is
    read. With its sign: a neuron that makes the loss rise on the way has a negative score and goes first.

    The integral is taken in `steps` pieces by the trapezoidal rule: the mean of ∂ℓ/∂a at both ends of a piece times the
    change of a along it. For a group that every path passes exactly once the scores add up to what the loss falls by,
    $\sum_j I_j = L(0) - L(x)$, up to the error of that rule, which falls with the square of `steps` where nothing has
    a kink. It costs `steps` + 1 passes forward and back. Of input features it is the integrated gradient.

    Parameters
    ----------
    steps : int
        In how many pieces.

    Raises
    ------
    DataError
        When `steps` is no whole number of at least 1.

    Notes
    -----
    Source: Dhamdhere, Sundararajan and Yan 2019, *How important is a neuron?*, definition 1, with the loss as the
    function that is explained, and the other sign; there it is the output of a class.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 1.0]]  # y goes from 0 to 6 + 1, t = 5
    >>> data = ([[1.0]], [[5.0]])  # ∂ℓ/∂y goes from −5 to 2, on average −1.5: the loss falls by 10.5 = 9 + 1.5
    >>> mp.score(net, data, "conductance", loss="half_squared_error")["dense1"]
    array([9. , 1.5])
    """

    steps: int = 16

    name = "conductance"
    formula = (
        r"I_j = -\frac{1}{N} \sum_n \int_0^1 \sum_p \frac{\partial \ell_n}{\partial a_{njp}} \, "
        r"\frac{d a_{njp}}{d \alpha} \, d\alpha, \quad x = \alpha x_n"
    )
    needs = ("data", "labels", "gradient")
    source = "Dhamdhere et al. 2019, definition 1, of the loss"

    def __post_init__(self) -> None:
        if not isinstance(self.steps, int | np.integer) or self.steps < 1:
            raise DataError(f"conductance: steps is {self.steps!r}, expected a whole number of at least 1")

    def score(self, context: Context) -> dict[str, Vector]:
        """Add up the pieces, a few samples at a time."""
        return sample_mean(context, self._by_sample(context))

    def _by_sample(self, context: Context) -> Iterator[dict[str, Array]]:
        """What the way contributes, sample by sample: group -> (N, n)."""
        ends = self.steps + 1
        each = max(1, context.batch_size // ends)  # all ends of a sample's way are in one batch
        parts = replace(context, batch_size=each).batches()
        for x, y in track(parts, "conductance", show=context.progress, total=-(-context.count // each)):
            way = replace(context, x=_ways(x, self.steps), y=np.concatenate([y] * ends), batch_size=ends * each)
            (gradients,) = gate_gradients(replace(way, progress=False))
            yield {name: _integrals(found, ends) for name, found in gradients.items()}


def _ways(x: Any, steps: int) -> Any:
    """The samples at all ends of the pieces of their ways, one end below the other."""
    if isinstance(x, Mapping):
        return {name: _ways(values, steps) for name, values in x.items()}
    return np.concatenate([np.asarray(x) * (step / steps) for step in range(steps + 1)])


def _integrals(found: GateGradients, ends: int) -> Array:
    """−Σ ½ (g + g') (a' − a) over the pieces of every way, summed over places and reads: (N, n)."""
    total = []
    for read, a, g in found.places:
        a, g = (values.reshape(ends, -1, *values.shape[1:]) for values in (a, g))
        pieces = (g[:-1] + g[1:]) * (a[1:] - a[:-1]) / 2
        total.append(read.per_neuron(-pieces.sum(axis=0), found.size))
    return np.asarray(sum(total))
