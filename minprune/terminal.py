"""Keys, one at a time, from whatever terminal there is: POSIX, Windows, or a line followed by Enter."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Read = Callable[[], str]  # waits for a key and returns its name; "q" where the input has ended

# What a terminal sends for keys that are no letters, behind ESC: as a cursor key, and in application mode.
ESCAPES = {"A": "p", "B": "n", "C": "n", "D": "p", "H": "home", "F": "end"}
PLAIN = {"\r": "enter", "\n": "enter", " ": "n", "\x7f": "p", "\b": "p", "": "q", "\x04": "q"}
WINDOWS = {"H": "p", "P": "n", "M": "n", "K": "p", "G": "home", "O": "end"}  # behind \x00 or \xe0
PATIENCE = 0.05  # seconds: an ESC with nothing behind it was the key itself

ENTER_SCREEN, LEAVE_SCREEN, CLEAR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[H\x1b[2J"


def is_interactive() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def keys() -> Iterator[Read | None]:
    """Read single keys; however it ends, the terminal is left as it was.

    Yields
    ------
    callable or None
        Returns the next key by name: "n", "p", "home", "end", "enter", "q", or the letter or digit itself. None where
        keys cannot be had one at a time: then `input` has to do.
    """
    if os.environ.get("TERM") == "dumb":
        yield None
    elif sys.platform == "win32":
        with _own_screen():
            yield _windows_key
    else:
        with _posix() as read:
            yield read


@contextmanager
def _own_screen() -> Iterator[None]:
    """A screen of its own, so that what was there before comes back."""
    sys.stdout.write(ENTER_SCREEN)
    try:
        yield
    finally:
        sys.stdout.write(LEAVE_SCREEN)
        sys.stdout.flush()


if sys.platform != "win32":

    @contextmanager
    def _posix() -> Iterator[Read | None]:
        try:
            import termios
            import tty
        except ImportError:  # a system without terminals of this kind
            yield None
            return
        source = sys.stdin.fileno()
        before = termios.tcgetattr(source)
        try:
            tty.setcbreak(source)  # keys at once and unseen; Ctrl-C still interrupts
            with _own_screen():
                yield lambda: _posix_key(source)
        finally:
            termios.tcsetattr(source, termios.TCSADRAIN, before)

    def _posix_key(source: int) -> str:
        """One key; a cursor key comes as ESC, [ or O, and a letter."""
        from select import select

        key = os.read(source, 1).decode(errors="replace")
        if key != "\x1b":
            return PLAIN.get(key, key)
        sequence = ""
        while select([source], [], [], PATIENCE)[0]:
            sequence += os.read(source, 1).decode(errors="replace")
            if len(sequence) > 1 and (sequence[-1].isalpha() or sequence[-1] == "~"):
                break
        return ESCAPES.get(sequence[-1:], "escape") if sequence[:1] in ("[", "O") else "escape"


def _windows_key() -> str:
    if sys.platform == "win32":
        import msvcrt

        key = msvcrt.getwch()
        if key == "\x03":
            raise KeyboardInterrupt
        return WINDOWS.get(msvcrt.getwch(), "escape") if key in "\x00\xe0" else PLAIN.get(key, key)
    raise OSError("there is no msvcrt here")
