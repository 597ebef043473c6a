"""What an exercise is, and what is said about an answer."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from .comparing import what_is_off

Inputs = Callable[[np.random.Generator], Iterator[tuple[Any, ...]]]


@dataclass(frozen=True)
class Exercise:
    """A function to fill.

    Attributes
    ----------
    lesson : str
        The tutorial that it belongs to, as its file is called: ``"01_one_neuron"``.
    name : str
        Of the function.
    task : str
        What it should return, in one line; the exercise's file says the same.
    reference : callable
        Gives the right answer.
    inputs : callable
        Draws the arguments of each call from a generator.
    """

    lesson: str
    name: str
    task: str
    reference: Callable[..., Any]
    inputs: Inputs


@dataclass(frozen=True)
class Verdict:
    """What came of one exercise.

    Attributes
    ----------
    exercise : Exercise
    state : str
        "solved", "to do" or "wrong".
    says : str
        What is to be done, or what is off: where, expected, got; "" where it is solved.
    """

    exercise: Exercise
    state: str
    says: str = ""


def judge(exercise: Exercise, answer: Callable[..., Any] | None, rng: int | np.random.Generator = 0) -> Verdict:
    """Call an answer with inputs of its own, and compare what it returns with the reference, call by call.

    Parameters
    ----------
    exercise : Exercise
    answer : callable or None
        The filled function; None where there is none of that name.
    rng : int or Generator
        Draws the inputs.

    Returns
    -------
    Verdict
        An answer that raises is wrong; one that raises NotImplementedError is still to do.

    Examples
    --------
    >>> from minprune.grading.lessons import EXERCISES
    >>> z = next(exercise for exercise in EXERCISES if exercise.name == "weighted_sum")
    >>> judge(z, lambda x, w, b: x @ w + b).state
    'solved'
    >>> judge(z, lambda x, w, b: x @ w).says
    'for x = [1, 2, 3], w = [0.3, 0.3, 0.1], b = -0.1: expected 1.1, got 1.2'
    """
    if answer is None:
        return Verdict(exercise, "wrong", f"there is no function {exercise.name} in the file")
    for arguments in exercise.inputs(np.random.default_rng(rng)):
        expected = exercise.reference(*deepcopy(arguments))
        try:
            got = answer(*deepcopy(arguments))
        except NotImplementedError:
            return Verdict(exercise, "to do", exercise.task)
        except Exception as error:  # whatever a learner's code does, it is told and not the end
            return Verdict(exercise, "wrong", f"{_called(exercise, arguments)}: {_raised(error)}")
        off = what_is_off(expected, got)
        if off:
            return Verdict(exercise, "wrong", f"{_called(exercise, arguments)}: {off}")
    return Verdict(exercise, "solved")


def _raised(error: Exception) -> str:
    """What an answer raised, and in which of its lines."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    line = f" in line {frames[0].lineno}" if frames else ""
    return f"it raised {type(error).__name__}{line}: {error}"


def _called(exercise: Exercise, arguments: tuple[Any, ...]) -> str:
    """The arguments of a call, by the names that the reference gives them."""
    code = exercise.reference.__code__
    names = code.co_varnames[: code.co_argcount]
    return "for " + ", ".join(f"{name} = {_shown(value)}" for name, value in zip(names, arguments, strict=False))


def _shown(value: Any) -> str:
    """A number, a short list, or an array's shape."""
    if callable(value):
        return f"a function ({(value.__doc__ or '').strip()})"
    array = np.asarray(value)
    if array.size > 6 or array.ndim > 1:
        return f"an array {array.shape}"
    numbers = [f"{number:.4g}" for number in array.ravel().tolist()]
    return f"[{', '.join(numbers)}]" if array.ndim else numbers[0]
