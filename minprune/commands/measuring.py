"""What a pruned network is worth beside its original: right answers, sizes, and time, here and in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..comparison import compare
from ..datasets.samples import count, rows
from ..errors import MinpruneError
from ..formats import load
from ..nn import Graph
from ..ops import Array
from ..reports import duration, table
from ..timing import Race, Ratio, ratio_of
from .calibrating import Calibration, outputs_of

SECONDS, PAIRS = 0.1, 31  # of timing for each batch size
BATCHES = (1, 64)
CLOSE = 1e-4  # relative: what onnxruntime and our own runtime may differ by
MOST_JUDGED = 2048  # samples whose answers are compared one by one


def measured(original: Graph, small: Graph, data: Calibration, files: Mapping[str, str], seed: int) -> dict[str, Any]:
    """Compare two networks on the part of the data to judge by.

    Parameters
    ----------
    original, small : Graph
    data : Calibration
    files : mapping
        "original" and "pruned" -> the files that they are in.
    seed : int
        Draws which of a timed pair goes first.

    Returns
    -------
    dict
        For JSON: ``before``, ``after`` (evaluations), ``agreement``, ``bytes_file``, ``speed_up`` here by batch size,
        and ``onnxruntime`` (speed-ups, or why there are none).
    """
    nets = {"original": original, "pruned": small}
    found = compare(nets, data.judged, data.loss, BATCHES, PAIRS, SECONDS, rng=seed, progress=True)
    x = rows(data.judged.x, slice(MOST_JUDGED))
    return {
        "before": found.evaluations["original"].as_dict(),
        "after": found.evaluations["pruned"].as_dict(),
        "agreement": _agreement(outputs_of(original, x), outputs_of(small, x)),
        "bytes_file": {name: Path(path).stat().st_size for name, path in files.items() if Path(path).is_file()},
        "speed_up": {str(batch): asdict(ratio) for batch, ratio in found.ratio["pruned"].items()},
        "onnxruntime": _in_onnxruntime(nets, x, seed),
    }


def _agreement(before: Array, after: Array) -> dict[str, float]:
    """How far the answers are from the original's: the same largest output, and the relative distance."""
    distance = float(np.linalg.norm(after - before) / (np.linalg.norm(before) or 1.0))
    if before.ndim == 2 and before.shape[1] > 1:
        return {"same_class": float((before.argmax(1) == after.argmax(1)).mean()), "distance": distance}
    return {"distance": distance}


def _in_onnxruntime(nets: Mapping[str, Graph], x: Any, seed: int) -> dict[str, Any]:
    """The same race between two sessions of one thread; why there is none, where there cannot be."""
    missing = [package for package in ("onnx", "onnxruntime") if find_spec(package) is None]
    if missing:
        return {"missing": f"{missing[0]} is not installed"}
    from ..formats.onnx_files.writing import to_model

    try:
        models = {name: to_model(net, {}) for name, net in nets.items()}
    except MinpruneError as error:
        return {"missing": f"no ONNX counterpart: {error}"}
    try:
        calls = {name: _session(model, nets[name], x) for name, model in models.items()}
        race = Race.prepare(calls["original"], calls["pruned"], PAIRS, SECONDS)
    except Exception as error:  # what the runtime raises has no common class of its own
        return {"missing": f"onnxruntime refuses it: {' '.join(str(error).split())[:200]}"}
    first, second = race.run(PAIRS, SECONDS, np.random.default_rng(seed), lambda: None)
    times = {"original": float(np.median(first)), "pruned": float(np.median(second))}
    ratio = ratio_of(first, second, race.calls)
    return {"speed_up": {"1": asdict(ratio)}, "seconds": times}


def _session(model: bytes, net: Graph, x: Any) -> Callable[[], Any]:
    """A call of the network in onnxruntime on one sample."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    batch = net.take(rows(x, np.arange(1) % count(x)))
    feed = {name: np.ascontiguousarray(value) for name, value in batch.items()}
    return lambda: session.run(None, feed)


def checked(path: str, small: Graph, x: Any) -> dict[str, Any]:
    """Read what was written, and compare its answers with the network's in memory.

    Raises
    ------
    MinpruneError
        When they differ: by a bit from a native file, by more than rounding from an ONNX file.
    """
    head = rows(x, slice(64))
    ours, theirs = outputs_of(small, head), outputs_of(load(path), head)
    exact = Path(path).suffix.lower() != ".onnx"
    largest = float(np.abs(ours - theirs).max(initial=0.0))
    scale = float(np.abs(ours).max(initial=0.0))
    if ours.shape != theirs.shape or not (np.array_equal(ours, theirs) if exact else largest <= CLOSE * (scale or 1.0)):
        raise MinpruneError(
            f"{path}: read again it computes something else (off by {largest:.3g}); do not use it, and please report it"
        )
    return {"samples": count(head), "largest_difference": largest, "exact": exact}


def comparison_table(found: Mapping[str, Any], quality: str) -> str:
    """Before and after, as a table; `quality` is what accuracy, or R², is called."""
    before, after, files = found["before"], found["after"], found["bytes_file"]
    lines: list[tuple[str, ...]] = [
        row for row in (_quality_row(name, before, after) for name in ("accuracy", "r2", "rmse", "loss")) if row
    ]
    lines = [(quality if row[0] in ("accuracy", "r2") else row[0], *row[1:]) for row in lines]
    if quality == "accuracy":
        lines.append(("same answer as the original", "1", f"{found['agreement']['same_class']:.4f}", ""))
    sizes = (("parameters", "params"), ("MACs per sample", "macs"), ("bytes in memory", "bytes_memory"))
    lines += [(name, f"{before[key]:,}", f"{after[key]:,}", _part(after[key], before[key])) for name, key in sizes]
    if len(files) == 2:
        first, second = files["original"], files["pruned"]
        lines.append(("bytes of the file", f"{first:,}", f"{second:,}", _part(second, first)))
    for batch, ratio in found["speed_up"].items():
        times = [duration(run["runtime"][batch]["median"]) for run in (before, after)]
        lines.append((f"time here, batch of {batch}", *times, _faster(ratio)))
    runtime = found["onnxruntime"]
    if "speed_up" in runtime:
        times = [duration(runtime["seconds"][name]) for name in ("original", "pruned")]
        lines.append(("time in onnxruntime, batch of 1", *times, _faster(runtime["speed_up"]["1"])))
    else:
        lines.append(("time in onnxruntime", "", "", runtime["missing"]))
    return table(("", "original", "pruned", ""), lines)


def _quality_row(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, str, str, str] | None:
    if before[name] is None or after[name] is None:
        return None
    change = after[name] - before[name]
    return name, f"{before[name]:.4f}", f"{after[name]:.4f}", f"{change:+.4f}"


def _part(after: float, before: float) -> str:
    return f"{after / before:.1%}" if before else ""


def _faster(ratio: Mapping[str, Any]) -> str:
    found = Ratio(**ratio)
    return f"{found.median:.3g} times as fast ({found.low:.3g}–{found.high:.3g})"
