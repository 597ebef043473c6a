"""Do sets chosen with the terms between neurons beat sums of single scores?

    MINPRUNE_DATA=... python bench/sets.py [--seeds 2] [--epochs 8]

MNIST, 784-300-100-10, trained as in bench/agreement.py but with AdamW's weight decay of 0.01, and the digits network of
`minprune.studies`, 64-512-256-10.
Scores and the quadratic model see 5,000 training samples (of the digits all of them). The same share of both hidden
layers is removed in one shot, without repair and with least squares on the same samples; nothing is fine-tuned. "In 5
rounds" is removed in five equal parts, with a new model of what is left before each. Printed is the error on the
validation part in percent, the mean over the seeds and their range; then, what the loss on the scored samples did and
what the model expected it to do; then, by how much at most the sets with swaps miss the cheapest by the model.
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
from minprune.errors import FileError
from minprune.models import mlp
from minprune.neurons import hidden
from minprune.reports import table
from minprune.studies import dense_network

FRACTIONS = (0.3, 0.5, 0.7, 0.8)
REPAIRS = (None, "least_squares")
SINGLE = ("taylor2", "curvature", "leave_one_out", "random")
SAMPLES = 5000
ROUNDS = 5

Found = dict[Any, list[float]]


def error(net: Any, samples: Any) -> float:
    """Misclassified samples in percent."""
    return 100 * float((net(samples.x).argmax(axis=1) != samples.y).mean())


def loss(net: Any, samples: Any) -> float:
    """The mean cross-entropy."""
    return float(mp.evaluate(net, samples, runtime=()).loss)


def by_scores(net: Any, samples: Any, seed: int, found: Found) -> dict[Any, Any]:
    """The lowest by every criterion: (criterion, fraction) -> Plan. Seconds go to the criterion's name."""
    chosen = {}
    for criterion in SINGLE:
        started = perf_counter()
        scores = mp.score(net, samples, criterion, rng=seed)
        found["seconds", criterion].append(perf_counter() - started)
        chosen |= {(criterion, f): mp.decide(scores, mp.PerLayer(f)) for f in FRACTIONS}
    return chosen


def by_model(net: Any, samples: Any, linear: bool, found: Found) -> dict[Any, Any]:
    """Sets by the quadratic model, with or without its linear term: (method, fraction) -> Plan."""
    name = "quadratic" if linear else "quadratic, ½dᵀHd only"
    started = perf_counter()
    model = mp.quadratic_model(net, samples, linear=linear)
    found["seconds", name].append(perf_counter() - started)
    chosen = {}
    for how, swaps in (("greedy", False), ("swaps", True)):
        method = f"{name}, {how}"
        for f in FRACTIONS:
            started = perf_counter()
            chosen[method, f] = mp.choose_set(model, mp.PerLayer(f), swaps=swaps)
            found["seconds", method].append(perf_counter() - started)
            found["expected", method, f].append(model.change(chosen[method, f]))
    for f in FRACTIONS:
        bound, cost = mp.best_set(model, mp.PerLayer(f), nodes=1).bound, found["expected", f"{name}, swaps", f][-1]
        found["missed", f"{name}, swaps", f].append(100 * (cost - bound) / cost)
        chosen[f"{name}, greedy, in {ROUNDS} rounds", f] = in_rounds(net, samples, f, linear)
    return chosen


def in_rounds(net: Any, samples: Any, fraction: float, linear: bool) -> Any:
    """Greedy sets in equal parts, each by a model of what the parts before have left."""
    left = {group: list(range(net.neurons[group].size)) for group in hidden(net)}
    dense = {group: len(neurons) for group, neurons in left.items()}
    small = net
    for part in range(1, ROUNDS + 1):
        model = mp.quadratic_model(small, samples, linear=linear)
        plan = mp.choose_set(model, mp.PerLayer(fraction).part(part / ROUNDS, dense, model.sizes), swaps=False)
        small = mp.remove(small, plan)
        for group, gone in plan.drop.items():
            left[group] = [j for place, j in enumerate(left[group]) if place not in set(gone)]
    return mp.Plan({group: set(range(dense[group])) - set(neurons) for group, neurons in left.items()})


def measure(net: Any, data: Any, seed: int, found: Found) -> None:
    """Choose, remove and repair in every way."""
    samples = data.train.x[:SAMPLES], data.train.y[:SAMPLES]
    found["dense"].append(error(net, data.valid))
    before = loss(net, samples)
    plans = by_scores(net, samples, seed, found)
    for linear in (True, False):
        plans |= by_model(net, samples, linear, found)
    for (method, fraction), plan in plans.items():
        for repair in REPAIRS:
            small = mp.remove(net, plan, repair=repair, data=samples[0])
            found[repair, method, fraction].append(error(small, data.valid))
            if repair is None:
                found["change", method, fraction].append(loss(small, samples) - before)


def spread(values: list[float], digits: int = 2) -> str:
    """Their mean and range."""
    return f"{mean(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def show(title: str, found: Found) -> None:
    """Print all tables of one network."""
    methods = list(dict.fromkeys(key[1] for key in found if key[0] == "change"))
    head = ("", *(f"{fraction:.0%} removed" for fraction in FRACTIONS))
    print(f"\n{title}: dense error {spread(found['dense'])} %")
    for repair in REPAIRS:
        print(f"\nvalidation error in %, repair: {repair or 'none'}")
        print(table(head, [(m, *(spread(found[repair, m, f]) for f in FRACTIONS)) for m in methods]))
    print("\nchange of the loss on the scored samples, no repair; in brackets what the model expected")
    rows = []
    for m in methods:
        cells = [f"{mean(found['change', m, f]):.3f}" for f in FRACTIONS]
        expected = [f" [{mean(found['expected', m, f]):.3f}]" if ("expected", m, f) in found else "" for f in FRACTIONS]
        rows.append((m, *(a + b for a, b in zip(cells, expected, strict=True))))
    print(table(head, rows))
    print("\nby how much at most of its cost, in %, a set misses the cheapest of all sets by the model")
    swapped = [m for m in methods if ("missed", m, FRACTIONS[0]) in found]
    print(table(head, [(m, *(spread(found["missed", m, f]) for f in FRACTIONS)) for m in swapped]))
    print("seconds: " + ", ".join(f"{key[1]} {mean(found[key]):.2f}" for key in found if key[0] == "seconds"))


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8, help="on MNIST")
    options = parser.parse_args()
    found: Found = defaultdict(list)
    digits = mp.data.digits()
    for seed in range(options.seeds):
        measure(dense_network(seed, digits), digits, seed, found)
    show("digits, 64-512-256-10", found)
    try:
        mnist = mp.data.mnist(flat=True)
    except FileError as reason:
        print(f"the other half of this measurement needs MNIST: {reason}")
        return
    found = defaultdict(list)
    for seed in range(options.seeds):
        net = mlp(784, (300, 100), 10, rng=seed)
        how: Any = {"optimizer": mp.AdamW(2e-3), "schedule": mp.Cosine(), "batch_size": 100, "keep": "last"}
        mp.fit(net, mnist, epochs=options.epochs, rng=seed, **how)
        measure(net, mnist, seed, found)
    show("MNIST, 784-300-100-10", found)


if __name__ == "__main__":
    main()
