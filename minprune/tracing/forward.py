"""The forward steps: one for every entry that an op computes, with the summands that the op itself tells."""

from __future__ import annotations

from collections.abc import Iterator

from ..ops import Call
from .focus import Chosen, Index
from .steps import About, Source, Step, first_line
from .walk import Walk
from .writing import Summand, combined, entry, left_side


def forward_steps(walk: Walk, chosen: Chosen) -> Iterator[Step]:
    """All steps from the inputs to the mean loss, in the order in which they were computed."""
    for line, record in enumerate(walk.tape.records):
        if record.call is None:
            continue
        for index in chosen.entries(line):
            yield _step(walk, chosen, line, record.call, index)


def _step(walk: Walk, chosen: Chosen, line: int, call: Call, index: Index) -> Step:
    terms = tuple(Summand.of(term) for term in call.op.terms(call, index))
    symbol = left_side(call.op.formula)
    letters = walk.where(call, line) | {symbol: walk.names[line]}
    shapes = {arg: walk.record(source).value.shape for arg, source in walk.record(line).sources.items()}
    return Step(
        phase="forward",
        title=title_of(walk, line, index),
        about=about(walk, chosen, line, index, "value"),
        says=first_line(call.op),
        formula=call.op.formula,
        written=f"{entry(symbol, short(walk, line, index))} = {combined(terms, call.op.combine, lambda t: t.tex)}",
        plugged=combined(terms, call.op.combine, lambda t: t.plugged),
        result=float(call.out[index]),
        terms=terms,
        combine=call.op.combine,
        where=letters,
        shapes=shapes | {symbol: call.out.shape},
        source=Source.of(call.op.forward),
    )


def short(walk: Walk, line: int, index: Index) -> Index:
    """An index as it is written: without the sample, except where there is nothing else (the losses)."""
    return index if walk.is_array(line) or len(index) < 2 else index[1:]


def title_of(walk: Walk, line: int, index: Index) -> str:
    """A value's name and entry, and of which sample where there are several."""
    many = walk.samples > 1 and not walk.is_array(line) and line != walk.loss.index
    if line in (walk.losses.index, walk.loss.index):
        return f"{walk.names[line]} of sample {index[0]}" if index and walk.samples > 1 else walk.names[line]
    where = ",".join(map(str, short(walk, line, index)))
    return f"{walk.names[line]}[{where}]{f' of sample {index[0]}' if many else ''}"


def about(walk: Walk, chosen: Chosen, line: int, index: Index, kind: str) -> About:
    """What a step is about, whose neuron and which sample included."""
    shared = walk.is_array(line) or not index
    group, neuron = chosen.neuron(line, index) or (None, None)
    return About(kind, walk.names[line], index, None if shared else index[0], group, neuron)
