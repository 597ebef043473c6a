"""Which parts a network is planned with: first the layers of images, then those of neurons behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import Any

from ..backends import backend
from ..kernels.gemm import NOTHING
from ..kernels.maxima import NOWHERE
from ..layers import (
    ELU,
    GELU,
    Add,
    AvgPool2d,
    BatchNorm,
    Clip,
    Conv2d,
    Dense,
    Dropout,
    Erf,
    Flatten,
    Gate,
    GlobalAvgPool2d,
    HardSigmoid,
    Identity,
    Join,
    LeakyReLU,
    MaxPool2d,
    Multiply,
    PReLU,
    ReLU,
    Sigmoid,
    Softplus,
    Tanh,
)
from ..nn import Graph
from ..wiring import Node
from .images import ImagePlan
from .kept import KeptFilters
from .neurons import AnyRows, Neurons, RowsPart, Through
from .norming import Norm
from .passing import AnyLayer, Same, TileGate, is_open
from .plans import NetPlan
from .tile import Part
from .windows import Filters, Largest, Means

# Layers of images that may run on a tile as if it were one large image: no entry meets one of another place or sample.
ENTRYWISE = (
    *(ReLU, LeakyReLU, Sigmoid, Tanh, Identity, Clip, HardSigmoid, ELU, GELU, Erf, Softplus),
    *(BatchNorm, PReLU, Add, Multiply, Join),
)


def plan_network(net: Graph, shapes: Mapping[str, tuple[int, ...]], back: str) -> NetPlan | str:
    """NetPlan a network as far as its layers are known.

    Parameters
    ----------
    net : Graph
        In float32 or float64.
    shapes : mapping
        Of all values; see `Graph.value_shapes`.
    back : {"", "weights", "gates"}
        Which gradients will be asked for: none, by parameters, or what gates see, their a and ∂ℓ/∂a.

    Returns
    -------
    NetPlan or str
        Or why there is none.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(3, 4), mp.ReLU(), mp.Softmax(), mp.Dense(4, 2))
    >>> with mp.backend("numba"):
    ...     plan_network(net, net.value_shapes({"input": (3,)}), "weights")
    <Plan: 1 on rows, as far as relu1>
    """
    if backend() != "numba":
        return f"backend {backend()}"
    if net.dtype not in NOTHING:
        return f"it holds {net.dtype}, not float32 or float64"
    images = plan_images(net, shapes, back)
    if isinstance(images, str) and images != "it has no convolution":
        return images
    plan = images if isinstance(images, ImagePlan) else None
    parts = _rows_parts(net, shapes, plan, back)
    if plan is None and not any(isinstance(part, Neurons) for part in parts):
        return "no layer is known"
    return NetPlan(net, plan, parts, shapes, back)


def _rows_parts(
    net: Graph, shapes: Mapping[str, tuple[int, ...]], images: ImagePlan | None, back: str
) -> list[RowsPart]:
    """The layers of neurons that are known, each behind what it reads."""
    readers = Counter(source for node in net.nodes.values() for source in node.inputs)
    inside: dict[str, RowsPart] = {}
    done = set() if images is None else images.inside
    there = set(net.inputs) | set(images.ends if images else ())
    draws = True  # a dropout that is left to the tape draws after all planned ones: those behind it wait, too
    for name, node in net.nodes.items():
        if name in done:
            continue
        dropout = isinstance(node.layer, Dropout)
        if not all(source in there for source in node.inputs) or (dropout and not draws):
            draws = draws and not dropout
            continue
        made = _rows_part(net, name, node, shapes, inside, readers, back)
        if made is not None:
            inside[made.target] = made
            there.add(name)
        elif dropout:
            draws = False
    return list(inside.values())


def _rows_part(
    net: Graph,
    name: str,
    node: Node,
    shapes: Mapping[str, tuple[int, ...]],
    inside: dict[str, RowsPart],
    readers: Mapping[str, int],
    back: str,
) -> RowsPart | None:
    """The part that computes a node; None where there is none. A ReLU behind neurons changes the part before."""
    layer, source = node.layer, node.inputs[0]
    if isinstance(layer, Flatten | Identity) or (back == "gates" and is_open(net, name)):
        return Through(name, node.inputs, isinstance(layer, Gate))
    if len(shapes[name]) > 1 or any(len(shapes[value]) > 1 for value in node.inputs):
        return None
    if isinstance(layer, Dense):
        return Neurons(name, node.inputs, name)
    before = inside.get(source)
    alone = readers[source] == 1 and source != net.output
    if isinstance(layer, ReLU) and isinstance(before, Neurons) and not before.relu and alone:
        del inside[source]
        return Neurons(before.name, before.sources, name)
    return _any_rows(net, name, node, shapes)


def _any_rows(net: Graph, name: str, node: Node, shapes: Mapping[str, Any]) -> AnyRows | None:
    """A layer that runs as the network has it: one value in, or several that are added, and one of that shape out."""
    layer = node.layer
    fits = layer.flow == "same" or isinstance(layer, Add)
    if not fits or isinstance(layer, Gate) or len({shapes[value] for value in (*node.inputs, name)}) > 1:
        return None
    return AnyRows(name, node.inputs, layer, list(layer.param_shapes()), list(layer.buffer_shapes()))


def plan_images(net: Graph, shapes: Mapping[str, tuple[int, ...]], back: str = "") -> ImagePlan | str:
    """NetPlan the layers that work on images, from the inputs as far as they go.

    Parameters
    ----------
    net : Graph
        In float32 or float64.
    shapes : mapping
        Of all values; see `Graph.value_shapes`.
    back : {"", "weights", "gates"}
        Which gradients will be asked for. With any, all convolutions must be among the layers; with those by weights,
        nothing else that has parameters.

    Returns
    -------
    ImagePlan or str
        Or why there is none.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Conv2d(1, 4, 3), mp.ReLU(), mp.MaxPool2d(2), mp.Flatten(), mp.Dense(36, 2))
    >>> plan = plan_images(net, net.value_shapes({"input": (1, 8, 8)}), back="weights")
    >>> [part.name for part in plan.parts], plan.ends
    (['conv1', 'maxpool1'], ['maxpool1'])
    >>> plan_images(mp.Sequential(mp.Dense(3, 2)), {"input": (3,), "dense1": (2,)})
    'it has no convolution'
    """
    if net.dtype not in NOTHING:
        return f"it holds {net.dtype}, not float32 or float64"
    readers = Counter(source for node in net.nodes.values() for source in node.inputs)
    inside: dict[str, Part] = {}
    there = {name for name in net.inputs if 2 <= len(shapes[name]) <= 3}
    for name, node in net.nodes.items():
        if not all(source in there for source in node.inputs) or len(set(node.inputs)) < len(node.inputs):
            continue
        made = _part(net, name, node, shapes, inside, readers, back)
        if made is not None:
            inside[made.target] = made
            there.add(name)
    parts = list(inside.values())
    convolutions = {name for name, node in net.nodes.items() if isinstance(node.layer, Conv2d)}
    planned = {part.name for part in parts}
    if not convolutions:
        return "it has no convolution"
    if not convolutions & planned or (back and convolutions - planned):
        return f"{_first_left(net, there)} is not planned"
    return ImagePlan(net, parts, shapes, back)


def _part(
    net: Graph,
    name: str,
    node: Node,
    shapes: Mapping[str, tuple[int, ...]],
    inside: dict[str, Part],
    readers: Mapping[str, int],
    back: str,
) -> Part | None:
    """The part that computes a node; None where there is none. A ReLU behind a convolution changes the part before."""
    layer, source = node.layer, node.inputs[0]
    shape, out, dtype = shapes[source], shapes[name], net.dtype
    before = inside.get(source)
    filters = Filters if back else KeptFilters
    if isinstance(layer, Conv2d):
        return filters(name, node, name, shape, out, dtype)
    if isinstance(layer, BatchNorm) and back == "weights":
        return Norm(name, node, name, shape, dtype)
    if isinstance(layer, ReLU):
        if isinstance(before, Filters | Norm) and not before.relu and readers[source] == 1 and source != net.output:
            del inside[source]
            if isinstance(before, Norm):
                return Norm(before.name, net.nodes[source], name, out, dtype)
            return filters(before.name, net.nodes[source], name, shapes[before.sources[0]], out, dtype)
        return Same(name, node)
    if isinstance(layer, AvgPool2d | GlobalAvgPool2d):
        return Means(name, node, shape, out, dtype) if _plain(layer) else None
    if isinstance(layer, MaxPool2d) and prod(layer.kernel) < NOWHERE:
        clipped = isinstance(before, Filters | Norm) and before.relu and readers[source] == 1 and source != net.output
        if clipped and isinstance(before, Filters | Norm):
            before.stops = False
        return Largest(name, node, clipped, shape, out)
    if back == "gates" and is_open(net, name):
        return TileGate(name, node)
    return _any_layer(net, name, node, shapes, back)


def _plain(layer: Any) -> bool:
    """Whether a mean has windows of at most two axes."""
    return not hasattr(layer, "kernel") or len(layer.kernel) <= 2


def _any_layer(net: Graph, name: str, node: Node, shapes: Mapping[str, tuple[int, ...]], back: str) -> AnyLayer | None:
    """A layer that runs as the network has it: entry by entry, or values added or joined."""
    layer = node.layer
    own = {short: net.arrays[f"{name}.{short}"] for short in net.array_names[name]}
    places = {shapes[value][1:] for value in (*node.inputs, name)}
    if not isinstance(layer, ENTRYWISE) or len(places) > 1 or (own and back == "weights"):
        return None
    if not isinstance(layer, Join) and len({shapes[value] for value in (*node.inputs, name)}) > 1:
        return None
    return AnyLayer(name, node, own)


def _first_left(net: Graph, there: set[str]) -> str:
    """The first node that is not planned, with its layer."""
    name = next(name for name in net.nodes if name not in there)
    return f"{name} ({type(net.nodes[name].layer).__name__})"
