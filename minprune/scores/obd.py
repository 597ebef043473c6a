"""Optimal brain damage: what removing weights costs at a minimum, as if no two of them had to do with each other."""

from __future__ import annotations

from dataclasses import replace

from ..ops import Array
from .base import Context, Criterion, Vector
from .curvature import Curvature
from .magnitude import sum_over_weights, weights_among


class Obd(Criterion):
    r"""The saliencies of a neuron's incoming weights, added: $\frac{1}{2} \sum_i h_{ji} w_{ji}^2$, bias apart.

    $h = \frac{1}{N} \sum_n (\partial y_n / \partial w)^\top H_n\, (\partial y_n / \partial w)$ is the exact diagonal of
    the Gauss–Newton matrix of the mean loss, summed over places inside the square, never negative; labels are not used.
    Tied producers are summed. Of a single weight $\frac{1}{2} h w^2$, the same as `curvature`.

    Of a neuron it is another thing than `curvature`, which asks what happens when all its weights go *together*: there
    their effects add up before they are squared, here after. `fisher` squares the gradients of the loss of the labels
    given, where this takes the loss's own second derivative.

    Notes
    -----
    Source: LeCun, Denker and Solla 1990, *Optimal brain damage*: the saliency of a weight, h w²/2. Its authors send
    diagonal second derivatives back layer by layer, without the terms between the neurons of a layer; here one exact
    walk back per output is taken instead. The sum over a neuron is ours. Torch-Pruning's Hessian importance has squared
    gradients of the loss in the place of h, no ½, and counts outgoing weights too.

    Examples
    --------
    >>> import numpy as np
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 1), mp.Dense(1, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0, -1.0]], [[3.0]]  # y = 3 (2 x₁ − x₂), so ∂y/∂w = 3 x
    >>> mp.score(net, [[1.0, 2.0]], "obd", loss="half_squared_error")["dense1"]  # ½ (9 · 4 + 36 · 1)
    array([36.])
    >>> mp.score(net, [[1.0, 2.0]], "curvature", loss="half_squared_error")["dense1"]  # ½ (6 − 6)²
    array([0.])
    """

    name = "obd"
    formula = (
        r"I_j = \frac{1}{2} \sum_i h_{ji}\, w_{ji}^2, \quad "
        r"h = \frac{1}{N} \sum_n (\partial y_n / \partial w)^\top H_n \, (\partial y_n / \partial w)"
    )
    needs = ("data", "gradient", "curvature")
    source = "LeCun et al. 1990, by Gauss–Newton"

    def score(self, context: Context) -> dict[str, Vector]:
        """Sum the saliencies over the rows."""
        made = dict.fromkeys(piece.array for g in context.groups for piece in weights_among(g, g.produced))
        saliencies = self.score_weights(replace(context, weights=tuple(made)))
        return {g.name: sum_over_weights(g, g.produced, saliencies) for g in context.groups}

    def score_weights(self, context: Context) -> dict[str, Array]:
        """½ w² h."""
        return Curvature().score_weights(context)
