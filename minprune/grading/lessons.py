"""The exercises of all tutorials, in order."""

from __future__ import annotations

from .basics import BASICS
from .exercise import Exercise
from .practice import PRACTICE
from .removal import REMOVAL

EXERCISES: tuple[Exercise, ...] = (*BASICS, *REMOVAL, *PRACTICE)
LESSONS = tuple(dict.fromkeys(exercise.lesson for exercise in EXERCISES))
