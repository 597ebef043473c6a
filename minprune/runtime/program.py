"""A network as a program: compiled for one batch size, run without looking at the network again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any

import numpy as np

from ..backends import backend
from ..errors import DtypeError, MinpruneError, ShapeError
from ..kernels.gemm import NOTHING
from ..kernels.machine import machine
from ..nn import Graph
from ..ops import Array
from ..reports import table
from .building import Builder, buffer, shortest
from .folding import folded
from .images import ImagePlan
from .pixels import PixelPlan
from .planning import plan_images
from .steps import LayerRows, Step, Workspace

CHUNK = 128  # samples that go through the program together: their values stay in the L2 cache
WORTH_IT = 0.5e-3  # seconds that a batch must take before it is given to several threads
VARIABLE = "MINPRUNE_NUM_THREADS"


class Program:
    """A network made ready to run: see `compile_network`, which is `minprune.compile`.

    It may be called from several threads at once: each call takes a workspace of its own. Its result has the same bytes
    for any number of threads and any size of batch, as long as no layer is left to NumPy.

    Attributes
    ----------
    steps : list of Step
        What runs, in this order.
    batch_size, threads : int
        What it was compiled for.
    """

    def __init__(self, net: Graph, steps: Sequence[Step], batch_size: int, threads: int) -> None:
        self.net, self.steps, self.batch_size, self.threads = net, list(steps), batch_size, threads
        self.chunk = min(batch_size, CHUNK)
        self.shapes = net.value_shapes(net.input_shapes or {})
        self._dtype, self._out_shape = net.dtype, self.shapes[net.output]
        self._inputs = [(f"{name}:rows", self.shapes[name]) for name in net.inputs]
        self._output = f"{net.output}:rows"
        self._left_to_layers = any(type(step) is LayerRows for step in self.steps)
        self._spaces: list[Workspace] = []  # those that nobody uses
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    def __call__(self, *xs: Any, out: Array | None = None) -> Array:
        """Compute the output for a batch.

        Parameters
        ----------
        *xs : array
            As for the network; of any number of samples.
        out : array, optional
            Where to put the output: (N, …), contiguous, of the network's dtype. By default a new array.

        Returns
        -------
        array
            ``out``.

        Raises
        ------
        ShapeError, DtypeError
            When an input or `out` does not fit.
        """
        values = self._taken(*xs)
        count = len(next(iter(values.values())))
        shape = (count, *self._out_shape)
        if out is None:
            out = np.empty(shape, self._dtype)
        elif out.shape != shape or out.dtype != self._dtype or not out.flags.c_contiguous:
            raise ShapeError(f"out: expected a contiguous {self._dtype} array {shape}, got {out.dtype} {out.shape}")
        if count <= self.chunk:
            self._run(values, out)
            return out
        starts = range(0, count, self.chunk)
        if self.threads > 1 and self.seconds * count / self.batch_size > WORTH_IT:
            shares = [starts[k :: self.threads] for k in range(self.threads)]  # to hand over a chunk takes 30 µs
            list(self._executor().map(lambda share: self._run_all(values, share, out), shares))
        else:
            self._run_all(values, starts, out)
        return out

    def _run_all(self, values: dict[str, Array], starts: Iterable[int], out: Array) -> None:
        for start in starts:
            stop = start + self.chunk
            self._run({key: value[start:stop] for key, value in values.items()}, out[start:stop])

    def _taken(self, *xs: Any) -> dict[str, Array]:
        """The inputs, checked; a single array that fits as it is takes the short way."""
        if len(xs) == len(self._inputs) == 1:
            x, (key, shape) = xs[0], self._inputs[0]
            if type(x) is np.ndarray and x.dtype == self._dtype and x.ndim > 1 and x.shape[1:] == shape:
                return {key: x}
        values = self.net.take(*xs)
        for name, value in values.items():
            if value.shape[1:] != self.shapes[name]:
                raise ShapeError(f"{name}: compiled for {('N', *self.shapes[name])}, got {value.shape}")
        return {f"{name}:rows": value for name, value in values.items()}

    def _run(self, values: dict[str, Array], out: Array) -> None:
        """Compute one chunk."""
        try:
            space = self._spaces.pop()  # of a list that another thread may just have emptied
        except IndexError:
            space = self._workspace()
        space.count = len(out)
        for key, value in values.items():
            space.arrays[key] = np.ascontiguousarray(value)
        space.arrays[self._output] = out
        if self._left_to_layers:
            with backend("numba"):
                space.run()
        else:
            space.run()
        self._spaces.append(space)

    def _workspace(self) -> Workspace:
        """Buffers for a chunk. Values that are not needed at the same time share their room."""
        arrays: dict[str, Array] = {}
        free: dict[tuple[str, int], list[Array]] = {}  # form and size -> buffers that hold nothing any more
        last = {source: i for i, step in enumerate(self.steps) for source in step.sources}
        ends = {self._output, *(f"{name}:rows" for name in self.net.inputs)}
        for i, step in enumerate(self.steps):
            value, _, form = step.target.rpartition(":")
            shape = self.shapes[value]
            key = (form, prod(shape))
            if step.target not in ends:
                spare = free.get(key)
                arrays[step.target] = spare.pop() if spare else buffer(shape, form, self.chunk, self.net.dtype)
                if arrays[step.target].shape[1:] != shape and form == "rows":
                    arrays[step.target] = arrays[step.target].reshape(self.chunk, *shape)
            for source in set(step.sources) - ends:
                if last[source] == i:
                    before, _, how = source.rpartition(":")
                    free.setdefault((how, prod(self.shapes[before])), []).append(arrays[source])
        space = Workspace(arrays)
        space.calls = [step.bind(space) for step in self.steps]
        return space

    def _executor(self) -> ThreadPoolExecutor:
        """The pool; a process that was forked from this one makes its own, since threads do not come along."""
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), ThreadPoolExecutor(self.threads, thread_name_prefix="minprune")
        return self._pool[1]

    def measure(self) -> Program:
        """Time every step on random inputs of the batch size it was compiled for."""
        rng = np.random.default_rng(0)
        space = self._workspace()
        space.count = self.chunk
        for name in self.net.inputs:
            space.arrays[f"{name}:rows"] = rng.random((self.chunk, *self.shapes[name])).astype(self.net.dtype)
        output = np.empty((self.chunk, *self.shapes[self.net.output]), self.net.dtype)
        space.arrays[self._output] = output
        with backend("numba"):
            for step in self.steps:
                step.seconds = shortest(step, space)
        return self

    @property
    def seconds(self) -> float:
        """What the measured steps take together, for a batch of `batch_size`."""
        return sum(step.seconds for step in self.steps) * self.batch_size / self.chunk

    def plan(self) -> str:
        """What runs, and why: for every step the kernel, its multiply-adds, the least and the measured time.

        The least time is that of a core at its peak, or at the speed of its L2 cache for the weights, whichever is
        more; the last column is their ratio, which inputs that are 0 lift where a layer runs by columns. Times are for
        a chunk of up to 128 samples on one thread.
        """
        limits = machine(self.net.dtype)
        rows = []
        for step in self.steps:
            least = limits.least(step.macs * self.chunk, step.nbytes)
            share = f"{least / step.seconds:.0%}" if step.macs and step.seconds else ""
            micro = f"{least * 1e6:,.1f}" if step.macs else ""
            rows.append((step.name, step.kernel, step.macs, micro, f"{step.seconds * 1e6:,.1f}", share, step.why))
        head = ("layer", "kernel", "MACs", "least µs", "µs", "of roof", "why")
        note = f"{self.chunk} samples at a time, {self.threads} thread(s), {self.net.dtype}"
        note += f"; roof: {limits.peak / 1e9:.0f} G multiply-adds/s, {limits.bandwidth / 1e9:.0f} GB/s"
        return f"{table(head, rows, left=2)}\n{note}"

    def __repr__(self) -> str:
        return f"<Program of {len(self.steps)} steps for batches of {self.batch_size}, {self.threads} thread(s)>"


def _threads_of(asked: str) -> int:
    """The number of threads that the environment asks for."""
    if not asked.isdecimal() or int(asked) < 1:
        raise MinpruneError(f"{VARIABLE} is {asked!r}, expected a whole number of at least 1")
    return int(asked)


def compile_network(net: Graph, batch_size: int = 1, threads: int | None = None) -> Program:
    """Make a network ready to run fast: fold, fuse, plan memory, and choose a kernel for every layer by trying them.

    The network's weights are copied: training it further does not change the program. Masked and pruned networks get
    their speed here: dense layers and convolutions run from their kept weights alone where that was faster when it was
    tried.

    Parameters
    ----------
    net : Graph
        In float32 or float64.
    batch_size : int
        The number of samples that it will mostly be called with; any other number works, too.
    threads : int, optional
        How many may share a large batch; by default MINPRUNE_NUM_THREADS, or 1.

    Returns
    -------
    Program
        Called as the network is, with ``out=`` for a place to put the result; ``.plan()`` tells what runs and why.

    Raises
    ------
    DtypeError
        When the network is in other numbers.
    StructureError
        When the shape of its inputs is not known.
    MinpruneError
        When batch_size or the number of threads is no whole number of at least 1.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(20, 30), mp.ReLU(), mp.Dense(30, 5), rng=0)
    >>> program = mp.compile(net, batch_size=64)
    >>> x = np.random.default_rng(0).random((64, 20), dtype=np.float32)
    >>> bool(np.allclose(program(x), net(x), atol=1e-5))
    True
    """
    if net.dtype not in NOTHING:
        raise DtypeError(f"compile: the network holds {net.dtype}, expected float32 or float64; use astype")
    if threads is None:
        threads = _threads_of(os.environ.get(VARIABLE, "") or "1")
    for name, value in (("batch_size", batch_size), ("threads", threads)):
        if not isinstance(value, int | np.integer) or value < 1:
            raise MinpruneError(f"compile: {name} is {value!r}, expected a whole number of at least 1")
    net = folded(net)
    programs = []
    with backend("numba"):
        for images in _plans(net):
            for form in ("rows", "strips"):
                steps = Builder(net, form, min(batch_size, CHUNK), images).build()
                programs.append(Program(net, steps, batch_size, threads).measure())
    return min(programs, key=lambda program: program.seconds)


def _plans(net: Graph) -> list[ImagePlan | PixelPlan | None]:
    """Ways to run the layers that work on images: one by one, and all together where there is one way out of them."""
    plan = plan_images(net, net.value_shapes(net.input_shapes)) if net.input_shapes else "the shapes are not known"
    if isinstance(plan, str) or len(plan.ends) != 1:
        return [None]
    plan.load(net.arrays)
    return [None, plan, PixelPlan(plan)]
