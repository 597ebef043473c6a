"""Dense layers: do the kernels beat NumPy's and PyTorch's matrix products, and where?

    python bench/dense.py [--seconds 0.4] [--dtype float32]

The layers of 784-300-100-10, and shapes that nothing was tuned on, for batches of 1, 32, 256 and 4,096: forward with
bias, and the gradients by x and by W. One thread, one process; NumPy and kernel in turn, then PyTorch and kernel (where
it is installed), 21 pairs of blocks each. A ratio is the peer's time divided by the kernel's, the median over the
pairs and its 95 % interval; "best" is the ratio of the shortest blocks, which says more where other programs run. The
kernel runs whatever its size; "taken" says whether `backend("numba")` would leave that size to it. Compiling and making
the inputs are outside the timer, packing the weights is within. GFLOP/s and the share of the peak are the kernel's
shortest block; the peak is the micro-kernel's own rate on data in the L1 cache.

OpenBLAS chooses its kernels itself: what the environment says about that is removed before NumPy is loaded.
"""

from __future__ import annotations

import argparse
import os

os.environ.pop("OPENBLAS_CORETYPE", None)
os.environ.pop("OPENBLAS_L2_SIZE", None)
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import ctypes
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import types

from minprune.backends import _kernels
from minprune.kernels.cases import ARGUMENTS, BATCHES, LAYERS
from minprune.kernels.cpu import target
from minprune.kernels.keeping import compiled, read, written
from minprune.kernels.vectors import BYTES, ROWS, TILE, VECTORS, tile
from minprune.ops.affine import affine, affine_grad_W, affine_grad_x
from minprune.progress import bar
from minprune.reports import duration, table
from minprune.timing import Race, measure, ratio_of

PAIRS = 21
DENSE = (affine, affine_grad_x, affine_grad_W)
DEPTH, TIMES = 64, 1000  # of the sum and of its repetitions, where the peak is measured


@compiled(lambda t: types.void(read(t, 2), written(t, 1), read(t, 1, "C"), written(t, 2)))
def peak_loops(A, panel, bias, C):
    """One tile again and again: all that it reads stays in the L1 cache."""
    for _ in range(TIMES):
        tile(VECTORS, A, 0, 0, DEPTH, panel, bias, C, 0, ROWS, C.shape[1], True, False)


def peak(dtype: Any) -> float:
    """Operations per second of the micro-kernel on data in the L1 cache: the shortest block of many."""
    width = VECTORS * BYTES // dtype.itemsize
    A, C = np.ones((ROWS, DEPTH), dtype), np.ones((ROWS, width), dtype)
    panel, bias = np.ones(DEPTH * width, dtype), np.zeros(width, dtype)
    run = peak_loops[dtype]
    shortest = min(measure(lambda: run(A, panel, bias, C), 0.02).median for _ in range(20))
    return 2 * ROWS * width * DEPTH * TIMES / shortest


def core() -> str:
    """The kernels that OpenBLAS has chosen."""
    for path in (Path(np.__file__).parent.parent / "numpy.libs").glob("*openblas*"):
        name = ctypes.CDLL(str(path)).scipy_openblas_get_corename64_
        name.restype = ctypes.c_char_p
        return str(name().decode())
    return "unknown"


def torch_call(reference: Callable[..., Any], args: tuple[Any, ...]) -> Callable[[], Any] | None:
    """The same in PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    a, b, *others = (torch.from_numpy(array) for array in args)
    calls = {
        "affine": lambda: torch.nn.functional.linear(a, b, others[0]),
        "affine_grad_x": lambda: a @ b,
        "affine_grad_W": lambda: a.T @ b,
    }
    return calls[reference.__name__]


def against(peer: Callable[[], Any], ours: Callable[[], Any], seconds: float) -> tuple[str, str, float]:
    """The ratio with its interval, that of the shortest blocks, and our shortest time."""
    race = Race.prepare(peer, ours, PAIRS, seconds)
    first, second = race.run(PAIRS, seconds, np.random.default_rng(0), lambda: None)
    found = ratio_of(first, second, race.calls)
    spread = f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})"
    return spread, f"{min(first) / min(second):.2f}", min(second)


def row(
    reference: Callable[..., Any], sizes: tuple[int, int, int], dtype: Any, seconds: float, top: float
) -> list[str]:
    """One line of the table."""
    N, I, J = sizes  # noqa: E741
    args = ARGUMENTS[reference](sizes, dtype, np.random.default_rng(sizes))
    kernel = _kernels[f"{reference.__module__}.{reference.__name__}"]["numba"]
    spread, best, shortest = against(lambda: reference(*args), lambda: kernel.run(*args), seconds)
    peer = torch_call(reference, args)
    of_torch = against(peer, lambda: kernel.run(*args), seconds)[:2] if peer else ("not installed", "")
    rate = 2 * N * I * J / shortest
    taken = "yes" if kernel.takes(*args) else "no"
    name = f"{reference.__name__} {I}-{J}, {N}"
    return [name, taken, duration(shortest), f"{rate / 1e9:.0f}", f"{rate / top:.0%}", spread, best, *of_torch]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    options = parser.parse_args()
    dtype = np.dtype(options.dtype)
    top = peak(dtype)
    print(f"{platform.platform()}, {target().cpu}, {TILE}; {dtype}, one thread; load {os.getloadavg()[0]:.1f}")
    print(f"Python {platform.python_version()}, NumPy {np.__version__} (OpenBLAS: {core()}), numba {numba.__version__}")
    print(f"peak: {top / 1e9:.0f} GFLOP/s")
    head = ("what, batch", "taken", "time", "GFLOP/s", "of peak", "NumPy / kernel", "best", "PyTorch / kernel", "best")
    rows = []
    with bar("timing", len(DENSE) * len(LAYERS) * len(BATCHES), show=True) as advance:
        for reference in DENSE:
            for layer in LAYERS:
                for batch in BATCHES:
                    rows.append(row(reference, (batch, *layer), dtype, options.seconds, top))
                    advance(text=rows[-1][0])
    print(table(head, rows))


if __name__ == "__main__":
    main()
