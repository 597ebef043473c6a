r"""Writing a formula out for one entry, and again with its numbers in it.

An op tells, for every entry of its output, the summands that a person would write down (`Op.terms`). Here they are put
behind each other, first as letters, then as numbers. The numbers are those of the pass; in the text they have six
digits, and ``\approx`` stands in the place of ``=`` where that lost something.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isinf
from typing import Any

from ..ops import Term

SHOWN = 12  # summands that are written out; of more, the largest are
DIGITS = 6  # of numbers inside a formula
# Letters are multiplied by standing next to each other; numbers need a point between them.
DOTLESS = re.compile(r"(?<=[0-9)}\]])(?:\\,| )+(?=[0-9(\[]|\\(?:log|frac|sigma|tanh)\b)")


@dataclass(frozen=True)
class Summand:
    """One summand as a trace keeps it: in letters, in numbers, and what it comes to.

    Attributes
    ----------
    tex, plugged : str
        In letters, and with numbers.
    names : tuple of str
        Of the factors, as far as they are written one by one; else empty.
    factors : tuple of float
    value : float
    exact : bool
        Whether the numbers in `plugged` are whole, not cut to six digits.
    columns : mapping
        What stands beside it in a table of scores: heading -> number.
    """

    tex: str
    plugged: str
    names: tuple[str, ...]
    factors: tuple[float, ...]
    value: float
    exact: bool = True
    columns: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, term: Term) -> Summand:
        """The summand that an op tells."""
        factors = tuple(float(factor) for factor in term.factors)
        exact = not any(is_rounded(float(value)) for value in term.letters.values() or factors)
        return cls(term.tex, plugged_in(term), factor_names(term), factors, float(term.value), exact)


def number(value: float) -> str:
    r"""A number in TeX, with six digits.

    Examples
    --------
    >>> number(-0.25), number(1e-7), number(-0.0), number(float("inf"))
    ('-0.25', '1 \\cdot 10^{-7}', '0', '\\infty')
    """
    if isinf(value):
        return r"\infty" if value > 0 else r"-\infty"
    mantissa, _, exponent = f"{value + 0.0:.{DIGITS}g}".partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


def is_rounded(value: float) -> bool:
    """Whether six digits are not all of a number (up to the last bits of a float, which nobody would write).

    Examples
    --------
    >>> is_rounded(0.1 + 0.2), is_rounded(1 / 3)
    (False, True)
    """
    return not isinf(value) and float(f"{value:.{DIGITS}g}") != float(f"{value:.13g}")


def enclosed(value: float) -> str:
    """A number as a factor: in parentheses where it has a sign or an exponent."""
    text = number(value)
    return f"({text})" if text.startswith("-") or " " in text else text


def factor_names(term: Term) -> tuple[str, ...]:
    r"""How the factors of a term are called, where it is written as one after the other.

    Examples
    --------
    >>> factor_names(Term("W_{1,0} x_{0}", (0.5, 3.0))), factor_names(Term(r"\log (e^{y_{0}})", (0.5,), {"y_{0}": 0.5}))
    (('W_{1,0}', 'x_{0}'), ())
    """
    if term.letters:
        return ()
    names = tuple(piece.removesuffix(r"\,") for piece in term.tex.split(" "))
    whole = all(name.count(a) == name.count(b) for name in names for a, b in ("{}", "()", "[]"))
    return names if len(names) == len(term.factors) and whole else ()


def plugged_in(term: Term) -> str:
    r"""A term with numbers in the place of its letters.

    Examples
    --------
    >>> plugged_in(Term("W_{1,0} x_{0}", (-0.5, 3.0)))
    '-0.5 \\cdot 3'
    >>> plugged_in(Term(r"\sigma(x_{0})", (0.5,), {"x_{0}": 0.0}))
    '\\sigma(0)'
    """
    return substituted(term.tex, term.letters) if term.letters else product([float(f) for f in term.factors])


def substituted(tex: str, letters: Mapping[str, Any]) -> str:
    """A formula with numbers in the place of letters, all at once."""
    longest_first = sorted(letters, key=len, reverse=True)
    pattern = "|".join(rf"(?<![A-Za-z\\]){re.escape(letter)}(?![A-Za-z])" for letter in longest_first)

    def value(match: re.Match[str]) -> str:
        alone = match.string[match.start() - 1 : match.start()] + match.string[match.end() : match.end() + 1]
        return (number if alone in ("()", "{}") else enclosed)(float(letters[match[0]]))

    return DOTLESS.sub(r" \\cdot ", re.sub(pattern, value, tex))


def product(factors: Sequence[float]) -> str:
    """Numbers with a point between them; only the first may show its sign without parentheses."""
    first, *others = factors
    return r" \cdot ".join([number(first), *map(enclosed, others)])


def joined(pieces: Sequence[str]) -> str:
    """Summands behind each other; one that begins with a minus is taken off.

    Examples
    --------
    >>> joined(["a", "-b", "c"])
    'a - b + c'
    """
    first, *others = pieces
    return first + "".join(f" - {p[1:]}" if p.startswith("-") else f" + {p}" for p in others)


def combined(terms: Sequence[Summand], combine: str, write: Callable[[Summand], str]) -> str:
    """What an entry is made of, in letters or numbers: a sum, a mean, a maximum or a product of its terms."""
    if not terms:
        return "0"
    shown = _most_telling(terms)
    pieces = [write(term) for term in shown]
    left = sum(term.value != 0 for term in terms) > len(shown)
    if combine in ("max", "product"):
        rest = [r"\cdots"] if left else []
        separator = ", " if combine == "max" else r" \cdot "
        inside = separator.join(pieces + rest)
        return rf"\max({inside})" if combine == "max" else inside
    total = joined(pieces) + (r" + \cdots" if left else "")
    if combine == "mean":
        return f"({total}) / {len(terms)}" if len(terms) > 1 else total
    return rf"\sqrt{{{total}}}" if combine == "root of the sum" else total


def _most_telling(terms: Sequence[Summand]) -> list[Summand]:
    """All terms, or of many the largest, in their order; of many zeros one is enough."""
    if len(terms) <= SHOWN:
        return list(terms)
    largest = sorted(range(len(terms)), key=lambda i: -abs(terms[i].value))[:SHOWN]
    return [terms[i] for i in sorted(largest) if terms[i].value != 0] or [terms[0]]


def some(numbers: Sequence[int]) -> str:
    """A list of numbers, cut short where it is long.

    Examples
    --------
    >>> some([0, 2]), some(range(300))
    ('0, 2', '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 … (300 in all)')
    """
    listed = ", ".join(map(str, numbers[:SHOWN]))
    return f"{listed} … ({len(numbers)} in all)" if len(numbers) > SHOWN else listed


def entry(symbol: str, index: Sequence[int]) -> str:
    r"""A letter with an index below it.

    Examples
    --------
    >>> entry("z", (0, 2)), entry("L", ())
    ('z_{0,2}', 'L')
    """
    return f"{symbol}_{{{','.join(map(str, index))}}}" if len(index) else symbol


def left_side(formula: str) -> str:
    r"""The letter that a formula is about, without what stands below it.

    Examples
    --------
    >>> left_side(r"z_{n,o} = W x"), left_side(r"\bar{x}_q = g"), left_side(r"\ell_n = 1"), left_side("I_j = 2")
    ('z', '\\bar{x}', '\\ell', 'I')
    """
    found = re.match(r"\\bar\{[^}]*\}|\\[A-Za-z]+|[A-Za-z]", formula)
    return found[0] if found else formula
