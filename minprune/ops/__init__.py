"""The book of ops: every step that a network can take, forward and backward, each with its formula.

`OPS` is the one list of them; the formula sheet, the gradient witnesses and the tests all go through it.
"""

from .activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from .affine import Affine
from .conv import Conv
from .losses import CrossEntropy, HalfSquaredError, KLDivergence, MeanSquaredError
from .norm import BatchNormEval, BatchNormTrain
from .op import Array, Call, Op, Term, along_channels, divide, exact, real, rule, run, sum_to_shape
from .pool import AvgPool, GlobalAvgPool, MaxPool
from .shaping import Add, Concat, Dropout, Gate, Mean, Mul, Reshape, Take

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
    Reshape,
    Take,
    Add,
    Mul,
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
    "LOSSES",
    "OPS",
    "Add",
    "Affine",
    "Array",
    "AvgPool",
    "BatchNormEval",
    "BatchNormTrain",
    "Call",
    "Concat",
    "Conv",
    "CrossEntropy",
    "Dropout",
    "Gate",
    "GlobalAvgPool",
    "HalfSquaredError",
    "KLDivergence",
    "LeakyReLU",
    "MaxPool",
    "Mean",
    "MeanSquaredError",
    "Mul",
    "Op",
    "ReLU",
    "Reshape",
    "Sigmoid",
    "Softmax",
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
