"""Layers on a tile of images: X (C, H, W, T), T samples of every entry side by side, T = two vectors.

A network of convolutions can be run layer by layer for the whole batch, or tile by tile through all layers:

    for tiles of T samples:
        copy the images into a tile:              `to_tile`, the only time that they are turned
        for layers:
            the tile of one layer → the tile of the next
        copy the last tile into rows:             `from_tile`

layer by layer   the images of LeNet-5's first layer, 128 samples of 20 · 24 · 24 numbers, are 6 MB: more than the L2
                 cache, from where the next layer would want them
tile by tile     32 samples of them are 1.5 MB, and nothing is packed between layers: what `filters.gather` and
                 `filters.dots` read is the tile that the layer before has written

Backwards the same tiles are walked the other way. What a max-pool took is remembered as one byte for each window, the
number of the entry; so the images before it are not kept, and its gradient and that of a ReLU before it are one pass.

The convolutions are bound by the multiply-adds, everything else by the L2 cache. The few lines that move a list from
place to place stand in every loop, as in `gather_tile`: behind a function of their own pooling takes 3.5 times as long.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from ..ops import Array
from .correlate import dots_tile, gather_tile, list_rows, moved, pack_filters
from .gemm import pack
from .keeping import compiled, read, written
from .maxima import WIDE, hand_back, largest
from .vectors import BYTES

INTEGER, BYTE = types.intp, types.uint8
TABLE, INTEGERS = read(INTEGER, 2, "C"), read(INTEGER, 1, "C")
SEES, LISTS = types.UniTuple(TABLE, 2), types.UniTuple(written(INTEGER, 1), 2)


def samples_of(dtype: Any) -> int:
    """How many samples a tile has."""
    return WIDE * BYTES // np.dtype(dtype).itemsize


@compiled(lambda t: types.void(read(t, 2), *(INTEGER,) * 4, written(t, 1)))
def pack_rows(B, start, depth, columns, width, out):
    """Write the first `depth` rows of B, columns start … start + columns, to `out`: each padded with 0 to `width`."""
    pack(B, 0, depth, start, columns, width, out)


def to_tile(x: Array, start: int, X: Array) -> None:
    """X[f, l] = x[start + l, f], and 0 where there is no such sample."""
    features, T = X.shape
    pack_rows[x.dtype](x.T, start, features, min(T, len(x) - start), T, X.reshape(-1))


def from_tile(X: Array, start: int, x: Array) -> None:
    """x[start + l, f] = X[f, l] for the samples that there are; x is contiguous."""
    features, T = X.shape
    pack_rows[x.dtype](X.T, 0, min(T, len(x) - start), features, features, x[start:].reshape(-1))


@compiled(lambda t: types.void(read(t, 5), INTEGER, written(t, 1)))
def pack_blocks(W, height, blocks):
    """W (groups, filters, channels, kH, kW) block by block, as `correlate_tile` reads it."""
    pack_filters(W, height, blocks)


@compiled(
    lambda t: types.void(
        read(t, 4, "C"), read(t, 1, "C"), types.UniTuple(INTEGER, 3), SEES, LISTS, read(t, 1, "C"), types.boolean,
        written(t, 4),
    )
)  # fmt: skip
def correlate_tile(X, blocks, shape, sees, lists, bias, relu, Z):
    """Z[o, y, x] = bias[o] + Σ W[o, c, ky, kx] X[c, sees_y[y, ky], sees_x[x, kx]] for all samples of a tile.

    `shape` has the height of a packed block of filters, how many groups there are, and filters in each.
    """
    height, groups, filters = shape
    size = X.shape[0] // groups, X.shape[1], X.shape[2]
    # fmt: off
    gather_tile(X.reshape(-1), WIDE, size, sees, lists, (blocks, height, groups, filters), bias, relu, Z.reshape(-1),
                0, X.shape[3])
    # fmt: on


@compiled(
    lambda t: types.void(
        read(t, 4, "C"), read(t, 4, "C"), types.UniTuple(INTEGER, 3), INTEGERS, INTEGERS, written(t, 1),
        written(t, 1),
    )
)  # fmt: skip
def correlate_tile_weights(G, X, shape, shifts, at, D, d):
    """Add the gradient by W to D (groups · filters, entries), and that by the bias to d; X with its padding.

    `shape` has the number of groups, of filters in each, and of entries; `shifts` and `at` say where in X every entry
    of a filter meets place 0, and how much further on it is at every vector of every place.
    """
    dots_tile(G.reshape(-1), X.reshape(-1), shape, shifts, at, len(at), D)
    for o in range(len(d)):
        numbers = G[o].reshape(-1)
        total = D.dtype.type(0)
        for i in range(len(numbers)):
            total += numbers[i]
        d[o] += total


@compiled(lambda t: types.void(read(t, 1, "C"), written(t, 1)))
def stop_at_zero(a, g):
    """Set g to 0 where the ReLU before a has given 0."""
    for i in range(len(g)):
        g[i] = g[i] if a[i] > 0 else 0


@compiled(lambda t: types.void(read(t, 4, "C"), SEES, LISTS, types.boolean, written(t, 4), written(BYTE, 4)))
def pool_tile(X, sees, lists, relu, Z, which):
    """Z = the largest entry of each window, and which one it is: NOWHERE if the ReLU before it has given 0."""
    (sees_y, sees_x), (lines, picks) = sees, lists
    panel, out, chosen = X.reshape(-1), Z.reshape(-1), which.reshape(-1)
    T, size = X.shape[3], (1, X.shape[1], X.shape[2])
    ahead, z = X.shape[1] * X.shape[2] * T, 0
    for c in range(Z.shape[0]):
        for y in range(Z.shape[1]):
            count = base = 0
            for x in range(Z.shape[2]):
                step = moved(sees_x, x) if x else 0
                base += step * T
                if step == 0:
                    count = list_rows(size, 0, sees_y[y], sees_x[x], T, lines, picks)
                    base = c * ahead
                largest(panel, base, lines, picks, count, out, chosen, z, relu)
                z += T


@compiled(lambda t: types.void(read(t, 4, "C"), read(BYTE, 4, "C"), SEES, LISTS, types.boolean, written(t, 4)))
def unpool_tile(G, which, sees, lists, alone, bar):
    """Add each G to the entry of its window that was the largest; set it where each entry is in one window alone."""
    (sees_y, sees_x), (lines, picks) = sees, lists
    gradients, chosen, panel = G.reshape(-1), which.reshape(-1), bar.reshape(-1)
    T, size = bar.shape[3], (1, bar.shape[1], bar.shape[2])
    ahead, z = bar.shape[1] * bar.shape[2] * T, 0
    if not alone:
        bar[:] = 0
    for c in range(G.shape[0]):
        for y in range(G.shape[1]):
            count = base = 0
            for x in range(G.shape[2]):
                step = moved(sees_x, x) if x else 0
                base += step * T
                if step == 0:
                    count = list_rows(size, 0, sees_y[y], sees_x[x], T, lines, picks)
                    base = c * ahead
                hand_back(gradients, chosen, z, panel, base, lines, picks, count, alone)
                z += T


@compiled(lambda t: types.void(read(t, 4, "C"), read(t, 4, "C"), written(t, 2), written(t, 2)))
def effects_tile(a, G, effects, slopes):
    """Add up a g and g over the places of every channel, for every sample."""
    effects[:], slopes[:] = 0, 0
    for c in range(a.shape[0]):
        effect, slope = effects[c], slopes[c]
        for y in range(a.shape[1]):
            for x in range(a.shape[2]):
                value, g = a[c, y, x], G[c, y, x]
                for n in range(len(effect)):
                    effect[n] += value[n] * g[n]
                    slope[n] += g[n]


def vectors_met(place_rows: Array, dtype: Any) -> Array:
    """For every place, and every vector of a tile there: how many numbers behind place 0 it is."""
    lanes = BYTES // np.dtype(dtype).itemsize
    return np.ascontiguousarray((place_rows[:, None] * WIDE + np.arange(WIDE)) * lanes, dtype=np.intp).ravel()
