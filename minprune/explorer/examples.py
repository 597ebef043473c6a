"""Two networks for handwritten digits that are small enough to be explored: they are trained in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data import Dataset, digits
from ..layers import Conv2d, Dense, Flatten, MaxPool2d, ReLU
from ..nn import Graph, Sequential
from ..optim import Adam
from ..pruning.deciding import Global
from ..scores import score
from ..tracing import Focus
from ..train import fit
from .making import explore

SAMPLES = 8  # that the losses in a page are means over
REMOVED = 0.25


def digits_pages(folder: Path) -> list[Path]:
    """Train a small dense and a small convolutional network, and write a page of each.

    Parameters
    ----------
    folder : path
        Gets ``explore-mlp.html`` and ``explore-cnn.html``.

    Returns
    -------
    list of Path
    """
    mlp = Sequential(Dense(64, 16), ReLU(), Dense(16, 10), rng=0)
    cnn = Sequential(*(Conv2d(1, 6, 3), ReLU(), MaxPool2d(2), Flatten(), Dense(54, 10)), rng=0, input_shape=(1, 8, 8))
    return [
        _page(folder / "explore-mlp.html", mlp, digits(), "dense1", "Handwritten digits, 64-16-10"),
        _page(folder / "explore-cnn.html", cnn, digits(flat=False), "conv1", "Handwritten digits, six filters"),
    ]


def _page(path: Path, net: Graph, data: Dataset, layer: str, title: str) -> Path:
    """Train, and follow the neuron that would be missed most."""
    fit(net, data, optimizer=Adam(1e-2), epochs=8, batch_size=64, rng=0, progress=False)
    x, y = data.train.x[:SAMPLES], data.train.y[:SAMPLES]
    costs = score(net, (x, y), "leave_one_out", progress=False)[layer]
    focus = Focus(layer, int(np.argmax(costs)), 0)
    explore(net, path, x, y, plan=Global(REMOVED), focus=focus, title=title, progress=False)
    return path
