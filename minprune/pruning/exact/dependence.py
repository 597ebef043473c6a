"""Linear dependence: which rows of a matrix are combinations of others."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from ...ops import Array

LARGEST = 100  # combinations whose coefficients add up to more would blow rounding up, and are not taken


def dependent_rows(rows: Array, tolerance: float) -> dict[int, dict[int, Any]]:
    r"""Find rows that are combinations of the others: $r_j = \sum_i c_i r_i$ over rows i that are none themselves.

    Rationals: by elimination, exactly. Floats: rows of length 1 are taken one by one, each time that which the others
    so far say least about (Gram–Schmidt with pivoting), until no row has more than `tolerance` left; the coefficients
    are those of least squares. A row whose $\sum_i |c_i|$ is above 100 (for rows of length 1) is left out.

    Parameters
    ----------
    rows : array (n, F)
        Floats or rationals.
    tolerance : float
        What of a row of length 1 may be missing. Not looked at for rationals.

    Returns
    -------
    dict
        j -> {i: c_i}; c_i that are 0 are left out.

    Notes
    -----
    Source: Golub and Van Loan 2013, *Matrix computations*, section 5.4.2 (QR with column pivoting).

    Examples
    --------
    >>> found = dependent_rows(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 2.0]]), 1e-12)
    >>> {j: {i: round(float(c), 9) for i, c in weights.items()} for j, weights in found.items()}
    {2: {0: 3.0, 1: 1.0}}
    """
    if len(rows) < 2:
        return {}
    return _of_rationals(rows) if rows.dtype == object else _of_floats(rows.astype(np.float64), tolerance)


def _of_rationals(rows: Array) -> dict[int, dict[int, Any]]:
    """Reduce every row by those before it, and write down how."""
    reduced: list[tuple[int, list[Any], dict[int, Any]]] = []  # pivot, row, and which given rows it is made of
    found: dict[int, dict[int, Any]] = {}
    for j, row in enumerate(rows.tolist()):
        made: dict[int, Any] = {j: Fraction(1)}
        for at, base, base_made in reduced:
            factor = row[at] / base[at]
            if factor:
                row = [a - factor * b for a, b in zip(row, base, strict=True)]
                for i, c in base_made.items():
                    made[i] = made.get(i, 0) - factor * c
        pivot = next((k for k, entry in enumerate(row) if entry), None)
        if pivot is None:
            found[j] = {i: -c for i, c in made.items() if i != j and c}
        else:
            reduced.append((pivot, row, made))
    return found


def _of_floats(rows: Array, tolerance: float) -> dict[int, dict[int, Any]]:
    lengths = np.sqrt((rows**2).sum(axis=1))
    unit = rows / np.where(lengths > 0, lengths, 1)[:, None]
    basis = _pivots(unit, tolerance)
    others = np.setdiff1d(np.arange(len(rows)), basis)
    if not len(basis) or not len(others):
        return {j: {} for j in others.tolist()}
    coefficients = np.linalg.lstsq(unit[basis].T, unit[others].T, rcond=None)[0].T  # (n−r,r)
    missing = np.abs(coefficients @ unit[basis] - unit[others]).max(axis=1)
    sound = (missing <= tolerance) & (np.abs(coefficients).sum(axis=1) <= LARGEST)
    return {
        int(j): {int(i): c * lengths[j] / lengths[i] for i, c in zip(basis, row, strict=True) if c != 0}
        for j, row, fine in zip(others, coefficients, sound, strict=True)
        if fine
    }


def _pivots(unit: Array, tolerance: float) -> list[int]:
    """Rows that span the others, the most independent first."""
    left = unit.copy()
    chosen: list[int] = []
    for _ in range(min(unit.shape)):
        sizes = np.sqrt((left**2).sum(axis=1))
        j = int(sizes.argmax())
        if sizes[j] <= tolerance:
            break
        chosen.append(j)
        direction = left[j] / sizes[j]
        left -= np.outer(left @ direction, direction)
    return chosen
