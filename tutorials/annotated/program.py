"""Numbers of the document's program (section 5), from the same experiment in this engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from minprune import listing
from minprune.evaluation import evaluate

SEEDS = 60


def numbers() -> dict[str, Any]:
    """Everything that the annotations of section 5 quote."""
    found = listing.experiment()
    again = listing.experiment()
    assert found.retrained(listing.X).tolist() == again.retrained(listing.X).tolist()
    losses = {
        name: float(evaluate(net, (listing.X, listing.T), loss="mse", runtime=(), progress=False).loss)
        for name, net in (("dense", found.trained), ("longer", found.longer), ("retrained", found.retrained))
    }
    kept = [j for j in range(5) if j not in found.plan.drop["dense1"]]
    three = listing.network(3, 42)
    return {
        "tensors": ", ".join(f"{name} {value:.0f}" for name, value in found.per_tensor.items()),
        "count": len(found.per_tensor),
        "text_params": sum(array.size for array in found.trained.params.values()),
        "listing_params": sum(array.size for array in three.params.values()),
        "removed": ", ".join(f"h{j + 1}" for j in found.plan.drop["dense1"]),
        "better": ", ".join(f"h{j + 1}" for j in found.better),
        "kept_mean": float(np.mean(found.truth["dense1"][kept])),
        "gone_mean": float(np.mean(found.truth["dense1"][found.plan.drop["dense1"]])),
        "shape": "×".join(map(str, found.pruned.params["dense1.W"].shape)),
        "agreement": listing.agreement(found.retrained(listing.X)),
        "predictions": "; ".join(", ".join(f"{value:.3f}" for value in row) for row in found.retrained(listing.X)),
        **{f"loss_{name}": value for name, value in losses.items()},
        **silent(),
    }


def silent() -> dict[str, int]:
    """For how many seeds the two lowest of the four tensors are the last two: then the printed removal does nothing.

    The loops over ``layers[k].weights`` count from 0 in each layer, so they only ever compare with 0 and 1.
    """
    nothing = 0
    for seed in range(SEEDS):
        scores = [*listing.experiment(3, seed).per_tensor.values()]
        nothing += set(np.argsort(scores)[:2].tolist()) == {2, 3}
    return {"seeds": SEEDS, "silent": nothing}
