"""Dense layers by columns, and what is stored of sparse ones."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from kernel_checks import on_columns

from minprune.kernels.cases import bound
from minprune.kernels.columns import list_inputs
from minprune.kernels.strips import PART, Parts
from minprune.ops.affine import affine
from minprune.runtime.steps import csr

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0])
def test_by_columns_only_those_are_read_whose_input_is_not_zero(share: float, dtype: Any) -> None:
    for N, I, J in ((1, 40, 70), (3, 7, 2), (2, 5, 128)):  # noqa: E741
        rng = np.random.default_rng(N)
        x, W, b = (rng.standard_normal(shape).astype(dtype) for shape in ((N, I), (J, I), (J,)))
        gone = np.arange(I) < share * I
        x[:, gone] = 0
        expected = affine(x, W, b)
        allowed = bound(affine, (x, W, b))
        W[:, gone] = np.nan
        assert (np.abs(on_columns(x, W, b) - expected) <= allowed).all()
        assert (np.abs(on_columns(x, W, b, relu=True) - np.maximum(expected, 0)) <= allowed).all()


@pytest.mark.parametrize("rows", [1, 4, 16])
def test_what_is_stored_of_a_matrix_is_what_is_kept_block_by_block(rows: int) -> None:
    rng = np.random.default_rng(rows)
    for J, I in ((1, 1), (7, 300), (16, 128), (37, 129), (3, 0)):  # noqa: E741
        W, kept = rng.standard_normal((J, I)).astype(np.float32), rng.random((J, I)) < 0.2
        W[~kept] = np.nan  # what is not kept may be anything
        parts = Parts.of(W, kept, rows)
        found = np.zeros((-(-J // rows) * rows, I), np.float32)
        blocks = parts.values.reshape(-1, rows)
        for p, part in enumerate(parts.offsets):
            for r, (start, stop) in enumerate(pairwise(part)):
                columns = p * PART + parts.columns[start:stop].astype(int)
                assert (np.diff(columns) > 0).all()
                found[r * rows : (r + 1) * rows, columns] = blocks[start:stop].T
                assert (blocks[start:stop] != 0).any(axis=1).all(), "a block without a kept weight is stored"
        np.testing.assert_array_equal(found[:J], np.where(kept, W, 0))


def test_by_columns_nan_stays_in_its_row_and_passes_the_relu() -> None:
    x, W, b = np.ones((3, 6), np.float32), np.ones((70, 6), np.float32), np.zeros(70, np.float32)
    x[1, 4] = np.nan
    found = on_columns(x, W, b, relu=True)
    assert np.isnan(found[1]).all()
    assert (found[[0, 2]] == 6).all()


def test_inputs_are_listed_with_their_places() -> None:
    values, columns = np.empty(5), np.empty(5, np.uint16)
    count = list_inputs(np.array([0.0, 3.0, -0.0, np.nan]), values, columns)
    np.testing.assert_array_equal(values[:count], [3, np.nan])
    assert columns[:count].tolist() == [1, 3]


def test_csr_counts_columns_through_the_whole_row() -> None:
    W = np.zeros((3, 1000), np.float32)
    W[0, [5, 999]], W[2, 700] = [1, 2], 3
    values, columns, offsets = csr(W, W != 0)
    assert (values.tolist(), columns.tolist(), offsets.tolist()) == ([1, 2, 3], [5, 999, 700], [0, 2, 2, 3])
