"""The trace of a network: all steps together, as an object, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from ..datasets.samples import as_samples, count
from ..errors import DataError
from ..nn import Graph
from ..progress import track
from ..pruning.deciding import Strategy
from ..pruning.plan import Plan
from ..reports import brief
from ..scores import CRITERIA, Scores
from ..targets import choose_loss
from .backward import backward_steps
from .cutting import check_steps, removal_steps
from .deciding import Scored, decision_steps, score_steps
from .focus import Chosen, Focus
from .forward import forward_steps
from .program import LARGEST, as_array, program
from .steps import Step, plain
from .text import step_text, text_of
from .walk import Walk

FORMAT = "minprune trace 1"
LIMIT = 3_000  # steps forward and backward
RULES = ("inverse_sensitivity", "taylor", "leave_one_out")  # the document's, its correction, and the truth


@dataclass(frozen=True, eq=False)
class Trace:
    """What `trace` found.

    Attributes
    ----------
    net : Graph
        In float64.
    dtype : str
        What the network's numbers were before.
    x, y : arrays
        The samples.
    loss : str
    focus : Focus
    steps : tuple of Step
        All of them, in order.
    scores : mapping
        Criterion -> its scores.
    walk : Walk
        The pass that the steps were read from.
    """

    net: Graph
    dtype: str
    x: Any
    y: Any
    loss: str
    focus: Focus
    steps: tuple[Step, ...]
    scores: dict[str, Scores]
    walk: Walk

    def to_text(self) -> str:
        """All steps as text, the phases as headings."""
        return text_of(self.steps)

    def step_text(self, number: int) -> str:
        """One step as text."""
        return step_text(self.steps, number)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; see `minprune.tracing`."""
        small = sum(array.size for array in self.net.arrays.values()) <= LARGEST
        found_in = dict.fromkeys(step.source for step in self.steps if step.source is not None)
        sources = {source: number for number, source in enumerate(found_in)}
        found = {
            "format": FORMAT,
            "network": self._network(),
            "focus": asdict(self.focus),
            "sources": [asdict(source) for source in sources],
            "steps": [
                {**asdict(step), "exact": step.exact, "source": step.source and sources[step.source]}
                for step in self.steps
            ],
            "scores": {
                name: {
                    "formula": CRITERIA[name].formula,
                    "source": CRITERIA[name].source,
                    "by_group": {group: values.tolist() for group, values in scores.items()},
                }
                for name, scores in self.scores.items()
            },
            "values": self._values() if small else None,
            "gradients": self._gradients() if small else None,
            "program": program(self.net, self.x, self.y, self.loss),
        }
        return plain(found)

    def to_json(self) -> str:
        """The trace as JSON: ``"minprune trace 1"``, see `minprune.tracing`."""
        return json.dumps(self.as_dict(), allow_nan=False, ensure_ascii=False)

    def _network(self) -> dict[str, Any]:
        net = self.net
        shapes = {name: tensor.shape[1:] for name, tensor in self.walk.values.items()}
        nodes = [
            {
                "name": name,
                "kind": node.layer.kind,
                "layer": brief(node.layer),
                "inputs": node.inputs,
                "shape": shapes[name],
            }
            for name, node in net.nodes.items()
        ]
        groups = [
            {
                "name": group.name,
                "size": group.size,
                "stays": group.stays,
                "values": {value: owner.tolist() for value, owner in group.channels.items()},
            }
            for group in net.neurons.values()
        ]
        return {
            "inputs": {name: shapes[name] for name in net.inputs},
            "nodes": nodes,
            "groups": groups,
            "output": net.output,
            "loss": self.loss,
            "samples": self.walk.samples,
            "dtype": self.dtype,
        }

    def _values(self) -> dict[str, Any]:
        return {name: as_array(tensor.value) for name, tensor in self.walk.values.items()}

    def _gradients(self) -> dict[str, Any]:
        of_values = {name: as_array(self.walk.gradients[tensor]) for name, tensor in self.walk.values.items()}
        lines = {name: line for line, name in enumerate(self.walk.names) if name in self.net.params}
        return of_values | {
            name: as_array(self.walk.gradient(line) / self.walk.samples) for name, line in lines.items()
        }

    def __repr__(self) -> str:
        phases = dict.fromkeys(step.phase for step in self.steps)
        counts = (f"{phase} {sum(step.phase == phase for step in self.steps)}" for phase in phases)
        return f"<Trace: {len(self.steps)} steps; {', '.join(counts)}>"


def trace(
    net: Graph,
    x: Any,
    y: Any,
    loss: str | None = None,
    plan: Plan | Strategy | None = None,
    criteria: Sequence[str] = RULES,
    focus: Focus | None = None,
    *,
    rng: int = 0,
    progress: bool = True,
) -> Trace:
    r"""Follow a network number by number: forward, backward, scores, decision, removal and check.

    $z_j = \sum_i W_{ji} x_i + b_j$, written out for every entry, and likewise for all that comes after.

    Parameters
    ----------
    net : Graph
        Is not changed; it is run in evaluation mode, in float64.
    x, y : arrays
        The samples (N, …) and their targets.
    loss : str, optional
        By default cross-entropy for integer y, else mse.
    plan : Plan or strategy, optional
        Who goes: a plan, or a strategy such as `Global(2)`, which is applied to the scores of every criterion; removed
        is what the first one chooses. Without it the trace ends with the scores.
    criteria : sequence of str
        By which rules the neurons are scored.
    focus : Focus, optional
        Which layer, neuron and sample to follow; by default all.
    rng : int
        A seed, for criteria that draw.
    progress : bool
        Show a bar where it takes long.

    Returns
    -------
    Trace

    Raises
    ------
    DataError
        When there are more than 3,000 entries to follow, something is not finite, or a criterion is not known.
    StructureError
        When the focus is on a group or neuron that is not there.

    Notes
    -----
    Source: spec D (document 4.3).

    Examples
    --------
    >>> from minprune.worked import LOSS, TARGET, X, network
    >>> found = trace(network(), X, TARGET, LOSS)
    >>> found
    <Trace: 80 steps; forward 16, backward 49, scores 15>
    >>> print(found.step_text(0))
    1/80  dense1[0]
      Every neuron's weighted sum of the inputs, plus its bias.
    <BLANKLINE>
      z = x Wᵀ + b
      where  x = input (1, 3), W = dense1.W (5, 3), b = dense1.b (5,), z = dense1 (1, 5)
    <BLANKLINE>
      z₀ = W₀,₀ x₀ + W₀,₁ x₁ + W₀,₂ x₂ + b₀
         = 0.3 · 1 + 0.3 · 2 + 0.1 · 3 − 0.1
         = 1.1
    <BLANKLINE>
      minprune/ops/affine.py:...  return affine(c.x, c.W, c.b)
    """
    x, y = as_samples((x, y))
    if isinstance(criteria, str):
        raise DataError(f"trace: criteria is {criteria!r}, expected a list of names: [{criteria!r}]")
    unknown = [name for name in criteria if name not in CRITERIA]
    if unknown:
        raise DataError(f"trace: unknown criterion {unknown[0]!r}; expected one of {', '.join(CRITERIA)}")
    if plan is not None and not isinstance(plan, Plan) and not hasattr(plan, "choose"):
        raise DataError(f"trace: plan is {plan!r}, expected a Plan or a strategy such as Global(2)")
    focus = Focus() if focus is None else focus
    focus.check(net, count(x))
    loss = choose_loss(y) if loss is None else loss
    wide = net.astype(np.float64)
    walk = Walk.through(wide, x, y, loss)
    chosen = Chosen(walk, focus)
    _small_enough(walk, chosen)
    bar = partial(track, description="backward", show=progress)
    steps = [*forward_steps(walk, chosen), *backward_steps(walk, chosen, lambda items: bar(items))]
    scored = Scored.of(net, walk, x, y, criteria, rng, progress)
    steps += score_steps(scored, focus, rng)
    if plan is not None:
        steps += _from_decision(net, walk, scored, plan, focus)
    return Trace(wide, net.dtype.name, x, y, loss, focus, tuple(steps), dict(scored.by), walk)


def _from_decision(net: Graph, walk: Walk, scored: Scored, plan: Plan | Strategy, focus: Focus) -> list[Step]:
    """Who goes, what goes with them, and what that does."""
    steps, plans = decision_steps(scored, plan, focus)
    first = next(iter(plans.values()), None)
    if first is None:
        raise DataError("trace: a strategy decides by scores; name a criterion, or the network has no hidden neurons")
    context = scored.context
    return [
        *steps,
        *removal_steps(net, first),
        *check_steps(walk, context.x, context.y, context.loss, plans),
    ]


def _small_enough(walk: Walk, chosen: Chosen) -> None:
    """Refuse what nobody would read."""
    records = walk.tape.records
    forward = [line for line, record in enumerate(records) if record.call is not None]
    backward = [line for line, uses in walk.uses.items() for _ in uses]
    found = sum(sum(1 for _ in chosen.entries(line)) for line in chain(forward, backward))
    if found > LIMIT:
        raise DataError(
            f"trace: {found:,} entries to follow, expected at most {LIMIT:,}; name a layer, neuron or sample: "
            "focus=Focus(layer='dense1', neuron=0, sample=0)"
        )
