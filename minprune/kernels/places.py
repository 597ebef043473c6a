"""The micro-kernels of images whose channels lie side by side.

`listed`: a block of filters at a few places of one image,

    for i < rows:  for j < columns:
        Z[targets[i] + z + j] = bias[j] + Σ_k X[places[i] + x + entries[k]] · panel[p + k · width + j]

What a place sees through entry k of a filter lies at its own address plus that of the entry, whatever stride, dilation
and padding are. So two lists say all of it, and the product is that of `vectors.tile`, whose rows of A were told by
two strides; here a row is a place, and a step along it is looked up.

naive      seven loops, which add up one number at a time
im2col     copy what every place sees into a row, and multiply matrices: 25 times the image for a filter of 5 × 5
listed     read it where it lies: one more load in a step that has 3 for the weights, 8 for the places and 24
           multiply-adds; places of several lines share a tile, so that an image of 5 × 5 takes 4 tiles of 8, not 5

It is bound by the multiply-adds, as long as the panel comes from the L2 cache at 16 bytes a cycle.

`channelwise`: what every channel does by itself, at places that lie side by side,

    for i < rows:  for j < lanes:
        Z[z + i · down + j] = bias[c + j] + Σ_t X[x + i · step + lines[t] + j] · W[picks[t] · pitch + c + j]
                              or the largest X[x + i · step + lines[t] + j]

naive         loops along the channels, which the compiler makes into vectors: where there are 16 or 32 of them, looking
              at whether the arrays overlap takes longer than adding up
in registers  the sums of several places: a vector of weights is loaded once for all of them, and while one sum waits
              for itself the others go on; bound by the loads of the image
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from .vectors import BYTES, INDEX, ROWS, TILE, Emitter, N, Sums, Value


def listed_loops(vectors, X, x, places, i0, rows, entries, panel, p, bias, j0, Z, z, targets, columns, relu):
    """Z[targets[i] + z + j] = bias[j0 + j] + Σ_k X[places[i] + x + entries[k]] · panel[p + k·width + j].

    For `rows` places i, from i0 on. A row of the panel has `vectors` vectors, of which `columns` numbers are wanted.
    """
    width = vectors * (BYTES // X.itemsize)
    for i in range(i0, i0 + rows):
        for j in range(columns):
            total = bias[j0 + j]
            for k in range(len(entries)):
                total += X[places[i] + x + entries[k]] * panel[p + k * width + j]
            Z[targets[i] + z + j] = 0 if relu and total <= 0 else total  # NaN is handed on


class Scattered(Sums):
    """A tile whose rows lie wherever a list says."""

    def __init__(self, e: Emitter, vectors: int, rows: Value, columns: Value, starts: list[Value]) -> None:
        super().__init__(e, vectors, starts[0], e.index(0), rows, columns)
        self.starts = starts

    def row_start(self, i: int) -> Value:
        """Where row i begins."""
        return self.starts[i]


def emit_listed(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`listed_loops` in registers."""
    kinds = signature.args
    vectors = kinds[0].literal_value
    _, X, x, places, i0, rows, entries, panel, p, bias, j0, Z, z, targets, columns, relu = args
    e = Emitter(context, builder, kinds[1].dtype)
    size, eight = e.index(e.size), e.index(8)

    def address(k: int, array: Value, index: Value, each: Value = size) -> Value:
        return e.at(e.array(kinds[k], array)[0], (index, each))

    seen, weights = address(1, X, x), address(7, panel, p)
    biases, out = address(9, bias, j0), address(11, Z, z)
    origins, ends = address(3, places, i0, eight), address(13, targets, i0, eight)
    listed, _ = e.array(kinds[6], entries)
    count = cgutils.unpack_tuple(builder, context.make_array(kinds[6])(context, builder, entries).shape, 1)[0]
    last = builder.sub(rows, e.index(1))
    starts, stores = [], []
    for i in range(ROWS):  # a place that there is not is read as the last one
        there = builder.select(builder.icmp_signed("<", e.index(i), last), e.index(i), last)
        starts.append(e.at(seen, (e.load(e.at(origins, (there, eight)), INDEX), size)))
        stores.append(e.at(out, (e.load(e.at(ends, (there, eight)), INDEX), size)))
    sums = Scattered(e, vectors, rows, columns, stores)
    yes = ir.Constant(ir.IntType(1), 1)
    sums.begin(yes, biases, yes)
    with cgutils.for_range(builder, count) as loop:
        step = e.at(weights, (loop.index, e.index(vectors * BYTES)))
        loaded = [e.load(e.at(step, (e.index(j), e.index(BYTES)))) for j in range(vectors)]
        entry = e.load(e.at(listed, (loop.index, eight)), INDEX)
        for i, start in enumerate(starts):
            number = e.spread(e.load(e.at(start, (entry, size)), e.number))
            for j, vector in enumerate(loaded):
                sums.set(i, j, e.multiply_add(number, vector, sums.get(i, j)))
    sums.clip(relu)
    sums.end()
    return context.get_dummy_value()


@intrinsic(prefer_literal=True)  # the number of vectors decides which instructions there are
def listed_vectors(typing, vectors, X, x, places, i0, rows, entries, panel, p, bias, j0, Z, z, targets, columns, relu):
    """`listed_loops` as instructions."""
    flag = types.boolean
    kinds = vectors, X, N, places, N, N, entries, panel, N, bias, N, Z, N, targets, N, flag
    return types.void(*kinds), emit_listed


# Channel by channel ---------------------------------------------------------------------------------------------------


def channelwise_loops(rows, largest, X, x, step, lines, picks, count, W, pitch, bias, c, relu, Z, z, down):
    """The largest number, or the weighted sum, of what `rows` places see in the vector of channels from c on."""
    for i in range(rows):
        for j in range(BYTES // X.itemsize):
            total = Z.dtype.type(-np.inf) if largest else bias[c + j]
            for t in range(count):
                value = X[x + i * step + lines[t] + j]
                if not largest:
                    total += W[picks[t] * pitch + c + j] * value
                elif not total >= value and total == total:  # NaN is handed on
                    total = value
            Z[z + i * down + j] = 0 if relu and total <= 0 else total


def emit_channelwise(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`channelwise_loops` in registers."""
    kinds = signature.args
    rows = kinds[0].literal_value
    _, largest, X, x, step, lines, picks, count, W, pitch, bias, c, relu, Z, z, down = args
    e = Emitter(context, builder, kinds[2].dtype)
    size, eight = e.index(e.size), e.index(8)
    image, weights = e.at(e.array(kinds[2], X)[0], (x, size)), e.at(e.array(kinds[8], W)[0], (c, size))
    biases, out = e.at(e.array(kinds[10], bias)[0], (c, size)), e.at(e.array(kinds[13], Z)[0], (z, size))
    listed, picked = e.array(kinds[5], lines)[0], e.array(kinds[6], picks)[0]
    images, targets = (
        [e.at(start, (builder.mul(e.index(i), far), size)) for i in range(rows)]
        for start, far in ((image, step), (out, down))
    )
    sums = [cgutils.alloca_once(builder, e.vector) for _ in range(rows)]

    def seen(t: Value) -> list[Value]:
        line = e.load(e.at(listed, (t, eight)), INDEX)
        return [e.load(e.at(start, (line, size))) for start in images]

    with builder.if_else(largest) as (then, otherwise):
        with then:
            for sum_ in sums:
                builder.store(ir.Constant(e.vector, [float("-inf")] * e.lanes), sum_)
            with cgutils.for_range(builder, count) as loop:
                for sum_, value in zip(sums, seen(loop.index), strict=True):
                    total = builder.load(sum_, typ=e.vector)
                    less = builder.fcmp_unordered("<", total, value)
                    takes = builder.and_(less, builder.fcmp_ordered("ord", total, total))
                    builder.store(builder.select(takes, value, total), sum_)
        with otherwise:
            start = e.load(biases)
            for sum_ in sums:
                builder.store(start, sum_)
            with cgutils.for_range(builder, count) as loop:
                pick = e.load(e.at(picked, (loop.index, eight)), INDEX)
                weight = e.load(e.at(weights, (builder.mul(pick, pitch), size)))
                for sum_, value in zip(sums, seen(loop.index), strict=True):
                    total = builder.load(sum_, typ=e.vector)
                    builder.store(e.multiply_add(weight, value, total), sum_)
    for sum_, target in zip(sums, targets, strict=True):
        total = builder.load(sum_, typ=e.vector)
        clipped = builder.select(builder.fcmp_ordered("<=", total, e.zero), e.zero, total)
        e.store(builder.select(relu, clipped, total), target)
    return context.get_dummy_value()


@intrinsic(prefer_literal=True)  # the number of places decides which instructions there are
def channelwise_vectors(typing, rows, largest, X, x, step, lines, picks, count, W, pitch, bias, c, relu, Z, z, down):
    """`channelwise_loops` as instructions."""
    flag = types.boolean
    return types.void(rows, flag, X, N, N, lines, picks, N, W, N, bias, N, flag, Z, N, N), emit_channelwise


listed = listed_vectors if TILE.bits and not config.DISABLE_JIT else register_jitable(listed_loops)
channelwise = channelwise_vectors if TILE.bits and not config.DISABLE_JIT else register_jitable(channelwise_loops)
