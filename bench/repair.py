"""How much of what a removal costs does repair win back, without labels and without training?

    MINPRUNE_DATA=... python bench/repair.py [--seeds 2] [--epochs 12] [--criteria curvature taylor …]

MNIST, LeNet-300-100 (784-300-100-10), AdamW(1e-3), batch 128, cosine schedule. The same share of both hidden layers is
removed in one shot, and then repaired on 5,000 training samples, or not. Printed is the error on the validation part in
percent, the mean over the seeds, and the seconds that the repairs took. Nothing is fine-tuned.
"""

from __future__ import annotations

import argparse
import os
from statistics import mean
from time import perf_counter
from typing import Any

FRACTIONS = (0.5, 0.7, 0.8)
REPAIRS = (None, "mean", "merge", "least_squares")


def parse() -> argparse.Namespace:
    """Read the options before NumPy is imported: its threads are counted then."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--criteria", nargs="+", default=["curvature", "taylor", "magnitude_l2", "random"])
    return parser.parse_args()


def error(net: Any, samples: Any) -> float:
    """Misclassified samples in percent."""
    return 100 * float((net(samples.x).argmax(axis=1) != samples.y).mean())


def trained(data: Any, epochs: int, seed: int) -> Any:
    """LeNet-300-100 after training."""
    import minprune as mp
    from minprune.models import mlp

    net = mlp(784, (300, 100), 10, rng=seed)
    how = {"optimizer": mp.AdamW(1e-3), "schedule": mp.Cosine(), "epochs": epochs, "batch_size": 128}
    mp.fit(net, data, **how, keep="last", rng=seed, progress=False)
    return net


def measure(net: Any, data: Any, criteria: list[str], seed: int, found: dict[Any, list[float]]) -> None:
    """Remove and repair in every way; errors go to (criterion, fraction, repair), seconds to the repair alone."""
    import minprune as mp

    sample = data.train.x[:5000], data.train.y[:5000]
    for criterion in criteria:
        scores = mp.score(net, sample, criterion, rng=seed)
        for fraction in FRACTIONS:
            plan = mp.decide(scores, mp.PerLayer(fraction))
            for repair in REPAIRS:
                started = perf_counter()
                small = mp.remove(net, plan, repair=repair, data=sample[0])
                found.setdefault(repair, []).append(perf_counter() - started)
                found.setdefault((criterion, fraction, repair), []).append(error(small, data.valid))


def main() -> None:
    """Train, measure and print the table."""
    options = parse()
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    import numpy as np

    import minprune as mp
    from minprune.errors import FileError
    from minprune.reports import table

    try:
        data = mp.data.mnist(flat=True)
    except FileError as reason:
        print(f"this measurement needs MNIST: {reason}")
        return
    found: dict[Any, list[float]] = {}
    dense = []
    for seed in range(options.seeds):
        net = trained(data, options.epochs, seed)
        dense.append(error(net, data.valid))
        measure(net, data, options.criteria, seed, found)
    print(f"NumPy {np.__version__}, {options.threads} thread(s), {options.seeds} seed(s), {options.epochs} epochs")
    print(f"dense error {mean(dense):.2f} % ({min(dense):.2f}–{max(dense):.2f})")
    head = ("criterion", "repair", *(f"{fraction:.0%} removed" for fraction in FRACTIONS))
    rows = [
        (criterion, repair or "none", *(f"{mean(found[criterion, f, repair]):.2f}" for f in FRACTIONS))
        for criterion in options.criteria
        for repair in REPAIRS
    ]
    print(table(head, rows))
    print("seconds for removal and repair: " + ", ".join(f"{r or 'none'} {mean(found[r]):.2f}" for r in REPAIRS))


if __name__ == "__main__":
    main()
