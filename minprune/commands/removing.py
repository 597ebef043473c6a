"""Commands that make networks smaller."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from ..choosing.scanning import sensitivity_scan
from ..choosing.search import CRITERIA as CHOOSE_CRITERIA
from ..choosing.search import choose as choose_network
from ..errors import DataError, PlanError
from ..evaluation import evaluate as evaluate_network
from ..formats import FORMATS, load, save
from ..pruning.budget import KINDS, Budget
from ..pruning.deciding import Global, PerLayer, Strategy, Threshold
from ..pruning.exact.reduction import reduce_exactly
from ..pruning.schedule import prune as prune_network
from ..pruning.weights.schedule import prune_weights
from .shared import Outcome, can_be_written, for_network, tuning


def prune(args: Namespace) -> Outcome:
    """Prune a network and save what is left."""
    can_be_written(args.output, "a network", tuple(FORMATS))
    net = load(args.model)
    data = for_network(net, args, args.data)
    how = {"strategy": _strategy(args), "rounds": args.rounds, "schedule": args.schedule, "rng": args.seed}
    how |= {"finetune": tuning(args, args.epochs), "progress": True}
    result: Any
    if args.by == "weight":
        if args.repair:
            raise DataError("--repair makes up for neurons that leave; weights are masked without one")
        result = prune_weights(net, data, args.criterion or "magnitude_l1", block=args.block, **how)
        kept: Any = {name: int(mask.sum()) for name, mask in result.net.masks.items()}
    else:
        if args.block:
            raise DataError("--block is for weights; add --by weight")
        result = prune_network(net, data, args.criterion or "taylor", repair=args.repair, **how)
        kept = result.kept
    save(result.net, args.output)
    found = evaluate_network(result.net, data, runtime=())
    text = f"{result.report()}\n\non the test part:\n{found}\nsaved to {args.output}"
    return text, {
        "output": args.output,
        "kept": kept,
        "before": result.before.as_dict(),
        "after": result.after.as_dict(),
        "test": found.as_dict(),
    }


def _strategy(args: Namespace) -> Strategy:
    if args.keep is not None:
        if args.remove is not None or args.strategy not in (None, "budget"):
            raise PlanError("--keep is a budget; it takes no --remove, and no --strategy but budget")
        unknown = [kind for kind in args.keep if kind not in KINDS]
        if unknown:
            raise PlanError(f"--keep {unknown[0]}: expected one of {', '.join(KINDS)}, as in macs=0.5")
        return Budget(**args.keep)
    if args.strategy == "budget":
        raise PlanError("--strategy budget: say what to keep, as in --keep macs=0.5")
    return fraction_of(0.5 if args.remove is None else args.remove, args.strategy)


def fraction_of(remove: Any, strategy: str | None) -> Strategy:
    """The strategy that removes a fraction, or one for each group."""
    if isinstance(remove, dict):
        return PerLayer(remove)
    if strategy == "threshold":
        return Threshold(quantile=remove)
    return PerLayer(remove) if strategy == "per-layer" else Global(remove)


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
