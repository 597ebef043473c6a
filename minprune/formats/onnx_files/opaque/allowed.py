"""Which ops may be kept as they are.

An op is here if what it makes has a size that is known from the sizes that it reads, its result is the same every time,
and the reference evaluator of the onnx package computes what onnxruntime does.
"""

from __future__ import annotations

from typing import Any

from ....errors import FileError
from ..reading import told
from .settings import unusual

EACH = (  # every number by itself, or with its partners
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Cos", "Cosh", "Elu", "Erf", "Exp"),
    *("Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Mish", "Neg", "PRelu", "Reciprocal", "Relu"),
    *("Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh"),
    *("ThresholdedRelu", "Identity", "Cast", "IsNaN", "IsInf", "Clip"),
    *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Mean", "Sum"),
    *("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not", "Where"),
)
MOVING = (  # no arithmetic
    *("Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "Pad", "Reshape", "Slice"),
    *("SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze", "ConstantOfShape", "Resize"),
)
ALONG = (  # an axis, or several
    *("ArgMax", "ArgMin", "CumSum", "Hardmax", "LpNormalization", "Softmax", "LogSoftmax", "TopK"),
    *("LayerNormalization", "InstanceNormalization", "GroupNormalization", "BatchNormalization"),
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd"),
    *("ReduceSum", "ReduceSumSquare", "GlobalAveragePool", "GlobalMaxPool", "LRN"),
)
RECURRENT = ("GRU", "LSTM", "RNN")
PRODUCTS = ("MatMul", "Gemm", "ConvTranspose", "Einsum")
ALLOWED = frozenset((*EACH, *MOVING, *ALONG, *RECURRENT, *PRODUCTS))
BATCHED = (  # whose first axis counts samples by definition
    *("DepthToSpace", "SpaceToDepth", "InstanceNormalization", "GroupNormalization", "BatchNormalization"),
    *("GlobalAveragePool", "GlobalMaxPool", "ConvTranspose", "LRN"),
)
# Before these opsets they meant something else.
SINCE = {"Hardmax": 13, "Softmax": 13, "LogSoftmax": 13, "Gelu": 20, "GroupNormalization": 21, "Resize": 11}
PLAIN = (1, 2, 3, 4, 6, 7, 8)  # attributes that hold numbers, words or a tensor, as ONNX counts them


def check_allowed(node: Any, opset: int) -> None:
    """Refuse a node that may not be kept.

    Raises
    ------
    FileError
        By its name and op.
    """
    why = _objection(node, opset)
    if why:
        raise FileError(f"{told(node)}: {why}")


def _objection(node: Any, opset: int) -> str:
    if node.domain not in ("", "ai.onnx"):
        return f"an op of {node.domain!r}, expected standard ones"
    if node.op_type not in ALLOWED:
        return "it is not among the ops that can be kept as they are"
    if any(_strange(attribute) for attribute in node.attribute):
        return "an attribute that holds a graph, or stands for another one"
    if opset < SINCE.get(node.op_type, 0):
        return f"in opset {opset} it cannot be executed, only since {SINCE[node.op_type]}"
    return unusual(node)


def _strange(attribute: Any) -> bool:
    """Whether an attribute is neither numbers, words nor a tensor: its type may lie."""
    parts = len(attribute.graphs) + len(attribute.tensors) + len(attribute.sparse_tensors) + len(attribute.type_protos)
    held = any(attribute.HasField(name) for name in ("g", "sparse_tensor", "tp"))
    return attribute.type not in PLAIN or parts > 0 or held or bool(attribute.ref_attr_name)
