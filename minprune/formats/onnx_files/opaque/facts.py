"""What is known of a value before it is computed: its kind of numbers, its sizes, and where its samples lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....ops import Array
from ..folding import BATCH

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

    Examples
    --------
    >>> fact = Fact(1, (5, None, 8))
    >>> fact.at(3), fact.axis
    ((5, 3, 8), 1)
    """

    kind: int
    sizes: tuple[int | None, ...]

    def at(self, count: int) -> tuple[int, ...]:
        """Its sizes for so many samples."""
        return tuple(count if size is None else size for size in self.sizes)

    @property
    def axis(self) -> int | None:
        """Which axis counts samples."""
        return self.sizes.index(None) if None in self.sizes else None


def common(kind: int, found: Sequence[tuple[int, ...]], counts: Sequence[int]) -> Fact | None:
    """The fact behind the sizes that a value has for several numbers of samples; None where no one axis counts them.

    Examples
    --------
    >>> common(1, [(4, 1), (4, 2), (4, 3)], (1, 2, 3))
    Fact(kind=1, sizes=(4, None))
    >>> common(1, [(1, 1), (4, 1), (9, 1)], (1, 2, 3)) is None
    True
    """
    if len({len(sizes) for sizes in found}) > 1:
        return None
    axes = list(zip(*found, strict=True))
    counting = [place for place, sizes in enumerate(axes) if sizes == tuple(counts)]
    rest = [len(set(sizes)) == 1 for place, sizes in enumerate(axes) if place not in counting]
    if len(counting) != 1 or not all(rest):
        return None
    return Fact(kind, tuple(None if place in counting else sizes[0] for place, sizes in enumerate(axes)))


def constant_at(array: Array, count: int) -> Array:
    """A constant for so many samples: in a shape their number can stand as N."""
    if array.dtype != object:
        return array
    return np.array([count if value is BATCH else value for value in array.ravel()], np.int64).reshape(array.shape)


def kind_of(array: Any) -> int | None:
    """How ONNX counts the numbers of an array; None for those that are not kept."""
    return next((kind for kind, dtype in KINDS.items() if array.dtype == dtype), None)
