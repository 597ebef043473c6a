"""Masked parameters in a file: only the weights that are kept, and where they are.

Two forms, of which a parameter takes the one with fewer bytes:

* bits: one bit for every weight (1: kept), and the kept weights in order;
* blocks: a `minprune.sparse.SparseMatrix`, CSR or in larger blocks, where the mask consists of whole blocks. CSR is
  smaller than bits where less than about one weight in 8 (up to 256 columns) or in 16 is kept.

A sparse file may say a large network in few bytes, so reading bounds what is asked for: a byte of bits makes 8 weights,
and blocks are only written, and only read, where the dense parameter has at most `MOST_EXPANSION` times the bytes that
the file has of it.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..errors import FileError, StructureError
from ..layers import Shape
from ..ops import Array
from ..sparse import BLOCKS, Block, SparseMatrix, as_matrix, block_nbytes, index_dtype, stored_blocks

MOST_EXPANSION = 256
Spec = tuple[Shape, np.dtype[Any]]


def entry_of(name: str, W: Array, kept: Array) -> dict[str, Any]:
    """Say in which form a parameter is to be stored, as JSON will hold it.

    Raises
    ------
    StructureError
        When a weight that is not kept is not 0: it would be lost.
    """
    if ((W.view(f"u{W.itemsize}") != 0) & ~kept).any():
        raise StructureError(f"{name}: a masked weight is not 0; net.close_masks() makes all of them 0")
    sizes = {block: block_nbytes(as_matrix(kept), W.itemsize, block) for block in BLOCKS if _fits(kept, block)}
    sizes = {block: size for block, size in sizes.items() if W.nbytes <= MOST_EXPANSION * size}
    best = min(sizes, key=sizes.__getitem__, default=None)
    if best is None or -(-W.size // 8) + int(kept.sum()) * W.itemsize <= sizes[best]:
        return {"kept": int(kept.sum())}
    return {"blocks": int(stored_blocks(as_matrix(kept), best).sum()), "block": list(best)}


def _fits(kept: Array, block: Block) -> bool:
    """Whether a mask consists of whole blocks of this size: they have as many places as there are kept weights."""
    matrix = as_matrix(kept)
    if block[0] > matrix.shape[0] or block[1] > matrix.shape[1]:
        return False
    heights, widths = (np.diff([*range(0, n, size), n]) for n, size in zip(matrix.shape, block, strict=True))
    return bool(heights @ (stored_blocks(matrix, block) @ widths) == matrix.sum())


def bytes_in_file(name: str, W: Array, kept: Array) -> int:
    """How many bytes of numbers and positions a masked parameter takes in a file."""
    return sum(array.nbytes for array in members_of(name, W, kept, entry_of(name, W, kept)).values())


def members_of(name: str, W: Array, kept: Array, entry: dict[str, Any]) -> dict[str, Array]:
    """The arrays that a file holds in place of a masked parameter."""
    if "kept" in entry:
        return {f"{name}.bits": np.packbits(kept), f"{name}.kept": W[kept]}
    sparse = SparseMatrix.from_dense(as_matrix(W), as_matrix(kept), tuple(entry["block"]))
    return {f"{name}.{part}": getattr(sparse, part) for part in ("values", "columns", "offsets")}


def expected_members(name: str, entry: Any, spec: Spec) -> dict[str, Spec]:
    """Which arrays must be there for a parameter of this shape and dtype, from an entry that is not trusted.

    Raises
    ------
    FileError
        For an entry that is not possible, or that would expand too far.
    """
    shape, dtype = spec
    size, rows = prod(shape), shape[0]
    small = np.dtype(np.uint8)
    if isinstance(entry, dict) and set(entry) == {"kept"} and _is_count(entry["kept"], size):
        return {f"{name}.bits": ((-(-size // 8),), small), f"{name}.kept": ((entry["kept"],), dtype)}
    if not (isinstance(entry, dict) and set(entry) == {"blocks", "block"} and _is_block(entry["block"], shape)):
        raise FileError(f"{name}: its mask is described by {entry!r}, expected kept, or blocks and block")
    (R, C), width = entry["block"], size // rows
    height, across = -(-rows // R), -(-width // C)
    n = entry["blocks"]
    if not _is_count(n, height * across):
        raise FileError(f"{name}: {n!r} blocks, expected 0 to {height * across:,}")
    members = {
        f"{name}.values": ((n, R, C), dtype),
        f"{name}.columns": ((n,), index_dtype(across - 1).newbyteorder("<")),
        f"{name}.offsets": ((height + 1,), index_dtype(n).newbyteorder("<")),
    }
    stored = sum(prod(member) * kind.itemsize for member, kind in members.values())
    if size * dtype.itemsize > MOST_EXPANSION * stored:
        raise FileError(
            f"{name}: {size * dtype.itemsize:,} bytes from {stored:,} in the file, "
            f"expected at most {MOST_EXPANSION} times as many"
        )
    return members


def _is_count(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _is_block(value: Any, shape: Shape) -> bool:
    within = (shape[0], prod(shape[1:]))
    pair = isinstance(value, list) and len(value) == 2 and all(type(size) is int for size in value)
    return pair and all(1 <= size <= most for size, most in zip(value, within, strict=True))


def restored(name: str, entry: dict[str, Any], shape: Shape, arrays: dict[str, Array]) -> tuple[Array, Array]:
    """A parameter and its mask, from the arrays that stand in its place.

    Raises
    ------
    FileError
        When the arrays contradict each other.
    """
    if "kept" in entry:
        bits, values = arrays[f"{name}.bits"], arrays[f"{name}.kept"]
        kept = np.unpackbits(bits, count=prod(shape)).astype(bool).reshape(shape)
        if kept.sum() != len(values):
            raise FileError(f"{name}: {kept.sum():,} bits are set, but there are {len(values):,} weights")
        W = np.zeros(shape, values.dtype)
        W[kept] = values
        return W, kept
    matrix = shape[0], prod(shape[1:])
    try:
        sparse = SparseMatrix(arrays[f"{name}.values"], arrays[f"{name}.columns"], arrays[f"{name}.offsets"], matrix)
    except StructureError as error:
        raise FileError(f"{name}: {error}") from None
    ones = SparseMatrix(np.ones(sparse.values.shape, bool), sparse.columns, sparse.offsets, matrix)
    return sparse.to_dense().reshape(shape), ones.to_dense().reshape(shape)
