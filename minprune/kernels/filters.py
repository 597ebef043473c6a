"""The micro-kernels of convolution, as loops and as LLVM instructions (`vectors` says how the two relate).

An image lies as a panel: one row for every entry of every channel, and in it that entry for a tile of samples, side by
side. What a filter adds up at one place are rows of the panel: neither its stride nor padding nor dilation changes more
than which rows these are. So a list of rows is all that the micro-kernels know of geometry, and their vectors always
run along the samples, over memory without gaps.

`gather`: what some filters find at one place, in all samples of a tile,

    for i < rows:  for j < columns:  C[i, j] = bias[i] + Σ_t weights[pick[t], i] · panel[base + row[t], j]

naive      one number at a time: every multiply-add loads a weight and a number
blocked    some filters × some vectors in registers: with 8 × 3 a step of the list loads 3 vectors and 8 weights for 24
           multiply-adds
exact fit  the height of the blocks is chosen by the number of filters: 50 are 5 blocks of 10, 64 are 8 of 8, a
           depthwise filter is one of 1; as 7 blocks of 8 the 50 would take an eighth longer
listed     entries that lie in the padding are not in the list: no zeros are stored, read or multiplied

`dots`: how some filters' gradients and some shifted images agree, over all places and samples of a tile,

    for i < rows:  for j < columns:  D[i, j] += Σ_t Σ_lane G[i · stride + t, lane] · panel[shift[j] + at[t], lane]

naive      one dot product at a time: two loads for every multiply-add
blocked    5 × 5 dot products in registers: a step loads 5 + 5 vectors for 25 multiply-adds, and only at the very end of
           all places the lanes of a vector are added up

Both are bound by the multiply-adds, as long as what they read comes from the L1 or the L2 cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from .vectors import BYTES, INDEX, TILE, Emitter, N, Sums, Value

# How many filters a block may have, and how many vectors of samples; fewer vectors are compiled, too.
MANY, FEW = {10: 2, 8: 3, 4: 3, 1: 3}, {6: 2, 5: 2, 4: 3, 1: 3}  # with 32 registers, and with 16
HEIGHTS = FEW if TILE.bits == 256 else MANY
# Dot products at a time: filters × shifted images. As many as there are registers for, besides a vector of each filter
# and one of an image.
ACROSS, DOWN = {512: (5, 5), 256: (3, 4), 128: (5, 5), 0: (4, 4)}[TILE.bits]

# As loops -------------------------------------------------------------------------------------------------------------


def gather_loops(height, vectors, panel, base, lines, picks, count, weights, bias, C, at, stride, rows, columns, relu):
    """Set ``C[at + i·stride + j]`` from the listed rows of the panel; a step of the list is (row, pick)."""
    for i in range(rows):
        for j in range(columns):
            total = bias[i] if len(bias) else bias.dtype.type(0)
            for t in range(count):
                total += weights[picks[t] * height + i] * panel[base + lines[t] + j]
            C[at + i * stride + j] = 0 if relu and total <= 0 else total  # NaN is handed on


def dots_loops(height, G, g, stride, steps, panel, shifts, at, D, d, along, rows, columns):
    """Add to ``D[d + i·along + j]``; a step is one vector of samples at one place."""
    lanes = BYTES // panel.itemsize
    for i in range(rows):
        for j in range(columns):
            total = panel.dtype.type(0)
            for t in range(steps):
                for lane in range(lanes):
                    total += G[g + i * stride + t * lanes + lane] * panel[shifts[j] + at[t] + lane]
            D[d + i * along + j] += total


# As instructions ------------------------------------------------------------------------------------------------------


class FilterSums(Sums):
    """A tile whose rows are filters: each starts at its own bias."""

    def start_rows(self, bias: Value, has_bias: Value) -> None:
        """Set every row to its bias, or to 0."""
        e = self.e
        for i in range(self.height):
            for j in range(self.vectors):
                self.set(i, j, e.zero)
        with e.builder.if_then(has_bias):
            for i in range(self.height):
                with self.row(i):
                    value = e.spread(e.load(e.at(bias, (e.index(i), e.index(e.size))), e.number))
                    for j in range(self.vectors):
                        self.set(i, j, value)


def height_for(filters: int, heights: Iterable[int] = HEIGHTS) -> int:
    """The height of the blocks that so many filters are cut into; a step of the list costs a block its height and one.

    Examples
    --------
    >>> height_for(50, MANY)
    10
    """
    return min(heights, key=lambda height: -(-filters // height) * (height + 1))


def length(context: Any, builder: Any, kind: Any, value: Value) -> Value:
    """How many entries an array of one axis has."""
    return cgutils.unpack_tuple(builder, context.make_array(kind)(context, builder, value).shape, 1)[0]


def emit_gather(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`gather_loops` in registers: one piece of code for every height and number of vectors, of which one runs."""
    kinds = signature.args
    height, vectors, _, base, _, _, count, _, bias, _, at, stride, rows, columns, relu = args
    e = Emitter(context, builder, kinds[2].dtype)
    size = e.index(e.size)
    images = e.at(e.array(kinds[2], args[2])[0], (base, size))
    listed, picked, filters, biases = (e.array(kinds[k], args[k])[0] for k in (4, 5, 7, 8))
    out = e.at(e.array(kinds[9], args[9])[0], (at, size))
    has_bias = builder.icmp_signed(">", length(context, builder, kinds[8], bias), e.index(0))
    for tall in HEIGHTS:
        for wide in range(1, HEIGHTS[tall] + 1):
            same = builder.icmp_signed("==", height, e.index(tall)), builder.icmp_signed("==", vectors, e.index(wide))
            with builder.if_then(builder.and_(*same)):
                sums = FilterSums(e, wide, out, builder.mul(stride, size), rows, columns, tall)
                sums.start_rows(biases, has_bias)
                with cgutils.for_range(builder, count) as loop:
                    row, pick = (e.load(e.at(start, (loop.index, e.index(8))), INDEX) for start in (listed, picked))
                    start = e.at(images, (row, size))
                    loaded = [e.load(e.at(start, (e.index(j * e.lanes), size))) for j in range(wide)]
                    weight = e.at(filters, (pick, e.index(tall * e.size)))
                    for i in range(tall):
                        number = e.spread(e.load(e.at(weight, (e.index(i), size)), e.number))
                        for j, vector in enumerate(loaded):
                            sums.set(i, j, e.multiply_add(number, vector, sums.get(i, j)))
                sums.clip(relu)
                sums.end()
    return context.get_dummy_value()


def emit_dots(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`dots_loops` in registers, for blocks of ACROSS filters and of one."""
    kinds = signature.args
    height, _, g, stride, steps, _, _, _, _, d, along, rows, columns = args
    e = Emitter(context, builder, kinds[1].dtype)
    size, one = e.index(e.size), e.index(1)
    gradients, images, shifted, places = (e.array(kinds[k], args[k])[0] for k in (1, 5, 6, 7))
    out = e.at(e.array(kinds[8], args[8])[0], (d, size))

    def within(i: int, count: Value) -> Value:  # what is not there is read as the last one that is
        return builder.select(builder.icmp_signed("<", e.index(i), count), e.index(i), builder.sub(count, one))

    images = [e.at(images, (e.load(e.at(shifted, (within(j, columns), e.index(8))), INDEX), size)) for j in range(DOWN)]
    for tall in sorted({ACROSS, 1}):
        with builder.if_then(builder.icmp_signed("==", height, e.index(tall))):
            starts = [
                e.at(gradients, (builder.add(g, builder.mul(within(i, rows), stride)), size)) for i in range(tall)
            ]
            sums = [[cgutils.alloca_once(builder, e.vector) for _ in range(DOWN)] for _ in range(tall)]
            for place in (place for line in sums for place in line):
                builder.store(e.zero, place)
            with cgutils.for_range(builder, steps) as loop:
                offset = e.load(e.at(places, (loop.index, e.index(8))), INDEX)
                loaded = [e.load(e.at(start, (loop.index, e.index(BYTES)))) for start in starts]
                for j, image in enumerate(images):
                    other = e.load(e.at(image, (offset, size)))
                    for i, vector in enumerate(loaded):
                        total = e.multiply_add(vector, other, builder.load(sums[i][j], typ=e.vector))
                        builder.store(total, sums[i][j])
            for i in range(tall):
                for j in range(DOWN):
                    there = (builder.icmp_signed("<", e.index(k), n) for k, n in ((i, rows), (j, columns)))
                    with builder.if_then(builder.and_(*there)):
                        target = e.at(out, (builder.mul(e.index(i), along), size), (e.index(j), size))
                        pointer = builder.bitcast(target, e.number.as_pointer())
                        total = add_lanes(e, builder.load(sums[i][j], typ=e.vector))
                        builder.store(builder.fadd(builder.load(pointer, typ=e.number), total), pointer)
    return context.get_dummy_value()


def add_lanes(e: Emitter, vector: Value) -> Value:
    """The sum of a vector's lanes: its halves are added until one is left."""
    lanes = e.lanes
    while lanes > 1:
        lanes //= 2
        low, high = (e.shuffle(vector, vector, list(range(start, start + lanes))) for start in (0, lanes))
        vector = e.builder.fadd(low, high)
    return e.builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


@intrinsic
def gather_vectors(
    typing, height, vectors, panel, base, lines, picks, count, weights, bias, C, at, stride, rows, columns, relu
):
    """`gather_loops` as instructions."""
    kinds = (N, N, panel, N, lines, picks, N, weights, bias, C, N, N, N, N, types.boolean)
    return types.void(*kinds), emit_gather


@intrinsic
def dots_vectors(typing, height, G, g, stride, steps, panel, shifts, at, D, d, along, rows, columns):
    """`dots_loops` as instructions."""
    return types.void(N, G, N, N, N, panel, shifts, at, D, N, N, N, N), emit_dots


if TILE.bits and not config.DISABLE_JIT:
    gather, dots = gather_vectors, dots_vectors
else:
    gather, dots = (register_jitable(loops) for loops in (gather_loops, dots_loops))
