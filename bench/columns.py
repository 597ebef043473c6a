"""Inputs that are 0: what are they worth for a single sample, if weights lie by columns?

    python bench/columns.py [--rounds 15] [--quick] [--json DIR]

One layer, float32, one thread, one sample, in turn: W (J, I) with a share of its weights gone, chosen one by one, on an
input of which a share is 0. `columns` holds all weights and reads those columns whose input is not 0; `rows` reads all
of them, `CSR` those that are kept. Peers: NumPy's product (OpenBLAS choosing its kernels), scipy's CSR and CSC, and
PyTorch's linear, where they are installed. Bias is added by ours and by PyTorch. The last column is what `rows`, or CSR
where that is faster, takes as a multiple of `columns`: what a program gains by them.
"""

from __future__ import annotations

from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np
from side_by_side import keep, ratio, spread, start, take_turns

from minprune.kernels.columns import by_columns, dense_columns, room
from minprune.kernels.rows import by_eights, dense_rows, sparse_rows
from minprune.kernels.strips import aligned_copy
from minprune.progress import track
from minprune.reports import duration, table
from minprune.runtime.steps import csr

SHAPES = ((300, 784), (100, 300), (1000, 1000), (131, 617))
WEIGHTS, INPUTS = (0.0, 0.5, 0.9), (0.0, 0.5, 0.9)
FLOAT = np.dtype(np.float32)
PEERS = ("rows", "CSR", "NumPy", "scipy CSR", "scipy CSC", "PyTorch")


def peers(W: Any, x: Any, b: Any) -> dict[str, Any]:
    """Calls of other libraries for W x."""
    found: dict[str, Any] = {"NumPy": lambda: W @ x[0]}
    if find_spec("scipy"):
        from scipy.sparse import csc_matrix, csr_matrix

        by_rows, by_cols = csr_matrix(W), csc_matrix(W)
        found |= {"scipy CSR": lambda: by_rows @ x[0], "scipy CSC": lambda: by_cols @ x[0]}
    if not find_spec("torch"):
        return found
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    given = [torch.from_numpy(array) for array in (x, W, b)]
    return found | {"PyTorch": lambda: torch.nn.functional.linear(*given)}


def ours(W: Any, x: Any, b: Any) -> tuple[dict[str, Any], float]:
    """Our calls, each checked, and how long it takes to lay W by columns."""
    y, matrix, scratch = np.empty((1, len(W)), FLOAT), csr(W, W != 0), room(x.shape[1], FLOAT)
    by_columns(W)  # the first time it may have to be compiled
    start = perf_counter()
    stored = by_columns(W)
    building = perf_counter() - start
    dense, sparse, columns = dense_rows[FLOAT], sparse_rows[FLOAT], dense_columns[FLOAT]
    eights = by_eights(W, b[: len(W)])
    calls = {
        "rows": lambda: dense(eights, False, x, 1, y),
        "CSR": lambda: sparse(*matrix, b, False, x, 1, y),
        "columns": lambda: columns(stored, b, False, x, 1, scratch, y),
    }
    for name, call in calls.items():
        y[...] = np.nan
        call()
        assert np.allclose(y[0], W @ x[0] + b, atol=1e-3), name
    return calls, building


def measured(shape: tuple[int, int], weights: float, inputs: float, rounds: int) -> dict[str, Any]:
    """One layer, one share of zeros in its weights, one in its input."""
    (J, I), rng = shape, np.random.default_rng(0)  # noqa: E741
    W = aligned_copy(np.where(rng.random(shape) >= weights, rng.standard_normal(shape), 0).astype(FLOAT))
    x = np.where(rng.random((1, I)) >= inputs, rng.standard_normal((1, I)), 0).astype(FLOAT)
    b = rng.standard_normal(J).astype(FLOAT)
    calls, building = ours(W, x, b)
    times = take_turns(peers(W, x, b) | calls, rounds, block=1e-3)
    best = min(("rows", "CSR"), key=lambda name: min(times[name]))
    found: dict[str, Any] = {"layer": f"{J} × {I}", "zero weights": weights, "zero inputs": inputs}
    found["seconds"] = {name: min(values) for name, values in times.items()}
    found["ratios"] = {name: ratio(times, name, "columns") for name in times if name != "columns"}
    return found | {"gain": found["ratios"][best], "beside": best, "building": building}


def main() -> None:
    """Measure, print a table, keep the numbers."""
    options = start(__doc__, rounds=15)
    rounds = 3 if options.quick else options.rounds
    plan = [(shape, weights, inputs) for shape in SHAPES for weights in WEIGHTS for inputs in INPUTS]
    rows = [measured(*what, rounds) for what in track(plan, "timing", show=True)]
    lines = []
    for row in rows:
        what = (row["layer"], f"{row['zero weights']:.0%}", f"{row['zero inputs']:.0%}")
        times = [duration(row["seconds"][name]) if name in row["seconds"] else "" for name in ("columns", *PEERS)]
        lines.append((*what, *times, f"{spread(row['gain'])} {row['beside']}", duration(row["building"])))
    head = ("layer", "weights 0", "inputs 0", "columns", *PEERS, "best other / columns", "building")
    print(table(head, lines, left=1))
    keep(options, "columns", rows)


if __name__ == "__main__":
    main()
