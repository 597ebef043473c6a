"""Inputs for every function that has a kernel: one list that feeds the tests and the benchmarks alike.

Sizes are such that something could go wrong: a single entry, nothing at all along an axis, one less and one more than
a tile, a sum in several parts, more rows and columns than are worked on at a time. Each argument also comes as others
may hand it over: transposed, reversed, every second row, not writable, not aligned.

A kernel adds the same products as its reference, in another order. So each of them differs from the exact sum by at
most γ Σ |a| |b|, with γ = K u / (1 − K u) for K summands and the unit roundoff u, and the two from each other by at
most twice that: `bound`, which is different for every entry, and which no correct kernel can miss. For the loss, whose
exponentials are not the library's, a unit in the last place for every operation is allowed besides.

Source: Higham 2002, *Accuracy and stability of numerical algorithms*, section 3.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ops import Array
from ..ops.affine import affine, affine_grad_W, affine_grad_x
from ..ops.losses import label_losses
from ..scores.effects import effect_sums
from ..scores.leaving import outputs_without, sums_without

Args = tuple[Any, ...]
Sizes = tuple[int, int, int]

# N samples, I inputs, J neurons.
SMALL: dict[str, Sizes] = {
    "single": (1, 1, 1),
    "one row": (1, 13, 7),
    "one row, four neurons at a time": (1, 9, 8),
    "odd": (3, 5, 7),
    "tile": (8, 16, 48),
    "one less": (7, 15, 47),
    "one more": (9, 17, 49),
    "empty batch": (0, 5, 3),
    "no inputs": (3, 0, 4),
    "no neurons": (4, 3, 0),
    "one neuron": (10, 6, 1),
}
LARGE: dict[str, Sizes] = {
    "sum in parts": (21, 1100, 130),
    "blocks of rows and columns": (150, 67, 1601),
    "many samples": (1601, 30, 140),
    "mlp": (32, 784, 300),
}
# What people use (LeNet-300-100), and what nothing was tuned on.
LAYERS: tuple[tuple[int, int], ...] = ((784, 300), (300, 100), (100, 10), (617, 131), (1000, 1000))
BATCHES = (1, 32, 256, 4096)


@dataclass(frozen=True)
class Case:
    """The arguments of one call."""

    label: str
    args: Args


def affine_args(sizes: Sizes, dtype: Any, rng: np.random.Generator) -> Args:
    """Make x (N, I), W (J, I), b (J,)."""
    N, I, J = sizes  # noqa: E741
    return normal(rng, dtype, N, I), normal(rng, dtype, J, I), normal(rng, dtype, J)


def grad_x_args(sizes: Sizes, dtype: Any, rng: np.random.Generator) -> Args:
    """Make g (N, J), W (J, I)."""
    N, I, J = sizes  # noqa: E741
    return normal(rng, dtype, N, J), normal(rng, dtype, J, I)


def grad_W_args(sizes: Sizes, dtype: Any, rng: np.random.Generator) -> Args:
    """Make g (N, J), x (N, I)."""
    N, I, J = sizes  # noqa: E741
    return normal(rng, dtype, N, J), normal(rng, dtype, N, I)


def losses_args(sizes: Sizes, dtype: Any, rng: np.random.Generator) -> Args:
    """Make logits y (N, J), of which there is at least one, and labels t (N,)."""
    N, _, J = sizes
    J = max(1, J)
    return 5 * normal(rng, dtype, N, J), rng.integers(0, J, N)


def effects_args(sizes: Sizes, dtype: Any, rng: np.random.Generator) -> Args:
    """Make a and s (N, J)."""
    N, _, J = sizes
    return normal(rng, dtype, N, J), normal(rng, dtype, N, J)


def sums_args(sizes: Sizes, dtype: Any, rng: np.random.Generator) -> Args:
    """Make z (N, J), a (N, I), W (J, I), and of samples and columns twice as many as there are samples."""
    N, I, J = sizes  # noqa: E741
    count = 2 * N * (I > 0)
    samples, columns = (rng.integers(0, max(1, size), count) for size in (N, I))
    return normal(rng, dtype, N, J), normal(rng, dtype, N, I), normal(rng, dtype, J, I), samples, np.sort(columns)


def outputs_args(sizes: Sizes, dtype: Any, rng: np.random.Generator) -> Args:
    """Make the same, V (M, J) and c (M,)."""
    _, I, J = sizes  # noqa: E741
    M = 3 * I % 101
    return *sums_args(sizes, dtype, rng), normal(rng, dtype, M, J), normal(rng, dtype, M)


ARGUMENTS: dict[Callable[..., Array], Callable[[Sizes, Any, np.random.Generator], Args]] = {
    affine: affine_args,
    affine_grad_x: grad_x_args,
    affine_grad_W: grad_W_args,
    label_losses: losses_args,
    effect_sums: effects_args,
    sums_without: sums_args,
    outputs_without: outputs_args,
}
# Which functions take None for their last argument, the bias.
WITHOUT_BIAS = (affine, outputs_without)


def normal(rng: np.random.Generator, dtype: Any, *shape: int) -> Array:
    """Normal numbers."""
    return rng.standard_normal(shape).astype(dtype)


def bound(reference: Callable[..., Array], args: Args) -> Array:
    """By how much kernel and reference may differ, entry by entry.

    Examples
    --------
    >>> bound(affine_grad_x, (np.ones((1, 2)), np.ones((2, 1)))) / np.finfo(float).eps
    array([[4.]])
    """
    u = np.finfo(args[0].dtype).eps / 2
    if reference is label_losses:
        y = args[0]
        return 2 * u * (y.shape[1] + 20 + 8 * np.abs(y).max(axis=1))
    K = SUMMANDS[reference](*args)
    gamma = K * u / (1 - K * u)
    positive = [_positive(a) for a in args]
    if reference in (sums_without, outputs_without):
        positive[1] = -positive[1]  # what is subtracted is added here
    return 2 * gamma * reference(*positive)


# How many products each entry of the result adds, from the arguments.
SUMMANDS: dict[Callable[..., Array], Callable[..., int]] = {
    affine: lambda x, W, b: x.shape[1] + 1,
    affine_grad_x: lambda g, W: len(W),
    affine_grad_W: lambda g, x: len(x),
    effect_sums: lambda a, s: len(a) + 2,
    sums_without: lambda z, a, W, samples, columns: 2,
    outputs_without: lambda z, a, W, samples, columns, V, c: len(W) + 3,
}


def _positive(array: Any) -> Any:
    """Absolute values in float64; indices and None stay as they are."""
    return array if array is None or array.dtype.kind == "i" else np.abs(array).astype(np.float64)


def layouts(array: Array) -> dict[str, Array]:
    """The same numbers, lying differently in memory."""
    twice = np.repeat(array, 2, axis=0)
    fixed = array.copy()
    fixed.flags.writeable = False
    found = {
        "reversed": np.flip(np.flip(array).copy()),
        "every second": twice[::2],
        "not writable": fixed,
        "not aligned": np.frombuffer(b"x" + array.tobytes(), array.dtype, array.size, 1).reshape(array.shape),
    }
    if array.ndim == 2:
        found["transposed"] = np.asfortranarray(array)
        found["columns of a wider one"] = np.concatenate([array, array], axis=1)[:, : array.shape[1]]
    return found


def cases(reference: Callable[..., Array], dtype: Any, *, large: bool = True) -> Iterator[Case]:
    """All cases of a function, in one kind of numbers.

    Parameters
    ----------
    reference : function
        The NumPy function that has a kernel.
    dtype : dtype
        float32 or float64.
    large : bool
        Whether the large ones are among them; interpreted, they take minutes.

    Examples
    --------
    >>> next(cases(affine, np.float32, large=False)).label
    'single'
    """
    for label, sizes in (SMALL | LARGE if large else SMALL).items():
        args = ARGUMENTS[reference](sizes, dtype, np.random.default_rng(sizes))
        yield Case(label, args)
        if reference in WITHOUT_BIAS:
            yield Case(f"{label}, no bias", (*args[:-1], None))
    for sizes in ((1, 20, 9), (19, 37, 53)):
        args = ARGUMENTS[reference](sizes, dtype, np.random.default_rng(sizes))
        for place, array in enumerate(args):
            for name, other in layouts(array).items():
                yield Case(f"{sizes}, argument {place} {name}", (*args[:place], other, *args[place + 1 :]))
