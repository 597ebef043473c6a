"""Files of masked networks: they are small, come back bit for bit, and nothing that is read can do harm."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import EXAMPLES, inputs
from test_formats_npz import (
    JSON_PIECES,
    anything,
    every_place,
    folder,  # noqa: F401  a fixture
    loads_or_is_refused,
    npy_of,
    packed,
    refused,
)

import minprune as mp
from minprune.errors import StructureError
from minprune.formats import description, npz
from minprune.formats.masked import MOST_EXPANSION, bytes_in_file, entry_of, expected_members, members_of, restored
from minprune.nn import Graph
from minprune.sparse import BLOCKS, as_blocks


def masked(net: Graph, density: float = 0.5, seed: int = 0) -> Graph:
    """Every parameter masked at random, biases and batch-norm too."""
    rng = np.random.default_rng(seed)
    keep = {name: rng.random(W.shape) < density for name, W in net.params.items()}
    for kept in keep.values():
        kept.flat[-1] = True
    return mp.mask(net, mp.WeightPlan(keep))


def in_blocks(net: Graph, block: tuple[int, int], amount: float = 0.8) -> Graph:
    scores = mp.score(net, criterion="magnitude_l1", by="weight")
    return mp.mask(net, mp.decide(scores, mp.PerLayer(amount), block))


def forms(net: Graph) -> dict[str, Any]:
    """How each parameter is stored."""
    return json.loads(description.describe(net))["masks"]


def members(net: Graph) -> dict[str, bytes]:
    buffer = io.BytesIO()
    text = description.describe(net)
    npz._pack(buffer, text, description.arrays_of(net, text))
    with zipfile.ZipFile(buffer) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def assert_same(back: Graph, net: Graph) -> None:
    assert list(back.arrays) == list(net.arrays)
    for name, array in net.arrays.items():
        assert back.arrays[name].dtype == array.dtype, name
        assert back.arrays[name].flags.writeable, name
        assert back.arrays[name].tobytes() == array.tobytes(), name
    assert list(back.masks) == list(net.masks)
    for name, kept in net.masks.items():
        assert back.masks[name].dtype == bool
        np.testing.assert_array_equal(back.masks[name], kept, err_msg=name)


@pytest.mark.parametrize("density", [0.0, 0.05, 0.5, 0.95])
@pytest.mark.parametrize("name", ["mlp", "cnn", "depthwise", "conv1d", "two inputs", "nested", "mlp without bias"])
def test_a_masked_network_comes_back_bit_for_bit(name: str, density: float, tmp_path: Path) -> None:
    net = masked(EXAMPLES[name](), density)
    for one in (net, net.astype(np.float32), net.astype(np.float16)):
        mp.save(one, tmp_path / "net.npz")
        back = mp.load(tmp_path / "net.npz")
        assert_same(back, one)
        assert back(inputs(net)).tobytes() == one(inputs(net)).tobytes()
        assert npz.npz_bytes(one) == (tmp_path / "net.npz").stat().st_size


@given(data=st.data())
def test_every_mask_and_block_comes_back(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 20), st.integers(1, 40)))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    block = data.draw(st.sampled_from([*BLOCKS, (2, 3)]))
    grid = as_blocks(np.ones(shape, bool), block).shape[:2]
    kept = (
        (rng.random(grid) < data.draw(st.floats(0, 1))).repeat(block[0], 0).repeat(block[1], 1)[: shape[0], : shape[1]]
    )
    W = np.where(kept, rng.standard_normal(shape), 0).astype(data.draw(st.sampled_from([np.float32, np.float64])))
    entry = entry_of("W", W, kept)
    arrays = members_of("W", W, kept, entry)
    assert {k: (a.shape, a.dtype) for k, a in arrays.items()} == expected_members("W", entry, (shape, W.dtype))
    sizes = [-(-W.size // 8) + kept.sum() * W.itemsize]
    for R, C in BLOCKS:
        pieces = as_blocks(kept, (R, C)).any(axis=(2, 3))
        whole = (pieces.repeat(R, 0).repeat(C, 1)[: shape[0], : shape[1]] == kept).all()
        if whole and shape[0] >= R and shape[1] >= C:
            index = [np.min_scalar_type(n).itemsize for n in (pieces.shape[1] - 1, pieces.sum())]
            size = pieces.sum() * (R * C * W.itemsize + index[0]) + (len(pieces) + 1) * index[1]
            sizes += [size] if W.nbytes <= MOST_EXPANSION * size else []
    assert bytes_in_file("W", W, kept) == sum(a.nbytes for a in arrays.values()) == min(sizes)
    again, mask = restored("W", entry, shape, arrays)
    assert again.tobytes() == W.tobytes()
    np.testing.assert_array_equal(mask, kept)


def wide() -> Graph:
    return mp.Sequential(mp.Dense(300, 64), mp.ReLU(), mp.Dense(64, 32))


def test_each_form_is_taken_where_it_is_the_smallest(tmp_path: Path) -> None:
    assert forms(masked(wide(), 0.5))["dense1.W"].keys() == {"kept"}
    assert forms(masked(wide(), 0.02))["dense1.W"]["block"] == [1, 1]
    assert forms(in_blocks(wide(), (16, 1)))["dense1.W"] == {"blocks": 240, "block": [16, 1]}
    assert forms(in_blocks(wide(), (16, 16), 0.5))["dense2.W"]["block"] == [16, 16]
    assert forms(masked(mp.Sequential(mp.Dense(3000, 300)), 0.0))["dense1.W"] == {"kept": 1}  # would expand too far
    for net in (masked(wide(), 0.5), masked(wide(), 0.02), in_blocks(wide(), (16, 1))):
        mp.save(net, tmp_path / "net.npz")
        assert_same(mp.load(tmp_path / "net.npz"), net)


def test_special_numbers_among_the_kept_weights_come_back(tmp_path: Path) -> None:
    for density in (0.5, 0.02):
        net = masked(wide(), density)
        W, kept = net.params["dense1.W"], net.masks["dense1.W"]
        places = np.argwhere(kept)[:4]
        for place, value in zip(places, (0.0, -0.0, np.nan, np.inf), strict=True):
            W[tuple(place)] = value
        mp.save(net, tmp_path / "net.npz")
        assert_same(mp.load(tmp_path / "net.npz"), net)


def test_networks_without_masks_are_written_as_before(tmp_path: Path) -> None:
    header = json.loads(description.describe(wide()))
    assert header["version"] == 1
    assert "masks" not in header
    assert json.loads(description.describe(masked(wide())))["version"] == 2


def test_big_endian_and_transposed_masked_arrays_come_back_as_ordinary_ones(tmp_path: Path) -> None:
    net = masked(wide())
    odd = net.with_arrays({name: np.asfortranarray(W).astype(">f4") for name, W in net.arrays.items()})
    mp.save(odd, tmp_path / "net.npz")
    back = mp.load(tmp_path / "net.npz")
    assert_same(back, net)
    assert all(W.dtype.isnative for W in back.params.values())


def test_numpy_alone_can_read_what_is_kept(tmp_path: Path) -> None:
    net = masked(wide(), 0.5)
    mp.save(net, tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz", allow_pickle=False) as archive:
        kept = np.unpackbits(archive["dense1.W.bits"], count=64 * 300).astype(bool).reshape(64, 300)
        np.testing.assert_array_equal(kept, net.masks["dense1.W"])
        np.testing.assert_array_equal(archive["dense1.W.kept"], net.params["dense1.W"][kept])


def test_a_masked_weight_that_is_not_zero_is_not_lost_silently(tmp_path: Path) -> None:
    for value in (1.0, -0.0, np.nan):
        net = masked(wide())
        net.params["dense1.W"][...] = value
        with pytest.raises(StructureError, match=r"dense1\.W: a masked weight is not 0; net\.close_masks\(\) makes"):
            mp.save(net, tmp_path / "net.npz")
        net.close_masks()
        mp.save(net, tmp_path / "net.npz")
        assert_same(mp.load(tmp_path / "net.npz"), net)


# what cannot be loaded ------------------------------------------------------------------------------------------------

BITS, CSR, TALL = masked(wide(), 0.5), masked(wide(), 0.02), in_blocks(wide(), (16, 1))


def changed(net: Graph, entry: Any, path: Path, **arrays: Any) -> Path:
    """A file of the network with another entry for dense1.W, and other arrays."""
    parts = members(net)
    header = json.loads(parts["minprune.json"])
    header["masks"]["dense1.W"] = header["masks"]["dense1.W"] | entry if isinstance(entry, dict) else entry
    parts["minprune.json"] = json.dumps(header).encode()
    for part, array in arrays.items():
        parts[f"dense1.W.{part}.npy"] = npy_of(array)
    return packed(parts, path / "net.npz")


HUGE = 10**30


@pytest.mark.parametrize(
    ("net", "entry", "match"),
    [
        (BITS, 3, r"dense1\.W: its mask is described by 3, expected kept, or blocks and block"),
        (BITS, {"extra": 1}, "its mask is described by"),
        (BITS, {"kept": -1}, "its mask is described by"),
        (BITS, {"kept": True}, "its mask is described by"),
        (BITS, {"kept": 64 * 300 + 1}, "its mask is described by"),
        (BITS, {"kept": 9.0}, "its mask is described by"),
        (BITS, {"kept": 9}, r"'dense1\.W\.kept\.npy' takes .* bytes, expected at most|expected float32 \(9,\), got"),
        (CSR, {"block": [1]}, "its mask is described by"),
        (CSR, {"block": [0, 1]}, "its mask is described by"),
        (CSR, {"block": [65, 1]}, "its mask is described by"),
        (CSR, {"block": [1, HUGE]}, "its mask is described by"),
        (CSR, {"block": [1, True]}, "its mask is described by"),
        (CSR, {"block": "11"}, "its mask is described by"),
        (CSR, {"blocks": -1}, "-1 blocks, expected 0 to 19,200"),
        (CSR, {"blocks": 19_201}, "19201 blocks, expected 0 to 19,200"),
        (CSR, {"blocks": HUGE}, "blocks, expected 0 to 19,200"),
        (CSR, {"blocks": 1.5}, r"1\.5 blocks, expected"),
        (CSR, {"blocks": 90}, r"dense1\.W\.(values|columns)"),
        (
            CSR,
            {"block": [64, 300], "blocks": 0},
            r"76,800 bytes from 2 in the file, expected at most 256 times as many",
        ),
        (TALL, {"block": [1, 16]}, r"dense1\.W\.values"),
    ],
)
def test_an_entry_that_is_not_possible_is_refused(net: Graph, entry: Any, match: str, tmp_path: Path) -> None:
    refused(changed(net, entry, tmp_path), match)


def test_masks_of_parameters_that_are_not_there_are_refused(tmp_path: Path) -> None:
    parts = members(BITS)
    for name, match in (("dense9.W", "masks: expected some of dense1"), ("relu1.m", "masks: expected some of dense1")):
        header = json.loads(parts["minprune.json"])
        header["masks"][name] = {"kept": 1}
        refused(packed(parts | {"minprune.json": json.dumps(header).encode()}, tmp_path / "net.npz"), match)
    header["masks"] = [1]
    refused(packed(parts | {"minprune.json": json.dumps(header).encode()}, tmp_path / "net.npz"), r"got \[1\]")
    header.pop("masks")
    text = json.dumps(header).encode()
    refused(packed(parts | {"minprune.json": text}, tmp_path / "net.npz"), "the description has .*, expected .*'masks'")


def arrays_of(net: Graph) -> dict[str, Any]:
    return {
        name[9:]: array.copy()
        for name, array in description.arrays_of(net, description.describe(net)).items()
        if name.startswith("dense1.W")
    }


def test_bits_that_are_not_as_many_as_the_weights_are_refused(tmp_path: Path) -> None:
    bits = arrays_of(BITS)["bits"]
    bits[0] ^= 1
    refused(changed(BITS, {}, tmp_path, bits=bits), r"dense1\.W: [0-9,]+ bits are set, but there are [0-9,]+ weights")
    refused(changed(BITS, {}, tmp_path, bits=bits[:-1]), r"expected uint8 \(2400,\), got .*\(2399,\)")


def test_columns_and_offsets_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    arrays = arrays_of(CSR)
    columns, offsets = arrays["columns"], arrays["offsets"]
    assert columns.dtype == offsets.dtype == np.uint16
    cases: list[tuple[str, Any, str]] = [
        ("columns", columns * 0 + 300, "a column lies outside 0 to 299"),
        ("columns", columns[::-1], "the columns of a row are not ascending"),
        ("columns", columns.astype(np.uint32), r"expected uint16 .*, got .*'<u4'"),
        ("columns", columns.astype(np.int16), r"expected uint16 .*, got .*'<i2'"),
        ("offsets", offsets[::-1], "the offsets are not ascending"),
        ("offsets", offsets + 1, "the offsets do not run from 0 to"),
        ("offsets", offsets[:-1], r"expected uint16 \(65,\), got .*\(64,\)"),
    ]
    for part, array, match in cases:
        refused(changed(CSR, {}, tmp_path, **{part: np.ascontiguousarray(array)}), rf"dense1\.W.*{match}")


def test_a_small_file_cannot_ask_for_a_large_network(tmp_path: Path) -> None:
    """Neither as bits, which are in the file one for every weight, nor as empty blocks."""
    net = masked(mp.Sequential(mp.Dense(8, 8)), 0.5)
    for entry, part in ((b'{"kept": 0}', "bits"), (b'{"blocks": 0, "block": [1, 1]}', "offsets")):
        parts = members(net)
        header = json.loads(parts["minprune.json"])
        header["masks"]["dense1.W"] = json.loads(entry)
        header["nodes"][0]["fields"]["inputs"] = 10**9
        header["input_shapes"] = {"input": [10**9]}
        path = packed(parts | {"minprune.json": json.dumps(header).encode()}, tmp_path / "net.npz")
        tracemalloc.start()
        refused(
            path, "the layers need 1,000,[0-9,]+ bytes of arrays" if part == "bits" else "expected at most 256 times"
        )
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    for net in (masked(EXAMPLES["mlp"]()), in_blocks(wide(), (16, 1), 0.99)):
        mp.save(net, path)
        content = path.read_bytes()
        for size in range(0, len(content), 37):
            path.write_bytes(content[:size])
            refused(path, "npz archive|cannot be read")


# any bytes at all -----------------------------------------------------------------------------------------------------

MODEL = in_blocks(masked(mp.Sequential(mp.Dense(40, 20), mp.ReLU(), mp.Dense(20, 16)), 0.9), (16, 1), 0.9)
MEMBERS = members(MODEL)


def test_the_model_for_fuzzing_has_both_forms() -> None:
    assert {frozenset(entry) for entry in forms(MODEL).values()} == {
        frozenset({"kept"}),
        frozenset({"blocks", "block"}),
    }


@settings(deadline=None)
@given(data=st.data())
def test_an_archive_with_changed_members_loads_or_is_refused(data: st.DataObject, folder: Path) -> None:  # noqa: F811
    parts = dict(MEMBERS)
    for _ in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from(sorted(parts)))
        text = bytearray(parts[name])
        place = data.draw(st.integers(0, len(text) - 1))
        pieces = JSON_PIECES if name == "minprune.json" else [bytes([n]) for n in (0, 1, 127, 255)]
        text[place : place + data.draw(st.integers(0, 2))] = data.draw(st.sampled_from(pieces))
        parts[name] = bytes(text)
    buffer = io.BytesIO()
    packed(parts, buffer)  # type: ignore[arg-type]
    loads_or_is_refused(buffer.getvalue(), folder)


@settings(deadline=None)
@given(where=st.sampled_from(every_place(json.loads(MEMBERS["minprune.json"]))), value=anything)
def test_a_description_with_any_value_anywhere_loads_or_is_refused(
    where: tuple[Any, ...],
    value: Any,
    folder: Path,  # noqa: F811
) -> None:
    header = json.loads(MEMBERS["minprune.json"])
    place = header
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    buffer = io.BytesIO()
    packed(MEMBERS | {"minprune.json": json.dumps(header).encode()}, buffer)  # type: ignore[arg-type]
    loads_or_is_refused(buffer.getvalue(), folder)
