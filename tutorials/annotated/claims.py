"""Numbers for the document's claims (sections 3.3, 6 and 8), on digits."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

import numpy as np

import minprune as mp
from minprune.layers import Join
from minprune.models import cnn
from minprune.nn import Graph
from minprune.pruning import surgery
from minprune.scores.taylor import Taylor

from .digits import SEEDS, Study, percent, spread, trained

Numbers = dict[str, Any]
STRONGEST = 20  # samples that a neuron answers to most


def numbers(study: Study) -> Numbers:
    """Everything that these annotations quote, by the statement's id."""
    return {
        "F2": accuracies(study),
        "F3": {"taylor": lines_of(Taylor), "remove": lines_of(surgery.remove)},
        "F4": by_strategy(study),
        "F5": selective(study),
        "F6": filters(study),
        "F7": branches(study),
    }


def accuracies(study: Study) -> Numbers:
    """Accuracy against the share removed, before and after training again."""
    found: Numbers = {"seeds": SEEDS, "dense": spread([study.accuracy(net) for net in study.nets])}
    longer = study.over_seeds(lambda seed: trained(study.nets[seed].copy(), study.data, seed, epochs=5, rate=1e-3))
    found["longer"] = spread(longer)
    for share in (0.3, 0.5, 0.7):
        for rule in ("inverse_sensitivity", "random", "taylor", "leave_one_out"):
            key = f"{rule}_{100 * share:.0f}"
            found[key] = percent(study.removed(rule, share))
            found[f"{key}_tuned"] = percent(study.removed(rule, share, "least_squares", tune=True))
    return found


def lines_of(thing: Any) -> int:
    """Lines of code of a class, function or module, without docstrings, comments and blank lines."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and len(body) > 1 else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            del body[0]
    return len(ast.unparse(tree).replace("\n\n", "\n").splitlines())


def by_strategy(study: Study) -> Numbers:
    """One ranking over all layers against the same share of each, for two rules; half removed, nothing repaired."""
    found = {}
    for rule in ("taylor", "magnitude_l2"):
        for name, strategy in (("global", mp.Global(0.5)), ("layers", mp.PerLayer(0.5))):
            found[f"{rule}_{name}"] = spread(
                study.over_seeds(
                    lambda seed, rule=rule, strategy=strategy: mp.remove(
                        study.nets[seed], mp.decide(study.scores(seed, rule), strategy)
                    )
                )
            )
    return found


def selective(study: Study) -> Numbers:
    """How pure a neuron's strongest samples are: the share of the commonest class, mean over neurons and seeds."""
    found: dict[str, list[float]] = {"dense": [], "pruned": []}
    for seed, net in enumerate(study.nets):
        small = mp.remove(net, study.plan(seed, "taylor", 0.5), repair="least_squares", data=study.data)
        trained(small, study.data, seed, epochs=5, rate=1e-3)
        found["dense"] += purities(net, study.data.train)
        found["pruned"] += purities(small, study.data.train)
    return {name: percent(values) for name, values in found.items()} | {"strongest": STRONGEST}


def purities(net: Graph, samples: Any) -> list[float]:
    """For every neuron of the second hidden layer: the share of the commonest class among its strongest samples."""
    a = mp.record(net, samples.x, samples.y)["dense2"].a
    strongest = np.argsort(-a, axis=0, kind="stable")[:STRONGEST]  # (20,n)
    return [float(np.bincount(samples.y[column]).max() / STRONGEST) for column in strongest.T]


def filters(study: Study) -> Numbers:
    """A convolutional network for the same digits, half of its filters removed."""
    data = mp.data.digits(flat=False)
    found: dict[str, list[float]] = {"dense": [], "pruned": []}
    macs = []
    for seed in range(SEEDS):
        net = trained(cnn((1, 8, 8), 10, rng=seed, dtype=np.float64), data, seed, epochs=8, rate=5e-3)
        plan = mp.decide(mp.score(net, data, "taylor", progress=False), mp.PerLayer(0.5))
        small = trained(mp.remove(net, plan, repair="least_squares", data=data), data, seed, epochs=4, rate=2e-3)
        judged = [mp.evaluate(n, data, runtime=(), progress=False) for n in (net, small)]
        for name, ev in zip(found, judged, strict=True):
            found[name].append(ev.accuracy or 0.0)
        macs = [ev.macs for ev in judged]
    return {name: spread(values) for name, values in found.items()} | {"macs": macs[0], "left": macs[1]}


def branches(study: Study) -> Numbers:
    """A network of two inputs, the upper and the lower half of an image, pruned as a whole."""

    def halves(samples: Any) -> mp.data.Samples:
        return mp.data.Samples({"top": samples.x[:, :32], "bottom": samples.x[:, 32:]}, samples.y)

    data = mp.data.Dataset(*(halves(part) for part in (study.data.train, study.data.valid, study.data.test)))
    net = mp.Graph(
        {
            "t": (mp.Dense(32, 32), "top"),
            "ta": (mp.ReLU(), "t"),
            "b": (mp.Dense(32, 32), "bottom"),
            "ba": (mp.ReLU(), "b"),
            "both": (Join(), "ta", "ba"),
            "y": (mp.Dense(64, 10), "both"),
        },
        inputs=("top", "bottom"),
        rng=0,
        dtype=np.float64,
    )
    trained(net, data, 0)
    plan = mp.decide(mp.score(net, data, "taylor", progress=False), mp.Global(0.5))
    small = mp.remove(net, plan, repair="least_squares", data=data)
    before, after = (mp.evaluate(n, data, runtime=(), progress=False) for n in (net, small))
    left = {group: small.neurons[group].size for group in plan.drop}
    return {
        "dense": percent(before.accuracy or 0.0),
        "pruned": percent(after.accuracy or 0.0),
        "left": " + ".join(map(str, left.values())),
    }
