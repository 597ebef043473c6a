"""How much of what a removal costs does repair win back, without labels and without training?

    MINPRUNE_DATA=... python bench/repair.py [--net mlp] [--seeds 2] [--epochs 12] [--criteria curvature random …]

MNIST; mlp: LeNet-300-100 (784-300-100-10); cnn: 3×3 convolutions of 16 and 32 filters, each with batch-norm, ReLU and
2×2 max-pooling, then 128 hidden neurons. AdamW(1e-3), batch 128, cosine schedule. The same share of all hidden layers
is removed in one shot, and then repaired on training samples (5,000 but where it says otherwise), or not. Printed is
the error on the validation part in percent, the mean over the seeds, and the seconds that removal and repair took. A
repair that does not fit the network has no row. Nothing is fine-tuned.
"""

from __future__ import annotations

import argparse
import os
from statistics import mean
from time import perf_counter
from typing import Any

FRACTIONS = (0.5, 0.7, 0.8)


def repairs() -> dict[str, Any]:
    """What is compared: name -> repair."""
    import minprune as mp

    many = {"samples": 20_000}
    return {
        "none": None,
        "mean": "mean",
        "merge": "merge",
        "batch_norm": "batch_norm",
        "least_squares": "least_squares",
        "obs": mp.OptimalBrainSurgeon("cross_entropy", progress=False),
        "obs, no damping": mp.OptimalBrainSurgeon("cross_entropy", damping=0, progress=False),
        "least_squares, 20,000": mp.LeastSquares(**many),
        "obs, 20,000": mp.OptimalBrainSurgeon("cross_entropy", **many, progress=False),
    }


def parse() -> argparse.Namespace:
    """Read the options before NumPy is imported: its threads are counted then."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--net", choices=("mlp", "cnn"), default="mlp")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--criteria", nargs="+", default=["curvature", "random"])
    return parser.parse_args()


def error(net: Any, samples: Any) -> float:
    """Misclassified samples in percent."""
    return 100 * float((net(samples.x).argmax(axis=1) != samples.y).mean())


def small_cnn(seed: int) -> Any:
    """Two convolutions with batch-norm, and a hidden dense layer."""
    import minprune as mp

    return mp.Sequential(
        *(mp.Conv2d(1, 16, 3), mp.BatchNorm(16), mp.ReLU(), mp.MaxPool2d(2)),
        *(mp.Conv2d(16, 32, 3), mp.BatchNorm(32), mp.ReLU(), mp.MaxPool2d(2)),
        *(mp.Flatten(), mp.Dense(800, 128), mp.ReLU(), mp.Dense(128, 10)),
        rng=seed,
        input_shape=(1, 28, 28),
    )


def trained(data: Any, kind: str, epochs: int, seed: int) -> Any:
    """A network after training."""
    import minprune as mp
    from minprune.models import mlp

    net = mlp(784, (300, 100), 10, rng=seed) if kind == "mlp" else small_cnn(seed)
    how = {"optimizer": mp.AdamW(1e-3), "schedule": mp.Cosine(), "epochs": epochs, "batch_size": 128}
    mp.fit(net, data, **how, keep="last", rng=seed, progress=False)
    return net


def measure(net: Any, data: Any, criteria: list[str], seed: int, found: dict[Any, list[float]]) -> None:
    """Remove and repair in every way; errors go to (criterion, fraction, repair), seconds to the repair alone."""
    import minprune as mp
    from minprune.errors import StructureError

    sample = data.train.x[:5000], data.train.y[:5000]
    for criterion in criteria:
        scores = mp.score(net, sample, criterion, rng=seed)
        for fraction in FRACTIONS:
            plan = mp.decide(scores, mp.PerLayer(fraction))
            for name, repair in repairs().items():
                x = data.train.x if "20,000" in name else sample[0]
                started = perf_counter()
                try:
                    small = mp.remove(net, plan, repair=repair, data=x)
                except StructureError:  # no batch-norm to recalibrate; weights that do not tell what a neuron computes
                    continue
                found.setdefault(name, []).append(perf_counter() - started)
                found.setdefault((criterion, fraction, name), []).append(error(small, data.valid))


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
        data = mp.data.mnist(flat=options.net == "mlp")
    except FileError as reason:
        print(f"this measurement needs MNIST: {reason}")
        return
    found: dict[Any, list[float]] = {}
    dense = []
    for seed in range(options.seeds):
        net = trained(data, options.net, options.epochs, seed)
        dense.append(error(net, data.valid))
        measure(net, data, options.criteria, seed, found)
    print(f"NumPy {np.__version__}, {options.threads} thread(s), {options.seeds} seed(s), {options.epochs} epochs")
    print(f"dense error {mean(dense):.2f} % ({min(dense):.2f}–{max(dense):.2f})")
    head = ("criterion", "repair", *(f"{fraction:.0%} removed" for fraction in FRACTIONS))
    rows = [
        (criterion, repair, *(f"{mean(found[criterion, f, repair]):.2f}" for f in FRACTIONS))
        for criterion in options.criteria
        for repair in repairs()
        if repair in found
    ]
    print(table(head, rows))
    print("seconds for removal and repair: " + "; ".join(f"{r} {mean(found[r]):.2f}" for r in repairs() if r in found))


if __name__ == "__main__":
    main()
