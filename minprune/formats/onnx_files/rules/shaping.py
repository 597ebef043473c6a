"""Views, orders and selections."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ....layers import Join, Select
from ....ops import Array
from ..folding import BATCH, axes_of, slice_arguments

if TYPE_CHECKING:
    from ..nodes import OnnxNode
    from ..translating import Held, Translator


def identity(t: Translator, node: OnnxNode) -> None:
    """The value itself."""
    t.held[node.output] = t.value(node)


def cast(t: Translator, node: OnnxNode) -> None:
    """The value itself, where it is cast to what it is."""
    from onnx import helper

    try:
        same = np.dtype(helper.tensor_dtype_to_np_dtype(node.whole("to", 1))) == t.dtype
    except KeyError:
        raise node.error(f"casts to the unknown kind {node.whole('to', 1)}") from None
    if not same:
        raise node.error(f"casts to another kind of number than {t.dtype}")
    identity(t, node)


def _axis(node: OnnxNode, axis: int, rank: int) -> int:
    """An axis of the file, batch included, counted from 0."""
    found = axis + rank if axis < 0 else axis
    if not 0 <= found < rank:
        raise node.error(f"axis {axis} of values with {rank} axes")
    return found


def flatten(t: Translator, node: OnnxNode) -> None:
    """All axes from one on as one; those before it may hold nothing but the batch."""
    x = t.value(node)
    shape = t.shape(x)
    axis = node.whole("axis", 1)
    axis = axis + len(shape) + 1 if axis < 0 else axis
    if not 1 <= axis <= len(shape) + 1 or prod(shape[: axis - 1]) != 1:
        raise node.error(f"axis {axis} of {('N', *shape)}: it would make samples of features")
    t.reshape(node, x, (prod(shape),))


def reshape(t: Translator, node: OnnxNode) -> None:
    """Another shape for every sample; what is written for the batch must mean all of its samples."""
    x = t.value(node)
    shape = t.shape(x)
    sizes: list[Any] = t.constant(node, 1, "shape").tolist()
    if not node.whole("allowzero", 0):
        old = [BATCH, *shape]
        sizes = [old[place] if size == 0 and place < len(old) else size for place, size in enumerate(sizes)]
    t.reshape(node, x, _per_sample(t, node, sizes, shape))


def _per_sample(t: Translator, node: OnnxNode, sizes: list[Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The new shape of a sample.

    The first size must be the batch: N itself, the number that the file fixes, 1 (files made for one sample write
    that), or -1 where the others leave nothing but the samples.
    """
    told = f"from {('N', *shape)} to {tuple(sizes)}"
    first, rest = (sizes[0], sizes[1:]) if sizes else (None, [])
    if first is None or BATCH in rest or not (first is BATCH or first in (-1, 1, t.batch)):
        raise node.error(f"{told}: it would mix samples")
    if -1 in rest and first != -1:
        others = prod(size for size in rest if size != -1)
        rest = [prod(shape) // others if size == -1 and others else size for size in rest]
    if min(rest, default=1) < 1 or prod(rest) != prod(shape):
        raise node.error(f"{told}: it would mix samples, or the sizes do not fit")
    return tuple(int(size) for size in rest)


def squeeze(t: Translator, node: OnnxNode) -> None:
    """Without axes of size 1."""
    x = t.value(node)
    shape, rank = t.shape(x), len(x.order) + 1
    axes = axes_of(node, t.optional(node, 1, "axes"))
    if axes is None:
        axes = [place for place, size in enumerate(shape, 1) if size == 1]
    gone = {_axis(node, axis, rank) for axis in axes}
    if 0 in gone or any(shape[axis - 1] != 1 for axis in gone):
        raise node.error(f"axes {tuple(axes)} of {('N', *shape)}, expected axes of size 1 behind the batch")
    t.reshape(node, x, tuple(size for place, size in enumerate(shape, 1) if place not in gone))


def unsqueeze(t: Translator, node: OnnxNode) -> None:
    """With axes of size 1."""
    x = t.value(node)
    axes = axes_of(node, t.optional(node, 1, "axes")) or ()
    rank = len(x.order) + 1 + len(axes)
    added = {_axis(node, axis, rank) for axis in axes}
    if 0 in added or len(added) < len(axes):
        raise node.error(f"axes {axes}, expected different axes behind the batch")
    sizes = iter(t.shape(x))
    t.reshape(node, x, tuple(1 if place in added else next(sizes) for place in range(1, rank)))


def transpose(t: Translator, node: OnnxNode) -> None:
    """Only remembered: see `minprune.formats.onnx_files.translating`."""
    x = t.value(node)
    rank = len(x.order) + 1
    perm = node.wholes("perm", tuple(reversed(range(rank))))
    if sorted(perm) != list(range(rank)) or perm[0] != 0:
        raise node.error(f"perm {perm} of {('N', *t.shape(x))}, expected the batch to stay first")
    t.settle(node, x.name, tuple(x.order[axis - 1] for axis in perm[1:]))


def _channels_first(t: Translator, node: OnnxNode, x: Held, axis: int) -> tuple[str, tuple[int, ...]]:
    """The value with this axis of the file as its channels, and the order of its axes."""
    if axis == 0:
        raise node.error("along the batch axis: samples would be mixed")
    others = iter(range(1, len(x.order)))
    order = tuple(0 if place == axis - 1 else next(others) for place in range(len(x.order)))
    if x.order[axis - 1] == 0:  # it is so already
        return x.name, x.order
    return t.arranged(x, order), order


def concat(t: Translator, node: OnnxNode) -> None:
    """Values behind each other along an axis."""
    values = [t.value(node, place) for place in range(len(node.inputs))]
    axis = _axis(node, node.whole("axis", 1), len(values[0].order) + 1)
    _, order = _channels_first(t, node, values[0], axis)
    if any(len(value.order) != len(order) for value in values):
        raise node.error("joins values with different numbers of axes")
    if len(values) == 1:
        identity(t, node)
        return
    t.make(node, Join(), *(t.arranged(value, order) for value in values), order=order)


def _pick(t: Translator, node: OnnxNode, output: str, x: Held, axis: int, index: Array) -> None:
    """Some entries of an axis, by index."""
    source, order = _channels_first(t, node, x, axis)
    size = t.shapes[source][0]
    index = np.where(index < 0, index + size, index).astype(np.int64)
    if index.ndim != 1 or not 1 <= len(index) <= size or (index < 0).any() or (index >= size).any():
        raise node.error(f"an index of shape {index.shape} into {size} entries, expected 1 to {size} of them in a row")
    name = t.add(t.name_for(output, order), Select(size, len(index)), (source,), index=index)
    t.held[output] = replace(x, name=name, order=order)


def gather(t: Translator, node: OnnxNode) -> None:
    """Entries of an axis by a constant index; the index's own axes take the place of that axis."""
    x = t.value(node)
    axis = _axis(node, node.whole("axis", 0), len(x.order) + 1)
    index = t.constant(node, 1, "index")
    if index.ndim == 1:
        _pick(t, node, node.output, x, axis, index)
        return
    row = t.fresh(f"{node.output}.row")
    _pick(t, node, row, x, axis, index.ravel())
    shape = t.shape(x)
    t.reshape(node, t.held[row], (*shape[: axis - 1], *index.shape, *shape[axis:]))


def cut(t: Translator, node: OnnxNode) -> None:
    """Slices along some axes, one after the other."""
    x = t.value(node)
    cuts = _cuts(t, node, (BATCH, *t.shape(x)))
    if not cuts:
        identity(t, node)
        return
    for place, (axis, index) in enumerate(cuts, 1):
        output = node.output if place == len(cuts) else t.fresh(f"{node.output}.cut{place}")
        _pick(t, node, output, x, axis, index)
        x = t.held[output]


def _cuts(t: Translator, node: OnnxNode, shape: tuple[Any, ...]) -> list[tuple[int, Array]]:
    """The axes that a Slice shortens or turns, and which of their entries it takes."""
    bounds = [t.optional(node, place, "bounds") for place in range(1, len(node.inputs))]
    starts, ends, axes, steps = slice_arguments(node, *bounds)
    axes = range(len(starts)) if axes is None else [_axis(node, axis, len(shape)) for axis in axes]
    cuts = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if axis == 0 and start == 0 and step == 1 and end >= (1 << 31) - 1:
            continue  # all samples
        if axis == 0:
            raise node.error("cuts the batch: samples would be lost")
        size = shape[axis]
        index = np.arange(size)[slice(start, None if step < 0 and end < -size else end, step)]
        if len(index) < size or step != 1:
            cuts.append((axis, index))
    return cuts


def split(t: Translator, node: OnnxNode) -> None:
    """Pieces of one axis, each an output."""
    x = t.value(node)
    axis = _axis(node, node.whole("axis", 0), len(x.order) + 1)
    if axis == 0:
        raise node.error("along the batch axis: samples would be mixed")
    size, count = t.shape(x)[axis - 1], len(node.outputs)
    given = t.optional(node, 1, "sizes")
    sizes = node.wholes("split") if given is None else tuple(int(part) for part in given)
    if sizes is None:
        part = -(-size // count)
        sizes = tuple(min(part, size - place * part) for place in range(count))
    if len(sizes) != count or sum(sizes) != size or min(sizes) < 1:
        raise node.error(f"sizes {sizes} of {size} entries for {count} outputs")
    start = 0
    for output, part in zip(node.outputs, sizes, strict=True):
        if t.readers[output]:
            _pick(t, node, output, x, axis, np.arange(start, start + part))
        start += part
