"""Layers: the kinds of node that a network is made of. `LAYERS` lists them all, by the name used in saved files."""

from .base import Layer, Shape, Training
from .norm import BatchNorm
from .plain import Add, Dropout, Flatten, Gate, Identity, Join, LeakyReLU, ReLU, Select, Sigmoid, Softmax, Tanh
from .pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from .weighted import Conv1d, Conv2d, Dense

LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer
    for layer in (
        Dense,
        Conv1d,
        Conv2d,
        BatchNorm,
        MaxPool2d,
        AvgPool2d,
        GlobalAvgPool2d,
        ReLU,
        LeakyReLU,
        Sigmoid,
        Tanh,
        Softmax,
        Identity,
        Flatten,
        Dropout,
        Gate,
        Select,
        Add,
        Join,
    )
}

__all__ = [
    "LAYERS",
    "Add",
    "AvgPool2d",
    "BatchNorm",
    "Conv1d",
    "Conv2d",
    "Dense",
    "Dropout",
    "Flatten",
    "Gate",
    "GlobalAvgPool2d",
    "Identity",
    "Join",
    "Layer",
    "LeakyReLU",
    "MaxPool2d",
    "ReLU",
    "Select",
    "Shape",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Training",
]
