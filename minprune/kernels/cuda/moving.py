"""Moving entries on the device: joining, cutting, padding, exchanging axes, repeating, choosing channels.

    for every entry of a box of sizes S, a thread; i is its place:
        y[start_y + Σ_a i_a stride_y[a]] = x[start_x + Σ_a i_a stride_x[a]]

by name       a kernel for concatenation, one for its gradient, one for padding, one for transposing …
by strides    a start and a stride for every axis say all of these: two joined values are two moves into one array, a
              transpose has the strides in another order, and what is repeated has the stride 0
tiled         through shared memory, reads and writes of a transpose would both be in order; here one of them is not

It is bound by memory, and by the divisions that find a place.
"""

from __future__ import annotations

from itertools import accumulate
from math import prod
from typing import Any

from numba import cuda, int64, types, void

from ...errors import ShapeError
from ...ops.windows import Sizes
from .launching import kernel
from .memory import Device, empty
from .pointwise import fill
from .sums import channel_sum, flat

AXES = 5  # at most
BOX = types.UniTuple(int64, AXES)


@kernel(lambda T: void(T[::1], int64, BOX, T[::1], int64, BOX, BOX))
def move_loop(x: Any, start_x: int, stride_x: Any, y: Any, start_y: int, stride_y: Any, sizes: Any) -> None:
    """y[start_y + Σ_a i_a stride_y[a]] = x[start_x + Σ_a i_a stride_x[a]] for every place i of a box."""
    count = 1
    for a in range(AXES):
        count *= sizes[a]
    for e in range(cuda.grid(1), count, cuda.gridsize(1)):
        rest, here, there = e, start_x, start_y
        for b in range(AXES):
            a = AXES - 1 - b
            here += rest % sizes[a] * stride_x[a]
            there += rest % sizes[a] * stride_y[a]
            rest //= sizes[a]
        y[there] = x[here]


@kernel(lambda T: void(T[:, :, ::1], int64[::1], T[:, :, ::1]))
def take_loop(x: Any, index: Any, y: Any) -> None:
    """y[n, k, p] = x[n, index[k], p]."""
    K, P = y.shape[1], y.shape[2]
    for e in range(cuda.grid(1), y.shape[0] * K * P, cuda.gridsize(1)):
        n, k, p = e // (K * P), e // P % K, e % P
        y[n, k, p] = x[n, index[k] % x.shape[1], p]  # a negative one counts from the end


@kernel(lambda T: void(T[:, :, ::1], int64[::1], T[:, :, ::1]))
def take_grad_loop(g: Any, index: Any, bar: Any) -> None:
    """bar[n, c, p] = Σ_k g[n, k, p] over the k with index[k] = c."""
    C, P = bar.shape[1], bar.shape[2]
    for e in range(cuda.grid(1), bar.shape[0] * C * P, cuda.gridsize(1)):
        n, c, p = e // (C * P), e // P % C, e % P
        total = bar.dtype.type(0)
        for k in range(len(index)):
            if index[k] % C == c:
                total += g[n, k, p]
        bar[n, c, p] = total


def strides(shape: Sizes) -> Sizes:
    """How many entries apart neighbours along each axis lie.

    Examples
    --------
    >>> strides((2, 3, 4))
    (12, 4, 1)
    """
    return tuple(accumulate((1, *shape[:0:-1]), lambda a, b: a * b))[::-1] if shape else ()


def move(
    x: Device, y: Device, sizes: Sizes, stride_x: Sizes, stride_y: Sizes, start_x: int = 0, start_y: int = 0
) -> Device:
    """Copy a box of x to a box of y, and return y."""
    if len(sizes) > AXES:
        raise ShapeError(f"on the device values have up to {AXES} axes, got {len(sizes)}")
    more = AXES - len(sizes)
    box, along_x, along_y = (1,) * more + tuple(sizes), (0,) * more + tuple(stride_x), (0,) * more + tuple(stride_y)
    move_loop.over(prod(sizes), x.reshape(x.size), start_x, along_x, y.reshape(y.size), start_y, along_y, box)
    return y


def join(a: Device, b: Device) -> Device:
    """Put the channels of b behind those of a."""
    y = empty((a.shape[0], a.shape[1] + b.shape[1], *a.shape[2:]), a.dtype)
    behind = a.shape[1] * strides(y.shape)[1]
    move(a, y, a.shape, strides(a.shape), strides(y.shape))
    return move(b, y, b.shape, strides(b.shape), strides(y.shape), start_y=behind)


def cut(g: Device, first: int, like: Device) -> Device:
    """As many channels as `like` has, from the first on."""
    y, along = empty(like.shape, g.dtype), strides(g.shape)
    return move(g, y, y.shape, along, strides(y.shape), start_x=first * along[1])


def pad(x: Device, shape: Sizes, before: Sizes, value: float) -> Device:
    """Lay x (N, C, …) into an array of the given shape that is `value` elsewhere."""
    y = fill(empty(shape, x.dtype), value)
    return move(x, y, x.shape, strides(x.shape), strides(y.shape), start_y=_corner(y, before))


def unpad(g: Device, shape: Sizes, before: Sizes) -> Device:
    """Cut out what `pad` laid in."""
    return move(g, empty(shape, g.dtype), shape, strides(g.shape), strides(shape), start_x=_corner(g, before))


def _corner(array: Device, before: Sizes) -> int:
    return sum(b * s for b, s in zip(before, strides(array.shape)[2:], strict=True))


def transpose(x: Device, order: Sizes) -> Device:
    """Exchange axes: axis i of the result is axis order[i] of x."""
    y, along = empty(tuple(x.shape[a] for a in order), x.dtype), strides(x.shape)
    return move(x, y, y.shape, tuple(along[a] for a in order), strides(y.shape))


def repeat(x: Device, shape: Sizes) -> Device:
    """Repeat x along the axes that it lacks, or has with size 1, as NumPy does."""
    if tuple(x.shape) == tuple(shape):
        return x
    old = (1,) * (len(shape) - len(x.shape)) + tuple(x.shape)
    along = tuple(0 if size == 1 else step for size, step in zip(old, strides(old), strict=True))
    return move(x, empty(shape, x.dtype), shape, along, strides(shape))


def sum_to_shape(g: Device, shape: Sizes) -> Device:
    """Undo `repeat`: sum over the axes along which an argument was repeated."""
    if tuple(g.shape) == tuple(shape):
        return g
    old = (1,) * (len(g.shape) - len(shape)) + tuple(shape)
    repeated = tuple(a for a, (now, then) in enumerate(zip(g.shape, old, strict=True)) if now != then)
    order = (*repeated, *(a for a in range(len(old)) if a not in repeated))
    total = channel_sum(transpose(g, order).reshape(prod(g.shape[a] for a in repeated), prod(shape)))
    if not shape:  # a device array cannot be viewed without axes
        return move(total, empty((), g.dtype), (1,), (1,), (1,))
    return total.reshape(*shape)


def take(x: Device, index: Device) -> Device:
    """Choose channels: x (N, C, …), index (K,) -> (N, K, …)."""
    y = empty((x.shape[0], index.size, *x.shape[2:]), x.dtype)
    take_loop.over(y.size, flat(x), index, flat(y))
    return y


def take_grad(g: Device, index: Device, shape: Sizes) -> Device:
    """Send g (N, K, …) back to the channels that were chosen."""
    bar = empty(shape, g.dtype)
    take_grad_loop.over(bar.size, flat(g), index, flat(bar))
    return bar
