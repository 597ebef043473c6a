"""How long does an epoch of training take, beside PyTorch?

    MINPRUNE_DATA=… python bench/epoch.py [--samples 60000] [--rounds 3] [--quick] [--json DIR]

MNIST, float32, Adam, batch 128, the same network and order of work: an MLP 784-300-100-10 and LeNet-5 (20-50-500). Our
two backends and PyTorch, where it is installed, take turns in one process (an epoch each), with the same number of
threads; seconds are those of the shortest epoch, ratios the median over the turns. Compiling is outside the timer: an
epoch on 256 samples goes before. PyTorch runs with its fused Adam and channels_last, its batches cut from one tensor,
and both with an allocator that keeps large blocks. No dropout is used. "In use" is the numba backend as one works with
it: progress bar, and validation on the 10,000 test images (of which nothing is told); PyTorch's epoch has neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from peers import as_torch, torch_model
from side_by_side import Row, keep, mnist, ratio, spread, start, take_turns

import minprune as mp
from minprune.datasets.samples import Dataset
from minprune.models import lenet5, mlp
from minprune.progress import track
from minprune.reports import duration, table

BATCH = 128
PAIRS = (("numpy", "numba"), ("PyTorch", "numba"), ("PyTorch", "in use"), ("PyTorch", "numpy"))
NETWORKS = {
    "MLP 784-300-100-10": lambda: mlp(784, (300, 100), 10),
    "LeNet-5 20-50-500": lambda: lenet5((1, 28, 28), 10),
}


def ours(net: Any, x: Any, y: Any, backend: str, valid: Any = None) -> Callable[[], None]:
    """One epoch of minprune; with a part to validate on, as in use."""

    def epoch(count: int | None = None) -> None:
        train = mp.data.Samples(x[:count], y[:count])
        data = train if valid is None else Dataset(train, valid, valid)
        with mp.backend(backend):
            mp.fit(net, data, epochs=1, batch_size=BATCH, progress=valid is not None)

    epoch(256)
    return epoch


def theirs(net: Any, x: Any, y: Any) -> Callable[[], None] | None:
    """One epoch of PyTorch."""
    model = torch_model(net)
    if model is None:
        return None
    import torch

    torch.manual_seed(0)
    data, labels = as_torch(x), torch.tensor(y)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    loss = torch.nn.CrossEntropyLoss()

    def epoch() -> None:
        for chosen in torch.randperm(len(data)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss(model(data[chosen]), labels[chosen]).backward()
            optimizer.step()

    return epoch


def measured(name: str, samples: int, rounds: int) -> Row:
    """An epoch of each, in turn."""
    data = mnist(flat=name.startswith("MLP"))
    x = np.concatenate([data.train.x, data.valid.x])[:samples]
    y = np.concatenate([data.train.y, data.valid.y])[:samples]
    calls = {backend: ours(NETWORKS[name](), x, y, backend) for backend in ("numba", "numpy")}
    calls["in use"] = ours(NETWORKS[name](), x, y, "numba", data.test)
    peer = theirs(NETWORKS[name](), x, y)
    times = take_turns(calls | ({"PyTorch": peer} if peer else {}), rounds, block=0)
    seconds = {who: min(found) for who, found in times.items()}
    ratios = {f"{one} / {other}": ratio(times, one, other) for one, other in PAIRS if one in times}
    return {"what": name, "samples": len(x), "seconds": seconds, "ratios": ratios}


def main() -> None:
    """Measure, print a table, keep the numbers."""
    options = start(__doc__, samples=60_000, rounds=3)
    samples = min(options.samples, 6_000) if options.quick else options.samples
    rows = [measured(name, samples, options.rounds) for name in track(NETWORKS, "training", show=True)]
    head = (*rows[0]["seconds"], *rows[0]["ratios"])
    lines = []
    for row in rows:
        times = (duration(seconds) for seconds in row["seconds"].values())
        lines.append((row["what"], *times, *(spread(found) for found in row["ratios"].values())))
    print(f"an epoch of {rows[0]['samples']:,} images, batch {BATCH}\n{table(('', *head), lines)}")
    keep(options, "epoch", rows)


if __name__ == "__main__":
    main()
