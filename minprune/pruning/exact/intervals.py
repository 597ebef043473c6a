"""Interval bounds: between which numbers every value of a network stays while its inputs stay in a box."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from ...errors import DataError, DtypeError, ShapeError, StructureError
from ...nn import Graph
from ...ops import Array, exact

LOWEST_OF_GELU = -0.7517915246935645  # where x Φ(x) turns: Φ(x) + x φ(x) = 0


@dataclass(frozen=True, eq=False)
class Interval:
    """What is known of a value for every input in the box.

    Attributes
    ----------
    low, high : array
        Bounds of each entry, in the value's shape without the batch axis: float64, or rationals.
    varies : array of bool
        Whether an entry may depend on the input at all; where not, it is the same number for every input in the box.
    """

    low: Array
    high: Array
    varies: Array

    @property
    def magnitude(self) -> Array:
        """The largest absolute value of each entry."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


def interval_bounds(net: Graph, box: Any) -> dict[str, Interval]:
    r"""Bounds of every value of a network, for all inputs in a box.

    For a weighted sum $z = W x + b$: $[W^+ l + W^- u + b,\ W^+ u + W^- l + b]$ for x in $[l, u]$, with
    $W^\pm$ the positive and the negative part of W.

    The bounds are sound, not tight: what two neurons have in common is forgotten. They hold for the exact numbers and
    for those that the network computes: a sum of n products in floats of unit roundoff u is off by at most
    $\gamma_n \sum |w|\,|x|$ with $\gamma_n = n u / (1 - n u)$, whatever the order of summation, and bounds are moved
    outwards by that much. Rationals are not rounded, and their bounds not moved.

    Parameters
    ----------
    net : Graph
        Of floats or rationals; in evaluation mode.
    box : (low, high), or a mapping from input to that
        Numbers, or arrays that broadcast to the shape of one sample.

    Returns
    -------
    dict
        Value (node or input) -> `Interval`.

    Raises
    ------
    DataError
        When the box is no pair of finite numbers with low ≤ high.
    ShapeError
        When it does not fit the input.
    StructureError
        When the input's shape is not known, or a layer has no rule.
    DtypeError
        For complex networks, and floats too coarse for the size of a sum.

    Notes
    -----
    Source: Gowal et al. 2018, *On the effectiveness of interval bound propagation for training verifiably robust
    models*, section 3; the rounding, Higham 2002, *Accuracy and stability of numerical algorithms*, section 3.1.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 1), mp.ReLU(), mp.Dense(1, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense1.b"] = [[1.0, -2.0]], [0.5]
    >>> bounds = interval_bounds(net, (0, 1))["dense1"]
    >>> bounds.low.round(9), bounds.high.round(9)
    (array([-1.5]), array([1.5]))
    >>> interval_bounds(net, (0, 1))["relu1"].low
    array([0.])
    """
    if net.dtype.kind not in "fO":
        raise DtypeError(f"bounds need a network of floats or rationals, got {net.dtype}; use astype(np.float64)")
    found = {name: _given(net, name, *pair) for name, pair in read_box(net, box).items()}
    for name, node in net.nodes.items():
        if node.layer.kind not in RULES:
            raise StructureError(f"{name}: there is no interval rule for {type(node.layer).__name__}")
        own = {short: _wide(net.arrays[f"{name}.{short}"]) for short in net.array_names[name]}
        step = Step(name, node.layer, own, net.dtype)
        found[name] = RULES[node.layer.kind](step, *(found[source] for source in node.inputs))
    return found


def read_box(net: Graph, box: Any) -> dict[str, tuple[Array, Array]]:
    """Write a box out: for every input its lower and upper bound, in the shape of one sample and the network's kind."""
    if net.input_shapes is None:
        raise StructureError("the layers leave the input's shape open; give input_shape= when making the network")
    if not isinstance(box, Mapping):
        if len(net.inputs) > 1:
            raise DataError(f"box: expected a mapping with {', '.join(net.inputs)}, got {type(box).__name__}")
        box = {net.inputs[0]: box}
    if set(box) != set(net.inputs):
        raise DataError(f"box: expected a mapping with {', '.join(net.inputs)}, got {', '.join(map(str, box))}")
    return {name: _read_pair(name, box[name], net.input_shapes[name], net.dtype) for name in net.inputs}


def _read_pair(name: str, pair: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array, Array]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise DataError(f"{name}: box is {pair!r}, expected a pair (low, high)")
    ends = []
    for end in pair:
        array = np.asarray(end)
        if array.dtype.kind not in "biufO" or not np.isfinite(array.astype(float)).all():
            raise DataError(f"{name}: box holds {end!r}, expected finite numbers")
        try:
            array = np.broadcast_to(array, shape)
        except ValueError:
            raise ShapeError(f"{name}: box has shape {array.shape}, which does not fit the input's {shape}") from None
        ends.append(exact(array) if dtype.kind == "O" else array.astype(dtype))
    low, high = ends
    if (low > high).any():
        raise DataError(
            f"{name}: the box's lower bound lies above the upper one in {np.count_nonzero(low > high)} entries"
        )
    return low, high


def _given(net: Graph, name: str, low: Array, high: Array) -> Interval:
    return Interval(_wide(low), _wide(high), np.asarray(low < high, dtype=bool))


def _wide(array: Array) -> Array:
    """Floats in float64, which holds all float32 exactly; rationals and integers as they are."""
    return array.astype(np.float64) if array.dtype.kind == "f" else array


# --- one rule for every kind of layer ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A node on the way: its name, its layer, its arrays, and the kind of numbers that the network computes with."""

    name: str
    layer: Any
    arrays: Mapping[str, Array]
    dtype: np.dtype[Any]

    def run(self, value: Array, **other: Any) -> Array:
        """Apply the layer to one sample, with other arrays where they are given."""
        return self.layer.forward({**self.arrays, **other}, value[None])[0]

    def moved(self, bounds: Interval, sizes: Array, terms: int) -> Interval:
        """Move bounds outwards by what rounding can do to sums of `terms` terms of total absolute value `sizes`."""
        if self.dtype == object:
            return bounds
        info = np.finfo(self.dtype)
        unit = terms * float(info.eps)  # twice the unit roundoff: the network's rounding, and that of the bounds
        if unit > 0.5:
            raise DtypeError(f"{self.name}: {self.dtype} is too coarse to bound sums of {terms} terms; use astype")
        slack = unit / (1 - unit) * sizes + np.where(sizes > 0, terms * float(info.smallest_subnormal), 0)
        return replace(bounds, low=bounds.low - slack, high=bounds.high + slack)


def _weighted(step: Step, x: Interval) -> Interval:
    """A weighted sum, dense or at every place of an image."""
    W = step.arrays["W"]
    b = step.arrays.get("b")
    up, down = np.maximum(W, 0 * W), np.minimum(W, 0 * W)
    low = step.run(x.low, W=up) + step.run(x.high, W=down, b=None)  # the bias counts once
    high = step.run(x.high, W=up) + step.run(x.low, W=down, b=None)
    sizes = step.run(x.magnitude, W=np.abs(W), b=None if b is None else np.abs(b))
    read = (W != 0).astype(float)
    alone = step.run((x.magnitude != 0).astype(float), W=read, b=None) == 0  # nothing is added to the bias
    varies = step.run(x.varies.astype(float), W=read, b=None) > 0
    found = step.moved(Interval(low, high, varies), np.where(alone, 0 * sizes, sizes), prod(W.shape[1:]) + 2)
    return _with_signs(step, x, found, up, down)


def _with_signs(step: Step, x: Interval, found: Interval, up: Array, down: Array) -> Interval:
    """However it is rounded, a sum of terms that are all ≤ 0 is ≤ 0, and one of terms that are all ≥ 0 is ≥ 0."""
    b = step.arrays.get("b", 0 * up.reshape(len(up), -1)[:, 0])
    above, below = np.maximum(x.high, 0 * x.high), np.minimum(x.low, 0 * x.low)
    rises = step.run(above, W=up, b=np.maximum(b, 0 * b)) + step.run(below, W=down, b=None)
    falls = step.run(below, W=up, b=np.minimum(b, 0 * b)) + step.run(above, W=down, b=None)
    low = np.where(falls == 0, np.maximum(found.low, 0 * found.low), found.low)
    high = np.where(rises == 0, np.minimum(found.high, 0 * found.high), found.high)
    return replace(found, low=low, high=high)


def _batch_norm(step: Step, x: Interval) -> Interval:
    """γ (x − μ)/σ + β: it grows or falls in x, as γ says."""
    ends = step.run(x.low), step.run(x.high)
    gamma, beta, mean, var = (
        step.arrays[a].reshape(-1, *(1,) * (x.low.ndim - 1)) for a in ("gamma", "beta", "mean", "var")
    )
    sizes = np.abs(gamma) * (x.magnitude + np.abs(mean)) / np.sqrt(var + step.layer.epsilon)
    bounds = Interval(np.minimum(*ends), np.maximum(*ends), x.varies & (gamma != 0))
    return step.moved(bounds, np.where(sizes > 0, sizes + np.abs(beta), 0), 12)


def _gate(step: Step, x: Interval) -> Interval:
    ends = step.run(x.low), step.run(x.high)
    m = step.arrays["m"].reshape(-1, *(1,) * (x.low.ndim - 1))
    bounds = Interval(np.minimum(*ends), np.maximum(*ends), x.varies & np.asarray(m != 0, dtype=bool))
    return step.moved(bounds, np.where(m == 1, 0 * x.magnitude, np.abs(m) * x.magnitude), 2)


def _piecewise(step: Step, x: Interval) -> Interval:
    """ReLU, leaky or not: straight on either side of 0, so that the extremes are at the ends or at 0."""
    at = [step.run(end) for end in (x.low, x.high, np.minimum(np.maximum(0 * x.low, x.low), x.high))]
    low, high = np.minimum(np.minimum(at[0], at[1]), at[2]), np.maximum(np.maximum(at[0], at[1]), at[2])
    flat = low == high  # all that comes lies where the ReLU is 0
    bounds = Interval(low, high, x.varies & ~np.asarray(flat, dtype=bool))
    return bounds if step.layer.kind == "relu" else step.moved(bounds, bounds.magnitude, 2)


def _growing(step: Step, x: Interval) -> Interval:
    """Functions of one number that never fall: clips, and curves that are right to a few units in the last place."""
    bounds = Interval(step.run(x.low), step.run(x.high), x.varies)
    return bounds if step.layer.kind == "clip" else step.moved(bounds, bounds.magnitude + 1, 16)


def _gelu(step: Step, x: Interval) -> Interval:
    """It falls, then grows: the lowest point is an extreme too, where it lies between the ends."""
    at = [step.run(end) for end in (x.low, x.high, np.minimum(np.maximum(x.low, LOWEST_OF_GELU), x.high))]
    bounds = Interval(np.minimum(np.minimum(at[0], at[1]), at[2]), np.maximum(at[0], at[1]), x.varies)
    return step.moved(bounds, x.magnitude + 1, 16)


def _constant(step: Step, x: Interval) -> Interval:
    """A constant added or multiplied: it grows or falls in x."""
    ends = step.run(x.low), step.run(x.high)
    varies = np.asarray(x.varies & ((step.arrays["m"] != 0) if "m" in step.arrays else True), dtype=bool)
    sizes = step.run(x.magnitude, **{name: np.abs(array) for name, array in step.arrays.items()})
    return step.moved(Interval(np.minimum(*ends), np.maximum(*ends), varies), sizes, 4)


def _multiply(step: Step, *xs: Interval) -> Interval:
    """A product has its extremes at the corners."""
    found = xs[0]
    for x in xs[1:]:
        corners = [a * b for a in (found.low, found.high) for b in (x.low, x.high)]
        low, high = reduce(np.minimum, corners), reduce(np.maximum, corners)
        found = step.moved(Interval(low, high, found.varies | x.varies), np.maximum(np.abs(low), np.abs(high)), 4)
    return found


def _matrices(step: Step, a: Interval, b: Interval) -> Interval:
    """A product of matrices by middles and radii: |a b − a_m b_m| ≤ |a_m| b_r + a_r |b_m| + a_r b_r."""
    (a_m, a_r), (b_m, b_r) = (((x.low + x.high) / 2, (x.high - x.low) / 2) for x in (a, b))
    middle, radius = a_m @ b_m, np.abs(a_m) @ b_r + a_r @ np.abs(b_m) + a_r @ b_r
    varies = np.asarray(a.varies.any(axis=-1, keepdims=True) | b.varies.any(axis=-2, keepdims=True))
    bounds = Interval(middle - radius, middle + radius, varies)
    return step.moved(bounds, a.magnitude @ b.magnitude, 4 * a.low.shape[-1] + 16)


def _power(step: Step, x: Interval) -> Interval:
    """A constant power has its extremes at the ends, or at 0."""
    p = step.arrays["p"]
    if ((p < 0) & (x.low <= 0)).any():
        raise StructureError(f"{step.name}: its input may reach 0, and a negative power of that has no bounds")
    low, high = (np.where(p == np.floor(p), end, np.maximum(end, 0)) for end in (x.low, x.high))
    at = [end**p for end in (low, high, np.minimum(np.maximum(0, low), high))]
    bounds = Interval(reduce(np.minimum, at), reduce(np.maximum, at), np.asarray(x.varies & (p != 0), dtype=bool))
    return step.moved(bounds, bounds.magnitude, 16)


def _pad(step: Step, x: Interval) -> Interval:
    edge = [(0, 0), *zip(step.layer.before, step.layer.after, strict=True)]
    return Interval(step.run(x.low), step.run(x.high), np.pad(x.varies, edge))


def _squashing(step: Step, x: Interval) -> Interval:
    """Sigmoid and tanh: they grow. NumPy's are right to a few units in the last place."""
    bounds = Interval(step.run(x.low), step.run(x.high), x.varies)
    return step.moved(bounds, bounds.magnitude, 8)


def _corners(step: Step, x: Interval) -> Interval:
    """The bounds of every entry where it grows in its own x and falls in all others."""
    n = len(x.low)
    diagonal = np.eye(n, dtype=bool).reshape(n, n, *(1,) * (x.low.ndim - 1))
    low, high = (
        step.layer.forward({}, np.where(diagonal, mine[None], others[None]))[np.arange(n), np.arange(n)]
        for mine, others in ((x.low, x.high), (x.high, x.low))
    )
    return Interval(low, high, np.broadcast_to(x.varies.any(axis=0), low.shape))


def _softmax(step: Step, x: Interval) -> Interval:
    r"""The smallest share of k has $x_k$ low and all others high, the largest the other way round."""
    n, bounds = len(x.low), _corners(step, x)
    # e^x turns an error of x, rounded once when the largest is taken out, into a relative one
    return step.moved(bounds, bounds.magnitude * (1 + x.magnitude.max()), n + 16)


def _log_softmax(step: Step, x: Interval) -> Interval:
    r"""As for the softmax: $x_k$ low and all others high, and the other way round."""
    bounds = _corners(step, x)
    return step.moved(bounds, bounds.magnitude + 2 * x.magnitude.max() + 1, len(x.low) + 16)


def _max_pool(step: Step, x: Interval) -> Interval:
    return Interval(step.run(x.low), step.run(x.high), step.run(x.varies.astype(float)) > 0)


def _average(step: Step, x: Interval) -> Interval:
    bounds = Interval(step.run(x.low), step.run(x.high), step.run(x.varies.astype(float)) > 0)
    kernel = getattr(step.layer, "kernel", x.low.shape[1:])
    return step.moved(bounds, step.run(x.magnitude), prod(kernel) + 2)


def _moving(step: Step, x: Interval) -> Interval:
    """Layers that only move numbers."""
    return Interval(step.run(x.low), step.run(x.high), step.run(x.varies))


def _add(step: Step, *xs: Interval) -> Interval:
    low, high, sizes = (sum(parts) for parts in zip(*((x.low, x.high, x.magnitude) for x in xs), strict=True))
    bounds = Interval(low, high, np.any([x.varies for x in xs], axis=0))
    return step.moved(bounds, np.asarray(sizes), len(xs) + 1)


def _join(step: Step, *xs: Interval) -> Interval:
    return Interval(*(np.concatenate(parts) for parts in zip(*((x.low, x.high, x.varies) for x in xs), strict=True)))


RULES: dict[str, Callable[..., Interval]] = {
    "dense": _weighted,
    "conv": _weighted,
    "batchnorm": _batch_norm,
    "gate": _gate,
    "relu": _piecewise,
    "leakyrelu": _piecewise,
    "sigmoid": _squashing,
    "tanh": _squashing,
    "softmax": _softmax,
    "logsoftmax": _log_softmax,
    "maxpool": _max_pool,
    "avgpool": _average,
    "globalavgpool": _average,
    "flatten": _moving,
    "rearrange": _moving,
    "select": _moving,
    "identity": _moving,
    "dropout": _moving,
    "pad": _pad,
    "prelu": _piecewise,
    "clip": _growing,
    "hardsigmoid": _growing,
    "elu": _growing,
    "erf": _growing,
    "softplus": _growing,
    "gelu": _gelu,
    "shift": _constant,
    "scale": _constant,
    "multiply": _multiply,
    "matmul": _matrices,
    "power": _power,
    "add": _add,
    "concat": _join,
}
"""Kind of layer -> its rule."""
