"""Writing files so that nobody ever finds half of one."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import FileError

SHOWN = 60  # characters of a file's name in that of its temporary file: together they must be a name, too


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open `path` for writing such that it holds either its old bytes or all of the new ones.

    The bytes go to a temporary file in the same folder, which is flushed to disk and then renamed over `path` (a
    rename within one file system is atomic); then the folder is flushed, so that the new name outlives a power cut.
    If anything interrupts the writing, `path` keeps what it held. Several writers, threads or processes, each have a
    temporary file of their own: the last to rename wins, whole. A process that is killed can leave its temporary file,
    ``.NAME.….part``, behind; nothing ever reads one. A symbolic link at `path` is replaced, not followed.

    Parameters
    ----------
    path : str or path
        The file to write. Its folder must exist.

    Yields
    ------
    file
        A binary file, open for writing.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> target = Path(mkdtemp()) / "a.txt"
    >>> with atomic_write(target) as file:
    ...     _ = file.write(b"whole")
    >>> target.read_bytes()
    b'whole'
    """
    target = Path(path)
    part = target.parent / f".{target.name[:SHOWN]}.{secrets.token_hex(8)}.part"
    # Made with the mode of an ordinary file: the umask applies by itself, and never has to be changed to be known.
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _flush_folder(target.parent)


def _flush_folder(folder: Path) -> None:
    """Bring a folder's names to disk, where the system can open a folder (Windows cannot)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size_of(path: str | os.PathLike[str], most: int | None = None) -> int:
    """The bytes of a file that is to be read: looked at before it is opened.

    Parameters
    ----------
    path : str or path
        A file, or a link to one: a pipe could keep its reader waiting for ever.
    most : int, optional
        How many bytes there may be.

    Raises
    ------
    FileError
        For what is no file, or is too large. The text does not name the path; its reader does.
    OSError
        Where there is nothing.

    Examples
    --------
    >>> size_of(os.devnull)
    Traceback (most recent call last):
    minprune.errors.FileError: cannot be read: it is not a file
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise FileError("cannot be read: it is not a file")
    if most is not None and found.st_size > most:
        raise FileError(f"has {found.st_size:,} bytes, expected at most {most:,}")
    return found.st_size


def user_cache(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    r"""Where the system keeps what can be made again.

    Parameters
    ----------
    environ : mapping, optional
        The environment's variables; by default the process's.
    platform : str
        As `sys.platform`.

    Returns
    -------
    Path
        `~/.cache/minprune` (or below `$XDG_CACHE_HOME`), on macOS `~/Library/Caches/minprune`, on Windows
        `%LOCALAPPDATA%\minprune`.

    Examples
    --------
    >>> user_cache({"XDG_CACHE_HOME": "caches"}, "linux").as_posix()
    'caches/minprune'
    """
    environ = os.environ if environ is None else environ
    if platform == "darwin":
        return Path.home() / "Library" / "Caches" / "minprune"
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "minprune"
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minprune"
