"""A pass through a network, written on a tape with the name of every line: what a trace is read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import DataError
from ..nn import Graph
from ..ops import LOSSES, Array, Call, Mean
from ..targets import prepare_targets
from ..tensor import Gradients, Record, Tape, Tensor, apply, backward


@dataclass(frozen=True)
class Walk:
    """A network's way from its inputs to the mean loss.

    Attributes
    ----------
    net : Graph
    tape : Tape
    names : list of str
        What stands on each line of the tape: an input, an array, the value of a node, the targets, the losses. A node
        of more than one op (a sum of three) has its earlier lines numbered: ``"add1#1"``.
    nodes : list of str
        For each line the node that wrote it; "" for what was put there, and for the losses.
    values : mapping
        Input or node -> its value.
    losses, loss : Tensor
        The loss of every sample, and their mean.
    loss_name : str
        A key of `minprune.ops.LOSSES`.
    """

    net: Graph
    tape: Tape
    names: list[str]
    nodes: list[str]
    values: Mapping[str, Tensor]
    losses: Tensor
    loss: Tensor
    loss_name: str

    @classmethod
    def through(cls, net: Graph, x: Any, y: Any, loss: str) -> Walk:
        """Run a network in evaluation mode; everything, arrays and targets too, goes on the tape.

        Raises
        ------
        DataError
            When a value is not finite.
        """
        tape, names, nodes = Tape(), list[str](), list[str]()

        def note(name: str, node: str = "") -> None:
            """Name the lines that were added since the last call."""
            added = len(tape.records) - len(names)
            names.extend([*(f"{name}#{i + 1}" for i in range(added - 1)), name][:added])
            nodes.extend([node] * added)

        def put(name: str, array: Array) -> Tensor:
            tensor = tape.watch(array)
            note(name)
            return tensor

        values: dict[str, Any] = {name: put(name, array) for name, array in net.take(x).items()}
        arrays = {name: put(name, array) for name, array in net.arrays.items()}
        for name in net.nodes:
            values[name] = net.compute_node(name, values, arrays)
            note(name, name)
        output = values[net.output]
        targets = put(_unused("targets", names), prepare_targets(y, output.shape, loss, net.dtype))
        losses = apply(LOSSES[loss], output, targets)
        note(_unused("losses", names))
        mean = apply(Mean, losses)
        note(_unused("loss", names))
        walk = cls(net, tape, names, nodes, values, losses, mean, loss)
        walk._check()
        return walk

    def _check(self) -> None:
        for name, record in zip(self.names, self.tape.records, strict=True):
            if not np.isfinite(record.value).all():
                raise DataError(f"trace: {name} holds a number that is not finite; there is nothing to follow")

    @cached_property
    def gradients(self) -> Gradients:
        """Of the losses, each by its own sample's values; by arrays, their sum."""
        return backward(self.losses, np.ones_like(self.losses.value))

    @cached_property
    def uses(self) -> dict[int, list[tuple[int, str]]]:
        """Where a line is used on the way to the losses: (line of the op, argument), first to last."""
        found: dict[int, list[tuple[int, str]]] = {}
        for line in range(self.losses.index + 1):
            record = self.tape.records[line]
            if record.call is None or line not in self.reached:
                continue
            for arg, source in record.sources.items():
                if arg in record.call.op.rules:
                    found.setdefault(source, []).append((line, arg))
        return found

    @cached_property
    def reached(self) -> set[int]:
        """The lines that the losses depend on by a rule."""
        return {tensor.index for tensor in self.gradients}

    def record(self, line: int) -> Record:
        """One line of the tape."""
        return self.tape.records[line]

    def gradient(self, line: int) -> Array:
        """The gradient of the losses by a line."""
        return self.gradients[Tensor(self.tape, line)]

    def is_array(self, line: int) -> bool:
        """Whether a line holds an array of the network, which all samples share."""
        return self.names[line] in self.net.arrays

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(self.losses.value)

    def where(self, call: Call, line: int) -> dict[str, str]:
        """What the letters of an op's formula are: argument -> name of the value."""
        return {arg: self.names[source] for arg, source in self.record(line).sources.items()}


def _unused(name: str, names: list[str]) -> str:
    """The name, with as many strokes as it takes to be new."""
    while name in names:
        name += "'"
    return name
