"""Arguments of another kind than the place takes, refused in one line that says what to write instead."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from .errors import PlanError, StructureError
from .nn import Graph


def check_network(given: Any, place: str) -> None:
    """Refuse what is no network.

    Raises
    ------
    StructureError
        Names the place and what came.

    Examples
    --------
    >>> check_network("small.npz", "verify")
    Traceback (most recent call last):
    minprune.errors.StructureError: verify takes a network, got 'small.npz'; load('small.npz') reads one
    """
    if isinstance(given, Graph):
        return
    if isinstance(given, str | os.PathLike):
        path = os.fspath(given)
        raise StructureError(f"{place} takes a network, got {path!r}; load({path!r}) reads one")
    raise StructureError(f"{place} takes a network, got {type(given).__name__}; Sequential makes one, load reads one")


def check_list(given: Any, name: str) -> None:
    """Refuse a single thing where a list of things is taken; a text is a single thing.

    Raises
    ------
    PlanError
        Names the argument and shows the list.

    Examples
    --------
    >>> check_list("taylor", "criteria")
    Traceback (most recent call last):
    minprune.errors.PlanError: criteria is 'taylor', expected a list of criteria: ['taylor']
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise PlanError(f"{name} is {given!r}, expected a list of {name}: [{given!r}]")
