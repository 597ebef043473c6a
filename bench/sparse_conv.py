"""Sparse convolution: from how many zeros on is it faster than the dense one, and how do others compare?

    python bench/sparse_conv.py [--rounds 11] [--quick] [--json DIR]

One convolution with bias, float32, one thread, in turn: filters with a share of their weights gone, one by one. Dense
is our own kernel, and PyTorch's with channels_last; scipy's and PyTorch's CSR multiply the columns that im2col makes of
images that have their samples side by side, which is what they like best: making the columns is inside the timer,
turning the result into images is not asked of them. Ours and our dense one get and give images with the samples side by
side, as from layer to layer; `on tiles` is ours where the images lie as tiles already, as within a program. Building
the format is outside the timer; how long it takes is the last column, beside scipy's. "Pays from" is where the line
between two measured ratios to our dense kernel, of the shortest blocks, crosses 1.

Last, LeNet-5 as a program (`minprune.compile`) at batch 256, the smallest of all its weights gone: the masked network's
program beside that of the whole network, and PyTorch's, which multiplies with zeros as fast as with anything.
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
from peers import torch_call
from side_by_side import keep, ratio, spread, start, take_turns

import minprune as mp
from minprune.kernels.convolution import conv_kernel
from minprune.kernels.layout import aligned, batch_last
from minprune.kernels.sparse_filters import VECTORS, Placed, SparseFilters, correlate_kept
from minprune.kernels.sparse_loops import sparse_tile
from minprune.kernels.vectors import BYTES
from minprune.kernels.window_cases import Setting, conv_args
from minprune.models import lenet5
from minprune.ops.windows import offsets
from minprune.progress import track
from minprune.reports import duration, table

LAYERS = {
    "20 → 50, 5 × 5 on 12 × 12": Setting(1, 20, 50, (12, 12), (5, 5)),
    "64 → 64, 3 × 3 on 16 × 16": Setting(1, 64, 64, (16, 16), (3, 3), padding=(1, 1)),
    "24 → 40, 3 × 3, stride 2 on 15 × 15": Setting(1, 24, 40, (15, 15), (3, 3), (2, 2), (1, 1)),
}
BATCHES = (32, 256)
ZEROS = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95)
FLOAT = np.dtype(np.float32)


def im2col(memory: Any, s: Setting) -> Any:
    """What every place sees, (c · K, places · N), from images (C, H, W, N)."""
    stride, padding, dilation = s.moves
    around = [(0, 0), *((p, p) for p in padding), (0, 0)]
    images = np.moveaxis(np.pad(memory, around) if any(padding) else memory, -1, 0)
    columns = np.empty((s.C, *s.kernel, *s.out, memory.shape[-1]), FLOAT)
    for entry, view in offsets(s.kernel, stride, dilation, s.out):
        columns[entry[1:]] = np.moveaxis(images[view], 0, -1)
    return columns.reshape(s.C * s.kernel[0] * s.kernel[1], -1)


def scipy_call(W: Any, memory: Any, s: Setting) -> Any:
    """Columns times scipy's CSR, and how long it takes to build."""
    try:
        from scipy.sparse import csr_matrix
    except ImportError:
        return None, 0.0
    start = perf_counter()
    sparse = csr_matrix(W.reshape(len(W), -1))
    return lambda: sparse @ im2col(memory, s), perf_counter() - start


def torch_calls(x: Any, W: Any, b: Any, memory: Any, s: Setting) -> dict[str, Any]:
    """PyTorch's dense convolution, and columns times its CSR."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    images, filters = (torch.from_numpy(a).contiguous(memory_format=torch.channels_last) for a in (x, W))
    bias = torch.from_numpy(b)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that CSR is in beta
        sparse = torch.from_numpy(W.reshape(len(W), -1)).to_sparse_csr()
    return {
        "PyTorch": lambda: torch.nn.functional.conv2d(images, filters, bias, *s.moves),
        "PyTorch CSR": lambda: sparse @ torch.from_numpy(im2col(memory, s)),
    }


def on_tiles(placed: Placed, memory: Any, b: Any, expected: Any) -> Any:
    """Ours on tiles that lie there as they do within a program, which puts their padding around them."""
    width = VECTORS * BYTES // FLOAT.itemsize
    size, padding, out, steps = placed.geometry
    tiles, (down, along) = memory.shape[-1] // width, padding
    X, Y = (aligned((tiles, *shape, width), FLOAT) for shape in (size, (expected.shape[1], *out)))
    X[...] = np.moveaxis(memory.reshape(*size, tiles, width), -2, 0)
    padded = aligned((size[0], size[1] + 2 * down, size[2] + 2 * along, width), FLOAT)
    padded[...] = 0
    middle = padded[:, down : down + size[1], along : along + size[2]]
    kernel, sums = sparse_tile[FLOAT], placed.room(VECTORS)

    def call() -> None:
        for tile, result in zip(X, Y, strict=True):
            if any(padding):
                middle[...] = tile
            kernel(*placed.arrays, b, False, out, steps, padded if any(padding) else tile, sums, result)

    call()
    found = np.moveaxis(Y, -1, 1).reshape(expected.shape)
    assert np.allclose(found, expected, atol=1e-3)
    return call


def measured(name: str, batch: int, zeros: float, rounds: int) -> dict[str, Any]:
    """One layer, one share of zeros."""
    s = Setting(**{**vars(LAYERS[name]), "N": batch})
    rng = np.random.default_rng(0)
    given, W, b, *moves, _ = conv_args(s, FLOAT, rng)
    W = np.where(rng.random(W.shape) >= zeros, W, FLOAT.type(0))
    x, memory = batch_last(given.shape, FLOAT)
    x[...] = given
    builds = []
    for _ in range(5):
        start = perf_counter()
        filters = SparseFilters.of(W, None, *moves)
        builds.append(perf_counter() - start)
    scipy, building = scipy_call(W, memory, s)
    dense = conv_kernel(x, W, b, *moves, 1)
    assert np.allclose(correlate_kept(x, filters, b), dense, atol=1e-3)
    calls = {"dense": lambda: conv_kernel(x, W, b, *moves, 1), **torch_calls(given, W, b, memory, s)}
    calls |= {"scipy": scipy} if scipy else {}
    calls |= {"ours": lambda: correlate_kept(x, filters, b)}
    calls |= {"on tiles": on_tiles(filters.on(s.size), memory, b, dense)}
    times = take_turns(calls, rounds)
    found: dict[str, Any] = {"layer": name, "batch": batch, "zeros": zeros}
    found["seconds"] = {name: min(values) for name, values in times.items()}
    found["ratios"] = {name: ratio(times, name, "ours") for name in times if name not in ("ours", "on tiles")}
    return found | {"on tiles": ratio(times, "dense", "on tiles"), "building": min(builds), "scipy builds": building}


def pays_from(rows: list[dict[str, Any]]) -> str:
    """The share of zeros from which ours is faster than our dense kernel."""
    points = [(row["zeros"], row["ratios"]["dense"]["best"]) for row in rows]
    for (z0, r0), (z1, r1) in pairwise(points):
        if r0 < 1 <= r1:
            return f"{z0 + (z1 - z0) * (1 - r0) / (r1 - r0):.0%}"
    return "always" if points[0][1] >= 1 else "never"


def network(share: float, rounds: int) -> dict[str, Any]:
    """LeNet-5 with a share of its weights masked."""
    net = lenet5((1, 28, 28), 10, rng=0)
    plan = mp.decide(mp.score(net, criterion="magnitude_l1", by="weight"), mp.Global(share))
    masked, x = mp.mask(net, plan), np.random.default_rng(0).random((256, 1, 28, 28), dtype=FLOAT)
    programs = {name: mp.compile(made, batch_size=len(x)) for name, made in (("whole", net), ("masked", masked))}
    out = np.empty((len(x), 10), FLOAT)
    assert np.allclose(programs["masked"](x), masked(x), atol=1e-4)
    calls: dict[str, Any] = {name: lambda made=made: made(x, out=out) for name, made in programs.items()}
    if (peer := torch_call(masked, x)) is not None:
        assert np.allclose(peer().numpy(), masked(x), atol=1e-4)
        calls["PyTorch"] = peer
    times = take_turns(calls, rounds)
    seconds = {name: min(values) for name, values in times.items()}
    ratios = {name: ratio(times, name, "masked") for name in times if name != "masked"}
    return {"network": "LeNet-5", "batch": len(x), "zeros": share, "seconds": seconds, "ratios": ratios}


def main() -> None:
    """Measure, print a table, keep the numbers."""
    options = start(__doc__, rounds=11)
    rounds = 3 if options.quick else options.rounds
    plan = [(name, batch, zeros) for name in LAYERS for batch in BATCHES for zeros in ZEROS]
    rows = [measured(*what, rounds) for what in track(plan, "timing", show=True)]
    names, lines = ("dense", "PyTorch", "scipy", "PyTorch CSR"), []
    for row in rows:
        ratios = [spread(row["ratios"][name]) if name in row["ratios"] else "not installed" for name in names]
        times = [duration(row[name]) for name in ("building", "scipy builds")]
        what = (row["layer"], row["batch"], f"{row['zeros']:.0%}", duration(row["seconds"]["ours"]))
        lines.append((*what, *ratios, spread(row["on tiles"]), *times))
    head = ("layer", "batch", "zeros", "ours", *(f"{name} / ours" for name in names))
    print(table((*head, "dense / on tiles", "building", "scipy builds"), lines))
    for name in LAYERS:
        for batch in BATCHES:
            mine = [row for row in rows if (row["layer"], row["batch"]) == (name, batch)]
            print(f"{name}, batch {batch}: pays from {pays_from(mine)} zeros")
    networks = [network(share, rounds) for share in (0.5, 0.8, 0.9, 0.95)]
    lines = []
    for row in networks:
        ratios = [
            spread(row["ratios"][name]) if name in row["ratios"] else "not installed" for name in ("whole", "PyTorch")
        ]
        lines.append((row["network"], f"{row['zeros']:.0%}", duration(row["seconds"]["masked"]), *ratios))
    print(table(("network", "zeros", "program", "whole / program", "PyTorch / program"), lines))
    keep(options, "sparse_conv", rows + networks)


if __name__ == "__main__":
    main()
