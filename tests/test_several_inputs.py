"""The whole cycle on a network that reads two inputs: data are mappings of arrays, by the inputs' names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minprune as mp
from minprune.errors import DataError, ShapeError


def two_inputs() -> mp.Graph:
    """An image and a vector, joined."""
    return mp.Graph(
        {
            "seen": (mp.Sequential(mp.Conv2d(1, 6, 3), mp.ReLU(), mp.GlobalAvgPool2d()), "image"),
            "read": (mp.Sequential(mp.Dense(5, 8), mp.ReLU()), "text"),
            "both": (mp.Concat(), "seen", "read"),
            "y": (mp.Dense(14, 3), "both"),
        },
        inputs=("image", "text"),
        rng=0,
    )


@pytest.fixture
def data() -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    x = {"image": rng.random((90, 1, 6, 6), dtype=np.float32), "text": rng.random((90, 5), dtype=np.float32)}
    return x, (3 * x["text"][:, 0]).astype(int)


def test_the_cycle_runs_on_two_inputs(data: tuple[dict[str, np.ndarray], np.ndarray], tmp_path: Path) -> None:
    net = two_inputs()
    history = mp.fit(net, data, epochs=30, batch_size=16, optimizer=mp.Adam(1e-2), progress=False)
    assert history.loss[-1] < 0.6 * history.loss[0]
    res = mp.prune(net, data, "taylor", mp.Global(0.5), repair="mean", finetune=mp.FineTune(epochs=2))
    assert sum(len(kept) for kept in res.kept.values()) == 7
    assert res.net.certificate is not None
    assert res.net.certificate.ok
    mp.save(res.net, tmp_path / "small.npz")
    again = mp.load(tmp_path / "small.npz")
    assert np.array_equal(again(data[0]), res.net(data[0]))
    assert mp.evaluate(net, data, runtime=(2,)).samples == 90


def test_inputs_of_different_lengths_are_refused(data: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    x, y = data
    with pytest.raises(DataError, match="all inputs need the same number of samples"):
        mp.score(two_inputs(), ({**x, "text": x["text"][:5]}, y))


def test_a_single_array_for_two_inputs_is_refused(data: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    x, y = data
    with pytest.raises(ShapeError, match="2 input"):
        mp.evaluate(two_inputs(), (x["text"], y))
