"""NumPy's archives, read without pickle and without trusting the sizes they state."""

from __future__ import annotations

import math
import os
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
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            return {info.filename.removesuffix(".npy"): _member(archive, info, path) for info in members}
    except FileError:
        raise
    except BROKEN as error:
        raise FileError(f"{path}: not a readable .npz archive: {' '.join(str(error).split())[:200]}") from None


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    """One array; its header is held against the sizes in the archive before memory is taken for it."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FileError(
            f"{path}: {info.filename} is compressed by another method than NumPy's; save it with numpy.savez"
        )
    with archive.open(info) as file:
        shape, dtype = _header(file, path, info.filename)  # type: ignore[arg-type]
        most = min(info.file_size, LIMIT, path.stat().st_size * DEFLATE_RATIO)
        claimed = math.prod(shape) * dtype.itemsize
        if claimed > most:
            raise FileError(f"{path}: {info.filename} claims {claimed} bytes, more than the {most} that there can be")
    with archive.open(info) as file:
        array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
        if file.read(1):
            raise FileError(f"{path}: {info.filename} goes on after the {claimed} bytes of its array")
    return array


def _header(file: BinaryIO, path: Path, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(file)
    if version not in readers:
        raise FileError(f"{path}: {name} has .npy version {version}, expected 1.0 or 2.0; save it with numpy.savez")
    shape, _, dtype = readers[version](file)
    if dtype.kind not in "biuf":
        raise FileError(
            f"{path}: {name} holds {dtype}, expected booleans, integers or floats; Python objects are never read"
        )
    return shape, dtype
