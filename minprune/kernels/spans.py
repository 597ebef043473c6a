"""The micro-kernel of sparse convolution: one filter, with the weights that it has, along a span of places.

An image lies as a panel: one row for every entry of every channel, and in it that entry for a tile of samples (see
`filters`). Whatever a filter lacks is lacking at every place alike. So one list serves all of them: the weights that
are kept, and for each the row that the first place sees through it; the places next to it see rows further on.

    for i < places:  for j < vectors · lanes:
        Y[i, j] = start + Σ_t values[t] · panel[x + rows[t] · width + i · step + j]

naive      one place at a time, 2 or 3 vectors of samples: every multiply-add loads its vector, and besides a weight and
           a row for every two or three; and so few sums have to wait for each other
spans      8 places at a time: a weight and its row are loaded once for 16 or 24 multiply-adds, which are independent
shared     filters have no zeros in common, so a vector cannot serve several of them as in `filters.gather`; the weight
           is what is shared here, and the vector is read by the multiply-add itself

It is bound by the loads, one vector for every multiply-add: with two loads and two multiply-adds in a cycle that is
within a tenth of what the dense kernel does, as long as the rows lie in the L1 cache; from the L2 cache a third of it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from .vectors import BYTES, INDEX, TILE, Emitter, N, Value

# Places at a time: the largest that there is still room for, and as many vectors of samples as 3. A sum needs a
# register of its own.
SPANS = (4, 2, 1) if TILE.bits == 256 else (8, 4, 2, 1)
WIDE = 3


def span_loops(
    places, vectors, values, rows, first, count, panel, x, step, start, sums, s, Y, y, down, begins, ends, relu
):
    """Y[y + i·down + j] = start + Σ_t values[first + t] · panel[x + rows[first + t] · width + i·step + j].

    A row of the panel is `vectors` vectors wide. A sum that only `begins` here waits in `sums`, from s on and without
    gaps, and one that only `ends` here starts at what waits there.
    """
    width = vectors * (BYTES // panel.itemsize)
    for i in range(places):
        for j in range(width):
            waiting = s + i * width + j
            total = start if begins else sums[waiting]
            for t in range(first, first + count):
                total += values[t] * panel[x + rows[t] * width + i * step + j]
            if ends:
                Y[y + i * down + j] = 0 if relu and total <= 0 else total  # NaN is handed on
            else:
                sums[waiting] = total


class Span:
    """The sums of one span in registers, vectors of samples at each place."""

    def __init__(self, e: Emitter, places: int, vectors: int) -> None:
        self.e, self.places, self.vectors = e, places, vectors
        self.sums = [cgutils.alloca_once(e.builder, e.vector) for _ in range(places * vectors)]

    def addresses(self, start: Value, down: Value) -> list[Value]:
        """Where each of them lies, if two places are so many bytes apart."""
        e = self.e
        places = [e.at(start, (e.index(i), down)) for i in range(self.places)]
        return [e.at(place, (e.index(j), e.index(BYTES))) for place in places for j in range(self.vectors)]

    def begin(self, begins: Value, start: Value, waiting: Value) -> None:
        """At a number, or at what waits."""
        e = self.e
        with e.builder.if_else(begins) as (then, otherwise):
            with then:
                value = e.spread(start)
                for sum_ in self.sums:
                    e.builder.store(value, sum_)
            with otherwise:
                for sum_, address in zip(self.sums, self.addresses(waiting, self.width), strict=True):
                    e.builder.store(e.load(address), sum_)

    @property
    def width(self) -> Value:
        """The bytes of a place."""
        return self.e.index(self.vectors * BYTES)

    def add(self, number: Value, x: Value, step: Value) -> None:
        """A weight times what every place sees through it, from x on."""
        e = self.e
        for sum_, address in zip(self.sums, self.addresses(x, step), strict=True):
            total = e.multiply_add(number, e.load(address), e.builder.load(sum_, typ=e.vector))
            e.builder.store(total, sum_)

    def end(self, relu: Value, target: Value, down: Value) -> None:
        """Store them, or what is above 0."""
        e = self.e
        for sum_, address in zip(self.sums, self.addresses(target, down), strict=True):
            value = e.builder.load(sum_, typ=e.vector)
            clipped = e.builder.select(e.builder.fcmp_ordered("<=", value, e.zero), e.zero, value)
            e.store(e.builder.select(relu, clipped, value), address)


def emit_span(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`span_loops` in registers: one piece of code for every number of places and vectors, of which one runs."""
    kinds = signature.args
    places, vectors, _, _, first, count, _, x, step, start, _, s, _, y, down, begins, ends, relu = args
    e = Emitter(context, builder, kinds[6].dtype)
    size, row_size = e.index(e.size), e.index(4)

    def address(k: int, index: Value, each: Value = size) -> Value:
        return e.at(e.array(kinds[k], args[k])[0], (index, each))

    values, rows, seen, waiting, out = (
        address(2, first), address(3, first, row_size), address(6, x), address(10, s), address(12, y)
    )  # fmt: skip
    target, step, down = builder.select(ends, out, waiting), builder.mul(step, size), builder.mul(down, size)
    for many in SPANS:
        for wide in range(1, WIDE + 1):
            same = builder.icmp_signed("==", places, e.index(many)), builder.icmp_signed("==", vectors, e.index(wide))
            with builder.if_then(builder.and_(*same)):
                sums = Span(e, many, wide)
                sums.begin(begins, start, waiting)
                with cgutils.for_range(builder, count) as loop:
                    number = e.spread(e.load(e.at(values, (loop.index, size)), e.number))
                    row = builder.zext(e.load(e.at(rows, (loop.index, row_size)), ir.IntType(32)), INDEX)
                    sums.add(number, e.at(seen, (row, sums.width)), step)
                sums.end(builder.and_(ends, relu), target, builder.select(ends, down, sums.width))
    return context.get_dummy_value()


@intrinsic
def span_vectors(
    typing, places, vectors, values, rows, first, count, panel, x, step, start, sums, s, Y, y, down, begins, ends, relu
):
    """`span_loops` as instructions."""
    flag = types.boolean
    kinds = (N, N, values, rows, N, N, panel, N, N, panel.dtype, sums, N, Y, N, N, flag, flag, flag)
    return types.void(*kinds), emit_span


span = span_vectors if TILE.bits and not config.DISABLE_JIT else register_jitable(span_loops)
