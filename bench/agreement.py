"""Which score agrees with the truth, on samples that the network has seen and on others?

    MINPRUNE_DATA=... python bench/agreement.py [--seeds 5] [--epochs 8]

MNIST, 784-300-100-10, 50,000 images; AdamW(2e-3) without weight decay, batch 100, cosine schedule, last weights.
Spearman's correlation of every criterion with leave-one-out, within the hidden layers h1 and h2 and over both, on the
first 5,000 training samples and on the 10,000 of the validation part: the mean over the seeds, and their range.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported

import minprune as mp
from minprune.models import mlp
from minprune.progress import bar
from minprune.reports import table

CRITERIA = (
    *("taylor2", "curvature", "taylor", "taylor_squared", "taylor_mean", "activation_outgoing", "magnitude_l2"),
    *("sensitivity", "random", "inverse_sensitivity", "inverse_sensitivity_signed"),
)
LAYERS = {"dense1": "h1", "dense2": "h2", "all groups": "both"}
Found = dict[str, dict[tuple[str, str], list[float]]]  # part of the data -> (criterion, layer) -> one ρ per seed


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    data = mp.data.mnist()
    parts = {
        "5,000 training samples": (data.train.x[:5000], data.train.y[:5000]),
        "10,000 validation samples": (data.valid.x, data.valid.y),
    }
    found: Found = {part: defaultdict(list) for part in parts}
    errors = []
    with bar("seeds", options.seeds * (1 + len(parts)), show=True) as advance:
        for seed in range(options.seeds):
            net = trained(seed, data, options.epochs)
            errors.append(1 - (mp.evaluate(net, data.valid, runtime=(), progress=False).accuracy or 0.0))
            advance(text=f"seed {seed}: validation error {errors[-1]:.2%}")
            for part, samples in parts.items():
                ask(net, samples, seed, found[part])
                advance()
    print(f"{options.seeds} seeds; validation error {spread(errors, 4)}")
    for part, values in found.items():
        print(f"\nSpearman's correlation with leave-one-out on {part}: mean (range)")
        rows = [(name, *(spread(values[name, layer]) for layer in LAYERS.values())) for name in CRITERIA]
        print(table(("criterion", *LAYERS.values()), rows))


def trained(seed: int, data: Any, epochs: int) -> mp.Graph:
    """The dense network."""
    net = mlp(784, (300, 100), 10, rng=seed)
    optimizer = mp.AdamW(2e-3, weight_decay=0.0)
    settings = {"schedule": mp.Cosine(), "batch_size": 100, "rng": seed, "progress": False}
    mp.fit(net, data.train, optimizer=optimizer, epochs=epochs, **settings)
    return net


def ask(net: mp.Graph, samples: Any, seed: int, found: dict[tuple[str, str], list[float]]) -> None:
    """Add this network's correlations."""
    agreed = mp.agreement(net, samples, CRITERIA, fractions=(), bootstrap=1, rng=seed, progress=False)
    for row in agreed.rows:
        if row.criterion in CRITERIA:
            found[row.criterion, LAYERS[row.group]].append(row.spearman)


def spread(values: list[float], digits: int = 3) -> str:
    """Mean and range."""
    mean, low, high = (f"{value:.{digits}f}" for value in (sum(values) / len(values), min(values), max(values)))
    return f"{mean} ({low} to {high})"


if __name__ == "__main__":
    main()
