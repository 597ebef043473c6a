r"""Formulas as MathML, which browsers draw by themselves: no script, no fonts from elsewhere.

The TeX is of the subset that `minprune.unicode_math` knows, and its tables of signs are used here. A browser does not
break a line inside of ``<math>``, so a formula comes as several of them, cut before the signs between its summands.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from ..errors import DataError
from ..unicode_math import ACCENTS, APART, CLINGING, FUNCTIONS, GREEK, OTHERS, SPACES, SYMBOLS, TOKEN

MARKS = {"bar": "¯", "hat": "^"}
WIDE = {",": "0.17em", ";": "0.28em", " ": "0.3em", "quad": "1em"}
LARGE = ("sum", "prod", "int")  # what stands below and above these is set there
BREAKS = ("=", "+", "-", r"\approx", r"\to")  # a line may be broken before these


def to_mathml(tex: str) -> str:
    r"""Write a formula as MathML.

    Parameters
    ----------
    tex : str
        Of the subset that the project's own formulas use.

    Raises
    ------
    DataError
        For a command that is not known, or braces that do not match.

    Examples
    --------
    >>> to_mathml(r"z_0")
    '<math><msub><mi>z</mi><mn>0</mn></msub></math>'
    >>> to_mathml(r"\frac{1}{2}")
    '<math><mfrac><mn>1</mn><mn>2</mn></mfrac></math>'
    """
    pieces = list(_Reader(tex).pieces())
    return " ".join(f"<math>{piece}</math>" for piece in [*pieces[:1], *map(_between, pieces[1:])])


def _between(piece: str) -> str:
    """A sign at the beginning of a piece is no sign of a number: there was something before it."""
    return piece.replace("<mo>", '<mo form="infix">', 1) if piece.startswith("<mo>") else piece


class _Reader:
    """A formula, and how far it has been read."""

    def __init__(self, tex: str) -> None:
        self.tex = tex
        self.tokens = [match[0] for match in TOKEN.finditer(tex)]
        self.at = 0

    def pieces(self) -> Iterator[str]:
        """What is drawn in one piece, from one sign between summands to the next; a sum that is divided counts too."""
        found, depth = "", 0
        deepest = 1 if self.tex.partition("= ")[2].startswith("(") or self.tex.startswith("(") else 0
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token in BREAKS and depth <= deepest and found and self.tokens[self.at - 1] == " ":
                yield found
                found = ""
            depth += (token in "([") - (token in ")]")
            found += self.scripts(self.atom())
        if found:
            yield found

    def group(self) -> str:
        """All atoms up to the closing brace, as one row."""
        atoms: list[str] = []
        while self.at < len(self.tokens):
            if self.tokens[self.at] == "}":
                self.at += 1
                return _row([atom for atom in atoms if atom])
            atoms.append(self.scripts(self.atom()))
        raise DataError(f"the formula {self.tex!r} lacks a '}}'")

    def argument(self) -> str:
        """The next atom, past blanks: what a command or a script takes."""
        while self.at < len(self.tokens) and self.tokens[self.at] == " ":
            self.at += 1
        if self.at == len(self.tokens):
            raise DataError(f"the formula {self.tex!r} ends where something should follow")
        return self.indices() or self.atom()

    def indices(self) -> str:
        """A group that holds nothing but numbers and commas, as one word; "" where it holds more."""
        end = self.at + 1
        while end < len(self.tokens) and (self.tokens[end].isdigit() or self.tokens[end] == ","):
            end += 1
        if self.tokens[self.at] != "{" or self.tokens[end : end + 1] != ["}"] or end == self.at + 1:
            return ""
        inside = "".join(self.tokens[self.at + 1 : end])
        self.at = end + 1
        return f"<mn>{inside}</mn>"

    def atom(self) -> str:
        """One letter, number, command or group."""
        token = self.tokens[self.at]
        self.at += 1
        if token == "{":
            return self.group()
        if token == "}":
            raise DataError(f"the formula {self.tex!r} has a '}}' too many")
        if token == " ":
            return ""
        if token.startswith("\\"):
            return self.command(token[1:])
        if token.isdigit():
            return self.number(token)
        if token.isalpha():
            return f"<mi>{token}</mi>"
        return self.minus() if token == "-" else f"<mo>{escape(token)}</mo>"

    def minus(self) -> str:
        """A minus between two summands, or the sign of what follows: then there is no room behind it."""
        earlier = [token for token in self.tokens[: self.at - 1] if token != " "]
        is_sign = not earlier or earlier[-1] in ("(", "[", "{", ",", "=", r"\approx", r"\cdot", r"\to")
        return f"<mo{' form=prefix' if is_sign else ''}>−</mo>"

    def number(self, token: str) -> str:
        """All digits that follow each other."""
        while self.at < len(self.tokens) and (self.tokens[self.at].isdigit() or self.tokens[self.at] == "."):
            token += self.tokens[self.at]
            self.at += 1
        return f"<mn>{token}</mn>"

    def command(self, name: str) -> str:
        """What a command stands for."""
        if name in ACCENTS:
            return f"<mover>{self.argument()}<mo>{MARKS[name]}</mo></mover>"
        if name in ("mathrm", "text"):
            return f"<mtext>{self.upright()}</mtext>"
        if name == "frac":
            return f"<mfrac>{self.argument()}{self.argument()}</mfrac>"
        if name == "sqrt":
            return f"<msqrt>{self.argument()}</msqrt>"
        if name == "not":
            return self.argument().replace("</mo>", "\u0338</mo>")
        if name not in SYMBOLS:
            raise DataError(f"the formula {self.tex!r} holds \\{name}, which the page does not know")
        return _symbol(name)

    def upright(self) -> str:
        """The letters of a group as they stand."""
        if self.tokens[self.at] != "{":
            self.at += 1
            return escape(self.tokens[self.at - 1])
        end = self.tokens.index("}", self.at)
        inside = self.tokens[self.at + 1 : end]
        self.at = end + 1
        return escape("".join(token.removeprefix("\\") for token in inside)).replace(" ", "\u00a0")

    def scripts(self, base: str) -> str:
        """What stands below and above an atom."""
        found = {}
        while self.at < len(self.tokens) and self.tokens[self.at] in "_^":
            mark = self.tokens[self.at]
            self.at += 1
            found[mark] = self.argument()
        under = any(f">{SYMBOLS[name]}<" in base for name in LARGE)
        below, above, both = ("munder", "mover", "munderover") if under else ("msub", "msup", "msubsup")
        if len(found) == 2:
            return f"<{both}>{base}{found['_']}{found['^']}</{both}>"
        for mark, script in found.items():
            kind = below if mark == "_" else above
            return f"<{kind}>{base}{script}</{kind}>"
        return base


def _symbol(name: str) -> str:
    """A letter, a sign or a space."""
    if name in SPACES:
        return f'<mspace width="{WIDE[name]}"></mspace>' if name in WIDE else ""
    sign = escape(SYMBOLS[name].strip())
    if name in FUNCTIONS:
        return f"<mi>{sign}</mi>"
    if name in GREEK or name in CLINGING or name in ("ell", "infty", "top"):
        return f"<mi>{sign}</mi>" if name != "setminus" else f"<mo>{sign}</mo>"
    return f"<mo>{sign}</mo>" if name in APART or name in OTHERS or name in SYMBOLS else sign


def _row(atoms: list[str]) -> str:
    return atoms[0] if len(atoms) == 1 else f"<mrow>{''.join(atoms)}</mrow>"
