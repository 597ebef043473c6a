"""CUDA: is a network on the device faster than in NumPy, and how far from PyTorch's kernels on the same device?

    python bench/device.py [--seconds 0.5] [--dtype float32] [--check] [--quick] [--json DIR]

Single layers (784-300-100-10, one of 1000 × 1000, the convolutions of LeNet-5), whole forward passes and training steps
of these networks, for batches of 32, 256 and 4,096. Everything lies where it is computed: copies to the device are
outside the timer, and a device is waited for before a block's time is read. Every result is compared with NumPy's
before anything is timed. A ratio is the peer's time divided by ours, the median over pairs of blocks and its 95 %
interval. PyTorch takes part where it has CUDA, without TF32, which rounds otherwise.

It needs an NVIDIA GPU and the extra `cuda`. With `--check` the results for tiny sizes are compared, and nothing is
timed; NUMBA_ENABLE_CUDASIM=1 lets that run in Numba's simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numba import cuda
from side_by_side import Row as Found
from side_by_side import cannot, keep, start

import minprune as mp
from minprune.errors import MinpruneError
from minprune.gradients import loss_and_gradients
from minprune.kernels.cuda import Program, conv, devices, gemm, to_device, to_host
from minprune.models import lenet5, mlp
from minprune.ops.affine import affine
from minprune.ops.conv import conv as conv_numpy
from minprune.optim import OptimizerState
from minprune.progress import bar
from minprune.reports import duration, table
from minprune.timing import Race, ratio_of

PAIRS = 15
Call = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One line: what is timed, in NumPy, on the device, and in PyTorch where it can."""

    name: str
    numpy: Call
    device: Call
    torch: Call | None
    result: Callable[[], tuple[Any, Any]]  # ours and NumPy's, to be compared


def waited(run: Call) -> Call:
    """Run, and wait for the device."""

    def call() -> None:
        run()
        cuda.synchronize()

    return call


def torch_on_device() -> Any:
    """PyTorch, where it is installed and has CUDA; in single precision throughout."""
    try:
        import torch
    except ImportError:
        return None
    if devices.SIMULATED or not torch.cuda.is_available():
        return None
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.set_grad_enabled(False)
    return torch


def peer(torch: Any, run: Callable[..., Any], *arrays: Any) -> Call | None:
    """A function of PyTorch over arrays on the device, waited for."""
    if torch is None:
        return None
    tensors = [torch.from_numpy(array).cuda() for array in arrays]

    def call() -> None:
        run(*tensors)
        torch.cuda.synchronize()

    return call


def layers(torch: Any, batch: int, sizes: list[tuple[int, int]], dtype: Any) -> Iterator[Row]:
    """Dense layers."""
    rng = np.random.default_rng(0)
    for inputs, outputs in sizes:
        x, W, b = (rng.standard_normal(s).astype(dtype) for s in ((batch, inputs), (outputs, inputs), outputs))
        up = [to_device(a) for a in (x, W, b)]
        yield Row(
            f"affine {inputs}-{outputs}, {batch}",
            lambda x=x, W=W, b=b: affine(x, W, b),
            waited(lambda up=up: gemm.affine(*up)),
            peer(torch, torch and torch.nn.functional.linear, x, W, b),
            lambda x=x, W=W, b=b, up=up: (to_host(gemm.affine(*up)), affine(x, W, b)),
        )


def convolutions(torch: Any, batch: int, shapes: list[Any], dtype: Any) -> Iterator[Row]:
    """Convolutions."""
    rng = np.random.default_rng(0)
    plain = ((1, 1), (0, 0), (1, 1), 1)
    for image, filters in shapes:
        x, W, b = (rng.standard_normal(s).astype(dtype) for s in ((batch, *image), filters, filters[0]))
        up = [to_device(a) for a in (x, W, b)]
        yield Row(
            f"conv {image} by {filters}, {batch}",
            lambda x=x, W=W, b=b: conv_numpy(x, W, b, *plain),
            waited(lambda up=up: conv.conv(*up, *plain)),
            peer(torch, torch and torch.nn.functional.conv2d, x, W, b),
            lambda x=x, W=W, b=b, up=up: (to_host(conv.conv(*up, *plain)), conv_numpy(x, W, b, *plain)),
        )


def networks(batch: int, nets: dict[str, Any]) -> Iterator[Row]:
    """Whole forward passes, and training steps with Adam."""
    rng = np.random.default_rng(0)
    for name, net in nets.items():
        x = rng.standard_normal((batch, *net.input_shapes["input"])).astype(net.dtype)
        y = rng.integers(0, 10, batch)
        program, adam = Program(net), mp.Adam(1e-3)
        up, t = program.inputs(x), program.targets(y, "cross_entropy")
        yield Row(
            f"{name} forward, {batch}",
            lambda net=net, x=x: net(x),
            waited(lambda program=program, up=up: program(up)),
            None,
            lambda net=net, x=x, program=program, up=up: (to_host(program(up)), net(x)),
        )
        trained, state = net.copy(), OptimizerState()

        def step(trained: Any = trained, x: Any = x, y: Any = y, state: Any = state, adam: Any = adam) -> None:
            adam.update(trained.params, loss_and_gradients(trained, x, y, "cross_entropy")[1], state, adam.lr)

        yield Row(
            f"{name} training step, {batch}",
            step,
            waited(lambda program=program, up=up, t=t, adam=adam: program.step(up, t, "cross_entropy", adam)),
            None,
            lambda net=net, x=x, y=y: losses(net, x, y),
        )


def losses(net: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """The mean loss on the device and in NumPy."""
    program = Program(net)
    found, _ = program.gradients(program.inputs(x), program.targets(y, "cross_entropy"), "cross_entropy")
    return to_host(found).mean(), net.dtype.type(loss_and_gradients(net, x, y, "cross_entropy")[0])


def against(first: Call, ours: Call, seconds: float) -> tuple[dict[str, float], float, float]:
    """The ratio with its interval, and the shortest times of both."""
    race = Race.prepare(first, ours, PAIRS, seconds)
    theirs, mine = race.run(PAIRS, seconds, np.random.default_rng(0), lambda: None)
    found = ratio_of(theirs, mine, race.calls)
    return asdict(found), min(theirs), min(mine)


def compare(row: Row) -> None:
    """Fail where the device's result is not NumPy's."""
    got, expected = row.result()
    tolerance = 1e-4 if expected.dtype == np.float32 else 1e-10
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * max(1, abs(expected).max()))


def timed(row: Row, seconds: float) -> Found:
    """All of one line, after a look at the result."""
    compare(row)
    ratio, theirs, mine = against(row.numpy, row.device, seconds)
    found: Found = {"what": row.name, "seconds": {"ours": mine, "NumPy": theirs}, "ratios": {"NumPy": ratio}}
    if row.torch is not None:
        found["ratios"]["PyTorch"], found["seconds"]["PyTorch"], _ = against(row.torch, row.device, seconds)
    return found


def line(found: Found) -> list[str]:
    """The same as a line of the table."""
    ratios = [found["ratios"].get(peer) for peer in ("NumPy", "PyTorch")]
    told = ["–" if r is None else f"{r['median']:.2f} ({r['low']:.2f} to {r['high']:.2f})" for r in ratios]
    return [found["what"], *(duration(found["seconds"][name]) for name in ("NumPy", "ours")), *told]


def rows(torch: Any, tiny: bool, dtype: Any) -> list[Row]:
    """All that is timed."""
    found: list[Row] = []
    sizes = [(6, 5)] if tiny else [(784, 300), (300, 100), (1000, 1000)]
    shapes = [((1, 5, 5), (2, 1, 2, 2))] if tiny else [((1, 28, 28), (20, 1, 5, 5)), ((20, 12, 12), (50, 20, 5, 5))]
    nets = {"mlp": mlp(6, (5,), 10, dtype=dtype)}
    if not tiny:
        nets = {"mlp": mlp(784, (300, 100), 10, dtype=dtype), "lenet5": lenet5((1, 28, 28), 10, dtype=dtype)}
    for batch in (2,) if tiny else (32, 256, 4096):
        found += layers(torch, batch, sizes, dtype)
        found += convolutions(torch, batch, shapes, dtype)
        found += networks(batch, nets)
    return found


def main() -> None:
    """Measure, print a table, keep the numbers."""
    options = start(__doc__, seconds=0.5, dtype=("float32", "float64"), check=False)
    try:
        devices.require_device()
    except MinpruneError as error:
        cannot(error)
    device = "Numba's simulator" if devices.SIMULATED else cuda.get_current_device().name.decode()
    torch = torch_on_device()
    print(f"{device}, {options.dtype}; {'no ' if torch is None else ''}PyTorch with CUDA")
    found = rows(torch, options.check, np.dtype(options.dtype))
    if options.check:
        for row in found:
            compare(row)
        print(f"{len(found)} results agree with NumPy's")
        return
    kept: list[Found] = []
    with bar("timing", len(found), show=True) as advance:
        for row in found:
            kept.append(timed(row, 0.05 if options.quick else options.seconds))
            advance(text=row.name)
    print(table(("what, batch", "NumPy", "device", "NumPy / device", "PyTorch / device"), [line(row) for row in kept]))
    keep(options, "device", [{"device": device} | row for row in kept])


if __name__ == "__main__":
    main()
