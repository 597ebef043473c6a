"""Storing what is kept of weights: one pass over them, that writes CSR, blocks of rows, or lists for filters.

    for every part of the columns:  for every block of R rows:
        note where it begins
        for every column of the part:
            write the R weights and the column where the next ones belong
            move on if any of them is kept

naive      NumPy: find what is kept, count it row by row, copy it out: six passes over the matrix and its transposes
one pass   written first, and kept if the next one does not overwrite it: no branch depends on which weights are kept,
           and a processor that cannot foresee them need not

It is bound by the stores, two or three for each weight, and takes a tenth to a third of the time that scipy's
conversions do.
"""

from __future__ import annotations

import numpy as np
from numba import types

from ..ops import Array
from .keeping import compiled, read, written

COLUMN, ROW, INTEGER = types.uint16, types.int32, types.intp
MASK = read(types.boolean, 2, "C")


@compiled(
    lambda t: types.void(
        read(t, 2, "C"), MASK, types.intp, types.intp, written(t, 1), written(COLUMN, 1), written(INTEGER, 2)
    )
)
def list_blocks(W, kept, R, part, values, columns, offsets):
    """Store the blocks of R × 1 that hold a kept weight, in parts of so many columns: see `strips.Parts`.

    There is room for every block, and for one more.
    """
    (J, I), n = W.shape, 0  # noqa: E741
    for p in range(len(offsets)):
        start, stop = p * part, min(I, (p + 1) * part)
        for r in range(offsets.shape[1] - 1):
            offsets[p, r] = n
            if R == 1:
                for i in range(start, stop):
                    values[n], columns[n] = W[r, i], i - start
                    n += kept[r, i]
            else:
                few = min(R, J - r * R)
                for i in range(start, stop):
                    found = False
                    for j in range(few):
                        there, weight = kept[r * R + j, i], W[r * R + j, i]  # loaded in any case: no branch
                        values[n * R + j] = weight if there else 0
                        found |= there
                    for j in range(few, R):
                        values[n * R + j] = 0
                    columns[n] = i - start
                    n += found
        offsets[p, offsets.shape[1] - 1] = n


@compiled(
    lambda t: types.void(
        read(t, 2, "C"), read(types.boolean, 2, "C"), types.UniTuple(INTEGER, 3), written(t, 1), written(ROW, 1),
        written(INTEGER, 2),
    )
)  # fmt: skip
def list_kept(W, kept, sizes, values, entries, starts):
    """Store what is kept of W (filters, entries), part by part, and in each filter by filter.

    `sizes` are the filters of a group, the entries of a channel, and the channels of a part. Every weight is written
    where the next kept one belongs: no branch depends on which are kept.
    """
    of_group, K, part = sizes
    length, n = W.shape[1], 0
    for p in range(len(starts)):
        for o in range(len(W)):
            starts[p, o] = n
            before = o // of_group * length  # entries are counted from the first channel of all groups
            for e in range(max(0, p * part * K - before), min(length, (p + 1) * part * K - before)):
                values[n], entries[n] = W[o, e], before + e
                n += kept[o, e]
        starts[p, len(W)] = n


def stored(W: Array, kept: Array, rows: int, part: int) -> tuple[Array, Array, Array]:
    """Values, columns and offsets of a matrix (J, I) in blocks of rows × 1, by parts of so many columns.

    Examples
    --------
    >>> W = np.array([[0.0, 5.0, 0.0], [7.0, 0.0, 8.0]])
    >>> stored(W, W != 0, rows=1, part=2)
    (array([5., 7., 8.]), array([1, 0, 0], dtype=uint16), array([[0, 1, 2], [2, 2, 3]]))
    """
    J, I = W.shape  # noqa: E741
    count = -(-J // rows)
    most = int(np.count_nonzero(kept)) if rows == 1 else count * I
    values, columns = np.empty((most + 1) * rows, W.dtype), np.empty(most + 1, np.uint16)
    offsets = np.empty((max(1, -(-I // part)), count + 1), np.intp)
    given = np.ascontiguousarray(W), np.ascontiguousarray(kept)
    list_blocks[W.dtype](*given, rows, part, values, columns, offsets)
    n = offsets[-1, -1]
    return values[: n * rows].copy(), columns[:n].copy(), offsets
