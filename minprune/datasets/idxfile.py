"""The IDX format of MNIST, gzipped or not: two zero bytes, type, number of dimensions, the dimensions, the numbers.

All numbers are big-endian. What a header claims is held against the file before any memory is taken for it.
Format: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from minprune.errors import FileError
from minprune.files import size_of

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"
DEFLATE_RATIO = 1032  # deflate cannot pack tighter: 258 bytes in 2 bits (zlib's technical notes)
LIMIT = 4 * 2**30  # bytes of one array; more would not fit a laptop as float32
CHUNK = 2**20


def read(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array in an IDX file, as it is stored (in the machine's byte order).

    Parameters
    ----------
    path : str or path
        The file; whether it is gzipped is told by its first bytes.

    Returns
    -------
    array
        Of the type and the dimensions that the header states.

    Raises
    ------
    FileError
        For a file that is missing, damaged, truncated, too long, of another format, or that claims more than it holds.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "labels-idx1-ubyte"
    >>> _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    >>> read(file)
    array([7, 2, 1], dtype=uint8)
    """
    path = Path(path)
    try:
        size_of(path)
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
            file.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=file) as stream:
                    return _parse(stream, path, path.stat().st_size * DEFLATE_RATIO)  # type: ignore[arg-type]
            return _parse(file, path, path.stat().st_size)
    except FileError as error:
        raise error if str(error).startswith(str(path)) else FileError(f"{path}: {error}") from None
    except (OSError, EOFError, zlib.error) as error:  # gzip's own errors are OSErrors
        raise FileError(f"{path}: cannot be read: {error}") from None


def _parse(stream: BinaryIO, path: Path, most: int) -> NDArray[Any]:
    """Header, then exactly the bytes it claims; `most` is what a file of this size can hold at all."""
    magic = _exactly(stream, 4, path)
    dtype = TYPES.get(magic[2])
    if magic[:2] != b"\0\0" or dtype is None or magic[3] == 0:
        raise FileError(f"{path}: not an IDX file: it starts with {magic.hex(' ')}, expected 00 00 <type> <dimensions>")
    shape = tuple(int(n) for n in np.frombuffer(_exactly(stream, 4 * magic[3], path), ">u4"))
    claimed = math.prod(shape) * np.dtype(dtype).itemsize
    if claimed == 0:
        raise FileError(f"{path}: holds no numbers: its dimensions are {shape}")
    if claimed > min(most, LIMIT):
        raise FileError(
            f"{path}: claims {claimed} bytes, more than {min(most, LIMIT)}, the most that a file of its size may hold"
        )
    values = _exactly(stream, claimed, path)
    if stream.read(1):
        raise FileError(f"{path}: goes on after the {claimed} bytes that its header {shape} claims")
    native = np.dtype(dtype).newbyteorder("=")
    return np.frombuffer(values, dtype).reshape(shape).astype(native, copy=False)


def _exactly(stream: BinaryIO, size: int, path: Path) -> bytearray:
    """`size` bytes, taken chunk by chunk: memory grows with what is there, not with what is claimed."""
    data = bytearray()
    while len(data) < size:
        chunk = stream.read(min(CHUNK, size - len(data)))
        if not chunk:
            raise FileError(f"{path}: ends too early: {len(data)} bytes where {size} were expected")
        data += chunk
    return data
