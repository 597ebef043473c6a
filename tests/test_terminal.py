"""Keys from a terminal, and `minprune step` at a pseudo-terminal: what a person presses and sees."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from minprune import terminal
from minprune.cli import main

pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX")
import fcntl  # noqa: E402
import struct  # noqa: E402
import termios  # noqa: E402

ROWS, COLUMNS = 30, 90
DONE = "q quit"  # the last line of every page


class Session:
    """A command at a pseudo-terminal of its own."""

    def __init__(self, *words: str, **environment: str) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "minprune", *words],
            preexec_fn=self._as_a_person_starts_it,
            close_fds=True,
            pass_fds=(self.slave,),
            env={**os.environ, "TERM": "xterm", **environment},
        )

    def _as_a_person_starts_it(self) -> None:
        """A shell's background job ignores Ctrl-C, and what it starts inherits that: a person's command does not."""
        os.login_tty(self.slave)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def read(self, until: str) -> str:
        """What is written until a text comes, or 20 seconds have passed."""
        from select import select

        seen, end = b"", time.monotonic() + 20
        while until.encode() not in seen and time.monotonic() < end:
            if select([self.master], [], [], 0.1)[0]:
                seen += os.read(self.master, 65536)
        assert until.encode() in seen, seen.decode(errors="replace")
        return seen.decode(errors="replace")

    def press(self, keys: str, until: str = DONE) -> str:
        os.write(self.master, keys.encode())
        return self.read(until)

    def leaves_the_terminal_as_it_was(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def session() -> Iterator[Any]:
    """Starts sessions, and ends them."""
    started: list[Session] = []

    def start(*words: str, **environment: str) -> Session:
        started.append(Session(*words, **environment))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_a_person_steps_forward_back_and_to_a_number_and_leaves(session: Any) -> None:
    at = session("step")
    first = at.read(DONE)
    assert terminal.ENTER_SCREEN in first
    assert "1/91  dense1[0]" in first
    assert "= 0.3 · 1 + 0.3 · 2 + 0.1 · 3 − 0.1" in first
    assert not at.leaves_the_terminal_as_it_was()  # keys are read one at a time
    assert "2/91  " in at.press("n")
    assert "3/91  " in at.press("\x1b[C")
    assert "2/91  " in at.press("\x1b[D")
    assert "1/91  " in at.press("p")
    assert "this is the first step" in at.press("p", "first step")
    assert "to step 1: Enter or g" in at.press("1", "Enter or g")
    assert "21/91  ∂ℓ/∂sigmoid1[0]" in at.press("\b21\r", "21/91")
    assert "BACKWARD" in at.press("3\x1b[B", "22/91")
    assert "there is no step 92" in at.press("92g", "no step 92")
    assert "91/91" in at.press("G", "91/91")
    assert "this is the last step" in at.press("\r", "last step")
    assert "1/91  " in at.press("g", "1/91")
    assert "'z' does nothing" in at.press("z", "nothing")
    end = at.press("q", "left at step 1 of 91: dense1[0]")
    assert terminal.LEAVE_SCREEN in end
    assert at.process.wait(10) == 0
    assert at.leaves_the_terminal_as_it_was()


def test_ctrl_c_leaves_the_terminal_as_it_was(session: Any) -> None:
    at = session("step", "--linear")
    at.read(DONE)
    end = at.press("\x03", "minprune step: interrupted")
    assert terminal.LEAVE_SCREEN in end
    assert at.process.wait(10) == 130
    assert at.leaves_the_terminal_as_it_was()


def test_a_terminal_without_single_keys_is_read_line_by_line(session: Any) -> None:
    at = session("step", TERM="dumb")
    assert terminal.ENTER_SCREEN not in at.read(DONE)
    assert "2/91  " in at.press("\n")
    assert "12/91  " in at.press("12\n", "12/91")
    assert "11/91  " in at.press("p\n", "11/91")
    at.press("\x04", "left at step 11 of 91")  # the end of input
    assert at.process.wait(10) == 0


def key_of(sent: bytes) -> str:
    read, write = os.pipe()
    os.write(write, sent)
    try:
        return terminal._posix_key(read)
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        *((b"n", "n"), (b" ", "n"), (b"\x7f", "p"), (b"\r", "enter"), (b"\x1b[A", "p"), (b"\x1b[B", "n")),
        *((b"\x1bOC", "n"), (b"\x1b[H", "home"), (b"\x1b[F", "end"), (b"\x1b", "escape"), (b"\x1b[5~", "escape")),
        *((b"\x04", "q"), (b"7", "7")),
    ],
)
def test_a_key_has_a_name(sent: bytes, name: str) -> None:
    assert key_of(sent) == name


def test_the_end_of_input_means_quit() -> None:
    read, write = os.pipe()
    os.close(write)
    assert terminal._posix_key(read) == "q"
    os.close(read)


@pytest.mark.parametrize(
    ("sent", "name"),
    [("n", "n"), ("\r", "enter"), ("\xe0M", "n"), ("\xe0H", "p"), ("\x00G", "home"), ("\xe0S", "escape")],
)
def test_windows_keys_have_the_same_names(sent: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left = list(sent)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(getwch=lambda: left.pop(0)))
    with terminal.keys() as read:
        assert read is not None
        assert read() == name


def test_ctrl_c_interrupts_on_windows_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(getwch=lambda: "\x03"))
    with pytest.raises(KeyboardInterrupt):
        terminal._windows_key()


def test_without_msvcrt_there_are_no_windows_keys() -> None:
    with pytest.raises(OSError, match="no msvcrt"):
        terminal._windows_key()


def test_a_system_without_termios_reads_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "termios", None)
    monkeypatch.setattr(terminal, "is_interactive", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n3\nnn\nq\n"))
    assert main(["step"]) == 0
    out = capsys.readouterr().out
    for page in ("1/91", "2/91", "3/91", "5/91", "left at step 5 of 91"):
        assert page in out


def test_a_step_longer_than_the_screen_is_cut_and_says_so(session: Any) -> None:
    at = session("step")
    fcntl.ioctl(at.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
    page = at.read(" 12 g: to s")  # the last line is cut to the screen
    assert "more lines: a larger window, or --all" in page
    assert page.count("\n") <= 10
