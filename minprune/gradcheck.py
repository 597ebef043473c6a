"""Checking gradients: what backward rules say, against witnesses that look at forward passes only.

`check` takes a whole network, `check_op` a single op; what the witnesses can and cannot tell stands in
`minprune.witnesses`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .errors import DtypeError, MinpruneError, ShapeError
from .nn import Graph
from .ops import LOSSES, Array, Call, Mean, Op, exact, run
from .progress import track
from .reports import macs, table
from .targets import choose_loss, prepare_targets
from .tensor import Tape, Tensor, apply, backward
from .witnesses import TOLERANCES, WITNESSES, Arrays, Function, at_kink

RATIONAL_WORK = 5_000_000  # multiplications of fractions, about a microsecond each, that are worth waiting for


@dataclass(frozen=True)
class Finding:
    """The worst entry of one argument by one witness.

    Attributes
    ----------
    argument : str
        What the gradient is by.
    witness : str
        Who was asked.
    entries : int
        How many entries were compared.
    index : tuple of int
        Where backward and witness differ most.
    backward, witnessed : float
        The two values there.
    error : float
        Their difference, relative to the largest gradient of the argument or 1, whichever is more.
    allowed : float
        How large the error may be: 0 where both must be equal.
    kinks : int
        Entries at a kink, where a difference is no witness: the error leaves them out.
    """

    argument: str
    witness: str
    entries: int
    index: tuple[int, ...]
    backward: float
    witnessed: float
    error: float
    allowed: float
    kinks: int

    @property
    def ok(self) -> bool:
        """Whether the error is within what is allowed (NaN never is)."""
        return self.error <= self.allowed


@dataclass(frozen=True)
class Report:
    """What the witnesses say.

    Attributes
    ----------
    subject : str
        What was checked.
    findings : tuple of Finding
        One per argument and witness.
    unasked : dict
        Witness -> why it was not asked.
    """

    subject: str
    findings: tuple[Finding, ...]
    unasked: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether all agree."""
        return all(finding.ok for finding in self.findings)

    def __str__(self) -> str:
        values = ("entries", "kinks", "worst at", "backward", "witness says", "error", "allowed")
        head = ("gradient by", "witness", *values, "")
        rows = [
            (
                *(f.argument, f.witness, f.entries, f.kinks, str(f.index), f.backward, f.witnessed, f.error, f.allowed),
                "ok" if f.ok else "WRONG",
            )
            for f in self.findings
        ]
        notes = [f"{witness} not asked: {why}" for witness, why in self.unasked.items()]
        return "\n".join([self.subject, table(head, rows, left=2), *notes])

    def raise_if_wrong(self) -> Report:
        """Return the report, or raise where a gradient is wrong.

        Raises
        ------
        MinpruneError
            Names the argument, the entry and both values.
        """
        for f in self.findings:
            if not f.ok:
                raise MinpruneError(
                    f"{self.subject}: the gradient by {f.argument} is wrong at {f.index}: "
                    f"backward gives {f.backward!r}, the {f.witness} {f.witnessed!r}"
                )
        return self


def _compare(
    f: Function, arrays: Arrays, argument: str, witness: str, backward: Array, witnessed: Array, allowed: float
) -> Finding:
    """Find the entry where a rule and a witness differ most."""
    if backward.shape != witnessed.shape:
        raise ShapeError(f"the gradient by {argument} has shape {backward.shape}, expected {witnessed.shape}")
    if backward.size == 0:
        return Finding(argument, witness, 0, (), 0.0, 0.0, 0.0, allowed, 0)
    comparable = exact(backward) if witnessed.dtype == object and np.isfinite(backward).all() else backward
    errors = np.asarray(abs(comparable - witnessed), dtype=float) / max(1.0, float(np.abs(backward).max()))
    apart = [tuple(index) for index in np.argwhere(~(errors <= allowed)).tolist()]
    kinks = [index for index in apart if at_kink(f, arrays, argument, witness, index, float(backward[index]))]
    for index in kinks:
        errors[index] = 0.0
    worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(errors)), errors.shape))
    values = float(backward[worst]), float(witnessed[worst]), float(errors[worst])
    return Finding(argument, witness, backward.size, worst, *values, allowed, len(kinks))


def _small_eighths(*arrays: Array) -> bool:
    """Whether all numbers are multiples of 1/8 so small that float64 multiplies a few of them without rounding."""
    return all(((array * 8) % 1 == 0).all() and (np.abs(array) <= 1024).all() for array in arrays)


def _ask(
    subject: str,
    f: Function,
    arrays: Arrays,
    backward: Arrays,
    unasked: dict[str, str],
    *,
    eighths: bool,
    progress: bool = False,
) -> Report:
    questions = [(name, witness) for name in backward for witness in WITNESSES if witness not in unasked]
    said = {
        (name, witness): WITNESSES[witness](f, arrays, name)
        for name, witness in track(questions, "checking gradients", show=progress)
    }
    rational = [value for answer in said.values() if answer.dtype == object for value in answer.flat]
    strict = eighths and all(Fraction(float(value)) == value for value in rational)  # no float64 holds a third
    allowed = TOLERANCES | ({"exact rationals": 0.0} if strict else {})
    findings = (
        _compare(f, arrays, name, witness, backward[name], answer, allowed[witness])
        for (name, witness), answer in said.items()
    )
    return Report(subject, tuple(findings), unasked)


def check_op(
    op: type[Op], *args: Any, rng: int | np.random.Generator = 0, skip: Mapping[str, str] | None = None, **options: Any
) -> Report:
    r"""Hold every entry of every rule of an op against the witnesses.

    The function whose gradient is looked at is $\sum g \cdot \mathrm{op}(x, \ldots)$ with g drawn from ±½, ±1, ±2.

    Parameters
    ----------
    op : Op
        Which.
    *args : array or None
        Its arguments, in float64. Where all are small multiples of 1/8 the exact witness asks for ``==``.
    rng : int or Generator
        Draws g.
    skip : mapping, optional
        Witness -> the reason why it is not asked. An op that refuses rationals is not asked for exact ones.
    **options
        The op's settings.

    Returns
    -------
    Report

    Examples
    --------
    >>> from minprune.ops import Mul
    >>> check_op(Mul, np.array([0.5, 2.0]), np.array([3.0, 0.25])).ok
    True
    """
    arrays = {name: np.asarray(arg) for name, arg in zip(op.args, args, strict=True) if arg is not None}
    free = {name: array for name, array in arrays.items() if name not in op.constants}
    fixed = {name: array for name, array in arrays.items() if name in op.constants}

    def call(values: Arrays) -> Call:
        rational = any(value.dtype == object for value in values.values())
        constants = {k: exact(v) if rational and v.dtype.kind == "f" else v for k, v in fixed.items()}
        return run(op, tuple({**constants, **values}.get(name) for name in op.args), options)

    made = call(free)
    # powers of two: no 0 that would hide an entry, and no 3 that would hide a division by it
    g = np.asarray(np.random.default_rng(rng).choice([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0], made.out.shape))

    def f(values: Arrays) -> Any:
        out = call(values).out
        return np.sum((exact(g) if out.dtype == object else g) * out)

    gradients = {name: op.grad(name)(made, g) for name in free}
    unasked = dict(skip or {})
    if not op.exact:
        unasked.setdefault("exact rationals", f"{op.name} is transcendental")
    return _ask(op.name, f, free, gradients, unasked, eighths=_small_eighths(*arrays.values()))


def check(net: Graph, x: Any, y: Any, loss: str | None = None, *, progress: bool = True) -> Report:
    """Hold every gradient of a whole network, by its parameters and inputs, against the witnesses.

    The network is taken in float64 and in evaluation mode. Every entry costs some forward passes: for small networks
    and few samples.

    Parameters
    ----------
    net : Graph
        Is not changed.
    x, y : array
        Samples and targets.
    loss : str, optional
        By default cross-entropy for integer y, else mse.
    progress : bool
        Show a progress bar on stderr.

    Returns
    -------
    Report
        ``.ok``, a table as text, `raise_if_wrong`. A witness that was not asked stands there with the reason: the exact
        one cannot be where an op is transcendental, and is not where it would take too long.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 3), mp.Sigmoid(), mp.Dense(3, 1))
    >>> check(net, [[1.0, 2.0]], [[0.5]], progress=False).ok
    True
    """
    net = net.astype(np.float64)
    loss = choose_loss(y) if loss is None else loss
    inputs = net.take(x)
    tape = Tape()
    watched = {name: tape.watch(array) for name, array in {**net.params, **inputs}.items()}

    def mean_loss(values: Mapping[str, Any]) -> Any:
        first = values[net.inputs[0]]
        dtype = (first.value if isinstance(first, Tensor) else first).dtype
        buffers = {k: exact(v) if dtype.kind == "O" and v.dtype.kind == "f" else v for k, v in net.buffers.items()}
        out = net.run({name: values[name] for name in net.inputs}, {**buffers, **values})[net.output]
        return apply(Mean, apply(LOSSES[loss], out, prepare_targets(y, out.shape, loss, dtype)))

    gradients = backward(mean_loss(watched), wrt=watched.values())
    arrays = {name: tensor.value for name, tensor in watched.items()}
    unasked = _reasons_against_rationals(net, mean_loss, arrays)
    eighths = _small_eighths(*arrays.values(), *net.buffers.values(), np.asarray(y))
    rules = {name: gradients[tensor] for name, tensor in watched.items()}
    return _ask(f"{net}, {loss}", mean_loss, arrays, rules, unasked, eighths=eighths, progress=progress)


def _reasons_against_rationals(net: Graph, f: Function, arrays: Arrays) -> dict[str, str]:
    shapes = {name: arrays[name].shape[1:] for name in net.inputs}
    samples = len(arrays[net.inputs[0]])
    work = 2 * sum(array.size for array in arrays.values()) * samples * max(1, sum(macs(net, shapes).values()))
    if work > RATIONAL_WORK:
        return {"exact rationals": f"{work:,} multiplications of fractions take too long; check fewer samples"}
    try:
        f({name: exact(array) for name, array in arrays.items()})
    except DtypeError as refusal:
        return {"exact rationals": str(refusal)}
    return {}
