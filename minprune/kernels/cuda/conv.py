"""Convolution on the device, forward and both gradients: matrix products whose factors are found by index.

                rows m            columns n              sum over k          left[k, m]     right[k, n]
    forward     filters o         places (n, p)          entries (c, k)      W[o, c, k]     x[n, c, s p + d k − r]
    by x        channels c        places (n, q)          entries (o, k)      W[o, c, k]     g[n, o, (q + r − d k) / s]
    by W        filters o         entries (c, k)         places (n, p)       g[n, o, p]     x[n, c, s p + d k − r]

with stride s, dilation d and padding r, within a group of channels; what lies outside an image is 0, and so is g where
the division leaves a remainder. Every row of this table is one kernel, and all of them are the loop of `gemm`.

naive            a thread per entry of the result walks over the window: everything comes from global memory
patches          copy what each place sees into a column, then one matrix product: K times the memory, written and read
by index         the columns are never written: each block fetches the part of them that it needs into shared memory
by x, gathered   the gradient by x takes what reaches a place, rather than adding to places: no atomics, and the same
                 order of summing every time
by W, in slabs   few filters and entries make few tiles, while the sum runs over all places: so slabs of samples become
                 blocks of their own, and their parts are added by a second kernel, always in the same order

For every number that is fetched an index is divided a few times, and a tile uses it 64 times. So it should be bound as
`gemm` is, by the multiply-adds and shared memory, or by too few tiles for a small image.

One spatial axis is two, of which the first has size 1.
"""

from __future__ import annotations

from typing import Any

from numba import cuda, int64, types, void

from ...ops.windows import Sizes, output_size
from .launching import SMALL, inner, kernel
from .memory import Device, empty
from .sums import channel_sum
from .tiles import DEPTH, EACH, PITCH, SIDE, TILE, WORKERS, clear, multiply, tiles

SLABS = 2 if SMALL else 64  # at most, into which the samples are cut for the gradient by W
DEEPEST = 65_535  # blocks along the third axis of a grid
GEOMETRY = types.UniTuple(int64, 6)  # stride, padding and dilation, of both axes each


@inner
def seen(x: Any, n: int, c: int, p: int, k: int, width: int, kernel_width: int, geometry: Any, zero: Any) -> Any:
    """x[n, c] at the entry k of the window of place p; 0 outside. p and k count row by row."""
    s1, s2, r1, r2, d1, d2 = geometry
    i = p // width * s1 + k // kernel_width * d1 - r1
    j = p % width * s2 + k % kernel_width * d2 - r2
    inside = 0 <= i < x.shape[2] and 0 <= j < x.shape[3]
    return x[n, c, i, j] if inside else zero


@inner
def reaching(g: Any, n: int, o: int, q: int, k: int, width: int, kernel_width: int, geometry: Any, zero: Any) -> Any:
    """g[n, o] at the place whose window has place q of the input as its entry k; 0 where there is none."""
    s1, s2, r1, r2, d1, d2 = geometry
    i = q // width + r1 - k // kernel_width * d1
    j = q % width + r2 - k % kernel_width * d2
    inside = i >= 0 and j >= 0 and i % s1 == 0 and j % s2 == 0
    i, j = i // s1, j // s2
    inside = inside and i < g.shape[2] and j < g.shape[3]
    return g[n, o, i, j] if inside else zero


@kernel(lambda T: void(T[:, :, :, ::1], T[:, :, :, ::1], T[::1], GEOMETRY, T[:, :, :, ::1]))
def conv_loop(x: Any, W: Any, bias: Any, geometry: Any, z: Any) -> None:
    """z[n, o, p] = bias[o] + Σ_ck W[o, c, k] x[n, c, s p + d k − r]; the third axis of the grid is the group."""
    left = cuda.shared.array((DEPTH, PITCH), z.dtype)
    right = cuda.shared.array((DEPTH, PITCH), z.dtype)
    total = cuda.local.array((EACH, EACH), z.dtype)
    zero = z.dtype.type(0)
    channels, height, wide = W.shape[1], W.shape[2], W.shape[3]
    filters = W.shape[0] // cuda.gridDim.z
    places, width, entries = z.shape[2] * z.shape[3], z.shape[3], height * wide
    n0, m0, q = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE, cuda.blockIdx.z
    t = cuda.threadIdx.x
    row, column = t // SIDE, t % SIDE
    clear(total, zero)
    for k0 in range(0, channels * entries, DEPTH):
        for e in range(t, DEPTH * TILE, WORKERS):
            k, m = k0 + e % DEPTH, m0 + e // DEPTH
            inside = k < channels * entries and m < filters
            c, entry = k // entries, k % entries
            left[e % DEPTH, e // DEPTH] = W[q * filters + m, c, entry // wide, entry % wide] if inside else zero
            k, n = k0 + e // TILE, n0 + e % TILE
            inside = k < channels * entries and n < z.shape[0] * places
            c, entry = q * channels + k // entries, k % entries
            found = seen(x, n // places, c, n % places, entry, width, wide, geometry, zero) if inside else zero
            right[e // TILE, e % TILE] = found
        cuda.syncthreads()
        multiply(left, right, row, column, total)
        cuda.syncthreads()
    for i in range(EACH):
        for j in range(EACH):
            m, n = m0 + row + i * SIDE, n0 + column + j * SIDE
            if m < filters and n < z.shape[0] * places:
                o, p = q * filters + m, n % places
                z[n // places, o, p // width, p % width] = total[i, j] + bias[o] if len(bias) else total[i, j]


@kernel(lambda T: void(T[:, :, :, ::1], T[:, :, :, ::1], GEOMETRY, T[:, :, :, ::1]))
def conv_grad_x_loop(g: Any, W: Any, geometry: Any, bar: Any) -> None:
    """bar[n, c, q] = Σ_ok W[o, c, k] g[n, o, (q + r − d k) / s]; the third axis of the grid is the group."""
    left = cuda.shared.array((DEPTH, PITCH), bar.dtype)
    right = cuda.shared.array((DEPTH, PITCH), bar.dtype)
    total = cuda.local.array((EACH, EACH), bar.dtype)
    zero = bar.dtype.type(0)
    channels, height, wide = W.shape[1], W.shape[2], W.shape[3]
    filters = W.shape[0] // cuda.gridDim.z
    places, width, entries = bar.shape[2] * bar.shape[3], bar.shape[3], height * wide
    n0, m0, q = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE, cuda.blockIdx.z
    t = cuda.threadIdx.x
    row, column = t // SIDE, t % SIDE
    clear(total, zero)
    for k0 in range(0, filters * entries, DEPTH):
        for e in range(t, DEPTH * TILE, WORKERS):
            k, m = k0 + e % DEPTH, m0 + e // DEPTH
            inside = k < filters * entries and m < channels
            o, entry = q * filters + k // entries, k % entries
            left[e % DEPTH, e // DEPTH] = W[o, m, entry // wide, entry % wide] if inside else zero
            k, n = k0 + e // TILE, n0 + e % TILE
            inside = k < filters * entries and n < bar.shape[0] * places
            o, entry = q * filters + k // entries, k % entries
            found = reaching(g, n // places, o, n % places, entry, width, wide, geometry, zero) if inside else zero
            right[e // TILE, e % TILE] = found
        cuda.syncthreads()
        multiply(left, right, row, column, total)
        cuda.syncthreads()
    for i in range(EACH):
        for j in range(EACH):
            m, n = m0 + row + i * SIDE, n0 + column + j * SIDE
            if m < channels and n < bar.shape[0] * places:
                p = n % places
                bar[n // places, q * channels + m, p // width, p % width] = total[i, j]


@kernel(lambda T: void(T[:, :, :, ::1], T[:, :, :, ::1], GEOMETRY, int64, T[:, :, :, :, ::1]))
def conv_grad_W_loop(g: Any, x: Any, geometry: Any, groups: int, parts: Any) -> None:
    """parts[slab, o, c, k] = Σ_np g[n, o, p] x[n, c, s p + d k − r]; the third axis of the grid is slab and group."""
    left = cuda.shared.array((DEPTH, PITCH), parts.dtype)
    right = cuda.shared.array((DEPTH, PITCH), parts.dtype)
    total = cuda.local.array((EACH, EACH), parts.dtype)
    zero = parts.dtype.type(0)
    channels, height, wide = parts.shape[2], parts.shape[3], parts.shape[4]
    filters, entries = parts.shape[1] // groups, height * wide
    places, width = g.shape[2] * g.shape[3], g.shape[3]
    n0, m0 = cuda.blockIdx.x * TILE, cuda.blockIdx.y * TILE
    slab, q = cuda.blockIdx.z // groups, cuda.blockIdx.z % groups
    samples = (x.shape[0] + parts.shape[0] - 1) // parts.shape[0]
    stop = min(x.shape[0], (slab + 1) * samples) * places
    t = cuda.threadIdx.x
    row, column = t // SIDE, t % SIDE
    clear(total, zero)
    for k0 in range(slab * samples * places, stop, DEPTH):
        for e in range(t, DEPTH * TILE, WORKERS):
            k, m = k0 + e % DEPTH, m0 + e // DEPTH
            p = k % places
            inside = k < stop and m < filters
            left[e % DEPTH, e // DEPTH] = g[k // places, q * filters + m, p // width, p % width] if inside else zero
            n = n0 + e // DEPTH
            inside = k < stop and n < channels * entries
            c, entry = q * channels + n // entries, n % entries
            found = seen(x, k // places, c, p, entry, width, wide, geometry, zero) if inside else zero
            right[e % DEPTH, e // DEPTH] = found
        cuda.syncthreads()
        multiply(left, right, row, column, total)
        cuda.syncthreads()
    for i in range(EACH):
        for j in range(EACH):
            m, n = m0 + row + i * SIDE, n0 + column + j * SIDE
            if m < filters and n < channels * entries:
                entry = n % entries
                parts[slab, q * filters + m, n // entries, entry // wide, entry % wide] = total[i, j]


def image(x: Device) -> Device:
    """View (N, C, L) as (N, C, 1, L)."""
    return x if len(x.shape) == 4 else x.reshape(x.shape[0], x.shape[1], 1, x.shape[2])


def geometry_of(stride: Sizes, padding: Sizes, dilation: Sizes) -> Sizes:
    """Stride, padding and dilation of two axes, one after the other."""
    one = len(stride) == 1
    return (*((1,) * one), *stride, *((0,) * one), *padding, *((1,) * one), *dilation)


def conv(x: Device, W: Device, b: Device | None, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int) -> Device:
    """Convolve: x (N, C, …), W (O, C/Q, …), b (O,) -> (N, O, …)."""
    out = output_size(x.shape[2:], W.shape[2:], stride, padding, dilation)
    z = empty((x.shape[0], W.shape[0], *out), x.dtype)
    places = z.size // max(1, z.shape[1])  # of all samples
    bias = empty((0,), x.dtype) if b is None else b
    grid = (tiles(places), tiles(W.shape[0] // groups), groups)
    conv_loop.launch(grid, WORKERS, image(x), image(W), bias, geometry_of(stride, padding, dilation), image(z))
    return z


def conv_grad_x(
    g: Device, W: Device, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Device:
    """Send g (N, O, …) back through the filters to the input's `shape`."""
    bar = empty(shape, g.dtype)
    places = bar.size // max(1, bar.shape[1])
    grid = (tiles(places), tiles(W.shape[1]), groups)
    conv_grad_x_loop.launch(grid, WORKERS, image(g), image(W), geometry_of(stride, padding, dilation), image(bar))
    return bar


def conv_grad_W(
    g: Device, x: Device, shape: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, groups: int
) -> Device:
    """Correlate g (N, O, …) with what each place saw: the gradient of the filters, in their `shape`."""
    size = 1
    for length in shape[1:]:
        size *= length
    slabs = max(1, min(SLABS, x.shape[0], DEEPEST // groups))
    parts = empty((slabs, shape[0] * size), g.dtype)
    grid = (tiles(size), tiles(shape[0] // groups), groups * slabs)
    whole = (slabs, *shape[:2], *((1,) * (4 - len(shape))), *shape[2:])
    at = geometry_of(stride, padding, dilation)
    conv_grad_W_loop.launch(grid, WORKERS, image(g), image(x), at, groups, parts.reshape(*whole))
    return channel_sum(parts).reshape(*shape)
