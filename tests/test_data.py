"""The data room: containers, checks, readers, splits."""

import gzip
import hashlib
import io
import os
import struct
import tracemalloc
import zipfile
from contextlib import suppress
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minprune import data
from minprune.datasets import idxfile, npzfile
from minprune.datasets.splitting import hold_out
from minprune.errors import DataError, DtypeError, FileError, ShapeError

FUZZ = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CODES = {"uint8": 8, "int8": 9, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx_bytes(array):
    array = np.asarray(array)
    header = bytes([0, 0, CODES[array.dtype.name], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(path, content):
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content, encoding="utf-8")
    return path


@pytest.fixture
def images():
    return np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3)


@pytest.fixture
def samples():
    return data.Samples(np.arange(80.0).reshape(40, 2), np.arange(40) % 4)


# digits --------------------------------------------------------------------------------------------------------------


def test_digits_have_the_promised_sizes_types_and_range():
    d = data.digits()
    assert [len(part) for part in (d.train, d.valid, d.test)] == [1078, 359, 360]
    for part in (d.train, d.valid, d.test):
        assert part.x.dtype == np.float32
        assert part.y.dtype == np.int64
        assert part.x.shape == (len(part), 64)
        assert part.x.min() == 0.0
        assert part.x.max() == 1.0


def test_digits_come_as_images_too():
    rows, images = data.digits(), data.digits(flat=False)
    assert images.train.x.shape == (1078, 1, 8, 8)
    np.testing.assert_array_equal(images.test.x[:, 0, 1, 2], rows.test.x[:, 8 + 2])
    np.testing.assert_array_equal(images.test.y, rows.test.y)


def test_digits_are_stratified():
    d = data.digits()
    whole = np.bincount(np.concatenate([d.train.y, d.valid.y, d.test.y]))
    for part in (d.valid, d.test):
        assert np.abs(np.bincount(part.y) - whole * len(part) / 1797).max() < 1


def test_digits_and_their_split_never_change():
    d = data.digits()
    everything = b"".join(a.tobytes() for part in (d.train, d.valid, d.test) for a in part)
    digest = hashlib.sha256(everything).hexdigest()
    assert digest == "4aa2b34bb36cfc8c5297091752ff3dccb731122c35f1a2eb9becb0ddd4199dea"


def test_digits_are_the_ones_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.datasets")
    bunch, d = sklearn.load_digits(), data.digits()

    def key(x, y):
        return sorted((*row, label) for row, label in zip(x.tolist(), y.tolist(), strict=True))

    ours = key(np.concatenate([d.train.x, d.valid.x, d.test.x]) * 16, np.concatenate([d.train.y, d.valid.y, d.test.y]))
    assert ours == key(bunch.data, bunch.target)


def test_digits_ship_small_and_with_their_licence():
    folder = resources.files("minprune.datasets")
    assert len(folder.joinpath("digits.npz").read_bytes()) < 100_000
    licence = folder.joinpath("LICENSE-digits.txt").read_text()
    for needed in ("CC BY 4.0", "Alpaydin", "Kaynak", "1998", "archive.ics.uci.edu"):
        assert needed in licence


# containers ----------------------------------------------------------------------------------------------------------


def test_samples_unpack_and_count(samples):
    x, y = samples
    assert len(samples) == len(x) == len(y) == 40


def test_samples_cannot_be_written_through_and_leave_the_callers_array_writable():
    x, y = np.zeros((2, 2)), np.zeros(2, int)
    samples = data.Samples(x, y)
    with pytest.raises(ValueError, match="read-only"):
        samples.x[0, 0] = 1
    with pytest.raises(AttributeError):
        samples.x = x
    x[0, 0] = 1


def test_as_samples_takes_every_form_that_users_pass(samples):
    d = data.Dataset(samples, samples, samples)
    forms = [
        samples,
        d,
        tuple(samples),
        SimpleNamespace(x=samples.x, y=samples.y),
        (samples.x.tolist(), list(samples.y)),
    ]
    for form in forms:
        x, y = data.as_samples(form)
        np.testing.assert_array_equal(x, samples.x)
        np.testing.assert_array_equal(y, samples.y)


def test_as_samples_takes_x_alone_where_labels_are_not_used():
    x, y = data.as_samples(np.eye(3), labels=False)
    assert x.shape == (3, 3)
    assert y is None
    assert data.as_samples((np.eye(3), None), labels=False)[1] is None
    assert data.as_samples(SimpleNamespace(x=np.eye(3)), labels=False)[1] is None
    assert data.as_samples((np.eye(3), np.arange(3)), labels=False)[1].tolist() == [0, 1, 2]


def test_as_splits_gives_validation_only_where_there_is_some(samples):
    other = data.Samples(np.ones((2, 2)), np.zeros(2, int))
    assert data.as_splits(data.Dataset(samples, other, other)) == (samples, other)
    train, valid = data.as_splits(tuple(samples))
    assert isinstance(train, data.Samples)
    assert valid is None
    loose = SimpleNamespace(train=tuple(samples), valid=tuple(other))
    assert [len(part) for part in data.as_splits(loose)] == [40, 2]


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        (None, DataError, "no data: expected"),
        (np.eye(2), DataError, "labels are needed here"),
        ((np.eye(2),), DataError, r"must be \(x, y\), got 1 entries"),
        ((np.empty((0, 3)), []), DataError, r"x is empty: shape \(0, 3\)"),
        ((np.eye(2), []), DataError, "y is empty"),
        ((np.eye(2), [1, 2, 3]), DataError, "got 2 samples and 3 targets"),
        ((np.array([[0, 1], [2, np.nan]]), [0, 1]), DataError, r"x\[1, 1\] is nan: data must be finite"),
        ((np.array([[0, np.inf], [2, np.nan]]), [0, 1]), DataError, r"x\[0, 1\] is inf"),
        ((np.eye(2), [0.0, np.nan]), DataError, r"y\[1\] is nan"),
        ((np.array([["a", "b"]]), [0]), DtypeError, "x must hold real numbers, got dtype <U1"),
        ((np.array([[None, 1]]), [0]), DtypeError, "x must hold real numbers, got dtype object"),
        ((np.eye(2), np.array(["a", "b"])), DtypeError, "y must hold real numbers"),
        ((np.eye(2) * 1j, [0, 1]), DtypeError, "got dtype complex128"),
        ((np.arange(3.0), [0, 1, 2]), ShapeError, r"x must have shape .* got \(3,\)"),
        ((np.eye(2), 3), ShapeError, "one target per sample"),
        (([[1], [1, 2]], [0, 1]), ShapeError, "x must be a rectangular array"),
    ],
)
def test_data_that_cannot_be_used_is_refused_by_name(bad, error, match):
    with pytest.raises(error, match=match) as caught:
        data.as_samples(bad)
    assert "\n" not in str(caught.value)


def test_check_labels_accepts_class_numbers_and_one_hot_rows():
    data.check_labels(np.array([0, 2, 1], np.uint8), 3)
    data.check_labels(np.eye(3, dtype=np.float32), 3)
    data.check_labels(np.eye(3, dtype=int), 3)


@pytest.mark.parametrize(
    ("y", "error", "match"),
    [
        ([0, 1, 3], DataError, r"y holds 3, but labels must be in 0\.\.2 for a network with 3 outputs"),
        ([0, -1], DataError, "y holds -1"),
        ([0.0, 1.0], DtypeError, "labels must be integers .* y is float64"),
        ([True, False], DtypeError, "y is bool"),
        (["a"], DtypeError, "real numbers"),
        ([[0], [1]], ShapeError, r"y has shape \(2, 1\)"),
        ([[1, 0, 0, 0]], ShapeError, r"y has shape \(1, 4\)"),
        ([[1, 0, 0], [0, 1, 1]], DataError, r"y\[1\] must be a one-hot row .* its sum is 2"),
        ([[2.0, -1.0, 0.0]], DataError, r"y\[0\] must be a one-hot row"),
    ],
)
def test_check_labels_names_the_first_wrong_label(y, error, match):
    with pytest.raises(error, match=match):
        data.check_labels(y, 3)


# splits --------------------------------------------------------------------------------------------------------------


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    valid=st.floats(0.1, 0.4),
    test=st.floats(0.1, 0.4),
    seed=st.integers(0, 5),
)
@FUZZ
def test_a_split_loses_nothing_and_keeps_the_mix_of_classes(counts, valid, test, seed):
    y = np.repeat(np.arange(len(counts)), counts)
    x = np.arange(len(y), dtype=float)[:, None]
    sizes = round(len(y) * valid), round(len(y) * test)
    if min(sizes) < 1 or sum(sizes) >= len(y):
        with pytest.raises(DataError, match="leave a part empty"):
            data.split((x, y), valid, test, rng=seed)
        return
    d = data.split((x, y), valid, test, rng=seed)
    assert (len(d.valid), len(d.test)) == sizes
    together = np.concatenate([d.train.x, d.valid.x, d.test.x])
    np.testing.assert_array_equal(np.sort(together, axis=0), x)
    found = np.bincount(d.test.y, minlength=len(counts))
    assert np.abs(found - np.array(counts) * sizes[1] / len(y)).max() < 1


def test_a_split_repeats_with_its_seed_and_changes_with_another(samples):
    a, b, c = (data.split(samples, rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.test.x, b.test.x)
    assert not np.array_equal(a.test.x, c.test.x)


def test_a_split_of_float_targets_needs_no_classes():
    d = data.split((np.arange(10.0)[:, None], np.linspace(0, 1, 10)), name="line")
    assert (len(d.train), len(d.valid), len(d.test), d.name) == (6, 2, 2, "line")


def test_a_split_refuses_fractions_below_zero(samples):
    with pytest.raises(DataError, match=r"valid=-0.2 and test=0.5 of 40 samples"):
        data.split(samples, valid=-0.2, test=0.5)


def test_hold_out_takes_the_last_sixth_of_each_class():
    train, valid = hold_out(np.repeat([5, 7], [12, 6]))
    assert valid.tolist() == [10, 11, 17]
    assert len(train) == 15
    with pytest.raises(DataError, match="one training sample"):
        hold_out(np.array([1]))


# IDX -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(CODES))
@pytest.mark.parametrize("packed", [False, True])
def test_idx_reads_every_type_gzipped_or_not(tmp_path, name, packed):
    array = np.array([[1, 2, 3], [4, 5, 100]], name)
    content = idx_bytes(array)
    read = idxfile.read(write(tmp_path / "a", gzip.compress(content) if packed else content))
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def test_idx_images_come_flat_or_as_channels_in_0_to_1(tmp_path, images):
    file, labels = write(tmp_path / "i", idx_bytes(images)), write(tmp_path / "l", idx_bytes(np.arange(5, dtype="u1")))
    x, y = data.idx(file, labels)
    np.testing.assert_array_equal(x, (images.reshape(5, 6) / 255).astype(np.float32))
    assert y.dtype == np.int64
    assert y.tolist() == [0, 1, 2, 3, 4]
    assert data.idx(file, flat=False).shape == (5, 1, 2, 3)


def test_idx_leaves_rows_and_colour_images_in_their_shape(tmp_path):
    rows, colour = np.ones((2, 3), np.uint8), np.ones((2, 3, 4, 4), np.uint8)
    assert data.idx(write(tmp_path / "r", idx_bytes(rows)), flat=False).shape == (2, 3)
    assert data.idx(write(tmp_path / "c", idx_bytes(colour)), flat=False).shape == (2, 3, 4, 4)
    assert data.idx(tmp_path / "c").shape == (2, 48)


def test_idx_leaves_numbers_that_are_no_bytes_unscaled(tmp_path):
    x = data.idx(write(tmp_path / "i", idx_bytes(np.array([[500, -1]], "i4"))))
    assert x.dtype == np.float32
    assert x.tolist() == [[500, -1]]


def gz(content):
    return gzip.compress(content, mtime=0)


GOOD = idx_bytes(np.arange(6, dtype=np.uint8).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "ends too early: 0 bytes where 4 were expected"),
        (b"\0\0\x08", "ends too early"),
        (b"PK\x03\x04" + GOOD, "not an IDX file: it starts with 50 4b 03 04"),
        (b"\0\0\x07\x02" + GOOD[4:], "not an IDX file"),
        (b"\0\0\x08\x00" + GOOD[4:], "not an IDX file"),
        (GOOD[:9], "ends too early: 5 bytes where 8"),
        (GOOD[:-1], "ends too early: 5 bytes where 6"),
        (GOOD + b"\0", "goes on after the 6 bytes"),
        (idx_bytes(np.empty((0, 3), np.uint8)), "holds no numbers"),
        (b"\0\0\x0e\x04" + b"\xff" * 16, "claims .* more than"),
        (gz(GOOD[:-1]), "ends too early: 5 bytes where 6"),
        (gz(GOOD + b"\0" * 1000), "goes on after"),
        (gz(GOOD)[:-9], "cannot be read"),
        (gz(GOOD)[:10] + b"\xff" * 30, "cannot be read"),
        (gz(GOOD)[:-8] + b"\0" * 8, "cannot be read"),
        (gz(b"\0\0\x08\x01\xff\xff\xff\xff"), "claims 4294967295 bytes, more than"),
    ],
)
def test_a_damaged_idx_file_is_refused_with_its_reason(tmp_path, content, match):
    with pytest.raises(FileError, match=match):
        idxfile.read(write(tmp_path / "bad", content))


def test_a_missing_idx_file_is_named(tmp_path):
    with pytest.raises(FileError, match="nothing: cannot be read"):
        data.idx(tmp_path / "nothing")


def test_a_gzip_bomb_takes_no_memory(tmp_path):
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb") as file:
        file.write(GOOD)
        for _ in range(64):
            file.write(bytes(2**20))
    path = write(tmp_path / "bomb", bomb.getvalue())
    tracemalloc.start()
    with pytest.raises(FileError, match="goes on after"):
        idxfile.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_idx_refuses_labels_in_the_place_of_images_and_the_reverse(tmp_path, images):
    file, labels = write(tmp_path / "i", idx_bytes(images)), write(tmp_path / "l", idx_bytes(np.arange(4, dtype="u1")))
    with pytest.raises(FileError, match="are these the labels"):
        data.idx(labels)
    with pytest.raises(FileError, match="expected one integer label per image"):
        data.idx(file, file)
    with pytest.raises(DataError, match=r"holds 5 images, .* 4 labels"):
        data.idx(file, labels)


@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 40),
    packed=st.booleans(),
)
@FUZZ
def test_mutated_idx_bytes_are_read_or_refused(tmp_path, flips, cut, packed):
    content = bytearray(gzip.compress(GOOD) if packed else GOOD)
    for position, value in flips:
        content[position % len(content)] = value
    path = write(tmp_path / "fuzz", bytes(content[: len(content) - cut]))
    with suppress(FileError, DataError):
        assert data.idx(path).size > 0


# CSV -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options", "x", "y", "classes"),
    [
        ("1,2,0\n3,4,1\n", {}, [[1, 2], [3, 4]], [0, 1], None),
        ("a,b,c\n1,2,0\n3,4,1\n", {}, [[1, 2], [3, 4]], [0, 1], None),
        ("1.5,2,tree\n3,-4e1,herb\n\n", {}, [[1.5, 2], [3, -40]], [1, 0], ("herb", "tree")),
        ("y;a;b\n7;1;2\n", {"label": "y"}, [[1, 2]], [7], None),
        ("7\t1\t2\n", {"label": 0}, [[1, 2]], [7], None),
        ("7|1|2\n", {"label": -3}, [[1, 2]], [7], None),
        ("1,2,0\n3,4,1\n", {"header": True}, [[3, 4]], [1], None),
        ('"1", "2", "x,y"\n', {}, [[1, 2]], [0], ("x,y",)),
        ("1:2\n", {"delimiter": ":"}, [[1]], [2], None),
        ("\ufeff1,2\n", {}, [[1]], [2], None),
        ("1,2\r\n3,+4\r\n", {}, [[1], [3]], [2, 4], None),
    ],
)
def test_csv_reads_tables_as_people_write_them(tmp_path, text, options, x, y, classes):
    samples = data.csv(write(tmp_path / "t.csv", text), **options)
    assert samples.x.dtype == np.float32
    assert samples.x.tolist() == x
    assert samples.y.dtype == np.int64
    assert samples.y.tolist() == y
    assert samples.classes == classes


def test_csv_targets_with_a_point_are_floats(tmp_path):
    samples = data.csv(write(tmp_path / "t.csv", "1,2.0\n3,4\n"))
    assert samples.y.dtype == np.float32
    assert samples.y.tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("text", "options", "error", "match"),
    [
        ("", {}, FileError, "holds no rows"),
        ("\n \n", {}, FileError, "holds no rows"),
        ("a,b\n", {}, FileError, "a header but no rows"),
        ("1\n2\n", {}, FileError, "has one column"),
        ("a,b,y\n1,2,0\n1,oops,0\n", {}, DataError, r"t\.csv: line 3, column 2 \(b\): 'oops' is not a finite float32"),
        ("1,2,0\n1,,0\n", {}, DataError, r"line 2, column 2: '' is not a finite"),
        ("0,1,2\n0,nan,2\n", {"label": 0}, DataError, r"line 2, column 2: 'nan'"),
        ("1,0\n1e39,0\n", {}, DataError, r"line 2, column 1: '1e39'"),
        ("1,0\n1_0,0\n", {}, DataError, "'1_0' is not a finite"),
        ("1,2,0\n1,2\n", {}, FileError, "line 2 has 2 cells, the first line has 3"),
        ("1,2\n1,\n", {}, DataError, "line 2, column 2: the label is missing"),
        ("a,b\n1,2\n", {"label": "c"}, DataError, "no column is named 'c'; the first line has a, b"),
        ("1,2\n", {"label": 2}, DataError, "there is no column 2; the table has 2 columns"),
        ('1,"2\n', {}, FileError, "cannot be read as a table"),
        (b"1,\xff\xfe\n", {}, FileError, "cannot be read as a table"),
    ],
)
def test_csv_names_the_first_bad_place(tmp_path, text, options, error, match):
    with pytest.raises(error, match=match):
        data.csv(write(tmp_path / "t.csv", text), **options)


@given(text=st.text(alphabet='0123456789.,;\t|-+e"\n\rnaif x\0\u0664', max_size=60) | st.binary(max_size=60))
@FUZZ
def test_any_text_is_read_as_a_table_or_refused(tmp_path, text):
    path = write(tmp_path / "fuzz.csv", text)
    with suppress(FileError, DataError):
        assert len(data.csv(path)) > 0


# npz -----------------------------------------------------------------------------------------------------------------


def test_npz_reads_x_and_y_as_they_are(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.eye(3, dtype=np.float32), y=np.arange(3, dtype=np.int16))
    samples = data.npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(samples.x, np.eye(3))
    assert samples.y.dtype == np.int64


def test_npz_scales_bytes_and_holds_out_a_sixth(tmp_path):
    x, y = np.full((12, 2, 2), 255, np.uint8), np.arange(12) % 2
    np.savez(tmp_path / "set.npz", x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])
    d = data.npz(tmp_path / "set.npz")
    assert [len(d.train), len(d.valid), len(d.test)] == [10, 2, 3]
    assert d.name == "set"
    assert d.train.x.max() == 1.0
    assert sorted(d.valid.y) == [0, 1]


def test_npz_takes_a_validation_part_where_there_is_one(tmp_path):
    part = {f"{k}_{name}": v for name in ("train", "valid", "test") for k, v in (("x", np.eye(2)), ("y", np.zeros(2)))}
    np.savez(tmp_path / "set.npz", **part)
    d = data.npz(tmp_path / "set.npz")
    assert [len(d.train), len(d.valid), len(d.test)] == [2, 2, 2]
    assert d.train.y.dtype == np.float64


def npz_bytes(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def zip_bytes(method=zipfile.ZIP_STORED, **members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npy_bytes(shape, descr="<f8", body=b"", version=(1, 0)):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(header)) + header + body


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "not a readable .npz archive"),
        (b"hello", "not a readable .npz archive"),
        (npz_bytes(x=np.eye(2), y=np.arange(2))[:-30], "not a readable .npz archive"),
        (npz_bytes(a=np.eye(2)), r"expected x, y or x_train, .*; found a"),
        (npz_bytes(), "found nothing"),
        (
            npz_bytes(x_train=np.eye(2), y_train=[0, 1], x_test=np.eye(2), y_test=[0, 1], x_valid=np.eye(2)),
            "found x_train",
        ),
        (npz_bytes(x=np.array([[None, "a"]]), y=[1]), "x.npy holds object, .* Python objects are never read"),
        (npz_bytes(x=np.array([["a"]]), y=[1]), "x.npy holds <U1"),
        (zip_bytes(x=npy_bytes((10**9, 10**3)), y=npy_bytes((1,), body=bytes(8))), "claims 8000000000000 bytes, more"),
        (zip_bytes(x=npy_bytes((2, 1), body=bytes(8))), "not a readable|claims"),
        (zip_bytes(x=npy_bytes((1, 1), body=bytes(9))), "goes on after the 8 bytes"),
        (zip_bytes(x=npy_bytes((1, 1), body=bytes(8), version=(3, 0))), r"\.npy version \(3, 0\)"),
        (zip_bytes(x=b"no header"), "not a readable .npz archive"),
        (zip_bytes(zipfile.ZIP_BZIP2, x=npy_bytes((1, 1), body=bytes(8))), "compressed by another method"),
    ],
)
def test_a_damaged_npz_is_refused_with_its_reason(tmp_path, content, match):
    with pytest.raises(FileError, match=match):
        data.npz(write(tmp_path / "bad.npz", content))


def test_a_pickle_in_an_npz_never_runs(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    content = npz_bytes(x=np.array([[Trap()]], object), y=[1])
    with pytest.raises(FileError, match="Python objects are never read"):
        data.npz(write(tmp_path / "trap.npz", content))
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::SyntaxWarning", "ignore::DeprecationWarning")
@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 50),
    compressed=st.booleans(),
)
@FUZZ
def test_mutated_npz_bytes_are_read_or_refused(tmp_path, flips, cut, compressed):
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, x=np.eye(2), y=np.arange(2))
    content = bytearray(buffer.getvalue())
    for position, value in flips:
        content[position % len(content)] = value
    path = write(tmp_path / "fuzz.npz", bytes(content[: len(content) - cut]))
    with suppress(FileError):
        assert all(array.nbytes < 10**6 for array in npzfile.read(path).values())


# load ----------------------------------------------------------------------------------------------------------------


def mnist_like(folder, suffix="", images_name="images-idx3-ubyte", labels_name="labels-idx1-ubyte"):
    pack = gzip.compress if suffix else bytes
    folder.mkdir(parents=True, exist_ok=True)
    for part, n in (("train", 12), ("t10k", 4)):
        pixels = np.arange(n * 6, dtype=np.uint8).reshape(n, 2, 3)
        write(folder / f"{part}-{images_name}{suffix}", pack(idx_bytes(pixels)))
        write(folder / f"{part}-{labels_name}{suffix}", pack(idx_bytes(np.arange(n, dtype=np.uint8) % 2)))
    return folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_load_takes_a_folder_with_the_names_of_mnist(tmp_path, suffix):
    d = data.load(mnist_like(tmp_path / "toy", suffix))
    assert repr(d) == "Dataset 'toy': 10 train, 2 valid, 4 test samples of shape (6,)"
    np.testing.assert_array_equal(d.valid.x * 255, np.arange(60, 72).reshape(2, 6))
    assert data.load(tmp_path / "toy", flat=False).test.x.shape == (4, 1, 2, 3)


def test_load_takes_the_other_spelling_too(tmp_path):
    mnist_like(tmp_path / "toy", images_name="images.idx3-ubyte", labels_name="labels.idx1-ubyte")
    assert len(data.load(tmp_path / "toy").train) == 10


def test_load_goes_by_the_suffix(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.eye(2), y=np.arange(2))
    write(tmp_path / "a.TSV", "1\t2\n")
    assert len(data.load(tmp_path / "a.npz")) == 2
    assert len(data.load(str(tmp_path / "a.TSV"), label=0)) == 1
    with pytest.raises(FileError, match="unknown kind of data"):
        data.load(tmp_path / "a.pkl")
    with pytest.raises(FileError, match="holds no train-images-idx3-ubyte"):
        data.load(tmp_path)


@pytest.mark.parametrize(("loader", "folder"), [(data.mnist, "mnist"), (data.fashion_mnist, "fashion_mnist")])
def test_known_sets_load_from_their_folder_or_say_how_to_fetch_them(tmp_path, loader, folder):
    with pytest.raises(FileError, match=f"fetch it with `minprune data {folder.replace('_', '-')}`"):
        loader(root=tmp_path)
    mnist_like(tmp_path / folder, ".gz")
    assert loader(root=tmp_path, flat=False).train.x.shape == (10, 1, 2, 3)


@pytest.mark.data
def test_mnist_itself_has_its_sizes_and_a_stratified_validation_part():
    if "MINPRUNE_DATA" not in os.environ or not (Path(os.environ["MINPRUNE_DATA"]) / "mnist").is_dir():
        pytest.skip("MINPRUNE_DATA holds no mnist")
    d = data.mnist()
    assert repr(d) == "Dataset 'mnist': 50000 train, 10000 valid, 10000 test samples of shape (784,)"
    assert (d.train.x.dtype, d.train.x.min(), d.train.x.max()) == (np.float32, 0.0, 1.0)
    assert np.abs(np.bincount(d.valid.y) - np.bincount(d.train.y) / 5).max() < 1.5
    assert d.test.y[:5].tolist() == [7, 2, 1, 0, 4]
