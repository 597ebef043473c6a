"""What an op is: a forward line, one backward rule per argument, and the formula of each.

An op is a class that is never instantiated. It states

* `formula`: its forward line in TeX, and `forward(c)`, the code of that line;
* for each differentiable argument `x` a rule `grad_x(c, g)`, marked `@rule(formula)`: from the upstream gradient
  ``g = ∂L/∂out`` to the argument's gradient ``∂L/∂x``;
* `terms(c, index)`: the summands that a person would write down for one entry of the output;
* shapes, the convention at a kink, and whether rationals go through it.

`c` is the call: it holds every argument and option by name, and the output as ``c.out``. So a rule reads like its
formula: ``grad_W(c, g): return g.T @ c.x``. The pairing is checked when the class is made: a rule without a formula,
an argument without a rule, a rule for no argument, and the module does not load.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DtypeError, MinpruneError

Array = NDArray[Any]
Rule = Callable[["Call", Array], Array]


class Call:
    """One application of an op: its arguments and options by name, and its output."""

    def __init__(self, op: type[Op], args: tuple[Array | None, ...], options: dict[str, Any]) -> None:
        self.op = op
        self.out: Array
        vars(self).update(zip(op.args, args, strict=True))
        vars(self).update(op.options, **options)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


@dataclass(frozen=True)
class Term:
    r"""One summand of an output entry: how it is written, and the factors whose product it is.

    Attributes
    ----------
    tex : str
        Factors that stand one by one are set apart by single spaces.
    factors : tuple
    letters : mapping
        What the letters in `tex` stand for, where it is not the factors one by one that are written.

    Examples
    --------
    >>> Term("W_{1,1} x_{1}", (0.5, 3.0)).value
    1.5
    >>> Term(r"\sigma(x_{1})", (0.5,), {"x_{1}": 0.0}).value
    0.5
    """

    tex: str
    factors: tuple[Any, ...]
    letters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> Any:
        """The product of the factors."""
        return math.prod(self.factors)


def rule(formula: str) -> Callable[[Rule], Rule]:
    """Mark a backward rule with its formula in TeX."""

    def mark(function: Rule) -> Rule:
        function.formula = formula  # type: ignore[attr-defined]
        return function

    return mark


class Op:
    """The base of all ops; see the module's own text. Subclasses are checked when they are defined."""

    name: ClassVar[str]
    args: ClassVar[tuple[str, ...]]  # arrays, in the order in which they are given
    constants: ClassVar[tuple[str, ...]] = ()  # those of them that have no gradient: labels, masks, running statistics
    options: ClassVar[dict[str, Any]] = {}  # settings that are no arrays, with their defaults
    formula: ClassVar[str]
    shapes: ClassVar[str]
    kink: ClassVar[str] = ""
    exact: ClassVar[bool] = True  # rationals in, rationals out; False: the op is transcendental
    combine: ClassVar[str] = "sum"  # how the terms make the entry: "sum" or "max"
    rules: ClassVar[dict[str, str]] = {}  # argument -> TeX of its rule; filled by the check below

    forward: ClassVar[Callable[[Call], Array]]
    terms: ClassVar[Callable[[Call, tuple[int, ...]], list[Term]]]

    def __init_subclass__(cls) -> None:
        missing = [need for need in ("name", "args", "formula", "shapes", "forward", "terms") if not hasattr(cls, need)]
        if missing:
            raise TypeError(f"op {cls.__name__} lacks {', '.join(missing)}")
        for method in [m for m in vars(cls) if m in ("forward", "terms") or m.startswith("grad_")]:
            setattr(cls, method, staticmethod(vars(cls)[method]))
        written = {m.removeprefix("grad_"): getattr(cls, m) for m in vars(cls) if m.startswith("grad_")}
        expected = set(cls.args) - set(cls.constants)
        if set(written) != expected:
            raise TypeError(f"op {cls.name}: rules for {sorted(written)}, but its arguments are {sorted(expected)}")
        unmarked = [arg for arg, function in written.items() if not getattr(function, "formula", "")]
        if unmarked:
            raise TypeError(f"op {cls.name}: the rule for {', '.join(unmarked)} has no formula; mark it with @rule")
        cls.rules = {arg: written[arg].formula for arg in cls.args if arg in written}

    @classmethod
    def grad(cls, arg: str) -> Rule:
        """The backward rule of one argument."""
        function: Rule = getattr(cls, f"grad_{arg}")
        return function


def run(op: type[Op], args: tuple[Array | None, ...], options: dict[str, Any]) -> Call:
    """Apply an op to arrays and return the call, output included.

    Raises
    ------
    DtypeError
        When a transcendental op is given rationals, rationals are mixed with floats, or an array is not numeric.
    MinpruneError
        When the number of arguments is wrong, or an option is none of the op's.
    """
    if len(args) != len(op.args):
        raise MinpruneError(f"{op.name} takes {', '.join(op.args)} (None: left out), got {len(args)} argument(s)")
    if not options.keys() <= op.options.keys():
        unknown, known = sorted(options.keys() - op.options.keys()), ", ".join(op.options) or "none"
        raise MinpruneError(f"{op.name} has no option {', '.join(unknown)}; its options: {known}")
    call = Call(op, args, options)
    kinds = {value.dtype.kind for value in args if value is not None}
    if kinds != {"f"}:  # not the everyday case
        _check_numbers(op, {name: value for name, value in zip(op.args, args, strict=True) if value is not None})
    call.out = np.asarray(op.forward(call))  # NumPy makes scalars of arrays without axes
    return call


def _check_numbers(op: type[Op], arrays: dict[str, Array]) -> None:
    """Refuse what is no number, rationals where there is no exact value, and rationals that would be rounded."""
    rational = any(value.dtype == object for value in arrays.values())
    for name, value in arrays.items():
        if value.dtype.kind not in "biufcO":
            raise DtypeError(f"{op.name}: {name} holds {value.dtype}, expected numbers")
        if value.dtype == object and not op.exact:
            raise DtypeError(f"{op.name} is transcendental: it has no exact value for rationals; use float64")
        if rational and value.dtype.kind in "fc":
            raise DtypeError(
                f"{op.name}: {name} holds {value.dtype} among rationals, and would round them; use exact()"
            )


def real(x: Array) -> Array:
    """What decides at a kink: the real part, so that a complex step does not move it."""
    return x.real if x.dtype.kind == "c" else x


def divide(x: Array, n: int) -> Array:
    """Divide by a whole number in x's own kind of numbers: among rationals a plain 0 divided by 4 would be a float.

    Examples
    --------
    >>> divide(exact([1, 2]), 4)
    array([Fraction(1, 4), Fraction(1, 2)], dtype=object)
    """
    from fractions import Fraction

    return x * Fraction(1, n) if x.dtype == object else x / n


def sum_to_shape(g: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting: sum a gradient over the axes along which an argument was repeated.

    Examples
    --------
    >>> sum_to_shape(np.ones((2, 3)), (3,))
    array([2., 2., 2.])
    >>> sum_to_shape(np.ones((2, 3)), (2, 1))
    array([[3.],
           [3.]])
    """
    g = np.asarray(g.sum(axis=tuple(range(g.ndim - len(shape)))))
    stretched = tuple(axis for axis, size in enumerate(shape) if size == 1 and g.shape[axis] != 1)
    return np.asarray(g.sum(axis=stretched, keepdims=True))


def along_channels(vector: Array, ndim: int) -> Array:
    """View a vector (C,) so that it broadcasts along axis 1 of an array with `ndim` axes.

    Examples
    --------
    >>> along_channels(np.ones(3), 4).shape
    (1, 3, 1, 1)
    """
    return vector.reshape((1, -1) + (1,) * (ndim - 2))


def exact(values: Any) -> Array:
    """Turn numbers into an array of exact rationals (`fractions.Fraction`); floats are taken at their exact value.

    Examples
    --------
    >>> exact([0.5, 3])
    array([Fraction(1, 2), Fraction(3, 1)], dtype=object)
    """
    from fractions import Fraction

    source = np.asarray(values)
    out = np.empty(source.shape, dtype=object)
    out.ravel()[:] = [Fraction(value) for value in source.ravel().tolist()]
    return out
