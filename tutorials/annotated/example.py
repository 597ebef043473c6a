"""Numbers of the worked 3-5-2 example: sections 4.1 to 4.3 of the document."""

from __future__ import annotations

from typing import Any

import numpy as np

import minprune as mp
from minprune import worked
from minprune.gradcheck import check
from minprune.optim import SGD, Adam

Numbers = dict[str, Any]


def numbers() -> Numbers:
    """Everything that the annotations of the example quote, by the statement's id."""
    return {
        "A7": steps(),
        "B1": forward(),
        "B2": sensitivities(),
        "B3": linear_choices(),
        "B4": by_output(),
        "B5": shortcut(),
        "D": chosen(),
        "D7": removed(),
    }


def forward() -> Numbers:
    """Sums and outputs of the hidden layer."""
    group = worked.example().rec["dense1"]
    return {"z": listed(group.z[0], 1), "h": listed(group.a[0], 4)}


def sensitivities() -> Numbers:
    """∂L/∂h, what is printed in its place, and how far the engine's gradients are from its witnesses."""
    found = worked.example()
    report = check(found.net, worked.X, worked.TARGET, loss=worked.LOSS, progress=False)
    right = found.rec["dense1"].grad_a[0]
    assert report.ok
    assert np.allclose(found.printed, -right, rtol=0, atol=1e-15)
    return {
        "s": listed(right, 4),
        "printed": listed(found.printed, 4),
        "negative": int((right < 0).sum()),
        "entries": sum(finding.entries for finding in report.findings),
        "loss": found.rec.loss,
        "o": listed(found.rec.output[0], 4),
        "errors": listed(found.rec.output[0] - np.array(worked.TARGET[0]), 4),
    }


def by_output() -> Numbers:
    """The two paths from h1 to the loss, and their sum."""
    rec = worked.example().rec
    paths = rec["dense2"].grad_z[0] * rec.net.params["dense2.W"][:, 0]
    total = float(rec["dense1"].grad_a[0, 0])
    assert np.isclose(paths.sum(), total, atol=1e-15)
    return {"first": float(paths[0]), "second": float(paths[1]), "sum": total}


def shortcut() -> Numbers:
    """What 4.2 gives for a linear output, and what is right."""
    rec = worked.example("linear").rec
    printed, right = worked.printed_linear_shortcut(rec), rec["dense1"].grad_a[0]
    assert len(set(printed.tolist())) == 1
    return {"printed": float(printed[0]), "s": listed(right, 4), "different": len(set(right.round(12).tolist()))}


def linear_choices() -> Numbers:
    """Which pairs rules remove where the output is linear, and what that does."""
    found = worked.example("linear")
    best = min((pair for pair in found.loss_without if len(pair) == 2), key=found.loss_without.__getitem__)
    singles = [found.change(j) for j in range(5)]
    return {
        "printed_pair": pair_of(found.picks["inverse_sensitivity"]),
        "printed_change": found.change(*found.picks["inverse_sensitivity"]),
        "taylor_pair": pair_of(found.picks["taylor"]),
        "taylor_change": found.change(*found.picks["taylor"]),
        "best_pair": pair_of(best),
        "lower": sum(change < 0 for change in singles),
    }


def chosen() -> Numbers:
    """What each rule removes from the golden network, and what comes of it."""
    found = worked.example()
    dense = found.rec.loss
    values: Numbers = {"dense": dense, "pairs": sum(len(pair) == 2 for pair in found.loss_without)}
    for rule, name in (
        ("inverse_sensitivity", "printed"),
        ("inverse_sensitivity_signed", "signed"),
        (worked.PRINTED_SIGNS, "as_printed"),
        ("sensitivity", "sensitivity"),
        ("taylor", "taylor"),
        ("taylor_signed", "taylor_signed"),
    ):
        values[f"{name}_pair"] = pair_of(found.picks[rule])
        values[f"{name}_loss"] = found.loss_without[tuple(found.picks[rule])]
    best = min((pair for pair in found.loss_without if len(pair) == 2), key=found.loss_without.__getitem__)
    values |= {"best_pair": pair_of(best), "best_loss": found.loss_without[best]}
    assert values["printed_loss"] > 3 * dense
    return values | {"times": values["printed_loss"] / dense}


def removed() -> Numbers:
    """The 3-3-2 network, and how far it is from the masked one."""
    net, plan = worked.network(), mp.Plan({"dense1": [0, 2]})
    small, masked = worked.pruned(), mp.mask(net, plan)
    x = np.random.default_rng(0).normal(size=(1000, 3))
    difference = float(np.abs(small(x) - masked(x)).max())
    assert difference < 1e-15
    before, after = (sum(array.size for array in n.params.values()) for n in (net, small))
    return {"before": before, "after": after, "samples": len(x)}


def steps() -> Numbers:
    """One gradient, two optimisers, two different steps of the weight from x1 to h1."""
    moved = {}
    for name, optimizer in (("sgd", SGD(0.1)), ("adam", Adam(0.1))):
        net = worked.network()
        mp.fit(net, (worked.X, worked.TARGET), loss=worked.LOSS, optimizer=optimizer, epochs=1, progress=False)
        moved[name] = float(net.params["dense1.W"][0, 0] - worked.network().params["dense1.W"][0, 0])
    slope = float(worked.example().rec.grads["dense1.W"][0, 0])
    assert np.isclose(moved["sgd"], -0.1 * slope)
    return {"gradient": slope, **moved}


def listed(values: Any, digits: int) -> str:
    """Numbers side by side."""
    return ", ".join(f"{value:.{digits}f}" for value in values)


def pair_of(neurons: Any) -> str:
    """Neurons as the document counts them: h1 to h5."""
    return "{" + ", ".join(f"h{j + 1}" for j in neurons) + "}"
