"""How every op of ONNX becomes layers: `RULES` lists them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import elementwise, shaping, weighted, windows

Rule = Callable[[Any, Any], None]  # a Translator and an OnnxNode

RULES: dict[str, Rule] = {
    "Gemm": weighted.gemm,
    "MatMul": weighted.matmul,
    "Conv": weighted.conv,
    "BatchNormalization": weighted.batch_norm,
    "MaxPool": windows.max_pool,
    "AveragePool": windows.average_pool,
    "GlobalMaxPool": windows.global_max_pool,
    "GlobalAveragePool": windows.global_average_pool,
    "ReduceMean": windows.reduce_mean,
    "Pad": windows.pad,
    "Relu": elementwise.relu,
    "LeakyRelu": elementwise.leaky_relu,
    "PRelu": elementwise.prelu,
    "Elu": elementwise.elu,
    "Selu": elementwise.selu,
    "Gelu": elementwise.gelu,
    "Erf": elementwise.erf,
    "Softplus": elementwise.softplus,
    "Sigmoid": elementwise.sigmoid,
    "HardSigmoid": elementwise.hard_sigmoid,
    "HardSwish": elementwise.hard_swish,
    "Swish": elementwise.swish,
    "Mish": elementwise.mish,
    "Tanh": elementwise.tanh,
    "Clip": elementwise.clip,
    "Softmax": elementwise.softmax,
    "LogSoftmax": elementwise.log_softmax,
    "Add": elementwise.add,
    "Sub": elementwise.subtract,
    "Mul": elementwise.multiply,
    "Div": elementwise.divide,
    "Pow": elementwise.power,
    "Sqrt": elementwise.root,
    "Reciprocal": elementwise.reciprocal,
    "Neg": elementwise.negate,
    "Sum": elementwise.total,
    "Dropout": elementwise.dropout,
    "Identity": shaping.identity,
    "Cast": shaping.cast,
    "Flatten": shaping.flatten,
    "Reshape": shaping.reshape,
    "Squeeze": shaping.squeeze,
    "Unsqueeze": shaping.unsqueeze,
    "Transpose": shaping.transpose,
    "Concat": shaping.concat,
    "Gather": shaping.gather,
    "Slice": shaping.cut,
    "Split": shaping.split,
}
"""Op -> the function that takes a node of it over."""
