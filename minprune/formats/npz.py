"""The native format: a NumPy archive that anybody can open, with the description of the network beside its arrays.

An .npz file is a zip file. Ours holds ``minprune.json`` (see `minprune.formats.description`) and one ``.npy`` per
array, uncompressed: weights hardly compress, and what is stored as it is cannot claim to be larger than the file. The
members bear the arrays' names, so ``numpy.load(path)["dense1.W"]`` works without minprune. Of a parameter that has a
mask only the kept weights are there, and their places; see `minprune.formats.masked`. Nothing is ever pickled.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO
from urllib.parse import quote

import numpy as np
from numpy.lib import format as npy

from ..datasets.npzfile import BROKEN
from ..errors import FileError, MinpruneError, one_line
from ..files import atomic_write, size_of
from ..layers import Shape
from ..nn import Graph
from ..ops import Array
from .description import MOST_BYTES, arrays_of, describe, understand

HEADER = "minprune.json"
MOST_NPY_HEADER = 1024  # bytes before the numbers of an array; NumPy writes 128 for every shape of ours


def write(net: Graph, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a network to an .npz file, whole or not at all; the same network gives the same bytes.

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
    try:
        with atomic_write(path) as file:
            _pack(file, text, arrays_of(net, text))
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from None


def npz_bytes(net: Graph) -> int:
    """The exact size of the file that `write` makes, in bytes.

    Examples
    --------
    >>> from minprune.layers import Dense
    >>> from minprune.nn import Sequential
    >>> npz_bytes(Sequential(Dense(64, 32))) - npz_bytes(Sequential(Dense(64, 31)))  # 64 weights and a bias of 4 bytes
    260
    """
    buffer = io.BytesIO()
    text = describe(net)
    _pack(buffer, text, arrays_of(net, text))
    return buffer.tell()


def _pack(file: BinaryIO, text: bytes, arrays: Mapping[str, Array]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_member(HEADER), text)
        for name, array in arrays.items():
            buffer = io.BytesIO()
            npy.write_array(buffer, array, version=(1, 0), allow_pickle=False)
            archive.writestr(_member(_member_name(name)), buffer.getbuffer())


def _member(name: str) -> zipfile.ZipInfo:
    """An entry that bears no date and no system, so that the same network gives the same bytes everywhere."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3
    return info


def _member_name(array: str) -> str:
    """Names are free; in a zip file, what is not a letter, digit or one of ``_.-~`` is written as %XX."""
    return quote(array, safe="", errors="surrogatepass") + ".npy"


def read(path: str | os.PathLike[str]) -> tuple[Graph, dict[str, Any]]:
    """Read a network and its metadata from an .npz file; nothing in the file is trusted.

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
    >>> write(Sequential(Dense(3, 2)), path := Path(mkdtemp()) / "net.npz", {"classes": ["cat", "dog"]})
    >>> read(path)
    (<Graph: 1 nodes, 8 parameters>, {'classes': ['cat', 'dog']})
    """
    try:
        size = size_of(path)
        with zipfile.ZipFile(path) as archive:
            return _unpack(archive, size)
    except MinpruneError as error:
        raise FileError(f"{path}: {one_line(error)}") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    except BROKEN as error:
        raise FileError(f"{path}: not a readable .npz archive: {one_line(error)}") from None


def _unpack(archive: zipfile.ZipFile, on_disk: int) -> tuple[Graph, dict[str, Any]]:
    members = _members(archive, on_disk)
    if HEADER not in members:
        raise FileError(f"there is no {HEADER} in it; minprune.save writes one")
    description = understand(_content(archive, members.pop(HEADER), MOST_BYTES))
    if description.nbytes() > on_disk:
        raise FileError(f"the layers need {description.nbytes():,} bytes of arrays, the file has {on_disk:,}")
    expected = description.expected()
    missing = [name for name in expected if _member_name(name) not in members]
    if missing:
        raise FileError(f"the array {missing[0]!r} is missing")
    extra = set(members) - {_member_name(name) for name in expected}
    if extra:
        raise FileError(f"{min(extra)!r} belongs to no layer")
    arrays = {name: _array(archive, members[_member_name(name)], *spec) for name, spec in expected.items()}
    return description.build(arrays), description.metadata


def _members(archive: zipfile.ZipFile, on_disk: int) -> dict[str, zipfile.ZipInfo]:
    """The entries by name; together they cannot be larger than the file, since none is compressed."""
    entries = archive.infolist()
    for info in entries:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise FileError(f"{info.filename!r} is compressed; minprune.save stores arrays as they are")
    if len({info.filename for info in entries}) < len(entries):
        raise FileError("two entries bear the same name")
    claimed = sum(info.file_size for info in entries)
    if claimed > on_disk:
        raise FileError(f"the entries claim {claimed:,} bytes, the file has {on_disk:,}")
    return {info.filename: info for info in entries}


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """The bytes of an entry; zipfile checks them against their CRC-32 sum."""
    if info.file_size > most:
        raise FileError(f"{info.filename!r} takes {info.file_size:,} bytes, expected at most {most:,}")
    return archive.read(info)


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """One array, whose .npy header must be the one that NumPy writes for the shape and dtype that the layer has.

    Comparing rather than parsing leaves a damaged header nothing to ask for: no dtype, no size, no Python object.
    """
    nbytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
    content = _content(archive, info, nbytes + MOST_NPY_HEADER)
    start = 10 + int.from_bytes(content[8:10], "little")  # magic string, version, length of the header
    wanted = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"
    got = content[10:start].decode("latin1").strip()
    if content[:8] != npy.magic(1, 0) or got != wanted:
        raise FileError(f"{info.filename!r}: expected {dtype.name} {shape}, got {got or 'no .npy array'}")
    if len(content) - start != nbytes:
        raise FileError(f"{info.filename!r}: expected {nbytes:,} bytes of numbers, got {len(content) - start:,}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
