r"""The Hessian of the mean loss by all weights times a vector, exactly, without the Hessian.

$H v = \frac{d}{dt} \nabla L(w + t v)$ at t = 0. A difference quotient of gradients would answer with rounding errors,
and wrongly where a ReLU changes sides on the way. But a gradient is a formula like any other, and its derivative can be
taken by a complex step: $H v = \mathrm{Im}\, \nabla L(w + i \varepsilon v) / \varepsilon$. Nothing is subtracted, so ε
can be as small as one likes; and no kink is met, since these look at real parts.
"""

# mypy: disable-error-code="misc"
# An op's methods are static (made so when the class is checked): their first argument is the call, not self.

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..ops import Array, Call, Op, Term, rule
from ..progress import track
from ..tensor import Tape, apply, backward
from .base import Context
from .gates import sample_losses
from .weights import batch_mean

STEP = 1e-30


class RealPart(Op):
    r"""The real part of a loss, from where a walk back can start although the numbers behind it are complex.

    $y = \mathrm{Re}\, x$. What goes back is the derivative of the complex formula itself, a complex number.

    Source: Squire and Trapp 1998, *Using complex variables to estimate derivatives of real functions*.
    """

    name = "real_part"
    args = ("x",)
    formula = r"y = \mathrm{Re}\, x"
    shapes = "x (N,) complex -> y (N,)"
    exact = False

    def forward(c: Call) -> Array:
        """Re x."""
        return c.x.real

    @rule(r"\bar{x} = g")
    def grad_x(c: Call, g: Array) -> Array:
        """Hand g on, as a complex number."""
        return g.astype(c.x.dtype)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        """Re x."""
        return [Term(rf"\mathrm{{Re}}\, x_{{{index[0]}}}", (c.x[index].real,))]


def hessian_times(context: Context, direction: Mapping[str, Array]) -> dict[str, Array]:
    r"""$\nabla^2 L\, v$ by the weights of `context.weights`, for a direction v of their shapes.

    Parameters
    ----------
    context : Context
        Network, data and loss.
    direction : mapping
        Parameter -> array of its shape; for every parameter of `context.weights`.

    Returns
    -------
    dict
        Parameter -> float64 array of its shape.

    Notes
    -----
    A weight on which v is 0 does not move, yet has its entry of H v. The derivatives of a network that is piecewise
    linear are those of the piece on which it stands.

    Source: Pearlmutter 1994, *Fast exact multiplication by the Hessian*, there by another rule; Squire and Trapp 1998.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 1, bias=False), dtype=np.float64)
    >>> data = np.array([[1.0, 2.0]]), np.array([[0.0]])  # ℓ = ½ (w₁ + 2 w₂)², H = [[1, 2], [2, 4]]
    >>> context = Context(net, (), *data, "half_squared_error", 1, np.random.default_rng(0), False, ("dense1.W",))
    >>> hessian_times(context, {"dense1.W": np.array([[1.0, 1.0]])})
    {'dense1.W': array([[3., 6.]])}
    """
    moved = context.net.astype(np.complex128)
    for name in context.weights:
        moved.params[name] = moved.params[name] + 1j * STEP * direction[name]
    return batch_mean(context, _by_batch(replace(context, net=moved)))


def _by_batch(context: Context) -> Iterator[dict[str, Array]]:
    """Im ∇ / ε of the losses of every batch, summed over its samples."""
    net = context.net
    count = -(-context.count // context.batch_size)
    for x, y in track(context.batches(), "second derivatives", show=context.progress, total=count):
        tape = Tape()
        weights = {name: tape.watch(net.params[name]) for name in context.weights}
        arrays: dict[str, Any] = {**net.arrays, **weights}
        losses = apply(RealPart, sample_losses(context, y, net.run(net.take(x), arrays)[net.output]))
        bars = backward(losses, np.ones_like(losses.value), wrt=weights.values())
        yield {name: bars[weight].imag / STEP for name, weight in weights.items()}
