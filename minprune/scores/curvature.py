r"""Second-order estimates of what removing a neuron, or a weight, costs.

With a gate $m_j$ on the neuron, $\ell(0) - \ell(1) \approx -\ell'(1) + \frac{1}{2}\,\ell''(1)$. For the second
derivative take the network as linear in the gate and only the loss as curved (Gauss–Newton): with $J_{nkj} = \partial
y_{nk} / \partial m_j$ and $H_n$ the loss's second derivative by the output, $\ell'' = J^\top H J \ge 0$. The gate acts
on every place of a channel at once, so J is summed over all places, and over all layers that read the neuron, *before*
it is squared: the sum of a² h over places would be something else.

A gate on a single weight has $J = w\, \partial y / \partial w$. For a matrix as wide as a layer the whole of J would be
too much to hold; but $H = \sum_k r_k r_k^\top$, so $J^\top H J = \sum_k (r_k^\top J)^2$: one walk back for every root
$r_k$, and squares of gradients, which `weights` knows how to sum.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import DataError, ShapeError
from ..ops import Array
from ..ops.losses import log_sum_exp
from .base import Context, Criterion, Terms, Vector
from .gates import GatedPass, gated_passes, loss_gradients, sample_mean
from .weights import WeighedPass, batch_mean, loss_sums, weighed_passes

CURVED = ("half_squared_error", "mse", "cross_entropy")  # the losses whose second derivative is written down here


def curvature_roots(loss: str, output: Array) -> Iterator[Array]:
    """Yield r_k (N, K), one k after the other, with Σ_k r_k r_kᵀ = H, the second derivative of a sample's loss.

    √p_k (e_k − p) for cross-entropy, whose H is diag p − p pᵀ; √h e_k for the squared errors, whose H is h = 1 or 2/K
    times the unit matrix. None of them depends on the target. Walked back as seeds they give all that Gauss–Newton
    needs: with A_k the gradient of Σ r_k y, JᵀHJ is Σ_k A_k A_kᵀ.

    Raises
    ------
    DataError
        For a loss of which H is not known.
    ShapeError
        When the output is not (N, K).
    """
    if loss not in CURVED:
        raise DataError(f"unknown loss {loss!r}; expected one of {', '.join(CURVED)}")
    if output.ndim != 2:
        raise ShapeError(f"curvature takes a network's output of shape (N, K), got {output.shape}; end with Flatten")
    p = np.exp(output - log_sum_exp(output)[:, None]) if loss == "cross_entropy" else np.zeros_like(output)
    weight = {"half_squared_error": 1.0, "mse": 2 / output.shape[1]}.get(loss)
    for k in range(output.shape[1]):
        root = -p
        root[:, k] += 1
        yield root * np.sqrt(p[:, k : k + 1] if weight is None else output.dtype.type(weight))


def curvature_rows(context: Context, batch: GatedPass) -> dict[str, Array]:
    """A with Jᵀ H J = AᵀA, sample by sample: group -> (N, K, n), by one walk back per output."""
    walks = [batch.gradients(batch.output, root) for root in curvature_roots(context.loss, batch.output.value)]
    return {name: np.stack([walk[name].effect for walk in walks], axis=1) for name in batch.gates}


def half_curvature(context: Context, batch: GatedPass) -> dict[str, Array]:
    """½ (J a)ᵀ H (J a) of every sample and neuron: group -> (N, n)."""
    return {name: (A**2).sum(axis=1) / 2 for name, A in curvature_rows(context, batch).items()}


def half_curvature_of_weights(context: Context, batch: WeighedPass) -> dict[str, Array]:
    """½ w² Σ_n (∂y_n/∂w)ᵀ H_n (∂y_n/∂w) of every weight, summed over the samples of a batch."""
    totals = {name: np.zeros(layer.shape) for name, layer in batch.layers.items()}
    for root in curvature_roots(context.loss, batch.output.value):
        for name, squares in batch.sums(batch.output, root, np.square).items():
            totals[name] += squares
    return {name: context.net.params[name].astype(np.float64) ** 2 * total / 2 for name, total in totals.items()}


class Curvature(Criterion):
    r"""The second-order change of the loss on removal, by Gauss–Newton: $\frac{1}{2N}\sum_n J_n^\top H_n J_n$.

    $J_{nk}$ is the gradient of output k by the gate, $\sum_p a_{njp}\, \partial y_{nk} / \partial a_{njp}$, and $H_n$
    the second derivative of the loss by the output: diag(p) − p pᵀ for cross-entropy, 1 for half the squared error,
    2/K for mse. Summed over places and over layers that read the neuron inside the square, averaged over samples
    outside, and never negative. Labels are not used; without them name the loss. It costs one walk back per output.
    Of a single weight, with $J_{nk} = w\, \partial y_{nk} / \partial w$, it is what `obd` is.

    Notes
    -----
    Source: LeCun, Denker and Solla 1990, *Optimal brain damage*: the saliency h u²/2, with a gate in the place of a
    weight and Gauss–Newton for h. What the code of Molchanov et al. 2019 calls OBD is the diagonal of the Hessian by
    the gates without the factor ½, which ranks alike.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 1.0]]  # y = 3 · 2 + 1 · 1, t = 5
    >>> mp.score(net, [[1.0]], "curvature", loss="half_squared_error")["dense1"]  # J = (6, 1)
    array([18. ,  0.5])
    """

    name = "curvature"
    formula = (
        r"I_j = \frac{1}{2N} \sum_n J_n^\top H_n J_n, \quad "
        r"J_{nk} = \sum_p a_{njp}\, \partial y_{nk} / \partial a_{njp}"
    )
    needs = ("data", "gradient", "curvature")
    source = "LeCun et al. 1990, by the gate"

    def score(self, context: Context) -> dict[str, Vector]:
        """½ Jᵀ H J, averaged over all samples."""
        return sample_mean(context, (half_curvature(context, batch) for batch in gated_passes(context)))

    def score_weights(self, context: Context) -> dict[str, Array]:
        """½ w² h, averaged over all samples."""
        return batch_mean(context, (half_curvature_of_weights(context, batch) for batch in weighed_passes(context)))

    def terms(self, context: Context, j: int) -> Terms:
        """½ Jᵀ H J of every sample."""
        (group,) = context.groups
        parts = [half_curvature(context, batch)[group.name][:, j] for batch in gated_passes(context)]
        values = np.concatenate(parts).astype(np.float64)
        return Terms("sample", values, "mean", float(values.mean()))


class Taylor2(Criterion):
    r"""The change of the loss on removal to second order: `taylor_signed` + `curvature`.

    $I_j = -\frac{1}{N}\sum_n \sum_p a_{njp}\, \partial\ell_n/\partial a_{njp} + \frac{1}{2N}\sum_n J_n^\top H_n J_n$.

    It *is* the change, and equals `leave_one_out`, where all that lies behind the neuron is affine and the error
    squared: then the loss is a parabola in the gate. It stops being exact with a curved function behind the neuron,
    with another loss, where an input of a ReLU or a maximum behind it changes sides, and where the neuron is read again
    behind itself, as in a residual stream: a path with the gate on it twice is quadratic in it. Of a single weight
    $-w\, \partial L/\partial w + \frac{1}{2} w^2 h$, exact under the same conditions; no path meets a weight twice.

    Notes
    -----
    Source: LeCun, Denker and Solla 1990, *Optimal brain damage*, equation 1, with a gate in the place of a weight;
    there the first term is dropped, as the network is taken to stand at a minimum. The code of Molchanov et al. 2019
    squares this sum, so that a removal that helps ranks like one that harms; OTO's "taylor2" is half the square of the
    first term and ranks like |first term|.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 1.0]]  # y = 3 · 2 + 1 · 1, t = 5
    >>> data = ([[1.0]], [[5.0]])
    >>> for criterion in ("taylor2", "leave_one_out"):
    ...     print(mp.score(net, data, criterion, loss="half_squared_error")["dense1"])
    [ 6.  -1.5]
    [ 6.  -1.5]
    """

    name = "taylor2"
    formula = (
        r"I_j = -\frac{1}{N} \sum_n \sum_p a_{njp}\, \partial \ell_n / \partial a_{njp} "
        r"+ \frac{1}{2N} \sum_n J_n^\top H_n J_n"
    )
    needs = ("data", "labels", "gradient", "curvature")
    source = "LeCun et al. 1990, eq. 1, by the gate"

    def score(self, context: Context) -> dict[str, Vector]:
        """Both terms from the same pass."""
        return sample_mean(context, self._changes(context))

    def _changes(self, context: Context) -> Iterator[dict[str, Array]]:
        for batch in gated_passes(context):
            first = loss_gradients(context, batch)
            yield {name: half - first[name].effect for name, half in half_curvature(context, batch).items()}

    def score_weights(self, context: Context) -> dict[str, Array]:
        """Both terms from the same pass."""
        return batch_mean(context, self._changes_of_weights(context))

    def _changes_of_weights(self, context: Context) -> Iterator[dict[str, Array]]:
        for batch in weighed_passes(context):
            first = loss_sums(context, batch, np.positive)
            half = half_curvature_of_weights(context, batch)
            yield {n: half[n] - context.net.params[n].astype(np.float64) * slope for n, slope in first.items()}

    def terms(self, context: Context, j: int) -> Terms:
        """Both terms of every sample, and their sum."""
        (group,) = context.groups
        first, second = [], []
        for batch in gated_passes(context):
            first.append(-loss_gradients(context, batch)[group.name].effect[:, j])
            second.append(half_curvature(context, batch)[group.name][:, j])
        columns = {"−a·s": np.concatenate(first).astype(np.float64), "½JᵀHJ": np.concatenate(second).astype(np.float64)}
        values = columns["−a·s"] + columns["½JᵀHJ"]
        return Terms("sample", values, "mean", float(values.mean()), columns=columns)
