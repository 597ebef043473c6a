"""The command `grade`: what exercises there are, and how far a learner's answers are right."""

from __future__ import annotations

from argparse import Namespace
from itertools import groupby
from pathlib import Path

from ..errors import FileError
from ..grading.exercise import Verdict
from ..grading.files import grade_file
from ..grading.lessons import EXERCISES, LESSONS
from .shared import Outcome


def grade(args: Namespace) -> Outcome:
    """List the exercises, or judge files of answers."""
    if not args.files:
        verdicts = [Verdict(exercise, "to do", exercise.task) for exercise in EXERCISES]
        note = "fill the functions in tutorials/exercises, then: minprune grade tutorials/exercises/01_one_neuron.py"
        return f"{_text(verdicts)}\n\n{note}", {"exercises": _content(verdicts)}
    verdicts = [verdict for path in _paths(args.files) for verdict in grade_file(path)]
    solved = sum(verdict.state == "solved" for verdict in verdicts)
    content = {"exercises": _content(verdicts), "solved": solved, "of": len(verdicts)}
    if solved < len(verdicts):
        content["failed"] = f"{solved} of {len(verdicts)} solved"
        return _text(verdicts), content
    return f"{_text(verdicts)}\n\nall {solved} solved", content


def _paths(names: list[str]) -> list[Path]:
    """The files that are named, and of a folder those that are called after a tutorial."""
    found: list[Path] = []
    for path in map(Path, names):
        inside = sorted(file for lesson in LESSONS for file in path.glob(f"{lesson}*.py")) if path.is_dir() else [path]
        if not inside:
            raise FileError(f"{path}: no exercises in this folder; expected files such as {LESSONS[0]}.py")
        found += inside
    return found


def _text(verdicts: list[Verdict]) -> str:
    width = max(len(verdict.exercise.name) for verdict in verdicts)
    blocks = []
    for lesson, group in groupby(verdicts, key=lambda verdict: verdict.exercise.lesson):
        lines = [f"  {v.exercise.name:{width}}  {v.state}{': ' if v.says else ''}{v.says}" for v in group]
        blocks.append("\n".join([lesson, *lines]))
    return "\n\n".join(blocks)


def _content(verdicts: list[Verdict]) -> list[dict[str, str]]:
    return [
        {"lesson": v.exercise.lesson, "exercise": v.exercise.name, "state": v.state, "says": v.says} for v in verdicts
    ]
