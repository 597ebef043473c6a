"""Layers on rows, one sample below the other, for batches so small that strips would stay empty.

    for every sample n:  for every neuron j:  y[n, j] = b[j] + Σ_i W[j, i] x[n, i]

naive     one sum waits for itself: every addition takes four cycles
by four   four neurons at a time share each x[i], and have sums of their own; the compiler makes vectors of them
fused     bias and ReLU act on the sums: no further call, no further pass

unsigned  indices that cannot be negative need no look at whether they count from the end: without that, and along
          slices of the arrays, the sparse loop becomes vectors, too, which gather x[columns[p]]; four times as fast

Each weight is used once, so it is bound by how fast W is read: from the L2 cache, if it fits there. What is not stored
is not read: a pruned layer is faster in proportion, and a sparse one in proportion to its bytes, once the indices and
the gathering cost less than what they save.
"""

from __future__ import annotations

import numpy as np
from numba import types

from .keeping import compiled, read, written


@compiled(
    lambda t: types.void(read(t, 2, "C"), read(t, 1, "C"), types.boolean, read(t, 2, "C"), types.intp, written(t, 2))
)
def dense_rows(W, bias, relu, x, count, y):
    """y[n] = W x[n] + bias, or what of it is above 0, for n < count."""
    J, I = W.shape  # noqa: E741
    for n in range(count):
        row = x[n]
        for j in range(0, J // 4 * 4, 4):
            w0, w1, w2, w3 = W[j], W[j + 1], W[j + 2], W[j + 3]
            s0, s1, s2, s3 = bias[j], bias[j + 1], bias[j + 2], bias[j + 3]
            for i in range(I):
                value = row[i]
                s0 += w0[i] * value
                s1 += w1[i] * value
                s2 += w2[i] * value
                s3 += w3[i] * value
            y[n, j], y[n, j + 1], y[n, j + 2], y[n, j + 3] = s0, s1, s2, s3
        for j in range(J // 4 * 4, J):
            total = bias[j]
            for i in range(I):
                total += W[j, i] * row[i]
            y[n, j] = total
        if relu:
            for j in range(J):
                if y[n, j] <= 0:  # NaN is handed on
                    y[n, j] = 0


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
