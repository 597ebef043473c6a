"""Redundant neurons: those that a network can lose without any change, while its inputs stay in a box.

Each finder looks at one group and returns substitutes (see `minprune.pruning.exact.substitution`) and, in words, what
it found but had to leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...layers import Conv2d
from ...neurons import NOBODY, NeuronGroup, is_input
from ...nn import Graph
from ...ops import Array
from ..repairs.merging import HOMOGENEOUS
from ..repairs.readers import needed_for
from .dependence import dependent_rows
from .intervals import Interval, interval_bounds
from .substitution import Substitute

STRAIGHT = {"relu", "leakyrelu", "dropout", "identity", "flatten", "avgpool", "globalavgpool", "concat"}
Found = tuple[list[Substitute], list[str]]


@dataclass(frozen=True)
class Survey:
    """A network, the box of its inputs, and what follows for its values."""

    net: Graph
    box: Mapping[str, tuple[Array, Array]]

    @cached_property
    def bounds(self) -> dict[str, Interval]:
        """Of every value."""
        return interval_bounds(self.net, self.box)

    @cached_property
    def somewhere(self) -> dict[str, Array]:
        """Every value at one point of the box: what does not vary is this, everywhere."""
        net = self.net if self.net.dtype == object else self.net.astype(np.float64)
        values = net.run(net.take({name: low[None] for name, (low, _) in self.box.items()}), net.arrays)
        return {name: value[0] for name, value in values.items()}

    @property
    def tolerance(self) -> float:
        """What is rounding, for numbers of size 1: 8 ε of the network's floats; 0 for rationals."""
        return 0.0 if self.net.dtype == object else 8 * float(np.finfo(self.net.dtype).eps)

    def between(self, group: NeuronGroup) -> list[Any]:
        """The layers between a group's producer and its readers."""
        names = {n for read in group.reads for n in needed_for(self.net, read.value)} & group.channels.keys()
        return [node.layer for name, node in self.net.nodes.items() if name in names - {group.source}]

    def padded(self, group: NeuronGroup) -> bool:
        """Whether a neuron meets zeros around an image on its way: a constant is none there."""
        readers = [self.net.nodes[name].layer for read in group.reads for name in read.readers]
        averages = [layer for layer in self.between(group) if layer.kind == "avgpool"]
        return any(any(getattr(layer, "padding", ())) for layer in (*readers, *averages))


def find_idle(survey: Survey, group: NeuronGroup) -> Found:
    """Neurons whose outgoing weights are all 0."""
    heard: set[int] = set()
    for piece in group.consumed:
        W = survey.net.params[piece.array]
        heard.update(piece.owner[(W != 0).any(axis=(0, *range(2, W.ndim)))].tolist())
    idle = sorted(set(range(group.size)) - heard)
    return [Substitute(group.name, j, "all its outgoing weights are 0") for j in idle], []


def find_dead(survey: Survey, group: NeuronGroup) -> Found:
    """Neurons that are 0, wherever they are read, on the whole box."""
    alive: set[int] = set()
    for read in group.reads:
        bounds = survey.bounds[read.value]
        zero = (bounds.low == 0) & (bounds.high == 0)
        alive.update(read.owner[~_all_places(zero)].tolist())
    dead = sorted(set(range(group.size)) - alive)
    return [Substitute(group.name, j, "it is 0 on the whole box") for j in dead], []


def find_constant(survey: Survey, group: NeuronGroup) -> Found:
    """Neurons that do not vary on the box; what they give goes into biases, unless zeros stand around the image."""
    varying: set[int] = set()
    blocked: dict[int, str] = {}
    for read in group.reads:
        bounds = survey.bounds[read.value]
        varying.update(read.owner[~_all_places(~bounds.varies)].tolist())
        same = _places(bounds.low).max(axis=1) <= _places(bounds.high).min(axis=1)  # but for rounding
        zero = _all_places((bounds.low == 0) & (bounds.high == 0))
        for reader in read.readers:
            layer: Any = survey.net.nodes[reader].layer
            if isinstance(layer, Conv2d):
                held = ~zero if any(layer.padding) else ~same
                why = (
                    "reads it with zeros around the image"
                    if any(layer.padding)
                    else "reads another constant at each place"
                )
                blocked.update(dict.fromkeys(read.owner[held].tolist(), f"{reader} {why}"))
    constant = [j for j in range(group.size) if j not in varying]
    notes = [f"{group.name}, constant: {_listed(js)}: {why}" for why, js in _by_reason(constant, blocked).items()]
    free = [j for j in constant if j not in blocked]
    return [
        Substitute(group.name, j, "it is constant on the box", {}, _constants(survey, group, j)) for j in free
    ], notes


def _constants(survey: Survey, group: NeuronGroup, j: int) -> dict[str, Array]:
    """What neuron j gives to its readers: for each value (C,), 0 in the channels of others."""
    means = {read.value: _places(survey.somewhere[read.value])[:, 0] for read in group.reads}
    return {read.value: np.where(read.owner == j, means[read.value], 0 * means[read.value]) for read in group.reads}


def find_duplicate(survey: Survey, group: NeuronGroup) -> Found:
    """Neurons of the same weights and entries as another; behind layers with f(c z) = c f(z) also of c times these."""
    floats = [p for p in group.produced + group.carried if survey.net.arrays[p.array].dtype.kind in "fO"]
    if is_input(survey.net, group) or len(floats) < len(group.produced + group.carried):
        return [], []
    makers = {piece.array.rpartition(".")[0] for piece in group.produced}
    multiples = len(makers) == 1 and not group.carried and all(x.kind in HOMOGENEOUS for x in survey.between(group))
    by_makers: dict[Any, list[int]] = {}
    for j in range(group.size):
        by_makers.setdefault(tuple((p.array, len(p.positions(j))) for p in floats), []).append(j)
    found = []
    for members in by_makers.values():
        arrays = survey.net.arrays
        rows = [np.concatenate([arrays[p.array][p.positions(j)].ravel() for p in floats]) for j in members]
        for j, i, c in _twins(np.stack(rows), survey.tolerance if multiples else None):
            why = f"it is {'the twin' if c == 1 else f'{float(c):.4g} times the twin'} of {members[i]}"
            found.append(Substitute(group.name, members[j], why, {members[i]: c}))
    return found, []


def _twins(rows: Array, tolerance: float | None) -> Iterable[tuple[int, int, Any]]:
    """Rows j that are c times an earlier row i, c > 0; without a tolerance only equal ones."""
    rows = rows if rows.dtype == object else rows.astype(np.float64)
    sizes = np.abs(rows).max(axis=1)
    one = sizes * 0 + 1
    scales = one if tolerance is None else np.where(sizes > 0, sizes, one)
    unit = rows / scales[:, None]
    sums, width = unit.sum(axis=1), unit.shape[1]
    slack = width * (tolerance or 0) + width * 1e-15 * np.abs(unit).sum(axis=1).max()  # twins have nearly equal sums
    first: list[int] = []  # rows that are no twins
    for j in range(len(rows)):
        near = [i for i, gap in zip(first, np.abs(sums[first] - sums[j]), strict=True) if gap <= slack]
        twin = next((i for i in near if np.abs(unit[i] - unit[j]).max() <= (tolerance or 0)), None)
        if twin is None:
            first.append(j)
        else:
            yield j, twin, scales[j] / scales[twin]


def find_dependent(survey: Survey, group: NeuronGroup) -> Found:
    """Neurons that are linear on the box, and combinations of other linear ones and a constant."""
    linear = linear_neurons(survey, group)
    if len(linear) < 2:
        return [], []
    maker = group.produced[0].array.rpartition(".")[0]
    W = survey.net.params[f"{maker}.W"]
    b = survey.net.params.get(f"{maker}.b", 0 * W.reshape(len(W), -1)[:, 0])
    rows = W.reshape(len(W), -1)[linear]
    if survey.padded(group):  # the constant must be 0
        rows = np.concatenate([rows, b[linear][:, None]], axis=1)
    found = []
    for j, weights in dependent_rows(rows, survey.tolerance).items():
        own, others = linear[j], {linear[i]: c for i, c in weights.items()}
        d = _wide(b[own]) - sum((c * _wide(b[i]) for i, c in others.items()), 0 * _wide(b[own]))
        constants = {} if survey.padded(group) else {r.value: np.where(r.owner == own, d, 0 * d) for r in group.reads}
        why = f"it is linear on the box, and a combination of {_listed(list(others))}"
        found.append(Substitute(group.name, own, why, others, constants))
    return found, []


def _wide(number: Any) -> Any:
    return float(number) if isinstance(number, np.floating) else number


def linear_neurons(survey: Survey, group: NeuronGroup) -> list[int]:
    """Neurons of a single layer that reach all their readers without ever meeting a kink on the box."""
    makers = {piece.array.rpartition(".")[0] for piece in group.produced}
    if is_input(survey.net, group) or makers != {group.source} or group.carried:
        return []
    maker: Any = survey.net.nodes[group.source].layer
    if getattr(maker, "groups", 1) > 1 or not np.array_equal(group.produced[0].owner, np.arange(group.size)):
        return []
    if any(layer.kind not in STRAIGHT for layer in survey.between(group)):
        return []
    bent: set[int] = set()
    for node in survey.net.nodes.values():
        if node.layer.kind in ("relu", "leakyrelu") and node.inputs[0] in group.channels:
            low = survey.bounds[node.inputs[0]].low
            bent.update(group.channels[node.inputs[0]][~_all_places(low >= 0)].tolist())
    return [j for j in range(group.size) if j not in bent]


def _places(entries: Array) -> Array:
    return entries.reshape(len(entries), -1)  # (C,…) -> (C,P)


def _all_places(true: Array) -> Array:
    return np.asarray(_places(true).all(axis=1), dtype=bool)


def _by_reason(neurons: Iterable[int], reasons: Mapping[int, str]) -> dict[str, list[int]]:
    sorted_out: dict[str, list[int]] = {}
    for j in neurons:
        if j in reasons and j != NOBODY:
            sorted_out.setdefault(reasons[j], []).append(j)
    return sorted_out


def _listed(neurons: list[int]) -> str:
    shown = ", ".join(map(str, neurons[:8]))
    return f"{shown} and {len(neurons) - 8} more" if len(neurons) > 8 else shown


FINDERS: dict[str, Callable[[Survey, NeuronGroup], Found]] = {
    "idle": find_idle,
    "dead": find_dead,
    "constant": find_constant,
    "duplicate": find_duplicate,
    "dependent": find_dependent,
}
"""Kind -> who finds it, in the order in which they are asked."""
