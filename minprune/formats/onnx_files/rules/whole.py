"""Ops that look at the first axis, in files that are read whole: there it is the first axis of a sample.

Most of it is done by the usual rules, told of an axis one further on: the batch stands in front of all of the file's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ....layers import MatMul
from ....ops import Array
from ..folding import axes_of, fold, slice_arguments
from ..lifting import stored
from . import elementwise, shaping, weighted, windows

if TYPE_CHECKING:
    from ..nodes import OnnxNode
    from ..translating import Translator

Rule = Callable[[Any, Any], None]


def _axis(node: OnnxNode, axis: int, rank: int) -> int:
    """An axis of the file behind the batch that is put in front."""
    if not -rank <= axis < rank:
        raise node.error(f"axis {axis} of values with {rank} axes")
    return axis % rank + 1


def _shifted(rule: Rule, default: Callable[[OnnxNode], int]) -> Rule:
    """A rule for an op along one axis."""

    def take(t: Translator, node: OnnxNode) -> None:
        axis = _axis(node, node.whole("axis", default(node)), len(t.value(node).order))
        rule(t, node.changed(axis=axis))

    return take


def view(t: Translator, node: OnnxNode) -> None:
    """Another shape for all the entries."""
    x = t.value(node)
    entry = np.broadcast_to(np.zeros((), np.int8), t.shape(x))  # no memory behind it, nor behind its views
    rest = [t.optional(node, place, "shape") for place in range(1, len(node.inputs))]
    t.reshape(node, x, tuple(fold(node, [entry, *rest]).shape))


def transpose(t: Translator, node: OnnxNode) -> None:
    """Only remembered."""
    x = t.value(node)
    rank = len(x.order)
    perm = node.wholes("perm", tuple(reversed(range(rank))))
    if sorted(perm) != list(range(rank)):
        raise node.error(f"perm {perm} of {t.shape(x)}, expected every axis once")
    t.settle(node, x.name, tuple(x.order[axis] for axis in perm))


def cut(t: Translator, node: OnnxNode) -> None:
    """Slices along some axes."""
    rank = len(t.value(node).order)
    bounds = [t.optional(node, place, "bounds") for place in range(1, len(node.inputs))]
    starts, ends, axes, steps = slice_arguments(node, *bounds)
    axes = [_axis(node, axis, rank) for axis in (range(len(starts)) if axes is None else axes)]
    if node.opset < 10:
        shaping.cut(t, node.changed(axes=axes))
        return
    names = [t.constant_for(node, part, np.array(value)) for part, value in
             (("starts", starts), ("ends", ends), ("axes", axes), ("steps", steps))]  # fmt: skip
    shaping.cut(t, node.changed(inputs=[node.inputs[0], *names]))


def reduce_mean(t: Translator, node: OnnxNode) -> None:
    """The mean over some axes, all where none is named."""
    rank = len(t.value(node).order)
    axes = axes_of(node, t.optional(node, 1, "axes"))
    if not axes and node.whole("noop_with_empty_axes", 0):
        shaping.identity(t, node)
        return
    over = [_axis(node, axis, rank) for axis in (axes or range(rank))]
    if node.opset < 18:
        windows.reduce_mean(t, node.changed(axes=over))
    else:
        name = t.constant_for(node, "axes", np.array(over))
        windows.reduce_mean(t, node.changed(inputs=[node.inputs[0], name]))


def gemm(t: Translator, node: OnnxNode) -> None:
    """Y = α A B + β C with B and C constant: a sample is a matrix, and C may be one too."""
    x, B = t.value(node), t.constant(node, 1, "matrix")
    if len(x.order) != 2 or B.ndim != 2:
        raise node.error(f"multiplies {t.shape(x)} by a constant of shape {B.shape}, expected two matrices")
    source = t.fresh(f"{node.output}.A")
    t.held[source] = replace(x, order=x.order[::-1]) if node.whole("transA", 0) else x
    W = (B.T if node.whole("transB", 0) else B) * np.asarray(node.number("alpha", 1.0), B.dtype)
    C = t.optional(node, 2, "bias")
    total = node.output if C is None else t.fresh(f"{node.output}.product")
    weighted.matmul(t, node.changed(inputs=[source, t.constant_for(node, "B", W)], output=total))
    if C is not None:
        t.readers[total] = 1
        bias = t.constant_for(node, "C", C * np.asarray(node.number("beta", 1.0), C.dtype))
        elementwise.add(t, node.changed(inputs=[total, bias]))


def matmul(t: Translator, node: OnnxNode) -> None:
    """Y = A B as NumPy has it: a vector is a row on the left, a column on the right, and no longer there afterwards."""
    if t.is_constant(node, 0):
        weighted.matmul(t, node)
        return
    if t.is_constant(node, 1):
        _by_constant(t, node, t.constant(node, 1, "second matrix"))
        return
    a, b = t.shape(t.value(node)), t.shape(t.value(node, 1))
    rank = max(len(a), len(b), 2)
    left = (1,) * (rank - len(a)) + a
    right = (1,) * (rank - len(b) - 1) + (*b, 1) if len(b) == 1 else (1,) * (rank - len(b)) + b
    names = []
    for place, shape in enumerate((left, right)):
        name = t.fresh(f"{node.output}.{'AB'[place]}")
        t.reshape(node.changed(output=name), t.value(node, place), shape)
        names.append(t.plain(stored(t, t.held[name])))
    product = t.add(t.fresh(f"{node.output}.product"), MatMul(), tuple(names))
    sizes = t.shapes[product]
    target = sizes[:-2] + (() if len(a) == 1 else sizes[-2:-1]) + (() if len(b) == 1 else sizes[-1:])
    t.reshape(node, replace(t.value(node), name=product, order=tuple(range(rank))), target)


def _by_constant(t: Translator, node: OnnxNode, B: Array) -> None:
    if B.ndim != 1:
        weighted.matmul(t, node)
        return
    total = t.fresh(f"{node.output}.product")
    weighted.matmul(t, node.changed(inputs=[node.inputs[0], t.constant_for(node, "B", B[:, None])], output=total))
    t.reshape(node, t.held[total], t.shape(t.held[total])[:-1])


VIEWS = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"}
EACH = {  # ops that look at one number at a time, whatever its axes
    *("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Gelu", "Erf", "Softplus", "Sigmoid", "HardSigmoid", "HardSwish"),
    *("Swish", "Mish", "Tanh", "Clip", "Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Reciprocal", "Neg", "Sum"),
    *("Dropout", "Identity", "Cast"),
}


def _rules() -> dict[str, Rule]:
    from . import RULES

    along = {
        "Softmax": _shifted(elementwise.softmax, lambda node: 1 if node.opset < 13 else -1),
        "LogSoftmax": _shifted(elementwise.log_softmax, lambda node: 1 if node.opset < 13 else -1),
        "Concat": _shifted(shaping.concat, lambda node: 0),
        "Gather": _shifted(shaping.gather, lambda node: 0),
        "Split": _shifted(shaping.split, lambda node: 0),
    }
    others = {"Transpose": transpose, "Slice": cut, "ReduceMean": reduce_mean, "Gemm": gemm, "MatMul": matmul}
    return {op: RULES[op] for op in EACH} | dict.fromkeys(VIEWS, view) | along | others


WHOLE = _rules()
"""Op -> the function that takes a node of it over where the file is read whole."""
