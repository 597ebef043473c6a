"""Sparse matrices: every form against the dense matrix, over all shapes, and nothing that contradicts itself."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minprune.backends import table
from minprune.errors import PlanError, ShapeError, StructureError
from minprune.ops import exact
from minprune.sparse import (
    BLOCKS,
    SparseMatrix,
    as_blocks,
    as_matrix,
    block_affine,
    block_nbytes,
    check_block,
    csr_affine,
    index_dtype,
    smallest_block,
)

blocks = st.tuples(st.integers(1, 5), st.integers(1, 5))


@st.composite
def matrices(draw: st.DrawFn) -> Any:
    """A matrix of small whole numbers in which rows, columns or everything may be empty."""
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    W = rng.integers(-4, 5, shape) * (rng.random(shape) < draw(st.sampled_from([0.0, 0.2, 0.6, 1.0])))
    if draw(st.booleans()):
        W[rng.integers(shape[0])] = 0
        W[:, rng.integers(shape[1])] = 0
    return W.astype(np.float64)


def by_loops(x: Any, W: Any, b: Any) -> Any:
    z = np.empty((len(x), len(W)), dtype=object)
    for n in range(len(x)):
        for j in range(len(W)):
            z[n, j] = sum((W[j, i] * x[n, i] for i in range(W.shape[1])), 0 if b is None else b[j])
    return z


@given(W=matrices(), block=blocks, with_bias=st.booleans())
def test_a_sparse_matrix_is_the_dense_one_and_multiplies_like_it(W: Any, block: Any, with_bias: bool) -> None:
    sparse = SparseMatrix.from_dense(W, block=block)
    np.testing.assert_array_equal(sparse.to_dense(), W)
    x = np.random.default_rng(0).integers(-3, 4, (3, W.shape[1])).astype(float)
    b = np.arange(len(W), dtype=float) if with_bias else None
    z = sparse.affine(x, b)  # of whole numbers: exact in any order
    np.testing.assert_array_equal(z, by_loops(x, W, b).astype(float))
    assert z.shape == (3, len(W))


@given(W=matrices(), block=blocks)
def test_what_is_stored_are_the_blocks_that_hold_something_row_by_row(W: Any, block: Any) -> None:
    sparse = SparseMatrix.from_dense(W, block=block)
    R, C = block
    found = []
    for p in range(-(-len(W) // R)):
        for q in range(-(-W.shape[1] // C)):
            piece = W[p * R : p * R + R, q * C : q * C + C]
            if piece.any():
                found.append((p, q, np.pad(piece, ((0, R - len(piece)), (0, C - piece.shape[1])))))
    rows = np.repeat(np.arange(len(sparse.offsets) - 1), np.diff(sparse.offsets.astype(int)))
    assert [(p, q) for p, q, _ in found] == list(zip(rows.tolist(), sparse.columns.tolist(), strict=True))
    assert len(found) == len(sparse.values)
    for (_, _, piece), values in zip(found, sparse.values, strict=True):
        np.testing.assert_array_equal(values, piece)


@given(W=matrices(), block=blocks)
def test_bytes_are_those_of_the_arrays_and_known_from_the_mask_alone(W: Any, block: Any) -> None:
    sparse = SparseMatrix.from_dense(W.astype(np.float32), block=block)
    buffers = [
        np.array(part, copy=True, order="C").tobytes() for part in (sparse.values, sparse.columns, sparse.offsets)
    ]
    assert sparse.nbytes == sum(map(len, buffers)) == block_nbytes(W != 0, 4, block)


def test_the_smallest_block_is_the_smallest() -> None:
    rng = np.random.default_rng(0)
    scattered = rng.random((64, 64)) < 0.05
    assert smallest_block(scattered, 4) == (1, 1)
    for block in BLOCKS[1:]:
        whole = (rng.random((64 // block[0], 64 // block[1])) < 0.2).repeat(block[0], 0).repeat(block[1], 1)
        sizes = {other: SparseMatrix.from_dense(np.where(whole, 1.0, 0.0), block=other).nbytes for other in BLOCKS}
        assert block_nbytes(whole, 8, smallest_block(whole, 8)) == min(sizes.values())
        assert sizes[block] == min(sizes.values())


def test_kept_zeros_are_stored_and_what_is_not_kept_is_not() -> None:
    W, kept = np.array([[0.0, 5.0, 6.0]]), np.array([[True, True, False]])
    sparse = SparseMatrix.from_dense(W, kept)
    assert sparse.values.ravel().tolist() == [0.0, 5.0]
    assert SparseMatrix.from_dense(W, kept, (1, 2)).to_dense().tolist() == [[0.0, 5.0, 0.0]]
    assert SparseMatrix.from_dense(W, kept, (1, 3)).to_dense().tolist() == [[0.0, 5.0, 0.0]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("block", [(1, 1), (2, 3)])
def test_every_kind_of_number_keeps_its_kind(dtype: Any, block: Any) -> None:
    W = (np.random.default_rng(0).integers(-2, 3, (5, 7))).astype(dtype)
    sparse = SparseMatrix.from_dense(W, block=block)
    x = np.eye(7).astype(dtype)
    assert sparse.to_dense().dtype == sparse.affine(x).dtype == dtype
    np.testing.assert_array_equal(sparse.affine(x), W.T)


@pytest.mark.parametrize("block", [(1, 1), (2, 2), (3, 1)])
def test_rationals_are_multiplied_exactly(block: Any) -> None:
    rng = np.random.default_rng(1)
    W = exact(rng.integers(-4, 5, (5, 6)) * (rng.random((5, 6)) < 0.4))
    W[2] = Fraction(0)
    x, b = exact(rng.integers(1, 9, (4, 6))), exact(rng.integers(1, 9, 5))
    W, x = W / Fraction(3), x / Fraction(7)
    assert (SparseMatrix.from_dense(W, block=block).affine(x, b) == by_loops(x, W, b)).all()


@pytest.mark.parametrize("block", [(1, 1), (4, 2)])
def test_an_empty_matrix_gives_the_bias_and_an_empty_batch_nothing(block: Any) -> None:
    sparse = SparseMatrix.from_dense(np.zeros((5, 3), np.float32), block=block)
    assert len(sparse.values) == 0
    assert sparse.affine(np.ones((2, 3), np.float32), np.arange(5, dtype=np.float32)).tolist() == [[0, 1, 2, 3, 4]] * 2
    assert sparse.affine(np.ones((0, 3), np.float32)).shape == (0, 5)


def test_indices_are_as_small_as_they_can_be() -> None:
    assert [index_dtype(n).itemsize for n in (-1, 0, 255, 256, 65_535, 65_536, 2**32)] == [1, 1, 1, 2, 2, 4, 8]
    wide = np.zeros((2, 300), np.float32)
    wide[:, -1] = 1
    assert SparseMatrix.from_dense(wide).columns.tolist() == [299, 299]
    assert SparseMatrix.from_dense(wide).columns.dtype == np.uint16
    assert SparseMatrix.from_dense(wide, block=(1, 2)).columns.dtype == np.uint8
    assert SparseMatrix.from_dense(np.ones((1, 300), np.float32)).offsets.tolist() == [0, 300]


def test_a_filter_is_a_row_of_the_matrix() -> None:
    W = np.arange(24.0).reshape(2, 3, 2, 2)
    np.testing.assert_array_equal(as_matrix(W)[1], W[1].ravel())
    assert as_matrix(np.ones(3)).shape == (3, 1)
    assert as_blocks(np.ones((3, 3), bool), (2, 2)).sum(axis=(2, 3)).tolist() == [[4, 2], [2, 1]]


def test_kernels_can_accelerate_both_products() -> None:
    for function in (csr_affine, block_affine):
        assert "numpy" in table()[f"minprune.sparse.{function.__name__}"]


def test_it_reads_as_what_it_is() -> None:
    W = np.eye(4, dtype=np.float32)
    assert repr(SparseMatrix.from_dense(W)) == "<SparseMatrix (4, 4), CSR: 4 numbers, 25 bytes>"
    assert repr(SparseMatrix.from_dense(W, block=(2, 2))) == (
        "<SparseMatrix (4, 4), blocks of 2×2: 8 numbers, 37 bytes>"
    )


SOUND = {"values": np.ones((3, 1, 1)), "columns": np.array([0, 2, 1]), "offsets": np.array([0, 2, 3]), "shape": (2, 3)}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"offsets": np.array([0, 2])}, r"expected 3 offsets, got \(2,\)"),
        ({"columns": np.array([0, 2])}, "3 blocks, 2 columns"),
        ({"offsets": np.array([0, 3, 2])}, "the offsets are not ascending"),
        ({"offsets": np.array([1, 2, 3])}, "the offsets do not run from 0 to 3"),
        ({"offsets": np.array([0, 2, 2])}, "the offsets do not run from 0 to 3"),
        ({"offsets": np.array([0, 2, 2**64 - 1], np.uint64)}, "the offsets"),
        ({"columns": np.array([0, 3, 1])}, "a column lies outside 0 to 2"),
        ({"columns": np.array([0, -1, 1])}, "a column lies outside 0 to 2"),
        ({"columns": np.array([2, 0, 1])}, "the columns of a row are not ascending"),
        ({"columns": np.array([2, 2, 1])}, "the columns of a row are not ascending"),
    ],
)
def test_arrays_that_describe_no_matrix_are_refused(change: Any, match: str) -> None:
    SparseMatrix(**SOUND)
    with pytest.raises(StructureError, match=f"not a sparse matrix: {match}"):
        SparseMatrix(**SOUND | change)


@pytest.mark.parametrize("block", [(0, 1), (1,), [1, 1], (1.0, 1), (True, 1), 16, None])
def test_a_block_is_two_whole_numbers(block: Any) -> None:
    with pytest.raises(PlanError, match=r"block is .*, expected rows and columns such as \(16, 1\)"):
        check_block(block)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"a sparse matrix has two axes, got shape \(2, 3, 1, 1\)"):
        SparseMatrix.from_dense(np.ones((2, 3, 1, 1)))
    with pytest.raises(ShapeError, match=r"expected x of shape \(N, 3\), got \(1, 2\)"):
        SparseMatrix.from_dense(np.ones((2, 3))).affine(np.ones((1, 2)))
