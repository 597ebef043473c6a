"""Benchmarks: `minprune bench` for one's own network, and the runner of the files in bench/."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minprune as mp
from minprune import surroundings
from minprune.cli import main
from minprune.commands import benching

BENCH = Path(__file__).parent.parent / "bench"
FAST = ("--batch", "1,3", "--seconds", "0.01")


def python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of Python in the checkout."""
    return subprocess.run(
        [sys.executable, *words], cwd=BENCH.parent, capture_output=True, text=True, env=os.environ | environment
    )


# One's own network ----------------------------------------------------------------------------------------------------


def test_a_network_is_timed_beside_both_peers_and_the_machine_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mp.save(mp.Sequential(mp.Dense(20, 30), mp.ReLU(), mp.Dense(30, 5), rng=0), tmp_path / "net.npz")
    assert main(["bench", str(tmp_path / "net.npz"), *FAST, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["batch"] for row in found["rows"]] == [1, 3]
    for row in found["rows"]:
        assert set(row["ratios"]) == {"NumPy", "onnxruntime"}
        assert 0 < row["of_roof"] < 1.5
        assert all(0 < ratio["low"] <= ratio["median"] <= ratio["high"] for ratio in row["ratios"].values())
    assert found["where"]["numpy"] == np.__version__
    assert found["where"]["threads"] == 1


def test_a_peer_that_cannot_take_part_is_named_with_the_reason_and_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mp.save(mp.Sequential(mp.Dense(4, 3), dtype=np.float64, rng=0), tmp_path / "net.npz")
    monkeypatch.setattr(benching, "find_spec", lambda package: None)
    assert main(["bench", str(tmp_path / "net.npz"), *FAST]) == 0
    text = capsys.readouterr().out
    assert "\nonnxruntime: onnx is not installed\n" in text
    assert re.search(r"^1 .* –$", text, re.MULTILINE)
    assert "python -m bench in a checkout" in text


def test_a_network_that_onnxruntime_refuses_is_timed_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mp.save(mp.Sequential(mp.Dense(4, 3), rng=0), tmp_path / "net.npz")
    monkeypatch.setattr("minprune.formats.onnx_files.writing.to_model", lambda net, about: b"no model")
    assert main(["bench", str(tmp_path / "net.npz"), *FAST]) == 0
    assert "\nonnxruntime: it refuses the network: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--batch", "1,0", "list of whole numbers such as 1,32,256"),
        ("--seconds", "nan", "number of seconds above 0"),
        ("--seconds", "0", "number of seconds above 0"),
    ],
)
def test_wrong_numbers_are_wrong_usage(
    option: str, value: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", option, value])
    assert stop.value.code == 2
    assert f"invalid {expected} value: '{value}'" in capsys.readouterr().err


def test_what_is_not_installed_is_said_to_be_passed_over() -> None:
    found = surroundings.surroundings(("numpy", "nobody-has-this"))
    assert surroundings.described(found).splitlines()[-1] == "not installed, so passed over: nobody-has-this"


# The files in bench/ --------------------------------------------------------------------------------------------------


def test_every_benchmark_is_listed_with_its_question() -> None:
    said = python("-m", "bench", "--list").stdout
    for path in BENCH.glob("[!_]*.py"):
        if path.stem not in ("side_by_side", "peers"):
            assert re.search(rf"^{path.stem} +\S.*[?.]", said, re.MULTILINE), path


def test_the_runner_says_machine_and_versions_once_and_keeps_the_numbers(tmp_path: Path) -> None:
    done = python("-m", "bench", "--quick", "--only", "startup", "device", "--json", str(tmp_path), MINPRUNE_DATA="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"numpy {np.__version__}") == 1
    assert re.search(r"^startup +\S+ m?s +done$", done.stdout, re.MULTILINE)
    assert re.search(r"^device +\S+ m?s +(done|passed over)$", done.stdout, re.MULTILINE)
    kept = json.loads((tmp_path / "startup.json").read_text(encoding="utf-8"))
    assert kept["quick"] is True
    assert kept["where"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {row["what"] for row in kept["rows"]} > {"import numpy", "import minprune"}


def test_a_benchmark_that_fails_fails_the_runner(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text('"""Does it fail?"""\nraise SystemExit(3)\n')
    code = (
        "import pathlib, sys\n"
        "from bench import __main__ as runner\n"
        f"runner.FOLDER, runner.SPEED = pathlib.Path({str(tmp_path)!r}), ('broken',)\n"
        "sys.exit(runner.main())"
    )
    done = python("-c", code)
    assert done.returncode == 1
    assert "[1/1] broken: Does it fail?" in done.stdout
    assert re.search(r"^broken +\S+ m?s +failed \(3\)$", done.stdout, re.MULTILINE)


def test_a_name_that_is_no_benchmark_is_wrong_usage() -> None:
    done = python("-m", "bench", "--only", "luck")
    assert done.returncode == 2
    assert "invalid choice: 'luck'" in done.stderr


@pytest.mark.slow
def test_every_benchmark_of_speed_runs_within_minutes(tmp_path: Path) -> None:
    done = python("-m", "bench", "--quick", "--json", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "growth.json").stat().st_size > 0
