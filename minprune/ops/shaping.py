"""Ops that move, join and scale values: reshape, rearrange, pad, take, add, concat, mul, gate, dropout, mean."""

from __future__ import annotations

from math import prod

import numpy as np

from ..errors import DtypeError
from .op import Array, Call, Op, Term, along_channels, divide, exact, rule, sum_to_shape


def _label(name: str, index: tuple[int, ...]) -> str:
    """How an entry is written; the number of the sample is left out, as everywhere in terms."""
    return f"{name}_{{{','.join(map(str, index[1:]))}}}" if index[1:] else name


def _broadcast_entry(array: Array, shape: tuple[int, ...], index: tuple[int, ...]) -> object:
    return np.broadcast_to(array, shape)[index]


class Reshape(Op):
    r"""Arrange the entries of every sample anew; the batch axis stays.

    $y = \mathrm{reshape}(x)$ in row order: a channel of a flattened image becomes a block of neighbouring features.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Reshape, np.zeros((5, 2, 3)), shape=(6,)).shape
    (5, 6)
    """

    name = "reshape"
    args = ("x",)
    options = {"shape": (-1,)}
    formula = r"y = \mathrm{reshape}(x)"
    shapes = "x (N, …) -> y (N, *shape)"

    def forward(c: Call) -> Array:
        sizes = [int(np.prod(c.x.shape[1:]))] if c.shape == (-1,) else c.shape  # -1 has no answer for an empty batch
        return c.x.reshape(c.x.shape[0], *sizes)

    @rule(r"\bar{x} = \mathrm{reshape}(g)")
    def grad_x(c: Call, g: Array) -> Array:
        return g.reshape(c.x.shape)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        source = np.unravel_index(np.ravel_multi_index(index, c.out.shape), c.x.shape)
        return [Term(_label("x", tuple(map(int, source))), (c.x[source],))]


class Rearrange(Op):
    r"""Exchange the axes of every sample, then arrange its entries anew; the batch axis stays.

    $y = \mathrm{reshape}(x^{\pi})$, where axis i of $x^{\pi}$ is axis $\pi_i$ of x, without the batch axis.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Rearrange, np.array([[[1.0, 2.0], [3.0, 4.0]]]), order=(1, 0), shape=(4,))
    array([[1., 3., 2., 4.]])
    """

    name = "rearrange"
    args = ("x",)
    options = {"order": (0,), "shape": (-1,)}
    formula = r"y = \mathrm{reshape}(x^{\pi})"
    shapes = "x (N, …) -> y (N, *shape)"

    def forward(c: Call) -> Array:
        moved = c.x.transpose(0, *(axis + 1 for axis in c.order))
        return moved.reshape(len(c.x), *filled(c.shape, moved.shape[1:]))

    @rule(r"\bar{x} = \mathrm{reshape}(g)^{\pi^{-1}}")
    def grad_x(c: Call, g: Array) -> Array:
        sizes = [c.x.shape[axis + 1] for axis in c.order]
        back = np.argsort(c.order)
        return g.reshape(len(g), *sizes).transpose(0, *(int(axis) + 1 for axis in back))

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        sizes = [c.x.shape[axis + 1] for axis in c.order]
        moved = np.unravel_index(np.ravel_multi_index(index, c.out.shape), (len(c.x), *sizes))
        source = [int(moved[0]), *(0 for _ in c.order)]
        for place, axis in zip(moved[1:], c.order, strict=True):
            source[axis + 1] = int(place)
        return [Term(_label("x", tuple(source)), (c.x[tuple(source)],))]


def filled(shape: tuple[int, ...], old: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with the number in the place of its -1; NumPy has no answer for an empty batch."""
    rest = prod(size for size in shape if size != -1)
    return tuple(prod(old) // rest if size == -1 else size for size in shape)


class Pad(Op):
    r"""Surround every channel's image with a number, on each side as far as it says.

    $y_{n,c,p} = x_{n,c,p-r}$ inside of the image, else v; r is the border before it.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Pad, np.array([[[1.0, 2.0]]]), before=(1,), after=(0,))
    array([[[0., 1., 2.]]])
    """

    name = "pad"
    args = ("x",)
    options = {"before": (0, 0), "after": (0, 0), "value": 0.0}
    formula = r"y_{n,c,p} = x_{n,c,p-r}\;\mathrm{inside},\; v\;\mathrm{outside}"
    shapes = "x (N, C, H, W) -> y (N, C, H', W')"

    def forward(c: Call) -> Array:
        border = ((0, 0), (0, 0), *zip(c.before, c.after, strict=True))
        return np.pad(c.x, border, constant_values=exact(c.value).item() if c.x.dtype == object else c.value)

    @rule(r"\bar{x}_{n,c,q} = g_{n,c,q+r}")
    def grad_x(c: Call, g: Array) -> Array:
        inner = [slice(r, r + size) for r, size in zip(c.before, c.x.shape[2:], strict=True)]
        return g[(slice(None), slice(None), *inner)]

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        at = (*index[:2], *(p - r for p, r in zip(index[2:], c.before, strict=True)))
        inside = all(0 <= p < size for p, size in zip(at[2:], c.x.shape[2:], strict=True))
        return [Term(_label("x", at), (c.x[at],)) if inside else Term("v", (c.out[index],))]


class Take(Op):
    r"""Select features or channels by their index along axis 1.

    $y_{n,k} = x_{n,i_k}$.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Take, np.array([[5.0, 6.0, 7.0]]), np.array([2, 0]))
    array([[7., 5.]])
    """

    name = "take"
    args = ("x", "index")
    constants = ("index",)
    formula = r"y_{n,k} = x_{n,i_k}"
    shapes = "x (N, C, …), index (K,) -> y (N, K, …)"

    def forward(c: Call) -> Array:
        if c.index.dtype.kind not in "iu":
            raise DtypeError(f"take: index holds {c.index.dtype}, expected integers; of a mask take np.flatnonzero")
        return c.x[:, c.index]

    @rule(r"\bar{x}_{n,c} = \sum_k g_{n,k}\,[i_k = c]")
    def grad_x(c: Call, g: Array) -> Array:
        bar = np.zeros(c.x.shape, dtype=g.dtype)
        for k, i in enumerate(c.index):  # an index may be taken twice
            bar[:, i] += g[:, k]
        return bar

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        source = (index[0], int(c.index[index[1]]), *index[2:])
        return [Term(_label("x", source), (c.x[source],))]


class Add(Op):
    r"""Add two values, entry by entry; a shorter one is repeated along the axes that it lacks.

    $y = a + b$.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Add, np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]]))
    array([[11., 22.]])
    """

    name = "add"
    args = ("a", "b")
    formula = "y = a + b"
    shapes = "a (N, …), b (N, …) -> y (N, …)"

    def forward(c: Call) -> Array:
        return c.a + c.b

    @rule(r"\bar{a} = g")
    def grad_a(c: Call, g: Array) -> Array:
        return sum_to_shape(g, c.a.shape)

    @rule(r"\bar{b} = g")
    def grad_b(c: Call, g: Array) -> Array:
        return sum_to_shape(g, c.b.shape)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        return [
            Term(_label(name, index), (_broadcast_entry(value, c.out.shape, index),))
            for name, value in (("a", c.a), ("b", c.b))
        ]


class Mul(Op):
    r"""Multiply two values, entry by entry; a shorter one is repeated along the axes that it lacks.

    $y = a\, b$.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Mul, np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]]))
    array([[10., 40.]])
    """

    name = "mul"
    args = ("a", "b")
    formula = r"y = a\, b"
    shapes = "a (N, …), b (N, …) -> y (N, …)"

    def forward(c: Call) -> Array:
        return c.a * c.b

    @rule(r"\bar{a} = g\, b")
    def grad_a(c: Call, g: Array) -> Array:
        return sum_to_shape(g * c.b, c.a.shape)

    @rule(r"\bar{b} = g\, a")
    def grad_b(c: Call, g: Array) -> Array:
        return sum_to_shape(g * c.a, c.b.shape)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        factors = tuple(_broadcast_entry(value, c.out.shape, index) for value in (c.a, c.b))
        return [Term(f"{_label('a', index)} {_label('b', index)}", factors)]


class Gate(Op):
    r"""Scale every channel by its gate: 1 leaves the neuron alone, 0 takes it away.

    $y_{n,j} = m_j\, a_{n,j}$. The gradient by the gate, ``Σ a g``, is the first-order effect of the neuron.

    Source: Mozer and Smolensky 1989, *Skeletonization*, equation 3 (there the gate is called attentional strength).

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Gate, np.array([[3.0, 4.0]]), np.array([1.0, 0.0]))
    array([[3., 0.]])
    """

    name = "gate"
    args = ("a", "m")
    formula = r"y_{n,j} = m_j\, a_{n,j}"
    shapes = "a (N, C, …), m (C,) -> y (N, C, …)"

    def forward(c: Call) -> Array:
        return c.a * along_channels(c.m, c.a.ndim)

    @rule(r"\bar{a} = g\, m")
    def grad_a(c: Call, g: Array) -> Array:
        return g * along_channels(c.m, g.ndim)

    @rule(r"\bar{m}_j = \sum_{n,p} g_{n,j,p}\, a_{n,j,p}")
    def grad_m(c: Call, g: Array) -> Array:
        return (g * c.a).sum(axis=(0, *range(2, g.ndim)))  # (N,C,…) -> (C,)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        j = index[1]
        return [Term(f"m_{{{j}}} {_label('a', index)}", (c.m[j], c.a[index]))]


class Concat(Op):
    r"""Put the channels of b behind those of a, along axis 1.

    $y = [a;\, b]$.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Concat, np.array([[1.0]]), np.array([[2.0, 3.0]]))
    array([[1., 2., 3.]])
    """

    name = "concat"
    args = ("a", "b")
    formula = r"y = [a;\, b]"
    shapes = "a (N, A, …), b (N, B, …) -> y (N, A + B, …)"

    def forward(c: Call) -> Array:
        return np.concatenate([c.a, c.b], axis=1)

    @rule(r"\bar{a} = g_{:,\,1..A}")
    def grad_a(c: Call, g: Array) -> Array:
        return g[:, : c.a.shape[1]]

    @rule(r"\bar{b} = g_{:,\,A+1..A+B}")
    def grad_b(c: Call, g: Array) -> Array:
        return g[:, c.a.shape[1] :]

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        n, j, *place = index
        name, value, j = ("a", c.a, j) if j < c.a.shape[1] else ("b", c.b, j - c.a.shape[1])
        return [Term(_label(name, (n, j, *place)), (value[(n, j, *place)],))]


class Dropout(Op):
    r"""Silence entries at random in training; the mask holds 0 or 1/(1−p), so that the mean stays.

    $y = x\, m$ with $m = [u \geq p] / (1 - p)$. Whoever calls it draws the mask; outside training it is not called.

    Source: Srivastava et al. 2014, *Dropout*, section 10 (the inverted form).

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(Dropout, np.array([[3.0, 4.0]]), np.array([[2.0, 0.0]]))
    array([[6., 0.]])
    """

    name = "dropout"
    args = ("x", "m")
    constants = ("m",)
    formula = r"y = x\, m, \quad m = [u \geq p] / (1 - p)"
    shapes = "x (N, …), m (N, …) -> y (N, …)"

    def forward(c: Call) -> Array:
        return c.x * c.m

    @rule(r"\bar{x} = g\, m")
    def grad_x(c: Call, g: Array) -> Array:
        return g * c.m

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        return [Term(f"{_label('x', index)} {_label('m', index)}", (c.x[index], c.m[index]))]


class Mean(Op):
    r"""The mean over the batch: one loss from one per sample.

    $L = \frac{1}{N} \sum_n \ell_n$.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> float(apply(Mean, np.array([1.0, 3.0])))
    2.0
    """

    name = "mean"
    args = ("x",)
    formula = r"L = \frac{1}{N} \sum_n \ell_n"
    shapes = "ℓ (N,) -> L ()"

    def forward(c: Call) -> Array:
        return divide(np.asarray(c.x.sum(axis=0), dtype=c.x.dtype), len(c.x))

    @rule(r"\bar{\ell}_n = \frac{1}{N} g")
    def grad_x(c: Call, g: Array) -> Array:
        return np.full(c.x.shape, g / len(c.x))

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        share = divide(np.ones((), c.x.dtype), len(c.x))
        return [Term(rf"\frac{{1}}{{N}} \ell_{{{n}}}", (share, value)) for n, value in enumerate(c.x)]
