"""Feeding: the parts of the data, the targets and the batches that a training takes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from .datasets.samples import Samples, as_samples, as_splits, count, rows
from .errors import DataError, StructureError
from .layers import BatchNorm, Softmax
from .nn import Graph
from .ops import Array
from .targets import prepare_targets


def parts_for(net: Graph, data: Any, loss: str | None, labels: bool) -> tuple[Samples, Samples | None]:
    """The part to train on, and the one to validate on where there is one.

    Where labels do not count, zeros that nobody looks at stand in for those that are missing.

    Raises
    ------
    DataError
        When labels are missing and needed, or the loss is not named and cannot be told from them.
    """
    x, y = as_samples(data, labels=labels)
    if y is not None:
        return as_splits(data)
    if loss is None:
        raise DataError("fit: without labels it cannot be told which loss; name it with loss=")
    outputs = net(rows(x, slice(1))).shape[1:]
    return Samples(x, np.zeros(count(x), int) if loss == "cross_entropy" else np.zeros((count(x), *outputs))), None


def targets_for(net: Graph, samples: Samples, loss: str) -> Array:
    """The targets as the loss takes them, checked together with one sample of x and the network's last layer.

    Raises
    ------
    DataError, ShapeError, DtypeError
        When they do not fit; see `minprune.targets.prepare_targets`.
    StructureError
        For a softmax at the end before a cross-entropy.
    """
    if loss == "cross_entropy" and isinstance(net.nodes[net.output].layer, Softmax):
        raise StructureError(f"{net.output} is a Softmax, but cross_entropy takes what comes before; leave it out")
    first = net.take(rows(samples.x, slice(1)))
    shapes = net.value_shapes({name: value.shape[1:] for name, value in first.items()})
    return prepare_targets(samples.y, (count(samples.x), *shapes[net.output]), loss, net.dtype)


def batch_slices(net: Graph, samples: int, batch_size: int) -> list[slice]:
    """The batches of an epoch. A last batch of one sample joins the one before where batch-norm could not use it."""
    edges = [*range(0, samples, batch_size), samples]
    normalised = any(isinstance(node.layer, BatchNorm) for node in net.nodes.values())
    if normalised and len(edges) > 2 and edges[-1] - edges[-2] == 1:
        del edges[-2]
    return [slice(start, stop) for start, stop in pairwise(edges)]
