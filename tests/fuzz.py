"""Fuzzing of all readers: python -m tests.fuzz --runs 100000

Good files are mutated with knowledge of what they are made of (`fuzz_mutations`) and read. A reader may accept a file
or refuse it with a `MinpruneError` of one line; anything else is a failure: another exception, a warning, more memory
than `MEMORY` above what the process has when it starts (the system enforces it: RLIMIT_AS), more than `SECONDS` for one
file (a timer enforces it, and the parent ends a process that does not heed it), a killed process, or a file in the
folder that was not there before. Run i of a seed is always the same, so a failure can be called by its number:

    python -m tests.fuzz --reader "network .onnx" --only 4711

Failures are kept as files in the folder that --keep names.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # its neighbours, also where it is run as a module

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from fuzz_mutations import MUTATIONS, mutated
from fuzz_readers import Reader, readers

from minprune.errors import MinpruneError
from minprune.progress import bar
from minprune.reports import table

MEMORY = 256 << 20  # bytes that reading a file of some kilobytes may take
SECONDS = 5  # for one file
PATIENCE = 60  # seconds without a word from a process, after which it is ended
BATCH = 50  # runs between two reports of a process


class TookTooLong(BaseException):
    """The timer rang. No Exception: no reader may catch it."""


@dataclass
class Tally:
    """What came of the runs of one reader."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, other: dict[str, Any]) -> None:
        """Add the report of a process."""
        self.counts.update(other["counts"])
        self.failures += other["failures"]


def input_of(reader: Reader, seed: int, run: int) -> tuple[str, bytes]:
    """The file of a run: its suffix and bytes."""
    rng = np.random.default_rng((seed, run))
    suffix, content = reader.seeds[int(rng.integers(len(reader.seeds)))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a mutation may be clumsy, a reader may not
        return suffix, mutated(reader.kind, content, rng)


def outcome(reader: Reader, path: Path) -> tuple[str, str]:
    """Read a file: accepted, refused, or what went wrong."""
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            reader.read(path)
    except MinpruneError as error:
        text = str(error)
        return (
            ("refused", text) if "\n" not in text and len(text) < 2_000 else ("failed", f"a long message: {text[:500]}")
        )
    except TookTooLong:
        return "failed", f"took more than {SECONDS} s"
    except BaseException as error:  # this is what is looked for, MemoryError and warnings too
        return "failed", f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "accepted", ""


def _ring(*_: Any) -> None:
    raise TookTooLong


def limit_memory() -> None:
    """Let this process have no more than `MEMORY` above what it has now, as far as the system can say what it has."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def work(name: str, seed: int, runs: range, pipe: Any) -> None:
    """Carry out runs of one reader, in a process of its own, and report every so often."""
    with tempfile.TemporaryDirectory() as folder:
        reader = readers(Path(folder))[name]
        for suffix, content in reader.seeds:  # what is imported late is imported now
            _read(reader, Path(folder) / f"good{suffix}", content)
    with tempfile.TemporaryDirectory() as folder:
        limit_memory()
        for start in range(0, len(runs), BATCH):
            tally = Tally()
            for run in runs[start : start + BATCH]:
                pipe.send({"run": run})
                _one(reader, seed, run, Path(folder), tally)
            pipe.send({"counts": tally.counts, "failures": tally.failures})
    pipe.close()


def _read(reader: Reader, path: Path, content: bytes) -> tuple[str, str]:
    path.write_bytes(content)
    return outcome(reader, path)


def _one(reader: Reader, seed: int, run: int, folder: Path, tally: Tally) -> None:
    suffix, content = input_of(reader, seed, run)
    path = folder / f"input{suffix}"
    how, why = _read(reader, path, content)
    if [entry.name for entry in folder.iterdir()] != [path.name]:
        how, why = "failed", f"wrote {sorted(entry.name for entry in folder.iterdir())}"
    path.unlink(missing_ok=True)
    tally.counts.update(["runs", how])
    tally.counts["parsed"] += MUTATIONS[reader.kind][1](content)
    if how == "failed":
        tally.failures.append({"run": run, "why": why, "suffix": suffix})


def fuzz(names: list[str], runs: int, seed: int, workers: int, show: bool) -> dict[str, Tally]:
    """Share the runs out to processes, and gather what they report."""
    share = {name: range(place, runs, len(names)) for place, name in enumerate(names)}
    tasks = [(name, numbers[part::workers]) for part in range(workers) for name, numbers in share.items()]
    tallies = {name: Tally() for name in names}
    with bar("fuzzing", runs, show=show) as advance:
        waiting, busy = list(tasks), []
        while waiting or busy:
            while waiting and len(busy) < workers:
                busy.append(_Process(seed, *waiting.pop(0)))
            for process in busy:
                for told in process.told():
                    tallies[process.name].add(told)
                    advance(told["counts"]["runs"], text=process.name)
            busy = [process for process in busy if not process.finished(tallies[process.name], waiting)]
            time.sleep(0.02)
    return tallies


class _Process:
    """A process with one reader's runs, watched: one that dies or falls silent is replaced for what is left."""

    def __init__(self, seed: int, name: str, runs: range) -> None:
        self.seed, self.name, self.runs, self.last, self.heard = seed, name, runs, None, time.monotonic()
        self.pipe, far = multiprocessing.get_context("spawn").Pipe(duplex=False)
        self.process = multiprocessing.get_context("spawn").Process(target=work, args=(name, seed, runs, far))
        self.process.start()
        far.close()
        self.done = 0
        self.ended = False

    def told(self) -> list[dict[str, Any]]:
        found = []
        try:
            while self.pipe.poll():
                said = self.pipe.recv()
                self.heard = time.monotonic()
                if "run" in said:
                    self.last = said["run"]
                else:
                    found.append(said)
                    self.done += said["counts"]["runs"]
        except EOFError:
            self.ended = True
        return found

    def finished(self, tally: Tally, waiting: list[tuple[str, range]]) -> bool:
        silent = time.monotonic() - self.heard > PATIENCE
        if silent:
            self.process.kill()
        if not (self.ended or silent):
            return False
        self.process.join()
        if self.done < len(self.runs):  # it died, or hung: at the run that it named last
            why = f"hung for {PATIENCE} s" if silent else f"the process ended with {self.process.exitcode}"
            tally.add({"counts": {"runs": 1, "failed": 1}, "failures": [{"run": self.last, "why": why, "suffix": ""}]})
            if self.last is None:
                raise RuntimeError(f"{self.name}: the process never began ({why})")
            waiting.append((self.name, range(self.last + self.runs.step, self.runs.stop, self.runs.step)))
        return True


def main() -> int:
    """The command; returns how many runs failed, at most 1."""
    parser = argparse.ArgumentParser(description="Mutate good files, and read them with every reader.")
    with tempfile.TemporaryDirectory() as folder:
        found = readers(Path(folder))
    parser.add_argument("--runs", type=int, default=10_000, help="of all readers together (10,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=list(found), action="append", help="only this one (may be given again)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="a folder for the files that failed")
    parser.add_argument("--only", type=int, help="this run of --reader alone, here, with its traceback")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    names = args.reader or list(found)
    if args.only is not None:
        return _again(found[names[0]], args)
    started = time.monotonic()
    tallies = fuzz(names, args.runs, args.seed, args.workers, show=True)
    if args.json:
        print(json.dumps({name: {**tally.counts, "failures": tally.failures} for name, tally in tallies.items()}))
    else:
        print(_told(tallies))
        print(f"{args.runs:,} runs in {time.monotonic() - started:.0f} s, seed {args.seed}, {args.workers} processes; "
              f"at most {MEMORY >> 20} MiB and {SECONDS} s each")  # fmt: skip
    for name, tally in tallies.items():
        _keep(found[name], name, tally, args)
    return int(any(tally.failures for tally in tallies.values()))


def _again(reader: Reader, args: argparse.Namespace) -> int:
    """One run with nothing caught."""
    suffix, content = input_of(reader, args.seed, args.only)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{suffix}"
        path.write_bytes(content)
        if args.keep:
            (args.keep / f"{args.only}{suffix}").write_bytes(content)
        reader.read(path)
    return 0


def _told(tallies: dict[str, Tally]) -> str:
    head = ("reader", "runs", "outer parse", "accepted", "refused", "failed")
    rows = [
        (name, *(c[key] if key != "parsed" else f"{c[key] / max(1, c['runs']):.0%}"
                 for key in ("runs", "parsed", "accepted", "refused", "failed")))
        for name, c in ((name, tally.counts) for name, tally in tallies.items())
    ]  # fmt: skip
    total = sum((tally.counts for tally in tallies.values()), Counter())
    share = f"{total['parsed'] / max(1, total['runs']):.0%}"
    rows.append(("all", total["runs"], share, total["accepted"], total["refused"], total["failed"]))
    return table(head, rows)


def _keep(reader: Reader, name: str, tally: Tally, args: argparse.Namespace) -> None:
    seen: Counter[str] = Counter()
    for failure in tally.failures:
        seen[failure["why"][:60]] += 1
        if seen[failure["why"][:60]] > 3:
            continue
        print(f"{name}, run {failure['run']}: {failure['why'][:200]}")
        if args.keep:
            suffix, content = input_of(reader, args.seed, failure["run"])
            (args.keep / f"{name.replace(' ', '-')}-{failure['run']}{suffix}").write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
