"""A tile of a sum of products in the registers of a block: the heart of matrix product and convolution.

    for k over the sum, DEPTH at a time:
        all threads together: fetch DEPTH × TILE numbers of either factor into shared memory
        wait
        each thread:          total[i, j] += left[k, row i] · right[k, column j]     EACH² products from 2 EACH numbers
        wait

naive      a thread per entry reads both factors from global memory: two loads for each multiply-add
shared     a block of 16² threads shares what it fetched: every number is fetched once and used 16 times
registers  each thread has 4 × 4 entries: two numbers from shared memory for every four multiply-adds, no longer for one

A block of 16² threads makes a tile of 64 × 64. Thread (r, c) has the rows r, r + 16, … and the columns c, c + 16, …:
neighbouring threads read neighbouring columns, so that a warp's reads meet different banks of shared memory, and its
writes of the result are whole cache lines. Rows of shared memory are one number longer than a tile, so that transposed
writes meet different banks too.

As compiled, a step of the sum has 16 multiply-adds, 8 reads of shared memory and about 15 instructions that find
places. With 8 × 8 entries that would be 64, 16 and 12, but a tile of 128 × 128 leaves most of a GPU idle for layers of
a few hundred neurons, and the accumulators of a convolution no longer fit into registers. So it is bound by shared
memory and by instructions, not by the multiply-adds; tensor cores, which round otherwise, are not used.
"""

from __future__ import annotations

from typing import Any

from numba import uint64

from .devices import SIMULATED
from .launching import SMALL, inner

SIDE = 2 if SMALL else 16  # threads along a side of the tile
EACH = 8 if SMALL else 4  # rows, and columns, of a thread
TILE = SIDE * EACH
DEPTH = 8 if SMALL else 16  # of the sum at a time
PITCH = TILE + 1  # of a row of shared memory
WORKERS = SIDE * SIDE  # threads of a block
unsigned = int if SIMULATED else uint64  # of an index with a sign Numba asks every time whether it counts from the end


def tiles(size: int) -> int:
    """How many tiles cover so many rows or columns."""
    return -(-size // TILE)


@inner
def clear(total: Any, zero: Any) -> None:
    """Total = 0."""
    for i in range(EACH):
        for j in range(EACH):
            total[i, j] = zero


@inner
def multiply(left: Any, right: Any, row: int, column: int, total: Any) -> None:
    """Add DEPTH products to each of a thread's entries."""
    for k in range(DEPTH):
        at = unsigned(k)
        for i in range(EACH):
            factor = left[at, unsigned(row + i * SIDE)]
            for j in range(EACH):
                total[i, j] += factor * right[at, unsigned(column + j * SIDE)]
