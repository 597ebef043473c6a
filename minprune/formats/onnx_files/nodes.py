"""A node of an ONNX graph, as the rules look at it."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

from ...errors import FileError
from ...ops import Array
from .reading import array_of, told


class OnnxNode:
    """One node: its op, the names that it reads and makes, and its attributes, each checked when it is asked for."""

    def __init__(self, proto: Any, opset: int) -> None:
        self.proto = proto
        self.op: str = proto.op_type
        self.domain: str = proto.domain
        self.where = told(proto)
        self.opset = opset
        self.inputs: list[str] = list(proto.input)
        self.outputs: list[str] = [name for name in proto.output if name]
        self.name: str = proto.name
        self._attributes = {attribute.name: attribute for attribute in proto.attribute}

    def changed(self, inputs: list[str] | None = None, output: str | None = None, **attributes: Any) -> OnnxNode:
        """The same node with other inputs, another first output, or other attributes."""
        from onnx import helper

        other = copy(self)
        other.inputs = self.inputs if inputs is None else inputs
        other.outputs = self.outputs if output is None else [output, *self.outputs[1:]]
        new = {name: helper.make_attribute(name, value) for name, value in attributes.items()}
        other._attributes = self._attributes | new
        return other

    @property
    def output(self) -> str:
        """The name of the first value that it makes."""
        return self.outputs[0]

    def has_input(self, place: int) -> bool:
        """Whether it reads a value at this place: the last ones may be left out, others be empty."""
        return place < len(self.inputs) and bool(self.inputs[place])

    def error(self, text: str) -> FileError:
        """What to raise where this node cannot be taken over."""
        return FileError(f"{self.where}: {text}")

    def _value(self, name: str, field: str, default: Any) -> Any:
        attribute = self._attributes.get(name)
        if attribute is None:
            return default
        kinds = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings"}
        if kinds.get(attribute.type) != field:
            raise self.error(f"the attribute {name} is of the wrong kind")
        return getattr(attribute, field)

    def has(self, name: str) -> bool:
        """Whether it has this attribute."""
        return name in self._attributes

    def whole(self, name: str, default: int) -> int:
        """A whole number."""
        return int(self._value(name, "i", default))

    def wholes(self, name: str, default: Any = None) -> Any:
        """A tuple of whole numbers; where there is none, the default."""
        found = self._value(name, "ints", None)
        return default if found is None else tuple(int(value) for value in found)

    def number(self, name: str, default: float) -> float:
        """A number: the shortest decimal that is this float32, for that is what its writer meant."""
        found = self._value(name, "f", None)
        return default if found is None else float(str(np.float32(found)))

    def text(self, name: str, default: str) -> str:
        """A word."""
        found = self._value(name, "s", None)
        return default if found is None else found.decode("utf-8", "replace")

    def constant(self) -> Array:
        """What a Constant node holds."""
        if self.has("value"):
            return array_of(self._value("value", "t", None))
        for name, field, dtype in (
            ("value_float", "f", np.float32),
            ("value_floats", "floats", np.float32),
            ("value_int", "i", np.int64),
            ("value_ints", "ints", np.int64),
        ):
            if self.has(name):
                found = self._value(name, field, None)
                return np.array(found if field in ("f", "i") else list(found), dtype=dtype)
        raise self.error("holds neither a tensor nor numbers")
