"""Files without a batch axis: all that they are given is one sample, and the network puts the batch in front of it.

A file that fixes every size may count something else than samples on its first axis, or drop that axis on the way:
a controller that reads a vector of 4, or a digit reader for exactly one image whose last step makes a row of 10 of
(1, 10). Where the usual reading would mix samples, such a file is read *whole*: its axes are all axes of one sample.

An axis of size 1 in front is not stored but remembered, as -1 in `Held.order`. As long as it is there, nodes are taken
over as if it were the batch, which it is; where a node takes it away or computes along the first axis, the rules in
`rules.whole` say what that means for a sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import MinpruneError
from ...layers import Rearrange

if TYPE_CHECKING:
    from .nodes import OnnxNode
    from .translating import Held, Translator

MISFIT = (MinpruneError, ValueError, IndexError, TypeError)  # what a rule raises at a use that it does not cover


def leads(held: Held) -> int:
    """How many axes of size 1 in front of a value are only remembered."""
    return next((place for place, axis in enumerate(held.order) if axis != -1), len(held.order))


def take_whole(t: Translator, node: OnnxNode) -> None:
    """Take over one node of a file that is read whole."""
    from .rules.whole import VIEWS, WHOLE

    names = sorted({name for name in node.inputs if name in t.held})
    if names and all(leads(t.held[name]) for name in names) and _as_batch(t, node, names):
        return
    if node.op not in WHOLE:
        raise node.error("reads several samples at once, whose number the file fixes; expected a free batch axis, or 1")
    if node.op not in VIEWS:
        for name in names:
            t.held[name] = stored(t, t.held[name])
    WHOLE[node.op](t, node)


def _as_batch(t: Translator, node: OnnxNode, names: list[str]) -> bool:
    """Take a node over as if the axis in front were the batch; False, and nothing done, where it is not used as one."""
    from .rules import RULES
    from .translating import Held

    before = t.state()
    t.whole, t.batch = False, 1
    kept = {name: t.held[name] for name in names}
    t.held.update({name: Held(held.name, held.order[1:]) for name, held in kept.items()})
    try:
        RULES[node.op](t, node)
    except MISFIT:
        t.restore(before)
        return False
    finally:
        t.whole, t.batch = True, None
    for output in node.outputs:
        if output in t.held:
            t.held[output] = Held(t.held[output].name, (-1, *t.held[output].order))
    t.held.update(kept)
    return True


def stored(t: Translator, held: Held) -> Held:
    """The value with its remembered axes stored, as any others."""
    from .translating import Held

    count = leads(held)
    if not count:
        return held
    order, sizes = held.order[count:] or (0,), t.shape(held)
    name = t.fresh(f"{held.name}.with{count}")
    if name not in t.nodes:
        t.add(name, Rearrange(order, (1, *sizes[1:])), (held.name,))
    return Held(name, tuple(range(len(held.order))))
