"""Pooling, means over places, and borders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, prod
from typing import TYPE_CHECKING

import numpy as np

from ....layers import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    GlobalAvgPool2d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    Pad,
    Rearrange,
    Scale,
)
from ....ops import Array
from ....ops.curves import LARGEST
from ..folding import axes_of

if TYPE_CHECKING:
    from ..nodes import OnnxNode
    from ..translating import Translator

Sizes = tuple[int, ...]
Border = tuple[Sizes, Sizes]  # before and after, one number per spatial axis
MAX_POOLS: dict[int, type[MaxPool2d]] = {1: MaxPool1d, 2: MaxPool2d, 3: MaxPool3d}  # by the number of spatial axes
AVERAGE_POOLS: dict[int, type[AvgPool2d]] = {1: AvgPool1d, 2: AvgPool2d, 3: AvgPool3d}


def padding_of(node: OnnxNode, size: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Border:
    """The border that a node asks for, by numbers or by auto_pad."""
    rank, how = len(size), node.text("auto_pad", "NOTSET")
    if not len(kernel) == len(stride) == len(dilation) == rank or min(*kernel, *stride, *dilation) < 1:
        raise node.error(f"kernel {kernel}, strides {stride}, dilations {dilation}: expected {rank} numbers ≥ 1 each")
    if how == "NOTSET":
        pads = node.wholes("pads", (0,) * (2 * rank))
        if len(pads) != 2 * rank or min(pads) < 0:
            raise node.error(f"pads is {pads}, expected {2 * rank} numbers of at least 0")
        return pads[:rank], pads[rank:]
    if how == "VALID":
        return (0,) * rank, (0,) * rank
    if how not in ("SAME_UPPER", "SAME_LOWER"):
        raise node.error(f"auto_pad is {how!r}, expected NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    total = [
        max((ceil(s / step) - 1) * step + d * (k - 1) + 1 - s, 0)
        for s, k, step, d in zip(size, kernel, stride, dilation, strict=True)
    ]
    small, large = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    return (small, large) if how == "SAME_UPPER" else (large, small)


def bordered(t: Translator, node: OnnxNode, source: str, border: Border, value: float) -> tuple[str, Sizes]:
    """The value to read and the padding for the layer: what is not the same on both sides becomes a Pad before it."""
    before, after = border
    if before == after:
        return source, before
    name = t.add(t.fresh(f"{node.output}.pad"), Pad(before, after, value), (source,))
    return name, (0,) * len(before)


@dataclass(frozen=True)
class _Window:
    """What both kinds of pooling read; ceil_mode is a wider border."""

    source: str
    size: Sizes
    kernel: Sizes
    stride: Sizes
    dilation: Sizes
    border: Border
    counted: Border  # the part of the border that was asked for

    @property
    def padding(self) -> Sizes | None:
        """The border as a layer has it, or None: it must be alike on both sides, and no wider than half a window."""
        before, after = self.border
        narrow = all(2 * p <= d * (k - 1) + 1 for p, k, d in zip(before, self.kernel, self.dilation, strict=True))
        return before if before == after and narrow else None


def _window(t: Translator, node: OnnxNode) -> _Window:
    x = t.value(node)
    size, kernel = t.shape(x)[1:], node.wholes("kernel_shape", ())
    rank = len(size)
    if rank not in MAX_POOLS:
        raise node.error(f"over {('N', *t.shape(x))}, expected one to three spatial axes")
    stride, dilation = (node.wholes(name, (1,) * rank) for name in ("strides", "dilations"))
    border = asked = padding_of(node, size, kernel, stride, dilation)
    if node.whole("ceil_mode", 0):
        if node.text("auto_pad", "NOTSET") == "VALID":
            raise node.error("ceil_mode with auto_pad VALID, on which its versions disagree")
        border = border[0], _rounded_up(size, _spans(kernel, dilation), stride, border)
    return _Window(t.plain(x), size, kernel, stride, dilation, border, asked)


def _spans(kernel: Sizes, dilation: Sizes) -> Sizes:
    """How far windows with gaps reach."""
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))


def _rounded_up(size: Sizes, spans: Sizes, stride: Sizes, border: Border) -> Sizes:
    """The border behind, so wide that windows which begin inside of the image or its border are whole."""
    after = []
    for s, k, step, b, a in zip(size, spans, stride, *border, strict=True):
        places = ceil((s + b + a - k) / step) + 1
        places -= (places - 1) * step >= s + b  # the last one must not begin in the border behind
        after.append(max(a, (places - 1) * step + k - s - b))
    return tuple(after)


def _pooled(t: Translator, node: OnnxNode, w: _Window, kind: type[MaxPool2d], outside: float) -> tuple[str, MaxPool2d]:
    """The value to pool and the layer that does it; a border that no layer has becomes a Pad before it."""
    source, padding = w.source, w.padding
    if padding is None:
        source = t.add(t.fresh(f"{node.output}.pad"), Pad(*w.border, outside), (source,))
        padding = (0,) * len(w.kernel)
    return source, kind(w.kernel, w.stride, padding, w.dilation)


def max_pool(t: Translator, node: OnnxNode) -> None:
    """The largest entry of each window."""
    if len(node.outputs) > 1:
        raise node.error("its indices are asked for, expected its values alone")
    w = _window(t, node)
    source, layer = _pooled(t, node, w, MAX_POOLS[len(w.size)], -LARGEST)
    t.make(node, layer, source)


def average_pool(t: Translator, node: OnnxNode) -> None:
    """The mean of each window; where the border does not count, divided by how many entries do."""
    w = _window(t, node)
    none = (0,) * len(w.size)
    counts = _counts(w, w.counted if node.whole("count_include_pad", 0) else (none, none))
    whole = prod(w.kernel)
    if (counts == 0).any():
        raise node.error("a window lies in the border altogether")
    source, layer = _pooled(t, node, w, AVERAGE_POOLS[len(w.size)], 0.0)
    if (counts == whole).all():
        t.make(node, layer, source)
        return
    source = t.add(t.fresh(f"{node.output}.sums"), layer, (source,))
    t.make(node, Scale((1, *counts.shape)), source, m=(whole / counts)[None])


def _counts(w: _Window, counted: Border) -> Array:
    """How many entries of each window count: those of the image and of the counted part of its border."""
    total = np.ones((), dtype=np.float64)
    spans = _spans(w.kernel, w.dilation)
    for s, k, step, d, b, a, cb, ca in zip(w.size, spans, w.stride, w.dilation, *w.border, *counted, strict=True):
        counts = np.zeros(b + s + a)
        counts[b - min(cb, b) : b + s + min(ca, a)] = 1
        windows = np.lib.stride_tricks.sliding_window_view(counts, k)[::step, ::d].sum(axis=1)
        total = total[..., None] * windows
    return total


def global_max_pool(t: Translator, node: OnnxNode) -> None:
    """The largest entry of each channel."""
    x = t.value(node)
    size = t.shape(x)[1:]
    if len(size) not in MAX_POOLS:
        raise node.error(f"over {('N', *t.shape(x))}, expected one to three spatial axes")
    t.make(node, MAX_POOLS[len(size)](size), t.plain(x))


def global_average_pool(t: Translator, node: OnnxNode) -> None:
    """The mean of each channel; its places stay, as one."""
    x = t.value(node)
    if len(x.order) < 2:
        raise node.error(f"over {('N', *t.shape(x))}, which has no places")
    _mean(t, node, t.plain(x), tuple(range(len(x.order))))


def _mean(t: Translator, node: OnnxNode, source: str, order: Sizes | None) -> None:
    """Average all places; with an order the axes stay, each of size 1 but the channels."""
    if order is None:
        t.make(node, GlobalAvgPool2d(), source)
        return
    pooled = t.add(t.fresh(f"{node.output}.mean"), GlobalAvgPool2d(), (source,))
    t.make(node, Rearrange((0,), (-1, *(1 for _ in order[1:]))), pooled, order=order)


def reduce_mean(t: Translator, node: OnnxNode) -> None:
    """The mean over some axes of every sample; where one is left it holds the channels, else all that are left do."""
    x = t.value(node)
    axes, rank, shape = axes_of(node, t.optional(node, 1, "axes")), len(x.order), t.shape(x)
    if not axes:
        raise node.error("the mean over samples too, expected axes behind the batch")
    over = {axis + rank + 1 if axis < 0 else axis for axis in axes}
    if 0 in over or not over <= set(range(rank + 1)):
        raise node.error(f"the mean of {('N', *shape)} over axes {axes}, expected axes behind the batch")
    left = [axis for axis in range(rank) if axis + 1 not in over]
    if len(left) == 1 and rank > 1:
        places = iter(range(1, rank))
        order = tuple(0 if axis == left[0] else next(places) for axis in range(rank))
        _mean(t, node, t.arranged(x, order), order if node.whole("keepdims", 1) else None)
        return
    moved = tuple(x.order[axis] for axis in (*left, *(axis for axis in range(rank) if axis not in left)))
    rows = (prod(shape[axis] for axis in left), -1)
    pooled = t.add(t.fresh(f"{node.output}.rows"), Rearrange(moved, rows), (x.name,))
    mean = replace(x, name=t.add(t.fresh(f"{node.output}.mean"), GlobalAvgPool2d(), (pooled,)), order=(0,))
    kept = tuple(1 if axis + 1 in over else size for axis, size in enumerate(shape))
    t.reshape(node, mean, kept if node.whole("keepdims", 1) else tuple(shape[axis] for axis in left))


def pad(t: Translator, node: OnnxNode) -> None:
    """A border of one number around every channel's image."""
    if node.text("mode", "constant") != "constant":
        raise node.error(f"mode {node.text('mode', '')!r}, expected 'constant'")
    x = t.value(node)
    rank = len(x.order) + 1
    if node.opset < 11:
        pads, value, axes = node.wholes("pads", ()), node.number("value", 0.0), None
    else:
        pads = tuple(int(p) for p in t.constant(node, 1, "pads").ravel())
        given = t.optional(node, 2, "value")
        value = 0.0 if given is None else float(given.ravel()[0])
        axes = t.optional(node, 3, "axes")
    around = list(range(rank)) if axes is None else [int(a) % rank for a in axes.ravel()]
    if len(pads) != 2 * len(around) or min(pads) < 0:
        raise node.error(f"pads is {pads}, expected {2 * len(around)} numbers of at least 0")
    sides = dict(zip(around, zip(pads[: len(around)], pads[len(around) :], strict=True), strict=True))
    if any(sides.get(0, (0, 0))) or any(sides.get(1, (0, 0))):
        raise node.error(f"pads is {pads}, expected none around samples and channels")
    value = min(max(value, -LARGEST), LARGEST)
    before, after = (tuple(sides.get(axis, (0, 0))[end] for axis in range(2, rank)) for end in (0, 1))
    t.make(node, Pad(before, after, value), t.plain(x))
