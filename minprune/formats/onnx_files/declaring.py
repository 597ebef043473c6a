"""What a file declares of its inputs and outputs."""

from __future__ import annotations

from typing import Any


def sizes_of(value: Any) -> list[int | str | None]:
    """The sizes of a declared value: a number, a name, or None where neither is given."""
    return [
        int(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or None
        for dim in value.type.tensor_type.shape.dim
    ]


def spelt(value: Any) -> str:
    """The same for an error."""
    return f"({', '.join('?' if size is None else str(size) for size in sizes_of(value))})"


def declared(value: Any) -> list[Any]:
    """Name, kind and sizes of a value, as a header remembers them."""
    kind = value.type.tensor_type
    return [value.name, int(kind.elem_type), sizes_of(value) if kind.HasField("shape") else None]
