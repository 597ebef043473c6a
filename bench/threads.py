"""Threads: how much faster is a program with two threads than with one, on a large batch?

    python bench/threads.py [--threads 2] [--rounds 21] [--quick] [--json DIR]

784-300-100-10 at 4,096 samples, 617-500-300-26 at 16,384, and LeNet-5 (20-50-500) at 1,024 images; float32. The very
same program twice, once with one thread and once with as many as are asked for; both must give the same bytes. In turn;
the ratio is the median over the turns with the quartiles. It says nothing where other programs want the cores: so a
process that only counts is timed in the same way, alone and with a second one beside it, before and after; where that
is not near 1, the machine had no two cores to give.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from side_by_side import Row, keep, ratio, spread, start, take_turns

import minprune as mp
from minprune.models import lenet5, mlp
from minprune.progress import bar
from minprune.reports import duration, table
from minprune.runtime.program import Program

CASES: dict[str, tuple[Callable[[], Any], int]] = {
    "784-300-100-10": (lambda: mlp(784, (300, 100), 10), 4096),
    "617-500-300-26": (lambda: mlp(617, (500, 300), 26), 16_384),
    "LeNet-5 20-50-500": (lambda: lenet5((1, 28, 28), 10), 1024),
}
COUNTING = "import sys\nfor _ in sys.stdin:\n    sum(range(2_000_000))\n    print(flush=True)"


class Counters:
    """Processes that count when they are told to."""

    def __init__(self, count: int) -> None:
        how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self.processes = [subprocess.Popen([sys.executable, "-c", COUNTING], **how) for _ in range(count)]

    def run(self, count: int) -> None:
        """Let the first `count` of them count at once, and wait."""
        for process in self.processes[:count]:
            process.stdin.write("\n")
        for process in self.processes[:count]:
            process.stdout.readline()

    def stop(self) -> None:
        """Let them end."""
        for process in self.processes:
            process.communicate()


def cores(count: int, rounds: int) -> Row:
    """How long so many processes need that count at once, beside one alone: 1 where each has a core."""
    counters = Counters(count)
    try:
        times = take_turns({"one": lambda: counters.run(1), "all": lambda: counters.run(count)}, rounds)
    finally:
        counters.stop()
    return ratio(times, "all", "one")


def measured(name: str, threads: int, rounds: int) -> Row:
    """One program with one thread, and with several."""
    make, batch = CASES[name]
    alone = mp.compile(make(), batch_size=batch)
    x = np.random.default_rng(0).random((batch, *alone.shapes["input"]), dtype=np.float32)
    shared = Program(alone.net, alone.steps, batch, threads)
    out, other = np.empty((batch, *alone.shapes[alone.net.output]), np.float32), alone(x)
    shared(x, out=out)
    assert out.tobytes() == other.tobytes(), "the number of threads changed the result"
    calls = {"one": lambda: alone(x, out=out), "several": lambda: shared(x, out=out)}
    times = take_turns(calls, rounds)
    seconds = {who: min(found) for who, found in times.items()}
    ratios = {"one": ratio(times, "one", "several")}
    return {"what": name, "batch": batch, "threads": threads, "seconds": seconds, "ratios": ratios}


def main() -> None:
    """Measure, print a table, keep the numbers."""
    options = start(__doc__, threads=2, rounds=21)
    rounds = 5 if options.quick else options.rounds
    rows = []
    with bar("timing", len(CASES) + 2, show=True) as advance:
        free = [cores(options.threads, rounds)]
        advance()
        for name in CASES:
            rows.append(measured(name, options.threads, rounds))
            advance(text=name)
        free.append(cores(options.threads, rounds))
    lines = []
    for row in rows:
        times = (duration(row["seconds"][who]) for who in ("one", "several"))
        lines.append((row["what"], row["batch"], *times, spread(row["ratios"]["one"])))
    head = ("", "batch", "1 thread", f"{options.threads} threads", f"{options.threads} against 1")
    print(table(head, lines))
    before, after = (spread(found) for found in free)
    print(f"{options.threads} processes that count at once take {before} times as long as one, afterwards {after}")
    keep(options, "threads", [row | {"processes at once": free} for row in rows])


if __name__ == "__main__":
    main()
