"""Weights from elsewhere into a network that is declared here: PyTorch's ``state_dict``, by order and shape.

PyTorch's linear and convolutional layers keep their weights as ours do, (outputs, inputs) and (outputs, inputs /
groups, kH, kW); batch-norm calls γ and β weight and bias. Only the names differ, and they do not say which layer is
which. So the k-th layer here that has arrays of certain names and shapes takes the k-th there that has the same; where
this is not what is meant, a mapping says so. Nothing is reshaped, transposed or left over in silence.

A ``.safetensors`` file does not keep the order: its writers sort by name. Its modules are taken by the numbers in their
names, layer2 before layer10; where two of one shape differ in more than numbers, only a mapping can tell.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Arrays
from ..datasets import npzfile
from ..errors import DataError, DtypeError, FileError, StructureError, one_line
from ..layers import BatchNorm, Layer, Shape
from ..nn import Graph
from ..ops import Array
from . import safetensors_file

Source = str | os.PathLike[str] | Mapping[str, Any]
SORTED = ".safetensors"  # does not keep the order of its arrays
READERS: dict[str, Callable[[Path], dict[str, Array]]] = {
    SORTED: lambda path: dict(sorted(safetensors_file.read(path)[0].items(), key=_by_numbers)),
    ".npz": npzfile.read,
}
IGNORED = "num_batches_tracked"  # a count that nothing computes with
WEIGHTED = {"W": "weight", "b": "bias"}  # our short name -> PyTorch's
NORMALISED = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}
MOST_TOLD = 12  # misfits in one message


def load_weights(net: Graph, source: Source, mapping: Mapping[str, str] | None = None) -> Graph:
    """Put weights that were trained elsewhere into a declared network.

    Parameters
    ----------
    net : Graph
        Says the architecture; is not changed. Weights that its masks do not keep stay 0.
    source : path or mapping
        A ``.safetensors`` or ``.npz`` file, or names to arrays or tensors: ``module.state_dict()``.
    mapping : mapping, optional
        ``{ours: theirs}`` for what order and shape would get wrong: layers, ``{"dense1": "head.fc"}``, or single
        arrays, ``{"dense1.W": "head.kernel"}``. The others go by order; see `weight_mapping`.

    Returns
    -------
    Graph
        With the weights and running statistics, in the dtype of `net`; its history begins anew.

    Raises
    ------
    StructureError
        When anything is missing, left over, or of another shape: one message tells all that fits and all that does not.
    DtypeError, DataError
        For what are no real, finite numbers, or too large for the network's dtype.
    FileError
        When the file cannot be read.

    Notes
    -----
    The way back needs no function: ``{theirs: torch.from_numpy(small.arrays[ours]) for ours, theirs in
    mp.weight_mapping(net, source).items()}`` is the ``state_dict`` of a module that is declared with the smaller sizes.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(3, 2), mp.ReLU(), mp.Dense(2, 1))
    >>> state = {"0.weight": np.ones((2, 3)), "0.bias": np.zeros(2), "2.weight": np.ones((1, 2)), "2.bias": np.ones(1)}
    >>> load_weights(net, state)(np.ones((1, 3)))
    array([[7.]], dtype=float32)
    """
    arrays = _arrays(source)
    taken = _matched(net, arrays, _keeps_order(source), mapping)
    loaded = net.with_arrays({name: array.copy() for name, array in net.arrays.items()})
    for ours, theirs in taken.items():
        _put(loaded.params if ours in loaded.params else loaded.buffers, ours, theirs, arrays[theirs])
    loaded.close_masks()
    return loaded


def weight_mapping(net: Graph, source: Source, mapping: Mapping[str, str] | None = None) -> dict[str, str]:
    """Which array of `source` every array of `net` would take: ``{ours: theirs}``; as for `load_weights`.

    Examples
    --------
    >>> import minprune as mp
    >>> state = {"fc.weight": np.zeros((2, 3)), "fc.bias": np.zeros(2)}
    >>> weight_mapping(mp.Sequential(mp.Dense(3, 2)), state)
    {'dense1.W': 'fc.weight', 'dense1.b': 'fc.bias'}
    """
    return _matched(net, _arrays(source), _keeps_order(source), mapping)


def _arrays(source: Source) -> dict[str, Array]:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.suffix.lower() not in READERS:
            raise FileError(f"{path}: weights are read from {' and '.join(READERS)}; torch.load what is pickled")
        return READERS[path.suffix.lower()](path)
    if not isinstance(source, Mapping):
        raise DataError(f"expected a path, or arrays by name as module.state_dict() gives, got {type(source).__name__}")
    try:
        return {str(name): np.asarray(value) for name, value in source.items()}
    except (TypeError, ValueError, RuntimeError) as error:  # a tensor on a device, with a gradient, of bfloat16
        line = " ".join(str(error).split())
        raise DtypeError(f"the weights must be arrays or plain CPU tensors (.detach().cpu().float()): {line}") from None


def _put(target: Arrays, ours: str, theirs: str, array: Array) -> None:
    if array.dtype.kind not in "biuf":
        raise DtypeError(f"{theirs}: expected real numbers, got {array.dtype}")
    with np.errstate(over="ignore"):  # told below
        target[ours] = array
    if target[ours].dtype.kind == "f" and not np.isfinite(target[ours]).all():
        raise DataError(f"{theirs}: holds a number that is not finite, or too large for {target[ours].dtype}")


def _matched(
    net: Graph, arrays: Mapping[str, Array], in_order: bool, mapping: Mapping[str, str] | None
) -> dict[str, str]:
    """Our array -> theirs, in our order; all misfits together in one error."""
    found, problems = _by_hand(net, arrays, mapping or {})
    wanted = {name: _wanted(name, node.layer) for name, node in net.nodes.items() if node.layer.param_shapes()}
    open_layers = {name: roles for name, roles in wanted.items() if not any(f"{name}.{s}" in found for s in roles)}
    free = _modules(name for name in arrays if name not in found.values())
    taken, unclear = _by_order(open_layers, free, arrays, in_order)
    for name, roles in open_layers.items():
        if name in taken:
            found |= {f"{name}.{short}": free[taken[name]][role] for short, (role, _) in roles.items()}
    left = {prefix: roles for prefix, roles in free.items() if prefix not in taken.values()}
    problems += unclear
    near = dict(left)
    problems += [_missing(name, open_layers[name], near, arrays) for name in open_layers if name not in taken]
    half = [f"{n}.{s}" for n, roles in wanted.items() if n not in open_layers for s in roles if f"{n}.{s}" not in found]
    problems += [f"{name} is not in the mapping, other arrays of its layer are" for name in half]
    spare = [name for roles in left.values() for role, name in roles.items() if role != IGNORED]
    problems += [f"nothing here takes {name} {arrays[name].shape}" for name in spare]
    if problems:
        raise StructureError(_told(problems, found))
    return {name: found[name] for name in net.arrays if name in found}


def _told(problems: list[str], found: Mapping[str, str]) -> str:
    fits = ", ".join(f"{ours} ← {theirs[:80]}" for ours, theirs in list(found.items())[:MOST_TOLD]) or "nothing"
    more = f" and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
    told = "; ".join(one_line(problem) for problem in problems[:MOST_TOLD]) + (
        f"; and {len(problems) - MOST_TOLD} more" * (len(problems) > MOST_TOLD)
    )
    return f"the weights do not fit the network: {told}. What fits: {fits}{more}"


def _wanted(name: str, layer: Layer) -> dict[str, tuple[str, Shape]]:
    """Our short name -> what PyTorch calls it, and its shape."""
    roles = NORMALISED if isinstance(layer, BatchNorm) else WEIGHTED
    shapes = layer.param_shapes() | layer.buffer_shapes()
    return {short: (roles[short], shape) for short, shape in shapes.items()}


def _modules(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Their names by module and role: layer1.0.conv1.weight is the weight of layer1.0.conv1."""
    modules: dict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        prefix, _, role = name.rpartition(".")
        modules[prefix][role] = name
    return dict(modules)


def _by_order(
    layers: Mapping[str, dict[str, tuple[str, Shape]]],
    modules: Mapping[str, dict[str, str]],
    arrays: Mapping[str, Array],
    in_order: bool,
) -> tuple[dict[str, str], list[str]]:
    """Our layer -> their module: the k-th with certain names and shapes takes the k-th with the same; what is open."""
    queues: dict[Any, list[str]] = defaultdict(list)
    for prefix, roles in modules.items():
        queues[frozenset((role, arrays[name].shape) for role, name in roles.items() if role != IGNORED)].append(prefix)
    taken, unclear = {}, {}
    for name, wanted in layers.items():
        kind = frozenset(wanted.values())
        if not in_order and len({re.sub(r"\d+", "", prefix) for prefix in queues[kind]}) > 1:
            unclear[kind] = (
                f"{', '.join(queues[kind])} are of one shape, and the file does not keep their order: map them"
            )
        if queues[kind]:
            taken[name] = queues[kind].pop(0)
    return taken, list(unclear.values())


def _keeps_order(source: Source) -> bool:
    return isinstance(source, Mapping) or Path(source).suffix.lower() != SORTED


def _by_numbers(item: tuple[str, Array]) -> list[str | int]:
    """Sort layer2 before layer10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", item[0])]


def _by_hand(net: Graph, arrays: Mapping[str, Array], mapping: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What the caller's mapping says, array by array, and what is wrong with it."""
    found: dict[str, str] = {}
    problems: list[str] = []
    for ours, theirs in mapping.items():
        pairs = {ours: theirs}
        if ours in net.nodes:
            roles = _wanted(ours, net.nodes[ours].layer) if net.nodes[ours].layer.param_shapes() else {}
            pairs = {f"{ours}.{short}": f"{theirs}.{role}" for short, (role, _) in roles.items()}
        for name, other in pairs.items():
            problem = _misfit(net, arrays, name, other)
            found, problems = (found, [*problems, problem]) if problem else (found | {name: other}, problems)
    return found, problems


def _misfit(net: Graph, arrays: Mapping[str, Array], ours: str, theirs: str) -> str | None:
    if ours not in net.arrays:
        return f"the mapping names {ours}, which is no layer with weights and no array here"
    if theirs not in arrays:
        return f"the mapping takes {ours} from {theirs}, which is not there"
    want, got = net.arrays[ours].shape, arrays[theirs].shape
    return None if want == got else f"{ours} {want} ← {theirs} {got}: {_difference(want, got)}"


def _missing(
    name: str, wanted: Mapping[str, tuple[str, Shape]], near: dict[str, dict[str, str]], arrays: Mapping[str, Array]
) -> str:
    """Why a layer has nothing to take: held against the first module left of its kind, which `near` then loses."""
    need = dict(wanted.values())
    text = f"{name} needs {', '.join(f'{role} {shape}' for role, shape in need.items())}"
    for prefix, roles in near.items():
        have = {role: arrays[full].shape for role, full in roles.items() if role != IGNORED}
        if "weight" in have and ("running_mean" in have) == ("running_mean" in need):
            del near[prefix]
            return f"{text}; the next left over has {', '.join(_differences(need, have, prefix))}"
    return f"{text}; no such module is left"


def _differences(need: Mapping[str, Shape], have: Mapping[str, Shape], prefix: str) -> list[str]:
    dot = f"{prefix}." if prefix else ""
    misfits = [role for role, shape in need.items() if have.get(role, shape) != shape]
    return [
        *(f"{dot}{role} {have[role]} ({_difference(need[role], have[role])})" for role in misfits),
        *(f"no {dot}{role}" for role in need if role not in have),
        *(f"{dot}{role} {shape}, for which there is no place" for role, shape in have.items() if role not in need),
    ]


def _difference(want: Shape, got: Shape) -> str:
    if want == got[::-1]:
        return "transposed?"
    return "the same number of entries, reshaped?" if np.prod(want) == np.prod(got) else "another size"
