"""Inputs for the functions that slide a window over images: convolution and pooling, and work between them.

Settings are such that something could go wrong: a single entry, one less and one more than a tile has samples or a
block has filters, one spatial axis, strides that step over entries, windows that lie in the padding altogether, groups
of all sizes, no samples. Each argument also comes as others may hand it over: samples side by side, reversed, every
second, not writable, not aligned. Numbers for pooling are coarse, so that windows have ties.

Kernel and reference differ by at most `bound`, entry by entry, for the reason that `cases` gives. A maximum is not
rounded: there the bound is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..ops import Array
from ..ops.activations import relu_grad
from ..ops.conv import conv, conv_grad_W, conv_grad_x
from ..ops.pool import avg_pool, avg_pool_grad, max_pool, max_pool_grad
from ..ops.windows import Sizes, output_size
from .cases import Args, Case, layouts, normal


@dataclass(frozen=True)
class Setting:
    """N samples of C channels, O filters, and how the window moves; ones and zeros where nothing is said."""

    N: int
    C: int
    O: int  # noqa: E741
    size: Sizes
    kernel: Sizes
    stride: Sizes = ()
    padding: Sizes = ()
    dilation: Sizes = ()
    groups: int = 1

    @property
    def moves(self) -> tuple[Sizes, Sizes, Sizes]:
        """Stride, padding and dilation for every axis."""
        ones, zeros = (1,) * len(self.size), (0,) * len(self.size)
        return self.stride or ones, self.padding or zeros, self.dilation or ones

    @property
    def out(self) -> Sizes:
        """The places of the window."""
        return output_size(self.size, self.kernel, *self.moves)

    @property
    def pool_out(self) -> Sizes:
        """The places of a window that has no dilation."""
        return output_size(self.size, self.kernel, *self.moves[:2], (1,) * len(self.size))


SMALL: dict[str, Setting] = {
    "single": Setting(1, 1, 1, (1, 1), (1, 1)),
    "one sample": Setting(1, 3, 2, (4, 5), (3, 2)),
    "one axis": Setting(5, 2, 3, (9,), (3,), (2,), (1,), (2,)),
    "odd": Setting(3, 2, 3, (5, 7), (2, 3), (1, 2), (0, 1), (2, 1)),
    "vector": Setting(16, 1, 10, (4, 4), (3, 3)),
    "one less": Setting(31, 1, 9, (3, 4), (2, 2)),
    "one more": Setting(33, 2, 11, (3, 3), (2, 2), padding=(1, 1)),
    "one filter": Setting(17, 3, 1, (3, 3), (2, 2)),
    "depthwise": Setting(9, 3, 3, (5, 4), (3, 3), padding=(1, 1), groups=3),
    "groups": Setting(7, 4, 6, (4, 4), (2, 2), groups=2),
    "two filters for every channel": Setting(2, 3, 6, (3, 3), (2, 2), groups=3),
    "entries that no window holds": Setting(6, 2, 3, (8, 9), (2, 1), (3, 2)),
    "windows within the padding": Setting(4, 2, 2, (3, 3), (2, 2), (2, 1), (2, 2)),
    "windows one after the other": Setting(16, 2, 2, (4, 6), (2, 3), (2, 3)),
    "empty batch": Setting(0, 2, 3, (4, 4), (3, 3)),
}
LARGE: dict[str, Setting] = {
    "several tiles": Setting(129, 3, 53, (7, 6), (3, 3), padding=(1, 1)),
    "lenet": Setting(32, 20, 50, (12, 12), (5, 5)),
    "many samples": Setting(300, 2, 7, (9, 9), (3, 3), (2, 2), (1, 1), (1, 1)),
    "long": Setting(20, 5, 12, (200,), (9,), (3,), (4,), (2,)),
}


def conv_args(s: Setting, dtype: Any, rng: np.random.Generator) -> Args:
    """Make x (N, C, …), W (O, C/groups, …), b (O,)."""
    x, W = normal(rng, dtype, s.N, s.C, *s.size), normal(rng, dtype, s.O, s.C // s.groups, *s.kernel)
    return x, W, normal(rng, dtype, s.O), *s.moves, s.groups


def conv_grad_x_args(s: Setting, dtype: Any, rng: np.random.Generator) -> Args:
    """Make g (N, O, …), W (O, C/groups, …)."""
    g, W = normal(rng, dtype, s.N, s.O, *s.out), normal(rng, dtype, s.O, s.C // s.groups, *s.kernel)
    return g, W, (s.N, s.C, *s.size), *s.moves, s.groups


def conv_grad_W_args(s: Setting, dtype: Any, rng: np.random.Generator) -> Args:
    """Make g (N, O, …), x (N, C, …)."""
    g, x = normal(rng, dtype, s.N, s.O, *s.out), normal(rng, dtype, s.N, s.C, *s.size)
    return g, x, (s.O, s.C // s.groups, *s.kernel), *s.moves, s.groups


def pool_args(s: Setting, dtype: Any, rng: np.random.Generator) -> Args:
    """Make x (N, C, …) with many equal entries."""
    return np.round(normal(rng, dtype, s.N, s.C, *s.size)), s.kernel, *s.moves[:2]


def max_pool_grad_args(s: Setting, dtype: Any, rng: np.random.Generator) -> Args:
    """Make g (N, C, …), x (N, C, …), and the maxima."""
    x, *settings = pool_args(s, dtype, rng)
    return normal(rng, dtype, s.N, s.C, *s.pool_out), x, max_pool(x, *settings), *settings


def avg_pool_grad_args(s: Setting, dtype: Any, rng: np.random.Generator) -> Args:
    """Make g (N, C, …)."""
    return normal(rng, dtype, s.N, s.C, *s.pool_out), (s.N, s.C, *s.size), s.kernel, *s.moves[:2]


def relu_grad_args(s: Setting, dtype: Any, rng: np.random.Generator) -> Args:
    """Make g and x (N, C, …), some of x at the kink."""
    x, *_ = pool_args(s, dtype, rng)
    return normal(rng, dtype, *x.shape), x


ARGUMENTS: dict[Callable[..., Array], Callable[[Setting, Any, np.random.Generator], Args]] = {
    conv: conv_args,
    conv_grad_x: conv_grad_x_args,
    conv_grad_W: conv_grad_W_args,
    max_pool: pool_args,
    max_pool_grad: max_pool_grad_args,
    avg_pool: pool_args,
    avg_pool_grad: avg_pool_grad_args,
    relu_grad: relu_grad_args,
}
# How many numbers each entry of the result adds at most, from the arguments.
SUMMANDS: dict[Callable[..., Array], Callable[..., int]] = {
    conv: lambda x, W, *_: W[0].size + 1,
    conv_grad_x: lambda g, W, *_: W.size // W.shape[1],
    conv_grad_W: lambda g, *_: g.size // g.shape[1],
    max_pool: lambda *_: 0,
    max_pool_grad: lambda g, x, best, kernel, *_: prod(kernel),
    avg_pool: lambda x, kernel, *_: prod(kernel) + 1,
    avg_pool_grad: lambda g, shape, kernel, *_: prod(kernel) + 1,
    relu_grad: lambda *_: 0,
}


def bound(reference: Callable[..., Array], args: Args) -> Array:
    """By how much kernel and reference may differ, entry by entry.

    Examples
    --------
    >>> bound(avg_pool, (np.ones((1, 1, 2)), (2,), (2,), (0,))) / np.finfo(float).eps
    array([[[3.]]])
    """
    K = SUMMANDS[reference](*args)
    u = np.finfo(args[0].dtype).eps / 2
    gamma = K * u / (1 - K * u)
    if reference is max_pool_grad:  # at most all of a window's g, whichever entry gets it
        g, x, _, kernel, *moves = args
        return 2 * gamma * prod(kernel) * avg_pool_grad(np.abs(g).astype(np.float64), x.shape, kernel, *moves)
    sizes = (np.abs(a).astype(np.float64) if isinstance(a, np.ndarray) else a for a in args)
    return 2 * gamma * np.abs(reference(*sizes)) if K else np.zeros(reference(*args).shape)


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
    >>> next(cases(conv, np.float32, large=False)).label
    'single'
    """
    for label, setting in (SMALL | LARGE if large else SMALL).items():
        args = ARGUMENTS[reference](setting, dtype, np.random.default_rng(setting.N))
        yield Case(label, args)
        if reference is conv:
            yield Case(f"{label}, no bias", (*args[:2], None, *args[3:]))
    for label in ("odd", "one more"):
        args = ARGUMENTS[reference](SMALL[label], dtype, np.random.default_rng(1))
        for place, array in enumerate(args):
            if isinstance(array, np.ndarray):
                for name, other in lying_otherwise(array).items():
                    yield Case(f"{label}, argument {place} {name}", (*args[:place], other, *args[place + 1 :]))


def lying_otherwise(array: Array) -> dict[str, Array]:
    """The same numbers, lying differently in memory."""
    last = np.moveaxis(np.moveaxis(array, 0, -1).copy(), -1, 0)
    return layouts(array) | {"samples side by side": last}
