"""Which parts a network is planned with: first the layers of images, then those of neurons behind them."""

from __future__ import annotations

from collections import Counter
from math import prod

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
    Rearrange,
    ReLU,
    Scale,
    Shift,
    Sigmoid,
    Softplus,
    Tanh,
)
from ..nn import Graph
from ..wiring import Node
from .images import ImagePlan
from .kept_weights import KeptFilters
from .neurons import AnyRows, Neurons, RowsPart, Through
from .norming import Norm
from .passing import AnyLayer, Same, TileGate, is_open
from .plans import NetPlan
from .tile import Part, Shapes
from .windows import Filters, Largest, Means

# Layers of images that may run on a tile as if it were one large image: no entry meets one of another place or sample.
ENTRYWISE = (
    *(ReLU, LeakyReLU, Sigmoid, Tanh, Identity, Clip, HardSigmoid, ELU, GELU, Erf, Softplus),
    *(BatchNorm, PReLU, Add, Multiply, Join, Shift, Scale),
)
NO_CONVOLUTION = "it has no convolution"


def plan_network(net: Graph, shapes: Shapes, back: str) -> NetPlan | str:
    """Plan a network as far as its layers are known.

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
    if isinstance(images, str) and images != NO_CONVOLUTION:
        return images
    plan = images if isinstance(images, ImagePlan) else None
    parts = RowsChooser(net, shapes, back).parts(plan)
    if plan is None and not any(isinstance(part, Neurons) for part in parts):
        return "no layer is known"
    return NetPlan(net, plan, parts, shapes, back)


def plan_images(net: Graph, shapes: Shapes, back: str = "") -> ImagePlan | str:
    """Plan the layers that work on images, from the inputs as far as they go.

    Parameters
    ----------
    net : Graph
        In float32 or float64.
    shapes : mapping
        Of all values; see `Graph.value_shapes`.
    back : {"", "weights", "gates"}
        Which gradients will be asked for. With any, all convolutions must be among the layers; with those by weights,
        nothing else that has parameters but batch-norms.

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
    convolutions = {name for name, node in net.nodes.items() if isinstance(node.layer, Conv2d)}
    if not convolutions:
        return NO_CONVOLUTION
    chooser = TileChooser(net, shapes, back)
    parts = chooser.parts()
    planned = {part.name for part in parts}
    if not convolutions & planned or (back and convolutions - planned):
        left = next(name for name in net.nodes if name not in chooser.there)
        return f"{left} ({type(net.nodes[left].layer).__name__}) is not planned"
    return ImagePlan(net, parts, shapes, back, chooser.entering)


class Chooser:
    """Which part computes a node: what is known of the network, and the parts so far by their targets.

    A ReLU that alone reads what neurons or filters make becomes part of theirs: that is taken out of `inside` and put
    in again with the ReLU.
    """

    def __init__(self, net: Graph, shapes: Shapes, back: str) -> None:
        self.net, self.shapes, self.back = net, shapes, back
        self.readers = Counter(source for node in net.nodes.values() for source in node.inputs)

    def alone(self, value: str) -> bool:
        """Whether a value is read by one node, and is not the output."""
        return self.readers[value] == 1 and value != self.net.output

    def of_one_shape(self, name: str) -> bool:
        """Whether a node makes what it reads in shape."""
        return len({self.shapes[value] for value in (*self.net.nodes[name].inputs, name)}) == 1


class RowsChooser(Chooser):
    """Layers of neurons, behind those of images."""

    def parts(self, images: ImagePlan | None) -> list[RowsPart]:
        """The layers that are known, each behind what it reads."""
        self.inside: dict[str, RowsPart] = {}
        done = set() if images is None else images.inside
        there = set(self.net.inputs) | set(images.ends if images else ())
        draws = True  # a dropout that is left to the tape draws after all planned ones: those behind it wait, too
        for name, node in self.net.nodes.items():
            if name in done:
                continue
            dropout = isinstance(node.layer, Dropout)
            reads_known = all(source in there for source in node.inputs)
            made = self._part(name) if reads_known and (draws or not dropout) else None
            if made is None:
                draws = draws and not dropout
                continue
            self.inside[made.target] = made
            there.add(name)
        return list(self.inside.values())

    def _part(self, name: str) -> RowsPart | None:
        """The part that computes a node; None where there is none."""
        node, shapes = self.net.nodes[name], self.shapes
        layer, source = node.layer, node.inputs[0]
        if isinstance(layer, Flatten | Identity) or (self.back == "gates" and is_open(self.net, name)):
            return Through(name, node.inputs, isinstance(layer, Gate))
        if any(len(shapes[value]) > 1 for value in (*node.inputs, name)):
            return None
        if isinstance(layer, Dense):
            return Neurons(name, node.inputs, name)
        before = self.inside.get(source)
        if isinstance(layer, ReLU) and isinstance(before, Neurons) and not before.relu and self.alone(source):
            del self.inside[source]
            return Neurons(before.name, before.sources, name)
        fits = layer.flow == "same" or isinstance(layer, Add)
        if not fits or isinstance(layer, Gate) or not self.of_one_shape(name):
            return None
        return AnyRows(name, node.inputs, layer, list(layer.param_shapes()), list(layer.buffer_shapes()))


class TileChooser(Chooser):
    """Layers of images, from the inputs on.

    What turns an input round before (channels that come last, rows that become images) is `entering`.
    """

    def parts(self) -> list[Part]:
        """The layers that are known; `there` then has the names of all their values, and of what enters."""
        self.inside: dict[str, Part] = {}
        self.entering: dict[str, Node] = {}
        self.there = {name for name in self.net.inputs if 2 <= len(self.shapes[name]) <= 3}
        for name, node in self.net.nodes.items():
            if isinstance(node.layer, Rearrange) and node.inputs[0] in {*self.net.inputs, *self.entering}:
                self.entering[name] = node
                self.there |= {name} if 2 <= len(self.shapes[name]) <= 3 else set()
                continue
            if not all(source in self.there for source in node.inputs) or len(set(node.inputs)) < len(node.inputs):
                continue
            made = self._part(name)
            if made is not None:
                self.inside[made.target] = made
                self.there.add(name)
        return list(self.inside.values())

    def _part(self, name: str) -> Part | None:
        """The part that computes a node; None where there is none."""
        node = self.net.nodes[name]
        layer, shape, out = node.layer, self.shapes[node.inputs[0]], self.shapes[name]
        if isinstance(layer, Conv2d):
            return self._filters(name, name)
        if isinstance(layer, BatchNorm) and self.back == "weights":
            return Norm(name, node, name, shape, self.net.dtype)
        if isinstance(layer, ReLU):
            return self._relu(name)
        if isinstance(layer, AvgPool2d | GlobalAvgPool2d):
            at_most_two = len(getattr(layer, "kernel", ())) <= 2
            return Means(name, node, shape, out, self.net.dtype) if at_most_two else None
        if isinstance(layer, MaxPool2d) and prod(layer.kernel) < NOWHERE:
            return Largest(name, node, self._clipped(node.inputs[0]), shape, out)
        if self.back == "gates" and is_open(self.net, name):
            return TileGate(name, node)
        return self._any_layer(name)

    def _filters(self, name: str, target: str) -> Filters:
        node = self.net.nodes[name]
        kind = Filters if self.back else KeptFilters
        return kind(name, node, target, self.shapes[node.inputs[0]], self.shapes[name], self.net.dtype)

    def _relu(self, name: str) -> Part:
        """A ReLU, as part of what it alone reads if that can be."""
        node = self.net.nodes[name]
        (source,) = node.inputs
        before = self.inside.get(source)
        if not isinstance(before, Filters | Norm) or before.relu or not self.alone(source):
            return Same(name, node)
        del self.inside[source]
        if isinstance(before, Norm):
            return Norm(before.name, self.net.nodes[source], name, self.shapes[name], self.net.dtype)
        return self._filters(before.name, name)

    def _clipped(self, source: str) -> bool:
        """Whether a max-pool alone reads what a ReLU has clipped: then it sees to the ReLU's gradient, too."""
        before = self.inside.get(source)
        if not isinstance(before, Filters | Norm) or not before.relu or not self.alone(source):
            return False
        before.stops = False
        return True

    def _any_layer(self, name: str) -> AnyLayer | None:
        """A layer that runs as the network has it: entry by entry, or values added or joined."""
        node = self.net.nodes[name]
        layer = node.layer
        own = {short: self.net.arrays[f"{name}.{short}"] for short in self.net.array_names[name]}
        places = {self.shapes[value][1:] for value in (*node.inputs, name)}
        if not isinstance(layer, ENTRYWISE) or len(places) > 1 or (layer.param_shapes() and self.back == "weights"):
            return None
        if isinstance(layer, Shift):  # or a Scale: with one number for every channel
            if prod(layer.shape[1:]) > 1:
                return None
            own = {short: array.reshape(len(array), 1, 1) for short, array in own.items()}
        return AnyLayer(name, node, own) if isinstance(layer, Join) or self.of_one_shape(name) else None
