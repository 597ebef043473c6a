r"""The document's own scores: sensitivity, and importance as its inverse, in all the ways it can be read.

The document (4.1.3) prints $I_i = 1/s_i$ with $s_i = \partial L / \partial o_i$, for one sample. Three things are left
open or wrong (spec B3), and are settled here as follows:

* **many samples**: the modulus before the mean (`inverse_sensitivity`), after it as in the document's listing
  (`inverse_sensitivity_mean`), or no modulus, as printed (`inverse_sensitivity_signed`);
* **zero**: 1/±0 is taken as +∞ everywhere: a neuron without effect becomes the *most* important one. That is what the
  printed rule says, so that is what is computed; −0 would otherwise give −∞ and send the neuron away first;
* **direction**: the larger $|s|$, the lower the printed importance, so the most sensitive neurons go first. To first
  order the loss changes by $-o_i s_i$ on removal, so at equal output this ranks neurons backwards. Compare `taylor`.
"""

from __future__ import annotations

import numpy as np

from ..ops import Array
from .base import Context, Vector
from .gates import GateCriterion, GateGradients, GateSums
from .weights import weight_slopes


def _inverse(s: Vector) -> Vector:
    """1/s, with 1/±0 = +∞."""
    with np.errstate(divide="ignore"):
        return 1 / np.where(s == 0, 0.0, s)  # −0 becomes +0


class Sensitivity(GateCriterion):
    r"""How strongly the loss answers to the neuron's output: $\frac{1}{N}\sum_n |\partial \ell_n / \partial o_{nj}|$.

    The modulus is taken per sample, after the sum over places.

    Notes
    -----
    Source: spec B2, B7 (document 4.1.2, 9.3).

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 1.0]]  # y = 3 · 2 + 1 · 1 for both
    >>> data = ([[1.0], [1.0]], [[5.0], [8.0]])  # so y − t is 2 and −1: s is (6, 2) and (−3, −1)
    >>> mp.score(net, data, "sensitivity", loss="half_squared_error")["dense1"]
    array([4.5, 1.5])
    """

    name = "sensitivity"
    moment = "|s|"
    formula = r"I_j = \frac{1}{N} \sum_n |s_{nj}|, \quad s_{nj} = \partial \ell_n / \partial o_{nj}"
    source = "spec B2 (document 4.1.2)"

    def sample(self, gradients: GateGradients | GateSums) -> Array:
        """|s|."""
        return np.abs(gradients.slope)

    def score_weights(self, context: Context) -> dict[str, Array]:
        """Mean |g|."""
        return {name: self.finish(mean) for name, mean in weight_slopes(context, np.abs).items()}


class SensitivitySigned(GateCriterion):
    r"""The mean slope of the loss with its sign: $\frac{1}{N}\sum_n \partial \ell_n / \partial o_{nj}$.

    Notes
    -----
    Source: spec B2 (document 4.1.2), without a modulus.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 1.0]]  # y = 3 · 2 + 1 · 1 for both
    >>> data = ([[1.0], [1.0]], [[5.0], [8.0]])  # so y − t is 2 and −1: s is (6, 2) and (−3, −1)
    >>> mp.score(net, data, "sensitivity_signed", loss="half_squared_error")["dense1"]
    array([1.5, 0.5])
    """

    name = "sensitivity_signed"
    moment = "s"
    formula = r"I_j = \frac{1}{N} \sum_n s_{nj}"
    source = "spec B2 (document 4.1.2)"

    def sample(self, gradients: GateGradients | GateSums) -> Array:
        """Return s itself."""
        return gradients.slope

    def score_weights(self, context: Context) -> dict[str, Array]:
        """Mean g."""
        return {name: self.finish(mean) for name, mean in weight_slopes(context, np.positive).items()}


class InverseSensitivity(Sensitivity):
    r"""The document's rule with the modulus it needs: $1 / \frac{1}{N}\sum_n |s_{nj}|$.

    Notes
    -----
    Source: spec B3 (document 4.1.3).

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 1.0]]  # y = 3 · 2 + 1 · 1 for both
    >>> data = ([[1.0], [1.0]], [[5.0], [8.0]])  # so y − t is 2 and −1: s is (6, 2) and (−3, −1)
    >>> mp.score(net, data, "inverse_sensitivity", loss="half_squared_error")["dense1"].round(4)
    array([0.2222, 0.6667])
    """

    name = "inverse_sensitivity"
    formula = r"I_j = 1 \,/\, \left( \frac{1}{N} \sum_n |s_{nj}| \right), \quad 1/0 = +\infty"
    source = "spec B3 (document 4.1.3)"

    def finish(self, mean: Vector) -> Vector:
        """1 / mean |s|."""
        return _inverse(mean)


class InverseSensitivityMean(SensitivitySigned):
    r"""What the document's listing does, for a neuron: $1 / |\frac{1}{N}\sum_n s_{nj}|$.

    The mean over the batch comes first: slopes of opposite sign cancel, and the neuron seems important.

    Notes
    -----
    Source: spec B3, E4 (document 5.2, 5.3.7).

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 1.0]]  # y = 3 · 2 + 1 · 1 for both
    >>> data = ([[1.0], [1.0]], [[5.0], [8.0]])  # so y − t is 2 and −1: s is (6, 2) and (−3, −1)
    >>> mp.score(net, data, "inverse_sensitivity_mean", loss="half_squared_error")["dense1"].round(4)
    array([0.6667, 2.    ])
    """

    name = "inverse_sensitivity_mean"
    formula = r"I_j = 1 \,/\, \left| \frac{1}{N} \sum_n s_{nj} \right|, \quad 1/0 = +\infty"
    source = "spec B3, E4 (document 5.2)"

    def finish(self, mean: Vector) -> Vector:
        """1 / |mean s|."""
        return _inverse(np.abs(mean))


class InverseSensitivitySigned(SensitivitySigned):
    r"""Exactly as printed: $1 / \frac{1}{N}\sum_n s_{nj}$; it can be negative.

    Notes
    -----
    Source: spec B3 (document 4.1.3).

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 1.0]]  # y = 3 · 2 + 1 · 1 for both
    >>> data = ([[1.0], [1.0]], [[5.0], [8.0]])  # so y − t is 2 and −1: s is (6, 2) and (−3, −1)
    >>> mp.score(net, data, "inverse_sensitivity_signed", loss="half_squared_error")["dense1"].round(4)
    array([0.6667, 2.    ])
    """

    name = "inverse_sensitivity_signed"
    formula = r"I_j = 1 \,/\, \left( \frac{1}{N} \sum_n s_{nj} \right), \quad 1/{\pm 0} = +\infty"
    source = "spec B3 (document 4.1.3)"

    def finish(self, mean: Vector) -> Vector:
        """1 / mean s."""
        return _inverse(mean)
