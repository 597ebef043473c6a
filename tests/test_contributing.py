"""CONTRIBUTING.md: its examples run as printed, in order; the files that it sends people to exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_examples_run_as_printed() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    # A process of its own: the example's kernel must not stay registered for the other tests.
    command = [sys.executable, "-c", "\n".join([*blocks, "import doctest", "assert not doctest.testmod().failed"])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert -1 <= float(done.stdout) <= 1


def test_the_files_it_names_exist() -> None:
    for name in re.findall(r"`((?:minprune|tests|\.ci)/[\w./]*)`", PAGE):
        assert (ROOT / name).exists(), name
