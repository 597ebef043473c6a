"""Nodes that no layer does, each in the middle of a small network: what goes in, the nodes, what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx_models import model, node, run, weights, written

W = weights


def one(op: str, *more: str, **attributes: Any) -> list[Any]:
    """A single node."""
    return [node(op, ["g", *more], ["s"], name="kept", **attributes)]


def half(a: Any) -> list[Any]:
    """A node that makes truth values, and one that needs them."""
    return [a, node("Where", ["m", "g", "zero"], ["s"], name="kept")]


def recurrent(gates: int, directions: int = 1) -> dict[str, Any]:
    """Weights of a recurrent node: 4 inputs, 3 neurons."""
    return {
        "W": W(directions, gates * 3, 4),
        "R": W(directions, gates * 3, 3, seed=1),
        "B": W(directions, 2 * gates * 3, seed=2),
    }


def turned(op: str, output: str, *after: Any, **attributes: Any) -> list[Any]:
    """A recurrent node as exporters write it: time first, turned before and behind it."""
    outputs = ["Y", "H", "C"][: 3 if op == "LSTM" else 2]
    wanted = [name if name == output else "" for name in outputs]
    while not wanted[-1]:
        wanted.pop()
    return [
        node("Transpose", ["g"], ["t"], perm=[1, 0, 2]),
        node(op, ["t", "W", "R", "B"], wanted, name="kept", hidden_size=3, **attributes),
        *after,
    ]


ROW = (5,)
SEQUENCE = (5, 4)
IMAGE = (4, 3, 2)
zero = {"zero": np.float32(0)}
positive = [node("Sigmoid", ["g"], ["p"])]
UNARY = (
    *("Abs", "Acos", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Exp", "Floor", "Log", "Round", "Sign"),
    *("Sin", "Sinh", "Softsign", "Tan"),
)

# label -> (opset, nodes from "g" to "s", shape of g, stored tensors)
KEPT: dict[str, tuple[int, list[Any], tuple[int, ...], dict[str, Any]]] = {
    op.lower(): (17, [*positive, node(op, ["p"], ["s"], name="kept")], ROW, {}) for op in UNARY
} | {
    "acosh": (
        17,
        [*positive, node("Add", ["p", "one"], ["q"]), node("Acosh", ["q"], ["s"], name="kept")],
        ROW,
        {"one": np.float32(1)},
    ),
    "celu": (17, one("Celu", alpha=0.7), ROW, {}),
    "thresholded relu": (17, one("ThresholdedRelu", alpha=0.3), ROW, {}),
    "shrink": (17, one("Shrink", lambd=0.3, bias=0.1), ROW, {}),
    "powers of values": (17, [*positive, node("Pow", ["p", "g"], ["s"], name="kept")], ROW, {}),
    "larger": (17, [node("Neg", ["g"], ["n"]), node("Max", ["g", "n"], ["s"], name="kept")], ROW, {}),
    "smaller than a constant": (17, one("Min", "c"), ROW, {"c": W(5)}),
    "mean": (17, [node("Relu", ["g"], ["n"]), node("Mean", ["g", "n", "c"], ["s"], name="kept")], ROW, {"c": W(5)}),
    "remainder": (17, one("Mod", "c", fmod=1), ROW, {"c": np.float32(0.7)}),
    "wider": (17, one("Add", "c"), (1,), {"c": W(3)}),
    "by a wider value": (
        17,
        [*positive, node("GlobalAveragePool", ["p"], ["q"]), node("Div", ["g", "q"], ["s"], name="kept")],
        IMAGE,
        {},
    ),
    "greater": (17, half(node("Greater", ["g", "zero"], ["m"])), ROW, zero),
    "less or equal": (17, half(node("LessOrEqual", ["g", "zero"], ["m"])), ROW, zero),
    "not less": (
        17,
        [node("Less", ["g", "zero"], ["l"]), *half(node("Not", ["l"], ["m"]))],
        ROW,
        zero,
    ),
    "equal, or nearly": (
        17,
        [
            node("Equal", ["g", "zero"], ["e"]),
            node("Greater", ["g", "zero"], ["l"]),
            node("Or", ["e", "l"], ["m"]),
            node("Cast", ["m"], ["s"], name="kept", to=1),
        ],
        ROW,
        zero,
    ),
    "cut to whole numbers": (
        17,
        [
            node("Mul", ["g", "c"], ["q"]),
            node("Cast", ["q"], ["w"], to=7),
            node("Cast", ["w"], ["s"], name="kept", to=1),
        ],
        ROW,
        {"c": np.float32(10)},
    ),
    "argmax": (
        17,
        [node("ArgMax", ["g"], ["i"], axis=1, keepdims=0), node("Cast", ["i"], ["s"], name="kept", to=1)],
        SEQUENCE,
        {},
    ),
    "argmin": (13, [node("ArgMin", ["g"], ["i"], axis=-1), node("Cast", ["i"], ["s"], name="kept", to=1)], (3,), {}),
    "top values": (17, [node("TopK", ["g", "k"], ["s", "i"], name="kept", axis=1)], SEQUENCE, {"k": np.array([2])}),
    "top values and where they are": (
        17,
        [
            node("TopK", ["g", "k"], ["v", "i"], name="kept", axis=1, largest=0),
            node("Cast", ["i"], ["c"], to=1),
            node("Concat", ["v", "c"], ["s"], axis=1),
        ],
        ROW,
        {"k": np.array([3])},
    ),
    "picked by what is largest": (
        17,
        [node("TopK", ["g", "k"], ["v", "i"], axis=1), node("GatherElements", ["g", "i"], ["s"], name="kept", axis=1)],
        ROW,
        {"k": np.array([2])},
    ),
    "gathered twice": (17, one("Gather", "i", axis=1), ROW, {"i": np.array([[0, 0, 1], [4, -1, 0]])}),
    "looked up": (
        17,
        [
            node("Floor", ["g"], ["f"]),
            node("Clip", ["f", "zero", "three"], ["c"]),
            node("Cast", ["c"], ["i"], to=7),
            node("Gather", ["table", "i"], ["s"], name="kept", axis=0),
        ],
        ROW,
        {**zero, "three": np.float32(3), "table": W(4, 2)},
    ),
    "running sum": (17, one("CumSum", "a", exclusive=1, reverse=1), SEQUENCE, {"a": np.array(2)}),
    "hardmax": (17, one("Hardmax"), ROW, {}),
    "sum over an axis": (17, one("ReduceSum", "a", keepdims=0), SEQUENCE, {"a": np.array([1])}),
    "sum to a number": (17, one("ReduceSum", "a", keepdims=0), SEQUENCE, {"a": np.array([1, 2])}),
    "largest of an axis": (17, one("ReduceMax", axes=[-1]), SEQUENCE, {}),
    "length, opset 18": (18, one("ReduceL2", "a"), SEQUENCE, {"a": np.array([-1])}),
    "log of a sum of exponentials": (17, one("ReduceLogSumExp", axes=[1]), SEQUENCE, {}),
    "product": (17, one("ReduceProd", axes=[1], keepdims=0), SEQUENCE, {}),
    "layer norm": (17, one("LayerNormalization", "c", "b", axis=-1), SEQUENCE, {"c": W(4), "b": W(4, seed=1)}),
    "instance norm": (17, one("InstanceNormalization", "c", "b"), IMAGE, {"c": W(4), "b": W(4, seed=1)}),
    "group norm": (21, one("GroupNormalization", "c", "b", num_groups=2), IMAGE, {"c": W(4), "b": W(4, seed=1)}),
    "neighbouring channels": (17, one("LRN", size=3, alpha=0.3, beta=0.6, bias=1.1), (7, 3, 2), {}),
    "neighbours beyond all channels": (17, one("LRN", size=9, alpha=0.3), IMAGE, {}),
    "transposed convolution in groups": (
        17,
        one("ConvTranspose", "K", "b", group=2, strides=[2, 1], dilations=[1, 2], pads=[1, 0, 0, 1]),
        IMAGE,
        {"K": W(4, 3, 3, 2), "b": W(6)},
    ),
    "transposed convolution of a sequence": (
        17,
        one("ConvTranspose", "K", strides=[3], output_padding=[2]),
        SEQUENCE,
        {"K": W(5, 2, 2)},
    ),
    "length of 1": (17, one("LpNormalization", axis=1, p=2), SEQUENCE, {}),
    "depth to space": (17, one("DepthToSpace", blocksize=2), IMAGE, {}),
    "space to depth": (17, one("SpaceToDepth", blocksize=2), (1, 2, 4), {}),
    "reflected": (17, one("Pad", "p", mode="reflect"), (1, 3, 3), {"p": np.array([0, 0, 1, 0, 0, 0, 2, 1])}),
    "transposed convolution": (17, one("ConvTranspose", "K", strides=[2, 2]), IMAGE, {"K": W(4, 2, 3, 2)}),
    "twice as large": (
        17,
        one("Resize", "", "f", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        IMAGE,
        {"f": np.array([1, 1, 2, 2], np.float32)},
    ),
    "nearest": (13, one("Resize", "", "f"), IMAGE, {"f": np.array([1, 1, 2, 1.5], np.float32)}),
    "interpolated": (13, one("Resize", "", "f", mode="linear"), IMAGE, {"f": np.array([1, 1, 2, 3], np.float32)}),
    "interpolated smaller": (
        18,
        one("Resize", "", "f", mode="linear", coordinate_transformation_mode="align_corners"),
        (2, 5, 4),
        {"f": np.array([1, 1, 0.6, 0.5], np.float32)},
    ),
    "interpolated to a size": (
        17,
        [
            node("Shape", ["g"], ["n"]),
            node("Slice", ["n", "at0", "at2"], ["n2"]),
            node("Concat", ["n2", "size"], ["sizes"], axis=0),
            node("Resize", ["g", "", "", "sizes"], ["s"], name="kept", mode="linear",
                 coordinate_transformation_mode="pytorch_half_pixel"),
        ],
        IMAGE,
        {"at0": np.array([0]), "at2": np.array([2]), "size": np.array([5, 1])},
    ),
    "einsum": (17, [node("Einsum", ["g", "g"], ["s"], name="kept", equation="nij,nik->njk")], SEQUENCE, {}),
    "repeated": (17, one("Tile", "r"), SEQUENCE, {"r": np.array([1, 2, 1])}),
    "triangle": (17, one("Trilu", upper=0), SEQUENCE, {}),
    "expanded": (17, one("Expand", "r"), (5, 1), {"r": np.array([1, 1, 3])}),
    "attention with a softmax over a mask": (
        17,
        [
            node("Transpose", ["g"], ["t"], perm=[0, 2, 1]),
            node("MatMul", ["g", "t"], ["q"]),
            node("Where", ["mask", "q", "low"], ["w"], name="kept"),
            node("Softmax", ["w"], ["a"], axis=-1),
            node("MatMul", ["a", "g"], ["s"]),
        ],
        SEQUENCE,
        {"mask": np.tril(np.ones((5, 5), bool)), "low": np.float32(-1e9)},
    ),
    "lstm, all steps": (
        17,
        turned(
            "LSTM", "Y", node("Squeeze", ["Y", "a"], ["y1"]), node("Transpose", ["y1"], ["s"], perm=[1, 0, 2])
        ),
        SEQUENCE,
        {**recurrent(4), "a": np.array([1])},
    ),
    "lstm, last step": (17, turned("LSTM", "H", node("Squeeze", ["H", "a"], ["s"])), SEQUENCE,
                        {**recurrent(4), "a": np.array([0])}),
    "gru both ways": (
        17,
        turned(
            "GRU", "Y", node("Transpose", ["Y"], ["s"], perm=[2, 0, 1, 3]), direction="bidirectional",
            linear_before_reset=1,
        ),
        SEQUENCE,
        recurrent(3, 2),
    ),
    "rnn, backwards": (
        17,
        turned("RNN", "H", node("Squeeze", ["H", "a"], ["s"]), direction="reverse"),
        SEQUENCE,
        {**recurrent(1), "a": np.array([0])},
    ),
    "lstm that starts at zeros for every sample": (
        17,
        [
            node("Shape", ["g"], ["n"]),
            node("Gather", ["n", "i0"], ["n0"], axis=0),
            node("Unsqueeze", ["n0", "a"], ["n1"]),
            node("Concat", ["d", "n1", "k"], ["z"], axis=0),
            node("ConstantOfShape", ["z"], ["h0"]),
            node("Transpose", ["g"], ["t"], perm=[1, 0, 2]),
            node("LSTM", ["t", "W", "R", "B", "", "h0", "h0"], ["", "H"], name="kept", hidden_size=3),
            node("Squeeze", ["H", "a"], ["s"]),
        ],
        SEQUENCE,
        {**recurrent(4), "i0": np.array(0), "a": np.array([0]), "d": np.array([1]), "k": np.array([3])},
    ),
}  # fmt: skip


def network(label: str, folder: Path, batch: Any = "N") -> tuple[Path, Any]:
    """A file: 4 inputs, 8 hidden neurons "h", the nodes, 6 hidden neurons "f1", 3 outputs; and samples."""
    opset, nodes, shape, stored = KEPT[label]
    size = int(np.prod(shape))
    front = [
        node("Gemm", ["x", "W1", "b1"], ["h"]),
        node("Relu", ["h"], ["ha"]),
        node("Gemm", ["ha", "W2"], ["flat"]),
        node("Reshape", ["flat", "shape"], ["g"]),
    ]
    stored = {
        **stored,
        "W1": W(4, 8),
        "b1": W(8, seed=9),
        "W2": W(8, size) / 3,
        "shape": np.array([-1, *shape]),
    }
    x = W(5, 4, seed=7) if batch == "N" else W(batch, 4, seed=7)
    half_way = model([*front, *nodes, node("Flatten", ["s"], ["y"])], {"x": [batch, 4]}, ["y"], stored, opset)
    (found,) = run(written(half_way, folder / "half.onnx"), x)
    stored |= {"W3": W(found.shape[1], 6) / found.shape[1], "b3": W(6, seed=8), "W4": W(6, 3)}
    back = [
        node("Flatten", ["s"], ["fv"]),
        node("Gemm", ["fv", "W3", "b3"], ["f1"]),
        node("Relu", ["f1"], ["fr"]),
        node("Gemm", ["fr", "W4"], ["y"]),
    ]
    path = folder / "net.onnx"
    return written(model([*front, *nodes, *back], {"x": [batch, 4]}, ["y"], stored, opset), path), x
