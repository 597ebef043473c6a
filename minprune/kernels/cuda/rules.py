"""Ops on the device: each of these says which kernels do what an op of `minprune.ops` says.

A rule has the op's own form: a forward line, and one line per argument from the upstream gradient g to that argument's.
What it computes is written there, with the formula; an op that does not stand here cannot run on the device, and
a `Trail` says so by name rather than bring its arguments back. `c` is the call, with arrays on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, prod, sqrt
from typing import Any

import numpy as np

from ... import ops
from ...errors import StructureError
from ...ops import Call, Op
from ...ops.shaping import filled
from . import conv, curves, gemm, losses, moving, pointwise, pool
from .launching import Kernel
from .memory import Device
from .pointwise import pointwise as run
from .sums import channel_sum

Forward = Callable[[Call], Device]
Backward = Callable[[Call, Device], Device]


def _together(loop: Kernel, a: Device, b: Device) -> Device:
    """Combine two values, repeated to one shape where they differ."""
    shape = np.broadcast_shapes(tuple(a.shape), tuple(b.shape))
    return run(loop, moving.repeat(a, shape), moving.repeat(b, shape))


def _reshape(c: Call) -> Device:
    sizes = (prod(c.x.shape[1:]),) if c.shape == (-1,) else c.shape
    return c.x.reshape(c.x.shape[0], *sizes)


def _rearrange(c: Call) -> Device:
    moved = moving.transpose(c.x, (0, *(axis + 1 for axis in c.order)))
    return moved.reshape(moved.shape[0], *filled(c.shape, tuple(moved.shape[1:])))


def _rearrange_back(c: Call, g: Device) -> Device:
    sizes = [c.x.shape[axis + 1] for axis in c.order]
    back = [c.order.index(axis) + 1 for axis in range(len(c.order))]
    return moving.transpose(g.reshape(g.shape[0], *sizes), (0, *back))


def _pad(c: Call) -> Device:
    border = zip(c.x.shape[2:], c.before, c.after, strict=True)
    return moving.pad(c.x, (*c.x.shape[:2], *map(sum, border)), c.before, c.value)


def _settings(c: Call) -> tuple[Any, ...]:
    return c.stride, c.padding, c.dilation, c.groups


def _window(c: Call) -> tuple[Any, ...]:
    if any(d != 1 for d in c.dilation) or len(c.kernel) > 2:
        raise StructureError(
            f"{c.op.name} with kernel {c.kernel} and dilation {c.dilation or 1} has no CUDA kernel; use another backend"
        )
    return c.kernel, c.stride, c.padding


def _global_average(c: Call) -> Device:
    whole = tuple(c.x.shape[2:])
    return pool.avg_pool(c.x, whole, (1,) * len(whole), (0,) * len(whole)).reshape(*c.x.shape[:2])


FORWARD: dict[type[Op], Forward] = {
    ops.Affine: lambda c: gemm.affine(c.x, c.W, c.b),
    ops.Conv: lambda c: conv.conv(c.x, c.W, c.b, *_settings(c)),
    ops.MaxPool: lambda c: pool.max_pool(c.x, *_window(c)),
    ops.AvgPool: lambda c: pool.avg_pool(c.x, *_window(c)),
    ops.GlobalAvgPool: _global_average,
    ops.ReLU: lambda c: run(pointwise.relu_loop, c.x),
    ops.LeakyReLU: lambda c: run(pointwise.leaky_loop, c.x, c.x, settings=(c.slope,)),
    ops.Sigmoid: lambda c: run(pointwise.sigmoid_loop, c.x),
    ops.Tanh: lambda c: run(pointwise.tanh_loop, c.x),
    ops.Softmax: lambda c: losses.softmax(c.x),
    ops.LogSoftmax: lambda c: curves.log_softmax(c.x),
    ops.PReLU: lambda c: curves.prelu(c.x, c.x, c.a),
    ops.Clip: lambda c: run(curves.clip_loop, c.x, settings=(1, 0, c.low, c.high)),
    ops.HardSigmoid: lambda c: run(curves.clip_loop, c.x, settings=(c.slope, c.offset, 0, 1)),
    ops.ELU: lambda c: run(curves.elu_loop, c.x, settings=(c.alpha, c.gamma)),
    ops.GELU: lambda c: run(curves.gelu_loop, c.x, settings=(sqrt(0.5),)),
    ops.Erf: lambda c: run(curves.erf_loop, c.x),
    ops.Softplus: lambda c: run(curves.softplus_loop, c.x),
    ops.Reshape: _reshape,
    ops.Rearrange: _rearrange,
    ops.Pad: _pad,
    ops.Take: lambda c: moving.take(c.x, c.index),
    ops.Concat: lambda c: moving.join(c.a, c.b),
    ops.Add: lambda c: _together(pointwise.add_loop, c.a, c.b),
    ops.Mul: lambda c: _together(pointwise.times_loop, c.a, c.b),
    ops.Gate: lambda c: pointwise.per_channel(c.a, c.m),
    ops.BatchNormEval: lambda c: pointwise.per_channel(
        pointwise.normalise(c.x, c.mean, c.var, c.epsilon), c.gamma, c.beta
    ),
    ops.HalfSquaredError: lambda c: losses.squared_error(c.y, c.t, mean=False),
    ops.MeanSquaredError: lambda c: losses.squared_error(c.y, c.t, mean=True),
    ops.CrossEntropy: lambda c: losses.cross_entropy(c.y, c.t),
}

BACKWARD: dict[tuple[type[Op], str], Backward] = {
    (ops.Affine, "x"): lambda c, g: gemm.affine_grad_x(g, c.W),
    (ops.Affine, "W"): lambda c, g: gemm.affine_grad_W(g, c.x),
    (ops.Affine, "b"): lambda c, g: channel_sum(g),
    (ops.Conv, "x"): lambda c, g: conv.conv_grad_x(g, c.W, c.x.shape, *_settings(c)),
    (ops.Conv, "W"): lambda c, g: conv.conv_grad_W(g, c.x, c.W.shape, *_settings(c)),
    (ops.Conv, "b"): lambda c, g: channel_sum(g),
    (ops.MaxPool, "x"): lambda c, g: pool.max_pool_grad(g, c.x, c.out, *_window(c)),
    (ops.AvgPool, "x"): lambda c, g: pool.avg_pool_grad(g, c.x.shape, *_window(c)),
    (ops.GlobalAvgPool, "x"): lambda c, g: pointwise.spread(g, c.x.shape),
    (ops.ReLU, "x"): lambda c, g: run(pointwise.relu_grad_loop, g, c.x),
    (ops.LeakyReLU, "x"): lambda c, g: run(pointwise.leaky_loop, g, c.x, settings=(c.slope,)),
    (ops.Sigmoid, "x"): lambda c, g: run(pointwise.sigmoid_grad_loop, g, c.out),
    (ops.Tanh, "x"): lambda c, g: run(pointwise.tanh_grad_loop, g, c.out),
    (ops.Softmax, "x"): lambda c, g: losses.softmax_grad(g, c.out),
    (ops.LogSoftmax, "x"): lambda c, g: curves.log_softmax_grad(g, c.out),
    (ops.PReLU, "x"): lambda c, g: curves.prelu(g, c.x, c.a),
    (ops.PReLU, "a"): lambda c, g: curves.prelu_grad_a(g, c.x),
    (ops.Clip, "x"): lambda c, g: run(curves.clip_grad_loop, g, c.x, settings=(1, 0, c.low, c.high)),
    (ops.HardSigmoid, "x"): lambda c, g: run(curves.clip_grad_loop, g, c.x, settings=(c.slope, c.offset, 0, 1)),
    (ops.ELU, "x"): lambda c, g: run(curves.elu_grad_loop, g, c.x, settings=(c.alpha, c.gamma)),
    (ops.GELU, "x"): lambda c, g: run(curves.gelu_grad_loop, g, c.x, settings=(sqrt(0.5), 1 / sqrt(2 * pi))),
    (ops.Erf, "x"): lambda c, g: run(curves.erf_grad_loop, g, c.x, settings=(2 / sqrt(pi),)),
    (ops.Softplus, "x"): lambda c, g: run(curves.softplus_grad_loop, g, c.out),
    (ops.Reshape, "x"): lambda c, g: g.reshape(*c.x.shape),
    (ops.Rearrange, "x"): _rearrange_back,
    (ops.Pad, "x"): lambda c, g: moving.unpad(g, c.x.shape, c.before),
    (ops.Take, "x"): lambda c, g: moving.take_grad(g, c.index, c.x.shape),
    (ops.Concat, "a"): lambda c, g: moving.cut(g, 0, c.a),
    (ops.Concat, "b"): lambda c, g: moving.cut(g, c.a.shape[1], c.b),
    (ops.Add, "a"): lambda c, g: moving.sum_to_shape(g, c.a.shape),
    (ops.Add, "b"): lambda c, g: moving.sum_to_shape(g, c.b.shape),
    (ops.Mul, "a"): lambda c, g: moving.sum_to_shape(_together(pointwise.times_loop, g, c.b), c.a.shape),
    (ops.Mul, "b"): lambda c, g: moving.sum_to_shape(_together(pointwise.times_loop, g, c.a), c.b.shape),
    (ops.Gate, "a"): lambda c, g: pointwise.per_channel(g, c.m),
    (ops.Gate, "m"): lambda c, g: channel_sum(g, c.a),
    (ops.BatchNormEval, "x"): lambda c, g: pointwise.per_channel(
        g, pointwise.inverse_deviation(c.var, c.gamma, c.epsilon)
    ),
    (ops.BatchNormEval, "gamma"): lambda c, g: channel_sum(g, pointwise.normalise(c.x, c.mean, c.var, c.epsilon)),
    (ops.BatchNormEval, "beta"): lambda c, g: channel_sum(g),
    (ops.HalfSquaredError, "y"): lambda c, g: losses.squared_error_grad(g, c.y, c.t, mean=False),
    (ops.MeanSquaredError, "y"): lambda c, g: losses.squared_error_grad(g, c.y, c.t, mean=True),
    (ops.CrossEntropy, "y"): lambda c, g: losses.cross_entropy_grad(g, c.y, c.t),
}


def forward(op: type[Op], args: tuple[Device | None, ...], options: dict[str, Any]) -> Call:
    """Apply an op to arrays on the device and return the call, output included."""
    call = Call(op, args, options)
    call.out = FORWARD[op](call)
    return call
