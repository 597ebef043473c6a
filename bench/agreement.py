"""Which score agrees with the truth, on samples that the network has seen and on others?

    MINPRUNE_DATA=... python bench/agreement.py [--seeds 3] [--epochs 8]

MNIST, 784-300-100-10, AdamW(2e-3), batch 100, cosine schedule, last weights. Spearman's correlation of every criterion
with leave-one-out over both hidden layers, on 5,000 training samples and on the 10,000 of the validation part: the mean
over the seeds, and their range.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported

import minprune as mp
from minprune.models import mlp


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    data = mp.data.mnist()
    parts = {
        "5,000 training samples": (data.train.x[:5000], data.train.y[:5000]),
        "10,000 validation samples": (data.valid.x, data.valid.y),
    }
    found: dict[str, dict[str, list[float]]] = {part: defaultdict(list) for part in parts}
    for seed in range(options.seeds):
        net = mlp(784, (300, 100), 10, rng=seed)
        settings = {"optimizer": mp.AdamW(2e-3), "schedule": mp.Cosine(), "batch_size": 100, "keep": "last"}
        mp.fit(net, data, epochs=options.epochs, rng=seed, **settings)
        error = 1 - mp.evaluate(net, (data.valid.x, data.valid.y), runtime=()).accuracy
        print(f"seed {seed}: validation error {error:.2%}")
        for part, samples in parts.items():
            for row in mp.agreement(net, samples, fractions=(), bootstrap=10, rng=seed).rows:
                if row.group == "all groups":
                    found[part][row.criterion].append(row.spearman)
    for part, by_criterion in found.items():
        print(f"\n{part}")
        for criterion, values in by_criterion.items():
            print(f"  {criterion:28} {sum(values) / len(values):6.3f}   ({min(values):.3f} to {max(values):.3f})")


if __name__ == "__main__":
    main()
