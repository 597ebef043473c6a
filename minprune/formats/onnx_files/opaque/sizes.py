"""How large what a node makes will be: the onnx package's shape inference tells, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....errors import FileError
from ....ops import Array
from ..reading import one_line, told
from .facts import KINDS, Fact, constant_at, kind_of

LIKE_ITS_INPUT = ("GroupNormalization",)  # of which the package infers nothing
SMALL = 64  # entries: a larger constant is told by its shape alone
Known = Mapping[str, Fact | Array]


def declared(name: str, kind: int, sizes: Any) -> Any:
    """A graph's input or output."""
    from onnx import helper

    return helper.make_tensor_value_info(name, kind, sizes)


def inferred(node: Any, opset: int, known: Known, count: int) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Kind and sizes of what a node makes of so many samples, by the name of its output.

    Raises
    ------
    FileError
        Where the node contradicts its op's definition, or sizes depend on more than sizes.
    """
    from onnx import checker, helper, shape_inference

    context = checker.C.CheckerContext()
    context.ir_version, context.opset_imports = 8, {"": opset}
    names = [name for name in node.output if name]
    try:
        checker.check_node(node, context)
        graph = _graph(node, known, count)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        found = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (checker.ValidationError, shape_inference.InferenceError, ValueError, TypeError, RuntimeError) as error:
        raise FileError(f"{told(node)}: {_told_by_onnx(error)}") from None
    by_name = {value.name: value.type.tensor_type for value in found.graph.output}
    if node.op_type in LIKE_ITS_INPUT:
        by_name[names[0]] = graph.input[0].type.tensor_type
    return {name: (by_name[name].elem_type, _sizes(node, by_name[name])) for name in names}


def _told_by_onnx(error: Exception) -> str:
    """What the package says, without its own names for what it was doing."""
    return one_line(error).split("InferenceError] ")[-1]


def _graph(node: Any, known: Known, count: int) -> Any:
    """A graph of this node alone: large constants are told by their shapes."""
    from onnx import ValueInfoProto, helper, numpy_helper

    inputs, stored = [], []
    for name in dict.fromkeys(name for name in node.input if name):
        value = known[name]
        if isinstance(value, Fact):
            inputs.append(declared(name, value.kind, value.at(count)))
            continue
        array = constant_at(value, count)
        kind = kind_of(array)
        if kind is None:
            raise ValueError(f"its constant {name!r} holds {array.dtype}")
        if array.size > SMALL:
            inputs.append(declared(name, kind, array.shape))
        else:
            stored.append(numpy_helper.from_array(array, name))
    return helper.make_graph([node], "g", inputs, [ValueInfoProto(name=name) for name in node.output if name], stored)


def _sizes(node: Any, tensor: Any) -> tuple[int, ...]:
    if tensor.elem_type not in KINDS or not tensor.HasField("shape"):
        raise FileError(f"{told(node)}: the size of what it makes cannot be told ahead")
    dims = tensor.shape.dim
    if any(not dim.HasField("dim_value") or dim.dim_value < 1 for dim in dims):
        raise FileError(f"{told(node)}: the size of what it makes cannot be told ahead, or is 0")
    return tuple(int(dim.dim_value) for dim in dims)
