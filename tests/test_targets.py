"""Targets: which loss they mean, and every way in which they do not fit."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from minprune.errors import DataError, DtypeError, MinpruneError, ShapeError
from minprune.targets import choose_loss, prepare_targets

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


@pytest.mark.parametrize(
    ("y", "loss"),
    [
        ([0, 1], "cross_entropy"),
        (np.array([0, 1], dtype=np.uint8), "cross_entropy"),
        (np.eye(2, dtype=int), "cross_entropy"),
        ([0.0, 1.0], "mse"),
        (np.eye(2), "mse"),
        ([True, False], "mse"),
    ],
)
def test_whole_numbers_mean_classes_and_others_mean_squared_errors(y: Any, loss: str) -> None:
    assert choose_loss(y) == loss


def test_numbers_are_cast_to_the_networks_dtype_and_a_single_output_takes_a_plain_row() -> None:
    for y in ([1.0, 2.0], [[1.0], [2.0]], [1, 2]):
        for loss in ("mse", "half_squared_error"):
            prepared = prepare_targets(y, (2, 1), loss, F32)
            assert (prepared.shape, prepared.dtype) == ((2, 1), F32)
            assert prepared.tolist() == [[1.0], [2.0]]


def test_class_labels_stay_whole_numbers_and_rows_are_cast() -> None:
    assert prepare_targets([2, 0], (2, 3), "cross_entropy", F32).dtype.kind == "i"
    rows = prepare_targets([[0, 1, 0], [1, 0, 0]], (2, 3), "cross_entropy", F32)
    assert rows.dtype == F32
    assert rows.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_one_hot_whole_numbers_are_numbers_to_a_squared_error() -> None:
    assert prepare_targets([[0, 1], [1, 0]], (2, 2), "mse", F64).tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_targets_of_an_exact_network_become_rationals() -> None:
    prepared = prepare_targets([[0.5]], (1, 1), "mse", np.dtype(object))
    assert prepared[0, 0] == Fraction(1, 2)
    assert isinstance(prepare_targets([[Fraction(1, 3)]], (1, 1), "mse", np.dtype(object))[0, 0], Fraction)


@pytest.mark.parametrize(
    ("y", "shape", "loss", "error", "message"),
    [
        ([0.0], (1, 1), "hinge", DataError, "unknown loss 'hinge'; expected one of half_squared_error, mse, cross_"),
        (["cat"], (1, 2), "cross_entropy", DtypeError, "y holds <U3, expected class labels or numbers"),
        (None, (1, 2), "mse", DtypeError, "y holds object, expected class labels or numbers"),
        ([Fraction(1, 2)], (1, 1), "mse", DtypeError, "y holds object, expected class labels or numbers"),
        ([0], (1, 2, 3, 3), "cross_entropy", ShapeError, r"takes .* of shape \(N, K\), got \(1, 2, 3, 3\); end with"),
        ([0, 1], (3, 2), "cross_entropy", ShapeError, "2 targets for 3 samples"),
        (5, (3, 2), "cross_entropy", ShapeError, "a single number as targets for 3 samples"),
        ([0, 2], (2, 2), "cross_entropy", DataError, r"y holds 2, but labels must be in 0\.\.1"),
        ([0, -1], (2, 2), "cross_entropy", DataError, r"y holds -1, but labels must be in 0\.\.1"),
        ([0.0, 1.0], (2, 2), "cross_entropy", DtypeError, "labels must be integers"),
        ([[0.7, 0.7]], (1, 2), "cross_entropy", DataError, r"y\[0\] must be a one-hot row"),
        ([0, 1], (2, 2), "mse", DtypeError, r"mse needs numbers of shape \(2, 2\), y holds class labels; use loss='cr"),
        ([[0.0, 1.0]], (1, 3), "mse", ShapeError, r"mse needs targets of shape \(1, 3\), got \(1, 2\)"),
        ([0.0, 1.0], (2, 3), "half_squared_error", ShapeError, r"needs targets of shape \(2, 3\), got \(2,\)"),
    ],
)
def test_targets_that_do_not_fit_are_refused_by_name(
    y: Any, shape: tuple[int, ...], loss: str, error: type[MinpruneError], message: str
) -> None:
    with pytest.raises(error, match=message):
        prepare_targets(y, shape, loss, F64)
