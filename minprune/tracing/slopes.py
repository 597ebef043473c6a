r"""Slopes: what an op's rule multiplies the gradient from above with, entry by entry, and how that is written.

A rule is linear in what comes from above, $\bar{x}_i = \sum_q g_q\, \partial y_q / \partial x_i$. So its slopes
$\partial y_q / \partial x_i$ need no second set of formulas: the rule, given 1 at q and 0 elsewhere, returns them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import isclose, prod
from typing import Any

import numpy as np

from ..ops import Array, Call, Term
from .focus import Index
from .writing import entry, factor_names, left_side

TOLD = 512  # outputs of an op up to which products with a slope of 0 are told too; a larger one would have too many
BEYOND = re.compile(r"\\(sum|mathrm|hat|sqrt|max|top|left)")  # what a rule for single entries does not hold
LETTER = re.compile(r"(\\alpha|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z]))(?:_\{(\w+)\}|_(\w))?")

Track = Callable[[list[Index]], Any]  # a progress bar around a list


@dataclass(frozen=True)
class Slope:
    """How output entry q answers to an entry of an argument.

    Attributes
    ----------
    q : tuple of int
    value : float
    name : str or None
        What the slope is called among the op's own factors ("": it is 1, for nothing stands beside the entry); None
        where it is none of them.
    """

    q: Index
    value: float
    name: str | None


def slopes(
    call: Call, arg: str, labels: dict[Index, str], apart: bool, track: Track = lambda entries: entries
) -> dict[Index, list[Slope]]:
    r"""Ask a rule for its slopes, one output entry after the other.

    Parameters
    ----------
    call : Call
    arg : str
        The argument.
    labels : dict
        Entry of the argument -> how the op's terms call it.
    apart : bool
        Whether samples keep apart: then output entries of one sample answer to entries of the same sample only.
    track : callable
        Shows progress.

    Returns
    -------
    dict
        Entry -> the slopes of all outputs that it reaches.

    Examples
    --------
    >>> from minprune.ops import Affine, run
    >>> call = run(Affine, (np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), None), {})
    >>> slopes(call, "x", {(0, 1): "x_{1}"}, apart=True)
    {(0, 1): [Slope(q=(0, 0), value=4.0, name='W_{0,1}')]}
    """
    rule = call.op.grad(arg)
    found: dict[Index, list[Slope]] = {index: [] for index in labels}
    at = tuple(np.array(list(labels)).T)
    told = call.out.size <= TOLD
    for q in track(list(np.ndindex(call.out.shape))):
        unit = np.zeros_like(call.out)
        unit[q] = 1
        answer = rule(call, unit)
        if not (told or q in found or answer[at].any()):
            continue
        named = _partners(call, q)
        for index, label in labels.items():
            if (apart and index[:1] != q[:1]) or (answer[index] == 0 and label not in named):
                continue
            name, value = named.get(label, (None, 0.0))
            fits = name is not None and isclose(value, answer[index], rel_tol=1e-12)
            found[index].append(Slope(q, float(answer[index]), name if fits else None))
    return found


def _partners(call: Call, q: Index) -> dict[str, tuple[str | None, float]]:
    """For every letter in the terms of output q what it is multiplied with: its name and value; None: not told."""
    found: dict[str, tuple[str | None, float]] = {}
    for term in call.op.terms(call, q):
        names = factor_names(term) if call.op.combine == "sum" else ()
        for place, name in enumerate(names):
            others = (*names[:place], *names[place + 1 :])
            value = prod((*term.factors[:place], *term.factors[place + 1 :]))
            found[name] = (" ".join(others), float(value))
        if not names:
            found |= dict.fromkeys(term.letters or [term.tex], (None, 0.0))
    return found


def by_rule(call: Call, arg: str, g: Array, index: Index, slope: Slope) -> Term | None:
    r"""A rule as it reads for one entry, such as $g_3\, y_3 (1 - y_3)$; None where it is no formula for single entries.

    Examples
    --------
    >>> from minprune.ops import Sigmoid, run
    >>> call = run(Sigmoid, (np.zeros((1, 2)),), {})
    >>> by_rule(call, "x", np.ones((1, 2)), (0, 1), Slope((0, 1), 0.25, None)).tex
    'g_{1}\\, y_{1} (1 - y_{1})'
    """
    head, _, tail = call.op.rules[arg].partition("=")
    if BEYOND.search(tail):
        return None
    below = re.search(r"\}_\{?(\w+)\}?", head)
    bound = dict(zip(below[1], index, strict=False)) if below else {}
    told = {letter: value for term in call.op.terms(call, slope.q) for letter, value in term.letters.items()}
    arrays = {"g": g, left_side(call.op.formula): call.out} | {name: getattr(call, name) for name in call.op.args}
    letters: dict[str, tuple[str, Any]] = {}
    for match in LETTER.finditer(tail):
        letter, subscript = match[1], match[2] or match[3] or ""
        array = arrays.get(letter)
        if array is None:
            if letter not in told:
                return None
            letters[match[0]] = (letter, told[letter])
            continue
        at = tuple(bound[k] for k in subscript if k in bound) if subscript else index
        if len(at) != array.ndim or (not subscript and array.shape != g.shape):
            return None
        letters[match[0]] = (entry(letter, at[1:] or at), array[at])
    tex = LETTER.sub(lambda match: letters[match[0]][0], tail.strip())
    return Term(tex, (float(g[slope.q]), slope.value), dict(letters.values()))
