"""Convolution with filters of which weights are gone, here and there: only the kept ones are read and multiplied.

    for tiles of samples:                         two or three vectors at a time
        pack the tile as a panel, zeros around:   or read it where it lies so already (`sparse_tile`)
        for spans of places:                      8 beside each other, or what is left of a row
            for parts of the channels:            what a span sees of them stays in the L1 cache
                for filters:                      `spans.span`, with the filter's weights in the part

naive      multiply with the zeros: the dense kernel takes as long for a filter of zeros as for any other
im2col     copy what every place sees into columns, and multiply them with a CSR matrix: 25 copies of every number for a
           filter of 5 × 5, when nine tenths of them are not asked for
direct     the same panels as the dense kernel (`correlate`); a kept weight is a row of the panel, moved on from place
           to place. With the padding in the panel a filter has one list for all places
parts      what one span sees through all filters is too much for the L1 cache, and every filter looks at all of it: so
           a part of the channels at a time, and meanwhile the sums wait in a place of their own

It is bound by the loads, one vector for each multiply-add, and between them by the sums that come from `sums` and go
back. So it does without zeros 65 to 80 % of what the dense kernel does, and pays from a quarter to two fifths of zeros
on, with stride 2 from a half. With nine tenths of zeros, packing the images and writing the result is of the same size
as the work: it is 2 to 4 times as fast as the dense kernel, 3 to 6 times where the images lie as tiles, and 6 to 7
times as fast as im2col and a CSR product (`bench/sparse_conv.py`, AVX-512).
"""

from __future__ import annotations

from numba import types
from numba.extending import register_jitable

from .correlate import INTEGER, from_line, pack_padded
from .keeping import compiled, read, written
from .spans import SPANS, span
from .vectors import BYTES

ROW = types.int32
GEOMETRY = types.Tuple((types.UniTuple(INTEGER, 3), *[types.UniTuple(INTEGER, 2)] * 3))
FILTERS = (read(ROW, 1, "C"), read(INTEGER, 2, "C"))


@register_jitable
def span_tile(panel, vectors, filters, bias, relu, out, steps, sums, Y, at, down):
    """Everything for one tile of samples, from a panel that has its padding.

    `filters` are values, rows and starts, as `sparse_filters.Placed` has them. Places lie in `out` (rows, columns), and
    what two of them see is `steps` rows of the panel apart; `sums` is where the sums of a span wait. Entry (o, place)
    of the first sample goes to ``Y[at + (o · places + place) · down]``, the others right behind it.
    """
    values, rows, starts = filters
    width = vectors * (BYTES // Y.itemsize)
    parts, count = starts.shape[0], starts.shape[1] - 1
    for y in range(out[0]):
        x = 0
        while x < out[1]:
            places = SPANS[0]
            while places > out[1] - x:
                places //= 2
            seen, step = (y * steps[0] + x * steps[1]) * width, steps[1] * width
            for part in range(parts):
                begins, ends = part == 0, part == parts - 1
                for o in range(count):
                    first = starts[part, o]
                    here = at + ((o * out[0] + y) * out[1] + x) * down
                    # fmt: off
                    span(places, vectors, values, rows, first, starts[part, o + 1] - first, panel, seen, step,
                         bias[o], sums, o * places * width, Y, here, down, begins, ends, relu)
                    # fmt: on
            x += places


@compiled(
    lambda t: types.void(
        read(t, 1, "C"), *FILTERS, read(t, 1, "C"), types.boolean, *[types.UniTuple(INTEGER, 2)] * 2,
        read(t, 4, "C"), written(t, 1), written(t, 4),
    )
)  # fmt: skip
def sparse_tile(values, rows, starts, bias, relu, out, steps, X, sums, Z):
    """Z (O, H, W, T) = bias + the filters on X (C, H, W, T), with its padding, for all samples of a tile."""
    vectors = Z.shape[3] // (BYTES // Z.itemsize)
    # fmt: off
    span_tile(X.reshape(-1), vectors, (values, rows, starts), bias, relu, out, steps, from_line(sums), Z.reshape(-1),
              0, Z.shape[3])
    # fmt: on


@compiled(
    lambda t: types.void(
        read(t, 1, "C"), *FILTERS, read(t, 1, "C"), types.boolean, GEOMETRY, INTEGER,
        read(t, 2), types.UniTuple(written(t, 1), 3), written(t, 2),
    )
)  # fmt: skip
def sparse_correlate(values, rows, starts, bias, relu, geometry, most, X, scratch, Z):
    """Z (filters · places, N) from X (channels · rows · columns, N), in tiles of at most so many vectors."""
    size, padding, out, steps = geometry
    N, lanes, flat = X.shape[1], BYTES // Z.itemsize, Z.reshape(-1)
    panel, sums, spare = from_line(scratch[0]), from_line(scratch[1]), from_line(scratch[2])
    for n0 in range(0, N, most * lanes):
        samples = min(most * lanes, N - n0)
        vectors = (samples + lanes - 1) // lanes
        width = vectors * lanes
        pack_padded(X, n0, samples, width, size, padding, panel)
        whole = samples == width  # otherwise vectors reach over the last sample: not into Z
        target, at, down = (flat, n0, N) if whole else (spare, 0, width)
        span_tile(panel, vectors, (values, rows, starts), bias, relu, out, steps, sums, target, at, down)
        if not whole:
            for row in range(len(Z)):
                for n in range(samples):
                    Z[row, n0 + n] = spare[row * width + n]
