"""How much of a network can go, in one shot and in a loop, and what does one epoch of training make of the rest?

    MINPRUNE_DATA=... python bench/loop.py [--net mlp] [--seeds 5] [--criteria obs curvature random]

MNIST, 50,000 images to train on. `mlp`: 784-300-100-10, AdamW(2e-3) without weight decay, batch 100, cosine schedule, 8
epochs, the last weights. 50, 70 and 80 % of both hidden layers leave: in one shot without repair, in one shot with
least squares, and in the loop: 2 % of what there was at a time, refitted to the dense network and scored anew. Scores
and repairs see 5,000 training images, and no label where the criterion needs none. After the loop's 80 % come one epoch
of AdamW(2e-3), with labels alone and with the dense network as a teacher (T = 4, 0.9); beside it stands a network of
that size from scratch, trained as long as the dense one and that epoch, in both ways too.

`lenet5`: 20-50-500, AdamW(2e-3) with weight decay 0.01, batch 100, cosine schedule, 5 epochs. Half of both layers'
filters and of the hidden neurons leave in one shot, with least squares, and one epoch follows.

Error in percent, mean over the seeds and range. What was set was chosen on the validation part with seeds 0 to 2; the
test part decided nothing.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from statistics import mean
from time import perf_counter
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported

import minprune as mp
from minprune.data import Dataset
from minprune.datasets.samples import Samples
from minprune.errors import FileError
from minprune.models import lenet5, mlp
from minprune.reports import table

FRACTIONS = (0.5, 0.7, 0.8)
STEP = 0.02
SAMPLES = 5000
TEACHING = mp.Distillation(temperature=4.0, weight=0.9)
TRAINING = {"mlp": (mp.AdamW(2e-3, weight_decay=0.0), 8), "lenet5": (mp.AdamW(2e-3, weight_decay=0.01), 5)}

Found = dict[tuple[str, ...], list[float]]


def errors(net: Any, data: Any) -> tuple[float, float]:
    """Misclassified validation and test images in percent."""
    return tuple(100 * float((net(part.x).argmax(axis=1) != part.y).mean()) for part in (data.valid, data.test))


def trained(net: Any, data: Any, kind: str, seed: int, epochs: int, teacher: Any = None) -> Any:
    """Train in place, and return the network."""
    how = {"teacher": teacher, "distill": TEACHING} if teacher is not None else {}
    settings = {"optimizer": TRAINING[kind][0], "schedule": mp.Cosine(), "batch_size": 100, "keep": "last", "rng": seed}
    mp.fit(net, data.train, epochs=epochs, progress=False, **settings, **how)
    return net


def note(found: Found, data: Any, net: Any, *name: str) -> None:
    """Both errors of a network, under its name."""
    for part, error in zip(("validation", "test"), errors(net, data), strict=True):
        found[(part, *name)].append(error)


def in_one_shot(net: Any, data: Any, few: Any, criterion: str, seed: int, found: Found) -> None:
    """Remove by a single ranking, with and without repair."""
    started = perf_counter()
    scores = mp.score(net, few, criterion, rng=seed, progress=False)
    for fraction in FRACTIONS:
        plan = mp.decide(scores, mp.PerLayer(fraction))
        small = mp.remove(net, plan, repair="least_squares", data=few.x)
        if fraction == FRACTIONS[0]:
            found["seconds", criterion].append(perf_counter() - started)
        note(found, data, small, f"{criterion}, one shot, least squares", f"{fraction}")
        note(found, data, mp.remove(net, plan), f"{criterion}, one shot", f"{fraction}")


def in_the_loop(net: Any, data: Any, few: Any, criterion: str, seed: int, found: Found) -> Any:
    """Remove 2 % at a time; returns the network without 80 %. On the way it is judged on the validation part only."""
    started = perf_counter()
    rounds = round(FRACTIONS[-1] / STEP)
    how = {"strategy": mp.PerLayer(FRACTIONS[-1]), "rounds": rounds, "repair": "least_squares", "rng": seed}
    result = mp.prune(net, Dataset(few, data.valid, data.test), criterion, progress=False, **how)
    found["seconds", f"{criterion}, loop, judged 40 times"].append(perf_counter() - started)
    for fraction in FRACTIONS[:-1]:
        on_the_way = result.history[round(fraction / STEP) - 1].removed
        found["validation", f"{criterion}, loop, least squares", f"{fraction}"].append(100 * (1 - on_the_way.accuracy))
    note(found, data, result.net, f"{criterion}, loop, least squares", f"{FRACTIONS[-1]}")
    return result.net


def mlp_study(data: Any, seed: int, criteria: list[str], found: Found) -> None:
    """All of it for one seed of the MLP."""
    few = Samples(data.train.x[:SAMPLES], data.train.y[:SAMPLES])
    net = trained(mlp(784, (300, 100), 10, rng=seed), data, "mlp", seed, TRAINING["mlp"][1])
    note(found, data, net, "dense", "")
    for criterion in criteria:
        in_one_shot(net, data, few, criterion, seed, found)
        small = in_the_loop(net, data, few, criterion, seed, found)
        for name, teacher in (("one epoch", None), ("one epoch, taught", net)):
            tuned = trained(small.copy(), data, "mlp", seed, 1, teacher)
            note(found, data, tuned, f"{criterion}, loop, {name}", f"{FRACTIONS[-1]}")
    sizes = tuple(round(size * (1 - FRACTIONS[-1])) for size in (300, 100))
    for name, teacher in (("from scratch", None), ("from scratch, taught", net)):
        fresh = mlp(784, sizes, 10, rng=seed + 50)
        trained(fresh, data, "mlp", seed, TRAINING["mlp"][1] + 1, teacher)
        note(found, data, fresh, name, f"{FRACTIONS[-1]}")


def lenet_study(data: Any, seed: int, criteria: list[str], found: Found) -> Any:
    """All of it for one seed of LeNet-5; returns the dense and the last pruned network."""
    few = Samples(data.train.x[:SAMPLES], data.train.y[:SAMPLES])
    net = trained(lenet5((1, 28, 28), 10, rng=seed), data, "lenet5", seed, TRAINING["lenet5"][1])
    note(found, data, net, "dense", "")
    small = net
    for criterion in criteria:
        started = perf_counter()
        scores = mp.score(net, few, criterion, rng=seed, progress=False, batch_size=128)
        small = mp.remove(net, mp.decide(scores, mp.PerLayer(0.5)), repair="least_squares", data=few.x)
        found["seconds", criterion].append(perf_counter() - started)
        note(found, data, small, f"{criterion}, one shot, least squares", "0.5")
        note(found, data, trained(small, data, "lenet5", seed, 1), f"{criterion}, one epoch", "0.5")
    return net, small


def show(found: Found) -> None:
    """Print both tables."""
    ways = list(dict.fromkeys(key[1] for key in found if key[0] == "test"))
    removed = list(dict.fromkeys(key[2] for key in found if key[0] == "test" and key[1] != "dense"))
    for part in ("validation", "test"):
        print(f"\n{part}: dense {spread(found[part, 'dense', ''])}")
        rows = [(w, *(spread(found[part, w, r]) if (part, w, r) in found else "" for r in removed)) for w in ways[1:]]
        print(table(("", *(f"{float(r):.0%} removed" for r in removed)), rows))
    for key, values in found.items():
        if key[0] == "seconds":
            print(f"{key[1]}: {mean(values):.1f} s")


def spread(values: list[float]) -> str:
    """Their mean and range."""
    return f"{mean(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def main() -> None:
    """Train, prune, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=tuple(TRAINING), default="mlp")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--criteria", nargs="+", default=["obs", "curvature", "random"])
    options = parser.parse_args()
    try:
        data = mp.data.mnist(flat=options.net == "mlp")
    except FileError as reason:
        print(f"this measurement needs MNIST: {reason}")
        return
    found: Found = defaultdict(list)
    for seed in range(options.seeds):
        started = perf_counter()
        if options.net == "mlp":
            mlp_study(data, seed, options.criteria, found)
        else:
            pair = lenet_study(data, seed, options.criteria, found)
        print(f"seed {seed}: {perf_counter() - started:.0f} s", flush=True)
    show(found)
    if options.net == "lenet5":
        print(mp.compare(dict(zip(("dense", "pruned"), pair, strict=True)), data, progress=False))


if __name__ == "__main__":
    main()
