"""Compile every CUDA kernel to PTX, assemble it, and look at what comes of it; no device is needed.

    python tests/cuda_assembly.py float32 8.0

Assembled is with nvJitLink, which comes with numba-cuda and has the assembler of ptxas in it.
"""

from __future__ import annotations

import re
import sys

import numpy as np
from cuda.bindings import nvjitlink

import minprune.kernels.cuda  # noqa: F401 (declares them)
from minprune.kernels.cuda.launching import KERNELS

SUMS_IN_DOUBLE = {"score_sums_loop", "entry_sums_loop"}  # whatever the numbers are


def assemble(ptx: str, cc: tuple[int, int]) -> str:
    """Assemble for a compute capability, and return what the assembler says of registers and memory."""
    options = [f"-arch=sm_{cc[0]}{cc[1]}", "-verbose"]
    handle = nvjitlink.create(len(options), options)
    data = ptx.encode()
    nvjitlink.add_data(handle, nvjitlink.InputType.PTX, data, len(data), "kernel")
    nvjitlink.complete(handle)
    assert nvjitlink.get_linked_cubin_size(handle) > 0
    said = bytearray(nvjitlink.get_info_log_size(handle))
    nvjitlink.get_info_log(handle, said)
    return said.decode()


def main(dtype: str, version: str) -> None:
    """Print a line for each kernel, and a summary."""
    major, minor = map(int, version.split("."))
    spilled, double = [], []
    for name, kernel in KERNELS.items():
        ptx = kernel.ptx(np.dtype(dtype), (major, minor))
        assert f".target sm_{major}{minor}" in ptx, name
        (registers, stack, shared) = map(int, found(assemble(ptx, (major, minor))))
        print(f"{name:28}{registers:5} registers{shared:8} bytes shared{stack:6} bytes of stack")
        if stack:
            spilled.append(name)
        if dtype == "float32" and ".f64" in ptx and name not in SUMS_IN_DOUBLE:
            double.append(name)
    print(*spilled, *double)
    print(f"{len(KERNELS)} kernels, {len(spilled)} with spills, {len(double)} in double precision that should not be")


def found(said: str) -> tuple[str, str, str]:
    """Registers, bytes of stack and bytes of shared memory."""
    registers = re.search(r"used (\d+) registers", said)
    stack = re.search(r"(\d+) stack", said)
    shared = re.search(r"(\d+) bytes smem", said)
    assert registers, said
    return registers[1], stack[1] if stack else "0", shared[1] if shared else "0"


if __name__ == "__main__":
    main(*sys.argv[1:])
