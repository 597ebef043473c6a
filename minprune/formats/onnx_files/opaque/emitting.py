"""Writing kept nodes back: themselves, under their own names.

Several values may be made by the same nodes, an LSTM's outputs say: a node that was written with the same inputs is not
written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ....errors import StructureError
from ....layers.opaque import Opaque
from .executing import KIND, retyped, unpacked

if TYPE_CHECKING:
    from ..writing import Emitter


def emit_opaque(e: Emitter, name: str, layer: Opaque, sources: tuple[str, ...]) -> None:
    """Write the nodes of a layer; a view before and behind them where the network's shapes are not the file's."""
    model = retyped(unpacked(layer.model), KIND[e.net.dtype.name])
    opset = int(model.opset_import[0].version)
    if opset != e.opset:
        raise StructureError(f"{name}: {layer.told} is kept as it is in opset {opset}, the file has {e.opset}")
    known = {
        value.name: _viewed(e, source, f"{name}.{value.name}", layer, shape)
        for value, source, shape in zip(model.graph.input, sources, layer.shapes, strict=True)
    }
    known |= {tensor.name: _stored(e, tensor) for tensor in model.graph.initializer}
    straight = _lies_straight(e, layer, e.shapes[name], layer.out)
    for node in model.graph.node:
        _emit(e, node, known, model.graph.output[0].name, name if straight else "")
    made = known[model.graph.output[0].name]
    if not straight:
        e.node("Reshape", (made, e.numbers(f"{name}.shape", (_batch(layer), *e.shapes[name]))), name)
    elif made != name:
        e.node("Identity", (made,), name)
    if made != name:
        e.nodes[-1].name = f"{name}.view"  # the file's name for it is that of the kept node


def _emit(e: Emitter, node: Any, known: dict[str, str], result: str, name: str) -> None:
    """Write one node, if it is not there already; `result` is called `name`, where it has one."""
    inputs = [known.get(source, "") for source in node.input]
    bare = type(node)()
    bare.CopyFrom(node)
    for part in (bare.input, bare.output):
        del part[:]
    key = (bare.SerializeToString(deterministic=True), tuple(inputs))
    if key not in e.kept:
        outputs = [(name or e.fresh(output)) if output == result else _output_name(e, output) for output in node.output]
        bare.input.extend(inputs)
        bare.output.extend(outputs)
        e.nodes.append(bare)
        e.kept[key] = outputs
    known.update(zip(node.output, e.kept[key], strict=True))


def _output_name(e: Emitter, output: str) -> str:
    """Its own name, unless another value has it: that of the layer that it belongs to is as good as its own."""
    layer = e.net.nodes[output].layer if output in e.net.nodes else None
    theirs = isinstance(layer, Opaque) and _lies_straight(e, layer, e.shapes[output], layer.out)
    if not output or (theirs and output not in e.given):
        e.given.add(output)
        return output
    return e.fresh(output)


def _stored(e: Emitter, tensor: Any) -> str:
    """A constant, once."""
    from onnx import numpy_helper

    key = (tensor.SerializeToString(deterministic=True), ())
    if key not in e.kept:
        e.kept[key] = [e.store(tensor.name, numpy_helper.to_array(tensor))]
    return e.kept[key][0]


def _lies_straight(e: Emitter, layer: Opaque, ours: Any, theirs: Any) -> bool:
    """Whether a value has the same shape here as for the kept nodes."""
    return layer.how != "bare" and tuple(ours) == tuple(theirs)


def _batch(layer: Opaque) -> int:
    return -1 if layer.how == "together" else 1


def _viewed(e: Emitter, source: str, key: str, layer: Opaque, shape: Any) -> str:
    """A value in the shape that the kept nodes read."""
    if _lies_straight(e, layer, e.shapes[source], shape):
        return source
    sizes = shape if layer.how == "bare" else (_batch(layer), *shape)
    return e.node("Reshape", (source, e.numbers(f"{key}.sizes", sizes)), e.fresh(f"{key}.view"))


def needs_of_kept(nodes: Mapping[str, Any], opset: int) -> tuple[int, int | str]:
    """The opset that a network's kept nodes stand in, if it has any, and how many samples they read: N, or 1."""
    layers = [node.layer for node in nodes.values() if isinstance(node.layer, Opaque)]
    batch: int | str = "N" if all(layer.how == "together" for layer in layers) else 1
    return (int(unpacked(layers[0].model).opset_import[0].version) if layers else opset), batch
