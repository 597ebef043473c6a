r"""What gradient criteria of neurons add up over samples, from a and $s = \partial\ell/\partial a$ of every sample."""

from __future__ import annotations

import numpy as np

from ..backends import accelerable
from ..ops import Array

SUMS = ("|a s|", "a s", "(a s)²", "|s|", "s")


@accelerable
def effect_sums(a: Array, s: Array) -> Array:
    r"""Add up over samples what neurons do: $\sum_n |a s|$, $\sum_n a s$, $\sum_n (a s)^2$, $\sum_n |s|$, $\sum_n s$.

    Parameters
    ----------
    a, s : array (N, n)
        Outputs, and the gradients of the samples' losses by them.

    Returns
    -------
    array (5, n) of float64
        In the order of `SUMS`.

    Examples
    --------
    >>> effect_sums(np.array([[2.0], [1.0]]), np.array([[3.0], [-1.0]]))[:, 0]
    array([ 7.,  5., 37.,  4.,  2.])
    """
    effect = a * s
    found = (np.abs(effect), effect, effect**2, np.abs(s), s)
    return np.stack([values.sum(axis=0, dtype=np.float64) for values in found])
