r"""Scores by the network of moduli: every weight $|w|$, no bias, no activation. No data, no labels.

In it nothing cancels: what reaches the output along a path is the product of the moduli on it. `linearised` makes it
from a network as it stands in evaluation mode:

* W becomes |W|; biases and shifts of a batch-norm go;
* a batch-norm multiplies its channel by $|\gamma| / \sqrt{\mathrm{var} + \varepsilon}$, with the stored variance;
* every activation, softmax among them, hands its input on;
* pooling, sums, joins, flattening and gates do what they always do.

With $R = 1^\top y$, the sum of its outputs, `synflow` is the derivative of R by a neuron's gate for an input of ones,
and `nisp` that by a neuron's output. For the latter a maximum pooling averages, since which entry of a window is the
largest would depend on the input; then nothing else does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import StructureError
from ..layers import AvgPool1d, AvgPool2d, AvgPool3d, Identity, Layer, MaxPool2d, Pad, Power
from ..layers.opaque import Opaque
from ..nn import Graph, Node
from ..ops import Array
from ..recording import PASSING
from .base import Context, Criterion, Vector
from .gates import GateGradients, gated_passes
from .weights import batch_mean, weighed_passes


def linearised(net: Graph) -> Graph:
    """The network of moduli, in float64; arrays and nodes bear the same names.

    Raises
    ------
    StructureError
        Where a node of a file is kept as it is.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 1), mp.Tanh())
    >>> net.params["dense1.W"], net.params["dense1.b"] = [[-3.0]], [7.0]
    >>> linearised(net)([[2.0]])
    array([[6.]])
    """
    kept = next((node.layer.told for node in net.nodes.values() if isinstance(node.layer, Opaque)), None)
    if kept is not None:
        raise StructureError(f"{kept} is kept as it is in the file, and has no moduli; take another criterion")
    nodes = {name: Node(_without_activation(node.layer), node.inputs) for name, node in net.nodes.items()}
    arrays = {}
    for name, array in net.arrays.items():
        if name.endswith((".b", ".beta", ".mean")):
            arrays[name] = np.zeros(array.shape)
        elif name.endswith((".W", ".gamma", ".m")):
            arrays[name] = np.abs(array.astype(np.float64))
        else:
            arrays[name] = array.astype(np.float64) if array.dtype.kind == "f" else array
    return Graph.assemble(nodes, net.inputs, net.output, arrays, net.input_shapes)


def _without_activation(layer: Layer) -> Layer:
    arrays = {**layer.param_shapes(), **layer.buffer_shapes()}
    if isinstance(layer, Power):
        return Identity()
    if isinstance(layer, Pad):
        return replace(layer, value=0.0)  # what surrounds an image lets nothing flow
    is_activation = not arrays and layer.flow in ("same", "bound") and layer.kind not in PASSING
    return Identity() if is_activation else layer


def _averaging(net: Graph) -> Graph:
    """The same network with averages for maxima."""
    nodes = dict(net.nodes)
    for name, node in net.nodes.items():
        if isinstance(node.layer, MaxPool2d):
            average = {1: AvgPool1d, 2: AvgPool2d, 3: AvgPool3d}[node.layer.rank]
            settings = node.layer.kernel, node.layer.stride, node.layer.padding, node.layer.dilation
            nodes[name] = Node(average(*settings), node.inputs)
    return Graph.assemble(nodes, net.inputs, net.output, net.arrays, net.input_shapes)


def _on_ones(context: Context, net: Graph) -> Context:
    """The same question to another network, with one sample of ones."""
    if net.input_shapes is None:
        raise StructureError("the layers leave the input's shape open; give input_shape= when making the network")
    x = {name: np.ones((1, *shape)) for name, shape in net.input_shapes.items()}
    return replace(context, net=net, x=x, y=None, batch_size=1)


def _gate_gradients(context: Context) -> dict[str, GateGradients]:
    """Gradients of the sum of all outputs by the gates."""
    (batch,) = gated_passes(context)
    return batch.gradients(batch.output, np.ones_like(batch.output.value))


class Synflow(Criterion):
    r"""What of the flow of ones through the moduli of the weights passes a neuron: $\partial R/\partial m_j$.

    $R = 1^\top |W^{L}| \cdots |W^{1}| 1$ is the sum of the outputs of the network of moduli (see `linearised` for
    batch-norm) for one input of ones, of the network's own input shape. By the gate, so the sum over places of
    $a\, \partial R/\partial a$; never negative. Of a single weight $|w|\, \partial R/\partial |w|$. Flow is conserved:
    in a chain of layers a neuron's score is the sum of the scores of its incoming weights, and of its outgoing ones,
    and the scores of every layer add up to R.

    Notes
    -----
    Source: Tanaka et al. 2020, *Pruning neural networks without any data by iteratively conserving synaptic flow*,
    section 5. Their code takes the modulus of every array and keeps the biases; the paper's R, and this one, has none.
    They prune in many small steps, and score again after each.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 2), mp.ReLU(), mp.Dense(2, 1))
    >>> net.params["dense1.W"], net.params["dense2.W"] = [[1.0, -2.0], [0.0, 1.0]], [[-3.0, 1.0]]  # R = 3 · 3 + 1 · 1
    >>> mp.score(net, criterion="synflow")["dense1"]
    array([9., 1.])
    >>> mp.score(net, criterion="synflow", by="weight")["dense1.W"]
    array([[3., 6.], [0., 1.]])
    """

    name = "synflow"
    formula = r"I_j = \partial R / \partial m_j, \quad R = 1^\top |W^{L}| \cdots |W^{1}| \, 1"
    source = "Tanaka et al. 2020, section 5; spec B8"

    def score(self, context: Context) -> dict[str, Vector]:
        """Σ a ∂R/∂a."""
        gates = _gate_gradients(_on_ones(context, linearised(context.net)))
        return {name: found.effect[0] for name, found in gates.items()}

    def score_weights(self, context: Context) -> dict[str, Array]:
        """|w| ∂R/∂|w|."""
        context = _on_ones(context, linearised(context.net))
        sums = (b.sums(b.output, np.ones_like(b.output.value), np.positive) for b in weighed_passes(context))
        return {name: context.net.params[name] * slope for name, slope in batch_mean(context, sums).items()}


class Nisp(Criterion):
    r"""The importance of the outputs, sent back through the moduli: $s_j = \sum_k |w_{kj}|\, s_k$, 1 for every output.

    That is the derivative of the sum of the outputs of the network of moduli by what the neuron puts out, summed over
    the places of a channel and over the layers that read it. Through a convolution as through the matrix that it is;
    through a residual sum to both summands; through a batch-norm times its scale (see `linearised`), through a maximum
    pooling in equal shares to the window. Data is not looked at.

    Notes
    -----
    Source: Yu et al. 2018, *NISP: pruning networks using neuron importance score propagation*, section 3; spec B9.
    There the importance of the final responses is found by a feature ranking (Inf-FS) on data first; here all outputs
    count alike.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 2), mp.ReLU(), mp.Dense(2, 2), mp.ReLU(), mp.Dense(2, 1))
    >>> net.params["dense2.W"], net.params["dense3.W"] = [[1.0, -2.0], [0.0, 1.0]], [[-3.0, 1.0]]
    >>> mp.score(net, criterion="nisp")["dense2"]
    array([3., 1.])
    >>> mp.score(net, criterion="nisp")["dense1"]  # 3 · 1 + 1 · 0 and 3 · 2 + 1 · 1
    array([3., 7.])
    """

    name = "nisp"
    formula = r"I_j = \sum_k |w_{kj}| \, I_k"
    source = "Yu et al. 2018, section 3; spec B9"

    def score(self, context: Context) -> dict[str, Vector]:
        """Σ ∂R/∂a."""
        averaging = _on_ones(context, _averaging(linearised(context.net)))
        return {name: found.slope[0] for name, found in _gate_gradients(averaging).items()}
