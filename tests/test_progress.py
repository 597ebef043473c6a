"""Progress bars: drawn on stderr where asked for, never in the way of the work."""

from __future__ import annotations

import subprocess
import sys

import pytest

from minprune import progress
from minprune.progress import bar, track


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rich believe that somebody looks at a wide terminal, and has no patience."""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.parametrize("show", [True, False])
def test_track_hands_out_every_item_in_order(show: bool) -> None:
    assert list(track([3, 1, 2], "counting", show=show)) == [3, 1, 2]
    assert list(track(iter("ab"), "counting", show=show)) == ["a", "b"]
    assert list(track(iter("ab"), "counting", show=show, total=2)) == ["a", "b"]


def test_a_bar_is_drawn_on_stderr_only(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    with bar("scoring", 4, show=True) as advance:
        advance()
        advance(3, "loss 0.5")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "scoring" in captured.err
    assert "4/4" in captured.err
    assert "loss 0.5" in captured.err


def test_bytes_are_written_as_bytes(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    with bar("fetching", 2_000_000, show=True, unit="bytes") as advance:
        advance(2_000_000)
    assert "2.0/2.0 MB" in capsys.readouterr().err


def test_a_bar_without_a_known_end_is_drawn(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    with bar("fetching", None, show=True) as advance:
        advance(3)
    assert "3/?" in capsys.readouterr().err


def test_nothing_is_drawn_where_nobody_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("scoring", 2, show=False) as advance:
        advance()
        advance(1, "text")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_nothing_is_drawn_for_what_is_done_at_once(
    terminal: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 60.0)
    with bar("scoring", 2, show=True) as advance:
        advance()
    assert capsys.readouterr().err == ""


def test_an_error_within_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), bar("scoring", 2, show=True):
        raise ZeroDivisionError


def test_rich_is_loaded_only_where_something_is_drawn() -> None:
    code = "import sys, minprune.progress as p; list(p.track([1], 'x', show=False)); print('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
