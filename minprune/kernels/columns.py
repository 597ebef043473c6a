"""A layer on a few rows whose weights lie by columns: an input that is 0 costs nothing, its column is not read.

    for every sample n:
        list the inputs that are not 0:  values[t] = x[n, columns[t]]
        for strips of 64 neurons:        y[n, strip] = bias[strip] + Σ_t values[t] · W[strip, columns[t]]    `walk.walk`

By rows a layer reads every weight, whatever it meets. Behind a ReLU half of the inputs are 0 or more, of an image's
pixels most: so it pays to choose the weights by the inputs. The roles are only exchanged with CSR on strips (`strips`):
there the weights are sparse and the samples lie side by side, here the inputs are sparse and the neurons do; the
micro-kernel is the same.

naive      y += x[i] W[:, i] for every i that is not 0: y is loaded and stored once for every column
strips     64 sums stay in registers for the whole list
listed     without a branch: every input is written where the next one belongs, and those that are 0 are overwritten

It is bound by how fast W is read, as `rows.dense_rows` is, and reads as many columns as there are inputs that are not
0. Beside that kernel it takes 1 to 1.6 times as long without zeros, 0.5 to 1.1 with half of them, and 0.3 to 0.8 with
nine tenths, the less the larger W is; where then the columns fit into the L2 cache that W does not fit into, a
twenty-seventh (`bench/columns.py`, AVX-512).

Tried, and slower: CSC, of both the weights and the inputs only what is not 0. The sums cannot stay in registers, each
weight adds to a y in memory, and a column is over before it is worth it: 300 × 784 with nine tenths of the weights gone
and half of the inputs takes twice as long as CSR, which reads all inputs. It is faster than CSR where nine tenths of
both are gone, and there the dense columns are faster still.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import register_jitable

from ..ops import Array
from .keeping import compiled, read, written
from .storing import COLUMN
from .strips import aligned, lanes, to_strips
from .walk import VECTORS, walk


@register_jitable
def list_inputs(row, values, columns):
    """Write down what is not 0, and where it stands; returns how many there are. There is room for one more."""
    count = 0
    for i in range(len(row)):
        values[count], columns[count] = row[i], i
        count += row[i] != 0
    return count


@compiled(
    lambda t: types.void(
        read(t, 3, "C"), read(t, 1, "C"), types.boolean, read(t, 2, "C"), types.intp,
        types.Tuple((written(t, 1), written(COLUMN, 1), written(t, 1))), written(t, 2),
    )
)  # fmt: skip
def dense_columns(W, bias, relu, x, count, scratch, y):
    """y[n] = W x[n] + bias, or what of it is above 0, for n < count; W as `by_columns`.

    A weight that meets a 0 is not looked at, so an infinite one does not make NaN of it.
    """
    strips, I, L = W.shape  # noqa: E741
    values, columns, sums = scratch
    flat = W.reshape(-1)
    for n in range(count):
        listed = list_inputs(x[n, :I], values, columns)
        for s in range(strips):
            start, few = s * I * L, min(L, y.shape[1] - s * L)
            for j in range(L):
                sums[j] = bias[s * L + j] if j < few else 0
            if few * 4 <= L:  # the last strip may be a narrow one
                walk(1, 1, values, 0, 1, 1, columns, 0, listed, flat, start, bias, 0, sums, 0, False, relu)
            elif few * 2 <= L:
                walk(1, 2, values, 0, 1, 1, columns, 0, listed, flat, start, bias, 0, sums, 0, False, relu)
            else:
                walk(1, VECTORS, values, 0, 1, 1, columns, 0, listed, flat, start, bias, 0, sums, 0, False, relu)
            for j in range(few):
                y[n, s * L + j] = sums[j]


def by_columns(W: Array) -> Array:
    """A matrix (J, I) as `dense_columns` reads it: (strips, I, L), column below column, filled up with zeros.

    Examples
    --------
    >>> by_columns(np.array([[1.0, 2.0], [3.0, 4.0]]))[0, :, :3]
    array([[1., 3., 0.],
           [2., 4., 0.]])
    """
    (J, I), L = W.shape, lanes(W.dtype)  # noqa: E741
    stored = aligned((-(-J // L), I, L), W.dtype)
    to_strips[W.dtype](np.ascontiguousarray(W), stored)  # neurons for samples
    return stored


def room(inputs: int, dtype: np.dtype[np.floating]) -> tuple[Array, Array, Array]:
    """Scratch memory for `dense_columns`: values and columns, and a strip's sums."""
    return np.empty(inputs + 1, dtype), np.empty(inputs + 1, np.uint16), aligned((lanes(dtype),), dtype)
