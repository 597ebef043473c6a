"""Dense layers: do the kernels beat NumPy's and PyTorch's matrix products, and where?

    python bench/dense.py [--rounds 21] [--dtype float32] [--quick] [--json DIR]

The layers of 784-300-100-10, and shapes that nothing was tuned on, for batches of 1, 32, 256 and 4,096: forward with
bias, and the gradients by x and by W. One thread, one process; kernel, NumPy and PyTorch (where it is installed) in
turn. A ratio is the peer's time divided by the kernel's, the median over the turns and the quartiles; "best" is the
ratio of the shortest blocks, which says more where other programs run. The kernel runs whatever its size; "taken" says
whether `backend("numba")` would leave that size to it. Compiling and making the inputs are outside the timer, packing
the weights is within. GFLOP/s and the share of the peak are the kernel's shortest block; the peak is the micro-kernel's
own rate on data in the L1 cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import types
from side_by_side import THREADS, Row, compared, keep, spread, start

from minprune.backends import _kernels
from minprune.kernels.cases import ARGUMENTS, BATCHES, LAYERS
from minprune.kernels.keeping import compiled, read, written
from minprune.kernels.vectors import BYTES, ROWS, TILE, VECTORS, tile
from minprune.ops.affine import affine, affine_grad_W, affine_grad_x
from minprune.progress import bar
from minprune.reports import duration, table
from minprune.timing import measure

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


def torch_call(reference: Callable[..., Any], args: tuple[Any, ...]) -> Callable[[], Any] | None:
    """The same in PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(int(THREADS))
    torch.set_grad_enabled(False)
    a, b, *others = (torch.from_numpy(array) for array in args)
    calls = {
        "affine": lambda: torch.nn.functional.linear(a, b, others[0]),
        "affine_grad_x": lambda: a @ b,
        "affine_grad_W": lambda: a.T @ b,
    }
    return calls[reference.__name__]


def rates(found: Row, operations: float, top: float) -> Row:
    """The same with the kernel's operations a second, and their share of the peak."""
    rate = operations / found["seconds"]["ours"]
    return found | {"rate": rate, "of peak": rate / top}


def measured(reference: Callable[..., Any], sizes: tuple[int, int, int], dtype: Any, rounds: int, top: float) -> Row:
    """One function on one layer, against its peers."""
    N, I, J = sizes  # noqa: E741
    args = ARGUMENTS[reference](sizes, dtype, np.random.default_rng(sizes))
    kernel = _kernels[f"{reference.__module__}.{reference.__name__}"]["numba"]
    calls = {
        "ours": lambda: kernel.run(*args),
        "NumPy": lambda: reference(*args),
        "PyTorch": torch_call(reference, args),
    }
    what = {"what": f"{reference.__name__} {I}-{J}, {N}", "taken": bool(kernel.takes(*args))}
    return what | rates(compared(calls, rounds, block=8e-3), 2 * N * I * J, top)


def rows_table(rows: Sequence[Row]) -> str:
    """Times, rates, and both peers: the median of the ratios, and that of the shortest blocks."""
    lines = []
    for row in rows:
        of = (f"{row['rate'] / 1e9:.0f}", f"{row['of peak']:.0%}") if "rate" in row else ("", "")
        line = [row["what"], "yes" if row["taken"] else "no", duration(row["seconds"]["ours"]), *of]
        for peer in ("NumPy", "PyTorch"):
            found = row["ratios"].get(peer)
            line += [spread(found), f"{found['best']:.2f}"] if found else ["–", ""]
        lines.append(line)
    peers = ("NumPy / kernel", "best", "PyTorch / kernel", "best")
    return table(("what, batch", "taken", "time", "GFLOP/s", "of peak", *peers), lines)


def main() -> None:
    """Measure, print a table, keep the numbers."""
    options = start(__doc__, rounds=21, dtype=("float32", "float64"))
    dtype = np.dtype(options.dtype)
    layers, batches, rounds = (LAYERS[:4:3], (1, 256), 5) if options.quick else (LAYERS, BATCHES, options.rounds)
    top = peak(dtype)
    print(f"{dtype}, tile {TILE}; peak: {top / 1e9:.0f} GFLOP/s")
    plan = [(reference, (batch, *layer)) for reference in DENSE for layer in layers for batch in batches]
    rows = []
    with bar("timing", len(plan), show=True) as advance:
        for what in plan:
            rows.append(measured(*what, dtype, rounds, top))
            advance(text=rows[-1]["what"])
    print(rows_table(rows))
    keep(options, "dense", rows)


if __name__ == "__main__":
    main()
