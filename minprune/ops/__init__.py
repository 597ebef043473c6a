"""The book of ops: every step that a network can take, forward and backward, each with its formula.

`OPS` is the one list of them; the formula sheet, the gradient witnesses and the tests all go through it.
"""

from .activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from .affine import Affine
from .conv import Conv
from .curves import ELU, GELU, Clip, Erf, HardSigmoid, LogSoftmax, PReLU, Softplus
from .losses import CrossEntropy, HalfSquaredError, KLDivergence, MeanSquaredError
from .norm import BatchNormEval, BatchNormTrain
from .op import Array, Call, Op, Term, along_channels, divide, exact, real, rule, run, sum_to_shape
from .pool import AvgPool, GlobalAvgPool, MaxPool
from .products import MatMul, Power
from .shaping import Add, Concat, Dropout, Gate, Mean, Mul, Pad, Rearrange, Reshape, Take

OPS: tuple[type[Op], ...] = (
    Affine,
    Conv,
    MaxPool,
    AvgPool,
    GlobalAvgPool,
    BatchNormTrain,
    BatchNormEval,
    ReLU,
    LeakyReLU,
    Sigmoid,
    Tanh,
    Softmax,
    LogSoftmax,
    PReLU,
    Clip,
    HardSigmoid,
    ELU,
    GELU,
    Erf,
    Softplus,
    Reshape,
    Rearrange,
    Pad,
    Take,
    Add,
    Mul,
    MatMul,
    Power,
    Gate,
    Concat,
    Dropout,
    HalfSquaredError,
    MeanSquaredError,
    CrossEntropy,
    KLDivergence,
    Mean,
)
LOSSES: dict[str, type[Op]] = {op.name: op for op in (HalfSquaredError, MeanSquaredError, CrossEntropy)}

__all__ = [
    "ELU",
    "GELU",
    "LOSSES",
    "OPS",
    "Add",
    "Affine",
    "Array",
    "AvgPool",
    "BatchNormEval",
    "BatchNormTrain",
    "Call",
    "Clip",
    "Concat",
    "Conv",
    "CrossEntropy",
    "Dropout",
    "Erf",
    "Gate",
    "GlobalAvgPool",
    "HalfSquaredError",
    "HardSigmoid",
    "KLDivergence",
    "LeakyReLU",
    "LogSoftmax",
    "MatMul",
    "MaxPool",
    "Mean",
    "MeanSquaredError",
    "Mul",
    "Op",
    "PReLU",
    "Pad",
    "Power",
    "ReLU",
    "Rearrange",
    "Reshape",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Take",
    "Tanh",
    "Term",
    "along_channels",
    "divide",
    "exact",
    "real",
    "rule",
    "run",
    "sum_to_shape",
]
