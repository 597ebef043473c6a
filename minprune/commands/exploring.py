"""The command `explore`: a network's trace as a web page."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ..explorer import RULES
from ..explorer import explore as write_page
from ..neurons import hidden
from ..nn import Graph
from ..pruning.deciding import Global
from ..tracing import Focus
from .pruning import fraction_of
from .shared import Outcome, can_be_written
from .stepping import network_and_samples

SMALL = 100  # numbers of a network that is followed whole


def explore(args: Namespace) -> Outcome:
    """Write the page."""
    can_be_written(args.output, "a page", (".html", ".htm"))
    net, x, y, loss = network_and_samples(args, args.samples)
    amount, example = args.remove, args.model is None
    strategy = Global(2) if example and amount is None else fraction_of(0.5 if amount is None else amount, "global")
    focus = _focus(net, args)
    title = "The document\u2019s example, 3-5-2" if example else Path(args.model).name
    found = write_page(
        net, args.output, x, y, loss, strategy, args.criteria or RULES, focus, title=title, rng=args.seed
    )
    where = f"; it follows {focus.layer}[{'all' if focus.neuron is None else focus.neuron}]" if focus.layer else ""
    size = Path(args.output).stat().st_size
    text = f"{args.output}: {len(found.steps)} steps, {size:,} bytes{where}; open it in a browser"
    return text, {"output": args.output, "steps": len(found.steps), "bytes": size}


def _focus(net: Graph, args: Namespace) -> Focus:
    """What is asked for; of a network that is not small, without a word, the first hidden neuron."""
    sample = None if args.model is None else 0
    if args.layer is None and args.neuron is None and hidden(net):
        size = sum(array.size for array in net.arrays.values())
        return Focus(sample=sample) if size <= SMALL else Focus(hidden(net)[0], 0, sample)
    return Focus(args.layer, args.neuron, sample)
