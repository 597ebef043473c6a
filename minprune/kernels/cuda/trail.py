"""The tape of a network, replayed on the device.

The tape of one sample says all that is needed: which op comes after which, with which settings, and from which lines it
reads. So the network is run once on the host, on a single sample of zeros, and its tape kept without the values: a
`Trail`. Walking it forward with arrays on the device computes the output; walking it back, with the rules of `rules`
in the place of the ops' own, computes gradients. Layers, networks and ops know nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backends import backend
from ...errors import StructureError
from ...layers import Shape
from ...nn import Graph
from ...ops import LOSSES, Call, Op
from ...tensor import Tape
from . import pointwise, rules
from .memory import Device, like

Arrays = Mapping[str, Device]


@dataclass(frozen=True)
class Step:
    """A line of a tape without its value: the op, where its arguments stand (None: left out), and its settings."""

    op: type[Op]
    sources: tuple[int | None, ...]
    options: dict[str, Any]


class Trail:
    """The tape of a network for samples of given shapes, without its values.

    Attributes
    ----------
    steps : dict
        Line -> step, in order.
    lines : dict
        The line of every input, array and value, by name.
    output : int
        The line of the network's output.

    Raises
    ------
    StructureError
        When an op has no kernel for the device.

    Examples
    --------
    >>> import minprune as mp
    >>> trail = Trail(mp.Sequential(mp.Dense(3, 2), mp.ReLU()), {"input": (3,)})
    >>> trail.lines
    {'dense1.W': 1, 'dense1.b': 2, 'input': 0, 'dense1': 3, 'relu1': 4}
    >>> [(line, step.op.name, step.sources) for line, step in trail.steps.items()]
    [(3, 'affine', (0, 1, 2)), (4, 'relu', (3,))]
    """

    def __init__(self, net: Graph, shapes: Mapping[str, Shape]) -> None:
        tape = Tape()
        inputs = {name: tape.watch(np.zeros((1, *shape), net.dtype)) for name, shape in shapes.items()}
        arrays = {name: tape.watch(array) for name, array in net.arrays.items()}
        with backend("numpy"):
            values = net.run(inputs, arrays)
        self.lines = {name: tensor.index for name, tensor in (arrays | values).items()}
        self.output = self.lines[net.output]
        self.steps = {n: _step(record.call, record.sources) for n, record in enumerate(tape.records) if record.call}
        self._last_use = {source: line for line, step in self.steps.items() for source in step.sources}

    def forward(self, arrays: Arrays) -> Device:
        """Compute the output from inputs and arrays by name, and let go of every value that nobody needs any more."""
        values = self._start(arrays)
        for line, step in self.steps.items():
            values[line] = rules.forward(step.op, _read(values, step), step.options).out
            for source in step.sources:
                if self._last_use[source] == line and source != self.output:
                    values.pop(source, None)  # type: ignore[arg-type]
        return values[self.output]

    def run(self, arrays: Arrays) -> Run:
        """Compute every value, and keep it."""
        values, calls = self._start(arrays), {}
        for line, step in self.steps.items():
            calls[line] = rules.forward(step.op, _read(values, step), step.options)
            values[line] = calls[line].out
        return Run(self, values, calls)

    def depending(self, lines: Iterable[int]) -> set[int]:
        """These lines, and all that are computed from them."""
        found = set(lines)
        for line, step in self.steps.items():
            if any(source in found for source in step.sources):
                found.add(line)
        return found

    def _start(self, arrays: Arrays) -> dict[int, Device]:
        """What is there before the first step, by line."""
        return {line: arrays[name] for name, line in self.lines.items() if line not in self.steps}


def _step(call: Call, sources: Mapping[str, int]) -> Step:
    if call.op not in rules.FORWARD:
        raise StructureError(f"the op {call.op.name} has no CUDA kernel; use backend 'numpy' or 'numba'")
    for arg in call.op.args:
        if arg not in sources and getattr(call, arg) is not None:
            raise StructureError(f"the op {call.op.name} reads {arg} from outside the network; use backend 'numpy'")
    options = {name: getattr(call, name) for name in call.op.options}
    return Step(call.op, tuple(sources.get(arg) for arg in call.op.args), options)


def _read(values: Mapping[int, Device], step: Step) -> tuple[Device | None, ...]:
    return tuple(None if source is None else values[source] for source in step.sources)


@dataclass(frozen=True)
class Run:
    """A forward pass with everything kept: values and calls by line."""

    trail: Trail
    values: dict[int, Device]
    calls: dict[int, Call]

    def losses(self, t: Device, loss: str) -> Call:
        """The call that computes the loss of every sample from the output: its `out` is (N,)."""
        return rules.forward(LOSSES[loss], (self.values[self.trail.output], t), {})

    def back(self, losses: Call, seed: float, wanted: Iterable[int]) -> dict[int, Device]:
        """Walk back from ``seed`` · Σ losses as `minprune.tensor.backward` does: the gradients by the wanted lines."""
        wanted = list(wanted)
        needed = self.trail.depending(wanted)
        start = pointwise.fill(like(losses.out), seed)
        bars = {self.trail.output: rules.BACKWARD[losses.op, "y"](losses, start)}
        for line in reversed(self.trail.steps):
            if line not in bars:
                continue
            call, g = self.calls[line], bars[line]
            for arg, source in zip(call.op.args, self.trail.steps[line].sources, strict=True):
                if source in needed and arg in call.op.rules:
                    bar = rules.BACKWARD[call.op, arg](call, g)
                    met = source in bars
                    bars[source] = pointwise.pointwise(pointwise.add_loop, bars[source], bar) if met else bar
        zeros = {line: pointwise.fill(like(self.values[line]), 0.0) for line in wanted if line not in bars}
        return {line: (bars | zeros)[line] for line in wanted}
