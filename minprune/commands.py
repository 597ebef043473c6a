"""What the commands do. Each takes the parsed arguments and returns a text for people and content for programs."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from . import data as datasets
from . import fetching
from . import worked as worked_example
from .choosing import CRITERIA as CHOOSE_CRITERIA
from .choosing import choose as choose_network
from .comparison import compare as compare_networks
from .datasets.known import SETS
from .errors import DataError, FileError, PlanError
from .evaluation import evaluate as evaluate_network
from .explanation import explain as explain_neuron
from .files import atomic_write
from .formats import FORMATS, load, save
from .models import cnn, lenet5, mlp
from .nn import Graph
from .ops import OPS
from .optim import AdamW, Cosine
from .pruning.budget import KINDS, Budget
from .pruning.deciding import Global, PerLayer, Strategy, Threshold
from .pruning.exact import reduce_exactly
from .pruning.schedule import FineTune
from .pruning.schedule import prune as prune_network
from .pruning.weight_schedule import prune_weights
from .reports import table
from .scanning import sensitivity_scan
from .scores import CRITERIA
from .scores import score as score_network
from .sparse_networks import storage
from .train import fit
from .truth import FRACTIONS
from .truth import agreement as agreement_of
from .verification import verify as verify_network

Outcome = tuple[str, dict[str, Any]]
WORKED = {"worked": "sigmoid", "worked-linear": "linear"}  # what the example's networks are called: their output


def read_data(name: str, *, flat: bool, label: str = "-1") -> Any:
    """A data set by its name or path; one without parts is split, stratified, into train, valid and test.

    Parameters
    ----------
    name : str
        ``digits``, ``mnist``, ``fashion-mnist`` or a path.
    flat : bool
        Whether images come as rows of pixels.
    label : str
        The label column of a CSV file.
    """
    if name == "digits":
        return datasets.digits(flat=flat)
    if name in ("mnist", "fashion-mnist"):
        return {"mnist": datasets.mnist, "fashion-mnist": datasets.fashion_mnist}[name](flat=flat)
    column: int | str = int(label) if label.lstrip("-").isdigit() else label
    found = datasets.load(name, flat=flat, label=column)
    return found if isinstance(found, datasets.Dataset) else datasets.split(found)


def _for_network(net: Graph, args: Namespace, name: str) -> Any:
    shapes = net.input_shapes or {}
    return read_data(name, flat=all(len(shape) == 1 for shape in shapes.values()), label=args.label)


def demo(args: Namespace) -> Outcome:
    """The whole cycle on digits."""
    from .demo import run

    return run(Path(args.out), seeds=args.seeds)


def train(args: Namespace) -> Outcome:
    """Train a network and save it."""
    _can_be_written(args.output, "a network", tuple(FORMATS))
    data = read_data(args.data, flat=args.net == "mlp", label=args.label)
    net = _new_network(args, data.train)
    history = fit(
        net,
        data,
        optimizer=AdamW(args.lr, weight_decay=args.weight_decay),
        schedule=Cosine(),
        epochs=args.epochs,
        batch_size=args.batch_size,
        rng=args.seed,
        progress=True,
    )
    save(net, args.output)
    found = evaluate_network(net, data, runtime=())
    text = f"{_read_as(data.train)}\n{history}\n\non the test part:\n{found}\nsaved to {args.output}"
    return text, {"output": args.output, "test": found.as_dict(), "history": history.as_dict()}


def _can_be_written(path: str, what: str, suffixes: tuple[str, ...]) -> None:
    """Refuse a path that it cannot be saved to, before the work and not after it."""
    if Path(path).suffix not in suffixes:
        raise FileError(f"{path}: {what} is saved as {' or '.join(suffixes)}")
    if not Path(path).absolute().parent.is_dir():
        raise FileError(f"{path}: the folder {Path(path).absolute().parent} does not exist; make it first")


def _read_as(samples: Any) -> str:
    """What the data were taken for: nobody should have to guess."""
    x, y = samples
    if y.dtype.kind in "iu":
        names = f" ({', '.join(samples.classes[:10])})" if samples.classes else ""
        kind = f"{int(y.max()) + 1} classes{names}"
    else:
        kind = "numbers to predict (a regression)"
    return f"read as {len(x)} training samples of shape {x.shape[1:]}, x from {x.min():.3g} to {x.max():.3g}; y: {kind}"


def _new_network(args: Namespace, samples: Any) -> Graph:
    x, y = samples
    outputs = int(y.max()) + 1 if y.dtype.kind in "iu" else (1 if y.ndim == 1 else y.shape[1])
    settings = {"dropout": args.dropout, "rng": args.seed}
    if args.net == "mlp":
        if x.ndim != 2:
            raise DataError(f"an mlp reads rows of features, the data has shape {x.shape}; use --net cnn or lenet5")
        return mlp(x.shape[1], args.hidden or (300, 100), outputs, **settings)
    if args.net == "cnn":
        return cnn(x.shape[1:], outputs, widths=args.hidden or (16, 32), **settings)
    widths = tuple(args.hidden or (20, 50, 500))
    if len(widths) != 3:
        raise DataError(f"lenet5 has 3 hidden layers, --hidden names {len(widths)}")
    return lenet5(x.shape[1:], outputs, widths=widths, **settings)


def score(args: Namespace) -> Outcome:
    """Score a network's neurons."""
    net = load(args.model)
    found = score_network(net, _for_network(net, args, args.data), args.criterion, rng=args.seed, progress=True)
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
        _can_be_written(args.output, "a figure", (".png", ".svg"))
    net, data, loss = _network_and_data(args)
    found = agreement_of(
        net,
        data,
        args.criteria,
        fractions=args.fractions or FRACTIONS,
        ranking=args.ranking,
        finetune=_tuning(args, args.epochs),
        scratch=_tuning(args, args.scratch_epochs),
        loss=loss,
        rng=args.seed,
        progress=True,
    )
    text, content = str(found), found.as_dict()
    if args.output:
        from . import plots

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
    return net, _for_network(net, args, args.data), None


def _tuning(args: Namespace, epochs: int) -> FineTune | None:
    """How to train after a removal, if at all."""
    return FineTune(epochs, AdamW(args.lr, weight_decay=0.0), args.batch_size, Cosine()) if epochs else None


def prune(args: Namespace) -> Outcome:
    """Prune a network and save what is left."""
    _can_be_written(args.output, "a network", tuple(FORMATS))
    net = load(args.model)
    data = _for_network(net, args, args.data)
    how = {"strategy": _strategy(args), "rounds": args.rounds, "schedule": args.schedule, "rng": args.seed}
    how |= {"finetune": _tuning(args, args.epochs), "progress": True}
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
    return _fraction_of(0.5 if args.remove is None else args.remove, args.strategy)


def _fraction_of(remove: Any, strategy: str | None) -> Strategy:
    """The strategy that removes a fraction, or one for each group."""
    if isinstance(remove, dict):
        return PerLayer(remove)
    if strategy == "threshold":
        return Threshold(quantile=remove)
    return PerLayer(remove) if strategy == "per-layer" else Global(remove)


def scan(args: Namespace) -> Outcome:
    """What each group can spare alone."""
    net = load(args.model)
    data = _for_network(net, args, args.data)
    found = sensitivity_scan(net, data, args.criterion, repair=args.repair, rng=args.seed, progress=True)
    if args.figure:
        from . import plots

        plots.save(plots.sensitivity_scan(found.curves(), f"{found.evaluated_on} {found.measure}"), args.figure)
    return str(found), found.as_dict()


def choose(args: Namespace) -> Outcome:
    """Choose among many smaller networks; judge the winner on the test part."""
    if args.output:
        _can_be_written(args.output, "a network", tuple(FORMATS))
    net = load(args.model)
    data = _for_network(net, args, args.data)
    found = choose_network(
        net,
        data,
        max_loss=args.max_loss,
        max_runtime=args.max_runtime,
        max_bytes=args.max_bytes,
        smallest_by=args.by,
        criteria=args.criteria or CHOOSE_CRITERIA,
        finetune=_tuning(args, args.epochs),
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
        from . import plots

        plots.save(plots.pareto(**found.for_plot()), args.figure)
    return "\n".join(lines), found.as_dict() | {"test": {name: ev.as_dict() for name, ev in judged.items()}}


def reduce(args: Namespace) -> Outcome:
    """Take out of a network what makes no difference for inputs in a box."""
    _can_be_written(args.output, "a network", tuple(FORMATS))
    net = load(args.model)
    found = reduce_exactly(net, {name: tuple(args.box) for name in net.inputs})
    save(found.net, args.output)
    return f"{found}\nsaved to {args.output}", {"output": args.output, **found.as_dict()}


def evaluate(args: Namespace) -> Outcome:
    """Measure a network on the test part."""
    net = load(args.model)
    found = evaluate_network(net, _for_network(net, args, args.data), progress=True)
    stored = f"\n\n{storage(net)}" if net.masks else ""
    return f"{net.summary()}\n\n{found}{stored}", found.as_dict()


def compare(args: Namespace) -> Outcome:
    """Measure networks side by side on the test part."""
    nets = {
        Path(path).stem if len({Path(p).stem for p in args.models}) == len(args.models) else path: load(path)
        for path in args.models
    }
    found = compare_networks(nets, _for_network(next(iter(nets.values())), args, args.data), progress=True)
    return str(found), found.as_dict()


def verify(args: Namespace) -> Outcome:
    """Check a pruned network against its history."""
    net = load(args.model)
    original = None if args.original is None else load(args.original)
    found = verify_network(net, original, None if args.data is None else _for_network(net, args, args.data))
    return str(found), found.as_dict() | ({} if found.ok else {"failed": found.summary})


def explain(args: Namespace) -> Outcome:
    """Explain one neuron."""
    net = load(args.model)
    plan = None if args.remove is None else _fraction_of(args.remove, args.strategy)
    data = _for_network(net, args, args.data)
    found = explain_neuron(net, args.group, args.neuron, data, args.criterion, plan, args.top, rng=args.seed)
    if args.output is None:
        return str(found), found.as_dict()
    from .plots import explain_figure
    from .plots import save as save_figure

    save_figure(explain_figure(found), args.output)
    return f"{found}\n\ndrawn in {args.output}", found.as_dict() | {"figure": args.output}


def formulas(args: Namespace) -> Outcome:
    """The formula sheet."""
    if args.criteria:
        from .scores import criteria

        return criteria(), {c.name: {"formula": c.formula, "source": c.source} for c in CRITERIA.values()}
    chosen = [op for op in OPS if args.op in (None, op.name)]
    if not chosen:
        raise DataError(f"no op is called {args.op!r}; there are {', '.join(op.name for op in OPS)}")
    blocks = []
    for op in chosen:
        lines = [f"{op.name}: {op.shapes}", f"  forward  {op.formula}"]
        lines += [f"  {f'by {arg}':7}  {formula}" for arg, formula in op.rules.items()]
        lines += [f"  kink     {op.kink}"] if op.kink else []
        blocks.append("\n".join(lines))
    content = {
        op.name: {"formula": op.formula, "rules": op.rules, "shapes": op.shapes, "kink": op.kink} for op in chosen
    }
    return "\n\n".join(blocks), content


def data(args: Namespace) -> Outcome:
    """List or fetch data sets."""
    if args.name is None:
        rows = [(name, known.title, known.licence, known.home) for name, known in SETS.items()]
        text = table(("name", "what", "licence", "home"), rows, left=4)
        return f"{text}\n\ninto {fetching.root_folder()}", {name: known.home for name, known in SETS.items()}
    folder = fetching.fetch(args.name)
    return f"{args.name} is in {folder}", {"name": args.name, "folder": str(folder)}


def worked(args: Namespace) -> Outcome:
    """The document's worked example."""
    found = {output: worked_example.example(output) for output in ("sigmoid", "linear")}
    content = {
        output: {"loss": w.rec.loss, "picks": w.picks, "printed": w.printed.tolist()} for output, w in found.items()
    }
    return worked_example.report(), content


def listing(args: Namespace) -> Outcome:
    """The document's program."""
    from .listing import run

    return run(Path(args.out), hidden=args.hidden, seed=args.seed)
