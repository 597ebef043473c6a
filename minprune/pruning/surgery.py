"""Surgery: `mask` switches neurons off, `remove` makes a smaller network, and certificates say that all agree.

Removing a neuron deletes its row and bias where it is made, its entries in batch-norm and the like, and its columns
wherever it is read (a block of columns behind a flatten). Which entries those are, `minprune.neurons` knows; here they
are only taken out. Single weights are masked only: see `minprune.pruning.weights.plan`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..certificate import Record
from ..errors import MinpruneError, PlanError
from ..layers import Select
from ..neurons import staying
from ..nn import Graph, Node
from ..ops import Array
from ..recording import with_gates
from .certifying import certify, record_mask, record_removal
from .plan import Plan
from .repair import Repair, repaired
from .sizes import only_selected
from .weights.plan import WeightPlan, mask_weights

__all__ = ["certify", "mask", "masked", "remove"]


def mask(net: Graph, plan: Plan | WeightPlan, data: Any = None) -> Graph:
    r"""Switch neurons off, reversibly: their gates are closed wherever they are read. Or set weights to 0 for good.

    $a_j \to 0$ for every dropped neuron j, after its activation (σ(0) is ½, so before would not do);
    $w \to 0$ for every dropped weight.

    Parameters
    ----------
    net : Graph
        Is not changed.
    plan : Plan or WeightPlan
        Which neurons, or which weights.
    data : (x, y), x, Samples or Dataset, optional
        What the certificate is computed on; it does with seeded random inputs.

    Returns
    -------
    Graph
        A network of its own: the same shapes, with gates; all weights are still there. Its `certificate` says that it
        computes what the network does whose readers have no weights for the dropped neurons; see `Certificate`. For
        weights without gates, but with masks, which `fit` respects: see `minprune.pruning.weights.plan.mask_weights`.

    Raises
    ------
    StructureError, PlanError
        When the plan does not fit; see `Plan.check`.
    DataError
        When the network's output is not finite.
    MinpruneError
        When the two differ (which would be a defect of minprune).

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 3), mp.Sigmoid(), mp.Dense(3, 1))
    >>> masked = mask(net, Plan({"dense1": [0, 1]}))
    >>> masked.buffers["sigmoid1.gate.m"]
    array([0., 0., 1.], dtype=float32)
    """
    if isinstance(plan, WeightPlan):
        return mask_weights(net, plan)
    if not isinstance(plan, Plan):
        raise PlanError(
            f"mask takes a Plan of neurons or of weights, got {type(plan).__name__}; "
            "decide(scores, strategy) makes one, by hand Plan({'dense1': [0, 2]})"
        )
    plan.check(net)
    closed = masked(net, plan)
    closed.history = (*net.history, _proven(record_mask(net, closed, plan, data)))
    return closed


def masked(net: Graph, plan: Plan) -> Graph:
    """What `mask` makes, without the certificate, which costs more than the mask: for loops over many plans."""
    gated, gates = with_gates(net, plan.drop)
    closed = gated.copy()
    for name, neurons in plan.drop.items():
        for read in net.neurons[name].reads:
            closed.buffers[f"{gates[read.value]}.m"][np.isin(read.owner, neurons)] = 0
    return closed


def remove(net: Graph, plan: Plan, repair: str | Repair | None = None, data: Any = None) -> Graph:
    """Make the smaller network: every array loses what belongs to the dropped neurons.

    Parameters
    ----------
    net : Graph
        Is not changed.
    plan : Plan
        Which neurons.
    repair : {None, "mean", "least_squares", "merge", "batch_norm", "obs"} or a repair
        How the remaining network makes up for the loss, by name or such as `LeastSquares(ridge=1e-2)`; see
        `minprune.pruning.repair`.
    data : (x, y), x, Samples or Dataset, optional
        What the repair and the certificate are computed on; the certificate does with seeded random inputs.

    Returns
    -------
    Graph
        With the attributes `certificate` (of the removal alone: masked ≡ removed) and `history`, which goes on where
        that of `net` ends: a record of the removal, and one of the repair. Dropped input features leave a `Select`
        behind: the smaller network takes the same inputs. Weights that were masked stay 0, whatever a repair would make
        of them.

    Raises
    ------
    StructureError, PlanError
        When the plan does not fit; see `Plan.check`.
    DataError
        When the repair needs data and there is none, or the network's output is not finite.
    MinpruneError
        When the smaller network does not compute what the masked one does (which would be a defect of minprune).

    Notes
    -----
    Source: spec C4 (document 3.2.3).

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 3), mp.Sigmoid(), mp.Dense(3, 1))
    >>> small = remove(net, Plan({"dense1": [0, 2]}))
    >>> {name: array.shape for name, array in small.params.items()}
    {'dense1.W': (1, 2), 'dense1.b': (1,), 'dense2.W': (1, 1), 'dense2.b': (1,)}
    >>> small.certificate.ok
    True
    """
    if not isinstance(plan, Plan):
        raise PlanError(
            f"remove takes a Plan of neurons, got {type(plan).__name__}; decide(scores, strategy) makes one "
            "(weights are masked: mask(net, plan), and save stores only those that are kept)"
        )
    plan.check(net)
    small = _cut(_with_selects(net, plan), plan)
    small.history = (*net.history, _proven(record_removal(net, masked(net, plan), small, plan, data)))
    return repaired(net, small, plan, repair, data)


def _proven(record: Record) -> Record:
    """The record, if what it certifies is so."""
    if not record.certificate or not record.certificate.ok:
        raise MinpruneError(
            f"{record.action} failed its check ({record.certificate}); extreme weights can do that, "
            "else please report it"
        )
    return record


def _with_selects(net: Graph, plan: Plan) -> Graph:
    """Put a `Select` of all features behind every input that is to lose some, unless only Selects read it."""
    losing = [value for value in net.inputs if any(value in net.neurons[name].channels for name in plan.drop)]
    selects = {value: f"{value}.select" for value in losing if not only_selected(net, value)}
    if not selects:
        return net
    nodes: dict[str, Node] = {}
    arrays = dict(net.arrays)
    shapes = net.input_shapes or {}
    for value, select in selects.items():
        features = shapes[value][0]
        nodes[select] = Node(Select(features, features), (value,))
        arrays[f"{select}.index"] = np.arange(features)
    for name, node in net.nodes.items():
        nodes[name] = Node(node.layer, tuple(selects.get(source, source) for source in node.inputs))
    return Graph.assemble(nodes, net.inputs, net.output, arrays, net.input_shapes, net.masks)


def _cut(net: Graph, plan: Plan) -> Graph:
    """Take the dropped neurons' entries out of every array, and tell every layer its new size."""
    arrays: dict[str, Array] = {name: array.copy() for name, array in net.arrays.items()}
    masks = dict(net.masks)
    for name, axes in staying(net, plan.drop).items():
        for axis, positions in axes.items():
            arrays[name] = np.take(arrays[name], positions, axis=axis)
            if name in masks:
                masks[name] = np.take(masks[name], positions, axis=axis)
    nodes = {}
    for name, node in net.nodes.items():
        own = {short: arrays[f"{name}.{short}"].shape for short in net.array_names[name]}
        layer = node.layer.resized(own)
        if isinstance(layer, Select):  # what it selects from may have moved
            left = _channels_left(net, node.inputs[0], plan)
            arrays[f"{name}.index"] = np.searchsorted(left, arrays[f"{name}.index"])
            layer = Select(len(left), layer.outputs)
        nodes[name] = Node(layer, node.inputs)
    return Graph.assemble(nodes, net.inputs, net.output, arrays, net.input_shapes, masks)


def _channels_left(net: Graph, value: str, plan: Plan) -> Array:
    """Which channels of a value are still there after the removal; an input keeps all."""
    left = np.ones(net.value_shapes(net.input_shapes or {})[value][0], dtype=bool)
    for name, neurons in plan.drop.items():
        if value not in net.inputs and value in net.neurons[name].channels:
            left &= ~np.isin(net.neurons[name].channels[value], neurons)
    return np.flatnonzero(left)
