"""Single NumPy functions on the device: arguments up, one kernel, the result down.

This is what ``minprune.backend("cuda")`` puts in the place of the references: everything that NumPy runs keeps running,
and its heavy sums go across the bus and back. That pays for large sums only. To stay on the device between layers, make
a `Program` of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backends import accelerates
from ...ops import Array
from ...ops import affine as dense
from ...ops import conv as image
from ...ops import pool as window
from ...sparse import csr_affine
from . import conv, csr, gemm, pool
from .memory import to_device, to_host


def across(run: Callable[..., Any]) -> Callable[..., Array]:
    """Let a function of arrays on the device take and return arrays on the host; indices become int64."""

    def up(arg: Any) -> Any:
        if not isinstance(arg, np.ndarray):
            return arg
        return to_device(arg.astype(np.int64) if arg.dtype.kind in "iu" else arg)

    def call(*args: Any, **settings: Any) -> Array:
        return to_host(run(*map(up, args), **settings))

    return call


def one_kind(*arrays: Any) -> bool:
    """Whether all are plain arrays (None: left out), and all of float32 or all of float64."""
    given = [array for array in arrays if array is not None]
    return all(type(a) is np.ndarray and a.dtype in (np.float32, np.float64) for a in given) and (
        len({a.dtype for a in given}) == 1
    )


def takes_affine(x: Any, W: Any, b: Any) -> bool:
    """float32 or float64"""
    return one_kind(x, W, b) and x.ndim == W.ndim == 2 and x.shape[1] == W.shape[1] and _each(b, W)


def takes_grad_x(g: Any, W: Any) -> bool:
    """float32 or float64"""
    return one_kind(g, W) and g.ndim == W.ndim == 2 and g.shape[1] == W.shape[0]


def takes_grad_W(g: Any, x: Any) -> bool:
    """float32 or float64"""
    return one_kind(g, x) and g.ndim == x.ndim == 2 and len(g) == len(x)


def _each(b: Any, W: Any) -> bool:
    """Whether there is one number for each row, or none at all."""
    return b is None or b.shape == W.shape[:1]


def _fits(x: Any, W: Any, g_channels: int, groups: int) -> bool:
    return bool(x.shape[1] == W[1] * groups and W[0] == g_channels and W[0] % groups == 0)


def takes_conv(x: Any, W: Any, b: Any, *args: Any, groups: int = 0, **settings: Any) -> bool:
    """float32 or float64"""
    groups = args[3] if args else groups
    return one_kind(x, W, b) and x.ndim == W.ndim and _fits(x, W.shape, W.shape[0], groups) and _each(b, W)


def takes_conv_grad_x(g: Any, W: Any, shape: Any, *args: Any, groups: int = 0, **settings: Any) -> bool:
    """float32 or float64"""
    groups = args[3] if args else groups
    fits = one_kind(g, W) and g.ndim == W.ndim == len(shape) and len(g) == shape[0]
    return fits and W.shape[1] * groups == shape[1] and W.shape[0] == g.shape[1]


def takes_conv_grad_W(g: Any, x: Any, shape: Any, *args: Any, groups: int = 0, **settings: Any) -> bool:
    """float32 or float64"""
    groups = args[3] if args else groups
    return one_kind(g, x) and g.ndim == x.ndim == len(shape) and _fits(x, shape, g.shape[1], groups)


def takes_images(x: Any, *others: Any, **settings: Any) -> bool:
    """float32 or float64"""
    return one_kind(x, *(a for a in others if isinstance(a, np.ndarray))) and x.ndim in (3, 4)


def takes_pool(x: Any, kernel: Any, stride: Any, padding: Any, *dilation: Any) -> bool:
    """float32 or float64, no gaps"""
    return not dilation and takes_images(x)


def takes_max_grad(g: Any, x: Any, best: Any, *settings: Any) -> bool:
    """float32 or float64, no gaps"""
    return len(settings) == 3 and takes_images(g, x, best)


def takes_avg_grad(g: Any, shape: Any, *settings: Any) -> bool:
    """float32 or float64, no gaps"""
    return len(settings) == 3 and takes_images(g)


def takes_csr(x: Any, values: Any, columns: Any, offsets: Any, b: Any) -> bool:
    """float32 or float64"""
    fits = one_kind(x, values, b) and x.ndim == 2 and len(columns) == len(values) == offsets[-1]
    return bool(fits and (not len(columns) or columns.max() < x.shape[1]))


PAIRS: list[tuple[Callable[..., Any], Callable[..., Any], Callable[..., bool]]] = [
    (dense.affine, gemm.affine, takes_affine),
    (dense.affine_grad_x, gemm.affine_grad_x, takes_grad_x),
    (dense.affine_grad_W, gemm.affine_grad_W, takes_grad_W),
    (image.conv, conv.conv, takes_conv),
    (image.conv_grad_x, conv.conv_grad_x, takes_conv_grad_x),
    (image.conv_grad_W, conv.conv_grad_W, takes_conv_grad_W),
    (window.max_pool, pool.max_pool, takes_pool),
    (window.max_pool_grad, pool.max_pool_grad, takes_max_grad),
    (window.avg_pool, pool.avg_pool, takes_pool),
    (window.avg_pool_grad, pool.avg_pool_grad, takes_avg_grad),
    (csr_affine, csr.csr_affine, takes_csr),
]
for reference, device_function, takes in PAIRS:
    accelerates(reference, "cuda", takes=takes)(across(device_function))
