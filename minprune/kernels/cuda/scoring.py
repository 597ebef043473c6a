"""Criteria on the device: what every sample contributes is summed there, and one number a neuron comes down.

A criterion says what a sample contributes (`sample`, or `entry` for activations) and what becomes of the mean
(`finish`). The first is a kernel here, found by the very function that the criterion inherits; the second is the
criterion's own, and runs on the host.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...errors import DataError
from ...neurons import NOBODY, NeuronGroup, Read, hidden
from ...recording import with_gates
from ...scores import CRITERIA, chosen_groups
from ...scores.activations import ActivationCriterion, ActivationMean, ActivationRms, Apoz
from ...scores.base import Criterion, Vector
from ...scores.gates import GateCriterion
from ...scores.spec import Sensitivity, SensitivitySigned
from ...scores.taylor import Taylor, TaylorSigned, TaylorSquared
from . import importance
from .memory import Device, empty, to_device, to_host
from .pointwise import fill
from .program import Inputs, Program
from .trail import Trail

# What a sample or an entry contributes: the reference, and the row in which its sum lies.
SAMPLES: dict[Any, int] = {
    Taylor.sample: 0,
    TaylorSigned.sample: 1,
    TaylorSquared.sample: 2,
    Sensitivity.sample: 3,
    SensitivitySigned.sample: 4,
}
ENTRIES: dict[Any, int] = {ActivationMean.entry: 0, ActivationRms.entry: 1, Apoz.entry: 2}

Batches = Iterable[tuple[Inputs, Any]]


def scores(
    program: Program,
    batches: Batches,
    criterion: str | Criterion = "taylor",
    loss: str = "cross_entropy",
    groups: Sequence[str] | None = None,
) -> dict[str, Vector]:
    """Score the neurons of a network on the device, as `minprune.score` does.

    Parameters
    ----------
    program : Program
    batches : iterable of (inputs, targets)
        Both on the device; criteria that look at activations alone take None for the targets.
    criterion : str or Criterion
        One made of gradients by the gates (`taylor`, `sensitivity`, … and their kin) or of activations.
    loss : str
        A key of `minprune.ops.LOSSES`.
    groups : names, optional
        By default all hidden ones.

    Returns
    -------
    dict
        Group -> (n,) float64, on the host: all that comes down.

    Raises
    ------
    DataError
        For a criterion that is not made of these, or unknown.
    """
    rule = CRITERIA[criterion]() if isinstance(criterion, str) and criterion in CRITERIA else criterion
    chosen = chosen_groups(program.net, hidden(program.net) if groups is None else groups)
    if isinstance(rule, GateCriterion) and type(rule).sample in SAMPLES:
        row, found = SAMPLES[type(rule).sample], _gate_sums(program, batches, loss, chosen)
    elif isinstance(rule, ActivationCriterion) and type(rule).entry in ENTRIES:
        row, found = ENTRIES[type(rule).entry], _entry_sums(program, batches, chosen)
    else:
        able = [name for name, c in CRITERIA.items() if row_of(c) is not None]
        name = criterion if isinstance(criterion, str) else type(criterion).__name__
        raise DataError(f"criterion {name!r} is not on the device; expected one of {', '.join(able)}")
    host = {name: (to_host(sums)[row], counts) for name, (sums, counts) in found.items()}
    return {
        name: rule.finish(np.divide(total, counts, out=np.zeros_like(total), where=np.asarray(counts) > 0))
        for name, (total, counts) in host.items()
    }


def row_of(criterion: type[Criterion]) -> int | None:
    """The row of the sums that a criterion is made of; None where there is no kernel for it.

    Examples
    --------
    >>> row_of(CRITERIA["fisher"]) == row_of(CRITERIA["taylor_squared"]), row_of(CRITERIA["magnitude_l1"])
    (True, None)
    """
    return SAMPLES.get(getattr(criterion, "sample", None), ENTRIES.get(getattr(criterion, "entry", None)))


def _owners(groups: Sequence[NeuronGroup]) -> dict[tuple[str, str], tuple[Device, Device]]:
    """For every value that is read of a group, whose channels are whose; on the device."""
    return {(group.name, read.value): _owned(read, group.size) for group in groups for read in group.reads}


def _owned(read: Read, size: int) -> tuple[Device, Device]:
    """The channels of every neuron in a value, one neuron after the other, and where each begins."""
    channels = np.argsort(read.owner, kind="stable")[np.count_nonzero(read.owner == NOBODY) :]
    counts = np.bincount(read.owner[read.owner != NOBODY], minlength=size)
    offsets = np.concatenate([[0], counts.cumsum()])
    return to_device(channels.astype(np.int64)), to_device(offsets.astype(np.int64))


def _zeros(shape: tuple[int, ...], dtype: Any = np.float64) -> Device:
    return fill(empty(shape, dtype), 0.0)


def _gate_sums(
    program: Program, batches: Batches, loss: str, groups: Sequence[NeuronGroup]
) -> dict[str, tuple[Device, Any]]:
    """Σ_n of what every sample contributes by the gates, (5, n) for each group, and how many samples there were."""
    gated, gates = with_gates(program.net, [group.name for group in groups])
    ones = {name: to_device(array) for name, array in gated.arrays.items() if name not in program.arrays}
    owned = _owners(groups)
    sums = {group.name: _zeros((importance.GATE_SUMS, group.size)) for group in groups}
    count = 0
    for x, t in batches:
        trail = Trail(gated, {name: tuple(value.shape[1:]) for name, value in x.items()})
        run = trail.run(program.arrays | ones | dict(x))
        losses = run.losses(t, loss)
        lines = {read.value: trail.lines[gates[read.value]] for group in groups for read in group.reads}
        bars = run.back(losses, 1.0, lines.values())
        count += losses.out.size
        for group in groups:
            effect, slope = (_zeros((losses.out.size, group.size), program.net.dtype) for _ in range(2))
            for read in group.reads:
                line = lines[read.value]
                importance.add_effects(run.values[line], bars[line], *owned[group.name, read.value], effect, slope)
            importance.add_score_sums(effect, slope, sums[group.name])
    return {name: (total, count) for name, total in sums.items()}


def _entry_sums(program: Program, batches: Batches, groups: Sequence[NeuronGroup]) -> dict[str, tuple[Device, Any]]:
    """Sums over the entries of every neuron, (3, n) for each group, and how many entries there were."""
    owned = _owners(groups)
    sums = {group.name: _zeros((importance.ENTRY_SUMS, group.size)) for group in groups}
    counts = {group.name: np.zeros(group.size) for group in groups}
    for x, _ in batches:
        trail = program.trail(x)
        run = trail.run(program.arrays | dict(x))
        for group in groups:
            for read in group.reads:
                a = run.values[trail.lines[read.value]]
                importance.add_entry_sums(a, *owned[group.name, read.value], sums[group.name])
                mine = np.bincount(read.owner[read.owner != NOBODY], minlength=group.size)
                counts[group.name] += mine * (a.size // max(1, a.shape[1]))
    return {name: (total, counts[name]) for name, total in sums.items()}
