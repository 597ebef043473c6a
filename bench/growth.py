"""How do time and memory grow with width, depth, batch, zeros, and neurons removed?

    python bench/growth.py [--rounds 7] [--quick] [--json DIR]

Dense layers with ReLU, float32, one thread, random images. Five kinds of work: the forward pass of a program, and of
the network in NumPy; a step of training with Adam (`mp.fit` on one batch), Taylor scores and leave-one-out with
`backend("numba")`. Time is that of the shortest block, all points of a curve in turn. Memory is the peak of what Python
and NumPy allocate during one call (`tracemalloc`), without the weights and the batch, which are there before; of a
program it is that of its first call, which makes its workspace. Compiling is outside.

An exponent is the slope of a straight line through the logarithms of the larger half of the points. Beside it stands
what counting gives at the same points: of the multiply-adds, which is what time would do if nothing else took any, and
of the bytes that must be held at once by the rule in `values`. With `--json` all curves are drawn beside the numbers,
growth.svg and .png; thin lines there are the multiply-adds at the core's peak, below which no time can lie but that of
leave-one-out, which leaves out what is 0, and those bytes. Points of more multiply-adds than `MOST` are left out.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter
from side_by_side import Row, keep, start, take_turns

import minprune as mp
from minprune.figures.drawing import DASHES, LINES, MARKERS, headline, new_figure, plain_axes, save
from minprune.kernels.machine import machine
from minprune.models import mlp
from minprune.progress import bar
from minprune.reports import macs, table

MOST, CHUNK = 3e10, 128  # multiply-adds of a call; samples that a program works on at a time
BYTES = 4
WORKS = ("program", "NumPy", "training", "taylor", "leave_one_out")


@dataclass(frozen=True)
class Point:
    """A network, and how it is asked: `x` is where it stands on the axis."""

    x: float
    sizes: tuple[int, ...]
    batch: int = 256
    kept: float = 1.0  # of the weights


def curves(quick: bool) -> dict[str, list[Point]]:
    """What grows -> the points."""
    few = slice(0, 4) if quick else slice(None)
    widths, depths = (64, 96, 128, 192, 256, 384, 512, 768, 1024)[few], (1, 2, 3, 4, 6, 8, 12, 16)[few]
    batches, shares = (32, 64, 128, 256, 512, 1024, 2048, 4096)[few], (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)[few]
    return {
        "width": [Point(w, (w, w, w, w)) for w in widths],
        "hidden layers": [Point(d, (128, *[128] * d, 128)) for d in depths],
        "batch": [Point(n, (784, 300, 100, 10), n) for n in batches],
        "share of weights kept": [Point(s, (512, 512, 512, 512), kept=s) for s in shares],
        "share of neurons kept": [Point(s, (512, round(512 * s), round(512 * s), 10)) for s in shares],
    }


def works_of(axis: str) -> tuple[str, ...]:
    """What depends on it: zeros are worth something to a program alone, and nothing to NumPy, which is shown."""
    return WORKS[:2] if axis == "share of weights kept" else WORKS


def products(work: str, point: Point) -> float:
    """Multiply-adds of a call, one for every weight and sample that meet."""
    layers = [a * b for a, b in pairwise(point.sizes)]
    each = {"program": point.kept * sum(layers), "NumPy": sum(layers)}
    each["training"] = 3 * sum(layers) - layers[0]  # nobody asks for the gradient by the images
    each["taylor"] = 2 * sum(layers) - layers[0]
    # A neuron that is 0 on a sample costs nothing there, about half of them: what is counted here is the most.
    # Without a neuron the sums of the next layer change by one product each; whatever lies behind is computed anew.
    behind = [n * (after + sum(layers[k + 2 :])) for k, (n, after) in enumerate(pairwise(point.sizes[1:]))]
    each["leave_one_out"] = sum(layers) + sum(behind)
    return each[work] * point.batch


def values(work: str, point: Point) -> float:
    """Bytes that must be held at once, by a simple rule; the images themselves are there before.

    NumPy: what a layer reads, its sums, and what ReLU makes of them. A program: what a layer reads and what it makes,
    for one chunk, and the output. Training, scores and the truth: a copy of the images, and every layer's sums and
    outputs; training also the gradients of the weights, Adam's two means, and the weights as the kernels want them.
    What the truth computes anew comes on top, a fixed few megabytes, and is not counted.
    """
    made, batch = point.sizes[1:], point.batch
    read = (0, *made[:-1])
    weights = sum(a * b for a, b in pairwise(point.sizes))
    tape = batch * (point.sizes[0] + 2 * sum(made))
    each = {
        "program": min(batch, CHUNK) * max(sum(pair) for pair in pairwise(point.sizes)) + batch * made[-1],
        "NumPy": batch * max(a + 2 * b for a, b in zip(read, made, strict=True)),
        "training": tape + 4 * weights,
        "taylor": tape,
        "leave_one_out": tape,
    }
    return BYTES * each[work]


def network(point: Point) -> mp.Graph:
    """The network of a point."""
    net = mlp(point.sizes[0], point.sizes[1:-1], point.sizes[-1])
    assert products("NumPy", point) == point.batch * sum(macs(net, net.input_shapes or {}).values())
    if point.kept == 1:
        return net
    return mp.mask(net, mp.decide(mp.score(net, criterion="magnitude_l1", by="weight"), mp.Global(1 - point.kept)))


def call_of(work: str, net: mp.Graph, point: Point) -> Callable[[], Any]:
    """One call of the work."""
    rng = np.random.default_rng(0)
    x, y = rng.random((point.batch, point.sizes[0]), dtype=np.float32), rng.integers(0, point.sizes[-1], point.batch)
    if work == "program":
        program = mp.compile(net, batch_size=point.batch)
        return lambda: program(x)
    if work == "NumPy":
        return lambda: net(x)
    net = net.copy()

    def call() -> Any:
        with mp.backend("numba"):
            if work == "training":
                return mp.fit(net, (x, y), epochs=1, batch_size=len(x), progress=False)
            return mp.score(net, (x, y), work, batch_size=len(x), progress=False)

    return call


def peak(call: Callable[[], Any]) -> int:
    """Bytes that are allocated at most during a call."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    call()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most - before


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The exponent that fits best: of a line through the logarithms of the larger half of the points."""
    last = slice(len(x) // 2 - (len(x) < 6), None)
    return float(np.polyfit(np.log(x[last]), np.log(y[last]), 1)[0])


def measured(axis: str, work: str, points: Sequence[Point], rounds: int) -> Row:
    """One curve."""
    points = [point for point in points if products(work, point) <= MOST]
    nets = [network(point) for point in points]
    calls = {str(k): call_of(work, net, point) for k, (net, point) in enumerate(zip(nets, points, strict=True))}
    if work != "program":
        calls["0"]()  # compiles, and imports what is imported late
    memory = [peak(call) for call in calls.values()]
    times = [min(found) for found in take_turns(calls, rounds).values()]
    top = machine(np.dtype(np.float32)).peak
    x, counted = [p.x for p in points], [products(work, p) for p in points]
    held = [values(work, p) for p in points]
    return {
        "axis": axis,
        "work": work,
        "x": x,
        "seconds": times,
        "bytes": memory,
        "multiply-adds": counted,
        "bytes by the rule": held,
        "of peak": counted[-1] / times[-1] / top,
        "exponents": {"time": slope(x, times), "multiply-adds": slope(x, counted)}
        | {"memory": slope(x, memory), "values": slope(x, held)},
    }


def figure(rows: Sequence[Row]) -> Any:
    """All curves, time above, memory below; thin lines are what counting gives."""
    names, top = list(dict.fromkeys(row["axis"] for row in rows)), machine(np.dtype(np.float32)).peak
    made = new_figure(3.1 * len(names), 6.2)
    grid = made.subplots(2, len(names), squeeze=False, sharex="col", sharey="row")
    for row in rows:
        style = WORKS.index(row["work"])
        how = {"color": LINES[style], "marker": MARKERS[style], "linestyle": DASHES[style % len(DASHES)]}
        column, least = names.index(row["axis"]), np.array(row["multiply-adds"]) / top
        for axes, found, counted, scale in (
            (grid[0][column], row["seconds"], least, 1e3),
            (grid[1][column], row["bytes"], row["bytes by the rule"], 1e-6),
        ):
            axes.loglog(row["x"], np.array(found) * scale, **how, markersize=4, linewidth=1.2, label=row["work"])
            axes.loglog(row["x"], np.array(counted) * scale, color=LINES[style], linewidth=0.6, zorder=0)
    for column, name in enumerate(names):
        for axes in grid[:, column]:
            plain_axes(axes, "both")
        grid[1][column].set_xlabel(name)
        ticks = sorted({x for row in rows if row["axis"] == name for x in row["x"]})
        grid[1][column].set_xticks(ticks[:: 1 + len(ticks) // 6])
        grid[1][column].xaxis.set_major_formatter("{x:g}")
        grid[1][column].xaxis.set_minor_formatter(NullFormatter())
    for axes, unit in zip(grid[:, 0], ("milliseconds", "megabytes"), strict=True):
        axes.set_ylabel(unit)
        axes.yaxis.set_major_formatter("{x:g}")
    made.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(WORKS), frameon=False)
    headline(made, "Time and memory of a call. Thin: its multiply-adds at the core's peak, and the values it must hold")
    return made


def main() -> None:
    """Measure, print a table, draw, keep the numbers."""
    options = start(__doc__, rounds=7)
    plan = [(axis, work, points) for axis, points in curves(options.quick).items() for work in works_of(axis)]
    rows = []
    with bar("measuring", len(plan), show=True) as advance:
        for axis, work, points in plan:
            rows.append(measured(axis, work, points, 3 if options.quick else options.rounds))
            advance(text=f"{work} against {axis}")
    lines = []
    for row in rows:
        ends = f"{row['seconds'][0] * 1e3:.3g} – {row['seconds'][-1] * 1e3:.3g}"
        sizes = f"{row['bytes'][0] / 1e6:.3g} – {row['bytes'][-1] / 1e6:.3g}"
        found = [f"{row['exponents'][name]:.2f}" for name in ("time", "multiply-adds", "memory", "values")]
        found.insert(2, f"{row['of peak']:.0%}")
        lines.append(
            (row["axis"], row["work"], f"{row['x'][0]:g} – {row['x'][-1]:g}", ends, *found[:3], sizes, *found[3:])
        )
    head = ("against", "work", "from – to", "ms", "exponent", "counted", "of peak", "MB", "exponent", "by the rule")
    print(table(head, lines, left=2))
    for suffix in (".svg", ".png") if options.json else ():
        save(figure(rows), options.json / f"growth{suffix}")
    keep(options, "growth", rows)


if __name__ == "__main__":
    main()
