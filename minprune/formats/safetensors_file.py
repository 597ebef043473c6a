"""The safetensors file: named arrays that any tool can read and none has to trust.

    8 bytes    n, the length of the header, little-endian
    n bytes    the header, JSON: {"__metadata__": {text: text}, name: {"dtype", "shape", "data_offsets"}, …}
    the rest   the numbers, row by row, little-endian; data_offsets [begin, end) count from here

The arrays fill the rest without gap or overlap, so what a header can claim is bounded by the size of the file. It is
held against that size before memory is taken. The header, too: its size, then how many values it has.

Source: the format's description at https://github.com/huggingface/safetensors. This is a reader and writer of our own,
so that nobody needs an extra: the library (0.8) takes 81 ms to write 100 MB, this 60; to read them 49 and 28; LeNet-5's
1.7 MB 1.6 and .9, .24 and .30 (medians of 9 on one machine). Tests hold the two against each other.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import FileError, MinpruneError, StructureError, one_line
from ..files import size_of
from ..layers import Shape
from ..ops import Array

METADATA = "__metadata__"
MOST_HEADER = 40 << 20  # bytes; other readers take up to 100,000,000
MOST_ARRAYS = 100_000
MOST_AXES = 32
MOST_SIZE = 1 << 40  # along one axis, also where another one is 0
LONGEST_NAME = 9_100  # bytes: a name of 1,000 characters with every byte of them as %XX
ALIGNMENT = 8  # the numbers begin at a multiple of it, so that they can be mapped into memory

# A text in JSON; the end of the file ends one, too, so that the search never has to go back.
TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)

# The format's names of kinds of numbers. bfloat16 is read as float32, of which it is the upper half; NumPy has none.
_WIDE = {"F64": "<f8", "I64": "<i8", "U64": "<u8", "F32": "<f4", "I32": "<i4", "U32": "<u4", "F16": "<f2"}
_NARROW = {"BF16": "<u2", "I16": "<i2", "U16": "<u2", "I8": "i1", "U8": "u1", "BOOL": "?"}
DTYPES: dict[str, np.dtype[Any]] = {name: np.dtype(code) for name, code in (_WIDE | _NARROW).items()}
CODES = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}


@dataclass(frozen=True)
class Entry:
    """What the header says of an array: its kind of numbers, its shape, and where it begins and ends."""

    code: str
    shape: Shape
    begin: int
    end: int

    @property
    def spec(self) -> tuple[Shape, np.dtype[Any]]:
        """Shape, and dtype on disk."""
        return self.shape, DTYPES[self.code]


def ordered(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays in the order of the file: the widest numbers first, so that each begins at a multiple of its width."""
    return dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))


def header_of(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """The first bytes of a file that holds these arrays, in this order: length and JSON, filled up with spaces.

    Raises
    ------
    StructureError
        When it would be longer than a reader takes.

    Examples
    --------
    >>> header_of({"b": np.zeros(2, "<f4")}, {})[8:]
    b'{"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  '
    """
    said: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    begin = 0
    for name, array in arrays.items():
        end = begin + array.nbytes
        said[name] = {"dtype": CODES[array.dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(said, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % ALIGNMENT)
    if len(text) > MOST_HEADER or len(arrays) > MOST_ARRAYS:
        raise StructureError(
            f"a .safetensors file has up to {MOST_ARRAYS:,} arrays and a header of {MOST_HEADER:,} bytes, "
            f"got {len(arrays):,} arrays and {len(text):,} bytes"
        )
    return len(text).to_bytes(8, "little") + text


def pack(file: BinaryIO, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays, contiguous and little-endian, and texts beside them; the same give the same bytes."""
    file.write(header_of(arrays, metadata))
    for array in arrays.values():
        file.write(array.data if array.size else b"")


class SafetensorsFile:
    """A file whose header was read and checked; its arrays are read when asked for.

    Parameters
    ----------
    file : binary file
        Open at its beginning.
    size : int
        Of the file, in bytes.

    Attributes
    ----------
    metadata : dict of str to str
    entries : dict of str to Entry
        In the order of the file's numbers.

    Raises
    ------
    FileError
        For a header that cannot be.

    Examples
    --------
    >>> from io import BytesIO
    >>> pack(file := BytesIO(), {"b": np.array([1.0, 2.0])}, {"made": "by hand"})
    >>> found = SafetensorsFile(BytesIO(file.getvalue()), len(file.getvalue()))
    >>> found.metadata, found.array("b")
    ({'made': 'by hand'}, array([1., 2.]))
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        text = _header_text(file, size)
        self._start = 8 + len(text)
        header = _parsed(text)
        self.metadata = _metadata(header.pop(METADATA, {}))
        entries = {name: _entry(name, said) for name, said in header.items()}
        self.entries = dict(sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)))
        _check_tiling(self.entries, size - self._start)

    def raw(self, name: str) -> Array:
        """An array as it is on disk: little-endian, bfloat16 as its bits."""
        entry = self.entries[name]
        array = np.empty(*entry.spec)
        if array.size:
            self._file.seek(self._start + entry.begin)
            if self._file.readinto(array.reshape(-1).view(np.uint8)) != array.nbytes:  # type: ignore[attr-defined]
                raise FileError(f"{name!r}: the file ended while it was read")
        return array

    def array(self, name: str) -> Array:
        """An array in this machine's byte order; bfloat16 comes as float32."""
        array = self.raw(name)
        if self.entries[name].code == "BF16":
            return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        if array.dtype == np.bool_ and (array.view(np.uint8) > 1).any():
            raise FileError(f"{name!r}: expected booleans, 0 or 1, got another number")
        return array.astype(array.dtype.newbyteorder("="), copy=False)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[SafetensorsFile]:
    """Open a file and check its header; whatever is wrong in this block is told as one line with the file's name.

    Raises
    ------
    FileError
        For a file that is missing, damaged or inconsistent.
    """
    try:
        size_of(path)
        with Path(path).open("rb") as file:
            yield SafetensorsFile(file, os.fstat(file.fileno()).st_size)
    except MinpruneError as error:
        raise FileError(f"{path}: {one_line(error)}") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """All arrays of a .safetensors file, by name, and its metadata; nothing in the file is trusted.

    Raises
    ------
    FileError
        For a file that is missing, damaged, or claims what it does not hold; for kinds of numbers NumPy has not.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "a.safetensors"
    >>> with path.open("wb") as file:
    ...     pack(file, {"fc.bias": np.zeros(3, np.float32)}, {})
    >>> read(path)
    ({'fc.bias': array([0., 0., 0.], dtype=float32)}, {})
    """
    with opened(path) as found:
        return {name: found.array(name) for name in found.entries}, found.metadata


def _header_text(file: BinaryIO, size: int) -> bytes:
    prefix = file.read(8)
    if len(prefix) < 8:
        raise FileError(f"not a .safetensors file: {size} bytes, expected at least 8")
    length = int.from_bytes(prefix, "little")
    if length > size - 8:
        raise FileError(f"not a whole .safetensors file: the header claims {length:,} bytes, the file has {size:,}")
    if length > MOST_HEADER:
        raise FileError(f"the header claims {length:,} bytes, expected at most {MOST_HEADER:,}")
    text = file.read(length)
    if len(text) < length or not text.startswith(b"{"):
        raise FileError("not a .safetensors file: its header does not begin with {")
    return text


def _parsed(text: bytes) -> dict[str, Any]:
    """The header as JSON. Its values are counted first: empty lists take twenty times their text in memory."""
    bare = TEXTS.sub(b"", text)  # of every array remain a dict and two lists
    if bare.count(b"{") + bare.count(b"[") > 3 * MOST_ARRAYS + 2 or bare.count(b",") > 8 * MOST_ARRAYS:
        raise FileError(f"the header has too many values, expected those of at most {MOST_ARRAYS:,} arrays")
    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=_without_twins, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise FileError(f"the header is not JSON: {error}") from None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twin = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{twin[:80]!r} stands twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _metadata(said: Any) -> dict[str, str]:
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise FileError(f"{METADATA}: expected texts by name")
    return said


def _entry(name: str, said: Any) -> Entry:
    """One array's entry, checked by itself."""
    if not name or len(name) > LONGEST_NAME:
        raise FileError(f"an array's name has {len(name):,} characters, expected 1 to {LONGEST_NAME:,}")
    short = name[:80]
    if not isinstance(said, dict) or set(said) != {"dtype", "shape", "data_offsets"}:
        raise FileError(f"{short!r}: expected dtype, shape and data_offsets")
    code, shape, offsets = said["dtype"], said["shape"], said["data_offsets"]
    if not isinstance(code, str) or code not in DTYPES:
        raise FileError(f"{short!r}: dtype is {str(code)[:40]!r}, expected one of {', '.join(DTYPES)}")
    if not _are_counts(shape) or len(shape) > MOST_AXES or any(size > MOST_SIZE for size in shape):
        raise FileError(f"{short!r}: shape is {str(shape)[:80]}, expected up to {MOST_AXES} sizes of at least 0")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise FileError(f"{short!r}: data_offsets is {str(offsets)[:80]}, expected where it begins and ends")
    nbytes = prod(shape) * DTYPES[code].itemsize
    if offsets[1] - offsets[0] != nbytes:
        raise FileError(f"{short!r}: {code} {tuple(shape)} takes {nbytes:,} bytes, data_offsets is {offsets}")
    if not nbytes and prod(size or 1 for size in shape) > MOST_SIZE:
        raise FileError(f"{short!r}: shape is {tuple(shape)}, too large even without numbers")
    return Entry(code, tuple(shape), *offsets)


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)


def _check_tiling(entries: Mapping[str, Entry], nbytes: int) -> None:
    """The arrays lie one behind the other from the beginning to the end: no gap, no overlap."""
    reached = 0
    for name, entry in entries.items():
        if entry.begin != reached:
            what = "overlaps the array before it" if entry.begin < reached else "leaves a gap before it"
            raise FileError(f"{name[:80]!r} {what}: it begins at {entry.begin:,}, expected {reached:,}")
        reached = entry.end
    if reached != nbytes:
        raise FileError(f"the arrays end at {reached:,}, the numbers in the file at {nbytes:,}")
