"""Where a training stands after an epoch, as something that can be kept, and the way back to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import FileError, one_line
from .formats.state_files import WRONG, Kept
from .history import History
from .nn import Graph
from .ops import Array
from .optim import OptimizerState

HISTORY = ("loss", "valid_loss", "valid_accuracy", "lr", "seconds")


@dataclass
class Best:
    """The epoch that validated best.

    Attributes
    ----------
    rank : (float, float) or None
        By what epochs are compared.
    epoch : int
    arrays : mapping
        The network's arrays then.
    state : OptimizerState
        The optimiser's memory then.
    """

    rank: tuple[float, float] | None
    epoch: int
    arrays: Mapping[str, Array]
    state: OptimizerState


def kept_training(net: Graph, history: History, best: Best, rng: np.random.Generator) -> Kept:
    """Where a training stands, after an epoch.

    Examples
    --------
    >>> import minprune as mp
    >>> net, other = (mp.Sequential(mp.Dense(2, 1), rng=seed) for seed in (0, 1))
    >>> best = Best(None, 1, {}, OptimizerState())
    >>> kept = kept_training(net, History(loss=[0.5]), best, np.random.default_rng(0))
    >>> epochs, _, _ = restore_training(kept, other, np.random.default_rng(7))
    >>> epochs.loss, bool((other.params["dense1.W"] == net.params["dense1.W"]).all())
    ([0.5], True)
    """
    said = {name: getattr(history, name) for name in (*HISTORY, "best_epoch")}
    said |= {"step": history.state.step, "rank": best.rank, "best": best.epoch, "best_step": best.state.step}
    arrays = prefixed("net", net.arrays) | prefixed("best", best.arrays)
    arrays |= kept_slots("state", history.state) | kept_slots("best_state", best.state)
    return Kept(said | {"rng": rng.bit_generator.state}, arrays)


def restore_training(kept: Kept, net: Graph, rng: np.random.Generator) -> tuple[History, Best, int]:
    """Put a network and a generator back to where a training stood; its history, its best epoch, how many are over.

    Raises
    ------
    FileError
        When the state is of another network, or no state of a training.
    """
    try:
        said = kept.said
        history = History(best_epoch=int(said["best_epoch"]), state=slots_kept("state", said["step"], kept.arrays))
        for name in HISTORY:
            setattr(history, name, list(map(float, said[name])))
        rank = None if said["rank"] is None else (float(said["rank"][0]), float(said["rank"][1]))
        state = slots_kept("best_state", said["best_step"], kept.arrays)
        best = Best(rank, int(said["best"]), without_prefix("best", kept.arrays), state)
        rng.bit_generator.state = said["rng"]
        now = without_prefix("net", kept.arrays)
        for part in (now, best.arrays or now):
            if {n: (a.shape, a.dtype) for n, a in part.items()} != {
                n: (a.shape, a.dtype) for n, a in net.arrays.items()
            }:
                raise FileError("the training that was kept is of another network")
        for name, array in net.arrays.items():
            array[...] = now[name]
    except WRONG as error:
        raise FileError(f"this is no state of a training ({type(error).__name__}: {one_line(error)})") from None
    return history, best, len(history.loss)


def prefixed(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays under names that say what they are for."""
    return {f"{prefix}:{name}": array for name, array in arrays.items()}


def without_prefix(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays that `prefixed` named."""
    return {name.removeprefix(f"{prefix}:"): a for name, a in arrays.items() if name.startswith(f"{prefix}:")}


def kept_slots(prefix: str, state: OptimizerState) -> dict[str, Array]:
    """An optimiser's memory as named arrays."""
    return {f"{prefix}:{slot}:{name}": a for name, slots in state.slots.items() for slot, a in slots.items()}


def slots_kept(prefix: str, step: Any, arrays: Mapping[str, Array]) -> OptimizerState:
    """An optimiser's memory again."""
    state = OptimizerState(int(step))
    for key, array in without_prefix(prefix, arrays).items():
        slot, _, name = key.partition(":")
        state.slots.setdefault(name, {})[slot] = array
    return state
