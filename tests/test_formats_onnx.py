"""ONNX files: what comes in computes what onnxruntime does, what goes out too, and nothing in a file is trusted."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import EXAMPLES, inputs

import minprune as mp
from minprune.errors import DataError, DtypeError, FileError, MinpruneError, PlanError, StructureError
from minprune.neurons import hidden

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

from onnx_models import constant, model, node, run, weights, written  # noqa: E402

W = weights


def one(op: str, *more: str, **attributes: Any) -> list[Any]:
    return [node(op, ["x", *more], ["y"], **attributes)]


# label -> (opset, nodes, shape of a sample, stored tensors)
OPS: dict[str, tuple[int, list[Any], tuple[int, ...], dict[str, Any]]] = {
    "gemm": (17, one("Gemm", "W", "b"), (4,), {"W": W(4, 3), "b": W(3)}),
    "gemm, all settings": (
        17,
        one("Gemm", "W", "b", transB=1, alpha=0.5, beta=2.0),
        (4,),
        {"W": W(3, 4), "b": W(1, 3)},
    ),
    "gemm, one bias for all": (17, one("Gemm", "W", "b"), (4,), {"W": W(4, 3), "b": W(1)}),
    "gemm, opset 7": (7, one("Gemm", "W", "b"), (4,), {"W": W(4, 3), "b": W(3)}),
    "matmul": (17, one("MatMul", "W"), (4,), {"W": W(4, 3)}),
    "matmul of sequences": (17, one("MatMul", "W"), (5, 4), {"W": W(4, 3)}),
    "matmul of images": (17, one("MatMul", "W"), (2, 5, 4), {"W": W(4, 3)}),
    "conv": (17, one("Conv", "W", "b"), (2, 6, 5), {"W": W(3, 2, 3, 2), "b": W(3)}),
    "conv, groups, strides, dilations": (
        17,
        one("Conv", "W", group=2, strides=[2, 1], dilations=[1, 2], pads=[1, 2, 1, 2]),
        (4, 7, 6),
        {"W": W(6, 2, 3, 2)},
    ),
    "conv, one border wider": (17, one("Conv", "W", pads=[0, 1, 2, 0]), (1, 5, 5), {"W": W(2, 1, 3, 3)}),
    "conv, same upper": (17, one("Conv", "W", auto_pad="SAME_UPPER", strides=[2, 2]), (1, 6, 7), {"W": W(2, 1, 4, 3)}),
    "conv, same lower": (17, one("Conv", "W", auto_pad="SAME_LOWER"), (1, 6, 7), {"W": W(2, 1, 4, 2)}),
    "conv, valid": (17, one("Conv", "W", auto_pad="VALID"), (1, 6, 7), {"W": W(2, 1, 4, 2)}),
    "conv of sequences": (17, one("Conv", "W", dilations=[2], pads=[1, 0]), (2, 9), {"W": W(3, 2, 3)}),
    "batch-norm": (
        17,
        one("BatchNormalization", "g", "b", "m", "v", epsilon=1e-3),
        (3, 4, 2),
        {"g": W(3), "b": W(3), "m": W(3), "v": np.abs(W(3)) + 0.5},
    ),
    "max-pool": (17, one("MaxPool", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 0]), (2, 7, 6), {}),
    "max-pool, rounded up": (17, one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), (2, 6, 8), {}),
    "max-pool, uneven": (17, one("MaxPool", kernel_shape=[2], pads=[0, 1]), (2, 6), {}),
    "average-pool": (17, one("AveragePool", kernel_shape=[2, 2], strides=[2, 2]), (2, 6, 5), {}),
    "average-pool, border not counted": (17, one("AveragePool", kernel_shape=[3, 3], pads=[1] * 4), (2, 6, 5), {}),
    "average-pool, border counted": (
        17,
        one("AveragePool", kernel_shape=[3, 3], pads=[1, 0, 1, 1], count_include_pad=1),
        (2, 6, 5),
        {},
    ),
    "average-pool, rounded up": (19, one("AveragePool", kernel_shape=[3], strides=[2], ceil_mode=1), (2, 6), {}),
    "global pools": (
        17,
        [
            node("GlobalMaxPool", ["x"], ["m"]),
            node("GlobalAveragePool", ["x"], ["a"]),
            node("Concat", ["m", "a"], ["y"], axis=1),
        ],
        (3, 4, 2),
        {},
    ),
    "mean of places": (17, one("ReduceMean", axes=[2, 3], keepdims=0), (3, 4, 2), {}),
    "mean of places, opset 18": (18, one("ReduceMean", "axes"), (3, 4, 2), {"axes": np.array([-1, -2])}),
    "mean of places, channels last": (17, one("ReduceMean", axes=[1, 2]), (3, 4, 2), {}),
    "pad": (17, one("Pad", "p", "v"), (2, 3, 3), {"p": np.array([0, 0, 1, 0, 0, 0, 2, 1]), "v": np.float32(0.5)}),
    "pad, opset 10": (10, one("Pad", pads=[0, 0, 1, 0, 0, 2], value=-1.0), (2, 3), {}),
    "clip": (17, one("Clip", "l", "h"), (5,), {"l": np.float32(-0.3), "h": np.float32(0.6)}),
    "clip, opset 6 style": (10, one("Clip", min=0.0, max=0.5), (5,), {}),
    "clip, one end": (17, one("Clip", "l"), (5,), {"l": np.float32(0)}),
    "prelu": (17, one("PRelu", "a"), (3, 2, 2), {"a": W(3, 1, 1)}),
    "prelu, one slope": (17, one("PRelu", "a"), (3, 2), {"a": W(1)}),
    "softmax": (17, one("Softmax"), (3, 5), {}),
    "softmax, axis 1": (17, one("Softmax", axis=1), (3, 2, 2), {}),
    "softmax, all axes": (11, one("Softmax"), (3, 2, 2), {}),
    "softmax, last axis": (11, one("Softmax", axis=2), (3, 5), {}),
    "log-softmax": (17, one("LogSoftmax"), (5,), {}),
    "gelu by erf": (
        17,
        [
            node("Div", ["x", "r"], ["d"]),
            node("Erf", ["d"], ["e"]),
            node("Add", ["e", "o"], ["s"]),
            node("Mul", ["x", "s"], ["p"]),
            node("Mul", ["p", "h"], ["y"]),
        ],
        (5,),
        {"r": np.float32(2**0.5), "o": np.float32(1), "h": np.float32(0.5)},
    ),
    "gelu": (20, one("Gelu"), (5,), {}),
    "gelu by tanh": (20, one("Gelu", approximate="tanh"), (5,), {}),
    "swish by sigmoid": (17, [node("Sigmoid", ["x"], ["s"]), node("Mul", ["x", "s"], ["y"])], (5,), {}),
    "mish": (18, one("Mish"), (5,), {}),
    "leaky relu": (17, one("LeakyRelu", alpha=0.3), (5,), {}),
    "elu": (17, one("Elu", alpha=1.5), (5,), {}),
    "selu": (17, one("Selu"), (5,), {}),
    "hard sigmoid": (17, one("HardSigmoid", alpha=0.3, beta=0.4), (5,), {}),
    "square": (17, one("Pow", "two"), (5,), {"two": np.float32(2)}),
    "add a constant": (17, one("Add", "c"), (3, 4), {"c": W(3, 1)}),
    "constant minus": (17, [node("Sub", ["c", "x"], ["y"])], (3, 4), {"c": W(4)}),
    "subtract": (17, one("Sub", "c"), (3, 4), {"c": W(1, 3, 4)}),
    "multiply by a constant": (17, one("Mul", "c"), (3, 4), {"c": W(3, 1)}),
    "divide": (17, one("Div", "c"), (3,), {"c": W(3)}),
    "difference of values": (17, [node("Relu", ["x"], ["r"]), node("Sub", ["x", "r"], ["y"])], (3, 2), {}),
    "sum of three": (17, [node("Relu", ["x"], ["r"]), node("Sum", ["x", "r", "x"], ["y"])], (3,), {}),
    "negative": (17, one("Neg"), (3,), {}),
    "channels scaled": (17, [node("GlobalAveragePool", ["x"], ["m"]), node("Mul", ["x", "m"], ["y"])], (3, 2, 2), {}),
    "flatten": (17, one("Flatten"), (2, 3, 2), {}),
    "reshape": (17, one("Reshape", "s"), (2, 3, 2), {"s": np.array([0, 3, -1])}),
    "squeeze": (17, one("Squeeze", "a"), (3, 1, 1), {"a": np.array([2, 3])}),
    "squeeze, opset 11": (11, one("Squeeze", axes=[-1]), (3, 1), {}),
    "unsqueeze": (17, one("Unsqueeze", "a"), (3,), {"a": np.array([1, -1])}),
    "transpose": (17, one("Transpose", perm=[0, 3, 1, 2]), (2, 3, 4), {}),
    "transpose, relu, transpose": (
        17,
        [
            node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
            node("Relu", ["t"], ["r"]),
            node("Add", ["r", "c"], ["a"]),
            node("Transpose", ["a"], ["y"], perm=[0, 2, 1]),
        ],
        (2, 3),
        {"c": W(2)},
    ),
    "concat along places": (17, [node("Relu", ["x"], ["r"]), node("Concat", ["x", "r"], ["y"], axis=2)], (2, 3), {}),
    "gather": (17, one("Gather", "i", axis=1), (4, 2), {"i": np.array([2, 0, -1])}),
    "slice": (
        17,
        one("Slice", "s", "e", "a", "t"),
        (5, 2),
        {"s": np.array([3]), "e": np.array([-9]), "a": np.array([1]), "t": np.array([-2])},
    ),
    "slice, opset 9": (9, one("Slice", starts=[1], ends=[3], axes=[2]), (2, 5), {}),
    "split": (
        17,
        [node("Split", ["x", "s"], ["a", "b"], axis=1), node("Concat", ["b", "a"], ["y"], axis=1)],
        (5,),
        {"s": np.array([2, 3])},
    ),
    "max-pool with gaps": (17, one("MaxPool", kernel_shape=[2, 2], dilations=[2, 3], pads=[1, 0, 0, 1]), (2, 5, 6), {}),
    "average-pool with gaps": (
        19,
        one("AveragePool", kernel_shape=[2, 2], dilations=[2, 1], strides=[2, 1], pads=[1] * 4, ceil_mode=1),
        (2, 6, 5),
        {},
    ),
    "max-pool of volumes": (17, one("MaxPool", kernel_shape=[2] * 3, strides=[1, 2, 2]), (2, 3, 4, 5), {}),
    "average-pool of volumes": (17, one("AveragePool", kernel_shape=[2] * 3), (2, 3, 4, 3), {}),
    "global max-pool of volumes": (17, one("GlobalMaxPool"), (2, 3, 2, 2), {}),
    "prelu, a slope for every entry": (17, one("PRelu", "a"), (3, 2), {"a": W(3, 2)}),
    "divided by a value": (
        17,
        [node("Softplus", ["x"], ["p"]), node("Div", ["x", "p"], ["y"])],
        (3, 2),
        {},
    ),
    "a constant divided by a value": (
        17,
        [node("Sigmoid", ["x"], ["p"]), node("Div", ["c", "p"], ["y"])],
        (3, 2),
        {"c": W(2)},
    ),
    "powers, root and inverse": (
        17,
        [
            node("Sigmoid", ["x"], ["s"]),
            node("Pow", ["s", "p"], ["a"]),
            node("Sqrt", ["s"], ["b"]),
            node("Reciprocal", ["s"], ["c"]),
            node("Sum", ["a", "b", "c"], ["y"]),
        ],
        (2, 3),
        {"p": W(3)},
    ),
    "matrices multiplied": (
        17,
        [node("Transpose", ["x"], ["t"], perm=[0, 1, 3, 2]), node("MatMul", ["x", "t"], ["y"])],
        (2, 3, 4),
        {},
    ),
    "a constant matrix on the left": (17, [node("MatMul", ["A", "x"], ["y"])], (4, 3), {"A": W(2, 4)}),
    "gather of one": (17, one("Gather", "i", axis=1), (4, 2), {"i": np.array(2)}),
    "gather in a square": (17, one("Gather", "i", axis=2), (2, 4), {"i": np.array([[0, 3], [-2, 1]])}),
    "slice along two axes": (
        17,
        one("Slice", "s", "e", "a"),
        (5, 4),
        {"s": np.array([1, -3]), "e": np.array([4, 9]), "a": np.array([1, -1])},
    ),
    "mean of one axis": (18, one("ReduceMean", "axes"), (3, 4, 2), {"axes": np.array([-2])}),
    "mean of one axis, dropped": (17, one("ReduceMean", axes=[1], keepdims=0), (3, 4, 2), {}),
    "mean of a whole sample": (17, one("ReduceMean", axes=[1, 2], keepdims=0), (3, 4), {}),
    "one number a sample": (
        17,
        [node("MatMul", ["x", "W"], ["m"]), node("Squeeze", ["m", "a"], ["y"])],
        (4,),
        {"W": W(4, 1), "a": np.array([-1])},
    ),
    "dropout, identity": (17, [node("Dropout", ["x"], ["d"]), node("Identity", ["d"], ["y"])], (3,), {}),
}


@pytest.mark.parametrize("label", OPS)
def test_an_op_computes_what_onnxruntime_does_and_so_does_what_is_written(label: str, tmp_path: Path) -> None:
    opset, nodes, shape, stored = OPS[label]
    path = written(model(nodes, {"x": ["N", *shape]}, ["y"], stored, opset), tmp_path / "op.onnx")
    x = weights(3, *shape, seed=7)
    (wanted,) = run(path, x)
    net = mp.load(path)
    found = net(x)
    assert found.shape == (wanted.shape if wanted.ndim > 1 else (3, 1))  # a number a sample is one output
    found = found.reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    mp.save(net, tmp_path / "again.onnx")
    (again,) = run(tmp_path / "again.onnx", x)
    np.testing.assert_allclose(again, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(mp.load(tmp_path / "again.onnx")(x).reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)


# Files that fix their first axis and use it as no batch: label -> (nodes, shapes of inputs, stored tensors, what of
# "x" is pruned, or None where nothing can be).
WHOLE: dict[str, tuple[list[Any], dict[str, list[int]], dict[str, Any], str | None]] = {
    "a vector in, a vector out": (
        [
            node("MatMul", ["x", "W1"], ["h"]),
            node("Add", ["h", "b1"], ["z"]),
            node("Tanh", ["z"], ["a"]),
            node("MatMul", ["a", "W2"], ["y"]),
        ],
        {"x": [4]},
        {"W1": W(4, 6), "b1": W(6), "W2": W(6, 3)},
        "z",
    ),
    "one image, its batch dropped at the end": (
        [
            node("Conv", ["x", "K"], ["c"]),
            node("Relu", ["c"], ["r"]),
            node("Flatten", ["r"], ["f"]),
            node("Gemm", ["f", "W", "b"], ["g"]),
            node("Reshape", ["g", "s"], ["v"]),
            node("Softmax", ["v"], ["y"], axis=0),
        ],
        {"x": [1, 2, 4, 4]},
        {"K": W(5, 2, 3, 3), "W": W(20, 3), "b": W(3), "s": np.array([-1])},
        "c",
    ),
    "an image without a batch": (
        [
            node("Unsqueeze", ["x", "zero"], ["u"]),
            node("Conv", ["u", "K"], ["c"]),
            node("Relu", ["c"], ["r"]),
            node("GlobalAveragePool", ["r"], ["p"]),
            node("Flatten", ["p"], ["f"], axis=1),
            node("MatMul", ["f", "W"], ["m"]),
            node("Squeeze", ["m", "zero"], ["y"]),
        ],
        {"x": [2, 4, 4]},
        {"K": W(5, 2, 3, 3), "W": W(5, 3), "zero": np.array([0])},
        "c",
    ),
    "a matrix, all of its axes used": (
        [
            node("Transpose", ["x"], ["t"], perm=[1, 0]),
            node("Gemm", ["t", "W", "C"], ["g"], alpha=0.5, beta=2.0),
            node("Shape", ["g"], ["s"]),
            node("Gather", ["s", "zero"], ["rows"]),
            node("Concat", ["minus", "rows"], ["to"], axis=0),
            node("Reshape", ["g", "to"], ["q"]),
            node("Split", ["q"], ["a", "b", "c"], axis=0),
            node("Concat", ["b", "a"], ["j"], axis=0),
            node("Slice", ["j", "from", "until"], ["l"]),
            node("ReduceMean", ["l"], ["y"], axes=[0], keepdims=1),
        ],
        {"x": [4, 5]},
        {"W": W(4, 3), "C": W(5, 3), "zero": np.array([0]), "minus": np.array([-1]), "from": np.array([0, 1]),
         "until": np.array([2, 9])},
        None,
    ),
    "values that meet, a number that leaves": (
        [node("MatMul", ["x", "u"], ["m"]), node("Relu", ["m"], ["r"]), node("MatMul", ["r", "w"], ["y"])],
        {"x": [2, 3], "u": [3, 4]},
        {"w": W(4)},
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("label", WHOLE)
def test_a_file_without_a_batch_axis_is_a_network_of_samples(label: str, tmp_path: Path) -> None:
    nodes, shapes, stored, group = WHOLE[label]
    path = written(model(nodes, shapes, ["y"], stored), tmp_path / "net.onnx")
    net = mp.load(path)
    xs = [W(3, *shape, seed=5) for shape in shapes.values()]
    wanted = np.stack([run(path, *(x[n] for x in xs))[0] for n in range(3)])
    given = [x.reshape(3, *(net.input_shapes or {})[name]) for name, x in zip(shapes, xs, strict=True)]
    np.testing.assert_allclose(net(*given).reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)
    small = net if group is None else mp.remove(net, mp.Plan({group: [0, 2]}))
    mp.save(small, tmp_path / "small.onnx")
    found = np.stack([run(tmp_path / "small.onnx", *(x[n] for x in xs))[0] for n in range(3)])
    assert found.shape == wanted.shape
    np.testing.assert_allclose(small(*given).reshape(wanted.shape), found, rtol=1e-4, atol=1e-5)
    back = mp.load(tmp_path / "small.onnx")
    assert mp.verify(back).ok
    assert {name: a.shape for name, a in back.params.items()} == {name: a.shape for name, a in small.params.items()}
    np.testing.assert_allclose(back(*given).reshape(wanted.shape), found, rtol=1e-4, atol=1e-5)


def test_a_file_that_fixes_several_samples_is_refused_where_they_would_be_mixed(tmp_path: Path) -> None:
    nodes = [node("GlobalAveragePool", ["x"], ["p"]), node("Transpose", ["p"], ["y"], perm=[1, 0, 2])]
    path = written(model(nodes, {"x": [2, 3, 4]}, ["y"]), tmp_path / "net.onnx")
    with pytest.raises(FileError, match=r"Transpose 'y': perm .* expected the batch to stay first"):
        mp.load(path)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_network_of_our_own_is_written_and_comes_back(name: str, tmp_path: Path) -> None:
    net = EXAMPLES[name]().astype(np.float32)
    mp.save(net, tmp_path / "net.onnx")
    xs = [x.astype(np.float32) for x in inputs(net).values()]
    wanted = net(*xs)
    largest = np.abs(wanted).max()
    (found,) = run(tmp_path / "net.onnx", *xs)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * largest)
    back = mp.load(tmp_path / "net.onnx")
    np.testing.assert_allclose(back(*xs), wanted, rtol=1e-4, atol=1e-5 * largest)


def perceptron(opset: int = 13) -> Any:
    nodes = [
        node("MatMul", ["x", "W1"], ["h"], name="first"),
        node("Add", ["h", "b1"], ["z"], name="bias"),
        node("Relu", ["z"], ["a"], name="act"),
        node("Gemm", ["a", "W2", "b2"], ["y"], name="last"),
    ]
    stored = {"W1": W(4, 6), "b1": W(6), "W2": W(6, 3, seed=1), "b2": W(3, seed=1)}
    made = model(nodes, {"x": ["batch", 4]}, {"y": ["batch", 3]}, stored, opset)
    made.producer_name, made.doc_string, made.model_version = "somebody", "a text", 7
    onnx.helper.set_model_props(made, {"author": "somebody"})
    return made


def test_names_versions_metadata_and_free_axes_are_kept(tmp_path: Path) -> None:
    path = written(perceptron(), tmp_path / "net.onnx")
    small = mp.remove(mp.load(path), mp.Plan({"z": [0, 5]}))
    mp.save(small, tmp_path / "small.onnx")
    old, new = onnx.load(path), onnx.load(tmp_path / "small.onnx")
    assert (new.graph.input, new.graph.output) == (old.graph.input, old.graph.output)
    assert (new.opset_import, new.ir_version, new.producer_name) == (old.opset_import, old.ir_version, "somebody")
    assert (new.doc_string, new.graph.name) == ("a text", "g")
    assert {"author": "somebody"}.items() <= {entry.key: entry.value for entry in new.metadata_props}.items()
    assert [made.name for made in new.graph.node] == ["bias", "act", "last"]
    assert {t.name: tuple(t.dims) for t in new.graph.initializer} == {
        "W1": (4, 4),
        "b1": (4,),
        "W2": (3, 4),
        "b2": (3,),
    }


def test_history_and_certificate_travel_with_the_file(tmp_path: Path) -> None:
    path = written(perceptron(), tmp_path / "net.onnx")
    small = mp.remove(mp.load(path), mp.Plan({"z": [0, 5]}), "mean", W(9, 4))
    mp.save(small, tmp_path / "small.npz")
    mp.save(mp.load(tmp_path / "small.npz"), tmp_path / "small.onnx", {"classes": ["a", "b", "c"]})
    back = mp.load(tmp_path / "small.onnx")
    assert [record.action for record in back.history] == ["import", "remove", "repair", "import"]
    assert "onnx" not in str(back.history[0]).replace(".onnx", "")
    assert back.certificate == small.certificate
    assert mp.verify(back, mp.load(path)).ok
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "small.onnx").metadata_props}
    assert "masked ≡ removed" in properties["minprune.certificate"]
    assert properties["minprune.metadata"] == '{"classes": ["a", "b", "c"]}'


def test_weights_that_were_edited_in_the_file_are_found(tmp_path: Path) -> None:
    mp.save(mp.remove(mp.load(written(perceptron(), tmp_path / "net.onnx")), mp.Plan({"z": [0]})), tmp_path / "s.onnx")
    edited = onnx.load(tmp_path / "s.onnx")
    raw = bytearray(edited.graph.initializer[0].raw_data)
    raw[0] ^= 1
    edited.graph.initializer[0].raw_data = bytes(raw)
    assert not mp.verify(mp.load(written(edited, tmp_path / "s.onnx"))).ok


def test_the_original_without_some_neurons_is_what_a_file_with_zeros_computes(tmp_path: Path) -> None:
    """Channels last: a removed channel is every third weight of the next layer, here set to 0 by hand."""
    W1, W2 = W(3, 1, 2, 2), W(2 * 2 * 3, 2)

    def made(W2: Any) -> Any:
        nodes = [
            node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
            node("Conv", ["t", "W1"], ["c"]),
            node("Transpose", ["c"], ["l"], perm=[0, 2, 3, 1]),
            node("Relu", ["l"], ["r"]),
            node("Reshape", ["r", "s"], ["f"]),
            node("MatMul", ["f", "W2"], ["y"]),
        ]
        return model(nodes, {"x": ["N", 3, 3, 1]}, ["y"], {"W1": W1, "W2": W2, "s": np.array([-1, 12])})

    net = mp.load(written(made(W2), tmp_path / "net.onnx"))
    assert hidden(net) == ["c"]
    small = mp.remove(net, mp.Plan({"c": [1]}))
    mp.save(small, tmp_path / "small.onnx")
    zeros = W2.copy()
    zeros[1::3] = 0
    x = W(4, 3, 3, 1)
    (wanted,) = run(written(made(zeros), tmp_path / "zeros.onnx"), x)
    (found,) = run(tmp_path / "small.onnx", x)
    assert small.params["y.W"].shape == (2, 8)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(small(x), wanted, rtol=1e-5, atol=1e-6)


def test_neurons_that_a_reshape_spreads_stay_and_say_so(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "W"], ["c"]),
        node("Reshape", ["c", "s"], ["r"]),
        node("Conv", ["r", "V"], ["y"]),
    ]
    stored = {"W": W(4, 1, 1, 1), "V": W(2, 12, 1, 1), "s": np.array([0, 12, 3, 1])}
    net = mp.load(written(model(nodes, {"x": ["N", 1, 3, 3]}, ["y"], stored), tmp_path / "net.onnx"))
    assert net.neurons["c"].stays == ""  # each of the 12 rows of 3 belongs to one channel
    assert mp.remove(net, mp.Plan({"c": [0]})).params["y.W"].shape == (2, 9, 1, 1)
    stored["s"] = np.array([0, 3, 3, 4])
    stored["V"] = W(2, 3, 1, 1)
    net = mp.load(written(model(nodes, {"x": ["N", 1, 3, 3]}, ["y"], stored), tmp_path / "net.onnx"))
    assert net.neurons["c"].stays == "r spreads them over its channels"
    with pytest.raises(PlanError, match="spreads"):
        mp.remove(net, mp.Plan({"c": [0]}))


@pytest.mark.parametrize("first", [1, -1, 0])
def test_a_batch_of_one_in_a_reshape_means_all_samples(first: int, tmp_path: Path) -> None:
    nodes = [node("Reshape", ["x", "s"], ["f"]), node("MatMul", ["f", "W"], ["y"])]
    made = model(nodes, {"x": [1, 2, 3]}, {"y": [1, 2]}, {"s": np.array([first, 6]), "W": W(6, 2)})
    net = mp.load(written(made, tmp_path / "net.onnx"))
    x = W(5, 2, 3)
    wanted = np.concatenate([run(tmp_path / "net.onnx", x[n : n + 1])[0] for n in range(5)])
    np.testing.assert_allclose(net(x), wanted, rtol=1e-5, atol=1e-6)


def test_weights_are_found_wherever_files_keep_them(tmp_path: Path) -> None:
    nodes = [
        constant("W3", W(2, 3, 2)),
        node("Reshape", ["W3", "s"], ["W2"]),
        node("Transpose", ["W2"], ["W"], perm=[1, 0]),
        node("Gemm", ["x", "W", "b"], ["h"], transB=1),
        node("Shape", ["h"], ["shape"]),
        node("Gather", ["shape", "zero"], ["n"]),
        node("Unsqueeze", ["n", "zero_axis"], ["n1"]),
        node("Concat", ["n1", "minus"], ["to"], axis=0),
        node("Reshape", ["h", "to"], ["y"]),
    ]
    stored = {
        "s": np.array([6, 2]),
        "b": W(2),
        "zero": np.array(0),
        "zero_axis": np.array([0]),
        "minus": np.array([-1]),
    }
    made = model(nodes, {"x": ["N", 6], "b": [2]}, ["y"], stored)
    net = mp.load(written(made, tmp_path / "net.onnx"))
    assert net.inputs == ("x",)
    np.testing.assert_allclose(net(W(3, 6)), run(tmp_path / "net.onnx", W(3, 6))[0], rtol=1e-5, atol=1e-6)


def test_several_outputs_become_one_and_go_out_as_several(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "W"], ["c"]),
        node("Relu", ["c"], ["r"]),
        node("Conv", ["r", "V"], ["v"]),
        node("Transpose", ["v"], ["boxes"], perm=[0, 2, 3, 1]),
        node("GlobalAveragePool", ["r"], ["g"]),
        node("Conv", ["g", "U"], ["scores"]),
    ]
    stored = {"W": W(4, 1, 2, 2), "V": W(2, 4, 1, 1), "U": W(3, 4, 1, 1)}
    made = model(nodes, {"x": ["N", 1, 3, 3]}, ["boxes", "scores"], stored)
    net = mp.load(written(made, tmp_path / "net.onnx"))
    x = W(2, 1, 3, 3)
    boxes, scores = run(tmp_path / "net.onnx", x)
    np.testing.assert_allclose(net(x), np.concatenate([boxes.reshape(2, -1), scores.reshape(2, -1)], 1), rtol=1e-5)
    assert hidden(net) == ["c"]
    mp.save(mp.remove(net, mp.Plan({"c": [2]})), tmp_path / "small.onnx")
    small = mp.load(tmp_path / "small.onnx")
    found = run(tmp_path / "small.onnx", x)
    assert [part.shape for part in found] == [boxes.shape, scores.shape]
    np.testing.assert_allclose(small(x), np.concatenate([part.reshape(2, -1) for part in found], 1), rtol=1e-5)


def outside(location: str, **more: str) -> Any:
    made = perceptron()
    tensor = made.graph.initializer[0]
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return made, data


def test_tensors_may_lie_in_a_file_beside_the_model(tmp_path: Path) -> None:
    made, data = outside("weights.bin", offset="8", length="96")
    (tmp_path / "weights.bin").write_bytes(b"\0" * 8 + data)
    net = mp.load(written(made, tmp_path / "net.onnx"))
    np.testing.assert_array_equal(net.params["z.W"], W(4, 6).T)


@pytest.mark.parametrize(
    ("location", "more", "match"),
    [
        ("../secret.bin", {}, "no file in the model's folder"),
        ("/etc/passwd", {}, "no file in the model's folder"),
        ("link.bin", {}, "no file in the model's folder"),
        ("", {}, "no file in the model's folder"),
        ("weights.bin", {"length": "5"}, "length is 5, expected 96 bytes"),
        ("weights.bin", {"offset": "90"}, "has 96 bytes, expected 186"),
        ("weights.bin", {"offset": "-4"}, "offset is '-4', expected a whole number"),
    ],
)
def test_tensors_elsewhere_are_refused(location: str, more: dict[str, str], match: str, tmp_path: Path) -> None:
    made, data = outside(location, **more)
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(data)
    (folder / "weights.bin").write_bytes(data)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(FileError, match=match):
        mp.load(written(made, folder / "net.onnx"))


def changed(change: Any) -> Any:
    made = perceptron()
    change(made)
    return made


def _set(made: Any, name: str, value: Any) -> None:
    (tensor,) = [t for t in made.graph.initializer if t.name == name]
    tensor.CopyFrom(onnx.numpy_helper.from_array(value, name))


BAD: dict[str, tuple[Any, str]] = {
    "cycle": (
        lambda m: m.graph.node[0].input.__setitem__(0, "a"),
        "MatMul 'first' reads 'a', which is only made after",
    ),
    "missing": (lambda m: m.graph.initializer.pop(0), "'first' reads 'W1', which is made by nothing"),
    "twice": (lambda m: m.graph.node[1].output.__setitem__(0, "h"), "'bias' makes 'h', but another value bears"),
    "two initializers": (lambda m: m.graph.initializer.add().CopyFrom(m.graph.initializer[0]), "two initializers bear"),
    "no output": (lambda m: m.graph.output[0].__setattr__("name", "q"), "output 'q' is made by no node"),
    "nodes": (lambda m: m.graph.ClearField("node"), "it has no nodes or no outputs"),
    "old": (lambda m: m.opset_import[0].__setattr__("version", 6), "opset 6, expected 7 to"),
    "new": (lambda m: m.opset_import[0].__setattr__("version", 999), "opset 999, expected 7 to"),
    "negative dims": (lambda m: m.graph.initializer[0].dims.__setitem__(0, -4), "'W1' has the shape"),
    "bomb": (lambda m: m.graph.initializer[0].dims.__setitem__(0, 1 << 40), "'W1' claims"),
    "short data": (lambda m: m.graph.initializer[0].dims.__setitem__(0, 5), r"'W1' of shape \(5, 6\) has 96 bytes"),
    "kind": (lambda m: m.graph.initializer[0].__setattr__("data_type", 77), "numbers of the unknown kind 77"),
    "strings": (lambda m: _set(m, "W1", np.array(["a"], dtype=object)), "tensor 'W1'"),
    "nan": (lambda m: _set(m, "W1", np.full((4, 6), np.nan, np.float32)), "not finite"),
    "shape": (lambda m: _set(m, "W1", W(5, 6)), r"MatMul 'first': cannot be taken over: expected \(N, 5\)"),
    "negative input": (
        lambda m: m.graph.input[0].type.tensor_type.shape.dim[1].__setattr__("dim_value", -4),
        "input 'x': a negative size",
    ),
    "open input": (
        lambda m: m.graph.input[0].type.tensor_type.shape.dim[1].__setattr__("dim_param", "W"),
        r"input 'x': shape \(batch, W\), expected",
    ),
    "whole numbers": (
        lambda m: m.graph.input[0].type.tensor_type.__setattr__("elem_type", 7),
        "input 'x': holds numbers of kind 7",
    ),
    "unknown op": (lambda m: m.graph.node[2].__setattr__("op_type", "Det"), "Det 'act': minprune has no rule"),
    "domain": (lambda m: m.graph.node[2].__setattr__("domain", "ai.me"), "Relu 'act': an op of 'ai.me'"),
    "attribute": (
        lambda m: m.graph.node[3].attribute.add(name="alpha", type=onnx.AttributeProto.STRING, s=b"1"),
        "Gemm 'last': the attribute alpha is of the wrong kind",
    ),
    "no text": (lambda m: m.MergeFromString(b"\x12\x01\xff"), "a name in it is no text"),
    "long name": (lambda m: m.graph.node[3].output.__setitem__(0, "y" * 1001), "a name of 1,001 characters"),
    "history": (lambda m: m.metadata_props.add(key="minprune.history", value="[1]"), "history, record 1"),
    "history text": (lambda m: m.metadata_props.add(key="minprune.history", value="{"), "minprune.history is not JSON"),
    "metadata": (
        lambda m: m.metadata_props.add(key="minprune.metadata", value="[]"),
        "minprune.metadata: expected a dict",
    ),
}


@pytest.mark.parametrize("label", BAD)
def test_a_bad_file_is_refused_in_one_line(label: str, tmp_path: Path) -> None:
    change, match = BAD[label]
    with pytest.raises(FileError, match=match) as caught:
        mp.load(written(changed(change), tmp_path / "bad.onnx"))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/bad.onnx: ")


REFUSED: dict[str, tuple[list[Any], tuple[int, ...], dict[str, Any], str]] = {
    "transA": (one("Gemm", "W", transA=1), (4,), {"W": W(4, 3)}, "makes samples of features"),
    "training": (
        one("BatchNormalization", "v", "v", "v", "v", training_mode=1),
        (3,),
        {"v": np.ones(3, np.float32)},
        "statistics of the batch",
    ),
    "softmax of samples": (one("Softmax", axis=0), (3,), {}, "it would compare samples"),
    "transposed samples": (one("Transpose", perm=[1, 0]), (3,), {}, "expected the batch to stay first"),
    "flattened samples": (one("Flatten", axis=0), (3,), {}, "make samples of features"),
    "reshaped samples": (one("Reshape", "s"), (4,), {"s": np.array([2, 8])}, "it would mix samples"),
    "indices": (
        [node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2])],
        (1, 5),
        {},
        "its indices are asked for",
    ),
    "by zero": (one("Div", "c"), (3,), {"c": np.zeros(3, np.float32)}, "which holds 0"),
    "samples apart": (one("Add", "c"), (3,), {"c": W(2, 3)}, "the samples of a batch differently"),
    "products of values": ([node("MatMul", ["x", "x"], ["y"])], (3,), {}, "expected a matrix or more for every sample"),
    "computed with N": (
        [node("Shape", ["x"], ["s"]), node("Mul", ["s", "s"], ["q"]), node("Reshape", ["x", "q"], ["y"])],
        (3,),
        {},
        "cannot be computed from its constants",
    ),
    "filled": (
        [node("ConstantOfShape", ["s"], ["c"]), node("Add", ["x", "c"], ["y"])],
        (3,),
        {"s": np.array([1 << 40])},
        "entries, expected at most",
    ),
}


@pytest.mark.parametrize("label", REFUSED)
def test_what_no_layer_does_is_refused_by_node_and_op(label: str, tmp_path: Path) -> None:
    nodes, shape, stored, match = REFUSED[label]
    made = model(nodes, {"x": ["N", *shape]}, ["y"], stored)
    with pytest.raises(FileError, match=rf"net.onnx: \w+ '\w+': .*{match}"):
        mp.load(written(made, tmp_path / "net.onnx"))


def test_without_the_package_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(perceptron(), tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(FileError, match=r"pip install 'minprune\[onnx\]'"):
        mp.load(path)
    with pytest.raises(FileError, match=r"pip install 'minprune\[onnx\]'"):
        mp.save(EXAMPLES["mlp"](), tmp_path / "x.onnx")


@pytest.mark.parametrize(("limit", "match"), [("MOST_BYTES", "bytes, expected at most 3"), ("MOST_NODES", "4 nodes")])
def test_files_beyond_the_limits_are_refused(
    limit: str, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minprune.formats.onnx_files import reading

    monkeypatch.setattr(reading, limit, 3)
    with pytest.raises(FileError, match=match):
        mp.load(written(perceptron(), tmp_path / "net.onnx"))


def test_what_onnx_cannot_hold_is_refused(tmp_path: Path) -> None:
    net = EXAMPLES["mlp"]()
    with pytest.raises(DtypeError, match="an ONNX file holds float32, float16, float64, this network has complex128"):
        mp.save(net.astype(complex), tmp_path / "x.onnx")
    with pytest.raises(DataError, match="what JSON can hold"):
        mp.save(net, tmp_path / "x.onnx", {"a": object()})
    with pytest.raises(StructureError, match="the layers leave the input's shape open"):
        mp.save(mp.Sequential(mp.Identity()), tmp_path / "x.onnx")
    with pytest.raises(FileError, match="cannot be written"):
        mp.save(net, tmp_path / "nowhere" / "x.onnx")


def test_a_network_whose_import_record_is_damaged_is_refused(tmp_path: Path) -> None:
    net = mp.load(written(perceptron(), tmp_path / "net.onnx"))
    net.history[0].how["onnx"]["opset"] = "17"
    with pytest.raises(FileError, match="the record of the import is damaged"):
        mp.save(net, tmp_path / "x.onnx")
    net.history[0].how["onnx"]["more"] = 1
    with pytest.raises(FileError, match="not one that minprune wrote"):
        mp.save(net, tmp_path / "x.onnx")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read: No such file"):
        mp.load(tmp_path / "none.onnx")


def test_every_truncation_loads_or_is_refused(tmp_path: Path) -> None:
    content = perceptron().SerializeToString()
    for end in range(len(content)):
        (tmp_path / "cut.onnx").write_bytes(content[:end])
        with contextlib.suppress(MinpruneError):
            mp.load(tmp_path / "cut.onnx")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_file_with_changed_bytes_loads_or_is_refused(changes: list[tuple[int, int]], tmp_path: Path) -> None:
    content = bytearray(perceptron().SerializeToString())
    for place, value in changes:
        content[place % len(content)] = value
    (tmp_path / "changed.onnx").write_bytes(bytes(content))
    with contextlib.suppress(MinpruneError):
        mp.load(tmp_path / "changed.onnx")


def mutated(made: Any, what: str, place: int, value: int) -> None:
    """Change one thing in a model that stays one for protobuf."""
    graph = made.graph
    nodes, stored = graph.node, graph.initializer
    names = [name for node_ in nodes for name in (*node_.input, *node_.output)] or ["x"]
    node_ = nodes[place % len(nodes)]
    if what == "op":
        node_.op_type = ["Relu", "Gemm", "Conv", "Flatten", "Reshape", "Softmax", "Concat", "Slice", "Split"][value % 9]
    elif what == "input" and node_.input:
        node_.input[value % len(node_.input)] = names[(place + value) % len(names)]
    elif what == "output" and node_.output:
        node_.output[0] = names[value % len(names)]
    elif what == "fewer inputs" and node_.input:
        del node_.input[value % len(node_.input)]
    elif what == "no output":
        del node_.output[:]
    elif what == "attribute":
        name = ["axis", "perm", "pads", "group", "kernel_shape", "strides", "dilations", "axes", "transB"][place % 9]
        del node_.attribute[:]
        numbers = [value - 3] * (value % 4)
        node_.attribute.append(onnx.helper.make_attribute(name, numbers if value % 3 and numbers else value - 3))
    elif what == "dims" and stored and stored[place % len(stored)].dims:
        stored[place % len(stored)].dims[0] = value * 10 ** (value % 12) - 3
    elif what == "numbers" and stored:
        stored[place % len(stored)].raw_data = b"\xff" * len(stored[place % len(stored)].raw_data)
    elif what == "size":
        graph.input[0].type.tensor_type.shape.dim[place % 2].dim_value = value - 3
    elif what == "rank":
        graph.input[0].type.tensor_type.shape.dim.add(dim_value=value)


CHANGES = ["op", "input", "output", "fewer inputs", "no output", "attribute", "dims", "numbers", "size", "rank"]
change = st.tuples(st.sampled_from(CHANGES), st.integers(0, 30), st.integers(0, 30))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(label=st.sampled_from(sorted(OPS)), changes=st.lists(change, min_size=1, max_size=3))
def test_a_model_with_changed_parts_loads_or_is_refused(label: str, changes: list[Any], tmp_path: Path) -> None:
    opset, nodes, shape, stored = OPS[label]
    made = model(nodes, {"x": ["N", *shape]}, ["y"], stored, opset)
    for what, place, value in changes:
        mutated(made, what, place, value)
    with contextlib.suppress(MinpruneError):
        mp.load(written(made, tmp_path / "changed.onnx"))


def test_the_command_line_prunes_an_onnx_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from minprune.cli import main

    path = written(perceptron(), tmp_path / "net.onnx")
    x = W(60, 4, seed=3)
    np.savez(tmp_path / "data.npz", x=x, y=run(path, x)[0].argmax(axis=1))
    words = ["prune", str(path), str(tmp_path / "data.npz"), "--remove", "0.5", "-o", str(tmp_path / "small.onnx")]
    assert main(words) == 0
    capsys.readouterr()
    assert mp.load(tmp_path / "small.onnx").params["z.W"].shape == (3, 4)
    assert run(tmp_path / "small.onnx", x)[0].shape == (60, 3)


@pytest.mark.slow
def test_of_the_packages_own_node_tests_none_is_computed_wrongly(tmp_path: Path) -> None:
    from onnx_backend import survey

    counts, reasons = survey(tmp_path)
    assert counts["wrong"] == 0, reasons
    assert counts["passed"] >= 0.93 * counts.total(), reasons
    assert set(reasons) == {"BatchNormalization", "Dropout", "MaxPool", "Reshape", "Slice", "Split"}, reasons


@pytest.mark.slow
def test_of_the_node_tests_of_ops_that_are_kept_as_they_are_none_is_computed_wrongly(tmp_path: Path) -> None:
    from onnx_backend import KEPT, survey

    counts, reasons = survey(tmp_path, KEPT)
    assert counts["wrong"] == 0, reasons
    assert counts["passed"] >= 0.7 * counts.total(), reasons
    # Whole numbers, truth values and empty sets are no values of a network; the others cannot be executed.
    known = (
        *("not floats", "samples along the first axis", "it mixes samples", "with numbers behind the batch axis"),
        *("cannot be executed", "p is 1", "equation of letters alone", "Incompatible dimensions"),
    )
    others = [why for found in reasons.values() for why in found if not any(text in why for text in known)]
    assert not others
