"""Batch normalisation: with the batch's own statistics in training, with stored ones afterwards."""

from __future__ import annotations

from math import prod

import numpy as np

from .op import Array, Call, Op, Term, along_channels, rule


def batch_statistics(x: Array) -> tuple[Array, Array]:
    """Mean and (biased) variance of every channel over samples and places: x (N, C, …) -> (C,), (C,)."""
    axes = (0, *range(2, x.ndim))
    mean = x.mean(axis=axes)
    centred = x - along_channels(mean, x.ndim)
    return mean, (centred * centred).mean(axis=axes)


def _normalised(x: Array, mean: Array, var: Array, epsilon: float) -> tuple[Array, Array]:
    """x̂ and 1/σ, the latter shaped to broadcast along the channels."""
    inverse = along_channels(1 / np.sqrt(var + float(epsilon)), x.ndim)
    return (x - along_channels(mean, x.ndim)) * inverse, inverse


def _sum_channels(g: Array) -> Array:
    return g.sum(axis=(0, *range(2, g.ndim)))  # (N,C,…) -> (C,)


class BatchNormTrain(Op):
    r"""Normalise every channel by the statistics of this batch, then scale and shift it.

    $y = \gamma \hat{x} + \beta$ with $\hat{x} = (x - \mu)/\sqrt{\mathrm{var} + \varepsilon}$, where μ and var are taken
    over the batch and all places: the samples of a batch depend on each other.

    Source: Ioffe and Szegedy 2015, *Batch normalization*, algorithm 1.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(BatchNormTrain, np.array([[1.0], [3.0]]), np.array([2.0]), np.array([5.0]), epsilon=0.0)
    array([[3.],
           [7.]])
    """

    name = "batch_norm_train"
    args = ("x", "gamma", "beta")
    options = {"epsilon": 1e-5}
    formula = r"y = \gamma \hat{x} + \beta, \quad \hat{x} = (x - \mu_B) / \sqrt{\mathrm{var}_B + \varepsilon}"
    shapes = "x (N, C, …), gamma (C,), beta (C,) -> y (N, C, …)"
    exact = False  # the square root

    def forward(c: Call) -> Array:
        hat, _ = _normalised(c.x, *batch_statistics(c.x), c.epsilon)
        return along_channels(c.gamma, c.x.ndim) * hat + along_channels(c.beta, c.x.ndim)

    @rule(
        r"\bar{x} = \frac{\gamma}{\sqrt{\mathrm{var}_B + \varepsilon}}"
        r" \left( g - \mathrm{mean}(g) - \hat{x}\, \mathrm{mean}(g \hat{x}) \right)"
    )
    def grad_x(c: Call, g: Array) -> Array:
        hat, inverse = _normalised(c.x, *batch_statistics(c.x), c.epsilon)
        m = prod(c.x.shape) // c.x.shape[1]  # entries per channel
        mean_g = along_channels(_sum_channels(g) / m, g.ndim)
        mean_gx = along_channels(_sum_channels(g * hat) / m, g.ndim)
        return along_channels(c.gamma, g.ndim) * inverse * (g - mean_g - hat * mean_gx)

    @rule(r"\bar{\gamma} = \sum_{n,p} g\, \hat{x}")
    def grad_gamma(c: Call, g: Array) -> Array:
        hat, _ = _normalised(c.x, *batch_statistics(c.x), c.epsilon)
        return _sum_channels(g * hat)

    @rule(r"\bar{\beta} = \sum_{n,p} g")
    def grad_beta(c: Call, g: Array) -> Array:
        return _sum_channels(g)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        hat, _ = _normalised(c.x, *batch_statistics(c.x), c.epsilon)
        return _norm_terms(c, hat, index)


class BatchNormEval(Op):
    r"""Normalise every channel by stored statistics, then scale and shift it: an affine map per channel.

    $y = \gamma \hat{x} + \beta$ with $\hat{x} = (x - \mu)/\sqrt{\mathrm{var} + \varepsilon}$.

    Source: Ioffe and Szegedy 2015, *Batch normalization*, algorithm 2.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> one = np.array([1.0])
    >>> apply(BatchNormEval, np.array([[3.0]]), 2 * one, 5 * one, one, 4 * one, epsilon=0.0)
    array([[7.]])
    """

    name = "batch_norm_eval"
    args = ("x", "gamma", "beta", "mean", "var")
    constants = ("mean", "var")
    options = {"epsilon": 1e-5}
    formula = r"y = \gamma \hat{x} + \beta, \quad \hat{x} = (x - \mu) / \sqrt{\mathrm{var} + \varepsilon}"
    shapes = "x (N, C, …), gamma, beta, mean, var (C,) -> y (N, C, …)"
    exact = False  # the square root

    def forward(c: Call) -> Array:
        hat, _ = _normalised(c.x, c.mean, c.var, c.epsilon)
        return along_channels(c.gamma, c.x.ndim) * hat + along_channels(c.beta, c.x.ndim)

    @rule(r"\bar{x} = \frac{\gamma}{\sqrt{\mathrm{var} + \varepsilon}}\, g")
    def grad_x(c: Call, g: Array) -> Array:
        _, inverse = _normalised(c.x, c.mean, c.var, c.epsilon)
        return along_channels(c.gamma, g.ndim) * inverse * g

    @rule(r"\bar{\gamma} = \sum_{n,p} g\, \hat{x}")
    def grad_gamma(c: Call, g: Array) -> Array:
        hat, _ = _normalised(c.x, c.mean, c.var, c.epsilon)
        return _sum_channels(g * hat)

    @rule(r"\bar{\beta} = \sum_{n,p} g")
    def grad_beta(c: Call, g: Array) -> Array:
        return _sum_channels(g)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        hat, _ = _normalised(c.x, c.mean, c.var, c.epsilon)
        return _norm_terms(c, hat, index)


def _norm_terms(c: Call, hat: Array, index: tuple[int, ...]) -> list[Term]:
    channel = index[1]
    return [
        Term(rf"\gamma_{{{channel}}} \hat{{x}}_{{{channel}}}", (c.gamma[channel], hat[index])),
        Term(rf"\beta_{{{channel}}}", (c.beta[channel],)),
    ]
