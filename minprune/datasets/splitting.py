"""Parting samples such that every part has the same mix of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minprune.datasets.samples import Dataset, Samples, as_samples
from minprune.errors import DataError

Indices = NDArray[np.int64]


def split(
    samples: Any, valid: float = 0.2, test: float = 0.2, rng: int | np.random.Generator = 0, name: str = "data"
) -> Dataset:
    """Part samples at random into train, valid and test, with the same mix of classes in each.

    Parameters
    ----------
    samples : Samples, (x, y), or an object with `.x` and `.y`
        Integer 1-D labels are stratified; any other target is parted without regard to it.
    valid, test : float
        Fractions of all samples, rounded to whole ones; what they leave is for training.
    rng : int or numpy Generator
        Who draws.
    name : str
        The data set's name.

    Returns
    -------
    Dataset
        Within each part the samples keep their order.

    Raises
    ------
    DataError
        Where a fraction is out of place or a part would be empty.

    Examples
    --------
    >>> x, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    >>> data = split((x, y), valid=0.2, test=0.3)
    >>> len(data.train), len(data.valid), len(data.test), data.test.y.tolist()
    (10, 4, 6, [...])
    """
    x, y = as_samples(samples)
    sizes = round(len(x) * valid), round(len(x) * test)
    if min(valid, test) < 0 or min(sizes) < 1 or sum(sizes) >= len(x):
        raise DataError(
            f"valid={valid} and test={test} of {len(x)} samples leave a part empty: {len(x) - sum(sizes)} train, "
            f"{sizes[0]} valid, {sizes[1]} test; choose other fractions"
        )
    order = np.random.default_rng(rng).permutation(len(x))
    rest, test_part = _part(y, order, sizes[1])
    train_part, valid_part = _part(y, rest, sizes[0])
    classes = getattr(samples, "classes", None)
    train, held_out, judge = (Samples(x[part], y[part], classes) for part in (train_part, valid_part, test_part))
    return Dataset(train, held_out, judge, name)


def hold_out(y: NDArray[Any]) -> tuple[Indices, Indices]:
    """Which samples of a training file to train on, and which to validate on: of each class the last sixth.

    The rule for sources that come with a training and a test part only: of MNIST's 60,000 it holds out 10,000. It
    takes no random numbers, so that the parts are the same everywhere and forever.

    Parameters
    ----------
    y : array (n,) of integers, or any target
        Other targets than 1-D integers count as one class.

    Returns
    -------
    train, valid : arrays of indices
        Ascending.

    Raises
    ------
    DataError
        When there is only one sample.

    Examples
    --------
    >>> train, valid = hold_out(np.array([0, 1] * 6))
    >>> valid.tolist()
    [10, 11]
    """
    if len(y) < 2:
        raise DataError("one training sample cannot be parted into train and valid")
    return _part(y, np.arange(len(y)), max(1, round(len(y) / 6)))


def _part(y: NDArray[Any], order: Indices, size: int) -> tuple[Indices, Indices]:
    """Part the samples `order` into the rest and `size` ones: of each class those that come last in `order`."""
    strata = y[order] if y.ndim == 1 and y.dtype.kind in "iu" else np.zeros(len(order), int)
    taken = np.zeros(len(order), bool)
    labels, counts = np.unique(strata, return_counts=True)
    for label, quota in zip(labels, _quotas(counts, size), strict=True):
        members = np.flatnonzero(strata == label)
        taken[members[len(members) - quota :]] = True
    return np.sort(order[~taken]), np.sort(order[taken])


def _quotas(counts: Indices, size: int) -> Indices:
    """How many of each class make `size` in all: n_c · size/n, rounded by largest remainder."""
    exact = counts * (size / counts.sum())
    quotas: Indices = np.floor(exact).astype(np.int64)
    most_cut = np.argsort(quotas - exact, kind="stable")
    quotas[most_cut[: size - quotas.sum()]] += 1
    return quotas
