"""Which ops may be kept as they are, and what one of them costs.

An op is here if what it makes has a size that is known from the sizes that it reads, its result is the same every time,
and the reference evaluator of the onnx package computes what onnxruntime does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from ....errors import FileError
from ..reading import told

Sizes = list[tuple[int, ...]]
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
    *("SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze", "ConstantOfShape"),
)
ALONG = (  # an axis, or several
    *("ArgMax", "ArgMin", "CumSum", "Hardmax", "LpNormalization", "Softmax", "LogSoftmax", "TopK"),
    *("LayerNormalization", "InstanceNormalization", "BatchNormalization"),
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd"),
    *("ReduceSum", "ReduceSumSquare", "GlobalAveragePool", "GlobalMaxPool"),
)
RECURRENT = ("GRU", "LSTM", "RNN")
PRODUCTS = ("MatMul", "Gemm", "ConvTranspose")
ALLOWED = frozenset((*EACH, *MOVING, *ALONG, *RECURRENT, *PRODUCTS))
BATCHED = (  # whose first axis counts samples by definition
    *("DepthToSpace", "SpaceToDepth", "InstanceNormalization", "BatchNormalization"),
    *("GlobalAveragePool", "GlobalMaxPool", "ConvTranspose"),
)

SINCE = {"Hardmax": 13, "Softmax": 13, "LogSoftmax": 13, "Gelu": 20}
IGNORED = (
    "activations",
    "activation_alpha",
    "activation_beta",
    "clip",
    "input_forget",
)  # by the evaluator, in RECURRENT
LONGEST_WALK = 1024  # steps of a recurrent node
STEP = 5_000  # one step of it in Python, in numbers
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
    given = {attribute.name: attribute for attribute in node.attribute}
    if node.domain not in ("", "ai.onnx"):
        return f"an op of {node.domain!r}, expected standard ones"
    if node.op_type not in ALLOWED:
        return "it is not among the ops that can be kept as they are"
    if any(_strange(attribute) for attribute in node.attribute):
        return "an attribute that holds a graph, or stands for another one"
    if opset < SINCE.get(node.op_type, 0):
        return f"before opset {SINCE[node.op_type]} it meant something else, which cannot be kept as it is"
    if node.op_type in RECURRENT:
        ignored = [name for name in IGNORED if name in given and not _default(node.op_type, given[name])]
        lengths = len(node.input) > 4 and node.input[4]
        return f"with {ignored[0] if ignored else 'sequence_lens'} it cannot be executed" if ignored or lengths else ""
    return _of_settings(node, given)


def _strange(attribute: Any) -> bool:
    """Whether an attribute is neither numbers, words nor a tensor: its type may lie."""
    parts = len(attribute.graphs) + len(attribute.tensors) + len(attribute.sparse_tensors) + len(attribute.type_protos)
    held = any(attribute.HasField(name) for name in ("g", "sparse_tensor", "tp"))
    return attribute.type not in PLAIN or parts > 0 or held or bool(attribute.ref_attr_name)


def _default(op: str, attribute: Any) -> bool:
    """Whether a setting that the evaluator ignores says what it does anyway."""
    usual = {"LSTM": [b"sigmoid", b"tanh", b"tanh"], "GRU": [b"sigmoid", b"tanh"], "RNN": [b"tanh"]}[op]
    if attribute.name == "activations":
        names = [name.lower() for name in attribute.strings]
        return names in (usual, usual * 2)
    return attribute.name == "input_forget" and not attribute.i


def _of_settings(node: Any, given: Mapping[str, Any]) -> str:
    """What the evaluator does not do as the op's definition says."""
    if node.op_type == "LpNormalization" and "p" in given and given["p"].i != 2:
        return "p is 1, expected 2"
    if node.op_type == "ConvTranspose" and "group" in given and given["group"].i != 1:
        return "in groups it cannot be executed"
    if node.op_type == "Pad" and "mode" in given and given["mode"].s not in (b"constant", b"reflect", b"edge"):
        return f"mode {given['mode'].s.decode('utf-8', 'replace')!r} cannot be executed"
    if node.op_type == "BatchNormalization" and len(node.output) > 1:
        return "computes the statistics of the batch"
    return ""


def cost(op: str, read: Sizes, made: Sizes) -> int:
    """About how many numbers pass through an arithmetic unit."""
    numbers = sum(prod(sizes) for sizes in read + made)
    extra: Callable[[], int] = {
        "MatMul": lambda: prod(made[0]) * read[0][-1] // 4,
        "Gemm": lambda: prod(made[0]) * max(read[0]) // 4,
        "ConvTranspose": lambda: prod(read[0]) * prod(read[1][1:]) * 4,  # partly in Python
        **dict.fromkeys(
            RECURRENT, lambda: read[0][0] * read[0][1] * (prod(read[1]) + prod(read[2])) // 4 + max(read[0][:2]) * STEP
        ),
    }.get(op, lambda: 0)
    return numbers + extra()


def too_long(op: str, read: Sizes) -> bool:
    """Whether a recurrent node walks farther than anyone would wait."""
    return op in RECURRENT and max(read[0][:2]) > LONGEST_WALK
