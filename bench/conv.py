"""Convolution and pooling: do the kernels beat NumPy's im2col and PyTorch, layer by layer and in LeNet-5?

    python bench/conv.py [--rounds 21] [--dtype float32] [--steps 20] [--quick] [--json DIR]

The convolutions of LeNet-5 and others that nothing was tuned on, for several batches: forward with bias, and the
gradients by x and by W; then pooling, ReLU's gradient; then LeNet-5 as a whole: forward, and training by `mp.fit` with
either backend. One thread, one process, the peers in turn: a ratio is the peer's time divided by the kernel's, the
median over the turns and the quartiles; "best" is the ratio of the shortest blocks, which says more where other
programs run. Images come as the layer before leaves them: x in C order for a first layer, with the
samples side by side otherwise; for NumPy always in C order; for PyTorch always channels_last, weights too, with its
gradients by `aten::convolution_backward`, and for either an allocator that keeps large blocks. Compiling and making the
inputs are outside the timer, packing is within. "Taken" says whether `backend("numba")` would leave that size to the
kernel. GFLOP/s and the share of the peak are the kernel's shortest block; the peak is the micro-kernel's own rate on
data in the L1 cache, as `bench/dense.py` measures it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from dense import peak, rates, rows_table
from side_by_side import THREADS, Row, compared, keep, ratio, spread, start, take_turns

import minprune as mp
from minprune.backends import _kernels
from minprune.kernels.layout import batch_last
from minprune.kernels.vectors import TILE
from minprune.kernels.window_cases import ARGUMENTS, Setting
from minprune.models import lenet5
from minprune.ops.activations import relu_grad
from minprune.ops.conv import conv, conv_grad_W, conv_grad_x
from minprune.ops.pool import avg_pool, avg_pool_grad, max_pool, max_pool_grad
from minprune.progress import bar
from minprune.reports import table

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


def batched_last(array: Any) -> Any:
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
    return tuple(batched_last(a) if k in images and k != kept else a for k, a in enumerate(args))


def torch_call(reference: Callable[..., Any], args: tuple[Any, ...], setting: Setting) -> Callable[[], Any] | None:
    """The same in PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(int(THREADS))
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


def measured(
    reference: Callable[..., Any], name: str, setting: Setting, first: bool, dtype: Any, rounds: int, top: float
) -> Row:
    """One function on one layer, against its peers."""
    args = ARGUMENTS[reference](setting, dtype, np.random.default_rng(setting.N))
    met = as_met(reference, args, first)
    kernel = _kernels[f"{reference.__module__}.{reference.__name__}"]["numba"]
    calls = {
        "ours": lambda: kernel.run(*met),
        "NumPy": lambda: reference(*args),
        "PyTorch": torch_call(reference, args, setting),
    }
    found = {"what": f"{reference.__name__} {name}, {setting.N}", "taken": bool(kernel.takes(*met))}
    found |= compared(calls, rounds, block=8e-3)
    if reference not in CONVOLUTIONS:
        return found
    each = setting.C // setting.groups * prod(setting.kernel) * prod(setting.out) * setting.O
    return rates(found, 2 * setting.N * each, top)


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


def whole(steps: int, rounds: int) -> list[Row]:
    """LeNet-5 by both backends, in turn: images a second forward, and in training with Adam and batches of 128."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((128 * steps, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 128 * steps)
    batches = [x[start : start + 256] for start in range(0, len(x), 256)]

    def work(backend: str, train: bool) -> Callable[[], None]:
        net = lenet5((1, 28, 28), 10)

        def call() -> None:
            with mp.backend(backend):
                if train:
                    mp.fit(net, (x, y), epochs=1, batch_size=128, progress=False)
                else:
                    for batch in batches:
                        net(batch)

        call()  # compiles
        return call

    rows = []
    for name, train in (("LeNet-5 forward, batch 256", False), ("LeNet-5 training (mp.fit), batch 128", True)):
        times = take_turns({backend: work(backend, train) for backend in ("numpy", "numba")}, rounds, block=0)
        shortest = {backend: min(found) for backend, found in times.items()}
        images = {backend: len(x) / seconds for backend, seconds in shortest.items()}
        ratios = {"numpy": ratio(times, "numpy", "numba")}
        rows.append({"what": name, "seconds": shortest, "images a second": images, "ratios": ratios})
    return rows


def main() -> None:
    """Measure, print tables, keep the numbers."""
    options = start(__doc__, rounds=21, dtype=("float32", "float64"), steps=20)
    dtype, batches, rounds, steps = np.dtype(options.dtype), BATCHES, options.rounds, options.steps
    if options.quick:
        batches, rounds, steps = (128,), 3, 4
    mp.backend("numba")
    mp.backend("numpy")  # the kernels are imported; the references are what is called here
    top = peak(dtype)
    print(f"{dtype}, tile {TILE}; peak: {top / 1e9:.0f} GFLOP/s")
    rows, questions = [], every(batches)
    with bar("timing", len(questions), show=True) as advance:
        for question in questions:
            rows.append(measured(*question, dtype, rounds, top))
            advance(text=rows[-1]["what"])
    print(f"{rows_table(rows)}\n")
    lenet = whole(steps, 3 if options.quick else 5)
    images = [[f"{row['images a second'][backend]:,.0f}" for backend in ("numpy", "numba")] for row in lenet]
    lines = [(row["what"], *rate, spread(row["ratios"]["numpy"])) for row, rate in zip(lenet, images, strict=True)]
    print(table(("LeNet-5 20-50-500", "NumPy, images/s", "numba, images/s", "times"), lines))
    keep(options, "conv", rows + lenet)


if __name__ == "__main__":
    main()
