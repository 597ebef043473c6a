"""A network's history as JSON holds it, and the way back, on which nothing is trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from math import inf
from typing import Any

from ..certificate import Certificate, Record, RepairCertificate
from ..errors import FileError


def as_entries(history: Iterable[Record]) -> list[dict[str, Any]]:
    """The records as dicts."""
    return [asdict(record) for record in history]


def from_entries(entries: Any) -> tuple[Record, ...]:
    """The records again.

    Raises
    ------
    FileError
        For anything but records, in one line.

    Examples
    --------
    >>> record = Record("train", "7f3a", "09bc", how={"epochs": 5})
    >>> from_entries(as_entries([record])) == (record,)
    True
    """
    if not isinstance(entries, list):
        raise FileError(f"history: expected a list of records, got {type(entries).__name__}")
    return tuple(_record(place, entry) for place, entry in enumerate(entries, 1))


def _record(place: int, entry: Any) -> Record:
    where = f"history, record {place}"
    values = _checked(where, entry, Record, RECORD)
    proof = values["certificate"]
    if proof is not None:
        kind: type[Any] = RepairCertificate if isinstance(proof, dict) and "rms" in proof else Certificate
        found = _checked(f"{where}, certificate", proof, kind, PROOFS[kind])
        values = values | {"certificate": kind(**{name: _frozen(value) for name, value in found.items()})}
    return Record(**values)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _checked(where: str, entry: Any, kind: type[Any], fits: dict[str, Callable[[Any], bool]]) -> dict[str, Any]:
    """An entry with exactly the fields of its kind, every one of the right type."""
    names = [field.name for field in fields(kind)]
    if not isinstance(entry, dict) or set(entry) != set(names):
        raise FileError(f"{where}: expected {', '.join(names)}")
    for name, value in entry.items():
        if not fits[name](value):
            raise FileError(f"{where}: {name} is {str(value)[:80]!r}, which cannot be")
    return entry


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_size(value: Any) -> bool:
    """A number of at least 0 that a float can hold; infinity is one, NaN and a bool are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and (0 <= value < 1e308 or value == inf)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_size, value))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_drop(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(v, list) and v and all(map(_is_count, v)) for v in value.values())


RECORD: dict[str, Callable[[Any], bool]] = {
    "action": _is_text,
    "before": _is_text,
    "after": _is_text,
    "structure": _is_text,
    "drop": _is_drop,
    "how": lambda value: isinstance(value, dict),
    "certificate": lambda value: value is None or isinstance(value, dict),
}
PROOFS: dict[type[Any], dict[str, Callable[[Any], bool]]] = {
    Certificate: {
        "max_difference": _is_size,
        "bound": _is_size,
        "ok": lambda value: isinstance(value, bool),
        "inputs": _is_text,
        "claim": _is_text,
    },
    RepairCertificate: {
        "inputs": _is_text,
        "samples": _is_count,
        "digest": _is_text,
        "largest": _is_pair,
        "rms": _is_pair,
        "changed": _are_texts,
        "strayed": _are_texts,
    },
}
