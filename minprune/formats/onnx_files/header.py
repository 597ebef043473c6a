"""What is remembered of an ONNX file besides the network, so that it can go out again under its own names.

It lies in the network's history, in the record of the import, for as long as the history goes on: through masks,
removals, repairs, training, and .npz files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from ...errors import FileError
from ...nn import Graph

Declared = list[Any]  # name, kind of numbers, sizes (a number, a name, or None where an axis is free)


@dataclass(frozen=True)
class Header:
    """Names, versions and metadata of an ONNX file.

    Attributes
    ----------
    opset, ir_version : int
    graph, doc : str
        The graph's name, and the model's documentation.
    producer : list of str
        Name and version, domain.
    inputs, outputs : list
        As declared: name, kind of numbers (as ONNX counts them), sizes.
    nodes : mapping
        Value -> the name of the node that made it, where it had one.
    initializers : mapping
        Array of the network -> the name that it had in the file.
    metadata : mapping
        The file's own.
    """

    KEY: ClassVar[str] = "onnx"

    opset: int
    ir_version: int
    graph: str
    doc: str
    producer: list[str]
    inputs: list[Declared]
    outputs: list[Declared]
    nodes: dict[str, str] = field(default_factory=dict)
    initializers: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def header_of(net: Graph) -> Header | None:
    """The header of the ONNX file that a network came from last, or None.

    Raises
    ------
    FileError
        When the record is not what an import writes.
    """
    found = [record.how[Header.KEY] for record in net.history if record.action == "import" and Header.KEY in record.how]
    return _checked(found[-1]) if found else None


def _checked(entry: Any) -> Header:
    """A header from a file's history, on which nothing is trusted."""
    try:
        header = Header(**entry)
    except TypeError:
        raise FileError("history: the record of the import is not one that minprune wrote") from None
    texts = (header.graph, header.doc, *header.producer) if isinstance(header.producer, list) else (None,)
    sound = (
        all(type(value) is int for value in (header.opset, header.ir_version))
        and all(isinstance(text, str) for text in texts)
        and len(texts) == 5
        and all(_are_declared(part) for part in (header.inputs, header.outputs))
        and all(_are_texts(part) for part in (header.nodes, header.initializers, header.metadata))
    )
    if not sound:
        raise FileError("history: the record of the import is damaged")
    return header


def inner_name(name: str) -> str:
    """What the network's value is called in a file where the file's own has another shape: no batch axis.

    Examples
    --------
    >>> inner_name("y")
    'y.sample'
    """
    return f"{name}.sample"


def _are_texts(part: Any) -> bool:
    return isinstance(part, Mapping) and all(isinstance(text, str) for pair in part.items() for text in pair)


def _are_declared(part: Any) -> bool:
    return isinstance(part, list) and bool(part) and all(map(_is_declared, part))


def _is_declared(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) != 3 or not isinstance(entry[0], str) or type(entry[1]) is not int:
        return False
    sizes = entry[2]
    fits = isinstance(sizes, list) and all(size is None or isinstance(size, str) or type(size) is int for size in sizes)
    return sizes is None or fits
