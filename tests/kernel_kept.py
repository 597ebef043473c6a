"""A kernel that compiles in no time, to see whether it is kept: prints its result, and whether and where."""

from __future__ import annotations

import numpy as np
from numba import types

from minprune.kernels.keeping import can_be_kept, compiled, folder, read, written


@compiled(lambda t: types.void(read(t, 1), written(t, 1)))
def double(x, y):  # type: ignore[no-untyped-def]
    """y = 2 x."""
    for i in range(len(x)):
        y[i] = 2 * x[i]


if __name__ == "__main__":
    kernel, y = double[np.dtype(float)], np.empty(2)
    kernel(np.array([1.0, 2.0]), y)
    print(*y, sum(kernel.stats.cache_hits.values()), can_be_kept(), folder())
