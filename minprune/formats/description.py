"""A network in words: what a file says besides the arrays, as a dict that JSON can hold, and the way back.

Reading trusts nothing: every key, name, number and layer setting is checked, and what arrays there must be follows
from the layers, before a single array is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from math import isfinite, prod
from typing import Any

import numpy as np

from ..certificate import Record
from ..errors import DataError, DtypeError, FileError, StructureError, one_line
from ..layers import LAYERS, Layer, Select, Shape
from ..layers.opaque import Opaque
from ..nn import Graph, Node
from ..ops import Array
from ..wiring import Builder
from .histories import as_entries, from_entries
from .masked import entry_of, expected_members, members_of, restored
from .onnx_files.opaque.admitting import admit
from .onnx_files.opaque.trying import Budget

FORMAT, VERSION, MASKED_VERSION = "minprune", 1, 2  # the second where there are masks
MOST_NODES = 10_000
MOST_BYTES = 16 << 20  # of the description as JSON text: a history of twenty thousand removals and more
LONGEST_NAME = 1_000  # characters
DTYPES = ("float16", "float32", "float64")
MASKS = "masks"  # a key of version 2
KEYS = ("format", "version", "dtype", "inputs", "input_shapes", "output", "nodes", "metadata")
KNOWN: dict[str, type[Layer]] = {**LAYERS, Opaque.__name__: Opaque}
HISTORY = "history"  # a key that only networks with a history have


@dataclass(frozen=True)
class Description:
    """What a file says about a network, checked.

    Attributes
    ----------
    nodes, inputs, output, input_shapes
        As for `Graph.assemble`.
    dtype : dtype
        Of all arrays but indices.
    metadata : dict
        Whatever the caller of `save` wrote along.
    masks : dict
        Parameter -> how it is stored, as `minprune.formats.masked` says; not yet checked.
    history : tuple of Record
        What was done to the network.
    """

    nodes: dict[str, Node]
    inputs: tuple[str, ...]
    output: str
    input_shapes: dict[str, Shape] | None
    dtype: np.dtype[Any]
    metadata: dict[str, Any]
    masks: dict[str, Any] = field(default_factory=dict)
    history: tuple[Record, ...] = ()

    def whole(self) -> dict[str, tuple[Shape, np.dtype[Any]]]:
        """The shape and dtype of every array of the network, by name; the bytes on disk are little-endian."""
        return {
            f"{name}.{short}": (shape, _dtype_of(node.layer, self.dtype).newbyteorder("<"))
            for name, node in self.nodes.items()
            for short, shape in (node.layer.param_shapes() | node.layer.buffer_shapes()).items()
        }

    def expected(self) -> dict[str, tuple[Shape, np.dtype[Any]]]:
        """The shape and dtype of every array that must be in the file: several stand for a masked parameter."""
        expected: dict[str, tuple[Shape, np.dtype[Any]]] = {}
        for name, spec in self.whole().items():
            expected |= expected_members(name, self.masks[name], spec) if name in self.masks else {name: spec}
        return expected

    def nbytes(self) -> int:
        """How many bytes all arrays take in the file."""
        return sum(prod(shape) * dtype.itemsize for shape, dtype in self.expected().values())

    def build(self, arrays: Mapping[str, Array]) -> Graph:
        """Put the network together from the arrays in the file."""
        arrays, masks, whole = dict(arrays), {}, self.whole()
        for name, entry in self.masks.items():
            arrays[name], masks[name] = restored(name, entry, whole[name][0], arrays)
        for name, node in self.nodes.items():
            if isinstance(node.layer, Select):
                index = arrays[f"{name}.index"]
                _need(((index >= 0) & (index < node.layer.inputs)).all(), f"{name}.index points outside the input")
        net = Graph.assemble(self.nodes, self.inputs, self.output, arrays, self.input_shapes, masks)
        net.history = self.history
        return net


def _dtype_of(layer: Layer, dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.int64) if isinstance(layer, Select) else dtype


def describe(net: Graph, metadata: Mapping[str, Any] | None = None) -> bytes:
    """Write a network without its arrays, and the metadata, as JSON text; the same network gives the same bytes.

    Parameters
    ----------
    net : Graph
        In floats of one kind.
    metadata : mapping, optional
        What JSON can hold (a tuple comes back as a list). The network's history, where it has one, is written beside
        it, under ``"history"``.

    Raises
    ------
    DtypeError
        For complex numbers, rationals, or floats of several kinds.
    StructureError
        For a layer that is not one of minprune's, a name that is no text, a network too large for a file, or a masked
        weight that is not 0.
    DataError
        For metadata that JSON cannot hold.

    Examples
    --------
    >>> from minprune.layers import Dense
    >>> from minprune.nn import Sequential
    >>> describe(Sequential(Dense(3, 5)))[:48]
    b'{"format": "minprune", "version": 1, "dtype": "f'
    """
    for name in (*net.inputs, *net.nodes):
        if not _is_name(name):
            raise StructureError(f"{name!r}: a saved name must be a text of 1 to {LONGEST_NAME} characters")
    header = {
        "format": FORMAT,
        "version": MASKED_VERSION if net.masks else VERSION,
        "dtype": _float_kind(net),
        "inputs": list(net.inputs),
        "input_shapes": net.input_shapes,
        "output": net.output,
        "nodes": [_describe_node(name, node) for name, node in net.nodes.items()],
    }
    if net.masks:
        header[MASKS] = {name: entry_of(name, net.params[name], kept) for name, kept in net.masks.items()}
    if net.history:
        header[HISTORY] = as_entries(net.history)
    return _within_limits(_to_json(header | {"metadata": dict(metadata or {})}), len(net.nodes))


def _float_kind(net: Graph) -> str:
    kinds = sorted({array.dtype.name for array in net.arrays.values() if array.dtype.kind not in "iu"})
    if len(kinds) > 1 or any(kind not in DTYPES for kind in kinds):
        raise DtypeError(f"a file holds a network in one of {', '.join(DTYPES)}, this one has {', '.join(kinds)}")
    return kinds[0] if kinds else net.dtype.name


def _describe_node(name: str, node: Node) -> dict[str, Any]:
    layer = node.layer
    kind = type(layer).__name__
    if KNOWN.get(kind) is not type(layer):
        raise StructureError(f"{name}: files know only minprune's own layers, not {kind}")
    settings = {field.name: getattr(layer, field.name) for field in fields(layer)}
    return {"name": name, "layer": kind, "fields": settings, "inputs": list(node.inputs)}


def _to_json(header: dict[str, Any]) -> bytes:
    try:
        return json.dumps(header, default=_plain).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"metadata: expected what JSON can hold (numbers, texts, lists, dicts): {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"got {type(value).__name__}")


def _within_limits(text: bytes, nodes: int) -> bytes:
    if nodes > MOST_NODES or len(text) > MOST_BYTES:
        raise StructureError(
            f"a file holds up to {MOST_NODES:,} nodes and a description of {MOST_BYTES:,} bytes with its metadata, "
            f"got {nodes:,} nodes and {len(text):,} bytes"
        )
    return text


def understand(text: bytes) -> Description:
    """Read a description back.

    Raises
    ------
    FileError
        For text that does not describe a network, in one line; or `StructureError`, where a layer or the wiring is
        not possible.

    Examples
    --------
    >>> from minprune.layers import Dense
    >>> from minprune.nn import Sequential
    >>> understand(describe(Sequential(Dense(3, 5)))).nodes
    {'dense1': Node(layer=Dense(inputs=3, outputs=5, bias=True), inputs=('input',))}
    """
    try:
        header = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FileError(f"the description is not JSON: {error}") from None
    _need(isinstance(header, dict) and header.get("format") == FORMAT, "does not describe a minprune network")
    version = header.get("version")
    known = {VERSION: KEYS, MASKED_VERSION: (*KEYS, MASKS)}
    readable = type(version) is int and version in known
    _need(readable, f"is of version {version!r}, expected {VERSION} or {MASKED_VERSION}; a newer minprune may read it")
    keys = known[version]
    _need(set(header) - {HISTORY} == set(keys), f"the description has {sorted(header)}, expected {sorted(keys)}")
    _need(header["dtype"] in DTYPES, f"dtype is {header['dtype']!r}, expected one of {', '.join(DTYPES)}")
    _need(_are_names(header["inputs"]), f"inputs is {header['inputs']!r}, expected different names")
    _need(_is_name(header["output"]), f"output is {header['output']!r}, expected a name")
    _need(isinstance(header["metadata"], dict), f"metadata is {header['metadata']!r}, expected a dict")
    inputs = tuple(header["inputs"])
    nodes = _nodes(header["nodes"], inputs)
    return Description(
        nodes=nodes,
        inputs=inputs,
        output=header["output"],
        input_shapes=_input_shapes(header["input_shapes"], inputs),
        dtype=np.dtype(header["dtype"]),
        metadata=header["metadata"],
        masks=_masks(header.get(MASKS, {}), nodes),
        history=from_entries(header.get(HISTORY, [])),
    )


def _nodes(entries: Any, inputs: tuple[str, ...]) -> dict[str, Node]:
    _need(isinstance(entries, list) and entries, "nodes: expected a list of at least one node")
    _need(len(entries) <= MOST_NODES, f"{len(entries):,} nodes, expected at most {MOST_NODES:,}")
    builder, budget = Builder(inputs), Budget()
    for place, entry in enumerate(entries):
        wanted = {"name", "layer", "fields", "inputs"}
        _need(isinstance(entry, dict) and set(entry) == wanted, f"node {place}: expected {', '.join(sorted(wanted))}")
        name, sources = entry["name"], entry["inputs"]
        _need(_is_name(name), f"node {place}: its name is {name!r}, expected a text of 1 to {LONGEST_NAME} characters")
        _need(name not in builder.nodes and name not in inputs, f"{name!r}: two values bear this name")
        readable = isinstance(sources, list) and all(_is_name(source) for source in sources)
        _need(readable, f"{name!r}: its inputs are {sources!r}, expected names")
        builder.add(_layer(name, entry["layer"], entry["fields"], budget), *sources, name=name)
    return builder.nodes


def _layer(name: str, kind: Any, settings: Any, budget: Budget) -> Layer:
    """Make a layer from its class name and settings; each setting must be there and of its field's type."""
    _need(isinstance(kind, str) and kind in KNOWN, f"{name!r}: unknown layer {kind!r}")
    types = {field.name: str(field.type) for field in fields(KNOWN[kind])}
    complete = isinstance(settings, dict) and set(settings) == set(types)
    _need(complete, f"{name!r}: the fields of {kind} are {', '.join(types) or 'none'}, got {settings!r}")
    for setting, value in settings.items():
        _need(FITS[types[setting]](value), f"{name!r}: {setting} of {kind} is {value!r}")
    try:
        layer = KNOWN[kind](**settings)
        if isinstance(layer, Opaque):
            admit(layer, budget)
    except (StructureError, FileError) as error:
        raise FileError(f"{name!r}: {one_line(error)}") from None
    return layer


def _input_shapes(shapes: Any, inputs: tuple[str, ...]) -> dict[str, Shape] | None:
    if shapes is None:
        return None
    _need(isinstance(shapes, dict) and set(shapes) == set(inputs), f"input_shapes is {shapes!r}, expected all inputs")
    for shape in shapes.values():
        fits = isinstance(shape, list) and shape and all(_is_int(size) and size > 0 for size in shape)
        _need(fits, f"an input has shape {shape!r}, expected sizes of at least 1")
    return {name: tuple(shapes[name]) for name in inputs}


def _masks(entries: Any, nodes: Mapping[str, Node]) -> dict[str, Any]:
    params = {f"{name}.{short}" for name, node in nodes.items() for short in node.layer.param_shapes()}
    fits = isinstance(entries, dict) and set(entries) <= params
    _need(fits, f"masks: expected some of {', '.join(sorted(params)) or 'no parameters'}, got {entries!r}")
    return dict(entries)


def arrays_of(net: Graph, text: bytes) -> dict[str, Array]:
    """The arrays that a file holds beside the description that `describe` made, in the forms that it names."""
    masks = json.loads(text).get(MASKS, {})
    found: dict[str, Array] = {}
    for name, array in net.arrays.items():
        array = array.astype(np.int64 if array.dtype.kind in "iu" else array.dtype, copy=False)
        if name in net.masks:
            found |= members_of(name, array, net.masks[name], masks[name])
        else:
            found[name] = array
    return {name: np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")) for name, array in found.items()}


def _need(condition: Any, otherwise: str) -> None:
    if not condition:
        raise FileError(otherwise)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_name, value)) and len(set(value)) == len(value)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)  # JSON's true is no 1


def _is_float(value: Any) -> bool:
    return _is_int(value) or (isinstance(value, float) and isfinite(value))


def _is_per_axis(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_int, value))


# The types that layers give their fields -> whether a value from a file is one. `Any` is a number per spatial axis.
FITS: dict[str, Callable[[Any], bool]] = {
    "int": _is_int,
    "float": _is_float,
    "bool": lambda value: isinstance(value, bool),
    "Any": _is_per_axis,
    "str": lambda value: isinstance(value, str),
    "Shape": _is_per_axis,
    "tuple[Shape, ...]": lambda value: isinstance(value, list) and all(map(_is_per_axis, value)),
}
