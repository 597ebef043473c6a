"""A reference replayer: losses from a trace's op program alone, in plain Python; no array library, nothing of minprune.

It stands for whatever else reads the JSON: a front end has to be able to do the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

Index = tuple[int, ...]


class Array:
    """Numbers in row order, and a shape."""

    def __init__(self, shape: Iterable[int], data: list[Any]) -> None:
        self.shape, self.data = tuple(shape), data
        assert len(data) == math.prod(self.shape)

    def __getitem__(self, index: Index) -> Any:
        place = 0
        for i, size in zip(index, self.shape, strict=True):
            assert 0 <= i < size
            place = place * size + i
        return self.data[place]

    def inside(self, index: Index) -> bool:
        return all(0 <= i < size for i, size in zip(index, self.shape, strict=True))


def made(shape: Iterable[int], entry: Callable[[Index], Any]) -> Array:
    shape = tuple(shape)
    return Array(shape, [entry(index) for index in product(*map(range, shape))])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def log_sum_exp(values: list[float]) -> float:
    top = max(values)
    return top + math.log(math.fsum(math.exp(v - top) for v in values))


def _row(y: Array, n: int) -> list[float]:
    return [y[n, k] for k in range(y.shape[1])]


def affine(v: dict[str, Any], o: dict[str, Any], s: Index) -> Array:
    x, W, b = v["x"], v["W"], v["b"]

    def entry(index: Index) -> float:
        n, j = index
        return math.fsum(W[j, i] * x[n, i] for i in range(W.shape[1])) + (b[j,] if b else 0)

    return made(s, entry)


def _seen(place: Index, kernel: Index, o: dict[str, Any]) -> Iterable[tuple[Index, Index]]:
    """Every entry of a kernel at a place, and where it lies on the image."""
    dilation = o.get("dilation") or [1] * len(kernel)
    for k in product(*map(range, kernel)):
        parts = zip(place, o["stride"], k, dilation, o["padding"], strict=True)
        yield k, tuple(p * step + q * d - r for p, step, q, d, r in parts)


def conv(v: dict[str, Any], o: dict[str, Any], s: Index) -> Array:
    x, W, b = v["x"], v["W"], v["b"]
    width, filters = W.shape[1], W.shape[0] // o["groups"]

    def entry(index: Index) -> float:
        n, f, *place = index
        first = f // filters * width
        seen = [
            (W[(f, c, *k)], (n, first + c, *at)) for k, at in _seen(tuple(place), W.shape[2:], o) for c in range(width)
        ]
        return math.fsum(w * x[at] for w, at in seen if x.inside(at)) + (b[f,] if b else 0)

    return made(s, entry)


def pool(join: Callable[[list[float], int], float]) -> Callable[..., Array]:
    def op(v: dict[str, Any], o: dict[str, Any], s: Index) -> Array:
        x = v["x"]

        def entry(index: Index) -> float:
            n, c, *place = index
            found = [(n, c, *at) for _, at in _seen(tuple(place), tuple(o["kernel"]), o)]
            return join([x[at] for at in found if x.inside(at)], len(found))

        return made(s, entry)

    return op


def global_avg_pool(v: dict[str, Any], o: dict[str, Any], s: Index) -> Array:
    x = v["x"]
    places = list(product(*map(range, x.shape[2:])))
    return made(s, lambda i: math.fsum(x[(*i, *p)] for p in places) / len(places))


def batch_norm(v: dict[str, Any], o: dict[str, Any], s: Index) -> Array:
    def entry(index: Index) -> float:
        c = index[1]
        hat = (v["x"][index] - v["mean"][c,]) / math.sqrt(v["var"][c,] + o["epsilon"])
        return v["gamma"][c,] * hat + v["beta"][c,]

    return made(s, entry)


def each(function: Callable[[float, dict[str, Any]], float]) -> Callable[..., Array]:
    return lambda v, o, s: Array(s, [function(x, o) for x in v["x"].data])


def softmax(v: dict[str, Any], o: dict[str, Any], s: Index) -> Array:
    x = v["x"]

    def entry(index: Index) -> float:
        n, _, *place = index
        return math.exp(x[index] - log_sum_exp([x[(n, k, *place)] for k in range(x.shape[1])]))

    return made(s, entry)


def concat(v: dict[str, Any], o: dict[str, Any], s: Index) -> Array:
    a, b = v["a"], v["b"]

    def entry(index: Index) -> float:
        n, c, *place = index
        return a[(n, c, *place)] if c < a.shape[1] else b[(n, c - a.shape[1], *place)]

    return made(s, entry)


def squared(factor: Callable[[int], float]) -> Callable[..., Array]:
    def op(v: dict[str, Any], o: dict[str, Any], s: Index) -> Array:
        y, t = v["y"], v["t"]
        pairs = [list(zip(_row(y, n), _row(t, n), strict=True)) for n in range(y.shape[0])]
        return Array(s, [math.fsum((a - b) ** 2 for a, b in row) * factor(y.shape[1]) for row in pairs])

    return op


def cross_entropy(v: dict[str, Any], o: dict[str, Any], s: Index) -> Array:
    y, t = v["y"], v["t"]

    def entry(index: Index) -> float:
        (n,) = index
        row = _row(y, n)
        if len(t.shape) == 1:
            return log_sum_exp(row) - row[t[n,]]
        return log_sum_exp(row) * math.fsum(_row(t, n)) - math.fsum(a * b for a, b in zip(row, _row(t, n), strict=True))

    return made(s, entry)


def log_softmax(v: dict[str, Any], o: dict[str, Any], s: Index) -> Array:
    x = v["x"]

    def entry(index: Index) -> float:
        n, _, *place = index
        return x[index] - log_sum_exp([x[(n, k, *place)] for k in range(x.shape[1])])

    return made(s, entry)


def rearrange(v: dict[str, Any], o: dict[str, Any], s: Index) -> Array:
    """Transpose the axes behind the batch, then write all entries of a sample into the new shape."""
    x, order = v["x"], o["order"]
    moved = (x.shape[0], *(x.shape[axis + 1] for axis in order))

    def entry(index: Index) -> float:
        n, *rest = index
        at = [0] * len(order)
        for axis, i in zip(order, rest, strict=True):
            at[axis] = i
        return x[(n, *at)]

    return Array(s, made(moved, entry).data)


def pad(v: dict[str, Any], o: dict[str, Any], s: Index) -> Array:
    x = v["x"]

    def entry(index: Index) -> float:
        n, c, *place = index
        at = (n, c, *(p - r for p, r in zip(place, o["before"], strict=True)))
        return x[at] if x.inside(at) else o["value"]

    return made(s, entry)


def elu(x: float, o: dict[str, Any]) -> float:
    return o["gamma"] * (x if x > 0 else o["alpha"] * math.expm1(x))


def paired(join: Callable[[Any, Any], Any]) -> Callable[..., Array]:
    """Entry by entry; an axis of size 1, or that is missing in front, is repeated."""

    def at(array: Array, index: Index) -> Any:
        own = index[len(index) - len(array.shape) :]
        return array[tuple(0 if size == 1 else i for i, size in zip(own, array.shape, strict=True))]

    return lambda v, o, s: made(s, lambda index: join(at(v["a"], index), at(v["b"], index)))


def matmul(v: dict[str, Any], o: dict[str, Any], s: Index) -> Array:
    a, b = v["a"], v["b"]

    def entry(index: Index) -> float:
        *front, i, j = index
        return math.fsum(a[(*front, i, k)] * b[(*front, k, j)] for k in range(a.shape[-1]))

    return made(s, entry)


def power(v: dict[str, Any], o: dict[str, Any], s: Index) -> Array:
    return paired(lambda x, p: x**p)({"a": v["x"], "b": v["p"]}, o, s)


OPS: dict[str, Callable[..., Array]] = {
    "clip": each(lambda x, o: min(max(x, o["low"]), o["high"])),
    "hard_sigmoid": each(lambda x, o: min(max(o["slope"] * x + o["offset"], 0.0), 1.0)),
    "elu": each(elu),
    "gelu": each(lambda x, o: x * (1 + math.erf(x / math.sqrt(2))) / 2),
    "erf": each(lambda x, o: math.erf(x)),
    "softplus": each(lambda x, o: max(x, 0.0) + math.log1p(math.exp(-abs(x)))),
    "prelu": lambda v, o, s: made(s, lambda i: v["x"][i] * (1.0 if v["x"][i] > 0 else v["a"][i[1],])),
    "log_softmax": log_softmax,
    "rearrange": rearrange,
    "pad": pad,
    "mul": paired(lambda a, b: a * b),
    "matmul": matmul,
    "power": power,
    "affine": affine,
    "conv": conv,
    "max_pool": pool(lambda values, _: max(values, default=-math.inf)),
    "avg_pool": pool(lambda values, count: math.fsum(values) / count),
    "global_avg_pool": global_avg_pool,
    "batch_norm_eval": batch_norm,
    "relu": each(lambda x, o: max(x, 0.0)),
    "leaky_relu": each(lambda x, o: x if x > 0 else o["slope"] * x),
    "sigmoid": each(lambda x, o: sigmoid(x)),
    "tanh": each(lambda x, o: math.tanh(x)),
    "softmax": softmax,
    "reshape": lambda v, o, s: Array(s, v["x"].data),
    "take": lambda v, o, s: made(s, lambda i: v["x"][(i[0], v["index"][i[1],], *i[2:])]),
    "add": paired(lambda a, b: a + b),
    "gate": lambda v, o, s: made(s, lambda i: v["a"][i] * v["m"][i[1],]),
    "concat": concat,
    "half_squared_error": squared(lambda k: 1 / 2),
    "mse": squared(lambda k: 1 / k),
    "cross_entropy": cross_entropy,
    "mean": lambda v, o, s: Array(s, [math.fsum(v["x"].data) / len(v["x"].data)]),
}


def replay(program: dict[str, Any], gone: dict[str, list[int]] | None = None) -> dict[str, Array]:
    """Every value of a program, some neurons masked."""
    values = {name: Array(array["shape"], list(array["data"])) for name, array in program["arrays"].items()}
    for group, neurons in (gone or {}).items():
        for gate in program["gates"][group]:
            array = values[gate["array"]]
            array.data = [0.0 if j in neurons else m for j, m in zip(gate["owner"], array.data, strict=True)]
    for step in program["ops"]:
        inputs = {arg: None if name is None else values[name] for arg, name in step["inputs"].items()}
        values[step["output"]] = OPS[step["op"]](inputs, step["options"], tuple(step["shape"]))
    return values


def loss(program: dict[str, Any], gone: dict[str, list[int]] | None = None) -> float:
    """The mean loss, some neurons masked."""
    (value,) = replay(program, gone)[program["loss"]].data
    return value
