"""Training: follow the gradient of the loss, batch by batch, and keep the weights that validate best."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .checkpoints import Best, kept_training, restore_training
from .datasets.samples import Samples, rows
from .distillation import Distillation, taught
from .errors import DataError, DtypeError, MinpruneError, StructureError, TrainingError
from .evaluation import evaluate
from .feeding import batch_slices, parts_for, targets_for
from .formats.state_files import Keeper, Kept
from .gradients import loss_and_gradients, plan_for
from .history import History
from .layers import Training
from .learning_rates import Schedule
from .nn import Graph
from .ops import Array
from .optim import Adam, Optimizer, OptimizerState, clip
from .penalties import Penalty
from .progress import bar
from .provenance import digest, note
from .targets import choose_loss


def fit(
    net: Graph,
    data: Any,
    loss: str | None = None,
    optimizer: Optimizer | None = None,
    epochs: int = 20,
    batch_size: int = 128,
    *,
    schedule: Schedule | None = None,
    clip_norm: float | None = None,
    penalty: Penalty | None = None,
    teacher: Graph | None = None,
    distill: Distillation | None = None,
    patience: int | None = None,
    keep: str = "best",
    state: OptimizerState | None = None,
    rng: int | np.random.Generator = 0,
    progress: bool = True,
    keeper: Keeper | None = None,
) -> History:
    """Train a network in place.

    Parameters
    ----------
    net : Graph
        Is changed; where it has a history, the training is noted there. Masked weights (``net.masks``) are 0 and stay
        0, whatever the optimiser.
    data : Dataset, Samples, (x, y) or an object with .x and .y
        A Dataset brings a validation part; its test part is never touched. A bare x will do where a teacher's outputs
        are all that counts.
    loss : str, optional
        By default cross-entropy for integer y, else mse.
    optimizer : SGD, Adam or AdamW, optional
        By default Adam(1e-3). One of your own must not keep the gradients: the next step overwrites them.
    epochs, batch_size : int
        Passes over the data, samples per step. The last batch of an epoch may be smaller; a single sample left over
        joins the batch before it where the network has batch-norm, which can do nothing with one.
    schedule : Cosine, Step or OneCycle, optional
        Of the learning rate, over all epochs.
    clip_norm : float, optional
        The most that the common length of all gradients may be.
    penalty : GroupLasso or BatchNormL1, optional
        Drives neurons to 0 by a step of its own after each of the optimiser's; the losses reported are without it.
        Take ``keep="last"``: an early epoch may validate better, with nothing at 0 yet.
    teacher : Graph, optional
        A network to learn from, in evaluation mode; it answers to all samples once, before the training.
    distill : Distillation, optional
        How a teacher's answers count beside the labels, by default ``Distillation()``. Training losses are then that
        mixture; validation is by the plain loss.
    patience : int, optional
        Stop early after so many epochs in a row that validated no better.
    keep : {"best", "last"}
        Which weights to end with: those of the epoch that validated best (by accuracy, at a tie by loss;
        without classes by loss), or the last ones. Without a validation part always the last.
    state : OptimizerState, optional
        Go on from here, rather than afresh; it is copied.
    rng : int or Generator
        Of the shuffling and of dropout.
    progress : bool
        Show a bar.
    keeper : Keeper, optional
        Is told after every epoch where the training stands, and asked before the first: what is interrupted goes on
        there, and ends with the same bits. See `minprune.formats.state_files`.

    Returns
    -------
    History
        Losses by epoch, and the optimiser's state.

    Raises
    ------
    TrainingError
        When a loss or a weight is no longer a finite number; the message names epoch and step. The network keeps the
        weights of the last epoch that ended well.
    DataError, ShapeError, DtypeError, StructureError
        When data, settings or state do not fit network or loss.

    Notes
    -----
    Same seed, same bytes, at a fixed number of BLAS threads. Source of early stopping: Prechelt 1998, *Early stopping —
    but when?*

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(64, 10))
    >>> history = fit(net, mp.data.digits(), epochs=2, progress=False)
    >>> len(history.loss), history.loss[1] < history.loss[0]
    (2, True)
    """
    _check_parts(net, optimizer, penalty, teacher, distill)
    distill = distill or Distillation()
    train, valid = parts_for(net, data, loss, labels=teacher is None or distill.weight < 1)
    _check_settings(epochs, batch_size, clip_norm, patience, keep, valid)
    loss = choose_loss(train.y) if loss is None else loss
    soft = None if teacher is None else (distill, taught(teacher, net, train.x, loss))
    how = (optimizer or Adam(), schedule, clip_norm, penalty, soft)
    run = _Run(net, train, valid, loss, how, keep, batch_size, np.random.default_rng(rng))
    run.history.state = OptimizerState() if state is None else state.sliced({})  # a copy
    before = digest(net) if net.history else ""
    net.close_masks()
    starts = batch_slices(net, len(train), batch_size)
    over = run.go_on(keeper)
    with bar("training", epochs * len(starts), show=progress) as advance:
        advance(over * len(starts))
        for epoch in range(over + 1, epochs + 1):
            if patience is not None and epoch - 1 - run.best_epoch >= patience:
                break
            run.epoch(epoch, epochs, starts, advance)
            if keeper is not None:
                keeper.keep(run.kept())
    run.restore_best()
    run.history.plan = run.plan if isinstance(run.plan, str) else str(run.plan)
    note(net, "train", before, **_told(run, distill if teacher is not None else None))
    return run.history


def _told(run: _Run, distill: Distillation | None) -> dict[str, Any]:
    """How it was trained, for the network's history; what was not asked for is left out."""
    asked = {"schedule": run.schedule, "penalty": run.penalty, "teacher": distill}
    settings = {name: repr(value) for name, value in asked.items() if value is not None}
    return {"epochs": len(run.history.loss), "optimizer": repr(run.optimizer)} | settings


def hide_masked(net: Graph, grads: dict[str, Array]) -> dict[str, Array]:
    """The gradients, 0 where a weight is masked: else the optimiser's memory would push such weights on."""
    return grads | {name: np.where(kept, grads[name], 0) for name, kept in net.masks.items()}


def _check_parts(
    net: Graph,
    optimizer: Optimizer | None,
    penalty: Penalty | None,
    teacher: Graph | None,
    distill: Distillation | None,
) -> None:
    if net.dtype.kind != "f":
        raise DtypeError(f"fit: the network holds {net.dtype}; only float32 and float64 can be trained")
    if not net.params:
        raise StructureError("fit: the network has no parameters to train")
    if not (optimizer is None or hasattr(optimizer, "update")) or isinstance(optimizer, type):
        raise DataError(f"fit: optimizer is {optimizer!r}, expected an instance such as Adam(1e-3)")
    if not (penalty is None or hasattr(penalty, "shrink")) or isinstance(penalty, type):
        raise DataError(f"fit: penalty is {penalty!r}, expected an instance such as GroupLasso(1e-4)")
    if not (teacher is None or isinstance(teacher, Graph)):
        raise DataError(f"fit: teacher is {teacher!r}, expected a network")
    if not (distill is None or isinstance(distill, Distillation)):
        raise DataError(f"fit: distill is {distill!r}, expected a Distillation(temperature, weight)")
    if teacher is None and distill is not None:
        raise DataError("fit: distill needs a teacher; give teacher=, a network")
    if penalty is not None:
        penalty.check(net)


def _check_settings(
    epochs: int, batch_size: int, clip_norm: float | None, patience: int | None, keep: str, valid: Samples | None
) -> None:
    counts = {"epochs": epochs, "batch_size": batch_size} | ({} if patience is None else {"patience": patience})
    for name, value in counts.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise DataError(f"fit: {name} is {value!r}, expected a whole number of at least 1")
    if clip_norm is not None and not 0 < clip_norm < np.inf:
        raise DataError(f"fit: clip_norm is {clip_norm!r}, expected a number above 0")
    if keep not in ("best", "last"):
        raise DataError(f"fit: keep is {keep!r}, expected 'best' or 'last'")
    if patience is not None and valid is None:
        raise DataError("fit: patience needs a validation part; give a Dataset, such as minprune.data.split makes")


class _Run:
    """One call of `fit`."""

    def __init__(
        self,
        net: Graph,
        train: Samples,
        valid: Samples | None,
        loss: str,
        how: tuple[Optimizer, Schedule | None, float | None, Penalty | None, tuple[Distillation, Array] | None],
        keep: str,
        batch_size: int,
        rng: np.random.Generator,
    ) -> None:
        self.net, self.valid, self.loss, self.keep, self.rng = net, valid, loss, keep, rng
        self.optimizer, self.schedule, self.clip_norm, self.penalty, self.soft = how
        self.x, self.t = train.x, targets_for(net, train, loss)
        self.plan = plan_for(net, self.x, batch_size)
        if valid is not None:
            try:
                targets_for(net, valid, loss)  # now, rather than after the first epoch
            except MinpruneError as error:
                raise type(error)(f"validation part: {error}") from None
        self.history = History()
        self.best: tuple[float, float] | None = None
        self.best_epoch = 0
        self.best_arrays: dict[str, Array] = {}
        self.best_state = OptimizerState()

    def epoch(self, epoch: int, epochs: int, batches: list[slice], advance: Callable[..., None]) -> None:
        """One pass over the data, and the validation after it; undone where it does not end well."""
        started = time.perf_counter()
        before = _arrays_of(self.net)
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # what they lead to is found and said better below
                loss, lr = self._pass(epoch, epochs, batches, advance)
                self._check_weights(epoch, len(batches))
                self._validate(epoch, len(batches))
        except MinpruneError:
            _restore(self.net, before)
            raise
        self.history.loss.append(loss)
        self.history.lr.append(lr)
        self.history.seconds.append(time.perf_counter() - started)
        advance(0, text=self._text(epoch))

    def _pass(self, epoch: int, epochs: int, batches: list[slice], advance: Callable[..., None]) -> tuple[float, float]:
        """A step for every batch; returns the mean loss and the last learning rate."""
        order, training, total, lr = self.rng.permutation(len(self.t)), Training(self.rng), 0.0, self.optimizer.lr
        for number, batch in enumerate(batches):
            chosen = order[batch]
            soft = None if self.soft is None else (self.soft[0], self.soft[1][chosen])
            batch_x, batch_t = rows(self.x, chosen), self.t[chosen]
            plan = None if isinstance(self.plan, str) else self.plan
            loss, grads = loss_and_gradients(self.net, batch_x, batch_t, self.loss, training, soft, plan)
            if not np.isfinite(loss):
                raise _diverged(epoch, number + 1, f"the loss is {loss}")
            if self.schedule is not None:
                step = (epoch - 1) * len(batches) + number
                lr = self.optimizer.lr * self.schedule.factor(step, epochs * len(batches), len(batches))
            grads = hide_masked(self.net, grads)
            if self.clip_norm is not None:
                grads = clip(grads, self.clip_norm)
            self.optimizer.update(self.net.params, grads, self.history.state, lr)
            if self.penalty is not None:
                self.penalty.shrink(self.net, lr)
            self.net.close_masks()
            total += loss * len(chosen)
            advance()
        return total / len(self.t), lr

    def _check_weights(self, epoch: int, step: int) -> None:
        """Refuse weights that are no numbers: those of an epoch's last step show in no loss of it."""
        for name, array in self.net.arrays.items():
            if not np.isfinite(array).all():
                raise _diverged(epoch, step, f"{name} is no longer finite")

    def _validate(self, epoch: int, step: int) -> None:
        """Judge on the validation part, and remember the weights if they are the best so far."""
        if self.valid is None:
            self.history.best_epoch = self.best_epoch = epoch
            return
        found = evaluate(self.net, self.valid, loss=self.loss, runtime=(), progress=False)
        if not np.isfinite(found.loss):
            raise _diverged(epoch, step, f"the validation loss is {found.loss}")
        self.history.valid_loss.append(found.loss)
        if found.accuracy is not None:
            self.history.valid_accuracy.append(found.accuracy)
        rank = (found.accuracy or 0.0, -found.loss)
        if self.best is None or rank > self.best:
            self.best, self.best_epoch = rank, epoch
            if self.keep == "best":
                self.best_arrays, self.best_state = _arrays_of(self.net), self.history.state.sliced({})
        self.history.best_epoch = self.best_epoch if self.keep == "best" else epoch

    def _text(self, epoch: int) -> str:
        accuracy = f", validation {self.history.valid_accuracy[-1]:.4f}" if self.history.valid_accuracy else ""
        return f"epoch {epoch}: loss {self.history.loss[-1]:.4f}{accuracy}"

    def kept(self) -> Kept:
        """Where the training stands."""
        best = Best(self.best, self.best_epoch, self.best_arrays, self.best_state)
        return kept_training(self.net, self.history, best, self.rng)

    def go_on(self, keeper: Keeper | None) -> int:
        """Go back to where the training was left, if it was; returns how many epochs are over."""
        kept = None if keeper is None else keeper.kept()
        if kept is None:
            return 0
        self.history, best, over = restore_training(kept, self.net, self.rng)
        self.best, self.best_epoch = best.rank, best.epoch
        self.best_arrays, self.best_state = dict(best.arrays), best.state
        return over

    def restore_best(self) -> None:
        """Go back to the weights that validated best, and to the optimiser's state that belongs to them."""
        if self.best_arrays:
            _restore(self.net, self.best_arrays)
            self.history.state = self.best_state


def _diverged(epoch: int, step: int, what: str) -> TrainingError:
    return TrainingError(
        f"epoch {epoch}, step {step}: {what}; the network is back where the last finished epoch left it; "
        "try a smaller learning rate, clip_norm=1.0, or look for extreme values in the data"
    )


def _arrays_of(net: Graph) -> dict[str, Array]:
    return {name: array.copy() for name, array in net.arrays.items()}


def _restore(net: Graph, arrays: Mapping[str, Array]) -> None:
    for name, array in net.arrays.items():
        array[...] = arrays[name]
