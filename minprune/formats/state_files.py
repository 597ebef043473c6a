"""Files that hold where a long work stands, so that it can go on after whatever stopped it.

A state is values that JSON can hold, named arrays, networks, and states of parts of the work. In a file it is a
safetensors file (see `minprune.formats.safetensors_file`): the arrays are numbered, one text in the metadata says which
is which, and another one is a CRC-32 over text and numbers. Nothing is pickled, and nothing in the file is trusted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import numpy as np

from ..errors import FileError, MinpruneError, one_line
from ..files import atomic_write
from ..nn import Graph
from ..ops import Array
from .description import arrays_of, describe, understand
from .safetensors_file import opened, pack

KEY, CHECKSUM = "minprune.state", "crc32"
DEEPEST = 8  # parts within parts
WRONG = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)  # what damage can raise


@dataclass
class Kept:
    """Where a work stands.

    Attributes
    ----------
    said : dict
        What JSON can hold; numbers that are not finite, too.
    arrays : mapping of str to array
    nets : mapping of str to Graph
    parts : mapping of str to Kept
        Where works within it stand.
    """

    said: dict[str, Any]
    arrays: Mapping[str, Array] = field(default_factory=dict)
    nets: Mapping[str, Graph] = field(default_factory=dict)
    parts: Mapping[str, Kept] = field(default_factory=dict)


class Keeper(Protocol):
    """Who keeps where a work stands: it is asked before the work begins, and told after every part of it."""

    def kept(self) -> Kept | None:
        """Where the work stood last, or None where it is to begin."""

    def keep(self, now: Kept) -> None:
        """Note where it stands."""


@dataclass(frozen=True)
class Within:
    """A keeper for a work within another one, whose state stays what it is meanwhile.

    Attributes
    ----------
    keeper : Keeper
        Of the outer work.
    outer : Kept
        Where that stands.
    name : str
        What the inner work is called in it.
    """

    keeper: Keeper
    outer: Kept
    name: str

    def kept(self) -> Kept | None:
        """Where the inner work stood last."""
        whole = self.keeper.kept()
        return None if whole is None else whole.parts.get(self.name)

    def keep(self, now: Kept) -> None:
        """Note where the inner work stands, and the outer one with it."""
        outer = self.outer
        self.keeper.keep(Kept(outer.said, outer.arrays, outer.nets, {**outer.parts, self.name: now}))


@dataclass(frozen=True)
class StateFile:
    """A keeper that keeps in a file.

    Attributes
    ----------
    path : Path
    job : str
        What tells this work from others: a digest of all that its result depends on.
    """

    path: Path
    job: str

    def kept(self) -> Kept | None:
        """What the file says, or None where there is none.

        Raises
        ------
        FileError
            For a damaged file, and for one of another work.
        """
        if not self.path.exists():
            return None
        state = read_state(self.path)
        if state.said.get("job") != self.job or "work" not in state.parts:
            raise FileError(
                f"{self.path}: it is of another model, other data or other settings; give those, or begin anew "
                "without --resume"
            )
        return state.parts["work"]

    def keep(self, now: Kept) -> None:
        """Write the file."""
        write_state(self.path, Kept({"job": self.job}, parts={"work": now}))

    def forget(self) -> None:
        """Take the file away: the work is done, or is to begin anew."""
        self.path.unlink(missing_ok=True)


def write_state(path: str | os.PathLike[str], state: Kept) -> None:
    """Write a state, whole or not at all.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = mkdtemp() + "/work.state"
    >>> write_state(path, Kept({"round": 2}, {"w": np.arange(3.0)}, parts={"fit": Kept({"epoch": 1})}))
    >>> found = read_state(path)
    >>> found.said, found.arrays["w"], found.parts["fit"].said
    ({'round': 2}, array([0., 1., 2.]), {'epoch': 1})
    """
    arrays: list[Array] = []
    text = json.dumps(_written(state, arrays)).encode("ascii")
    numbered = {str(number): array for number, array in enumerate(arrays)}
    with atomic_write(path) as file:
        pack(file, numbered, {KEY: text.decode("ascii"), CHECKSUM: _checksum(text, arrays)})


def read_state(path: str | os.PathLike[str]) -> Kept:
    """Read a state.

    Raises
    ------
    FileError
        For a file that is missing, damaged or no state.
    """
    with opened(path) as found:
        if set(found.metadata) != {KEY, CHECKSUM}:
            raise FileError("it holds no state of a minprune work")
        text = found.metadata[KEY].encode("utf-8", "surrogatepass")
        raw = [found.raw(str(number)) for number in range(len(found.entries)) if str(number) in found.entries]
        if len(raw) != len(found.entries) or _checksum(text, raw) != found.metadata[CHECKSUM]:
            raise FileError("the checksum does not fit: the state was damaged after it was written")
        native = [array.astype(array.dtype.newbyteorder("="), copy=False) for array in raw]
        try:
            return _read(json.loads(text), native, DEEPEST)
        except MinpruneError:
            raise
        except WRONG as error:
            raise FileError(f"the state is damaged ({type(error).__name__}: {one_line(error)})") from None


def _checksum(text: bytes, arrays: Iterable[Array]) -> str:
    total = crc32(text)
    for array in arrays:
        total = crc32(array.data if array.size else b"", total)
    return f"{total:08x}"


def _written(state: Kept, arrays: list[Array]) -> dict[str, Any]:
    """The state as JSON has it; its arrays are added to the list, where their places say which is which."""
    nets = {}
    for name, net in state.nets.items():
        text = describe(net)
        nets[name] = {"text": text.decode("ascii"), "arrays": _numbered(arrays_of(net, text), arrays)}
    return {
        "said": state.said,
        "arrays": _numbered(state.arrays, arrays),
        "nets": nets,
        "parts": {name: _written(part, arrays) for name, part in state.parts.items()},
    }


def _numbered(named: Mapping[str, Array], arrays: list[Array]) -> dict[str, int]:
    numbers = {}
    for name, array in named.items():
        numbers[name] = len(arrays)
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        arrays.append(little.reshape(array.shape))  # a number by itself stays one
    return numbers


def _read(content: Any, arrays: list[Array], deep: int) -> Kept:
    if not deep or not isinstance(content["said"], dict):
        raise FileError("the state is damaged")
    nets = {}
    for name, entry in content["nets"].items():
        description = understand(entry["text"].encode())
        found = _named(entry["arrays"], arrays)
        if {n: (a.shape, a.dtype) for n, a in found.items()} != {
            n: (shape, dtype.newbyteorder("=")) for n, (shape, dtype) in description.expected().items()
        }:
            raise FileError(f"the arrays of the network {name[:80]!r} are not those of its layers")
        nets[name] = description.build(found)
    parts = {name: _read(part, arrays, deep - 1) for name, part in content["parts"].items()}
    return Kept(content["said"], _named(content["arrays"], arrays), nets, parts)


def _named(numbers: Any, arrays: list[Array]) -> dict[str, Array]:
    if any(type(number) is not int or not 0 <= number < len(arrays) for number in numbers.values()):
        raise FileError("the state names an array that is not there")
    return {name: arrays[number].copy() for name, number in numbers.items()}
