r"""Three witnesses for a gradient: complex step, central difference, exact rationals.

None of them uses a backward rule; all three look at forward passes only.

* **Complex step**: $f'(x) = \mathrm{Im}\, f(x + ih) / h$ with $h = 10^{-30}$. Nothing is subtracted, nothing cancels:
  it agrees to rounding. Kinks look at real parts, so the step does not cross them. (Squire and Trapp 1998.)
* **Central difference**: $(f(x+h) - f(x-h)) / 2h$ in float64, with $h = 10^{-6} \max(1, |x|)$: the error is of order
  $h^2$ plus rounding over h, so some $10^{-9}$ of f's size can be asked for, not more; a step must not cross a kink.
* **Exact rationals**: the central difference again, in fractions, with a step so small that no kink is crossed. Where f
  is a polynomial of degree 2 at most in every single entry (affine maps, convolutions, pooling, relu, squared errors)
  it is no approximation: it *is* the derivative. On inputs that are small multiples of 1/8 the float64 backward pass
  rounds nothing either, and both must be equal, ``==``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .errors import DtypeError, MinpruneError
from .nn import Graph
from .ops import LOSSES, Array, Call, Op, exact, run
from .recording import record
from .reports import table
from .targets import choose_loss, prepare_targets
from .tensor import apply

COMPLEX_STEP = 1e-30
CENTRAL_STEP = 1e-6
EXACT_STEP = Fraction(1, 2**80)
TOLERANCES = {"complex step": 1e-11, "central difference": 1e-6, "exact rationals": 0.0}

Arrays = Mapping[str, Array]
Function = Callable[[Arrays], Any]  # named arrays -> one number


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
    ok : bool
        Whether the error is within the witness's tolerance.
    """

    argument: str
    witness: str
    entries: int
    index: tuple[int, ...]
    backward: float
    witnessed: float
    error: float
    ok: bool


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
        head = ("gradient by", "witness", "entries", "worst at", "backward", "witness says", "error", "")
        rows = [
            (
                f.argument,
                f.witness,
                f.entries,
                str(f.index),
                f.backward,
                f.witnessed,
                f.error,
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


def _perturbed(arrays: Arrays, name: str, index: tuple[int, ...], step: Any) -> Arrays:
    changed = arrays[name].copy()
    changed[index] += step
    return {**arrays, name: changed}


def complex_step(f: Function, arrays: Arrays, name: str) -> Array:
    r"""Derivative of f by every entry of one array: $\mathrm{Im}\, f(x + ih) / h$.

    Examples
    --------
    >>> complex_step(lambda a: (a["x"] ** 3).sum(), {"x": np.array([2.0])}, "x")
    array([12.])
    """
    shifted = {key: value.astype(np.complex128) for key, value in arrays.items()}
    out = np.zeros(arrays[name].shape)
    for index in np.ndindex(out.shape):
        out[index] = np.imag(f(_perturbed(shifted, name, index, 1j * COMPLEX_STEP))) / COMPLEX_STEP
    return out


def central_difference(f: Function, arrays: Arrays, name: str) -> Array:
    """Derivative of f by every entry of one array: ``(f(x+h) − f(x−h)) / 2h``.

    Examples
    --------
    >>> central_difference(lambda a: (a["x"] ** 2).sum(), {"x": np.array([3.0])}, "x").round(6)
    array([6.])
    """
    out = np.zeros(arrays[name].shape)
    for index in np.ndindex(out.shape):
        h = CENTRAL_STEP * max(1.0, abs(float(arrays[name][index])))
        up, down = (f(_perturbed(arrays, name, index, step)) for step in (h, -h))
        out[index] = (up - down) / (2 * h)
    return out


def exact_difference(f: Function, arrays: Arrays, name: str) -> Array:
    """Derivative of f by every entry of one array, in rationals; exact where f has degree 2 at most in each entry.

    Examples
    --------
    >>> exact_difference(lambda a: (a["x"] ** 2).sum(), {"x": np.array([0.75])}, "x")
    array([Fraction(3, 2)], dtype=object)
    """
    rationals = {key: exact(value) for key, value in arrays.items()}
    out = np.empty(arrays[name].shape, dtype=object)
    for index in np.ndindex(out.shape):
        up, down = (f(_perturbed(rationals, name, index, step)) for step in (EXACT_STEP, -EXACT_STEP))
        out[index] = (up - down) / (2 * EXACT_STEP)
    return out


WITNESSES: dict[str, Callable[[Function, Arrays, str], Array]] = {
    "complex step": complex_step,
    "central difference": central_difference,
    "exact rationals": exact_difference,
}


def _compare(argument: str, witness: str, backward: Array, witnessed: Array) -> Finding:
    """Find the entry where both differ most."""
    if backward.size == 0:
        return Finding(argument, witness, 0, (), 0.0, 0.0, 0.0, True)
    if witness == "exact rationals":
        differences = np.array(
            [abs(Fraction(float(b)) - w) for b, w in zip(backward.flat, witnessed.flat, strict=True)]
        )
        differences = differences.reshape(backward.shape)
    else:
        differences = np.abs(backward - witnessed)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(differences)), backward.shape))
    scale = max(1.0, float(np.abs(backward).max()))
    error = float(differences[index]) / scale
    ok = bool(differences[index] == 0) if witness == "exact rationals" else error <= TOLERANCES[witness]
    return Finding(argument, witness, backward.size, index, float(backward[index]), float(witnessed[index]), error, ok)


def _ask(subject: str, f: Function, arrays: Arrays, backward: Arrays, unasked: dict[str, str]) -> Report:
    findings = tuple(
        _compare(name, witness, gradient, ask(f, arrays, name))
        for name, gradient in backward.items()
        for witness, ask in WITNESSES.items()
        if witness not in unasked
    )
    return Report(subject, findings, unasked)


def check_op(
    op: type[Op], *args: Any, rng: int | np.random.Generator = 0, skip: Mapping[str, str] | None = None, **options: Any
) -> Report:
    r"""Hold every entry of every rule of an op against the witnesses.

    The function whose gradient is looked at is $\sum g \cdot \mathrm{op}(x, \ldots)$ with g drawn once, in eighths.

    Parameters
    ----------
    op : Op
        Which.
    *args : array or None
        Its arguments, in float64. For the exact witness to agree by ``==`` they must be small multiples of 1/8.
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
        return run(op, tuple({**fixed, **values}.get(name) for name in op.args), options)

    made = call(free)
    g = np.random.default_rng(rng).integers(-16, 17, made.out.shape) / 8

    def f(values: Arrays) -> Any:
        out = call(values).out
        return ((exact(g) if out.dtype == object else g) * out).sum()

    backward = {name: op.grad(name)(made, g) for name in free}
    unasked = dict(skip or {})
    if not op.exact:
        unasked.setdefault("exact rationals", f"{op.name} is transcendental")
    return _ask(op.name, f, free, backward, unasked)


def check(net: Graph, x: Any, y: Any, loss: str | None = None) -> Report:
    """Hold every gradient of a whole network, by its parameters and inputs, against the witnesses.

    The network is taken in float64 and in evaluation mode. Every entry costs some forward passes: for small networks
    and few samples.

    Parameters
    ----------
    net : Graph
        Is not changed.
    x, y : array
        Samples and targets. The exact witness is asked only where every op of the network lets rationals through and
        all numbers are small multiples of 1/8 (then nothing rounds).
    loss : str, optional
        By default cross-entropy for integer y, else mse.

    Returns
    -------
    Report
        ``.ok``, a table as text, `raise_if_wrong`.

    Examples
    --------
    >>> import minprune as mp
    >>> net = mp.Sequential(mp.Dense(2, 3), mp.Sigmoid(), mp.Dense(3, 1))
    >>> check(net, [[1.0, 2.0]], [[0.5]]).ok
    True
    """
    net = net.astype(np.float64)
    loss = choose_loss(y) if loss is None else loss
    rec = record(net, x, y, loss)
    inputs = net.take(x)
    backward = dict(rec.grads)
    for name in net.inputs:
        backward[name] = rec.gradients[rec.tensors[name]] / len(rec.losses)
    arrays = {**net.params, **inputs}

    def f(values: Arrays) -> Any:
        dtype = values[net.inputs[0]].dtype
        buffers = {k: exact(v) if dtype.kind == "O" and v.dtype.kind == "f" else v for k, v in net.buffers.items()}
        out = net.run({name: values[name] for name in net.inputs}, {**buffers, **values})[net.output]
        losses = apply(LOSSES[loss], out, prepare_targets(y, out.shape, loss, dtype))
        return losses.sum() / len(losses)

    return _ask(f"{net}, {loss}", f, arrays, backward, _reasons_against_rationals(f, arrays))


def _reasons_against_rationals(f: Function, arrays: Arrays) -> dict[str, str]:
    if any((array * 8 % 1 != 0).any() or (np.abs(array) > 1024).any() for array in arrays.values()):
        return {"exact rationals": "not all numbers are small multiples of 1/8, so float64 would round"}
    try:
        f({name: exact(array) for name, array in arrays.items()})
    except DtypeError as refusal:
        return {"exact rationals": str(refusal)}
    return {}
