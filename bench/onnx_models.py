"""What is left of ONNX files when a quarter to three quarters of their neurons go, here and by onnxsim?

    MINPRUNE_DATA=… MINPRUNE_MODELS=… python bench/onnx_models.py [--seeds 3] [--only mlp burn …] [--json onnx.json]

MNIST. `mlp` is 784-256-256-10 with ReLU, trained here (12 epochs of AdamW(1e-3), batch 128, cosine), one for each seed;
`mlp-decay` is the same by SGD(.1, momentum .9, weight decay 5e-4), which makes the norms of weights say more; the
others are the digit readers among the files of MINPRUNE_MODELS, with pixels as each has the lowest loss on validation
images. Of every prunable layer the same share of neurons goes; both tools get the same file, the same share and the
same training images, 20,000 for networks trained here, else 5,000 (onnxsim has no use for their labels, and gets 500
where a file takes one at a time).

minprune: neurons leave by `curvature`, by `obs` (networks trained here), or by `leave_one_out` (files of less than
10,000 weights), in rounds of a sixteenth of a layer (networks trained here), an eighth, or in one shot (others),
repaired by least squares or the optimal brain surgeon; the largest file in one shot by `curvature` and least squares.
Then, or not, one epoch of AdamW on the 50,000, cosine, for every seed. onnxsim 0.8: structured pruning by norm (l1,
l2), and by norm times activation ("wanda"), each with and without its closed-form refit, which is left out where a
layer reads 18,432 numbers (burn: one refit takes 14 minutes). For each tool, file and share the setting is chosen on
validation images, the learning rate with the first seed; then the test images are looked at once, through onnxruntime.
A file that could not be made smaller, or does not run, has no number. Times are onnxruntime's, one thread, for our
file: the median of 31 pairs dense, pruned, in turn, on 256 images (one where the file takes no more) and on one.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import mean, median
from tempfile import mkdtemp
from time import perf_counter
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import minprune as mp
from minprune.errors import FileError
from minprune.models import mlp
from minprune.reports import table

FRACTIONS = (0.25, 0.5, 0.75)
WIDEST = 10_000  # inputs of a layer: its refit solves for them in a quarter of an hour, eight times a share
CHECKED = 2_000  # validation images where a file takes one at a time
TRAINED = {"mlp": mp.AdamW(1e-3), "mlp-decay": mp.SGD(0.1, momentum=0.9, weight_decay=5e-4)}
LR = {True: (1e-3, 3e-4), False: (3e-3, 1e-3)}  # of networks trained here, and of others
Found = defaultdict[tuple[str, ...], list[float]]


class Reader:
    """A file, its network, and MNIST as it reads it."""

    def __init__(self, name: str, path: Path, data: Any) -> None:
        self.name, self.path, self.net = name, path, mp.load(path)
        (self.shape,) = (self.net.input_shapes or {}).values()
        self.data = data
        views = {"0..1": (1.0, 0.0), "0..255": (255.0, 0.0), "standardised": (1 / 0.3081, -0.1307 / 0.3081)}
        images, labels = data.valid.x[:CHECKED], data.valid.y[:CHECKED]

        def loss(view: str) -> float:
            return mp.evaluate(self.net, (self.seen(images, views[view]), labels), runtime=()).loss

        self.scale = views["0..1" if name in TRAINED else min(views, key=loss)]
        self.samples = 20_000 if name in TRAINED else 5_000

    def seen(self, x: Any, scale: tuple[float, float] | None = None) -> Any:
        """Images as the file wants them."""
        factor, offset = scale or self.scale
        return (factor * x + offset).reshape(len(x), *self.shape).astype(np.float32)

    def part(self, name: str, count: int | None = None) -> tuple[Any, Any]:
        """Some images of a part, and their labels."""
        samples = getattr(self.data, name)
        return self.seen(samples.x[:count]), samples.y[:count]


def session(path: Path) -> Any:
    """An onnxruntime session with one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def batches(running: Any, x: Any) -> Iterator[dict[str, Any]]:
    """The images in batches of 1,000, or one by one where the file wants that."""
    (declared,) = running.get_inputs()
    size = declared.shape[0] if isinstance(declared.shape[0], int) else 1000
    for start in range(0, len(x), size):
        yield {declared.name: x[start : start + size]}


def accuracy(path: Path, x: Any, y: Any) -> float:
    """The share of images that onnxruntime reads right."""
    running = session(path)
    guesses = [
        running.run(None, batch)[0].reshape(len(next(iter(batch.values()))), -1) for batch in batches(running, x)
    ]
    return float((np.concatenate(guesses).argmax(axis=1) == y).mean())


def faster(dense: Path, pruned: Path, x: Any) -> float:
    """How many times as fast: medians of pairs, on one batch."""
    runs = [session(path) for path in (dense, pruned)]
    batch = next(batches(runs[0], x))
    calls = max(1, round(0.004 / _seconds(runs[0], batch, 3)))
    pairs = [[_seconds(running, batch, calls) for running in runs] for _ in range(31)]
    return median(first / second for first, second in pairs)


def _seconds(running: Any, batch: dict[str, Any], calls: int) -> float:
    started = perf_counter()
    for _ in range(calls):
        running.run(None, batch)
    return (perf_counter() - started) / calls


def ours(reader: Reader, fraction: float, seed: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every setting that is tried here: its name, and how the smaller network comes about."""
    x, y = reader.part("train", reader.samples)
    size, images = _size(reader.net), any(value.ndim == 4 for value in reader.net.params.values())
    repairs: dict[str, Any] = {"least_squares": mp.LeastSquares(samples=reader.samples)}
    if size < 300_000:
        settings = {"samples": reader.samples, "progress": False}
        repairs["obs"] = mp.OptimalBrainSurgeon("cross_entropy", **settings)

    def one_shot(criterion: str, repair: str) -> Any:
        scores = mp.score(reader.net, (x, y), criterion, rng=seed, progress=False, batch_size=256)
        return mp.remove(reader.net, mp.decide(scores, mp.PerLayer(fraction)), repair=repairs[repair], data=x)

    def rounds(criterion: str, repair: str) -> Any:
        count = round((8 if images else 16) * fraction)
        settings = {"strategy": mp.PerLayer(fraction), "rounds": count, "repair": repairs[repair], "rng": seed}
        return mp.prune(reader.net, (x, y), criterion, progress=False, **settings).net

    criteria = (
        ("curvature", "leave_one_out") if size < 10_000 else ("curvature", "obs") if size < 300_000 else ("curvature",)
    )
    for criterion in criteria:
        for repair in repairs:
            if not 10_000 < size < 300_000:
                yield f"{criterion}, {repair}, one shot", partial(one_shot, criterion, repair)
            if size < 300_000:
                yield f"{criterion}, {repair}, rounds", partial(rounds, criterion, repair)


def theirs(reader: Reader, fraction: float) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every setting of onnxsim that is tried: its name, and how the smaller file comes about."""
    import onnx
    import onnxsim

    model = onnx.load(reader.path)
    name = model.graph.input[0].name if len(model.graph.input) == 1 else reader.net.inputs[0]
    fixed = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    images, _ = reader.part("train", 500 if fixed == 1 else reader.samples)
    calibration = [{name: images[n : n + (fixed or 500)]} for n in range(0, len(images), fixed or 500)]
    widest = max((array.shape[1] for array in reader.net.params.values() if array.ndim == 2), default=0)
    refits = (False, True) if widest < WIDEST else (False,)
    for norm in ("l1", "l2"):
        for way in ("norm", "wanda"):
            for refit in refits:

                def make(norm: Any = norm, way: str = way, refit: bool = refit) -> Any:
                    if way == "norm":
                        small = onnxsim.apply_structured_pruning(model, fraction, norm)
                    else:
                        small = onnxsim.apply_structured_wanda_pruning(
                            model, calibration, sparsity=fraction, importance_norm=norm
                        )
                    return onnxsim.apply_pruning_finetune(model, small, calibration) if refit else small

                yield f"{way}, {norm}{', refit' * refit}", make


def measured(reader: Reader, settings: Iterator[tuple[str, Callable[[], Any]]], folder: Path) -> tuple[str, Any, Path]:
    """The setting with the most validation images read right, what it made, and its file."""
    count = None if reader.name in TRAINED else CHECKED
    best: tuple[float, str, Any, Path] | None = None
    for name, make in settings:
        path = folder / f"{abs(hash((reader.name, name)))}.onnx"
        try:
            made = make()
            if hasattr(made, "SerializeToString"):
                path.write_bytes(made.SerializeToString())
                if path.stat().st_size > 0.98 * reader.path.stat().st_size:
                    raise ValueError("it is no smaller")
            else:
                mp.save(made, path)
            right = accuracy(path, *reader.part("valid", count))
        except Exception as error:  # whatever another tool or a file that it wrote does
            print(f"  {reader.name}: {name}: {type(error).__name__}: {' '.join(str(error).split())[:160]}", flush=True)
            continue
        if best is None or right > best[0]:
            best = right, name, made, path
    if best is None:
        raise LookupError("no smaller file that runs")
    return best[1], best[2], best[3]


def tuned(reader: Reader, small: Any, seed: int, rates: tuple[float, ...], folder: Path) -> tuple[float, Path]:
    """After one epoch, by the learning rate with the most validation images read right."""
    found = []
    for rate in rates:
        net = small.copy()
        how = {"optimizer": mp.AdamW(rate), "schedule": mp.Cosine(), "epochs": 1, "batch_size": 128, "rng": seed}
        mp.fit(net, reader.part("train"), "cross_entropy", keep="last", progress=False, **how)
        mp.save(net, path := folder / f"tuned-{rate}.onnx")
        found.append((accuracy(path, *reader.part("valid", CHECKED)) if len(rates) > 1 else 0.0, rate, path))
    return max(found, key=lambda entry: entry[0])[1:]


def without_training(
    reader: Reader, seed: int, share: float, folder: Path, found: Found, chosen: dict[str, Any]
) -> Any:
    """Both tools on one file and share; returns our smaller network."""
    label, (x, y) = f"{share:.0%}", reader.part("test")
    small = None
    for tool, settings in (("minprune", ours(reader, share, seed)), ("onnxsim", theirs(reader, share))):
        try:
            name, made, path = measured(reader, settings, folder)
        except LookupError:
            continue
        small = made if tool == "minprune" else small
        chosen[f"{reader.name} {label} {tool} {seed}"] = name
        found[reader.name, tool, label].append(accuracy(path, x, y))
        found[reader.name, f"{tool} kept", label].append(_stored(path) / _stored(reader.path))
        if tool == "minprune":
            for batch in (256, 1):
                found[reader.name, f"faster at {batch}", label].append(faster(reader.path, path, x[:batch]))
    return small


def study(reader: Reader, seeds: list[int], folder: Path, found: Found, chosen: dict[str, Any]) -> None:
    """Everything for one file; the seeds are those of the epoch after pruning."""
    test = reader.part("test")
    found[reader.name, "dense", ""].append(accuracy(reader.path, *test))
    for share in FRACTIONS:
        small = without_training(reader, seeds[0], share, folder, found, chosen)
        rates = LR[reader.name in TRAINED]
        for seed in seeds:
            rate, path = tuned(reader, small, seed, rates, folder)
            rates = (rate,)
            found[reader.name, "minprune + 1 epoch", f"{share:.0%}"].append(accuracy(path, *test))
        chosen[f"{reader.name} {share:.0%} learning rate {seeds[0]}"] = rates[0]


def _stored(path: Path) -> int:
    """How many numbers a file stores: weights, and what is folded into them."""
    import onnx

    model = onnx.load(path)
    inside = [entry.t for node in model.graph.node for entry in node.attribute if entry.HasField("t")]
    return sum(int(np.prod(tensor.dims)) for tensor in (*model.graph.initializer, *inside))


def _size(net: Any) -> int:
    return sum(array.size for array in net.params.values())


def readers(data: Any, seeds: int, only: list[str], folder: Path) -> Iterator[tuple[Reader, list[int]]]:
    """The networks trained here, one for each seed, then the files that others wrote, with all seeds."""
    for name, optimizer in TRAINED.items():
        for seed in range(seeds) if not only or name in only else ():
            net = mlp(784, (256, 256), 10, rng=seed)
            flat = data.train.x.reshape(len(data.train.x), -1), data.train.y
            how = {"optimizer": optimizer, "schedule": mp.Cosine(), "epochs": 12, "batch_size": 128, "rng": seed}
            mp.fit(net, flat, keep="last", progress=False, **how)
            mp.save(net, path := folder / f"{name}-{seed}.onnx")
            yield Reader(name, path, data), [seed]
    for path in sorted(Path(os.environ.get("MINPRUNE_MODELS", "nowhere")).glob("*mnist*.onnx")):
        name = path.stem.split("_")[0]
        if not only or name in only:
            yield Reader(name, path, data), list(range(seeds))


def spread(values: list[float], digits: int = 4) -> str:
    """Their mean, and range where there are several."""
    if not values:
        return "–"
    several = f" ({min(values):.{digits}f}–{max(values):.{digits}f})" if max(values) > min(values) else ""
    return f"{mean(values):.{digits}f}{several}"


def show(found: Found) -> None:
    """Print the table."""
    after = ("minprune kept", "onnxsim kept", "faster at 256", "faster at 1")
    ways = ("minprune", "minprune + 1 epoch", "onnxsim", *after)
    rows = []
    for name in dict.fromkeys(key[0] for key in found):
        rows.append((name, "dense", "", spread(found[name, "dense", ""]), *[""] * 6))
        for share in (f"{fraction:.0%}" for fraction in FRACTIONS):
            digits = [4, 4, 4, 3, 3, 2, 2]
            values = (spread(found[name, way, share], n) for way, n in zip(ways, digits, strict=True))
            rows.append((name, share, *values))
    print(table(("file", "removed", *ways), rows))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    try:
        data = mp.data.mnist(flat=False)
    except FileError as reason:
        print(f"this measurement needs MNIST: {reason}")
        return
    folder = Path(mkdtemp())
    found: Found = defaultdict(list)
    chosen: dict[str, Any] = {}
    if options.json and options.json.exists():  # what was measured before, of other files
        known = json.loads(options.json.read_text())
        found.update({tuple(key.split(" | ")): values for key, values in known["values"].items()})
        chosen |= known["chosen"]
    for reader, seeds in readers(data, options.seeds, options.only, folder):
        started = perf_counter()
        study(reader, seeds, folder, found, chosen)
        print(f"{reader.name}, seeds {seeds}: {perf_counter() - started:.0f} s", flush=True)
        if options.json:
            values = {" | ".join(key): measured for key, measured in found.items()}
            options.json.write_text(json.dumps({"values": values, "chosen": chosen}, indent=1) + "\n")
    show(found)


if __name__ == "__main__":
    main()
