"""What does the truth cost? Leave-one-out of every hidden neuron, counted in forward passes of the whole network.

    python bench/leave_one_out.py [--threads 1] [--samples 10000] [--rounds 5]

Both backends, each counted in passes of its own. An MLP 784-300-100-10 (400 hidden neurons) in float32 on random
images: what is in them matters only in that a neuron which is 0 on a sample costs nothing there; neurons that are 0 on
all samples are counted. Pass and scores take turns; medians, and the ratio of each pair. The naive way, a pass for
every neuron, costs as many passes as there are neurons. LeNet-5 (6-16-120, 142 neurons) on a tenth of the samples for
context.
"""

from __future__ import annotations

import argparse
import os
from statistics import median
from time import perf_counter
from typing import Any


def parse() -> argparse.Namespace:
    """Read the options before NumPy is imported: its threads are counted then."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def measure(name: str, net: Any, x: Any, y: Any, rounds: int) -> None:
    """Print a line for each backend."""
    import minprune as mp

    for backend in ("numpy", "numba"):
        with mp.backend(backend):
            print(f"{name:20} {backend:6} {measured(net, x, y, rounds)}", flush=True)


def measured(net: Any, x: Any, y: Any, rounds: int) -> str:
    """Time both in turn, after one round to warm up."""
    import numpy as np

    import minprune as mp

    passes, truths = [], []
    for _ in range(rounds + 1):
        started = perf_counter()
        for start in range(0, len(x), 1024):
            net(x[start : start + 1024])
        between = perf_counter()
        scores = mp.score(net, (x, y), "leave_one_out")
        passes.append(between - started)
        truths.append(perf_counter() - between)
    ratios = [truth / one for truth, one in zip(truths[1:], passes[1:], strict=True)]
    values = np.concatenate(list(scores.values()))
    return (
        f"pass {median(passes[1:]) * 1e3:7.1f} ms   leave-one-out {median(truths[1:]):6.2f} s   "
        f"passes {median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f}), naive {len(values)}   "
        f"neurons that cost nothing {int((values == 0).sum())}"
    )


def main() -> None:
    """Measure both networks."""
    options = parse()
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    import numpy as np

    from minprune.models import lenet5, mlp

    rng = np.random.default_rng(0)
    images = rng.random((options.samples, 1, 28, 28), dtype=np.float32)
    labels = rng.integers(0, 10, options.samples)
    print(f"NumPy {np.__version__}, {options.threads} thread(s), {options.samples} samples")
    rows = images.reshape(options.samples, -1)
    measure("MLP 784-300-100-10", mlp(784, (300, 100), 10), rows, labels, options.rounds)
    few = max(1, options.samples // 10)
    lenet = lenet5((1, 28, 28), 10, widths=(6, 16, 120))
    measure("LeNet-5 6-16-120", lenet, images[:few], labels[:few], options.rounds)


if __name__ == "__main__":
    main()
