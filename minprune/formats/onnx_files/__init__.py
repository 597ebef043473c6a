"""ONNX files in and out: the onnx package parses and checks them, the networks in them are ours.

`reading` parses a file and distrusts it, `folding` computes what depends on constants and shapes alone, `translating`
turns one node after the other into layers by the rules in `rules`, `header` says what is remembered for the way back,
`writing` goes it. Nothing here imports onnx before a file is read or written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...certificate import Record
from ...errors import DataError, FileError, MinpruneError, one_line
from ...files import atomic_write
from ...nn import Graph
from ...provenance import arrays_digest, digest
from ..histories import as_entries, from_entries

HISTORY, METADATA, CERTIFICATE = "minprune.history", "minprune.metadata", "minprune.certificate"
ARRAYS = "minprune.arrays"  # their digest
MOST_TOLD = 600  # characters of a refusal: names in a file can be long


def read(path: str | os.PathLike[str]) -> tuple[Graph, dict[str, Any]]:
    """Read a network from an .onnx file, whoever wrote it.

    What no layer can do is kept as it is, where it can be executed and treats every sample by itself: it stays in the
    file, and all that it reads stays whole. See `minprune.formats.onnx_files.opaque`.

    The network's history begins with a record of the import; what `write` needs to give the file's own names back is
    in it. A file with several outputs becomes a network with one: all of them, flattened, one behind the other.

    Parameters
    ----------
    path : str or path
        Tensors that the file keeps outside of it must lie in its folder.

    Returns
    -------
    net : Graph
        With the names of the file's values as names of nodes.
    metadata : dict
        What `write` was given.

    Raises
    ------
    FileError
        For a file that is missing, damaged or inconsistent, for a node that can be neither taken over nor kept (by its
        name and op), and where the package onnx is missing. Limits: 2 GiB for the file and for a tensor, 10,000 nodes,
        names of 1,000 characters.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> import minprune as mp
    >>> write(mp.Sequential(mp.Dense(3, 2)), path := Path(mkdtemp()) / "net.onnx", {"classes": ["cat", "dog"]})
    >>> read(path)
    (<Graph: 1 nodes, 8 parameters>, {'classes': ['cat', 'dog']})
    """
    from .header import Header
    from .reading import parse
    from .translating import translate

    try:
        model = parse(Path(path))
        with np.errstate(all="ignore"):  # arrays with numbers that are not finite are refused by name
            net, header = translate(model)
        kept = {entry.key: entry.value for entry in model.metadata_props}
        past = from_entries(_json(kept.get(HISTORY, "[]"), HISTORY))
        metadata = _json(kept.get(METADATA, "{}"), METADATA)
        if not isinstance(metadata, dict):
            raise FileError(f"{METADATA}: expected a dict, got {type(metadata).__name__}")
    except MinpruneError as error:
        raise FileError(f"{path}: {one_line(error, MOST_TOLD)}") from None
    now = digest(net)
    # A network can be wired a little differently when it comes back; it is the one that was written if its arrays are.
    before = past[-1].after if past and kept.get(ARRAYS) == arrays_digest(net) else now
    how = {"file": Path(path).name, "opset": header.opset, Header.KEY: header.as_dict()}
    net.history = (*past, Record("import", before, now, how=how))
    return net, metadata


def write(net: Graph, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a network to an .onnx file, whole or not at all.

    A network that came from an ONNX file keeps its opset and IR version, the names, types and shapes of its inputs and
    outputs (free axes stay free), the names of nodes, values and initializers that are still there, documentation and
    metadata. Node forms are not kept: a MatMul with its Add becomes one Gemm, folded constants stay folded. Other
    networks are written in opset 20, with a free batch axis. History, certificate and metadata go into the file's
    metadata; masks of single weights do not (the weights are 0).

    Raises
    ------
    FileError
        When it cannot be written, or the checks of the onnx package fail.
    StructureError
        For a layer that has no counterpart in the file's opset, and a network whose input shape is not known.
    DtypeError
        For complex numbers and rationals.
    DataError
        For metadata that JSON cannot hold.
    """
    from .writing import to_model

    try:
        extra = {HISTORY: json.dumps(as_entries(net.history)), METADATA: json.dumps(dict(metadata or {}))}
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"metadata: expected what JSON can hold (numbers, texts, lists, dicts): {error}") from None
    extra[ARRAYS] = arrays_digest(net)
    if net.certificate is not None:
        extra[CERTIFICATE] = str(net.certificate)
    content = to_model(net, extra)
    try:
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from None


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{what} is not JSON: {error}") from None
