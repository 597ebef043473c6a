"""Networks: small directed graphs of named nodes.

`Sequential` builds a chain, `Residual` and `Concat` build branches, `Graph` takes any wiring and several inputs; all of
them end as the same thing, a `Graph`. It holds an ordered mapping of nodes (a layer and the names of the values that it
reads) and the arrays, by name: ``"dense1.W"``. Every value has the name of its node, or of the input.

A network whose weights were pruned also holds masks: which weights of a parameter are kept. The others are 0, and
training leaves them at 0.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import Arrays
from .certificate import Certificate, Record
from .errors import DtypeError, ShapeError, StructureError
from .layers import Shape, Training
from .ops import Array, exact
from .shapes import deduce_input_shapes
from .wiring import Builder, Chain, Concat, Node, Residual, wire

if TYPE_CHECKING:
    from .neurons import NeuronGroup

__all__ = ["Arrays", "Concat", "Graph", "Node", "Residual", "Sequential"]


class Graph:
    """A network: named nodes, each with a layer and the values it reads.

    Parameters
    ----------
    nodes : mapping
        ``{name: (layer, *names of the values it reads)}``, in an order in which every value is there before it is
        read. A layer can also be a `Sequential`, `Residual` or other network: its nodes are numbered by kind.
    inputs : tuple of str
        The names of the inputs.
    output : str, optional
        The value that is the network's output; by default the last node's.
    rng : int or Generator
        Where the starting weights come from. The weights of networks that were given as parts are not taken over.
    dtype : numpy float dtype
        Of all arrays.
    input_shape : tuple or mapping, optional
        Shape of one sample, ``(features,)`` or ``(C, H, W)``; for several inputs a mapping by name. Where it is not
        given it is deduced from the layers: the smallest square image that fits.

    Raises
    ------
    StructureError
        When a node reads a value that is not there, or leads nowhere.
    ShapeError
        When layers do not fit together; the message names the layer, what it expected and what it got.

    Examples
    --------
    >>> from minprune.layers import Dense, ReLU
    >>> net = Graph({"h": (Dense(3, 5), "x"), "a": (ReLU(), "h"), "y": (Dense(5, 2), "a")}, inputs=("x",))
    >>> list(net.params)
    ['h.W', 'h.b', 'y.W', 'y.b']
    >>> net(np.zeros((4, 3))).shape
    (4, 2)
    """

    def __init__(
        self,
        nodes: Mapping[str, tuple[Any, ...]],
        inputs: str | tuple[str, ...] = ("x",),
        output: str | None = None,
        *,
        rng: int | np.random.Generator = 0,
        dtype: Any = np.float32,
        input_shape: Shape | Mapping[str, Shape] | None = None,
    ) -> None:
        inputs = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        wired, last = wire(nodes, inputs)
        self._settle(wired, inputs, last[output] if output in last else output or last[next(reversed(last))])
        self._declare(input_shape)
        self._hold(_drawn(self.nodes, rng, dtype))

    @classmethod
    def assemble(
        cls,
        nodes: Mapping[str, Node],
        inputs: tuple[str, ...],
        output: str,
        arrays: Mapping[str, Array],
        input_shapes: Mapping[str, Shape] | None = None,
        masks: Mapping[str, Array] | None = None,
    ) -> Graph:
        """Make a network from its parts, with the arrays themselves rather than copies of them."""
        net = Graph.__new__(Graph)
        net._settle(dict(nodes), inputs, output)
        net._declare(None if input_shapes is None else dict(input_shapes))
        net._hold(arrays)
        net._mask(masks or {})
        return net

    def _settle(self, nodes: dict[str, Node], inputs: tuple[str, ...], output: str) -> None:
        """Take over the wiring, after a look at it."""
        known = set(inputs)
        for name, node in nodes.items():
            if name in known:
                raise StructureError(f"{name}: two values bear this name")
            for source in node.inputs:
                if source not in known:
                    raise StructureError(f"{name} reads {source!r}, which is no input and no node before it")
            known.add(name)
        if output not in nodes:
            raise StructureError(f"output is {output!r}, expected one of the nodes: {', '.join(nodes) or 'none'}")
        read = {source for node in nodes.values() for source in node.inputs} | {output}
        idle = [name for name in (*inputs, *nodes) if name not in read]
        if idle:
            raise StructureError(f"{', '.join(idle)}: nothing reads it; take it out")
        self.nodes, self.inputs, self.output = nodes, inputs, output
        self._last_reader = {source: name for name, node in nodes.items() for source in node.inputs}

    def _declare(self, shape: Shape | Mapping[str, Shape] | None) -> None:
        """Take over or deduce the shape of one sample, and check that all layers fit."""
        self.input_shapes: dict[str, Shape] | None
        if shape is None:
            self.input_shapes = deduce_input_shapes(self)
        elif isinstance(shape, Mapping):
            self.input_shapes = {k: tuple(v) for k, v in self._by_input(shape, "input_shape").items()}
        elif len(self.inputs) == 1 and isinstance(shape, tuple | list):
            self.input_shapes = {self.inputs[0]: tuple(shape)}
        else:
            wanted = "(features,) or (C, H, W)" if len(self.inputs) == 1 else f"a mapping with {', '.join(self.inputs)}"
            raise ShapeError(f"input_shape: expected {wanted}, got {shape!r}")
        self._fitting: set[tuple[Shape, ...]] = set()
        if self.input_shapes is not None:
            self.value_shapes(self.input_shapes)

    def _by_input(self, given: Mapping[str, Any], what: str) -> dict[str, Any]:
        if set(given) != set(self.inputs):
            raise ShapeError(f"{what}: expected a mapping with {', '.join(self.inputs)}, got {', '.join(given)}")
        return {name: given[name] for name in self.inputs}

    def _hold(self, arrays: Mapping[str, Array]) -> None:
        """Take over the arrays; what they must be called and look like follows from the layers."""
        params: dict[str, Array] = {}
        buffers: dict[str, Array] = {}
        for name, node in self.nodes.items():
            for target, shapes in ((params, node.layer.param_shapes()), (buffers, node.layer.buffer_shapes())):
                for short, shape in shapes.items():
                    key = f"{name}.{short}"
                    if key not in arrays:
                        raise StructureError(f"{key}: the array is missing")
                    if arrays[key].shape != shape:
                        raise ShapeError(f"{key}: expected shape {shape}, got {arrays[key].shape}")
                    target[key] = arrays[key]
        self.params, self.buffers = Arrays(params), Arrays(buffers)
        self.masks = Arrays({})
        self.history: tuple[Record, ...] = ()  # of the masks, removals and repairs that made this network

    def _mask(self, masks: Mapping[str, Array]) -> None:
        """Take over which weights are kept: arrays of bool that cannot be written to."""
        frozen = {}
        for name, kept in masks.items():
            if name not in self.params:
                raise StructureError(f"no parameter is called {name!r}; there are {', '.join(self.params)}")
            if kept.shape != self.params[name].shape:
                raise ShapeError(f"the mask of {name}: expected shape {self.params[name].shape}, got {kept.shape}")
            if kept.dtype != np.bool_:
                raise DtypeError(f"the mask of {name}: expected bool (True: kept), got {kept.dtype}")
            frozen[name] = kept.view()
            frozen[name].flags.writeable = False
        self.masks = Arrays(frozen)

    def close_masks(self) -> None:
        """Set the weights that are not kept to 0, in place: what `fit` does after every step."""
        for name, kept in self.masks.items():
            np.copyto(self.params[name], 0, where=~kept)

    def build(self, builder: Builder, *sources: str) -> str:
        """Add this network's nodes to another one that is being built; its weights are not taken over."""
        if len(sources) != len(self.inputs):
            raise StructureError(f"a part with {len(self.inputs)} input(s) was given {len(sources)} value(s)")
        names = dict(zip(self.inputs, sources, strict=True))
        for name, node in self.nodes.items():
            names[name] = builder.add(node.layer, *(names[source] for source in node.inputs))
        return names[self.output]

    @cached_property
    def array_names(self) -> dict[str, list[str]]:
        """For every node the short names of its arrays: W, b, gamma …"""
        return {name: [*node.layer.param_shapes(), *node.layer.buffer_shapes()] for name, node in self.nodes.items()}

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters (float32 for a network without any)."""
        return next((value.dtype for value in self.params.values()), np.dtype(np.float32))

    @property
    def arrays(self) -> dict[str, Array]:
        """Parameters and buffers together."""
        return {**self.params, **self.buffers}

    @property
    def certificate(self) -> Certificate | None:
        """The proof of the last removal or mask, taken before any repair; None for a network that saw neither."""
        proofs = (record.certificate for record in reversed(self.history))
        return next((proof for proof in proofs if isinstance(proof, Certificate)), None)

    @cached_property
    def neurons(self) -> Mapping[str, NeuronGroup]:
        """The groups of neurons, by name: see `minprune.neurons`."""
        from .neurons import find_groups

        return find_groups(self)

    def value_shapes(self, input_shapes: Mapping[str, Shape]) -> dict[str, Shape]:
        """The shape of every value for one sample of the given input shapes.

        Raises
        ------
        ShapeError
            Where a layer does not fit; the message names it.
        """
        shapes = dict(input_shapes)
        for name, node in self.nodes.items():
            try:
                shapes[name] = node.layer.out_shape(*(shapes[source] for source in node.inputs))
            except ShapeError as error:
                raise ShapeError(f"{name}: {error}") from None
        return shapes

    def __call__(self, *xs: Any) -> Array:
        """Compute the output for a batch, in evaluation mode.

        Several threads may call one network at the same time, with any backend, and each gets the bytes that it would
        get alone: a call changes nothing in the network. Changing its arrays meanwhile (`fit` does) is another matter.

        Parameters
        ----------
        *xs : array
            One array (N, …) for each input in order, or one mapping by name.

        Returns
        -------
        array
            (N, …), in the network's dtype.

        Raises
        ------
        ShapeError, DtypeError
            When an input does not fit; the message names the layer.
        """
        values: dict[str, Any] = self.take(*xs)
        arrays = self.arrays
        for name, node in self.nodes.items():
            values[name] = self.compute_node(name, values, arrays)
            for source in node.inputs:
                if self._last_reader[source] == name:
                    values.pop(source, None)  # nobody needs it any more
        return values[self.output]

    def run(
        self,
        values: Mapping[str, Any],
        arrays: Mapping[str, Any],
        training: Training | None = None,
        without: Container[str] = (),
    ) -> dict[str, Any]:
        """Compute and return every value by name; where inputs or arrays are tensors, all goes on their tape.

        Nodes that somebody else has computed are left out; what others read of them must be among the values.
        """
        values = dict(values)
        for name in self.nodes:
            if name not in without:
                values[name] = self.compute_node(name, values, arrays, training)
        return values

    def compute_node(
        self, name: str, values: Mapping[str, Any], arrays: Mapping[str, Any], training: Training | None = None
    ) -> Any:
        """Compute the value of one node from the values that it reads; errors are told with the node's name."""
        node = self.nodes[name]
        own = {short: arrays[f"{name}.{short}"] for short in self.array_names[name]}
        try:
            return node.layer.forward(own, *(values[source] for source in node.inputs), training=training)
        except (DtypeError, ShapeError) as error:
            raise type(error)(f"{name}: {error}") from None

    def take(self, *xs: Any) -> dict[str, Array]:
        """Turn what a caller gives into one array per input, of the network's dtype, checked against the layers."""
        if len(xs) == 1 and isinstance(xs[0], Mapping):
            xs = tuple(self._by_input(xs[0], "the inputs").values())
        if len(xs) != len(self.inputs):
            raise ShapeError(f"the network has {len(self.inputs)} input(s) ({', '.join(self.inputs)}), got {len(xs)}")
        values = {name: _as_input(name, x, self.dtype) for name, x in zip(self.inputs, xs, strict=True)}
        sizes = {len(value) for value in values.values()}
        if len(sizes) > 1:
            raise ShapeError(f"the inputs have different numbers of samples: {sorted(sizes)}")
        shapes = tuple(value.shape[1:] for value in values.values())
        if shapes not in self._fitting:
            self.value_shapes(dict(zip(self.inputs, shapes, strict=True)))
            self._fitting.add(shapes)
        return values

    def copy(self) -> Graph:
        """A network of its own with the same weights."""
        copy = self.with_arrays({name: value.copy() for name, value in self.arrays.items()})
        copy.history = self.history
        return copy

    def with_arrays(self, arrays: Mapping[str, Array]) -> Graph:
        """The same wiring around other arrays of the same shapes."""
        return Graph.assemble(self.nodes, self.inputs, self.output, arrays, self.input_shapes, self.masks)

    def fresh(self, rng: int | np.random.Generator = 0) -> Graph:
        """A network of the same structure and sizes with starting weights: what it was before any training.

        Weights and batch-norm statistics are drawn as when a network is made, for the sizes that the layers have now.
        What learns nothing stays: which features are read, which gates are closed.

        Parameters
        ----------
        rng : int or Generator
            Where the starting weights come from; a network made with the same seed starts with the same.

        Raises
        ------
        DtypeError
            When it holds anything but float32 or float64.

        Examples
        --------
        >>> from minprune.layers import Dense
        >>> net = Sequential(Dense(3, 2), rng=0)
        >>> net.params["dense1.W"] = np.zeros((2, 3))
        >>> bool((net.fresh(1).params["dense1.W"] == Sequential(Dense(3, 2), rng=1).params["dense1.W"]).all())
        True
        """
        kept = {name: array.copy() for name, array in self.arrays.items()}
        learning = {name: node for name, node in self.nodes.items() if node.layer.param_shapes()}
        return self.with_arrays(kept | _drawn(learning, rng, self.dtype))

    def astype(self, dtype: Any) -> Graph:
        """A copy in another kind of number: a float or complex dtype, or `fractions.Fraction` for exact rationals.

        Raises
        ------
        DtypeError
            For any other kind.
        """
        if dtype is Fraction or dtype is object:
            arrays = {k: exact(v) if v.dtype.kind == "f" else v.copy() for k, v in self.arrays.items()}
        elif np.dtype(dtype).kind not in "fc":
            raise DtypeError(f"astype: expected a float or complex dtype or Fraction, got {dtype!r}")
        else:
            arrays = {k: v.copy() if v.dtype.kind in "iu" else v.astype(dtype) for k, v in self.arrays.items()}
        cast = self.with_arrays(arrays)
        cast.history = self.history
        if self.history and cast.dtype != self.dtype:
            from .provenance import digest, note

            note(cast, "cast", digest(self), dtype=cast.dtype.name)
        return cast

    def summary(self) -> str:
        """A table of the nodes: layer, output shape, parameters, multiply-accumulates; and the groups of neurons.

        Examples
        --------
        >>> from minprune.layers import Dense, ReLU
        >>> print(Sequential(Dense(3, 5), ReLU(), Dense(5, 2)).summary())
        node    layer                               output  parameters  MACs
        dense1  Dense(inputs=3, outputs=5)          (5,)            20    15
        relu1   ReLU()                              (5,)             0     0
        dense2  Dense(inputs=5, outputs=2)          (2,)            12    10
        total                                                       32    25
        neurons: input 3, dense1 5, dense2 2 (output)
        """
        from .reports import summary

        return summary(self)

    def __repr__(self) -> str:
        size = sum(array.size for array in self.params.values())
        gone = sum(int((~kept).sum()) for kept in self.masks.values())
        masked = f", {gone:,} of them masked" if self.masks else ""
        return f"<{type(self).__name__}: {len(self.nodes)} nodes, {size:,} parameters{masked}>"


class Sequential(Graph):
    """A chain of layers.

    Parameters
    ----------
    *layers : layer or network
        In the order in which they are applied.
    rng, dtype, input_shape
        As for `Graph`.

    Examples
    --------
    >>> from minprune.layers import Dense, ReLU
    >>> net = Sequential(Dense(3, 5), ReLU(), Dense(5, 2), rng=0)
    >>> list(net.nodes)
    ['dense1', 'relu1', 'dense2']
    """

    def __init__(
        self,
        *layers: Any,
        rng: int | np.random.Generator = 0,
        dtype: Any = np.float32,
        input_shape: Shape | None = None,
    ) -> None:
        if not layers:
            raise StructureError("Sequential: expected at least one layer")
        super().__init__({"chain": (Chain(layers), "input")}, ("input",), rng=rng, dtype=dtype, input_shape=input_shape)


def _drawn(nodes: Mapping[str, Node], rng: int | np.random.Generator, dtype: Any) -> dict[str, Array]:
    """The starting values of these nodes' arrays, drawn one node after the other."""
    if np.dtype(dtype).kind != "f":
        raise DtypeError(f"dtype: a network is made with float32 or float64, got {dtype!r}; use astype afterwards")
    generator = np.random.default_rng(rng)
    return {
        f"{name}.{array}": value.astype(dtype if value.dtype.kind == "f" else value.dtype)
        for name, node in nodes.items()
        for array, value in node.layer.init(generator).items()
    }


def _as_input(name: str, x: Any, dtype: np.dtype[Any]) -> Array:
    """An input as an array of the network's dtype; anything that is no array of numbers is refused."""
    x = np.asarray(x)
    if x.ndim < 2:
        raise ShapeError(f"{name}: expected a batch (N, …), got shape {x.shape}; for one sample write x[None]")
    if dtype.kind == "O":
        return x if x.dtype == object else exact(x)
    if x.dtype.kind not in "biuf" and x.dtype.kind != dtype.kind:
        raise DtypeError(f"{name}: expected real numbers that fit {dtype}, got {x.dtype}")
    return x.astype(dtype, copy=False)
