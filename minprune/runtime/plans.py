"""A network planned once, forwards and backwards: images tile by tile (`images`), then neurons on rows (`neurons`).

    forward:  images → the rows that leave them → layers of neurons → the rows that leave the plan
    backward: the same way back; gradients by parameters, or what gates see: their a and ∂ℓ/∂a

What a plan computes is what the tape would: tests compare the two on every wiring. What it saves is everything that is
the same in each step: which op runs, which shapes, which kernel, and the memory of all values, which is asked for once.

A plan goes as far as it knows the layers. What lies behind (dropout on images, joins of rows, softmax) is left to the
tape, to which the plan hands its rows, and from which it takes their gradients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from ..errors import ShapeError
from ..kernels.layout import aligned
from ..layers import BatchNorm, Dropout, Training
from ..nn import Graph
from ..ops import Array
from .images import ImagePlan
from .neurons import Rows, RowsPart, Through
from .passing import wanted
from .tile import Shapes


class NetPlan:
    """The planned part of a network: see `minprune.runtime.planning.plan_network`.

    Attributes
    ----------
    inside : set of str
        The nodes that it computes.
    ends : list of str
        The values that leave it.
    """

    def __init__(
        self,
        net: Graph,
        images: ImagePlan | None,
        parts: list[RowsPart],
        shapes: Shapes,
        back: str,
    ) -> None:
        self.net, self.images, self.parts, self.shapes = net, images, parts, shapes
        inner = {} if images is None else dict.fromkeys(images.ends)
        made = {**inner, **dict.fromkeys(part.target for part in parts)}
        self.inside = {part.target for part in parts} | {part.name for part in parts}
        self.inside |= set() if images is None else images.inside
        left = {source for name, node in net.nodes.items() if name not in self.inside for source in node.inputs}
        self.ends = [value for value in made if value in left or value == net.output]
        read = Counter(source for part in parts for source in part.sources)
        self.inputs = [name for name in net.inputs if name in read]
        self._rows = Rows(panels=np.empty(0, net.dtype))
        self._rows.summed = {value for value in made if read[value] + (value in self.ends) != 1}
        start = set() if images is None else images.wanted & set(inner)
        self._rows.wanted = start | wanted(parts, back, start)
        self._back = [part for part in parts[::-1] if part.target in self._rows.wanted]
        self._rows.grads = {
            name: np.empty_like(net.params[name])
            for part in parts
            for name in (f"{part.name}.{short}" for short in net.nodes[part.name].layer.param_shapes())
            if back == "weights" and name in net.params
        }
        self._buffers: dict[str, tuple[Array, Array | None]] = {}  # a value's, and its gradient's
        self._count = -1

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take the network's arrays as they are now."""
        for part in self.parts:
            part.load(arrays)
        if self.images is not None:
            self.images.load(arrays)

    @property
    def trains(self) -> bool:
        """Whether training differs from evaluation: then only the former is planned."""
        return any(
            isinstance(self.net.nodes[name].layer, BatchNorm | Dropout) for name in self.inside & set(self.net.nodes)
        )

    def forward(self, values: Mapping[str, Array], training: Training | None = None) -> dict[str, Array]:
        """From the inputs (N, …) to the ends (N, …); these are overwritten by the next call.

        Raises
        ------
        ShapeError
            For samples of another shape than the plan was made for.
        """
        self._rows.training = training
        for name, value in values.items():
            if value.shape[1:] != self.shapes[name]:
                raise ShapeError(f"{name}: planned for {('N', *self.shapes[name])}, got {value.shape}")
        self._fit(len(next(iter(values.values()))))
        held = self._rows.values
        for name in self.inputs:
            held[name] = np.ascontiguousarray(values[name])
        if self.images is not None:
            self.images.forward(values, {end: held[end] for end in self.images.ends})
        for part in self.parts:
            part.forward(self._rows)
        return {end: held[end] for end in self.ends}

    def backward(self, bars: Mapping[str, Array]) -> dict[str, Array]:
        """From the gradients by the ends to those by the parameters; the latter are overwritten by the next call."""
        rows = self._rows
        for value in rows.summed & rows.wanted:
            rows.bars[value][...] = 0
        for end, bar in bars.items():
            if end in rows.wanted:
                rows.give(end, bar)
        for part in self._back:
            part.backward(rows)
        if self.images is None or not self.images.wanted:
            return rows.grads
        return rows.grads | self.images.backward(
            {end: rows.bars[end] for end in self.images.ends if end in rows.wanted}
        )

    def seen(self, gate: str) -> tuple[str, Array, Array]:
        """What a gate has seen: ("places", a, g), each (N, C), or ("sums", Σ a g, Σ g) over the places of an image."""
        if self.images is not None and gate in self.images.seen:
            return "sums", *self.images.seen[gate]
        return "places", self._rows.values[gate], self._rows.bars[gate]

    def _fit(self, count: int) -> None:
        """Views of the buffers for so many samples."""
        if count == self._count:
            return
        rows, self._count = self._rows, count
        ends = [] if self.images is None else self.images.ends
        for value in (*ends, *(part.target for part in self.parts if not isinstance(part, Through))):
            room, bar = self._room(value, count)
            shape = count, *self.shapes[value]
            rows.values[value] = room[:count].reshape(shape)
            if bar is not None:
                rows.bars[value] = bar[:count].reshape(shape)
        rows.values |= {name: np.empty((count, *self.shapes[name]), self.net.dtype) for name in self.inputs}
        for part in self.parts:
            if isinstance(part, Through):
                self._alias(part, count)

    def _room(self, value: str, count: int) -> tuple[Array, Array | None]:
        held = self._buffers.get(value)
        if held is None or len(held[0]) < count:
            shape, dtype = (count, *self.shapes[value]), self.net.dtype
            bar = aligned(shape, dtype) if value in self._rows.wanted else None
            held = self._buffers[value] = aligned(shape, dtype), bar
        return held

    def _alias(self, part: Through, count: int) -> None:
        """Let the target of a part be its source, and their gradients one, unless others contribute to the source's."""
        rows, (source,), value = self._rows, part.sources, part.target
        shape = count, *self.shapes[value]
        rows.values[value] = rows.values[source].reshape(shape)
        if value in rows.wanted:
            shared = source in rows.wanted - rows.summed
            bar = rows.bars[source] if shared else self._room(value, count)[1]
            assert bar is not None
            rows.bars[value] = bar[:count].reshape(shape)

    def __repr__(self) -> str:
        images = "" if self.images is None else f"{len(self.images.parts)} on images, "
        return f"<Plan: {images}{len(self.parts)} on rows, as far as {', '.join(self.ends)}>"
