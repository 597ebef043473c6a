"""Numbers for the document's concepts, scores and strategies (sections 1 to 4.1, and 9), on digits."""

from __future__ import annotations

from typing import Any

import numpy as np

import minprune as mp
from minprune.models import mlp
from minprune.optim import SGD
from minprune.scores import CRITERIA
from minprune.sparse import SparseMatrix

from .digits import FASTER, HIDDEN, SEEDS, Study, correlations, percent, spread, trained

Numbers = dict[str, Any]


def numbers(study: Study) -> Numbers:
    """Everything that these annotations quote, by the statement's id."""
    return {
        "A1": kinds(study),
        "A2": rounds(study),
        "A3": baselines(study),
        "A4": {"criteria": len(CRITERIA), "weights": sum(c.scores_weights() for c in CRITERIA.values())},
        "A5": choice(study),
        "A6": measured(study),
        "B3": printed_rule(study),
        "B8": untrained(study),
        "B9": by_weights(study),
        "C": strategies(study),
        "C4": repairs(study),
    }


def kinds(study: Study) -> Numbers:
    """Smaller weights change nothing by themselves; masked ones save bytes; removed neurons make arrays smaller."""
    net, data = study.nets[0], study.data
    shrunk = net.copy()
    for name, factor in (("dense1.W", 0.5), ("dense1.b", 0.5), ("dense2.W", 2.0)):
        shrunk.params[name] = net.params[name] * factor
    assert np.abs(shrunk(data.test.x) - net(data.test.x)).max() < 1e-12
    plan = mp.decide(mp.score(net, criterion="magnitude_l1", by="weight", progress=False), mp.Global(0.9))
    masked = mp.mask(net, plan)
    W = masked.params["dense1.W"]
    sparse = SparseMatrix.from_dense(W, masked.masks["dense1.W"])
    small = mp.remove(net, study.plan(0, "taylor", 0.5))
    return {
        "weights": sum(kept.size for kept in masked.masks.values()),
        "kept": sum(int(kept.sum()) for kept in masked.masks.values()),
        "dense_bytes": W.nbytes,
        "csr_bytes": sparse.nbytes,
        "params": size(net),
        "small": size(small),
        "shape": "-".join(str(group.size) for group in small.neurons.values()),
    }


def size(net: Any) -> int:
    """How many parameters it has."""
    return sum(array.size for array in net.params.values())


def rounds(study: Study) -> Numbers:
    """The cycle once and five times, refitted and scored anew in every round; the same number of neurons goes."""
    found = {}
    for times in (1, 5):
        options: dict[str, Any] = {"rounds": times, "repair": "least_squares", "progress": False}
        nets = [mp.prune(net, study.data, "taylor", mp.Global(0.7), **options).net for net in study.nets]
        found[f"rounds{times}"] = spread([study.accuracy(net) for net in nets])
    return found


def baselines(study: Study) -> Numbers:
    """A random half beside a chosen one."""
    return {rule: spread(study.removed(rule, 0.3)) for rule in ("random", "taylor", "inverse_sensitivity")}


def choice(study: Study) -> Numbers:
    """The smallest network that loses at most two points on the validation part."""
    chosen = mp.choose(study.nets[0], study.data, max_loss=0.02, seconds=0.005, progress=False)
    best, dense = chosen.chosen, chosen.dense
    assert dense.quality - best.quality <= 0.02
    return {
        "candidates": len(chosen.candidates),
        "dense": dense.evaluation.params,
        "params": best.evaluation.params,
        "name": f"{best.criterion}, {best.strategy}, {best.repair}",
        "lost": f"{100 * (dense.quality - best.quality):.1f}",
        "test": percent(study.accuracy(best.net)),
        "dense_test": percent(study.accuracy(dense.net)),
    }


def measured(study: Study) -> Numbers:
    """Accuracy, time and storage, before and after."""
    net = trained(mlp(64, (512, 256), 10, rng=0, dtype=np.float64), study.data, 0, epochs=8, rate=1e-3)
    net = net.astype(np.float32)  # trained in float64, so that other machines find the same weights
    plan = mp.decide(mp.score(net, study.data, "taylor", progress=False), mp.Global(0.5))
    small = mp.remove(net, plan, repair="least_squares", data=study.data)
    found = mp.compare({"dense": net, "pruned": small}, study.data, progress=False)
    dense, pruned = found.evaluations["dense"], found.evaluations["pruned"]
    assert found.ratio["pruned"][256].median > FASTER
    values: Numbers = {}
    for name, ev in (("dense", dense), ("pruned", pruned)):
        values |= {
            f"{name}_params": ev.params,
            f"{name}_macs": ev.macs,
            f"{name}_accuracy": percent(ev.accuracy or 0.0),
        }
        values |= {f"{name}_memory": ev.bytes_memory / 1000, f"{name}_disk": ev.bytes_disk / 1000}
    return values | {
        "faster": FASTER,
        "share": f"{100 * pruned.macs / dense.macs:.0f} %",
    }


def printed_rule(study: Study) -> Numbers:
    """The rule's sign, its zero, and its direction."""
    net = study.nets[0].copy()
    net.params["dense2.W"][:, 0] = 0  # nobody listens to neuron 0 any more
    scores, truth = (
        mp.score(net, study.data, rule, progress=False)["dense1"] for rule in ("inverse_sensitivity", "leave_one_out")
    )
    assert truth[0] == 0
    assert np.isinf(scores[0])
    silent = np.concatenate([study.scores(seed, "leave_one_out")["dense1"] == 0 for seed in range(SEEDS)])
    gone = {
        rule: np.concatenate(
            [np.isin(range(HIDDEN[0]), study.plan(seed, rule, 0.3).drop["dense1"]) for seed in range(SEEDS)]
        )
        for rule in ("inverse_sensitivity", "taylor")
    }
    signed = [study.scores(seed, "sensitivity_signed") for seed in range(SEEDS)]
    values = np.concatenate([group for scores in signed for group in scores.values()])
    return {
        "seeds": SEEDS,
        "neurons": sum(HIDDEN),
        "negative": int((values < 0).sum()),
        "all": len(values),
        "silent": int(silent.sum()),
        **{f"silent_{rule}": int(silent[left].sum()) for rule, left in gone.items()},
        **{f"rho_{rule}": rho for rule, rho in correlations(study).items()},
    }


def untrained(study: Study) -> Numbers:
    """Half of the neurons chosen before any training, then trained."""

    def made(rule: str, seed: int) -> Any:
        net = mlp(64, HIDDEN, 10, rng=seed, dtype=np.float64)
        plan = mp.decide(mp.score(net, study.data, rule, rng=seed, progress=False), mp.Global(0.7))
        return trained(mp.remove(net, plan), study.data, seed)

    return {rule: spread(study.over_seeds(lambda seed, rule=rule: made(rule, seed))) for rule in ("snip", "random")}


def by_weights(study: Study) -> Numbers:
    """Importance sent back through the weights; and training under a group lasso, which empties neurons by itself."""
    net = mlp(64, HIDDEN, 10, rng=0, dtype=np.float64)
    how: dict[str, Any] = {"optimizer": SGD(0.05, momentum=0.9), "penalty": mp.GroupLasso(0.02), "keep": "last"}
    mp.fit(net, study.data, epochs=40, rng=0, progress=False, **how)
    empty = mp.decide(mp.score(net, criterion="magnitude_l2", progress=False), mp.Threshold(absolute=1e-12))
    small = mp.remove(net, empty)
    assert np.abs(small(study.data.test.x) - net(study.data.test.x)).max() < 1e-12
    return {
        "nisp": spread(study.removed("nisp", 0.3)),
        "empty": len(empty),
        "of": sum(HIDDEN),
        "accuracy": percent(study.accuracy(small)),
    }


def strategies(study: Study) -> Numbers:
    """What thresholds, shares per layer and one ranking over all layers leave of 64 and 32 neurons."""
    scores = study.scores(0, "taylor")

    def left(strategy: Any) -> str:
        drop = mp.decide(scores, strategy).drop
        return " + ".join(str(len(values) - len(drop.get(group, ()))) for group, values in scores.items())

    net = study.nets[0]
    half = mp.remove(net, mp.decide(scores, mp.Budget(params=0.5)))
    return {
        "quantile": left(mp.Threshold(quantile=0.25)),
        "of_max": left(mp.Threshold(of_max=0.1)),
        "layers": left(mp.PerLayer(0.5)),
        "none": left(mp.Global(0.5)),
        "mean": left(mp.Global(0.5, normalise="mean")),
        "budget": f"{100 * size(half) / size(net):.1f} %",
    }


def repairs(study: Study) -> Numbers:
    """Half of the neurons gone, and what the layers behind them can make up for."""
    found: Numbers = {}
    for name, repair in (("none", None), ("mean", "mean"), ("squares", "least_squares")):
        found[name] = percent(study.removed("taylor", 0.5, repair))
    found["tuned"] = percent(study.removed("taylor", 0.5, "least_squares", tune=True))
    found["dense"] = percent([study.accuracy(net) for net in study.nets])
    certificate = mp.remove(study.nets[0], study.plan(0, "taylor", 0.5), data=study.data).certificate
    assert certificate is not None
    assert certificate.ok
    assert certificate.max_difference < 1e-10
    return found
