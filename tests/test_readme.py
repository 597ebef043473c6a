"""The README: its code runs as printed, its pictures exist, its first screen says what it must."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=[f"block-{n}" for n in range(1, len(PROGRAMS) + 1)])
def test_the_code_runs_as_printed(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "README.md", "exec"), {"__name__": "__main__"})
    assert "masked ≡ removed" in capsys.readouterr().out


def test_the_two_commands_come_first() -> None:
    commands = re.findall(r"^```sh\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    assert commands[0].strip().endswith("minprune demo")
    assert commands[1].strip().endswith("pytest")
    assert README.index(commands[1]) < README.index(PROGRAMS[0])


def test_every_local_picture_and_page_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target
