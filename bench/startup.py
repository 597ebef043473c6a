"""What does importing minprune cost, beside NumPy alone?

    python bench/startup.py

Fresh processes, in turn: NumPy, minprune, NumPy, minprune …; median seconds of the import statement, and the ratio.
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

PAIRS = 15
STATEMENTS = {
    "import numpy": "import numpy",
    "import minprune": "import minprune",
    "import minprune; first network": "import minprune as mp; mp.Sequential(mp.Dense(3, 5))",
    "minprune --help": "from minprune.cli import _parser; _parser().format_help()",
}


def seconds(statement: str) -> float:
    """The time that a fresh process needs for a statement."""
    code = f"import time; t = time.perf_counter()\n{statement}\nprint(time.perf_counter() - t)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure all statements in turn and print medians."""
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(PAIRS):
        for name, statement in STATEMENTS.items():
            times[name].append(seconds(statement))
    base = median(times["import numpy"])
    for name, measured in times.items():
        print(f"{name:32} {1000 * median(measured):7.1f} ms   {median(measured) / base:5.2f} × numpy")


if __name__ == "__main__":
    main()
