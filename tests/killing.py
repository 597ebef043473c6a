"""Kill -9 at random moments: python -m tests.killing --times 50

`prune` is killed in the middle, over and over: its output is the old file or the new one, never anything else, and
`--resume` ends with the bytes of a run that nobody disturbed. `save` is killed while it writes: what is there loads,
and is one of the networks that were written.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

import minprune as mp
from minprune.progress import track
from minprune.provenance import digest

WORDS = "prune model.npz digits --remove 0.5 --rounds 2 --epochs 8 --repair mean --criterion random -o out.npz"
STATES = 19  # that this command writes: after each of two removals, its 8 epochs, and the end of a round
OLD = b"the old file"
SAVING = """
import sys, itertools, minprune as mp
nets = [mp.load(f"net{k}{sys.argv[1]}") for k in (0, 1)]
print("ready", flush=True)
for net in itertools.cycle(nets):
    mp.save(net, "out" + sys.argv[1])
"""


def environment() -> dict[str, str]:
    """The processes take the package from where this one does."""
    root = str(Path(mp.__file__).parents[1])
    return os.environ | {"PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1"}


def start(folder: Path, words: Sequence[str], **how: object) -> subprocess.Popen[str]:
    """A process of Python in a folder."""
    return subprocess.Popen([sys.executable, *words], cwd=folder, env=environment(), text=True, **how)  # type: ignore[call-overload]


class Pruning:
    """A model to prune, and what an undisturbed run makes of it."""

    def __init__(self, folder: Path, words: str = WORDS) -> None:
        self.folder = folder
        self.words = ["-m", "minprune", *words.split()]
        net = mp.Sequential(mp.Dense(64, 512), mp.BatchNorm(512), mp.ReLU(), mp.Dense(512, 10), rng=0)
        mp.fit(net, mp.data.digits(), epochs=1, progress=False)
        mp.save(net, folder / "model.npz")
        begun = time.monotonic()
        assert start(folder, self.words, stdout=subprocess.DEVNULL).wait() == 0
        self.seconds = time.monotonic() - begun
        self.wanted = (folder / "out.npz").read_bytes()
        assert not (folder / "out.npz.state").exists()

    def killed_once(self, rng: np.random.Generator) -> str:
        """Kill a run at a random moment, perhaps its continuation too, then let it finish; says where it was killed."""
        (self.folder / "out.npz").write_bytes(OLD)
        (self.folder / "out.npz.state").unlink(missing_ok=True)
        where = self._kill(rng, self.words)
        while rng.random() < 0.3:
            self._kill(rng, [*self.words, "--resume"])
        code = start(
            self.folder, [*self.words, "--resume"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).wait()
        assert code == 0, code
        assert (self.folder / "out.npz").read_bytes() == self.wanted, "a resumed run ended with other bytes"
        assert not (self.folder / "out.npz.state").exists()
        for part in self.folder.glob(".*.part"):  # what a killed process leaves; nothing reads one
            part.unlink()
        return where

    def _kill(self, rng: np.random.Generator, words: Sequence[str]) -> str:
        """Kill it once its state has been written a drawn number of times, at a drawn moment then."""
        process = start(self.folder, words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        left, seen, state = int(rng.integers(-1, STATES + 1)), 0, self.folder / "out.npz.state"
        while left >= 0 and process.poll() is None:
            with suppress(FileNotFoundError):
                now = state.stat().st_mtime_ns
                left, seen = left - (now != seen), now
            time.sleep(0.001)
        time.sleep(float(rng.uniform(0, 0.1 * self.seconds)))
        process.kill()
        finished = process.wait() == 0
        now = (self.folder / "out.npz").read_bytes()
        assert now in (OLD, self.wanted), "the output is neither the old file nor the new one"
        begun = (self.folder / "out.npz.state").exists()
        return "finished" if finished else "after the save" if now != OLD else "in the middle" if begun else "before"


def save_killed_once(folder: Path, rng: np.random.Generator, suffix: str) -> str:
    """Kill a process that saves two networks in turn; says which one was there."""
    nets = [mp.Sequential(mp.Dense(200, 300), mp.ReLU(), mp.Dense(300, 10), rng=seed) for seed in (0, 1)]
    for place, net in enumerate(nets):
        mp.save(net, folder / f"net{place}{suffix}")
    known = {digest(mp.load(folder / f"net{place}{suffix}")): f"network {place}" for place in (0, 1)}
    process = start(folder, ["-c", SAVING, suffix], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(float(rng.uniform(0.02, 0.3)))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    for part in folder.glob(".*.part"):
        part.unlink()
    return known[digest(mp.load(folder / f"out{suffix}"))]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Kill prune and save at random moments, and look at what is left.")
    parser.add_argument("--times", type=int, default=50, help="kills of each (50)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pruning = Pruning(folder)
        prunes = Counter(pruning.killed_once(rng) for _ in track(range(args.times), "killing prune", show=True))
        print(f"prune, killed {args.times} times ({pruning.seconds:.1f} s undisturbed): {dict(prunes)}; all well")
        for suffix in (".npz", ".safetensors", ".onnx"):
            times = range(-(-args.times // 3))
            saves = Counter(
                save_killed_once(folder, rng, suffix) for _ in track(times, f"killing save {suffix}", show=True)
            )
            print(f"save {suffix}, killed {len(times)} times: {dict(saves)}; all whole")
    return 0


if __name__ == "__main__":
    sys.exit(main())
