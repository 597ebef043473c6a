"""Comparing an answer with what was expected: the first entry that is off, and what kind of slip it looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-6  # of an entry's size, or of 1

Numbers = NDArray[np.float64]


def what_is_off(expected: Any, got: Any) -> str:
    """Say where an answer differs from what was expected; "" where it does not.

    Parameters
    ----------
    expected : number, array, or tuple of these
    got : anything

    Examples
    --------
    >>> what_is_off(np.array([0.5, 0.25]), [0.5, 0.2])
    'at [1] expected 0.25, got 0.2'
    >>> what_is_off(np.array([0.5, 0.25]), [-0.5, -0.25])
    'at [0] expected 0.5, got -0.5; every sign is reversed'
    >>> what_is_off(1.0, None)
    'expected a number, got None'
    """
    if not isinstance(expected, tuple):
        return _array_off(np.asarray(expected, dtype=np.float64), got)
    if not isinstance(got, tuple | list) or len(got) != len(expected):
        came = f"{len(got)} results" if isinstance(got, tuple | list) else _kind(got)
        return f"expected {len(expected)} results, got {came}"
    for number, (one, other) in enumerate(zip(expected, got, strict=True), 1):
        off = what_is_off(one, other)
        if off:
            return f"result {number} of {len(expected)}: {off}"
    return ""


def _array_off(expected: Numbers, got: Any) -> str:
    wanted = f"an array of shape {expected.shape}" if expected.ndim else "a number"
    try:
        numbers = np.asarray(got, dtype=np.float64)
    except (TypeError, ValueError):
        return f"expected {wanted}, got {_kind(got)}"
    if got is None or numbers.shape != expected.shape:
        transposed = numbers.shape == expected.shape[::-1] and _close(expected, numbers.T).all()
        return f"expected {wanted}, got {_kind(got)}{'; it is transposed' if transposed else ''}"
    wrong = np.argwhere(~_close(expected, numbers))
    if not len(wrong):
        return ""
    index = tuple(wrong[0].tolist())
    where = f"at [{', '.join(map(str, index))}] " if index else ""
    return f"{where}expected {expected[index]:.6g}, got {numbers[index]:.6g}{_slip(expected, numbers)}"


def _close(expected: Numbers, got: Numbers) -> NDArray[np.bool_]:
    return np.isclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=False)


def _kind(value: Any) -> str:
    """What a value that does not fit is."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray | list | tuple):
        try:
            return f"shape {np.shape(value)}"
        except ValueError:
            return "rows of different lengths"
    return "a number" if isinstance(value, int | float | np.number) else type(value).__name__


def _slip(expected: Numbers, got: Numbers) -> str:
    """Name a mistake that makes all entries wrong in the same way."""
    at = np.abs(expected) > TOLERANCE
    if not at.any() or not np.isfinite(got).all():
        return ""
    factor = float(got[at][0] / expected[at][0])
    if abs(factor - 1) < TOLERANCE or abs(factor) < TOLERANCE or not _close(expected * factor, got).all():
        return ""
    if expected.size < 2 and factor != -1:
        return ""  # one number alone is always some multiple of another
    return "; every sign is reversed" if abs(factor + 1) < TOLERANCE else f"; all is {factor:.4g} times as large"
