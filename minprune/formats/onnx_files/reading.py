"""An ONNX file as the onnx package parses it, looked at before anything in it is believed."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ...errors import FileError
from ...errors import one_line as one_line
from ...files import size_of
from ...ops import Array

MOST_BYTES = (1 << 31) - 1  # of a file, and of a tensor: protobuf itself can no more
MOST_NODES = 10_000
LONGEST_NAME = 1_000
OLDEST_OPSET = 7  # since when arithmetic broadcasts as NumPy does


def onnx_package() -> ModuleType:
    """The onnx package.

    Raises
    ------
    FileError
        Where it is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise FileError("ONNX files need the package onnx: pip install 'minprune[onnx]'") from None
    return onnx


def parse(path: Path) -> Any:
    """A file's ModelProto, with its outer data taken in.

    Raises
    ------
    FileError
        For a file that cannot be read, is no ONNX model, or contradicts itself.
    """
    onnx = onnx_package()
    from google.protobuf.message import DecodeError

    try:
        size_of(path, MOST_BYTES)
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror or error}") from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, RecursionError) as error:
        raise FileError(f"not an ONNX file: {one_line(error)}") from None
    check(model)
    for tensor in tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _take_in(tensor, path.parent)
    return model


def check(model: Any) -> None:
    """Refuse what is no single graph of known opset with every value made once, before it is read.

    Raises
    ------
    FileError
        In one line.
    """
    if any(not isinstance(text, str) for text in _texts(model)):
        raise FileError("a name in it is no text (not UTF-8): a damaged file")
    graph = model.graph
    if not graph.node or not graph.output:
        raise FileError("not an ONNX model: it has no nodes or no outputs (an empty or truncated file)")
    if len(graph.node) > MOST_NODES:
        raise FileError(f"{len(graph.node):,} nodes, expected at most {MOST_NODES:,}")
    version = opset_of(model)
    newest = onnx_package().defs.onnx_opset_version()
    if not OLDEST_OPSET <= version <= newest:
        raise FileError(
            f"opset {version}, expected {OLDEST_OPSET} to {newest} (as the onnx package here knows it); "
            "onnx.version_converter can change it"
        )
    if graph.sparse_initializer:
        raise FileError(f"initializer {graph.sparse_initializer[0].values.name!r} is sparse; store it as a dense one")
    _check_wiring(graph)


def _texts(model: Any) -> Iterator[Any]:
    """Every text that is looked at; protobuf hands out bytes where one is not UTF-8."""
    graph = model.graph
    yield from (model.producer_name, model.producer_version, model.domain, model.doc_string, graph.name)
    yield from (entry.domain for entry in model.opset_import)
    yield from (text for entry in model.metadata_props for text in (entry.key, entry.value))
    for node in graph.node:
        yield from (node.op_type, node.name, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for value in (*graph.input, *graph.output):
        yield from (value.name, *(dim.dim_param for dim in value.type.tensor_type.shape.dim))
    for tensor in tensors(graph):
        yield from (tensor.name, *(text for entry in tensor.external_data for text in (entry.key, entry.value)))


def opset_of(model: Any) -> int:
    """The version of the standard ops, 0 where none is named."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def _check_wiring(graph: Any) -> None:
    """Every value is made once and before it is read."""
    stored = [tensor.name for tensor in graph.initializer]
    known = _once(stored, "initializers") | _once([value.name for value in graph.input], "inputs")
    made = {name for node in graph.node for name in node.output if name}
    for node in graph.node:
        where = told(node)
        for name in node.input:
            if name and name not in known:
                why = "only made after it: a cycle, or nodes out of order" if name in made else "made by nothing"
                raise FileError(f"{where} reads {name!r}, which is {why}")
        for name in node.output:
            if len(name) > LONGEST_NAME:
                raise FileError(f"{where}: a name of {len(name):,} characters, expected at most {LONGEST_NAME:,}")
            if name and name in known:
                raise FileError(f"{where} makes {name!r}, but another value bears this name")
            known.add(name)
    missing = [value.name for value in graph.output if value.name not in known]
    if missing:
        raise FileError(f"output {missing[0]!r} is made by no node")
    _once([value.name for value in graph.output], "outputs")


def _once(names: list[str], what: str) -> set[str]:
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise FileError(f"two {what} bear the name {twice!r}")
    return set(names)


def told(node: Any) -> str:
    """How a node is called in an error: its op and its name, or that of its output."""
    name = node.name or next((output for output in node.output if output), "")
    return f"{node.op_type} {name[:100]!r}"


def tensors(graph: Any) -> Iterator[Any]:
    """All tensors that a graph stores: initializers, and those in Constant nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


def _take_in(tensor: Any, folder: Path) -> None:
    """Read a tensor that lies in a file of its own: in the model's folder, nowhere else."""
    where = f"tensor {tensor.name!r}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    base = folder.resolve()
    target = (base / location).resolve() if location and "\0" not in location else base
    if not target.is_file() or not target.is_relative_to(base):
        raise FileError(f"{where} lies in {location!r}, which is no file in the model's folder")
    wanted = _nbytes(tensor, where)
    start, length = (_count(entries.get(key, default), f"{where}: {key}") for key, default in
                     (("offset", "0"), ("length", str(wanted))))  # fmt: skip
    if length != wanted:
        raise FileError(f"{where}: length is {length:,}, expected {wanted:,} bytes for its shape")
    if start + length > target.stat().st_size:
        raise FileError(f"{where}: {location!r} has {target.stat().st_size:,} bytes, expected {start + length:,}")
    with target.open("rb") as file:
        file.seek(start)
        tensor.raw_data = file.read(length)
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")


def _count(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise FileError(f"{what} is {text[:40]!r}, expected a whole number of at least 0")
    return int(text)


def _nbytes(tensor: Any, where: str) -> int:
    """The bytes that a tensor must have for its shape and type."""
    from onnx import helper

    if any(size < 0 for size in tensor.dims):
        raise FileError(f"{where} has the shape {tuple(tensor.dims)}, expected sizes of at least 0")
    try:
        itemsize = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
    except (KeyError, ValueError, TypeError):
        raise FileError(f"{where} holds numbers of the unknown kind {tensor.data_type}") from None
    needed = prod(tensor.dims) * itemsize
    if needed > MOST_BYTES:
        raise FileError(f"{where} claims {needed:,} bytes, expected at most {MOST_BYTES:,}")
    return needed


def array_of(tensor: Any) -> Array:
    """A stored tensor as an array, after a look at whether its shape and its data agree.

    Raises
    ------
    FileError
        Where they do not, or the numbers are of no kind that NumPy has.
    """
    from onnx import numpy_helper

    where = f"tensor {tensor.name!r}"
    needed = _nbytes(tensor, where)
    if tensor.HasField("raw_data") and len(tensor.raw_data) != needed:
        raise FileError(
            f"{where} of shape {tuple(tensor.dims)} has {len(tensor.raw_data):,} bytes, expected {needed:,}"
        )
    if not tensor.HasField("raw_data"):
        counts = [len(getattr(tensor, f"{kind}_data")) for kind in ("float", "int32", "int64", "double", "uint64")]
        if max(counts) != prod(tensor.dims):
            raise FileError(f"{where} of shape {tuple(tensor.dims)} has {max(counts):,} entries")
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise FileError(f"{where} cannot be read: {one_line(error)}") from None
    if array.dtype.kind not in "fiub":
        raise FileError(f"{where} holds {array.dtype}, expected floats, whole numbers or truth values")
    return np.array(array, dtype=array.dtype.newbyteorder("="))
