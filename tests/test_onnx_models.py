"""Real ONNX models that nobody here wrote, from the folder MINPRUNE_MODELS: in, scored, pruned, out, and compared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import run, silenced

import minprune as mp
from minprune.errors import DataError

FOLDER = os.environ.get("MINPRUNE_MODELS", "")
MODELS = sorted(Path(FOLDER).glob("*.onnx")) if FOLDER else []

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(not MODELS, reason="MINPRUNE_MODELS is not set"),
]


def computed(path: Path, x: Any) -> Any:
    """What onnxruntime computes, sample by sample: files may fix the batch at 1. Several outputs in one row."""
    rows = [[part.reshape(1, -1) for part in run(path, x[n : n + 1])] for n in range(len(x))]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def far(found: Any, wanted: Any) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_model_computes_what_onnxruntime_does_before_and_after_pruning(path: Path, tmp_path: Path) -> None:
    net = mp.load(path)
    (shape,) = (net.input_shapes or {}).values()
    x = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    wanted = computed(path, x)
    assert far(net(x).reshape(2, -1), wanted) < 1e-4
    mp.save(net, tmp_path / "same.onnx")
    assert far(computed(tmp_path / "same.onnx", x), wanted) < 1e-4
    scores = mp.score(net, (x, np.arange(2)), "taylor", progress=False)
    for fraction in (0.25, 0.5, 0.75):
        small = mp.remove(net, mp.decide(scores, mp.PerLayer(fraction)), data=x)
        assert small.certificate is not None
        assert small.certificate.ok
        mp.save(small, tmp_path / "small.onnx")
        assert far(computed(tmp_path / "small.onnx", x), small(x).reshape(2, -1)) < 1e-4
        assert mp.verify(mp.load(tmp_path / "small.onnx")).ok


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_neurons_that_are_0_for_sure_leave_a_model_without_a_difference(path: Path, tmp_path: Path) -> None:
    dead, plan = silenced(mp.load(path))
    assert plan.drop
    (shape,) = (dead.input_shapes or {}).values()
    x = np.random.default_rng(1).standard_normal((2, *shape)).astype(np.float32)
    mp.save(dead, tmp_path / "dead.onnx")
    mp.save(mp.remove(dead, plan, data=x), tmp_path / "small.onnx")
    assert far(computed(tmp_path / "small.onnx", x), computed(tmp_path / "dead.onnx", x)) < 1e-6


def scale_of(path: Path, x: Any, y: Any) -> float:
    """Whether the model reads pixels from 0 to 1, from 0 to 255, or standardised: what it is best at."""
    candidates = {1.0: x, 255.0: 255 * x}
    right = {scale: (computed(path, part)[:, :10].argmax(axis=1) == y).mean() for scale, part in candidates.items()}
    return max(right, key=lambda scale: right[scale])


@pytest.mark.parametrize("path", [p for p in MODELS if "mnist" in p.stem], ids=lambda path: path.stem)
def test_a_pruned_digit_reader_still_reads_digits(path: Path, tmp_path: Path) -> None:
    net = mp.load(path)
    data = mp.data.mnist(flat=False)
    scale = scale_of(path, data.test.x[:200].astype(np.float32), data.test.y[:200])
    shape = (net.input_shapes or {})[net.inputs[0]]
    x, y = (data.train.x[:200].reshape(-1, *shape) * scale).astype(np.float32), data.train.y[:200]
    if "burn" in path.stem:
        x = (x - 0.1307) / 0.3081
    assert far(net(x[:200]), computed(path, x[:200])) < 1e-4
    for criterion in ("taylor", "curvature"):
        try:
            scores = mp.score(net, (x, y), criterion=criterion)
        except DataError as error:
            pytest.fail(str(error))
        assert all(np.isfinite(values).all() for values in scores.values())
    read = (computed(path, x[:200]).argmax(axis=1) == y[:200]).mean()
    for fraction in (0.25, 0.5, 0.75):
        small = mp.remove(net, mp.decide(scores, mp.PerLayer(fraction)), "least_squares", (x, y))
        mp.save(small, tmp_path / "small.onnx")
        found = computed(tmp_path / "small.onnx", x[:200])
        assert far(found, small(x[:200])) < 1e-4
        if fraction == 0.25:
            assert (found.argmax(axis=1) == y[:200]).mean() > read - 0.15
