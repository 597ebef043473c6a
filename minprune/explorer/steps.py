"""The steps as static HTML: a page that is complete without its script."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from ..tracing.steps import PHASES
from ..tracing.text import exactly, telling_line
from ..tracing.writing import SHOWN, some
from ..unicode_math import to_unicode
from .chinese import to_chinese
from .mathml import to_mathml
from .words import both, spoken

LISTED = 12  # rows of a table


def steps_html(trace: Mapping[str, Any]) -> str:
    """All steps, under the heading of their phase.

    Parameters
    ----------
    trace : mapping
        As `minprune.tracing` describes it.
    """
    steps = trace["steps"]
    parts = []
    for phase in PHASES:
        numbered = [(number, step) for number, step in enumerate(steps, 1) if step["phase"] == phase]
        if numbered:
            rules = _first_with_rule(numbered)
            inside = "".join(
                _step(number, step, len(steps), trace["sources"], rules[number]) for number, step in numbered
            )
            parts.append(f'<section class="phase" data-phase="{phase}"><h3>{both(phase)}</h3>{inside}</section>')
    return "".join(parts)


def _first_with_rule(numbered: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[int, int]:
    """For every step the number of the first in a row that has the same formula: only there it is written."""
    found: dict[int, int] = {}
    last: tuple[Any, ...] = ()
    for number, step in numbered:
        rule = (step["formula"], step["where"], step["shapes"])
        found[number] = found[number - 1] if rule == last else number
        last = rule
    return found


def _step(number: int, step: Mapping[str, Any], total: int, sources: Sequence[Mapping[str, Any]], first: int) -> str:
    """One step; the script copies its rule from the first step that has it."""
    title, says = step["title"], step["says"]
    head = (
        f'<header><a class="number" href="#step={number}">{number}<span class="of"> / {total}</span></a>'
        f"<h4>{spoken(title, to_chinese(title))}</h4></header>"
    )
    lead = f'<p class="says">{spoken(says, to_chinese(says))}</p>' if says else ""
    rule = _formula(step) if first == number else f'<div class="rule" data-rule="{first}"></div>'
    body = rule + _equation(step) + "".join(_details(step))
    return (
        f'<article class="step" id="step={number}" data-step="{number}">{head}{lead}{body}'
        f'<div class="zoom"></div>{_source(step["source"], sources)}</article>'
    )


def _formula(step: Mapping[str, Any]) -> str:
    if not step["formula"]:
        return ""
    letters = "".join(_where(step))
    where = f'<p class="where">{both("where")} {letters}</p>' if letters else ""
    return f'<div class="rule"><div class="formula">{to_mathml(step["formula"])}</div>{where}</div>'


def _where(step: Mapping[str, Any]) -> Iterator[str]:
    """The letters that the formula uses, what they are, and their shapes."""
    for letter, name in step["where"].items():
        tex = f"\\{letter}" if letter in ("gamma", "beta") else letter
        if re.search(rf"(?<![A-Za-z\\{{]){re.escape(tex)}(?![A-Za-z}}])", step["formula"]):
            shape = "×".join(map(str, step["shapes"][letter])) or "1"
            yield f"<span>{to_mathml(tex)} = <b>{escape(name)}</b> <small>{shape}</small></span>"


def _equation(step: Mapping[str, Any]) -> str:
    """Letters, numbers, result: three lines that read as one."""
    goal, equals, right = step["written"].partition(" = ")
    rows = []
    if step["written"]:
        left = to_mathml(goal) if equals else ""
        rows.append(_line("letters", left, to_mathml(f"= {right}" if equals else goal)))
    result = None if step["result"] is None else exactly(number(step["result"]))
    if step["plugged"] and to_unicode(step["plugged"]) != result:
        sign = "=" if step["exact"] else r"\approx"
        rows.append(_line("numbers", "", to_mathml(f"{sign} {step['plugged']}")))
    if result is not None:
        rows.append(_line("result", "", f"<span>=</span> <output>{escape(result)}</output>"))
    count = len(step["terms"])
    hint = f'<p class="hint">{both("largest", count)}</p>' if count > SHOWN and equals else ""
    return f'<div class="equation">{"".join(rows)}</div>{hint}' if rows else ""


def _line(kind: str, left: str, right: str) -> str:
    """One line; what kind it is, the style sheet says above it, in either language."""
    return f'<div class="{kind}">{left} {right}</div>'


def _source(number: int | None, sources: Sequence[Mapping[str, Any]]) -> str:
    """Where it is computed and the line that tells; the script puts the whole function in its place."""
    if number is None:
        return ""
    source = sources[number]
    return (
        f'<figure class="source" data-source="{number}">'
        f"<figcaption><code>{escape(source['file'])}:{source['line']}</code></figcaption>"
        f"<pre><code class=runs>{escape(telling_line(source['code']))}</code></pre></figure>"
    )


def _details(step: Mapping[str, Any]) -> Iterator[str]:
    """What there is beside the equation, by phase."""
    detail, phase = step["detail"], step["phase"]
    if phase == "scores":
        yield _score_table(step)
    elif phase == "decision":
        yield _order(detail["order"])
        yield f'<p class="why" lang="en">{"<br>".join(map(escape, detail["why"].splitlines()))}</p>'
    elif "sizes" in detail:
        rows = [(escape(name), f"{before:,}", f"{after:,}") for name, (before, after) in detail["sizes"].items()]
        yield table(("", "→", ""), rows, heads=False)
    elif phase == "removal":
        yield _cut(detail)
    elif "masked" in detail:
        rows = [
            (f"{both('sample')} {n}", _row(a), _row(b))
            for n, (a, b) in enumerate(zip(detail["masked"], detail["removed"], strict=True))
        ][:3]
        yield table((both("sample"), both("masked"), both("removed")), rows)
        yield f'<p class="hint">{both("bound", exactly(number(detail["bound"])))}</p>'


def _score_table(step: Mapping[str, Any]) -> str:
    """The terms of a score and what stands beside them, of many the largest."""
    terms = step["terms"]
    shown = sorted(sorted(range(len(terms)), key=lambda i: -abs(number(terms[i]["value"])))[:LISTED])
    if not shown:
        return ""
    names = list(terms[shown[0]]["columns"])
    rows = [
        (
            to_mathml(terms[i]["tex"]),
            *(exactly(number(terms[i]["columns"][name])) for name in names),
            exactly(number(terms[i]["value"])),
        )
        for i in shown
    ]
    return table(("", *map(escape, names), both("result")), rows)


def _order(order: Sequence[Mapping[str, Any]]) -> str:
    """The ranking, lowest first, as far as the line between those that go and those that stay is near."""
    last = max((i for i, entry in enumerate(order) if entry["goes"]), default=0)
    near = order[max(0, last - LISTED + 1) : last + LISTED]
    rows = [
        (
            f"{escape(entry['group'])}[{entry['neuron']}]",
            exactly(number(entry["score"])),
            both("goes" if entry["goes"] else "stays"),
        )
        for entry in near
    ]
    return table((both("neuron"), both("score"), ""), rows) if rows else ""


def _cut(detail: Mapping[str, Any]) -> str:
    before, after = ("×".join(map(str, detail[when])) for when in ("before", "after"))
    size = detail["before"][detail["axis"]]
    gone = set(detail["dropped"])
    cells = "".join(f'<i class="{"gone" if i in gone else "kept"}">{i}</i>' for i in range(min(size, 64)))
    return (
        f'<p class="cut"><b>{before} → {after}</b>: {both("stays")} {some(detail["kept"])}</p>'
        f'<p class="axis" aria-hidden="true">{cells}</p>'
    )


def _row(values: Sequence[Any]) -> str:
    return ", ".join(f"{number(value):.6g}" for value in values).replace("-", "−")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, heads: bool = True) -> str:
    """A table of ready-made cells."""
    top = f"<thead><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr></thead>" if heads else ""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table>{top}<tbody>{body}</tbody></table></div>'


def number(value: Any) -> float:
    """A number of the trace's JSON, where infinite ones are texts."""
    return float(value)
