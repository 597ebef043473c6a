"""Safetensors files: other readers open ours, we open theirs, and nothing that is read can do harm."""

from __future__ import annotations

import io
import json
import os
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_formats_masked import assert_same, in_blocks, masked, wide
from test_formats_npz import JSON_PIECES, MODEL, NETS, anything, batches, every_place, pruned, shuffled

import minprune as mp
from minprune import files
from minprune.cli import main
from minprune.errors import DataError, DtypeError, FileError, MinpruneError, StructureError
from minprune.formats import description, safetensors_file, safetensors_net
from minprune.formats.safetensors_file import DTYPES, SafetensorsFile, header_of, ordered, pack
from minprune.layers import Select
from minprune.nn import Graph


def saved(net: Graph, folder: Path, metadata: Any = None) -> Path:
    mp.save(net, folder / "net.safetensors", metadata)
    return folder / "net.safetensors"


def file_of(header: Any, numbers: bytes = b"") -> bytes:
    """A file by hand, its header anything at all."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def taken_apart(content: bytes) -> tuple[dict[str, Any], bytes]:
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


# what is saved comes back ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("case", NETS)
def test_a_saved_network_computes_the_same_bits(case: str, dtype: Any, tmp_path: Path) -> None:
    net = shuffled(NETS[case](np.float32)).astype(dtype)
    back = mp.load(saved(net, tmp_path))
    assert (back.nodes, back.inputs, back.output, back.input_shapes) == (
        (net.nodes, net.inputs, net.output, net.input_shapes)
    )
    assert_same(back, net)
    if net.params:
        assert back(*batches(net)).tobytes() == net(*batches(net)).tobytes()


@pytest.mark.parametrize("net", [masked(wide(), 0.5), masked(wide(), 0.02), in_blocks(wide(), (16, 1))])
def test_masks_and_history_come_back(net: Graph, tmp_path: Path) -> None:
    back = mp.load(saved(net, tmp_path, {"classes": ["a", "b"]}))
    assert_same(back, net)
    assert back.history == net.history
    assert safetensors_net.read(tmp_path / "net.safetensors")[1] == {"classes": ["a", "b"]}


def test_the_history_of_a_pruned_network_comes_back(tmp_path: Path) -> None:
    net = pruned()
    back = mp.load(saved(net, tmp_path))
    assert back.history == net.history
    assert back.certificate == net.certificate


def test_both_formats_hold_the_same_description(tmp_path: Path) -> None:
    net = masked(NETS["image"](np.float32))
    header, _ = taken_apart(saved(net, tmp_path).read_bytes())
    assert header["__metadata__"]["minprune"].encode() == description.describe(net)


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    net = NETS["image"](np.float32)
    first = saved(net, tmp_path, {"n": 1}).read_bytes()
    assert saved(net.copy(), tmp_path, {"n": 1}).read_bytes() == first


def test_numbers_that_are_not_finite_are_kept(tmp_path: Path) -> None:
    net = mp.Sequential(mp.Dense(3, 1))
    net.params["dense1.W"] = [[np.nan, np.inf, -0.0]]
    assert mp.load(saved(net, tmp_path)).params["dense1.W"].tobytes() == net.params["dense1.W"].tobytes()


def test_big_endian_and_transposed_arrays_come_back_as_ordinary_ones(tmp_path: Path) -> None:
    net = mp.Sequential(mp.Dense(3, 2))
    W = np.asfortranarray(net.params["dense1.W"]).astype(">f4")
    back = mp.load(saved(net.with_arrays({"dense1.W": W, "dense1.b": net.params["dense1.b"]}), tmp_path))
    assert back.params["dense1.W"].dtype.isnative
    np.testing.assert_array_equal(back.params["dense1.W"], W)


# the safetensors package ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", NETS)
def test_the_safetensors_package_reads_our_files(case: str, tmp_path: Path) -> None:
    theirs = pytest.importorskip("safetensors")
    net = shuffled(NETS[case](np.float32))
    with theirs.safe_open(saved(net, tmp_path), "np") as found:
        assert found.metadata()["minprune"].encode() == description.describe(net)
        arrays = {safetensors_net._name(name): array for name, array in net.arrays.items()}
        assert set(found.keys()) == set(arrays)
        for name, array in arrays.items():
            assert found.get_tensor(name).tobytes() == array.tobytes(), name


def test_we_read_the_safetensors_packages_files(tmp_path: Path) -> None:
    torch, theirs = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    kinds = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
    tensors = {kind: (torch.arange(-3, 9).reshape(3, 4) * 0.75).to(getattr(torch, kind)) for kind in kinds}
    tensors |= {"empty": torch.zeros(3, 0, 2), "number": torch.tensor(2.5)}
    theirs.save_file(tensors, tmp_path / "a.safetensors", {"format": "pt"})
    arrays, metadata = safetensors_file.read(tmp_path / "a.safetensors")
    assert metadata == {"format": "pt"}
    assert set(arrays) == set(tensors)
    for name, tensor in tensors.items():
        wanted = (tensor.float() if name == "bfloat16" else tensor).numpy()
        assert arrays[name].dtype == wanted.dtype, name
        assert arrays[name].flags.writeable, name
        np.testing.assert_array_equal(arrays[name], wanted, err_msg=name)


def test_our_container_is_the_packages_byte_for_byte_where_one_order_is_possible(tmp_path: Path) -> None:
    theirs = pytest.importorskip("safetensors.numpy")
    buffer = io.BytesIO()
    arrays = {"b": np.arange(3.0), "a": np.arange(5, dtype=np.float32)}
    pack(buffer, ordered(arrays), {"note": "é\n"})
    header, numbers = taken_apart(buffer.getvalue())
    assert (header, numbers) == taken_apart(theirs.save(arrays, {"note": "é\n"}))


def test_numbers_begin_at_a_multiple_of_their_width(tmp_path: Path) -> None:
    path = saved(masked(NETS["select"](np.float64), 0.5), tmp_path)  # int64, float64 and uint8 arrays
    with safetensors_file.opened(path) as found:
        assert found._start % 8 == 0
        for entry in found.entries.values():
            assert entry.begin % DTYPES[entry.code].itemsize == 0


# what cannot be saved -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "error", "match"),
    [
        (lambda: mp.Sequential(mp.Dense(3, 2)).astype(np.complex128), DtypeError, "this one has complex128"),
        (lambda: mp.Graph({"a" * 1001: (mp.Dense(3, 2), "x")}), StructureError, "a saved name must be a text"),
    ],
)
def test_what_no_file_can_hold_is_refused(net: Any, error: Any, match: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=match):
        saved(net(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_metadata_that_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="metadata: expected what JSON can hold"):
        saved(mp.Sequential(mp.Dense(3, 2)), tmp_path, {"value": {1, 2}})


def test_a_header_that_no_reader_would_take_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors_file, "MOST_HEADER", 100)
    with pytest.raises(StructureError, match="up to 100,000 arrays and a header of 100 bytes, got 2 arrays and"):
        saved(mp.Sequential(mp.Dense(3, 2)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere.net\.safetensors: cannot be written: No such file or directory"):
        mp.save(mp.Sequential(mp.Dense(3, 2)), tmp_path / "nowhere" / "net.safetensors")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError("disk full")])
def test_an_interrupted_save_leaves_the_old_file(
    interruption: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(mp.Sequential(mp.Dense(3, 2)), tmp_path)
    before = path.read_bytes()

    def interrupted(file: Any, arrays: Any, metadata: Any) -> None:
        file.write(header_of(arrays, metadata))
        raise interruption

    monkeypatch.setattr(safetensors_net, "pack", interrupted)
    with pytest.raises((KeyboardInterrupt, FileError)):
        saved(mp.Sequential(mp.Dense(30, 20)), tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_save_goes_through_the_atomic_writer() -> None:
    assert safetensors_net.atomic_write is files.atomic_write


# what cannot be loaded ------------------------------------------------------------------------------------------------


def refused(content: bytes, match: str, folder: Path, read: Any = mp.load) -> None:
    """Reading tells what is wrong in one line that begins with the file's name."""
    path = folder / "net.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileError, match=match) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 400


def test_a_missing_file_a_folder_and_a_pipe_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nothing\.safetensors: cannot be read: No such file or directory"):
        mp.load(tmp_path / "nothing.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    os.mkfifo(tmp_path / "pipe.safetensors")
    for name in ("folder", "pipe"):
        with pytest.raises(FileError, match=r"cannot be read: it is not a file"):
            mp.load(tmp_path / f"{name}.safetensors")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = saved(MODEL, tmp_path).read_bytes()
    for size in range(0, len(whole), 23):
        refused(whole[:size], r"not a (whole )?\.safetensors file|the arrays end at|is missing", tmp_path)


def test_changed_bits_are_refused_wherever_they_are(tmp_path: Path) -> None:
    """Of every third byte one bit: length, header, the description in it, checksum, padding, numbers."""
    whole = saved(mp.Sequential(mp.Dense(3, 2)), tmp_path).read_bytes()
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 1 << (place % 8)
        refused(bytes(changed), r"net\.safetensors: .", tmp_path)


def test_what_follows_the_arrays_is_refused(tmp_path: Path) -> None:
    whole = saved(mp.Sequential(mp.Dense(3, 2)), tmp_path).read_bytes()
    refused(whole + b"\0", "the arrays end at 32, the numbers in the file at 33", tmp_path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", r"not a \.safetensors file: 0 bytes, expected at least 8"),
        (b"1234567", r"not a \.safetensors file: 7 bytes"),
        (bytes(8), "its header does not begin with {"),
        (b"\xff" * 8, "the header claims 18,446,744,073,709,551,615 bytes, the file has 8"),
        (file_of(b" {}"), "its header does not begin with {"),
        (file_of(b"{"), "the header is not JSON"),
        (file_of(b'{"\xff": 1}'), "the header is not JSON"),
        (file_of(b'{"a":' + b"[" * 100_000), "the header is not JSON"),
        (file_of(b'{"a":' + b"9" * 5_000 + b"}"), "the header is not JSON"),
        (file_of(b'{"a":NaN}'), "the header is not JSON: NaN is no number of JSON"),
        (file_of(b'{"a":1,"b":2,"a":3}'), "the header is not JSON: 'a' stands twice"),
        (file_of(b'{"a":{"dtype":"F32","dtype":"F64"}}'), "'dtype' stands twice"),
        (file_of({"__metadata__": []}), "__metadata__: expected texts by name"),
        (file_of({"__metadata__": {"a": 1}}), "__metadata__: expected texts by name"),
        (file_of({"a": {"dtype": "F32", "shape": [2]}}), "'a': expected dtype, shape and data_offsets"),
        (file_of({"": {}}), "an array's name has 0 characters"),
        (file_of({"a" * 9_101: {}}), "an array's name has 9,101 characters, expected 1 to 9,100"),
    ],
)
def test_a_header_that_cannot_be_is_refused(content: bytes, match: str, tmp_path: Path) -> None:
    refused(content, match, tmp_path)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ([], "'a': expected dtype, shape and data_offsets"),
        ({"more": 1}, "'a': expected dtype, shape and data_offsets"),
        ({"dtype": "F8_E4M3"}, "'a': dtype is 'F8_E4M3', expected one of F64, I64"),
        ({"dtype": "object"}, "'a': dtype is 'object'"),
        ({"dtype": ["F32"]}, "'a': dtype is"),
        ({"shape": 2}, "'a': shape is 2, expected up to 32 sizes of at least 0"),
        ({"shape": [-2]}, r"'a': shape is \[-2\]"),
        ({"shape": [True, 2]}, r"'a': shape is \[True, 2\]"),
        ({"shape": [2.0]}, r"'a': shape is \[2\.0\]"),
        ({"shape": ["2"]}, "'a': shape is"),
        ({"shape": [1] * 32 + [2]}, "'a': shape is"),
        ({"shape": [2, 1 << 60]}, "'a': shape is"),
        ({"shape": [3]}, r"'a': F32 \(3,\) takes 12 bytes, data_offsets is \[0, 8\]"),
        ({"shape": [1 << 20, 1 << 20]}, "takes 4,398,046,511,104 bytes"),
        ({"dtype": "F64"}, r"'a': F64 \(2,\) takes 16 bytes"),
        ({"data_offsets": 8}, "'a': data_offsets is 8, expected where it begins and ends"),
        ({"data_offsets": [0, 8, 8]}, "'a': data_offsets is"),
        ({"data_offsets": [-8, 0]}, "'a': data_offsets is"),
        ({"data_offsets": [0.0, 8.0]}, "'a': data_offsets is"),
        ({"data_offsets": [8, 0]}, "takes 8 bytes, data_offsets is"),
        ({"data_offsets": [4, 12]}, "'a' leaves a gap before it: it begins at 4, expected 0"),
        ({"data_offsets": [1 << 70, (1 << 70) + 8]}, "'a' leaves a gap before it"),
        ({"shape": [0, 1 << 40, 4], "data_offsets": [0, 0]}, "too large even without numbers"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(said: Any, match: str, tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    whole: Any = {**entry, **said} if isinstance(said, dict) else said
    refused(file_of({"a": whole}, bytes(8)), match, tmp_path, safetensors_file.read)


def test_arrays_that_overlap_or_leave_holes_are_refused(tmp_path: Path) -> None:
    def of(*places: tuple[int, int]) -> dict[str, Any]:
        return {f"a{n}": {"dtype": "U8", "shape": [e - b], "data_offsets": [b, e]} for n, (b, e) in enumerate(places)}

    read = safetensors_file.read
    refused(file_of(of((0, 4), (2, 6)), bytes(6)), "'a1' overlaps the array before it: it begins at 2", tmp_path, read)
    refused(file_of(of((0, 4), (0, 4)), bytes(4)), "'a1' overlaps the array before it", tmp_path, read)
    refused(file_of(of((0, 2), (4, 6)), bytes(6)), "'a1' leaves a gap before it", tmp_path, read)
    refused(file_of(of((0, 2), (2, 6)), bytes(5)), "the arrays end at 6, the numbers in the file at 5", tmp_path, read)
    (tmp_path / "net.safetensors").write_bytes(file_of(of((2, 6), (0, 2), (2, 2), (6, 6)), bytes(range(6))))
    arrays, _ = read(tmp_path / "net.safetensors")  # in any order in the header, empty ones between
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "a0": [2, 3, 4, 5],
        "a1": [0, 1],
        "a2": [],
        "a3": [],
    }


def test_a_file_that_ends_while_it_is_read_is_refused() -> None:
    content = WHOLE[:-100]  # another program cuts it after its size was asked for
    found = SafetensorsFile(io.BytesIO(content), len(WHOLE))
    with pytest.raises(FileError, match=r"'[a-z0-9.A-Z]+': the file ended while it was read"):
        found.raw(list(found.entries)[-1])


def test_a_boolean_that_is_neither_0_nor_1_is_refused(tmp_path: Path) -> None:
    header = {"a": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}
    refused(file_of(header, b"\x01\x07"), "'a': expected booleans, 0 or 1", tmp_path, safetensors_file.read)


def test_limits_hold_before_memory_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty lists, and a sparse file: what is claimed is refused with less memory than the file has bytes."""
    bomb = file_of(b'{"a":[' + b"[]," * 1_000_000 + b"[]]}")
    sparse = tmp_path / "sparse.safetensors"
    with sparse.open("wb") as file:
        file.write((1 << 30).to_bytes(8, "little") + b"{")
        file.truncate(2 << 30)
    tracemalloc.start()
    refused(bomb, "the header has too many values, expected those of at most 100,000 arrays", tmp_path)
    with pytest.raises(FileError, match="the header claims 1,073,741,824 bytes, expected at most 41,943,040"):
        mp.load(sparse)
    assert tracemalloc.get_traced_memory()[1] < 4 * len(bomb)
    tracemalloc.stop()
    monkeypatch.setattr(safetensors_file, "MOST_ARRAYS", 2)
    entries = {name: {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for name in "abc"}
    refused(file_of(entries), "too many values, expected those of at most 2 arrays", tmp_path)


@pytest.mark.parametrize("piece", [b'\\"', b'"', b"\\", b'"\\'])
def test_texts_without_an_end_take_no_longer_than_others(piece: bytes, tmp_path: Path) -> None:
    started = time.perf_counter()
    refused(file_of(b'{"' + piece * 1_000_000), "the header is not JSON|too many values", tmp_path)
    assert time.perf_counter() - started < 5  # a search that goes back would take hours


def test_a_network_that_the_layers_do_not_make_is_refused(tmp_path: Path) -> None:
    net = mp.Sequential(mp.Dense(3, 2))
    header, numbers = taken_apart(saved(net, tmp_path).read_bytes())
    text = header["__metadata__"]["minprune"]

    def with_text(new: str, more: Any = None, data: bytes = numbers) -> bytes:
        said = {"minprune": new, "crc32": f"{crc32(data, crc32(new.encode())):08x}"}
        return file_of({**header, "__metadata__": said, **(more or {})}, data)

    assert mp.load(saved(net, tmp_path)).nodes == net.nodes
    bare = {name: entry for name, entry in header.items() if name != "__metadata__"}
    refused(file_of(bare, numbers), "holds arrays but no minprune network; minprune.load_weights puts", tmp_path)
    lonely = {**header, "__metadata__": {"minprune": text}}
    refused(file_of(lonely, numbers), "its metadata are minprune, expected minprune and crc32", tmp_path)
    refused(with_text("{"), "the description is not JSON", tmp_path)
    huge = with_text(text.replace('"outputs": 2', f'"outputs": {10**30}'))
    refused(huge, r"'dense1\.W': expected float32 \(1000000000000000000000000000000, 3\), got F32 \(2, 3\)", tmp_path)
    refused(with_text(text.replace('"float32"', '"float64"')), "expected float64", tmp_path)
    refused(with_text(text.replace('"bias": true', '"bias": false')), r"'dense1\.b' belongs to no layer", tmp_path)
    fewer = {name: entry for name, entry in header.items() if name != "dense1.b"}
    refused(file_of(fewer, numbers[:24]), r"the array 'dense1\.b' is missing", tmp_path)
    half = {**header, "dense1.b": {**header["dense1.b"], "dtype": "U32"}}
    refused(file_of(half, numbers), r"'dense1\.b': expected float32 \(2,\), got U32 \(2,\)", tmp_path)
    refused(file_of(header, bytes(len(numbers))), "the checksum does not fit: the description or an array", tmp_path)


def test_a_description_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(mp.Sequential(mp.Dense(3, 2)), tmp_path).read_bytes()
    monkeypatch.setattr(safetensors_net, "MOST_BYTES", 10)
    refused(content, "the description takes [0-9]+ bytes, expected at most 10", tmp_path)


def test_an_index_outside_the_input_is_refused(tmp_path: Path) -> None:
    net = mp.Sequential(Select(5, 3), mp.Dense(3, 2))
    net.buffers["select1.index"] = [5, 0, 1]
    content = saved(net, tmp_path).read_bytes()
    refused(content, r"select1\.index points outside the input", tmp_path)


# any bytes at all -----------------------------------------------------------------------------------------------------


def whole_file() -> bytes:
    text = description.describe(MODEL)
    arrays = ordered({safetensors_net._name(k): v for k, v in description.arrays_of(MODEL, text).items()})
    buffer = io.BytesIO()
    pack(buffer, arrays, {"minprune": text.decode(), "crc32": safetensors_net._checksum(text, arrays.values())})
    return buffer.getvalue()


WHOLE = whole_file()
HEADER, NUMBERS = taken_apart(WHOLE)
TEXT = json.loads(HEADER["__metadata__"]["minprune"])


def reads_or_is_refused(content: bytes, folder: Path) -> None:
    """Either arrays and a network come out, or a FileError; memory stays in proportion to the file."""
    path = folder / "fuzz.safetensors"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        for read in (safetensors_file.read, mp.load):
            with suppress(FileError):
                read(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_four_thousand_files_with_changed_bytes_read_or_are_refused() -> None:
    """Drawn so that the header, where there is most to go wrong, is hit most often."""
    rng, end = np.random.default_rng(0), len(WHOLE) - len(NUMBERS)
    read = 0
    for _ in range(4_000):
        content = bytearray(WHOLE)
        for place in rng.integers(0, end if rng.random() < 0.8 else len(content), rng.integers(1, 5)):
            piece = JSON_PIECES[rng.integers(len(JSON_PIECES))] if rng.random() < 0.5 else rng.bytes(1)
            content[place : place + len(piece)] = piece
        with suppress(MinpruneError):  # `opened` makes a FileError of each
            safetensors_net._unpacked(SafetensorsFile(io.BytesIO(content), len(content)))
            read += 1
    assert read < 400  # the checksum finds nearly all


def with_changed_bytes(data: st.DataObject) -> bytes:
    content = bytearray(WHOLE)
    for place, value in data.draw(CHANGES):
        content[place] = value
    return bytes(content)


def with_replaced_pieces(data: st.DataObject) -> bytes:
    start, stop = data.draw(PLACE), data.draw(PLACE)
    return WHOLE[:start] + data.draw(st.binary(max_size=64)) + WHOLE[stop:]


def with_changed_header(data: st.DataObject) -> bytes:
    text = bytearray(json.dumps(HEADER).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 3))] = data.draw(st.sampled_from(JSON_PIECES))
    return file_of(bytes(text), NUMBERS)


def replaced(whole: Any, where: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at one place."""
    if not where:
        return value
    copy = whole.copy()
    copy[where[0]] = replaced(whole[where[0]], where[1:], value)
    return copy


def with_any_value_in_the_header(data: st.DataObject) -> bytes:
    return file_of(replaced(HEADER, data.draw(st.sampled_from(every_place(HEADER))), data.draw(anything)), NUMBERS)


def with_any_value_in_the_description(data: st.DataObject) -> bytes:
    """The checksum is made anew: all of these get through to the description."""
    text = json.dumps(replaced(TEXT, data.draw(st.sampled_from(every_place(TEXT))), data.draw(anything)))
    said = {"minprune": text, "crc32": f"{crc32(NUMBERS, crc32(text.encode())):08x}"}
    return file_of({**HEADER, "__metadata__": said}, NUMBERS)


PLACE = st.integers(0, len(WHOLE))
CHANGES = st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8)
MUTATIONS = [
    with_changed_bytes,
    with_replaced_pieces,
    with_changed_header,
    with_any_value_in_the_header,
    with_any_value_in_the_description,
]


@pytest.mark.parametrize("mutation", MUTATIONS)
@settings(max_examples=50)
@given(data=st.data())
def test_a_file_that_was_changed_reads_or_is_refused(mutation: Any, folder: Path, data: st.DataObject) -> None:
    reads_or_is_refused(mutation(data), folder)


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS)
@settings(max_examples=10_000)
@given(data=st.data())
def test_fifty_thousand_changed_files_read_or_are_refused(mutation: Any, folder: Path, data: st.DataObject) -> None:
    reads_or_is_refused(mutation(data), folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


# the command ----------------------------------------------------------------------------------------------------------


def test_the_commands_read_and_write_safetensors_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dense, small, chosen = (str(tmp_path / f"{name}.safetensors") for name in ("dense", "small", "reduced"))
    assert main(["train", "digits", "--hidden", "8", "--epochs", "1", "-o", dense]) == 0
    assert main(["prune", dense, "digits", "-o", small]) == 0
    assert main(["evaluate", small, "digits"]) == 0
    assert main(["reduce", small, "--box", "0", "1", "-o", chosen]) == 0
    assert main(["verify", small, "--original", dense, "--data", "digits"]) == 0
    assert mp.load(small).neurons["dense1"].size == 4
    assert "saved to" in capsys.readouterr().out
