"""Weighted sums and batch-norm."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ....layers import BatchNorm, Conv1d, Conv2d, Dense, MatMul
from ....ops import Array
from .windows import bordered, padding_of

if TYPE_CHECKING:
    from ..nodes import OnnxNode
    from ..translating import Held, Translator


def gemm(t: Translator, node: OnnxNode) -> None:
    """Y = α A B + β C, with B and C constant: a dense layer."""
    if node.whole("transA", 0):
        raise node.error("transA makes samples of features")
    x, B = t.value(node), t.constant(node, 1, "matrix")
    _need_rank(node, t, x, B, 1)
    W = B if node.whole("transB", 0) else B.T
    W = W * np.asarray(node.number("alpha", 1.0), W.dtype)
    origins = {"W": node.inputs[1]}
    C = t.optional(node, 2, "bias")
    if C is None:
        t.make(node, Dense(W.shape[1], W.shape[0], bias=False), t.plain(x), origins=origins, W=W)
        return
    if (C.ndim > 1 and C.shape[0] != 1) or C.ndim > 2 or C.shape[-1:] not in ((), (1,), (len(W),)):
        raise node.error(f"a bias of shape {C.shape}, expected ({len(W)},): the same for every sample")
    b = np.broadcast_to(C.ravel() * np.asarray(node.number("beta", 1.0), C.dtype), len(W))
    origins["b"] = node.inputs[2]
    t.make(node, Dense(W.shape[1], W.shape[0]), t.plain(x), origins=origins, W=W, b=b)


def _need_rank(node: OnnxNode, t: Translator, x: Held, matrix: Array, rank: int) -> None:
    if matrix.ndim != 2 or len(x.order) < rank:
        raise node.error(f"multiplies values of shape {('N', *t.shape(x))} by a constant of shape {matrix.shape}")


def matmul(t: Translator, node: OnnxNode) -> None:
    r"""Y = A B: with B constant a dense layer, at every place of a sequence or image a convolution of width 1.

    With A constant it is the same on transposed matrices, $Y^\top = B^\top A^\top$; with neither it is a product of
    two values, through which nothing can be pruned.
    """
    if t.is_constant(node, 0):
        x = t.value(node, 1)
        if len(x.order) < 2:
            raise node.error(f"multiplies a constant by values of shape {('N', *t.shape(x))}: samples would be mixed")
        A = t.constant(node, 0, "first matrix")
        _by_matrix(t, node, replace(x, order=_turned(x.order)), A.T, node.inputs[0])
        t.held[node.output] = replace(t.held[node.output], order=_turned(t.held[node.output].order))
    elif t.is_constant(node, 1):
        _by_matrix(t, node, t.value(node), t.constant(node, 1, "second matrix"), node.inputs[1])
    else:
        _of_values(t, node)


def _turned(order: tuple[int, ...]) -> tuple[int, ...]:
    """The last two axes exchanged."""
    return (*order[:-2], order[-1], order[-2])


def _of_values(t: Translator, node: OnnxNode) -> None:
    a, b = t.value(node), t.value(node, 1)
    if len(a.order) != len(b.order) or len(a.order) < 2:
        told = f"{('N', *t.shape(a))} by {('N', *t.shape(b))}"
        raise node.error(f"multiplies {told}, expected a matrix or more for every sample, with as many axes in both")
    t.make(node, MatMul(), t.plain(a), t.plain(b))


def _by_matrix(t: Translator, node: OnnxNode, x: Held, B: Array, origin: str) -> None:
    _need_rank(node, t, x, B, 1)
    W, rank, origins = B.T, len(x.order) - 1, {"W": origin}
    if rank == 0:
        t.make(node, Dense(W.shape[1], W.shape[0], bias=False), t.plain(x), origins=origins, W=W)
        return
    if rank > 2:
        raise node.error(f"multiplies values with {rank + 2} axes, expected at most 4")
    order = (*range(1, rank + 1), 0)  # features first
    kernel = (1,) * rank
    layer = (Conv1d if rank == 1 else Conv2d)(W.shape[1], W.shape[0], kernel, bias=False)
    t.make(node, layer, t.arranged(x, order), order=order, origins=origins, W=W.reshape(*W.shape, *kernel))


def conv(t: Translator, node: OnnxNode) -> None:
    """A convolution over one or two axes, with a constant kernel."""
    x, W = t.value(node), t.constant(node, 1, "kernel")
    rank = len(t.shape(x)) - 1
    if rank not in (1, 2) or W.ndim != rank + 2:
        raise node.error(f"a kernel of shape {W.shape} over {('N', *t.shape(x))}, expected one or two spatial axes")
    kernel = W.shape[2:]
    if node.wholes("kernel_shape", kernel) != kernel:
        raise node.error(f"kernel_shape is {node.wholes('kernel_shape')}, but the kernel has {kernel}")
    stride, dilation = (node.wholes(name, (1,) * rank) for name in ("strides", "dilations"))
    border = padding_of(node, t.shape(x)[1:], kernel, stride, dilation)
    source, padding = bordered(t, node, t.plain(x), border, 0.0)
    groups = node.whole("group", 1)
    b = t.optional(node, 2, "bias")
    origins = {"W": node.inputs[1]} | ({} if b is None else {"b": node.inputs[2]})
    bias: dict[str, Any] = {} if b is None else {"b": b}
    make = Conv1d if rank == 1 else Conv2d
    layer = make(W.shape[1] * groups, W.shape[0], kernel, stride, padding, dilation, groups, b is not None)
    if b is not None and b.shape != W.shape[:1]:
        raise node.error(f"a bias of shape {b.shape}, expected {W.shape[:1]}")
    t.make(node, layer, source, origins=origins, W=W, **bias)


def batch_norm(t: Translator, node: OnnxNode) -> None:
    """Batch normalisation with stored statistics."""
    if node.whole("training_mode", 0) or len(node.outputs) > 1:
        raise node.error("computes the statistics of the batch, expected stored ones (export the model for inference)")
    if not node.whole("spatial", 1):
        raise node.error("has statistics for every place (spatial=0), expected one for every channel")
    x = t.value(node)
    names = ("gamma", "beta", "mean", "var")
    arrays: dict[str, Any] = {name: t.constant(node, place, name) for place, name in enumerate(names, 1)}
    size = t.shape(x)[0]
    wrong = next((name for name, array in arrays.items() if array.shape != (size,)), None)
    if wrong is not None:
        raise node.error(f"{wrong} has the shape {arrays[wrong].shape}, expected ({size},)")
    if (arrays["var"] < 0).any():
        raise node.error("a negative variance")
    momentum = min(max(round(1 - node.number("momentum", 0.9), 7), 1e-7), 1.0)
    layer = BatchNorm(size, node.number("epsilon", 1e-5), momentum)
    t.make(node, layer, t.plain(x), origins={n: node.inputs[p] for p, n in enumerate(names, 1)}, **arrays)


def _read_once(t: Translator, name: str) -> bool:
    """Whether a value has one reader, those apart that only hand it on under another name, as a Transpose does."""
    names = [other for other, held in t.held.items() if held.name == name]
    return sum(t.readers[other] for other in names) - (len(names) - 1) == 1


def with_bias(t: Translator, node: OnnxNode, x: Held, constant: Array, origin: str) -> bool:
    """Make the constant that is added to a weighted sum its bias, where nobody else reads the sum; say if it was so."""
    made = t.nodes.get(x.name)
    if made is None or not isinstance(made.layer, Dense | Conv2d) or made.layer.bias or not _read_once(t, x.name):
        return False
    if prod(constant.shape) not in (1, constant.shape[0]):
        return False
    W = t.arrays.pop(f"{x.name}.W")
    del t.nodes[x.name]
    origins = {"W": t.origins.pop(f"{x.name}.W"), "b": origin}
    b = np.broadcast_to(constant.ravel(), made.layer.outputs)
    t.make(node, replace(made.layer, bias=True), *made.inputs, order=x.order, origins=origins, W=W, b=b)
    return True
