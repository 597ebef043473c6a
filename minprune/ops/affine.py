"""The weighted sum: what a layer of neurons computes before its activation (spec B1)."""

from __future__ import annotations

from ..backends import accelerable
from .op import Array, Call, Op, Term, rule


@accelerable
def affine(x: Array, W: Array, b: Array | None) -> Array:
    """Compute ``x Wᵀ + b``: x (N, I), W (J, I), b (J,) -> (N, J)."""
    z = x @ W.T  # (N,I)(I,J) -> (N,J)
    return z if b is None else z + b


@accelerable
def affine_grad_x(g: Array, W: Array) -> Array:
    """Send g (N, J) back through the weights: W (J, I) -> (N, I)."""
    return g @ W  # (N,J)(J,I) -> (N,I)


@accelerable
def affine_grad_W(g: Array, x: Array) -> Array:
    """Sum over the samples what g (N, J) says of each weight: x (N, I) -> (J, I)."""
    return g.T @ x  # (J,N)(N,I) -> (J,I)


class Affine(Op):
    r"""Every neuron's weighted sum of the inputs, plus its bias.

    $z = x W^\top + b$. Row j of W feeds neuron j, so ``z_j = Σ_i W_ji x_i + b_j`` for one sample.

    Source: spec B1 (document 4.1.1).

    Examples
    --------
    >>> import numpy as np
    >>> from minprune.tensor import apply
    >>> apply(Affine, np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([5.0]))
    array([[16.]])
    """

    name = "affine"
    args = ("x", "W", "b")
    formula = r"z = x W^\top + b"
    shapes = "x (N, I), W (J, I), b (J,) -> z (N, J)"

    def forward(c: Call) -> Array:
        return affine(c.x, c.W, c.b)

    @rule(r"\bar{x} = g\, W")
    def grad_x(c: Call, g: Array) -> Array:
        return affine_grad_x(g, c.W)  # (N,J)(J,I) -> (N,I)

    @rule(r"\bar{W} = g^\top x")
    def grad_W(c: Call, g: Array) -> Array:
        return affine_grad_W(g, c.x)  # (J,N)(N,I) -> (J,I)

    @rule(r"\bar{b} = \sum_n g_n")
    def grad_b(c: Call, g: Array) -> Array:
        return g.sum(axis=0)  # (N,J) -> (J,)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        n, j = index
        products = [Term(rf"W_{{{j},{i}}} x_{{{i}}}", (c.W[j, i], c.x[n, i])) for i in range(c.x.shape[1])]
        return products if c.b is None else [*products, Term(rf"b_{{{j}}}", (c.b[j],))]
