"""Training: mini-batches in random order, one step of the optimiser for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from time import perf_counter
from typing import Any

import numpy as np

from .data import as_splits
from .errors import DtypeError, MinpruneError, StructureError, TrainingError
from .history import History
from .layers import Training
from .nn import Graph
from .objective import choose_loss, correct, loss_and_accuracy, loss_and_gradients, prepare_targets, take_samples
from .ops import Array
from .optim import Adam, Optimizer, OptimizerState, clipped
from .progress import bar
from .schedules import Constant, Schedule

__all__ = ["fit", "loss_and_accuracy", "loss_and_gradients", "prepare_targets"]

Pair = tuple[Array, Array]


def fit(
    net: Graph,
    data: Any,
    loss: str | None = None,
    optimizer: Optimizer | None = None,
    epochs: int = 20,
    batch_size: int = 128,
    *,
    schedule: Schedule | None = None,
    clip: float | None = None,
    best: str | None = "loss",
    patience: int | None = None,
    state: OptimizerState | None = None,
    rng: int | np.random.Generator = 0,
    progress: bool = True,
) -> History:
    r"""Train a network, in place.

    $\theta \leftarrow \theta - \mathrm{step}(\partial L_B / \partial \theta)$ for batch after batch B. Each epoch goes
    once through the samples in a new random order. The last batch is smaller; were it a single sample, which
    batch-norm cannot do with, it is joined to the batch before.

    Parameters
    ----------
    net : Graph
        The network; float32 or float64. It is the only argument that is changed.
    data : Dataset, Samples or (x, y)
        What to train on. Only a `Dataset` (an object with `.train` and `.valid`) brings validation samples.
    loss : {"cross_entropy", "mse", "half_squared_error"}, optional
        By default cross_entropy for integer y, else mse.
    optimizer : SGD, Adam, AdamW or another `Optimizer`, optional
        By default ``Adam(1e-3)``.
    epochs, batch_size : int
        How often all samples are seen, and how many at a time.
    schedule : Constant, Cosine, Step, OneCycle or another `Schedule`, optional
        Scales the learning rate from step to step.
    clip : float, optional
        The largest norm of all gradients together; longer ones are shortened to it.
    best : {"loss", "accuracy", None}
        With validation samples: the network ends with the weights, running averages and optimiser state of the epoch
        that had the lowest validation loss or the highest validation accuracy (the first of equals). With None, and
        without validation samples, it ends with the last.
    patience : int, optional
        Stop after this many epochs in a row that were no better on the validation samples, judged as by `best` (with
        None by the loss).
    state : OptimizerState, optional
        The optimiser's memory from an earlier training (``history.state``); it is copied. By default a fresh one.
    rng : int or Generator
        Where the order of the samples and dropout come from. Equal seeds give equal bytes.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    History
        Losses, accuracies and times by epoch, and the optimiser's state.

    Raises
    ------
    TrainingError
        When a loss or a weight is no longer a finite number; the network is left as it was at the end of the last
        finished epoch (or at the start).
    DataError, DtypeError, ShapeError, StructureError
        When network, data, loss and state do not fit together.
    MinpruneError
        For settings out of range.

    Notes
    -----
    Source: Robbins and Monro 1951 (stochastic steps); Prechelt 1998, *Early stopping — but when?* (patience).

    Examples
    --------
    >>> from minprune.layers import Dense
    >>> from minprune.nn import Sequential
    >>> x = np.linspace(-1, 1, 64).reshape(-1, 1)
    >>> net = Sequential(Dense(1, 1), dtype=np.float64)
    >>> history = fit(net, (x, 3 * x - 1), optimizer=Adam(0.05), epochs=60, batch_size=16, progress=False)
    >>> net.params["dense1.W"].round(2), net.params["dense1.b"].round(2)
    (array([[3.]]), array([-1.]))
    """
    _check_settings(epochs=epochs, batch_size=batch_size, clip=clip, patience=patience)
    train, valid = as_splits(data)
    loss = choose_loss(loss, train.y)
    _check_network(net, state)
    _check_watching(best, patience, loss, valid is not None)
    run = _Run(
        net=net,
        train=take_samples(net, train.x, train.y, loss),
        valid=None if valid is None else _take_validation(net, valid.x, valid.y, loss),
        loss=loss,
        optimizer=Adam() if optimizer is None else optimizer,
        schedule=Constant() if schedule is None else schedule,
        clip=clip,
        epochs=epochs,
        batch_size=batch_size,
        rng=np.random.default_rng(rng),
        state=OptimizerState() if state is None else state.copy(),
    )
    with bar("training", epochs * run.steps, show=progress) as advance:
        return run.all(best, patience, advance)


@dataclass
class _Run:
    """One training: what it was given, and where it stands."""

    net: Graph
    train: Pair
    valid: Pair | None
    loss: str
    optimizer: Optimizer
    schedule: Schedule
    clip: float | None
    epochs: int
    batch_size: int
    rng: np.random.Generator
    state: OptimizerState
    history: History = field(default_factory=History)

    @property
    def steps(self) -> int:
        """How many batches there are in an epoch."""
        return len(_cuts(len(self.train[0]), self.batch_size)) + 1

    def all(self, best: str | None, patience: int | None, advance: Callable[..., None]) -> History:
        """Run every epoch, and end with the weights that were asked for."""
        history, finished = self.history, _Snapshot.of(self.net, self.state)
        kept, ahead = finished, -np.inf
        for epoch in range(self.epochs):
            try:
                self.epoch(epoch, advance)
            except TrainingError:
                finished.restore(self.net)
                raise
            finished = _Snapshot.of(self.net, self.state)
            rank = self.rank(best)
            if rank is not None and rank > ahead:
                kept, ahead, history.best_epoch = finished, rank, epoch + 1
            if patience is not None and epoch + 1 - (history.best_epoch or 0) >= patience:
                break
        if best is None:
            history.best_epoch = None
        if history.best_epoch is not None:
            kept.restore(self.net)
        history.state = finished.state if history.best_epoch is None else kept.state
        return history

    def rank(self, best: str | None) -> float | None:
        """How good the epoch just finished was, the larger the better; None without validation samples."""
        if self.valid is None:
            return None
        return self.history.valid_accuracy[-1] if best == "accuracy" else -self.history.valid_loss[-1]

    def epoch(self, epoch: int, advance: Callable[..., None]) -> None:
        """Go through all samples once, validate, and write it down."""
        started, (x, t), history = perf_counter(), self.train, self.history
        total, right, lr = 0.0, 0, 0.0
        order = self.rng.permutation(len(x))
        with np.errstate(over="ignore", invalid="ignore"):  # what they lead to is caught, and said better, below
            for step, batch in enumerate(np.split(order, _cuts(len(x), self.batch_size))):
                lr = self.optimizer.lr * self.schedule.at(epoch * self.steps + step, self.epochs * self.steps, epoch)
                mean, output = self.step(x[batch], t[batch], float(lr), f"epoch {epoch + 1}, step {step + 1}")
                total += mean * len(batch)
                right += correct(output, t[batch]) if self.loss == "cross_entropy" else 0
                advance(1, f"epoch {epoch + 1}/{self.epochs} loss {mean:.4f}{self.validation()}")
            self.check_weights(epoch, lr)
            self.validate(epoch)
        history.loss.append(total / len(x))
        if self.loss == "cross_entropy":
            history.accuracy.append(right / len(x))
        history.lr.append(float(lr))
        history.seconds.append(perf_counter() - started)

    def step(self, x: Array, t: Array, lr: float, place: str) -> tuple[float, Array]:
        """Make one step: the loss of the batch before it, and the output."""
        loss, grads, output = loss_and_gradients(self.net, x, t, self.loss, Training(self.rng))
        if not isfinite(loss):
            raise _diverged(f"{place}: the loss is {loss}", lr)
        if self.clip is not None:
            grads = clipped(grads, self.clip)
        self.optimizer.update(self.net.params, grads, self.state, lr)
        return loss, output

    def check_weights(self, epoch: int, lr: float) -> None:
        """Refuse weights that are no numbers any more: the last step's would show in no training loss."""
        for name, value in self.net.arrays.items():
            if not np.isfinite(value).all():
                raise _diverged(f"epoch {epoch + 1}, step {self.steps}: {name} is no longer finite", lr)

    def validate(self, epoch: int) -> None:
        """Judge the network on the validation samples."""
        if self.valid is None:
            return
        loss, accuracy = loss_and_accuracy(self.net, *self.valid, self.loss)
        if not isfinite(loss):
            raise _diverged(f"epoch {epoch + 1}, step {self.steps}: the validation loss is {loss}", self.optimizer.lr)
        self.history.valid_loss.append(loss)
        if accuracy is not None:
            self.history.valid_accuracy.append(accuracy)

    def validation(self) -> str:
        """What the bar says about the last validation."""
        if self.history.valid_accuracy:
            return f" valid {self.history.valid_accuracy[-1]:.2%}"
        return f" valid {self.history.valid_loss[-1]:.4f}" if self.history.valid_loss else ""


@dataclass(frozen=True)
class _Snapshot:
    """Weights, running averages and the optimiser's memory at one moment."""

    arrays: dict[str, Array]
    state: OptimizerState

    @classmethod
    def of(cls, net: Graph, state: OptimizerState) -> _Snapshot:
        return cls({name: value.copy() for name, value in net.arrays.items()}, state.copy())

    def restore(self, net: Graph) -> None:
        for name, value in net.arrays.items():
            value[...] = self.arrays[name]


def _cuts(count: int, batch_size: int) -> range:
    """Where to cut `count` samples into batches, so that none but a lone one has a single sample."""
    cuts = range(batch_size, count, batch_size)
    return cuts[:-1] if cuts and count - cuts[-1] == 1 and batch_size > 1 else cuts


def _diverged(what: str, lr: float) -> TrainingError:
    return TrainingError(
        f"{what}; the network is back at the end of the last finished epoch. "
        f"Try a smaller learning rate (it was {lr:g}), clip=1.0, or inputs scaled to about -1..1"
    )


def _check_settings(epochs: int, batch_size: int, patience: int | None, clip: float | None) -> None:
    for name, value in {"epochs": epochs, "batch_size": batch_size, "patience": patience}.items():
        if (value is not None or name != "patience") and not (isinstance(value, int | np.integer) and value >= 1):
            raise MinpruneError(f"fit: {name} is {value!r}, expected a whole number of at least 1")
    if clip is not None and not 0 < clip < np.inf:
        raise MinpruneError(f"fit: clip is {clip!r}, expected a number above 0, or None")


def _check_network(net: Graph, state: OptimizerState | None) -> None:
    if net.dtype.kind != "f":
        raise DtypeError(f"fit: the network holds {net.dtype}, only floats can be trained; use net.astype(np.float32)")
    if not net.params:
        raise StructureError("fit: the network has no parameters to train")
    for name, held in (state.slots if state else {}).items():
        for slot, array in held.items():
            if name not in net.params or array.shape != net.params[name].shape:
                have = net.params[name].shape if name in net.params else "none"
                raise StructureError(f"fit: state holds {name} {slot} of shape {array.shape}, the network {have}")


def _check_watching(best: str | None, patience: int | None, loss: str, validates: bool) -> None:
    if best not in ("loss", "accuracy", None):
        raise MinpruneError(f"fit: best is {best!r}, expected 'loss', 'accuracy' or None")
    if best == "accuracy" and loss != "cross_entropy":
        raise MinpruneError(f"fit: best='accuracy' needs loss='cross_entropy', got {loss!r}; use best='loss'")
    if patience is not None and not validates:
        raise MinpruneError("fit: patience needs validation samples; give a Dataset, e.g. from minprune.data.split")


def _take_validation(net: Graph, x: Array, y: Array, loss: str) -> Pair:
    try:
        return take_samples(net, x, y, loss)
    except MinpruneError as error:
        raise type(error)(f"validation samples: {error}") from None
