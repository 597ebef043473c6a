"""Grading files: read a learner's Python file, find its functions, judge each."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

from ..errors import FileError
from .exercise import Exercise, Verdict, judge
from .lessons import EXERCISES, LESSONS


def grade_file(path: str | os.PathLike[str]) -> list[Verdict]:
    """Judge all exercises of one file. The file is run, as any program that you wrote.

    Parameters
    ----------
    path : path
        Called after its tutorial: ``01_one_neuron.py``, or ``01_one_neuron_mine.py``.

    Raises
    ------
    FileError
        When the file is not there, is called otherwise, or cannot be run.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "02_forward.py"
    >>> _ = path.write_text("def mean_loss(y, t): return ((y - t) ** 2).sum(axis=1).mean() / 2")
    >>> [(verdict.exercise.name, verdict.state) for verdict in grade_file(path)]
    [('layer', 'wrong'), ('mean_loss', 'solved')]
    """
    file = Path(path)
    exercises = exercises_of(file)
    answers = _run(file)
    return [judge(exercise, _callable(answers.get(exercise.name))) for exercise in exercises]


def exercises_of(path: Path) -> list[Exercise]:
    """The exercises of the tutorial that a file is called after."""
    lesson = next((lesson for lesson in LESSONS if path.stem.startswith(lesson)), None)
    if lesson is None:
        raise FileError(f"{path}: expected a file called after its exercises, one of {', '.join(LESSONS)}")
    return [exercise for exercise in EXERCISES if exercise.lesson == lesson]


def _callable(value: Any) -> Any:
    return value if callable(value) else None


def _run(path: Path) -> dict[str, Any]:
    """The names that a file defines."""
    if not path.is_file():
        raise FileError(f"{path}: there is no such file; exercises lie in tutorials/exercises")
    names: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    try:
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    except SyntaxError as error:
        raise FileError(f"{path}:{error.lineno}: this is no Python: {error.msg}") from None
    except (Exception, SystemExit) as error:  # a learner's file may raise anything
        line = traceback.extract_tb(error.__traceback__)[-1].lineno
        raise FileError(f"{path}:{line}: running the file raised {type(error).__name__}: {error}") from None
    return names
