"""Convolution and pooling: do the kernels beat NumPy's im2col and PyTorch, layer by layer and in LeNet-5?

    python bench/conv.py [--seconds 0.4] [--dtype float32] [--steps 20]

The convolutions of LeNet-5 and others that nothing was tuned on, for several batches: forward with bias, and the
gradients by x and by W; then pooling, ReLU's gradient; then LeNet-5 as a whole: forward, and training by `mp.fit` with
either backend. One thread, one process, the peers in turn, 21 pairs of blocks each: a ratio is the peer's time divided
by the kernel's, the median over the pairs and its 95 % interval; "best" is the ratio of the shortest blocks, which says
more where other programs run. Images come as the layer before leaves them: x in C order for a first layer, with the
samples side by side otherwise; for NumPy always in C order; for PyTorch always channels_last, weights too, with its
gradients by `aten::convolution_backward`, and for either an allocator that keeps large blocks. Compiling and making the
inputs are outside the timer, packing is within. "Taken" says whether `backend("numba")` would leave that size to the
kernel. GFLOP/s and the share of the peak are the kernel's shortest block; the peak is the micro-kernel's own rate on
data in the L1 cache, as `bench/dense.py` measures it.
"""

from __future__ import annotations

import argparse
import os
import sys

os.environ.pop("OPENBLAS_CORETYPE", None)
os.environ.pop("OPENBLAS_L2_SIZE", None)
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
if __name__ == "__main__" and "MALLOC_MMAP_THRESHOLD_" not in os.environ:  # read when a process starts: start again
    large = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **large})

import platform
from collections.abc import Callable
from math import prod
from statistics import median
from time import perf_counter
from typing import Any

import numba
import numpy as np
from dense import against, core, peak

import minprune as mp
from minprune.backends import _kernels
from minprune.kernels.cpu import target
from minprune.kernels.layout import batch_last
from minprune.kernels.vectors import TILE
from minprune.kernels.window_cases import ARGUMENTS, Setting
from minprune.models import lenet5
from minprune.ops.activations import relu_grad
from minprune.ops.conv import conv, conv_grad_W, conv_grad_x
from minprune.ops.pool import avg_pool, avg_pool_grad, max_pool, max_pool_grad
from minprune.progress import bar
from minprune.reports import duration, table

CONVOLUTIONS = (conv, conv_grad_x, conv_grad_W)
LAYERS: dict[str, Setting] = {
    "20 → 50, 5 × 5 on 12": Setting(1, 20, 50, (12, 12), (5, 5)),
    "1 → 20, 5 × 5 on 28": Setting(1, 1, 20, (28, 28), (5, 5)),
    "16 → 32, 3 × 3 on 16": Setting(1, 16, 32, (16, 16), (3, 3), padding=(1, 1)),
    "64 → 64, 3 × 3 on 14": Setting(1, 64, 64, (14, 14), (3, 3), padding=(1, 1)),
    "32 → 64, 3 × 3, stride 2 on 8": Setting(1, 32, 64, (8, 8), (3, 3), (2, 2), (1, 1)),
    "6 → 16, 5 × 5 on 14": Setting(1, 6, 16, (14, 14), (5, 5)),
    "64 → 32, 1 × 1 on 14": Setting(1, 64, 32, (14, 14), (1, 1)),
    "depthwise 32, 3 × 3 on 16": Setting(1, 32, 32, (16, 16), (3, 3), padding=(1, 1), groups=32),
    "8 → 24, 9 on 200": Setting(1, 8, 24, (200,), (9,), padding=(4,)),
}
POOLS = {
    "20, 2 × 2 on 24": Setting(1, 20, 20, (24, 24), (2, 2), (2, 2)),
    "50, 3 × 3, stride 2 on 9": Setting(1, 50, 50, (9, 9), (3, 3), (2, 2), (1, 1)),
}
BATCHES = (1, 16, 32, 128, 256)


def side_by_side(array: Any) -> Any:
    """The same images with the samples side by side; what is no image as it is."""
    if not isinstance(array, np.ndarray) or array.ndim < 3:
        return array
    images, memory = batch_last(array.shape, array.dtype)
    memory[...] = np.moveaxis(array, 0, -1)
    return images


def as_met(reference: Callable[..., Any], args: tuple[Any, ...], first: bool) -> tuple[Any, ...]:
    """The arguments as a network hands them over; weights, and images of a first layer, in C order."""
    images = {conv: (0,), conv_grad_x: (0,), conv_grad_W: (0, 1)}.get(reference, range(len(args)))
    kept = {conv: 0, conv_grad_W: 1}.get(reference) if first else None
    return tuple(side_by_side(a) if k in images and k != kept else a for k, a in enumerate(args))


def torch_call(reference: Callable[..., Any], args: tuple[Any, ...], setting: Setting) -> Callable[[], Any] | None:
    """The same in PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    order = torch.channels_last if len(setting.size) == 2 else torch.contiguous_format
    tensors = [torch.from_numpy(a).contiguous(memory_format=order) if a.ndim > 2 else torch.from_numpy(a)
               for a in args if isinstance(a, np.ndarray)]  # fmt: skip
    stride, padding, dilation = setting.moves
    none, back = [0] * len(setting.size), torch.ops.aten.convolution_backward

    def gradient(g: Any, x: Any, W: Any, asked: list[bool]) -> Callable[[], Any]:
        return lambda: back(g, x, W, None, stride, padding, dilation, False, none, setting.groups, asked)

    if reference is conv:
        run = torch.nn.functional.conv2d if len(setting.size) == 2 else torch.nn.functional.conv1d
        return lambda: run(*tensors, stride, padding, dilation, setting.groups)
    if reference is conv_grad_x:
        x = torch.empty(args[2]).contiguous(memory_format=order).to(tensors[0].dtype)
        return gradient(tensors[0], x, tensors[1], [True, False, False])
    if reference is conv_grad_W:
        W = torch.empty(args[2]).contiguous(memory_format=order).to(tensors[0].dtype)
        return gradient(tensors[0], tensors[1], W, [False, True, False])
    if reference is max_pool:
        return lambda: torch.nn.functional.max_pool2d(tensors[0], setting.kernel, stride, padding)
    if reference is avg_pool:
        return lambda: torch.nn.functional.avg_pool2d(tensors[0], setting.kernel, stride, padding)
    return None


def row(
    reference: Callable[..., Any], name: str, setting: Setting, first: bool, dtype: Any, seconds: float, top: float
) -> list[str]:
    """One line of the table."""
    args = ARGUMENTS[reference](setting, dtype, np.random.default_rng(setting.N))
    met = as_met(reference, args, first)
    kernel = _kernels[f"{reference.__module__}.{reference.__name__}"]["numba"]
    spread, best, shortest = against(lambda: reference(*args), lambda: kernel.run(*met), seconds)
    peer = torch_call(reference, args, setting)
    of_torch = against(peer, lambda: kernel.run(*met), seconds)[:2] if peer else ("–", "")
    taken = "yes" if kernel.takes(*met) else "no"
    rates = ("", "")
    if reference in CONVOLUTIONS:
        each = setting.C // setting.groups * prod(setting.kernel) * prod(setting.out) * setting.O
        rate = 2 * setting.N * each / shortest
        rates = (f"{rate / 1e9:.0f}", f"{rate / top:.0%}")
    return [f"{reference.__name__} {name}, {setting.N}", taken, duration(shortest), *rates, spread, best, *of_torch]


def every(batches: tuple[int, ...]) -> list[tuple[Callable[..., Any], str, Setting, bool]]:
    """What is measured: the function, the layer, and whether it is a network's first."""
    found: list[tuple[Callable[..., Any], str, Setting, bool]] = []
    for reference in CONVOLUTIONS:
        for name, layer in LAYERS.items():
            first = layer.C == 1
            if not (first and reference is conv_grad_x):  # nobody asks for it
                found += [(reference, name, Setting(**{**vars(layer), "N": N}), first) for N in batches]
    for reference in (max_pool, max_pool_grad, avg_pool, avg_pool_grad, relu_grad):
        found += [(reference, name, Setting(**{**vars(pool), "N": 128}), False) for name, pool in POOLS.items()]
    return found


def rates(steps: int) -> list[list[str]]:
    """LeNet-5 by both backends, in turn: images a second forward, and in training with Adam and batches of 128."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((128 * steps, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 128 * steps)
    net = lenet5((1, 28, 28), 10)
    batches = [x[start : start + 256] for start in range(0, len(x), 256)]

    def train() -> None:
        mp.fit(net, (x, y), epochs=1, batch_size=128, progress=False)

    def forward() -> None:
        for batch in batches:
            net(batch)

    rows = []
    for name, work in (("LeNet-5 forward, batch 256", forward), ("LeNet-5 training (mp.fit), batch 128", train)):
        times: dict[str, list[float]] = {"numpy": [], "numba": []}
        for turn in range(6):
            for backend, found in times.items():
                with mp.backend(backend):
                    started = perf_counter()
                    work()
                    if turn:  # the first compiles
                        found.append(perf_counter() - started)
        ratios = [a / b for a, b in zip(*times.values(), strict=True)]
        images = [f"{len(x) / min(found):,.0f}" for found in times.values()]
        rows.append([name, *images, f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"])
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    options = parser.parse_args()
    dtype = np.dtype(options.dtype)
    mp.backend("numba")
    mp.backend("numpy")  # the kernels are imported; the references are what is called here
    top = peak(dtype)
    print(f"{platform.platform()}, {target().cpu}, {TILE}; {dtype}, one thread; load {os.getloadavg()[0]:.1f}")
    print(f"Python {platform.python_version()}, NumPy {np.__version__} (OpenBLAS: {core()}), numba {numba.__version__}")
    print(f"peak: {top / 1e9:.0f} GFLOP/s")
    head = ("what, batch", "taken", "time", "GFLOP/s", "of peak", "NumPy / kernel", "best", "PyTorch / kernel", "best")
    rows, questions = [], every(tuple(options.batches))
    with bar("timing", len(questions), show=True) as advance:
        for question in questions:
            rows.append(row(*question, dtype, options.seconds, top))
            advance(text=rows[-1][0])
    print(table(head, rows))
    print()
    print(table(("LeNet-5 20-50-500", "NumPy, images/s", "numba, images/s", "times, of 5 turns"), rates(options.steps)))


if __name__ == "__main__":
    main()
