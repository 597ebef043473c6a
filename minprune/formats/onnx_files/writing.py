"""From a network to an ONNX file: one layer after the other, under the names that its values have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ... import __version__
from ...errors import DtypeError, FileError, StructureError
from ...layers import Shape
from ...nn import Graph
from ...ops import Array
from .header import Header, header_of, inner_name
from .opaque.emitting import needs_of_kept
from .reading import one_line, onnx_package

OPSET = 20  # of networks that came from elsewhere: the oldest with a Gelu
KINDS = {"float32": 1, "float16": 10, "float64": 11}  # as ONNX counts them


def to_model(net: Graph, metadata: Mapping[str, str]) -> bytes:
    """The bytes of an ONNX file that computes what the network does.

    Raises
    ------
    StructureError, DtypeError
        For a network that has no counterpart in ONNX.
    FileError
        Where the onnx package is missing or its full check fails.
    """
    onnx = onnx_package()
    if net.dtype.name not in KINDS:
        raise DtypeError(f"an ONNX file holds {', '.join(KINDS)}, this network has {net.dtype}")
    if net.input_shapes is None:
        raise StructureError("the layers leave the input's shape open; give input_shape= when making the network")
    header = header_of(net)
    kind = KINDS[net.dtype.name]
    if header is None or not _fits(header, net, kind):
        header = _native(net, kind)
    work = Emitter(net, header)
    work.walk()
    model = work.model(metadata)
    try:
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise FileError(f"the onnx package refuses what would be written: {one_line(error)}") from None


def _fits(header: Header, net: Graph, kind: int) -> bool:
    """Whether the network still has the inputs and outputs that its file had, and its kind of numbers."""
    declared = {entry[0] for entry in header.inputs}
    computed = {entry[0] for entry in header.outputs}
    kinds = {entry[1] for entry in (*header.inputs, *header.outputs)}
    return set(net.inputs) <= declared and computed <= set(net.nodes) and kinds == {kind}


def _native(net: Graph, kind: int) -> Header:
    shapes = net.value_shapes(net.input_shapes or {})
    opset, batch = needs_of_kept(net.nodes, OPSET)
    inputs = [[name, kind, [batch, *shapes[name]]] for name in net.inputs]
    outputs = [[net.output, kind, [batch, *shapes[net.output]]]]
    ir_version = onnx_package().helper.find_min_ir_version_for([onnx_package().helper.make_opsetid("", opset)])
    return Header(opset, ir_version, "minprune", "", ["minprune", __version__, ""], inputs, outputs)


class Emitter:
    """A file in the making: its nodes and the tensors that it stores."""

    def __init__(self, net: Graph, header: Header) -> None:
        self.net, self.header, self.opset = net, header, header.opset
        self.shapes: dict[str, Shape] = net.value_shapes(net.input_shapes or {})
        self.nodes: list[Any] = []
        self.tensors: dict[str, Any] = {}
        self.kept: dict[tuple[bytes, tuple[str, ...]], list[str]] = {}  # nodes as they were, with inputs -> outputs
        self.given: set[str] = set()  # names of kept layers that their node has got already
        self._taken = {*net.inputs, *net.nodes, *(entry[0] for entry in header.inputs)}
        self.needed = self._needed()

    def _needed(self) -> set[str]:
        """The nodes that the file's outputs depend on: what joins several into one stays here."""
        needed = {entry[0] for entry in self.header.outputs}
        for name, node in reversed(self.net.nodes.items()):
            if name in needed:
                needed.update(node.inputs)
        return needed

    def walk(self) -> None:
        """Emit every node that is needed."""
        from .emitting import EMIT

        for name, node in self.net.nodes.items():
            if name not in self.needed:
                continue
            kind = type(node.layer).__name__
            if kind not in EMIT:
                raise StructureError(f"{name}: there is no ONNX counterpart of {kind}")
            EMIT[kind](self, name, node.layer, node.inputs)
        self._reshape_ends()

    def _reshape_ends(self) -> None:
        """Put a batch of one in front of what the file gives without it, and take it off what the file wants so."""
        made, self.nodes = self.nodes, []
        inner = {}
        for name, _, sizes in self.header.inputs:
            if name in self.net.inputs and sizes is not None and len(sizes) != len(self.shapes[name]) + 1:
                inner[name] = self.fresh(inner_name(name))
                self._reshape(name, inner[name], (1, *self.shapes[name]))
        bare = [
            entry
            for entry in self.header.outputs
            if entry[2] is not None and len(entry[2]) != len(self.shapes[entry[0]]) + 1
        ]
        inner |= {name: self.fresh(inner_name(name)) for name, _, _ in bare}
        for node in made:
            for names in (node.input, node.output):
                names[:] = [inner.get(name, name) for name in names]
        self.nodes += made
        for name, _, sizes in bare:
            self._reshape(inner[name], name, [size if isinstance(size, int) else -1 for size in sizes])

    def _reshape(self, source: str, output: str, sizes: Any) -> None:
        from onnx import helper

        shape = self.numbers(f"{output}.shape", sizes)
        self.nodes.append(helper.make_node("Reshape", [source, shape], [output], name=f"{output}.reshaped"))

    def fresh(self, name: str) -> str:
        """A name that no other value bears."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def own(self, node: str, short: str) -> Array:
        """An array of a node."""
        return self.net.arrays[f"{node}.{short}"]

    def store(self, key: str, array: Array) -> str:
        """Store an array, under the name that it had in the file it came from."""
        from onnx import numpy_helper

        name = self.fresh(self.header.initializers.get(key, key))
        contiguous = np.ascontiguousarray(array).reshape(array.shape)
        self.tensors[name] = numpy_helper.from_array(contiguous, name)
        return name

    def numbers(self, key: str, values: Any) -> str:
        """Store whole numbers: a shape, or borders."""
        return self.store(key, np.array(values, dtype=np.int64))

    def scalar(self, key: str, value: float) -> str:
        """Store one number of the network's kind."""
        return self.store(key, np.array(value, dtype=self.net.dtype))

    def node(self, op: str, inputs: tuple[str, ...], output: str, **attributes: Any) -> str:
        """Emit a node; the name of the node is the file's own, or its output's."""
        from onnx import helper

        name = self.header.nodes.get(output, output)
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=name, **attributes))
        return output

    def model(self, metadata: Mapping[str, str]) -> Any:
        """The whole file."""
        from onnx import helper

        header = self.header
        inputs, outputs = (
            [helper.make_tensor_value_info(*entry) for entry in part] for part in (header.inputs, header.outputs)
        )
        graph = helper.make_graph(self.nodes, header.graph or "minprune", inputs, outputs, list(self.tensors.values()))
        producer, version, domain = header.producer
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        # Since IR version 4 a tensor that is stored need not be declared as an input too.
        model.ir_version = max(header.ir_version, 4)
        model.producer_name, model.producer_version, model.domain = producer, version, domain
        model.doc_string = header.doc
        helper.set_model_props(model, {**header.metadata, **metadata})
        return model
