"""The loss of labels from logits, `label_losses`: log Σ_k exp(y[n, k]) − y[n, t_n].

    for n < N:
        top = max_k y[n, k]
        loss[n] = top + log Σ_k exp(y[n, k] − top) − y[n, t_n]

naive     as it stands: a row has few entries, and the library's exp takes them one at a time
turned    64 samples at a time are copied so that each class lies in one piece: every loop runs along the samples, and
          the compiler makes vectors of it
own exp   twenty operations that are the same for all numbers, so that it is made into vectors, too

The logarithms, one for each sample, are left to NumPy. It is bound by the arithmetic of exp: one in about two cycles.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import register_jitable

from ..backends import accelerates
from ..ops import Array
from ..ops.losses import label_losses
from .gemm import NOTHING
from .keeping import compiled, read, written

BLOCK = 64  # samples
LOG2_E = 1 / np.log(2)


@register_jitable
def exp_double(x):
    r"""Compute exp(x) in float64 for x ≤ 0, NaN included; below −708 it is what it is there.

    $e^x = 2^n e^r$ with $n = \lfloor x / \log 2 + 1/2 \rfloor$, so $|r| \le \frac{1}{2} \log 2$, and Taylor's series
    for $e^r$ as far as $r^{13}$: the rest is less than half a unit in the last place. log 2 is in two parts; the first
    has so few digits that its product with n is exact.
    """
    x = -708.0 if x < -708.0 else x  # below, the result would not be a normal number
    n = np.floor(x * LOG2_E + 0.5)
    r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10
    p = 1 / 6227020800.0
    p = p * r + 1 / 479001600.0
    p = p * r + 1 / 39916800.0
    p = p * r + 1 / 3628800.0
    p = p * r + 1 / 362880.0
    p = p * r + 1 / 40320.0
    p = p * r + 1 / 5040.0
    p = p * r + 1 / 720.0
    p = p * r + 1 / 120.0
    p = p * r + 1 / 24.0
    p = p * r + 1 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    n = n if n > -1023.0 else -1023.0  # NaN has no whole number
    power = np.int64(np.int64(n + 1023.0) << 52)  # these bits, as a float64, are 2^n
    return p * power.view(np.float64)


@register_jitable
def exp_single(x):
    """Compute the same in float32, as far as r^7, for x ≥ −87."""
    x = np.float32(-87) if x < np.float32(-87) else x
    n = np.floor(x * np.float32(LOG2_E) + np.float32(0.5))
    r = (x - n * np.float32(0.693359375)) - n * np.float32(-2.12194440e-4)
    p = np.float32(1 / 5040)
    p = p * r + np.float32(1 / 720)
    p = p * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(1 / 2)
    p = p * r + np.float32(1)
    p = p * r + np.float32(1)
    n = n if n > np.float32(-127) else np.float32(-127)
    power = np.int32(np.int32(n + np.float32(127)) << 23)
    return p * power.view(np.float32)


# Sums may not be reordered here: that would join the two parts of log 2 again.
@compiled(
    lambda t: types.void(read(t, 2), read(types.intp, 1), written(t, 1), written(t, 1), written(t, 1)),
    fastmath={"contract"},
)
def reduce_rows(y, t, turned, tops, totals):
    """With m = max_k y[n, k]: tops[n] = m − y[n, t[n]], totals[n] = Σ_k exp(y[n, k] − m); turned is room."""
    N, K = y.shape
    for start in range(0, N, BLOCK):
        count = min(BLOCK, N - start)
        top, total = tops[start : start + count], totals[start : start + count]
        for k in range(K):
            for i in range(count):
                turned[k * BLOCK + i] = y[start + i, k]
        for i in range(count):
            top[i], total[i] = turned[i], 0
        for k in range(1, K):
            row = turned[k * BLOCK : k * BLOCK + count]
            for i in range(count):
                top[i] = top[i] if row[i] <= top[i] else row[i]
        for k in range(K):
            row = turned[k * BLOCK : k * BLOCK + count]
            if y.itemsize == 4:  # known when it is compiled
                for i in range(count):
                    total[i] += exp_single(np.float32(row[i] - top[i]))
            else:
                for i in range(count):
                    total[i] += exp_double(np.float64(row[i] - top[i]))
        for i in range(count):
            top[i] -= y[start + i, t[start + i]]


def takes_losses(y: Array, t: Array) -> bool:
    """float32 or float64, 64 samples, at least a class"""
    return type(y) is np.ndarray and y.dtype in NOTHING and y.ndim == 2 and len(y) >= BLOCK and y.shape[1] > 0


@accelerates(label_losses, "numba", takes=takes_losses)
def label_losses_kernel(y: Array, t: Array) -> Array:
    """Compute log Σ_k exp(y[n, k]) − y[n, t_n] for every sample n."""
    tops, totals = np.empty(len(y), y.dtype), np.empty(len(y), y.dtype)
    room = np.empty(y.shape[1] * BLOCK, y.dtype)
    reduce_rows[y.dtype](y, np.asarray(t, dtype=np.intp), room, tops, totals)
    return np.log(totals) + tops
