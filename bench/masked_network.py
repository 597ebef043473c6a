"""Zeros in a whole network: what are they worth once a program computes from the kept weights alone?

    MINPRUNE_DATA=… python bench/masked_network.py [--zeros 0.9] [--quick] [--json DIR]

784-300-100-10 on MNIST (AdamW, 8 epochs), then a share of all its weights is masked by size, in three rounds with an
epoch after each. At batch 256, in turn: the masked network in NumPy, `sparsify` (CSR in NumPy), the dense network's
program, and that of the masked one, which takes dense, CSR or blocks for each layer, whichever was the fastest.
"""

from __future__ import annotations

import numpy as np
from side_by_side import keep, mnist, ratio, spread, start, take_turns

import minprune as mp
from minprune.models import mlp
from minprune.reports import duration, table


def main() -> None:
    """Train, mask, measure, print a table, keep the numbers."""
    options = start(__doc__, zeros=0.9)
    data, net = mnist(), mlp(784, (300, 100), 10)
    with mp.backend("numba"):
        mp.fit(net, data, optimizer=mp.AdamW(2e-3), batch_size=100, epochs=1 if options.quick else 8, rng=0)
        masked = mp.prune_weights(
            net, data, "magnitude_l1", mp.Global(options.zeros), rounds=3, finetune=mp.FineTune(epochs=1), rng=0
        ).net
    x = data.valid.x[:256].astype(np.float32)
    programs = {name: mp.compile(made, batch_size=len(x)) for name, made in (("dense", net), ("masked", masked))}
    sparse = mp.sparsify(masked)
    out = np.empty((len(x), 10), np.float32)
    assert np.allclose(programs["masked"](x), masked(x), atol=1e-4)
    times = take_turns(
        {
            "network, NumPy": lambda: masked(x),
            "sparsify, NumPy": lambda: sparse(x),
            "program of the dense one": lambda: programs["dense"](x, out=out),
            "program of the masked one": lambda: programs["masked"](x, out=out),
        },
        7 if options.quick else 21,
    )
    ours = "program of the masked one"
    rows = [{"what": name, "seconds": min(found), "ratio": ratio(times, name, ours)} for name, found in times.items()]
    print(
        table(
            ("what", "time", "times as long"), [(r["what"], duration(r["seconds"]), spread(r["ratio"])) for r in rows]
        )
    )
    accuracies = [mp.evaluate(made, data.valid, runtime=(), progress=False).accuracy for made in (net, masked)]
    print(f"validation accuracy: dense {accuracies[0]:.4f}, masked {accuracies[1]:.4f}")
    print(programs["masked"].plan())
    keep(options, "masked_network", rows)


if __name__ == "__main__":
    main()
