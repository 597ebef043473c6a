"""Targets: which loss fits them, and whether they fit the network."""

from __future__ import annotations

from typing import Any

import numpy as np

from .datasets.samples import check_labels
from .errors import DataError, DtypeError, ShapeError
from .ops import LOSSES, Array, exact


def choose_loss(y: Any) -> str:
    """The loss that is taken where none is named: cross-entropy for integer labels, else mse.

    Examples
    --------
    >>> choose_loss(np.array([0, 1])), choose_loss(np.array([0.5, 1.0]))
    ('cross_entropy', 'mse')
    """
    return "cross_entropy" if np.asarray(y).dtype.kind in "iu" else "mse"


def prepare_targets(y: Any, output_shape: tuple[int, ...], loss: str, dtype: np.dtype[Any]) -> Array:
    """Check targets against a network's output and bring them into the form that the loss takes.

    Parameters
    ----------
    y : array
        Integer labels (N,) or rows (N, K) for cross-entropy; numbers (N, K), or (N,) where K is 1, for squared errors.
    output_shape : tuple
        (N, K).
    loss : str
        A key of `minprune.ops.LOSSES`.
    dtype : dtype
        Of the network; numbers are cast to it.

    Returns
    -------
    array
        Integers (N,), or numbers (N, K).

    Raises
    ------
    DataError
        For an unknown loss, or labels out of range.
    DtypeError
        For labels of the wrong kind: floats where classes are expected, classes where numbers are.
    ShapeError
        For any other shape.

    Examples
    --------
    >>> prepare_targets([0.5, 1.0], (2, 1), "mse", np.dtype("float32"))
    array([[0.5],
           [1. ]], dtype=float32)
    """
    if loss not in LOSSES:
        raise DataError(f"unknown loss {loss!r}; expected one of {', '.join(LOSSES)}")
    y = np.asarray(y)
    if y.dtype.kind not in "biuf" and y.dtype.kind != dtype.kind:
        raise DtypeError(f"y holds {y.dtype}, expected class labels or numbers")
    if len(output_shape) != 2:
        raise ShapeError(
            f"{loss} takes a network's output of shape (N, K), got {output_shape}; end with Flatten or Dense"
        )
    if y.ndim == 0 or len(y) != output_shape[0]:
        raise ShapeError(f"{len(y) if y.ndim else 'a single number as'} targets for {output_shape[0]} samples")
    if loss == "cross_entropy":
        check_labels(y, output_shape[1])
        return y if y.ndim == 1 else y.astype(dtype, copy=False)
    if y.dtype.kind in "iu" and y.ndim == 1 and output_shape[1] > 1:
        raise DtypeError(
            f"{loss} needs numbers of shape {output_shape}, y holds class labels; "
            "use loss='cross_entropy', or write them as one-hot rows"
        )
    if y.ndim == 1 and output_shape[1] == 1:
        y = y[:, None]
    if y.shape != output_shape:
        classes = "; for class labels make y integers" if y.ndim == 1 else ""
        raise ShapeError(f"{loss} needs targets of shape {output_shape}, got {y.shape} of {y.dtype}{classes}")
    return exact(y) if dtype.kind == "O" else y.astype(dtype, copy=False)
