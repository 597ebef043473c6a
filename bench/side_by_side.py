"""What the benchmarks share: options, calls that take turns, and where and with what they ran.

Import this before NumPy: OpenBLAS chooses its kernels when it is loaded, so what the environment says about that is
removed here, and every library is told to use one thread (or as many as BENCH_THREADS says). PyTorch's allocator gives
memory back to the system by default, which costs it up to a third of its time; it is told not to, if it can still be
told: glibc reads that when a process starts, so the process starts itself again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

KEEP = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}
THREADS = os.environ.get("BENCH_THREADS", "1")
SAME = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), THREADS)
CHOSEN = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
if not (KEEP | SAME).items() <= os.environ.items() or any(name in os.environ for name in CHOSEN):
    for name in CHOSEN:
        os.environ.pop(name, None)
    os.environ.update(KEEP | SAME)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import Any, NoReturn

import minprune as mp
from minprune.errors import FileError
from minprune.files import atomic_write
from minprune.reports import duration, table
from minprune.surroundings import MISSING as MISSING
from minprune.surroundings import described as described
from minprune.surroundings import surroundings

LIBRARIES = ("numpy", "numba", "scipy", "torch", "onnxruntime", "scikit-learn", "torch-pruning")
CANNOT = 77  # the exit status of a benchmark that this machine cannot run: no data set, no GPU
TOLD = "BENCH_TOLD"  # set where the machine has been described already
Call = Callable[[], Any]
Row = dict[str, Any]


def start(doc: str | None, **own: Any) -> argparse.Namespace:
    """Read the options that every benchmark takes, and the file's own by their defaults; say where it runs.

    Where the default is a tuple, it holds all that may be chosen, the default first; False makes a switch.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer turns, fewer shapes: to see that it works")
    parser.add_argument("--json", metavar="DIR", type=Path, help="also keep all numbers, in DIR/NAME.json")
    for name, default in own.items():
        if default is False:
            parser.add_argument(f"--{name}", action="store_true")
            continue
        choices, first = (default, default[0]) if isinstance(default, tuple) else (None, default)
        parser.add_argument(f"--{name}", type=type(first), default=first, choices=choices, help=f"({first})")
    options = parser.parse_args()
    if options.json is not None and not options.json.is_dir():
        parser.error(f"{options.json}: there is no such folder; make it first")
    if TOLD not in os.environ:
        print(f"{described(where())}\n", flush=True)
    return options


def cannot(reason: object) -> NoReturn:
    """Say why this cannot be measured here, and stop."""
    print(f"passed over: {reason}")
    raise SystemExit(CANNOT)


def mnist(flat: bool = True) -> Any:
    """MNIST, without which there is nothing to measure."""
    try:
        return mp.data.mnist(flat=flat)
    except FileError as reason:
        cannot(f"it needs MNIST: {reason}")


def take_turns(calls: Mapping[str, Call], rounds: int = 21, block: float = 3e-3) -> dict[str, list[float]]:
    """Seconds per call of each, in every round; a round times a block of calls of each, one after the other.

    A block lasts at least `block` seconds, so that a timer can tell. What disturbs a measurement then disturbs all.
    With `block` 0 it is a single call, and nothing is called before to warm up.
    """
    repeat = dict.fromkeys(calls, 1)
    for name, call in calls.items() if block else ():
        call()
        start = perf_counter()
        call()
        repeat[name] = max(1, round(block / max(perf_counter() - start, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = perf_counter()
            for _ in range(repeat[name]):
                call()
            times[name].append((perf_counter() - start) / repeat[name])
    return times


def ratio(times: Mapping[str, list[float]], peer: str, ours: str) -> dict[str, float]:
    """How many times as fast `ours` is: the median over the rounds, the quartiles, and the shortest blocks' ratio."""
    ratios = sorted(a / b for a, b in zip(times[peer], times[ours], strict=True))
    n = len(ratios)
    best = min(times[peer]) / min(times[ours])
    return {"median": median(ratios), "low": ratios[n // 4], "high": ratios[-1 - n // 4], "best": best}


def spread(found: Mapping[str, float]) -> str:
    """A ratio for the table."""
    return f"{found['median']:.2f} ({found['low']:.2f}–{found['high']:.2f})"


def where() -> Row:
    """Machine, versions, and how busy the machine was."""
    return surroundings(LIBRARIES, int(THREADS))


def compared(calls: Mapping[str, Call | None], rounds: int, ours: str = "ours", block: float = 3e-3) -> Row:
    """All calls in turn: seconds of the shortest blocks, and each peer's ratio; None stands for a missing peer."""
    times = take_turns({name: call for name, call in calls.items() if call}, rounds, block)
    ratios = {name: ratio(times, name, ours) for name in times if name != ours}
    return {"seconds": {name: min(values) for name, values in times.items()}, "ratios": ratios}


def peers_table(rows: Sequence[Row], ours: str = "ours") -> str:
    """Rows of `compared`, each with what it is about."""
    peers = list(dict.fromkeys(peer for row in rows for peer in row["ratios"]))
    lines = []
    for row in rows:
        ratios = [spread(row["ratios"][peer]) if peer in row["ratios"] else "–" for peer in peers]
        lines.append((row["what"], duration(row["seconds"][ours]), *ratios))
    return table(("", ours, *(f"{peer} / {ours}" for peer in peers)), lines)


def keep(options: argparse.Namespace, name: str, rows: Sequence[Row]) -> None:
    """Write results as JSON into the folder that was asked for, if any."""
    if options.json is None:
        return
    path = options.json / f"{name}.json"
    text = json.dumps({"where": where(), "quick": options.quick, "rows": rows}, indent=1, ensure_ascii=False)
    with atomic_write(path) as file:
        file.write((text + "\n").encode())
    print(f"kept in {path}")
