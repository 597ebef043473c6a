"""An opaque layer from a file that is no ONNX file: looked at and tried out as if it came from one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....errors import FileError
from ....layers.opaque import Opaque
from ....ops import Array
from ..folding import BATCH, Batch, fold
from ..nodes import OnnxNode
from ..reading import array_of, check, tensors
from .executing import unpacked
from .facts import FLOATS, Fact
from .keeping import MOST_TOGETHER
from .trying import Budget, tried


def admit(layer: Opaque, budget: Budget) -> None:
    """Refuse a layer whose nodes may not be kept, or do not make what it says.

    Raises
    ------
    FileError
        In one line.
    """
    model = unpacked(layer.model)
    graph = model.graph
    check(model)
    kinds = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    fits = len(graph.input) == len(layer.shapes) and len(graph.output) == 1 and len(graph.node) <= MOST_TOGETHER
    outside = any(tensor.data_location for tensor in tensors(graph))
    if not fits or len(kinds) != 1 or not kinds <= set(FLOATS) or model.functions or outside:
        raise FileError(f"{layer.told}: its nodes are not those of a layer")
    known, made = _inputs(layer, graph, kinds.pop()), graph.output[0].name
    for proto in graph.node:
        node = OnnxNode(proto, int(model.opset_import[0].version))
        known |= _constants(layer, node, known) or tried(proto, node.opset, known, layer.how == "together", budget)
    fact = known[made]
    lead = {"together": (None,), "each": (1,), "bare": ()}[layer.how]
    if not isinstance(fact, Fact) or fact.kind not in FLOATS or fact.times != 1 or fact.sizes != (*lead, *layer.out):
        raise FileError(f"{layer.told}: its nodes make no floats of shape {layer.out}")


def _inputs(layer: Opaque, graph: Any, kind: int) -> dict[str, Fact | Array]:
    lead: tuple[int | None, ...] = {"together": (None,), "each": (1,), "bare": ()}[layer.how]
    known: dict[str, Fact | Array] = {tensor.name: array_of(tensor) for tensor in graph.initializer}
    given = zip(graph.input, layer.shapes, strict=True)
    return known | {value.name: Fact(kind, (*lead, *shape)) for value, shape in given}


def _constants(layer: Opaque, node: OnnxNode, known: dict[str, Fact | Array]) -> dict[str, Fact | Array]:
    """What a node makes that is known while reading: a shape, or what follows from constants; else nothing."""
    xs = [known[name] if name else None for name in node.inputs]
    if not node.outputs or not xs:
        raise node.error("it reads or makes nothing")
    if node.op == "Shape" and isinstance(xs[0], Fact):
        sizes = np.array(xs[0].at(1), dtype=object)
        if xs[0].axis is not None:
            sizes[xs[0].axis] = BATCH * xs[0].times
        return {node.output: sizes[node.whole("start", 0) : node.whole("end", len(sizes))]}
    arrays = [x for x in xs if not isinstance(x, Fact)]
    if len(arrays) < len(xs) or not arrays:
        return {}
    try:
        found = fold(node, arrays)
    except FileError:
        return {}  # tried out like any other
    plain = found.dtype == object and not any(isinstance(size, Batch) for size in found.ravel())
    return {node.output: found.astype(np.int64) if plain else found}
