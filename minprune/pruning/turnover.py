"""Turnover: a network of constant size, whose weakest neurons are replaced again and again."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import Any

import numpy as np

from ..datasets.samples import as_splits
from ..errors import PlanError, StructureError
from ..evaluation import Evaluation, evaluate
from ..neurons import fingerprint, hidden, staying
from ..nn import Graph
from ..optim import OptimizerState
from ..scores import Criterion, score
from .deciding import PerLayer, decide
from .growing import grow, grown_state
from .schedule import FineTune
from .surgery import remove


@dataclass(frozen=True, eq=False)
class Turnover:
    """What `drop_and_grow` did.

    Attributes
    ----------
    net : Graph
        The network, of the size that was given.
    state : OptimizerState
        Where its optimiser stands.
    before : Evaluation
        Of the network that was given, on the validation part where there is one.
    history : list of Evaluation
        After every round.
    replaced : list of dict
        Group -> how many neurons were replaced, round by round.
    """

    net: Graph
    state: OptimizerState
    before: Evaluation
    history: list[Evaluation]
    replaced: list[dict[str, int]]

    def __repr__(self) -> str:
        total = sum(sum(counts.values()) for counts in self.replaced)
        return f"<Turnover: {len(self.history)} round(s), {total} neurons replaced>"


def drop_and_grow(
    net: Graph,
    data: Any,
    criterion: str | Criterion = "magnitude_product",
    share: float = 0.3,
    rounds: int = 5,
    *,
    finetune: FineTune = FineTune(epochs=1),  # noqa: B008  a frozen value
    groups: list[str] | tuple[str, ...] | None = None,
    loss: str | None = None,
    state: OptimizerState | None = None,
    rng: int | np.random.Generator = 0,
    progress: bool = True,
) -> Turnover:
    r"""Keep a network's size, and replace its weakest neurons by fresh ones, round after round.

    In round t = 0 … n − 1 the share $\frac{\alpha}{2} (1 + \cos(\pi t / n))$ of every group is removed, as many neurons
    are grown, and the network is trained on: late rounds replace few.

    Parameters
    ----------
    net : Graph
        Is not changed.
    data : (x, y), Samples or Dataset
        Scores and training see the training part; evaluation the validation part where there is one.
    criterion : str or Criterion
        See `minprune.criteria`.
    share : float
        α, above 0 and below 1.
    rounds : int
        n.
    finetune : FineTune
        The training of every round.
    groups : names, optional
        By default all hidden ones.
    loss, state, rng, progress
        As for `prune`.

    Returns
    -------
    Turnover

    Raises
    ------
    PlanError
        When a setting is out of range, or the strategy cannot be carried out.
    StructureError
        When a group cannot be grown; see `grow`. So much of a depthwise convolution can go that it becomes a plain one.

    Notes
    -----
    Source: Mocanu et al. 2018, *Scalable training of artificial neural networks with adaptive sparse connectivity
    inspired by network science* (drop the smallest, grow at random), and Evci et al. 2020, *Rigging the lottery*,
    section 3 (the falling share), both for single connections; here for whole neurons.

    Examples
    --------
    >>> import minprune as mp
    >>> digits = mp.data.digits()
    >>> net = mp.Sequential(mp.Dense(64, 20), mp.ReLU(), mp.Dense(20, 10))
    >>> res = drop_and_grow(net, digits, rounds=3, progress=False)
    >>> res.net.neurons["dense1"].size, res.replaced
    (20, [{'dense1': 6}, {'dense1': 4}, {'dense1': 1}])
    """
    if not isinstance(rounds, int | np.integer) or rounds < 1:
        raise PlanError(f"rounds is {rounds!r}, expected a whole number of at least 1")
    if not 0 < share < 1:
        raise PlanError(f"share is {share!r}, expected a fraction above 0 and below 1")
    generator = np.random.default_rng(rng)
    train, valid = as_splits(data)
    judge = train if valid is None else valid
    before = evaluate(net, judge, loss=loss, runtime=(), progress=progress)
    history: list[Evaluation] = []
    replaced: list[dict[str, int]] = []
    names = hidden(net) if groups is None else list(groups)
    dense, state = net, OptimizerState() if state is None else state
    for number in range(rounds):
        scores = score(net, train, criterion, loss=loss, groups=names, rng=generator, progress=progress)
        plan = decide(scores, PerLayer(share / 2 * (1 + cos(pi * number / rounds))))
        small = remove(net, plan, data=train)
        counts = {name: len(neurons) for name, neurons in plan.drop.items()}
        grown = grow(small, counts, generator)
        if fingerprint(grown) != fingerprint(net):
            raise StructureError(
                f"round {number + 1}: a layer that was left with a single channel does not grow back to what it was; "
                "take a smaller share"
            )
        state = grown_state(state.sliced(staying(net, plan.drop)), small, grown)
        state = finetune.run(grown, data, loss, state, generator, progress, dense)
        net = grown
        history.append(evaluate(net, judge, loss=loss, runtime=(), progress=progress))
        replaced.append(counts)
    return Turnover(net, state, before, history, replaced)
