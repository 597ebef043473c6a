"""ONNX files: how small can a model become that nobody here wrote, and how does it compare with onnxsim?

    MINPRUNE_DATA=… MINPRUNE_MODELS=… python bench/onnx_files.py [--seeds 3]

A ReLU network 784-256-256-10, trained here (AdamW, 5 epochs, three seeds) and written as ONNX, and every model in
MINPRUNE_MODELS with "mnist" in its name. Of every prunable layer 25, 50 and 75 % of the neurons or filters leave. Ours:
criterion `obs` with least-squares repair on 5,000 training images without labels; then also one epoch on the 50,000
training images (Adam, 3e-4). onnxsim 0.8, where it is installed: structured pruning by L1 and L2 norms and by
activation norms (wanda, calibrated on 512 of the same images), the best of the three on 2,000 validation images. All
settings were fixed beforehand; the test part (10,000 images, in onnxruntime) is touched once for every number. The
speed-up is onnxruntime's, on one thread, at the file's own batch (1 if it is fixed, else 256), the original and the
smaller file in turn.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from side_by_side import keep, ratio, take_turns, where

import minprune as mp
from minprune.errors import MinpruneError
from minprune.models import mlp
from minprune.progress import bar
from minprune.reports import table

FRACTIONS = (0.25, 0.5, 0.75)


def session(path: Path) -> Any:
    """Onnxruntime on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def answers(path: Path, x: Any) -> Any:
    """The classes that a file answers with, in batches of the size that it takes."""
    run = session(path)
    (given,) = run.get_inputs()
    batch = given.shape[0] if isinstance(given.shape[0], int) else 256
    rank = len(given.shape)
    parts = []
    for start in range(0, len(x), batch):
        part = x[start : start + batch]
        part = part.reshape(len(part), *[s if isinstance(s, int) else -1 for s in given.shape[1:]][: rank - 1])
        parts.append(np.asarray(run.run(None, {given.name: part})[0]).reshape(len(part), -1).argmax(axis=1))
    return np.concatenate(parts)


def accuracy(path: Path, x: Any, y: Any) -> float:
    """Of a file, in onnxruntime."""
    return float((answers(path, x) == y).mean())


def faster(before: Path, after: Path, x: Any) -> float:
    """How many times as fast onnxruntime is with the smaller file."""
    calls = {}
    for name, path in (("before", before), ("after", after)):
        run = session(path)
        (given,) = run.get_inputs()
        batch = given.shape[0] if isinstance(given.shape[0], int) else 256
        part = x[:batch].reshape(batch, *[s if isinstance(s, int) else -1 for s in given.shape[1:]])
        calls[name] = lambda run=run, name=given.name, part=part: run.run(None, {name: part})
    return ratio(take_turns(calls, rounds=11), "before", "after")["median"]


def onnxsim_best(path: Path, fraction: float, folder: Path, images: Any, valid: Any) -> Path | None:
    """Onnxsim's best file for the fraction, by validation accuracy."""
    try:
        from onnxsim import pruning
    except ImportError:
        return None
    model = onnx.load(path)
    name = model.graph.input[0].name
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    batch = shape[0] or 64
    rows = images[: 512 // batch * batch].reshape(-1, batch, *shape[1:])
    feeds = [{name: np.ascontiguousarray(part)} for part in rows]
    found = []
    for way in ("l1", "l2", "wanda"):
        try:
            if way == "wanda":
                small = pruning.apply_structured_wanda_pruning(onnx.load(path), feeds, sparsity=fraction)
            else:
                small = pruning.apply_structured_pruning(onnx.load(path), fraction, importance_norm=way)
            target = folder / f"onnxsim-{way}-{fraction}.onnx"
            onnx.save(small, target)
            found.append((accuracy(target, *valid), way, target))
        except Exception as error:  # whatever the peer raises is its result
            print(f"  onnxsim, {path.name}, {way}: {type(error).__name__}: {str(error)[:90]}")
    return max(found)[2] if found else None


def shaped(net: mp.Graph, x: Any) -> Any:
    """Images as the network reads them."""
    (shape,) = (net.input_shapes or {}).values()
    return np.ascontiguousarray(x.reshape(len(x), *shape))


def scaled(path: Path, data: Any) -> Any:
    """Pixels as the model likes them best: 0 to 1, 0 to 255 or standardised, by 500 training images."""
    ways = {"0…1": lambda x: x, "0…255": lambda x: 255 * x, "standardised": lambda x: (x - 0.1307) / 0.3081}
    x, y = data.train.x[:500], data.train.y[:500]
    return max(ways.values(), key=lambda way: accuracy(path, way(x).astype(np.float32), y))


def measured(name: str, path: Path, data: Any, folder: Path) -> list[dict[str, Any]]:
    """All fractions of one file."""
    way = scaled(path, data)
    parts = {part: way(getattr(data, part).x).astype(np.float32) for part in ("train", "valid", "test")}
    net = mp.load(path)
    train = mp.data.Samples(shaped(net, parts["train"]), data.train.y)
    calibration = train.x[:5000]
    valid = (parts["valid"][:2000], data.valid.y[:2000])
    test = (parts["test"], data.test.y)
    rows = []
    for fraction in FRACTIONS:
        row: dict[str, Any] = {"file": name, "removed": fraction, "dense": accuracy(path, *test)}
        with mp.backend("numba"):
            scores = mp.score(net, calibration, "obs", loss="cross_entropy", progress=False)
            small = mp.remove(net, mp.decide(scores, mp.PerLayer(fraction)), "least_squares", calibration)
            mp.save(small, folder / "small.onnx")
            tuned = small.copy()
            mp.fit(tuned, train, optimizer=mp.Adam(3e-4), epochs=1, loss="cross_entropy", progress=False)
            mp.save(tuned, folder / "tuned.onnx")
        for kind in ("small", "tuned"):
            onnx.checker.check_model(onnx.load(folder / f"{kind}.onnx"))
            row[kind] = accuracy(folder / f"{kind}.onnx", *test)
        row["parameters"] = sum(a.size for a in small.params.values()) / sum(a.size for a in net.params.values())
        row["speed-up"] = faster(path, folder / "small.onnx", parts["test"])
        peer = onnxsim_best(path, fraction, folder, parts["train"], valid)
        row["onnxsim"] = None if peer is None else accuracy(peer, *test)
        rows.append(row)
    return rows


def main() -> None:
    """Measure, print a table, keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(where())
    data = mp.data.mnist(flat=True)
    models = sorted(Path(os.environ.get("MINPRUNE_MODELS", "")).glob("*mnist*.onnx"))
    rows = []
    with tempfile.TemporaryDirectory() as place, bar("files", options.seeds + len(models), show=True) as advance:
        folder = Path(place)
        for seed in range(options.seeds):
            net = mlp(784, (256, 256), 10, rng=seed)
            with mp.backend("numba"):
                mp.fit(net, data, optimizer=mp.AdamW(2e-3), batch_size=100, epochs=5, rng=seed, progress=False)
            mp.save(net, folder / "dense.onnx")
            rows += measured("784-256-256-10", folder / "dense.onnx", data, folder)
            advance()
        for path in models:
            try:
                rows += measured(path.stem, path, data, folder)
            except MinpruneError as error:
                print(f"{path.name}: {error}")
            advance()
    head = ("file", "removed", "dense", "ours", "and an epoch", "onnxsim", "parameters left", "onnxruntime faster")
    keys = ("dense", "small", "tuned", "onnxsim", "parameters", "speed-up")
    lines = []
    for name, fraction in dict.fromkeys((row["file"], row["removed"]) for row in rows):
        same = [row for row in rows if (row["file"], row["removed"]) == (name, fraction)]
        lines.append((name, f"{fraction:.0%}", *(_mean([row[key] for row in same]) for key in keys)))
    print(table(head, lines))
    print(f"kept in {keep('onnx_files', rows)}")


def _mean(values: list[Any]) -> str:
    """Mean and range."""
    if any(value is None for value in values):
        return "none"
    text = f"{np.mean(values):.3f}"
    return text if len(values) == 1 else f"{text} ({min(values):.3f}–{max(values):.3f})"


if __name__ == "__main__":
    main()
