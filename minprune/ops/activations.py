"""Activations: the f of ``o = f(z)`` (spec B1)."""

from __future__ import annotations

import numpy as np

from ..backends import accelerable
from .op import Array, Call, Op, Term, exact, real, rule


def sigmoid(x: Array) -> Array:
    """Compute 1 / (1 + e^−x) without overflow: e is only ever raised to a power whose real part is ≤ 0."""
    small = np.exp(np.where(real(x) < 0, x, -x))
    return np.where(real(x) < 0, small, 1) / (1 + small)


@accelerable
def relu_grad(g: Array, x: Array) -> Array:
    """Let g through where x is above 0."""
    return g * (real(x) > 0)


def softmax(x: Array) -> Array:
    """Compute e^x / Σ e^x along axis 1; the largest entry is subtracted first, which changes nothing but overflow."""
    powers = np.exp(x - real(x).max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _entry(index: tuple[int, ...]) -> str:
    return f"{{{','.join(map(str, index[1:]))}}}"


class ReLU(Op):
    r"""Let positive values through.

    $y = \max(x, 0)$.

    Source: Nair and Hinton 2010, *Rectified linear units improve restricted Boltzmann machines*.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(ReLU, np.array([[-1.0, 2.0]]))
    array([[0., 2.]])
    """

    name = "relu"
    args = ("x",)
    formula = r"y = x\,[x > 0]"
    shapes = "x (N, …) -> y (N, …)"
    kink = "at x = 0 the slope is 0"

    def forward(c: Call) -> Array:
        if c.x.dtype.kind == "c":
            return np.where(real(c.x) > 0, c.x, 0)
        zero = exact(0) if c.x.dtype == object else 0  # a plain 0 among rationals makes a later mean a float
        return np.maximum(c.x, zero)  # hands NaN on, where a comparison would hide it

    @rule(r"\bar{x} = g\,[x > 0]")
    def grad_x(c: Call, g: Array) -> Array:
        return relu_grad(g, c.x)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        x = f"x_{_entry(index)}"
        return [Term(rf"{x}\,[{x} > 0]", (c.x[index], int(real(c.x)[index] > 0)), {x: c.x[index]})]


class LeakyReLU(Op):
    r"""Let positive values through and shrink the others.

    $y = x$ for $x > 0$, else $y = \alpha x$.

    Source: Maas, Hannun and Ng 2013, *Rectifier nonlinearities improve neural network acoustic models*, equation 2.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(LeakyReLU, np.array([[-1.0, 2.0]]), slope=0.125)
    array([[-0.125,  2.   ]])
    """

    name = "leaky_relu"
    args = ("x",)
    options = {"slope": 0.01}
    formula = r"y = x\,([x > 0] + \alpha\,[x \leq 0])"
    shapes = "x (N, …) -> y (N, …)"
    kink = "at x = 0 the slope is α"

    def forward(c: Call) -> Array:
        return np.where(real(c.x) > 0, c.x, c.x * _slope(c))

    @rule(r"\bar{x} = g\,([x > 0] + \alpha\,[x \leq 0])")
    def grad_x(c: Call, g: Array) -> Array:
        return np.where(real(c.x) > 0, g, g * _slope(c))

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        x, factor = f"x_{_entry(index)}", 1 if real(c.x)[index] > 0 else _slope(c)
        letters = {x: c.x[index], r"\alpha": c.slope}
        return [Term(rf"{x}\,([{x} > 0] + \alpha\,[{x} \leq 0])", (c.x[index], factor), letters)]


def _slope(c: Call) -> object:
    """The slope as a plain number, so that float32 stays float32; among rationals as a rational, so that they stay."""
    from fractions import Fraction

    return Fraction(c.slope) if c.x.dtype == object else float(c.slope)


class Sigmoid(Op):
    r"""Squash to the interval (0, 1).

    $y = \sigma(x) = 1 / (1 + e^{-x})$; note that σ(0) = ½, so a masked neuron is gated after its activation.

    Source: Rumelhart, Hinton and Williams 1986, *Learning representations by back-propagating errors*, equation 2.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Sigmoid, np.array([[0.0, -800.0]]))
    array([[0.5, 0. ]])
    """

    name = "sigmoid"
    args = ("x",)
    formula = r"y = \sigma(x) = \frac{1}{1 + e^{-x}}"
    shapes = "x (N, …) -> y (N, …)"
    exact = False

    def forward(c: Call) -> Array:
        return sigmoid(c.x)

    @rule(r"\bar{x} = g\, y (1 - y)")
    def grad_x(c: Call, g: Array) -> Array:
        return g * c.out * (1 - c.out)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        return [Term(rf"\sigma(x_{_entry(index)})", (c.out[index],), {f"x_{_entry(index)}": c.x[index]})]


class Tanh(Op):
    r"""Squash to the interval (−1, 1).

    $y = \tanh(x)$.

    Source: LeCun et al. 1998, *Efficient backprop*, section 4.4 (there scaled).

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Tanh, np.array([[0.0]]))
    array([[0.]])
    """

    name = "tanh"
    args = ("x",)
    formula = r"y = \tanh(x)"
    shapes = "x (N, …) -> y (N, …)"
    exact = False

    def forward(c: Call) -> Array:
        return np.tanh(c.x)

    @rule(r"\bar{x} = g\,(1 - y^2)")
    def grad_x(c: Call, g: Array) -> Array:
        return g * (1 - c.out * c.out)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        return [Term(rf"\tanh(x_{_entry(index)})", (c.out[index],), {f"x_{_entry(index)}": c.x[index]})]


class Softmax(Op):
    r"""Turn scores into positive shares that sum to one, along axis 1.

    $y_k = e^{x_k} / \sum_l e^{x_l}$. It ties the neurons of its input together: take one away and all others change.

    Source: Bridle 1990, *Probabilistic interpretation of feedforward classification network outputs*.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Softmax, np.array([[1.0, 1.0]]))
    array([[0.5, 0.5]])
    """

    name = "softmax"
    args = ("x",)
    formula = r"y_k = \frac{e^{x_k}}{\sum_l e^{x_l}}"
    shapes = "x (N, C, …) -> y (N, C, …)"
    exact = False

    def forward(c: Call) -> Array:
        return softmax(c.x)

    @rule(r"\bar{x}_k = y_k\, (g_k - \sum_l g_l y_l)")
    def grad_x(c: Call, g: Array) -> Array:
        return c.out * (g - (g * c.out).sum(axis=1, keepdims=True))

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        n, k, *place = index
        scores = c.x[(n, slice(None), *place)]
        powers = np.exp(scores - real(scores).max())
        letters = {f"x_{_entry((n, i, *place))}": score for i, score in enumerate(scores)}
        below = " + ".join(f"e^{{{x}}}" for x in letters)
        return [Term(f"e^{{{list(letters)[k]}}} / ({below})", (powers[k], 1 / powers.sum()), letters)]
