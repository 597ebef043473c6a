"""What is known of a value before it is computed: its kind of numbers, its sizes, and where its samples lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....ops import Array
from ..folding import Batch

KINDS = {1: np.float32, 10: np.float16, 11: np.float64, 6: np.int32, 7: np.int64, 9: np.bool_}  # as ONNX counts them
FLOATS = (1, 10, 11)


@dataclass(frozen=True)
class Fact:
    """A value that is computed.

    Attributes
    ----------
    kind : int
        Its kind of numbers, as ONNX counts them.
    sizes : tuple of int or None
        None on the axis that counts samples. No axis does where samples are given one at a time.
    times : int
        How many entries of that axis belong to each sample.
    apart : bool
        Whether these are apart, all samples' first ones in front; else one behind the other.

    Examples
    --------
    >>> fact = Fact(1, (5, None, 8), 2)
    >>> fact.at(3), fact.axis
    ((5, 6, 8), 1)
    """

    kind: int
    sizes: tuple[int | None, ...]
    times: int = 1
    apart: bool = False

    def at(self, count: int) -> tuple[int, ...]:
        """Its sizes for so many samples."""
        return tuple(self.times * count if size is None else size for size in self.sizes)

    def rows(self, value: Array, samples: Sequence[int]) -> Array:
        """Some samples of such a value."""
        if self.axis is None:
            return value
        every = np.arange(value.shape[self.axis])
        each = every.reshape(self.times, -1).T if self.apart else every.reshape(-1, self.times)  # (N, times)
        rows = each[list(samples)]
        return np.take(value, (rows.T if self.apart else rows).ravel(), axis=self.axis)

    def fits_network(self) -> bool:
        """Whether samples lie along the first axis, one entry each; or are given one at a time, in a batch of one."""
        return self.sizes[:1] == ((None,) if self.axis is not None else (1,)) and self.times == 1

    @property
    def axis(self) -> int | None:
        """Which axis counts samples."""
        return self.sizes.index(None) if None in self.sizes else None


def common(kind: int, found: Sequence[tuple[int, ...]], counts: Sequence[int]) -> Fact | None:
    """The fact behind the sizes that a value has for several numbers of samples; None where no one axis counts them.

    Examples
    --------
    >>> common(1, [(4, 1), (4, 2), (4, 3)], (1, 2, 3))
    Fact(kind=1, sizes=(4, None), times=1, apart=False)
    >>> common(1, [(6, 4), (12, 4), (18, 4)], (1, 2, 3))
    Fact(kind=1, sizes=(None, 4), times=6, apart=False)
    >>> common(1, [(1, 1), (4, 1), (9, 1)], (1, 2, 3)) is None
    True
    """
    if len({len(sizes) for sizes in found}) > 1:
        return None
    axes = list(zip(*found, strict=True))
    counting = [place for place, sizes in enumerate(axes) if sizes == tuple(sizes[0] * count for count in counts)]
    rest = [len(set(sizes)) == 1 for place, sizes in enumerate(axes) if place not in counting]
    if len(counting) != 1 or not all(rest):
        return None
    sizes = tuple(None if place in counting else sizes[0] for place, sizes in enumerate(axes))
    return Fact(kind, sizes, axes[counting[0]][0])


def constant_at(array: Array, count: int) -> Array:
    """A constant for so many samples: in a shape their number can stand as N."""
    if array.dtype != object:
        return array
    sizes = [count * value.times if isinstance(value, Batch) else value for value in array.ravel()]
    return np.array(sizes, np.int64).reshape(array.shape)


def kind_of(array: Any) -> int | None:
    """How ONNX counts the numbers of an array; None for those that are not kept."""
    return next((kind for kind, dtype in KINDS.items() if array.dtype == dtype), None)
