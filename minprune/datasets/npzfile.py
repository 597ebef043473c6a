"""NumPy's archives, read without pickle and without trusting the sizes they state."""

from __future__ import annotations

import math
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from minprune.datasets.idxfile import DEFLATE_RATIO, LIMIT
from minprune.errors import FileError
from minprune.files import size_of

MOST_ARRAYS = 10_000
MOST_HEADER = 10_000  # characters of one array's header; NumPy's own limit
MOST_AXES = 32
LONGEST_NAME = 1_000
# Of a header only these three entries are taken, in any order; nothing in it is evaluated.
ENTRY = r"'(descr|fortran_order|shape)'\s*:\s*('[^'\\]*'|True|False|\([0-9L,\s]*\))"
HEADER = re.compile(rf"\{{\s*{ENTRY}\s*,\s*{ENTRY}\s*,\s*{ENTRY}\s*,?\s*\}}\s*")
KIND = re.compile(r"[<>|=]?(\?|[a-zA-Z][0-9]{0,5})")

# What the zip, deflate and npy parsers raise on bytes that are none: all of it means a damaged file.
BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, TypeError, KeyError, SyntaxError,
    NotImplementedError, RuntimeError, OverflowError,
)  # fmt: skip


def read(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file, by name.

    Parameters
    ----------
    path : str or path
        An archive as `numpy.savez` and `numpy.savez_compressed` write it.

    Returns
    -------
    dict of str to array
        As they are stored: booleans, integers or floats.

    Raises
    ------
    FileError
        For a file that is missing, damaged or no archive, that claims more than it holds, or that holds Python objects.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "a.npz"
    >>> np.savez(file, x=np.eye(2))
    >>> read(file)["x"].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    path = Path(path)
    try:
        size_of(path)
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            _check_names([info.filename for info in members])
            return {info.filename.removesuffix(".npy"): _member(archive, info, path) for info in members}
    except FileError as error:
        raise error if str(error).startswith(str(path)) else FileError(f"{path}: {error}") from None
    except BROKEN as error:
        raise FileError(f"{path}: not a readable .npz archive: {' '.join(str(error).split())[:200]}") from None


def names(path: str | os.PathLike[str]) -> list[str]:
    """The names of an archive's arrays, of which none is read.

    Raises
    ------
    FileError
        For a file that is no archive.
    """
    try:
        size_of(path)
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except FileError as error:
        raise FileError(f"{path}: {error}") from None
    except BROKEN as error:
        raise FileError(f"{path}: not a readable .npz archive: {' '.join(str(error).split())[:200]}") from None


def _check_names(names: list[str]) -> None:
    if len(names) > MOST_ARRAYS:
        raise FileError(f"holds {len(names):,} arrays, expected at most {MOST_ARRAYS:,}")
    longest = max(names, key=len, default="")
    if len(longest) > LONGEST_NAME:
        raise FileError(f"an array's name has {len(longest):,} characters, expected at most {LONGEST_NAME:,}")
    if len(set(names)) < len(names):
        raise FileError(f"two arrays are called {max(names, key=names.count).removesuffix('.npy')!r}")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    """One array; its header is held against the sizes in the archive before memory is taken for it."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FileError(
            f"{path}: {info.filename} is compressed by another method than NumPy's; save it with numpy.savez"
        )
    with archive.open(info) as file:
        return _array(file, min(info.file_size, LIMIT, path.stat().st_size * DEFLATE_RATIO), path, info.filename)


def read_npy(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array of an .npy file, on which nothing is trusted either.

    Raises
    ------
    FileError
        As `read`.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "a.npy"
    >>> np.save(file, np.arange(3))
    >>> read_npy(file)
    array([0, 1, 2])
    """
    path = Path(path)
    try:
        size = size_of(path)
        with path.open("rb") as file:
            return _array(file, min(size, LIMIT), path, path.name)
    except FileError as error:
        raise error if str(error).startswith(str(path)) else FileError(f"{path}: {error}") from None
    except BROKEN as error:
        raise FileError(f"{path}: not a readable .npy file: {' '.join(str(error).split())[:200]}") from None


def _array(file: Any, most: int, path: Path, name: str) -> NDArray[Any]:
    """An array of which a file can hold `most` bytes: its header, then exactly the bytes that this claims."""
    shape, by_columns, dtype = _header(file, path, name)
    claimed = math.prod(shape) * dtype.itemsize
    if claimed > most:
        raise FileError(f"{path}: {name} claims {claimed} bytes, more than the {most} that there can be")
    array = np.empty(claimed // dtype.itemsize, dtype)
    numbers, filled = array.view(np.uint8), 0
    while filled < claimed and (more := file.readinto(numbers[filled:])):
        filled += more
    if filled < claimed:
        raise FileError(f"{path}: {name} ends after {filled} of the {claimed} bytes that it claims")
    if file.read(1):
        raise FileError(f"{path}: {name} goes on after the {claimed} bytes of its array")
    native = array.astype(dtype.newbyteorder("="), copy=False)
    return native.reshape(shape[::-1]).T if by_columns else native.reshape(shape)


def _header(file: BinaryIO, path: Path, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is stored column by column, and kind of numbers."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise FileError(f"{path}: {name} has .npy version {version}, expected 1.0 or 2.0; save it with numpy.savez")
    size = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
    text = file.read(min(size, MOST_HEADER)).decode("latin1")
    found = HEADER.fullmatch(text)
    said = dict(zip(found.groups()[::2], found.groups()[1::2], strict=True)) if found and size <= MOST_HEADER else {}
    if said.keys() != {"descr", "fortran_order", "shape"}:
        kind = "numbers of several kinds or Python objects" if "'descr': [" in text else f"{text.strip()[:60]!r}"
        raise FileError(f"{path}: {name} has a header that cannot be read: {kind}; Python objects are never read")
    descr = said["descr"].strip("'")
    dtype = np.dtype(descr) if KIND.fullmatch(descr) else None
    if dtype is None or dtype.kind not in "biuf":
        raise FileError(
            f"{path}: {name} holds {descr[:20] if dtype is None else dtype}, expected booleans, integers or floats; "
            "Python objects are never read"
        )
    sizes = [part.strip().removesuffix("L") for part in said["shape"].strip("()").split(",")]
    shape = tuple(int(part) for part in sizes if part)
    if len(shape) > MOST_AXES or any(len(part) > 18 for part in sizes):
        raise FileError(f"{path}: {name} has the shape {said['shape'][:60]}, expected up to {MOST_AXES} sizes")
    return shape, said["fortran_order"] == "True", dtype
