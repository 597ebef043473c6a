"""ONNX files of many kinds: in, scored, pruned by a quarter to three quarters, out, and compared with onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

from onnx_models import run, silenced, weights
from onnx_zoo import ZOO, make

import minprune as mp
from minprune.kept_nodes import without_gradient
from minprune.neurons import hidden

PRUNABLE = {  # how many groups of neurons must be found: less would mean that one was lost on the way
    "residual": 4,
    "mobile": 7,
    "audio": 3,
    "perceptron": 6,
    "flattened": 3,
    "two inputs": 3,
    "branches": 5,
    "attention": 1,
    "channels last": 3,
    "recurrent": 1,
    "transformer": 1,
    "upwards": 2,
}


def computed(path: Path, xs: list[Any]) -> Any:
    """What onnxruntime computes, sample by sample; several outputs in one row."""
    rows = [[part.reshape(1, -1) for part in run(path, *(x[n : n + 1] for x in xs))] for n in range(len(xs[0]))]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def far(found: Any, wanted: Any) -> float:
    return float(np.abs(found.reshape(len(wanted), -1) - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("label", ZOO)
def test_a_file_is_scored_pruned_and_written_and_computes_what_onnxruntime_does(label: str, tmp_path: Path) -> None:
    path, shapes = make(label, tmp_path)
    net = mp.load(path)
    assert len(hidden(net)) >= next(count for kind, count in PRUNABLE.items() if label.startswith(kind))
    xs = [weights(6, *shape, seed=1) for shape in shapes]
    wanted = computed(path, xs)
    assert far(net(*xs), wanted) < 1e-4
    mp.save(net, tmp_path / "same.onnx")
    assert far(computed(tmp_path / "same.onnx", xs), wanted) < 1e-4
    data = (dict(zip(net.inputs, xs, strict=True)) if len(xs) > 1 else xs[0], np.arange(6) % wanted.shape[1])
    scores = mp.score(net, data, "activation_rms" if without_gradient(net) else "taylor")
    sizes = [path.stat().st_size]
    for fraction in (0.25, 0.5, 0.75):
        small = mp.remove(net, mp.decide(scores, mp.PerLayer(fraction)), data=data[0])
        assert small.certificate is not None
        assert small.certificate.ok
        mp.save(small, tmp_path / "small.onnx")
        found = computed(tmp_path / "small.onnx", xs)
        assert far(small(*xs), found) < 1e-4
        back = mp.load(tmp_path / "small.onnx")
        assert far(back(*xs), found) < 1e-4
        assert mp.verify(back).ok
        sizes.append(sum(array.size for array in small.params.values()))
    assert sizes[1] > sizes[2] > sizes[3]


@pytest.mark.parametrize("label", ["residual, batch-norm kept, opset 11", "mobile, batch-norm kept", "channels last"])
def test_neurons_that_are_0_for_sure_leave_a_file_without_a_difference(label: str, tmp_path: Path) -> None:
    path, shapes = make(label, tmp_path)
    dead, plan = silenced(mp.load(path))
    assert plan.drop
    xs = [weights(4, *shape, seed=2) for shape in shapes]
    mp.save(dead, tmp_path / "dead.onnx")
    mp.save(mp.remove(dead, plan), tmp_path / "small.onnx")
    assert far(computed(tmp_path / "small.onnx", xs), computed(tmp_path / "dead.onnx", xs)) < 1e-6


def test_a_file_trains_on(tmp_path: Path) -> None:
    path, ((*shape,),) = make("mobile, batch-norm kept", tmp_path)
    net = mp.load(path)
    y = np.arange(64) % 4
    x = weights(64, *shape) + y[:, None, None, None].astype(np.float32)
    before = mp.evaluate(net, (x, y)).loss
    mp.fit(net, (x, y), optimizer=mp.Adam(1e-2), epochs=3, batch_size=16, rng=0, progress=False)
    assert mp.evaluate(net, (x, y)).loss < 0.9 * before
