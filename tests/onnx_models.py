"""Small ONNX models to test with, and what onnxruntime makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import minprune as mp
from minprune.neurons import NOBODY, hidden
from minprune.nn import Graph

KINDS = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}


def model(
    nodes: Sequence[Any],
    inputs: Mapping[str, Sequence[Any]],
    outputs: Mapping[str, Sequence[Any] | None] | Sequence[str],
    stored: Mapping[str, Any] | None = None,
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> Any:
    """A model of nodes, inputs with their sizes (a name: free), outputs, and stored tensors."""
    declared = outputs if isinstance(outputs, Mapping) else dict.fromkeys(outputs)
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(name, kind, sizes) for name, sizes in inputs.items()],
        [helper.make_tensor_value_info(name, kind, sizes) for name, sizes in declared.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (stored or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def written(made: Any, path: Path) -> Path:
    """The path, with the model in it."""
    path.write_bytes(made.SerializeToString())
    return path


def run(path: Path, *xs: Any) -> list[Any]:
    """What onnxruntime computes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, xs, strict=True)))


def weights(*shape: int, seed: int = 0) -> Any:
    """Normal numbers in float32."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def constant(name: str, value: Any) -> Any:
    """A Constant node."""
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))


node = helper.make_node
load = onnx.load


def silenced(net: Graph) -> tuple[Graph, mp.Plan]:
    """The network with two neurons of each group set to 0, and the plan that removes these."""
    dead, drop = net.copy(), {}
    for name in hidden(net):
        group = net.neurons[name]
        through = [dead.nodes[value].layer.kind for value in group.channels if value in dead.nodes]
        if {"sigmoid", "hardsigmoid", "softplus", "shift"} & set(through):  # a sum of 0 is no output of 0 behind these
            continue
        drop[name] = [0, group.size - 1]
        for piece in (*group.produced, *group.carried):
            if piece.array.endswith((".W", ".b", ".gamma", ".beta")):
                array = dead.params[piece.array]
                gone = np.isin(piece.owner, drop[name]) & (piece.owner != NOBODY)
                array[(slice(None),) * piece.axis + (gone,)] = 0
    return dead, mp.Plan(drop)
