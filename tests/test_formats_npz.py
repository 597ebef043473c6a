"""Files: what is saved comes back bit for bit, and nothing that is read can do harm."""

from __future__ import annotations

import dataclasses
import io
import json
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minprune as mp
from minprune import files
from minprune.errors import DataError, DtypeError, FileError, StructureError
from minprune.formats import FORMATS, description, npz
from minprune.layers import (
    ELU,
    GELU,
    LAYERS,
    AvgPool1d,
    AvgPool3d,
    Clip,
    Erf,
    Gate,
    HardSigmoid,
    Layer,
    LogSoftmax,
    MatMul,
    MaxPool1d,
    MaxPool3d,
    Multiply,
    Pad,
    Power,
    PReLU,
    Rearrange,
    Scale,
    Select,
    Shift,
    Softplus,
)
from minprune.nn import Graph
from minprune.recording import with_gates


def two_inputs() -> Graph:
    return mp.Graph(
        {"h": (mp.Dense(3, 4), "left"), "r": (mp.Dense(2, 4, bias=False), "right"), "y": (mp.Add(), "h", "r")},
        inputs=("left", "right"),
    )


NETS: dict[str, Any] = {
    "chain": lambda dtype: mp.Sequential(mp.Dense(6, 5), mp.Tanh(), mp.Dropout(0.3), mp.Dense(5, 2), dtype=dtype),
    "activations": lambda dtype: mp.Sequential(
        mp.Dense(3, 4), mp.ReLU(), mp.LeakyReLU(0.2), mp.Sigmoid(), mp.Identity(), mp.Softmax(), dtype=dtype
    ),
    "image": lambda dtype: mp.Sequential(
        mp.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=1, dilation=(1, 2), groups=2),
        mp.BatchNorm(4, epsilon=1e-3, momentum=0.2),
        mp.ReLU(),
        mp.MaxPool2d(2, stride=1, padding=1),
        mp.AvgPool2d((2, 1)),
        mp.Flatten(),
        mp.Dense(72, 3),
        dtype=dtype,
        input_shape=(2, 8, 8),
    ),
    "sequence": lambda dtype: mp.Sequential(
        mp.Conv1d(2, 3, 3, padding=1), mp.BatchNorm(3), mp.Flatten(), mp.Dense(18, 2), dtype=dtype, input_shape=(2, 6)
    ),
    "global": lambda dtype: mp.Sequential(mp.Conv2d(1, 3, 3), mp.GlobalAvgPool2d(), mp.Dense(3, 2), dtype=dtype),
    "branches": lambda dtype: mp.Sequential(
        mp.Dense(3, 4),
        mp.Residual(mp.Sequential(mp.Dense(4, 4), mp.ReLU())),
        mp.Concat(mp.Dense(4, 2), mp.Tanh()),
        dtype=dtype,
    ),
    "two inputs": lambda dtype: two_inputs().astype(dtype),
    "gates": lambda dtype: with_gates(mp.Sequential(mp.Dense(3, 5), mp.ReLU(), mp.Dense(5, 2), dtype=dtype))[0],
    "select": lambda dtype: chosen(mp.Sequential(Select(5, 3), mp.Dense(3, 2), dtype=dtype)),
    "curves": lambda dtype: mp.Sequential(
        *(mp.Dense(3, 4), PReLU(4), Clip(-1.0), HardSigmoid(), ELU(), GELU(), Erf(), Softplus(), LogSoftmax()),
        dtype=dtype,
    ),
    "arranged": lambda dtype: mp.Sequential(
        *(Pad((0,), (1,), 0.5), MaxPool1d(2), AvgPool1d(2), Shift((2, 1)), Scale((1, 2)), Rearrange((1, 0), (-1,))),
        dtype=dtype,
        input_shape=(2, 7),
    ),
    "product": lambda dtype: mp.Graph({"h": (mp.Dense(3, 3), "x"), "y": (Multiply(), "h", "x")}, dtype=dtype),
    "volumes": lambda dtype: mp.Sequential(
        MaxPool3d(1, 2), AvgPool3d((1, 2, 1), dilation=(1, 2, 1)), dtype=dtype, input_shape=(1, 3, 5, 3)
    ),
    "matrices": lambda dtype: mp.Graph(
        {"p": (Power((1, 2)), "x"), "y": (MatMul(), "x", "p")}, dtype=dtype, input_shape={"x": (2, 2)}
    ),
    "no arrays": lambda dtype: mp.Sequential(mp.Flatten(), mp.ReLU(), dtype=dtype, input_shape=(2, 3)),
    "open shape": lambda dtype: mp.Sequential(mp.Identity(), dtype=dtype),
    "odd names": lambda dtype: mp.Graph(
        {"../a b": (mp.Dense(2, 2), "x\n"), "é/Ω%2F\udc80\0": (mp.Dense(2, 2), "../a b")}, inputs=("x\n",), dtype=dtype
    ),
}


def chosen(net: Graph) -> Graph:
    net.buffers["select1.index"] = [4, 0, 2]
    return net


def batches(net: Graph, count: int = 3) -> list[Any]:
    rng = np.random.default_rng(0)
    shapes = net.input_shapes or dict.fromkeys(net.inputs, (2,))
    return [rng.standard_normal((count, *shapes[name])) for name in net.inputs]


def shuffled(net: Graph) -> Graph:
    """The same network with every float array drawn anew, running statistics and gates too."""
    rng = np.random.default_rng(1)
    for array in net.arrays.values():
        if array.dtype.kind == "f":
            array[...] = rng.uniform(0.5, 1.5, array.shape)
    return net


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", NETS)
def test_a_saved_network_computes_the_same_bits(case: str, dtype: Any, tmp_path: Path) -> None:
    net = shuffled(NETS[case](dtype))
    mp.save(net, tmp_path / "net.npz")
    back = mp.load(tmp_path / "net.npz")
    assert (back.nodes, back.inputs, back.output, back.input_shapes) == (
        (net.nodes, net.inputs, net.output, net.input_shapes)
    )
    assert list(back.params) == list(net.params)
    assert list(back.buffers) == list(net.buffers)
    for name, array in net.arrays.items():
        assert back.arrays[name].dtype == array.dtype, name
        assert back.arrays[name].flags.writeable, name
        np.testing.assert_array_equal(back.arrays[name], array, err_msg=name)
    if net.params:  # a network without any has no dtype of its own to keep
        assert back(*batches(net)).tobytes() == net(*batches(net)).tobytes()


def test_the_cases_cover_every_kind_of_layer() -> None:
    covered = {type(node.layer).__name__ for make in NETS.values() for node in make(np.float32).nodes.values()}
    assert covered == set(LAYERS)


def test_the_same_network_gives_the_same_bytes_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = NETS["image"](np.float32)
    mp.save(net, tmp_path / "a.npz", {"classes": ["a"]})
    monkeypatch.setattr("time.time", lambda: 2e9)
    mp.save(net.copy(), tmp_path / "b.npz", {"classes": ["a"]})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.create_system for info in archive.infolist()} == {3}


@pytest.mark.parametrize("case", NETS)
def test_the_size_told_is_the_size_of_the_file(case: str, tmp_path: Path) -> None:
    net = NETS[case](np.float32)
    mp.save(net, tmp_path / "net.npz")
    assert npz.npz_bytes(net) == (tmp_path / "net.npz").stat().st_size


def test_numpy_alone_can_read_the_arrays(tmp_path: Path) -> None:
    net = NETS["chain"](np.float32)
    mp.save(net, tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["dense1.W"], net.params["dense1.W"])
        assert json.loads(archive["minprune.json"])["nodes"][0]["layer"] == "Dense"


def test_numbers_that_are_not_finite_are_kept(tmp_path: Path) -> None:
    net = mp.Sequential(mp.Dense(3, 1))
    net.params["dense1.W"] = [[np.nan, np.inf, -0.0]]
    mp.save(net, tmp_path / "net.npz")
    assert mp.load(tmp_path / "net.npz").params["dense1.W"].tobytes() == net.params["dense1.W"].tobytes()


def test_big_endian_and_transposed_arrays_come_back_as_ordinary_ones(tmp_path: Path) -> None:
    net = mp.Sequential(mp.Dense(3, 2))
    W = np.asfortranarray(net.params["dense1.W"]).astype(">f4")
    mp.save(net.with_arrays({"dense1.W": W, "dense1.b": net.params["dense1.b"]}), tmp_path / "net.npz")
    back = mp.load(tmp_path / "net.npz").params["dense1.W"]
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, W)


def test_half_precision_is_stored(tmp_path: Path) -> None:
    mp.save(mp.Sequential(mp.Dense(3, 2)).astype(np.float16), tmp_path / "net.npz")
    assert mp.load(tmp_path / "net.npz").dtype == np.float16


def test_sizes_given_as_numpy_integers_are_stored_as_numbers(tmp_path: Path) -> None:
    net = mp.Sequential(mp.Dense(np.int64(3), np.int64(2)))
    mp.save(net, tmp_path / "net.npz")
    assert mp.load(tmp_path / "net.npz").nodes == net.nodes


# metadata -------------------------------------------------------------------------------------------------------------


def test_metadata_come_back(tmp_path: Path) -> None:
    metadata = {"classes": ["cat", "Hund \ud800"], "seen": {"n": 3, "loss": 0.25}, "array": np.arange(2)}
    mp.save(mp.Sequential(mp.Dense(3, 2)), tmp_path / "net.npz", metadata)
    assert npz.read(tmp_path / "net.npz")[1] == metadata | {"array": [0, 1]}


def pruned() -> Graph:
    """With a history of every kind of record."""
    net = mp.Sequential(mp.Dense(4, 5), mp.ReLU(), mp.Dense(5, 3), mp.ReLU(), mp.Dense(3, 2), rng=1)
    x = np.random.default_rng(0).normal(size=(20, 4))
    small = mp.remove(mp.mask(net, mp.Plan({"dense1": [3]})), mp.Plan({"dense2": [1]}), repair="mean", data=x)
    mp.fit(small, (x, x[:, :2]), epochs=1, progress=False)
    return mp.remove(small, mp.Plan({"dense1": [3]}), repair=mp.LeastSquares(ridge=0.1), data=x)


def test_the_history_of_a_pruned_network_is_kept_and_counts_as_bytes(tmp_path: Path) -> None:
    net = pruned()
    mp.save(net, tmp_path / "net.npz", {"classes": ["a", "b"]})
    again = mp.load(tmp_path / "net.npz")
    assert [record.action for record in again.history] == ["mask", "remove", "repair", "train", "remove", "repair"]
    assert again.history == net.history
    assert again.certificate == net.certificate
    assert npz.read(tmp_path / "net.npz")[1] == {"classes": ["a", "b"]}
    assert (tmp_path / "net.npz").stat().st_size > npz.npz_bytes(net.with_arrays(net.arrays)) + 1000


def test_a_network_without_a_history_is_described_as_before(tmp_path: Path) -> None:
    assert set(json.loads(description.describe(mp.Sequential(mp.Dense(3, 2))))) == set(description.KEYS)


def test_a_file_from_before_there_were_histories_keeps_its_certificate(tmp_path: Path) -> None:
    stored = {"max_difference": 0.0, "bound": float("inf"), "ok": True, "inputs": "64 seeded normal inputs"}
    mp.save(mp.Sequential(mp.Dense(3, 2)), tmp_path / "net.npz", {"certificate": stored})
    certificate = mp.load(tmp_path / "net.npz").certificate
    assert certificate is not None
    assert dataclasses.asdict(certificate) == stored | {"claim": "masked ≡ removed"}
    for damaged in ({"ok": True}, [1], stored | {"bound": "wide"}):
        mp.save(mp.Sequential(mp.Dense(3, 2)), tmp_path / "net.npz", {"certificate": damaged})
        with pytest.raises(FileError, match="its certificate is damaged"):
            mp.load(tmp_path / "net.npz")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda h: {}, "history: expected a list of records, got dict"),
        (lambda h: ["removed"], "history, record 1: expected action, before, after"),
        (lambda h: [*h[:1], {**h[1], "why": ""}], "history, record 2: expected action, before, after"),
        (lambda h: [{**h[0], "before": 7}], "history, record 1: before is '7', which cannot be"),
        (lambda h: [{**h[0], "drop": {"dense1": [-1]}}], "record 1: drop is .*, which cannot be"),
        (lambda h: [{**h[0], "drop": {"dense1": []}}], "record 1: drop is .*, which cannot be"),
        (lambda h: [{**h[0], "drop": {"dense1": [True]}}], "record 1: drop is .*, which cannot be"),
        (lambda h: [{**h[0], "how": None}], "record 1: how is 'None', which cannot be"),
        (lambda h: [{**h[0], "certificate": 1}], "record 1: certificate is '1', which cannot be"),
        (lambda h: [{**h[0], "certificate": {}}], "record 1, certificate: expected max_difference, bound, ok"),
        (lambda h: [_proof(h[0], max_difference=-1.0)], "certificate: max_difference is '-1.0', which cannot be"),
        (lambda h: [_proof(h[0], bound=float("nan"))], "certificate: bound is 'nan', which cannot be"),
        (lambda h: [_proof(h[0], bound=10**400)], "certificate: bound is '10{79}', which cannot be"),
        (lambda h: [_proof(h[0], ok=1)], "certificate: ok is '1', which cannot be"),
        (lambda h: [_proof(h[2], rms=[1.0])], r"certificate: rms is '\[1.0\]', which cannot be"),
        (lambda h: [_proof(h[2], samples=1.5)], "certificate: samples is '1.5', which cannot be"),
        (lambda h: [_proof(h[2], changed="dense1.W")], "certificate: changed is 'dense1.W', which cannot be"),
    ],
)
def test_a_history_that_cannot_be_is_refused(change: Any, match: str, tmp_path: Path) -> None:
    net = pruned()
    members = parts(net)
    header = json.loads(members["minprune.json"])
    header["history"] = change(header["history"])
    refused(packed(members | {"minprune.json": json.dumps(header).encode()}, tmp_path / "net.npz"), match)


def _proof(record: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {**record, "certificate": {**record["certificate"], **values}}


@pytest.mark.parametrize("value", [{1, 2}, 1j, b"bytes", Graph])
def test_metadata_that_json_cannot_hold_are_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="metadata: expected what JSON can hold"):
        mp.save(mp.Sequential(mp.Dense(3, 2)), tmp_path / "net.npz", {"value": value})
    assert list(tmp_path.iterdir()) == []


def test_metadata_that_contain_themselves_are_refused(tmp_path: Path) -> None:
    metadata: dict[str, Any] = {}
    metadata["me"] = metadata
    with pytest.raises(DataError, match="Circular"):
        mp.save(mp.Sequential(mp.Dense(3, 2)), tmp_path / "net.npz", metadata)


# what cannot be saved -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["net.pkl", "net.pt", "net", "net.npz.gz"])
def test_other_suffixes_are_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"no format for the suffix .*; expected \.npz"):
        mp.save(mp.Sequential(mp.Dense(3, 2)), tmp_path / name)
    with pytest.raises(FileError, match=r"no format for the suffix .*; expected \.npz"):
        mp.load(tmp_path / name)


def test_the_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    mp.save(mp.Sequential(mp.Dense(3, 2)), tmp_path / "NET.NPZ")
    assert mp.load(str(tmp_path / "NET.NPZ")).params
    assert list(FORMATS) == [".npz", ".safetensors", ".onnx"]


@pytest.mark.parametrize(("dtype", "kind"), [(np.complex128, "complex128"), (object, "object")])
def test_complex_numbers_and_rationals_are_refused(dtype: Any, kind: str, tmp_path: Path) -> None:
    with pytest.raises(DtypeError, match=f"in one of float16, float32, float64, this one has {kind}"):
        mp.save(mp.Sequential(mp.Dense(3, 2)).astype(dtype), tmp_path / "net.npz")


def test_floats_of_two_kinds_are_refused(tmp_path: Path) -> None:
    net = mp.Sequential(mp.Dense(3, 2))
    mixed = net.with_arrays({"dense1.W": net.params["dense1.W"], "dense1.b": np.zeros(2)})
    with pytest.raises(DtypeError, match="this one has float32, float64"):
        mp.save(mixed, tmp_path / "net.npz")


def test_a_layer_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Dense(Layer):  # the same name is not enough
        kind = "mine"

    with pytest.raises(StructureError, match="mine1: files know only minprune's own layers, not Dense"):
        mp.save(mp.Sequential(Dense()), tmp_path / "net.npz")


@pytest.mark.parametrize("name", [7, "a" * 1001])
def test_a_name_that_no_file_can_hold_is_refused(name: Any, tmp_path: Path) -> None:
    with pytest.raises(StructureError, match="a saved name must be a text of 1 to 1000 characters"):
        mp.save(mp.Graph({name: (mp.Dense(3, 2), "x")}), tmp_path / "net.npz")


def test_a_network_too_large_for_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "MOST_NODES", 1)
    with pytest.raises(StructureError, match=r"up to 1 nodes and a description of .* got 2 nodes and"):
        mp.save(mp.Sequential(mp.Dense(3, 2), mp.ReLU()), tmp_path / "net.npz")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere.net\.npz: cannot be written: No such file or directory"):
        mp.save(mp.Sequential(mp.Dense(3, 2)), tmp_path / "nowhere" / "net.npz")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError("disk full")])
def test_an_interrupted_save_leaves_the_old_file(
    interruption: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.npz"
    mp.save(mp.Sequential(mp.Dense(3, 2)), path)
    before = path.read_bytes()
    written: list[str] = []
    writestr = zipfile.ZipFile.writestr

    def interrupted(self: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> None:
        writestr(self, info, data)
        written.append(info.filename)
        if len(written) == 2:
            raise interruption

    monkeypatch.setattr(zipfile.ZipFile, "writestr", interrupted)
    with pytest.raises((KeyboardInterrupt, FileError)):
        mp.save(mp.Sequential(mp.Dense(30, 20)), path)
    assert written == ["minprune.json", "dense1.W.npy"]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_save_goes_through_the_atomic_writer() -> None:
    assert npz.atomic_write is files.atomic_write


# what cannot be loaded ------------------------------------------------------------------------------------------------


def parts(net: Graph) -> dict[str, bytes]:
    """The members of a network's file."""
    buffer = io.BytesIO()
    npz._pack(buffer, description.describe(net), net.arrays)
    with zipfile.ZipFile(buffer) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: dict[str, bytes], path: Path, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy_of(array: Any, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **settings)
    return buffer.getvalue()


@pytest.fixture
def net() -> Graph:
    return mp.Sequential(mp.Dense(3, 2), mp.BatchNorm(2), mp.Dense(2, 2))


def refused(path: Path, match: str) -> None:
    """Loading tells what is wrong in one line that begins with the file's name."""
    with pytest.raises(FileError, match=match) as caught:
        mp.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 400


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + bytes(50), b"\x93NUMPY" + bytes(200)])
def test_a_file_that_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.npz").write_bytes(content)
    refused(tmp_path / "net.npz", r"not a readable \.npz archive: File is not a zip file")


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.npz", "cannot be read: No such file or directory")
    (tmp_path / "folder.npz").mkdir()
    refused(tmp_path / "folder.npz", "cannot be read: it is not a file")


def test_every_truncation_is_refused(net: Graph, tmp_path: Path) -> None:
    mp.save(net, tmp_path / "net.npz")
    whole = (tmp_path / "net.npz").read_bytes()
    for size in range(0, len(whole), 7):
        (tmp_path / "net.npz").write_bytes(whole[:size])
        refused(tmp_path / "net.npz", "npz archive|cannot be read")


def test_a_changed_weight_is_found_by_its_checksum(net: Graph, tmp_path: Path) -> None:
    mp.save(net, tmp_path / "net.npz")
    whole = bytearray((tmp_path / "net.npz").read_bytes())
    place = whole.find(net.params["dense1.W"].tobytes())
    whole[place] ^= 1
    (tmp_path / "net.npz").write_bytes(whole)
    refused(tmp_path / "net.npz", "Bad CRC-32 for file 'dense1.W.npy'")


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", x=np.eye(2))
    refused(tmp_path / "net.npz", r"there is no minprune\.json in it; minprune\.save writes one")


def test_compressed_entries_are_refused_before_they_are_read(net: Graph, tmp_path: Path) -> None:
    path = packed({"minprune.json": b" " * 10_000_000}, tmp_path / "bomb.npz", zipfile.ZIP_DEFLATED)
    refused(path, r"'minprune\.json' is compressed; minprune\.save stores arrays as they are")


def test_a_description_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MOST_BYTES", 10)
    path = packed({"minprune.json": b" " * 11}, tmp_path / "net.npz")
    refused(path, r"'minprune\.json' takes 11 bytes, expected at most 10")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"{", "the description is not JSON"),
        (b"\xff\xfe", "the description is not JSON"),
        (b"[" * 100_000, "the description is not JSON"),
        (b"9" * 5_000, "the description is not JSON"),
        (b"[]", "does not describe a minprune network"),
        (b'{"format": "other"}', "does not describe a minprune network"),
        (b'{"format": "minprune", "version": 3}', "is of version 3, expected 1 or 2; a newer minprune may read it"),
        (b'{"format": "minprune", "version": true}', "is of version True, expected 1 or 2"),
        (b'{"format": "minprune", "version": [1]}', r"is of version \[1\], expected 1 or 2"),
        (b'{"format": "minprune", "version": 1}', r"the description has .*, expected \["),
        (b'{"format": "minprune", "version": 2}', r"the description has .*, expected \[.*'masks'"),
    ],
)
def test_a_text_that_is_no_description_is_refused(text: bytes, match: str, tmp_path: Path) -> None:
    refused(packed({"minprune.json": text}, tmp_path / "net.npz"), match)


HUGE = 10**30


@pytest.mark.parametrize(
    ("where", "value", "match"),
    [
        (("dtype",), "float31", "dtype is 'float31', expected one of float16"),
        (("dtype",), ["float32"], "dtype is"),
        (("dtype",), "object", "dtype is 'object'"),
        (("inputs",), [], "inputs is"),
        (("inputs",), ["input", "input"], "expected different names"),
        (("inputs",), "input", "expected different names"),
        (("inputs",), [["input"]], "expected different names"),
        (("output",), "nothing", "output is 'nothing', expected one of the nodes"),
        (("output",), ["dense2"], "expected a name"),
        (("output",), "dense1", "dense2: nothing reads it"),
        (("metadata",), [], r"metadata is \[\], expected a dict"),
        (("input_shapes",), {}, "expected all inputs"),
        (("input_shapes",), {"input": []}, "expected sizes of at least 1"),
        (("input_shapes",), {"input": [True]}, "expected sizes of at least 1"),
        (("input_shapes",), {"input": [0]}, "expected sizes of at least 1"),
        (("input_shapes",), {"input": [4]}, r"dense1: expected \(N, 3\), got \(N, 4\)"),
        (("nodes",), [], "expected a list of at least one node"),
        (("nodes",), {}, "expected a list of at least one node"),
        (("nodes",), [{}] * 10_001, "10,001 nodes, expected at most 10,000"),
        (("nodes", 0), {"name": "dense1"}, "node 0: expected fields, inputs, layer, name"),
        (("nodes", 1, "name"), "dense1", "'dense1': two values bear this name"),
        (("nodes", 1, "name"), "input", "'input': two values bear this name"),
        (("nodes", 1, "name"), "", "node 1: its name is ''"),
        (("nodes", 1, "name"), 3, "node 1: its name is 3"),
        (("nodes", 1, "inputs"), "dense1", "its inputs are 'dense1', expected names"),
        (("nodes", 1, "inputs"), ["dense2"], "reads 'dense2', which is no input and no node before it"),
        (("nodes", 1, "inputs"), ["dense1", "input"], r"BatchNorm reads 1 value\(s\), got 2"),
        (("nodes", 1, "inputs"), [], r"BatchNorm reads 1 value\(s\), got 0"),
        (("nodes", 0, "layer"), "Layer", "'dense1': unknown layer 'Layer'"),
        (("nodes", 0, "layer"), ["Dense"], "unknown layer"),
        (("nodes", 0, "layer"), "__import__", "unknown layer '__import__'"),
        (("nodes", 0, "fields"), [], "the fields of Dense are inputs, outputs, bias, got"),
        (("nodes", 0, "fields"), {"inputs": 3}, "the fields of Dense are inputs, outputs, bias, got"),
        (("nodes", 0, "fields", "inputs"), 0, "'dense1': Dense: inputs is 0, expected a whole number"),
        (("nodes", 0, "fields", "inputs"), "3", "inputs of Dense is '3'"),
        (("nodes", 0, "fields", "inputs"), True, "inputs of Dense is True"),
        (("nodes", 0, "fields", "inputs"), 3.0, r"inputs of Dense is 3\.0"),
        (("nodes", 0, "fields", "bias"), 1, "bias of Dense is 1"),
        (("nodes", 0, "fields", "outputs"), HUGE, r"dense1\.?.*|the layers need"),
        (("nodes", 0, "fields", "bias"), False, r"'dense1\.b\.npy' belongs to no layer"),
        (("nodes", 1, "fields", "epsilon"), float("nan"), "epsilon of BatchNorm is nan"),
        (("nodes", 1, "fields", "momentum"), [0.1], r"momentum of BatchNorm is \[0\.1\]"),
    ],
)
def test_a_description_that_is_not_possible_is_refused(
    where: tuple[Any, ...], value: Any, match: str, net: Graph, tmp_path: Path
) -> None:
    members = parts(net)
    header = json.loads(members["minprune.json"])
    place = header
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    members["minprune.json"] = json.dumps(header).encode()
    refused(packed(members, tmp_path / "net.npz"), match)


def test_sizes_that_the_file_cannot_hold_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    members = parts(mp.Sequential(mp.Dense(3, 2)))
    text = members["minprune.json"].replace(b'"outputs": 2', b'"outputs": %d' % HUGE)
    path = packed(members | {"minprune.json": text}, tmp_path / "net.npz")
    tracemalloc.start()
    refused(path, "the layers need 1[0-9,]+ bytes of arrays, the file has")
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_windows_that_are_not_possible_are_refused(tmp_path: Path) -> None:
    members = parts(mp.Sequential(mp.Conv2d(1, 2, 3), mp.MaxPool2d(2), input_shape=(1, 6, 6)))
    for old, new, match in [
        (b'"kernel": [2, 2]', b'"kernel": [0, 2]', "MaxPool2d: kernel is"),
        (b'"kernel": [2, 2]', b'"kernel": 2', "kernel of MaxPool2d is 2"),
        (b'"kernel": [2, 2]', b'"kernel": [2.5, 2]', "kernel of MaxPool2d is"),
        (b'"stride": [2, 2]', b'"stride": null', "stride of MaxPool2d is None"),
        (b'"padding": [0, 0]', b'"padding": [9, 9]', "padding is|no array|belongs|expected"),
    ]:
        changed = members | {"minprune.json": members["minprune.json"].replace(old, new)}
        assert changed != members
        refused(packed(changed, tmp_path / "net.npz"), match)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, r"the array 'dense1\.W' is missing"),
        (npy_of(np.zeros((3, 2), np.float32)), r"expected float32 \(2, 3\), got .*'shape': \(3, 2\)"),
        (npy_of(np.zeros((2, 3))), r"expected float32 \(2, 3\), got .*'<f8'"),
        (npy_of(np.zeros((2, 3), ">f4")), r"expected float32 \(2, 3\), got .*'>f4'"),
        (npy_of(np.zeros((2, 3), np.float32, order="F")), "got .*'fortran_order': True"),
        (npy_of(np.zeros((2, 3), np.float32), version=(2, 0)), r"expected float32 \(2, 3\), got"),
        (npy_of(np.zeros((2, 3), object), allow_pickle=True), r"got .*'\|O'"),
        (npy_of(np.zeros((2, 3), np.float32)) + b"more", "expected 24 bytes of numbers, got 28"),
        (npy_of(np.zeros((2, 3), np.float32))[:-1], "expected 24 bytes of numbers, got 23"),
        (b"", r"expected float32 \(2, 3\), got no \.npy array"),
        (bytes(2_000), r"'dense1\.W\.npy' takes 2,000 bytes, expected at most 1,048"),
    ],
)
def test_an_array_that_is_not_the_layers_is_refused(
    content: bytes | None, match: str, net: Graph, tmp_path: Path
) -> None:
    members = {k: v for k, v in parts(net).items() if k != "dense1.W.npy" or content is not None}
    if content is not None:
        members["dense1.W.npy"] = content
    refused(packed(members, tmp_path / "net.npz"), match)


@pytest.mark.parametrize("name", ["extra.npy", "../../etc/passwd", "dense1.W", "\n"])
def test_entries_that_belong_to_no_layer_are_refused(name: str, net: Graph, tmp_path: Path) -> None:
    refused(packed(parts(net) | {name: b"?"}, tmp_path / "net.npz"), "belongs to no layer")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(net: Graph, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed(parts(net), tmp_path / "net.npz"), "a") as archive:
        archive.writestr("dense1.W.npy", b"another")
    refused(tmp_path / "net.npz", "two entries bear the same name")


def test_entries_that_claim_more_than_the_file_holds_are_refused(net: Graph, tmp_path: Path) -> None:
    whole = packed(parts(net), tmp_path / "net.npz").read_bytes()
    size = len(parts(net)["dense1.W.npy"]).to_bytes(4, "little")
    (tmp_path / "net.npz").write_bytes(whole.replace(size, (1 << 30).to_bytes(4, "little")))
    refused(tmp_path / "net.npz", "the entries claim [0-9,]+ bytes, the file has")


def test_an_index_outside_the_input_is_refused(tmp_path: Path) -> None:
    for index in ([5, 0, 1], [-1, 0, 1]):
        net = mp.Sequential(Select(5, 3), mp.Dense(3, 2))
        net.buffers["select1.index"] = index
        mp.save(net, tmp_path / "net.npz")
        refused(tmp_path / "net.npz", r"select1\.index points outside the input")


# any bytes at all -----------------------------------------------------------------------------------------------------

MODEL = mp.Sequential(mp.Conv2d(1, 2, 3), mp.BatchNorm(2), mp.Flatten(), Gate(8), mp.Dense(8, 2), input_shape=(1, 4, 4))
MODEL.history = pruned().history[:3]  # one of each kind


def whole_file() -> bytes:
    buffer = io.BytesIO()
    npz._pack(buffer, description.describe(MODEL), MODEL.arrays)
    return buffer.getvalue()


WHOLE = whole_file()


def loads_or_is_refused(content: bytes, folder: Path) -> None:
    """Either a network comes out, or a FileError; memory stays in proportion to the file."""
    path = folder / "fuzz.npz"
    path.write_bytes(content)
    tracemalloc.start()
    with suppress(FileError):
        mp.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@settings(deadline=None)  # the first load in a process takes longer
@given(changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_file_with_changed_bytes_loads_or_is_refused(changes: list[tuple[int, int]], folder: Path) -> None:
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place] = value
    loads_or_is_refused(bytes(content), folder)


@settings(deadline=None)
@given(start=st.integers(0, len(WHOLE)), stop=st.integers(0, len(WHOLE)), filling=st.binary(max_size=64))
def test_a_file_with_replaced_pieces_loads_or_is_refused(start: int, stop: int, filling: bytes, folder: Path) -> None:
    loads_or_is_refused(WHOLE[:start] + filling + WHOLE[stop:], folder)


@settings(deadline=None)
@given(data=st.data())
def test_an_archive_with_a_changed_description_loads_or_is_refused(data: st.DataObject, folder: Path) -> None:
    members = parts(MODEL)
    text = bytearray(members["minprune.json"])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 3))] = data.draw(st.sampled_from(JSON_PIECES))
    buffer = io.BytesIO()
    packed(members | {"minprune.json": bytes(text)}, buffer)  # type: ignore[arg-type]
    loads_or_is_refused(buffer.getvalue(), folder)


JSON_PIECES = [
    b"",
    b"0",
    b"-",
    b"1e999",
    b"null",
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b",",
    b":",
    b"9",
    b"true",
    b"\\",
    b"\n",
]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def every_place(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in steps for place in ((*path, key), *every_place(inner, (*path, key)))]


@settings(deadline=None)
@given(where=st.sampled_from(every_place(json.loads(description.describe(MODEL)))), value=anything)
def test_a_description_with_any_value_anywhere_loads_or_is_refused(
    where: tuple[Any, ...], value: Any, folder: Path
) -> None:
    members = parts(MODEL)
    header = json.loads(members["minprune.json"])
    place = header
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    members["minprune.json"] = json.dumps(header).encode()
    buffer = io.BytesIO()
    packed(members, buffer)  # type: ignore[arg-type]
    loads_or_is_refused(buffer.getvalue(), folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")
