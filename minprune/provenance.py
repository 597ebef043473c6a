"""Which network, which samples: digests that tell whether anything was changed, and the records that hold them.

A digest finds what went wrong or was swapped by accident. It is no signature: who writes a file can write its records.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from .certificate import Record
from .layers import Layer
from .nn import Graph
from .ops import Array


def digest(net: Graph) -> str:
    """SHA-256 of a network's wiring, layers, arrays and masks: equal for equal networks, before and after saving.

    Examples
    --------
    >>> from minprune.layers import Dense
    >>> from minprune.nn import Sequential
    >>> net = Sequential(Dense(3, 2), rng=0)
    >>> digest(net) == digest(net.copy()), digest(net) == digest(Sequential(Dense(3, 2), rng=1))
    (True, False)
    """
    layers = [(name, *_settings(node.layer), node.inputs) for name, node in net.nodes.items()]
    wiring = json.dumps([net.inputs, net.input_shapes, net.output, layers], default=_plain)
    return _hashed(wiring, net.arrays | {f"mask of {name}": kept for name, kept in net.masks.items()})


def _settings(layer: Layer) -> tuple[str, dict[str, Any]]:
    return type(layer).__name__, {field.name: getattr(layer, field.name) for field in fields(layer)}


def arrays_digest(net: Graph) -> str:
    """SHA-256 of a network's arrays alone, whatever the order of its nodes."""
    return _hashed("arrays", dict(sorted(net.arrays.items())))


def samples_digest(x: Any) -> str:
    """SHA-256 of samples: of an array, or of a mapping of arrays for several inputs."""
    return _hashed("samples", x if isinstance(x, Mapping) else {"x": x})


def _plain(value: Any) -> Any:
    """A setting as JSON has it: NumPy's numbers as numbers, anything of a stranger's layer as text."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else repr(value)


def _hashed(text: str, arrays: Mapping[str, Array]) -> str:
    total = hashlib.sha256(text.encode())
    for name, array in arrays.items():
        array = np.asarray(array)
        total.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        if array.dtype == object:  # rationals
            total.update(json.dumps([str(value) for value in array.ravel()]).encode())
        else:
            total.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data)
    return total.hexdigest()


def note(net: Graph, action: str, before: str, **how: Any) -> None:
    """Add to a network's history that its weights were changed, so that the history stays without a gap.

    For a network without a history nothing is noted: there is nothing to be continued.

    Parameters
    ----------
    net : Graph
        As it is now.
    action : str
        What was done: "train".
    before : str
        The network's digest before.
    **how
        Settings; what JSON can hold.
    """
    if net.history:
        net.history = (*net.history, Record(action, before, digest(net), how=how))
