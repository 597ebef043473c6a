"""How long does an epoch of training take, beside PyTorch?

    MINPRUNE_DATA=... python bench/epoch.py [--threads 1] [--samples 60000] [--rounds 3]

MNIST, float32, Adam, batch 128, the same network and order of work: an MLP 784-300-100-10 and LeNet-5 (20-50-500). Our
two backends and PyTorch take turns in one process (an epoch each), with the same number of threads; medians, and the
ratio of each pair. Compiling is outside the timer: an epoch on 256 samples goes before.
PyTorch runs with its fused Adam and channels_last, its batches cut from one tensor, and both with an allocator
that keeps large blocks. No validation is timed, and no dropout is used.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any


def parse() -> argparse.Namespace:
    """Read the options before NumPy is imported: its threads are counted then."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def ours(net: Any, x: Any, y: Any, backend: str) -> Callable[[], None]:
    """One epoch of minprune."""
    import minprune as mp

    def epoch(count: int | None = None) -> None:
        with mp.backend(backend):
            mp.fit(net, (x[:count], y[:count]), epochs=1, batch_size=128, progress=False)

    epoch(256)
    return epoch


def theirs(model: Any, x: Any, y: Any) -> Callable[[], None]:
    """One epoch of PyTorch."""
    import torch

    data, labels = torch.tensor(x), torch.tensor(y)
    if data.ndim == 4:
        model, data = model.to(memory_format=torch.channels_last), data.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    loss = torch.nn.CrossEntropyLoss()

    def epoch() -> None:
        for chosen in torch.randperm(len(data)).split(128):
            optimizer.zero_grad(set_to_none=True)
            loss(model(data[chosen]), labels[chosen]).backward()
            optimizer.step()

    return epoch


def pairs() -> dict[str, tuple[Any, Any, bool]]:
    """Name -> minprune's network, PyTorch's, and whether it reads flat rows."""
    from torch import nn

    from minprune.models import lenet5, mlp

    torch_mlp = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
    torch_lenet = nn.Sequential(
        *(nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)),
    )
    return {
        "MLP 784-300-100-10": (mlp(784, (300, 100), 10), torch_mlp, True),
        "LeNet-5 20-50-500": (lenet5((1, 28, 28), 10), torch_lenet, False),
    }


def main() -> None:
    """Run both engines in turn and print a line per network."""
    options = parse()
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:  # the C library reads these when a process starts: start again
        large = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **large})
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    try:
        import torch
    except ImportError:
        print('PyTorch is not installed; pip install "minprune[bench]"')
        return
    import numpy as np

    import minprune as mp

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(
        f"NumPy {np.__version__}, PyTorch {torch.__version__}, {options.threads} thread(s), {options.samples} samples"
    )
    for name, (net, model, flat) in pairs().items():
        data = mp.data.mnist(flat=flat)
        x = np.concatenate([data.train.x, data.valid.x])[: options.samples]
        y = np.concatenate([data.train.y, data.valid.y])[: options.samples]
        engines = {backend: ours(net, x, y, backend) for backend in ("numpy", "numba")} | {"torch": theirs(model, x, y)}
        times: dict[str, list[float]] = {engine: [] for engine in engines}
        for _ in range(options.rounds):
            for engine, epoch in engines.items():
                started = perf_counter()
                epoch()
                times[engine].append(perf_counter() - started)
        print(name, *(f"{engine} {median(found):.2f} s" for engine, found in times.items()), sep="   ")
        for backend in ("numpy", "numba"):
            ratios = [t / m for m, t in zip(times[backend], times["torch"], strict=True)]
            print(f"  torch / {backend} {median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})")


if __name__ == "__main__":
    main()
