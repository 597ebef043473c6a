"""Inputs for every op, small enough to look at every entry: one list that feeds the tests of the whole book.

All numbers are odd multiples of 1/8 (never at a kink, unless a case is about one), so that rationals and float64 agree
to the last bit wherever nothing is divided by three.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minprune.ops import (
    ELU,
    GELU,
    OPS,
    Add,
    Affine,
    AvgPool,
    BatchNormEval,
    BatchNormTrain,
    Clip,
    Concat,
    Conv,
    CrossEntropy,
    Dropout,
    Erf,
    Gate,
    GlobalAvgPool,
    HalfSquaredError,
    HardSigmoid,
    KLDivergence,
    LeakyReLU,
    LogSoftmax,
    MatMul,
    MaxPool,
    Mean,
    MeanSquaredError,
    Mul,
    Op,
    Pad,
    Power,
    PReLU,
    Rearrange,
    ReLU,
    Reshape,
    Sigmoid,
    Softmax,
    Softplus,
    Take,
    Tanh,
)


@dataclass(frozen=True)
class Case:
    """One application of an op."""

    op: type[Op]
    label: str
    args: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    dyadic: bool = True  # every gradient is a float64: nothing is divided by three

    def __str__(self) -> str:
        return f"{self.op.name}-{self.label}".replace(" ", "-")

    def call(self, convert: Any = lambda array: array) -> Any:
        """Run the op with every argument converted (integer arguments, which are indices or labels, excepted)."""
        from minprune.ops import run

        args = [a if a is None or a.dtype.kind in "iu" else convert(a) for a in self.args]
        return run(self.op, tuple(args), self.options)


def eighths(*shape: int, seed: int = 0) -> Any:
    """Odd multiples of 1/8 between −2 and 2."""
    rng = np.random.default_rng([seed, *shape])
    return (2 * rng.integers(-8, 8, shape) + 1) / 8


def apart(*shape: int) -> Any:
    """Multiples of 1/8 that are all different, so that no two of them tie."""
    size = int(np.prod(shape))
    return np.random.default_rng(size).permutation(size).reshape(shape) / 8 - size // 16


def positive(*shape: int) -> Any:
    """Odd multiples of 1/8 above 0."""
    return np.abs(eighths(*shape, seed=9))


def _windows(rank: int, **settings: Any) -> dict[str, Any]:
    """Write settings out as one number per axis."""
    return {k: v if isinstance(v, tuple) or k == "groups" else (v,) * rank for k, v in settings.items()}


def _conv(label: str, x: tuple[int, ...], W: tuple[int, ...], bias: bool = True, **settings: Any) -> Case:
    defaults = {"stride": 1, "padding": 0, "dilation": 1}
    b = eighths(W[0], seed=3) if bias else None
    return Case(Conv, label, (eighths(*x), eighths(*W, seed=1), b), _windows(len(x) - 2, **(defaults | settings)))


def _pool(op: type[Op], label: str, x: Any, dyadic: bool = True, **settings: Any) -> Case:
    return Case(op, label, (x,), _windows(x.ndim - 2, **({"padding": 0, "dilation": 1} | settings)), dyadic)


def _labels(n: int, k: int) -> Any:
    return np.random.default_rng(n).integers(0, k, n)


AFFINE = [
    Case(Affine, "tiny", (eighths(1, 1), eighths(1, 1, seed=1), eighths(1, seed=2))),
    Case(Affine, "odd sizes", (eighths(3, 5), eighths(2, 5, seed=1), eighths(2, seed=2))),
    Case(Affine, "no bias", (eighths(2, 3), eighths(4, 3, seed=1), None)),
    Case(Affine, "empty batch", (eighths(0, 3), eighths(2, 3, seed=1), eighths(2, seed=2))),
]
CONV = [
    _conv("1d tiny", (1, 1, 1), (1, 1, 1)),
    _conv("1d stride 2 padding 1", (2, 2, 5), (3, 2, 3), stride=2, padding=1),
    _conv("1d dilation 2 groups 2 no bias", (2, 4, 6), (2, 2, 2), bias=False, dilation=2, groups=2),
    _conv("2d tiny", (1, 1, 1, 1), (1, 1, 1, 1)),
    _conv("2d odd sizes", (2, 1, 4, 3), (2, 1, 3, 2)),
    _conv("2d all settings", (1, 2, 5, 4), (4, 1, 2, 2), stride=(2, 1), padding=(1, 2), dilation=(2, 1), groups=2),
    _conv("2d stride leaves a rest", (1, 1, 4, 5), (1, 1, 2, 2), stride=3),
    _conv("2d depthwise", (1, 3, 3, 3), (3, 1, 2, 2), groups=3),
    _conv("2d depthwise with multiplier 2", (2, 2, 3, 3), (4, 1, 2, 2), groups=2, padding=1),
    _conv("2d axis of size 1", (2, 2, 1, 4), (2, 2, 1, 3), padding=(0, 1)),
    _conv("2d empty batch", (0, 2, 3, 3), (2, 1, 2, 2), groups=2),
]
POOLS = [
    _pool(MaxPool, "1d", apart(2, 2, 4), kernel=2, stride=2),
    _pool(MaxPool, "2d odd sizes", apart(1, 2, 5, 3), kernel=2, stride=2),
    _pool(MaxPool, "overlap and padding", apart(1, 2, 4, 3), kernel=3, stride=(2, 1), padding=1),
    _pool(MaxPool, "gaps", apart(1, 2, 5, 6), kernel=2, stride=1, padding=(1, 0), dilation=(2, 3)),
    _pool(MaxPool, "3d", apart(1, 2, 2, 3, 4), kernel=2, stride=(1, 1, 2)),
    _pool(MaxPool, "window of one", apart(2, 1, 2, 2), kernel=1, stride=1),
    _pool(MaxPool, "empty batch", apart(0, 1, 4, 4), kernel=2, stride=2),
    _pool(AvgPool, "1d", eighths(2, 2, 4), kernel=2, stride=2),
    _pool(AvgPool, "2d odd sizes", eighths(1, 2, 5, 3), kernel=2, stride=2),
    _pool(AvgPool, "overlap and padding", eighths(1, 2, 4, 3), kernel=(2, 4), stride=1, padding=(1, 2)),
    _pool(AvgPool, "gaps", eighths(1, 2, 5, 6), kernel=2, stride=1, padding=(1, 0), dilation=(2, 3)),
    _pool(AvgPool, "3d", eighths(1, 2, 2, 3, 4), kernel=2, stride=(1, 1, 2)),
    _pool(AvgPool, "window of nine", eighths(1, 1, 3, 4), kernel=3, stride=1, dyadic=False),
    _pool(AvgPool, "empty batch", eighths(0, 1, 4, 4), kernel=2, stride=2),
    Case(GlobalAvgPool, "1d", (eighths(2, 3, 4),)),
    Case(GlobalAvgPool, "2d", (eighths(2, 3, 2, 4),)),
    Case(GlobalAvgPool, "one place", (eighths(2, 3, 1, 1),)),
    Case(GlobalAvgPool, "three places", (eighths(2, 1, 3),), dyadic=False),
    Case(GlobalAvgPool, "empty batch", (eighths(0, 3, 2, 2),)),
]
NORMS = [
    Case(BatchNormTrain, "features", (eighths(4, 3), eighths(3, seed=1), eighths(3, seed=2))),
    Case(BatchNormTrain, "images", (eighths(2, 2, 3, 2), eighths(2, seed=1), eighths(2, seed=2)), {"epsilon": 0.25}),
    Case(BatchNormTrain, "1d, one sample", (eighths(1, 2, 5), eighths(2, seed=1), eighths(2, seed=2))),
    *(
        Case(BatchNormEval, label, (eighths(*x), *(eighths(x[1], seed=s) for s in (1, 2, 3)), positive(x[1])))
        for label, x in (("features", (4, 3)), ("images", (2, 2, 3, 2)), ("empty batch", (0, 2)))
    ),
]
ACTIVATIONS = [
    *(
        Case(op, label, (eighths(*shape),))
        for op in (ReLU, Sigmoid, Tanh, Softmax, LogSoftmax, ELU, GELU, Erf, Softplus)
        for label, shape in (("tiny", (1, 1)), ("features", (3, 5)), ("images", (2, 3, 1, 2)), ("empty batch", (0, 3)))
    ),
    Case(LeakyReLU, "features", (eighths(3, 5),), {"slope": 0.125}),
    Case(LeakyReLU, "default slope", (eighths(2, 3),)),
    Case(LeakyReLU, "images", (eighths(2, 2, 2, 1),), {"slope": 0.5}),
    Case(PReLU, "features", (eighths(3, 4), eighths(4, seed=1))),
    Case(PReLU, "images", (eighths(2, 3, 2, 1), eighths(3, seed=1))),
    Case(PReLU, "empty batch", (eighths(0, 4), eighths(4, seed=1))),
    Case(Clip, "both ends", (eighths(3, 5),), {"low": -1.0, "high": 0.5}),
    Case(Clip, "one end", (eighths(2, 3, 2),), {"low": 0.0}),
    Case(HardSigmoid, "features", (eighths(3, 5),), {"slope": 0.25}),
    Case(HardSigmoid, "steep", (eighths(2, 3),), {"slope": 0.75, "offset": 0.25}),
    Case(ELU, "SELU", (eighths(3, 4),), {"alpha": 1.67, "gamma": 1.05}),
]
SHAPING = [
    Case(Reshape, "flatten", (eighths(2, 2, 3),)),
    Case(Reshape, "to an image", (eighths(2, 6),), {"shape": (2, 3, 1)}),
    Case(Reshape, "empty batch", (eighths(0, 2, 3),)),
    Case(Rearrange, "channels last, then one row", (eighths(2, 2, 3, 2),), {"order": (1, 2, 0), "shape": (-1,)}),
    Case(Rearrange, "exchanged", (eighths(2, 2, 3),), {"order": (1, 0), "shape": (-1, 2)}),
    Case(Rearrange, "empty batch", (eighths(0, 2, 3),), {"order": (1, 0), "shape": (3, -1)}),
    Case(Pad, "a row behind", (eighths(2, 2, 3),), {"before": (0,), "after": (1,)}),
    Case(Pad, "all sides", (eighths(1, 2, 2, 1),), {"before": (1, 2), "after": (0, 1), "value": 0.5}),
    Case(Take, "features, one twice", (eighths(2, 4), np.array([3, 0, 3]))),
    Case(Take, "channels", (eighths(2, 3, 2, 1), np.array([1]))),
    Case(Take, "none", (eighths(2, 3), np.array([], dtype=np.int64))),
    *(
        Case(op, label, (eighths(*a), eighths(*b, seed=1)))
        for op in (Add, Mul)
        for label, a, b in (
            ("same shapes", (2, 3), (2, 3)),
            ("repeated along the batch", (2, 3), (3,)),
            ("repeated both ways", (2, 1, 3), (1, 4, 1)),
            ("without axes", (), ()),
            ("empty batch", (0, 3), (3,)),
        )
    ),
    *(
        Case(MatMul, label, (eighths(*a), eighths(*b, seed=1)))
        for label, a, b in (
            ("matrices", (2, 3, 2), (2, 2, 4)),
            ("one serves all", (2, 1, 1, 3), (2, 2, 3, 2)),
            ("empty batch", (0, 2, 3), (0, 3, 1)),
        )
    ),
    Case(Power, "features", (positive(2, 3), eighths(3))),
    Case(Power, "root", (positive(2, 3, 2), np.full((1, 1), 0.5))),
    Case(Power, "inverse", (eighths(2, 3), np.full(3, -1.0))),
    Case(Power, "empty batch", (eighths(0, 3), np.full(3, 2.0))),
    Case(Gate, "features", (eighths(2, 3), eighths(3, seed=1))),
    Case(Gate, "channels", (eighths(2, 3, 2, 1), eighths(3, seed=1))),
    Case(Gate, "empty batch", (eighths(0, 3), eighths(3, seed=1))),
    Case(Concat, "features", (eighths(2, 1), eighths(2, 3, seed=1))),
    Case(Concat, "channels", (eighths(2, 2, 2, 1), eighths(2, 1, 2, 1, seed=1))),
    Case(Concat, "with none", (eighths(2, 0), eighths(2, 3, seed=1))),
    Case(Dropout, "features", (eighths(2, 3), np.array([[2.0, 0.0, 2.0], [0.0, 0.0, 2.0]]))),
    Case(Dropout, "images", (eighths(1, 2, 2, 1), np.array([[[[0.0], [2.0]], [[2.0], [2.0]]]]))),
    Case(Mean, "four", (eighths(4),)),
    Case(Mean, "one", (eighths(1),)),
    Case(Mean, "three", (eighths(3),), dyadic=False),
]
LOSS_CASES = [
    *(
        Case(
            op,
            label,
            (eighths(*shape), eighths(*shape, seed=1)),
            dyadic=op is HalfSquaredError or label != "three outputs",
        )
        for op in (HalfSquaredError, MeanSquaredError)
        for label, shape in (("tiny", (1, 1)), ("two outputs", (3, 2)), ("three outputs", (2, 3)), ("none", (0, 2)))
    ),
    Case(CrossEntropy, "tiny", (eighths(1, 1), np.array([0]))),
    Case(CrossEntropy, "labels", (eighths(3, 4), _labels(3, 4))),
    Case(CrossEntropy, "one-hot rows", (eighths(3, 4), np.eye(4)[_labels(3, 4)])),
    Case(CrossEntropy, "soft rows", (eighths(2, 2), np.array([[0.25, 0.75], [0.5, 0.5]]))),
    Case(CrossEntropy, "empty batch", (eighths(0, 4), _labels(0, 4))),
    Case(KLDivergence, "default temperature", (eighths(3, 4), eighths(3, 4, seed=1))),
    Case(KLDivergence, "softened", (eighths(2, 3), eighths(2, 3, seed=1)), {"temperature": 4.0}),
    Case(KLDivergence, "sharpened", (eighths(2, 2), eighths(2, 2, seed=1)), {"temperature": 0.5}),
    Case(KLDivergence, "empty batch", (eighths(0, 4), eighths(0, 4)), {"temperature": 2.0}),
]
CASES = [*AFFINE, *CONV, *POOLS, *NORMS, *ACTIVATIONS, *SHAPING, *LOSS_CASES]

assert {case.op for case in CASES} == set(OPS), "every op has cases"
