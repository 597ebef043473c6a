"""What the page's script works with: the trace as JSON, less what already stands in the page as text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from ..unicode_math import to_unicode
from .words import WORDS

LINES = 14  # of a function that are shown
TOLD = 12  # digits of a factor
DIGITS = 15  # of the trace's values, which the page computes again and compares
INDEXED = re.compile(r"(\\bar\{[A-Za-z]\}|\\[a-z]+|[A-Za-z])_\{([\d,]+)\}")


def content(trace: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a page.

    Parameters
    ----------
    trace : mapping
        As `minprune.tracing` describes it.

    Returns
    -------
    dict
        ``words`` {name: [English, Chinese]}; of the trace ``network``, ``focus``, ``scores`` and ``program`` as they
        are, ``values`` and ``gradients`` of networks' values to 15 and 8 digits; ``sources``, lists of lines;
        ``steps``, each with ``phase``, ``about``, ``drop``, ``without``, ``through``, ``terms`` ([names, factors] or
        [letters, numbers, value] each), ``across`` (how many of them stand in a row) and ``reads`` {name of a value:
        places in a sample}.
    """
    shapes = dict(trace["network"]["inputs"]) | {node["name"]: node["shape"] for node in trace["network"]["nodes"]}
    decided = (step["detail"]["drop"] for step in trace["steps"] if step["phase"] == "decision")
    removed = next(decided, None)  # the first decision is what the removal carries out
    return {
        "words": WORDS,
        "network": trace["network"],
        "focus": trace["focus"],
        "scores": {name: found["by_group"] for name, found in trace["scores"].items()},
        "program": trace["program"],
        "values": _rounded(trace["values"], shapes, DIGITS),
        "gradients": _rounded(trace["gradients"], shapes, 8),
        "sources": [code_lines(source["code"]) for source in trace["sources"]],
        "steps": [_step(step, shapes, removed) for step in trace["steps"]],
    }


def _rounded(arrays: Mapping[str, Any] | None, shapes: Mapping[str, Any], digits: int) -> dict[str, Any] | None:
    if arrays is None:
        return None
    return {
        name: {"shape": array["shape"], "data": [_short(value, digits) for value in array["data"]]}
        for name, array in arrays.items()
        if name in shapes
    }


def _short(value: Any, digits: int) -> Any:
    """A number with fewer digits; a whole one without its point."""
    if isinstance(value, str):
        return value
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _step(
    step: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], removed: Mapping[str, Any] | None
) -> dict[str, Any]:
    detail = step["detail"]
    found = {
        "phase": step["phase"],
        "about": {name: value for name, value in step["about"].items() if value is not None},
        "through": detail.get("through"),
        "drop": removed if step["phase"] == "removal" else detail.get("drop"),
        "without": detail.get("without"),
        "terms": [_term(term) for term in step["terms"]] if step["phase"] in ("forward", "backward") else [],
        "across": _across(step),
        "reads": _reads(step, shapes),
    }
    return {name: value for name, value in found.items() if value not in (None, [], {})}


def _term(term: Mapping[str, Any]) -> list[Any]:
    """What one square of the grid shows: the names of its factors, and these; or its letters, numbers and value."""
    if term["names"]:
        return [[to_unicode(name) for name in term["names"]], [_short(factor, TOLD) for factor in term["factors"]]]
    return [to_unicode(term["tex"]), to_unicode(term["plugged"]), _short(term["value"], TOLD)]


def code_lines(code: str) -> list[str]:
    """A function without its docstring, or its beginning."""
    lines = re.sub(r'\n\s*r?"""(?:.|\n)*?"""', "", code).splitlines()
    return lines if len(lines) <= LINES else [*lines[:LINES], "    …"]


def _across(step: Mapping[str, Any]) -> int | None:
    """How many squares stand in a row: as in the kernel, or the image, that is summed over."""
    shapes = step["shapes"]
    if step["combine"] in ("sum", "max") and len(shapes.get("W", [])) > 2:
        return int(shapes["W"][-1])
    count = max(len(step["terms"]) - 1, 0)  # the bias stands apart
    side = round(count**0.5)
    return side if count >= 16 and side * side == count else None


def _reads(step: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Which cells of the drawing the terms name: their letters, looked up in what the formula's letters stand for."""
    found: dict[str, list[int]] = {}
    for term in step["terms"]:
        for letter, index in INDEXED.findall(term["tex"]):
            name = step["where"].get(letter, "").removeprefix("∂ℓ/∂")
            place = _place([int(i) for i in index.split(",")], shapes.get(name))
            if place is not None and place not in found.setdefault(name, []):
                found[name].append(place)
    return found


def _place(index: Sequence[int], shape: Sequence[int] | None) -> int | None:
    """The place of an entry in one sample, in row order; None for what is not drawn."""
    if shape is None or len(index) not in (len(shape), len(shape) + 1):
        return None
    place = 0
    for i, size in zip(index[len(index) - len(shape) :], shape, strict=True):
        place = place * size + i
    return place if place < prod(shape) else None


def to_script(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends the element."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
