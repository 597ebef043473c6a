"""Every op against PyTorch: output and all gradients, in float64, on every case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from op_cases import CASES, Case

from minprune.ops import OPS


def peers(torch: Any) -> dict[str, Any]:
    """What PyTorch computes for the op of that name: from its arguments and the call with its options."""
    F = torch.nn.functional

    def spatial(x: Any, one: Any, two: Any) -> Any:
        return one if x.ndim == 3 else two

    def conv(c: Any, x: Any, W: Any, b: Any) -> Any:
        return spatial(x, F.conv1d, F.conv2d)(x, W, b, c.stride, c.padding, c.dilation, c.groups)

    def max_pool(c: Any, x: Any) -> Any:
        pools = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
        return pools[x.ndim - 2](x, c.kernel, c.stride, c.padding, c.dilation)

    def avg_pool(c: Any, x: Any) -> Any:
        if x.ndim == 4:  # torch has no averages over windows with gaps; a depthwise convolution is one
            channels, count = x.shape[1], c.kernel[0] * c.kernel[1]
            W = torch.full((channels, 1, *c.kernel), 1 / count, dtype=x.dtype)
            return F.conv2d(x, W, None, c.stride, c.padding, c.dilation, channels)
        return {1: F.avg_pool1d, 3: F.avg_pool3d}[x.ndim - 2](x, c.kernel, c.stride, c.padding)

    def kl_divergence(c: Any, y: Any, u: Any) -> Any:
        p, q = F.log_softmax(u / c.temperature, dim=1), F.log_softmax(y / c.temperature, dim=1)
        return c.temperature**2 * F.kl_div(q, p, reduction="none", log_target=True).sum(dim=1)

    return {
        "affine": lambda c, x, W, b: F.linear(x, W, b),
        "conv": conv,
        "max_pool": max_pool,
        "avg_pool": avg_pool,
        "global_avg_pool": lambda c, x: x.mean(dim=tuple(range(2, x.ndim))),
        "batch_norm_train": lambda c, x, w, b: F.batch_norm(x, None, None, w, b, training=True, eps=c.epsilon),
        "batch_norm_eval": lambda c, x, w, b, m, v: F.batch_norm(x, m, v, w, b, eps=c.epsilon),
        "relu": lambda c, x: F.relu(x),
        "leaky_relu": lambda c, x: F.leaky_relu(x, c.slope),
        "sigmoid": lambda c, x: torch.sigmoid(x),
        "tanh": lambda c, x: torch.tanh(x),
        "softmax": lambda c, x: F.softmax(x, dim=1),
        "log_softmax": lambda c, x: F.log_softmax(x, dim=1),
        "prelu": lambda c, x, a: F.prelu(x, a),
        "clip": lambda c, x: torch.clamp(x, c.low, c.high),
        "hard_sigmoid": lambda c, x: torch.clamp(x * c.slope + c.offset, 0, 1),
        "elu": lambda c, x: c.gamma * F.elu(x, c.alpha),
        "gelu": lambda c, x: F.gelu(x),
        "erf": lambda c, x: torch.erf(x),
        "softplus": lambda c, x: F.softplus(x),
        "rearrange": lambda c, x: x.permute(0, *(axis + 1 for axis in c.order)).reshape(c.out.shape),
        "pad": lambda c, x: F.pad(x, [p for pair in _sides(c) for p in pair], value=c.value),
        "reshape": lambda c, x: x.reshape(c.out.shape),
        "take": lambda c, x, i: x[:, i],
        "add": lambda c, a, b: a + b,
        "mul": lambda c, a, b: a * b,
        "matmul": lambda c, a, b: a @ b,
        "power": lambda c, x, p: x**p,
        "gate": lambda c, a, m: a * m.reshape(1, -1, *(1,) * (a.ndim - 2)),
        "concat": lambda c, a, b: torch.cat([a, b], dim=1),
        "dropout": lambda c, x, m: x * m,
        "half_squared_error": lambda c, y, t: F.mse_loss(y, t, reduction="none").sum(dim=1) / 2,
        "mse": lambda c, y, t: F.mse_loss(y, t, reduction="none").mean(dim=1),
        "cross_entropy": lambda c, y, t: F.cross_entropy(y, t, reduction="none"),
        "kl_divergence": kl_divergence,
        "mean": lambda c, x: x.mean(),
    }


def _sides(c: Any) -> Any:
    return zip(c.before[::-1], c.after[::-1], strict=True)


def test_every_op_has_its_peer() -> None:
    torch = pytest.importorskip("torch")
    assert set(peers(torch)) == {op.name for op in OPS}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_output_and_gradients_are_those_of_torch(case: Case) -> None:
    torch = pytest.importorskip("torch")
    if case.op.name == "conv" and not case.args[0].size:
        case_gradients_of_nothing(case)
        return
    call = case.call()
    tensors = [None if arg is None else torch.tensor(arg) for arg in case.args]
    for name, tensor in zip(case.op.args, tensors, strict=True):
        if tensor is not None and name in case.op.rules:
            tensor.requires_grad_()
    out = peers(torch)[case.op.name](call, *tensors)
    assert np.allclose(call.out, out.detach().numpy(), rtol=1e-10, atol=1e-10)
    g = np.random.default_rng(1).standard_normal(call.out.shape)
    out.backward(torch.tensor(g))
    for name, tensor in zip(case.op.args, tensors, strict=True):
        if tensor is not None and tensor.requires_grad:
            ours = case.op.grad(name)(call, np.asarray(g))
            assert ours.shape == tuple(tensor.shape)
            assert np.allclose(ours, tensor.grad.numpy(), rtol=1e-10, atol=1e-10), name


def case_gradients_of_nothing(case: Case) -> None:
    """An empty batch has gradients of the right shapes, all zero (PyTorch refuses some of these)."""
    call = case.call()
    for name in case.op.rules:
        gradient = case.op.grad(name)(call, call.out)
        assert gradient.shape == getattr(call, name).shape
        assert not gradient.any()
