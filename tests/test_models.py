"""The networks by name."""

from __future__ import annotations

import numpy as np
import pytest

from minprune.errors import ShapeError
from minprune.models import cnn, lenet5, mlp


def test_mlp_has_a_relu_behind_every_hidden_layer() -> None:
    net = mlp(4, [3, 2], 5)
    assert list(net.nodes) == ["dense1", "relu1", "dense2", "relu2", "dense3"]
    assert net(np.zeros((7, 4))).shape == (7, 5)


def test_mlp_takes_dropout() -> None:
    assert "dropout1" in mlp(4, [3], 5, dropout=0.1).nodes


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 16, 17), (2, 16, 40)])
def test_lenet5_fits_images_of_any_shape(shape: tuple[int, ...]) -> None:
    net = lenet5(shape, 10, widths=(2, 3, 4), dropout=0.5)
    assert net(np.zeros((2, *shape))).shape == (2, 10)
    assert net.neurons["conv2"].size == 3


def test_lenet5_has_the_literatures_size() -> None:
    assert sum(array.size for array in lenet5((1, 28, 28), 10).params.values()) == 431_080


@pytest.mark.parametrize("shape", [(1, 15, 28), (784,), (28, 28)])
def test_lenet5_refuses_images_that_are_too_small(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="at least 16 × 16"):
        lenet5(shape, 10)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 4, 7)])
def test_the_small_cnn_fits_images_of_any_shape(shape: tuple[int, ...]) -> None:
    net = cnn(shape, 10, dropout=0.5)
    assert net(np.zeros((2, *shape))).shape == (2, 10)
    assert [net.neurons[name].size for name in ("conv1", "conv2")] == [16, 32]


def test_every_stage_of_the_small_cnn_is_convolution_batch_norm_relu_and_pooling() -> None:
    net = cnn((1, 8, 8), 10, widths=[2, 3, 4])
    stages = [f"{kind}{stage}" for stage in (1, 2, 3) for kind in ("conv", "batchnorm", "relu", "maxpool")]
    assert list(net.nodes) == [*stages, "flatten1", "dense1"]
    assert net.params["dense1.W"].shape == (10, 4)


@pytest.mark.parametrize("shape", [(1, 3, 8), (64,), (8, 8)])
def test_the_small_cnn_refuses_images_that_are_too_small(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"cnn of 2 stage\(s\) expects images \(C, H, W\) of at least 4 × 4, got"):
        cnn(shape, 10)
