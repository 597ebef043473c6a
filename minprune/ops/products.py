"""Products of two computed matrices, and powers."""

from __future__ import annotations

import numpy as np

from .op import Array, Call, Op, Term, rule, sum_to_shape


class MatMul(Op):
    r"""Multiply two matrices of every sample.

    $y = a\, b$ over the last two axes; axes before them belong together, or one has size 1 and serves all.

    Source: Vaswani et al. 2017, *Attention is all you need*, equation 1, where queries meet keys.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(MatMul, np.array([[[1.0, 2.0]]]), np.array([[[3.0], [4.0]]]))
    array([[[11.]]])
    """

    name = "matmul"
    args = ("a", "b")
    formula = r"y_{ij} = \sum_k a_{ik}\, b_{kj}"
    shapes = "a (N, …, I, K), b (N, …, K, J) -> y (N, …, I, J)"

    def forward(c: Call) -> Array:
        return c.a @ c.b

    @rule(r"\bar{a} = g\, b^\top")
    def grad_a(c: Call, g: Array) -> Array:
        return sum_to_shape(g @ c.b.swapaxes(-1, -2), c.a.shape)  # (I,J)(J,K) -> (I,K)

    @rule(r"\bar{b} = a^\top g")
    def grad_b(c: Call, g: Array) -> Array:
        return sum_to_shape(c.a.swapaxes(-1, -2) @ g, c.b.shape)  # (K,I)(I,J) -> (K,J)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        *front, i, j = index
        row, column = (np.broadcast_to(v, (*c.out.shape[:-2], *v.shape[-2:]))[tuple(front)] for v in (c.a, c.b))
        where = "".join(f"{place}," for place in front[1:])
        return [
            Term(f"a_{{{where}{i},{k}}} b_{{{where}{k},{j}}}", (row[i, k], column[k, j])) for k in range(row.shape[1])
        ]


class Power(Op):
    r"""Raise to a constant power.

    $y = x^p$; a root with $p = \frac{1}{2}$, an inverse with $p = -1$. It learns nothing.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Power, np.array([[4.0, 9.0]]), np.array([0.5, -1.0])).round(4)
    array([[2.    , 0.1111]])
    """

    name = "power"
    args = ("x", "p")
    constants = ("p",)
    formula = r"y = x^p"
    shapes = "x (N, …), p (…) -> y (N, …)"
    exact = False

    def forward(c: Call) -> Array:
        return c.x**c.p

    @rule(r"\bar{x} = g\, p\, x^{p - 1}")
    def grad_x(c: Call, g: Array) -> Array:
        return g * c.p * c.x ** (c.p - 1)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        x, p = c.x[index], np.broadcast_to(c.p, c.out.shape)[index]
        label = f"x_{{{','.join(map(str, index[1:]))}}}" if index[1:] else "x"
        return [Term(f"{label}^p", (c.out[index],), {label: x, "p": p})]
