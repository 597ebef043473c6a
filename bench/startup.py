"""What does importing minprune cost, beside NumPy alone?

    python bench/startup.py [--pairs 15] [--quick] [--json DIR]

Fresh processes, in turn: NumPy, minprune, NumPy, minprune …; seconds of the import statement in each, and how many
times as long as NumPy's it takes (median and quartiles over the turns).
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from side_by_side import keep, ratio, spread, start

from minprune.progress import bar
from minprune.reports import duration, table

BASE = "import numpy"
STATEMENTS = {
    BASE: "import numpy",
    "import minprune": "import minprune",
    "import minprune; first network": "import minprune as mp; mp.Sequential(mp.Dense(3, 5))",
    "minprune --help": "from minprune.cli import _parser; _parser().format_help()",
}


def seconds(statement: str) -> float:
    """The time that a fresh process needs for a statement."""
    code = f"import time; t = time.perf_counter()\n{statement}\nprint(time.perf_counter() - t)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure all statements in turn, print a table, keep the numbers."""
    options = start(__doc__, pairs=15)
    pairs = 5 if options.quick else options.pairs
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    with bar("starting Python", pairs * len(STATEMENTS), show=True) as advance:
        for _ in range(pairs):
            for name, statement in STATEMENTS.items():
                times[name].append(seconds(statement))
                advance(text=name)
    rows = [
        {"what": name, "seconds": {name: median(found)}, "ratios": {f"of {BASE}": ratio(times, name, BASE)}}
        for name, found in times.items()
    ]
    lines = [(r["what"], duration(r["seconds"][r["what"]]), spread(r["ratios"][f"of {BASE}"])) for r in rows]
    print(table(("", "median", f"times {BASE}"), lines))
    keep(options, "startup", rows)


if __name__ == "__main__":
    main()
