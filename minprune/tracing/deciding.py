"""The steps of scores and decisions: every neuron's score with its terms, then who goes and where the line is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..neurons import hidden
from ..nn import Graph
from ..pruning.deciding import Strategy, decide
from ..pruning.plan import Plan
from ..scores import CRITERIA, Context, Criterion, Scores, Terms, score
from ..scores.gates import GateCriterion
from .focus import Focus
from .steps import About, Source, Step, first_line
from .walk import Walk
from .writing import Summand, combined, is_rounded, number


@dataclass(frozen=True)
class Scored:
    """The scores of all hidden neurons by several criteria, and what they are taken from.

    Attributes
    ----------
    context : Context
        Network (in float64), samples and loss; its groups are those that are scored.
    by : mapping
        Name of the criterion -> scores. They belong to the network as it was given: its bytes are what a plan counts.
    """

    context: Context
    by: Mapping[str, Scores]

    @classmethod
    def of(cls, given: Graph, walk: Walk, x: Any, y: Any, criteria: Sequence[str], rng: int, progress: bool) -> Scored:
        """Score by every criterion."""
        net, loss = walk.net, walk.loss_name
        names = hidden(net)
        groups = tuple(net.neurons[name] for name in names)
        context = Context(net, groups, x, y, loss, 1024, np.random.default_rng(rng), progress)
        by = {
            name: score(net, (x, y), name, loss=loss, groups=names, rng=rng, progress=progress)
            for name in (criteria if names else ())
        }
        return cls(context, {name: replace(scores, net=given) for name, scores in by.items()})


def score_steps(scored: Scored, focus: Focus, rng: int) -> Iterator[Step]:
    """For every criterion one step per neuron."""
    for name, scores in scored.by.items():
        rule = CRITERIA[name]()
        for group, values in scores.items():
            for j in range(len(values)):
                if focus.layer in (None, group) and focus.neuron in (None, j):
                    yield _score_step(scored.context, rule, group, j, float(values[j]), rng)


def _score_step(context: Context, rule: Criterion, group: str, j: int, value: float, rng: int) -> Step:
    only = (context.net.neurons[group],)
    again = Context(context.net, only, context.x, context.y, context.loss, 1024, np.random.default_rng(rng), False)
    told = rule.terms(again, j)
    terms = () if told is None else tuple(_summand(told, i) for i in range(len(told.values)))
    combine = "sum" if told is None else told.reduction
    made = (
        r"\mathrm{"
        + (f"{combine} of {len(terms)} term{'s' * (len(terms) != 1)}" if told else "the rule").replace(" ", r"\ ")
        + "}"
    )
    return Step(
        phase="scores",
        title=f"{rule.name} of {group}[{j}]",
        about=About("neuron", rule.name, group=group, neuron=j),
        says=f"{first_line(type(rule))} The larger, the more it deserves to stay.",
        formula=rule.formula,
        written=rf"I_{{{j}}} = {made}",
        plugged="" if told is None else _plugged(told, terms, value),
        result=value,
        terms=terms,
        combine=combine,
        source=Source.of(type(rule).sample if isinstance(rule, GateCriterion) else type(rule).score),
        detail={
            "of": None if told is None else told.of,
            "reduced": None if told is None else told.reduced,
            "source": rule.source,
        },
    )


def _summand(told: Terms, i: int) -> Summand:
    """One term of a score, with what stands beside it."""
    value = float(told.values[i])
    columns = {name: float(column[i]) for name, column in told.columns.items()}
    label = rf"\mathrm{{{told.of}\ {told.label(i)}}}".replace("_", r"\_")
    return Summand(label, number(value), (), (value,), value, not is_rounded(value), columns)


def _plugged(told: Terms, terms: Sequence[Summand], value: float) -> str:
    """The reduction in numbers, and what the formula makes of it, where that is more than the reduction."""
    text = combined(terms, told.reduction, lambda term: term.plugged)
    if np.isclose(told.reduced, value, rtol=1e-12, atol=0):
        return text
    total = f" = {number(told.reduced)}" if len(terms) > 1 else ""
    return rf"{text}{total} \to {number(value)}"


def decision_steps(scored: Scored, plan: Plan | Strategy, focus: Focus) -> tuple[list[Step], dict[str, Plan]]:
    """Who goes: by a plan that was given, or by the strategy and the scores of each criterion."""
    if isinstance(plan, Plan):
        return [_given(plan)], {"the plan": plan}
    plans = {name: decide(scores, plan) for name, scores in scored.by.items()}
    return [_decided(plans[name], scores, plan, focus) for name, scores in scored.by.items()], plans


def _decided(plan: Plan, scores: Scores, strategy: Strategy, focus: Focus) -> Step:
    ranked = sorted(
        ((group, j, float(value)) for group, values in scores.items() for j, value in enumerate(values)),
        key=lambda entry: entry[2],
    )
    order = [{"group": g, "neuron": j, "score": s, "goes": j in plan.drop.get(g, [])} for g, j, s in ranked]
    terms = tuple(Summand(rf"\mathrm{{{g}[{j}]}}", number(s), (), (s,), s, not is_rounded(s)) for g, j, s in ranked)
    detail: dict[str, Any] = {"criterion": scores.criterion, "drop": plan.drop, "order": order, "why": plan.explain()}
    if focus.layer is not None and focus.neuron is not None and focus.layer in scores:
        detail["why"] = plan.why(focus.layer, focus.neuron, scores)
    return Step(
        phase="decision",
        title=f"who goes by {scores.criterion}",
        about=About("plan", scores.criterion),
        says=f"{first_line(type(strategy))} From the lowest score up.",
        terms=terms,
        combine="order",
        source=Source.of(type(strategy).choose),
        detail=detail,
    )


def _given(plan: Plan) -> Step:
    return Step(
        phase="decision",
        title="who goes by the plan that was given",
        about=About("plan", "plan"),
        says="The plan was made elsewhere; it says why itself.",
        source=Source.of(Plan.explain),
        detail={"criterion": None, "drop": plan.drop, "order": [], "why": plan.explain()},
    )
