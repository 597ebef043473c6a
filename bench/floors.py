"""Are the speeds reached that this project set itself?

    MINPRUNE_DATA=… python bench/floors.py [--processes 3] [--quick] [--json DIR]

Before the kernels were written, prototypes showed what could be had; from that came a floor and an aim for every kind
of work, each a ratio to what people would use instead. All are measured here together, in several fresh processes, in
each of which the peers take turns with one thread; a figure is the median over the processes. Some lines are of shapes
that nothing was tuned on. How each is measured is said in the file that asks for it alone: `programs`, `sparse`,
`conv`, `steps`, `taylor`, `threads`, `startup` and `memory`. A convolution is measured as it runs within a network: its
images lie in tiles already, as PyTorch's lie with the channels last.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from side_by_side import MISSING, THREADS, TOLD, Row, keep, ratio, start, take_turns

from minprune.progress import bar
from minprune.reports import table

FLOAT = np.dtype(np.float32)
MLP, LENET, OTHER = "784-300-100-10", "LeNet-5", "617-131-26"
LARGE, SMALL = "20 → 50, 5 × 5 on 12", "6 → 16, 5 × 5 on 14"  # layers of bench/conv.py
Found = dict[str, float]


@dataclass(frozen=True)
class Goal:
    """What was asked for; the figure is at least the floor, or with `most` at most."""

    what: str
    floor: float
    aim: float
    most: bool = False

    def reached(self, figure: float) -> str:
        """How far a figure is."""
        sign = -1 if self.most else 1
        if sign * figure >= sign * self.aim:
            return "aim"
        return "floor" if sign * figure >= sign * self.floor else f"missed, by {abs(figure / self.floor - 1):.0%}"


GOALS = (
    Goal(f"{MLP}, batch 1, onnxruntime", 1.2, 1.4),
    Goal(f"{MLP}, batch 1, PyTorch", 3, 3),
    Goal(f"{MLP}, batch 32, onnxruntime", 1, 1.1),
    Goal(f"{MLP}, batch 32, PyTorch", 1.4, 1.4),
    Goal(f"{MLP}, batch 256, onnxruntime", 1, 1.07),
    Goal(f"{MLP}, batch 256, PyTorch", 1.2, 1.2),
    Goal(f"{MLP}, batch 4096, onnxruntime", 1.15, 1.3),
    Goal(f"{MLP}, batch 4096, PyTorch", 1.7, 1.7),
    Goal(f"{OTHER}, batch 1, onnxruntime", 1.2, 1.4),
    Goal(f"{OTHER}, batch 256, onnxruntime", 1, 1.07),
    Goal(f"{OTHER}, batch 4096, onnxruntime", 1.15, 1.3),
    Goal(f"half of {MLP}, batch 1, of its MACs", 0.65, 1),
    Goal(f"half of {MLP}, batch 256, of its MACs", 0.8, 1),
    Goal(f"half of {OTHER}, batch 256, of its MACs", 0.8, 1),
    Goal(f"{LENET}, batch 1, onnxruntime", 1, 1),
    Goal(f"{LENET}, batch 256, onnxruntime", 1.8, 2.2),
    Goal(f"{LENET}, batch 256, PyTorch", 1.8, 2.2),
    Goal("CSR 300 × 784, 90 %, batch 64, scipy", 3.5, 3.5),
    Goal("CSR 300 × 784, 90 %, batch 64, PyTorch", 3, 3),
    Goal("CSR 300 × 784, 90 %, batch 64, dense", 5.5, 9),
    Goal("CSR 300 × 784, 90 %, batch 256, scipy", 3.5, 3.5),
    Goal("CSR 300 × 784, 90 %, batch 256, PyTorch", 3, 3),
    Goal("CSR 300 × 784, 90 %, batch 256, dense", 5.5, 9),
    Goal("CSR 131 × 617, 90 %, batch 64, dense", 5.5, 9),
    Goal("CSR 300 × 784, 50 %, batch 64, dense", 1.4, 1.4),
    Goal("CSR 300 × 784, 25 %, batch 64, dense", 1, 1),
    Goal("CSR 300 × 784, 90 %, batch 1, scipy", 1.5, 2.5),
    Goal("16×1 300 × 784, 90 %, batch 64, dense", 8, 13),
    Goal("16×1 300 × 784, 90 %, batch 256, dense", 8, 13),
    Goal("16×1 131 × 617, 90 %, batch 64, dense", 8, 13),
    Goal(f"{LARGE}, batch 256, PyTorch", 1.4, 1.6),
    Goal(f"{LARGE}, gradients, batch 128, PyTorch", 2, 2.5),
    Goal(f"{SMALL}, batch 256, PyTorch", 1.4, 1.6),
    Goal(f"{SMALL}, gradients, batch 128, PyTorch", 2, 2.5),
    Goal(f"step of Adam, {LENET}, batch 128, PyTorch", 1.6, 2.1),
    Goal(f"step of Adam, {MLP}, batch 128, PyTorch", 1.35, 1.7),
    Goal("Taylor, MLP, PyTorch by activations alone", 1.45, 1.8),
    Goal("Taylor, MLP, PyTorch by hooks", 2.6, 2.6),
    Goal("Taylor, LeNet-5, PyTorch by activations alone", 1.45, 1.8),
    Goal("Taylor, LeNet-5, PyTorch by hooks", 2.6, 2.6),
    Goal(f"two threads, {MLP}, batch 4096", 1.7, 1.9),
    Goal("two threads, LeNet-5, batch 1024", 1.7, 1.9),
    Goal("import minprune, s", 0.15, 0.1, most=True),
    Goal("minprune --help, s", 0.15, 0.1, most=True),
    Goal("first step of LeNet-5, kernels compiled before, s", 1, 0.5, most=True),
    Goal("first step of LeNet-5, empty cache, s", 6, 3, most=True),
    Goal("peak memory of the demo, MB", 400, 250, most=True),
    Goal("peak memory of LeNet-5's training, of PyTorch's", 0.8, 0.6, most=True),
    Goal("peak memory of scoring all images, of that of 10,000", 1.05, 1, most=True),
)


def networks(rounds: int) -> Found:
    """Forward passes of programs."""
    from programs import measured

    found: Found = {}
    for name, batches in ((MLP, (1, 32, 256, 4096)), (OTHER, (1, 256, 4096)), (LENET, (1, 256))):
        for batch in batches:
            row = measured(name, batch, rounds)
            found |= {f"{name}, batch {batch}, {peer}": r["median"] for peer, r in row["ratios"].items()}
            found[f"half of {name}, batch {batch}, of its MACs"] = row["pruned"]["median"] / row["pruned"]["macs"]
    return found


def sparse(rounds: int) -> Found:
    """Layers of which weights are gone."""
    from sparse import measured

    found: Found = {}
    plan = [((300, 784), batch, 0.9, rows) for batch in (64, 256) for rows in (1, 16)]
    plan += [((131, 617), 64, 0.9, rows) for rows in (1, 16)]
    plan += [((300, 784), 64, zeros, 1) for zeros in (0.25, 0.5)] + [((300, 784), 1, 0.9, 1)]
    for shape, batch, zeros, rows in plan:
        row = measured(shape, batch, zeros, rows, rounds)
        name = f"{row['format']} {row['layer']}, {zeros:.0%}, batch {batch}".replace("%", " %")
        found |= {f"{name}, {peer}": r["median"] for peer, r in row["ratios"].items()}
    return found


def convolutions(rounds: int) -> Found:
    """A convolution on tiles, beside PyTorch's with the channels last."""
    from conv import LAYERS, Setting

    found: Found = {}
    for name in (LARGE, SMALL):
        for batch, back in ((256, False), (128, True)):
            setting = Setting(**{**vars(LAYERS[name]), "N": batch})
            peer = in_torch(setting, back)
            if peer is None:
                return found
            times = take_turns({"ours": on_tiles(setting, back), "PyTorch": peer}, rounds)
            what = f"{name}, gradients, batch {batch}, PyTorch" if back else f"{name}, batch {batch}, PyTorch"
            found[what] = ratio(times, "PyTorch", "ours")["median"]
    return found


def arrays_of(setting: Any) -> tuple[Any, Any, Any]:
    """Images, weights, and gradients by what the convolution makes of them."""
    rng = np.random.default_rng(0)
    s = setting
    shapes = (s.N, s.C, *s.size), (s.O, s.C, *s.kernel), (s.N, s.O, *s.out)
    return tuple(rng.standard_normal(shape).astype(FLOAT) for shape in shapes)


def in_torch(setting: Any, back: bool) -> Callable[[], Any] | None:
    """A convolution in PyTorch: forwards, or both of its gradients."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(int(THREADS))
    torch.set_grad_enabled(False)
    x, W, g = (torch.from_numpy(a).contiguous(memory_format=torch.channels_last) for a in arrays_of(setting))
    moves = [1, 1], [0, 0], [1, 1]
    if not back:
        return lambda: torch.nn.functional.conv2d(x, W)
    asked = [True, True, False]
    return lambda: torch.ops.aten.convolution_backward(g, x, W, None, *moves, False, [0, 0], 1, asked)


def on_tiles(setting: Any, back: bool) -> Callable[[], None]:
    """The same as part of a plan, on tiles."""
    from minprune.layers import Conv2d
    from minprune.runtime.tile import Tile
    from minprune.runtime.windows import Filters
    from minprune.wiring import Node

    layer, (x, W, g) = Conv2d(setting.C, setting.O, setting.kernel), arrays_of(setting)
    bias, (images, results) = np.zeros(setting.O, FLOAT), (as_tiles(a) for a in (x, g))
    part = Filters("c", Node(layer, ("x",)), "c", x.shape[1:], g.shape[1:], FLOAT)
    part.inner, part.stops = ("x",), False
    part.load({"c.W": W, "c.b": bias})
    grads, calls = {"c.W": np.zeros_like(W), "c.b": bias}, []
    for X, Z in zip(images, results, strict=True):
        tile = Tile({"x": X, "c": Z}, {}, {"x": X.copy(), "c": Z}, grads)
        calls.append(part.backward(tile) if back else part.forward(tile))

    def run() -> None:
        for call in calls:
            call()

    return run


def as_tiles(x: Any) -> list[Any]:
    """Images (N, C, H, W), as tiles (C, H, W, T)."""
    from minprune.kernels.layout import aligned
    from minprune.kernels.tiles import samples_of, to_tile
    from minprune.runtime.tile import as_matrix

    found = [aligned((*x.shape[1:], samples_of(FLOAT)), FLOAT) for _ in range(0, len(x), samples_of(FLOAT))]
    for number, tile in enumerate(found):
        to_tile(x.reshape(len(x), -1), number * samples_of(FLOAT), as_matrix(tile))
    return found


def training(rounds: int) -> Found:
    """Steps of training, and scores."""
    from steps import measured
    from taylor import NETWORKS
    from taylor import measured as scored

    found = {}
    for name in (LENET, MLP):
        for peer, r in measured(name, rounds)["ratios"].items():
            found[f"step of Adam, {name}, batch 128, {peer}"] = r["median"]
    for name in NETWORKS:
        for peer, r in scored(name, 10_000, rounds)["ratios"].items():
            found[f"Taylor, {name.split()[0]}, {peer.replace(', ', ' by ')}"] = r["median"]
    return found


def two_threads(rounds: int) -> Found:
    """Programs with two threads, beside one."""
    from threads import CASES, measured

    names = [name for name in CASES if name.startswith((MLP, LENET))]
    rows = [measured(name, 2, rounds) for name in names]
    return {f"two threads, {r['what'].split()[0]}, batch {r['batch']}": r["ratios"]["one"]["median"] for r in rows}


def beginnings(rounds: int) -> Found:
    """What importing takes, and the first result."""
    from startup import FIRST, STATEMENTS, first_results, seconds

    found = {
        "import minprune, s": median(seconds(STATEMENTS["import minprune; first network"]) for _ in range(rounds)),
        "minprune --help, s": median(seconds(STATEMENTS["minprune --help"]) for _ in range(rounds)),
    }
    times = first_results(1)[list(FIRST).index("LeNet-5, the first step of training")]["seconds"]
    return found | {f"first step of LeNet-5, {'kernels ' * ('before' in how)}{how}, s": t for how, t in times.items()}


def memory(rounds: int) -> Found:
    """Peaks of whole processes."""
    from memory import ALL, DEMO, FEW, OURS, PROGRAMS, THEIRS, peak

    MB = {name: peak(PROGRAMS[name]) for name in (DEMO, OURS, THEIRS, FEW, ALL)}
    found = {"peak memory of the demo, MB": MB[DEMO]}
    found["peak memory of scoring all images, of that of 10,000"] = MB[ALL] / MB[FEW]
    if MB[THEIRS] is not None:
        found["peak memory of LeNet-5's training, of PyTorch's"] = MB[OURS] / MB[THEIRS]
    return found


QUESTIONS = (networks, sparse, convolutions, training, two_threads, beginnings, memory)


def asked(question: str, rounds: int) -> Found:
    """One kind of work, in a fresh process."""
    command = [sys.executable, __file__, "--question", question, "--rounds", str(rounds)]
    done = subprocess.run(command, env=os.environ | {TOLD: "1"}, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, print a table, keep the numbers."""
    names = [question.__name__ for question in QUESTIONS]
    options = start(__doc__, processes=3, rounds=11, question=("all", *names))
    if options.question != "all":
        print(json.dumps(QUESTIONS[names.index(options.question)](options.rounds)))
        return
    processes, rounds = (1, 3) if options.quick else (options.processes, options.rounds)
    found: dict[str, list[float]] = {}
    with bar("processes", processes * len(names), show=True) as advance:
        for _ in range(processes):
            for name in names:
                for what, figure in asked(name, rounds).items():
                    found.setdefault(what, []).append(figure)
                advance(text=name)
    rows: list[Row] = []
    for goal in GOALS:
        figures = found.get(goal.what, [])
        row = {"what": goal.what, "floor": goal.floor, "aim": goal.aim, "figures": figures}
        rows.append(row | ({"median": median(figures), "reached": goal.reached(median(figures))} if figures else {}))
    print(table(("", "floor", "aim", "median", "of processes", ""), [line(row) for row in rows]))
    keep(options, "floors", rows)


def line(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    asked_for = row["what"], f"{row['floor']:g}", f"{row['aim']:g}"
    if "median" not in row:
        return *asked_for, "–", "", f"not measured: {MISSING}"
    low, high = min(row["figures"]), max(row["figures"])
    return *asked_for, f"{row['median']:.3g}", f"{low:.3g}–{high:.3g}", row["reached"]


if __name__ == "__main__":
    main()
