"""How a kernel is declared, compiled and launched.

A kernel is the loop of one thread. `@kernel(signature)` declares it with its types for a kind of numbers, so that

* it is compiled once for float32 and once for float64, when it is first launched;
* it can be compiled to PTX (NVIDIA's portable assembly) where there is no device: `Kernel.ptx`;
* float32 stays float32: settings are cast before they are handed over. Numbers written into a kernel would make double
  precision of it (``1 + x`` is a double for Numba), which most GPUs compute at a thirty-second of the speed; so a
  kernel takes its constants from `y.dtype.type(…)`.

In the simulator every thread is a thread of Python. The same kernels run there in smaller grids and tiles.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import cuda, types

from ...errors import DtypeError
from .devices import SIMULATED
from .memory import is_device

FULL = "MINPRUNE_CUDA_FULL"  # in the simulator: grids and tiles as on a GPU
SMALL = SIMULATED and not os.environ.get(FULL)
THREADS = 8 if SMALL else 256  # of a block
BLOCKS = 2 if SMALL else 2048  # at most, of a kernel that steps through its entries by the size of the grid

KERNELS: dict[str, Kernel] = {}  # all there are, by name: for the tests


class Kernel:
    """The loop of one thread, compiled for a kind of numbers when that is first launched.

    Parameters
    ----------
    loop : function
        What one thread does.
    signature : function
        From the Numba type of the numbers to the signature.
    """

    def __init__(self, loop: Callable[..., None], signature: Callable[[Any], Any]) -> None:
        self.loop, self.signature, self.name = loop, signature, loop.__name__
        self.made: dict[np.dtype[Any], Any] = {}

    def ptx(self, dtype: Any, cc: tuple[int, int]) -> str:
        """Compile for devices of a compute capability, such as (8, 0), and return the assembly.

        Examples
        --------
        >>> from minprune.kernels.cuda.pointwise import relu_loop
        >>> ".target sm_90" in relu_loop.ptx(np.float32, (9, 0))
        True
        """
        text, _ = cuda.compile_ptx(self.loop, self.signature(numba.from_dtype(np.dtype(dtype))), cc=cc)
        return str(text)

    def launch(self, blocks: int | tuple[int, ...], threads: int, *args: Any) -> None:
        """Run `threads` threads in each of so many blocks; nothing happens where there are no blocks.

        Raises
        ------
        DtypeError
            When the numbers are neither float32 nor float64, or an array is not on the device, of another kind than the
            signature says, or not contiguous: a GPU would read it as something else without a word.
        """
        grid = (blocks,) if isinstance(blocks, int) else blocks
        if math.prod(grid) == 0:
            return
        dtype = next(np.dtype(arg.dtype) for arg in args if getattr(arg, "ndim", 0) and arg.dtype.kind == "f")
        if dtype not in (np.float32, np.float64):
            raise DtypeError(f"{self.name}: expected float32 or float64, got {dtype}")
        signature = self.signature(numba.from_dtype(dtype))
        for number, (expected, arg) in enumerate(zip(signature.args, args, strict=True)):
            if isinstance(expected, types.Array):
                self._check(number, expected, arg)
        if dtype not in self.made:
            self.made[dtype] = cuda.jit(signature)(self.loop)
        self.made[dtype][grid, threads](*(dtype.type(arg) if isinstance(arg, float) else arg for arg in args))

    def _check(self, number: int, expected: Any, arg: Any) -> None:
        if not is_device(arg):
            raise DtypeError(f"{self.name}: an array is not on the device; bring it there with to_device")
        if arg.ndim != expected.ndim or numba.from_dtype(arg.dtype) != expected.dtype or not arg.is_c_contiguous():
            raise DtypeError(
                f"{self.name}: argument {number} is of {arg.dtype} with {arg.ndim} axes, "
                f"expected {expected.dtype} with {expected.ndim}, contiguous"
            )

    def over(self, count: int, *args: Any) -> None:
        """Launch for so many entries: threads step through them by the size of the grid."""
        self.launch(min(BLOCKS, -(-count // THREADS)), THREADS, *args)

    def rows(self, count: int, *args: Any) -> None:
        """Launch one block for each of so many sums."""
        self.launch(count, THREADS, *args)


def kernel(signature: Callable[[Any], Any]) -> Callable[[Callable[..., None]], Kernel]:
    """Declare the loop of one thread as a kernel."""

    def declare(loop: Callable[..., None]) -> Kernel:
        KERNELS[loop.__name__] = Kernel(loop, signature)
        return KERNELS[loop.__name__]

    return declare


def inner(function: Callable[..., Any]) -> Callable[..., Any]:
    """Declare a part of kernels, to be written into them; Numba would ask the driver before it compiled a call.

    The simulator runs it as it is.
    """
    return function if SIMULATED else cuda.jit(device=True, inline="always")(function)
