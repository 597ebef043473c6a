"""Growing: new neurons for a network, that change nothing of what it computes.

`grow` is the way back from `remove`: it inserts entries on the same axes of the same arrays. What a new neuron computes
is drawn; the layers that read it begin with weights 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import PlanError, StructureError
from ..neurons import NOBODY, check_neuron, is_input, staying
from ..nn import Graph, Node
from ..ops import Array, exact
from ..optim import OptimizerState
from ..provenance import digest, note


def grow(net: Graph, counts: Mapping[str, int], rng: int | np.random.Generator = 0) -> Graph:
    r"""Add neurons to groups; the network computes what it computed.

    A new neuron's incoming weights are drawn like those of a new layer, its biases are 0 and its batch-norms begin
    afresh; in the layers that read it $w_{kj} = 0$.

    Parameters
    ----------
    net : Graph
        Is not changed.
    counts : mapping
        Group -> how many neurons to add. They come behind those that are there.
    rng : int or Generator
        Where the weights come from.

    Returns
    -------
    Graph
        The larger network. Its outputs are the same but for rounding (sums with zeros in them can be taken in another
        order), exactly so in rationals. ``remove(grown, Plan({group: new neurons}))`` gives the first one back.

    Raises
    ------
    StructureError
        When there is no such group, or it cannot be grown: input features, a group whose neurons are not alike (they
        differ in how many layers make them), or one that a `Select` stands behind.
    PlanError
        For outputs, and for counts that are no whole numbers of at least 0.

    Notes
    -----
    Source: Chen, Goodfellow and Shlens 2016, *Net2Net*, for growth that preserves the function (there by splitting
    neurons); Evci et al. 2020, *Rigging the lottery*, section 3, for new connections that start at 0.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 3), mp.ReLU(), mp.Dense(3, 1))
    >>> grown = grow(net, {"dense1": 2})
    >>> grown.params["dense1.W"].shape, grown.params["dense2.W"][0, 3:]
    ((5, 2), array([0., 0.], dtype=float32))
    """
    counts = {name: count for name, count in _checked(net, counts).items() if count}
    shapes = _larger_shapes(net, counts)
    nodes, fresh = {}, {}
    generator = np.random.default_rng(rng)
    for name, node in net.nodes.items():
        layer = node.layer.resized({short: shapes[f"{name}.{short}"] for short in net.array_names[name]})
        nodes[name] = Node(layer, node.inputs)
        for short, start in layer.init(generator).items():
            old = net.arrays[f"{name}.{short}"]
            fresh[f"{name}.{short}"] = exact(start) if old.dtype == object else start.astype(old.dtype)
    grown = Graph.assemble(nodes, net.inputs, net.output, fresh, net.input_shapes)
    new = added(net, grown, counts)
    _settle_in(net, grown, new)
    masked = Graph.assemble(nodes, net.inputs, net.output, grown.arrays, net.input_shapes, _masks(net, grown, new))
    masked.history = net.history
    note(masked, "grow", digest(net), **counts)
    return masked


def added(net: Graph, grown: Graph, names: Iterable[str]) -> dict[str, list[int]]:
    """Group -> the neurons that `grow` added to it.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 3), mp.ReLU(), mp.Dense(3, 1))
    >>> added(net, grow(net, {"dense1": 2}), ["dense1"])
    {'dense1': [3, 4]}
    """
    return {name: list(range(net.neurons[name].size, grown.neurons[name].size)) for name in names}


def grown_state(state: OptimizerState, net: Graph, grown: Graph) -> OptimizerState:
    """The optimiser's memory for the larger network: that of the old entries, and zeros for the new ones.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 2), mp.ReLU(), mp.Dense(2, 1))
    >>> state = OptimizerState(1, {"dense1.b": {"m": np.array([7.0, 8.0])}})
    >>> grown_state(state, net, grow(net, {"dense1": 1})).slots["dense1.b"]["m"]
    array([7., 8., 0.])
    """
    places = _places_of_old(net, grown, added(net, grown, net.neurons))
    slots: dict[str, dict[str, Array]] = {}
    for param, arrays in state.slots.items():
        slots[param] = {name: np.zeros_like(array, shape=grown.params[param].shape) for name, array in arrays.items()}
        for name, array in arrays.items():
            slots[param][name][places[param]] = array
    return OptimizerState(state.step, slots)


def _checked(net: Graph, counts: Mapping[str, int]) -> dict[str, int]:
    """The counts, if the groups can be grown by them."""
    for name, count in counts.items():
        group = check_neuron(net, name, 0)
        if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 0:
            raise PlanError(f"{name}: {count!r} neurons were to be added, expected a whole number of at least 0")
        if group.stays:
            raise PlanError(f"{name}: {group.stays}; no neurons are added to it")
        if is_input(net, group):
            raise StructureError(f"{name}: input features are given, none can be added")
        if any(piece.array.endswith(".index") for piece in group.slices):
            raise StructureError(f"{name}: a Select stands behind it and would not let new neurons through")
        if any(
            len(set(np.bincount(piece.owner[piece.owner != NOBODY], minlength=group.size))) > 1
            for piece in group.slices
        ):
            raise StructureError(
                f"{name}: not all its neurons are made and read by the same layers; it cannot be grown"
            )
    return dict(counts)


def _larger_shapes(net: Graph, counts: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """The shape of every array with so many more neurons: each takes as much room as those that are there."""
    shapes = {name: list(array.shape) for name, array in net.arrays.items()}
    for name, count in counts.items():
        group = net.neurons[name]
        for piece in group.slices:
            shapes[piece.array][piece.axis] += count * int(np.count_nonzero(piece.owner == 0))
    return {name: tuple(shape) for name, shape in shapes.items()}


def _places_of_old(net: Graph, grown: Graph, new: Mapping[str, list[int]]) -> dict[str, Any]:
    """For every array the index, in the larger network's, of the entries that were there before."""
    stays = staying(grown, new)
    return {
        name: np.ix_(*(stays.get(name, {}).get(axis, np.arange(size)) for axis, size in enumerate(array.shape)))
        for name, array in net.arrays.items()
    }


def _settle_in(net: Graph, grown: Graph, new: Mapping[str, list[int]]) -> None:
    """Put the old entries in their places, and zeros where new neurons are read."""
    arrays = grown.arrays
    zero = exact(0).item() if net.dtype == object else 0
    for name, places in _places_of_old(net, grown, new).items():
        arrays[name][places] = net.arrays[name]
    for name, neurons in new.items():
        for piece in grown.neurons[name].consumed:
            np.moveaxis(arrays[piece.array], piece.axis, 0)[np.isin(piece.owner, neurons)] = zero


def _masks(net: Graph, grown: Graph, new: Mapping[str, list[int]]) -> dict[str, Array]:
    """The masks of the larger network: what was masked stays so, and new weights are kept."""
    places, masks = _places_of_old(net, grown, new), {}
    for name, kept in net.masks.items():
        masks[name] = np.ones(grown.params[name].shape, dtype=bool)
        masks[name][places[name]] = kept
    return masks
