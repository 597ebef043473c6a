"""Convolution and both of its gradients as loops around the micro-kernels of `filters`, without im2col.

`correlate`: the convolution, and its gradient by x, which is one with the filters turned round,

    for tiles of samples:                         two or three vectors at a time, 32 or 48 samples in float32
        pack the tile as a panel:                 a row for every entry, the samples side by side
        for groups of channels:
            for places y, x:
                list what the place sees:         (row of the panel, entry of the filter); moved on where it can be
                for blocks of filters:            `filters.gather`

`correlate_weights`: the gradient by W,

    for tiles of samples:
        pack g and x as panels, x with its padding; or read them where the samples lie side by side
        for parts of all places:
            for blocks of filters, for blocks of filter entries:    `filters.dots` over these places

naive      seven loops; the innermost runs along a filter, 5 numbers that lie together
im2col     copy what every place sees into a column, and multiply matrices: writes and reads every number 25 times for a
           filter of 5 × 5, which is more than a core's caches hold and often takes longer than the product
direct     vectors along the samples: memory is contiguous whatever the filter does, forwards and backwards, and an
           image is copied once
lists      which rows a place sees comes from a table for each axis: forwards source = s·place + d·k − r, backwards
           the same table read from the other side; so stride and dilation need no second kernel in either direction

The result lies in memory as it is computed: channels, places, and last the samples ("batch last"; its shape is
(N, O, …) all the same). A kernel that is handed such an array copies whole vectors, one that is handed an array in C
order turns square blocks on the way (`gemm.pack`): what follows a convolution (relu, pooling, the next one) needs no
turning any more, and flattening (N, C, H, W) to (N, C·H·W) is a view.

`gather_tile` and `dots_tile` know nothing of how a tile came to lie as it does: who keeps images as such tiles from
layer to layer, [tile][channel][place][sample], calls them as they are, and packs nothing.

A forward pass does 2·N·O·P·c·K operations on N·C·H·W + O·c·K + N·O·P numbers. It is bound by the multiply-adds, except
where c·K is small (one channel, depthwise): there storing the result takes longer than computing it.
"""

from __future__ import annotations

from numba import types
from numba.extending import register_jitable

from .filters import ACROSS, DOWN, dots, gather
from .gemm import pack
from .keeping import compiled, read, written
from .vectors import BYTES

INTEGER = types.intp
STEPS = 128  # of a walk along places and samples: so far a block's part of g stays in the L1 or L2 cache
INTEGERS, TABLE = read(INTEGER, 1, "C"), read(INTEGER, 2, "C")


@register_jitable
def from_line(buffer):
    """Leave out what lies before the first cache line, so that a vector lies in one of them, not two."""
    return buffer[-buffer.ctypes.data % 64 // buffer.itemsize :]


# The convolution, and its gradient by x -------------------------------------------------------------------------------


@register_jitable
def pack_filters(W, height, weights):
    """Copy W (groups, filters, channels, …) block by block: for every entry the weights of all filters of a block."""
    groups, filters, channels, down, along = W.shape
    at = 0
    for q in range(groups):
        for i0 in range(0, filters, height):
            for c in range(channels):
                for ky in range(down):
                    for kx in range(along):
                        for i in range(height):
                            weights[at] = W[q, i0 + i, c, ky, kx] if i0 + i < filters else 0
                            at += 1


@register_jitable
def list_rows(size, first, sees_y, sees_x, width, lines, picks):
    """Write down what a place sees in `size` (channels, rows, columns), from channel `first` of the panel on.

    `sees_y` and `sees_x` give the row and the column for every entry of the filter, or −1. Returns how many there are.
    """
    channels, rows, columns = size
    count = 0
    for ky in range(len(sees_y)):
        if sees_y[ky] >= 0:
            start = (first * rows + sees_y[ky]) * columns
            for kx in range(len(sees_x)):
                if sees_x[kx] >= 0:
                    lines[count] = (start + sees_x[kx]) * width
                    picks[count] = ky * len(sees_x) + kx
                    count += 1
    ahead, entries = rows * columns * width, len(sees_y) * len(sees_x)
    for c in range(1, channels):  # the same in every channel, which the compiler makes vectors of
        behind, chosen = lines[c * count : (c + 1) * count], picks[c * count : (c + 1) * count]
        for t in range(count):
            behind[t] = lines[t] + c * ahead
            chosen[t] = picks[t] + c * entries
    return count * channels


@register_jitable
def moved(table, t):
    """By how much place t sees the same as place t − 1, moved on; 0 if it doesn't."""
    found = 0
    for k in range(table.shape[1]):
        here, before = table[t, k], table[t - 1, k]
        if (here < 0) != (before < 0):
            return 0
        if here >= 0:
            if found != 0 and here - before != found:
                return 0
            found = here - before
    return found


@register_jitable
def gather_tile(panel, vectors, size, sees, lists, blocks, bias, relu, Z, n0, N):
    """Everything for one tile of samples, from a panel of `size` (channels of a group, rows, columns).

    `blocks` are the packed weights, their height, and how many groups and filters there are. Entry (o, place) of the
    tile's first sample goes to ``Z[(o · places + place) · N + n0]``, the others right behind it.
    """
    (sees_y, sees_x), (lines, picks) = sees, lists
    weights, height, groups, filters = blocks
    width = vectors * (BYTES // Z.itemsize)
    samples = min(width, N - n0)
    places = len(sees_y) * len(sees_x)
    block = height * size[0] * sees_y.shape[1] * sees_x.shape[1]  # numbers of a packed block
    of_a_group = (filters + height - 1) // height
    for q in range(groups):
        for y in range(len(sees_y)):
            count = base = 0
            for x in range(len(sees_x)):
                step = moved(sees_x, x) if x else 0
                base += step * width
                if step == 0:
                    count = list_rows(size, q * size[0], sees_y[y], sees_x[x], width, lines, picks)
                    base = 0
                for i0 in range(0, filters, height):
                    o, few = q * filters + i0, min(height, filters - i0)
                    packed = weights[(q * of_a_group + i0 // height) * block :]
                    at = (o * places + y * len(sees_x) + x) * N + n0
                    # fmt: off
                    gather(height, vectors, panel, base, lines, picks, count, packed, bias[o:],
                           Z, at, places * N, few, samples, relu)
                    # fmt: on


@compiled(
    lambda t: types.void(
        read(t, 2), read(t, 5), read(t, 1, "C"), types.boolean, types.UniTuple(INTEGER, 2), types.UniTuple(TABLE, 2),
        types.UniTuple(INTEGER, 2), types.UniTuple(written(INTEGER, 1), 2), types.UniTuple(written(t, 1), 2),
        written(t, 1),
    )
)  # fmt: skip
def correlate(X, W, bias, relu, size, sees, tile, lists, scratch, Z):
    """Z (filters, places, N) from X (channels · rows · columns, N), `size` (rows, columns), and W as packed above.

    `tile` has the height of a block of filters, and how many vectors of samples a tile has at most.
    """
    N, lanes = X.shape[1], BYTES // Z.itemsize
    (height, wide), weights, panel = tile, scratch[0], from_line(scratch[1])
    pack_filters(W, height, weights)
    blocks = (weights, height, W.shape[0], W.shape[1])
    tiles = max(1, (N + wide * lanes - 1) // (wide * lanes))
    most = max(1, (N + tiles * lanes - 1) // (tiles * lanes))  # tiles of about the same size
    for n0 in range(0, N, most * lanes):
        samples = min(most * lanes, N - n0)
        vectors = (samples + lanes - 1) // lanes
        pack(X, 0, len(X), n0, samples, vectors * lanes, panel)
        gather_tile(panel, vectors, (W.shape[2], *size), sees, lists, blocks, bias, relu, Z, n0, N)


# The gradient by W ----------------------------------------------------------------------------------------------------


@register_jitable
def pack_padded(X, n0, samples, width, size, padding, panel):
    """Pack images of `size` (channels, rows, columns) with zeros around them."""
    (channels, rows, columns), (down, along) = size, padding
    if down == 0 and along == 0:
        pack(X, 0, len(X), n0, samples, width, panel)
        return
    wide = (columns + 2 * along) * width
    for c in range(channels):
        for y in range(-down, rows + down):
            line = panel[(c * (rows + 2 * down) + y + down) * wide :]
            if 0 <= y < rows:
                line[: along * width] = 0
                pack(X, (c * rows + y) * columns, columns, n0, samples, width, line[along * width :])
                line[wide - along * width : wide] = 0
            else:
                line[:wide] = 0


@register_jitable
def dots_tile(G, panel, shape, shifts, at, steps, D):
    """Everything for one tile of samples: adds to D (groups · filters, entries) from the panels of g and of x."""
    groups, filters, entries = shape
    lanes = BYTES // D.itemsize
    for t0 in range(0, steps, STEPS):
        part = min(STEPS, steps - t0)
        for q in range(groups):
            for i0 in range(0, filters, ACROSS):
                o, few = q * filters + i0, min(ACROSS, filters - i0)
                height = 1 if few == 1 else ACROSS
                for j0 in range(0, entries, DOWN):
                    number = min(DOWN, entries - j0)
                    # fmt: off
                    dots(height, G, (o * steps + t0) * lanes, steps * lanes, part, panel, shifts[q * entries + j0 :],
                         at[t0:], D, o * entries + j0, entries, few, number)
                    # fmt: on


@compiled(
    lambda t: types.void(
        read(t, 2), read(t, 2), types.UniTuple(written(t, 1), 2), types.UniTuple(INTEGER, 3),
        types.UniTuple(INTEGER, 2), types.UniTuple(INTEGER, 3), INTEGERS, INTEGERS, types.intp,
        types.UniTuple(written(INTEGER, 1), 2), types.UniTuple(written(t, 1), 2), written(t, 1),
    )
)  # fmt: skip
def correlate_weights(G, X, ready, size, padding, shape, entry_rows, place_rows, most, lists, scratch, D):
    """D (groups · filters, entries) from G (filters · places, N) and X (channels · rows · columns, N).

    Place p meets entry j in row ``place_rows[p] + entry_rows[j]`` of the padded images. A tile has `most` vectors;
    where that is all of N, G and X may be `ready`: their memory, which is read as it is instead of a panel.
    """
    N, lanes = X.shape[1], BYTES // D.itemsize
    (shifts, at), gradients, panel = lists, from_line(scratch[0]), from_line(scratch[1])
    ready_G, ready_X = ready
    D[:] = 0
    for n0 in range(0, N, most * lanes):
        samples = min(most * lanes, N - n0)
        vectors = (samples + lanes - 1) // lanes
        width = vectors * lanes
        if len(ready_G):
            gradients = ready_G
        else:
            pack(G, 0, len(G), n0, samples, width, gradients)
        if len(ready_X):
            panel = ready_X
        else:
            pack_padded(X, n0, samples, width, size, padding, panel)
        for j in range(len(entry_rows)):
            shifts[j] = entry_rows[j] * width
        for p in range(len(place_rows)):
            for v in range(vectors):
                at[p * vectors + v] = place_rows[p] * width + v * lanes
        dots_tile(gradients, panel, shape, shifts, at, len(place_rows) * vectors, D)
