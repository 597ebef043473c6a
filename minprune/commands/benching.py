"""The command that measures how fast a network is here, as a program and by what people would run it with."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..errors import MinpruneError, one_line
from ..formats import load
from ..kernels.machine import machine
from ..models import mlp
from ..nn import Graph
from ..ops import Array
from ..progress import bar
from ..reports import duration, table
from ..runtime.program import Program, compile_network
from ..surroundings import OURS, described, surroundings
from ..timing import Race, Ratio, ratio_of
from .shared import Outcome

PAIRS = 31
DEFAULT = (784, (300, 100), 10)
PEERS = ("NumPy", "onnxruntime")
MORE = "The project's own benchmarks, with more peers, layers and sizes: python -m bench in a checkout of it."

Call = Callable[[], Any]
Peers = dict[str, Call | str]  # a call, or why there is none


def bench(args: Namespace) -> Outcome:
    """Time a network as a program, in NumPy and in onnxruntime."""
    net = mlp(*DEFAULT) if args.model is None else load(args.model)
    name = args.model or "-".join(map(str, (DEFAULT[0], *DEFAULT[1], DEFAULT[2])))
    rows = []
    with bar("timing", len(args.batch) * len(PEERS), show=True) as advance:
        for batch in args.batch:
            rows.append(_measured(net, batch, args.threads, args.seconds, advance))
    where = surroundings((*OURS, "onnxruntime"), args.threads)
    lines = [_line(row) for row in rows]
    head = ("batch", "program", "of roof", *(f"{peer} / program" for peer in PEERS))
    reasons = {f"{peer}: {why}" for row in rows for peer, why in row["missing"].items()}
    text = "\n".join((f"{name}\n{table(head, lines)}", *sorted(reasons), "", described(where), MORE))
    return text, {"model": name, "rows": rows, "where": where}


def _measured(net: Graph, batch: int, threads: int, seconds: float, advance: Callable[[], None]) -> dict[str, Any]:
    """One batch size against every peer, in turn with each."""
    program = compile_network(net, batch, threads)
    rng = np.random.default_rng(0)
    xs = [rng.random((batch, *program.shapes[name])).astype(net.dtype) for name in net.inputs]
    out = np.empty((batch, *program.shapes[net.output]), net.dtype)
    peers: Peers = {"NumPy": lambda: net(*xs), "onnxruntime": _onnxruntime(net, xs, out, threads)}
    shortest, ratios = np.inf, {}
    for name, peer in peers.items():
        if not isinstance(peer, str):
            race = Race.prepare(peer, lambda: program(*xs, out=out), PAIRS, seconds)
            theirs, ours = race.run(PAIRS, seconds, rng, lambda: None)
            ratios[name] = asdict(ratio_of(theirs, ours, race.calls))
            shortest = min(shortest, *ours)
        advance()
    missing = {name: peer for name, peer in peers.items() if isinstance(peer, str)}
    found = {"batch": batch, "seconds": shortest, "of_roof": _least(program) / shortest}
    return found | {"ratios": ratios, "missing": missing}


def _least(program: Program) -> float:
    """The seconds that a batch must take at least, with all threads at the core's peak."""
    limits = machine(program.net.dtype)
    chunk = sum(limits.least(step.macs * program.chunk, step.nbytes) for step in program.steps)
    return chunk * program.batch_size / program.chunk / program.threads


def _onnxruntime(net: Graph, xs: list[Array], out: Array, threads: int) -> Call | str:
    """A call of the same network there, input and output bound; why there is none, where there cannot be."""
    for package in ("onnx", "onnxruntime"):
        if find_spec(package) is None:
            return f"{package} is not installed"
    from ..formats.onnx_files.writing import to_model

    try:
        model = to_model(net, {})
    except MinpruneError as error:
        return f"no ONNX counterpart: {error}"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        for given, x in zip(session.get_inputs(), xs, strict=True):
            binding.bind_cpu_input(given.name, x)
        value = onnxruntime.OrtValue.ortvalue_from_numpy(out.copy())
        binding.bind_ortvalue_output(session.get_outputs()[0].name, value)
        session.run_with_iobinding(binding)
    except Exception as error:  # what the runtime raises has no common class of its own
        return f"it refuses the network: {one_line(error, 200)}"
    return lambda: session.run_with_iobinding(binding)


def _line(row: dict[str, Any]) -> tuple[Any, ...]:
    ratios = [Ratio(**row["ratios"][peer]) if peer in row["ratios"] else None for peer in PEERS]
    told = ["–" if r is None else f"{r.median:.3g} ({r.low:.3g}–{r.high:.3g})" for r in ratios]
    return row["batch"], duration(row["seconds"]), f"{row['of_roof']:.0%}", *told
