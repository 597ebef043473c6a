"""What a step is, and where in the source it is computed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from ..unicode_math import to_unicode
from .writing import Summand

PHASES = ("forward", "backward", "scores", "decision", "removal", "check")
PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Source:
    """Where something is computed: a file (below the folder that holds the package), a line, and the code."""

    file: str
    line: int
    code: str

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Source | None:
        """Where a function is written; None where nobody has kept it, as for what was typed at a prompt."""
        try:
            lines, line = inspect.getsourcelines(function)
            path = Path(inspect.getsourcefile(function) or "")
        except (OSError, TypeError):
            return None
        inside = path.is_relative_to(PACKAGE)
        code = inspect.cleandoc("\n" + "".join(lines))
        return cls(path.relative_to(PACKAGE.parent).as_posix() if inside else path.name, line, code)


@dataclass(frozen=True)
class About:
    """What a step is about.

    Attributes
    ----------
    kind : str
        "value" or "gradient" (of one entry), "neuron", "plan", "array" or "network".
    name : str
        Of the value, the array or the criterion.
    index : tuple of int
        Which entry; () for all of it.
    sample, neuron : int or None
    group : str or None
        The group that the neuron belongs to.
    """

    kind: str
    name: str
    index: tuple[int, ...] = ()
    sample: int | None = None
    group: str | None = None
    neuron: int | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """One formula, one result.

    Attributes
    ----------
    phase : str
        One of `PHASES`.
    title : str
        What is computed.
    says : str
        What that means, in a sentence.
    formula : str
        TeX, from the record of whatever computes it; "" where there is none.
    written, plugged : str
        The same for this entry, in letters and in numbers, TeX; "" where there is nothing to write out.
    result : float or None
        What comes out; None where it is not one number: see `detail`.
    terms : tuple of Summand
        What it is made of, all of it, however many `written` shows.
    combine : str
        How the terms come together: "sum", "mean", "max", "product" or "root of the sum".
    where : mapping
        Letter of the formula -> name of the value it stands for.
    shapes : mapping
        The same letters -> shape.
    source : Source or None
    about : About
    detail : mapping
        What else there is to know, by phase; see `minprune.tracing`.
    """

    phase: str
    title: str
    about: About
    says: str = ""
    formula: str = ""
    written: str = ""
    plugged: str = ""
    result: float | None = None
    terms: tuple[Summand, ...] = ()
    combine: str = "sum"
    where: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    source: Source | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """Whether all numbers in `plugged` are whole."""
        return all(term.exact for term in self.terms)


def plain(value: Any) -> Any:
    """What JSON can hold; an infinite number as a text, as everywhere in this project.

    Examples
    --------
    >>> plain({"a": (1.5, float("inf")), "b": None})
    {'a': [1.5, 'inf'], 'b': None}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def first_line(documented: Any) -> str:
    """The first line of a docstring, which says what the thing does; the formula at its end is shown apart."""
    line = inspect.cleandoc(documented.__doc__ or "").partition("\n")[0]
    line = re.sub(r": \$[^$]*\$\.?$", ".", line)
    return re.sub(r"\$([^$]*)\$", lambda formula: to_unicode(formula[1]), line)


def formula_of(documented: Any) -> str:
    r"""The formula that a docstring states, by the house rule between dollar signs.

    Examples
    --------
    >>> from minprune.pruning.surgery import mask
    >>> formula_of(mask)
    'a_j \\to 0'
    """
    found = re.search(r"\$([^$]+)\$", documented.__doc__ or "")
    return " ".join(found[1].split()) if found else ""
