"""From the nodes of an ONNX file to a network: one node after the other, each by the rule for its op.

Transposes are not carried out where they stand but remembered: `Held` says in which order the axes of one of our values
are those of the file's. Elementwise steps pass the order on; a layer that wants its channels first asks for them with
`Translator.arranged`. So a network in channels-last layout becomes one with channels first, and neurons are found
through its transposes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import FileError, MinpruneError
from ...layers import Flatten, Layer, Rearrange, Shape
from ...nn import Graph, Node
from ...ops import Array
from .declaring import spelt
from .finishing import finished
from .folding import Batch, fold, shape_array
from .header import Header
from .lifting import take_whole
from .nodes import OnnxNode
from .opaque.keeping import Keeping, computed, keep
from .reading import array_of, opset_of

FLOATS = {1: np.float32, 10: np.float16, 11: np.float64}
Rule = Callable[[Any, Any], None]


@dataclass(frozen=True)
class Held:
    """A value of the file as the network holds it.

    Attributes
    ----------
    name : str
        The network's value.
    order : tuple of int
        For every axis of the file's value (without the batch) which axis it is of the network's; -1 for an axis of
        size 1 in front that the network's lacks, in files that are read whole (see `lifting`). A single number per
        sample has no axis in the file, and one in the network.
    """

    name: str
    order: tuple[int, ...]


def translate(model: Any) -> tuple[Graph, Header]:
    """The network in a model that was checked, and what is to be remembered of the file.

    Raises
    ------
    FileError
        Where a node has no rule, or is used in a way that none of the layers can do; it names node and op.
    """
    refusals: list[FileError] = []
    for keeps in (False, True):
        for whole in (False, True):
            try:
                return _translated(model, whole, keeps)
            except FileError as error:
                refusals.append(error)
    # By rules alone, then with nodes kept as they are; each read in batches, then as one sample.
    one_sample = isinstance(refusals[0], BatchError) and not isinstance(refusals[1], NotWholeError)
    raise refusals[3 if one_sample else 2] from None


class NotWholeError(FileError):
    """The file leaves a size free, so its first axis is the batch."""


class BatchError(FileError):
    """The inputs have no common batch axis."""


def _translated(model: Any, whole: bool, keeps: bool) -> tuple[Graph, Header]:
    work = Translator(model, whole, keeps)
    opset = opset_of(model)
    needed = _needed(model.graph)
    for place, proto in enumerate(model.graph.node):
        if place in needed:
            work.take(OnnxNode(proto, opset))
    return finished(work, model)


def _needed(graph: Any) -> set[int]:
    """The nodes that an output depends on."""
    wanted = {value.name for value in graph.output}
    needed = set()
    for place in range(len(graph.node) - 1, -1, -1):
        if wanted & set(graph.node[place].output):
            needed.add(place)
            wanted |= set(graph.node[place].input)
    return needed


class Translator:
    """The network as far as it has been read."""

    def __init__(self, model: Any, whole: bool = False, keeps: bool = False) -> None:
        graph = model.graph
        self.keeps = keeps  # what no layer can do is kept as it is
        self.keeping = Keeping()
        self.whole = whole  # the file has no batch axis: all that it reads is one sample
        self.constants: dict[str, Array] = {tensor.name: array_of(tensor) for tensor in graph.initializer}
        self.held: dict[str, Held] = {}
        self.nodes: dict[str, Node] = {}
        self.arrays: dict[str, Array] = {}
        self.shapes: dict[str, Shape] = {}  # of the network's values
        self.origins: dict[str, str] = {}  # array of the network -> name in the file
        self.readers = Counter(name for node in graph.node for name in node.input)
        self.readers.update(value.name for value in graph.output)
        self.outputs = {value.name for value in graph.output}
        self.batch: int | None = None  # where the file fixes it
        self.inputs = [value for value in graph.input if value.name not in self.constants]
        self.dtype = self._declare_inputs()
        self.float_kind = next(kind for kind, dtype in FLOATS.items() if self.dtype == dtype)
        taken = {name for node in graph.node for name in node.output}
        self._taken = taken | {value.name for value in graph.input}

    def _declare_inputs(self) -> np.dtype[Any]:
        kinds, batches = set(), set()
        for value in self.inputs:
            where, declared = f"input {value.name!r}", value.type.tensor_type
            if declared.elem_type not in FLOATS:
                raise FileError(f"{where}: holds numbers of kind {declared.elem_type}, expected floats")
            sizes = [int(dim.dim_value) if dim.HasField("dim_value") else 0 for dim in declared.shape.dim]
            if any(size < 0 for size in sizes):
                raise FileError(f"{where}: a negative size in its shape {sizes}")
            if self.whole and (not sizes or 0 in sizes):
                raise NotWholeError(f"{where}: shape {spelt(value)}, expected numbers alone")
            if not self.whole and (len(sizes) < 2 or 0 in sizes[1:]):
                raise BatchError(f"{where}: shape {spelt(value)}, expected (N, …) with numbers behind the batch axis")
            kinds.add(declared.elem_type)
            batches.add(sizes[0])
            self._declare(value.name, sizes)
        if len(kinds) > 1 or (not self.whole and len(batches - {0}) > 1):
            raise BatchError("the inputs differ in their kind of numbers, or in how many samples they hold")
        self.batch = None if self.whole else max(batches, default=0) or None
        return np.dtype(FLOATS[kinds.pop()] if kinds else np.float32)

    def _declare(self, name: str, sizes: list[int]) -> None:
        """Hold an input; an axis of size 1 in front is the batch, or remembered as one."""
        front = (-1,) if self.whole and sizes[0] == 1 and len(sizes) > 1 else ()
        shape = tuple(sizes[1:] if front or not self.whole else sizes)
        self.held[name] = Held(name, (*front, *range(len(shape))))
        self.shapes[name] = shape

    # --- what a rule asks for -----------------------------------------------------------------------------------------

    def constant(self, node: OnnxNode, place: int, what: str) -> Array:
        """An input that must be constant."""
        name = node.inputs[place]
        if name not in self.constants:
            raise node.error(f"its {what} {name!r} is computed, expected a constant")
        return self.constants[name]

    def optional(self, node: OnnxNode, place: int, what: str) -> Array | None:
        """An input that must be constant where it is there."""
        return self.constant(node, place, what) if node.has_input(place) else None

    def value(self, node: OnnxNode, place: int = 0) -> Held:
        """An input that must be computed."""
        name = node.inputs[place] if node.has_input(place) else ""
        if name not in self.held:
            raise node.error(f"its input {name!r} is {'constant' if name in self.constants else 'missing'}")
        return self.held[name]

    def is_constant(self, node: OnnxNode, place: int) -> bool:
        """Whether an input is a constant."""
        return node.inputs[place] in self.constants

    def shape(self, held: Held) -> Shape:
        """The shape of a value as the file sees it, without the batch."""
        return tuple(1 if axis == -1 else self.shapes[held.name][axis] for axis in held.order)

    def constant_for(self, node: OnnxNode, part: str, value: Array) -> str:
        """Keep a constant that a rule has computed, under a new name."""
        name = self.fresh(f"{node.output}.{part}")
        self.constants[name] = value
        return name

    def state(self) -> tuple[dict[str, Any], ...]:
        """What `restore` goes back to."""
        return tuple(dict(part) for part in self._parts())

    def restore(self, state: tuple[dict[str, Any], ...]) -> None:
        """Take everything back that was added since."""
        for part, before in zip(self._parts(), state, strict=True):
            part.clear()
            part.update(before)

    def _parts(self) -> tuple[dict[str, Any], ...]:
        kept = self.keeping.facts, self.keeping.recipes, self.keeping.refusals
        return self.constants, self.held, self.nodes, self.arrays, self.shapes, self.origins, *kept

    def plain(self, held: Held) -> str:
        """The network's value with its axes in the file's order."""
        return self.arranged(held, tuple(range(len(held.order))))

    def arranged(self, held: Held, order: tuple[int, ...]) -> str:
        """The network's value in which axis i of the file's lies at `order[i]`, transposed if need be."""
        if held.order == order:
            return held.name
        if not order:
            return held.name
        back = tuple(held.order[order.index(axis)] for axis in range(len(order)))
        sizes = tuple(self.shapes[held.name][axis] for axis in back)
        name = self.fresh(f"{held.name}.{'-'.join(map(str, back))}")
        if name not in self.nodes:
            self.add(name, Rearrange(back, (-1, *sizes[1:])), (held.name,))
        return name

    def fresh(self, name: str) -> str:
        """A name that no value of the file bears."""
        while name in self._taken:
            name += "_"
        return name

    def add(self, name: str, layer: Layer, sources: tuple[str, ...], origins: Mapping[str, str] | None = None,
            **arrays: Array) -> str:  # fmt: skip
        """Add a node with its arrays; `origins` says how these are called in the file."""
        for short, array in arrays.items():
            if array.dtype.kind == "f":
                if not np.isfinite(array).all():
                    raise FileError(f"{short} ({(origins or {}).get(short, name)!r}) holds numbers that are not finite")
                array = array.astype(self.dtype)
            self.arrays[f"{name}.{short}"] = np.ascontiguousarray(array)
        self.shapes[name] = layer.out_shape(*(self.shapes[source] for source in sources))
        self.nodes[name] = Node(layer, sources)
        self.origins |= {f"{name}.{short}": origin for short, origin in (origins or {}).items()}
        return name

    def settle(self, node: OnnxNode, name: str, order: tuple[int, ...] | None = None) -> None:
        """Say which of the network's values the node's output is."""
        self.held[node.output] = Held(name, tuple(range(len(self.shapes[name]))) if order is None else order)

    def make(self, node: OnnxNode, layer: Layer, *sources: str, order: tuple[int, ...] | None = None,
             origins: Mapping[str, str] | None = None, **arrays: Array) -> None:  # fmt: skip
        """Add the layer that computes the node's output, under the output's name."""
        name = self.name_for(node.output, order or ())
        self.settle(node, self.add(name, layer, sources, origins, **arrays), order)

    def name_for(self, output: str, order: tuple[int, ...]) -> str:
        """The name of a node: its output's. The file's own outputs bear theirs only when their axes are in order."""
        moved = order != tuple(range(len(order))) and output in self.outputs
        return self.fresh(f"{output}.moved") if moved else output

    def reshape(self, node: OnnxNode, held: Held, target: Shape) -> None:
        """Give a value another shape; entries stay within their sample."""
        order = tuple(axis for axis in held.order if axis != -1) or (0,)
        sizes = tuple(self.shapes[held.name][axis] for axis in order)
        front = len(target) - len(sizes)
        if self.shape(held) == target:
            self.held[node.output] = held
        elif self.whole and front >= 0 and target == (1,) * front + sizes:
            self.held[node.output] = Held(held.name, (-1,) * front + order)
        elif not target and sizes == (1,):
            self.held[node.output] = Held(held.name, ())
        elif not target:
            name = self.add(self.fresh(f"{node.output}.number"), Rearrange(order, (-1,)), (held.name,))
            self.held[node.output] = Held(name, ())
        elif order == tuple(range(len(order))) and len(target) == 1:
            self.make(node, Flatten(), held.name)
        else:
            self.make(node, Rearrange(order, (-1, *target[1:])), held.name)

    def like(self, node: OnnxNode, constant: Array, held: Held) -> Array:
        """A constant in the order of a value's axes, one axis for each, each as long as the value's or 1."""
        shape, rank = self.shape(held), len(held.order)
        seen = shape if self.whole else ("N", *shape)
        if constant.ndim > len(seen):
            raise node.error(f"a constant of shape {constant.shape} gives {seen} more axes")
        full = constant.reshape((1,) * (rank + 1 - constant.ndim) + constant.shape)
        if full.shape[0] != 1:
            raise node.error(f"a constant of shape {constant.shape} treats the samples of a batch differently")
        if any(size not in (1, own) for size, own in zip(full.shape[1:], shape, strict=True)):
            raise node.error(f"a constant of shape {constant.shape} repeats values of shape {seen}")
        return full[0].transpose([held.order.index(axis) for axis in range(rank)])

    # --- the walk -----------------------------------------------------------------------------------------------------

    def take(self, node: OnnxNode) -> None:
        """Take over one node: as a constant, where it is one, by the rule for its op, or as it is."""
        from .rules import RULES

        if node.domain not in ("", "ai.onnx"):
            raise node.error(f"an op of {node.domain!r}, expected standard ones")
        if node.op == "Constant":
            self.constants[node.output] = node.constant()
        elif node.op == "Shape" and not node.has_input(0):
            raise node.error("its input is missing")
        elif node.op == "Shape" and (node.inputs[0] in self.held or node.inputs[0] in self.keeping.facts):
            self._take_shape(node)
        elif node.inputs and all(name in self.constants for name in node.inputs if name):
            self._fold(node)
        elif any(name in self.keeping.facts for name in node.inputs):
            keep(self, node)
        elif node.op in RULES:
            self._by_rule(node, take_whole if self.whole else RULES[node.op])
        elif self.keeps:
            keep(self, node)
        else:
            raise node.error(f"minprune has no rule for this op (it has {len(RULES)}, and folds constants)")

    def _by_rule(self, node: OnnxNode, rule: Rule) -> None:
        """By its rule; as it is, where the rule does not cover this use of it."""
        before = self.state() if self.keeps else ()
        try:
            rule(self, node)
        except FileError as error:
            refusal = error if str(error).startswith(node.where) else node.error(str(error))
        except (MinpruneError, ValueError, IndexError, TypeError) as error:
            refusal = node.error(f"cannot be taken over: {error}")
        else:
            return
        if not self.keeps:
            raise refusal
        self.restore(before)
        keep(self, node, refusal)

    def _take_shape(self, node: OnnxNode) -> None:
        """A shape, in which N stands for the number of samples."""
        name = node.inputs[0]
        found = self.keeping.shape_of(name)
        if found is None:
            shape = self.shape(self.held[name])
            found = np.array(shape, dtype=np.int64) if self.whole else shape_array(shape)
        found = found[node.whole("start", 0) : node.whole("end", len(found))]
        self._settle_constant(node, found)

    def _fold(self, node: OnnxNode) -> None:
        try:
            if node.op == "Shape":
                found = np.array(self.constants[node.inputs[0]].shape, dtype=np.int64)
            else:
                found = fold(node, [self.constants[name] if name else None for name in node.inputs])
        except FileError as error:
            if not self.keeps:
                raise
            if any(name in self.keeping.recipes for name in node.inputs):
                keep(self, node, error)
            else:
                self.constants |= computed(self, node, error)
        else:
            self._settle_constant(node, found)

    def _settle_constant(self, node: OnnxNode, found: Array) -> None:
        """Take a constant over; one that depends on the number of samples with the nodes that make it."""
        if found.dtype == object and not any(isinstance(size, Batch) for size in found.ravel()):
            found = found.astype(np.int64)
        self.constants[node.output] = found
        if found.dtype == object and self.keeps:
            self.keeping.recipes[node.output] = self.keeping.recipe(node)
