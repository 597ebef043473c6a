"""What the benchmarks share: calls that take turns, and where and with what they ran.

Import this before NumPy: OpenBLAS chooses its kernels when it is loaded, so what the environment says about that is
removed here, and every library is told to use one thread. PyTorch's allocator gives memory back to the system by
default, which costs it up to a third of its time; it is told not to, if it can still be told: glibc reads that when a
process starts, so the process starts itself again.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path

KEEP = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}
ONE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMEXPR_NUM_THREADS": "1"}
if not all(os.environ.get(name) == value for name, value in (KEEP | ONE).items()):
    os.environ.pop("OPENBLAS_CORETYPE", None)
    os.environ.pop("OPENBLAS_L2_SIZE", None)
    os.environ.update(KEEP | ONE)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from time import perf_counter
from typing import Any

from minprune.files import atomic_write
from minprune.kernels.cpu import target

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("numpy", "numba", "scipy", "torch", "onnxruntime", "scikit-learn")
Call = Callable[[], Any]


def take_turns(calls: Mapping[str, Call], rounds: int = 21, block: float = 3e-3) -> dict[str, list[float]]:
    """Seconds per call of each, in every round; a round times a block of calls of each, one after the other.

    A block lasts at least `block` seconds, so that a timer can tell. What disturbs a measurement then disturbs all.
    """
    repeat = {}
    for name, call in calls.items():
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


def where() -> dict[str, Any]:
    """Machine, versions, and how busy the machine was."""
    found: dict[str, Any] = {"platform": platform.platform(), "cpu": target().cpu, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found | {"threads": 1, "load": round(os.getloadavg()[0], 2)}


def keep(name: str, rows: list[dict[str, Any]]) -> Path:
    """Write results as JSON beside the benchmarks."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    text = json.dumps({"where": where(), "rows": rows}, indent=1, ensure_ascii=False)
    with atomic_write(path) as file:
        file.write((text + "\n").encode())
    return path
