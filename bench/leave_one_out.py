"""What does the truth cost? Leave-one-out of every hidden neuron, counted in forward passes of the whole network.

    python bench/leave_one_out.py [--samples 10000] [--rounds 5] [--quick] [--json DIR]

Both backends, each counted in passes of its own. An MLP 784-300-100-10 (400 hidden neurons) in float32 on random
images: what is in them matters only in that a neuron which is 0 on a sample costs nothing there; neurons that are 0 on
all samples are counted. Pass and scores take turns; the ratio is the median over the turns, with the quartiles. The
naive way, a pass for every neuron, costs as many passes as there are neurons. LeNet-5 (6-16-120, 142 neurons) on a
tenth of the samples for context.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from side_by_side import Row, keep, ratio, spread, start, take_turns

import minprune as mp
from minprune.models import lenet5, mlp
from minprune.progress import bar
from minprune.reports import duration, table

PASS, TRUTH = "pass", "leave-one-out"


def measured(name: str, net: Any, x: Any, y: Any, backend: str, rounds: int) -> Row:
    """Time both in turn."""
    found: dict[str, Any] = {}

    def forward() -> None:
        for first in range(0, len(x), 1024):
            net(x[first : first + 1024])

    def truth() -> None:
        found.update(mp.score(net, (x, y), "leave_one_out", progress=False))

    with mp.backend(backend):
        truth()  # compiles
        forward()
        times = take_turns({PASS: forward, TRUTH: truth}, rounds, block=0)
    values = np.concatenate(list(found.values()))
    return {
        "what": f"{name}, {backend}",
        "samples": len(x),
        "seconds": {how: min(seconds) for how, seconds in times.items()},
        "ratios": {"passes": ratio(times, TRUTH, PASS)},
        "naive": len(values),
        "cost nothing": int((values == 0).sum()),
    }


def main() -> None:
    """Measure both networks, print a table, keep the numbers."""
    options = start(__doc__, samples=10_000, rounds=5)
    samples = min(options.samples, 2_000) if options.quick else options.samples
    rng = np.random.default_rng(0)
    images, labels = rng.random((samples, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, samples)
    few = max(1, samples // 10)
    cases = (
        ("MLP 784-300-100-10", mlp(784, (300, 100), 10), images.reshape(samples, -1), labels),
        ("LeNet-5 6-16-120", lenet5((1, 28, 28), 10, widths=(6, 16, 120)), images[:few], labels[:few]),
    )
    rows = []
    with bar("scoring", 2 * len(cases), show=True) as advance:
        for case in cases:
            for backend in ("numpy", "numba"):
                rows.append(measured(*case, backend, options.rounds))
                advance(text=rows[-1]["what"])
    lines = []
    for row in rows:
        times = (duration(row["seconds"][how]) for how in (PASS, TRUTH))
        counted = (spread(row["ratios"]["passes"]), row["naive"], row["cost nothing"])
        lines.append((row["what"], row["samples"], *times, *counted))
    print(table(("", "samples", PASS, TRUTH, "passes", "naive", "neurons that cost nothing"), lines))
    keep(options, "leave_one_out", rows)


if __name__ == "__main__":
    main()
