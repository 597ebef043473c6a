"""Whether there is a device to run on: a GPU, or Numba's simulator (NUMBA_ENABLE_CUDASIM=1).

Kernels can be compiled without either, for a device that is elsewhere; `minprune.backend("cuda")` asks for one.
"""

from __future__ import annotations

from ...errors import MinpruneError, MissingPackageError

try:
    import numba_cuda  # noqa: F401 (what Numba itself brings under numba.cuda is older, and has no kernels for CUDA 13)
    from numba import cuda
    from numba.cuda.core import config
except ImportError as error:
    raise MissingPackageError(
        "backend 'cuda' needs numba-cuda (0.30 or later), which is not installed; pip install 'minprune[cuda]'"
    ) from error

SIMULATED = bool(config.ENABLE_CUDASIM)
if SIMULATED:
    from .simulator import repair

    repair()
config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # a small network makes small grids, and there is nothing to be done about it


def require_device() -> None:
    """Refuse to go on where nothing can run a kernel.

    Raises
    ------
    MinpruneError
        When there is no GPU that Numba can use, and the simulator is off.
    """
    if not SIMULATED and not cuda.is_available():
        raise MinpruneError(
            "backend 'cuda' needs an NVIDIA GPU and its driver, and finds none; "
            "use backend('numba'), or NUMBA_ENABLE_CUDASIM=1 for Numba's slow simulator"
        )
