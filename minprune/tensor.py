"""The tape: what was computed, in order; and the walk back along it.

`apply(op, x, …)` computes on plain arrays and leaves no trace. When one of the arguments is a `Tensor`, the same call
is also written on that tensor's tape. A call can only use what stands on the tape before it, so the tape is already
sorted: walking it backwards meets every value after all of its uses. That walk is `backward`; it returns a fresh map
of gradients, nothing accumulates anywhere, and there is nothing to zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import DtypeError, MinpruneError, ShapeError
from .ops import Array, Call, Op, run


@dataclass(frozen=True)
class Record:
    """One line of the tape: a value and where it came from."""

    value: Array
    call: Call | None  # None: a value that was put on the tape, not computed
    sources: Mapping[str, int]  # argument name -> the line it was read from


class Tape:
    """What was computed, in order.

    Examples
    --------
    >>> from minprune.ops import Mul
    >>> tape = Tape()
    >>> x = tape.watch(np.array([3.0]))
    >>> y = apply(Mul, x, x)
    >>> [record.call.op.name if record.call else "x" for record in tape.records]
    ['x', 'mul']
    >>> backward(y)[x]
    array([6.])
    """

    def __init__(self) -> None:
        self.records: list[Record] = []

    def watch(self, value: Any) -> Tensor:
        """Put a value on the tape, so that gradients by it can be asked for."""
        return self._append(Record(np.asarray(value), None, {}))

    def _append(self, record: Record) -> Tensor:
        self.records.append(record)
        return Tensor(self, len(self.records) - 1)


@dataclass(frozen=True)
class Tensor:
    """A value on a tape: the tape and the line on which it stands. Two that stand on the same line are equal."""

    tape: Tape
    index: int

    @property
    def value(self) -> Array:
        """The array."""
        return self.tape.records[self.index].value

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.value.shape

    def __repr__(self) -> str:
        call = self.tape.records[self.index].call
        return f"<Tensor {self.index} {call.op.name if call else 'watched'} {self.shape} {self.value.dtype}>"


Value = Array | Tensor


def apply(op: type[Op], *args: Any, **options: Any) -> Any:
    """Apply an op to arrays or tensors.

    Parameters
    ----------
    op : Op
        One of `minprune.ops.OPS`.
    *args : array or Tensor or None
        The op's arguments in its order; None where it lets one out (a bias).
    **options
        The op's settings.

    Returns
    -------
    array or Tensor
        An array if no argument is a Tensor; otherwise a Tensor on their tape.

    Raises
    ------
    DtypeError
        When a transcendental op is given rationals, or something is no number.
    MinpruneError
        When two arguments stand on different tapes, their number is wrong, or an option is none of the op's.

    Examples
    --------
    >>> from minprune.ops import Add
    >>> apply(Add, np.array([1.0]), np.array([2.0]))
    array([3.])
    """
    call = run(op, tuple(_array(arg) for arg in args), options)
    tensors = {name: arg for name, arg in zip(op.args, args, strict=True) if isinstance(arg, Tensor)}
    if not tensors:
        return call.out
    tape, *others = {tensor.tape for tensor in tensors.values()}
    if others:
        raise MinpruneError(f"{op.name}: its arguments stand on different tapes; watch them all on one")
    sources = {name: tensor.index for name, tensor in tensors.items()}
    return tape._append(Record(call.out, call, sources))


def _array(arg: Any) -> Array | None:
    if arg is None:
        return None
    return arg.value if isinstance(arg, Tensor) else np.asarray(arg)


class Gradients(Mapping[Tensor, Array]):
    """The gradients of one output by the tensors of its tape; zeros for a tensor that the output does not depend on."""

    def __init__(self, tape: Tape, by_line: dict[int, Array], asked: set[int] | None = None) -> None:
        self._tape = tape
        self._by_line = by_line
        self._asked = asked  # None: all

    def __getitem__(self, tensor: Tensor) -> Array:
        if tensor.tape is not self._tape:
            raise KeyError(f"{tensor} stands on another tape")
        if self._asked is not None and tensor.index not in self._asked:
            raise KeyError(f"{tensor}: its gradient was not asked for; name it in wrt=")
        found = self._by_line.get(tensor.index)
        return np.zeros_like(tensor.value) if found is None else found

    def __iter__(self) -> Iterator[Tensor]:
        return (Tensor(self._tape, line) for line in sorted(self._by_line))

    def __len__(self) -> int:
        return len(self._by_line)


def backward(y: Tensor, seed: Array | None = None, wrt: Iterable[Tensor] | None = None) -> Gradients:
    r"""Walk the tape back from `y` and collect the gradient of every value.

    $\bar{v} = \sum_{\mathrm{uses}\ u} \left(\partial u / \partial v\right)^\top \bar{u}$: a value that was used twice
    gets the sum of both.

    Parameters
    ----------
    y : Tensor
        Where to start.
    seed : array, optional
        The upstream gradient ``∂L/∂y``, in the shape of y. Without one y must be a single number, and 1 is taken.
    wrt : tensors, optional
        Keep only the gradients by these, and compute only what they need. By default every gradient is kept.

    Returns
    -------
    Gradients
        A fresh mapping: tensor -> array of the tensor's shape.

    Raises
    ------
    ShapeError
        When y is not a single number and no seed is given, or the seed has another shape.
    DtypeError
        When y holds rationals or complex numbers: these go forward only.
    MinpruneError
        When a tensor of `wrt` stands on another tape.

    Notes
    -----
    Source: Rumelhart, Hinton and Williams 1986; as reverse accumulation, Linnainmaa 1970.

    Examples
    --------
    >>> from minprune.ops import Mul
    >>> tape = Tape()
    >>> a, b = tape.watch([2.0]), tape.watch([5.0])
    >>> grads = backward(apply(Mul, a, b))
    >>> grads[a], grads[b]
    (array([5.]), array([2.]))
    """
    records = y.tape.records
    keep = None if wrt is None else {_line(tensor, y.tape) for tensor in wrt}
    needed = _needed(y, keep)
    bars: dict[int, Array] = {y.index: _seed(y, seed)}
    for line in range(y.index, -1, -1):
        call = records[line].call
        if line not in bars or call is None:
            continue
        g = bars[line] if keep is None or line in keep else bars.pop(line)
        for arg, source in records[line].sources.items():
            if arg in call.op.rules and source in needed:
                bar = call.op.grad(arg)(call, g)
                bars[source] = bars[source] + bar if source in bars else bar
    return Gradients(y.tape, bars, keep)


def _line(tensor: Tensor, tape: Tape) -> int:
    if tensor.tape is not tape:
        raise MinpruneError(f"backward: {tensor} of wrt stands on another tape than y")
    return tensor.index


def _seed(y: Tensor, seed: Array | None) -> Array:
    if y.value.dtype.kind != "f":
        raise DtypeError(
            f"backward: y holds {y.value.dtype}; rationals and complex numbers go forward only, use float64"
        )
    if seed is None:
        if y.value.size != 1:
            raise ShapeError(f"backward: y has shape {y.shape}, expected a single number, or give seed= of that shape")
        return np.ones_like(y.value)
    seed = np.asarray(seed, dtype=y.value.dtype)
    if seed.shape != y.shape:
        raise ShapeError(f"backward: seed has shape {seed.shape}, expected the shape of y, {y.shape}")
    return seed


def _needed(y: Tensor, wrt: set[int] | None) -> set[int]:
    """The lines whose gradient must be computed: all, or those that depend on one of `wrt`."""
    if wrt is None:
        return set(range(y.index + 1))
    needed: set[int] = set()
    for line, record in enumerate(y.tape.records[: y.index + 1]):
        if line in wrt or any(source in needed for source in record.sources.values()):
            needed.add(line)
    return needed
