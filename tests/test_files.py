"""Files: all of the new bytes, or the old ones."""

from __future__ import annotations

import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from minprune.files import atomic_write


def test_the_bytes_arrive(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as file:
        file.write(b"one ")
        file.write(b"two")
    assert (tmp_path / "a").read_bytes() == b"one two"
    assert os.listdir(tmp_path) == ["a"]


def test_a_text_path_will_do(tmp_path: Path) -> None:
    with atomic_write(str(tmp_path / "a")) as file:
        file.write(b"x")
    assert (tmp_path / "a").read_bytes() == b"x"


def write_half(target: Path, interruption: BaseException) -> None:
    """Begin to write a file, and be interrupted."""
    with atomic_write(target) as file:
        file.write(b"half of the n")
        raise interruption


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_an_interrupted_write_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, interruption: type[BaseException]
) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with pytest.raises(interruption):
        write_half(target, interruption())
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_an_interrupted_first_write_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"):
        write_half(tmp_path / "a", ValueError("stop"))
    assert os.listdir(tmp_path) == []


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with atomic_write(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


def test_a_failing_rename_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError), atomic_write(tmp_path / "folder") as file:  # noqa: PT011 (its text is the system's)
        file.write(b"x")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "no" / "a"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX's")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"x")
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~mask
        assert os.umask(mask) == mask
    finally:
        os.umask(before)


def test_a_name_as_long_as_the_system_takes_can_be_written(tmp_path: Path) -> None:
    with atomic_write(tmp_path / ("a" * 255)) as file:
        file.write(b"x")
    assert os.listdir(tmp_path) == ["a" * 255]


def test_a_link_is_replaced_and_what_it_points_to_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"mine")
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    with atomic_write(tmp_path / "a") as file:
        file.write(b"new")
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"
    assert (tmp_path / "a").read_bytes() == b"new"
    assert not (tmp_path / "a").is_symlink()


def test_writers_in_many_threads_do_not_mix_and_leave_the_umask_alone(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        contents = [bytes([n]) * 50_000 for n in range(8)]

        def write(content: bytes) -> None:
            for _ in range(5):
                with atomic_write(tmp_path / "a") as file:
                    file.write(content[:1000])
                    file.write(content[1000:])
                assert (tmp_path / "a").read_bytes() in contents

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, contents))
        assert os.umask(0o077) == 0o077
        assert os.listdir(tmp_path) == ["a"]
    finally:
        os.umask(before)


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be opened there")
def test_file_and_folder_are_flushed_to_disk_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with atomic_write(tmp_path / "a") as file:
        file.write(b"x")
    assert flushed == ["file", "folder"]
