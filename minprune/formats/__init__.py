"""Files that hold networks. The suffix of the path says which format."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ..arguments import check_network
from ..certificate import Certificate, Record
from ..errors import FileError
from ..nn import Graph
from . import npz, onnx_files, safetensors_net

# Suffix -> the module that has `write(net, path, metadata)` and `read(path) -> (net, metadata)`.
FORMATS: dict[str, ModuleType] = {".npz": npz, ".safetensors": safetensors_net, ".onnx": onnx_files}

__all__ = ["FORMATS", "load", "save"]


def save(net: Graph, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a network to a file; if anything interrupts the writing, the file keeps what it held.

    Parameters
    ----------
    net : Graph
        In float16, float32 or float64. Numbers that are not finite are stored as they are.
    path : str or path
        Its suffix chooses the format: ``.npz``, ``.safetensors``, or ``.onnx`` with the extra ``minprune[onnx]`` (see
        `minprune.formats.onnx_files.write` for what an ONNX file keeps). The folder must exist.
    metadata : mapping, optional
        What JSON can hold, to be kept with the network (a tuple comes back as a list); the format's `read` returns it.
        The history of a pruned network, with its certificates, is kept without being asked for.

    Raises
    ------
    FileError
        For another suffix, or a file that cannot be written.
    DtypeError
        For complex numbers or rationals: ``net.astype(np.float64)`` can be saved.
    StructureError
        For layers that are not minprune's own, or what is no network.
    DataError
        For metadata that JSON cannot hold.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from minprune.layers import Dense
    >>> from minprune.nn import Sequential
    >>> save(Sequential(Dense(3, 2)), path := Path(mkdtemp()) / "net.npz")
    >>> load(path)
    <Graph: 1 nodes, 8 parameters>
    """
    check_network(net, "save")
    _format_of(path).write(net, path, metadata)


def load(path: str | os.PathLike[str]) -> Graph:
    """Read a network that `save` wrote, or an ONNX file of anybody's. Nothing in the file is trusted.

    From .npz it computes the same outputs, bit for bit; from .onnx what the file says, up to rounding.

    Parameters
    ----------
    path : str or path
        Its suffix says the format: ``.npz``, ``.safetensors``, or ``.onnx`` with the extra ``minprune[onnx]``.

    Returns
    -------
    Graph

    Raises
    ------
    FileError
        For another suffix, or a file that is missing, damaged, of another kind or version, or inconsistent.
    """
    net: Graph
    net, metadata = _format_of(path).read(path)
    if not net.history and "certificate" in metadata:
        net.history = (_lone_certificate(path, metadata["certificate"]),)
    return net


def _lone_certificate(path: str | os.PathLike[str], stored: Any) -> Record:
    """The removal of which a file from before there were histories tells nothing but the certificate."""
    try:
        found = Certificate(**stored)
        proof = Certificate(float(found.max_difference), float(found.bound), bool(found.ok), str(found.inputs))
        return Record("remove", "", "", certificate=proof)
    except (TypeError, ValueError) as error:
        raise FileError(f"{path}: its certificate is damaged ({error})") from None


def _format_of(path: str | os.PathLike[str]) -> ModuleType:
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise FileError(f"{path}: no format for the suffix {suffix!r}; expected {', '.join(FORMATS)}")
    return FORMATS[suffix]
