"""All measurements of speed, one after the other: python -m bench [--quick] [--only NAME …] [--json DIR] [--list]

Each is a file of its own that can be run by itself; it runs in a process of its own here, too. Machine, versions and
threads are said once, peers that are not installed are named and passed over. What measures how good networks become
takes hours and is listed, but not run: run those files one by one.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from minprune.reports import duration, table

from .side_by_side import CANNOT, TOLD, described, where

FOLDER = Path(__file__).parent
QUALITY = ("agreement", "loop", "sets", "repair", "schedules", "weights", "onnx_models")
AGAIN = ("floors",)  # measures what the others do, in several processes
SHARED = ("side_by_side", "peers")
SPEED = tuple(path.stem for path in sorted(FOLDER.glob("[!_]*.py")) if path.stem not in (*QUALITY, *AGAIN, *SHARED))
OUTCOMES = {0: "done", CANNOT: "passed over"}


def question(name: str) -> str:
    """What a file asks: the first line of it."""
    doc = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")))
    return (doc or "").splitlines()[0]


def listed() -> str:
    """All files and their questions."""
    kinds = (
        ("run by `python -m bench`", SPEED),
        ("all of it in several processes, a quarter of an hour, run by hand", AGAIN),
        ("hours each, run by hand", QUALITY),
    )
    return "\n\n".join(table((f"{kind}:", ""), [(n, question(n)) for n in names], left=2) for kind, names in kinds)


def run(name: str, options: argparse.Namespace) -> int:
    """Run one file; its exit status."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), *(["--quick"] if options.quick else [])]
    if options.json is not None:
        command += ["--json", str(options.json)]
    path = os.pathsep.join(filter(None, (str(FOLDER.parent), os.environ.get("PYTHONPATH"))))
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": path, TOLD: "1"}).returncode


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SPEED, default=SPEED, metavar="NAME", help="these alone")
    parser.add_argument("--quick", action="store_true", help="fewer turns, fewer shapes: to see that it works")
    parser.add_argument("--json", metavar="DIR", type=Path, help="also keep all numbers, in DIR/NAME.json")
    parser.add_argument("--list", action="store_true", help="what there is")
    options = parser.parse_args()
    if options.json is not None:
        options.json.mkdir(parents=True, exist_ok=True)
    return options


def every(names: Sequence[str], options: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Run all, each under a heading that says how far it is; what became of each."""
    found = []
    for place, name in enumerate(names, start=1):
        print(f"\n[{place}/{len(names)}] {name}: {question(name)}", flush=True)
        started = perf_counter()
        status = run(name, options)
        found.append((name, duration(perf_counter() - started), OUTCOMES.get(status, f"failed ({status})")))
    return found


def main() -> int:
    """0 where all that could be measured was, 1 where something failed, 130 when interrupted."""
    options = parse()
    if options.list:
        print(listed())
        return 0
    print(described(where()), flush=True)
    try:
        found = every(options.only, options)
    except KeyboardInterrupt:
        return 130
    print(f"\n{table(('', 'took', ''), found)}")
    return int(any(outcome.startswith("failed") for _, _, outcome in found))


if __name__ == "__main__":
    sys.exit(main())
