"""Activations, and arithmetic with constants and between values."""

from __future__ import annotations

from math import pi, prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from ....layers import (
    ELU,
    GELU,
    Add,
    Clip,
    Dropout,
    Erf,
    Flatten,
    HardSigmoid,
    Layer,
    LeakyReLU,
    LogSoftmax,
    Multiply,
    Power,
    PReLU,
    Rearrange,
    ReLU,
    Scale,
    Shift,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)
from ....ops import Array
from ....ops.curves import LARGEST
from .weighted import with_bias

if TYPE_CHECKING:
    from ..nodes import OnnxNode
    from ..translating import Held, Translator


def _each(t: Translator, node: OnnxNode, layer: Layer) -> None:
    """An activation: the axes stay as they are."""
    x = t.value(node)
    t.make(node, layer, x.name, order=x.order)


def relu(t: Translator, node: OnnxNode) -> None:
    """max(x, 0)."""
    _each(t, node, ReLU())


def leaky_relu(t: Translator, node: OnnxNode) -> None:
    """X for x > 0, else α x."""
    _each(t, node, LeakyReLU(node.number("alpha", 0.01)))


def prelu(t: Translator, node: OnnxNode) -> None:
    """X for x > 0, else a x: one constant a, one for each channel, or any; max(x, 0) − a max(−x, 0) then."""
    x = t.value(node)
    a = t.like(node, t.constant(node, 1, "slope"), x)
    if a.size == 1:
        t.make(node, LeakyReLU(float(a.ravel()[0])), x.name, order=x.order)
        return
    if prod(a.shape) == a.shape[0]:
        t.make(node, PReLU(len(a)), x.name, order=x.order, origins={"a": node.inputs[1]}, a=a.ravel())
        return
    negative = t.add(t.fresh(f"{node.output}.below"), ReLU(), (_negative(t, f"{node.output}.minus", x.name),))
    shrunk = t.add(t.fresh(f"{node.output}.shrunk"), Scale(a.shape), (negative,), m=-a)
    above = t.add(t.fresh(f"{node.output}.above"), ReLU(), (x.name,))
    t.make(node, Add(), above, shrunk, order=x.order)


def elu(t: Translator, node: OnnxNode) -> None:
    """X for x > 0, else α (e^x − 1)."""
    _each(t, node, ELU(node.number("alpha", 1.0)))


def selu(t: Translator, node: OnnxNode) -> None:
    """γ times the ELU."""
    _each(t, node, ELU(node.number("alpha", 1.67326319), node.number("gamma", 1.05070102)))


def gelu(t: Translator, node: OnnxNode) -> None:
    r"""X Φ(x); or, approximately, $\frac{x}{2} (1 + \tanh(\sqrt{2/\pi} (x + 0.044715 x^3)))$, step by step."""
    how = node.text("approximate", "none")
    if how not in ("none", "tanh"):
        raise node.error(f"approximate is {how!r}, expected none or tanh")
    if how == "none":
        _each(t, node, GELU())
        return
    x, one = t.value(node), (1,) * len(t.value(node).order)

    def step(suffix: str, layer: Layer, *sources: str, **arrays: Any) -> str:
        return t.add(t.fresh(f"{node.output}.{suffix}"), layer, sources, **arrays)

    cube = step("cube", Multiply(), x.name, x.name, x.name)
    bent = step("bent", Add(), x.name, step("scaled", Scale(one), cube, m=np.full(one, 0.044715)))
    tanh = step("tanh", Tanh(), step("inner", Scale(one), bent, m=np.full(one, sqrt(2 / pi))))
    share = step("share", Scale(one), step("raised", Shift(one), tanh, b=np.ones(one)), m=np.full(one, 0.5))
    t.make(node, Multiply(), x.name, share, order=x.order)


def erf(t: Translator, node: OnnxNode) -> None:
    """The error function."""
    _each(t, node, Erf())


def softplus(t: Translator, node: OnnxNode) -> None:
    """log(1 + e^x)."""
    _each(t, node, Softplus())


def sigmoid(t: Translator, node: OnnxNode) -> None:
    """1 / (1 + e^−x)."""
    _each(t, node, Sigmoid())


def tanh(t: Translator, node: OnnxNode) -> None:
    """tanh(x)."""
    _each(t, node, Tanh())


def hard_sigmoid(t: Translator, node: OnnxNode) -> None:
    """min(max(α x + β, 0), 1)."""
    _each(t, node, HardSigmoid(node.number("alpha", 0.2), node.number("beta", 0.5)))


def _gated(t: Translator, node: OnnxNode, *gate: tuple[str, Layer]) -> None:
    """X times what these layers make of it."""
    x = t.value(node)
    last = x.name
    for suffix, layer in gate:
        last = t.add(t.fresh(f"{node.output}.{suffix}"), layer, (last,))
    t.make(node, Multiply(), x.name, last, order=x.order)


def hard_swish(t: Translator, node: OnnxNode) -> None:
    """X · min(max(x/6 + ½, 0), 1)."""
    _gated(t, node, ("hardsigmoid", HardSigmoid(1 / 6, 0.5)))


def swish(t: Translator, node: OnnxNode) -> None:
    """X σ(α x)."""
    if node.number("alpha", 1.0) != 1:
        raise node.error(f"alpha is {node.number('alpha', 1.0)}, expected 1")
    _gated(t, node, ("sigmoid", Sigmoid()))


def mish(t: Translator, node: OnnxNode) -> None:
    """X tanh(log(1 + e^x))."""
    _gated(t, node, ("softplus", Softplus()), ("tanh", Tanh()))


def clip(t: Translator, node: OnnxNode) -> None:
    """min(max(x, low), high): attributes before opset 11, since then inputs."""
    if node.opset < 11:
        low, high = node.number("min", -LARGEST), node.number("max", LARGEST)
    else:
        ends = t.optional(node, 1, "lower end"), t.optional(node, 2, "upper end")
        low, high = (
            default if end is None else float(str(end.ravel()[0]))
            for end, default in zip(ends, (-LARGEST, LARGEST), strict=True)
        )
    low, high = (min(max(end, -LARGEST), LARGEST) for end in (low, high))
    _each(t, node, Clip(min(low, high), high))


def softmax(t: Translator, node: OnnxNode) -> None:
    """Shares along an axis."""
    _shares(t, node, Softmax())


def log_softmax(t: Translator, node: OnnxNode) -> None:
    """Logarithms of shares along an axis."""
    _shares(t, node, LogSoftmax())


def _shares(t: Translator, node: OnnxNode, layer: Layer) -> None:
    """Along one axis since opset 13; before that over all axes from one on, as if they were one."""
    x = t.value(node)
    rank, shape = len(x.order), t.shape(x)
    axis = node.whole("axis", 1 if node.opset < 13 else -1)
    axis = axis + rank + 1 if axis < 0 else axis
    if not 0 < axis <= rank:
        raise node.error(f"axis {node.whole('axis', 1)} of values with {rank + 1} axes: it would compare samples")
    if node.opset < 13 and axis < rank and prod(shape[axis - 1 :]) != shape[axis - 1]:
        if prod(shape[: axis - 1]) != 1:
            raise node.error(f"over axes {axis} to {rank} at once, expected one, or all")
        flat = t.add(t.fresh(f"{node.output}.flat"), Flatten(), (t.plain(x),))
        shares = t.add(t.fresh(f"{node.output}.shares"), layer, (flat,))
        t.make(node, Rearrange((0,), (-1, *shape[1:])), shares)
        return
    others = iter(range(1, rank))
    order = tuple(0 if i == axis - 1 else next(others) for i in range(rank))
    t.make(node, layer, t.arranged(x, order), order=order)


def _parts(t: Translator, node: OnnxNode) -> tuple[Held, Array | None, int]:
    """The computed value of two, the constant in the order of its axes (or None), and the constant's place."""
    place = next((p for p in (0, 1) if t.is_constant(node, p)), None)
    if place is None:
        return t.value(node), None, 0
    x = t.value(node, 1 - place)
    return x, t.like(node, t.constants[node.inputs[place]], x), place


def _constant_step(t: Translator, node: OnnxNode, kind: type[Shift], x: Held, constant: Array, place: int) -> None:
    array: dict[str, Any] = {kind.array: constant}
    t.make(node, kind(constant.shape), x.name, order=x.order, origins={kind.array: node.inputs[place]}, **array)


def add(t: Translator, node: OnnxNode) -> None:
    """A + b; a constant becomes the bias of the weighted sum that it is added to, where it can."""
    x, constant, place = _parts(t, node)
    if constant is None:
        total(t, node)
    elif not with_bias(t, node, x, constant, node.inputs[place]):
        _constant_step(t, node, Shift, x, constant, place)


def subtract(t: Translator, node: OnnxNode) -> None:
    """A − b."""
    x, constant, place = _parts(t, node)
    if constant is None:
        a, b = t.value(node), t.value(node, 1)
        _same(t, node, a, b)
        minus = _negative(t, f"{node.output}.minus", t.arranged(b, a.order))
        t.make(node, Add(), a.name, minus, order=a.order)
    elif place == 1:
        _constant_step(t, node, Shift, x, -constant, place)
    else:
        minus = _negative(t, f"{node.output}.minus", x.name)
        t.make(node, Shift(constant.shape), minus, order=x.order, origins={"b": node.inputs[0]}, b=constant)


def _negative(t: Translator, name: str, source: str) -> str:
    ones = (1,) * len(t.shapes[source])
    return t.add(t.fresh(name), Scale(ones), (source,), m=np.full(ones, -1.0))


def negate(t: Translator, node: OnnxNode) -> None:
    """−x."""
    x = t.value(node)
    t.settle(node, _negative(t, f"{node.output}.minus", x.name), x.order)


def multiply(t: Translator, node: OnnxNode) -> None:
    """A · b; one of two values may hold a single number for every channel."""
    x, constant, place = _parts(t, node)
    if constant is not None:
        _constant_step(t, node, Scale, x, constant, place)
        return
    b = t.value(node, 1)
    if len(b.order) != len(x.order):
        raise node.error(f"multiplies {('N', *t.shape(x))} and {('N', *t.shape(b))}, expected as many axes")
    t.make(node, Multiply(), x.name, t.arranged(b, x.order), order=x.order)


def divide(t: Translator, node: OnnxNode) -> None:
    """A / b; by a computed b as A · b⁻¹."""
    x, constant, place = _parts(t, node)
    if constant is None:
        a, b = t.value(node), t.value(node, 1)
        _same(t, node, a, b)
        t.make(node, Multiply(), a.name, _power(t, f"{node.output}.inverse", t.arranged(b, a.order)), order=a.order)
    elif place == 0:
        inverse = _power(t, f"{node.output}.inverse", x.name)
        t.make(node, Scale(constant.shape), inverse, order=x.order, origins={"m": node.inputs[0]}, m=constant)
    elif (constant == 0).any():
        raise node.error(f"divides by {node.inputs[1]!r}, which holds 0")
    else:
        _constant_step(t, node, Scale, x, 1 / constant, place)


def _power(t: Translator, name: str, source: str, exponent: float = -1.0) -> str:
    ones = (1,) * len(t.shapes[source])
    return t.add(t.fresh(name), Power(ones), (source,), p=np.full(ones, exponent))


def reciprocal(t: Translator, node: OnnxNode) -> None:
    """1 / x."""
    x = t.value(node)
    t.settle(node, _power(t, f"{node.output}.inverse", x.name), x.order)


def root(t: Translator, node: OnnxNode) -> None:
    """√x."""
    x = t.value(node)
    t.settle(node, _power(t, f"{node.output}.root", x.name, 0.5), x.order)


def power(t: Translator, node: OnnxNode) -> None:
    """x², x³ … as products, other constant exponents as powers."""
    x, exponent = t.value(node), t.like(node, t.constant(node, 1, "exponent"), t.value(node))
    count = float(exponent.ravel()[0]) if exponent.size == 1 else 0.0
    if count == 1:
        t.held[node.output] = x
    elif count in (2, 3, 4):
        t.make(node, Multiply(), *(x.name,) * int(count), order=x.order)
    else:
        p = exponent.astype(t.dtype)
        t.make(node, Power(p.shape), x.name, order=x.order, origins={"p": node.inputs[1]}, p=p)


def total(t: Translator, node: OnnxNode) -> None:
    """The sum of computed values of one shape."""
    values = [t.value(node, place) for place in range(len(node.inputs))]
    for other in values[1:]:
        _same(t, node, values[0], other)
    if len(values) == 1:
        t.held[node.output] = values[0]
        return
    order = values[0].order
    t.make(node, Add(), *(t.arranged(value, order) for value in values), order=order)


def _same(t: Translator, node: OnnxNode, a: Held, b: Held) -> None:
    if t.shape(a) != t.shape(b):
        raise node.error(f"adds {('N', *t.shape(a))} and {('N', *t.shape(b))}, expected values of one shape")


def dropout(t: Translator, node: OnnxNode) -> None:
    """Nothing, outside of training; kept, for whoever trains on."""
    if len(node.outputs) > 1 and t.readers[node.outputs[1]]:
        raise node.error("its mask is read, expected its values alone")
    training, ratio = t.optional(node, 2, "training_mode"), t.optional(node, 1, "ratio")
    if training is not None and training.any() and (ratio is None or ratio.any()):
        raise node.error("training_mode is on (export the model for inference)")
    p = node.number("ratio", 0.5) if ratio is None else float(str(ratio.ravel()[0]))
    _each(t, node, Dropout(p if 0 <= p < 1 else 0.5))
