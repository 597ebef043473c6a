r"""Three witnesses for a gradient: complex step, central difference, exact rationals.

None of them uses a backward rule; all three look at forward passes only.

* **Complex step**: $f'(x) = \mathrm{Im}\, f(x + ih) / h$ with $h = 10^{-30}$. Nothing is subtracted, nothing cancels:
  it agrees to rounding. Kinks look at real parts, so the step does not cross them. (Squire and Trapp 1998.)
* **Central difference**: $(f(x+h) - f(x-h)) / 2h$ in float64, with $h = 10^{-6} \max(1, |x|)$: the error is of order
  $h^2$ plus rounding over h, so some $10^{-9}$ of f's size can be asked for, not more.
* **Exact rationals**: the central difference again, in fractions, with a step so small that it reaches no kink nearby.
  Where f is a polynomial of degree 2 at most in every single entry (affine maps, convolutions, pooling, relu, squared
  errors) it is no approximation: it *is* the derivative. On inputs that are small multiples of 1/8, and where nothing
  was divided by 3 (a gradient that no float64 can hold), the float64 backward pass rounds nothing either, and both
  must be equal, ``==``. Otherwise only the backward pass rounds, and $10^{-12}$ is allowed for that.

At a kink within the step, or right at x, there is no derivative but a slope on either side, and a difference mixes
both: it is no witness there. `at_kink` tells these entries, which a report leaves out and counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from .ops import Array, exact

COMPLEX_STEP = 1e-30
CENTRAL_STEP = 1e-6
EXACT_STEP = Fraction(1, 2**80)
TOLERANCES = {"complex step": 1e-11, "central difference": 1e-6, "exact rationals": 1e-12}
KINK = 1e-3  # slopes so far apart are no curvature: over one step that would take a second derivative of 1000

Arrays = Mapping[str, Array]
Function = Callable[[Arrays], Any]  # named arrays -> one number


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
        h = _float_step(arrays[name][index])
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


def _float_step(x: Any) -> float:
    return CENTRAL_STEP * max(1.0, abs(float(x)))


WITNESSES: dict[str, Callable[[Function, Arrays, str], Array]] = {
    "complex step": complex_step,
    "central difference": central_difference,
    "exact rationals": exact_difference,
}


def at_kink(f: Function, arrays: Arrays, name: str, witness: str, index: tuple[int, ...], gradient: float) -> bool:
    """Whether a kink explains that a difference is not the gradient: the slopes on either side are apart, or around it.

    On a smooth stretch the slopes are the derivative to within the step, and a gradient that is wrong is neither.

    Examples
    --------
    >>> at_kink(lambda a: abs(a["x"]).sum(), {"x": np.zeros(1)}, "x", "central difference", (0,), 1.0)
    True
    >>> at_kink(lambda a: (a["x"] ** 2).sum(), {"x": np.zeros(1)}, "x", "central difference", (0,), 1.0)
    False
    """
    if witness == "complex step":  # it sees the side on which the real part is, never both
        return False
    rational = witness == "exact rationals"
    numbers = {key: exact(value) for key, value in arrays.items()} if rational else arrays
    h = EXACT_STEP if rational else _float_step(arrays[name][index])
    here, up, down = (f(_perturbed(numbers, name, index, step)) for step in (0, h, -h))
    low, high = sorted((float((here - down) / h), float((up - here) / h)))
    return high - low > KINK * max(1.0, abs(gradient)) or low <= gradient <= high
