"""An explanation in words."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose
from typing import TYPE_CHECKING

from ..reports import table
from ..scores import Terms
from .portrait import Connection

if TYPE_CHECKING:
    from .explanation import Explanation

TOLERANCE = 1e-6  # relative: terms and scores of float32 networks agree that well


def tell(found: Explanation) -> str:
    """Everything that an explanation knows, as text."""
    parts = [_what(found), _where_from(found), _strongest_samples(found), _weights(found)]
    if found.boundary is not None:
        parts.append(f"{'goes' if found.boundary.goes else 'stays'}: {found.boundary.text}")
    return "\n\n".join(part for part in parts if part)


def _what(found: Explanation) -> str:
    made = f"made by {', '.join(found.portrait.made_by)}" if found.portrait.made_by else "an input feature"
    along = f"; goes along in {', '.join(found.portrait.carried)}" if found.portrait.carried else ""
    lines = [
        f"{found.group}[{found.j}], one of {found.size}, {made}{along}",
        f"score {found.score:.6g} by {found.criterion}: {found.formula}  ({found.source})",
        f"  place {_of(found.rank)} in {found.group}, {_of(found.rank_overall)} overall (the first goes first)",
    ]
    if found.cost is not None:
        lines.append(f"  the truth: without it the loss changes by {found.cost:+.6g} (leave one out)")
    lines.append(f"  sample numbers below count {found.numbered}, from 0")
    return "\n".join(lines)


def _of(rank: tuple[int, int]) -> str:
    return f"{rank[0]:,} of {rank[1]:,}"


def _where_from(found: Explanation) -> str:
    terms = found.terms
    if terms is None:
        return f"where it comes from: {found.criterion} tells no more than the score (level: score)"
    shown = found.strongest_terms()
    lines = [f"where it comes from (level: {terms.of})", f"  {_plugged_in(terms, shown)}"]
    signed = terms.columns.get("a·s")
    if signed is not None:
        up, down = signed[signed > 0], signed[signed < 0]
        lines.append(
            f"  a·s > 0 on {len(up):,} samples (together {up.sum():.4g}), < 0 on {len(down):,} ({down.sum():.4g})"
        )
    if shown:
        head = (terms.of, *(["label"] if terms.of == "sample" else []), *terms.columns, "term")
        body = [
            (
                *(terms.label(i), *([str(found.label_of(i))] if terms.of == "sample" else [])),
                *(float(column[i]) for column in (*terms.columns.values(), terms.values)),
            )
            for i in shown
        ]
        lines.append(_indented(table(head, body)))
    return "\n".join(lines)


def _strongest_samples(found: Explanation) -> str:
    if not found.portrait.strongest:
        return "nobody reads what it puts out"
    body = [(str(n), str(found.label_of(n)), a) for n, a in found.portrait.strongest]
    twin = found.portrait.twin
    like = f"\nmost like it: {found.group}[{twin[0]}], correlation {twin[1]:.3f}" if twin else ""
    places, average = found.portrait.places, f"{found.portrait.mean:.4g} ± {found.portrait.std:.4g}"
    if places > 1:
        title = f"strongest samples, by the largest of {places:,} numbers read of it (their average: {average})"
    else:
        title = f"strongest samples (put out on average {average})"
    head = ("sample", "label", "activation" if places == 1 else "largest")
    return f"{title}\n{_indented(table(head, body, left=2))}{like}"


def _weights(found: Explanation) -> str:
    lines = []
    if found.portrait.incoming:
        lines.append(f"reads     {_listed(found.portrait.incoming)}")
    for reader, (norm, strongest) in found.portrait.readers.items():
        lines.append(f"read by   {reader}, weights of length {norm:.4g}: {_listed(strongest)}")
    return "\n".join(lines)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _listed(connections: Sequence[Connection]) -> str:
    return ", ".join(f"{c.name} {c.weight:+.4g}" for c in connections)


def _plugged_in(terms: Terms, shown: list[int]) -> str:
    """The reduction with numbers in it: (0.3 + 0.1 + … ) / 1,078 = 0.002."""
    sign = " · " if terms.reduction == "product" else " + "
    rest = len(terms.values) - len(shown)
    inside = sign.join([f"{terms.values[i]:.4g}" for i in shown] + ([f"… {rest:,} more"] if rest else [])) or "0"
    total = {
        "mean": f"({inside}) / {len(terms.values):,}",
        "sum": inside,
        "root of the sum": f"√({inside})",
        "product": inside,
    }[terms.reduction]
    end = "" if isclose(terms.reduced, terms.score, rel_tol=TOLERANCE) else f" → {terms.score:.6g}"
    return f"{total} = {terms.reduced:.6g}{end}"
