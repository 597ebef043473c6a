"""Kill -9 at random moments, five times; fifty by hand: python -m tests.killing --times 50"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from killing import Pruning, save_killed_once

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")]


def test_a_pruning_that_is_killed_leaves_the_old_file_or_the_new_one_and_resumes_to_the_same_bytes(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(1)
    pruning = Pruning(tmp_path)
    where = [pruning.killed_once(rng) for _ in range(5)]
    assert "in the middle" in where, where


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".onnx"])
def test_a_save_that_is_killed_leaves_a_whole_file(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for _ in range(2):
        assert save_killed_once(tmp_path, rng, suffix).startswith("network ")
