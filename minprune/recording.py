"""Recording: one forward and backward pass, with everything that was computed kept and named.

`record` runs a network in evaluation mode on a tape and walks back. The result can be asked for gradients by
parameters, for what a group of neurons computed (z, a and their gradients), and for a single neuron.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import StructureError
from .layers import Gate
from .neurons import NOBODY, Ids, NeuronGroup, Read, check_neuron
from .nn import Graph, Node
from .ops import LOSSES, Array, exact
from .targets import choose_loss, prepare_targets
from .tensor import Gradients, Tape, Tensor, apply, backward

PASSING = {
    "maxpool",
    "avgpool",
    "globalavgpool",
    "flatten",
    "rearrange",
    "pad",
    "dropout",
    "identity",
    "gate",
    "select",
}


def with_gates(net: Graph, groups: Iterable[str] | None = None) -> tuple[Graph, dict[str, str]]:
    """Put a gate, open, wherever a layer reads neurons with weights of its own.

    A value that is also used otherwise (by a sum, say) is gated only on its way to these readers.

    Parameters
    ----------
    net : Graph
        Is not changed; the result shares its arrays.
    groups : names, optional
        Only where these are read; by default all.

    Returns
    -------
    gated : Graph
        The same network with `Gate` nodes.
    gates : dict
        Value read in `net` -> the gate behind it. A gate that was there already is used again.

    Examples
    --------
    >>> from minprune.nn import Sequential
    >>> from minprune.layers import Dense, ReLU
    >>> gated, gates = with_gates(Sequential(Dense(3, 5), ReLU(), Dense(5, 2)))
    >>> list(gated.nodes)
    ['input.gate', 'dense1', 'relu1', 'relu1.gate', 'dense2']
    """
    reads = [r for name, group in net.neurons.items() if groups is None or name in groups for r in group.reads]
    read: dict[str, tuple[str, ...]] = {r.value: r.readers for r in reads}
    channels = {r.value: len(r.owner) for r in reads}
    gates = {value: value if _is_gate(net, value, readers) else f"{value}.gate" for value, readers in read.items()}
    nodes: dict[str, Node] = {}
    arrays = dict(net.arrays)
    one = exact(1).item() if net.dtype == object else net.dtype.type(1)

    def gate_behind(value: str) -> None:
        if value in gates and gates[value] != value:
            nodes[gates[value]] = Node(Gate(channels[value]), (value,))
            arrays[f"{gates[value]}.m"] = np.full(channels[value], one)

    for name in net.inputs:
        gate_behind(name)
    for name, node in net.nodes.items():
        sources = tuple(gates[s] if name in read.get(s, ()) else s for s in node.inputs)
        nodes[name] = Node(node.layer, sources)
        gate_behind(name)
    return Graph.assemble(nodes, net.inputs, net.output, arrays, net.input_shapes, net.masks), gates


def _is_gate(net: Graph, value: str, readers: tuple[str, ...]) -> bool:
    """Whether a value comes out of a gate that stands before these readers and nothing else."""
    if value not in net.nodes or not isinstance(net.nodes[value].layer, Gate):
        return False
    others = [name for name, node in net.nodes.items() if value in node.inputs and name not in readers]
    return not others and value != net.output


@dataclass(frozen=True)
class Place:
    """What a group shows at one place where it is read: its activations there and their gradients."""

    read: Read
    a: Array  # (N, C, …)
    grad: Array  # (N, C, …), by the value on its way to the readers only


class GroupRecord:
    """What the neurons of one group computed.

    Attributes
    ----------
    z : array (N, n[, H, W])
        The producer's output, before any activation; of tied producers the first that makes all the neurons.
    a : array (N, n[, H, W])
        The value after the last activation, batch-norm or sum before a consumer; z where there is none.
    grad_z, grad_a : array
        The gradients of the per-sample losses by z and a, not divided by N.

    Where every neuron has m > 1 channels (behind a depthwise or a grouped convolution) these are (N, n, m[, H, W]).
    """

    def __init__(self, recording: Recording, group: NeuronGroup) -> None:
        self._recording = recording
        self.group = group

    def _entries(self, value: str, gradient: bool) -> Array:
        """The channels of a value that are the group's, sorted by neuron."""
        tensor = self._recording.tensors[value]
        entries = self._recording.gradients[tensor] if gradient else tensor.value
        owner = self._recording.owners(self.group, value)
        if np.array_equal(owner, np.arange(len(self))):
            return entries
        mine = np.flatnonzero(owner != NOBODY)
        mine = mine[np.argsort(owner[mine], kind="stable")]
        each = len(mine) // len(self)
        return entries[:, mine] if each == 1 else entries[:, mine.reshape(len(self), each)]

    @property
    def z(self) -> Array:
        """The producer's output."""
        return self._entries(self._recording.made_in(self.group), gradient=False)

    @property
    def grad_z(self) -> Array:
        """Gradients of the per-sample losses by z."""
        return self._entries(self._recording.made_in(self.group), gradient=True)

    @property
    def a(self) -> Array:
        """The activation."""
        return self._entries(self._recording.activation_of(self.group), gradient=False)

    @property
    def grad_a(self) -> Array:
        """Gradients of the per-sample losses by a."""
        return self._entries(self._recording.activation_of(self.group), gradient=True)

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place where the group is read, with the gradients of the per-sample losses there."""
        record = self._recording
        return tuple(
            Place(read, record.tensors[read.value].value, record.gradients[record.tensors[read.value]])
            for read in record.gated.neurons[self.group.name].reads
        )

    def __iter__(self) -> Iterator[NeuronRecord]:
        return (self[j] for j in range(len(self)))

    def __getitem__(self, j: int) -> NeuronRecord:
        check_neuron(self._recording.net, self.group.name, j)
        return NeuronRecord(self, j)

    def __len__(self) -> int:
        return self.group.size

    def __repr__(self) -> str:
        return f"<{self.group.name}: z {self.z.shape}, a {self.a.shape} and their gradients>"


class NeuronRecord:
    """One neuron: what it computed, its weights in and out, its bias.

    Attributes
    ----------
    z, a, grad_z, grad_a : array (N[, H, W])
        As for the group.
    w_in : array or None
        The weights it reads with: its row of the producer's W.
    b : float or None
        Its bias.
    w_out : array or None
        The weights it is read with: its columns of the first consumer's W.
    """

    def __init__(self, group: GroupRecord, j: int) -> None:
        self._group, self.j = group, j
        self.z, self.a = group.z[:, j], group.a[:, j]
        self.grad_z, self.grad_a = group.grad_z[:, j], group.grad_a[:, j]
        self.w_in = self._own(group.group.produced, ".W")
        self.b = self._own(group.group.produced, ".b")
        self.w_out = self._own(group.group.consumed, ".W")

    def _own(self, slices: tuple[Any, ...], ending: str) -> Any:
        for piece in slices:
            positions = piece.positions(self.j)
            if piece.array.endswith(ending) and len(positions):
                found = np.take(self._group._recording.net.params[piece.array], positions, axis=piece.axis)
                return np.squeeze(found, axis=piece.axis)[()] if len(positions) == 1 else found
        return None

    def __repr__(self) -> str:
        return f"<{self._group.group.name}[{self.j}]: a {self.a.shape}, w_in {np.shape(self.w_in)}>"


class Recording(Mapping[str, GroupRecord]):
    """A recorded pass: ``rec.loss``, ``rec.grads["dense1.W"]``, ``rec["dense1"].a``, ``rec["dense1"][0].w_in``.

    Attributes
    ----------
    losses : array (N,)
        The loss of every sample.
    loss : float
        Their mean.
    output : array
        The network's output.
    grads : dict
        Gradient of `loss` by every parameter.
    tape : Tape
        All that was computed, in order.
    tensors : dict
        Every value of the (gated) network by name, as tensors of the tape.
    """

    def __init__(self, net: Graph, x: Any, y: Any, loss: str | None) -> None:
        self.net = net
        self.gated, _ = with_gates(net)
        self.tape = Tape()
        inputs = {name: self.tape.watch(x) for name, x in net.take(x).items()}
        watched = {name: self.tape.watch(array) for name, array in net.params.items()}
        arrays = {**self.gated.arrays, **watched}
        self.tensors: dict[str, Tensor] = self.gated.run(inputs, arrays)
        self.output: Array = self.tensors[self.gated.output].value
        self.loss_name = choose_loss(y) if loss is None else loss
        targets = prepare_targets(y, self.output.shape, self.loss_name, net.dtype)
        losses = apply(LOSSES[self.loss_name], self.tensors[self.gated.output], targets)
        self.losses: Array = losses.value
        self.gradients: Gradients = backward(losses, np.ones_like(self.losses))
        self.grads = {name: self.gradients[t] / len(self.losses) for name, t in watched.items()}

    @property
    def loss(self) -> float:
        """The mean loss over the samples."""
        return float(self.losses.mean())

    def owners(self, group: NeuronGroup, value: str) -> Ids:
        """For every channel of a value the neuron of `group` it belongs to, or −1."""
        return self.gated.neurons[group.name].channels[value]

    def made_in(self, group: NeuronGroup) -> str:
        """The value in which a group is made: of tied producers the first that makes all its neurons."""
        makers = dict.fromkeys([group.source, *(piece.array.rpartition(".")[0] for piece in group.produced)])
        return self._first_with_all(group, makers)

    def activation_of(self, group: NeuronGroup) -> str:
        """The value that holds a group's activations: walk back from where it is read, past pooling and flattening."""
        reads = self.gated.neurons[group.name].reads
        held = self.gated.neurons[group.name].channels
        ends = [read.value for read in reads] or [self.gated.output if self.gated.output in held else [*held][-1]]
        return self._first_with_all(group, [self._before_passing(value, set(held)) for value in ends])

    def _before_passing(self, value: str, held: Set[str]) -> str:
        """Where a group's values come from; a group that an arrangement of inputs makes begins there."""
        while value in self.gated.nodes and self.gated.nodes[value].layer.kind in PASSING:
            (source,) = self.gated.nodes[value].inputs
            if source not in held:
                break
            value = source
        return value

    def _first_with_all(self, group: NeuronGroup, values: Iterable[str]) -> str:
        """The first of the values in which every neuron of the group has the same number of channels."""
        for value in values:
            owner = self.owners(group, value)
            counts = np.bincount(owner[owner != NOBODY], minlength=group.size)
            if (counts == counts[0]).all():
                return value
        raise StructureError(
            f"{group.name}: no one of {', '.join(values)} holds all its {group.size} neurons; look at places or tensors"
        )

    def __repr__(self) -> str:
        return f"<Recording: loss {self.loss:.6g} ({self.loss_name}), {len(self.losses)} samples; {', '.join(self)}>"

    def __getitem__(self, group: str) -> GroupRecord:
        check_neuron(self.net, group, 0)
        return GroupRecord(self, self.net.neurons[group])

    def __iter__(self) -> Iterator[str]:
        return iter(self.net.neurons)

    def __len__(self) -> int:
        return len(self.net.neurons)


def record(net: Graph, x: Any, y: Any, loss: str | None = None) -> Recording:
    r"""Run a network forward and backward in evaluation mode, and keep everything.

    $L = \frac{1}{N} \sum_n \ell_n$; gradients by parameters are of L, those by activations of the per-sample losses.

    Parameters
    ----------
    net : Graph
        Is not changed.
    x : array, or mapping of arrays for several inputs
        (N, …).
    y : array
        Targets: (N,) integers or (N, K).
    loss : {"half_squared_error", "mse", "cross_entropy"}, optional
        By default cross-entropy for integer y, else mse.

    Returns
    -------
    Recording
        What was computed, by group of neurons.

    Raises
    ------
    ShapeError, DtypeError, DataError
        When x or y do not fit the network or the loss.

    Notes
    -----
    Source: spec B1, B2 (document 4.1.1, 4.1.2).

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(1, 1), dtype=np.float64)
    >>> net.params["dense1.W"], net.params["dense1.b"] = [[2.0]], [1.0]
    >>> rec = record(net, [[3.0]], [[5.0]], loss="half_squared_error")
    >>> rec.loss, rec.grads["dense1.W"]
    (2.0, array([[6.]]))
    >>> rec["dense1"][0].z, rec["dense1"][0].grad_z
    (array([7.]), array([2.]))
    """
    return Recording(net, x, y, loss)
