"""What several commands need: data by name, places that can be written, a budget of training."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from .. import data as datasets
from ..errors import FileError
from ..learning_rates import Cosine
from ..nn import Graph
from ..optim import AdamW
from ..pruning.schedule import FineTune
from ..usage import DATA

Outcome = tuple[str, dict[str, Any]]


def read_data(name: str, *, flat: bool, label: str = "-1") -> Any:
    """A data set by its name or path; one without parts is split, stratified, into train, valid and test.

    Parameters
    ----------
    name : str
        ``digits``, ``mnist``, ``fashion-mnist`` or a path.
    flat : bool
        Whether images come as rows of pixels.
    label : str
        The label column of a CSV file.

    Raises
    ------
    FileError
        When there is nothing of this name.
    """
    if name == "digits":
        return datasets.digits(flat=flat)
    if name in ("mnist", "fashion-mnist"):
        return {"mnist": datasets.mnist, "fashion-mnist": datasets.fashion_mnist}[name](flat=flat)
    if not Path(name).exists():
        raise FileError(f"{name}: there is no such data set, file or folder; expected {DATA}")
    column: int | str = int(label) if label.lstrip("-").isdigit() else label
    found = datasets.load(name, flat=flat, label=column)
    return found if isinstance(found, datasets.Dataset) else datasets.split(found)


def for_network(net: Graph, args: Namespace, name: str) -> Any:
    """A data set in the form that a network reads: images, or rows of pixels."""
    shapes = net.input_shapes or {}
    return read_data(name, flat=all(len(shape) == 1 for shape in shapes.values()), label=args.label)


def can_be_written(path: str, what: str, suffixes: tuple[str, ...]) -> None:
    """Refuse a path that it cannot be saved to, before the work and not after it."""
    if Path(path).suffix not in suffixes:
        raise FileError(f"{path}: {what} is saved as {' or '.join(suffixes)}")
    if not Path(path).absolute().parent.is_dir():
        raise FileError(f"{path}: the folder {Path(path).absolute().parent} does not exist; make it first")


def tuning(args: Namespace, epochs: int) -> FineTune | None:
    """How to train after a removal, if at all."""
    return FineTune(epochs, AdamW(args.lr, weight_decay=0.0), args.batch_size, Cosine()) if epochs else None
