"""The micro-kernels of max-pooling, as loops and as LLVM instructions (`vectors` says how the two relate).

The images lie as a panel, as for `filters`: a row for every entry of every channel, the samples side by side.

`largest`: of the rows that a window lists, the largest entry for every sample of a tile, and which one it is,

    for n < samples:  for t < count:  if best[n] < panel[lines[t], n]:  best[n], which[n] = panel[lines[t], n], picks[t]

`hand_back`: the gradient goes to that entry,

    for t < count:  for n < samples:  panel[lines[t], n] = g[n] if which[n] = picks[t] else 0

naive      as the compiler makes it of loops over slices: each asks first whether its arrays overlap; 300 cycles for a
           window of 2 × 2
registers  best and which stay in registers for the whole window: a load, a comparison and two selections for each entry
           and vector; 40 cycles

They are bound by how fast the images are read and written.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from .vectors import BYTE, BYTES, INDEX, TILE, Emitter, N, Value

WIDE = 2  # vectors of a tile
NOWHERE = 255  # no entry of the window gets the gradient

# As loops -------------------------------------------------------------------------------------------------------------


def largest_loops(panel, base, lines, picks, count, Z, which, z, relu):
    """Set ``Z[z + n]`` and ``which[z + n]``; with `relu`, to NOWHERE where the largest is not above 0."""
    for n in range(WIDE * BYTES // panel.itemsize):
        best, number = panel.dtype.type(-float("inf")), 0
        for t in range(count):
            value = panel[base + lines[t] + n]
            if not best >= value and best == best:  # NaN is handed on
                best, number = value, picks[t]
        Z[z + n] = best
        which[z + n] = NOWHERE if relu and not best > 0 else number


def hand_back_loops(G, which, z, panel, base, lines, picks, count, alone):
    """Set or add to the listed rows of the panel."""
    for t in range(count):
        for n in range(WIDE * BYTES // panel.itemsize):
            found = G[z + n] if which[z + n] == picks[t] else panel.dtype.type(0)
            at = base + lines[t] + n
            panel[at] = found if alone else panel[at] + found


# As instructions ------------------------------------------------------------------------------------------------------


class Bytes:
    """Vectors of one byte for every lane of a vector of numbers."""

    def __init__(self, e: Emitter) -> None:
        self.e, self.kind = e, ir.VectorType(BYTE, e.lanes)

    def spread(self, value: Value) -> Value:
        """The lowest byte of a number in all lanes."""
        return self.e.spread(self.e.builder.trunc(value, BYTE))

    def store(self, value: Value, address: Value) -> None:
        """A vector, at any alignment."""
        self.e.builder.store(value, self.e.builder.bitcast(address, self.kind.as_pointer()), align=1)


def emit_largest(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`largest_loops` in registers."""
    kinds = signature.args
    _, base, _, _, count, _, _, z, relu = args
    e = Emitter(context, builder, kinds[0].dtype)
    b, size = Bytes(e), e.index(e.size)
    images = e.at(e.array(kinds[0], args[0])[0], (base, size))
    listed, picked = (e.array(kinds[k], args[k])[0] for k in (2, 3))
    out, chosen = e.at(e.array(kinds[5], args[5])[0], (z, size)), e.at(e.array(kinds[6], args[6])[0], (z, e.index(1)))
    best = [cgutils.alloca_once(builder, e.vector) for _ in range(WIDE)]
    which = [cgutils.alloca_once(builder, b.kind) for _ in range(WIDE)]
    for j in range(WIDE):
        builder.store(ir.Constant(e.vector, [float("-inf")] * e.lanes), best[j])
        builder.store(ir.Constant(b.kind, [0] * e.lanes), which[j])
    with cgutils.for_range(builder, count) as loop:
        row, pick = (e.load(e.at(start, (loop.index, e.index(8))), INDEX) for start in (listed, picked))
        start, number = e.at(images, (row, size)), b.spread(pick)
        for j in range(WIDE):
            value, before = e.load(e.at(start, (e.index(j), e.index(BYTES)))), builder.load(best[j], typ=e.vector)
            less = builder.fcmp_unordered("<", before, value)
            takes = builder.and_(less, builder.fcmp_ordered("ord", before, before))
            builder.store(builder.select(takes, value, before), best[j])
            builder.store(builder.select(takes, number, builder.load(which[j], typ=b.kind)), which[j])
    nowhere = ir.Constant(b.kind, [NOWHERE] * e.lanes)
    for j in range(WIDE):
        value, number = builder.load(best[j], typ=e.vector), builder.load(which[j], typ=b.kind)
        e.store(value, e.at(out, (e.index(j), e.index(BYTES))))
        clipped = builder.select(builder.fcmp_ordered(">", value, e.zero), number, nowhere)
        b.store(builder.select(relu, clipped, number), e.at(chosen, (e.index(j), e.index(e.lanes))))
    return context.get_dummy_value()


def emit_hand_back(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`hand_back_loops` in registers."""
    kinds = signature.args
    _, _, z, _, base, _, _, count, alone = args
    e = Emitter(context, builder, kinds[0].dtype)
    b, size = Bytes(e), e.index(e.size)
    images = e.at(e.array(kinds[3], args[3])[0], (base, size))
    listed, picked = (e.array(kinds[k], args[k])[0] for k in (5, 6))
    start, chosen = e.at(e.array(kinds[0], args[0])[0], (z, size)), e.at(e.array(kinds[1], args[1])[0], (z, e.index(1)))
    gradients = [e.load(e.at(start, (e.index(j), e.index(BYTES)))) for j in range(WIDE)]
    numbers = [e.load(e.at(chosen, (e.index(j), e.index(e.lanes))), b.kind) for j in range(WIDE)]
    with cgutils.for_range(builder, count) as loop:
        row, pick = (e.load(e.at(place, (loop.index, e.index(8))), INDEX) for place in (listed, picked))
        target, number = e.at(images, (row, size)), b.spread(pick)
        for j in range(WIDE):
            found = builder.select(builder.icmp_signed("==", numbers[j], number), gradients[j], e.zero)
            place = e.at(target, (e.index(j), e.index(BYTES)))
            with builder.if_else(alone) as (then, otherwise):
                with then:
                    e.store(found, place)
                with otherwise:
                    e.store(builder.fadd(e.load(place), found), place)
    return context.get_dummy_value()


@intrinsic
def largest_vectors(typing, panel, base, lines, picks, count, Z, which, z, relu):
    """`largest_loops` as instructions."""
    return types.void(panel, N, lines, picks, N, Z, which, N, types.boolean), emit_largest


@intrinsic
def hand_back_vectors(typing, G, which, z, panel, base, lines, picks, count, alone):
    """`hand_back_loops` as instructions."""
    return types.void(G, which, N, panel, N, lines, picks, N, types.boolean), emit_hand_back


if TILE.bits and not config.DISABLE_JIT:
    largest, hand_back = largest_vectors, hand_back_vectors
else:
    largest, hand_back = (register_jitable(loops) for loops in (largest_loops, hand_back_loops))
