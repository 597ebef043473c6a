"""Tables of numbers with one column of labels, as text."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from minprune.datasets.samples import Samples
from minprune.errors import DataError, FileError
from minprune.files import size_of

DELIMITERS = ",;\t|"
LARGEST = float(np.finfo(np.float32).max)


class Row(NamedTuple):
    """One row of the file, and the line where it ends."""

    line: int
    cells: list[str]


def read(
    path: str | os.PathLike[str], label: int | str = -1, header: bool | str = "auto", delimiter: str = "auto"
) -> Samples:
    r"""A table of numbers with a label column.

    Parameters
    ----------
    path : str or path
        Text in UTF-8, one sample per line; cells may be quoted.
    label : int or str
        The column of the labels, by position (negative: from the right) or by its name in the header.
    header : bool or "auto"
        Whether the first line holds names. "auto": it does when one of its cells, the label's apart, is not a number.
    delimiter : str
        What separates cells. "auto": whichever of `, ; tab |` the first line has most of.

    Returns
    -------
    Samples
        x float32 (n, columns - 1); y int64 where all labels are whole numbers written without a point, float32 where
        all are numbers, else int64 numbers of the `classes`, which are the distinct texts in sorted order.

    Raises
    ------
    FileError
        For a file that is missing or is no table; names the line.
    DataError
        For a cell that is not a finite number, or an unknown label column; names file, line and column.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> file = Path(mkdtemp()) / "plants.csv"
    >>> _ = file.write_text("width,height,kind\n1,2,tree\n3,4,herb\n")
    >>> samples = read(file)
    >>> samples.x.tolist(), samples.y.tolist(), samples.classes
    ([[1.0, 2.0], [3.0, 4.0]], [1, 0], ('herb', 'tree'))
    """
    path = Path(path)
    try:
        size_of(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse(file, path, label, header, delimiter)
    except FileError as error:
        raise error if str(error).startswith(str(path)) else FileError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path}: cannot be read as a table: {error}") from None


def _parse(file: TextIO, path: Path, label: int | str, header: bool | str, delimiter: str) -> Samples:
    rows = _rows(file, delimiter)
    first = next(rows, None)
    if first is None:
        raise FileError(f"{path}: holds no rows")
    column = _label_column(first.cells, label, path)
    has_names = isinstance(label, str) or (_looks_like_names(first.cells, column) if header == "auto" else bool(header))
    names = first.cells if has_names else None
    features, labels, lines = [], [], []
    for row in rows if has_names else chain([first], rows):
        if len(row.cells) != len(first.cells):
            raise FileError(
                f"{path}: line {row.line} has {len(row.cells)} cells, the first line has {len(first.cells)}"
            )
        features.append(_numbers(row, column, names, path))
        labels.append(row.cells[column].strip())
        lines.append(row.line)
    if not features:
        raise FileError(f"{path}: holds a header but no rows")
    y, classes = _targets(labels, lines, column, path)
    return Samples(np.stack(features), y, classes)


def _rows(file: TextIO, delimiter: str) -> Iterator[Row]:
    """The rows that are not blank."""
    if delimiter == "auto":
        start = file.readline()
        file.seek(0)
        delimiter = max(DELIMITERS, key=start.count)
    reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield Row(reader.line_num, cells)


def _label_column(cells: list[str], label: int | str, path: Path) -> int:
    """The position of the label column, counted from the left."""
    if len(cells) < 2:
        raise FileError(
            f"{path}: has one column; expected at least one feature and the label (is the delimiter right?)"
        )
    if isinstance(label, str):
        names = [cell.strip() for cell in cells]
        if label not in names:
            raise DataError(f"{path}: no column is named {label!r}; the first line has {', '.join(names[:20])}")
        return names.index(label)
    if not -len(cells) <= label < len(cells):
        raise DataError(f"{path}: there is no column {label}; the table has {len(cells)} columns")
    return label % len(cells)


def _looks_like_names(cells: list[str], column: int) -> bool:
    return any(_number(cell) is None for i, cell in enumerate(cells) if i != column)


def _numbers(row: Row, column: int, names: list[str] | None, path: Path) -> NDArray[np.float32]:
    """The features of a row: every cell but the label's."""
    cells = row.cells[:column] + row.cells[column + 1 :]
    values = np.array([_number(cell) for cell in cells], np.float64)  # None, for no number, becomes NaN
    wrong = np.flatnonzero(~(np.abs(values) <= LARGEST))
    if len(wrong):
        place = int(wrong[0] + (wrong[0] >= column))
        name = f" ({names[place].strip()})" if names else ""
        cell = row.cells[place]
        raise DataError(f"{path}: line {row.line}, column {place + 1}{name}: {cell!r} is not a finite float32")
    return values.astype(np.float32)


def _number(cell: str) -> float | None:
    """The number a cell holds, None for any other text; Python's `1_000` is such a text."""
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _targets(
    labels: list[str], lines: list[int], column: int, path: Path
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Labels as numbers, and the names of the classes where the labels are texts."""
    if "" in labels:
        raise DataError(f"{path}: line {lines[labels.index('')]}, column {column + 1}: the label is missing")
    whole = [label.lstrip("+-").isdecimal() and len(label) < 19 for label in labels]  # 18 digits always fit int64
    if all(whole):
        return np.array([int(label) for label in labels], np.int64), None
    values = [_number(label) for label in labels]
    if all(value is not None and math.isfinite(value) for value in values):
        return np.array(values, np.float64).astype(np.float32), None
    classes = sorted(set(labels))
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number[label] for label in labels], np.int64), tuple(classes)
