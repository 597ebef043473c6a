r"""Formulas as text: the TeX in which ops, losses and criteria state theirs, in Unicode for a terminal.

Only what these formulas use is known, and what is close to it; anything else is refused by name, so that no
half-rendered formula is ever shown. `to_unicode` reads a formula once from left to right: an atom is a letter, a
command or a group in braces; what follows it as ``_`` or ``^`` belongs to it.
"""

from __future__ import annotations

import re
import unicodedata

from .errors import DataError

GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "varepsilon": "ε", "eta": "η", "theta": "θ"}
GREEK |= {
    "kappa": "κ",
    "lambda": "λ",
    "mu": "μ",
    "pi": "π",
    "rho": "ρ",
    "sigma": "σ",
    "tau": "τ",
    "Phi": "Φ",
    "ell": "ℓ",
}
SIGNS = {"partial": "∂", "nabla": "∇", "infty": "∞", "top": "⊤", "sum": "∑", "prod": "∏", "int": "∫", "pm": "±"}
DOTS = {"cdots": "⋯", "ldots": "…"}
RELATIONS = {"geq": "≥", "leq": "≤", "neq": "≠", "ne": "≠", "approx": "≈", "sim": "∼", "in": "∈", "ni": "∋", "to": "→"}
RELATIONS |= {"preceq": "≼"}
OPERATORS = {"cup": "∪", "cap": "∩", "otimes": "⊗", "odot": "⊙", "cdot": "·", "times": "×"}
SPACES = {",": " ", ";": " ", " ": " ", "quad": "\u2003", "left": "", "right": ""}
FUNCTIONS = ("max", "min", "log", "ln", "exp", "tanh", "sin", "cos")
OTHERS = {"setminus": "∖", "{": "{", "}": "}", "|": "‖"} | {name: name for name in FUNCTIONS}
APART = {name: f" {sign} " for name, sign in (RELATIONS | OPERATORS).items()}
SYMBOLS = GREEK | SIGNS | DOTS | APART | SPACES | OTHERS
CLINGING = ("partial", "nabla", "pm", "setminus")  # they belong to what follows: no blank between
ACCENTS = {"bar": "\u0304", "hat": "\u0302"}
SUBSCRIPTS = dict(zip("0123456789+−=()aehijklmnoprstuvx,", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ,", strict=True))
SUPERSCRIPTS = dict(zip("0123456789+−=()inoutxL⊤", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁱⁿᵒᵘᵗˣᴸᵀ", strict=True))
SINGLE = re.compile(rf"[\d.]+|\|.\||.[\u0304\u0302{''.join([*SUBSCRIPTS.values(), *SUPERSCRIPTS.values()])}]*")
TOKEN = re.compile(r"\\([A-Za-z]+|.)|(.)", re.DOTALL)


def to_unicode(tex: str) -> str:
    r"""Write a formula as readable text.

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
    >>> to_unicode(r"z = x W^\top + b")
    'z = x Wᵀ + b'
    >>> to_unicode(r"\ell_n = \frac{1}{2} \sum_k (y_{nk} - t_{nk})^2")
    'ℓₙ = (1/2) ∑ₖ (yₙₖ − tₙₖ)²'
    >>> to_unicode(r"\bar{x}_{1} = g_{0} W_{0,1}")
    'x̄₁ = g₀ W₀,₁'
    """
    reader = _Reader(tex)
    text = re.sub(" +", " ", reader.read_until(""))
    return text.replace(" \u2003", "   ").replace("\u2003", "   ").replace("    ", "   ").strip()


def width(text: str) -> int:
    r"""How many columns a text takes in a terminal: accents take none.

    Examples
    --------
    >>> width(to_unicode(r"\bar{x}"))
    1
    """
    return sum(not unicodedata.combining(character) for character in text)


class _Reader:
    """A formula, and how far it has been read."""

    def __init__(self, tex: str) -> None:
        self.tex = tex
        self.tokens = [match[0] for match in TOKEN.finditer(tex)]
        self.at = 0

    def read_until(self, end: str) -> str:
        """All atoms up to a closing token ("": the end of the formula)."""
        text = ""
        while self.at < len(self.tokens):
            if self.tokens[self.at] == end:
                self.at += 1
                return text
            text += self.scripts(self.atom())
        if end:
            raise DataError(f"the formula {self.tex!r} lacks a {end!r}")
        return text

    def argument(self) -> str:
        """The next atom, past blanks: what a command or a script takes."""
        while self.at < len(self.tokens) and self.tokens[self.at] == " ":
            self.at += 1
        if self.at == len(self.tokens):
            raise DataError(f"the formula {self.tex!r} ends where something should follow")
        return self.atom()

    def atom(self) -> str:
        """One letter, command or group."""
        token = self.tokens[self.at]
        self.at += 1
        if token == "{":
            return self.read_until("}")
        if token == "}":
            raise DataError(f"the formula {self.tex!r} has a '}}' too many")
        if token.startswith("\\"):
            return self.command(token[1:])
        return "−" if token == "-" else token

    def command(self, name: str) -> str:
        if name in ACCENTS:
            return self.argument() + ACCENTS[name]
        if name in ("mathrm", "text"):
            return self.argument()
        if name == "frac":
            fraction = f"{_wrapped(self.argument())}/{_wrapped(self.argument())}"
            return f"({fraction})" if self.goes_on() else fraction
        if name == "sqrt":
            return f"√{_wrapped(self.argument(), always=True)}"
        if name == "not":
            return unicodedata.normalize("NFC", self.argument().strip() + "\u0338").join("  ")
        if name in CLINGING and self.at < len(self.tokens) and self.tokens[self.at] == " ":
            self.at += 1
        if name not in SYMBOLS:
            raise DataError(f"the formula {self.tex!r} holds \\{name}, which the text form does not know")
        return SYMBOLS[name]

    def goes_on(self) -> bool:
        """Whether a product may follow: then a fraction needs parentheses."""
        rest = [token for token in self.tokens[self.at :] if token not in (" ", r"\,")]
        return bool(rest) and rest[0] not in ("}", ")", "]", ",", ";", "+", "-", "=", r"\right", r"\quad")

    def scripts(self, text: str) -> str:
        """What stands below and above an atom."""
        while self.at < len(self.tokens) and self.tokens[self.at] in "_^":
            mark = self.tokens[self.at]
            self.at += 1
            text += _script(self.argument(), mark)
        return text


def _script(text: str, mark: str) -> str:
    """Text set low or high; where Unicode has no such letters it stays on the line, in parentheses."""
    table = SUBSCRIPTS if mark == "_" else SUPERSCRIPTS
    if text and all(letter in table for letter in text):
        return "".join(table[letter] for letter in text)
    plain = text.strip()
    return f"{mark}{plain}" if len(plain) == 1 or _enclosed(plain) else f"{mark}({plain})"


def _wrapped(text: str, always: bool = False) -> str:
    """A numerator or denominator: in parentheses unless it holds together by itself."""
    text = text.strip()
    if _enclosed(text) or (not always and SINGLE.fullmatch(text)):
        return text
    return f"({text})"


def _enclosed(text: str) -> bool:
    """Whether one pair of parentheses holds the whole text."""
    if not (text.startswith("(") and text.endswith(")")):
        return False
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return place == len(text) - 1
    return False
