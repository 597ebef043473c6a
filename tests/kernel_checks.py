"""Comparing a kernel with its reference, case by case; in this process, or in one with another environment.

python tests/kernel_checks.py float32 [small]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np

from minprune.kernels import cases, window_cases
from minprune.kernels.cases import Case
from minprune.kernels.columns import by_columns, dense_columns, room
from minprune.kernels.convolution import conv_grad_W_kernel, conv_grad_x_kernel, conv_kernel
from minprune.kernels.dense import affine_grad_W_kernel, affine_grad_x_kernel, affine_kernel
from minprune.kernels.effects import effect_sums_kernel
from minprune.kernels.elementwise import relu_grad_kernel
from minprune.kernels.gemm import READY, gemm, pack_all, panels_for
from minprune.kernels.layout import aligned, with_rows
from minprune.kernels.leaving import outputs_kernel, sums_kernel
from minprune.kernels.losses import label_losses_kernel
from minprune.kernels.optimisers import adam_kernel, momentum_kernel
from minprune.kernels.pixels import from_pixels, pitch, to_pixels
from minprune.kernels.pooling import avg_pool_grad_kernel, avg_pool_kernel, max_pool_grad_kernel, max_pool_kernel
from minprune.kernels.rows import by_eights, dense_rows, sparse_rows
from minprune.kernels.strips import (
    LOW,
    PADDED,
    TALL,
    Parts,
    dense_strips,
    from_strips,
    padded,
    sparse_strips,
    strip_buffer,
    tiled,
    to_strips,
)
from minprune.kernels.tiles import from_tile, samples_of, to_tile
from minprune.layers import Conv1d, Conv2d
from minprune.ops.activations import relu_grad
from minprune.ops.affine import affine, affine_grad_W, affine_grad_x
from minprune.ops.conv import conv, conv_grad_W, conv_grad_x
from minprune.ops.losses import label_losses
from minprune.ops.pool import avg_pool, avg_pool_grad, max_pool, max_pool_grad
from minprune.ops.windows import output_size
from minprune.optim import adam_step, momentum_step
from minprune.runtime.pixels import Image, bind, depthwise
from minprune.runtime.steps import csr
from minprune.runtime.tile import Tile
from minprune.runtime.windows import Filters, Largest, Means
from minprune.scores.effects import effect_sums
from minprune.scores.leaving import outputs_without, sums_without
from minprune.wiring import Node

DENSE = {affine: affine_kernel, affine_grad_x: affine_grad_x_kernel, affine_grad_W: affine_grad_W_kernel}
WINDOWS = {
    conv: conv_kernel,
    conv_grad_x: conv_grad_x_kernel,
    conv_grad_W: conv_grad_W_kernel,
    max_pool: max_pool_kernel,
    max_pool_grad: max_pool_grad_kernel,
    avg_pool: avg_pool_kernel,
    avg_pool_grad: avg_pool_grad_kernel,
    relu_grad: relu_grad_kernel,
}
TRUTH = {
    label_losses: label_losses_kernel,
    effect_sums: effect_sums_kernel,
    sums_without: sums_kernel,
    outputs_without: outputs_kernel,
}
KERNELS = DENSE | TRUTH | WINDOWS


def all_cases(reference: Callable[..., Any], dtype: Any, large: bool = True) -> Iterator[Case]:
    """The cases of a function, from the file that has them."""
    return (window_cases if reference in WINDOWS else cases).cases(reference, dtype, large=large)


def on_rows(x: Any, W: Any, b: Any) -> Any:
    y = np.empty((len(x), len(W)), x.dtype)
    dense_rows[x.dtype](by_eights(W, b), False, np.ascontiguousarray(x), len(x), y)
    return y


def on_columns(x: Any, W: Any, b: Any, relu: bool = False) -> Any:
    y, scratch = np.empty((len(x), len(W)), x.dtype), room(x.shape[1], x.dtype)
    scratch[2][...] = np.nan
    W, b, given = by_columns(W), np.ascontiguousarray(b), np.ascontiguousarray(x)
    dense_columns[x.dtype](W, b, relu, given, len(x), scratch, y)
    return y


def on_packed(x: Any, W: Any, b: Any) -> Any:
    y, panels = np.full((len(x), len(W)), np.nan, x.dtype), panels_for(W.T)
    pack_all(W.T, panels)
    nothing = np.broadcast_to(np.full((), np.nan, x.dtype), W.T.shape)  # only its shape is looked at
    gemm[x.dtype](x, nothing, np.ascontiguousarray(b), False, READY, panels, y)
    return y


def sparse_on_rows(x: Any, W: Any, b: Any) -> Any:
    y = np.empty((len(x), len(W)), x.dtype)
    sparse_rows[x.dtype](*csr(W, W != 0), np.ascontiguousarray(b), False, np.ascontiguousarray(x), len(x), y)
    return y


def on_strips(x: Any, W: Any, b: Any, rows: int = 0, tile: int = LOW) -> Any:
    """All weights, or those that are not 0 in blocks of so many rows; what was in the buffers must not matter."""
    X, Y = (strip_buffer(len(x), size, x.dtype) for size in (x.shape[1], len(W)))
    X[...], Y[...] = np.nan, np.nan
    bias = np.zeros(padded(len(W)) + PADDED, x.dtype)
    bias[: len(W)] = b
    to_strips[x.dtype](np.ascontiguousarray(x), X)
    if rows:
        p = Parts.of(W, W != 0, rows)
        sparse_strips[x.dtype](p.rows, p.values, p.columns, p.offsets, bias, False, len(x), X, Y)
    else:
        dense_strips[x.dtype](*tiled(W, tile), bias, False, len(x), X, Y)
    y = np.empty((len(x), len(W)), x.dtype)
    from_strips[x.dtype](Y, y)
    return y


# The same on tiles of images, which plans use.


def by_tiles(images: tuple[Any, ...], out: tuple[int, ...], run: Callable[..., Any]) -> Any:
    """Run something tile by tile: on tiles of the images, into one that holds NaN; from rows to rows."""
    dtype, count = images[0].dtype, len(images[0])
    T, result = samples_of(dtype), np.empty((count, prod(out)), dtype)
    for start in range(0, count, T):
        tiles = [empty_tile(image.shape[1:], dtype) for image in images]
        for image, tile in zip(images, tiles, strict=True):
            to_tile(np.ascontiguousarray(image).reshape(count, -1), start, tile.reshape(-1, T))
        Z = empty_tile(out, dtype)
        run(*tiles, Z)
        from_tile(Z.reshape(-1, T), start, result)
    return result.reshape(count, *out)


def empty_tile(shape: tuple[int, ...], dtype: Any) -> Any:
    """Room for a tile of images (C, H, W) or (C, L)."""
    return np.full((shape[0], *(1,) * (3 - len(shape)), *shape[1:], samples_of(dtype)), np.nan, dtype)


def layer_on_tiles(W: Any, b: Any, size: tuple[int, ...], *settings: Any, relu: bool = False) -> Filters:
    """A convolution as a part of a plan, which is asked for its gradient by x, too."""
    stride, padding, dilation, groups = settings
    kind = {3: Conv1d, 4: Conv2d}[W.ndim]
    layer = kind(W.shape[1] * groups, len(W), W.shape[2:], stride, padding, dilation, groups, b is not None)
    shape = (layer.inputs, *size)
    part = Filters("conv", Node(layer, ("x",)), "relu" if relu else "conv", shape, layer.out_shape(shape), W.dtype)
    part.inner = ("x",)
    part.load({"conv.W": W, "conv.b": b})
    return part


def conv_on_tiles(x: Any, W: Any, b: Any, *settings: Any, relu: bool = False) -> Any:
    part = layer_on_tiles(W, b, x.shape[2:], *settings, relu=relu)
    out = output_size(x.shape[2:], W.shape[2:], *settings[:3])
    return by_tiles((x,), (len(W), *out), lambda X, Z: part.forward(Tile({"x": X, part.target: Z}, {}, {}))())


def conv_grad_x_on_tiles(g: Any, W: Any, shape: Any, *settings: Any) -> Any:
    part = layer_on_tiles(W, None, shape[2:], *settings)

    def run(G: Any, bar: Any) -> None:
        values = {"x": np.zeros_like(bar), "conv": np.zeros_like(G)}
        part.backward(Tile(values, {}, {"conv": G, "x": bar}, {"conv.W": np.zeros_like(W, order="C")}))()

    return by_tiles((g,), shape[1:], run)


def conv_grad_W_on_tiles(g: Any, x: Any, shape: Any, *settings: Any, bias: Any = None) -> Any:
    W = np.zeros(shape, g.dtype)
    part, grads = layer_on_tiles(W, bias, x.shape[2:], *settings), {"conv.W": W.copy(), "conv.b": bias}

    def run(G: Any, X: Any, unused: Any) -> None:
        part.backward(Tile({"x": X, "conv": np.zeros_like(G)}, {}, {"conv": G, "x": np.zeros_like(X)}, grads))()

    by_tiles((g, x), g.shape[1:], run)
    return grads["conv.W"]


def pool_part(kind: Any, dtype: Any, shape: Any, kernel: Any, stride: Any, padding: Any) -> Any:
    """A pool as a part of a plan; of any window, some of which a network refuses."""
    ones = (1,) * len(kernel)
    node: Any = Node(SimpleNamespace(kernel=kernel, stride=stride, padding=padding, dilation=ones), ("x",))  # type: ignore[arg-type]
    shape, out = shape[1:], (shape[1], *output_size(shape[2:], kernel, stride, padding, ones))
    return Largest("pool", node, False, shape, out) if kind is Largest else Means("pool", node, shape, out, dtype)


def pool_on_tiles(kind: Any, x: Any, *settings: Any) -> Any:
    part = pool_part(kind, x.dtype, x.shape, *settings)
    out = (x.shape[1], *output_size(x.shape[2:], *settings, (1,) * len(settings[0])))

    def run(X: Any, Z: Any) -> None:
        part.forward(Tile({"x": X, "pool": Z}, {"pool": np.zeros(Z.shape, np.uint8)}, {}))()

    return by_tiles((x,), out, run)


def max_pool_grad_on_tiles(g: Any, x: Any, best: Any, *settings: Any) -> Any:
    part = pool_part(Largest, x.dtype, x.shape, *settings)

    def run(G: Any, X: Any, bar: Any) -> None:
        which = {"pool": np.zeros(G.shape, np.uint8)}
        part.forward(Tile({"x": X, "pool": np.empty_like(G)}, which, {}))()
        part.backward(Tile({}, which, {"pool": G, "x": bar}))()

    return by_tiles((g, x), x.shape[1:], run)


def avg_pool_grad_on_tiles(g: Any, shape: Any, *settings: Any) -> Any:
    part = pool_part(Means, g.dtype, shape, *settings)
    return by_tiles((g,), tuple(shape[1:]), lambda G, bar: part.backward(Tile({}, {}, {"pool": G, "x": bar}))())


ON_TILES: dict[Any, Callable[..., Any]] = {
    conv: conv_on_tiles,
    conv_grad_x: conv_grad_x_on_tiles,
    conv_grad_W: conv_grad_W_on_tiles,
    max_pool: partial(pool_on_tiles, Largest),
    max_pool_grad: max_pool_grad_on_tiles,
    avg_pool: partial(pool_on_tiles, Means),
    avg_pool_grad: avg_pool_grad_on_tiles,
}


# And on pixels, forwards only.


def by_pixels(part: Any, x: Any, out: tuple[int, ...]) -> Any:
    """Run a part on one sample after the other; what was in the images must not matter, but for the zeros around."""
    padding = part.windows.padding if isinstance(part, Filters) else (0, 0)
    tight = isinstance(part, Filters) and not depthwise(part)
    X, Z = empty_image(x.shape[1:], padding, x.dtype, tight), empty_image(out, (1, 2), x.dtype)
    call, dtype = bind(part, {"x": X, part.target: Z}, {}), x.dtype
    given, found = (np.ascontiguousarray(a) for a in (with_rows(x), np.empty((len(x), *out), dtype)))
    for image, wanted in zip(given, with_rows(found), strict=True):
        Z.inside[...] = np.nan
        to_pixels[dtype](image, *X.margin, X.pixels)
        call()
        from_pixels[dtype](Z.pixels, *Z.margin, wanted)
    around = Z.pixels.copy()
    around[1:-1, 2:-2] = 0
    assert not around.any(), "something was written around the image"
    return found


def empty_image(shape: tuple[int, ...], margin: tuple[int, ...], dtype: Any, tight: bool = False) -> Image:
    """Room for one image (C, H, W) or (C, L), with zeros around it."""
    rows = shape[1] if len(shape) == 3 else 1
    deep = shape[0] if tight else pitch(shape[0], dtype)
    pixels = aligned((rows + 2 * margin[0], shape[-1] + 2 * margin[1], deep), dtype)
    pixels[...] = 0
    return Image(pixels, shape[0], (margin[0], margin[1]))


def conv_on_pixels(x: Any, W: Any, b: Any, *settings: Any, relu: bool = False) -> Any:
    part = layer_on_tiles(W, b, x.shape[2:], *settings, relu=relu)
    return by_pixels(part, x, (len(W), *output_size(x.shape[2:], W.shape[2:], *settings[:3])))


def pool_on_pixels(kind: Any, x: Any, *settings: Any) -> Any:
    part = pool_part(kind, x.dtype, x.shape, *settings)
    return by_pixels(part, x, (x.shape[1], *output_size(x.shape[2:], *settings, (1,) * len(settings[0]))))


ON_PIXELS: dict[Any, Callable[..., Any]] = {
    conv: conv_on_pixels,
    max_pool: partial(pool_on_pixels, Largest),
    avg_pool: partial(pool_on_pixels, Means),
}


# Steps of optimisers change their arguments: kernel, how many arrays, and what else they are given.
SHAPES = ((), (0,), (1,), (13,), (17, 3), (300, 784), (5, 4, 3, 3))
IN_PLACE: dict[Any, tuple[Any, int, tuple[tuple[Any, ...], ...]]] = {
    momentum_step: (momentum_kernel, 3, ((0.1, 0.9, False), (0.01, 0.5, True))),
    adam_step: (adam_kernel, 4, ((1e-3, (0.9, 0.999), 1e-8, 1), (0.1, (0.5, 0.9), 1e-3, 7))),
}


def check_in_place(reference: Callable[..., Any], dtype: Any, shapes: Any = SHAPES) -> None:
    """Fail where a step leaves other numbers than its reference, by more than a few units in the last place."""
    kernel, count, settings = IN_PLACE[reference]
    rng = np.random.default_rng(0)
    for shape in shapes:
        for setting in settings:
            start = [np.asarray(rng.standard_normal(shape)).astype(dtype) for _ in range(count)]
            start[-1] = np.abs(start[-1])  # Adam's average of squares
            got, expected = [a.copy() for a in start], [a.copy() for a in start]
            kernel(*got, *setting)
            reference(*expected, *setting)
            assert shape == (0,) or not np.array_equal(got[0], start[0]), f"{reference.__name__}: nothing was done"
            for place, (one, other) in enumerate(zip(got, expected, strict=True)):
                scale = np.abs(start[place]) + np.abs(other) + np.abs(other - start[place]) + np.abs(start[1])
                far = np.abs(one - other) > 8 * np.finfo(dtype).eps * scale
                assert not far.any(), f"{reference.__name__}, {shape}, argument {place}: {one} instead of {other}"


# Other ways to compute `affine`, which programs choose from.
WAYS: dict[str, Callable[..., Any]] = {
    "rows": on_rows,
    "columns": on_columns,
    "packed panels": on_packed,
    "CSR on rows": sparse_on_rows,
    "strips, whole": on_strips,
    "strips, by halves": partial(on_strips, tile=TALL),
    "CSR on strips": partial(on_strips, rows=1),
    "4×1 on strips": partial(on_strips, rows=4),
    "16×1 on strips": partial(on_strips, rows=16),
}


def check_way(name: str, case: Case) -> None:
    """Fail where a way to compute an affine map, of which some weights are 0, is further off than rounding allows."""
    x, W, b = case.args
    W = np.where(np.random.default_rng(0).random(W.shape) < 0.4, W, W.dtype.type(0))
    b = np.zeros(len(W), W.dtype) if b is None else b
    got, expected = WAYS[name](x, W, b), affine(x, W, b)
    far = np.argwhere(~(np.abs(got - expected) <= cases.bound(affine, (x, W, b))))
    assert not len(far), f"{name}, {case.label}, at {far[0]}: {got[tuple(far[0])]}, {expected[tuple(far[0])]}"


def check(reference: Callable[..., Any], case: Case, kernels: Any = KERNELS) -> None:
    """Fail with case and place where the kernel is further from its reference than rounding allows."""
    before = [a.copy() if isinstance(a, np.ndarray) else None for a in case.args]
    got, expected = kernels[reference](*case.args), reference(*case.args)
    for old, new in zip(before, case.args, strict=True):
        assert old is None or (old == new).all(), f"{case.label}: an argument was changed"
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype), f"{case.label}: {got.shape}, {got.dtype}"
    bound = (window_cases if reference in WINDOWS else cases).bound(reference, case.args)
    with np.errstate(invalid="ignore"):  # −∞ less −∞, where a window lies in the padding
        far = np.argwhere(~((got == expected) | (np.abs(got - expected) <= bound)))
    if len(far):
        place = tuple(far[0].tolist())
        raise AssertionError(
            f"{reference.__name__}, {case.label}, at {place}: expected {expected[place]!r}, got {got[place]!r}"
        )


if __name__ == "__main__":
    for function in KERNELS:
        for one in all_cases(function, np.dtype(sys.argv[1]), large="small" not in sys.argv):
            check(function, one)
    for function in ON_TILES:
        for one in all_cases(function, np.dtype(sys.argv[1]), large="small" not in sys.argv):
            check(function, one, ON_TILES)
    for function in ON_PIXELS:
        for one in all_cases(function, np.dtype(sys.argv[1]), large="small" not in sys.argv):
            check(function, one, ON_PIXELS)
    for function in IN_PLACE:
        check_in_place(function, np.dtype(sys.argv[1]), SHAPES[:5])
    for way in WAYS:
        for one in all_cases(affine, np.dtype(sys.argv[1]), large="small" not in sys.argv):
            check_way(way, one)
    from sparse_checks import check_kept

    for one in all_cases(conv, np.dtype(sys.argv[1]), large="small" not in sys.argv):
        check_kept(one)
    from minprune.kernels.vectors import TILE, tile

    print(TILE.bits, type(tile).__name__)
