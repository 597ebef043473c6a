"""Layers on the pixels of one image: X (H, W, C), the channels of a pixel side by side.

Tiles (`tiles`) hold one number of 32 samples in two vectors; for a single sample they do 32 times the work. Here
vectors run along the channels instead, of which layers of images have many whatever the batch is:

    copy the image in, once:                      `to_pixels`
    for layers:
        the image of one layer → that of the next
    copy the last image into a row:               `from_pixels`

    convolution     a block of filters at 8 places at a time: `places.listed`
    depthwise       every channel has a filter of its own: a vector of weights for a vector of the image,
                    `places.channelwise`
    pools           the same: the mean has equal weights, the maximum none

A pixel has room for whole vectors of channels (`pitch`), and an image for the zeros around it that a convolution wants
to see. What lies behind the last channel is computed like the others, and nobody reads it.

A place sees what the place before it did, moved on, but at the edges: the list is made anew only there, as on tiles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import register_jitable

from ..ops import Array
from .correlate import list_rows, moved
from .keeping import compiled, read, written
from .places import channelwise, listed
from .vectors import BYTES, ROWS, VECTORS

INTEGER = types.intp
TABLE, INTEGERS = read(INTEGER, 2, "C"), read(INTEGER, 1, "C")
SEES, LISTS = types.UniTuple(TABLE, 3), types.UniTuple(written(INTEGER, 1), 2)
TOGETHER = 4  # places, where they see the same
CORNER = types.UniTuple(INTEGER, 2)


def pitch(channels: int, dtype: Any) -> int:
    """How many channels a pixel has room for.

    Examples
    --------
    >>> pitch(1, np.float32) % (BYTES // 4), pitch(100, np.float64) >= 100
    (0, True)
    """
    lanes = BYTES // np.dtype(dtype).itemsize
    return -(-channels // lanes) * lanes


@compiled(lambda t: types.void(read(t, 3, "C"), INTEGER, INTEGER, written(t, 3)))
def to_pixels(x, down, along, X):
    """X[down + y, along + x, c] = x[c, y, x]; what lies around it stays as it is."""
    channels, rows, columns = x.shape
    for y in range(rows):
        line = X[down + y]
        for c in range(channels):
            given = x[c, y]
            for i in range(columns):
                line[along + i, c] = given[i]


@compiled(lambda t: types.void(read(t, 3, "C"), INTEGER, INTEGER, written(t, 3)))
def from_pixels(X, down, along, x):
    """x[c, y, x] = X[down + y, along + x, c]."""
    channels, rows, columns = x.shape
    for c in range(channels):
        for y in range(rows):
            line, wanted = X[down + y], x[c, y]
            for i in range(columns):
                wanted[i] = line[along + i, c]


@register_jitable
def block_of(filters, lanes):
    """How many vectors of filters are computed together: blocks of about the same size, of at most VECTORS."""
    vectors = (filters + lanes - 1) // lanes
    blocks = max(1, (vectors + VECTORS - 1) // VECTORS)
    return max(1, (vectors + blocks - 1) // blocks)


@compiled(lambda t: types.void(read(t, 5), written(t, 1)))
def pack_panels(W, panels):
    """W (groups, filters, channels, kH, kW) as `correlate_pixels` reads it.

    For every block of filters, and every entry in the order rows, columns, channels: the weights of the block's filters
    side by side, filled up with zeros.
    """
    groups, filters, channels, down, along = W.shape
    lanes = BYTES // panels.itemsize
    width = block_of(filters, lanes) * lanes
    at = 0
    for q in range(groups):
        for j0 in range(0, filters, width):
            wide = min(width, (filters - j0 + lanes - 1) // lanes * lanes)
            for ky in range(down):
                for kx in range(along):
                    for c in range(channels):
                        for j in range(wide):
                            panels[at + j] = W[q, j0 + j, c, ky, kx] if j0 + j < filters else 0
                        at += wide


@compiled(
    lambda t: types.void(
        read(t, 1, "C"), types.UniTuple(INTEGER, 3), INTEGERS, INTEGERS, INTEGERS, read(t, 1, "C"), read(t, 1, "C"),
        types.boolean, written(t, 1),
    )
)  # fmt: skip
def correlate_pixels(X, shape, places, entries, targets, panels, bias, relu, Z):
    """Z[targets[p] + o] = bias[o] + Σ_k X[places[p] + entries[k]] · the weight that filter o has there.

    `shape` has the number of groups, and of filters and channels in each; the bias has room for whole vectors, as a
    pixel of Z has if there is one group.
    """
    groups, filters, channels = shape
    lanes = BYTES // Z.itemsize
    width = block_of(filters, lanes) * lanes
    at = 0
    for q in range(groups):
        for j0 in range(0, filters, width):
            vectors = min(width // lanes, (filters - j0 + lanes - 1) // lanes)
            columns = vectors * lanes if groups == 1 else min(width, filters - j0)
            x, z = q * channels, q * filters + j0
            for i0 in range(0, len(places), ROWS):
                rows = min(ROWS, len(places) - i0)
                # fmt: off
                if vectors == 1:
                    listed(1, X, x, places, i0, rows, entries, panels, at, bias, z, Z, z, targets, columns, relu)
                elif vectors == 2:
                    listed(2, X, x, places, i0, rows, entries, panels, at, bias, z, Z, z, targets, columns, relu)
                else:
                    listed(VECTORS, X, x, places, i0, rows, entries, panels, at, bias, z, Z, z, targets, columns, relu)
                # fmt: on
            at += len(entries) * vectors * lanes


def runs(table: Array) -> Array:
    """Places next to each other that see the same, each moved on by as much: (r, 3) first, first behind, step.

    Examples
    --------
    >>> from .layout import seen
    >>> runs(seen(size=6, kernel=3, stride=1, padding=1, dilation=1, out=6))
    array([[0, 1, 0],
           [1, 5, 1],
           [5, 6, 0]])
    """
    found, start = [], 0
    while start < len(table):
        behind, step = start + 1, 0
        if behind < len(table):
            step = moved(table, behind)
            while step and behind < len(table) and moved(table, behind) == step:
                behind += 1
        found.append((start, behind, step))
        start = behind
    return np.array(found, np.intp).reshape(len(found), 3)


@register_jitable
def window(largest, X, corner, sees, lists, W, bias, relu, Z, end):
    """What the windows see in X from the corner of its image on, channel by channel, into Z from that of its own on."""
    (sees_y, sees_x, runs_x), (lines, picks) = sees, lists
    image, out, weights = X.reshape(-1), Z.reshape(-1), W.reshape(-1)
    size, pitch, lanes = (1, X.shape[0], X.shape[1]), X.shape[2], BYTES // X.itemsize
    begin = (corner[0] * X.shape[1] + corner[1]) * pitch
    for y in range(len(sees_y)):
        z = ((end[0] + y) * Z.shape[1] + end[1]) * pitch
        for run in runs_x:
            base, x, behind, step = begin, run[0], run[1], run[2] * pitch
            count = list_rows(size, 0, sees_y[y], sees_x[x], pitch, lines, picks)
            while x < behind:
                # fmt: off
                if x + TOGETHER <= behind:
                    for c in range(0, pitch, lanes):
                        channelwise(TOGETHER, largest, image, base + c, step, lines, picks, count, weights, pitch,
                                    bias, c, relu, out, z + c, pitch)
                    done = TOGETHER
                else:
                    for c in range(0, pitch, lanes):
                        channelwise(1, largest, image, base + c, step, lines, picks, count, weights, pitch,
                                    bias, c, relu, out, z + c, pitch)
                    done = 1
                # fmt: on
                x, base, z = x + done, base + done * step, z + done * pitch


@compiled(
    lambda t: types.void(
        read(t, 3, "C"), CORNER, SEES, LISTS, read(t, 2, "C"), read(t, 1, "C"), types.boolean, written(t, 3), CORNER
    )
)
def depthwise_pixels(X, corner, sees, lists, W, bias, relu, Z, end):
    """Z[y, x, c] = bias[c] + Σ_k W[k, c] X[sees_y[y, ky], sees_x[x, kx], c]; W and bias have room as a pixel has.

    The images begin at `corner` of X and at `end` of Z. `sees` has the runs of places along x, too, and `lists` have
    room for the entries of a window.
    """
    window(False, X, corner, sees, lists, W, bias, relu, Z, end)


@compiled(
    lambda t: types.void(
        read(t, 3, "C"), CORNER, SEES, LISTS, read(t, 2, "C"), read(t, 1, "C"), types.boolean, written(t, 3), CORNER
    )
)
def largest_pixels(X, corner, sees, lists, W, bias, relu, Z, end):
    """Z[y, x, c] = the largest X[sees_y[y, ky], sees_x[x, kx], c], or NaN where there is one; of no weights."""
    window(True, X, corner, sees, lists, W, bias, relu, Z, end)
