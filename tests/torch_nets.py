"""Any of our networks run by torch in evaluation mode: another engine, with derivatives of its own."""

from typing import Any

import torch
from torch.nn import functional as F

import minprune as mp
from minprune.ops import Array


def torch_arrays(net: mp.Graph) -> dict[str, Any]:
    """All arrays as tensors; the weights W wait for gradients."""
    arrays = {name: torch.from_numpy(array.copy()) for name, array in net.arrays.items()}
    for name, array in arrays.items():
        if name.endswith(".W"):
            array.requires_grad_()
    return arrays


def torch_run(net: mp.Graph, x: Any, arrays: dict[str, Any]) -> Any:
    """The output for a batch, every node by torch's own functions."""
    values = {net.inputs[0]: x}
    for name, node in net.nodes.items():
        own = {short: arrays[f"{name}.{short}"] for short in net.array_names[name]}
        values[name] = step(node.layer, own, [values[source] for source in node.inputs])
    return values[net.output]


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
