"""Nodes that no layer does: kept as they are, executed, never pruned through, and written back; or refused."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minprune as mp
from minprune.cli import main
from minprune.errors import DataError, DtypeError, FileError, StructureError
from minprune.kept_nodes import told, whole_for, without_gradient
from minprune.neurons import hidden

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

from onnx_models import model, node, run, weights, written  # noqa: E402
from opaque_cases import KEPT, network, recurrent  # noqa: E402

from minprune.formats.onnx_files.opaque import trying  # noqa: E402
from minprune.formats.onnx_files.opaque.executing import packed, unpacked  # noqa: E402
from minprune.formats.state_files import Kept, read_state, write_state  # noqa: E402
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


# --- how samples lie --------------------------------------------------------------------------------------------------


def lstm() -> Any:
    """Time first, turned before and behind; all steps and the last one are read."""
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node("LSTM", ["t", "W", "R", "B"], ["Y", "H", "C"], name="lstm", hidden_size=3),
        node("Squeeze", ["Y", "one"], ["y1"]),
        node("Transpose", ["y1"], ["all"], perm=[1, 0, 2]),
        node("Squeeze", ["H", "zero"], ["last"]),
        node("Flatten", ["all"], ["flat"]),
        node("Concat", ["flat", "last"], ["joined"], axis=1),
        node("Gemm", ["joined", "K"], ["y"]),
    ]
    stored = {**recurrent(4), "one": np.array([1]), "zero": np.array([0]), "K": W(18, 2)}
    return model(nodes, {"x": ["N", 5, 4]}, ["y"], stored)


def test_two_values_of_one_node_are_two_layers_and_one_node_again(tmp_path: Path) -> None:
    path, x = written(lstm(), tmp_path / "net.onnx"), W(3, 5, 4)
    net = mp.load(path)
    assert [name for name, n in net.nodes.items() if isinstance(n.layer, Opaque)] == ["all", "last"]
    mp.save(net, tmp_path / "again.onnx")
    assert len(nodes_of(tmp_path / "again.onnx", {"LSTM"})) == 1
    for file in (path, tmp_path / "again.onnx"):
        np.testing.assert_allclose(net(x), run(file, x)[0], rtol=1e-4, atol=1e-5)


def test_what_works_for_one_sample_alone_is_executed_one_by_one(tmp_path: Path) -> None:
    nodes = [
        node("Squeeze", ["x", "zero"], ["rows"]),
        node("CumSum", ["rows", "first"], ["sums"]),
        node("Unsqueeze", ["sums", "zero"], ["s"]),
        node("Flatten", ["s"], ["f"]),
        node("Gemm", ["f", "K"], ["y"]),
    ]
    stored = {"zero": np.array([0]), "first": np.array(0), "K": W(20, 2)}
    path, x = written(model(nodes, {"x": [1, 5, 4]}, ["y"], stored), tmp_path / "net.onnx"), W(3, 5, 4)
    net = mp.load(path)
    assert {n.layer.how for n in net.nodes.values() if isinstance(n.layer, Opaque)} == {"each"}
    wanted = np.concatenate([run(path, x[n : n + 1])[0] for n in range(3)])
    np.testing.assert_allclose(net(x), wanted, rtol=1e-4, atol=1e-5)
    assert net(x[:0]).shape == (0, 2)
    mp.save(net, tmp_path / "again.onnx")
    np.testing.assert_allclose(run(tmp_path / "again.onnx", x[:1])[0], wanted[:1], rtol=1e-4, atol=1e-5)


def test_a_file_without_a_batch_axis_keeps_nodes_too(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "W1"], ["h"]),
        node("Tanh", ["h"], ["a"]),
        node("MatMul", ["a", "W2"], ["g"]),
        node("CumSum", ["g", "axis"], ["s"], name="kept"),
        node("MatMul", ["s", "W3"], ["y"]),
    ]
    stored = {"W1": W(4, 6), "W2": W(6, 5), "W3": W(5, 2), "axis": np.array(0)}
    path, x = written(model(nodes, {"x": [4]}, {"y": [2]}, stored), tmp_path / "net.onnx"), W(3, 4)
    net = mp.load(path)
    np.testing.assert_allclose(net(x), np.stack([run(path, row)[0] for row in x]), rtol=1e-4, atol=1e-5)
    small = mp.remove(net, mp.Plan({hidden(net)[0]: [0, 3]}), data=x)
    mp.save(small, tmp_path / "small.onnx")
    np.testing.assert_allclose(small(x)[1], run(tmp_path / "small.onnx", x[1])[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(mp.load(tmp_path / "small.onnx")(x), small(x), rtol=1e-5)


# --- what is refused --------------------------------------------------------------------------------------------------

EMPTY = onnx.helper.make_graph([], "empty", [], [])
BRANCHES = {"then_branch": EMPTY, "else_branch": EMPTY}


def chain(*nodes: Any) -> list[Any]:
    return [*nodes, node("Flatten", ["s"], ["y"])]


def one(op: str, *more: str, **attributes: Any) -> list[Any]:
    return chain(node(op, ["x", *more], ["s"], name="bad", **attributes))


# label -> (opset, nodes, shape of a sample, stored tensors, message)
REFUSED: dict[str, tuple[int, list[Any], tuple[int, ...], dict[str, Any], str]] = {
    "no such op": (17, one("NonZero"), (3,), {}, "NonZero 'bad': minprune has no rule.*not among the ops that can"),
    "random": (17, one("RandomNormalLike"), (3,), {}, "RandomNormalLike 'bad': .*not among the ops"),
    "foreign": (17, one("Sin", domain="ai.me"), (3,), {}, "Sin 'bad': an op of 'ai.me'"),
    "a choice of graphs": (
        17,
        chain(
            node("Greater", ["x", "c"], ["m"]), node("If", ["m"], ["s"], name="bad", **BRANCHES)
        ),
        (3,),
        {"c": W(3)},
        "If 'bad': minprune has no rule for this op.*not among the ops",
    ),
    "a graph in an attribute": (17, one("Sin", body=EMPTY), (3,), {}, "Sin 'bad': an attribute that holds a graph"),
    "samples gathered": (17, one("Gather", "i"), (3,), {"i": np.array([1, 0])}, "Gather 'bad': along the batch axis"),
    "samples picked by themselves": (
        17,
        chain(
            node("Cast", ["x"], ["c"], to=7),
            node("GatherElements", ["x", "c"], ["s"], name="bad", axis=-2),
        ),
        (3,),
        {},
        "GatherElements 'bad': it picks along the batch axis",
    ),
    "samples summed up": (17, one("CumSum", "a"), (3,), {"a": np.array(0)}, "CumSum 'bad': it mixes samples: one of"),
    "the largest sample": (17, one("ReduceMax", axes=[0]), (3,), {}, "ReduceMax 'bad': it mixes samples: no axis"),
    "the mean of the batch": (
        17,
        one("LayerNormalization", "c", axis=0),
        (3,),
        {"c": W(1)},
        "LayerNormalization 'bad': it mixes samples",
    ),
    "products of samples": (
        17,
        chain(node("Transpose", ["x"], ["t"], perm=[1, 0]), node("MatMul", ["t", "x"], ["s"], name="bad")),
        (3,),
        {},
        "MatMul 'bad': it mixes samples",
    ),
    "a recurrence over samples": (
        17,
        chain(node("LSTM", ["x", "W", "R"], ["", "s"], name="bad", hidden_size=3)),
        (5, 4),
        {"W": W(1, 12, 4), "R": W(1, 12, 3)},
        "LSTM 'bad': it mixes samples",
    ),
    "samples that look alike when it is tried out": (
        17,
        [
            node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
            node("Reshape", ["t", "rows"], ["r"]),
            node("Greater", ["r", "hundred"], ["m"], name="bad"),
            node("Cast", ["m"], ["c"], to=1),
            node("Reshape", ["c", "wrong"], ["y"]),  # would mix samples above 100
        ],
        (3, 2),
        {"rows": np.array([-1, 2]), "hundred": np.float32(100), "wrong": np.array([-1, 6])},
        "Greater 'bad': which of its numbers belong to which sample cannot be told",
    ),
    "indices as output": (
        17,
        [node("ArgMax", ["x"], ["y"], name="bad", axis=1)],
        (3,),
        {},
        "ArgMax 'bad': its output 'y' is int64, not floats",
    ),
    "samples last": (
        17,
        [node("Transpose", ["x"], ["t"], perm=[1, 0]), node("Sin", ["t"], ["y"], name="bad")],
        (3,),
        {},
        "Sin 'bad': its output 'y' does not have its samples along the first axis",
    ),
    "gates of its own": (
        17,
        chain(node("RNN", ["x", "W", "R"], ["", "s"], name="bad", hidden_size=3, layout=1, activations=["Relu"])),
        (5, 4),
        {"W": W(1, 3, 4), "R": W(1, 3, 3)},
        "RNN 'bad': activations .'relu'. cannot be executed",
    ),
    "a length for every sample": (
        17,
        chain(node("GRU", ["x", "W", "R", "", "n"], ["", "s"], name="bad", hidden_size=3, layout=1)),
        (5, 4),
        {"W": W(1, 9, 4), "R": W(1, 9, 3), "n": np.array([5], np.int32)},
        "GRU 'bad': with sequence_lens it cannot be executed",
    ),
    "a length of moduli": (17, one("LpNormalization", p=1), (3,), {}, "LpNormalization 'bad': p is 1, expected 2"),
    "transposed to a size": (
        17,
        one("ConvTranspose", "K", output_shape=[7]),
        (2, 3),
        {"K": W(2, 1, 3)},
        "ConvTranspose 'bad': with output_shape or auto_pad",
    ),
    "cubic": (17, one("Resize", "", "f", mode="cubic"), (1, 2, 2), {"f": W(4)}, "Resize 'bad': mode 'cubic'"),
    "three factors": (17, chain(node("Einsum", ["x"] * 3, ["s"], name="bad", equation="ij,ij,ij->ij")), (3,), {},
                      "Einsum 'bad': expected one or two inputs"),
    "an older meaning": (11, one("Hardmax"), (3,), {}, "Hardmax 'bad': in opset 11 it cannot be executed"),
    "never finite": (17, one("Div", "c"), (3,), {"c": np.zeros(3, np.float32)}, "Div 'bad': .*results are not finite"),
    "sizes that depend on numbers": (
        17,
        chain(node("Cast", ["x"], ["c"], to=7), node("Expand", ["x", "c"], ["s"], name="bad")),
        (3,),
        {},
        "Expand 'bad': ",
    ),
    "cannot be executed": (17, one("Pad", "p", mode="reflect"), (3,), {"p": np.array([0, 0, 0, -9])}, "Pad 'bad': "),
    "many nodes as one": (
        17,
        [
            node("Cast", ["x"], ["v0"], to=7),
            *(node("Neg", [f"v{n}"], [f"v{n + 1}"]) for n in range(70)),
            node("Cast", ["v70"], ["y"], to=1),
        ],
        (3,),
        {},
        "Neg 'v64': more than 64 nodes would have to be kept as one",
    ),
    # what would fill the memory, or take forever, is told before anything is computed
    "repeated": (17, one("Tile", "r"), (3,), {"r": np.array([1, 10**10])}, "Tile 'bad': 90,000,000,011 numbers"),
    "repeated beyond counting": (17, one("Tile", "r"), (3,), {"r": np.array([1, 2**62])}, "Tile 'bad': "),
    "expanded": (17, one("Expand", "r"), (1,), {"r": np.array([1, 10**11])}, "Expand 'bad': .* numbers for 3 samples"),
    "padded": (17, one("Pad", "p", mode="edge"), (3,), {"p": np.array([0, 0, 0, 10**10])}, "Pad 'bad': .*numbers"),
    "gathered": (
        17,
        one("Gather", "i", axis=2),
        (3000, 1),
        {"i": np.zeros((1, 30000), np.int64)},
        "Gather 'bad': .* numbers for 3 samples",
    ),
    "zeros": (
        17,
        chain(
            node("Shape", ["x"], ["n"]),
            node("Concat", ["n", "r"], ["z"], axis=0),
            node("ConstantOfShape", ["z"], ["s"], name="bad"),
        ),
        (3,),
        {"r": np.array([10**10])},
        "ConstantOfShape 'bad': .* numbers for 3 samples",
    ),
    "resized": (17, one("Resize", "", "f"), (1, 2), {"f": np.float32([1, 1, 1e9])}, "Resize 'bad': .*numbers"),
    "spread": (
        17,
        one("ConvTranspose", "K", strides=[10**9]),
        (1, 3),
        {"K": W(1, 1, 2)},
        "ConvTranspose 'bad': .*numbers for 3 samples",
    ),
    "a long walk": (
        17,
        chain(node("RNN", ["x", "W", "R"], ["", "s"], name="bad", hidden_size=3, layout=1)),
        (100_000, 4),
        {"W": W(1, 3, 4), "R": W(1, 3, 3)},
        "RNN 'bad': ",
    ),
    "a large product": (
        17,
        chain(node("Einsum", ["x", "x"], ["s"], name="bad", equation="nij,njk->nik")),
        (900, 900),
        {},
        "Einsum 'bad': trying it out would take 2,194,290,000 steps",
    ),
    "a very large input": (17, one("Sin"), (10**9,), {}, "Sin 'bad': 6,000,000,000 numbers for 3 samples"),
}  # fmt: skip


@pytest.mark.parametrize("label", REFUSED)
def test_what_cannot_be_kept_is_refused_by_node_and_op(label: str, tmp_path: Path) -> None:
    opset, nodes, shape, stored, match = REFUSED[label]
    path = written(model(nodes, {"x": ["N", *shape]}, ["y"], stored, opset), tmp_path / "net.onnx")
    with pytest.raises(FileError, match=rf"net.onnx: .*{match}") as caught:
        mp.load(path)
    assert "\n" not in str(caught.value)


def test_what_would_fill_the_memory_is_refused_before_it_is_computed(tmp_path: Path) -> None:
    """In a process that may take no more than 256 MiB above what it has with everything imported."""
    code = """
import resource, sys, os
from pathlib import Path
import onnx.reference, minprune as mp
from minprune.errors import FileError
mp.load(sys.argv[1])
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * os.sysconf("SC_PAGE_SIZE") + (256 << 20)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for path in sys.argv[2:]:
    try:
        mp.load(path)
    except FileError as error:
        print(error)
"""
    good, _ = network("sin", tmp_path)
    paths = [good]
    labels = ["repeated", "expanded", "padded", "gathered", "zeros", "resized", "spread", "a very large input"]
    for place, label in enumerate(labels):
        opset, nodes, shape, stored, _ = REFUSED[label]
        paths.append(written(model(nodes, {"x": ["N", *shape]}, ["y"], stored, opset), tmp_path / f"{place}.onnx"))
    words = [sys.executable, "-c", code, *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("numbers for 3 samples, expected at most") == len(labels)


def test_a_file_may_not_ask_for_more_trying_out_than_anyone_would_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = network("sin", tmp_path)
    monkeypatch.setattr(trying.Budget, "__init__", lambda self: setattr(self, "left", 29))
    with pytest.raises(FileError, match="Sin 'kept': trying it out would take 30 steps, and 29 are left of a file's"):
        mp.load(path)


# --- what a network with a kept node can do ---------------------------------------------------------------------------


@pytest.fixture
def wave(tmp_path: Path) -> tuple[mp.Graph, Any, Any]:
    """A network around a sine, samples and labels."""
    path, _ = network("sin", tmp_path)
    x = W(40, 4, seed=3)
    net = mp.load(path)
    return net, x, net(x).argmax(axis=1)


def test_what_it_reads_stays_whole_and_is_told(wave: Any) -> None:
    net, _, _ = wave
    assert whole_for(net) == {"s": ["flat"]}
    assert "flat" not in hidden(net)
    assert net.neurons["flat"].stays == "Sin 'kept' is kept as it is and reads them whole"
    assert net.summary().splitlines()[-1] == "Sin 'kept' is kept as it is (s): all of flat stays for it"
    assert told(mp.Sequential(mp.Dense(2, 2))) == []
    with pytest.raises(mp.errors.PlanError, match="flat: Sin 'kept' is kept as it is"):
        mp.remove(net, mp.Plan({"flat": [0]}))


def test_gradients_are_had_behind_it_and_refused_before_it(wave: Any) -> None:
    net, x, y = wave
    assert without_gradient(net) == ["h"]
    scores = mp.score(net, (x, y), "taylor", groups=["f1"], progress=False)
    assert scores["f1"].shape == (6,)
    message = "Sin 'kept' is kept as it is in the file and has no gradient"
    with pytest.raises(StructureError, match=message):
        mp.score(net, (x, y), "taylor", progress=False)
    with pytest.raises(StructureError, match=message):
        mp.fit(net.copy(), (x, y), epochs=1, progress=False)
    with pytest.raises(StructureError, match=message):
        mp.record(net, x, y)
    with pytest.raises(StructureError, match="has no moduli"):
        mp.score(net, criterion="synflow", groups=["f1"], progress=False)


@pytest.mark.parametrize("criterion", ["magnitude_l2", "activation_rms", "apoz", "leave_one_out"])
def test_scores_without_gradients_rank_all_groups(criterion: str, wave: Any) -> None:
    net, x, y = wave
    scores = mp.score(net, (x, y), criterion, progress=False)
    assert set(scores) == {"h", "f1"}
    small = mp.remove(net, mp.decide(scores, mp.Global(0.4)), "least_squares", (x, y))
    assert small.certificate.ok
    assert mp.verify(small).ok


def test_a_gradient_behind_it_is_that_of_the_network_without_it(wave: Any) -> None:
    net, x, y = wave
    behind = mp.Sequential(mp.Dense(5, 6), mp.ReLU(), mp.Dense(6, 3, bias=False), rng=0)
    for ours, theirs in (("dense1.W", "f1.W"), ("dense1.b", "f1.b"), ("dense2.W", "y.W")):
        behind.params[ours] = net.params[theirs]
    sines = net.run(net.take(x), net.arrays)["s"]
    wanted = mp.score(behind, (sines, y), "taylor", groups=["dense1"], progress=False)["dense1"]
    found = mp.score(net, (x, y), "taylor", groups=["f1"], progress=False)["f1"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_it_goes_through_native_files(suffix: str, wave: Any, tmp_path: Path) -> None:
    net, x, _ = wave
    mp.save(net, tmp_path / f"net{suffix}")
    back = mp.load(tmp_path / f"net{suffix}")
    np.testing.assert_array_equal(back(x), net(x))
    mp.save(back, tmp_path / "again.onnx")
    np.testing.assert_allclose(run(tmp_path / "again.onnx", x)[0], net(x), rtol=1e-4, atol=1e-5)


def test_a_state_to_resume_from_holds_it(wave: Any, tmp_path: Path) -> None:
    net, x, _ = wave
    write_state(tmp_path / "work.state", Kept({"round": 1}, nets={"small": net}))
    np.testing.assert_array_equal(read_state(tmp_path / "work.state").nets["small"](x), net(x))


def test_a_native_file_cannot_bring_in_what_an_onnx_file_could_not(wave: Any, tmp_path: Path) -> None:
    net, _, _ = wave

    def with_change(change: Any) -> mp.Graph:
        changed = unpacked(net.nodes["s"].layer.model)
        change(changed)
        nodes = dict(net.nodes)
        layer = Opaque("Sin", "kept", ((5,),), (5,), "together", packed(changed))
        nodes["s"] = mp.nn.Node(layer, net.nodes["s"].inputs)
        return mp.Graph.assemble(nodes, net.inputs, net.output, net.arrays, net.input_shapes)

    changes = {
        "not among the ops": lambda m: m.graph.node[-1].__setattr__("op_type", "RandomNormalLike"),
        "its nodes are not those of a layer": lambda m: m.graph.input.add(name="q", type=m.graph.input[0].type),
        "which is made by nothing": lambda m: m.graph.node[-1].input.__setitem__(0, "elsewhere"),
        "opset 6": lambda m: m.opset_import[0].__setattr__("version", 6),
        "its nodes make no floats": lambda m: m.graph.node[-1].CopyFrom(node("Unsqueeze", ["p", "a"], ["s"])),
    }
    for match, change in changes.items():
        file = tmp_path / "bad.npz"
        mp.save(with_change(lambda m, change=change: (_give_axis(m), change(m))), file)
        with pytest.raises(FileError, match=f"bad.npz: 's': .*{match}"):
            mp.load(file)


def _give_axis(made: Any) -> None:
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2]), "a"))


def test_other_kinds_of_numbers(wave: Any, tmp_path: Path) -> None:
    net, x, _ = wave
    double = net.astype(np.float64)
    np.testing.assert_allclose(double(x), net(x), rtol=1e-4, atol=1e-5)
    mp.save(double, tmp_path / "double.onnx")
    (found,) = run(tmp_path / "double.onnx", x.astype(np.float64))
    np.testing.assert_allclose(found, double(x), rtol=1e-12, atol=1e-12)
    with pytest.raises(
        DtypeError, match="Sin 'kept' is kept as it is in the file and computes with floats, got complex"
    ):
        net.astype(np.complex128)(x)


def test_inputs_that_it_cannot_compute_are_an_error(tmp_path: Path) -> None:
    nodes = [
        node("Cast", ["x"], ["i"], to=7),
        node("Gather", ["table", "i"], ["s"], name="kept"),
        node("Flatten", ["s"], ["y"]),
    ]
    net = mp.load(written(model(nodes, {"x": ["N", 2]}, ["y"], {"table": W(3, 2)}), tmp_path / "net.onnx"))
    assert net([[0, 2]]).shape == (1, 4)
    with pytest.raises(DataError, match="Gather 'kept' cannot compute these inputs: index 7 is out of bounds"):
        net([[0, 7]])


def test_programs_and_threads_compute_the_same(wave: Any) -> None:
    net, x, _ = wave
    program = mp.compile(net, batch_size=16)
    np.testing.assert_allclose(program(x), net(x), rtol=1e-4, atol=1e-5)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: net(x), range(40)):
            np.testing.assert_array_equal(found, net(x))


def test_a_mask_of_a_discontinuous_node_is_certified_in_stages(tmp_path: Path) -> None:
    path, _ = network("cut to whole numbers", tmp_path)
    net = mp.load(path)
    x = W(64, 4, seed=5)
    small = mp.remove(net, mp.Plan({"h": [1, 2, 6]}), data=x)
    assert small.certificate.ok
    assert small.certificate.bound < 1e-10
    broken = small.copy()
    broken.params["h.W"] *= 1.001  # too little to change what is cut to whole numbers, for most samples
    assert not mp.pruning.surgery.certify(mp.mask(net, mp.Plan({"h": [1, 2, 6]})), broken, x).ok


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prunes_and_says_what_is_kept(
    wave: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, x, y = wave
    np.savez(tmp_path / "data.npz", x=x, y=y)
    words = [
        "prune",
        str(tmp_path / "net.onnx"),
        str(tmp_path / "data.npz"),
        "--remove",
        "0.5",
        "--strategy",
        "per-layer",
    ]
    words += ["--rounds", "2", "-o", str(tmp_path / "small.onnx")]
    lines = [
        "Sin 'kept' is kept as it is (s): all of flat stays for it",
        "no gradient passes what is kept: scored by activation_rms",
    ]
    for more in (["--dry-run"], ["--report", str(tmp_path / "report.html")]):
        assert main([*words, *more]) == 0
        out = capsys.readouterr().out
        assert all(line in out for line in lines)
    (found,) = run(tmp_path / "small.onnx", x)
    np.testing.assert_allclose(mp.load(tmp_path / "small.onnx")(x), found, rtol=1e-4, atol=1e-5)
    assert mp.load(tmp_path / "small.onnx").params["h.W"].shape == (4, 4)
    assert main([*words, "--criterion", "taylor"]) == 1
    assert "Sin 'kept' is kept as it is in the file and has no gradient" in capsys.readouterr().err
