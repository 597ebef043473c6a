"""Writing files so that nobody ever finds half of one."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open `path` for writing such that it holds either its old bytes or all of the new ones.

    The bytes go to a temporary file in the same folder, which is flushed to disk and then renamed over `path` (a
    rename within one file system is atomic). If anything interrupts the writing, `path` keeps what it held.

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
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())  # mkstemp makes private files; a saved model is an ordinary one
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


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


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
