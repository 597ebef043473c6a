"""Any of our networks run by torch in evaluation mode: another engine, with derivatives of its own."""

from typing import Any

import torch
from torch.nn import functional as F

import minprune as mp
from minprune.neurons import NeuronGroup
from minprune.ops import Array


def torch_arrays(net: mp.Graph) -> dict[str, Any]:
    """All arrays as tensors; the weights W wait for gradients."""
    arrays = {name: torch.from_numpy(array.copy()) for name, array in net.arrays.items()}
    for name, array in arrays.items():
        if name.endswith(".W"):
            array.requires_grad_()
    return arrays


torch.set_num_threads(1)  # on arrays this small threads do nothing but wait
Placed = dict[str, Any]  # value that is read -> what is done to it on the way to its readers


def torch_run(net: mp.Graph, x: Any, arrays: dict[str, Any], placed: Placed | None = None) -> Any:
    """The output for a batch, every node by torch's own functions; `placed` changes values before layers read them."""
    values = {net.inputs[0]: x}
    for name, node in net.nodes.items():
        own = {short: arrays[f"{name}.{short}"] for short in net.array_names[name]}
        xs = [values[source] for source in node.inputs]
        if placed and node.inputs[0] in placed and own.keys() & {"W"} and not getattr(node.layer, "depthwise", False):
            xs = [placed[node.inputs[0]](xs[0])]
        values[name] = step(node.layer, own, xs)
    return values[net.output]


def at_reads(group: NeuronGroup, change: Any) -> Placed:
    """For every value in which a group is read: ``change(value, j)`` with the neuron j of each channel, as an index."""

    def placed(owner: Array) -> Any:
        return lambda value: change(value, torch.from_numpy(owner))

    return {read.value: placed(read.owner) for read in group.reads}


def along(vector: Any, owner: Any, value: Any, other: float) -> Any:
    """A number per neuron as one per channel that broadcasts along a value; `other` for channels of none of them."""
    channels = torch.where(owner >= 0, vector[owner.clamp(min=0)], torch.tensor(other, dtype=vector.dtype))
    return channels.reshape(1, -1, *[1] * (value.ndim - 2))


def step(layer: Any, own: dict[str, Any], xs: list[Any]) -> Any:
    x, kind = xs[0], layer.kind
    if kind == "dense":
        return F.linear(x, own["W"], own.get("b"))
    if kind == "conv":
        conv = F.conv1d if layer.rank == 1 else F.conv2d
        return conv(x, own["W"], own.get("b"), layer.stride, layer.padding, layer.dilation, layer.groups)
    if kind == "batchnorm":
        return F.batch_norm(x, own["mean"], own["var"], own["gamma"], own["beta"], training=False, eps=layer.epsilon)
    if kind in ("maxpool", "avgpool"):
        pool = {"maxpool": F.max_pool2d, "avgpool": F.avg_pool2d}[kind]
        return pool(x, layer.kernel, layer.stride, layer.padding)
    if kind == "add":
        return sum(xs[1:], x)
    if kind == "concat":
        return torch.cat(xs, dim=1)
    if kind == "leakyrelu":
        return F.leaky_relu(x, layer.slope)
    return PLAIN[kind](x)


PLAIN: dict[str, Any] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softmax": lambda x: torch.softmax(x, dim=1),
    "flatten": lambda x: x.flatten(1),
    "globalavgpool": lambda x: x.flatten(2).mean(dim=2),
    "dropout": lambda x: x,
    "identity": lambda x: x,
}


def torch_losses(output: Any, t: Array, loss: str) -> Any:
    """The loss of every sample, as a textbook writes it."""
    target = torch.from_numpy(t)
    if loss == "cross_entropy":
        return F.cross_entropy(output, target, reduction="none")
    squares = ((output - target) ** 2).sum(dim=1)
    return squares / (2 if loss == "half_squared_error" else output.shape[1])
