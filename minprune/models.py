"""Classic networks by name, so that nobody has to count their shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import ShapeError
from .layers import BatchNorm, Conv2d, Dense, Dropout, Flatten, MaxPool2d, ReLU
from .nn import Graph, Sequential


def mlp(
    features: int,
    hidden: Sequence[int],
    outputs: int,
    *,
    dropout: float = 0.0,
    rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> Graph:
    """A multilayer perceptron: dense layers with ReLU between them.

    Parameters
    ----------
    features, outputs : int
        Sizes of input and output.
    hidden : sequence of int
        Neurons of each hidden layer.
    dropout : float
        The fraction of hidden values silenced in training.
    rng, dtype
        As for `Graph`.

    Examples
    --------
    >>> list(mlp(784, (300, 100), 10).nodes)
    ['dense1', 'relu1', 'dense2', 'relu2', 'dense3']
    """
    layers: list[Any] = []
    for size in hidden:
        layers += [Dense(features, size), ReLU(), *([Dropout(dropout)] if dropout else [])]
        features = size
    return Sequential(*layers, Dense(features, outputs), rng=rng, dtype=dtype)


def lenet5(
    shape: tuple[int, ...],
    outputs: int,
    *,
    widths: tuple[int, int, int] = (20, 50, 500),
    dropout: float = 0.0,
    rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> Graph:
    """The LeNet-5 of the pruning literature: two 5×5 convolutions with max-pooling, one hidden dense layer.

    Parameters
    ----------
    shape : (channels, height, width)
        Of an image; at least 16 × 16.
    outputs : int
        Number of classes.
    widths : three int
        Filters of the two convolutions, neurons of the dense layer.
    dropout : float
        Before the last layer, in training.
    rng, dtype
        As for `Graph`.

    Raises
    ------
    ShapeError
        When the images are too small.

    Notes
    -----
    Source: LeCun et al. 1998, *Gradient-based learning applied to document recognition*, in the 20-50-500 variant of
    the Caffe examples.

    Examples
    --------
    >>> lenet5((1, 28, 28), 10)
    <Sequential: 10 nodes, 431,080 parameters>
    """
    if len(shape) != 3 or min(shape[1:]) < 16:
        raise ShapeError(f"lenet5 expects images (C, H, W) of at least 16 × 16, got {shape}")
    first, second, third = widths
    places = [((size - 4) // 2 - 4) // 2 for size in shape[1:]]  # two 5×5 windows, each then halved
    return Sequential(
        *(Conv2d(shape[0], first, 5), ReLU(), MaxPool2d(2)),
        *(Conv2d(first, second, 5), ReLU(), MaxPool2d(2)),
        *(Flatten(), Dense(second * places[0] * places[1], third), ReLU()),
        *([Dropout(dropout)] if dropout else []),
        Dense(third, outputs),
        rng=rng,
        dtype=dtype,
        input_shape=shape,
    )


def cnn(
    shape: tuple[int, ...],
    outputs: int,
    *,
    widths: Sequence[int] = (16, 32),
    dropout: float = 0.0,
    rng: int | np.random.Generator = 0,
    dtype: Any = np.float32,
) -> Graph:
    """A small convolutional network: stages of a 3×3 convolution, batch-norm, ReLU and max-pooling, one dense layer.

    Parameters
    ----------
    shape : (channels, height, width)
        Of an image; every stage halves height and width, and something must be left: 4 × 4 for two stages.
    outputs : int
        Number of classes.
    widths : sequence of int
        Filters of each stage.
    dropout : float
        Before the last layer, in training.
    rng, dtype
        As for `Graph`.

    Raises
    ------
    ShapeError
        When the images are too small.

    Notes
    -----
    Source of batch-norm between convolution and ReLU: Ioffe and Szegedy 2015.

    Examples
    --------
    >>> cnn((1, 8, 8), 10)
    <Sequential: 10 nodes, 6,186 parameters>
    """
    least = 2 ** len(widths)
    if len(shape) != 3 or min(shape[1:]) < least:
        raise ShapeError(
            f"cnn of {len(widths)} stage(s) expects images (C, H, W) of at least {least} × {least}, got {shape}"
        )
    layers: list[Any] = []
    channels, height, width = shape
    for filters in widths:
        layers += [Conv2d(channels, filters, 3, padding=1), BatchNorm(filters), ReLU(), MaxPool2d(2)]
        channels, height, width = filters, height // 2, width // 2
    layers += [Flatten(), *([Dropout(dropout)] if dropout else []), Dense(channels * height * width, outputs)]
    return Sequential(*layers, rng=rng, dtype=dtype, input_shape=shape)
