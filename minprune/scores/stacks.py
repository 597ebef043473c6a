"""Changes of many kinds, computed as one large batch: the samples that each of them reaches, one below the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..neurons import Ids
from ..ops import Array


@dataclass(frozen=True)
class Stack:
    """For every change the samples of a batch that it reaches, at least one; one change below the other.

    Examples
    --------
    >>> stack = Stack([np.array([0, 2]), np.array([1])])
    >>> stack.of(np.array([10, 20, 30])), stack.spans
    (array([10, 30, 20]), [slice(0, 2, None), slice(2, 3, None)])
    """

    parts: list[Ids]

    @cached_property
    def samples(self) -> Ids:
        """All of them."""
        return np.concatenate(self.parts)

    @cached_property
    def spans(self) -> list[slice]:
        """Where each change's samples lie."""
        ends = np.cumsum([len(part) for part in self.parts]).tolist()
        return [slice(start, stop) for start, stop in pairwise([0, *ends])]

    def of(self, value: Array) -> Array:
        """What their samples have of a value."""
        return value[self.samples]

    def totals(self, entries: Array) -> Array:
        """For every change the sum of its samples' entries, in float64."""
        return np.add.reduceat(entries, [span.start for span in self.spans], dtype=np.float64)


def at_a_time(items: list[int], sizes: list[int], room: int) -> Iterator[list[int]]:
    """Cut a list into pieces whose sizes add up to no more than there is room for, or that are single items.

    Examples
    --------
    >>> list(at_a_time([0, 1, 2, 3], [4, 2, 3, 9], room=6))
    [[0, 1], [2], [3]]
    """
    piece: list[int] = []
    filled = 0
    for item, size in zip(items, sizes, strict=True):
        if piece and filled + size > room:
            yield piece
            piece, filled = [], 0
        piece.append(item)
        filled += size
    if piece:
        yield piece
