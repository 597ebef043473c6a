"""The steps of the removal, array by array, and of the check: the smaller network computes what the masked one does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..certificate import Certificate
from ..neurons import staying
from ..nn import Graph
from ..ops import LOSSES, Array, Mean
from ..pruning.certifying import certify
from ..pruning.plan import Plan
from ..pruning.sizes import sizes_without
from ..pruning.surgery import mask, masked, remove
from ..targets import prepare_targets
from ..tensor import apply
from .steps import About, Source, Step, formula_of
from .walk import Walk
from .writing import Summand, is_rounded, number, some


def removal_steps(net: Graph, plan: Plan) -> Iterator[Step]:
    """One step per array axis that loses entries, then what is left in all."""
    for name, axes in staying(net, plan.drop).items():
        before = net.arrays[name].shape
        after = tuple(len(axes[axis]) if axis in axes else size for axis, size in enumerate(before))
        for axis, kept in axes.items():
            dropped = np.setdiff1d(np.arange(before[axis]), kept).tolist()
            yield Step(
                phase="removal",
                title=f"{name}: {_entries(len(before), axis)} {some(dropped)} go",
                about=About("array", name),
                says=_role(net, plan, name, axis),
                shapes={name: before, f"{name} afterwards": after},
                source=Source.of(staying),
                detail={"axis": axis, "dropped": dropped, "kept": kept.tolist(), "before": before, "after": after},
            )
    sizes = sizes_without(net, plan.drop)
    yield Step(
        phase="removal",
        title="what is left",
        about=About("network", "sizes"),
        says="Arrays get smaller, so there is less to store and less to compute.",
        source=Source.of(remove),
        detail={"sizes": sizes},
    )


def _entries(ndim: int, axis: int) -> str:
    if ndim == 1:
        return "entries"
    return ("filters" if ndim > 2 else "rows") if axis == 0 else ("channels" if ndim > 2 else "columns")


def _role(net: Graph, plan: Plan, name: str, axis: int) -> str:
    """Why an array loses entries: it makes the dropped neurons, carries or reads them."""
    words = (("produced", "make"), ("carried", "go along with"), ("consumed", "read"))
    for group in plan.drop:
        for role, does in words:
            if any((piece.array, piece.axis) == (name, axis) for piece in getattr(net.neurons[group], role)):
                return f"They {does} {group}[{some(plan.drop[group])}]."
    return ""


def check_steps(walk: Walk, x: Any, y: Any, loss: str, plans: Mapping[str, Plan]) -> Iterator[Step]:
    """Masked and removed side by side for the first plan, then what every plan does to the loss."""
    net = walk.net
    name, plan = next(iter(plans.items()))
    closed, small = masked(net, plan), remove(net, plan, data=x)
    found = certify(closed, small, x)
    yield from _outputs(closed(x), small(x), found)
    for name, plan in plans.items():
        yield _loss_step(walk, name, plan, _losses(masked(net, plan)(x), y, loss, net))


def _outputs(closed: Array, small: Array, found: Certificate) -> Iterator[Step]:
    yield Step(
        phase="check",
        title="masked ≡ removed",
        about=About("network", "output"),
        says="The smaller network is run beside the one whose dropped neurons are held at 0.",
        formula=formula_of(mask),
        written=r"\max |\mathrm{masked} - \mathrm{removed}|",
        result=found.max_difference,
        source=Source.of(certify),
        detail={
            "masked": closed.tolist(),
            "removed": small.tolist(),
            "difference": found.max_difference,
            "bound": found.bound,
            "ok": found.ok,
            "inputs": found.inputs,
        },
    )


def _losses(output: Array, y: Any, loss: str, net: Graph) -> Array:
    return np.asarray(apply(LOSSES[loss], output, prepare_targets(y, output.shape, loss, net.dtype)))


def _loss_step(walk: Walk, name: str, plan: Plan, losses: Array) -> Step:
    before, after = float(walk.loss.value), float(apply(Mean, losses))
    terms = [
        Summand(tex, number(value), (), (value,), value, not is_rounded(value))
        for tex, value in ((r"L_{\setminus S}", after), ("-L", -before))
    ]
    gone = ", ".join(f"{group}[{some(neurons)}]" for group, neurons in plan.drop.items()) or "nothing"
    return Step(
        phase="check",
        title=f"what the choice of {name} does to the loss",
        about=About("network", "loss"),
        says=f"The loss without {gone}, less the loss with all neurons: above 0 the network got worse.",
        written=r"L_{\setminus S} - L",
        plugged=f"{number(after)} - {number(before)}",
        result=after - before,
        terms=tuple(terms),
        source=Source.of(masked),
        detail={"plan": name, "drop": plan.drop, "loss": before, "without": after},
    )
