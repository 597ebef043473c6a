"""Convolution in one or two dimensions, with stride, padding, dilation and groups.

As everywhere in deep learning the kernel is not flipped: it is a cross-correlation. A filter is a neuron that is
applied at every place; its output is a channel. With groups, channel block q of the input feeds only channel block q
of the output; as many groups as channels make the convolution depthwise.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np

from ..backends import accelerable
from .op import Array, Call, Op, Term, rule
from .windows import Sizes, entry_label, offsets, output_size, pad, unpad

# In the shapes below: N samples, Q groups, C = Q·c input and O = Q·o output channels, K kernel entries, P places.


def patches(x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> Array:
    """Copy what each place sees into a column ("im2col"): x (N, C, …) -> (N, Q, c·K, P)."""
    out = output_size(x.shape[2:], kernel, stride, padding, dilation)
    x = pad(x, padding)
    columns = np.empty((*x.shape[:2], *kernel, *out), dtype=x.dtype)
    for entry, view in offsets(kernel, stride, dilation, out):
        columns[entry] = x[view]
    return columns.reshape(x.shape[0], groups, x.shape[1] // groups * prod(kernel), prod(out))


def unpatch(columns: Array, shape: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Array:
    """Add each column's entries back to where they came from ("col2im"): the transpose of `patches`."""
    out = output_size(shape[2:], kernel, stride, padding, dilation)
    padded = (*shape[:2], *(s + 2 * p for s, p in zip(shape[2:], padding, strict=True)))
    x = np.zeros(padded, dtype=columns.dtype)
    columns = columns.reshape(*shape[:2], *kernel, *out)
    for entry, view in offsets(kernel, stride, dilation, out):
        x[view] += columns[entry]
    return unpad(x, padding)


def _rows(W: Array, groups: int) -> Array:
    """Each filter as one row: W (O, c, …) -> (Q, o, c·K)."""
    return W.reshape(groups, W.shape[0] // groups, -1)


@accelerable
def conv(x: Array, W: Array, b: Array | None, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> Array:
    """Convolve: x (N, C, …), W (O, C/Q, …), b (O,) -> (N, O, …)."""
    kernel = W.shape[2:]
    out = output_size(x.shape[2:], kernel, stride, padding, dilation)
    z = _rows(W, groups) @ patches(x, kernel, stride, padding, dilation, groups)  # (Q,o,cK)(N,Q,cK,P) -> (N,Q,o,P)
    z = z.reshape(x.shape[0], W.shape[0], *out)
    return z if b is None else z + b.reshape(1, -1, *(1 for _ in out))


@accelerable
def conv_grad_x(g: Array, W: Array, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> Array:
    """Send g (N, O, …) back through the filters to the input's `shape`."""
    g = g.reshape(g.shape[0], groups, W.shape[0] // groups, prod(g.shape[2:]))  # (N,Q,o,P)
    columns = _rows(W, groups).swapaxes(1, 2) @ g  # (Q,cK,o)(N,Q,o,P) -> (N,Q,cK,P)
    return unpatch(columns, shape, W.shape[2:], stride, padding, dilation)


@accelerable
def conv_grad_W(g: Array, x: Array, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> Array:
    """Correlate g (N, O, …) with what each place saw: the gradient of the filters, in their `shape`."""
    columns = patches(x, shape[2:], stride, padding, dilation, groups)  # (N,Q,cK,P)
    g = g.reshape(g.shape[0], groups, shape[0] // groups, prod(g.shape[2:]))  # (N,Q,o,P)
    per_sample = g @ columns.swapaxes(2, 3)  # (N,Q,o,P)(N,Q,P,cK) -> (N,Q,o,cK)
    return per_sample.sum(axis=0).reshape(shape)


def _settings(c: Call) -> dict[str, Any]:
    return {"stride": c.stride, "padding": c.padding, "dilation": c.dilation, "groups": c.groups}


class Conv(Op):
    r"""Every filter's weighted sum of what it sees at each place, plus its bias.

    $z_{n,o,p} = \sum_{c,k} W_{o,c,k}\, x_{n,c,s p + d k - r} + b_o$ with stride s, dilation d and padding r; p and k
    run over one or two spatial axes.

    Source: LeCun et al. 1989, *Backpropagation applied to handwritten zip code recognition*; spec B1 at every place.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> x, W = np.arange(4.0).reshape(1, 1, 4), np.array([[[1.0, -1.0]]])
    >>> apply(Conv, x, W, None, stride=(1,), padding=(0,), dilation=(1,))
    array([[[-1., -1., -1.]]])
    """

    name = "conv"
    args = ("x", "W", "b")
    options = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    formula = r"z_{n,o,p} = \sum_{c,k} W_{o,c,k}\, x_{n,c,\,s p + d k - r} + b_o"
    shapes = "x (N, C, H, W), W (O, C/groups, kH, kW), b (O,) -> z (N, O, H', W')"

    def forward(c: Call) -> Array:
        return conv(c.x, c.W, c.b, **_settings(c))

    @rule(r"\bar{x}_{n,c,q} = \sum_{o}\sum_{(p,k):\, s p + d k - r = q} W_{o,c,k}\, g_{n,o,p}")
    def grad_x(c: Call, g: Array) -> Array:
        return conv_grad_x(g, c.W, c.x.shape, **_settings(c))

    @rule(r"\bar{W}_{o,c,k} = \sum_{n,p} g_{n,o,p}\, x_{n,c,\,s p + d k - r}")
    def grad_W(c: Call, g: Array) -> Array:
        return conv_grad_W(g, c.x, c.W.shape, **_settings(c))

    @rule(r"\bar{b}_o = \sum_{n,p} g_{n,o,p}")
    def grad_b(c: Call, g: Array) -> Array:
        return g.sum(axis=(0, *range(2, g.ndim)))  # (N,O,…) -> (O,)

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        n, o, *place = index
        image, width = pad(c.x, c.padding), c.W.shape[1]
        first = o // (c.W.shape[0] // c.groups) * width  # the first input channel of this filter's group
        written = []
        for i, entry in product(range(width), product(*map(range, c.W.shape[2:]))):
            at = tuple(p * s + k * d for p, s, k, d in zip(place, c.stride, entry, c.dilation, strict=True))
            label = ",".join(map(str, (o, i, *entry)))
            x = entry_label(first + i, at, c.padding)
            written.append(Term(f"W_{{{label}}} {x}", (c.W[(o, i, *entry)], image[(n, first + i, *at)])))
        return written if c.b is None else [*written, Term(rf"b_{{{o}}}", (c.b[o],))]
