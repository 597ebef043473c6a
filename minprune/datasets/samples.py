"""Containers for samples, and the checks that everything a user passes as data goes through once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minprune.errors import DataError, DtypeError, ShapeError

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs `x` and targets `y`, checked once and read-only; `x, y = samples` unpacks them.

    Parameters
    ----------
    x : array (n, ...), at least 2-D, or a mapping of such arrays for a network of several inputs
        One sample per row: real numbers, all finite.
    y : array (n,) or (n, ...)
        Class numbers (integers) or targets (floats), all finite.
    classes : tuple of str, optional
        The name of class 0, 1, ..., where the source had names.

    Raises
    ------
    DataError
        Where there is nothing, where a number is not finite, or where x and y differ in length.
    DtypeError
        For anything but real numbers.
    ShapeError
        When `x` is not at least 2-D or `y` is a single number.

    Examples
    --------
    >>> samples = Samples(np.eye(3), np.arange(3))
    >>> x, y = samples
    >>> len(samples), x.shape, x.flags.writeable
    (3, (3, 3), False)
    """

    x: Any
    y: Array
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        x, y = _inputs(self.x), _numbers(self.y, "y")
        if y.ndim == 0:
            raise ShapeError("y must hold one target per sample, got a single number")
        if count(x) != len(y):
            raise DataError(f"x and y must be equally long, got {count(x)} samples and {len(y)} targets")
        frozen = {name: _read_only(part) for name, part in x.items()} if isinstance(x, dict) else _read_only(x)
        object.__setattr__(self, "x", frozen)  # the one way to set a field of a frozen dataclass
        object.__setattr__(self, "y", _read_only(y))

    def __len__(self) -> int:
        return count(self.x)

    def __repr__(self) -> str:
        return f"<{len(self)} samples: x {_shape(self.x)}, y {self.y.dtype}{self.y.shape[1:] or ''}>"

    def __iter__(self) -> Iterator[Array]:
        return iter((self.x, self.y))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples to train on, to choose by (`valid`), and to judge by once, at the end (`test`).

    Examples
    --------
    >>> part = Samples(np.eye(2), np.arange(2))
    >>> Dataset(part, part, part, name="toy")
    Dataset 'toy': 2 train, 2 valid, 2 test samples of shape (2,)
    """

    train: Samples
    valid: Samples
    test: Samples
    name: str = "data"

    def __repr__(self) -> str:
        sizes = f"{len(self.train)} train, {len(self.valid)} valid, {len(self.test)} test"
        return f"Dataset {self.name!r}: {sizes} samples of shape {_shape(self.train.x)}"


@overload
def as_samples(data: Any, *, labels: Literal[True] = True) -> tuple[Any, Array]: ...


@overload
def as_samples(data: Any, *, labels: bool) -> tuple[Any, Array | None]: ...


def as_samples(data: Any, *, labels: bool = True) -> tuple[Any, Array | None]:
    """What a user passes as data, as checked arrays (x, y).

    Parameters
    ----------
    data : Samples, Dataset, (x, y), an object with `.x` and `.y`, or a bare x
        Of a `Dataset` the training part is taken. Only a tuple is a pair: a list of two is two rows of x.
    labels : bool
        Whether `y` is needed. With False a bare x will do, and `y` comes back as None where there is none.

    Returns
    -------
    x : array (n, ...)
        With the numbers' type unchanged: the network casts to its own.
    y : array (n,) or (n, ...), or None

    Raises
    ------
    DataError, DtypeError, ShapeError
        As `Samples`; and `DataError` where labels are needed and there are none.

    Examples
    --------
    >>> x, y = as_samples(([[0.0, 1.0]], [1]))
    >>> x.shape, y.tolist()
    ((1, 2), [1])
    """
    if isinstance(data, str | os.PathLike):
        raise DataError(f"data is {data!r}, which names it only; load it first: mp.data.digits(), mp.data.load(path) …")
    data = getattr(data, "train", data)
    x, y = _pair(data)
    if x is None:
        raise DataError("no data: expected (x, y), an object with .x and .y, or an array x; got None")
    if y is None:
        if labels:
            raise DataError("labels are needed here: pass (x, y) or an object with .x and .y, not x alone")
        return _inputs(x), None
    samples = data if isinstance(data, Samples) else Samples(x, y)  # Samples were checked when they were made
    return samples.x, samples.y


def as_splits(data: Any) -> tuple[Samples, Samples | None]:
    """The part to train on, and the part to validate on where `data` has one.

    Parameters
    ----------
    data : Dataset, or anything `as_samples` takes
        Only an object with `.train` and `.valid` brings a validation part.

    Returns
    -------
    train : Samples
    valid : Samples or None

    Raises
    ------
    DataError, DtypeError, ShapeError
        As `as_samples`.

    Examples
    --------
    >>> train, valid = as_splits((np.eye(2), np.arange(2)))
    >>> len(train), valid
    (2, None)
    """
    valid = getattr(data, "valid", None)
    return _as_container(data), None if valid is None else _as_container(valid)


def check_labels(y: ArrayLike, classes: int) -> None:
    """Refuse `y` unless it can be the target of a classifier with `classes` outputs.

    Parameters
    ----------
    y : array (n,) of integers in range(classes), or (n, classes) with rows that sum to one
        Class numbers, or one row of class probabilities per sample (one-hot).
    classes : int
        The number of outputs of the network.

    Raises
    ------
    DataError
        A label out of range, or a row that is no distribution.
    DtypeError
        Class numbers that are not integers.
    ShapeError
        Any other shape.

    Examples
    --------
    >>> check_labels([0, 2, 1], classes=3)
    >>> check_labels([0, 3], classes=3)
    Traceback (most recent call last):
    minprune.errors.DataError: y holds 3, but labels must be in 0..2 for a network with 3 outputs
    """
    y = _numbers(y, "y")
    if classes == 1:
        raise DataError(
            "cross_entropy needs at least 2 outputs, the network has 1; for numbers as targets use loss='mse'"
        )
    if y.ndim == 2 and y.shape[1] == classes and (classes > 1 or y.dtype.kind == "f"):
        return _check_rows(y)
    if y.ndim != 1:
        raise ShapeError(f"labels must have shape (n,), or (n, {classes}) as one-hot rows; y has shape {y.shape}")
    if y.dtype.kind not in "iu":
        raise DtypeError(
            f"labels must be integers (class numbers), y is {y.dtype}; use y.astype(int), or a loss for floats"
        )
    wrong = np.flatnonzero((y < 0) | (y >= classes))
    if len(wrong):
        i = wrong[0]
        allowed = f"0..{classes - 1} for a network with {classes} outputs"
        raise DataError(f"y holds {y[i]}, but labels must be in {allowed}")
    return None


def _check_rows(y: Array) -> None:
    """Each row of `y` is a distribution over the classes, up to float32's rounding."""
    wrong = np.flatnonzero((y < 0).any(axis=1) | (np.abs(y.sum(axis=1) - 1.0) > 1e-5))
    if len(wrong):
        i = wrong[0]
        raise DataError(f"y[{i}] must be a one-hot row (no entry below 0, sum 1); its sum is {y[i].sum():g}")


def _pair(data: Any) -> tuple[Any, Any]:
    """(x, y) as they were passed, y None where there is only x."""
    if hasattr(data, "x"):
        return data.x, getattr(data, "y", None)
    if isinstance(data, tuple):
        if len(data) != 2:
            raise DataError(f"a tuple of data must be (x, y), got {len(data)} entries")
        return data
    return data, None


def _as_container(data: Any) -> Samples:
    if isinstance(getattr(data, "train", data), Samples):
        return getattr(data, "train", data)  # narrowed by the line above
    return Samples(*as_samples(data))


def count(x: Any) -> int:
    """How many samples x holds: an array, or a mapping of arrays for a network of several inputs.

    Examples
    --------
    >>> count(np.zeros((5, 3))), count({"image": np.zeros((5, 1, 8, 8)), "text": np.zeros((5, 20))})
    (5, 5)
    """
    return len(next(iter(x.values()))) if isinstance(x, Mapping) else len(x)


def rows(x: Any, index: Any) -> Any:
    """The samples at an index, slice or array of indices, of an array or a mapping of arrays.

    Examples
    --------
    >>> rows({"a": np.arange(6).reshape(3, 2)}, slice(1))
    {'a': array([[0, 1]])}
    """
    return {name: part[index] for name, part in x.items()} if isinstance(x, Mapping) else x[index]


def _inputs(x: Any) -> Any:
    if isinstance(x, Mapping):
        parts = {name: _inputs(part) for name, part in x.items()}
        sizes = {name: len(part) for name, part in parts.items()}
        if len(set(sizes.values())) != 1:
            raise DataError(f"x: all inputs need the same number of samples, got {sizes or 'none'}")
        return parts
    x = _numbers(x, "x")
    if x.ndim < 2:
        raise ShapeError(
            f"x must have shape (samples, features) or (samples, ...), got {x.shape}; one sample is x[None]"
        )
    return x


def _numbers(values: ArrayLike, name: str) -> Array:
    """`values` as an array of real, finite numbers, of which there is at least one."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise ShapeError(f"{name} must be a rectangular array, its rows differ in length") from None
    if array.dtype.kind not in "biuf":
        raise DtypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.size == 0:
        raise DataError(f"{name} is empty: shape {array.shape}")
    if array.dtype.kind == "f" and not _all_finite(array):
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise DataError(f"{name}[{', '.join(map(str, first))}] is {array[first]}: data must be finite, clean it first")
    return array


def _all_finite(array: Array) -> bool:
    """Whether no number is NaN or infinite: then their sum mostly is finite, too, which takes half as long to see."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


def _shape(x: Any) -> Any:
    return {name: part.shape[1:] for name, part in x.items()} if isinstance(x, Mapping) else x.shape[1:]


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view
