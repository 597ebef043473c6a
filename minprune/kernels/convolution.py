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
from .layout import LINE, as_rows, batch_last, floats, is_batch_last, seen, seen_by, with_rows
from .vectors import BYTES


def both(sizes: Sizes, fill: int) -> Sizes:
    """The same for the settings of a convolution."""
    return sizes if len(sizes) == 2 else (fill, *sizes)


def ready(x: Array) -> Array:
    """The memory of images that need no packing: samples side by side, in whole vectors. Empty for others."""
    if is_batch_last(x) and x.flags.behaved and len(x) * x.itemsize % BYTES == 0:
        return np.moveaxis(x, 0, -1).reshape(-1)
    return NOTHING[x.dtype]


def convolve(x: Array, W: Array, bias: Array | None, size: Sizes, sees: tuple[Array, Array], Z: Array) -> None:
    """Run `correlate` with the tile that suits so many filters, and with its scratch memory."""
    groups, filters, channels, *kernel = W.shape
    X = as_rows(x)
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
    convolve(image, grouped, b, size, (sees_y, sees_x), memory)
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
    convolve(upstream, grouped, None, out, (sees_y, sees_x), memory)
    return bar


def takes_grad_W(g: Array, x: Array, shape: Sizes, *settings: Any, **named: Any) -> bool:
    """float32 or float64, 16 samples"""
    return floats(g, x) and len(g) >= 16


@accelerates(conv_grad_W, "numba", takes=takes_grad_W)
def conv_grad_W_kernel(
    g: Array, x: Array, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Array:
    """For every filter o, channel c and entry k: W̄[o, c, k] = Σ_{n, p} g[n, o, p] x[n, c, s·p + d·k − r]."""
    image, upstream, kernel = with_rows(x), with_rows(g), both(shape[2:], 1)
    size, around = (x.shape[1], *image.shape[2:]), both(padding, 0)
    entry_rows, place_rows = rows_met(size, kernel, upstream.shape[2:], both(stride, 1), around, both(dilation, 1))
    lanes = BYTES // x.itemsize
    most, memory = tile_for(image, upstream, len(place_rows), around)
    bar = np.empty(prod(shape), g.dtype)
    lists = np.empty(len(entry_rows), np.intp), np.empty(len(place_rows) * most, np.intp)
    rows = prod(s + 2 * p for s, p in zip(size, (0, *around), strict=True))
    scratch = (
        np.empty(0 if len(memory[0]) else prod(g.shape[1:]) * most * lanes + LINE, g.dtype),
        np.empty(0 if len(memory[1]) else rows * most * lanes + LINE, g.dtype),
    )
    shape_of = (groups, shape[0] // groups, shape[1] * prod(kernel))
    run, G, X = correlate_weights[g.dtype], as_rows(upstream), as_rows(image)
    run(G, X, memory, size, around, shape_of, entry_rows, place_rows, most, lists, scratch, bar)
    return bar.reshape(shape)


def rows_met(
    size: Sizes, kernel: Sizes, out: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> tuple[Array, Array]:
    """Which row of the padded images, of `size` (channels, rows, columns), every entry of a filter meets at place 0.

    And how many rows further on it is at every place.
    """
    channels, high, wide = size[0], size[1] + 2 * padding[0], size[2] + 2 * padding[1]
    down, along = (np.arange(k) * d for k, d in zip(kernel, dilation, strict=True))
    entries = (np.arange(channels)[:, None, None] * high + down[:, None]) * wide + along
    down, along = (np.arange(o) * s for o, s in zip(out, stride, strict=True))
    return entries.ravel(), (down[:, None] * wide + along).ravel()


def tile_for(x: Array, g: Array, places: int, padding: Sizes) -> tuple[int, tuple[Array, Array]]:
    """How many vectors of samples a tile of `correlate_weights` has, and the memory of g and x that it may read as is.

    What is packed goes by few samples, so that it stays in the caches for a walk over all places; the more places the
    fewer. Samples that lie side by side are copied in longer pieces, or, in whole vectors, not at all.
    """
    nothing, all_of_it = NOTHING[x.dtype], max(1, -(-len(x) * x.itemsize // BYTES))
    if len(memory := ready(g)):
        return all_of_it, (memory, nothing if any(padding) else ready(x))
    few = 8 if is_batch_last(g) else max(1, min(4, 128 // places))
    return min(few, all_of_it), (nothing, nothing)
