"""Nodes that no layer does: kept as they are, executed, never pruned through, and written back; or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minprune as mp
from minprune.errors import FileError, StructureError
from minprune.neurons import hidden

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

from onnx_models import model, node, run, weights, written  # noqa: E402
from opaque_cases import KEPT, network  # noqa: E402

from minprune.layers.opaque import Opaque  # noqa: E402

W = weights


def nodes_of(path: Path, ops: set[str]) -> list[Any]:
    return [(n.op_type, n.name, list(n.attribute)) for n in onnx.load(path).graph.node if n.op_type in ops]


@pytest.mark.parametrize("label", KEPT)
def test_a_network_around_a_kept_node_is_pruned_and_computes_what_onnxruntime_does(label: str, tmp_path: Path) -> None:
    path, x = network(label, tmp_path)
    (wanted,) = run(path, x)
    net = mp.load(path)
    kept = [n.layer for n in net.nodes.values() if isinstance(n.layer, Opaque)]
    assert kept
    assert {"h", "f1"} <= set(hidden(net))
    np.testing.assert_allclose(net(x), wanted, rtol=1e-4, atol=1e-5)
    scores = mp.score(net, x, "activation_rms", progress=False)
    small = mp.remove(net, mp.decide(scores, mp.PerLayer(0.5)), data=x)
    assert small.params["f1.W"].shape[0] == 3
    assert small.certificate is not None
    assert small.certificate.ok
    mp.save(small, tmp_path / "small.onnx")
    (found,) = run(tmp_path / "small.onnx", x)
    np.testing.assert_allclose(small(x), found, rtol=1e-4, atol=1e-5)
    back = mp.load(tmp_path / "small.onnx")
    np.testing.assert_allclose(back(x), found, rtol=1e-4, atol=1e-5)
    assert mp.verify(back).ok
    ops = {n.op_type for n in KEPT[label][1] if n.name == "kept"}
    assert nodes_of(tmp_path / "small.onnx", ops) == nodes_of(path, ops)
