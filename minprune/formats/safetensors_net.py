"""Networks as .safetensors files: the same description as in an .npz file, in the header's metadata.

``__metadata__`` holds ``minprune``, the JSON text of `minprune.formats.description`, and ``crc32``, a checksum over
that text and the numbers, since the format itself has none. The arrays bear the names that they have in an .npz file:
``safetensors.numpy.load_file(path)["dense1.W"]`` works without minprune.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote
from zlib import crc32

import numpy as np

from ..errors import FileError
from ..files import atomic_write
from ..nn import Graph
from ..ops import Array
from .description import MOST_BYTES, Description, arrays_of, describe, understand
from .safetensors_file import SafetensorsFile, opened, ordered, pack

KEY, CHECKSUM = "minprune", "crc32"


def write(net: Graph, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a network to a .safetensors file, whole or not at all; the same network gives the same bytes.

    Parameters
    ----------
    net : Graph
        In float16, float32 or float64. Numbers that are not finite are stored as they are.
    path : str or path
        The file; its folder must exist.
    metadata : mapping, optional
        What JSON can hold, to be kept with the network: class names, say.

    Raises
    ------
    FileError
        When the file cannot be written.
    DtypeError, StructureError, DataError
        When the network or the metadata cannot be stored: see `minprune.formats.description.describe`.
    """
    text = describe(net, metadata)
    arrays = ordered({_name(name): array for name, array in arrays_of(net, text).items()})
    said = {KEY: text.decode("ascii"), CHECKSUM: _checksum(text, arrays.values())}
    try:
        with atomic_write(path) as file:
            pack(file, arrays, said)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from None


def read(path: str | os.PathLike[str]) -> tuple[Graph, dict[str, Any]]:
    """Read a network and its metadata from a .safetensors file; nothing in the file is trusted.

    Parameters
    ----------
    path : str or path
        A file that `write` made.

    Returns
    -------
    net : Graph
        With the same arrays and masks, bit for bit, also where they are not finite.
    metadata : dict

    Raises
    ------
    FileError
        For a file that is missing, damaged, of another kind or version, or whose arrays are not those of its layers.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from minprune.layers import Dense
    >>> from minprune.nn import Sequential
    >>> write(Sequential(Dense(3, 2)), path := Path(mkdtemp()) / "net.safetensors", {"classes": ["cat", "dog"]})
    >>> read(path)
    (<Graph: 1 nodes, 8 parameters>, {'classes': ['cat', 'dog']})
    """
    with opened(path) as found:
        return _unpacked(found)


def _unpacked(found: SafetensorsFile) -> tuple[Graph, dict[str, Any]]:
    if KEY not in found.metadata:
        raise FileError("it holds arrays but no minprune network; minprune.load_weights puts them into a network")
    if set(found.metadata) != {KEY, CHECKSUM}:
        raise FileError(f"its metadata are {', '.join(sorted(found.metadata))[:80]}, expected {KEY} and {CHECKSUM}")
    text = found.metadata[KEY].encode("utf-8", "surrogatepass")
    if len(text) > MOST_BYTES:
        raise FileError(f"the description takes {len(text):,} bytes, expected at most {MOST_BYTES:,}")
    description = understand(text)
    _check_entries(found, description)
    raw = {name: found.raw(name) for name in found.entries}
    if _checksum(text, raw.values()) != found.metadata[CHECKSUM]:
        raise FileError("the checksum does not fit: the description or an array was changed after it was saved")
    arrays = {name: raw[_name(name)] for name in description.expected()}
    native = {name: array.astype(array.dtype.newbyteorder("="), copy=False) for name, array in arrays.items()}
    return description.build(native), description.metadata


def _name(array: str) -> str:
    """Names are free; in a file, what is not a letter, digit or one of ``_.-~`` is written as %XX, as in .npz files."""
    return quote(array, safe="", errors="surrogatepass")


def _checksum(text: bytes, arrays: Iterable[Array]) -> str:
    """CRC-32 of the description and then all numbers, in the order of the file."""
    total = crc32(text)
    for array in arrays:
        total = crc32(np.ascontiguousarray(array).data if array.size else b"", total)
    return f"{total:08x}"


def _check_entries(found: SafetensorsFile, description: Description) -> None:
    """The file must hold what the layers need, and nothing else; before a single number is read."""
    expected = {_name(name): spec for name, spec in description.expected().items()}
    for name, (shape, dtype) in expected.items():
        if name not in found.entries:
            raise FileError(f"the array {name!r} is missing")
        entry = found.entries[name]
        if entry.spec != (shape, dtype) or entry.code == "BF16":
            raise FileError(f"{name!r}: expected {dtype.name} {shape}, got {entry.code} {entry.shape}")
    extra = set(found.entries) - set(expected)
    if extra:
        raise FileError(f"{min(extra)[:80]!r} belongs to no layer")
