"""How many weights can go, what does it cost, and what becomes of the file?

    MINPRUNE_DATA=... python bench/weights.py [--seeds 2] [--epochs 12]

MNIST, LeNet-300-100 (784-300-100-10), AdamW(1e-3), batch 128, cosine schedule. Then weights are masked: in one shot,
with two epochs of fine-tuning after it, or in two rounds along the cubic schedule with an epoch after each. Fine-tuning
is AdamW(1e-3) with a cosine. Printed is the error on the validation part in percent, the mean over the seeds (of the
two fine-tuning epochs after a shot the one that validates better counts, as `fit` does), and the bytes of the file that
`save` writes, mean over the seeds. "lamp" is taken where this version scores weights by it.
"""

from __future__ import annotations

import argparse
import os
from statistics import mean
from typing import Any

FRACTIONS = (0.8, 0.9, 0.95, 0.98)


def parse() -> argparse.Namespace:
    """Read the options before NumPy is imported: its threads are counted then."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=12)
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


def ways() -> dict[str, tuple[str, Any, Any]]:
    """What is compared: criterion, strategy by fraction, block."""
    import minprune as mp
    from minprune.scores import CRITERIA

    found: dict[str, tuple[str, Any, Any]] = {
        "magnitude, global": ("magnitude_l1", mp.Global, None),
        "magnitude / mean, global": ("magnitude_l1", lambda f: mp.Global(f, normalise="mean"), None),
        "magnitude, per layer": ("magnitude_l1", mp.PerLayer, None),
        "magnitude, global, 16×1": ("magnitude_l1", mp.Global, (16, 1)),
        "random, global": ("random", mp.Global, None),
    }
    if "lamp" in CRITERIA and CRITERIA["lamp"].scores_weights():
        found["lamp, global"] = ("lamp", mp.Global, None)
    return found


def measure(net: Any, data: Any, seed: int, found: dict[Any, list[float]]) -> None:
    """Prune in every way; errors go to (way, schedule, fraction), bytes to (way, fraction)."""
    import minprune as mp

    how = {"optimizer": mp.AdamW(1e-3), "schedule": mp.Cosine()}
    for way, (criterion, strategy, block) in ways().items():
        for fraction in FRACTIONS:
            common = {"block": block, "rng": seed, "progress": False}
            once = mp.prune_weights(net, data, criterion, strategy(fraction), finetune=mp.FineTune(2, **how), **common)
            rounds = {"rounds": 2, "schedule": "cubic", "finetune": mp.FineTune(1, **how)}
            cubic = mp.prune_weights(net, data, criterion, strategy(fraction), **rounds, **common)
            found.setdefault((way, "none", fraction), []).append(100 * (1 - once.history[0].masked.accuracy))
            found.setdefault((way, "one shot", fraction), []).append(error(once.net, data.valid))
            found.setdefault((way, "cubic", fraction), []).append(error(cubic.net, data.valid))
            found.setdefault((way, fraction), []).append(once.after.bytes_disk)


def main() -> None:
    """Train, measure and print the table."""
    options = parse()
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    import numpy as np

    import minprune as mp
    from minprune.errors import FileError
    from minprune.formats.npz import npz_bytes
    from minprune.reports import table

    try:
        data = mp.data.mnist(flat=True)
    except FileError as reason:
        print(f"this measurement needs MNIST: {reason}")
        return
    found: dict[Any, list[float]] = {}
    dense, longer = [], []
    for seed in range(options.seeds):
        net = trained(data, options.epochs, seed)
        dense.append(error(net, data.valid))
        measure(net, data, seed, found)
        size = npz_bytes(net)
        mp.fit(net, data, optimizer=mp.AdamW(1e-3), schedule=mp.Cosine(), epochs=2, rng=seed, progress=False)
        longer.append(error(net, data.valid))
    print(f"NumPy {np.__version__}, {options.threads} thread(s), {options.seeds} seed(s), {options.epochs} epochs")
    print(f"dense error {mean(dense):.2f} %, after two more epochs {mean(longer):.2f} %; {size:,} bytes")
    head = ("how", "fine-tuning", *(f"{fraction:.0%} masked" for fraction in FRACTIONS))
    rows = [
        (way, schedule, *(f"{mean(found[way, schedule, f]):.2f}" for f in FRACTIONS))
        for way in ways()
        for schedule in ("none", "one shot", "cubic")
    ]
    rows += [(way, "bytes on disk", *(f"{mean(found[way, f]):,.0f}" for f in FRACTIONS)) for way in ways()]
    print(table(head, rows, left=2))


if __name__ == "__main__":
    main()
