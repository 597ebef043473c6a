"""Pruning while training: scores are collected from the training steps themselves, and neurons leave one by one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..datasets.samples import Samples, as_splits, rows
from ..errors import DataError, PlanError, TrainingError
from ..feeding import batch_slices, targets_for
from ..layers import Training
from ..neurons import check_neuron, fingerprint, hidden, staying
from ..nn import Graph
from ..ops import LOSSES, Array, Mean
from ..optim import Adam, Optimizer, OptimizerState
from ..progress import bar
from ..provenance import digest, note
from ..recording import with_gates
from ..scores import CRITERIA
from ..scores.gates import GateCriterion, GateGradients
from ..scores.running import RunningScores
from ..targets import choose_loss
from ..tensor import Tape, apply, backward
from ..train import hide_masked
from .budget import anchored
from .certifying import TRIAL_SAMPLES
from .deciding import Global, Strategy
from .pacing import Course, check_schedule
from .plan import Plan
from .surgery import remove
from .tracking import joined, origins


@dataclass(eq=False)
class TrainedAndPruned:
    """What `prune_while_training` did.

    Attributes
    ----------
    net : Graph
        The smaller network.
    state : OptimizerState
        Where its optimiser stands, to go on with: ``fit(result.net, data, state=result.state)``.
    plan : Plan
        All that was removed, in the indices of the given network.
    kept : dict
        Group -> the indices, in the given network, of the neurons that stayed.
    loss : list of float
        Mean training loss of every epoch, as the batches went by.
    sizes : list of dict
        Group -> how many neurons were left, after every cut.
    """

    net: Graph
    state: OptimizerState
    plan: Plan
    kept: dict[str, list[int]]
    loss: list[float] = field(default_factory=list)
    sizes: list[dict[str, int]] = field(default_factory=list)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{group} {len(left)}" for group, left in self.kept.items())
        return f"<TrainedAndPruned: {len(self.loss)} epoch(s), {len(self.sizes)} cuts, {sizes} left>"


def prune_while_training(
    net: Graph,
    data: Any,
    criterion: str | GateCriterion = "taylor_squared",
    strategy: Strategy = Global(0.5),  # noqa: B008  a frozen value
    *,
    epochs: int = 10,
    every: int = 50,
    schedule: str = "exponential",
    decay: float = 0.98,
    groups: list[str] | tuple[str, ...] | None = None,
    loss: str | None = None,
    optimizer: Optimizer | None = None,
    batch_size: int = 128,
    state: OptimizerState | None = None,
    rng: int | np.random.Generator = 0,
    progress: bool = True,
) -> TrainedAndPruned:
    r"""Train, and cut the lowest neurons again and again, by scores that the training steps bring along.

    Each step runs the network in training mode behind open gates, once forward and once back; the gradients by the
    gates are a by-product. The criterion's mean over each mini-batch goes into a running average (`RunningScores`), and
    after every `every` steps the lowest neurons leave, so many that the schedule ends at the strategy's fraction with
    the last step. Weights, optimiser and averages of all others go on as they were. Train on afterwards, with a falling
    learning rate: ``fit(result.net, data, schedule=Cosine(), state=result.state)``.

    In training mode a score sees what the step sees: dropout silences neurons (those that it spares count 1/(1−p) times
    as much), and behind a batch-norm the loss of one sample depends on the activations of the others, so that
    "per sample" means by this sample's activations, of the losses of the whole batch.

    Parameters
    ----------
    net : Graph
        Is not changed. Trained or not.
    data : (x, y), Samples or Dataset
        The training part is used.
    criterion : str or GateCriterion
        One that is made of gradients by the gates: ``taylor_squared`` is the mean of $(\sum_p a\, g)^2$.
    strategy : Global, PerLayer, Threshold or Budget
        Its fraction is what is gone in the end.
    epochs : int
        How long.
    every : int
        Steps between two cuts.
    schedule : {"exponential", "cubic", "linear"}
        How the cuts are spread; see `minprune.pruning.pacing`.
    decay : float
        β of the running average.
    groups : names, optional
        Which groups to prune; by default all hidden ones. Add "input" to prune input features as well.
    loss : str, optional
        By default cross-entropy for integer y, else mse.
    optimizer : SGD, Adam or AdamW, optional
        By default Adam(1e-3); the learning rate stays.
    batch_size : int
        Samples per step.
    state : OptimizerState, optional
        Go on from here; it is copied.
    rng : int or Generator
        Of the shuffling and of dropout.
    progress : bool
        Show a bar.

    Returns
    -------
    TrainedAndPruned

    Raises
    ------
    DataError
        When a setting is out of range, or the criterion is not made of gradients by the gates.
    PlanError
        When the schedule is unknown, or the strategy cannot be carried out.
    TrainingError
        When a loss is no longer a finite number.
    StructureError
        For a softmax at the end before a cross-entropy.

    Notes
    -----
    Source: Molchanov et al. 2017, *Pruning convolutional neural networks for resource efficient inference*, and 2019,
    *Importance estimation for neural network pruning*: the scores, collected from the mini-batches between two cuts.
    Both prune a trained network while it is fine-tuned; here it can be one that was never trained.

    Examples
    --------
    >>> import minprune as mp
    >>> digits = mp.data.digits()
    >>> net = mp.Sequential(mp.Dense(64, 32), mp.ReLU(), mp.Dense(32, 10))
    >>> res = prune_while_training(net, digits, strategy=mp.PerLayer(0.5), epochs=6, every=8, progress=False)
    >>> res.net.neurons["dense1"].size, [sizes["dense1"] for sizes in res.sizes][:3]
    (16, [29, 27, 24])
    >>> history = mp.fit(res.net, digits, epochs=10, schedule=mp.Cosine(), state=res.state, progress=False)
    """
    rule = _gate_criterion(criterion)
    check_schedule(schedule)
    for name, value in {"epochs": epochs, "every": every, "batch_size": batch_size}.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise DataError(f"prune_while_training: {name} is {value!r}, expected a whole number of at least 1")
    if not 0 <= decay < 1:
        raise DataError(f"prune_while_training: decay is {decay!r}, expected at least 0 and below 1")
    train, _ = as_splits(data)
    loss = choose_loss(train.y) if loss is None else loss
    names = hidden(net) if groups is None else groups
    strategy = anchored(strategy, net, progress)
    run = _Cutting(net, train, loss, optimizer or Adam(), RunningScores(rule, decay), names, state)
    generator = np.random.default_rng(rng)
    batches = batch_slices(net, len(train), batch_size)
    total = epochs * len(batches)
    with bar("training and pruning", total, show=progress) as advance:
        for epoch in range(epochs):
            order, losses = generator.permutation(len(train)), 0.0
            for number, batch in enumerate(batches, epoch * len(batches) + 1):
                with np.errstate(over="ignore", invalid="ignore"):  # what they lead to is found and said better below
                    found = run.step(order[batch], Training(generator))
                if not np.isfinite(found):
                    raise TrainingError(f"step {number}: the loss is {found}; try a smaller learning rate")
                losses += len(order[batch]) * found
                if number % every == 0 or number == total:
                    run.cut(strategy, schedule, number / total)
                advance()
            run.losses.append(losses / len(train))
            advance(0, text=f"epoch {epoch + 1}: loss {run.losses[-1]:.4f}, {run.left()} neurons")
    return run.result(f"{rule.name} while training, {strategy}")


def _gate_criterion(criterion: str | GateCriterion) -> GateCriterion:
    """A criterion by its name or as given, if single training steps can tell it."""
    rule = CRITERIA[criterion]() if isinstance(criterion, str) and criterion in CRITERIA else criterion
    if not isinstance(rule, GateCriterion):
        able = ", ".join(name for name, each in CRITERIA.items() if issubclass(each, GateCriterion))
        raise DataError(f"prune_while_training: criterion is {criterion!r}, expected one of {able}")
    return rule


class _Cutting:
    """One call of `prune_while_training`: the network as it stands, and all that goes with it."""

    def __init__(
        self,
        net: Graph,
        data: Samples,
        loss: str,
        optimizer: Optimizer,
        running: RunningScores,
        groups: Iterable[str],
        state: OptimizerState | None,
    ) -> None:
        self.given, self.x, self.loss, self.optimizer, self.running = net, data.x, loss, optimizer, running
        self.t = targets_for(net, data, loss)
        self.groups = _prunable(net, groups)
        self.state = OptimizerState() if state is None else state.sliced({})  # a copy
        self.drop: dict[str, list[int]] = {}  # of the given network
        self.losses: list[float] = []
        self.sizes: list[dict[str, int]] = []
        self.course: Course | None = None
        self._settle(net.copy())

    def _settle(self, net: Graph) -> None:
        """Go on with this network, and put gates into it; they share its arrays."""
        self.net = net
        self.before = digest(net) if net.history else ""
        self.gated, gates = with_gates(net, self.groups)
        self.gates = {name: [(read, gates[read.value]) for read in net.neurons[name].reads] for name in self.groups}

    def step(self, chosen: Array, training: Training) -> float:
        """A training step on these samples, and what it says of every neuron; the mean loss comes back."""
        tape = Tape()
        params = {name: tape.watch(array) for name, array in self.gated.params.items()}
        inputs = {name: tape.watch(x) for name, x in self.gated.take(rows(self.x, chosen)).items()}
        values = self.gated.run(inputs, {**self.gated.buffers, **params}, training)
        L = apply(Mean, apply(LOSSES[self.loss], values[self.gated.output], self.t[chosen]))
        places = {name: [(read, values[gate]) for read, gate in each] for name, each in self.gates.items()}
        bars = backward(L, wrt=[*params.values(), *(value for each in places.values() for _, value in each)])
        gradients = {  # L is a mean: its gradients are those of the samples' losses, divided by their number
            name: GateGradients(
                [(read, v.value, len(chosen) * bars[v]) for read, v in each], self.net.neurons[name].size
            )
            for name, each in places.items()
        }
        self.running.add(gradients)
        grads = hide_masked(self.net, {name: bars[param] for name, param in params.items()})
        self.optimizer.update(self.net.params, grads, self.state, self.optimizer.lr)
        self.net.close_masks()
        return float(L.value)

    def cut(self, strategy: Strategy, schedule: str, part: float) -> None:
        """Remove what is due when this part of the way is over."""
        scores = self.running.scores(self.net)
        self.course = self.course or Course.starting(strategy, schedule, scores)
        plan = self.course.decide(scores, self.drop, part)
        if plan.drop:
            note(self.net, "train", self.before, optimizer=repr(self.optimizer))
            small = remove(self.net, plan, data=rows(self.x, slice(TRIAL_SAMPLES)))
            self.drop = joined(self.given, self.net, self.drop, plan.drop)
            self.state = self.state.sliced(staying(self.net, plan.drop))
            self.running.keep({name: origins(self.net, small, plan.drop, name) for name in self.groups})
            self._settle(small)
        self.sizes.append({name: len(left) for name, left in self.kept().items()})

    def kept(self) -> dict[str, list[int]]:
        """Group -> the neurons of the given network that are still there."""
        sizes = {name: self.given.neurons[name].size for name in self.groups}
        return {name: sorted(set(range(size)) - set(self.drop.get(name, ()))) for name, size in sizes.items()}

    def left(self) -> int:
        """How many neurons of all pruned groups are left."""
        return sum(len(left) for left in self.kept().values())

    def result(self, reason: str) -> TrainedAndPruned:
        """What came of it."""
        note(self.net, "train", self.before, optimizer=repr(self.optimizer))
        plan = Plan(self.drop, fingerprint(self.given), reason)
        return TrainedAndPruned(self.net, self.state, plan, self.kept(), self.losses, self.sizes)


def _prunable(net: Graph, groups: Iterable[str]) -> list[str]:
    """The groups of these names, each once, if they can lose neurons."""
    names = list(dict.fromkeys(groups))
    if isinstance(groups, str) or not names:
        raise PlanError(f"groups is {groups!r}, expected a list of names, such as {hidden(net) or ['input']}")
    for name in names:
        group = check_neuron(net, name, 0)
        if group.stays:
            raise PlanError(f"{name}: {group.stays}; its neurons are never removed")
    return names
