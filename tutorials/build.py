"""Build the notebooks: every tutorial is run from its first line to its last, and kept with what it says and draws.

    python tutorials/build.py                  # all of them
    python tutorials/build.py --only 03        # one
    python tutorials/build.py --check          # run all, write nothing, and compare with the notebooks that are there

A tutorial is a Python file of cells. A line ``# %% [markdown]`` opens a cell of text, whose lines are comments, a line
``# %%`` one of code; ``# %% tags=["timing"]`` marks code whose output depends on the clock or the machine.

Two notebooks are the same when their cells are, and what the cells print: pictures and the output of cells tagged
`timing` are not compared, blanks count once, and two numbers may differ by one unit of their last digit (machines round
differently) or both be smaller than 10⁻¹². What a tutorial quotes it asserts: a wrong number stops the build.

The source of truth is the Python file; the notebooks are made from it and never edited. Needs the extra ``tutorials``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from minprune.errors import FileError, MinpruneError, MissingPackageError
from minprune.files import atomic_write

FOLDER = Path(__file__).resolve().parent
TIMING = "timing"
HEADER = re.compile(r"# %%(?P<text> \[markdown\])?(?: tags=(?P<tags>\[.*\]))?")
NUMBER = re.compile(r"(?<![\w.])\d*\.?\d+(?:[eE][-+]?\d+)?")
LINK = re.compile(r"\]\((?![a-z]+:|[#/])([^)]+)\)")  # to a file, from where the tutorials lie
NEGLIGIBLE = 1e-12
PATIENCE = 120  # seconds that one cell may take


@dataclass(frozen=True)
class Cell:
    """A piece of a tutorial: its text or code, and the line where it begins."""

    kind: str  # "markdown" or "code"
    source: str
    line: int
    tags: tuple[str, ...] = ()


def read_cells(text: str, name: str) -> list[Cell]:
    """Take a tutorial apart.

    Raises
    ------
    FileError
        Where something stands before the first cell, or a line of text is no comment.
    """
    lines = text.splitlines()
    heads = [(number, match) for number, line in enumerate(lines, 1) if (match := HEADER.fullmatch(line))]
    first = heads[0][0] if heads else len(lines) + 1
    for number, line in enumerate(lines, 1):
        if number < first and line.strip():
            raise FileError(f"{name}:{number}: expected '# %%' or '# %% [markdown]' before anything else, got {line!r}")
        if line.startswith("# %%") and not HEADER.fullmatch(line):
            raise FileError(f"{name}:{number}: a cell begins with '# %%' or '# %% [markdown]', got {line!r}")
    ends = [number - 1 for number, _ in heads[1:]] + [len(lines)]
    return [_cell(lines[number:end], number, match, name) for (number, match), end in zip(heads, ends, strict=True)]


def _cell(lines: Sequence[str], number: int, match: re.Match[str], name: str) -> Cell:
    tags = tuple(json.loads(match["tags"] or "[]"))
    if not match["text"]:
        return Cell("code", "\n".join(lines).strip("\n"), number, tags)
    for offset, line in enumerate(lines, number + 1):
        if line.strip() and line != "#" and not line.startswith("# "):
            raise FileError(f"{name}:{offset}: a cell of text holds lines that begin with '# ', got {line!r}")
    return Cell("markdown", "\n".join(line[2:] for line in lines).strip("\n"), number, tags)


def notebook_of(cells: Sequence[Cell]) -> dict[str, Any]:
    """A notebook (format 4.5) that has not been run; the same cells give the same bytes."""
    return {
        "cells": [_entry(cell, f"cell-{number}") for number, cell in enumerate(cells, 1)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _entry(cell: Cell, name: str) -> dict[str, Any]:
    entry = {"cell_type": cell.kind, "id": name, "metadata": {"tags": [*cell.tags]} if cell.tags else {}}
    code = {"execution_count": None, "outputs": []} if cell.kind == "code" else {}
    return {**entry, **code, "source": cell.source if code else LINK.sub(_from_notebooks, cell.source)}


def _from_notebooks(link: re.Match[str]) -> str:
    """A link as it reads one folder further down: to another tutorial's notebook, or up and to the file."""
    target = link[1]
    beside = re.fullmatch(r"(\d\d_\w+)\.py", target)
    return f"]({beside[1]}.ipynb)" if beside else f"](../{target})"


def run(cells: Sequence[Cell], name: str) -> dict[str, Any]:
    """Run a tutorial in a process of its own, in an empty folder, with this checkout's minprune.

    Raises
    ------
    MinpruneError
        Where a cell fails, or warns: names its line, and what it said.
    """
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, CellTimeoutError
    except ImportError as error:
        raise MissingPackageError(
            f"nbclient and ipykernel are needed to build notebooks ({error}): pip install 'minprune[tutorials]'"
        ) from None
    notebook = nbformat.from_dict(notebook_of(cells))
    path = os.pathsep.join(filter(None, (str(FOLDER.parent), os.environ.get("PYTHONPATH"))))
    quiet = ["--IPKernelApp.log_level=ERROR"]  # it warns that it is reached over TCP, from this machine only
    client = NotebookClient(
        notebook, timeout=PATIENCE, kernel_name="python3", record_timing=False, extra_arguments=quiet
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            client.execute(cwd=folder, env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"})
    except (CellExecutionError, CellTimeoutError) as error:
        raise MinpruneError(f"{name}:{_where_it_stopped(cells, notebook)}: {_what_it_said(str(error))}") from None
    for cell, entry in zip(cells, notebook["cells"], strict=True):
        _tidy(entry, f"{name}:{cell.line}")
    return json.loads(nbformat.writes(notebook))


def _where_it_stopped(cells: Sequence[Cell], notebook: Any) -> int:
    """The line of the last cell that has begun."""
    return max((c.line for c, entry in zip(cells, notebook["cells"], strict=True) if entry.get("outputs")), default=1)


def _what_it_said(error: str) -> str:
    """The line of code that failed, marked by an arrow in IPython's traceback, and the error's last line."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", error).strip().splitlines()
    code = [line.split(maxsplit=2)[2] for line in lines if re.match(r"-+> \d+ \S", line)]
    return f"{code[-1]}: {lines[-1].rstrip(': ')}" if code else lines[-1]


def _tidy(entry: Any, where: str) -> None:
    """Leave nothing in an executed cell that changes by itself; what it prints in pieces becomes one text."""
    entry["metadata"].pop("execution", None)
    outputs: list[Any] = []
    for output in entry.get("outputs", ()):
        if output["output_type"] == "stream" and output["name"] == "stderr":
            raise MinpruneError(f"{where}: a tutorial must run without a warning, got {output['text'].strip()!r}")
        if output["output_type"] == "stream" and outputs and outputs[-1]["output_type"] == "stream":
            outputs[-1]["text"] += output["text"]
        else:
            outputs.append(output)
    if "outputs" in entry:
        entry["outputs"] = outputs


def differences(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Where two notebooks tell a reader different things, a line for each cell."""
    if len(old["cells"]) != len(new["cells"]):
        yield f"it has {len(old['cells'])} cells, the tutorial {len(new['cells'])}"
        return
    for number, (was, now) in enumerate(zip(old["cells"], new["cells"], strict=True), 1):
        if (was["cell_type"], _joined(was["source"])) != (now["cell_type"], _joined(now["source"])):
            yield f"cell {number}: {_first_apart(_joined(was['source']), _joined(now['source']))}"
        elif _tags(was) != _tags(now):
            yield f"cell {number}: its tags were {_tags(was)}, are {_tags(now)}"
        elif TIMING not in _tags(now) and not same_text(printed(was), printed(now)):
            yield f"cell {number} prints: {_first_apart(printed(was), printed(now))}"


def printed(cell: dict[str, Any]) -> str:
    """What a cell's run shows as text, a picture by its name."""
    texts = (output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", ()))
    return "\n".join(_joined(text) for text in texts)


def _tags(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def _joined(text: str | Sequence[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _first_apart(was: str, now: str) -> str:
    pairs = [*zip(was.splitlines(), now.splitlines(), strict=False)]
    apart = next(((a, b) for a, b in pairs if not same_text(a, b)), (f"{len(was)} characters", f"{len(now)}"))
    return f"it was {apart[0].strip()!r}, is {apart[1].strip()!r}"


def same_text(a: str, b: str) -> bool:
    """Whether two texts say the same, up to blanks and to the last digit of numbers that are not whole."""
    if [NUMBER.sub("#", word) for word in a.split()] != [NUMBER.sub("#", word) for word in b.split()]:
        return False
    return all(map(_same_number, NUMBER.findall(a), NUMBER.findall(b)))


def _same_number(a: str, b: str) -> bool:
    x, y = float(a), float(b)
    unit = min(filter(None, (_last_digit(a), _last_digit(b))), default=0.0)  # of the finer one: 1e-3 is not 2e-16
    return a == b or abs(x - y) <= 1.001 * unit or max(x, y) < NEGLIGIBLE


def _last_digit(number: str) -> float:
    """What one unit of the last digit is worth: 0.01 for 1.25, 1e-7 for 3.1e-06, 0 for a whole number."""
    mantissa, _, exponent = number.lower().partition("e")
    if "." not in mantissa and not exponent:
        return 0.0
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def build(path: Path, check: bool) -> list[str]:
    """Run one tutorial; write its notebook, or say where the one that is there differs."""
    target = path.parent / "notebooks" / f"{path.stem}.ipynb"
    made = run(read_cells(path.read_text(encoding="utf-8"), path.name), path.name)
    if not check:
        target.parent.mkdir(exist_ok=True)
        with atomic_write(target) as file:
            file.write((json.dumps(made, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode())
        return []
    if not target.exists():
        return [f"{target.name}: there is no such notebook; run python tutorials/build.py --only {path.name[:2]}"]
    old = json.loads(target.read_text(encoding="utf-8"))
    return [f"{target.name}: {difference}" for difference in differences(old, made)]


def main(argv: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Build or check; 0 where all is well, else 1."""
    parser = argparse.ArgumentParser(description="Build the tutorials' notebooks.")
    parser.add_argument("--check", action="store_true", help="compare with the notebooks that are there; write nothing")
    parser.add_argument("--only", metavar="NN", default="", help="only the tutorial of this number: 03")
    args = parser.parse_args(argv)
    paths = sorted(path for path in folder.glob("[0-9][0-9]_*.py") if path.name.startswith(args.only))
    if not paths:
        print(f"no tutorial of number {args.only!r} in {folder}", file=sys.stderr)
        return 1
    stems = {path.stem for path in paths}
    left = sorted(folder.glob(f"notebooks/{args.only}*.ipynb"))
    wrong = [f"{old.name}: there is no tutorial of this name; delete it" for old in left if old.stem not in stems]
    for path in paths:
        started = perf_counter()
        try:
            found = build(path, args.check)
        except MinpruneError as error:
            found = [str(error)]
        print(f"{path.name:44} {perf_counter() - started:5.1f} s  {'differs' if found else 'ok'}", flush=True)
        wrong += found
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
