"""Commands that try what can go: by layer, by choice among many, or exactly; `prune` has a file of its own."""

from __future__ import annotations

from argparse import Namespace

from ..choosing.scanning import sensitivity_scan
from ..choosing.search import CRITERIA as CHOOSE_CRITERIA
from ..choosing.search import choose as choose_network
from ..errors import DataError
from ..evaluation import evaluate as evaluate_network
from ..formats import FORMATS, load, save
from ..pruning.exact.reduction import reduce_exactly
from .shared import Outcome, can_be_written, for_network, tuning


def scan(args: Namespace) -> Outcome:
    """What each group can spare alone."""
    net = load(args.model)
    data = for_network(net, args, args.data)
    found = sensitivity_scan(net, data, args.criterion, repair=args.repair, rng=args.seed, progress=True)
    if args.figure:
        from .. import plots

        plots.save(plots.sensitivity_scan(found.curves(), f"{found.evaluated_on} {found.measure}"), args.figure)
    return str(found), found.as_dict()


def choose(args: Namespace) -> Outcome:
    """Choose among many smaller networks; judge the winner on the test part."""
    if args.output:
        can_be_written(args.output, "a network", tuple(FORMATS))
    if args.max_loss is None and args.max_runtime is None and args.max_bytes is None:
        raise DataError("nothing is asked for; give --max-loss (for the smallest), --max-runtime or --max-bytes")
    net = load(args.model)
    data = for_network(net, args, args.data)
    found = choose_network(
        net,
        data,
        max_loss=args.max_loss,
        max_runtime=args.max_runtime,
        max_bytes=args.max_bytes,
        smallest_by=args.by,
        criteria=args.criteria or CHOOSE_CRITERIA,
        finetune=tuning(args, args.epochs),
        batch=args.batch,
        rng=args.seed,
        progress=True,
    )
    test = {"dense": net, "chosen": found.net}
    judged = {name: evaluate_network(it, data, runtime=(), progress=False) for name, it in test.items()}
    lines = [found.report(), "", "on the test part:"]
    lines += [f"{name}: {', '.join(f'{m} {v:.4f}' for m, v in ev.quality().items())}" for name, ev in judged.items()]
    if args.output:
        save(found.net, args.output)
        lines.append(f"saved to {args.output}")
    if args.figure:
        from .. import plots

        plots.save(plots.pareto(**found.for_plot()), args.figure)
    return "\n".join(lines), found.as_dict() | {"test": {name: ev.as_dict() for name, ev in judged.items()}}


def reduce(args: Namespace) -> Outcome:
    """Take out of a network what makes no difference for inputs in a box."""
    can_be_written(args.output, "a network", tuple(FORMATS))
    net = load(args.model)
    found = reduce_exactly(net, {name: tuple(args.box) for name in net.inputs})
    save(found.net, args.output)
    return f"{found}\nsaved to {args.output}", {"output": args.output, **found.as_dict()}
