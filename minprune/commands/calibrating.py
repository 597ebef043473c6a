"""Samples for a network that somebody brings: with labels, or with none, where the network's own answers stand in."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import data as datasets
from ..datasets import idxfile, npzfile
from ..datasets.samples import Dataset, Samples, as_samples, count, rows
from ..errors import DataError, FileError
from ..layers import Shape, Softmax
from ..nn import Graph
from ..ops import LOSSES, Array
from .shared import for_network

FEWEST = 10  # samples that are parted into train, valid and test; fewer serve for all three
BATCH = 256


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a network is pruned and judged with.

    Attributes
    ----------
    data : Dataset or Samples
        Its targets are such as `loss` takes.
    loss : str
    labelled, classes : bool
        Whether the targets came with the data (if not, they are the network's own answers), and are classes.
    told : str
        What the data were taken for: nobody should have to guess.
    """

    data: Any
    loss: str
    labelled: bool
    classes: bool
    told: str

    @property
    def quality(self) -> str:
        """What is to be high: without labels the share of answers that are still the original's."""
        kind = "accuracy" if self.classes else "R²"
        return kind if self.labelled else "agreement" if self.classes else "R² to the original"

    @property
    def judged(self) -> Samples:
        """The part to judge by, at the end."""
        return getattr(self.data, "test", self.data)


def calibration(net: Graph, args: Namespace) -> Calibration:
    """Read what --data, or the place behind the model, and --labels name.

    Raises
    ------
    FileError, DataError
        For what cannot be read, does not fit the network, or is named twice or not at all.
    """
    name = _named(args)
    held = _held(name)
    if held is None or {"x_train", "x_test"} <= held:
        if args.labels is not None:
            raise DataError(f"{name} has labels of its own; leave --labels out, or name inputs in an .npz or .npy file")
        return _prepared(net, for_network(net, args, name), True, args.loss, [])
    x, notes = _inputs(net, name)
    y = _labels(args.labels) if args.labels else _labels(name) if "y" in held else None
    if y is not None and len(y) != count(x):
        raise DataError(
            f"{name} holds {count(x)} samples, {args.labels or 'its y'} {len(y)} labels: they do not belong together"
        )
    samples = Samples(x, _answers(net, x, args.loss) if y is None else y)
    data = datasets.split(samples) if count(x) >= FEWEST and not isinstance(x, Mapping) else samples
    return _prepared(net, data, y is not None, args.loss, notes)


def _named(args: Namespace) -> str:
    if (args.data is None) == (args.data_file is None):
        what = "named twice, behind the model and by --data" if args.data else "missing; name it by --data"
        raise DataError(f"{args.model}: the data is {what}, such as calib.npz with an array x")
    return args.data or args.data_file


def _held(name: str) -> set[str] | None:
    """The names of the arrays in a file of arrays; None for every other kind of data."""
    if Path(name).suffix.lower() == ".npy":
        return {"x"}
    is_archive = Path(name).suffix.lower() == ".npz" and Path(name).exists()
    return set(npzfile.names(name)) if is_archive else None


def _inputs(net: Graph, name: str) -> tuple[Any, list[str]]:
    """The samples alone, in the shapes that the network reads."""
    suffix = Path(name).suffix.lower()
    notes: list[str] = []
    arrays = {"x": npzfile.read_npy(name)} if suffix == ".npy" else npzfile.read(name)
    if len(net.inputs) == 1:
        rest = [array for key, array in arrays.items() if key != "y"]
        only = rest[0] if len(rest) == 1 else arrays.get("x", arrays.get(net.inputs[0]))
        if only is None:
            raise FileError(f"{name}: expected an array x, found {', '.join(arrays)[:200] or 'nothing'}")
        arrays = {net.inputs[0]: only}
    missing = [wanted for wanted in net.inputs if wanted not in arrays]
    if missing:
        raise FileError(f"{name}: expected an array for every input of the network; {missing[0]!r} is missing")
    shapes = net.input_shapes or {}
    x = {put: _fitted(put, _scaled(arrays[put], notes), shapes.get(put), notes) for put in net.inputs}
    return (x if len(x) > 1 else next(iter(x.values()))), notes


def _scaled(x: Array, notes: list[str]) -> Array:
    if x.dtype == np.uint8:
        notes.append("bytes were divided by 255")
        return x.astype(np.float32) / 255
    return x


def _fitted(name: str, x: Array, shape: Shape | None, notes: list[str]) -> Array:
    """The same numbers in the shape that an input has: axes of 1 are added or left out, images flattened or not."""
    if shape is None or x.shape[1:] == shape or x.ndim < 1 or not len(x):
        return x
    flat = len(shape) == 1 or x.ndim == 2
    squeezed = [size for size in x.shape[1:] if size != 1] == [size for size in shape if size != 1]
    if int(np.prod(x.shape[1:])) != int(np.prod(shape)) or not (flat or squeezed):
        raise DataError(f"{name}: samples have the shape {x.shape[1:]}, the network reads {shape}")
    notes.append(f"samples of shape {x.shape[1:]} were taken as {shape}")
    return x.reshape(len(x), *shape)


def _labels(path: str) -> Array:
    """Labels from an .npy or .npz file, or an IDX file."""
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        arrays = npzfile.read(path)
        y = arrays.get("y", next(iter(arrays.values())) if len(arrays) == 1 else None)
        if y is None:
            raise FileError(f"{path}: expected an array y, found {', '.join(arrays)[:200] or 'nothing'}")
    else:
        y = npzfile.read_npy(path) if suffix == ".npy" else idxfile.read(path)
    return y.astype(np.int64) if y.dtype.kind in "iu" else y


def outputs_of(net: Graph, x: Any) -> Array:
    """What a network answers, batch by batch."""
    return np.concatenate([net(rows(x, slice(start, start + BATCH))) for start in range(0, count(x), BATCH)])


def _answers(net: Graph, x: Any, loss: str | None) -> Array:
    """What stands in for labels: the class of the network's largest output, or its outputs themselves."""
    found = outputs_of(net, x)
    if found.ndim == 2 and found.shape[1] > 1 and loss in (None, "cross_entropy"):
        return found.argmax(axis=1)
    return found


def _prepared(net: Graph, data: Any, labelled: bool, loss: str | None, notes: list[str]) -> Calibration:
    """The loss, and targets in the form that it takes."""
    if loss is not None and loss not in LOSSES:
        raise DataError(f"unknown loss {loss!r}; expected one of {', '.join(LOSSES)}")
    _, y = as_samples(data)
    classes = y.dtype.kind in "iu" and y.ndim == 1
    squared = isinstance(net.nodes[net.output].layer, Softmax) and loss is None
    if classes and (squared or loss not in (None, "cross_entropy")):
        # Cross-entropy would take the softmax of probabilities: the distance from the one-hot row is a loss of its own.
        data, notes = _one_hot(net, data), [*notes, "classes were written as rows of 0 and 1"]
    chosen = loss or ("cross_entropy" if classes and not squared else "mse")
    return Calibration(data, chosen, labelled, classes, _told(data, classes, labelled, chosen, notes))


def _one_hot(net: Graph, data: Any) -> Any:
    width = (net.value_shapes(net.input_shapes or {})[net.output] or (0,))[0]
    if isinstance(data, Dataset):
        train, valid, test = (_rows_of(part, width) for part in (data.train, data.valid, data.test))
        return Dataset(train, valid, test, data.name)
    return _rows_of(data, width)


def _rows_of(samples: Samples, width: int) -> Samples:
    if not 0 <= samples.y.min() <= samples.y.max() < width:
        raise DataError(f"y holds {samples.y.max()}, but labels must be in 0..{width - 1} for {width} outputs")
    return Samples(samples.x, np.eye(width, dtype=np.float32)[samples.y], samples.classes)


def _told(data: Any, classes: bool, labelled: bool, loss: str, notes: list[str]) -> str:
    x, y = as_samples(data)
    shape = {name: part.shape[1:] for name, part in x.items()} if isinstance(x, Mapping) else x.shape[1:]
    if isinstance(data, Dataset):
        sizes = ", ".join(f"{len(part)} {what}" for part, what in (
            (data.train, "training"), (data.valid, "validation"), (data.test, "test")))  # fmt: skip
    else:
        sizes = f"{count(x)} (for everything: they were not parted)"
    kind = f"{y.shape[1] if y.ndim > 1 else int(y.max()) + 1} classes" if classes else "numbers"
    labels = f"labels: {kind}" if labelled else f"no labels: the original's own answers ({kind}) stand for them"
    return "; ".join([f"{sizes} samples of shape {shape}", labels, f"loss: {loss}", *notes])
