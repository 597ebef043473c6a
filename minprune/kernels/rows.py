"""Layers on rows, one sample below the other, for batches so small that strips would stay empty.

    for every sample n:  for every neuron j:  y[n, j] = b[j] + Σ_i W[j, i] x[n, i]

Each weight is used once, so it is bound by how fast W is read: from the L2 cache, if it fits there.

naive     one sum waits for itself: every addition takes four cycles
by eight  eight neurons at a time share each vector of x, and have sums of their own: `dots`
in order  W lies as it is read, eight vectors of eight neurons after each other, from its first number to its last:
          one stream, which the CPU fetches ahead. Row below row, a stream ends after 3 kB, and the fetching begins anew:
          784 → 300 takes 9.1 µs instead of 7.0 (104 and 137 GB/s; Intel, AVX-512)
fused     bias and ReLU act on the sums: no further call, no further pass

What is not stored is not read: a pruned layer is faster in proportion, and a sparse one in proportion to its bytes,
once the indices and the gathering cost less than what they save. In the sparse loop

unsigned  indices that cannot be negative need no look at whether they count from the end: without that, and along
          slices of the arrays, it becomes vectors, too, which gather x[columns[p]]; four times as fast
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from ..ops import Array
from .keeping import compiled, read, written
from .strips import aligned
from .vectors import BYTES, TILE, Emitter, N, Value

EIGHT = 8  # neurons at a time


def dots_loops(W, w, x, begin, count, sums):
    """sums[r] = Σ_i W[w + the place of weight i of neuron r] · x[begin + i] for eight neurons and i < count."""
    lanes = BYTES // W.itemsize
    for r in range(EIGHT):
        total = W.dtype.type(0)
        for i in range(count):
            total += W[w + (i // lanes * EIGHT + r) * lanes + i % lanes] * x[begin + i]
        sums[r] = total


def emit_dots(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`dots_loops` in registers: a sum in every lane, and at the end the sum of the lanes."""
    kinds = signature.args
    W, w, x, begin, count, sums = args
    e = Emitter(context, builder, kinds[0].dtype)
    size = e.index(e.size)
    weights, values = e.at(e.array(kinds[0], W)[0], (w, size)), e.at(e.array(kinds[2], x)[0], (begin, size))
    out, _ = e.array(kinds[5], sums)
    totals = [cgutils.alloca_once(builder, e.vector) for _ in range(EIGHT)]
    for total in totals:
        builder.store(e.zero, total)

    def add(t: Value, vector: Value) -> None:
        row = e.at(weights, (t, e.index(EIGHT * BYTES)))
        for r, total in enumerate(totals):
            weight = e.load(e.at(row, (e.index(r), e.index(BYTES))))
            builder.store(e.multiply_add(weight, vector, builder.load(total, typ=e.vector)), total)

    lanes = e.index(e.lanes)
    whole = builder.sdiv(count, lanes)
    with cgutils.for_range(builder, whole) as loop:
        add(loop.index, e.load(e.at(values, (loop.index, e.index(BYTES)))))
    left = builder.sub(count, builder.mul(whole, lanes))
    with builder.if_then(builder.icmp_signed(">", left, e.index(0))):  # x ends within a vector
        add(whole, e.load_masked(e.at(values, (whole, e.index(BYTES))), e.mask(left)))
    kind = ir.FunctionType(e.number, [e.number, e.vector])
    across = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.{e.code}")
    for r, total in enumerate(totals):
        start = ir.Constant(e.number, -0.0)
        found = builder.call(across, [start, builder.load(total, typ=e.vector)], fastmath=("reassoc",))
        builder.store(found, builder.bitcast(e.at(out, (e.index(r), size)), e.number.as_pointer()))
    return context.get_dummy_value()


@intrinsic
def dots_vectors(typing, W, w, x, begin, count, sums):
    """`dots_loops` as instructions."""
    return types.void(W, N, x, N, N, sums), emit_dots


dots = dots_vectors if TILE.bits and not config.DISABLE_JIT else register_jitable(dots_loops)


@compiled(
    lambda t: types.void(
        read(t, 1, "C"), read(t, 1, "C"), types.boolean, read(t, 2, "C"), types.intp, written(t, 1), written(t, 2)
    )
)
def dense_rows(W, bias, relu, x, count, sums, y):
    """y[n] = W x[n] + bias, or what of it is above 0, for n < count; W as `by_eights`, and room for eight sums."""
    J, I = y.shape[1], x.shape[1]  # noqa: E741
    lanes = BYTES // x.itemsize
    block = (I + lanes - 1) // lanes * lanes * EIGHT
    given = x.reshape(-1)
    for n in range(count):
        for j0 in range(0, J, EIGHT):
            dots(W, j0 // EIGHT * block, given, n * I, I, sums)
            for r in range(min(EIGHT, J - j0)):
                value = sums[r] + bias[j0 + r]
                y[n, j0 + r] = 0 if relu and value <= 0 else value  # NaN is handed on


def by_eights(W: Array) -> Array:
    """A matrix (J, I) as `dense_rows` reads it: flat, and filled up with zeros to blocks of eight rows, and to vectors.

    Examples
    --------
    >>> stored = by_eights(np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> lanes = BYTES // 8
    >>> stored[:2], stored[lanes : lanes + 2]
    (array([1., 2.]), array([3., 4.]))
    """
    (J, I), lanes = W.shape, BYTES // W.itemsize  # noqa: E741
    rows, vectors = -(-J // EIGHT), -(-I // lanes)
    whole = np.zeros((rows * EIGHT, vectors * lanes), W.dtype)
    whole[:J, :I] = W
    stored = aligned((rows, vectors, EIGHT, lanes), W.dtype)
    stored[...] = whole.reshape(rows, EIGHT, vectors, lanes).swapaxes(1, 2)
    return stored.reshape(-1)


@compiled(
    lambda t: types.void(
        read(t, 1, "C"),
        read(types.uint16, 1, "C"),
        read(types.intp, 1, "C"),
        read(t, 1, "C"),
        types.boolean,
        read(t, 2, "C"),
        types.intp,
        written(t, 2),
    )
)
def sparse_rows(values, columns, offsets, bias, relu, x, count, y):
    """y[n] = W x[n] + bias from W's CSR arrays, for n < count."""
    for n in range(count):
        row = x[n]
        for j in range(len(offsets) - 1):
            own, places = values[offsets[j] : offsets[j + 1]], columns[offsets[j] : offsets[j + 1]]
            total = bias[j]
            for p in range(len(own)):
                total += own[p] * row[np.uint64(places[p])]
            y[n, j] = 0 if relu and total <= 0 else total
