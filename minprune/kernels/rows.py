"""Layers on rows, one sample below the other, for batches so small that strips would stay empty.

    for every sample n:  for every neuron j:  y[n, j] = b[j] + Σ_i W[j, i] x[n, i]

Each weight is used once, so it is bound by how fast W is read: from the L2 cache, if it fits there.

naive     one sum waits for itself: every addition takes four cycles
by eight  eight neurons at a time share each vector of x, and have sums of their own: `eight`
in order  W lies as it is read, eight vectors of eight neurons after each other, from its first number to its last:
          one stream, which the CPU fetches ahead. Row below row, a stream ends after 3 kB and the next one begins: a
          layer 784 → 300 takes 9.1 µs instead of 7.0 (104 and 137 GB/s; Intel, AVX-512)
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


def eight_loops(W, w, x, begin, count, y, at, few, relu):
    """y[at + r] = b[r] + Σ_i W[r, i] x[begin + i] for i < count and r < few, of the neurons whose block begins at w."""
    lanes = BYTES // W.itemsize
    behind = w + (EIGHT + lanes - 1) // lanes * lanes  # their biases
    for r in range(few):
        total = W[w + r]
        for i in range(count):
            total += W[behind + (i // lanes * EIGHT + r) * lanes + i % lanes] * x[begin + i]
        y[at + r] = 0 if relu and total <= 0 else total  # NaN is handed on


def emit_eight(context: Any, builder: Any, signature: Any, args: Any) -> Value:
    """`eight_loops` in registers: a sum in every lane, and at the end the sum of the lanes."""
    kinds = signature.args
    W, w, x, begin, count, y, at, few, relu = args
    e = Emitter(context, builder, kinds[0].dtype)
    size, lanes = e.index(e.size), e.index(e.lanes)
    biases, values = e.at(e.array(kinds[0], W)[0], (w, size)), e.at(e.array(kinds[2], x)[0], (begin, size))
    weights = e.at(biases, (e.index(-(-EIGHT // e.lanes)), e.index(BYTES)))
    out = e.at(e.array(kinds[5], y)[0], (at, size))
    totals = [cgutils.alloca_once(builder, e.vector) for _ in range(EIGHT)]
    for total in totals:
        builder.store(e.zero, total)

    def add(t: Value, vector: Value) -> None:
        row = e.at(weights, (t, e.index(EIGHT * BYTES)))
        for r, total in enumerate(totals):
            weight = e.load(e.at(row, (e.index(r), e.index(BYTES))))
            builder.store(e.multiply_add(weight, vector, builder.load(total, typ=e.vector)), total)

    whole = builder.sdiv(count, lanes)
    with cgutils.for_range(builder, whole) as loop:
        add(loop.index, e.load(e.at(values, (loop.index, e.index(BYTES)))))
    left = builder.sub(count, builder.mul(whole, lanes))
    with builder.if_then(builder.icmp_signed(">", left, e.index(0))):  # x ends within a vector
        add(whole, e.load_masked(e.at(values, (whole, e.index(BYTES))), e.mask(left)))
    kind = ir.FunctionType(e.number, [e.number, e.vector])
    across = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.{e.code}")
    zero = ir.Constant(e.number, 0.0)
    for r, total in enumerate(totals):
        with builder.if_then(builder.icmp_signed("<", e.index(r), few)):
            bias = e.load(e.at(biases, (e.index(r), size)), e.number)
            value = builder.call(across, [bias, builder.load(total, typ=e.vector)], fastmath=("reassoc",))
            clipped = builder.select(builder.fcmp_ordered("<=", value, zero), zero, value)
            target = builder.bitcast(e.at(out, (e.index(r), size)), e.number.as_pointer())
            builder.store(builder.select(relu, clipped, value), target)
    return context.get_dummy_value()


@intrinsic
def eight_vectors(typing, W, w, x, begin, count, y, at, few, relu):
    """`eight_loops` as instructions."""
    return types.void(W, N, x, N, N, y, N, N, types.boolean), emit_eight


eight = eight_vectors if TILE.bits and not config.DISABLE_JIT else register_jitable(eight_loops)


@compiled(lambda t: types.void(read(t, 1, "C"), types.boolean, read(t, 2, "C"), types.intp, written(t, 2)))
def dense_rows(W, relu, x, count, y):
    """y[n] = W x[n] + bias, or what of it is above 0, for n < count; weights and bias as `by_eights`."""
    J, I = y.shape[1], x.shape[1]  # noqa: E741
    lanes = BYTES // x.itemsize
    block = (EIGHT + lanes - 1) // lanes * lanes + (I + lanes - 1) // lanes * lanes * EIGHT
    given, out = x.reshape(-1), y.reshape(-1)
    for n in range(count):
        for j in range(0, J, EIGHT):
            eight(W, j // EIGHT * block, given, n * I, I, out, n * J + j, min(EIGHT, J - j), relu)


def by_eights(W: Array, bias: Array) -> Array:
    """A layer (J, I) as `dense_rows` reads it: flat, by blocks of eight neurons, which are filled up with zeros.

    A block has their biases, and then for every vector of inputs the eight neurons' weights by these.

    Examples
    --------
    >>> stored, lanes = by_eights(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([5.0, 6.0])), BYTES // 8
    >>> behind = -(-EIGHT // lanes) * lanes
    >>> stored[:2], stored[behind : behind + 2], stored[behind + lanes : behind + lanes + 2]
    (array([5., 6.]), array([1., 2.]), array([3., 4.]))
    """
    (J, I), lanes = W.shape, BYTES // W.itemsize  # noqa: E741
    blocks, vectors, head = -(-J // EIGHT), -(-I // lanes), -(-EIGHT // lanes) * lanes
    weights, biases = np.zeros((blocks * EIGHT, vectors * lanes), W.dtype), np.zeros(blocks * EIGHT, W.dtype)
    weights[:J, :I], biases[:J] = W, bias
    stored = aligned((blocks, head + EIGHT * vectors * lanes), W.dtype)
    stored[:, :EIGHT] = biases.reshape(blocks, EIGHT)
    stored[:, head:] = (
        weights.reshape(blocks, EIGHT, vectors, lanes).swapaxes(1, 2).reshape(blocks, stored.shape[1] - head)
    )
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
