"""Kernels: compiled stand-ins for the functions that take the time. `minprune.backend("numba")` imports them.

Every one accelerates a NumPy function marked `@accelerable`, which says what is computed; `cases` has the inputs on
which the two are compared. Read from the bottom: `vectors` (the micro-kernel, in instructions), `gemm` (the loops
around it), `dense` (whom they serve, and when NumPy is better); `cpu` chooses the tile, `keeping` compiles and keeps.
Those for NVIDIA GPUs are a room of their own, `cuda`, which `minprune.backend("cuda")` imports.
"""

from . import dense as dense
