"""What an undeclared input must look like, found from the layers that read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ShapeError
from .layers import Shape

if TYPE_CHECKING:
    from .nn import Graph

LARGEST_IMAGE = 512  # the search for a square image gives up here


def deduce_input_shapes(net: Graph) -> dict[str, Shape] | None:
    """The smallest input shapes that fit all layers, or None where the layers leave them open.

    Only the size of images has to be searched for; how many channels or features there are, the layers say.

    Raises
    ------
    ShapeError
        When the layers contradict each other, or no square image fits them.
    """
    wanted = _wanted(net)
    known = {name: wanted[name] for name in net.inputs if name in wanted}
    images = any(axes for _, axes in known.values())
    misfit: ShapeError | None = None
    for size in range(1, LARGEST_IMAGE + 1) if images else (1,):
        shapes: dict[str, Shape] = {name: (channels, *(size,) * axes) for name, (channels, axes) in known.items()}
        try:
            if len(shapes) < len(net.inputs):
                shapes = _with_partners(net, shapes)
            if len(shapes) < len(net.inputs):
                return None
            net.value_shapes(shapes)
        except ShapeError as error:
            misfit = error
        else:
            return shapes
    if images:
        raise ShapeError(f"no square image up to {LARGEST_IMAGE} fits ({misfit}); give input_shape=") from None
    raise misfit or ShapeError("the network has no input")


def _with_partners(net: Graph, shapes: dict[str, Shape]) -> dict[str, Shape]:
    """Inputs that are only added to something: they have the shape of what they are added to."""
    values = dict(shapes)
    for name, node in net.nodes.items():
        partners = [values[source] for source in node.inputs if source in values]
        if node.layer.flow == "add" and partners:
            values.update({s: partners[0] for s in node.inputs if s in net.inputs and s not in values})
        if all(source in values for source in node.inputs):
            values[name] = node.layer.out_shape(*(values[source] for source in node.inputs))
    return {name: values[name] for name in net.inputs if name in values}


def _wanted(net: Graph) -> dict[str, tuple[int, int]]:
    """How many channels and spatial axes values must have, by the first layer behind them with an opinion."""
    wanted: dict[str, tuple[int, int]] = {}
    for name, node in reversed(net.nodes.items()):  # a value's readers come before the value
        layer: Any = node.layer
        if layer.kind in ("dense", "conv"):
            want = layer.inputs, layer.rank if layer.kind == "conv" else 0
        elif name in wanted and layer.flow != "join":
            want = (layer.inputs, wanted[name][1]) if layer.kind == "select" else wanted[name]
        else:
            continue
        wanted.update(dict.fromkeys(node.inputs, want))
    return wanted
