"""Steps as text for a terminal: one formula, the same with numbers, the result, and where it all comes from."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from ..unicode_math import to_unicode, width
from .steps import Step
from .writing import SHOWN, Summand, number, some

COLUMNS = 100
SHORT = 8  # lines of a function whose last line tells what it computes
PRECISION = 13  # digits of a result: one more than the golden files are held to
HEADINGS = {
    "forward": "FORWARD: from the input to the loss",
    "backward": "BACKWARD: how the loss answers to every number",
    "scores": "SCORES: how much every neuron matters",
    "decision": "DECISION: who goes",
    "removal": "REMOVAL: the arrays get smaller",
    "check": "CHECK: what was removed is what was masked",
}
HARD = "\u00a0"  # a blank at which no line is broken
LISTED = 12  # terms and neurons in a table


def text_of(steps: Sequence[Step], columns: int = COLUMNS) -> str:
    """All steps, under the heading of their phase."""
    blocks = []
    for at, step in enumerate(steps):
        if at == 0 or steps[at - 1].phase != step.phase:
            blocks.append(heading(step.phase))
        blocks.append(step_text(steps, at, columns))
    return "\n\n".join(blocks)


def heading(phase: str) -> str:
    """What a phase is, underlined."""
    return f"{HEADINGS[phase]}\n{'=' * len(HEADINGS[phase])}"


def step_text(steps: Sequence[Step], at: int, columns: int = COLUMNS) -> str:
    """One step; steps are numbered from 1 for people."""
    step = steps[at]
    head = f"{at + 1}/{len(steps)}  {step.title}"
    return "\n".join([head, *(f"  {line}".rstrip() for line in _lines(step, columns - 2))])


def _lines(step: Step, columns: int) -> list[str]:
    lines = textwrap.wrap(step.says, columns)
    if step.formula:
        lines += ["", *_folded(to_unicode(step.formula), 4, columns), *_where(step, columns)]
    lines += ["", *_equation(step, columns), *_details(step, columns)]
    if step.source is not None:
        source = f"{step.source.file}:{step.source.line}  {telling_line(step.source.code)}"
        lines += ["", source if len(source) <= columns else f"{source[: columns - 2]} …"]
    return lines


def _where(step: Step, columns: int) -> list[str]:
    """What the letters stand for, with shapes."""
    parts = []
    for letter, name in step.where.items():
        tex = f"\\{letter}" if letter in ("gamma", "beta") else letter
        if re.search(rf"(?<![A-Za-z\\{{]){re.escape(tex)}(?![A-Za-z}}])", step.formula):
            parts.append(f"{to_unicode(tex)} = {name} {_shape(step.shapes[letter])}".replace(" ", HARD))
    lines = textwrap.wrap(f"where{HARD}{HARD}{', '.join(parts)}", columns, subsequent_indent=" " * 7)
    return [line.replace(HARD, " ") for line in lines] if parts else []


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _equation(step: Step, columns: int) -> list[str]:
    """Letters, numbers, result, one below the other."""
    goal, _, right = step.written.partition(" = ")
    if not right:
        goal, right = ("", goal)
    pad = " " * width(to_unicode(goal))
    lines = _folded(f"{to_unicode(goal)} = {to_unicode(right)}" if goal else to_unicode(right), len(pad) + 3, columns)
    plugged, result = to_unicode(step.plugged), "" if step.result is None else exactly(step.result)
    if plugged and plugged != result:
        lines += _folded(f"{pad} {'=' if step.exact else '≈'} {plugged}", len(pad) + 3, columns)
    if result:
        lines.append(f"{pad} = {result}")
    if len(step.terms) > SHOWN and right:
        others = sum(term.value != 0 for term in step.terms) > SHOWN
        what = f"the {SHOWN} largest are written out" if others else "those that are not 0 are written out"
        lines.append(f"{pad}   (of {len(step.terms):,} terms {what})")
    return [line for line in lines if line.strip()]


def _folded(text: str, indent: int, columns: int) -> list[str]:
    """Lines of a formula, broken before a sign or behind a comma and nowhere else, if that can be."""
    bare = text.lstrip(" ")
    start = HARD * (len(text) - len(bare))
    together = re.sub(r"\u00a0(?=[+−=≈→])|(?<=,)\u00a0", " ", bare.replace(" ", HARD))
    lines = textwrap.wrap(start + together, columns, subsequent_indent=" " * indent)
    return [line.replace(HARD, " ") for line in lines]


def _prose(text: str, columns: int) -> list[str]:
    return textwrap.wrap(text, columns, subsequent_indent="    ")


def exactly(value: float) -> str:
    """A result with thirteen digits, of numbers above 1 behind the point; trailing zeros left out.

    Examples
    --------
    >>> exactly(0.1 + 0.2), exactly(100 / 3), exactly(-0.5), exactly(float("inf"))
    ('0.3', '33.3333333333333', '−0.5', '+∞')
    """
    if value in (float("inf"), float("-inf")):
        return "+∞" if value > 0 else "−∞"
    if 1 <= abs(value) < 1e6:
        return to_unicode(f"{value:.{PRECISION}f}".rstrip("0").rstrip("."))
    mantissa, _, exponent = f"{value + 0.0:.{PRECISION}g}".partition("e")
    return to_unicode(rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa)


def _details(step: Step, columns: int) -> list[str]:
    """What there is beside the equation, by phase."""
    detail = step.detail
    if step.phase == "scores":
        rows = [line for row in _columns(step.terms) for line in _folded(row, 4, columns)]
        return ["", *rows] if rows else []
    if step.phase == "decision":
        return [
            *_order(detail["order"]),
            "",
            *(line for part in detail["why"].splitlines() for line in _prose(part, columns)),
        ]
    if "sizes" in detail:
        return [f"{name}: {before:,} → {after:,}" for name, (before, after) in detail["sizes"].items()]
    if step.phase == "removal":
        shapes = f"{_shape(detail['before'])} → {_shape(detail['after'])}"
        return [f"{shapes}: {some(detail['kept'])} stay"]
    if "masked" in detail:
        pairs = zip(detail["masked"], detail["removed"], strict=True)
        rows = [f"sample {n}: masked {_row(a)}, removed {_row(b)}" for n, (a, b) in enumerate(pairs)]
        shown = [line for row in rows[:LISTED] for line in _folded(row, 4, columns)]
        more = [f"… {len(rows) - LISTED} more"] if len(rows) > LISTED else []
        return [f"rounding can do at most {to_unicode(number(detail['bound']))}", *shown, *more]
    return []


def _row(values: Sequence[float]) -> str:
    return f"[{', '.join(exactly(value) for value in values)}]"


def _columns(terms: Sequence[Summand]) -> list[str]:
    """The terms of a score, of many the largest, and what stands beside them."""
    shown = sorted(range(len(terms)), key=lambda i: -abs(terms[i].value))[:LISTED]
    lines = []
    for term in (terms[i] for i in sorted(shown)):
        beside = "".join(f"{name} = {exactly(value)},  " for name, value in term.columns.items())
        lines.append(f"{to_unicode(term.tex)}: {beside}term = {exactly(term.value)}")
    rest = len(terms) - len(shown)
    return [*lines, *([f"… {rest:,} more"] if rest else [])]


def _order(order: Sequence[dict[str, object]]) -> list[str]:
    """The ranking, and the line between those that go and those that stay."""
    near = [i for i in range(len(order)) if len(order) <= 2 * LISTED or _near_boundary(order, i)]
    if not near:
        return []
    lines = [f"… {near[0]} lower"] if near[0] else []
    for entry in (order[i] for i in near):
        score = entry["score"]
        assert isinstance(score, float)
        lines.append(f"{entry['group']}[{entry['neuron']}]  {exactly(score)}  {'goes' if entry['goes'] else 'stays'}")
    left = len(order) - near[-1] - 1
    return [*lines, *([f"… {left} higher"] if left else [])]


def _near_boundary(order: Sequence[dict[str, object]], i: int) -> bool:
    last = max((k for k, entry in enumerate(order) if entry["goes"]), default=0)
    return abs(i - last) <= LISTED


def telling_line(code: str) -> str:
    """Of a short function the line that returns, of a longer one its name."""
    lines = [line.strip() for line in code.splitlines() if not line.strip().startswith("@")]
    returns = [line for line in lines if line.startswith("return ")]
    return returns[-1] if returns and len(lines) <= SHORT else f"{lines[0].partition('(')[0]}(…)"
