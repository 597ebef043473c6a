"""Arrays on the device, and the only two ways across: `to_device` and `to_host`.

The bus between the two memories moves some 25 to 60 GB/s, the device's own memory a thousand and more. So a network
goes up once, samples go up when they come, and answers come down when somebody asks; whatever lies between stays there.
No kernel takes an array of the host (`launching` refuses it; Numba would copy it there and back without a word), and
`crossings` counts what went across.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import cuda

from ...ops import Array
from ...ops.windows import Sizes

Device = Any  # an array on the device, contiguous; Numba's class for it is another one in the simulator


@dataclass
class Crossings:
    """How many arrays went to the device and came back."""

    up: int = 0
    down: int = 0


_counting: list[Crossings] = []


@contextmanager
def crossings() -> Iterator[Crossings]:
    """Count the arrays that cross between host and device within a block, those of all threads together."""
    counted = Crossings()
    _counting.append(counted)
    try:
        yield counted
    finally:
        _counting.remove(counted)


def to_device(array: Array) -> Device:
    """Copy an array of the host to the device, contiguous whatever its strides."""
    for counted in _counting:
        counted.up += 1
    return cuda.to_device(np.ascontiguousarray(array).reshape(array.shape))


def to_host(array: Device) -> Array:
    """Copy an array of the device to the host, and wait for what is still being computed."""
    for counted in _counting:
        counted.down += 1
    return np.asarray(array.copy_to_host())


def empty(shape: Sizes, dtype: Any) -> Device:
    """An array on the device that holds anything."""
    return cuda.device_array(tuple(int(size) for size in shape), dtype)


def like(array: Device) -> Device:
    """An array of the same shape and kind that holds anything."""
    return empty(array.shape, array.dtype)


def is_device(array: Any) -> bool:
    """Whether something is an array on the device."""
    return getattr(array, "__cuda_ndarray__", False) is True
