"""How much memory do training, scoring and the demo take?

    MINPRUNE_DATA=… python bench/memory.py [--runs 3] [--quick] [--json DIR]

Peak resident memory of whole processes, as the system counts it (`ru_maxrss`), with the allocator that everybody has:
the demo as a newcomer runs it; training of LeNet-5 (20-50-500) on MNIST with Adam in batches of 128 for 200 steps, here
and in PyTorch (channels_last, fused), each with the training images as one array that minprune has loaded; Taylor
scores of LeNet-5 on the first 10,000 of these images, and on all of them. The kernels are compiled before. Medians of
several processes, and how far they are apart. This process itself stays small: the system counts its memory as that of
those that it starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from statistics import median

from side_by_side import CHOSEN, KEEP, MISSING, Row, cannot, keep, start

from minprune.progress import bar
from minprune.reports import table

LOAD = """
import minprune as mp
from minprune.models import lenet5
train = mp.data.mnist(flat=False).train
x, y = train.x, train.y
"""
TRAIN = """
with mp.backend("numba"):
    mp.fit(lenet5((1, 28, 28), 10), (x[:128 * 200], y[:128 * 200]), epochs=1, batch_size=128, progress=False)
"""
TORCH = """
import torch
nn = torch.nn
torch.set_num_threads(1)
net = nn.Sequential(nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2),
                    nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10))
net = net.to(memory_format=torch.channels_last)
x, y = torch.from_numpy(x), torch.from_numpy(y)
optimizer, loss = torch.optim.Adam(net.parameters(), fused=True), nn.CrossEntropyLoss()
for chosen in torch.randperm(128 * 200).split(128):
    optimizer.zero_grad(set_to_none=True)
    batch = x[chosen].contiguous(memory_format=torch.channels_last)
    loss(net(batch), y[chosen]).backward()
    optimizer.step()
"""
SCORE = """
with mp.backend("numba"):
    mp.score(lenet5((1, 28, 28), 10), (x[:{0}], y[:{0}]), criterion="taylor")
"""
FEW, ALL = "scoring 10,000 images", "scoring all images"
OURS, THEIRS = "training LeNet-5", "training in PyTorch"
DEMO = "the demo"
PROGRAMS = {
    "loading MNIST": LOAD,
    DEMO: "from minprune.cli import main; main(['demo'])",
    OURS: LOAD + TRAIN,
    THEIRS: LOAD + TORCH,
    FEW: LOAD + SCORE.format(10_000),
    ALL: LOAD + SCORE.format(""),
}


def peak(code: str) -> float | None:
    """The most memory, in MB, that a fresh process had while it ran this; None where it needs what is not installed."""
    environment = {name: value for name, value in os.environ.items() if name not in KEEP and name not in CHOSEN}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        message = said.read().decode(errors="replace")
    if process.returncode and "No module named 'torch'" in message:
        return None
    if process.returncode:
        raise RuntimeError(message)
    return usage.ru_maxrss * 1024 / 1e6 if sys.platform != "darwin" else usage.ru_maxrss / 1e6


def main() -> None:
    """Measure, print a table, keep the numbers."""
    options = start(__doc__, runs=3)
    try:
        peak(LOAD)
    except RuntimeError as error:
        cannot(str(error).splitlines()[-1])
    runs = 1 if options.quick else options.runs
    peak(PROGRAMS[OURS]), peak(PROGRAMS[FEW])  # so that all kernels are compiled
    found: dict[str, list[float]] = {}
    with bar("processes", runs * len(PROGRAMS), show=True) as advance:
        for _ in range(runs):
            for name, code in PROGRAMS.items():
                most = peak(code)
                found.setdefault(name, []).extend([] if most is None else [most])
                advance(text=name)
    rows: list[Row] = [
        {"what": name, "MB": median(values), "low": min(values), "high": max(values)}
        for name, values in found.items()
        if values
    ]
    MB = {row["what"]: row["MB"] for row in rows}
    lines = [(r["what"], f"{r['MB']:,.0f} MB", f"{r['low']:,.0f}–{r['high']:,.0f}") for r in rows]
    print(table(("", "peak", "of all runs"), lines))
    print(f"training, of PyTorch's: {MB[OURS] / MB[THEIRS]:.2f}" if THEIRS in MB else f"PyTorch: {MISSING}")
    print(f"scoring all images, of that of 10,000: {MB[ALL] / MB[FEW]:.3f}")
    keep(options, "memory", rows)


if __name__ == "__main__":
    main()
