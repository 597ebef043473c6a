"""What happened in training, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field

from .optim import OptimizerState

COLUMNS = ("loss", "accuracy", "valid_loss", "valid_accuracy", "lr", "seconds")


@dataclass(repr=False)
class History:
    """What happened in training: one number per epoch in each list; a list stays empty where there is nothing to tell.

    Parameters
    ----------
    loss, accuracy : list of float
        Means over the training samples, taken while training: each batch before its own step, with dropout at work.
        There is an accuracy (a share, 0 to 1) where the loss is the cross-entropy.
    valid_loss, valid_accuracy : list of float
        On the validation samples at the end of each epoch, in evaluation mode.
    lr : list of float
        The learning rate of the epoch's last step.
    seconds : list of float
        Wall time, validation included.
    best_epoch : int or None
        The epoch, counted from 1, whose weights the network ended with; None where these are simply the last.
    state : OptimizerState
        The optimiser's memory that belongs to these weights.

    Examples
    --------
    >>> history = History(loss=[0.5, 0.25], lr=[0.1, 0.1], seconds=[1.0, 1.5])
    >>> print(history)
    epoch    loss   lr  seconds
        1     0.5  0.1        1
        2    0.25  0.1      1.5
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)
    valid_accuracy: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    state: OptimizerState = field(default_factory=OptimizerState)

    @property
    def epochs(self) -> int:
        """How many epochs were finished."""
        return len(self.loss)

    def rows(self) -> list[dict[str, float]]:
        """One row per epoch with plain numbers, ready for JSON; columns without numbers are left out.

        Examples
        --------
        >>> History(loss=[0.5], lr=[0.1], seconds=[1.0]).rows()
        [{'epoch': 1, 'loss': 0.5, 'lr': 0.1, 'seconds': 1.0}]
        """
        columns = [name for name in COLUMNS if getattr(self, name)]
        return [
            {"epoch": epoch + 1} | {name: getattr(self, name)[epoch] for name in columns}
            for epoch in range(self.epochs)
        ]

    def __str__(self) -> str:
        rows = self.rows()
        if not rows:
            return "no epoch was finished"
        cells = [list(rows[0]), *([f"{value:.4g}" for value in row.values()] for row in rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
        if self.best_epoch is not None:
            lines[self.best_epoch] += "  best"
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<History: {self.epochs} epochs, best {self.best_epoch}>"
