"""Keeping nodes as they are, one after the other, until what they make is a value that a network can hold.

A value that is no floats, or whose samples do not lie along its first axis, is not taken into the network: it is only
known (`Keeping.facts`) with the nodes that make it. Whoever reads it is kept as it is, too, together with these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import FileError
from ....layers.opaque import Opaque
from ....ops import Array
from ..folding import BATCH
from ..reading import told
from .allowed import ALLOWED, BATCHED, MOVING
from .executing import packed
from .facts import KINDS, Fact, kind_of
from .sizes import declared
from .trying import Budget, constants_of, tried

if TYPE_CHECKING:
    from ..nodes import OnnxNode
    from ..translating import Translator

MOST_TOGETHER = 64  # nodes in one


@dataclass
class Keeping:
    """What is known of values that the network does not hold.

    Attributes
    ----------
    facts : mapping
        Value -> what is known of it.
    recipes : mapping
        Value, or constant that depends on the number of samples -> the nodes that make it, of what the network holds.
    refusals : mapping
        Value -> what the rule for its op said, where it has one.
    budget : Budget
    """

    facts: dict[str, Fact] = field(default_factory=dict)
    recipes: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)

    def recipe(self, node: OnnxNode) -> tuple[Any, ...]:
        """A node behind all those that make what it reads.

        Raises
        ------
        FileError
            Where they are too many.
        """
        before = (proto for name in node.inputs for proto in self.recipes.get(name, ()))
        unique = {next(name for name in proto.output if name): proto for proto in (*before, node.proto)}
        if len(unique) > MOST_TOGETHER:
            raise node.error(f"more than {MOST_TOGETHER} nodes would have to be kept as one")
        return tuple(unique.values())

    def shape_of(self, name: str) -> Array | None:
        """The shape of a value that the network does not hold, as `shape_array` has it."""
        fact = self.facts.get(name)
        if fact is None:
            return None
        found = np.array(fact.at(1), dtype=object)
        if fact.axis is not None:
            found[fact.axis] = BATCH * fact.times
        return found

    def refusal(self, name: str) -> str:
        """Why a value cannot be an output."""
        fact, node = self.facts[name], self.recipes[name][-1]
        what = "does not have its samples along the first axis, each by itself"
        if fact.fits_network():
            what = f"is {KINDS[fact.kind].__name__}, not floats (onnx.utils.extract_model can cut it off)"
        own = self.refusals.get(name, told(node))
        return f"{own}{'; kept as it is,' if name in self.refusals else ':'} its output {name!r} {what}"


def keep(t: Translator, node: OnnxNode, refusal: FileError | None = None) -> None:
    """Keep a node as it is.

    Raises
    ------
    FileError
        By node and op; with the refusal of the rule, where it has one.
    """
    try:
        recipe, facts = t.keeping.recipe(node), _tried(t, node)
    except FileError as error:
        raise _refused(node, error, refusal) from None
    for output, fact in facts.items():
        if not t.readers[output]:
            continue
        if _holdable(t, fact):
            _hold(t, node, output, recipe, fact)
        else:
            t.keeping.facts[output], t.keeping.recipes[output] = fact, recipe
            if refusal is not None:
                t.keeping.refusals[output] = str(refusal)


def computed(t: Translator, node: OnnxNode, refusal: FileError) -> dict[str, Array]:
    """What a node makes of constants, by the evaluator.

    Raises
    ------
    FileError
        With the refusal of our own rules.
    """
    known = {name: t.constants[name] for name in node.inputs if name}
    try:
        if any(array.dtype == object for array in known.values()):
            raise refusal
        return constants_of(node.proto, node.opset, known, t.keeping.budget)
    except FileError as error:
        raise refusal if error is refusal else _refused(node, error, refusal) from None


def _refused(node: OnnxNode, error: FileError, refusal: FileError | None) -> FileError:
    """Why it can be neither taken over nor kept."""
    if refusal is None and node.op in ALLOWED:
        return error
    refusal = refusal or node.error("minprune has no rule for this op")
    why = str(error).removeprefix(f"{node.where}: ")
    return FileError(f"{refusal}; it cannot be kept as it is either: {why}")


def _tried(t: Translator, node: OnnxNode) -> dict[str, Fact]:
    known = {name: _known(t, node, name) for name in node.inputs if name}
    if t.whole and node.op in BATCHED:
        raise node.error("reads several samples at once, whose number the file fixes; expected a free batch axis, or 1")
    if t.whole:
        return tried(node.proto, node.opset, known, False, t.keeping.budget)
    try:
        return tried(node.proto, node.opset, known, True, t.keeping.budget)
    except FileError:
        if t.batch != 1:
            raise
        return tried(node.proto, node.opset, known, False, t.keeping.budget)


def _known(t: Translator, node: OnnxNode, name: str) -> Fact | Array:
    if name in t.constants:
        return t.constants[name]
    if name in t.keeping.facts:
        return t.keeping.facts[name]
    return Fact(t.float_kind, (() if t.whole else (None,)) + t.shape(t.value(node, node.inputs.index(name))))


def _holdable(t: Translator, fact: Fact) -> bool:
    """Whether the network can hold a value: floats of its kind, with the samples along the first axis."""
    return fact.kind == t.float_kind and (t.whole or fact.fits_network())


def _hold(t: Translator, node: OnnxNode, output: str, recipe: tuple[Any, ...], fact: Fact) -> None:
    """Add the layer that makes a value."""
    made = {name for proto in recipe for name in proto.output}
    read = dict.fromkeys(name for proto in recipe for name in proto.input if name and name not in made)
    inputs = [name for name in read if name in t.held]
    shapes = tuple(t.shape(t.held[name]) for name in inputs)
    sizes = fact.at(1)
    out = sizes if t.whole else sizes[1:]
    alone = any(x is not None and x.axis is None for x in map(t.keeping.facts.get, made)) or fact.axis is None
    how = "bare" if t.whole else "each" if alone else "together"
    stored = {name: t.constants[name] for name in read if name not in t.held}
    model = _model(t, node.opset, recipe, dict(zip(inputs, shapes, strict=True)), output, out, stored)
    layer = Opaque(*_cause(recipe), shapes, out, how, packed(model))
    order = tuple(range(len(out)))
    name = t.add(t.name_for(output, order), layer, tuple(_source(t, name) for name in inputs))
    t.held[output] = replace(t.held[inputs[0]], name=name, order=order)
    t.keeping.recipes.pop(output, None)


def _cause(recipe: tuple[Any, ...]) -> tuple[str, str]:
    """Op and name of the node for whose sake all of them are kept: the first that has no rule, else the last."""
    from ..rules import RULES

    node = next(
        (proto for proto in recipe if proto.op_type not in RULES and proto.op_type not in ("Shape", *MOVING)),
        recipe[-1],
    )
    return node.op_type, node.name or next(name for name in node.output if name)


def _source(t: Translator, name: str) -> str:
    """The network's value with its axes in the file's order; axes of size 1 that are only remembered do not count."""
    held = t.held[name]
    order = tuple(axis for axis in held.order if axis != -1)
    return t.arranged(replace(held, order=order), tuple(range(len(order))))


def _model(
    t: Translator,
    opset: int,
    nodes: Iterable[Any],
    shapes: dict[str, Any],
    output: str,
    out: Any,
    stored: dict[str, Array],
) -> Any:
    from onnx import helper, numpy_helper

    batch: tuple[Any, ...] = () if t.whole else ("N",)
    for name, array in stored.items():
        if kind_of(array) is None:
            raise FileError(f"constant {name!r} holds {array.dtype}")
    graph = helper.make_graph(
        list(nodes),
        "kept",
        [declared(name, t.float_kind, (*batch, *shape)) for name, shape in shapes.items()],
        [declared(output, t.float_kind, (*batch, *out))],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
