"""How every layer is written in ONNX: `EMIT` lists them all."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING, Any

from ...errors import StructureError
from .opaque.emitting import emit_opaque

if TYPE_CHECKING:
    from .writing import Emitter

Sources = tuple[str, ...]


def _dense(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    stored = [e.store(f"{name}.{short}", e.own(name, short)) for short in layer.param_shapes()]
    e.node("Gemm", (*sources, *stored), name, transB=1)


def _conv(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    stored = [e.store(f"{name}.{short}", e.own(name, short)) for short in layer.param_shapes()]
    e.node(
        "Conv",
        (*sources, *stored),
        name,
        kernel_shape=layer.kernel,
        strides=layer.stride,
        pads=layer.padding * 2,
        dilations=layer.dilation,
        group=layer.groups,
    )


def _batch_norm(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    stored = [e.store(f"{name}.{short}", e.own(name, short)) for short in ("gamma", "beta", "mean", "var")]
    e.node("BatchNormalization", (*sources, *stored), name, epsilon=layer.epsilon, momentum=1 - layer.momentum)


def _pool(op: str, since: int, **more: Any) -> Callable[..., None]:
    def emit(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
        settings = {"kernel_shape": layer.kernel, "strides": layer.stride, "pads": layer.padding * 2}
        if max(layer.dilation) > 1:
            _need_opset(e, name, f"{op} with dilations", since)
            settings["dilations"] = layer.dilation
        e.node(op, sources, name, **settings, **more)

    return emit


def _global_average(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    if len(e.shapes[sources[0]]) == 1:  # no places: the mean of each number is the number
        e.node("Identity", sources, name)
        return
    pooled = e.node("GlobalAveragePool", sources, e.fresh(f"{name}.pooled"))
    e.node("Flatten", (pooled,), name, axis=1)


def _simple(op: str, since: int = 1, **attributes: str) -> Callable[..., None]:
    """An op that differs from the layer in its name only, and in those of its settings."""

    def emit(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
        _need_opset(e, name, op, since)
        e.node(op, sources, name, **{theirs: getattr(layer, ours) for theirs, ours in attributes.items()})

    return emit


def _need_opset(e: Emitter, name: str, op: str, since: int) -> None:
    if e.opset < since:
        raise StructureError(f"{name}: {op} exists since opset {since}, the file has {e.opset}")


def _shares(op: str) -> Callable[..., None]:
    """Softmax and its logarithm; before opset 13 all axes behind the named one counted as one, so it must be last."""

    def emit(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
        rank = len(e.shapes[name]) + 1
        if e.opset >= 13 or rank == 2:
            e.node(op, sources, name, axis=1)
            return
        last = e.node("Transpose", sources, e.fresh(f"{name}.last"), perm=(0, *range(2, rank), 1))
        shares = e.node(op, (last,), e.fresh(f"{name}.shares"), axis=rank - 1)
        e.node("Transpose", (shares,), name, perm=(0, rank - 1, *range(1, rank - 1)))

    return emit


def _prelu(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    a = e.own(name, "a").reshape(-1, *(1,) * (len(e.shapes[name]) - 1))
    e.node("PRelu", (*sources, e.store(f"{name}.a", a)), name)


def _clip(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    if e.opset < 11:
        e.node("Clip", sources, name, min=layer.low, max=layer.high)
        return
    ends = e.scalar(f"{name}.low", layer.low), e.scalar(f"{name}.high", layer.high)
    e.node("Clip", (*sources, *ends), name)


def _elu(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    if layer.gamma == 1:
        e.node("Elu", sources, name, alpha=layer.alpha)
    else:
        e.node("Selu", sources, name, alpha=layer.alpha, gamma=layer.gamma)


def _gelu(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    r"""An op since opset 20; before that $x \cdot \frac{1}{2} (1 + \mathrm{erf}(x / \sqrt{2}))$ in steps."""
    if e.opset >= 20:
        e.node("Gelu", sources, name)
        return
    _need_opset(e, name, "Erf", 9)
    scaled = e.node("Mul", (*sources, e.scalar(f"{name}.root", 1 / sqrt(2))), e.fresh(f"{name}.scaled"))
    bent = e.node("Erf", (scaled,), e.fresh(f"{name}.erf"))
    raised = e.node("Add", (bent, e.scalar(f"{name}.one", 1.0)), e.fresh(f"{name}.raised"))
    below = e.node("Mul", (raised, e.scalar(f"{name}.half", 0.5)), e.fresh(f"{name}.below"))
    e.node("Mul", (*sources, below), name)


def _dropout(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    if e.opset < 12:
        e.node("Dropout", sources, name, ratio=layer.p)
    else:
        e.node("Dropout", (*sources, e.scalar(f"{name}.ratio", layer.p)), name)


def _gate(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    m = e.own(name, "m").reshape(-1, *(1,) * (len(e.shapes[name]) - 1))
    e.node("Mul", (*sources, e.store(f"{name}.m", m)), name)


def _constant_step(op: str, short: str) -> Callable[..., None]:
    def emit(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
        e.node(op, (*sources, e.store(f"{name}.{short}", e.own(name, short)[None])), name)

    return emit


def _select(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    e.node("Gather", (*sources, e.numbers(f"{name}.index", e.own(name, "index"))), name, axis=1)


def _flatten(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    e.node("Flatten", sources, name, axis=1)


def _rearrange(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    source, straight = sources[0], layer.order == tuple(range(len(layer.order)))
    moved = tuple(e.shapes[source][axis] for axis in layer.order)
    same = moved == e.shapes[name]
    perm = (0, *(axis + 1 for axis in layer.order))
    if same:
        e.node("Transpose", sources, name, perm=perm)
        return
    if not straight:
        source = e.node("Transpose", sources, e.fresh(f"{name}.moved"), perm=perm)
    e.node("Reshape", (source, e.numbers(f"{name}.shape", (0, *e.shapes[name]))), name)


def _pad(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    pads = (0, 0, *layer.before, 0, 0, *layer.after)
    if e.opset < 11:
        e.node("Pad", sources, name, mode="constant", pads=pads, value=layer.value)
    else:
        e.node("Pad", (*sources, e.numbers(f"{name}.pads", pads), e.scalar(f"{name}.value", layer.value)), name)


def _add(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    e.node("Add" if len(sources) == 2 else "Sum", sources, name)


def _multiply(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    last = sources[0]
    for place, source in enumerate(sources[1:], 2):
        last = e.node("Mul", (last, source), name if place == len(sources) else e.fresh(f"{name}.{place}"))


def _join(e: Emitter, name: str, layer: Any, sources: Sources) -> None:
    e.node("Concat", sources, name, axis=1)


EMIT: dict[str, Callable[[Any, str, Any, Sources], None]] = {
    "Dense": _dense,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "BatchNorm": _batch_norm,
    "MaxPool1d": _pool("MaxPool", 10),
    "MaxPool2d": _pool("MaxPool", 10),
    "AvgPool1d": _pool("AveragePool", 19, count_include_pad=1),
    "AvgPool2d": _pool("AveragePool", 19, count_include_pad=1),
    "MaxPool3d": _pool("MaxPool", 10),
    "AvgPool3d": _pool("AveragePool", 19, count_include_pad=1),
    "GlobalAvgPool2d": _global_average,
    "ReLU": _simple("Relu"),
    "LeakyReLU": _simple("LeakyRelu", alpha="slope"),
    "Sigmoid": _simple("Sigmoid"),
    "Tanh": _simple("Tanh"),
    "Softmax": _shares("Softmax"),
    "LogSoftmax": _shares("LogSoftmax"),
    "PReLU": _prelu,
    "Clip": _clip,
    "HardSigmoid": _simple("HardSigmoid", alpha="slope", beta="offset"),
    "ELU": _elu,
    "GELU": _gelu,
    "Erf": _simple("Erf", 9),
    "Softplus": _simple("Softplus"),
    "Identity": _simple("Identity"),
    "Flatten": _flatten,
    "Rearrange": _rearrange,
    "Pad": _pad,
    "Dropout": _dropout,
    "Gate": _gate,
    "Shift": _constant_step("Add", "b"),
    "Scale": _constant_step("Mul", "m"),
    "Power": _constant_step("Pow", "p"),
    "MatMul": _simple("MatMul"),
    "Select": _select,
    "Add": _add,
    "Multiply": _multiply,
    "Join": _join,
    "Opaque": emit_opaque,
}
"""Layer -> the function that writes it: it gets the file in the making, the node's name, layer and inputs."""
