"""More activations, as other libraries' networks have them: clipped, smoothed, with a slope of their own."""

from __future__ import annotations

from fractions import Fraction
from math import erf as erf_of_one
from math import pi, sqrt
from typing import Any

import numpy as np

from .op import Array, Call, Op, Term, along_channels, real, rule

LARGEST = 3.4028234663852886e38  # of float32: as far as a clip reaches that has no end


def erf(x: Array) -> Array:
    r"""Compute $\mathrm{erf}(x) = \frac{2}{\sqrt{\pi}} \int_0^x e^{-t^2} dt$.

    Real numbers one by one by the C library, right to the last place. Complex ones, of which only a complex step makes
    use, by the power series $\frac{2}{\sqrt{\pi}} \sum_n \frac{(-1)^n x^{2n+1}}{n!\,(2n+1)}$ near 0, where it does not
    lose digits, and elsewhere by the continued fraction of 1 − erf (Abramowitz and Stegun 1964, *Handbook of
    mathematical functions*, 7.1.5 and 7.1.14).

    Examples
    --------
    >>> erf(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.8427])
    """
    if x.dtype.kind != "c":
        return np.asarray(np.frompyfunc(erf_of_one, 1, 1)(x), dtype=np.result_type(x.dtype, np.float16))
    near = np.abs(x) < 2
    return np.where(near, _series(np.where(near, x, 0)), _fraction(np.where(near, 2, x))).astype(x.dtype)


def _series(x: Array) -> Array:
    power, total = x, x
    for n in range(1, 40):
        power = power * (-x * x) / n
        total = total + power / (2 * n + 1)
    return total * (2 / sqrt(pi))


def _fraction(x: Array) -> Array:
    """1 − e^−x² / √π · 1/(x + ½/(x + 1/(x + (3/2)/(x + …)))) for numbers right of 0; erf is odd."""
    sign = np.where(x.real < 0, -1, 1)
    x = x * sign
    below = x
    for n in range(120, 0, -1):
        below = x + n / 2 / below
    return sign * (1 - np.exp(-x * x) / sqrt(pi) / below)


def _entry(index: tuple[int, ...]) -> str:
    return f"x_{{{','.join(map(str, index[1:]))}}}"


def _number(x: Array, value: float) -> Any:
    """A setting as a plain number, so that float32 stays float32; among rationals as a rational."""
    if x.dtype == object:
        return Fraction(value)
    most = float(np.finfo(x.dtype).max) if x.dtype.kind == "f" else np.inf  # no float16 holds the largest float32
    return min(max(float(value), -most), most)


class PReLU(Op):
    r"""Let positive values through and shrink the others, each channel by a factor that it learns.

    $y = x$ for $x > 0$, else $y = a_j x$.

    Source: He et al. 2015, *Delving deep into rectifiers*, equation 1.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(PReLU, np.array([[-1.0, -1.0]]), np.array([0.5, 0.0]))
    array([[-0.5, -0. ]])
    """

    name = "prelu"
    args = ("x", "a")
    formula = r"y = x\,([x > 0] + a_j\,[x \leq 0])"
    shapes = "x (N, C, …), a (C,) -> y (N, C, …)"
    kink = "at x = 0 the slope is a"

    def forward(c: Call) -> Array:
        return np.where(real(c.x) > 0, c.x, c.x * along_channels(c.a, c.x.ndim))

    @rule(r"\bar{x} = g\,([x > 0] + a_j\,[x \leq 0])")
    def grad_x(c: Call, g: Array) -> Array:
        return np.where(real(c.x) > 0, g, g * along_channels(c.a, c.x.ndim))

    @rule(r"\bar{a}_j = \sum_{n,p} g\, x\,[x \leq 0]")
    def grad_a(c: Call, g: Array) -> Array:
        return (g * c.x * (real(c.x) <= 0)).sum(axis=(0, *range(2, c.x.ndim)))  # (N,C,…) -> (C,)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        factor = 1 if real(c.x)[index] > 0 else c.a[index[1]]
        return [Term(rf"{_entry(index)}\,([x > 0] + a_{{{index[1]}}}\,[x \leq 0])", (c.x[index], factor))]


class Clip(Op):
    r"""Cut off what lies outside of an interval. With 0 and 6 it is ReLU6.

    $y = \min(\max(x, l), u)$.

    Source: Krizhevsky 2010, *Convolutional deep belief networks on CIFAR-10*, section 4 (for 0 and 6).

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Clip, np.array([[-1.0, 2.0, 9.0]]), low=0.0, high=6.0)
    array([[0., 2., 6.]])
    """

    name = "clip"
    args = ("x",)
    options = {"low": -LARGEST, "high": LARGEST}
    formula = r"y = \min(\max(x, l), u)"
    shapes = "x (N, …) -> y (N, …)"
    kink = "at both ends the slope is 0"

    def forward(c: Call) -> Array:
        if c.x.dtype.kind == "c":
            return np.where(_inside(c), c.x, np.clip(real(c.x), c.low, c.high))
        return np.minimum(np.maximum(c.x, _number(c.x, c.low)), _number(c.x, c.high))

    @rule(r"\bar{x} = g\,[l < x < u]")
    def grad_x(c: Call, g: Array) -> Array:
        return g * _inside(c)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        return [Term(rf"\min(\max({_entry(index)}, l), u)", (c.out[index],))]


def _inside(c: Call) -> Array:
    return (real(c.x) > c.low) & (real(c.x) < c.high)


class HardSigmoid(Op):
    r"""A sigmoid made of straight lines.

    $y = \min(\max(\alpha x + \beta, 0), 1)$.

    Source: Courbariaux, Bengio and David 2015, *BinaryConnect*, equation 3 (there α = β = ½).

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(HardSigmoid, np.array([[-9.0, 1.0, 9.0]]), slope=0.25)
    array([[0.  , 0.75, 1.  ]])
    """

    name = "hard_sigmoid"
    args = ("x",)
    options = {"slope": 0.2, "offset": 0.5}
    formula = r"y = \min(\max(\alpha x + \beta, 0), 1)"
    shapes = "x (N, …) -> y (N, …)"
    kink = "at both ends the slope is 0"

    def forward(c: Call) -> Array:
        line = _line(c)
        if c.x.dtype.kind == "c":
            return np.where(_rising(c), line, np.clip(real(line), 0, 1))
        return np.minimum(np.maximum(line, _number(c.x, 0)), _number(c.x, 1))

    @rule(r"\bar{x} = \alpha\, g\,[0 < \alpha x + \beta < 1]")
    def grad_x(c: Call, g: Array) -> Array:
        return g * _number(c.x, c.slope) * _rising(c)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        return [Term(rf"\min(\max(\alpha\, {_entry(index)} + \beta, 0), 1)", (c.out[index],))]


def _line(c: Call) -> Array:
    return c.x * _number(c.x, c.slope) + _number(c.x, c.offset)


def _rising(c: Call) -> Array:
    line = real(_line(c))
    return (line > 0) & (line < 1)


class ELU(Op):
    r"""Let positive values through and bend the others towards −α; scaled by γ, with the right two numbers, SELU.

    $y = \gamma x$ for $x > 0$, else $y = \gamma \alpha (e^x - 1)$.

    Source: Clevert, Unterthiner and Hochreiter 2016, *Fast and accurate deep network learning by exponential linear
    units (ELUs)*; Klambauer et al. 2017, *Self-normalizing neural networks*, equation 2.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(ELU, np.array([[-800.0, 2.0]]))
    array([[-1.,  2.]])
    """

    name = "elu"
    args = ("x",)
    options = {"alpha": 1.0, "gamma": 1.0}
    formula = r"y = \gamma\,(x\,[x > 0] + \alpha\,(e^x - 1)\,[x \leq 0])"
    shapes = "x (N, …) -> y (N, …)"
    kink = "at x = 0 the slope is γ α"
    exact = False

    def forward(c: Call) -> Array:
        bent = np.expm1(np.where(real(c.x) > 0, 0, c.x))  # e^x of a large x would overflow
        return float(c.gamma) * np.where(real(c.x) > 0, c.x, float(c.alpha) * bent)

    @rule(r"\bar{x} = \gamma\, g\,([x > 0] + \alpha\, e^x\,[x \leq 0])")
    def grad_x(c: Call, g: Array) -> Array:
        slope = float(c.alpha) * np.exp(np.where(real(c.x) > 0, 0, c.x))
        return float(c.gamma) * np.where(real(c.x) > 0, g, g * slope)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        return [Term(rf"\mathrm{{elu}}({_entry(index)})", (c.out[index],))]


class GELU(Op):
    r"""Let a value through as far as the normal distribution lies below it.

    $y = x\, \Phi(x) = \frac{x}{2} \left(1 + \mathrm{erf}(x / \sqrt{2})\right)$.

    Source: Hendrycks and Gimpel 2016, *Gaussian error linear units (GELUs)*, section 2.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(GELU, np.array([[0.0, 9.0]]))
    array([[0., 9.]])
    """

    name = "gelu"
    args = ("x",)
    formula = r"y = x\, \Phi(x) = \frac{x}{2} (1 + \mathrm{erf}(x / \sqrt{2}))"
    shapes = "x (N, …) -> y (N, …)"
    exact = False

    def forward(c: Call) -> Array:
        return c.x * _below(c.x)

    @rule(r"\bar{x} = g\,(\Phi(x) + x\, e^{-x^2/2} / \sqrt{2 \pi})")
    def grad_x(c: Call, g: Array) -> Array:
        return g * (_below(c.x) + c.x * np.exp(-c.x * c.x / 2) / sqrt(2 * pi))

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        return [Term(rf"{_entry(index)}\, \Phi({_entry(index)})", (c.x[index], _below(c.x)[index]))]


def _below(x: Array) -> Array:
    """Φ(x)."""
    return (1 + erf(x / sqrt(2))) / 2


class Erf(Op):
    r"""The error function: other libraries make the GELU of it.

    $y = \mathrm{erf}(x) = \frac{2}{\sqrt{\pi}} \int_0^x e^{-t^2} dt$.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Erf, np.array([[0.0, 9.0]]))
    array([[0., 1.]])
    """

    name = "erf"
    args = ("x",)
    formula = r"y = \mathrm{erf}(x)"
    shapes = "x (N, …) -> y (N, …)"
    exact = False

    def forward(c: Call) -> Array:
        return erf(c.x)

    @rule(r"\bar{x} = \frac{2}{\sqrt{\pi}}\, g\, e^{-x^2}")
    def grad_x(c: Call, g: Array) -> Array:
        return g * np.exp(-c.x * c.x) * (2 / sqrt(pi))

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        return [Term(rf"\mathrm{{erf}}({_entry(index)})", (c.out[index],))]


class Softplus(Op):
    r"""A ReLU without its corner.

    $y = \log(1 + e^x)$.

    Source: Dugas et al. 2001, *Incorporating second-order functional knowledge for better option pricing*.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Softplus, np.array([[-800.0, 800.0]]))
    array([[  0., 800.]])
    """

    name = "softplus"
    args = ("x",)
    formula = r"y = \log(1 + e^x)"
    shapes = "x (N, …) -> y (N, …)"
    exact = False

    def forward(c: Call) -> Array:
        towards = np.where(real(c.x) > 0, -c.x, c.x)  # log(1 + e^x) = x + log(1 + e^−x)
        return np.where(real(c.x) > 0, c.x, 0) + np.log1p(np.exp(towards))

    @rule(r"\bar{x} = g\, \sigma(x) = g\,(1 - e^{-y})")
    def grad_x(c: Call, g: Array) -> Array:
        return -g * np.expm1(-c.out)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        return [Term(rf"\log(1 + e^{{{_entry(index)}}})", (c.out[index],))]


class LogSoftmax(Op):
    r"""The logarithm of the shares that a softmax gives, along axis 1.

    $y_k = x_k - \log \sum_l e^{x_l}$. It ties the neurons of its input together: take one away and all others change.

    Source: Bridle 1990, *Probabilistic interpretation of feedforward classification network outputs* (the softmax).

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(LogSoftmax, np.array([[-800.0, -800.0]])).round(2)
    array([[-0.69, -0.69]])
    """

    name = "log_softmax"
    args = ("x",)
    formula = r"y_k = x_k - \log \sum_l e^{x_l}"
    shapes = "x (N, C, …) -> y (N, C, …)"
    exact = False

    def forward(c: Call) -> Array:
        below = c.x - real(c.x).max(axis=1, keepdims=True)
        return below - np.log(np.exp(below).sum(axis=1, keepdims=True))

    @rule(r"\bar{x}_k = g_k - e^{y_k} \sum_l g_l")
    def grad_x(c: Call, g: Array) -> Array:
        return g - np.exp(c.out) * g.sum(axis=1, keepdims=True)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        x, y = c.x[index], c.out[index]
        return [Term(f"x_{{{index[1]}}}", (x,)), Term(r"-\log \sum_l e^{x_l}", (y - x,))]
