"""Which schedule reaches what? One network size, one budget of epochs, many ways to get there.

    MINPRUNE_DATA=... python bench/schedules.py [--seeds 2] [--epochs 8] [--tuning 6]

MNIST, 784-300-100-10 to 784-60-20-10 (80 % of both hidden layers), batch 128. Every way that trains has the same total
of epochs, `--epochs` + `--tuning`, and ends with the cosine of an AdamW(1e-3); a teacher's own epochs are not counted.
Scores and repairs of what is not trained in between see 5,000 training samples. Printed is the error on the validation
part in percent, the mean over the seeds and their range. No way is tuned, but for the group lasso's weight and
momentum: the best of four settings on the validation part of seed 0.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Callable
from statistics import mean
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported

import minprune as mp
from minprune.errors import FileError
from minprune.models import mlp
from minprune.scores import CRITERIA

REMOVED = mp.PerLayer(0.8)
COMMON: dict[str, Any] = {"batch_size": 128, "keep": "last", "progress": False}
REWIND_AFTER = 1  # epochs


def error(net: Any, data: Any) -> float:
    """Misclassified samples of the validation part in percent."""
    return 100 * float((net(data.valid.x).argmax(axis=1) != data.valid.y).mean())


def train(net: Any, data: Any, epochs: int, seed: int, **settings: Any) -> Any:
    """AdamW with a cosine, from the rate that is given; returns the network."""
    how = {"optimizer": mp.AdamW(1e-3), "schedule": mp.Cosine(), "rng": seed} | COMMON | settings
    mp.fit(net, data, epochs=epochs, **how)
    return net


class Ways:
    """All ways for one seed, from one dense network."""

    def __init__(self, data: Any, seed: int, epochs: int, tuning: int) -> None:
        self.data, self.seed, self.epochs, self.tuning = data, seed, epochs, tuning
        self.sample = data.train.x[:5000], data.train.y[:5000]
        self.start = mlp(784, (300, 100), 10, rng=seed)
        self.early = train(self.start.copy(), data, REWIND_AFTER, seed, schedule=None)
        self.dense = train(self.start.copy(), data, epochs, seed)

    def tuned(self, net: Any, epochs: int | None = None, **settings: Any) -> float:
        """The error after fine-tuning."""
        return error(train(net, self.data, epochs or self.tuning, self.seed, **settings), self.data)

    def removed(self, net: Any, criterion: str = "curvature", **settings: Any) -> Any:
        """Pruned without training in between, on the sample."""
        settings = {"rng": self.seed, "progress": False} | settings
        return mp.prune(net, self.sample, criterion, REMOVED, **settings)

    def rounds(self, schedule: str, distill: Any = None) -> float:
        """An epoch after each round for half of the tuning, the cosine for the other half."""
        rounds = self.tuning // 2
        how = mp.FineTune(1, mp.AdamW(1e-3), distill=distill)
        settings = {"rounds": rounds, "finetune": how, "repair": "least_squares", "rng": self.seed, "progress": False}
        res = mp.prune(self.dense, self.data.train, "curvature", REMOVED, schedule=schedule, **settings)
        soft = {} if distill is None else {"teacher": self.dense, "distill": distill}
        return self.tuned(res.net, self.tuning - rounds, state=res.state, **soft)

    def repaired(self, **settings: Any) -> Any:
        """Pruned with least squares."""
        return self.removed(self.dense, repair="least_squares", **settings).net

    def while_training(self, groups: list[str] | None = None, strategy: Any = REMOVED) -> float:
        """Half of the budget with a constant rate and cuts, half with a cosine."""
        half = (self.epochs + self.tuning) // 2
        how = {"epochs": half, "batch_size": 128, "rng": self.seed, "groups": groups, "progress": False}
        res = mp.prune_while_training(self.start, self.data.train, strategy=strategy, **how)
        return self.tuned(res.net, self.epochs + self.tuning - half, state=res.state)

    def at_initialisation(self, criterion: str) -> float:
        """Pruned before any training, in 100 rounds where the criterion asks for it."""
        rounds = 100 if criterion == "synflow" else 1
        res = self.removed(self.start, criterion, rounds=rounds, schedule="exponential" if rounds > 1 else "linear")
        return self.tuned(res.net, self.epochs + self.tuning)

    def lasso(self) -> float:
        """Trained with a group lasso and SGD, pruned by what it left, tuned."""
        how = {"optimizer": mp.SGD(0.1, 0.9), "penalty": mp.GroupLasso(1e-3)}
        net = train(self.start.copy(), self.data, self.epochs, self.seed, **how)
        return self.tuned(self.removed(net, "magnitude_l2", repair="least_squares").net)

    def rewound(self) -> float:
        """The neurons that magnitude keeps of the dense network, with their weights after an early epoch."""
        plan = self.removed(self.dense, "magnitude_l2").plan
        return self.tuned(mp.remove(self.early, plan), self.epochs + self.tuning - REWIND_AFTER)

    def turnover(self) -> float:
        """A small network from the start, whose weakest neurons are replaced after every epoch of the first half."""
        half = (self.epochs + self.tuning) // 2
        how = mp.FineTune(1, mp.AdamW(1e-3))
        small = mlp(784, (60, 20), 10, rng=self.seed)
        res = mp.drop_and_grow(small, self.data.train, rounds=half, finetune=how, rng=self.seed, progress=False)
        return self.tuned(res.net, self.epochs + self.tuning - half, state=res.state)

    def all(self) -> dict[str, Callable[[], float]]:
        """Every way by what is printed."""
        soft = mp.Distillation(4.0, 0.9)
        total = self.epochs + self.tuning
        ways: dict[str, Callable[[], float]] = {
            "dense, all epochs": lambda: self.tuned(self.start.copy(), total),
            "scratch, the small size, all epochs": lambda: self.tuned(mlp(784, (60, 20), 10, rng=self.seed), total),
            "scratch, learning from the dense network": lambda: self.tuned(
                mlp(784, (60, 20), 10, rng=self.seed), total, teacher=self.dense, distill=soft
            ),
            "one shot, not tuned": lambda: error(self.removed(self.dense).net, self.data),
            "one shot, least squares, not tuned": lambda: error(self.repaired(), self.data),
            "45 rounds, least squares, not tuned": lambda: error(self.repaired(rounds=45), self.data),
            "one shot, tuned": lambda: self.tuned(self.removed(self.dense).net),
            "one shot, least squares, tuned": lambda: self.tuned(self.repaired()),
            "45 rounds, least squares, tuned": lambda: self.tuned(self.repaired(rounds=45)),
            "45 rounds, least squares, tuned by the dense network": lambda: self.tuned(
                self.repaired(rounds=45), teacher=self.dense, distill=soft
            ),
            "rounds of an epoch, linear": lambda: self.rounds("linear"),
            "rounds of an epoch, cubic": lambda: self.rounds("cubic"),
            "rounds of an epoch, exponential": lambda: self.rounds("exponential"),
            "rounds of an epoch, cubic, tuned by the dense network": lambda: self.rounds("cubic", soft),
            "while training": self.while_training,
            "group lasso": self.lasso,
            f"rewound to epoch {REWIND_AFTER}": self.rewound,
            "turnover at the small size": self.turnover,
        }
        for criterion in ("random", "magnitude_l2", "snip", "grasp", "synflow"):
            if criterion in CRITERIA:
                ways[f"at initialisation, {criterion}"] = lambda c=criterion: self.at_initialisation(c)  # type: ignore[misc]
        return ways


def main() -> None:
    """Go all ways, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--tuning", type=int, default=6)
    options = parser.parse_args()
    try:
        data = mp.data.mnist()
    except FileError as reason:
        print(f"this measurement needs MNIST: {reason}")
        return
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(options.seeds):
        ways = Ways(data, seed, options.epochs, options.tuning)
        print(f"seed {seed}: dense after {options.epochs} epochs {error(ways.dense, data):.2f} %", flush=True)
        for name, way in ways.all().items():
            found[name].append(way())
            print(f"  {name:52} {found[name][-1]:6.2f}", flush=True)
    print(f"\n{options.epochs} + {options.tuning} epochs, {options.seeds} seed(s), error in percent")
    for name, values in found.items():
        print(f"  {name:52} {mean(values):6.2f}   ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
