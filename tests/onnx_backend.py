"""The onnx package's own node tests, run on networks: what passes, what is refused and why, what is wrong."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

import minprune as mp
from minprune.errors import MinpruneError
from minprune.formats.onnx_files.opaque.allowed import ALLOWED
from minprune.formats.onnx_files.rules import RULES

# Casts are taken over only where they cast to what a value is.
OPS = set(RULES) - {"Cast"}
KEPT = set(ALLOWED) - OPS  # what is kept as it is
FLOATS = (np.float16, np.float32, np.float64)


def cases(ops: set[str]) -> Iterator[tuple[str, str, Any, list[Any], list[Any]]]:
    """Name, op, model, inputs and outputs of every node test of one node with one of these ops, on floats."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of the package's examples overflow
        from onnx.backend.test.loader import load_model_tests

        found = load_model_tests(kind="node")
    for case in found:
        model = case.model if case.model is not None else onnx.load(Path(case.model_dir) / "model.onnx")
        node = model.graph.node[0]
        if len(model.graph.node) > 1 or node.op_type not in ops or node.domain not in ("", "ai.onnx"):
            continue
        inputs, outputs = case.data_sets[0] if case.data_sets is not None else _stored(Path(case.model_dir))
        if inputs and isinstance(inputs[0], np.ndarray) and inputs[0].dtype in FLOATS:
            yield case.name, node.op_type, model, inputs, outputs


def _stored(folder: Path) -> tuple[list[Any], list[Any]]:
    found: tuple[list[Any], list[Any]] = ([], [])
    for kind, values in zip(("input", "output"), found, strict=True):
        for place in range(len(list(folder.glob(f"test_data_set_0/{kind}_*.pb")))):
            tensor = onnx.TensorProto()
            try:
                tensor.ParseFromString((folder / f"test_data_set_0/{kind}_{place}.pb").read_bytes())
                values.append(numpy_helper.to_array(tensor))
            except Exception:  # sequences and optionals are no tensors
                return [], []
    return found


def judged(op: str, model: Any, inputs: list[Any], outputs: list[Any], folder: Path) -> tuple[str, str]:
    """("passed" | "refused" | "wrong", why): all inputs computed, else those behind the first as constants."""
    why = ""
    for frozen in (False, True):
        names = [value.name for value in model.graph.input]
        given = dict(zip(names, inputs, strict=True))
        constant = names[1:] if frozen else [n for n in names if np.asarray(given[n]).dtype.kind != "f"]
        try:
            found = _run(model, given, constant, folder)
        except MinpruneError as error:
            why = str(error).split(".onnx: ", 1)[-1]
            continue
        same = all(_equal(y, outputs) for y in found)
        return ("passed", "") if same else ("wrong", f"{[y.shape for y in found]}")
    return "refused", why


def _run(model: Any, given: dict[str, Any], constant: list[str], folder: Path) -> list[Any]:
    """The output of the network, and of the one that is written and read again.

    Where the file has no batch axis, its inputs are one sample.
    """
    frozen = onnx.ModelProto()
    frozen.CopyFrom(model)
    for name in constant:
        frozen.graph.initializer.append(numpy_helper.from_array(np.asarray(given[name]), name))
    (folder / "case.onnx").write_bytes(frozen.SerializeToString())
    net = mp.load(folder / "case.onnx")
    mp.save(net, folder / "again.onnx")
    again = mp.load(folder / "again.onnx")
    return [it(*(_samples(given[name], it.input_shapes[name]) for name in it.inputs)) for it in (net, again)]


def _samples(x: Any, shape: tuple[int, ...]) -> Any:
    return x[None] if x.shape == shape else x


def _equal(y: Any, outputs: list[Any]) -> bool:
    """Whether they are what was wanted: several of them stand flattened, one behind the other."""
    if len(outputs) == 1:
        (wanted,) = outputs
        one = len(y) == 1 and y.shape[1:] in (wanted.shape, wanted.shape or (1,))
        same = y.shape in (wanted.shape, (*wanted.shape, 1)) or one  # a number a sample has an axis
        return same and bool(np.allclose(y.reshape(wanted.shape), wanted, rtol=1e-3, atol=1e-5, equal_nan=True))
    wanted = np.concatenate([o.reshape(len(y), -1) for o in outputs], axis=1)
    return y.shape == wanted.shape and bool(np.allclose(y, wanted, rtol=1e-3, atol=1e-5))


def survey(folder: Path, ops: set[str] = OPS) -> tuple[Counter[str], dict[str, list[str]]]:
    """How many passed, were refused and are wrong; and the reasons of those that did not pass."""
    counts: Counter[str] = Counter()
    reasons = defaultdict(list)
    for name, op, model, inputs, outputs in cases(ops):
        verdict, why = judged(op, model, inputs, outputs, folder)
        counts[verdict] += 1
        if verdict != "passed":
            reasons[op].append(f"{name}: {verdict}: {why}")
    return counts, dict(reasons)
