"""Scores for networks that have not been trained yet: what a batch of data says about their weights (spec B8).

They can be asked of any network; at initialisation they are used without training it first. `synflow`, in `linearised`,
is the third of the kind, and needs no data.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..ops import Array
from .base import Context, Criterion, Vector
from .hessian import hessian_times
from .magnitude import sum_over_weights
from .taylor import TaylorMean
from .weights import weight_slopes


class Snip(Criterion):
    r"""How much the loss of the whole batch answers to a gate c, as a share: $|\partial L/\partial c_j| / \sum_i |…|$.

    The gate of a neuron is the one of `mask`, that of a weight multiplies the weight: $|w\, \partial L/\partial w|$. L
    is the mean loss over all samples given, so effects of opposite sign cancel before the modulus, as in `taylor_mean`,
    of which this is the share: it ranks alike. The sum is over all neurons, or weights, that are scored together; where
    no gate has a derivative all score 0.

    Notes
    -----
    Source: Lee, Ajanthan and Torr 2019, *SNIP: single-shot network pruning based on connection sensitivity*, section
    4.1, for weights, on one batch at initialisation; for neurons by the gate in their place.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 2.0]]  # y − t = 3 · 2 + 2 · 1 − 7 = 1
    >>> mp.score(net, ([[1.0]], [[7.0]]), "snip", loss="half_squared_error")["dense1"]  # 6 and 2 of 8
    array([0.75, 0.25])
    """

    name = "snip"
    formula = r"I_j = \left| \partial L / \partial c_j \right| \,/ \sum_i \left| \partial L / \partial c_i \right|"
    needs = ("data", "labels", "gradient")
    source = "Lee et al. 2019, section 4.1; spec B8"

    def score(self, context: Context) -> dict[str, Vector]:
        """|∂L/∂m| as shares."""
        return _shares(TaylorMean().score(context))

    def score_weights(self, context: Context) -> dict[str, Array]:
        """|w ∂L/∂w| as shares."""
        return _shares(TaylorMean().score_weights(context))


def _shares(sizes: dict[str, Array]) -> dict[str, Array]:
    whole = sum(float(size.sum()) for size in sizes.values())
    return {name: size / (whole or 1.0) for name, size in sizes.items()}


class Grasp(Criterion):
    r"""How much of the gradient's flow goes with a weight: $w \odot H g$, with $g = \nabla L$ and H the Hessian of L.

    g and H are by the W of all layers, of the mean loss over all samples given. Taking weights away, δ = −w, changes
    $\|\nabla L\|^2$ by $2\, \delta^\top H g$ to first order: with a positive score the flow falls, with a negative one
    it rises, and those go first. A neuron is taken away by setting the weights that read it to 0, so its score is the
    sum over its outgoing weights. H g is exact: see `hessian_times`.

    It is meant for a network at initialisation. Near a minimum of L, where there is hardly any gradient, taking away
    what matters brings one about: there the score turns against the neurons that matter.

    The authors score $S = -w \odot H g$ and remove the *largest*; here larger means keep, so the sign is the other one.
    Their code divides the logits by a temperature of 200 first; here the loss is taken as it is.

    Notes
    -----
    Source: Wang, Zhang and Grosse 2020, *Picking winning tickets before training by preserving gradient flow*, section
    4, with the other sign; for neurons the sum over outgoing weights.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 1, bias=False), dtype=np.float64)
    >>> net.params["dense1.W"] = [[3.0, -1.0]]  # ℓ = ½ (w₁ + w₂)², g = (2, 2), H is all ones, H g = (4, 4)
    >>> mp.score(net, ([[1.0, 1.0]], [[0.0]]), "grasp", loss="half_squared_error", by="weight")["dense1.W"]
    array([[12., -4.]])
    """

    name = "grasp"
    formula = r"I_w = w\, (H g)_w, \quad g = \nabla L, \quad I_j = \sum_k I_{w_{kj}}"
    needs = ("data", "labels", "gradient", "curvature")
    source = "Wang et al. 2020, section 4, other sign; spec B8"

    def score(self, context: Context) -> dict[str, Vector]:
        """Sum over the columns."""
        flow = _flow(context)
        return {g.name: sum_over_weights(g, g.consumed, flow) for g in context.groups}

    def score_weights(self, context: Context) -> dict[str, Array]:
        """Compute w · H g, of the parameters that are scored."""
        flow = _flow(context)
        return {name: flow[name] for name in context.weights}


def _flow(context: Context) -> dict[str, Array]:
    """Compute w · H g of all weights of the network, in float64."""
    every = tuple(name for name in context.net.params if name.endswith(".W"))
    context = replace(context, net=context.net.astype(np.float64), weights=every)
    product = hessian_times(context, weight_slopes(context, np.positive))
    return {name: context.net.params[name] * entry for name, entry in product.items()}
