"""ONNX files as people have them, made here: exported from PyTorch at several opsets, and by hand as from TensorFlow.

Each is a path-free recipe: `make(label, folder)` writes the file and says what its inputs look like.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx_models import model, node, weights, written
from torch import nn

W = weights
Shapes = tuple[tuple[int, ...], ...]  # of one sample of each input


def _settled(net: nn.Module, seed: int = 0) -> nn.Module:
    """In evaluation mode, with batch-norm statistics as after training: none is left at 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor in (part.running_mean, part.bias.data):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
            for tensor in (part.running_var, part.weight.data):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return net.eval()


def exported(net: nn.Module, shapes: Shapes, path: Path, opset: int = 17, free: bool = True, **settings: Any) -> Path:
    """What torch.onnx.export writes."""
    names = [f"in{place}" for place in range(len(shapes))]
    axes = {name: {0: "batch"} for name in names} if free else None
    xs = tuple(torch.zeros(1, *shape) for shape in shapes)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is called old; the new one needs a package more
        torch.onnx.export(
            _settled(net), xs, str(path), opset_version=opset, input_names=names, dynamic_axes=axes, dynamo=False,
            **settings,
        )  # fmt: skip
    return path


KEEP = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}  # batch-norms stay nodes


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(width, out, 3, stride, 1, bias=False), nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(out), nn.BatchNorm2d(out)])
        same = stride == 1 and width == out
        self.around: nn.Module = nn.Identity()
        if not same:
            self.around = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norms[1](self.two(torch.relu(self.norms[0](self.one(x)))))
        return torch.relu(y + self.around(x))


def residual() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
        *(Block(8, 8, 1), Block(8, 12, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5)),
    )


class Inverted(nn.Module):
    """Wider, depthwise, weighed channel by channel, narrow again: MobileNetV3's."""

    def __init__(self, width: int, wide: int, out: int, stride: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.Hardswish())
        self.deep = nn.Sequential(
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()
        )
        self.weigh = nn.Sequential(
            *(nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, 4, 1), nn.ReLU(), nn.Conv2d(4, wide, 1), nn.Hardsigmoid())
        )
        self.down = nn.Sequential(nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out))
        self.around = stride == 1 and width == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.deep(self.up(x))
        y = self.down(y * self.weigh(y))
        return x + y if self.around else y


def mobile() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6), nn.SiLU(), Inverted(6, 10, 6, 1)),
        *(Inverted(6, 12, 8, 2), nn.Conv2d(8, 16, 1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Dropout(0.2), nn.Linear(16, 4)),
    )


class Audio(nn.Module):
    """Convolutions over time, with gaps, and the mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv1d(1, 6, 9, 4, 4), nn.BatchNorm1d(6), nn.ReLU(), nn.MaxPool1d(2)),
            *(nn.Conv1d(6, 8, 3, padding=2, dilation=2), nn.BatchNorm1d(8), nn.LeakyReLU(0.1), nn.AvgPool1d(2)),
            *(nn.Conv1d(8, 8, 3, padding=1, groups=8), nn.Conv1d(8, 10, 1), nn.ELU()),
        )
        self.head = nn.Linear(10, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(self.head(self.body(x).mean(dim=-1)), dim=-1)


def perceptron() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(12, 16), nn.PReLU(16), nn.Dropout(0.1), nn.Linear(16, 14), nn.GELU(), nn.Linear(14, 12)),
        *(nn.BatchNorm1d(12), nn.SELU(), nn.Linear(12, 10), nn.Softplus(), nn.Linear(10, 8), nn.Mish()),
        *(nn.Linear(8, 6), nn.PReLU(), nn.Linear(6, 3), nn.Softmax(dim=-1)),
    )


class Viewed(nn.Module):
    """Flattened by the sizes of the batch, as many write it."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 8, 3, padding=1)
        self.hidden, self.last = nn.Linear(72, 20), nn.Linear(20, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.max_pool2d(torch.relu(self.one(x)), 2)
        x = nn.functional.avg_pool2d(torch.tanh(self.two(x)), 2, ceil_mode=True, count_include_pad=False)
        x = torch.relu(self.hidden(x.view(x.size(0), -1)))
        return self.last(nn.functional.dropout(x, training=self.training))


class TwoInputs(nn.Module):
    """An image and a vector in; classes and a number out."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(2, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten())
        self.vector = nn.Sequential(nn.Linear(5, 8), nn.Sigmoid())
        self.both, self.classes, self.number = nn.Linear(6 * 9 + 8, 12), nn.Linear(12, 4), nn.Linear(12, 1)

    def forward(self, image: torch.Tensor, vector: torch.Tensor) -> Any:
        x = torch.relu(self.both(torch.cat([self.image(image), self.vector(vector)], dim=1)))
        return self.classes(x), self.number(x).squeeze(-1)


class Branches(nn.Module):
    """Inception's branches and DenseNet's chain, joined along channels, then shuffled and split again."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 5, padding=2)])
        self.norm, self.more = nn.BatchNorm2d(12), nn.Conv2d(12, 4, 3, padding=1)
        self.left, self.right = nn.Conv2d(8, 6, 3), nn.Conv2d(8, 6, 3)
        self.last = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([torch.relu(part(x)) for part in self.parts], dim=1)
        x = torch.cat([x, self.more(torch.relu(self.norm(x)))], dim=1)
        a, b = x.chunk(2, dim=1)
        x = torch.relu(self.left(a)) * torch.sigmoid(self.right(b))
        return self.last(x.mean([2, 3]))


class Attention(nn.Module):
    """One head that looks at a sequence, then two layers for every place of it."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(8, 8) for _ in range(4))
        self.up, self.down, self.last = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shares = torch.softmax(self.q(x) @ self.k(x).transpose(1, 2) / 8**0.5, dim=-1)
        x = x + self.out(shares @ self.v(x))
        x = x + self.down(nn.functional.gelu(self.up(x)))
        return self.last(x[:, 0])


class Recurrent(nn.Module):
    """An LSTM that reads a sequence both ways, between dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.Linear(6, 8)
        self.both = nn.LSTM(8, 5, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Linear(10, 12), nn.ReLU(), nn.Linear(12, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.both(torch.relu(self.each(x)))[0][:, -1])


class Transformer(nn.Module):
    """PyTorch's own layer, which lays heads beside samples."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.Linear(6, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.each(x)).mean(1))


class Upwards(nn.Module):
    """Smaller and larger again, in two ways, as networks that mark pixels do."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, 2, 1)
        self.norm, self.larger = nn.GroupNorm(2, 8), nn.ConvTranspose2d(8, 5, 2, 2)
        self.wide = nn.Upsample(scale_factor=2, mode="bilinear")
        self.join, self.last = nn.Conv2d(6 + 5 + 8, 7, 3, padding=1), nn.Conv2d(7, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.one(x))
        y = torch.relu(self.norm(self.two(x)))
        return self.last(torch.relu(self.join(torch.cat([x, self.larger(y), self.wide(y)], dim=1)))).flatten(1)


def channels_last(folder: Path) -> tuple[Path, Shapes]:
    """As tf2onnx writes a Keras network: images (N, H, W, C), transposed around every convolution, flattened last."""
    nodes = [
        node("Transpose", ["x"], ["x1"], perm=[0, 3, 1, 2]),
        node("Conv", ["x1", "K1"], ["c1"], auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3]),
        node("Transpose", ["c1"], ["c1t"], perm=[0, 2, 3, 1]),
        node("Add", ["c1t", "b1"], ["z1"]),
        node("Clip", ["z1", "low", "high"], ["a1"]),
        node("Transpose", ["a1"], ["a1t"], perm=[0, 3, 1, 2]),
        node("Reshape", ["K2flat", "K2shape"], ["K2"]),
        node("Conv", ["a1t", "K2"], ["c2"], group=6, pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c2", "g", "b", "m", "v"], ["n2"], epsilon=1e-3),
        node("Transpose", ["n2"], ["n2t"], perm=[0, 2, 3, 1]),
        node("Relu", ["n2t"], ["a2"]),
        node("Transpose", ["a2"], ["a2t"], perm=[0, 3, 1, 2]),
        node("Conv", ["a2t", "K3", "b3"], ["c3"]),
        node("LeakyRelu", ["c3"], ["l3"], alpha=0.3),
        node("MaxPool", ["l3"], ["p3"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Transpose", ["p3"], ["p3t"], perm=[0, 2, 3, 1]),
        node("Reshape", ["p3t", "flat"], ["f"]),
        node("MatMul", ["f", "W4"], ["m4"]),
        node("Add", ["m4", "b4"], ["z4"]),
        node("Tanh", ["z4"], ["a4"]),
        node("MatMul", ["a4", "W5"], ["m5"]),
        node("Add", ["m5", "b5"], ["z5"]),
        node("Softmax", ["z5"], ["y"], axis=-1),
    ]
    stored = {
        "K1": W(6, 3, 3, 3) / 3,
        "b1": W(6),
        "low": np.float32(0),
        "high": np.float32(6),
        "K2flat": W(54),
        "K2shape": np.array([6, 1, 3, 3]),
        "g": W(6),
        "b": W(6, seed=1),
        "m": W(6, seed=2),
        "v": np.abs(W(6, seed=3)) + 0.5,
        "K3": W(8, 6, 1, 1),
        "b3": W(8),
        "flat": np.array([-1, 32]),
        "W4": W(32, 12) / 4,
        "b4": W(12),
        "W5": W(12, 4),
        "b5": W(4),
    }
    made = model(nodes, {"x": ["unk__1", 8, 8, 3]}, {"y": ["unk__1", 4]}, stored, opset=13)
    return written(made, folder / "net.onnx"), ((8, 8, 3),)


def by(
    net: Callable[[], nn.Module], *shapes: tuple[int, ...], **settings: Any
) -> Callable[[Path], tuple[Path, Shapes]]:
    """The recipe for an exported network."""
    return lambda folder: (exported(net(), shapes, folder / "net.onnx", **settings), shapes)


ZOO: dict[str, Callable[[Path], tuple[Path, Shapes]]] = {
    "residual, batch-norm folded": by(residual, (3, 16, 16)),
    "residual, batch-norm kept, opset 11": by(residual, (3, 16, 16), opset=11, **KEEP),
    "mobile, batch-norm kept": by(mobile, (3, 16, 16), **KEEP),
    "mobile, opset 9, batch of 1": by(mobile, (3, 16, 16), opset=9, free=False),
    "audio": by(Audio, (1, 128), **KEEP),
    "audio, opset 18": by(Audio, (1, 128), opset=18),
    "perceptron, opset 20": by(perceptron, (12,), opset=20),
    "perceptron, opset 13": by(perceptron, (12,), opset=13),
    "flattened by its sizes": by(Viewed, (1, 14, 14)),
    "flattened by its sizes, batch of 1": by(Viewed, (1, 14, 14), free=False, opset=10),
    "two inputs, two outputs": by(TwoInputs, (2, 8, 8), (5,)),
    "branches": by(Branches, (3, 8, 8), **KEEP),
    "attention": by(Attention, (5, 8)),
    "channels last": channels_last,
    "recurrent": by(Recurrent, (5, 6)),
    "recurrent, opset 11, batch of 1": by(Recurrent, (5, 6), opset=11, free=False),
    "transformer": by(Transformer, (4, 6), opset=20),
    "transformer, opset 14": by(Transformer, (4, 6), opset=14),
    "upwards": by(Upwards, (3, 6, 6)),
}


def make(label: str, folder: Path) -> tuple[Path, Shapes]:
    """Write one of them."""
    return ZOO[label](folder)
