"""What can be computed while reading: nodes of constants alone, and arithmetic with shapes.

The number of samples is not known; in a shape it stands as `BATCH`. It can be picked, moved and joined with numbers,
which is all that a Reshape needs, and multiplied by whole numbers; whoever wants to compute otherwise with it is
refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ...ops import Array
from .nodes import OnnxNode

MOST_ENTRIES = 1 << 28  # of a folded constant


@dataclass(frozen=True, eq=False)
class Batch:
    """The number of samples, or a multiple of it.

    Examples
    --------
    >>> BATCH * 4
    4 N
    """

    times: int = 1

    def __mul__(self, other: Any) -> Batch:
        if not isinstance(other, int | np.integer) or other < 1:
            return NotImplemented
        return Batch(self.times * int(other))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return "N" if self.times == 1 else f"{self.times} N"


BATCH = Batch()


def shape_array(shape: tuple[int, ...]) -> Array:
    """A value's shape, N first.

    Examples
    --------
    >>> shape_array((3, 4))
    array([N, 3, 4], dtype=object)
    """
    return np.array([BATCH, *shape], dtype=object)


def fold(node: OnnxNode, xs: list[Array | None]) -> Array:
    """Compute a node whose inputs are all constants.

    Raises
    ------
    FileError
        For an op without a rule, arguments that do not fit, and results that are too large.
    """
    if node.op not in FOLDS:
        raise node.error("its inputs are constants, and there is no rule to compute it while reading")
    if not xs or xs[0] is None:
        raise node.error("its first input is missing")
    try:
        found = np.asarray(FOLDS[node.op](node, *xs))
    except AttributeError:
        raise node.error("an input that it needs is missing") from None
    except (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError) as error:
        raise node.error(f"cannot be computed from its constants: {error}") from None
    if found.size > MOST_ENTRIES:
        raise node.error(f"{found.size:,} entries, expected at most {MOST_ENTRIES:,}")
    return found


def axes_of(node: OnnxNode, given: Array | None) -> Any:
    """Axes from the second input, as since opset 13 (18 for some), or from the attribute."""
    return node.wholes("axes") if given is None else tuple(int(axis) for axis in given.ravel())


def _reshape(node: OnnxNode, x: Array, shape: Array) -> Array:
    sizes = [
        x.shape[place] if size == 0 and not node.whole("allowzero", 0) else int(size)
        for place, size in enumerate(shape.tolist())
    ]
    return x.reshape(sizes)


def _squeeze(node: OnnxNode, x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, axes_of(node, axes))


def _unsqueeze(node: OnnxNode, x: Array, axes: Array | None = None) -> Array:
    return np.expand_dims(x, axes_of(node, axes))


def _slice(node: OnnxNode, x: Array, *rest: Array | None) -> Array:
    starts, ends, axes, steps = slice_arguments(node, *rest)
    cut = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes or range(len(starts)), steps, strict=True):
        cut[axis] = slice(start, None if step < 0 and end < -(1 << 31) else end, step)
    return x[tuple(cut)]


def slice_arguments(node: OnnxNode, *rest: Array | None) -> tuple[Any, Any, Any, Any]:
    """Starts, ends, axes (or None) and steps of a Slice: inputs since opset 10, before that attributes."""
    if node.opset < 10:
        starts, ends, axes = (node.wholes(name) for name in ("starts", "ends", "axes"))
        return starts, ends, axes, (1,) * len(starts)
    starts, ends, axes, steps = (
        None if part is None else tuple(int(value) for value in part.ravel()) for part in (*rest, None, None)[:4]
    )
    return starts, ends, axes, steps or (1,) * len(starts or ())


def _gather(node: OnnxNode, x: Array, index: Array) -> Array:
    return np.take(x, index.astype(np.int64), axis=node.whole("axis", 0))


def _concat(node: OnnxNode, *xs: Array) -> Array:
    return np.concatenate(xs, axis=node.whole("axis", 1))


def _transpose(node: OnnxNode, x: Array) -> Array:
    return x.transpose(node.wholes("perm"))


def _flatten(node: OnnxNode, x: Array) -> Array:
    axis = node.whole("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(prod(x.shape[:axis]), -1)


def _cast(node: OnnxNode, x: Array) -> Array:
    from onnx import helper

    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(node.whole("to", 1)))
    if x.dtype == object and dtype.kind in "iu":
        return x  # a shape: N cannot be cast
    return x.astype(dtype)


def _filled(node: OnnxNode, shape: Array) -> Array:
    sizes = [int(size) for size in shape.tolist()]
    if prod(sizes) > MOST_ENTRIES:
        raise node.error(f"{prod(sizes):,} entries, expected at most {MOST_ENTRIES:,}")
    value = node.constant() if node.has("value") else np.zeros(1, np.float32)
    return np.full(sizes, value.ravel()[0], value.dtype)


def _expand(node: OnnxNode, x: Array, shape: Array) -> Array:
    sizes = np.broadcast_shapes(x.shape, tuple(int(size) for size in shape.tolist()))
    if prod(sizes) > MOST_ENTRIES:
        raise node.error(f"{prod(sizes):,} entries, expected at most {MOST_ENTRIES:,}")
    return np.broadcast_to(x, sizes)


def _divide(node: OnnxNode, a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return a / b
    quotient = np.abs(a) // np.abs(b)  # ONNX rounds whole numbers towards 0
    return np.asarray(np.sign(a) * np.sign(b) * quotient)


FOLDS: dict[str, Callable[..., Any]] = {
    "Identity": lambda node, x: x,
    "Cast": _cast,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Flatten": _flatten,
    "Slice": _slice,
    "Gather": _gather,
    "Concat": _concat,
    "ConstantOfShape": _filled,
    "Expand": _expand,
    "Add": lambda node, a, b: a + b,
    "Sub": lambda node, a, b: a - b,
    "Mul": lambda node, a, b: a * b,
    "Div": _divide,
    "Neg": lambda node, x: -x,
    "Sqrt": lambda node, x: np.sqrt(x),
    "Floor": lambda node, x: np.floor(x),
}
"""Op -> how it is computed from constants."""
