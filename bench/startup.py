"""What does importing minprune cost, beside NumPy alone, and how long does the first result take?

    python bench/startup.py [--pairs 15] [--quick] [--json DIR]

Fresh processes, in turn: NumPy, minprune, NumPy, minprune …; seconds of the statement in each, and how many times as
long as NumPy's import it takes (median and quartiles over the turns). First results are those of the numba backend, in
an empty cache, where all kernels are compiled first, and with the kernels that this has left (three processes each).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from statistics import median

from side_by_side import Row, keep, ratio, spread, start

from minprune.progress import bar
from minprune.reports import duration, table

BASE = "import numpy"
STATEMENTS = {
    BASE: "import numpy",
    "import minprune": "import minprune",
    "import minprune; first network": "import minprune as mp; mp.Sequential(mp.Dense(3, 5))",
    "minprune --help": "from minprune.cli import _parser; _parser().format_help()",
}
IMAGES = "import minprune as mp, numpy as np; from minprune.models import lenet5; net = lenet5((1, 28, 28), 10)\n"
FIRST = {
    "LeNet-5, a program and its first image": IMAGES + "mp.compile(net)(np.zeros((1, 1, 28, 28), np.float32))",
    "LeNet-5, the first step of training": IMAGES
    + "x, y = np.zeros((128, 1, 28, 28), np.float32), np.zeros(128, int)\n"
    + "with mp.backend('numba'):\n    mp.fit(net, (x, y), epochs=1, batch_size=128, progress=False)",
}


def seconds(statement: str, cache: str | None = None) -> float:
    """The time that a fresh process needs for a statement; compiled kernels are kept in `cache`, if it is given."""
    code = f"import time; t = time.perf_counter()\n{statement}\nprint(time.perf_counter() - t)"
    environment = os.environ | ({} if cache is None else {"NUMBA_CACHE_DIR": cache})
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def first_results(runs: int) -> list[Row]:
    """How long first results take, with compiled kernels and without."""
    rows: list[Row] = []
    with bar("first results", 2 * runs * len(FIRST), show=True) as advance:
        for name, statement in FIRST.items():
            times: dict[str, list[float]] = {"empty cache": [], "compiled before": []}
            for _ in range(runs):
                with tempfile.TemporaryDirectory() as cache:
                    for found in times.values():  # the first of the two fills the cache
                        found.append(seconds(statement, cache))
                        advance(text=name)
            rows.append({"what": name, "seconds": {how: median(found) for how, found in times.items()}})
    return rows


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
    rows: list[Row] = [
        {"what": name, "seconds": {name: median(found)}, "ratios": {f"of {BASE}": ratio(times, name, BASE)}}
        for name, found in times.items()
    ]
    lines = [(r["what"], duration(r["seconds"][r["what"]]), spread(r["ratios"][f"of {BASE}"])) for r in rows]
    print(table(("", "median", f"times {BASE}"), lines))
    first = [] if options.quick else first_results(3)
    if first:
        names = tuple(first[0]["seconds"])
        lines = [(row["what"], *(duration(seconds) for seconds in row["seconds"].values())) for row in first]
        print(table(("", *names), lines))
    keep(options, "startup", [*rows, *first])


if __name__ == "__main__":
    main()
