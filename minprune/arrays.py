"""Named arrays of fixed shapes: what a network's parameters and buffers are held in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .errors import DtypeError, ShapeError, StructureError
from .ops import Array, exact


class Arrays(Mapping[str, Array]):
    """Named arrays of fixed shapes. They are plain writable ndarrays; setting one checks its shape and copies.

    Examples
    --------
    >>> arrays = Arrays({"dense1.b": np.zeros(2)})
    >>> arrays["dense1.b"] = [1.0, 2.0]
    >>> arrays["dense1.b"]
    array([1., 2.])
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = dict(arrays)

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self._arrays:
            raise StructureError(f"no array is called {name!r}; there are {', '.join(self._arrays)}")
        array, value = self._arrays[name], np.asarray(value)
        if value.shape != array.shape:
            raise ShapeError(f"{name}: expected shape {array.shape}, got {value.shape}")
        if array.dtype == object:
            value = exact(value)
        elif value.dtype.kind not in ("biu" if array.dtype.kind in "iu" else "biuf" + array.dtype.kind):
            raise DtypeError(f"{name}: expected {array.dtype}, got {value.dtype}")
        array[...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return "\n".join(f"{name:24} {value.dtype} {value.shape}" for name, value in self.items())
