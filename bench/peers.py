"""Networks as others run them, each at its best settings; None where a library is not installed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import THREADS

import minprune as mp


def torch_model(net: mp.Graph) -> Any:
    """A chain of layers in PyTorch, with copies of its weights; batch-norms as they start."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(int(THREADS))
    modules = []
    for name, node in net.nodes.items():
        modules.append(_module(torch.nn, node.layer))
        if f"{name}.W" in net.params:
            modules[-1].weight.data = torch.tensor(net.params[f"{name}.W"])
            modules[-1].bias.data = torch.tensor(net.params[f"{name}.b"])
    return torch.nn.Sequential(*modules).to(memory_format=torch.channels_last).eval()


def _module(nn: Any, layer: Any) -> Any:
    if layer.kind == "dense":
        return nn.Linear(layer.inputs, layer.outputs)
    if layer.kind == "conv":
        moves = (layer.stride, layer.padding, layer.dilation, layer.groups)
        return nn.Conv2d(layer.inputs, layer.outputs, layer.kernel, *moves)
    if layer.kind == "maxpool":
        return nn.MaxPool2d(layer.kernel, layer.stride, layer.padding)
    if layer.kind == "batchnorm":
        return nn.BatchNorm2d(layer.size, layer.epsilon, layer.momentum)
    if layer.kind == "globalavgpool":
        return nn.AdaptiveAvgPool2d(1)
    return {"relu": nn.ReLU, "flatten": nn.Flatten}[layer.kind]()


def as_torch(x: Any) -> Any:
    """A batch as PyTorch likes it best: images with their channels last."""
    import torch

    given = torch.tensor(x)
    return given.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else given


def torch_call(net: mp.Graph, x: Any) -> Callable[[], Any] | None:
    """The forward pass in PyTorch."""
    model = torch_model(net)
    if model is None:
        return None
    import torch

    given = as_torch(x)

    def call() -> Any:
        with torch.inference_mode():
            return model(given)

    return call


def onnx_call(net: mp.Graph, x: Any) -> Callable[[], Any] | None:
    """The forward pass in onnxruntime, input and output bound."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = int(THREADS), 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        mp.save(net, path)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, x)
    shape = [len(x), *net(x[:1]).shape[1:]]
    value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, "cpu", 0)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, value)
    return lambda: session.run_with_iobinding(binding)
