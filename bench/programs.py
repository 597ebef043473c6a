"""Programs: is a compiled MLP faster than what people would run it with?

    python bench/programs.py [--rounds 21] [--quick] [--json DIR]

784-300-100-10 with ReLU, float32, one thread, and two that nothing was tuned on (617-131-26, 100-1000-1000-7), at
several batch sizes: `minprune.compile` against NumPy (the network itself, OpenBLAS choosing its kernels), PyTorch
(`inference_mode`) and onnxruntime (IO binding), each where it is installed, in turn. Then the same network with half of
its hidden neurons removed, against itself. Compiling is outside the timer. The last column is the rate of the program's
multiply-adds as a share of the core's peak.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import MISSING, keep, ratio, spread, start, take_turns

import minprune as mp
from minprune.kernels.machine import machine
from minprune.models import mlp
from minprune.progress import bar
from minprune.reports import duration, table

NETWORKS = ((784, (300, 100), 10), (617, (131,), 26), (100, (1000, 1000), 7))
BATCHES = (1, 32, 100, 256, 1000, 4096)


def torch_call(net: mp.Graph, x: Any) -> Any:
    """The same network in PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    layers: list[Any] = []
    for name, W in net.params.items():
        if name.endswith(".W"):
            layer = torch.nn.Linear(W.shape[1], W.shape[0])
            layer.weight.data, layer.bias.data = torch.from_numpy(W), torch.from_numpy(net.params[name[:-1] + "b"])
            layers += [layer, torch.nn.ReLU()]
    module, given = torch.nn.Sequential(*layers[:-1]).eval(), torch.from_numpy(x)

    def call() -> Any:
        with torch.inference_mode():
            return module(given)

    return call


def onnx_call(net: mp.Graph, x: Any) -> Any:
    """The same network in onnxruntime, input and output bound."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        mp.save(net, path)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, x)
    shape = [len(x), *net(x[:1]).shape[1:]]
    value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, "cpu", 0)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, value)
    return lambda: session.run_with_iobinding(binding)


def measured(sizes: tuple[int, tuple[int, ...], int], batch: int, rounds: int) -> dict[str, Any]:
    """One network at one batch size, against all peers that there are, and against itself cut in half."""
    net = mlp(*sizes)
    x = np.random.default_rng(0).random((batch, sizes[0]), dtype=np.float32)
    program, out = mp.compile(net, batch_size=batch), np.empty((batch, sizes[2]), np.float32)
    half = mp.remove(net, mp.decide(mp.score(net, criterion="magnitude_l2"), mp.PerLayer(0.5)))
    small, small_out = mp.compile(half, batch_size=batch), np.empty((batch, sizes[2]), np.float32)
    calls = {
        "ours": lambda: program(x, out=out),
        "half": lambda: small(x, out=small_out),
        "NumPy": lambda: net(x),
        "PyTorch": torch_call(net, x),
        "onnxruntime": onnx_call(net, x),
    }
    times = take_turns({name: call for name, call in calls.items() if call}, rounds)
    macs, half_macs = (sum(step.macs for step in p.steps) for p in (program, small))
    found: dict[str, Any] = {"network": "-".join(map(str, (sizes[0], *sizes[1], sizes[2]))), "batch": batch}
    found["seconds"] = {name: min(values) for name, values in times.items()}
    found["ratios"] = {name: ratio(times, name, "ours") for name in times if name not in ("ours", "half")}
    found["pruned"] = ratio(times, "ours", "half") | {"macs": macs / half_macs}
    found["of peak"] = macs * batch / min(times["ours"]) / machine(np.dtype(np.float32)).peak
    return found


def main() -> None:
    """Measure, print a table, keep the numbers."""
    options = start(__doc__, rounds=21)
    networks, batches, rounds = (NETWORKS[:2], (1, 256), 5) if options.quick else (NETWORKS, BATCHES, options.rounds)
    rows = []
    with bar("timing", len(networks) * len(batches), show=True) as advance:
        for sizes in networks:
            for batch in batches:
                rows.append(measured(sizes, batch, rounds))
                advance(text=f"{rows[-1]['network']}, {batch}")
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
