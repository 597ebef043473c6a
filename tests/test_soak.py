"""Memory stays flat over rounds of everything at once; ten minutes by hand: python -m tests.soak --minutes 10"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from soak import BOUNDS, STATM

pytestmark = pytest.mark.skipif(not STATM.exists(), reason="what a process holds is read from /proc")
LEAK = 1_000_000  # bytes
ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_a_minute_of_training_scoring_pruning_running_and_saving_leaves_memory_flat() -> None:
    done = in_a_process("-m", "tests.soak", "--minutes", "1")
    assert done.returncode == 0, done.stdout + done.stderr


def in_a_process(*words: str) -> subprocess.CompletedProcess[str]:
    """One that holds nothing else: memory that other tests give back would hide what is lost."""
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=ROOT, check=False)


def checked(work: str, least: int = 8) -> list[str]:
    """What is found wrong with some work."""
    code = "import threading\nfrom tests.soak import Soak\nkept = []\nstop = threading.Event()\nfound = Soak()\n"
    code += f"found.run(lambda: {work}, 0.0, least={least})\nprint(*found.too_much(), sep='\\n')\nstop.set()"
    done = in_a_process("-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


def test_a_leak_of_a_megabyte_a_round_is_found() -> None:
    (found,) = checked(f"kept.append(b'x' * {LEAK})", least=40)
    assert found.split(maxsplit=1)[1] == f"megabytes more, {BOUNDS['megabytes']:g} allowed"


def test_threads_that_nobody_ends_are_found() -> None:
    assert any("threads more" in reason for reason in checked("threading.Thread(target=stop.wait).start()"))


def test_memory_that_is_given_back_is_no_leak() -> None:
    assert checked(f"bytearray({LEAK})") == []
