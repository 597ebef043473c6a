"""Data to train, score and judge on: the digits that ship with minprune, files in three formats, and known sets.

Wherever minprune takes data it takes `(x, y)`, an object with `.x` and `.y`, a `Dataset`, or a bare x where labels are
not used; `as_samples` and `as_splits` are the two doors.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from minprune.datasets import csvfile, idxfile, npzfile
from minprune.datasets.csvfile import read as csv
from minprune.datasets.samples import Dataset, Samples, as_samples, as_splits, check_labels
from minprune.datasets.splitting import hold_out, split
from minprune.errors import DataError, FileError

__all__ = [
    "Dataset",
    "Samples",
    "as_samples",
    "as_splits",
    "check_labels",
    "csv",
    "digits",
    "fashion_mnist",
    "idx",
    "load",
    "mnist",
    "npz",
    "split",
]

PathLike = str | os.PathLike[str]


def digits(flat: bool = True) -> Dataset:
    """The UCI optical digits: 1,797 images of 8×8, which ship with minprune; x = (dark pixels of 4×4) / 16.

    1,078 samples to train on, 359 to validate, 360 to test, stratified; the split is stored in the file and never
    changes. The samples come from 13 writers whom the file does not tell apart: a writer can be in all three parts.

    Parameters
    ----------
    flat : bool
        (n, 64), rows of the image one after the other, or with False (n, 1, 8, 8).

    Returns
    -------
    Dataset
        x float32 in 0..1; y int64 in 0..9.

    References
    ----------
    E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
    https://doi.org/10.24432/C50P49, test portion; licence CC BY 4.0 (see `minprune/datasets/LICENSE-digits.txt`).

    Examples
    --------
    >>> data = digits()
    >>> data
    Dataset 'digits': 1078 train, 359 valid, 360 test samples of shape (64,)
    >>> data.train.x.dtype, data.train.y.dtype
    (dtype('float32'), dtype('int64'))
    """
    source = resources.files("minprune.datasets").joinpath("digits.npz")
    with source.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        x, y, part = stored["x"].astype(np.float32) / 16, stored["y"].astype(np.int64), stored["part"]
    x = x if flat else x.reshape(-1, 1, 8, 8)
    train, valid, test = (Samples(x[part == i], y[part == i]) for i in range(3))
    return Dataset(train, valid, test, name="digits")


@overload
def idx(images: PathLike, labels: None = None, flat: bool = True) -> NDArray[np.float32]: ...


@overload
def idx(images: PathLike, labels: PathLike, flat: bool = True) -> Samples: ...


def idx(images: PathLike, labels: PathLike | None = None, flat: bool = True) -> NDArray[np.float32] | Samples:
    """Images, and labels, from IDX files (gzipped or not); bytes become x = byte / 255.

    Parameters
    ----------
    images, labels : str or path
        IDX files, as MNIST has them.
    flat : bool
        (n, height·width), or with False (n, 1, height, width).

    Returns
    -------
    Samples, or x alone where there are no labels
        x float32, y int64 (n,).

    Raises
    ------
    FileError
        For a missing, damaged or foreign file, and labels that are not one integer per image.
    DataError
        When the two files differ in length.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "images-idx3-ubyte"
    >>> _ = file.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 255]))
    >>> idx(file), idx(file, flat=False).shape
    (array([[0., 1.]], dtype=float32), (1, 1, 1, 2))
    """
    pixels = idxfile.read(images)
    if pixels.ndim < 2:
        raise FileError(f"{images}: has {pixels.ndim} dimension, expected images (are these the labels?)")
    if labels is None:
        return _as_inputs(pixels, flat)
    return Samples(_as_inputs(pixels, flat), _idx_labels(labels, len(pixels), images))


def npz(path: PathLike) -> Samples | Dataset:
    """Arrays from a NumPy archive: `x`, `y`, or `x_train`, `y_train`, `x_test`, `y_test` (and `x_valid`, `y_valid`).

    Parameters
    ----------
    path : str or path
        The .npz file. Unsigned bytes in x are taken for images (byte / 255); integer labels become int64; everything
        else stays as it is stored.

    Returns
    -------
    Samples or Dataset
        Where the validation part is missing it is the last sixth of each class of the training part.

    Raises
    ------
    FileError
        For a missing or damaged file, objects, or other keys.
    DataError, DtypeError, ShapeError
        As `Samples`.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "a.npz"
    >>> np.savez(file, x=np.eye(2), y=np.arange(2))
    >>> len(npz(file))
    2
    """
    arrays = npzfile.read(path)
    if {"x", "y"} <= arrays.keys():
        return Samples(_scaled(arrays["x"]), _whole(arrays["y"]))
    wanted = ["x_train", "y_train", "x_test", "y_test"]
    if any(key not in arrays for key in wanted) or ("x_valid" in arrays) != ("y_valid" in arrays):
        found = ", ".join(arrays)[:200] or "nothing"
        raise FileError(f"{path}: expected x, y or {', '.join(wanted)} (and x_valid, y_valid); found {found}")
    train = Samples(_scaled(arrays["x_train"]), _whole(arrays["y_train"]))
    test = Samples(_scaled(arrays["x_test"]), _whole(arrays["y_test"]))
    if "x_valid" in arrays:
        valid = Samples(_scaled(arrays["x_valid"]), _whole(arrays["y_valid"]))
    else:
        kept, held_out = hold_out(train.y)
        train, valid = Samples(train.x[kept], train.y[kept]), Samples(train.x[held_out], train.y[held_out])
    return Dataset(train, valid, test, name=Path(path).stem)


def load(path: PathLike, flat: bool = True, label: int | str = -1) -> Samples | Dataset:
    """Data from a path: a folder of IDX files named as MNIST's, an .npz archive, or a table (.csv, .tsv, .txt).

    Parameters
    ----------
    path : str or path
        A folder must hold `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same two of `t10k`, gzipped or
        not. Validation is the last sixth of each class of the training files (of MNIST: 10,000).
    flat : bool
        For a folder: (n, height·width), or with False (n, 1, height, width).
    label : int or str
        For a table: the column of the labels.

    Returns
    -------
    Dataset for a folder, Samples for a table, either for an archive
        `split` makes a Dataset of Samples.

    Raises
    ------
    FileError, DataError, DtypeError, ShapeError
        As the reader of that format; `FileError` where the suffix names none.

    Examples
    --------
    >>> load("weights.pkl")
    Traceback (most recent call last):
    minprune.errors.FileError: weights.pkl: unknown kind of data; expected a folder of IDX files, .npz, .csv, ...
    """
    path = Path(path)
    if path.is_dir():
        return _idx_folder(path, flat)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return npz(path)
    if suffix in (".csv", ".tsv", ".txt"):
        return csvfile.read(path, label)
    raise FileError(f"{path}: unknown kind of data; expected a folder of IDX files, .npz, .csv, .tsv or .txt")


def mnist(flat: bool = True, root: PathLike | None = None) -> Dataset:
    """MNIST: 50,000 digits of 28×28 to train on, 10,000 to validate, 10,000 to test; `minprune data mnist` fetches it.

    Parameters
    ----------
    flat : bool
        (n, 784), or with False (n, 1, 28, 28).
    root : str or path, optional
        The folder with the data sets; by default as `fetching.root_folder` says.

    Returns
    -------
    Dataset
        x float32 in 0..1, y int64. Validation is the last sixth of each class of the training files.

    Raises
    ------
    FileError
        Where the files are missing; names the command that fetches them.

    References
    ----------
    Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits. Licence CC BY-SA 3.0.

    Examples
    --------
    >>> mnist(root="nowhere")
    Traceback (most recent call last):
    minprune.errors.FileError: mnist is not complete in nowhere...mnist: fetch it with `minprune data mnist`
    """
    from minprune import fetching  # brings urllib and ssl, which take longer to import than all else here

    return _idx_folder(fetching.path("mnist", root), flat)


def fashion_mnist(flat: bool = True, root: PathLike | None = None) -> Dataset:
    """Fashion-MNIST: articles of clothing in MNIST's form (fetch it: `minprune data fashion-mnist`).

    Parameters
    ----------
    flat, root
        As in `mnist`.

    Returns
    -------
    Dataset
        As `mnist`.

    Raises
    ------
    FileError
        Where the files are missing; names the command that fetches them.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, 2017, arXiv:1708.07747. Licence MIT.

    Examples
    --------
    >>> fashion_mnist(root="nowhere")
    Traceback (most recent call last):
    minprune.errors.FileError: fashion-mnist is not complete in ... `minprune data fashion-mnist`
    """
    from minprune import fetching

    return _idx_folder(fetching.path("fashion-mnist", root), flat)


def _idx_folder(folder: Path, flat: bool) -> Dataset:
    """Train, valid and test from the four files of an MNIST-like folder."""
    pixels, y = _idx_pair(folder, "train")
    kept, held_out = hold_out(y)
    parts = [(pixels[kept], y[kept]), (pixels[held_out], y[held_out]), _idx_pair(folder, "t10k")]
    train, valid, test = (Samples(_as_inputs(images, flat), labels) for images, labels in parts)
    return Dataset(train, valid, test, name=folder.resolve().name)


def _idx_pair(folder: Path, part: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    images = _find(folder, f"{part}-images", "idx3-ubyte")
    pixels = idxfile.read(images)
    return pixels, _idx_labels(_find(folder, f"{part}-labels", "idx1-ubyte"), len(pixels), images)


def _find(folder: Path, stem: str, kind: str) -> Path:
    """`stem-kind` or `stem.kind` (both spellings are in use), gzipped or not."""
    for name in (f"{stem}-{kind}", f"{stem}.{kind}", f"{stem}-{kind}.gz", f"{stem}.{kind}.gz"):
        if (folder / name).is_file():
            return folder / name
    raise FileError(f"{folder}: holds no {stem}-{kind} (or .gz), as a folder of IDX files must")


def _idx_labels(path: PathLike, count: int, images: PathLike) -> NDArray[np.int64]:
    y = idxfile.read(path)
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise FileError(f"{path}: holds {y.dtype} of shape {y.shape}, expected one integer label per image")
    if len(y) != count:
        raise DataError(f"{images} holds {count} images, {path} {len(y)} labels: they do not belong together")
    return y.astype(np.int64)


def _as_inputs(pixels: NDArray[Any], flat: bool) -> NDArray[np.float32]:
    if flat:
        pixels = pixels.reshape(len(pixels), -1)
    elif pixels.ndim == 3:
        pixels = pixels[:, None]  # (n, h, w) -> (n, 1, h, w)
    return _scaled(pixels).astype(np.float32, copy=False)


def _scaled(x: NDArray[Any]) -> NDArray[Any]:
    if x.dtype != np.uint8:
        return x
    scaled = x.astype(np.float32)
    scaled /= 255  # in place: MNIST is 188 MB
    return scaled


def _whole(y: NDArray[Any]) -> NDArray[Any]:
    return y.astype(np.int64) if y.dtype.kind in "iu" else y
