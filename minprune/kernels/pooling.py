"""Pooling, forwards and backwards, in whatever order the images lie.

    for images a, places y, x:                    a runs over channels where samples lie side by side ("batch last"),
        for entries k of the window:              over samples and channels otherwise
            for samples n:
                Z[a, y, x, n] = max(Z[a, y, x, n], X[a, sees_y[y, ky], sees_x[x, kx], n])

naive      as NumPy does it: one pass over the whole image for every entry of the window, and some more for the gradient
one pass   a window's entries are read one after the other while its result stays in the L1 cache
batch last the innermost loop runs over memory without gaps, and the compiler makes vectors of it; in C order the loops
           over a row's places are innermost, a number at a time, which is still one pass instead of several

Entries in the padding are in none of the tables (`layout.seen`): for a maximum they would be −∞, for a mean 0. All four
are bound by how fast images are read and written.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numba import types

from ..backends import accelerates
from ..ops import Array
from ..ops.pool import avg_pool, avg_pool_grad, max_pool, max_pool_grad
from ..ops.windows import Sizes, output_size
from .keeping import compiled, read, written
from .layout import batch_last, floats, in_memory_order, is_batch_last, seen

TABLE = read(types.intp, 2, "C")


@compiled(lambda t: types.void(read(t, 4, "C"), TABLE, TABLE, written(t, 4)))
def pool_max(X, sees_y, sees_x, Z):
    """Z[a, y, x, n] = the largest entry of a window; NaN is handed on."""
    for a in range(Z.shape[0]):
        for y in range(Z.shape[1]):
            for x in range(Z.shape[2]):
                best = Z[a, y, x]
                best[:] = -float("inf")
                for v in sees_y[y]:
                    for u in sees_x[x]:
                        if v >= 0 and u >= 0:
                            row = X[a, v, u]
                            for n in range(len(best)):
                                best[n] = best[n] if best[n] >= row[n] or best[n] != best[n] else row[n]


@compiled(lambda t: types.void(read(t, 4, "C"), TABLE, TABLE, types.intp, written(t, 4)))
def pool_mean(X, sees_y, sees_x, count, Z):
    """Z[a, y, x, n] = the sum over a window, divided by its `count` of entries, padding included."""
    for a in range(Z.shape[0]):
        for y in range(Z.shape[1]):
            for x in range(Z.shape[2]):
                total = Z[a, y, x]
                total[:] = 0
                for v in sees_y[y]:
                    for u in sees_x[x]:
                        if v >= 0 and u >= 0:
                            row = X[a, v, u]
                            for n in range(len(total)):
                                total[n] += row[n]
                for n in range(len(total)):
                    total[n] /= count


@compiled(lambda t: types.void(*(read(t, 4, "C"),) * 3, TABLE, TABLE, types.boolean, written(t, 1), written(t, 4)))
def unpool_max(G, X, best, sees_y, sees_x, alone, left, bar):
    """Add each G to `bar` where its window's maximum is met first; set it where each entry lies in one window alone."""
    if not alone:
        bar[:] = 0
    for a in range(G.shape[0]):
        for y in range(G.shape[1]):
            for x in range(G.shape[2]):
                g, most = G[a, y, x], best[a, y, x]
                for n in range(len(g)):
                    left[n] = g[n]  # what has not found its place yet
                for v in sees_y[y]:
                    for u in sees_x[x]:
                        if v >= 0 and u >= 0:
                            row, target = X[a, v, u], bar[a, v, u]
                            for n in range(len(left)):
                                here = row[n] == most[n]
                                found = left[n] if here else 0
                                target[n] = found if alone else target[n] + found
                                left[n] = 0 if here else left[n]


@compiled(lambda t: types.void(read(t, 4, "C"), TABLE, TABLE, types.intp, types.boolean, written(t, 4)))
def unpool_mean(G, sees_y, sees_x, count, alone, bar):
    """Add each G, divided by `count`, to all entries of its window; set them where each lies in one window alone."""
    if not alone:
        bar[:] = 0
    for a in range(G.shape[0]):
        for y in range(G.shape[1]):
            for x in range(G.shape[2]):
                g = G[a, y, x]
                for v in sees_y[y]:
                    for u in sees_x[x]:
                        if v >= 0 and u >= 0:
                            target = bar[a, v, u]
                            for n in range(len(g)):
                                share = g[n] / count
                                target[n] = share if alone else target[n] + share


def tables(size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes) -> tuple[Array, Array]:
    """What every place sees along both axes; the first of them has size 1 where there is only one."""
    out = output_size(size, kernel, stride, padding, (1,) * len(size))
    down, along = [(1, 1, 1, 0, 1, 1), *zip(size, kernel, stride, padding, (1,) * len(size), out, strict=True)][-2:]
    return seen(*down), seen(*along)


def stand_alone(size: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes) -> bool:
    """Whether every entry lies in exactly one window."""
    return kernel == stride and not any(padding) and not any(s % k for s, k in zip(size, kernel, strict=True))


def takes_x(x: Array, kernel: Sizes, stride: Sizes, padding: Sizes, *dilation: Sizes) -> bool:
    """float32 or float64, no gaps, 16 samples, side by side in memory (as the kernels of convolution leave them)"""
    return not dilation and floats(x) and x.ndim in (3, 4) and len(x) >= 16 and is_batch_last(x)


@accelerates(max_pool, "numba", takes=takes_x)
def max_pool_kernel(x: Array, kernel: Sizes, stride: Sizes, padding: Sizes) -> Array:
    """For every place p: y[n, c, p] = max_k x[n, c, s·p + k − r]."""
    seen_y, seen_x = tables(x.shape[2:], kernel, stride, padding)
    y, _ = batch_last((*x.shape[:2], *out_of(x, seen_y, seen_x)), x.dtype)
    pool_max[x.dtype](in_memory_order(x), seen_y, seen_x, in_memory_order(y))
    return y


def out_of(x: Array, seen_y: Array, seen_x: Array) -> Sizes:
    """How many places there are along the spatial axes of x."""
    return (len(seen_y), len(seen_x))[4 - x.ndim :]


@accelerates(avg_pool, "numba", takes=takes_x)
def avg_pool_kernel(x: Array, kernel: Sizes, stride: Sizes, padding: Sizes) -> Array:
    """For every place p: y[n, c, p] = Σ_k x[n, c, s·p + k − r] / K."""
    seen_y, seen_x = tables(x.shape[2:], kernel, stride, padding)
    y, _ = batch_last((*x.shape[:2], *out_of(x, seen_y, seen_x)), x.dtype)
    pool_mean[x.dtype](in_memory_order(x), seen_y, seen_x, prod(kernel), in_memory_order(y))
    return y


def takes_max_grad(g: Array, x: Array, best: Array, *settings: Sizes) -> bool:
    """float32 or float64, no gaps, 16 samples, those of x side by side in memory"""
    return floats(g, x, best) and g.shape == best.shape and takes_x(x, *settings)


@accelerates(max_pool_grad, "numba", takes=takes_max_grad)
def max_pool_grad_kernel(g: Array, x: Array, best: Array, kernel: Sizes, stride: Sizes, padding: Sizes) -> Array:
    """For every entry q: the sum of g over the windows in which it is the first that equals the maximum."""
    bar, _ = batch_last(x.shape, x.dtype)
    seen_y, seen_x = tables(x.shape[2:], kernel, stride, padding)
    alone = stand_alone(x.shape[2:], kernel, stride, padding)
    images = (in_memory_order(array) for array in (g, x, best))
    unpool_max[x.dtype](*images, seen_y, seen_x, alone, np.empty(len(x), x.dtype), in_memory_order(bar))
    return bar


def takes_avg_grad(g: Array, shape: Sizes, *settings: Sizes) -> bool:
    """float32 or float64, no gaps, 16 samples, side by side in memory"""
    return takes_x(g, *settings)


@accelerates(avg_pool_grad, "numba", takes=takes_avg_grad)
def avg_pool_grad_kernel(g: Array, shape: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes) -> Array:
    """For every entry q: the sum of g over the windows that hold it, divided by their size."""
    bar, _ = batch_last(tuple(shape), g.dtype)
    seen_y, seen_x = tables(tuple(shape[2:]), kernel, stride, padding)
    alone = stand_alone(tuple(shape[2:]), kernel, stride, padding)
    unpool_mean[g.dtype](in_memory_order(g), seen_y, seen_x, prod(kernel), alone, in_memory_order(bar))
    return bar
