"""The second micro-kernel: a few neurons for a strip of samples, each with the weights that it has.

In a strip the samples lie side by side: X[k, :] holds feature k of all of them. So every sum runs along the lanes of
vectors, whichever weights there are; which ones decides only how far the walk goes, and over which rows of X.

    for i < rows:  for l < samples:
        Y[i, l] = start[i] + Σ_p A[i, p] · X[columns[p], l]

A dense layer walks over all rows of X (`columns` is None); CSR over those of one neuron's weights, and blocks of
rows × 1 over those that the block's neurons have in common. It is the same code, with other strides:

                 rows   vectors   A[i, p]
    dense        8      2         W[tile, k0 + p, i]                 X: 2 loads, W: 8 loads, 16 multiply-adds
    CSR          1      4         values[start + p]                  X: 4 loads, W: 1 load, 4 multiply-adds
    R×1 blocks   R      4, 2, 1   values[start + p, i]               R · vectors multiply-adds, as many sums

With one row there are only four sums, and each addition takes four cycles: CSR has two sets, which take turns. It is
bound by the loads of X, which is why a strip's rows must lie in the L1 cache; blocks and dense by the multiply-adds.
"""

from __future__ import annotations

from typing import Any

from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from .vectors import BYTES, INDEX, TILE, Emitter, N, Value

VECTORS = 4  # in a strip


def walk_loops(rows, vectors, A, a0, down, along, columns, p0, count, X, x0, bias, i0, Y, y0, first, relu):
    """Y[y0:][i, l] = start + Σ_p A[a0 + i·down + p·along] · X[x0:][columns[p0 + p], l], for `rows` neurons.

    A, X and Y are flat, and a row of X and of Y has `VECTORS` vectors, of which `vectors` are computed. The start is
    bias[i0 + i] where it is the first part of the sum, and otherwise what Y holds.
    """
    lanes = BYTES // X.itemsize
    for i in range(rows):
        row = a0 + i * down
        for at in range(vectors * lanes):
            y = y0 + i * VECTORS * lanes + at
            total = bias[i0 + i] if first else Y[y]
            for p in range(count):
                k = p if columns is None else columns[p0 + p]
                total += A[row + p * along] * X[x0 + k * VECTORS * lanes + at]
            Y[y] = 0 if relu and total <= 0 else total  # NaN is handed on


class Steps:
    """Where the walk reads: the numbers of A for every row, and the row of X at each step."""

    def __init__(self, e: Emitter, kinds: Any, args: Any, rows: int) -> None:
        A, a0, down, along, columns, p0, X, x0 = args
        self.e, self.along, self.columns = e, along, None
        start, _ = e.array(kinds[2], A)
        size = e.index(e.size)
        self.rows = [e.at(start, (a0, size), (e.builder.mul(e.index(i), down), size)) for i in range(rows)]
        self.x = e.at(e.array(kinds[9], X)[0], (x0, size))
        if not isinstance(kinds[6], types.NoneType):
            self.kind = e.context.get_data_type(kinds[6].dtype)
            found, _ = e.array(kinds[6], columns)
            self.columns = e.at(found, (p0, e.index(self.kind.width // 8)))

    def numbers(self, p: Value) -> list[Value]:
        """A[i, p] of every row, in all lanes."""
        e = self.e
        return [
            e.spread(e.load(e.at(row, (e.builder.mul(p, self.along), e.index(e.size))), e.number)) for row in self.rows
        ]

    def vectors(self, p: Value, count: int) -> list[Value]:
        """The row of X that step p reads."""
        e = self.e
        if self.columns is not None:
            k = e.load(e.at(self.columns, (p, e.index(self.kind.width // 8))), self.kind)
            p = e.builder.zext(k, INDEX)
        row = e.at(self.x, (p, e.index(VECTORS * BYTES)))
        return [e.load(e.at(row, (e.index(j), e.index(BYTES)))) for j in range(count)]


def emit_walk(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`walk_loops` in registers."""
    kinds = signature.args
    rows, vectors = (kind.literal_value for kind in kinds[:2])
    _, _, A, a0, down, along, columns, p0, count, X, x0, bias, i0, Y, y0, first, relu = args
    e = Emitter(context, builder, kinds[9].dtype)
    steps = Steps(e, kinds, (A, a0, down, along, columns, p0, X, x0), rows)
    y = e.at(e.array(kinds[13], Y)[0], (y0, e.index(e.size)))
    places = [[e.at(y, (e.index(i * VECTORS + j), e.index(BYTES))) for j in range(vectors)] for i in range(rows)]
    sets = [[[cgutils.alloca_once(builder, e.vector) for _ in range(vectors)] for _ in range(rows)] for _ in range(2)]
    starts, _ = e.array(kinds[11], bias)
    with builder.if_else(first) as (then, otherwise):
        with then:
            for i in range(rows):
                value = e.spread(e.load(e.at(starts, (builder.add(i0, e.index(i)), e.index(e.size))), e.number))
                for sum_ in sets[0][i]:
                    builder.store(value, sum_)
        with otherwise:
            for i in range(rows):
                for sum_, place in zip(sets[0][i], places[i], strict=True):
                    builder.store(e.load(place), sum_)

    def step(p: Value, sums: Any) -> None:
        loaded = steps.vectors(p, vectors)
        for number, row in zip(steps.numbers(p), sums, strict=True):
            for vector, sum_ in zip(loaded, row, strict=True):
                builder.store(e.multiply_add(number, vector, builder.load(sum_, typ=e.vector)), sum_)

    done = e.index(0)
    if rows * vectors <= 4:  # two sets of sums
        for row in sets[1]:
            for sum_ in row:
                builder.store(e.zero, sum_)
        pairs = builder.ashr(count, e.index(1))
        with cgutils.for_range(builder, pairs) as loop:
            p = builder.shl(loop.index, e.index(1))
            step(p, sets[0])
            step(builder.add(p, e.index(1)), sets[1])
        done = builder.shl(pairs, e.index(1))
        for row, other in zip(*sets, strict=True):
            for sum_, second in zip(row, other, strict=True):
                total = builder.fadd(builder.load(sum_, typ=e.vector), builder.load(second, typ=e.vector))
                builder.store(total, sum_)
    with cgutils.for_range(builder, builder.sub(count, done)) as loop:
        step(builder.add(done, loop.index), sets[0])
    for i in range(rows):
        for sum_, place in zip(sets[0][i], places[i], strict=True):
            value = builder.load(sum_, typ=e.vector)
            clipped = builder.select(builder.fcmp_ordered("<=", value, e.zero), e.zero, value)
            e.store(builder.select(relu, clipped, value), place)
    return context.get_dummy_value()


@intrinsic(prefer_literal=True)  # rows and vectors decide which instructions there are
def walk_vectors(typing, rows, vectors, A, a0, down, along, columns, p0, count, X, x0, bias, i0, Y, y0, first, relu):
    """`walk_loops` as instructions."""
    flag = types.boolean
    return (
        types.void(rows, vectors, A, N, N, N, columns, N, N, X, N, bias, N, Y, N, flag, flag),
        emit_walk,
    )


walk = walk_vectors if TILE.bits and not config.DISABLE_JIT else register_jitable(walk_loops)
