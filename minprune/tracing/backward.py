r"""The backward steps: one for every entry of every gradient, with the summands of the chain rule.

Every rule of an op is linear in what comes from above: $\bar{x}_i = \sum_q g_q\, \partial y_q / \partial x_i$. So the
slopes $\partial y_q / \partial x_i$ need no second set of formulas: the op's own rule, given 1 at q and 0 elsewhere,
returns them. A slope that is one of the op's own factors (the weight in $W_{q,i} x_i$) is called by its name; where the
rule itself is a formula for single entries ($\bar{x} = g\, y (1 - y)$) that is written out; else it stays
$\partial y_q / \partial x_i$.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from math import isclose, prod
from typing import Any

import numpy as np

from ..ops import Array, Call, Term
from ..tensor import backward
from .focus import Chosen, Index
from .forward import about, short, title_of
from .steps import Source, Step, formula_of
from .walk import Walk
from .writing import Summand, combined, entry, factor_names, is_rounded, left_side, product

Track = Callable[[list[Index]], Any]  # a progress bar around a list
Slopes = dict[Index, list[tuple[Index, float, str | None]]]  # entry -> the outputs it reaches, slope, name of the slope
TOLD = 512  # outputs of an op up to which products with a slope of 0 are told too; a larger one would have too many
# What a rule for single entries does not hold.
BEYOND = re.compile(r"\\(sum|mathrm|hat|sqrt|max|top|left)")
LETTER = re.compile(r"(\\alpha|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z]))(?:_\{(\w+)\}|_(\w))?")


def backward_steps(walk: Walk, chosen: Chosen, track: Track) -> Iterator[Step]:
    """All steps from the losses back to the inputs and arrays; a value that is used twice gets the sum of both."""
    for line in range(walk.losses.index, -1, -1):
        call = walk.record(line).call
        if call is None or line not in walk.reached:
            continue
        for arg in call.op.rules:
            source = walk.record(line).sources.get(arg)
            if source is None:
                continue
            uses = walk.uses[source]
            wanted = list(chosen.entries(source))
            yield from _Use(walk, chosen, line, call, arg, source).steps(wanted, len(uses) > 1, track)
            if len(uses) > 1 and uses[0] == (line, arg):
                yield from (_sum_of_uses(walk, chosen, source, index) for index in wanted)


class _Use:
    """One argument of one call: what comes back through it."""

    def __init__(self, walk: Walk, chosen: Chosen, line: int, call: Call, arg: str, source: int) -> None:
        self.walk, self.chosen, self.line, self.call, self.arg, self.source = walk, chosen, line, call, arg, source
        self.g = walk.gradient(line)
        self.formula = call.op.rules[arg]
        self.bar = left_side(self.formula)  # \bar{x}
        self.letter = self.bar.removeprefix(r"\bar{").removesuffix("}")
        self.shared = walk.is_array(source)

    def steps(self, wanted: list[Index], partial: bool, track: Track) -> Iterator[Step]:
        if not wanted:
            return
        found = self.call.op.grad(self.arg)(self.call, self.g)
        slopes = self.slopes(wanted, track)
        for index in wanted:
            yield self.step(index, float(found[index]), slopes[index], partial)

    def slopes(self, wanted: list[Index], track: Track) -> Slopes:
        """Ask the rule for its slopes, one output entry after the other."""
        rule = self.call.op.grad(self.arg)
        found: Slopes = {index: [] for index in wanted}
        labels = self.labels(wanted)
        at = tuple(np.array(wanted).T)
        told = self.g.size <= TOLD
        for q in track(list(np.ndindex(self.g.shape))):
            unit = np.zeros_like(self.g)
            unit[q] = 1
            slope = rule(self.call, unit)
            if not (told or q in found or slope[at].any()):
                continue
            named = self.named(q)
            for index in self.near(q, labels):
                if slope[index] != 0 or labels[index] in named:
                    name, value = named.get(labels[index], (None, 0.0))
                    fits = name is not None and isclose(value, slope[index], rel_tol=1e-12)
                    found[index].append((q, float(slope[index]), name if fits else None))
        return found

    def labels(self, wanted: list[Index]) -> dict[Index, str]:
        """How the op's terms call an entry of the argument."""
        return {index: entry(self.letter, short(self.walk, self.source, index)) for index in wanted}

    def near(self, q: Index, labels: dict[Index, str]) -> list[Index]:
        """The entries that output q can depend on: of arrays all, of values those of the same sample."""
        return [index for index in labels if self.shared or index[:1] == q[:1]]

    def named(self, q: Index) -> dict[str, tuple[str | None, float]]:
        """For every letter in the terms of output q what it is multiplied with: name and value; None: not told."""
        found: dict[str, tuple[str | None, float]] = {}
        for term in self.call.op.terms(self.call, q):
            names = factor_names(term) if self.call.op.combine == "sum" else ()
            for place, name in enumerate(names):
                others = (*names[:place], *names[place + 1 :])
                value = prod((*term.factors[:place], *term.factors[place + 1 :]))
                found[name] = (" ".join(others), float(value))
            if not names:
                found |= dict.fromkeys(term.letters or [term.tex], (None, 0.0))
        return found

    def step(self, index: Index, value: float, slopes: list[tuple[Index, float, str | None]], partial: bool) -> Step:
        terms = self.terms(index, slopes)
        mean = self.shared and self.walk.samples > 1
        goal = entry(self.bar, short(self.walk, self.source, index))
        end = f" / {self.walk.samples}" if mean else ""

        def whole(write: Callable[[Summand], str]) -> str:
            text = combined(terms, "sum", write)
            return f"({text}){end}" if end else text

        title = f"∂{'L' if self.shared else 'ℓ'}/∂{title_of(self.walk, self.source, index)}"
        through = self.walk.names[self.line]
        return Step(
            phase="backward",
            title=f"{title}, the part through {through}" if partial else title,
            about=about(self.walk, self.chosen, self.source, index, "gradient"),
            says=self.says(mean),
            formula=self.formula,
            written=f"{goal} = {whole(lambda t: t.tex)}",
            plugged=whole(lambda t: t.plugged),
            result=value / self.walk.samples if mean else value,
            terms=terms,
            combine="sum over samples / N" if mean else "sum",
            where=self.where(),
            shapes=self.shapes(),
            source=Source.of(self.call.op.grad(self.arg)),
            detail={"through": through, "part": partial},
        )

    def says(self, mean: bool) -> str:
        what = f"How the loss answers to {self.walk.names[self.source]}"
        above = f"from how it answers to {self.walk.names[self.line]} (g)"
        if self.line == self.walk.losses.index:
            above = "it answers to itself with slope g = 1"
        return f"{what}: {above}{'; L is the mean over the samples' if mean else ''}."

    def where(self) -> dict[str, str]:
        above, below = self.walk.names[self.line], self.walk.names[self.source]
        letters = self.walk.where(self.call, self.line) | {left_side(self.call.op.formula): above}
        return {**letters, "g": f"∂ℓ/∂{above}", self.bar: f"∂{'L' if self.shared else 'ℓ'}/∂{below}"}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        sources = self.walk.record(self.line).sources
        found = {arg: self.walk.record(line).value.shape for arg, line in sources.items()}
        own = self.walk.record(self.source).value.shape
        return {**found, left_side(self.call.op.formula): self.g.shape, "g": self.g.shape, self.bar: own}

    def terms(self, index: Index, slopes: list[tuple[Index, float, str | None]]) -> tuple[Summand, ...]:
        if len(slopes) == 1 and slopes[0][2] is None:
            written = self.from_rule(index, *slopes[0][:2])
            if written is not None:
                return (written,)
        return tuple(self.summand(index, *slope) for slope in slopes)

    def summand(self, index: Index, q: Index, slope: float, name: str | None) -> Summand:
        """The product g_q · ∂y_q/∂x_i, the slope by its name where it has one."""
        many = self.shared and self.walk.samples > 1
        above = q if many else short(self.walk, self.line, q)
        g = entry("g", above)
        if name is None:
            x, y = entry(self.letter, short(self.walk, self.source, index)), entry(self.symbol, above)
            name = rf"\frac{{\partial {y}}}{{\partial {x}}}"
        if not name:  # the slope is 1 because nothing stands beside the entry
            return Summand.of(Term(g, (float(self.g[q]),)))
        factors = (float(self.g[q]), slope)
        exact = not any(map(is_rounded, factors))
        return Summand(rf"{g}\, {name}", product(factors), (g, name), factors, prod(factors), exact)

    @property
    def symbol(self) -> str:
        return left_side(self.call.op.formula)

    def from_rule(self, index: Index, q: Index, slope: float) -> Summand | None:
        """The rule itself, written for this entry; None where it is no formula for single entries."""
        head, _, tail = self.formula.partition("=")
        if BEYOND.search(tail):
            return None
        below = re.search(r"\}_\{?(\w+)\}?", head)
        bound = dict(zip(below[1], index, strict=False)) if below else {}
        letters: dict[str, Any] = {}
        told = {k: v for term in self.call.op.terms(self.call, q) for k, v in term.letters.items()}
        arrays: dict[str, Array] = {"g": self.g, self.symbol: self.call.out}
        arrays |= {arg: getattr(self.call, arg) for arg in self.call.op.args}
        for match in LETTER.finditer(tail):
            letter, below_it = match[1], match[2] or match[3] or ""
            if letter in arrays:
                at = tuple(bound[k] for k in below_it if k in bound) if below_it else index
                array = arrays[letter]
                if len(at) != array.ndim or (not below_it and array.shape != self.g.shape):
                    return None
                letters[match[0]] = (entry(letter, at[1:] or at), array[at])
            elif letter in told:
                letters[match[0]] = (letter, told[letter])
            else:
                return None
        tex = LETTER.sub(lambda match: letters[match[0]][0], tail.strip())
        return Summand.of(Term(tex, (float(self.g[q]), slope), dict(letters.values())))


def _sum_of_uses(walk: Walk, chosen: Chosen, line: int, index: Index) -> Step:
    """What comes back from several readers, added."""
    parts: dict[str, float] = defaultdict(float)
    for user, arg in reversed(walk.uses[line]):
        call = walk.record(user).call
        assert call is not None  # a use is a call
        parts[walk.names[user]] += float(call.op.grad(arg)(call, walk.gradient(user))[index])
    terms = tuple(
        Summand.of(Term(rf"\bar{{v}}_{{\mathrm{{{_name(user)}}}}}", (value,))) for user, value in parts.items()
    )
    return Step(
        phase="backward",
        title=f"∂ℓ/∂{title_of(walk, line, index)}, all together",
        about=about(walk, chosen, line, index, "gradient"),
        says=f"{walk.names[line]} is read by {', '.join(parts)}: what comes back from all of them is added.",
        formula=formula_of(backward),
        written=rf"\bar{{v}} = {combined(terms, 'sum', lambda t: t.tex)}",
        plugged=combined(terms, "sum", lambda t: t.plugged),
        result=float(walk.gradient(line)[index]),
        terms=terms,
        where={"v": walk.names[line]},
        shapes={"v": walk.record(line).value.shape},
        source=Source.of(backward),
        detail={"through": list(parts), "part": False},
    )


def _name(value: str) -> str:
    """A value's name as upright text: TeX takes an underscore for an index."""
    return value.replace("_", r"\ ").replace("#", r"\ ")
