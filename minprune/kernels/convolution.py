"""Convolution and both of its gradients in Numba, and when NumPy's im2col is left to it.

Vectors run along the samples (`correlate`), so a single sample would use one lane of sixteen. What is faster was
measured on one core with AVX-512, of a machine that was busy with other work: the ratios of the shortest blocks to
those of the NumPy reference, which multiplies im2col's columns with OpenBLAS; `bench/conv.py` repeats it.

    forward      from one vector of samples on: 1.8 to 7 times, depthwise 3 to 15; 1 × 1 filters, which need no im2col,
                 1.0 to 1.4 times, from two vectors on
    by x         1.6 to 11 times, depthwise 8 to 26, 1 × 1 filters 1.2 to 2; for images of one channel about the same,
                 and NumPy keeps them
    by W         1.5 to 10 times, depthwise 3 to 20, 1 × 1 filters 1.3 to 2.7

float64 gains about as much. AVX2 was measured on the same core, with Numba and OpenBLAS both restricted to it: forward
1.7 to 6 times (1 × 1: 1.0 to 1.3), by x 1.7 to 14 (1.0 to 1.4), by W 1.5 to 6 (0.8 to 1.1: NumPy keeps them). On other
CPUs, ARM among them, nothing has been measured yet, and NumPy does all of it.

Of the multiply-adds that the core could do, the 5 × 5 convolution of LeNet-5 does 87 % forward, 77 % by x and 83 to
88 % by W, from 32 samples on; 64 filters of 3 × 3 on 64 channels 93, 91 and 70 %; the first of LeNet-5, with one
channel, 50 to 60 %, since it stores a number for every 25 multiply-adds. Depthwise, and with 1 × 1 filters, copying the
images takes longer than the work on them: 8 and 35 %, about half as fast as PyTorch.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ..backends import accelerates
from ..ops import Array
from ..ops.conv import conv, conv_grad_W, conv_grad_x
from ..ops.windows import Sizes, output_size
from .correlate import correlate, correlate_weights
from .filters import HEIGHTS, height_for
from .gemm import NOTHING
from .layout import LINE, as_rows, batch_last, floats, is_batch_last, seen, seen_by, with_rows
from .vectors import BYTES, TILE

AVX512, AVX2 = TILE.bits == 512, TILE.bits == 256


def both(sizes: Sizes, fill: int) -> Sizes:
    """Give the settings of one spatial axis a value for a second one in front, as `with_rows` does for images."""
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


def belong(g: Sizes, x: Sizes, W: Sizes, moves: tuple[Sizes, Sizes, Sizes], groups: int) -> bool:
    """Whether shapes belong to one convolution. The reference is left to say what is wrong with others."""
    if not (len(g) == len(x) == len(W) in (3, 4) and g[0] == x[0] and g[1] == W[0] and min(W) > 0):
        return False
    return x[1] == W[1] * groups and W[0] % groups == 0 and g[2:] == output_size(x[2:], W[2:], *moves)


def enough(x: Array, entries: int) -> bool:
    """Whether the samples fill a vector of AVX-512, or two where the filter has a single entry."""
    return (AVX512 or AVX2) and len(x) * x.itemsize >= (64 if entries > 1 else 128)


def takes_conv(
    x: Array, W: Array, b: Array | None, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> bool:
    """float32 or float64, AVX-512 or AVX2, samples of 64 bytes (16 or 8 of them), for 1 × 1 filters of 128"""
    if not (floats(x, W) and x.ndim == W.ndim and enough(x, prod(W.shape[2:]))):
        return False
    if b is not None and not (floats(x, b) and b.shape == W.shape[:1]):
        return False
    moves = stride, padding, dilation
    return belong((len(x), len(W), *output_size(x.shape[2:], W.shape[2:], *moves)), x.shape, W.shape, moves, groups)


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


def takes_grad_x(g: Array, W: Array, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> bool:
    """float32 or float64, AVX-512 or AVX2, samples as forward, images of more than one channel"""
    if not (floats(g, W) and g.ndim == W.ndim == len(shape) and enough(g, prod(W.shape[2:])) and shape[1] > 1):
        return False
    return belong(g.shape, tuple(shape), W.shape, (stride, padding, dilation), groups)


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


def takes_grad_W(g: Array, x: Array, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> bool:
    """float32 or float64, AVX-512 or AVX2, samples as forward, 1 × 1 filters with AVX-512 only"""
    if not (floats(g, x) and g.ndim == x.ndim == len(shape) and enough(g, prod(shape[2:]))):
        return False
    moves = stride, padding, dilation
    return (AVX512 or prod(shape[2:]) > 1) and belong(g.shape, x.shape, tuple(shape), moves, groups)


@accelerates(conv_grad_W, "numba", takes=takes_grad_W)
def conv_grad_W_kernel(
    g: Array, x: Array, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Array:
    """For every filter o, channel c and entry k: W̄[o, c, k] = Σ_{n, p} g[n, o, p] x[n, c, s·p + d·k − r]."""
    image, upstream, kernel = with_rows(x), with_rows(g), both(shape[2:], 1)
    size, around = (x.shape[1], *image.shape[2:]), both(padding, 0)
    entry_rows, place_rows = rows_met(size, kernel, upstream.shape[2:], both(stride, 1), around, both(dilation, 1))
    lanes = BYTES // x.itemsize
    most, memory = tile_for(image, upstream, len(place_rows), prod(shape[1:]), around)
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


def tile_for(x: Array, g: Array, places: int, entries: int, padding: Sizes) -> tuple[int, tuple[Array, Array]]:
    """How many vectors of samples a tile of `correlate_weights` has, and the memory of g and x that it may read as is.

    What is packed goes by few samples, so that it stays in the caches for a walk over all places; the more places the
    fewer. Samples that lie side by side are copied in longer pieces, or, in whole vectors, not at all: unless there is
    more than a cache holds and every number is used so often that copying it pays.
    """
    nothing, all_of_it = NOTHING[x.dtype], max(1, -(-len(x) * x.itemsize // BYTES))
    pays = x.nbytes > 2**22 and entries >= 200
    if not pays and len(memory := ready(g)):
        return all_of_it, (memory, nothing if any(padding) else ready(x))
    few = 4 if is_batch_last(g) else max(1, min(4, 128 // places))
    return min(few, all_of_it), (nothing, nothing)
