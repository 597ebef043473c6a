"""Sparse convolution: what is kept of filters, how it is stored, and what comes out of it."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse_checks import check_kept, kept_on_tiles

from minprune.errors import ShapeError
from minprune.kernels import sparse_filters
from minprune.kernels.cases import Case
from minprune.kernels.layout import is_batch_last
from minprune.kernels.spans import SPANS, WIDE, span_loops
from minprune.kernels.sparse_filters import FEW, SparseFilters, channels_together, correlate_kept
from minprune.kernels.vectors import BYTES, TILE
from minprune.kernels.window_cases import Setting, cases, conv_args
from minprune.ops.conv import conv

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_kept_weights_alone_give_what_filters_with_zeros_give(share: float, dtype: Any) -> None:
    for case in cases(conv, dtype):
        check_kept(case, share)


def test_a_wrong_row_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rows_met = sparse_filters.rows_met
    monkeypatch.setattr(sparse_filters, "rows_met", lambda *args: (rows_met(*args)[0] // 2, None))
    (case,) = [case for case in cases(conv, FLOATS[0]) if case.label == "vector"]
    with pytest.raises(AssertionError, match=r"images, vector, at \["):
        check_kept(case)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Case, float]:
    """Any setting in which the window fits, with one spatial axis or two."""
    axes = draw(st.integers(1, 2))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    groups, kernel, dilation = draw(st.integers(1, 3)), each(1, 4), each(1, 2)
    size = tuple(d * (k - 1) + 1 + draw(st.integers(0, 12)) for k, d in zip(kernel, dilation, strict=True))
    channels, filters = groups * draw(st.integers(1, 9)), groups * draw(st.integers(1, 5))
    N = draw(st.sampled_from([0, 1, 7, 8, 15, 16, 17, 32, 33, 48, 49, 65]))
    setting = Setting(N, channels, filters, size, kernel, each(1, 3), each(0, 2), dilation, groups)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return Case(str(setting), conv_args(setting, draw(st.sampled_from(FLOATS)), rng)), draw(st.floats(0, 1))


@given(convolutions())
@settings(max_examples=60, deadline=None)
def test_any_window_size_and_share_agrees(drawn: tuple[Case, float]) -> None:
    check_kept(*drawn)


# What is stored -------------------------------------------------------------------------------------------------------


def stored(filters: SparseFilters) -> Any:
    """The weights that are stored, where they stand, and 0 elsewhere: (O, all channels, …)."""
    O, c, *kernel = filters.shape  # noqa: E741
    W = np.zeros((O, c * filters.groups * prod(kernel)), filters.values.dtype)
    for part in filters.starts:
        for o, (start, stop) in enumerate(pairwise(part)):
            W[o, filters.entries[start:stop]] = filters.values[start:stop]
    return W.reshape(O, c * filters.groups, *kernel)


def test_every_kept_weight_is_stored_once_and_no_other() -> None:
    rng = np.random.default_rng(0)
    W = rng.standard_normal((6, 40, 3, 3))
    kept = rng.random(W.shape) < 0.9
    filters = SparseFilters.of(W, kept, groups=2)
    assert len(filters.starts) > 2, "a single part would show nothing of parts"
    assert len(filters.values) == kept.sum()
    found = stored(filters)
    np.testing.assert_array_equal(found[:3, :40], np.where(kept, W, 0)[:3])
    np.testing.assert_array_equal(found[3:, 40:], np.where(kept, W, 0)[3:])
    assert not found[:3, 40:].any()
    assert not found[3:, :40].any()


def test_a_weight_that_is_kept_may_be_zero_and_one_that_is_not_may_be_anything() -> None:
    W, kept = np.array([[[0.0, np.nan, 3.0]]]), np.array([[[True, False, True]]])
    np.testing.assert_array_equal(SparseFilters.of(W, kept).values, [0, 3])
    np.testing.assert_array_equal(correlate_kept(np.ones((1, 1, 3)), SparseFilters.of(W, kept)), [[[3]]])


def test_a_part_holds_enough_weights_or_as_much_as_stays_in_the_cache() -> None:
    moves = (1, 1), (0, 0), (1, 1)
    full, few = (channels_together((3, 3), moves, share) for share in (1.0, 0.05))
    assert full == max(2**15 // (3 * (SPANS[0] + 2) * 2 * BYTES), 2)
    assert few * 9 * 0.05 >= FEW
    assert channels_together((3, 3), ((2, 2), (0, 0), (1, 1)), 1.0) < full  # a wider look takes more room
    assert channels_together((1, 1), moves, 0.0) > 0


def test_filters_are_placed_once_for_every_size_of_images() -> None:
    filters = SparseFilters.of(np.ones((2, 1, 3, 3)))
    assert filters.on((5, 5)) is filters.on((5, 5))
    assert filters.on((5, 6)).out == (3, 4)


# What comes out of it -------------------------------------------------------------------------------------------------


def layer(N: int, dtype: Any = np.float32) -> tuple[Any, SparseFilters, Any, Any]:
    """Images, filters of two thirds zeros, a bias, and the result without ReLU."""
    s = Setting(N, 80, 5, (5, 11), (3, 3), padding=(1, 1))
    x, W, b, *moves, _ = conv_args(s, dtype, np.random.default_rng(0))
    W[np.random.default_rng(1).random(W.shape) < 0.67] = 0
    return x, SparseFilters.of(W, None, *moves), b, conv(x, W, b, *moves, 1)


@pytest.mark.parametrize("vectors", range(1, WIDE + 1))
def test_relu_acts_on_whole_sums_in_tiles_of_any_width(vectors: int) -> None:
    x, filters, b, expected = layer(20)
    assert len(filters.starts) > 1, "a single part would show nothing of parts"
    assert (expected < -1).any()
    for found in (correlate_kept(x, filters, b, relu=True), kept_on_tiles(x, filters, b, True, vectors)):
        np.testing.assert_allclose(found, np.maximum(expected, 0), atol=1e-4)
        assert (found >= 0).all()


def test_a_sample_gets_the_same_bytes_whatever_batch_it_comes_in() -> None:
    x, filters, b, _ = layer(70)
    whole = correlate_kept(x, filters, b)
    for count in (1, 16, 33, 48, 64):
        assert correlate_kept(x[:count], filters, b).tobytes() == whole[:count].tobytes()


def test_the_samples_of_the_result_lie_side_by_side() -> None:
    x, filters, b, _ = layer(33)
    assert is_batch_last(correlate_kept(x, filters, b))


def test_nan_reaches_the_places_that_see_it_through_a_kept_weight_and_passes_the_relu() -> None:
    W = np.zeros((1, 1, 3), np.float32)
    W[0, 0, 2] = 1
    x = np.zeros((20, 1, 8), np.float32)
    x[3, 0, 4] = np.nan
    found = correlate_kept(x, SparseFilters.of(W), relu=True)
    assert np.argwhere(np.isnan(found)).tolist() == [[3, 0, 2]]


# What it is made of ---------------------------------------------------------------------------------------------------


def test_the_loops_of_a_span_say_what_it_computes() -> None:
    lanes = BYTES // 8
    panel = np.repeat(np.arange(6.0), lanes)  # row r holds r
    values, rows = np.array([9.0, 1.0, 10.0]), np.array([0, 0, 2], np.int32)
    sums, Y = np.full(2 * lanes, 0.5), np.full(5 * lanes, -1.0)
    # place 0 sees 1 · 1 + 10 · 3 from row 1 on, place 1 two rows further on 1 · 3 + 10 · 5
    span_loops(2, 1, values, rows, 1, 2, panel, lanes, 2 * lanes, 7.0, sums, 0, Y, lanes, 2 * lanes, True, False, True)
    np.testing.assert_array_equal(sums.reshape(2, lanes)[:, 0], [7 + 31, 7 + 53])
    assert (Y == -1).all()
    span_loops(2, 1, -values, rows, 1, 2, panel, 0, lanes, 7.0, sums, 0, Y, lanes, 2 * lanes, False, True, True)
    np.testing.assert_array_equal(Y.reshape(5, lanes)[:, 0], [-1, 38 - 20, -1, 60 - 31, -1])


def test_the_sums_of_a_span_fit_into_the_registers() -> None:
    assert SPANS[0] * WIDE + 1 <= (16 if TILE.bits == 256 else 32)
    assert SPANS[-1] == 1


# What is refused ------------------------------------------------------------------------------------------------------


def refused(x: Any, b: Any = None) -> Any:
    return lambda: correlate_kept(x, SparseFilters.of(np.ones((3, 1, 2))), b)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: SparseFilters.of(np.ones((2, 3))), r"filters float64 \(2, 3\) in 1 group\(s\), kept \(2, 3\): exp"),
        (lambda: SparseFilters.of(np.ones((3, 1, 2)), groups=2), r"in 2 group\(s\).* O a multiple of groups"),
        (lambda: SparseFilters.of(np.ones((3, 1, 2), int)), "filters int64"),
        (lambda: SparseFilters.of(np.ones((3, 1, 2)), np.ones((3, 2), bool)), r"kept \(3, 2\)"),
        (refused(np.ones((4, 2, 9))), r"x is float64 \(4, 2, 9\), the filters ask for float64 \(N, 1, …\)"),
        (refused(np.ones((4, 1, 9), np.float32)), "x is float32"),
        (refused(np.ones((4, 1, 9, 9))), r"x is float64 \(4, 1, 9, 9\)"),
        (refused(np.ones((4, 1, 9)), b=np.ones(2)), r"b is \(2,\), expected a number for each of the 3 filters"),
        (refused(np.ones((4, 1, 1))), "does not fit on"),
    ],
)
def test_what_does_not_belong_together_is_refused(made: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        made()
