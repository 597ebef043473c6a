"""The part of a network that works on images, planned once: every layer's kernel, tables and buffers.

    forward:  for tiles of samples:  for parts:              the tile of one layer → the tile of the next
    backward: for tiles of samples:  for parts, from the end: gradients by parameters are added up over the tiles

What leaves this part of the network (mostly what a Flatten reads) leaves it as rows, and its gradients come back so.
Everything behind it is left to whoever uses the plan: to a `Program`, or to the tape in training.

Without a way back one tile serves all samples. With it every tile has its own, but for what only a max-pool reads, and
for the gradients, which all tiles share. That is most of the memory: in LeNet-5, 11,520 of 18,400 numbers a sample.
Batch-norm in training needs the statistics of all samples: where it begins, all tiles must have come so far (a stage),
and gradients wait there too, so that every tile has its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ..kernels import tiles
from ..kernels.layout import aligned
from ..nn import Graph
from ..ops import Array
from ..wiring import Node
from .norming import Norm
from .passing import TileGate, wanted
from .tile import Call, Part, Shapes, Tile, as_matrix
from .windows import Largest


class ImagePlan:
    """The parts of a network that work on images, and where their values lie.

    Attributes
    ----------
    parts : list of Part
        In their order.
    inputs, ends : list of str
        The network's inputs that it reads, and the values that leave this part of the network.
    """

    form = "tiles"

    def __init__(
        self,
        net: Graph,
        parts: list[Part],
        shapes: Shapes,
        back: str = "",
        entering: Mapping[str, Node] | None = None,
    ) -> None:
        self.net, self.parts, self.shapes, self.back = net, parts, shapes, back
        self.inside = {part.target for part in parts} | {part.name for part in parts}
        made = {part.target for part in parts}
        read = Counter(source for part in parts for source in part.sources)
        self._enter(entering or {}, set(read))
        outside = {source for name, node in net.nodes.items() if name not in self.inside for source in node.inputs}
        self.ends = [part.target for part in parts if part.target in outside or part.target == net.output]
        self.begins = [name for name in (*net.inputs, *self.entering) if name in read]
        self.summed = {value for value in made if read[value] + (value in self.ends) != 1}
        self.wanted = wanted(parts, back)
        for part in parts:
            part.inner = tuple(source for source in part.sources if source in self.wanted)
        self.samples = tiles.samples_of(net.dtype)
        self.grads = {
            name: np.zeros_like(net.params[name])
            for part in parts
            for name in (f"{part.name}.{short}" for short in net.nodes[part.name].layer.param_shapes())
            if back == "weights" and name in net.params
        }
        self._gates = [part.target for part in parts if isinstance(part, TileGate)]
        self._shared: dict[str, Array] = {}  # by all tiles
        self._bars: dict[str, Array] = {}
        self._spare: dict[str, Array] = {}  # what a call needs until it is done
        self._tiles: list[Tile] = []
        self._stages = staged(parts)
        self._forward: list[list[list[Call]]] = [[] for _ in self._stages]  # by stage, tile and part
        self._backward: list[list[list[Call]]] = [[] for _ in self._stages]
        self._rows: dict[str, Array] = {}
        self.seen: dict[str, tuple[Array, Array]] = {}  # by gates: their effects and slopes, (N, C)

    def _enter(self, entering: Mapping[str, Node], read: set[str]) -> None:
        """Keep what turns inputs round for the parts, and note which nodes nobody else needs."""
        self.entering: dict[str, Node] = {}
        for name, node in [*entering.items()][::-1]:  # the last first: it reads those before it
            if name in read:
                self.entering = {name: node, **self.entering}
                read.add(node.inputs[0])
        self.inputs = [name for name in self.net.inputs if name in read]
        for name in [*self.entering][::-1]:
            readers = {other for other, node in self.net.nodes.items() if name in node.inputs}
            if readers <= self.inside and name != self.net.output:
                self.inside.add(name)

    def entered(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """The values that the parts begin with, as rows, from the inputs."""
        there = dict(values)
        for name, node in self.entering.items():
            there[name] = node.layer.forward({}, there[node.inputs[0]])
        return {name: np.ascontiguousarray(there[name]) for name in self.begins}

    def another(self) -> ImagePlan:
        """The same plan with buffers of its own, so that another thread can run it; the packed weights are shared."""
        return ImagePlan(self.net, self.parts, self.shapes, self.back, self.entering)

    @property
    def saved(self) -> int:
        """The multiply-adds of a sample that are not done, because their weights are 0."""
        return sum(part.saved for part in self.parts)

    @property
    def reasons(self) -> list[str]:
        """Where several kernels were tried, which, and their times."""
        return [part.why for part in self.parts if part.why]

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take the network's arrays as they are now."""
        for part in self.parts:
            part.load(arrays)

    def forward(self, values: Mapping[str, Array], out: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """From the inputs (N, …) to the ends (N, …): in `out`, or where the next call overwrites them."""
        count = len(values[self.inputs[0]])
        inputs = {name: x.reshape(count, -1) for name, x in self.entered(values).items()}
        rows = {end: self._room(end, count) if out is None else out[end].reshape(count, -1) for end in self.ends}
        for stage in range(len(self._stages)):
            for norm in self._norms(stage):
                norm.look(self._held(count))
            for number, start in self._places(count):
                held = self._tiles[number].values
                for name, x in inputs.items() if stage == 0 else ():
                    tiles.to_tile(x, start, as_matrix(held[name]))
                for call in self._forward[stage][number]:
                    call()
                for end, x in rows.items() if stage == len(self._stages) - 1 else ():
                    tiles.from_tile(as_matrix(held[end]), start, x)
        return {end: x.reshape(count, *self.shapes[end]) for end, x in rows.items()}

    def backward(self, bars: Mapping[str, Array]) -> dict[str, Array]:
        """From the gradients by the ends to those by the parameters; the latter are overwritten by the next call.

        What the gates have seen is then in `seen`, and overwritten likewise.
        """
        for grad in self.grads.values():
            grad[...] = 0
        count = len(next(iter(bars.values())))
        self.seen = {name: self._seen_room(name, count) for name in self._gates}
        rows = {end: np.ascontiguousarray(bars[end]).reshape(count, -1) for end in self.ends if end in self.wanted}
        for stage in range(len(self._stages))[::-1]:
            for number, start in self._places(count):
                tile = self._tiles[number]
                if stage == len(self._stages) - 1:
                    for value in self.summed & self.wanted:
                        tile.bars[value][...] = 0
                    for end, bar in rows.items():
                        tiles.to_tile(bar, start, as_matrix(tile.bars[end]))
                for call in self._backward[stage][number]:
                    call()
                for name, (effects, slopes) in self.seen.items():
                    tiles.from_tile(tile.seen[name][0], start, effects)
                    tiles.from_tile(tile.seen[name][1], start, slopes)
            for norm in self._norms(stage):
                norm.sum_up(self._held(count))
        return self.grads

    def _norms(self, stage: int) -> list[Norm]:
        return [part for part in self._stages[stage] if isinstance(part, Norm)]

    def _places(self, count: int) -> Iterator[tuple[int, int]]:
        """The number of every tile that so many samples take, and its first sample."""
        for place, start in enumerate(range(0, count, self.samples)):
            number = place if self.back else 0  # without a way back one tile serves all samples
            if number == len(self._tiles):
                self._add_tile()
            self._tiles[number].valid[0] = min(self.samples, count - start)
            yield number, start

    def _held(self, count: int) -> list[Tile]:
        """The tiles that so many samples take."""
        return self._tiles[: -(-count // self.samples)]

    def _seen_room(self, gate: str, count: int) -> tuple[Array, Array]:
        """Room for what a gate sees."""
        shape = count, self.shapes[gate][0]
        return aligned(shape, self.net.dtype), aligned(shape, self.net.dtype)

    def _room(self, end: str, count: int) -> Array:
        """Room for an end's rows."""
        if len(self._rows.get(end, ())) < count:
            self._rows[end] = aligned((count, prod(self.shapes[end])), self.net.dtype)
        return self._rows[end][:count]

    def _buffer(self, value: str, dtype: Any = None) -> Array:
        shape = self.shapes[value]
        spatial = (1,) * (3 - len(shape)) + shape[1:]
        made = aligned((shape[0], *spatial, self.samples), dtype or self.net.dtype)
        made[...] = 0
        return made

    def _add_tile(self) -> None:
        """Buffers and bound calls for further samples."""
        forgotten, first, several = self._forgotten(), not self._tiles, len(self._stages) > 1
        bars = {} if several else self._bars  # a gradient may have to wait until all tiles are through a stage
        tile = Tile({name: self._buffer(name) for name in self.begins}, {}, bars, self.grads, spare=self._spare)
        for part in self.parts:
            value, source = part.target, part.sources[0]
            if isinstance(part, TileGate):
                tile.values[value] = tile.values[source]
                tile.seen[value] = self._matrix(value), self._matrix(value)
            elif value in forgotten:
                tile.values[value] = self._shared_buffer(self._shared, value)
            else:
                tile.values[value] = self._buffer(value)
            if isinstance(part, Largest):
                tile.which[value] = self._buffer(value, np.uint8)
            if value in self.wanted and (first or several):
                tile.bars[value] = self._buffer(value)
        self._tiles.append(tile)
        for stage, parts in enumerate(self._stages):
            self._forward[stage].append([part.forward(tile) for part in parts])
            passed = [part for part in parts[::-1] if self._goes_back(part)]
            back = [self._bound_back(tile, norm.on_backward, norm.inner) for norm in self._norms_behind(stage)]
            for part in passed:  # a norm gives its source a gradient only in `on_backward`
                back.append(self._bound_back(tile, part.backward, () if isinstance(part, Norm) else part.inner))
            self._backward[stage].append(back)

    def _goes_back(self, part: Part) -> bool:
        """Whether a part has anything to do on the way back: a wanted source, weights, a gate."""
        own = isinstance(part, TileGate) or any(name.startswith(f"{part.name}.") for name in self.grads)
        return part.target in self.wanted and (bool(part.inner) or own)

    def _norms_behind(self, stage: int) -> list[Norm]:
        """The norms of the next stage by whose sources a gradient is wanted: it is computed when they are summed up."""
        return [norm for norm in self._norms(stage + 1) if norm.inner] if stage + 1 < len(self._stages) else []

    def _matrix(self, gate: str) -> Array:
        return aligned((self.shapes[gate][0], self.samples), self.net.dtype)

    def _forgotten(self) -> set[str]:
        """The values that the way back does not look at."""
        if not self.back:
            return set()
        return {part.sources[0] for part in self.parts if isinstance(part, Largest) and part.relu}

    def _shared_buffer(self, held: dict[str, Array], value: str) -> Array:
        """One that all tiles share."""
        if value not in held:
            held[value] = self._buffer(value)
        return held[value]

    def _bound_back(self, tile: Tile, bind: Callable[[Tile], Call], inner: tuple[str, ...]) -> Call:
        """A call that gives these values a gradient; where several places do, what comes from each is added."""
        scratch = {source: self._shared_buffer(self._spare, source) for source in inner if source in self.summed}
        if not scratch:
            return bind(tile)
        call = bind(replace(tile, bars={**tile.bars, **scratch}))

        def added() -> None:
            call()
            for source, bar in scratch.items():
                tile.bars[source] += bar

        return added

    def __repr__(self) -> str:
        return f"<ImagePlan of {len(self.parts)} layers, {self.samples} samples at a time>"


def staged(parts: list[Part]) -> list[list[Part]]:
    """The parts in stages: what a norm reads must be there for all samples before it begins."""
    stage: dict[str, int] = {}
    for part in parts:
        before = max((stage.get(source, 0) for source in part.sources), default=0)
        stage[part.target] = before + isinstance(part, Norm)
    return [[part for part in parts if stage[part.target] == s] for s in range(max(stage.values(), default=0) + 1)]
