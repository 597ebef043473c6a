"""Focus: which entries of which values a trace writes down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..neurons import NOBODY, Ids, check_neuron
from ..nn import Graph
from .walk import Walk

Index = tuple[int, ...]


@dataclass(frozen=True)
class Focus:
    """What is to be followed; what is left out is not restricted.

    Parameters
    ----------
    layer : str, optional
        A group of neurons, named after the layer that makes them.
    neuron : int, optional
        Which of them, from 0.
    sample : int, optional
        Which sample is followed forward and backward; scores are taken over all that are given.

    Examples
    --------
    >>> Focus("dense1", 2)
    Focus(layer='dense1', neuron=2, sample=None)
    """

    layer: str | None = None
    neuron: int | None = None
    sample: int | None = None

    def check(self, net: Graph, samples: int) -> None:
        """Refuse what is not there.

        Raises
        ------
        StructureError
            When there is no such group or neuron.
        DataError
            When a neuron is named without its layer, or there is no such sample.
        """
        if self.layer is None and self.neuron is not None:
            raise DataError(f"focus: neuron {self.neuron} of which layer? Name it: {', '.join(net.neurons)}")
        if self.layer is not None:
            check_neuron(net, self.layer, 0 if self.neuron is None else self.neuron)
        if self.sample is not None and not 0 <= self.sample < samples:
            raise DataError(f"focus: no sample {self.sample}; expected 0 to {samples - 1}")


class Chosen:
    """The entries that a focus chooses, and whose they are."""

    def __init__(self, walk: Walk, focus: Focus) -> None:
        self.walk, self.focus = walk, focus
        self.owners: dict[str, list[tuple[int, str, Ids]]] = {}  # value or array -> axis, group, neuron by position
        for group in walk.net.neurons.values():
            for value, owner in group.channels.items():
                self.owners.setdefault(value, []).append((1, group.name, owner))
            for piece in (*group.produced, *group.carried):
                self.owners.setdefault(piece.array, []).append((piece.axis, group.name, piece.owner))

    def neuron(self, line: int, index: Index) -> tuple[str, int] | None:
        """The neuron that an entry belongs to, or None."""
        for axis, group, owner in self.owners.get(self.walk.names[line], ()):
            if owner[index[axis]] != NOBODY:
                return group, int(owner[index[axis]])
        return None

    def entries(self, line: int) -> Iterator[Index]:
        """The entries of a line that are to be written down."""
        value = self.walk.record(line).value
        shared = self.walk.is_array(line) or line == self.walk.loss.index
        loss = line in (self.walk.losses.index, self.walk.loss.index)
        for index in np.ndindex(value.shape):
            if not shared and self.focus.sample not in (None, index[0]):
                continue
            if self.focus.layer is None or loss or self._wanted(self.neuron(line, index)):
                yield index

    def _wanted(self, neuron: tuple[str, int] | None) -> bool:
        if neuron is None:
            return False
        return neuron[0] == self.focus.layer and self.focus.neuron in (None, neuron[1])
