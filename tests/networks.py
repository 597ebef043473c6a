"""Networks to test with: named examples of every wiring, and random graphs that shrink.

All weights, biases and batch-norm statistics are drawn, none is left at 0 or 1: what is never changed hides mistakes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import minprune as mp
from minprune.layers import (
    ELU,
    GELU,
    AvgPool1d,
    Clip,
    Conv1d,
    Erf,
    Gate,
    HardSigmoid,
    LogSoftmax,
    MatMul,
    MaxPool1d,
    Multiply,
    Pad,
    Power,
    PReLU,
    Rearrange,
    Scale,
    Select,
    Shift,
    Softplus,
)
from minprune.neurons import NOBODY, hidden, staying
from minprune.nn import Graph


def randomised(net: Graph, seed: int = 0) -> Graph:
    """The same network with drawn arrays; variances between ½ and 2, indices and gates as they are."""
    rng = np.random.default_rng(seed)
    for arrays in (net.params, net.buffers):
        for name, array in arrays.items():
            if name.endswith(".var"):
                arrays[name] = rng.uniform(0.5, 2, array.shape)
            elif not name.endswith((".index", ".m")):
                arrays[name] = rng.standard_normal(array.shape)
    return net


def whole(net: Graph, seed: int = 0) -> Graph:
    """The same network in exact rationals, its weights small whole numbers."""
    rng = np.random.default_rng(seed)
    for name, array in net.params.items():
        net.params[name] = rng.integers(-3, 4, array.shape)
    from fractions import Fraction

    return net.astype(Fraction)


def inputs(net: Graph, n: int = 5, seed: int = 1) -> dict[str, Any]:
    """Normal inputs that fit a network."""
    rng = np.random.default_rng(seed)
    shapes = net.input_shapes or {}
    return {name: rng.standard_normal((n, *shape)) for name, shape in shapes.items()}


def samples(net: Graph, n: int = 5, seed: int = 1) -> tuple[Any, Any]:
    """Inputs (of a network with a single one) and numbers as targets."""
    (x,) = inputs(net, n, seed).values()
    return x, np.random.default_rng(seed + 1).standard_normal((n, net(x).shape[1]))


def scorable(net: Graph, criterion: str) -> bool:
    """Whether a criterion has an answer for all hidden neurons: `bn_scale` only where each passes a batch-norm."""
    groups = [net.neurons[name] for name in hidden(net)]
    scaled = [{int(j) for s in group.carried if s.array.endswith(".gamma") for j in s.owner} for group in groups]
    return criterion != "bn_scale" or all(len(s - {NOBODY}) == g.size for s, g in zip(scaled, groups, strict=True))


# --- named examples --------------------------------------------------------------------------------------------------

R, D, C, BN, F = mp.ReLU, mp.Dense, mp.Conv2d, mp.BatchNorm, mp.Flatten


def _seq(*layers: Any, **settings: Any) -> Graph:
    return randomised(mp.Sequential(*layers, dtype=np.float64, **settings))


def _graph(nodes: dict[str, Any], inputs: Any = ("x",), **settings: Any) -> Graph:
    return randomised(mp.Graph(nodes, inputs=inputs, dtype=np.float64, **settings))


def _two_dense() -> Graph:
    nodes = {
        "a": (D(3, 4), "u"),
        "fa": (R(), "a"),
        "b": (D(2, 3), "v"),
        "fb": (mp.Tanh(), "b"),
        "both": (mp.Concat(), "fa", "fb"),
        "y": (D(7, 2), "both"),
    }
    return _graph(nodes, ("u", "v"))


def _image_and_vector() -> Graph:
    nodes = {
        "c": (C(1, 3, 3), "image"),
        "fc": (R(), "c"),
        "flat": (F(), "fc"),
        "h": (D(3, 4), "vector"),
        "fh": (mp.Sigmoid(), "h"),
        "both": (mp.Concat(), "flat", "fh"),
        "y": (D(31, 2), "both"),
    }
    return _graph(nodes, ("image", "vector"), input_shape={"image": (1, 5, 5), "vector": (3,)})


def _tied_inputs() -> Graph:
    return _graph({"s": (mp.Add(), "u", "v"), "h": (D(3, 4), "s"), "r": (R(), "h"), "y": (D(4, 2), "r")}, ("u", "v"))


def _read_in_two_places() -> Graph:
    nodes = {
        "h": (D(3, 4), "x"),
        "r": (R(), "h"),
        "s": (mp.Sigmoid(), "h"),
        "p": (D(4, 3), "r"),
        "q": (D(4, 3), "s"),
        "sum": (mp.Add(), "p", "q"),
        "t": (mp.Tanh(), "sum"),
        "y": (D(3, 2), "t"),
    }
    return _graph(nodes)


def _added_and_read() -> Graph:
    nodes = {
        "h": (D(3, 4), "x"),
        "r": (R(), "h"),
        "g": (D(4, 4), "r"),
        "sum": (mp.Add(), "r", "g"),
        "k": (D(4, 3), "r"),
        "m": (D(4, 3), "sum"),
        "both": (mp.Concat(), "k", "m"),
        "y": (D(6, 2), "both"),
    }
    return _graph(nodes)


def _tied_across_concat() -> Graph:
    """No single layer makes all neurons of the first group."""
    nodes = {
        "a": (D(3, 2), "x"),
        "b": (D(3, 3), "x"),
        "c": (D(3, 3), "x"),
        "d": (D(3, 2), "x"),
        "ab": (mp.Concat(), "a", "b"),
        "cd": (mp.Concat(), "c", "d"),
        "sum": (mp.Add(), "ab", "cd"),
        "r": (R(), "sum"),
        "y": (D(5, 2), "r"),
    }
    return _graph(nodes)


def _nested() -> Graph:
    block = mp.Sequential(C(4, 4, 3, padding=1, bias=False), BN(4), R(), C(4, 4, 3, padding=1, groups=4), BN(4))
    branches = mp.Concat(
        mp.Sequential(C(4, 2, 1), mp.Tanh()), mp.Residual(mp.Sequential(C(4, 4, 1), mp.LeakyReLU(0.25)))
    )
    return _seq(
        *(C(2, 4, 3), BN(4), R(), mp.Residual(block), R(), branches, mp.AvgPool2d(2), C(6, 4, 1, groups=2), R()),
        *(F(), mp.Dropout(0.3), D(16, 5), BN(5), mp.Tanh(), mp.Residual(D(5, 5)), D(5, 3)),
        input_shape=(2, 7, 7),
    )


def _selected() -> Graph:
    net = _seq(D(4, 5), R(), Select(5, 4), Select(4, 3), D(3, 2))
    net.buffers["select1.index"], net.buffers["select2.index"] = [4, 0, 2, 1], [2, 0, 3]
    return net


def _selected_beside() -> Graph:
    nodes = {"s": (Select(4, 2), "x"), "a": (D(2, 3), "s"), "b": (D(4, 3), "x"), "sum": (mp.Add(), "a", "b")}
    net = _graph({**nodes, "r": (R(), "sum"), "y": (D(3, 2), "r")})
    net.buffers["s.index"] = [3, 1]
    return net


def _gate_that_is_added() -> Graph:
    nodes = {
        "h": (D(3, 4), "x"),
        "g": (Gate(4), "h"),
        "p": (D(4, 4), "g"),
        "sum": (mp.Add(), "g", "p"),
        "r": (R(), "sum"),
        "y": (D(4, 2), "r"),
    }
    return _graph(nodes)


def _squeezed_and_excited() -> Graph:
    """Every channel is scaled by a number that is computed from all of them."""
    nodes = {
        "c": (C(2, 4, 2), "x"),
        "mean": (mp.GlobalAvgPool2d(), "c"),
        "d": (D(4, 3), "mean"),
        "r": (R(), "d"),
        "e": (D(3, 4), "r"),
        "s": (HardSigmoid(0.25), "e"),
        "u": (Rearrange((0,), (-1, 1, 1)), "s"),
        "m": (Multiply(), "c", "u"),
        "f": (F(), "m"),
        "y": (D(16, 2), "f"),
    }
    return _graph(nodes, input_shape=(2, 3, 3))


def _turned_and_read_twice() -> Graph:
    """Rows become images; a dense layer reads both, and what turns the images round a second time."""
    nodes = {
        "i": (Rearrange((0,), (4, 4, 2)), "x"),
        "t": (Rearrange((2, 0, 1), (2, 4, 4)), "i"),
        "c": (C(2, 3, 3), "t"),
        "f": (F(), "c"),
        "g": (F(), "t"),
        "both": (mp.Concat(), "f", "g"),
        "y": (D(44, 2), "both"),
    }
    return _graph(nodes, input_shape=(32,))


def _attention() -> Graph:
    """Every place looks at every other; the sums through which they do that bind their neurons."""
    nodes = {
        "q": (Conv1d(2, 3, 1), "x"),
        "k": (Conv1d(2, 3, 1), "x"),
        "t": (Rearrange((1, 0), (-1, 3)), "k"),
        "s": (MatMul(), "t", "q"),
        "w": (mp.Softmax(), "s"),
        "v": (Conv1d(2, 4, 1), "x"),
        "a": (MatMul(), "v", "w"),
        "h": (Conv1d(4, 5, 1), "a"),
        "p": (Softplus(), "h"),
        "r": (Power((5, 1)), "p"),
        "g": (mp.GlobalAvgPool2d(), "r"),
        "y": (D(5, 2), "g"),
    }
    net = _graph(nodes, input_shape=(2, 4))
    net.buffers["r.p"] = np.array([[0.5], [3.0], [2.0], [1.5], [1.0]])
    return net


def _constants() -> Graph:
    """A constant for all, one for every channel, one for every place."""
    layers = (Scale((1, 1)), Conv1d(2, 4, 3), Shift((4, 1)), Pad((1,), (2,), 0.5), Clip(-1.0, 2.0), MaxPool1d(2))
    net = _seq(*layers, Scale((4, 4)), AvgPool1d(2, 1), Shift((1, 3)), F(), D(12, 2), input_shape=(2, 8))
    for name in ("scale1.m", "scale2.m"):
        net.buffers[name] = np.random.default_rng(5).uniform(-2, 2, net.buffers[name].shape)
    return net


EXAMPLES: dict[str, Callable[[], Graph]] = {
    "mlp": lambda: _seq(D(4, 5), R(), D(5, 4), mp.Tanh(), D(4, 3)),
    "mlp without bias": lambda: _seq(D(4, 5, bias=False), R(), D(5, 3, bias=False)),
    "sigmoid": lambda: _seq(D(3, 5), mp.Sigmoid(), D(5, 2)),
    "sigmoid output": lambda: _seq(D(3, 5), mp.Sigmoid(), D(5, 2), mp.Sigmoid()),
    "leaky relu, dropout": lambda: _seq(D(3, 5), mp.LeakyReLU(0.125), mp.Dropout(0.5), D(5, 2)),
    "linear": lambda: _seq(D(3, 5), D(5, 2)),
    "softmax output": lambda: _seq(D(3, 5), R(), D(5, 3), mp.Softmax()),
    "softmax inside": lambda: _seq(D(3, 5), mp.Softmax(), D(5, 4), R(), D(4, 2)),
    "cnn": lambda: _seq(C(1, 4, 3), BN(4), R(), mp.MaxPool2d(2), C(4, 3, 2), R(), F(), D(3, 2), input_shape=(1, 6, 6)),
    "cnn, odd sizes": lambda: _seq(
        *(C(2, 3, (2, 3), stride=2, padding=1), R(), C(3, 4, 2, dilation=2), mp.Tanh(), F(), D(16, 3)),
        input_shape=(2, 7, 8),
    ),
    "conv without bias": lambda: _seq(
        C(1, 4, 3, bias=False), BN(4), mp.Sigmoid(), mp.GlobalAvgPool2d(), D(4, 2), input_shape=(1, 5, 5)
    ),
    "average pooling": lambda: _seq(C(1, 3, 2), mp.Tanh(), mp.AvgPool2d(2), F(), D(12, 2), input_shape=(1, 5, 5)),
    "residual": lambda: _seq(D(3, 4), R(), mp.Residual(mp.Sequential(D(4, 5), R(), D(5, 4))), R(), D(4, 2)),
    "residual, projected": lambda: _seq(
        *(C(2, 3, 3), R(), mp.Residual(mp.Sequential(C(3, 4, 3, padding=1), BN(4)), C(3, 4, 1, bias=False)), R()),
        *(mp.GlobalAvgPool2d(), D(4, 2)),
        input_shape=(2, 5, 5),
    ),
    "residual, pre-activation": lambda: _seq(
        *(C(1, 3, 3, padding=1), mp.Residual(mp.Sequential(BN(3), R(), C(3, 3, 3, padding=1), BN(3), R(), C(3, 3, 1)))),
        *(BN(3), R(), F(), D(48, 2)),
        input_shape=(1, 4, 4),
    ),
    "residual around the input": lambda: _seq(mp.Residual(mp.Sequential(D(3, 4), R(), D(4, 3))), R(), D(3, 2)),
    "depthwise": lambda: _seq(
        C(2, 4, 3), R(), C(4, 4, 3, groups=4), BN(4), R(), C(4, 3, 1), R(), F(), D(12, 2), input_shape=(2, 6, 6)
    ),
    "depthwise with multiplier 2": lambda: _seq(
        C(2, 3, 3), R(), C(3, 6, 2, groups=3), BN(6), R(), C(6, 3, 1), F(), D(27, 2), input_shape=(2, 6, 6)
    ),
    "grouped": lambda: _seq(
        C(1, 6, 2), R(), C(6, 4, 2, groups=2), BN(4), mp.Tanh(), C(4, 2, 1), F(), D(8, 2), input_shape=(1, 4, 4)
    ),
    "grouped input": lambda: _seq(C(4, 4, 3, groups=2), R(), F(), D(16, 2), input_shape=(4, 4, 4)),
    "concat, flatten": lambda: _seq(
        mp.Concat(mp.Sequential(C(2, 3, 3), R()), mp.Sequential(C(2, 2, 3), BN(2), mp.Tanh())),
        *(F(), D(45, 2)),
        input_shape=(2, 5, 5),
    ),
    "concat with itself": lambda: _seq(D(3, 4), mp.Concat(R(), mp.Identity()), D(8, 2)),
    "added to itself": lambda: _graph({"h": (D(3, 4), "x"), "s": (mp.Add(), "h", "h", "h"), "y": (D(4, 2), "s")}),
    "conv1d": lambda: _seq(Conv1d(2, 4, 3), R(), Conv1d(4, 3, 2, stride=2), R(), F(), D(9, 2), input_shape=(2, 9)),
    "tied to the output": lambda: _seq(D(3, 4), R(), mp.Residual(mp.Sequential(D(4, 5), R(), D(5, 4)))),
    "tied across concat": _tied_across_concat,
    "two inputs": _two_dense,
    "image and vector": _image_and_vector,
    "tied inputs": _tied_inputs,
    "read in two places": _read_in_two_places,
    "added and read": _added_and_read,
    "nested": _nested,
    "selects": _selected,
    "select beside a reader": _selected_beside,
    "gate that is added": _gate_that_is_added,
    "squeezed and excited": _squeezed_and_excited,
    "constants": _constants,
    "attention, powers": _attention,
    "curves": lambda: _seq(
        *(D(3, 4), ELU(1.5, 1.25), D(4, 4), GELU(), D(4, 3), Softplus(), D(3, 4), PReLU(4), D(4, 3), Erf(), D(3, 3)),
        LogSoftmax(),
    ),
    "flattened channels last": lambda: _seq(
        *(C(1, 3, 2), R(), C(3, 4, 2), R(), Rearrange((1, 2, 0), (-1,)), D(16, 2)), input_shape=(1, 4, 4)
    ),
    "channels last": lambda: _seq(
        *(Rearrange((2, 0, 1), (2, 4, 4)), C(2, 3, 2), R(), C(3, 2, 2), R(), Rearrange((1, 2, 0), (-1,)), D(8, 2)),
        input_shape=(4, 4, 2),
    ),
    "turned and read twice": _turned_and_read_twice,
    "spread over channels": lambda: _seq(
        *(C(1, 3, 2), R(), C(3, 4, 2), Rearrange((1, 2, 0), (-1, 2)), R(), F(), D(16, 2)), input_shape=(1, 4, 4)
    ),
}
# Those in floats that know the shapes of their inputs.
SHAPED = [name for name in EXAMPLES if EXAMPLES[name]().dtype.kind == "f" and EXAMPLES[name]().input_shapes]
SINGLE_INPUT = [name for name in EXAMPLES if len(EXAMPLES[name]().inputs) == 1]

# --- random graphs ---------------------------------------------------------------------------------------------------


@st.composite
def networks(draw: st.DrawFn, exact: bool = False) -> Graph:
    """A random network in float64, or with `exact` in rationals and of exact layers only."""
    layers, settings = draw(st.one_of(_dense_parts(exact), _image_parts(exact)))
    net = mp.Sequential(*layers, dtype=np.float64, **settings)
    seed = draw(st.integers(0, 99))
    return whole(net, seed) if exact else randomised(net, seed)


def plans(net: Graph) -> st.SearchStrategy[mp.Plan]:
    """Random removals, input features included; at least one neuron of each group and layer stays."""

    def leaves_some_of_all(plan: mp.Plan) -> bool:
        return all(len(kept) for axes in staying(net, plan.drop).values() for kept in axes.values())

    groups = [group for group in net.neurons.values() if not group.stays and group.size > 1]
    choices = {g.name: st.sets(st.integers(0, g.size - 1), max_size=g.size - 1) for g in groups}
    return st.fixed_dictionaries(choices).map(mp.Plan).filter(leaves_some_of_all)


def _activation(exact: bool) -> st.SearchStrategy[Any]:
    smooth = [] if exact else [mp.Sigmoid(), mp.Tanh()]
    return st.sampled_from([mp.Identity(), R(), mp.LeakyReLU(0.25), *smooth])


def _finish(exact: bool, draw: st.DrawFn, size: int) -> list[Any]:
    """What stands between two weighted sums: perhaps batch-norm, an activation, perhaps dropout."""
    norm = [] if exact or draw(st.booleans()) else [BN(size)]
    return [*norm, draw(_activation(exact)), *([mp.Dropout(0.5)] if draw(st.booleans()) else [])]


@st.composite
def _dense_parts(draw: st.DrawFn, exact: bool) -> tuple[list[Any], dict[str, Any]]:
    size = features = draw(st.integers(1, 4))
    layers: list[Any] = []
    for kind in draw(st.lists(st.sampled_from(["plain", "residual", "projected", "concat", "doubled"]), max_size=3)):
        out = draw(st.integers(1, 5))
        body = mp.Sequential(D(size, out, bias=draw(st.booleans())), *_finish(exact, draw, out))
        if kind == "residual":
            body, out = mp.Residual(mp.Sequential(body, D(out, size))), size
        elif kind == "projected":
            body = mp.Residual(body, D(size, out, bias=False))
        elif kind == "concat":
            body, out = mp.Concat(body, D(size, 2), draw(_activation(exact))), out + 2 + size
        elif kind == "doubled":
            body, out = mp.Sequential(body, mp.Concat(mp.Identity(), R())), 2 * out
        layers, size = [*layers, body], out
    return [*layers, D(size, 2)], {"input_shape": (features,)}


@st.composite
def _image_parts(draw: st.DrawFn, exact: bool) -> tuple[list[Any], dict[str, Any]]:
    size = features = draw(st.integers(1, 3))
    side = start = draw(st.integers(3, 5))
    layers: list[Any] = []
    kinds = ["plain", "residual", "projected", "concat", "depthwise", "grouped", "pooled"]
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=3)):
        out = draw(st.integers(1, 4))
        if kind == "grouped":
            size, out, layers = 4, 2 * out, [*layers, C(size, 4, 1), draw(_activation(exact))]
        groups = {"depthwise": size, "grouped": 2}.get(kind, 1)
        out = size * draw(st.integers(1, 2)) if kind == "depthwise" else out
        kernel = draw(st.sampled_from([1, 3, (3, 1)]))
        padding = tuple((k - 1) // 2 for k in (kernel if isinstance(kernel, tuple) else (kernel, kernel)))
        conv = C(size, out, kernel, padding=padding, groups=groups, bias=draw(st.booleans()))
        body: Any = mp.Sequential(conv, *_finish(exact, draw, out))
        if kind == "residual":
            body, out = mp.Residual(mp.Sequential(body, C(out, size, 1))), size
        elif kind == "projected":
            body = mp.Residual(body, C(size, out, 1, bias=False))
        elif kind == "concat":
            body, out = mp.Concat(body, C(size, 2, 1)), out + 2
        elif kind == "pooled" and side >= 2:
            body, side = mp.Sequential(body, draw(st.sampled_from([mp.MaxPool2d, mp.AvgPool2d]))(2)), side // 2
        layers, size = [*layers, body], out
    flat = draw(st.booleans())
    head = [F(), D(size * side * side, 2)] if flat else [mp.GlobalAvgPool2d(), D(size, 2)]
    return [*layers, *head], {"input_shape": (features, start, start)}
