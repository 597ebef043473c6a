r"""What a program need not compute: batch-norms go into the layer before them, and what only trains goes away.

A batch-norm with stored statistics is an affine map of each channel, and so is the layer before it:

$\gamma_j \frac{W_j x + b_j - \mu_j}{\sqrt{\mathrm{var}_j + \varepsilon}} + \beta_j
= (s_j W_j)\, x + s_j (b_j - \mu_j) + \beta_j$ with $s_j = \gamma_j / \sqrt{\mathrm{var}_j + \varepsilon}$.

Source: Jacob et al. 2018, *Quantization and training of neural networks for efficient integer-arithmetic-only
inference*, equation 14.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..layers import BatchNorm, Conv2d, Dense, Dropout, Identity
from ..nn import Graph
from ..wiring import Node


def folded(net: Graph) -> Graph:
    """The same function with fewer nodes; the network that is given stays as it is.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(3, 2), mp.BatchNorm(2), mp.Dropout(0.5), mp.ReLU())
    >>> list(folded(net).nodes)
    ['dense1', 'relu1']
    """
    nodes, arrays, output = dict(net.nodes), {k: v.copy() for k, v in net.arrays.items()}, net.output
    for name, node in net.nodes.items():
        source = nodes[name].inputs[0]
        if isinstance(node.layer, Dropout | Identity) and source in nodes:
            pass
        elif isinstance(node.layer, BatchNorm) and _folds(nodes, source, output):
            _fold(nodes, arrays, source, name, node.layer)
        else:
            continue
        output = source if name == output else output
        del nodes[name]
        nodes = {key: _reading(other, name, source) for key, other in nodes.items()}
    held = {f"{name}.{short}" for name, node in nodes.items() for short in _names(node)}
    kept = {name: array for name, array in arrays.items() if name in held}
    masks = {name: mask for name, mask in net.masks.items() if name in held}
    return Graph.assemble(nodes, net.inputs, output, kept, net.input_shapes, masks)


def _folds(nodes: dict[str, Node], source: str, output: str) -> bool:
    """Whether a value is that of a weighted layer, and read by one node alone."""
    readers = sum(node.inputs.count(source) for node in nodes.values())
    return source in nodes and isinstance(nodes[source].layer, Dense | Conv2d) and readers == 1 and source != output


def _fold(nodes: dict[str, Node], arrays: dict[str, Any], weighted: str, norm: str, layer: BatchNorm) -> None:
    """Put a batch-norm into the weights and the bias of the layer before it."""
    gamma, beta, mean, var = (arrays[f"{norm}.{short}"] for short in ("gamma", "beta", "mean", "var"))
    W = arrays[f"{weighted}.W"]
    s = gamma / np.sqrt(var + W.dtype.type(layer.epsilon))
    b = arrays.get(f"{weighted}.b", W.dtype.type(0))
    arrays[f"{weighted}.W"] = W * s.reshape(-1, *[1] * (W.ndim - 1))
    arrays[f"{weighted}.b"] = s * (b - mean) + beta
    inner: Any = nodes[weighted].layer
    nodes[weighted] = replace(nodes[weighted], layer=replace(inner, bias=True))


def _reading(node: Node, name: str, source: str) -> Node:
    """The same node, reading `source` where it read `name`."""
    return replace(node, inputs=tuple(source if value == name else value for value in node.inputs))


def _names(node: Node) -> list[str]:
    return [*node.layer.param_shapes(), *node.layer.buffer_shapes()]
