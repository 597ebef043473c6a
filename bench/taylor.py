"""Scores: how long do ten thousand samples take, beside PyTorch and Torch-Pruning, and do all say the same?

    MINPRUNE_DATA=… python bench/taylor.py [--samples 10000] [--rounds 7] [--quick] [--json DIR]

784-300-100-10 and LeNet-5 (20-50-500) after two epochs on the samples; MNIST, float32, one thread. In turn: `mp.score`
of `taylor` with either backend; the same score by `torch.autograd.grad` of the activations alone, which is the least
that PyTorch has to compute for it, and with hooks on a whole backward pass; and Torch-Pruning's
`GroupTaylorImportance`, which reads gradients by weights, so that its time is that of a backward pass over all samples
and of the importance of every group. PyTorch runs with channels_last for LeNet-5. Each takes batches of the size that
suits it best among 128, 512 and 1,024, tried before. Building Torch-Pruning's groups and compiling are outside the
timer.

Does Torch-Pruning say the same? Where it sums w ∂L/∂w over the weights that read a neuron before it takes the modulus
(`multivariable=True`, `group_reduction="gate"`) that is our `taylor_mean`, |mean a ∂ℓ/∂a|, wherever no flattening lies
between: there the largest difference, relative to the largest score, must be rounding. Its default is something else:
the sum of |w ∂L/∂w| over ingoing and outgoing weights, where samples of opposite sign cancel. Of it and our `taylor`
Spearman's correlation within each layer is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from peers import as_torch, torch_model
from side_by_side import Row, cannot, compared, keep, mnist, spread, start

import minprune as mp
from minprune.correlation import spearman
from minprune.models import lenet5, mlp
from minprune.progress import track
from minprune.reports import duration, table

SIZES = (128, 512, 1024)
CLOSE = 1e-3
NETWORKS: dict[str, Callable[[], Any]] = {
    "MLP 784-300-100-10": lambda: mlp(784, (300, 100), 10),
    "LeNet-5 20-50-500": lambda: lenet5((1, 28, 28), 10),
}


def torch_pruning() -> Any:
    """Torch-Pruning, where it is installed."""
    try:
        import torch_pruning
    except ImportError:
        return None
    return torch_pruning


class Peer:
    """The same network in PyTorch, and Torch-Pruning's groups of it."""

    def __init__(self, net: Any, x: Any, y: Any) -> None:
        import torch

        self.torch, self.model = torch, torch_model(net)
        modules = list(self.model)
        self.layers = {name: m for name, m in zip(net.nodes, modules, strict=True) if f"{name}.W" in net.params}
        self.x, self.y = as_torch(x), torch.tensor(y)
        hidden = list(self.layers)[:-1]
        places = [k for k, module in enumerate(modules) if module in self.layers.values()]
        flat = [isinstance(modules[k - 1], torch.nn.Flatten) for k in places]
        # Where a group is read: by the next layer with weights, or by the flattening in front of that.
        self.readers = {name: k - f for name, k, f in zip(hidden, places[1:], flat[1:], strict=True)}
        self.flattened = dict(zip(hidden, flat[1:], strict=True))
        self.pruning = torch_pruning()
        if self.pruning is not None:
            graph = self.pruning.DependencyGraph().build_dependency(self.model, example_inputs=self.x[:1])
            self.groups = {name: self._group(graph, self.layers[name]) for name in hidden}

    def _group(self, graph: Any, layer: Any) -> Any:
        linear = isinstance(layer, self.torch.nn.Linear)
        prune = self.pruning.prune_linear_out_channels if linear else self.pruning.prune_conv_out_channels
        return graph.get_pruning_group(layer, prune, idxs=list(range(len(layer.weight))))

    def gradients(self, size: int) -> None:
        """Of the mean loss by all weights."""
        self.model.zero_grad(set_to_none=True)
        for part, labels in zip(self.x.split(size), self.y.split(size), strict=True):
            loss = self.torch.nn.functional.cross_entropy(self.model(part), labels, reduction="sum")
            (loss / len(self.x)).backward()

    def by_activations(self, size: int) -> dict[str, Any]:
        """The score `taylor` of every hidden group, by gradients of activations alone."""
        torch, totals = self.torch, [0.0] * len(self.readers)
        for part, labels in zip(self.x.split(size), self.y.split(size), strict=True):
            value, read = part, []
            for place, module in enumerate(self.model):
                if place in self.readers.values():
                    read.append(value)
                value = module(value)
            loss = torch.nn.functional.cross_entropy(value, labels, reduction="sum")
            products = (a.detach() * g for a, g in zip(read, torch.autograd.grad(loss, read), strict=True))
            sums = (p.sum(dim=tuple(range(2, p.ndim))) if p.ndim > 2 else p for p in products)
            totals = [total + one.abs().sum(0) for total, one in zip(totals, sums, strict=True)]
        return {name: total.numpy() / len(self.x) for name, total in zip(self.readers, totals, strict=True)}

    def by_hooks(self, size: int) -> dict[str, Any]:
        """The same score as one mostly finds it written: activations keep their gradients on a whole backward pass."""
        torch, totals = self.torch, [0.0] * len(self.readers)
        for part, labels in zip(self.x.split(size), self.y.split(size), strict=True):
            value, read = part, []
            for place, module in enumerate(self.model):
                if place in self.readers.values():
                    value.retain_grad()
                    read.append(value)
                value = module(value)
            self.model.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(value, labels, reduction="sum").backward()
            products = ((a * a.grad).detach() for a in read)
            sums = (p.sum(dim=tuple(range(2, p.ndim))) if p.ndim > 2 else p for p in products)
            totals = [total + one.abs().sum(0) for total, one in zip(totals, sums, strict=True)]
        return {name: total.numpy() / len(self.x) for name, total in zip(self.readers, totals, strict=True)}

    def scores(self, size: int | None, **how: Any) -> dict[str, Any]:
        """The importance of every hidden group; `size` None takes the gradients that there are."""
        if size is not None:
            self.gradients(size)
        importance = self.pruning.importance.GroupTaylorImportance(normalizer=None, **how)
        return {name: importance(group).numpy() for name, group in self.groups.items()}


def best_size(call: Callable[[int], Any]) -> int:
    """The size of batches that takes the least time."""
    times = {}
    for size in SIZES:
        call(size)  # compiles, and fills caches
        started = perf_counter()
        call(size)
        times[size] = perf_counter() - started
    return min(times, key=lambda size: times[size])


def ours(net: Any, x: Any, y: Any, backend: str) -> Callable[[int], Any]:
    """Our scores, for a size of batches."""

    def call(size: int) -> Any:
        with mp.backend(backend):
            return mp.score(net, (x, y), "taylor", batch_size=size, progress=False)

    return call


def agreement(net: Any, x: Any, y: Any, peer: Peer) -> dict[str, Any]:
    """How far all say the same, layer by layer; what is meant to be the same must be."""
    mean, taylor = (mp.score(net, (x, y), name, progress=False) for name in ("taylor_mean", "taylor"))
    by_hand = peer.by_activations(SIZES[-1])
    for name, found in by_hand.items():
        assert apart(found, taylor[name]) < CLOSE, f"{name}: PyTorch's gradients give other scores"
    if peer.pruning is None:
        return {}
    same = peer.scores(SIZES[-1], multivariable=True, group_reduction="gate")
    default, told = peer.scores(None), {}
    for name, flattened in peer.flattened.items():
        difference = None if flattened else apart(same[name], mean[name])
        assert flattened or difference < CLOSE, f"{name}: the same definition, but {difference:.1e} apart"
        order = spearman(default[name], taylor[name])
        told[name] = {"size": len(taylor[name]), "difference": difference, "spearman": float(order)}
    return told


def apart(one: Any, other: Any) -> float:
    """The largest difference, relative to the largest score."""
    return float(np.abs(one - other).max() / other.max())


def measured(name: str, samples: int, rounds: int) -> Row:
    """One network."""
    data = mnist(flat=name.startswith("MLP")).train
    x, y, net = data.x[:samples], data.y[:samples], NETWORKS[name]()
    with mp.backend("numba"):
        mp.fit(net, (x, y), epochs=2, batch_size=128, progress=False)
    peer = Peer(net, x, y)
    works = {"ours": ours(net, x, y, "numba"), "NumPy": ours(net, x, y, "numpy")}
    works["PyTorch, activations alone"] = peer.by_activations
    works["PyTorch, hooks"] = peer.by_hooks
    if peer.pruning is not None:
        works["Torch-Pruning"] = peer.scores
    sizes = {who: best_size(work) for who, work in works.items()}
    calls = {who: (lambda work=work, size=sizes[who]: work(size)) for who, work in works.items()}
    return (
        {"what": name, "samples": len(x), "batches of": sizes}
        | compared(calls, rounds, block=0)
        | {"agreement": agreement(net, x, y, peer)}
    )


def layers_of(row: Row) -> list[tuple[Any, ...]]:
    """A network's lines of the second table."""
    lines = []
    for name, a in row["agreement"].items():
        difference = "–" if a["difference"] is None else f"{a['difference']:.1e}"
        lines.append((row["what"], name, a["size"], difference, f"{a['spearman']:.3f}"))
    return lines


def main() -> None:
    """Measure, print tables, keep the numbers."""
    options = start(__doc__, samples=10_000, rounds=7)
    try:
        import torch  # noqa: F401
    except ImportError:
        cannot('PyTorch is not installed; pip install "minprune[bench]"')
    samples, rounds = (min(options.samples, 2_000), 3) if options.quick else (options.samples, options.rounds)
    rows = [measured(name, samples, rounds) for name in track(NETWORKS, "scoring", show=True)]
    lines = []
    for row in rows:
        for who, seconds in row["seconds"].items():
            found = row["ratios"].get(who)
            lines.append((row["what"], who, row["batches of"][who], duration(seconds), spread(found) if found else ""))
    print(f"Taylor scores of {rows[0]['samples']:,} samples")
    print(table(("network", "by", "batches of", "time", "times ours"), lines, left=2))
    if layers := [line for row in rows for line in layers_of(row)]:
        head = ("network", "layer", "neurons", "same definition: difference", "its default and taylor: Spearman")
        print(f"\nTorch-Pruning's scores\n{table(head, layers, left=2)}")
    keep(options, "taylor", rows)


if __name__ == "__main__":
    main()
