"""Trying a node out: does it run, and does it treat every sample by itself?

The evidence: on seeded samples, three at once, each alone, and two of them in another order must give the same. The
sizes of the result for one, two and three samples say which of its axes counts them. An op that picks by computed
indices can look innocent on a few samples, so it may not pick along that axis at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from ....errors import FileError
from ....ops import Array
from ..reading import told
from .allowed import check_allowed
from .costs import cost, too_long
from .executing import Evaluator, single
from .facts import FLOATS, KINDS, Fact, common, constant_at
from .sizes import Known, inferred

COUNTS = (1, 2, 3)
MOST_NUMBERS = 1 << 23  # that a node reads and makes for three samples
MOST_WORK = 1 << 27  # of all nodes of a file
PICKING = ("Gather", "GatherElements")
CLOSE = {1: 1e-3, 10: 3e-2, 11: 1e-6}  # sums may be taken in another order: by kind of numbers


class MixedError(FileError):
    """A sample has another result by itself than among others."""


Facts = dict[str, Fact]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]
DRAWS: tuple[Draw, ...] = (  # a logarithm wants positive numbers, an inverse cosine small ones, acosh none below 1
    lambda rng, sizes: rng.uniform(0.1, 0.9, sizes),
    lambda rng, sizes: rng.standard_normal(sizes),
    lambda rng, sizes: rng.uniform(1.1, 3, sizes),
)


@dataclass
class Budget:
    """How much may still be tried out."""

    left: int = MOST_WORK

    def spend(self, node: Any, work: int) -> None:
        """Refuse what is too much."""
        if work > self.left:
            raise FileError(
                f"{told(node)}: trying it out would take {work:,} steps, and {self.left:,} are left of a file's"
            )
        self.left -= work


def tried(node: Any, opset: int, known: Known, together: bool, budget: Budget) -> Facts:
    """What is known of a node's outputs, after it was tried out.

    Parameters
    ----------
    node : NodeProto
    opset : int
    known : mapping
        Every name that it reads: a `Fact`, or a constant.
    together : bool
        Whether samples come in batches; else one at a time.
    budget : Budget

    Raises
    ------
    FileError
        By node and op: it may not be kept, cannot be executed, is too large, or mixes samples.

    Examples
    --------
    >>> from onnx import helper
    >>> node = helper.make_node("ReduceMax", ["x"], ["y"], axes=[1], keepdims=0)
    >>> tried(node, 17, {"x": Fact(1, (None, 5, 2))}, True, Budget())
    {'y': Fact(kind=1, sizes=(None, 2), times=1, apart=False)}
    """
    check_allowed(node, opset)
    if not together:
        known = {name: Fact(x.kind, x.at(1)) if isinstance(x, Fact) else constant_at(x, 1) for name, x in known.items()}
    counts = COUNTS if together else COUNTS[:1]
    by_count = [inferred(node, opset, known, count) for count in counts]
    _within_limits(node, known, by_count[-1], counts[-1], budget)
    facts = {}
    for name, (kind, sizes) in by_count[0].items():
        found = common(kind, [made[name][1] for made in by_count], counts) if together else Fact(kind, sizes)
        if found is None or any(made[name][0] != kind for made in by_count):
            raise FileError(f"{told(node)}: it mixes samples: no axis of {name!r} counts them")
        facts[name] = found
    if node.op_type in PICKING:
        _check_picking(node, known)
    return _laid_out(node, single(node, opset), known, facts, together)


def _laid_out(node: Any, run: Evaluator, known: Known, facts: Facts, together: bool) -> Facts:
    """The facts, after a look; where a sample has several entries of an axis, as these lie.

    Both ways can look right where results are the same for all samples, as those of a comparison can be. Whoever reads
    them next would be judged by a guess, so that is refused, unless nothing that is computed is read.
    """
    ways = [facts]
    if any(fact.times > 1 for fact in facts.values()):
        ways.append({name: replace(fact, apart=fact.times > 1) for name, fact in facts.items()})
    right, wrong = [], []
    for way in ways:
        try:
            _look(node, run, known, way, together)
            right.append(way)
        except MixedError as error:
            wrong.append(error)
    if not right:
        raise wrong[0]
    if len(right) > 1 and any(isinstance(value, Fact) for value in known.values()):
        raise FileError(f"{told(node)}: which of its numbers belong to which sample cannot be told")
    return right[0]


def constants_of(node: Any, opset: int, known: Mapping[str, Array], budget: Budget) -> dict[str, Array]:
    """What a node makes of constants alone.

    Raises
    ------
    FileError
        As `tried` does.
    """
    check_allowed(node, opset)
    made = inferred(node, opset, known, 1)
    _within_limits(node, known, made, 1, budget)
    found = single(node, opset)(known)
    return {name: y for name, y in found.items() if y.shape == made[name][1]}


def _within_limits(node: Any, known: Known, made: dict[str, Any], count: int, budget: Budget) -> None:
    """Refuse what is too large before it is computed."""
    read = [x.at(count) if isinstance(x, Fact) else x.shape for x in (known[name] for name in node.input if name)]
    sizes = [sizes for _, sizes in made.values()]
    numbers = sum(map(prod, read + sizes))
    if numbers > MOST_NUMBERS or too_long(node.op_type, read):
        raise FileError(f"{told(node)}: {numbers:,} numbers for {count} samples, expected at most {MOST_NUMBERS:,}")
    budget.spend(node, cost(node, read, sizes))


def _check_picking(node: Any, known: Known) -> None:
    """Refuse to pick along the axis that counts samples."""
    data = known[node.input[0]]
    axis = next((int(attribute.i) for attribute in node.attribute if attribute.name == "axis"), 0)
    if isinstance(data, Fact) and data.axis is not None and axis in (data.axis, data.axis - len(data.sizes)):
        raise FileError(f"{told(node)}: it picks along the batch axis: samples would be mixed")


def _look(node: Any, run: Evaluator, known: Known, facts: Facts, together: bool) -> None:
    """Run it on seeded samples of several kinds; at least once all of its results must be finite."""
    count = COUNTS[-1] if together else 1
    finite = False
    for draw in DRAWS:
        feeds = _fed(run, known, draw, count)
        whole = _made(node, run, facts, feeds, count)
        finite = finite or all(np.isfinite(y).all() for y in whole.values())
        for rows in ([0], [1], [2], [2, 0]) if together else ([0],):
            some = {name: _rows(value, known[name], rows) for name, value in feeds.items()}
            part = _made(node, run, facts, some, len(rows))
            for name, y in part.items():
                _compare(node, y, facts[name].rows(whole[name], rows), facts[name].kind)
    if not finite:
        raise FileError(f"{told(node)}: its results are not finite")


def _rows(value: Array, known: Fact | Array, rows: list[int]) -> Array:
    """Some samples of a value, or of a constant that depends on their number."""
    return known.rows(value, rows) if isinstance(known, Fact) else constant_at(known, len(rows))


def _fed(run: Evaluator, known: Known, draw: Draw, count: int) -> dict[str, Array]:
    """Numbers to run it on. Whole numbers may be indices: 0 and 1, or 0 alone where there is no 1."""
    feeds = dict(_drawn(known, draw, count, 2))
    try:
        run(feeds)
    except FileError:
        return dict(_drawn(known, draw, count, 1))
    return feeds


def _drawn(known: Known, draw: Draw, count: int, most: int) -> Iterator[tuple[str, Array]]:
    rng = np.random.default_rng(0)
    for name, value in known.items():
        if not isinstance(value, Fact):
            yield name, constant_at(value, count)
        elif value.kind in FLOATS:
            yield name, draw(rng, value.at(count)).astype(KINDS[value.kind])
        else:
            yield name, rng.integers(0, most, value.at(count)).astype(KINDS[value.kind])


def _made(node: Any, run: Evaluator, facts: Facts, feeds: dict[str, Array], count: int) -> dict[str, Array]:
    """What it makes, in the sizes and kinds that were told ahead."""
    made = run(feeds)
    for name, fact in facts.items():
        y = made[name]
        if y.shape != fact.at(count) or y.dtype != KINDS[fact.kind]:
            raise FileError(f"{told(node)}: {name!r} is {y.dtype} {y.shape}, expected {fact.at(count)}")
    return {name: made[name] for name in facts}


def _compare(node: Any, y: Array, wanted: Array, kind: int) -> None:
    close = CLOSE.get(kind, 0.0)
    if not np.allclose(y, wanted, rtol=close, atol=close, equal_nan=True):
        raise MixedError(f"{told(node)}: it mixes samples: one of them has another result by itself than among others")
