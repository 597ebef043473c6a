"""Programs: is a compiled network faster than what people would run it with?

    python bench/programs.py [--rounds 21] [--quick] [--json DIR]

784-300-100-10 with ReLU, float32, one thread, two that nothing was tuned on (617-131-26, 100-1000-1000-7), LeNet-5
(20-50-500), three 3 × 3 convolutions on 32 × 32, and five depthwise ones with a 1 × 1 behind each on 64 × 64 (mobile),
at several batch sizes: `minprune.compile` against NumPy (the network itself, OpenBLAS choosing its kernels), PyTorch
(`inference_mode`, channels_last) and onnxruntime (IO binding), each where it is installed, in turn. Then the same
network with half of its hidden neurons removed, against itself. Compiling is outside the timer. The last column is the
rate of the program's multiply-adds as a share of the core's peak.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from peers import onnx_call, torch_call
from side_by_side import MISSING, keep, ratio, spread, start, take_turns

import minprune as mp
from minprune.kernels.machine import machine
from minprune.models import lenet5, mlp
from minprune.progress import bar
from minprune.reports import duration, table

BATCHES = (1, 32, 100, 256, 1000, 4096)
NETWORKS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "784-300-100-10": (lambda: mlp(784, (300, 100), 10), BATCHES),
    "617-131-26": (lambda: mlp(617, (131,), 26), BATCHES),
    "100-1000-1000-7": (lambda: mlp(100, (1000, 1000), 7), BATCHES),
    "LeNet-5": (lambda: lenet5((1, 28, 28), 10), (1, 4, 16, *BATCHES[1:5])),
    "three convolutions": (lambda: three_convolutions(), (1, 16, 128)),
    "mobile": (lambda: mobile(), (1, 16, 128)),
}
QUICK = {"784-300-100-10": (1, 256), "617-131-26": (1, 256), "LeNet-5": (1, 32), "mobile": (1,)}


def three_convolutions() -> mp.Graph:
    """32, 64 and 64 filters of 3 × 3, pooled twice."""
    layers: list[Any] = []
    for inputs, outputs in ((3, 32), (32, 64), (64, 64)):
        layers += [mp.Conv2d(inputs, outputs, 3, padding=1), mp.ReLU()]
        layers += [mp.MaxPool2d(2)] if outputs == 32 or inputs == 32 else []
    return mp.Sequential(*layers, mp.GlobalAvgPool2d(), mp.Flatten(), mp.Dense(64, 10), input_shape=(3, 32, 32))


def mobile() -> mp.Graph:
    """Depthwise convolutions, each with a 1 × 1 behind it: how networks for telephones are made."""
    layers: list[Any] = [mp.Conv2d(3, 16, 3, stride=2, padding=1), mp.ReLU()]
    inputs = 16
    for outputs, stride in ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1)):
        layers += [mp.Conv2d(inputs, inputs, 3, stride=stride, padding=1, groups=inputs), mp.ReLU()]
        layers += [mp.Conv2d(inputs, outputs, 1), mp.ReLU()]
        inputs = outputs
    return mp.Sequential(*layers, mp.GlobalAvgPool2d(), mp.Flatten(), mp.Dense(128, 10), input_shape=(3, 64, 64))


def measured(name: str, batch: int, rounds: int) -> dict[str, Any]:
    """One network at one batch size, against all peers that there are, and against itself cut in half."""
    net = NETWORKS[name][0]()
    (shape,), outputs = (net.input_shapes or {}).values(), net.neurons[list(net.neurons)[-1]].size
    x = np.random.default_rng(0).random((batch, *shape), dtype=np.float32)
    program, out = mp.compile(net, batch_size=batch), np.empty((batch, outputs), np.float32)
    half = mp.remove(net, mp.decide(mp.score(net, criterion="magnitude_l2"), mp.PerLayer(0.5)))
    small, small_out = mp.compile(half, batch_size=batch), np.empty_like(out)
    calls = {
        "ours": lambda: program(x, out=out),
        "half": lambda: small(x, out=small_out),
        "NumPy": lambda: net(x),
        "PyTorch": torch_call(net, x),
        "onnxruntime": onnx_call(net, x),
    }
    times = take_turns({name: call for name, call in calls.items() if call}, rounds)
    macs, half_macs = (sum(step.macs for step in p.steps) for p in (program, small))
    found: dict[str, Any] = {"network": name, "batch": batch}
    found["seconds"] = {name: min(values) for name, values in times.items()}
    found["ratios"] = {name: ratio(times, name, "ours") for name in times if name not in ("ours", "half")}
    found["pruned"] = ratio(times, "ours", "half") | {"macs": macs / half_macs}
    found["of peak"] = macs * batch / min(times["ours"]) / machine(np.dtype(np.float32)).peak
    return found


def main() -> None:
    """Measure, print a table, keep the numbers."""
    options = start(__doc__, rounds=21)
    rounds = 5 if options.quick else options.rounds
    sizes = QUICK if options.quick else {name: batches for name, (_, batches) in NETWORKS.items()}
    plan, rows = [(name, batch) for name, batches in sizes.items() for batch in batches], []
    with bar("timing", len(plan), show=True) as advance:
        for name, batch in plan:
            rows.append(measured(name, batch, rounds))
            advance(text=f"{name}, {batch}")
    peers = ("NumPy", "PyTorch", "onnxruntime")
    lines = []
    for row in rows:
        ratios = [spread(row["ratios"][peer]) if peer in row["ratios"] else MISSING for peer in peers]
        pruned = f"{spread(row['pruned'])} of {row['pruned']['macs']:.2f}"
        share = f"{row['of peak']:.0%}"
        lines.append((row["network"], row["batch"], duration(row["seconds"]["ours"]), *ratios, pruned, share))
    head = ("network", "batch", "program", *(f"{peer} / program" for peer in peers), "half pruned, of MACs", "of peak")
    print(table(head, lines))
    keep(options, "programs", rows)


if __name__ == "__main__":
    main()
