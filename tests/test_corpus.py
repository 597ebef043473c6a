"""Files that once crashed a reader, or made it ask for more memory than there is: each is refused in one line now."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minprune as mp
from minprune.errors import MinpruneError


def npy(header: str) -> bytes:
    """An array's file with this header and no numbers."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def archive(header: str) -> bytes:
    """Data whose x has this header."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("x.npy", npy(header))
        file.writestr("y.npy", npy("{'descr': '<i8', 'fortran_order': False, 'shape': (0,), }"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,",  # unbalanced: the tokeniser's own error
        "{'descr': '<f4', 'fortran_order': False, 'shape': (140737488355328,), }",  # half a petabyte
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",  # objects, which would be unpickled
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 60 + ",), }",
        "().__class__",
        "(" * 110,
    ],
)
def test_an_array_with_an_impossible_header_is_refused(header: str, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(archive(header))
    with pytest.raises(MinpruneError) as caught:
        mp.data.load(path)
    assert len(str(caught.value).splitlines()) == 1


def plan_with(change: dict[str, Any], tmp_path: Path) -> Path:
    net = mp.Sequential(mp.Dense(4, 5), mp.ReLU(), mp.Dense(5, 3), rng=0)
    path = tmp_path / "plan.json"
    mp.decide(mp.score(net, criterion="magnitude_l2"), mp.PerLayer(0.4)).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return path


EVIDENCE = {"size": 5, "gone": [], "stay": [1.0], "infinite": 0, "held": 0}


@pytest.mark.parametrize(
    "change",
    [
        {"evidence": {"dense1": EVIDENCE}},
        {"sizes": {"params": [], "macs": [], "bytes": []}},
        {"evidence": []},
        {"drop": "dense1" * 100_000},
    ],
)
def test_a_plan_with_impossible_numbers_is_refused_in_a_short_line(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(MinpruneError) as caught:
        mp.Plan.load(plan_with(change, tmp_path))
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("j", [10**400, -(10**30), 5])
def test_a_plan_for_neurons_that_no_network_has_removes_nothing(j: int, tmp_path: Path) -> None:
    plan = mp.Plan.load(plan_with({"drop": {"dense1": [j]}}, tmp_path))
    net = mp.Sequential(mp.Dense(4, 5), mp.ReLU(), mp.Dense(5, 3), rng=0)
    with pytest.raises(MinpruneError) as caught:
        mp.remove(net, plan)
    assert len(str(caught.value)) < 1000


def test_a_good_file_of_the_same_kinds_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((3, 2), np.float32), y=np.arange(3))
    assert len(mp.data.load(tmp_path / "data.npz")) == 3
    assert set(mp.Plan.load(plan_with({}, tmp_path)).drop) == {"dense1"}
