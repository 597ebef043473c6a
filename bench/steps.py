"""How long is a step of training, beside PyTorch?

    python bench/steps.py [--rounds 15] [--quick] [--json DIR]

One thread, float32, random images; our two backends and PyTorch take turns in one process. A step is what `mp.fit` does
for a batch of 128: forward, loss, backward, Adam; PyTorch has its fused Adam, and its convolutions in channels_last.
The networks: 784-300-100-10, LeNet-5 20-50-500, and three convolutions with batch-norm on 32 × 32 pixels in three
colours (16, 32, 64 filters of 3 × 3). Compiling is outside the timer. A ratio above 1: the peer takes longer than
`backend("numba")`.

"of roof" is the share of the core's peak in the multiply-adds that a step must do: forward, by weights, and by what is
read, except by the images themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from peers import as_torch, torch_model
from side_by_side import compared, keep, spread, start

import minprune as mp
from minprune.errors import MinpruneError
from minprune.gradients import loss_and_gradients, plan_for
from minprune.kernels.machine import machine
from minprune.layers import Training
from minprune.models import lenet5, mlp
from minprune.optim import OptimizerState
from minprune.reports import duration, table

BATCH = 128


def with_norms() -> mp.Graph:
    """Three convolutions with batch-norm, and what is usual around them."""
    layers: list[Any] = []
    for inputs, outputs in ((3, 16), (16, 32), (32, 64)):
        layers += [mp.Conv2d(inputs, outputs, 3, padding=1), mp.BatchNorm(outputs), mp.ReLU()]
        layers += [mp.MaxPool2d(2)] if outputs > 16 else []
    return mp.Sequential(*layers, mp.Flatten(), mp.Dense(64 * 64, 10), input_shape=(3, 32, 32), rng=0)


NETWORKS: dict[str, Callable[[], mp.Graph]] = {
    "784-300-100-10": lambda: mlp(784, (300, 100), 10, rng=0),
    "LeNet-5": lambda: lenet5((1, 28, 28), 10, rng=0),
    "three convolutions with batch-norm": with_norms,
}


def our_step(net: mp.Graph, x: Any, y: Any, backend: str) -> Callable[[], None]:
    """A step as `mp.fit` takes it."""
    net, state, adam, training = net.copy(), OptimizerState(), mp.Adam(1e-3), Training(np.random.default_rng(0))
    with mp.backend(backend):
        plan = plan_for(net, x, len(x))
    if backend == "numba" and isinstance(plan, str):
        raise MinpruneError(f"no plan: {plan}")
    planned = None if isinstance(plan, str) else plan

    def step() -> None:
        with mp.backend(backend):
            _, grads = loss_and_gradients(net, x, y, "cross_entropy", training, plan=planned)
            adam.update(net.params, grads, state, 1e-3)

    return step


def torch_step(net: mp.Graph, x: Any, y: Any) -> Callable[[], None] | None:
    """The same step in PyTorch."""
    if find_spec("torch") is None:
        return None
    import torch

    model, given, labels = torch_model(net).train(), as_torch(x), torch.tensor(y)
    optimizer, loss = torch.optim.Adam(model.parameters(), fused=True), torch.nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(model(given), labels).backward()
        optimizer.step()

    return step


def macs(net: mp.Graph) -> int:
    """Multiply-adds of a step for one sample."""
    shapes = net.value_shapes(net.input_shapes or {})
    each = [node.layer.macs(shapes[name]) for name, node in net.nodes.items() if node.layer.macs(shapes[name])]
    return 2 * sum(each) + sum(each[1:])


def measured(name: str, rounds: int) -> dict[str, Any]:
    """One network."""
    net, rng = NETWORKS[name](), np.random.default_rng(0)
    (shape,) = (net.input_shapes or {}).values()
    x, y = rng.random((BATCH, *shape), dtype=np.float32), rng.integers(0, 10, BATCH)
    calls: dict[str, Any] = {"ours": our_step(net, x, y, "numba"), "NumPy": our_step(net, x, y, "numpy")}
    calls |= {"PyTorch": torch_step(net, x, y)}
    found = compared(calls, rounds)
    share = macs(net) * BATCH / machine(np.dtype(np.float32)).peak / found["seconds"]["ours"]
    return {"what": name, "of roof": share} | found


def main() -> None:
    """Measure, print, keep."""
    options = start(__doc__, rounds=15)
    rows = [measured(name, 3 if options.quick else options.rounds) for name in NETWORKS]
    lines = [
        (
            row["what"],
            duration(row["seconds"]["ours"]),
            f"{row['of roof']:.0%}",
            *(spread(row["ratios"][peer]) if peer in row["ratios"] else "–" for peer in ("NumPy", "PyTorch")),
        )
        for row in rows
    ]
    print(table((f"a step, batch {BATCH}", "ours", "of roof", "NumPy / ours", "PyTorch / ours"), lines))
    keep(options, "steps", rows)


if __name__ == "__main__":
    main()
