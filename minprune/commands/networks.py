"""Commands that make and judge networks."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from ..comparison import compare as compare_networks
from ..errors import DataError
from ..evaluation import evaluate as evaluate_network
from ..formats import FORMATS, load, save
from ..learning_rates import Cosine
from ..models import cnn, lenet5, mlp
from ..nn import Graph
from ..optim import AdamW
from ..sparse_networks import storage
from ..train import fit
from ..verification import verify as verify_network
from .shared import Outcome, can_be_written, for_network, read_data


def demo(args: Namespace) -> Outcome:
    """The whole cycle on digits."""
    from ..demo import run

    return run(Path(args.out), seeds=args.seeds)


def train(args: Namespace) -> Outcome:
    """Train a network and save it."""
    can_be_written(args.output, "a network", tuple(FORMATS))
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


def evaluate(args: Namespace) -> Outcome:
    """Measure a network on the test part."""
    net = load(args.model)
    found = evaluate_network(net, for_network(net, args, args.data), progress=True)
    stored = f"\n\n{storage(net)}" if net.masks else ""
    return f"{net.summary()}\n\n{found}{stored}", found.as_dict()


def compare(args: Namespace) -> Outcome:
    """Measure networks side by side on the test part."""
    nets = {
        Path(path).stem if len({Path(p).stem for p in args.models}) == len(args.models) else path: load(path)
        for path in args.models
    }
    found = compare_networks(nets, for_network(next(iter(nets.values())), args, args.data), progress=True)
    return str(found), found.as_dict()


def verify(args: Namespace) -> Outcome:
    """Check a pruned network against its history."""
    net = load(args.model)
    original = None if args.original is None else load(args.original)
    found = verify_network(net, original, None if args.data is None else for_network(net, args, args.data))
    return str(found), found.as_dict() | ({} if found.ok else {"failed": found.summary})
