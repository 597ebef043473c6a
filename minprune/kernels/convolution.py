"""Convolution for backend "numba"."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..backends import accelerates
from ..ops import Array
from ..ops.conv import conv, conv_grad_W, conv_grad_x
from ..ops.windows import Sizes, output_size
from .correlate import correlate, correlate_weights
from .filters import HEIGHTS, height_for
from .gemm import NOTHING
from .layout import LINE, as_rows, batch_last, floats, seen, seen_by, with_rows
from .vectors import BYTES


def both(sizes: Sizes, fill: int) -> Sizes:
    """The same for the settings of a convolution."""
    return sizes if len(sizes) == 2 else (fill, *sizes)


def convolve(X: Array, W: Array, bias: Array | None, size: Sizes, sees: tuple[Array, Array], Z: Array) -> None:
    """Run `correlate` with the tile that suits so many filters, and with its scratch memory."""
    groups, filters, channels, *kernel = W.shape
    entries, lanes = channels * prod(kernel), BYTES // X.itemsize
    height = height_for(filters)
    vectors = min(HEIGHTS[height], -(-X.shape[1] // lanes))
    lists = np.empty(entries, np.intp), np.empty(entries, np.intp)
    weights = np.empty(groups * entries * -(-filters // height) * height, X.dtype)
    panel = np.empty(len(X) * vectors * lanes + LINE, X.dtype)
    start = NOTHING[X.dtype] if bias is None else np.ascontiguousarray(bias)
    run = correlate[X.dtype]
    run(X, W, start, False, size, sees, (height, HEIGHTS[height]), lists, (weights, panel), Z.reshape(-1))


def takes_conv(
    x: Array, W: Array, b: Array | None, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> bool:
    """float32 or float64, 16 samples"""
    return floats(x, W) and (b is None or floats(x, b)) and len(x) >= 16


@accelerates(conv, "numba", takes=takes_conv)
def conv_kernel(
    x: Array, W: Array, b: Array | None, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Array:
    """For every sample n, filter o and place p: z[n, o, p] = b[o] + Σ_{c,k} W[o, c, k] x[n, c, s·p + d·k − r]."""
    out = output_size(x.shape[2:], W.shape[2:], stride, padding, dilation)
    z, memory = batch_last((len(x), len(W), *out), x.dtype)
    image, filters = with_rows(x), with_rows(W)
    size, kernel = image.shape[2:], filters.shape[2:]
    settings = zip(size, kernel, both(stride, 1), both(padding, 0), both(dilation, 1), both(out, 1), strict=True)
    sees_y, sees_x = (seen(*axis) for axis in settings)
    grouped = filters.reshape(groups, len(W) // groups, W.shape[1], *kernel)
    convolve(as_rows(image), grouped, b, size, (sees_y, sees_x), memory)
    return z


def takes_grad_x(g: Array, W: Array, shape: Sizes, *settings: Any, **named: Any) -> bool:
    """float32 or float64, 16 samples"""
    return floats(g, W) and len(g) >= 16


@accelerates(conv_grad_x, "numba", takes=takes_grad_x)
def conv_grad_x_kernel(
    g: Array, W: Array, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Array:
    """For every entry q: x̄[n, c, q] = Σ_o Σ_{(p, k): s·p + d·k − r = q} W[o, c, k] g[n, o, p]."""
    bar, memory = batch_last(tuple(shape), g.dtype)
    upstream, filters = with_rows(g), with_rows(W)
    out, kernel = upstream.shape[2:], filters.shape[2:]
    settings = zip(both(shape[2:], 1), kernel, both(stride, 1), both(padding, 0), both(dilation, 1), out, strict=True)
    sees_y, sees_x = (seen_by(*axis) for axis in settings)
    grouped = filters.reshape(groups, len(W) // groups, W.shape[1], *kernel).swapaxes(1, 2)
    convolve(as_rows(upstream), grouped, None, out, (sees_y, sees_x), memory)
    return bar


def takes_grad_W(g: Array, x: Array, shape: Sizes, *settings: Any, **named: Any) -> bool:
    """float32 or float64, 16 samples"""
    return floats(g, x) and len(g) >= 16


@accelerates(conv_grad_W, "numba", takes=takes_grad_W)
def conv_grad_W_kernel(
    g: Array, x: Array, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Array:
    """For every filter o, channel c and entry k: W̄[o, c, k] = Σ_{n, p} g[n, o, p] x[n, c, s·p + d·k − r]."""
    image, upstream = with_rows(x), with_rows(g)
    (H, width), kernel = image.shape[2:], both(shape[2:], 1)
    out, (r, rx), (s, sx), (d, dx) = upstream.shape[2:], both(padding, 0), both(stride, 1), both(dilation, 1)
    wide = width + 2 * rx
    channels = np.arange(x.shape[1])[:, None, None] * (H + 2 * r)
    entry_rows = (channels + np.arange(kernel[0])[:, None] * d) * wide + np.arange(kernel[1]) * dx
    place_rows = np.arange(out[0])[:, None] * s * wide + np.arange(out[1]) * sx
    sizes = (groups, shape[0] // groups, shape[1] * prod(kernel))
    bar = np.empty(prod(shape), g.dtype)
    G, X = as_rows(upstream), as_rows(image)
    few = max(1, min(4, 128 // place_rows.size))  # long walks along few samples: they stay in the L1 cache
    most = max(1, min(few, -(-len(x) * x.itemsize // BYTES)))
    numbers = most * BYTES // x.itemsize
    gradients = np.empty(len(G) * numbers + LINE, g.dtype)
    panel = np.empty(x.shape[1] * (H + 2 * r) * wide * numbers + LINE, g.dtype)
    shifts, at = np.empty(entry_rows.size, np.intp), np.empty(place_rows.size * most, np.intp)
    correlate_weights[g.dtype](
        G, X, (x.shape[1], H, width), (r, rx), sizes, entry_rows.ravel(), place_rows.ravel(), most,
        (shifts, at), (gradients, panel), bar,
    )  # fmt: skip
    return bar.reshape(shape)
