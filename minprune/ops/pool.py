"""Pooling: one number for every window of an image, in one to three dimensions."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np

from ..backends import accelerable
from .op import Array, Call, Op, Term, divide, real, rule
from .windows import Sizes, entry_label, offsets, output_size, pad, unpad


def gaps(kernel: Sizes, dilation: Sizes) -> Sizes:
    """How far apart a window's entries lie along each axis: 1, unless it is said."""
    return dilation or (1,) * len(kernel)


@accelerable
def max_pool(x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes = ()) -> Array:
    """Take the largest entry of each window: x (N, C, …) -> (N, C, …). Padding counts as −∞."""
    dilation = gaps(kernel, dilation)
    out = output_size(x.shape[2:], kernel, stride, padding, dilation)
    image = pad(x, padding, -np.inf)
    views = [image[view] for _, view in offsets(kernel, stride, dilation, out)]
    best = views[0].copy()
    for view in views[1:]:
        if x.dtype.kind == "c":
            np.copyto(best, view, where=real(view) > real(best))  # strictly: at a tie the first entry stays
        else:
            np.maximum(best, view, out=best)  # hands NaN on, where a comparison would hide it
    return best


@accelerable
def max_pool_grad(
    g: Array, x: Array, best: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes = ()
) -> Array:
    """Send each g to the first entry of its window that equals the window's maximum."""
    image = pad(x, padding, -np.inf)
    bar = np.zeros(image.shape, dtype=g.dtype)
    waiting = np.ones(g.shape, dtype=bool)  # windows whose maximum has not been met yet
    for _, view in offsets(kernel, stride, gaps(kernel, dilation), g.shape[2:]):
        here = waiting & (image[view] == best)
        bar[view] += g * here
        waiting &= ~here
    return unpad(bar, padding)


@accelerable
def avg_pool(x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes = ()) -> Array:
    """Average each window: x (N, C, …) -> (N, C, …). Padding counts as zeros, and is counted."""
    dilation = gaps(kernel, dilation)
    out = output_size(x.shape[2:], kernel, stride, padding, dilation)
    image = pad(x, padding)
    total: Array = sum(image[view] for _, view in offsets(kernel, stride, dilation, out))
    return divide(total, prod(kernel))


@accelerable
def avg_pool_grad(g: Array, shape: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes = ()) -> Array:
    """Share each g equally among the entries of its window."""
    padded = (*shape[:2], *(s + 2 * p for s, p in zip(shape[2:], padding, strict=True)))
    bar = np.zeros(padded, dtype=g.dtype)
    share = g / prod(kernel)
    for _, view in offsets(kernel, stride, gaps(kernel, dilation), g.shape[2:]):
        bar[view] += share
    return unpad(bar, padding)


def _settings(c: Call) -> tuple[Sizes, ...]:
    """Kernel, stride and padding; the dilation only where there are gaps, which compiled kernels do not take."""
    return (c.kernel, c.stride, c.padding, *([c.dilation] if any(d != 1 for d in c.dilation) else []))


def _window(c: Call, index: tuple[int, ...], fill: float) -> list[tuple[str, Any]]:
    """The entries that one output entry looks at, each with its label."""
    n, channel, *place = index
    image = pad(c.x, c.padding, fill)
    corners = [p * s for p, s in zip(place, c.stride, strict=True)]
    steps = [range(0, k * d, d) for k, d in zip(c.kernel, gaps(c.kernel, c.dilation), strict=True)]
    entries = [tuple(a + step for a, step in zip(corners, entry, strict=True)) for entry in product(*steps)]
    return [(entry_label(channel, at, c.padding), image[(n, channel, *at)]) for at in entries]


class MaxPool(Op):
    r"""The largest entry of each window.

    $y_p = \max_k x_{s p + d k - r}$ with stride s, padding r and dilation d (padding counts as −∞).

    Source: Ranzato et al. 2007, *Unsupervised learning of invariant feature hierarchies*, section 2.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(MaxPool, np.array([[[1.0, 5.0, 2.0, 2.0]]]), kernel=(2,), stride=(2,), padding=(0,))
    array([[[5., 2.]]])
    """

    name = "max_pool"
    args = ("x",)
    options = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": ()}
    formula = r"y_p = \max_k\, x_{s p + d k - r}"
    shapes = "x (N, C, H, W) -> y (N, C, H', W')"
    kink = "at a tie the gradient goes to the first entry of the window, in row order"
    combine = "max"

    def forward(c: Call) -> Array:
        return max_pool(c.x, *_settings(c))

    @rule(r"\bar{x}_q = \sum_p g_p\,[\,q = \mathrm{first\ argmax\ of\ window}\ p\,]")
    def grad_x(c: Call, g: Array) -> Array:
        return max_pool_grad(g, c.x, c.out, *_settings(c))

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        return [Term(label, (value,)) for label, value in _window(c, index, -np.inf)]


class AvgPool(Op):
    r"""The mean of each window.

    $y_p = \frac{1}{K} \sum_k x_{s p + d k - r}$ over the K entries of the window, d apart; padding counts as zeros.

    Source: LeCun et al. 1998, *Gradient-based learning applied to document recognition*, section II.B.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(AvgPool, np.array([[[1.0, 5.0, 2.0, 2.0]]]), kernel=(2,), stride=(2,), padding=(0,))
    array([[[3., 2.]]])
    """

    name = "avg_pool"
    args = ("x",)
    options = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": ()}
    formula = r"y_p = \frac{1}{K} \sum_k x_{s p + d k - r}"
    shapes = "x (N, C, H, W) -> y (N, C, H', W')"

    def forward(c: Call) -> Array:
        return avg_pool(c.x, *_settings(c))

    @rule(r"\bar{x}_q = \frac{1}{K} \sum_{(p,k):\, s p + d k - r = q} g_p")
    def grad_x(c: Call, g: Array) -> Array:
        return avg_pool_grad(g, c.x.shape, *_settings(c))

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        share = divide(np.ones((), c.x.dtype), prod(c.kernel))
        return [Term(rf"\frac{{1}}{{K}} {label}", (share, value)) for label, value in _window(c, index, 0)]


class GlobalAvgPool(Op):
    r"""The mean of each channel over all places.

    $y_{n,c} = \frac{1}{P} \sum_p x_{n,c,p}$.

    Source: Lin, Chen and Yan 2014, *Network in network*, section 3.2.

    Examples
    --------
    >>> from minprune.tensor import apply
    >>> apply(GlobalAvgPool, np.array([[[[1.0, 5.0], [2.0, 2.0]]]]))
    array([[2.5]])
    """

    name = "global_avg_pool"
    args = ("x",)
    formula = r"y_{n,c} = \frac{1}{P} \sum_p x_{n,c,p}"
    shapes = "x (N, C, H, W) -> y (N, C)"

    def forward(c: Call) -> Array:
        places = prod(c.x.shape[2:])
        return divide(c.x.sum(axis=tuple(range(2, c.x.ndim))), places)  # (N,C,…) -> (N,C)

    @rule(r"\bar{x}_{n,c,p} = \frac{1}{P} g_{n,c}")
    def grad_x(c: Call, g: Array) -> Array:
        share = g / prod(c.x.shape[2:])
        return np.broadcast_to(share.reshape(*g.shape, *(1,) * (c.x.ndim - 2)), c.x.shape).copy()

    def terms(c: Call, index: tuple[int, ...]) -> list[Term]:
        share = divide(np.ones((), c.x.dtype), prod(c.x.shape[2:]))
        channel = index[1]
        return [
            Term(rf"\frac{{1}}{{P}} x_{{{','.join(map(str, (channel, *place)))}}}", (share, value))
            for place, value in np.ndenumerate(c.x[index])
        ]
