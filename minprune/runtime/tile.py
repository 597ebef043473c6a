"""A tile of samples, and what is done on it: a part is one layer of images, forwards and backwards.

A part is bound to a tile once, and from then on is a call without arguments: all shapes, tables and buffers were looked
up before. Its backward call puts the gradient by what it reads into `Tile.bars`, and adds those by its parameters to
`Tile.grads`. `windows`, `norming` and `passing` have the parts; `minprune.kernels.tiles` what they call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..ops import Array

Call = Callable[[], Any]
Shapes = Mapping[str, tuple[int, ...]]  # of values, without the batch axis


@dataclass
class Tile:
    """Where the values of some samples lie.

    Attributes
    ----------
    values : dict
        Value -> (C, H, W, T); of one spatial axis (C, 1, L, T), of none (C, 1, 1, T).
    which : dict
        What max-pools took.
    bars, grads : dict
        Gradients by values, and by parameters, which all tiles share.
    seen : dict
        What gates saw: Σ a g and Σ g over places, (C, T) each.
    spare : dict
        Room that a call needs until it is done, which all tiles share.
    valid : list of int
        How many samples there are, which are the first: the only entry.
    """

    values: dict[str, Array]
    which: dict[str, Array]
    bars: dict[str, Array]
    grads: dict[str, Array] = field(default_factory=dict)
    seen: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    spare: dict[str, Array] = field(default_factory=dict)
    valid: list[int] = field(default_factory=lambda: [0])

    @property
    def count(self) -> int:
        """How many samples there are."""
        return self.valid[0]


class Part(ABC):
    """One layer; `sources` and `target` are names of values.

    Where several kernels were tried, `why` has their times; `saved` are the multiply-adds of the layer, for a sample,
    that are not done.
    """

    why = ""
    saved = 0

    def __init__(self, name: str, sources: tuple[str, ...], target: str) -> None:
        self.name, self.sources, self.target = name, sources, target
        self.inner: tuple[str, ...] = ()  # sources by which a gradient is wanted

    def load(self, arrays: Mapping[str, Array]) -> None:  # noqa: B027 (most have no arrays)
        """Take the network's arrays as they are now."""

    @abstractmethod
    def forward(self, tile: Tile) -> Call:
        """A call that computes the target."""

    @abstractmethod
    def backward(self, tile: Tile) -> Call:
        """A call that computes the gradients by the inner sources, from that by the target."""


def by_places(X: Array) -> Array:
    """View a tile (C, H, W, T) as (C, H · W, T)."""
    return X.reshape(X.shape[0], X.shape[1] * X.shape[2], X.shape[3])


def as_matrix(X: Array) -> Array:
    """View a tile (C, H, W, T) as (C · H · W, T)."""
    return X.reshape(-1, X.shape[-1])


def as_image(X: Array) -> Array:
    """View a tile (C, H, W, T) as one image (1, C, H, W · T)."""
    return X.reshape(1, *X.shape[:2], X.shape[2] * X.shape[3])
