"""Does memory stay flat over hours? python -m tests.soak --minutes 10

Over and over, by both backends at once: train, score, prune, compile, run from several threads, save, load. A first
quarter of the rounds warms up; then what the process holds (resident bytes, threads, open files) is read after every
round, and the median of the last quarter must not lie above that of the second by more than `BOUNDS`.

Ten minutes (2,340 rounds) grew by 1.1 MB, a minute by 1 to 2, which is the allocator's: what Python and NumPy hold does
not grow. So the bound of 8 MB finds what leaks 7 kB a round in ten minutes, or 50 in one.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import numpy as np
import rich.progress  # noqa: F401

import minprune as mp
from minprune.models import cnn, lenet5, mlp
from minprune.progress import bar

STATM, FILES = Path("/proc/self/statm"), Path("/proc/self/fd")
BOUNDS = {"megabytes": 8.0, "threads": 1.0, "files": 1.0}
CALLERS = 4
FEWEST = 8  # rounds that say something
# rich is imported before anything is counted: a bar that a busy machine draws late would be megabytes more.


def held() -> dict[str, float]:
    """What the process holds now, after the garbage is gone."""
    gc.collect()
    pages = int(STATM.read_text().split()[1])
    return {
        "megabytes": pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        "threads": float(threading.active_count()),
        "files": float(len(list(FILES.iterdir()))),
    }


@dataclass
class Soak:
    """What was held after every round."""

    readings: list[dict[str, float]] = field(default_factory=list)

    def run(self, work: Callable[[], Any], seconds: float, show: bool = False, least: int = FEWEST) -> Soak:
        """Do the work over and over, for so long and so often at least."""
        end = monotonic() + seconds
        with bar("soaking", None, show=show) as advance:
            while monotonic() < end or len(self.readings) < least:
                work()
                self.readings.append(held())
                told = ", ".join(f"{value:.0f} {what}" for what, value in self.readings[-1].items())
                advance(text=f"round {len(self.readings)}, {told}, {max(0, end - monotonic()):.0f} s left")
        return self

    def growth(self) -> dict[str, float]:
        """By how much the last quarter holds more than the second."""
        quarter = len(self.readings) // 4
        early, late = self.readings[quarter : 2 * quarter], self.readings[-quarter:]
        return {what: median(r[what] for r in late) - median(r[what] for r in early) for what in BOUNDS}

    def too_much(self) -> list[str]:
        """What has grown beyond its bound, in words."""
        found = self.growth()
        return [
            f"{grown:.1f} {what} more, {BOUNDS[what]:g} allowed"
            for what, grown in found.items()
            if grown > BOUNDS[what]
        ]

    def __str__(self) -> str:
        last = self.readings[-1]
        told = (f"{what} {last[what]:.1f} ({grown:+.1f})" for what, grown in self.growth().items())
        return f"{len(self.readings)} rounds; at the end (growth): {', '.join(told)}"


def works() -> Iterator[tuple[mp.Graph, str, str | None]]:
    """A network, how to score it, and how to repair it: all pairs in turn, for ever."""
    nets = (mlp(64, (48, 24), 10), cnn((1, 8, 8), 10, widths=(6, 8)), lenet5((1, 16, 16), 10, widths=(4, 6, 20)))
    scores = ("taylor", "leave_one_out", "curvature", "magnitude_l2", "obs")
    repairs = (None, "mean", "least_squares", "obs")
    for k in count():
        yield nets[k % len(nets)], scores[k % len(scores)], repairs[k % len(repairs)]


def cycle(folder: Path, net: mp.Graph, criterion: str, repair: str | None, data: tuple[Any, Any]) -> None:
    """The life of one network."""
    net, x = net.copy(), data[0]
    mp.fit(net, data, epochs=1, batch_size=64, progress=False, rng=0)
    scores = mp.score(net, data, criterion, progress=False)
    small = mp.remove(net, mp.decide(scores, mp.PerLayer(0.5)), repair=repair, data=data if repair else None)
    program = mp.compile(small, batch_size=len(x), threads=2)
    expected = program(x)
    assert np.allclose(expected, small(x), rtol=1e-3, atol=1e-4)
    with ThreadPoolExecutor(CALLERS) as pool:
        assert all(found.tobytes() == expected.tobytes() for found in pool.map(program, [x] * CALLERS))
    mp.save(small, folder / "net.npz")
    assert mp.load(folder / "net.npz")(x).tobytes() == small(x).tobytes()


class Round:
    """A cycle with either backend, both at once, each in a thread of its own."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        self.folder, self.pool, self.works = folder, pool, works()
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 10, 300)
        self.data = {
            shape: (rng.random((300, *shape), dtype=np.float32), labels) for shape in ((64,), (1, 8, 8), (1, 16, 16))
        }

    def _one(self, backend: str, what: tuple[mp.Graph, str, str | None]) -> None:
        (shape,) = (what[0].input_shapes or {}).values()
        folder = self.folder / backend
        folder.mkdir(exist_ok=True)
        with mp.backend(backend):
            cycle(folder, *what, self.data[shape])

    def __call__(self) -> None:
        jobs = [(copy_context(), backend, next(self.works)) for backend in ("numpy", "numba")]
        for done in [self.pool.submit(context.run, self._one, *job) for context, *job in jobs]:
            done.result()


def soak(seconds: float, show: bool = False) -> Soak:
    """Soak in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        return Soak().run(Round(Path(folder), pool), seconds, show)


def main() -> int:
    """0 where it stays flat, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    found = soak(60 * parser.parse_args().minutes, show=True)
    print(found)
    if reasons := found.too_much():
        print(f"it does not stay flat: {'; '.join(reasons)}", file=sys.stderr)
    return int(bool(reasons))


if __name__ == "__main__":
    sys.exit(main())
