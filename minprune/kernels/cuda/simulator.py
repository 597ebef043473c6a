"""A repair of Numba's simulator, where two threads of a block could each get a shared array of their own.

`cuda.shared.array` looks whether the array is there, and makes it where it is not. Between the two another thread may
look, make it too, and have its writes seen by nobody: results are wrong now and then. Here the one that finds nothing
keeps the others waiting until it has made it.
"""

from __future__ import annotations

import threading
from typing import Any

from numba.cuda.simulator.kernelapi import FakeCUDAShared


class Allocations(dict[Any, Any]):
    """The shared arrays of a kernel: whoever finds none holds the lock until the array is entered."""

    def __init__(self) -> None:
        super().__init__()
        self._making = threading.Lock()

    def get(self, key: Any, default: Any = None) -> Any:
        """The array, or None and the duty to enter it."""
        self._making.acquire()
        if key in self:
            self._making.release()
            return self[key]
        return default

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self._making.release()


def repair() -> None:
    """Give every kernel that is simulated from here on such allocations."""
    init = FakeCUDAShared.__init__

    def repaired(self: Any, *args: Any) -> None:
        init(self, *args)
        self._allocations = Allocations()

    FakeCUDAShared.__init__ = repaired
