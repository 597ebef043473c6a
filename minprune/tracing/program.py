"""The op program: all that is needed to compute a network's losses again, without this library.

It is read from the tape of a pass in which every neuron has a gate (see `minprune.recording.with_gates`), all open, so
that whoever replays it can close some and look at the loss.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..nn import Graph
from ..ops import Array
from ..recording import with_gates
from .walk import Walk

LARGEST = 100_000  # entries of all arrays: a larger network has no program, its trace would not be read by anybody


def program(net: Graph, x: Any, y: Any, loss: str) -> dict[str, Any] | None:
    """The program of a network with gates on these samples; None for one that is too large."""
    gated, gates = with_gates(net)
    if sum(array.size for array in gated.arrays.values()) > LARGEST:
        return None
    walk = Walk.through(gated, x, y, loss)
    lines = list(enumerate(walk.tape.records))
    return {
        "arrays": {walk.names[line]: as_array(record.value) for line, record in lines if record.call is None},
        "ops": [_op(walk, line) for line, record in lines if record.call is not None],
        "gates": {
            name: [{"array": f"{gates[read.value]}.m", "owner": read.owner.tolist()} for read in group.reads]
            for name, group in net.neurons.items()
        },
        "values": {name: walk.names[tensor.index] for name, tensor in walk.values.items()},
        "output": walk.names[walk.values[gated.output].index],
        "losses": walk.names[walk.losses.index],
        "loss": walk.names[walk.loss.index],
    }


def _op(walk: Walk, line: int) -> dict[str, Any]:
    record = walk.record(line)
    call = record.call
    assert call is not None
    sources = {arg: walk.names[record.sources[arg]] if arg in record.sources else None for arg in call.op.args}
    options = {name: _option(getattr(call, name)) for name in call.op.options}
    return {
        "op": call.op.name,
        "inputs": sources,
        "options": options,
        "output": walk.names[line],
        "node": walk.nodes[line],
        "shape": list(call.out.shape),
    }


def _option(value: Any) -> Any:
    return [int(entry) for entry in value] if isinstance(value, tuple) else value


def as_array(value: Array) -> dict[str, Any]:
    """An array in row order: ``{"shape": [2, 3], "data": [six numbers]}``.

    Examples
    --------
    >>> as_array(np.eye(2))
    {'shape': [2, 2], 'data': [1.0, 0.0, 0.0, 1.0]}
    """
    return {"shape": list(value.shape), "data": np.asarray(value).ravel().tolist()}
