"""Sparse layers: from how many zeros on are they faster than dense ones, and how do others compare?

    python bench/sparse.py [--rounds 15] [--quick] [--json DIR]

One layer, float32, one thread, in turn: W (J, I) with a share of its weights gone, times a batch. For CSR the weights
that go are chosen one by one, for blocks of 16×1 sixteen at a time. Peers: NumPy's dense product (OpenBLAS choosing its
kernels), scipy's CSR and PyTorch's CSR where they are installed, each with its input as it likes it best: I × N,
contiguous. Ours has its input in strips, as it is within a program; `whole call` counts the conversion from rows and
back as well, as for a program of this single layer. Building the formats is outside the timer; how long it takes is the
last column. 300 × 784 and 1024 × 1024 are what the kernels were tuned on, 131 × 617 is not. For a single sample CSR
runs on rows.
"""

from __future__ import annotations

import warnings
from time import perf_counter
from typing import Any

import numpy as np
from side_by_side import MISSING, keep, ratio, spread, start, take_turns

from minprune.kernels.rows import sparse_rows
from minprune.kernels.strips import PADDED, Parts, from_strips, padded, sparse_strips, strip_buffer, to_strips
from minprune.progress import track
from minprune.reports import duration, table
from minprune.runtime.steps import csr

SHAPES = ((300, 784), (1024, 1024), (131, 617))
BATCHES = (1, 64, 256)
ZEROS = (0.25, 0.3, 0.5, 0.7, 0.9, 0.98)
FLOAT = np.dtype(np.float32)


def peers(W: Any, x: Any) -> dict[str, Any]:
    """Calls of other libraries for W x, x (I, N)."""
    found = {"dense": lambda: W @ x, "scipy": scipy_call(W, x), "PyTorch": torch_call(W, x)}
    return {name: call for name, call in found.items() if call}


def scipy_call(W: Any, x: Any) -> Any:
    """The product with scipy's CSR."""
    try:
        from scipy.sparse import csr_matrix
    except ImportError:
        return None
    sparse = csr_matrix(W)
    return lambda: sparse @ x


def torch_call(W: Any, x: Any) -> Any:
    """The product with PyTorch's CSR."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that CSR is in beta
        sparse, given = torch.from_numpy(W).to_sparse_csr(), torch.from_numpy(x)
    return lambda: sparse @ given


def on_strips(W: Any, x: Any, rows: int) -> dict[str, Any]:
    """Our calls for a batch x (N, I)."""
    N, J = len(x), len(W)
    X, Y = (strip_buffer(N, size, FLOAT) for size in (W.shape[1], J))
    bias, y = np.zeros(padded(J) + PADDED, FLOAT), np.empty((N, J), FLOAT)
    start = perf_counter()
    p = Parts.of(W, W != 0, rows)
    seconds = perf_counter() - start
    kernel, there, back = sparse_strips[FLOAT], to_strips[FLOAT], from_strips[FLOAT]
    there(x, X)

    def layer() -> None:
        kernel(p.rows, p.values, p.columns, p.offsets, bias, False, N, X, Y)

    def whole() -> None:
        there(x, X)
        layer()
        back(Y, y)

    whole()
    assert np.allclose(y, x @ W.T, atol=1e-3)
    return {"ours": layer, "whole call": whole, "building": seconds}


def on_rows(W: Any, x: Any) -> dict[str, Any]:
    """Our call for a single sample."""
    y, bias = np.empty((1, len(W)), FLOAT), np.zeros(len(W), FLOAT)
    start = perf_counter()
    arrays = csr(W, W != 0)
    seconds = perf_counter() - start
    kernel = sparse_rows[FLOAT]
    kernel(*arrays, bias, False, x, 1, y)
    assert np.allclose(y, x @ W.T, atol=1e-3)
    return {"ours": lambda: kernel(*arrays, bias, False, x, 1, y), "building": seconds}


def measured(shape: tuple[int, int], batch: int, zeros: float, rows: int, rounds: int) -> dict[str, Any]:
    """One layer, one share of zeros, one format."""
    J, I = shape  # noqa: E741
    rng = np.random.default_rng(0)
    kept = rng.random((-(-J // rows), I)) >= zeros
    W = np.where(np.repeat(kept, rows, axis=0)[:J], rng.standard_normal(shape), 0).astype(FLOAT)
    x = rng.standard_normal((batch, I)).astype(FLOAT)
    ours = on_rows(W, x) if batch == 1 else on_strips(W, x, rows)
    building = ours.pop("building")
    times = take_turns(peers(W, np.ascontiguousarray(x.T)) | ours, rounds)
    found = {"layer": f"{J} × {I}", "batch": batch, "zeros": zeros, "format": "CSR" if rows == 1 else f"{rows}×1"}
    found["seconds"] = {name: min(values) for name, values in times.items()}
    found["ratios"] = {name: ratio(times, name, "ours") for name in times if name not in ("ours", "whole call")}
    found["whole call"] = ratio(times, "dense", "whole call") if "whole call" in times else None
    return found | {"building": building}


def main() -> None:
    """Measure, print a table, keep the numbers."""
    options = start(__doc__, rounds=15)
    shapes, zeros, rounds = (SHAPES[::2], (0.5, 0.9), 5) if options.quick else (SHAPES, ZEROS, options.rounds)
    plan = [(s, b, z, r) for s in shapes for b in BATCHES for z in zeros for r in (1, 16) if b > 1 or r == 1]
    rows = [measured(*what, rounds) for what in track(plan, "timing", show=True)]
    names = ("dense", "scipy", "PyTorch")
    lines = []
    for row in rows:
        ratios = [spread(row["ratios"][name]) if name in row["ratios"] else MISSING for name in names]
        whole = spread(row["whole call"]) if row["whole call"] else ""
        numbers = (duration(row["seconds"]["ours"]), *ratios, whole, duration(row["building"]))
        lines.append((row["layer"], row["batch"], f"{row['zeros']:.0%}", row["format"], *numbers))
    head = ("layer", "batch", "zeros", "format", "ours", *(f"{name} / ours" for name in names))
    print(table((*head, "dense / whole call", "building"), lines))
    keep(options, "sparse", rows)


if __name__ == "__main__":
    main()
