"""What happened while a network was trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .optim import OptimizerState
from .reports import table


@dataclass
class History:
    """What happened while training, one entry per epoch.

    Attributes
    ----------
    loss : list of float
        Mean training loss, as the batches went by.
    valid_loss, valid_accuracy : list of float
        On the validation part, where there is one; accuracy only for classes.
    lr : list of float
        Learning rate at the end of the epoch.
    seconds : list of float
        Time taken, validation included.
    best_epoch : int
        The epoch, counted from 1, whose weights the network has.
    plan : str
        Which layers ran by a plan; or why none did, and all was on the tape.
    state : OptimizerState
        Where the optimiser stands: the memory that belongs to these weights.
    """

    loss: list[float] = field(default_factory=list)
    valid_loss: list[float] = field(default_factory=list)
    valid_accuracy: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_epoch: int = 0
    plan: str = ""
    state: OptimizerState = field(default_factory=OptimizerState)

    def as_dict(self) -> dict[str, Any]:
        """All but the state, for JSON."""
        return {name: value for name, value in vars(self).items() if name != "state"}

    def __str__(self) -> str:
        columns = {
            name: values
            for name in ("loss", "valid_loss", "valid_accuracy", "lr", "seconds")
            if (values := getattr(self, name))
        }
        lines = [
            (f"{epoch}{' *' * (epoch == self.best_epoch)}", *values)
            for epoch, values in enumerate(zip(*columns.values(), strict=True), 1)
        ]
        return table(("epoch", *columns), lines)
