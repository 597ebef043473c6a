"""Running kept nodes, by the reference evaluator of the onnx package."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import DataError, FileError
from ....ops import Array
from ..reading import one_line, onnx_package, told
from .own_ops import own_ops

if TYPE_CHECKING:
    from ....layers.opaque import Opaque

Evaluator = Callable[[Mapping[str, Array]], dict[str, Array]]
KIND = {"float16": 10, "float32": 1, "float64": 11}


def single(node: Any, opset: int) -> Evaluator:
    """A function that runs one node, from all that it reads to all that it makes.

    Raises
    ------
    FileError
        When it is called, where the node cannot be executed.
    """
    from onnx import ValueInfoProto, helper

    names = list(dict.fromkeys(name for name in node.input if name))
    outputs = [name for name in node.output if name]
    ends = [[ValueInfoProto(name=name) for name in part] for part in (names, outputs)]
    model = helper.make_model(
        helper.make_graph([node], "g", *ends), opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    )

    def run(feeds: Mapping[str, Array]) -> dict[str, Array]:
        try:
            return dict(zip(outputs, _run(evaluator_of(model), feeds), strict=True))
        except Exception as error:  # an evaluator of strangers' nodes can raise anything
            raise FileError(f"{told(node)}: it cannot be executed: {one_line(error)}") from None

    return run


def evaluator_of(model: Any) -> Any:
    """The package's evaluator of a model, with our own versions of some ops."""
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(model, new_ops=list(own_ops()))


def _run(evaluator: Any, feeds: Mapping[str, Array]) -> list[Array]:
    with np.errstate(all="ignore"):
        return [np.asarray(y) for y in evaluator.run(None, dict(feeds))]


def packed(model: Any) -> str:
    """A model as text."""
    return base64.b64encode(model.SerializeToString(deterministic=True)).decode("ascii")


def unpacked(text: str) -> Any:
    """A model from text.

    Raises
    ------
    FileError
        For text that is none.
    """
    from google.protobuf.message import DecodeError

    model = onnx_package().ModelProto()
    try:
        model.ParseFromString(base64.b64decode(text, validate=True))
    except (DecodeError, binascii.Error, ValueError, RecursionError) as error:
        raise FileError(f"no ONNX nodes: {one_line(error)}") from None
    return model


def retyped(model: Any, kind: int) -> Any:
    """The same model for another kind of floats: its inputs, outputs and constants, and what it casts to."""
    from onnx import helper, numpy_helper

    own = model.graph.input[0].type.tensor_type.elem_type
    if own == kind:
        return model
    other = type(model)()
    other.CopyFrom(model)
    dtype = helper.tensor_dtype_to_np_dtype(kind)

    def turn(tensor: Any) -> None:
        if tensor.data_type == own:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(dtype), tensor.name))

    for value in (*other.graph.input, *other.graph.output):
        value.type.tensor_type.elem_type = kind
    for tensor in other.graph.initializer:
        turn(tensor)
    for node in other.graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == own:
                attribute.i = kind
            if attribute.HasField("t"):
                turn(attribute.t)
    return other


@lru_cache(maxsize=256)
def _evaluator(model: str, dtype: str) -> tuple[Any, tuple[str, ...]]:
    made = retyped(unpacked(model), KIND[dtype])
    return evaluator_of(made), tuple(value.name for value in made.graph.input)


def execute(layer: Opaque, xs: Sequence[Array]) -> Array:
    """What the nodes of a layer make of these values, in the file's shapes.

    Raises
    ------
    DataError
        Where they cannot: an index that points outside, say.
    """
    evaluator, names = _evaluator(layer.model, xs[0].dtype.name)
    try:
        (y,) = _run(evaluator, dict(zip(names, xs, strict=True)))
    except Exception as error:  # an evaluator of strangers' nodes can raise anything
        raise DataError(f"{layer.told} cannot compute these inputs: {one_line(error)}") from None
    return y
