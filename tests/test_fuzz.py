"""The fuzz harness, and a minute of it; a hundred thousand runs by hand: python -m tests.fuzz --runs 100000"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import fuzz
import numpy as np
import pytest
from fuzz_mutations import MUTATIONS, mutated
from fuzz_readers import Reader, readers

pytestmark = pytest.mark.skipif(os.name == "nt", reason="limits and timers are POSIX's")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    return readers(tmp_path_factory.mktemp("fuzz"))


def test_good_files_are_accepted_by_their_readers(found: dict[str, Reader], tmp_path: Path) -> None:
    for name, reader in found.items():
        for suffix, content in reader.seeds:
            (tmp_path / f"good{suffix}").write_bytes(content)
            assert fuzz.outcome(reader, tmp_path / f"good{suffix}") == ("accepted", ""), name
            assert MUTATIONS[reader.kind][1](content), name


def test_mutations_are_repeatable_and_differ(found: dict[str, Reader]) -> None:
    for name, reader in found.items():
        inputs = [fuzz.input_of(reader, 7, run) for run in range(40)]
        assert inputs == [fuzz.input_of(reader, 7, run) for run in range(40)], name
        assert len(set(inputs)) > 20, name


def test_at_least_half_of_what_is_mutated_passes_the_outer_parse(found: dict[str, Reader]) -> None:
    for name, reader in found.items():
        passed = [MUTATIONS[reader.kind][1](fuzz.input_of(reader, 3, run)[1]) for run in range(60)]
        assert sum(passed) >= 30, name


def test_a_hundred_mutations_of_each_kind_are_accepted_or_refused(found: dict[str, Reader], tmp_path: Path) -> None:
    for name, reader in found.items():
        rng = np.random.default_rng(11)
        outcomes: Counter[str] = Counter()
        for _ in range(100):
            suffix, content = reader.seeds[int(rng.integers(len(reader.seeds)))]
            path = tmp_path / f"input{suffix}"
            path.write_bytes(mutated(reader.kind, content, rng))
            how, why = fuzz.outcome(reader, path)
            assert how != "failed", f"{name}: {why}"
            outcomes[how] += 1
        assert outcomes["refused"] > 20, name
        assert {entry.name for entry in tmp_path.iterdir()} <= {f"input{suffix}" for suffix, _ in reader.seeds}, name
        for entry in tmp_path.iterdir():
            entry.unlink()


def take_much(path: Path) -> None:
    assert np.ones(fuzz.MEMORY // 4).nbytes > fuzz.MEMORY


def never_end(path: Path) -> None:
    while True:
        time.sleep(0.01)


def fail(path: Path) -> None:
    raise KeyError("a\nb")


@pytest.mark.parametrize(
    ("read", "why"), [(fail, "KeyError: 'a\\nb'"), (never_end, "took more than"), (lambda p: None, "")]
)
def test_what_a_reader_does_wrong_is_noticed(
    read: object, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    how, told = fuzz.outcome(Reader("json", read, ()), tmp_path / "a")  # type: ignore[arg-type]
    assert how == ("failed" if why else "accepted")
    assert why in told


def test_the_bound_on_memory_is_enforced_by_the_system(tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:  # in a process of its own: the limit cannot be taken back
        fuzz.limit_memory()
        how, why = fuzz.outcome(Reader("json", take_much, ()), tmp_path / "a")
        os._exit(0 if how == "failed" and "Unable to allocate" in why else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.slow
def test_a_minute_of_fuzzing_finds_nothing() -> None:
    tallies = fuzz.fuzz(readers_by_name(), runs=24_000, seed=int(time.time()) // 86_400, workers=2, show=False)
    total = sum((tally.counts for tally in tallies.values()), Counter())
    assert [(name, tally.failures[:3]) for name, tally in tallies.items() if tally.failures] == []
    assert total["runs"] == 24_000
    assert total["parsed"] >= total["runs"] / 2


def readers_by_name() -> list[str]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return list(readers(Path(folder)))
