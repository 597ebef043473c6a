r"""Second-order estimates of what removing a neuron costs.

With a gate $m_j$ on the neuron, $\ell(0) - \ell(1) \approx -\ell'(1) + \frac{1}{2}\,\ell''(1)$. For the second
derivative take the network as linear in the gate and only the loss as curved (Gauss–Newton): with $J_{nkj} = \partial
y_{nk} / \partial m_j$ and $H_n$ the loss's second derivative by the output, $\ell'' = J^\top H J \ge 0$. The gate acts
on every place of a channel at once, so J is summed over all places, and over all layers that read the neuron, *before*
it is squared: the sum of a² h over places would be something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..errors import DataError, ShapeError
from ..ops import Array
from ..ops.losses import log_sum_exp
from .base import Context, Criterion, Terms, Vector
from .gates import GatedPass, gate_jacobians, gated_passes, loss_gradients, sample_mean


def _curved_by_softmax(J: Array, y: Array) -> Array:
    """Jᵀ (diag p − p pᵀ) J: the variance of J over the classes, each as likely as the network says."""
    p = np.exp(y - log_sum_exp(y)[:, None])[:, :, None]  # (N,K,1)
    mean = (p * J).sum(axis=1, keepdims=True)
    return (p * (J - mean) ** 2).sum(axis=1)


def _curved_by_squares(J: Array, y: Array) -> Array:
    """Jᵀ J."""
    return (J * J).sum(axis=1)


def _curved_by_mean_squares(J: Array, y: Array) -> Array:
    """(2/K) Jᵀ J."""
    return 2 * _curved_by_squares(J, y) / y.shape[1]


CURVED: dict[str, Callable[[Array, Array], Array]] = {
    "half_squared_error": _curved_by_squares,
    "mse": _curved_by_mean_squares,
    "cross_entropy": _curved_by_softmax,
}
"""Loss -> J (N, K, n) and output (N, K) to Jᵀ H J (N, n). None of them depends on the target."""


def half_curvature(context: Context, batch: GatedPass) -> dict[str, Array]:
    """½ (J a)ᵀ H (J a) of every sample and neuron: group -> (N, n)."""
    if context.loss not in CURVED:
        raise DataError(f"unknown loss {context.loss!r}; expected one of {', '.join(CURVED)}")
    output = batch.output.value
    if output.ndim != 2:
        raise ShapeError(f"curvature takes a network's output of shape (N, K), got {output.shape}; end with Flatten")
    curved = CURVED[context.loss]
    return {name: curved(J, output) / 2 for name, J in gate_jacobians(batch).items()}


class Curvature(Criterion):
    r"""The second-order change of the loss on removal, by Gauss–Newton: $\frac{1}{2N}\sum_n J_n^\top H_n J_n$.

    $J_{nk}$ is the gradient of output k by the gate, $\sum_p a_{njp}\, \partial y_{nk} / \partial a_{njp}$, and $H_n$
    the second derivative of the loss by the output: diag(p) − p pᵀ for cross-entropy, 1 for half the squared error,
    2/K for mse. Summed over places and over layers that read the neuron inside the square, averaged over samples
    outside, and never negative. Labels are not used; without them name the loss. It costs one walk back per output.

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
    behind itself, as in a residual stream: a path with the gate on it twice is quadratic in it.

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
