"""Sparse matrices: only the weights that are kept, weight by weight (CSR) or in blocks.

A matrix (J, I) is cut into blocks of R × C, and of every row of blocks those are stored that hold a kept weight. With
blocks of 1 × 1 this is the CSR format ("compressed sparse row"), with larger ones BSR: fewer indices, but zeros inside
a block are stored too.

    values   (n, R, C)  the stored blocks, row of blocks by row of blocks
    columns  (n,)       where each stands in its row, counted in blocks, ascending
    offsets  (r + 1,)   row p owns the blocks offsets[p] to offsets[p + 1]

Source: Saad 2003, *Iterative methods for sparse linear systems*, section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .backends import accelerable
from .errors import PlanError, ShapeError, StructureError
from .ops import Array

Block = tuple[int, int]
# What `storage`, `sparsify` and `save` try. CSR comes first: at a tie it is taken.
BLOCKS: tuple[Block, ...] = ((1, 1), (4, 1), (1, 4), (16, 1), (1, 16), (4, 4), (16, 16))


@accelerable
def csr_affine(x: Array, values: Array, columns: Array, offsets: Array, b: Array | None) -> Array:
    r"""Compute ``x Wᵀ + b`` from the CSR arrays of W: x (N, I), values (n,), b (J,) -> (N, J).

    $z_{nj} = b_j + \sum_{k=o_j}^{o_{j+1}-1} v_k\, x_{n,c_k}$
    """
    x = np.ascontiguousarray(x.T)  # (I, N): what a weight needs of all samples lies in one piece
    z = np.empty((len(offsets) - 1, x.shape[1]), np.result_type(x, values))
    for j, (start, stop) in enumerate(pairwise(offsets.tolist())):
        z[j] = values[start:stop] @ x[columns[start:stop]]  # (k,)(k,N) -> (N,)
    return z.T if b is None else z.T + b


@accelerable
def block_affine(x: Array, values: Array, columns: Array, offsets: Array, outputs: int, b: Array | None) -> Array:
    r"""Compute ``x Wᵀ + b`` from the blocks of W: x (N, I), values (n, R, C), b (J,) -> (N, J), with J = outputs.

    $z_{n,pR+i} = b_{pR+i} + \sum_{k=o_p}^{o_{p+1}-1} \sum_{l=0}^{C-1} v_{kil}\, x_{n,c_k C+l}$
    """
    R, C = values.shape[1:]
    x = np.pad(x.T, ((0, -x.shape[1] % C), (0, 0)))  # the last block may reach over the edge
    x = x.reshape(len(x) // C, C, x.shape[1])  # (c, C, N)
    z = np.empty((len(offsets) - 1, R, x.shape[2]), np.result_type(x, values))
    for p, (start, stop) in enumerate(pairwise(offsets.tolist())):
        weights = values[start:stop].swapaxes(0, 1).reshape(R, (stop - start) * C)
        z[p] = weights @ x[columns[start:stop]].reshape((stop - start) * C, x.shape[2])  # (R,kC)(kC,N) -> (R,N)
    z = z.reshape(len(z) * R, z.shape[2])[:outputs].T
    return z if b is None else z + b


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """A matrix of which only blocks that hold a kept weight are stored.

    Parameters
    ----------
    values : array (n, R, C)
        The blocks.
    columns, offsets : array (n,), (r + 1,)
        Of unsigned integers: where they stand.
    shape : (int, int)
        Of the whole matrix.

    Raises
    ------
    StructureError
        When the arrays do not describe a matrix of this shape.

    Examples
    --------
    >>> W = np.array([[0.0, 5.0, 0.0], [0.0, 0.0, 0.0], [7.0, 0.0, 8.0]])
    >>> sparse = SparseMatrix.from_dense(W)
    >>> sparse.values.ravel(), sparse.columns, sparse.offsets
    (array([5., 7., 8.]), array([1, 0, 2], dtype=uint8), array([0, 1, 1, 3], dtype=uint8))
    >>> sparse.nbytes  # 3 numbers of 8 bytes, 3 columns and 4 offsets of 1
    31
    >>> sparse.affine(np.array([[1.0, 10.0, 100.0]]))
    array([[ 50.,   0., 807.]])
    """

    values: Array
    columns: Array
    offsets: Array
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        rows, width = _counts(self.shape, self.block)
        offsets, columns = self.offsets.astype(np.int64), self.columns.astype(np.int64)
        _need(self.offsets.shape == (rows + 1,), f"expected {rows + 1} offsets, got {self.offsets.shape}")
        _need(self.columns.shape == self.values.shape[:1], f"{len(self.values)} blocks, {len(columns)} columns")
        _need((np.diff(offsets) >= 0).all(), "the offsets are not ascending")
        _need(offsets[0] == 0 and offsets[-1] == len(columns), f"the offsets do not run from 0 to {len(columns)}")
        _need(((columns >= 0) & (columns < width)).all(), f"a column lies outside 0 to {width - 1}")
        places = self._rows() * width + columns
        _need((np.diff(places) > 0).all(), "the columns of a row are not ascending")

    @classmethod
    def from_dense(cls, W: Array, kept: Array | None = None, block: Block = (1, 1)) -> SparseMatrix:
        """Store the kept weights of a matrix.

        Parameters
        ----------
        W : array (J, I)
            Of any kind of number.
        kept : array of bool (J, I), optional
            Which weights are kept; by default those that are not 0.
        block : (int, int)
            Rows and columns of a block; blocks at the edges are filled up with 0.
        """
        check_block(block)
        if W.ndim != 2:
            raise ShapeError(f"a sparse matrix has two axes, got shape {W.shape}; a filter is a row: see as_matrix")
        kept = np.asarray(W != 0 if kept is None else kept)
        stored = stored_blocks(kept, block)  # (r, c)
        rows, columns = np.nonzero(stored)
        offsets = np.concatenate([[0], stored.sum(axis=1).cumsum()])
        values = as_blocks(np.where(kept, W, W.dtype.type(0)), block)[rows, columns]
        columns = columns.astype(index_dtype(stored.shape[1] - 1))
        return cls(values, columns, offsets.astype(index_dtype(len(columns))), W.shape)

    def to_dense(self) -> Array:
        """The whole matrix (J, I)."""
        (rows, width), (R, C) = _counts(self.shape, self.block), self.block
        blocks = np.zeros((rows, width, R, C), self.values.dtype)
        blocks[self._rows(), self.columns] = self.values
        whole = blocks.swapaxes(1, 2).reshape(rows * R, width * C)
        return np.ascontiguousarray(whole[: self.shape[0], : self.shape[1]])

    def _rows(self) -> Array:
        """The row of every stored block."""
        lengths: Array = np.diff(self.offsets.astype(np.int64))
        return np.repeat(np.arange(len(lengths)), lengths)

    @property
    def block(self) -> Block:
        """Rows and columns of a block."""
        return self.values.shape[1], self.values.shape[2]

    @property
    def nbytes(self) -> int:
        """All bytes that it takes: numbers, columns and offsets."""
        return self.values.nbytes + self.columns.nbytes + self.offsets.nbytes

    def affine(self, x: Array, b: Array | None = None) -> Array:
        """Compute ``x Wᵀ + b`` for a batch x (N, I) -> (N, J)."""
        if x.ndim != 2 or x.shape[1] != self.shape[1]:
            raise ShapeError(f"expected x of shape (N, {self.shape[1]}), got {x.shape}")
        if self.block == (1, 1):
            return csr_affine(x, self.values.reshape(-1), self.columns, self.offsets, b)
        return block_affine(x, self.values, self.columns, self.offsets, self.shape[0], b)

    def __repr__(self) -> str:
        form = "CSR" if self.block == (1, 1) else f"blocks of {self.block[0]}×{self.block[1]}"
        return f"<SparseMatrix {self.shape}, {form}: {self.values.size:,} numbers, {self.nbytes:,} bytes>"


def _need(condition: Any, otherwise: str) -> None:
    if not condition:
        raise StructureError(f"not a sparse matrix: {otherwise}")


def _counts(shape: tuple[int, int], block: Block) -> tuple[int, int]:
    """How many rows and columns of blocks there are."""
    return -(-shape[0] // block[0]), -(-shape[1] // block[1])


def check_block(block: Any) -> Block:
    """Refuse what is no pair of whole numbers of at least 1."""
    if not isinstance(block, tuple) or [type(size) for size in block] != [int, int] or min(block) < 1:
        raise PlanError(f"block is {block!r}, expected rows and columns such as (16, 1)")
    return block


def index_dtype(largest: int) -> np.dtype[Any]:
    """The smallest unsigned integers that hold 0 to `largest`.

    Examples
    --------
    >>> index_dtype(255), index_dtype(256)
    (dtype('uint8'), dtype('uint16'))
    """
    return np.min_scalar_type(max(0, largest))


def as_matrix(W: Array) -> Array:
    """A parameter as a matrix with one row for every neuron or filter: (O, c, kH, kW) -> (O, c·kH·kW)."""
    return W.reshape(len(W), -1)


def as_blocks(W: Array, block: Block) -> Array:
    """Cut a matrix into blocks, filled up with 0 at the edges: (J, I) -> (r, c, R, C).

    Examples
    --------
    >>> as_blocks(np.array([[1, 2, 3]]), (1, 2)).tolist()
    [[[[1, 2]], [[3, 0]]]]
    """
    rows, width = _counts(W.shape, block)
    padded = np.zeros((rows * block[0], width * block[1]), W.dtype)
    padded[: W.shape[0], : W.shape[1]] = W
    return padded.reshape(rows, block[0], width, block[1]).swapaxes(1, 2)


def stored_blocks(kept: Array, block: Block) -> Array:
    """Which blocks hold a kept weight: (J, I) -> (r, c)."""
    for axis, size in enumerate(block):
        if size > 1:
            kept = np.logical_or.reduceat(kept, np.arange(0, kept.shape[axis], size), axis=axis)
    return kept


def block_nbytes(kept: Array, itemsize: int, block: Block) -> int:
    """The bytes that a matrix would take, from its mask alone.

    Examples
    --------
    >>> kept = np.eye(3, dtype=bool)
    >>> block_nbytes(kept, 8, (1, 1)) == SparseMatrix.from_dense(np.eye(3)).nbytes
    True
    """
    stored = stored_blocks(kept, block)
    n = int(stored.sum())
    per_block = block[0] * block[1] * itemsize + index_dtype(stored.shape[1] - 1).itemsize
    return n * per_block + (len(stored) + 1) * index_dtype(n).itemsize


def smallest_block(kept: Array, itemsize: int) -> Block:
    """The one of `BLOCKS` that stores a matrix in the fewest bytes."""
    return min(BLOCKS, key=lambda block: block_nbytes(kept, itemsize, block))
