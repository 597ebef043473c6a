"""Mutations that know what a file is made of: most of what they make still passes the outer parse.

Each format has one `mutate`, which takes a good file apart, spoils one or two things inside, and puts the rest together
again with right checksums and lengths; and one question to another parser (zipfile, json, protobuf, csv) whether the
outside is still whole. One time in eight the bytes themselves are spoilt, whatever they mean.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
DEEP, TWIN = "@deep@", "@twin@"
WHOLE = (
    0,
    1,
    -1,
    2,
    3,
    7,
    255,
    256,
    -128,
    1 << 16,
    1 << 31,
    (1 << 31) - 1,
    -(1 << 31),
    1 << 32,
    1 << 40,
    (1 << 63) - 1,
)
FLOATS = (0.0, -0.0, 0.5, -1.0, 1e-320, 1e38, 1e39, 1e308, float("nan"), float("inf"), float("-inf"))
TEXTS = (
    "",
    "x",
    "input",
    "dense1.W",
    "../../x",
    "/etc/passwd",
    "a\0b",
    "é\ud800",
    "NaN",
    "1_0",
    "\\",
    '"',
    "A" * 5_000,
)
DTYPES = ("F64", "F32", "F16", "BF16", "I64", "BOOL", "U8", "F4", "<f4", ">f8", "|O", "|V8", "<U9", "float32", "object")


def pick(rng: Rng, values: Any) -> Any:
    """One of them."""
    return values[int(rng.integers(len(values)))]


def whole(rng: Rng) -> int:
    """A whole number that somebody may not have thought of."""
    return int(pick(rng, WHOLE)) if rng.random() < 0.7 else int(rng.integers(-10, 100))


# --- bytes ------------------------------------------------------------------------------------------------------------


def spoil_bytes(data: bytes, rng: Rng) -> bytes:
    """Flip, cut, repeat or insert bytes."""
    if not data:
        return b"\0"
    start = int(rng.integers(len(data)))
    size = int(rng.integers(1, 1 + min(64, len(data) - start)))
    how = int(rng.integers(6))
    if how == 0:
        return data[:start]
    if how == 1:
        return data[:start] + data[start + size :]
    if how == 2:
        return data[:start] + data[start : start + size] * 2 + data[start + size :]
    if how == 3:
        return data + rng.bytes(size)
    if how == 4:
        width = int(pick(rng, (1, 2, 4, 8)))
        number = (whole(rng) % (1 << (8 * width))).to_bytes(width, pick(rng, ("little", "big")))
        return data[:start] + number + data[start + width :]
    changed = bytearray(data)
    for place in rng.integers(len(data), size=int(rng.integers(1, 9))):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


# --- JSON -------------------------------------------------------------------------------------------------------------


def any_value(rng: Rng) -> Any:
    """A value of any JSON kind."""
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: whole(rng),
        lambda: pick(rng, FLOATS),
        lambda: pick(rng, TEXTS),
        lambda: pick(rng, DTYPES),
        lambda: pick(rng, (None, True, False)),
        lambda: [whole(rng) for _ in range(int(rng.integers(4)))],
        lambda: {pick(rng, TEXTS): whole(rng)},
        lambda: [[]] * 300,
        lambda: DEEP,
        lambda: 10**400,
    )
    return pick(rng, kinds)()


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values."""
    found = [path]
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        found += places(value, (*path, key))
    return found


def spoil_value(root: Any, rng: Rng) -> Any:
    """A copy of a JSON value with one place of it changed."""
    root = json.loads(json.dumps(root))
    paths = places(root)
    path = pick(rng, paths)
    if not path:
        return any_value(rng) if rng.random() < 0.1 or not isinstance(root, dict) else root | {TWIN: 1}
    parent = root
    for key in path[:-1]:
        parent = parent[key]
    key, value = path[-1], parent[path[-1]]
    how = int(rng.integers(8))
    if how == 0:
        del parent[key]
    elif how == 1 and isinstance(parent, list):
        parent.insert(key, json.loads(json.dumps(value)))
    elif how == 2 and isinstance(parent, dict):
        parent[pick(rng, TEXTS)] = parent.pop(key)
    elif how == 3 and isinstance(value, int) and not isinstance(value, bool):
        parent[key] = value + int(pick(rng, (-1, 1, 2, -value, -2 * value, 1 << 33)))
    elif how == 4:
        other = root
        for step in pick(rng, paths):
            other = other[step] if isinstance(other, dict | list) else other
        parent[key] = json.loads(json.dumps(other))
    elif how == 5 and isinstance(value, list):
        parent[key] = value * 2 if value else [0]
    else:
        parent[key] = any_value(rng)
    return root


def to_text(root: Any) -> bytes:
    """JSON text, with what no value can say: lists in lists without end, and one key twice."""
    text = json.dumps(root)
    text = text.replace(f'"{DEEP}"', "[" * 20_000 + "]" * 20_000)
    return text.replace(f'"{TWIN}"', '"format"').encode()


def mutate_json(data: bytes, rng: Rng) -> bytes:
    """A JSON file with one or two values changed."""
    root = json.loads(data)
    for _ in range(int(rng.integers(1, 3))):
        root = spoil_value(root, rng)
    return to_text(root)


def is_json(data: bytes) -> bool:
    """Whether it is JSON, as Python reads it (nested too deep is not)."""
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


# --- zip archives with .npy arrays and .json texts --------------------------------------------------------------------


def mutate_zip(data: bytes, rng: Rng) -> bytes:
    """An archive with one member spoilt, missing, renamed, twice there, compressed otherwise, or claiming too much."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info), info.compress_type) for info in archive.infolist()]
    place = int(rng.integers(len(members)))
    name, content, method = members[place]
    how = int(rng.integers(10))
    if how == 0:
        del members[place]
    elif how == 1:
        members[place] = (pick(rng, TEXTS).replace("\ud800", "") + pick(rng, ("", ".npy")) or "x", content, method)
    elif how == 2:
        members.append(members[place])
    elif how == 3:
        members[place] = (name, content, pick(rng, (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_STORED)))
    elif how == 4:
        members[place] = (name, content[: int(rng.integers(200))] + bytes(1 << 20), zipfile.ZIP_DEFLATED)
    elif name.endswith(".json"):
        members[place] = (name, mutate_json(content, rng), method)
    else:
        members[place] = (name, _spoil_npy(content, rng), method)
    packed = _packed(members)
    return packed if how != 5 else _spoil_sizes(packed, rng)


def _packed(members: list[tuple[str, bytes, int]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content, method in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the same name twice is meant
                archive.writestr(info, content)
    return file.getvalue()


def _spoil_sizes(packed: bytes, rng: Rng) -> bytes:
    """What the directory of an archive says of a member: sizes, offset, method, flags."""
    entry = packed.rfind(b"PK\x01\x02")
    field, width = pick(rng, ((8, 2), (10, 2), (20, 4), (24, 4), (28, 2), (42, 4)))
    number = (whole(rng) % (1 << (8 * width))).to_bytes(width, "little")
    return packed[: entry + field] + number + packed[entry + field + width :]


def _spoil_npy(content: bytes, rng: Rng) -> bytes:
    """An .npy member with another header, or other numbers behind it."""
    start = 10 + int.from_bytes(content[8:10], "little")
    header, numbers = content[10:start], content[start:]
    how = int(rng.integers(6))
    if how == 0:
        numbers = spoil_bytes(numbers, rng)
    elif how == 1:
        numbers = numbers[: int(rng.integers(len(numbers) + 1))]
    elif how == 2:
        with np.errstate(over="ignore"):
            bad = np.array([pick(rng, FLOATS)], np.float32).tobytes()
        numbers = bad * (len(numbers) // 4) + numbers[len(numbers) // 4 * 4 :]
    elif how == 3:
        shape = tuple(whole(rng) for _ in range(int(rng.integers(4))))
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    elif how == 4:
        order = pick(rng, ("True", "False", "None", "0"))
        descr = pick(rng, (*DTYPES, "<f8", "<i8", "|b1", "<c8", "<M8[s]"))
        header = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({whole(rng)},), }}\n".encode()
    else:
        header = spoil_bytes(header, rng)
    size = len(header) if rng.random() < 0.9 else whole(rng) % (1 << 16)
    return content[:8] + size.to_bytes(2, "little") + header + numbers


def is_zip(data: bytes) -> bool:
    """Whether zipfile lists it and reads every member."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError, RuntimeError, zlib.error):
        return False


# --- safetensors ------------------------------------------------------------------------------------------------------


INNER = ("minprune", "minprune.state")  # metadata that are JSON themselves


def mutate_safetensors(data: bytes, rng: Rng) -> bytes:
    """Another header before the same numbers, or other numbers behind the same header."""
    size = int.from_bytes(data[:8], "little")
    header, numbers = json.loads(data[8 : 8 + size]), data[8 + size :]
    if rng.random() < 0.15:
        numbers = spoil_bytes(numbers, rng)
    elif (key := next((key for key in INNER if key in header.get("__metadata__", {})), "")) and rng.random() < 0.6:
        said = header["__metadata__"]
        said[key] = to_text(spoil_value(json.loads(said[key]), rng)).decode()
        if rng.random() < 0.8:  # with the right checksum, so that what is behind it is reached
            said["crc32"] = f"{zlib.crc32(numbers, zlib.crc32(said[key].encode('utf-8', 'surrogatepass'))):08x}"
    else:
        header = spoil_value(header, rng)
    text = to_text(header)
    length = len(text) if rng.random() < 0.97 else whole(rng) % (1 << 64)
    return length.to_bytes(8, "little") + text + numbers


def is_safetensors(data: bytes) -> bool:
    """Whether there is a JSON header of the length that is said."""
    size = int.from_bytes(data[:8], "little")
    return 8 + size <= len(data) and is_json(data[8 : 8 + size])


# --- ONNX -------------------------------------------------------------------------------------------------------------


def mutate_onnx(data: bytes, rng: Rng) -> bytes:
    """A model with one to three fields of its messages changed, wherever they are."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    for _ in range(int(rng.integers(1, 4))):
        _spoil_message(model, rng)
    return model.SerializeToString()


def _messages(message: Any) -> list[Any]:
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                found += _messages(inner)
    return found


def _spoil_message(model: Any, rng: Rng) -> None:
    message = pick(rng, _messages(model))
    field = pick(rng, message.DESCRIPTOR.fields)
    set_fields = [entry for entry, _ in message.ListFields()]
    if set_fields and rng.random() < 0.85:
        field = pick(rng, set_fields)
    if field.is_repeated:
        _spoil_repeated(getattr(message, field.name), field, model, rng)
    elif field.message_type is not None:
        getattr(message, field.name).SetInParent() if rng.random() < 0.3 else message.ClearField(field.name)
    elif rng.random() < 0.1:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _scalar(field, getattr(message, field.name), model, rng))


def _spoil_repeated(values: Any, field: Any, model: Any, rng: Rng) -> None:
    place = int(rng.integers(len(values))) if len(values) else 0
    how = int(rng.integers(4))
    if how == 0 and len(values):
        del values[place]
    elif field.message_type is not None:
        if how == 1 and len(values) > 1:  # in another order: what is read before it is made
            copy = type(values[0])()
            copy.CopyFrom(values[place])
            del values[place]
            values.insert(0, copy)
        elif len(values):
            values.add().CopyFrom(values[place])
        else:
            values.add()
    elif len(values) and how < 3:
        values[place] = _scalar(field, values[place], model, rng)
    else:
        values.extend([_scalar(field, b"" if field.type == field.TYPE_BYTES else 0, model, rng)])


def _scalar(field: Any, value: Any, model: Any, rng: Rng) -> Any:
    if field.type == field.TYPE_STRING:
        names = [name for node in model.graph.node for name in (*node.input, *node.output, node.op_type)]
        texts = [text for text in TEXTS if "\ud800" not in text]
        return pick(rng, names) if names and rng.random() < 0.6 else pick(rng, texts)
    if field.type == field.TYPE_BYTES:
        return spoil_bytes(value, rng)
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return float(pick(rng, FLOATS[:6] + FLOATS[8:]))
    if field.enum_type is not None:
        return int(pick(rng, [entry.number for entry in field.enum_type.values]))
    number = whole(rng)
    most = {field.TYPE_INT32: 31, field.TYPE_UINT64: 64}.get(field.type, 63)
    return number % (1 << most) if field.type == field.TYPE_UINT64 else max(-(1 << most), min(number, (1 << most) - 1))


def is_onnx(data: bytes) -> bool:
    """Whether protobuf takes it for a model."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        onnx.ModelProto.FromString(data)
    except (DecodeError, RecursionError):
        return False
    return True


# --- IDX and tables ---------------------------------------------------------------------------------------------------


def mutate_idx(data: bytes, rng: Rng) -> bytes:
    """Other dimensions, another kind of numbers, more or fewer of them; gzipped if it was."""
    packed = data[:2] == b"\x1f\x8b"
    plain = bytearray(gzip.decompress(data) if packed else data)
    how = int(rng.integers(5))
    if how == 0:
        place = 4 + 4 * int(rng.integers(plain[3]))
        plain[place : place + 4] = (whole(rng) % (1 << 32)).to_bytes(4, "big")
    elif how == 1:
        plain[2] = int(pick(rng, (8, 9, 11, 12, 13, 14)))
    elif how == 2:
        plain[3] = int(pick(rng, (0, 1, 2, 4, 33, 64, 255)))
    elif how == 3:
        plain[16:] = spoil_bytes(bytes(plain[16:]), rng)
    else:
        dims = [int(pick(rng, (0, 1, 2, 1 << 16, (1 << 32) - 1))) for _ in range(int(pick(rng, (1, 3, 40, 255))))]
        plain = bytearray([0, 0, int(plain[2]), len(dims)]) + b"".join(n.to_bytes(4, "big") for n in dims) + plain[16:]
    return gzip.compress(bytes(plain), mtime=0) if packed else bytes(plain)


def is_idx(data: bytes) -> bool:
    """Whether it begins as one; a gzipped one must unpack."""
    try:
        plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error):
        return False
    return plain[:2] == b"\0\0" and plain[2:3] in (b"\x08", b"\x09", b"\x0b", b"\x0c", b"\x0d", b"\x0e")


CELLS = (
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "1_0",
    "٣",
    "²",
    "0x10",
    "9" * 30,
    "1e-400",
    '"',
    "\0",
    "é",
    "A" * 200_000,
)


def mutate_csv(data: bytes, rng: Rng) -> bytes:
    """Other cells, rows that are missing, repeated, shorter or longer, another delimiter, quotes."""
    lines = data.decode().splitlines()
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(len(lines)))
        cells = lines[place].split(",")
        cell = int(rng.integers(len(cells)))
        how = int(rng.integers(7))
        if how == 0 and len(lines) > 1:
            del lines[place]
        elif how == 1:
            lines.insert(place, lines[place])
        elif how == 2:
            lines[place] = ",".join(cells[:cell] + cells[cell + 1 :])
        elif how == 3:
            lines[place] = pick(rng, (";", "\t", "|", ",,")).join(cells)
        elif how == 4:
            lines[place] = f'"{lines[place]}"'
        else:
            cells[cell] = str(whole(rng)) if rng.random() < 0.3 else pick(rng, CELLS)
            lines[place] = ",".join(cells)
    return pick(rng, ("\n", "\r\n", "\r")).join(lines).encode()


def is_csv(data: bytes) -> bool:
    """Whether it is text that the csv module reads."""
    try:
        for _ in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True):
            pass
    except (UnicodeDecodeError, csv.Error):
        return False
    return True


MUTATIONS: dict[str, tuple[Callable[[bytes, Rng], bytes], Callable[[bytes], bool]]] = {
    "zip": (mutate_zip, is_zip),
    "safetensors": (mutate_safetensors, is_safetensors),
    "onnx": (mutate_onnx, is_onnx),
    "idx": (mutate_idx, is_idx),
    "csv": (mutate_csv, is_csv),
    "json": (mutate_json, is_json),
    "npy": (_spoil_npy, lambda data: data[:6] == b"\x93NUMPY"),
}


def mutated(kind: str, data: bytes, rng: Rng) -> bytes:
    """One mutation of a good file."""
    return spoil_bytes(data, rng) if rng.random() < 0.125 else MUTATIONS[kind][0](data, rng)
