"""The document's program (section 5.2), made to run: train, score, draw, prune two neurons, retrain, predict.

The printed listing stops at its score line under every TensorFlow that it asks for, and what it means to score are
parameter tensors, not neurons (spec E3 to E6). This is the same experiment with neurons: two samples, a 3-n-2 network
of sigmoids, mean squared error, Adam, 100 epochs, the printed rule as the listing applies it (mean over the batch, then
the modulus, then the inverse), the two lowest removed, a fresh optimiser, 100 more epochs. Beside it stands what the
listing lacks: the dense network given the same 100 extra epochs, the true cost of every neuron, and the rule that
follows from the first-order change of the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .evaluation import evaluate
from .layers import Dense, Sigmoid
from .nn import Graph, Sequential
from .ops import Array
from .optim import Adam
from .pruning.deciding import Global, decide
from .pruning.plan import Plan
from .pruning.surgery import remove
from .recording import record
from .reports import table
from .scores import Scores, score
from .train import fit

X = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32)
T = np.array([[0, 1], [1, 0]], dtype=np.float32)
EPOCHS = 100
KERAS_ADAM = Adam(1e-3, epsilon=1e-7)  # the defaults behind optimizer='adam'
RULE = "inverse_sensitivity_mean"


def network(hidden: int, seed: int) -> Graph:
    r"""The listing's model: two sigmoid layers, weights uniform in $\pm\sqrt{6/(n_{in}+n_{out})}$, biases zero.

    Parameters
    ----------
    hidden : int
        5 as in the text, 3 as in the listing (spec E1).
    seed : int
        Of the weights.

    Notes
    -----
    Source: Glorot and Bengio 2010, equation 16 (the default of the listing's Dense layers).

    Examples
    --------
    >>> network(5, seed=42).params["dense1.W"].shape
    (5, 3)
    """
    net = Sequential(Dense(3, hidden), Sigmoid(), Dense(hidden, 2), Sigmoid())
    rng = np.random.default_rng(seed)
    for name in ("dense1.W", "dense2.W"):
        limit = np.sqrt(6 / sum(net.params[name].shape))
        net.params[name] = rng.uniform(-limit, limit, net.params[name].shape)
    return net


@dataclass(frozen=True, eq=False)
class Listing:
    """What the experiment gives.

    Attributes
    ----------
    trained : Graph
        After the first 100 epochs.
    longer : Graph
        The same network after 100 more: what the pruned one must be compared with (spec E7).
    pruned, retrained : Graph
        After the removal, and after 100 more epochs with a fresh optimiser.
    scores, truth : Scores
        The printed rule, and the true change of the loss, per neuron.
    per_tensor : dict
        What the listing really computes: one number for each of the four parameter arrays (spec E3, E4).
    plan : Plan
        The two neurons with the lowest printed score.
    better : list of int
        The two that the size of the first-order change would remove.
    """

    trained: Graph
    longer: Graph
    pruned: Graph
    retrained: Graph
    scores: Scores
    truth: Scores
    per_tensor: dict[str, float]
    plan: Plan
    better: list[int]


def experiment(hidden: int = 5, seed: int = 42) -> Listing:
    """Run it.

    Parameters
    ----------
    hidden : int
        Hidden neurons; at least 3, since two are removed.
    seed : int
        Same seed, same numbers (spec E11).

    Examples
    --------
    >>> found = experiment(hidden=3)
    >>> found.pruned.neurons["dense1"].size, len(found.per_tensor)
    (1, 4)
    """
    data = (X, T)
    trained = _fitted(network(hidden, seed), seed)
    scores = score(trained, data, RULE)
    plan = decide(scores, Global(2))
    pruned = remove(trained, plan, data=data)
    return Listing(
        trained=trained,
        longer=_fitted(trained, seed),
        pruned=pruned,
        retrained=_fitted(pruned, seed),
        scores=scores,
        truth=score(trained, data, "leave_one_out"),
        per_tensor=_per_tensor(trained),
        plan=plan,
        better=decide(score(trained, data, "taylor"), Global(2)).drop["dense1"],
    )


def _fitted(net: Graph, seed: int) -> Graph:
    """A copy after 100 epochs of the listing's training, from a fresh optimiser."""
    net = net.copy()
    fit(net, (X, T), loss="mse", optimizer=KERAS_ADAM, epochs=EPOCHS, batch_size=2, rng=seed, progress=False)
    return net


def _per_tensor(net: Graph) -> dict[str, float]:
    """The listing's ``1 / mean(|grad|)`` of every parameter array."""
    grads = record(net, X, T, loss="mse").grads
    return {name: float(1 / np.abs(grad).mean()) for name, grad in grads.items()}


def agreement(outputs: Array) -> float:
    """What Keras calls accuracy here: how often the larger output is the right one; 0, ½ or 1 (spec E12).

    Examples
    --------
    >>> agreement(np.array([[0.2, 0.8], [0.3, 0.4]]))
    0.5
    """
    return float((outputs.argmax(axis=1) == T.argmax(axis=1)).mean())


def report(found: Listing) -> str:
    """The experiment as text.

    Examples
    --------
    >>> print(report(experiment(hidden=3)).splitlines()[0])
    The document's listing (5.2): 3-3-2 sigmoids, two samples, 100 epochs of Adam, repeatable
    """
    hidden = found.trained.neurons["dense1"].size
    gone = found.plan.drop["dense1"]
    neurons = [
        (f"h{j + 1}", float(s), float(c), "removed" if j in gone else "", "removed" if j in found.better else "")
        for j, (s, c) in enumerate(zip(found.scores["dense1"], found.truth["dense1"], strict=True))
    ]
    nets = (
        ("dense, 100 epochs", found.trained),
        ("dense, 200 epochs", found.longer),
        ("pruned, 100 epochs", found.pruned),
        ("pruned, then 100 more", found.retrained),
    )
    results = []
    for name, net in nets:
        ev = evaluate(net, (X, T), loss="mse", runtime=())
        results.append(
            (name, ev.params, float(ev.loss), agreement(net(X)), "  ".join(f"[{a:.3f}, {b:.3f}]" for a, b in net(X)))
        )
    tensors = ", ".join(f"{name} {value:.3g}" for name, value in found.per_tensor.items())
    return "\n\n".join(
        (
            f"The document's listing (5.2): 3-{hidden}-2 sigmoids, two samples, 100 epochs of Adam, repeatable",
            f"What its score line would compute, 1/mean(|gradient|) of each parameter array, not neuron: {tensors}",
            table(("neuron", "1/|mean s|", "true cost", "printed rule", "|o s|"), neurons),
            table(("network", "parameters", "loss", "accuracy", "predictions"), results),
        )
    )


def run(folder: Path, hidden: int = 5, seed: int = 42) -> tuple[str, dict[str, Any]]:
    """Run the experiment, draw its two figures as they were meant (spec E8, E9), and report.

    The predictions compare networks that were trained equally long (spec E7): 200 epochs without, and with pruning.

    Parameters
    ----------
    folder : path
        Gets ``scores.png`` and ``predictions.png``.
    hidden, seed
        As for `experiment`.

    Returns
    -------
    text : str
    content : dict
        For JSON.
    """
    from . import plots

    found = experiment(hidden, seed)
    folder.mkdir(parents=True, exist_ok=True)
    gone = found.plan.drop["dense1"]
    bars = plots.score_bars(
        found.scores["dense1"], gone, truth=found.truth["dense1"], title=f"{RULE}, and what each removal really costs"
    )
    plots.save(bars, folder / "scores.png")
    labels = (f"dense, {2 * EPOCHS} epochs", f"pruned after {EPOCHS} of {2 * EPOCHS}")
    plots.save(plots.predictions(T, found.longer(X), found.retrained(X), labels), folder / "predictions.png")
    content = {
        "scores": found.scores["dense1"].tolist(),
        "truth": found.truth["dense1"].tolist(),
        "removed": gone,
        "per_tensor": found.per_tensor,
        "predictions": found.retrained(X).tolist(),
    }
    return f"{report(found)}\n\nfigures in {folder}", content
