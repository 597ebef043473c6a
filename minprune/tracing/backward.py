r"""The backward steps: one for every entry of every gradient, with the summands of the chain rule.

$\bar{x}_i = \sum_q g_q\, \partial y_q / \partial x_i$, the slopes from the rule itself: see `minprune.tracing.slopes`.
A slope that is one of the op's own factors, as the weight in $W_{q,i} x_i$, is called by its name. Where the rule is a
formula for single entries, as $\bar{x} = g\, y (1 - y)$, that is written out; else $\partial y_q / \partial x_i$ stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from math import prod

from ..ops import Call, Term
from ..tensor import backward
from .focus import Chosen, Index
from .forward import about, short, title_of
from .slopes import Slope, Track, by_rule, slopes
from .steps import Source, Step, formula_of
from .walk import Walk
from .writing import Summand, combined, entry, is_rounded, left_side, product


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
        """A step for each of these entries."""
        if not wanted:
            return
        found = self.call.op.grad(self.arg)(self.call, self.g)
        labels = {index: entry(self.letter, short(self.walk, self.source, index)) for index in wanted}
        by_entry = slopes(self.call, self.arg, labels, not self.shared, track)
        for index in wanted:
            yield self.step(index, float(found[index]), by_entry[index], partial)

    def step(self, index: Index, value: float, found: list[Slope], partial: bool) -> Step:
        terms = self.terms(index, found)
        mean = self.shared and self.walk.samples > 1

        def whole(write: Callable[[Summand], str]) -> str:
            text = combined(terms, "sum", write)
            return f"({text}) / {self.walk.samples}" if mean else text

        title = f"∂{'L' if self.shared else 'ℓ'}/∂{title_of(self.walk, self.source, index)}"
        through = self.walk.names[self.line]
        return Step(
            phase="backward",
            title=f"{title}, the part through {through}" if partial else title,
            about=about(self.walk, self.chosen, self.source, index, "gradient"),
            says=self.says(mean),
            formula=self.formula,
            written=f"{entry(self.bar, short(self.walk, self.source, index))} = {whole(lambda t: t.tex)}",
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

    def terms(self, index: Index, found: list[Slope]) -> tuple[Summand, ...]:
        """The summands of one entry."""
        if len(found) == 1 and found[0].name is None:
            term = by_rule(self.call, self.arg, self.g, index, found[0])
            if term is not None:
                return (Summand.of(term),)
        return tuple(self.summand(index, slope) for slope in found)

    def summand(self, index: Index, slope: Slope) -> Summand:
        """The product g_q · ∂y_q/∂x_i, the slope by its name where it has one."""
        many = self.shared and self.walk.samples > 1
        above = slope.q if many else short(self.walk, self.line, slope.q)
        g, name = entry("g", above), slope.name
        if name is None:
            y = entry(left_side(self.call.op.formula), above)
            x = entry(self.letter, short(self.walk, self.source, index))
            name = rf"\frac{{\partial {y}}}{{\partial {x}}}"
        factors = (float(self.g[slope.q]), slope.value)
        if not name:
            return Summand.of(Term(g, factors[:1]))
        exact = not any(map(is_rounded, factors))
        return Summand(rf"{g}\, {name}", product(factors), (g, name), factors, prod(factors), exact)


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
