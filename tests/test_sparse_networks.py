"""Networks with sparse matrices: they compute the same, and their bytes are counted truly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import EXAMPLES, inputs

import minprune as mp
from minprune.errors import DtypeError, PlanError, ShapeError, StructureError
from minprune.formats import npz
from minprune.nn import Graph
from minprune.sparse import SparseMatrix, as_matrix


def pruned(net: Graph, amount: float = 0.8, block: tuple[int, int] | None = None) -> Graph:
    scores = mp.score(net, criterion="magnitude_l1", by="weight")
    return mp.mask(net, mp.decide(scores, mp.PerLayer(amount), block))


def wide(dtype: Any = np.float64) -> Graph:
    return mp.Sequential(
        mp.Dense(40, 30), mp.ReLU(), mp.Dense(30, 20, bias=False), mp.ReLU(), mp.Dense(20, 3), dtype=dtype
    )


@pytest.mark.parametrize("block", [None, (1, 1), (4, 1), (3, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sparse_program_computes_what_the_network_computes(dtype: Any, block: Any) -> None:
    net = pruned(wide(dtype), block=block)
    program = mp.sparsify(net, block)
    x = np.random.default_rng(0).standard_normal((7, 40))
    assert program(x).dtype == dtype
    np.testing.assert_allclose(program(x), net(x), rtol=1e-12 if dtype == np.float64 else 1e-5, atol=1e-6)
    assert set(program.matrices) <= {"dense1", "dense2", "dense3"}
    assert {"dense1", "dense2"} <= set(program.matrices)


@pytest.mark.parametrize("name", ["two inputs", "cnn", "added and read", "image and vector", "concat with itself"])
def test_every_wiring_computes_the_same(name: str) -> None:
    net = pruned(EXAMPLES[name]())
    program = mp.sparsify(net)
    np.testing.assert_allclose(program(inputs(net)), net(inputs(net)), rtol=1e-12, atol=1e-12)


def test_rationals_are_computed_exactly() -> None:
    net = mp.Sequential(mp.Dense(4, 6), mp.ReLU(), mp.Dense(6, 2), dtype=np.float64)
    net = pruned(net, 0.7).astype(object)
    x = np.arange(-4, 4).reshape(2, 4)
    assert (mp.sparsify(net)(x) == net(x)).all()
    assert np.abs(net(x)).max() > 0


def test_a_program_keeps_nothing_dense_of_what_it_converted() -> None:
    net = pruned(wide())
    program = mp.sparsify(net)
    dense = {f"{name}.W" for name in program.matrices}
    expected = sum(array.nbytes for name, array in net.arrays.items() if name not in dense)
    assert program.nbytes == expected + sum(m.nbytes for m in program.matrices.values())
    for name, matrix in program.matrices.items():
        W = program._net.params[f"{name}.W"]
        assert W.strides == (0, 0), name
        np.testing.assert_array_equal(matrix.to_dense(), net.params[f"{name}.W"])


def test_a_program_does_not_change_with_the_network() -> None:
    net = pruned(wide())
    program, x = mp.sparsify(net), np.ones((1, 40))
    before = program(x)
    for array in net.arrays.values():
        array[...] = 0
    assert (program(x) == before).all()


def test_layers_that_would_not_get_smaller_stay_dense() -> None:
    net = wide()
    kept = np.ones((30, 40), bool)
    kept[0, 0] = False
    with pytest.raises(StructureError, match="no dense layer would get smaller: mask"):
        mp.sparsify(mp.mask(net, mp.WeightPlan({"dense1.W": kept})))
    with pytest.raises(StructureError, match="no dense layer would get smaller"):
        mp.sparsify(net)
    kept[1:] = False
    net = mp.mask(net, mp.WeightPlan({"dense1.W": kept}))
    assert list(mp.sparsify(net).matrices) == ["dense1"]
    assert repr(mp.sparsify(net)).startswith("<SparseProgram: dense1 <SparseMatrix (30, 40), ")


def test_bad_blocks_and_inputs_are_refused() -> None:
    net = pruned(wide())
    with pytest.raises(PlanError, match="block is 16"):
        mp.sparsify(net, 16)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"dense1: expected \(N, 40\), got \(N, 3\)"):
        mp.sparsify(net)(np.ones((1, 3)))


def test_the_storage_table_tells_true_bytes(tmp_path: Path) -> None:
    net = pruned(EXAMPLES["cnn"](), 0.7)
    lines = [line.split() for line in mp.storage(net).splitlines()]
    assert lines[0] == ["parameter", "weights", "kept", "dense", "CSR", "blocks", "of", "in", "file"]
    rows = {line[0]: line[1:] for line in lines[1:]}
    for name, W in net.params.items():
        kept = net.masks.get(name, W != 0)
        assert [int(cell.replace(",", "")) for cell in rows[name][:3]] == [W.size, kept.sum(), W.nbytes]
        if W.ndim > 1:
            csr = SparseMatrix.from_dense(as_matrix(W), as_matrix(kept))
            block = tuple(int(size) for size in rows[name][5].split("×"))
            best = SparseMatrix.from_dense(as_matrix(W), as_matrix(kept), block)  # type: ignore[arg-type]
            assert [int(cell.replace(",", "")) for cell in rows[name][3:5]] == [csr.nbytes, best.nbytes]
    mp.save(net, tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as archive:
        stored = sum(archive[name].nbytes for name in archive.files if name not in ("minprune.json", *net.buffers))
    assert rows["total"][-1] == f"{stored:,}"


def test_bytes_of_rationals_are_not_counted() -> None:
    with pytest.raises(DtypeError, match="storage counts bytes of floats, this network holds object"):
        mp.storage(EXAMPLES["mlp"]().astype(object))


def test_pruning_makes_the_file_smaller() -> None:
    """What users of pruning tools complain of most: that nothing got smaller."""
    net = mp.Sequential(mp.Dense(784, 100), mp.ReLU(), mp.Dense(100, 10))
    dense = npz.npz_bytes(net)
    sizes = [npz.npz_bytes(pruned(net, amount)) / dense for amount in (0.1, 0.5, 0.9, 0.98)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] < 0.95
    assert sizes[2] < 0.15
    assert sizes[3] < 0.05
