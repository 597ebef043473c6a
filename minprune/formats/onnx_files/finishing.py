"""The end of a translation: outputs under the names that the file gives them, and what is kept in mind of the file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import FileError
from ...layers import Flatten, Identity, Join, Rearrange
from ...nn import Graph
from .declaring import declared, sizes_of
from .header import Header, inner_name
from .reading import opset_of

if TYPE_CHECKING:
    from .translating import Translator


def finished(t: Translator, model: Any) -> tuple[Graph, Header]:
    """The network, and the header."""
    outputs = [_output(t, value.name) for value in model.graph.output]
    output = outputs[0]
    if len(outputs) > 1:
        parts = tuple(_flat(t, name) for name in outputs)
        output = t.add(t.fresh("outputs"), Join(), parts)
    read = {source for node in t.nodes.values() for source in node.inputs}
    names = tuple(value.name for value in t.inputs if value.name in read)
    net = Graph.assemble(t.nodes, names, output, t.arrays, {name: t.shapes[name] for name in names})
    return net, _header(t, model)


def _output(t: Translator, name: str) -> str:
    if name in t.keeping.facts:
        raise FileError(t.keeping.refusal(name))
    if name not in t.held:
        raise FileError(f"output {name!r} is a constant")
    held = t.held[name]
    order, shape = tuple(axis for axis in held.order if axis != -1) or (0,), t.shape(held) or (1,)
    wanted = shape[1:] if t.whole and len(shape) > 1 and shape[0] == 1 else shape  # as of an input
    straight = order == tuple(range(len(order)))
    if held.name == name and straight and name in t.nodes:
        return name
    straight = straight and t.shapes[held.name] == wanted
    if straight and held.name == inner_name(name) and held.name in t.nodes:
        _rename(t, held.name, name)
        return name
    if name in t.shapes:
        raise FileError(f"output {name!r} is an input")
    return t.add(name, Identity() if straight else Rearrange(order, (-1, *wanted[1:])), (held.name,))


def _rename(t: Translator, old: str, new: str) -> None:
    """Give a node another name: what `writing` has called so because its output has another shape in the file."""
    named = {value: new if value == old else value for value in t.shapes}
    t.nodes = {
        named[name]: replace(node, inputs=tuple(named[source] for source in node.inputs))
        for name, node in t.nodes.items()
    }
    t.shapes = {named[name]: shape for name, shape in t.shapes.items()}
    t.held = {name: replace(held, name=named[held.name]) for name, held in t.held.items()}
    for part in (t.arrays, t.origins):
        renamed = {key: value for key, value in part.items() if key.rpartition(".")[0] == old}
        for key, value in renamed.items():
            del part[key]
            part[f"{new}.{key.rpartition('.')[2]}"] = value  # type: ignore[assignment]


def _flat(t: Translator, name: str) -> str:
    return name if len(t.shapes[name]) == 1 else t.add(t.fresh(f"{name}.flat"), Flatten(), (name,))


def _declared_output(t: Translator, value: Any) -> list[Any]:
    """As declared; where the file leaves kind and shape to be inferred, as they are."""
    kind, shape = value.type.tensor_type, t.shape(t.held[value.name])
    if t.whole:
        sizes: list[Any] = list(shape)
    else:
        sizes = sizes_of(value) if kind.HasField("shape") else [sizes_of(t.inputs[0])[0], *shape]
    return [value.name, int(kind.elem_type) or t.float_kind, sizes]


def _header(t: Translator, model: Any) -> Header:
    graph = model.graph
    return Header(
        opset=opset_of(model),
        ir_version=int(model.ir_version),
        graph=graph.name,
        doc=model.doc_string,
        producer=[model.producer_name, model.producer_version, model.domain],
        inputs=[declared(value) for value in t.inputs],
        outputs=[_declared_output(t, value) for value in graph.output],
        nodes={name: node.name for node in graph.node if node.name for name in node.output if name in t.nodes},
        initializers=t.origins,
        metadata={entry.key: entry.value for entry in model.metadata_props if not entry.key.startswith("minprune.")},
    )
