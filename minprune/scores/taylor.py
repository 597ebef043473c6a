r"""First-order estimates of what removing a neuron, or a weight, costs.

With a gate $m_j$ on the neuron, $\ell(m_j = 0) \approx \ell(1) - \partial\ell/\partial m_j$, and that derivative is
$\sum a\,\partial\ell/\partial a$ over the places where the neuron is read. A gate on a single weight has the
derivative $w\,\partial\ell/\partial w$.
"""

from __future__ import annotations

import numpy as np

from ..ops import Array
from .base import Context, Vector
from .gates import GateCriterion, GateGradients, GateSums
from .weights import weight_effects


class Taylor(GateCriterion):
    r"""The size of the first-order change of the loss on removal.

    $I_j = \frac{1}{N}\sum_n |\sum_p a_{njp}\, \partial\ell_n/\partial a_{njp}|$.

    The sum over places is inside the modulus, the mean over samples outside. Of a single weight
    $\frac{1}{N}\sum_n |w\, \partial\ell_n/\partial w|$.

    Notes
    -----
    Source: Molchanov et al. 2017, *Pruning convolutional neural networks for resource efficient inference*, equation 7
    (there the mean over places); Mozer and Smolensky 1989 without the modulus per sample.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 1.0]]  # y = 3 · 2 + 1 · 1 for both
    >>> data = ([[1.0], [1.0]], [[5.0], [8.0]])  # so y − t is 2 and −1: a ∂ℓ/∂a is (12, 2) and (−6, −1)
    >>> mp.score(net, data, "taylor", loss="half_squared_error")["dense1"]
    array([9. , 1.5])
    """

    name = "taylor"
    moment = "|a s|"
    formula = r"I_j = \frac{1}{N} \sum_n \left| \sum_p a_{njp}\, \partial \ell_n / \partial a_{njp} \right|"
    source = "Molchanov et al. 2017, eq. 7; spec B3"

    def sample(self, gradients: GateGradients | GateSums) -> Array:
        """|Σ a g|."""
        return np.abs(gradients.effect)

    def score_weights(self, context: Context) -> dict[str, Array]:
        """Mean |w g|."""
        return weight_effects(context, np.abs)


class TaylorSigned(GateCriterion):
    r"""The first-order change of the loss on removal, with its sign.

    $I_j = -\frac{1}{N}\sum_n \sum_p a_{njp}\, \partial\ell_n/\partial a_{njp}$.

    A neuron whose removal should lower the loss has a negative score and goes first. Of a single weight
    $-\frac{1}{N}\sum_n w\, \partial\ell_n/\partial w$.

    Notes
    -----
    Source: Mozer and Smolensky 1989, *Skeletonization*, equation 3.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 1.0]]  # y = 3 · 2 + 1 · 1 for both
    >>> data = ([[1.0], [1.0]], [[5.0], [8.0]])  # so y − t is 2 and −1: a ∂ℓ/∂a is (12, 2) and (−6, −1)
    >>> mp.score(net, data, "taylor_signed", loss="half_squared_error")["dense1"]
    array([-3. , -0.5])
    """

    name = "taylor_signed"
    moment = "-a s"
    formula = r"I_j = -\frac{1}{N} \sum_n \sum_p a_{njp}\, \partial \ell_n / \partial a_{njp}"
    source = "Mozer and Smolensky 1989, eq. 3"

    def sample(self, gradients: GateGradients | GateSums) -> Array:
        """−Σ a g."""
        return -gradients.effect

    def score_weights(self, context: Context) -> dict[str, Array]:
        """−mean w g."""
        return {name: self.finish(-mean) for name, mean in weight_effects(context, np.positive).items()}


class TaylorMean(TaylorSigned):
    r"""The modulus of the mean first-order change: $|\frac{1}{N}\sum_n \sum_p a\, \partial\ell/\partial a|$.

    At a minimum of the training loss effects of opposite sign cancel; `taylor` does not let them. Of a single weight
    $|w\, \partial L/\partial w|$.

    Notes
    -----
    Source: Mozer and Smolensky 1989, *Skeletonization*; compare spec B3.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 1.0]]  # y = 3 · 2 + 1 · 1 for both
    >>> data = ([[1.0], [1.0]], [[5.0], [8.0]])  # so y − t is 2 and −1: a ∂ℓ/∂a is (12, 2) and (−6, −1)
    >>> mp.score(net, data, "taylor_mean", loss="half_squared_error")["dense1"]
    array([3. , 0.5])
    """

    name = "taylor_mean"
    formula = r"I_j = \left| \frac{1}{N} \sum_n \sum_p a_{njp}\, \partial \ell_n / \partial a_{njp} \right|"
    source = "Mozer and Smolensky 1989"

    def finish(self, mean: Vector) -> Vector:
        """|mean|."""
        return np.abs(mean)


class TaylorSquared(GateCriterion):
    r"""The mean square of the first-order change of the loss on removal.

    $I_j = \frac{1}{N}\sum_n (\sum_p a_{njp}\, \partial\ell_n/\partial a_{njp})^2$.

    The sum over places is inside the square, the mean over samples outside. Of a single weight
    $\frac{1}{N}\sum_n (w\, \partial\ell_n/\partial w)^2$.

    Notes
    -----
    Source: Molchanov et al. 2019, *Importance estimation for neural network pruning*, section 3.1: the squared gradient
    by a gate. Their code squares the gradient of the mean loss of a batch, so that its result depends on the batch
    size; here every sample is squared by itself.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 1.0]]  # y = 3 · 2 + 1 · 1 for both
    >>> data = ([[1.0], [1.0]], [[5.0], [8.0]])  # so y − t is 2 and −1: a ∂ℓ/∂a is (12, 2) and (−6, −1)
    >>> mp.score(net, data, "taylor_squared", loss="half_squared_error")["dense1"]
    array([90. ,  2.5])
    """

    name = "taylor_squared"
    moment = "(a s)²"
    formula = r"I_j = \frac{1}{N} \sum_n \left( \sum_p a_{njp}\, \partial \ell_n / \partial a_{njp} \right)^2"
    source = "Molchanov et al. 2019, section 3.1, per sample"

    def sample(self, gradients: GateGradients | GateSums) -> Array:
        """(Σ a g)²."""
        return gradients.effect**2

    def score_weights(self, context: Context) -> dict[str, Array]:
        """Mean (w g)²."""
        return {name: self.finish(mean) for name, mean in weight_effects(context, np.square).items()}


class Fisher(TaylorSquared):
    r"""Half the mean square of the first-order change; ranks exactly like `taylor_squared`.

    $I_j = \frac{1}{2N}\sum_n (\sum_p a_{njp}\, \partial\ell_n/\partial a_{njp})^2$.

    The second-order change of the loss, with the empirical Fisher information (of the labels given) in the place of the
    Hessian. `curvature` takes the Fisher information of the labels that the network expects, which for cross-entropy is
    the Gauss–Newton Hessian.

    Notes
    -----
    Source: Theis et al. 2018, *Faster gaze prediction with dense networks and Fisher pruning*: the pruning signal of a
    feature map.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.Dense(2, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[2.0], [1.0]], [[3.0, 1.0]]  # y = 3 · 2 + 1 · 1 for both
    >>> data = ([[1.0], [1.0]], [[5.0], [8.0]])  # so y − t is 2 and −1: a ∂ℓ/∂a is (12, 2) and (−6, −1)
    >>> mp.score(net, data, "fisher", loss="half_squared_error")["dense1"]
    array([45.  ,  1.25])
    """

    name = "fisher"
    formula = r"I_j = \frac{1}{2N} \sum_n \left( \sum_p a_{njp}\, \partial \ell_n / \partial a_{njp} \right)^2"
    source = "Theis et al. 2018"

    def finish(self, mean: Vector) -> Vector:
        """Half the mean."""
        return mean / 2
