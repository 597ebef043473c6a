"""Commands that tell what neurons matter."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

import numpy as np

from .. import worked as worked_example
from ..errors import DataError
from ..explaining.explanation import explain as explain_neuron
from ..files import atomic_write
from ..formats import load
from ..nn import Graph
from ..reports import table
from ..scores import CRITERIA
from ..scores import score as score_network
from ..truth import FRACTIONS
from ..truth import agreement as agreement_of
from .pruning import fraction_of
from .shared import Outcome, can_be_written, for_network, tuning

WORKED = {"worked": "sigmoid", "worked-linear": "linear"}  # what the example's networks are called: their output


def score(args: Namespace) -> Outcome:
    """Score a network's neurons."""
    net = load(args.model)
    found = score_network(net, for_network(net, args, args.data), args.criterion, rng=args.seed, progress=True)
    rows = [
        (group, len(v), float(v.min()), float(np.median(v)), float(v.max()), " ".join(map(str, np.argsort(v)[:8])))
        for group, v in found.items()
    ]
    content = {
        "criterion": found.criterion,
        "scores": {group: [x if np.isfinite(x) else str(x) for x in v.tolist()] for group, v in found.items()},
    }
    if args.output:
        with atomic_write(args.output) as file:
            file.write(json.dumps(content).encode())
    head = ("group", "neurons", "lowest", "median", "highest", "first to go")
    rule = CRITERIA[found.criterion]
    return f"{rule.name}: {rule.formula}  ({rule.source})\n{table(head, rows)}", content


def agreement(args: Namespace) -> Outcome:
    """Hold every score against the exact cost of each removal, and try its choices."""
    if args.output:
        can_be_written(args.output, "a figure", (".png", ".svg"))
    net, data, loss = _network_and_data(args)
    found = agreement_of(
        net,
        data,
        args.criteria,
        fractions=args.fractions or FRACTIONS,
        ranking=args.ranking,
        finetune=tuning(args, args.epochs),
        scratch=tuning(args, args.scratch_epochs),
        loss=loss,
        rng=args.seed,
        progress=True,
    )
    text, content = str(found), found.as_dict()
    if args.output:
        from .. import plots

        measure = "loss" if args.model in WORKED else None  # accuracy on one sample is 0 or 1
        plots.save(plots.agreement_figure(found, measure), args.output)
        text, content = f"{text}\nfigure: {args.output}", content | {"figure": args.output}
    return text, content


def _network_and_data(args: Namespace) -> tuple[Graph, Any, str | None]:
    """A saved network with the data named beside it, or the document's example, which brings its own, and the loss."""
    if args.model in WORKED:
        if args.data is not None:
            raise DataError(f"{args.model} brings its own sample, got {args.data!r} as data; leave it out")
        sample = (worked_example.X, worked_example.TARGET)
        return worked_example.network(WORKED[args.model]), sample, worked_example.LOSS
    if args.data is None:
        raise DataError(f"{args.model}: name the data beside the network, such as digits")
    net = load(args.model)
    return net, for_network(net, args, args.data), None


def explain(args: Namespace) -> Outcome:
    """Explain one neuron."""
    net = load(args.model)
    plan = None if args.remove is None else fraction_of(args.remove, args.strategy)
    data = for_network(net, args, args.data)
    found = explain_neuron(net, args.group, args.neuron, data, args.criterion, plan, args.top, rng=args.seed)
    if args.output is None:
        return str(found), found.as_dict()
    from ..plots import explain_figure
    from ..plots import save as save_figure

    save_figure(explain_figure(found), args.output)
    return f"{found}\n\ndrawn in {args.output}", found.as_dict() | {"figure": args.output}
