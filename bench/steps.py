"""How long is a step of training, and a pass of scoring, beside PyTorch?

    python bench/steps.py [--rounds 15] [--samples 10000] [--quick] [--json DIR]

One thread, float32, random images; our two backends and PyTorch take turns in one process. A step is what `mp.fit` does
for a batch of 128: forward, loss, backward, Adam; PyTorch with its fused Adam, its convolutions in channels_last. A
pass is `mp.score(net, data, "taylor")`, checks of the data included; PyTorch with gradients by activations alone
(`autograd.grad`) and with hooks on a full backward pass, 256 samples at a time. The networks: 784-300-100-10, and
LeNet-5 20-50-500. Compiling is outside the timer. A ratio above 1: PyTorch takes longer than `backend("numba")`.

"of roof" is the share of the core's peak in the multiply-adds that a step or pass must do: forward, by weights, and by
what is read except by the images themselves; for scores without those by weights.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from peers import as_torch, torch_model
from side_by_side import keep, ratio, spread, start, take_turns

import minprune as mp
from minprune.errors import MinpruneError
from minprune.kernels.machine import machine
from minprune.models import lenet5, mlp
from minprune.optim import OptimizerState
from minprune.reports import duration, table
from minprune.train import loss_and_gradients, plan_for

BATCH = 128


def networks() -> dict[str, tuple[mp.Graph, tuple[int, ...]]]:
    """Name -> network, and the shape of a sample."""
    return {
        "784-300-100-10": (mlp(784, (300, 100), 10, rng=0), (784,)),
        "LeNet-5": (lenet5((1, 28, 28), 10, rng=0), (1, 28, 28)),
    }


def our_step(net: mp.Graph, x: Any, y: Any, backend: str) -> Callable[[], None]:
    """A step as `mp.fit` takes it."""
    net, state, adam = net.copy(), OptimizerState(), mp.Adam(1e-3)
    with mp.backend(backend):
        plan = plan_for(net, x, len(x))
    if backend == "numba" and isinstance(plan, str):
        raise MinpruneError(f"no plan: {plan}")

    def step() -> None:
        with mp.backend(backend):
            _, grads = loss_and_gradients(net, x, y, "cross_entropy", plan=None if isinstance(plan, str) else plan)
            adam.update(net.params, grads, state, 1e-3)

    return step


def torch_step(net: mp.Graph, x: Any, y: Any) -> Callable[[], None]:
    """The same step in PyTorch."""
    import torch

    model, given, labels = torch_model(net), as_torch(x), torch.tensor(y)
    optimizer, loss = torch.optim.Adam(model.parameters(), fused=True), torch.nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(model(given), labels).backward()
        optimizer.step()

    return step


def torch_scores(net: mp.Graph, x: Any, y: Any, full: bool) -> Callable[[], Any]:
    """Taylor scores in PyTorch: with hooks on a full backward pass, or by gradients of activations alone."""
    import torch
    from torch import nn

    model, given, labels = torch_model(net), as_torch(x), torch.tensor(y)
    read = [k for k, layer in enumerate(model) if k and isinstance(layer, nn.Linear | nn.Conv2d)]
    before = [k - 1 if not isinstance(model[k - 1], nn.Flatten) else k - 2 for k in read]  # where neurons are read

    def score() -> list[Any]:
        sums: list[Any] = [0] * len(before)
        for first in range(0, len(given), 256):
            values, acts = given[first : first + 256], []
            for k, layer in enumerate(model):
                values = layer(values)
                if k in before:
                    acts.append(values)
                    if full:
                        values.retain_grad()
            loss = nn.functional.cross_entropy(values, labels[first : first + 256], reduction="sum")
            if full:
                model.zero_grad(set_to_none=True)
                loss.backward()
            grads = [a.grad for a in acts] if full else torch.autograd.grad(loss, acts)
            with torch.no_grad():
                for k, (a, g) in enumerate(zip(acts, grads, strict=True)):
                    effect = a * g
                    effect = effect if effect.ndim == 2 else effect.sum(dim=(2, 3))
                    sums[k] = sums[k] + effect.abs().sum(0)
        return [total.detach().numpy() / len(given) for total in sums]

    return score


def our_scores(net: mp.Graph, x: Any, y: Any, backend: str) -> Callable[[], Any]:
    """Taylor scores here."""

    def score() -> Any:
        with mp.backend(backend):
            return mp.score(net, (x, y), "taylor", progress=False)

    return score


def macs(net: mp.Graph, shape: tuple[int, ...], weights: bool) -> int:
    """Multiply-adds of a step or pass for one sample."""
    shapes = net.value_shapes({net.inputs[0]: shape})
    each = [node.layer.macs(shapes[name]) for name, node in net.nodes.items() if node.layer.macs(shapes[name])]
    return sum(each) * (2 if weights else 1) + sum(each[1:])


def measure(rounds: int, samples: int) -> list[dict[str, Any]]:
    """Both questions on both networks."""
    rng, rows = np.random.default_rng(0), []
    peak = machine(np.dtype(np.float32)).peak
    for name, (net, shape) in networks().items():
        for what, count in (("Adam step", BATCH), ("Taylor scores", samples)):
            x, y = rng.random((count, *shape), dtype=np.float32), rng.integers(0, 10, count)
            step = what == "Adam step"
            ours = our_step if step else our_scores
            calls: dict[str, Callable[[], Any]] = {way: ours(net, x, y, way) for way in ("numpy", "numba")}
            if find_spec("torch") is not None:
                if step:
                    calls["torch"] = torch_step(net, x, y)
                else:
                    calls["torch, activations"] = torch_scores(net, x, y, full=False)
                    calls["torch, hooks"] = torch_scores(net, x, y, full=True)
                    _agree(calls["numba"](), calls["torch, activations"]())
            times = take_turns(calls, rounds=rounds)
            share = macs(net, shape, step) * count / peak / min(times["numba"])
            ratios = {peer: ratio(times, peer, "numba") for peer in calls if peer != "numba"}
            seconds = {way: sorted(found)[len(found) // 2] for way, found in times.items()}
            rows.append({"what": f"{what}, {name}, {count}", "seconds": seconds, "ratios": ratios, "of roof": share})
    return rows


def _agree(ours: Any, theirs: list[Any]) -> None:
    """What is compared must be the same."""
    for (group, found), expected in zip(ours.items(), theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.max(), err_msg=group)


def main() -> None:
    """Measure, print, keep."""
    options = start(__doc__, rounds=15, samples=10_000)
    rows = measure(3, min(options.samples, 1_000)) if options.quick else measure(options.rounds, options.samples)
    lines = [
        (
            row["what"],
            duration(row["seconds"]["numba"]),
            f"{row['of roof']:.0%}",
            *(f"{peer} {spread(found)}" for peer, found in row["ratios"].items()),
            *[""] * (3 - len(row["ratios"])),
        )
        for row in rows
    ]
    print(table(("what", "numba", "of roof", "times as fast as", "", ""), lines))
    keep(options, "steps", rows)


if __name__ == "__main__":
    main()
