"""Fetching known data sets from their homes: resumed where interrupted, checked by SHA-256, never half written."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO
from urllib.parse import urlsplit

from minprune.datasets.known import SETS, Content, KnownSet, Remote
from minprune.errors import FileError
from minprune.files import atomic_write, user_cache
from minprune.progress import bar

ATTEMPTS = 3  # per address
CHUNK = 2**16
SLACK = 2**20  # what a delivery may have over its contents: gzip and zip headers, other small members
AGAIN = (408, 425, 429, 500, 502, 503, 504)  # answers that may change if one asks again
NETWORK = (OSError, http.client.HTTPException)  # URLError and timeouts are OSErrors


def root_folder(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """The folder under which each data set has its own: MINPRUNE_DATA, or else the user's cache.

    Parameters
    ----------
    environ : mapping, optional
        The environment's variables; by default the process's.
    platform : str
        As `sys.platform`.

    Returns
    -------
    Path
        `$MINPRUNE_DATA`; without it `minprune.files.user_cache`.

    Examples
    --------
    >>> root_folder({"MINPRUNE_DATA": "sets"}).as_posix()
    'sets'
    """
    environ = os.environ if environ is None else environ
    if environ.get("MINPRUNE_DATA"):
        return Path(environ["MINPRUNE_DATA"]).expanduser()
    return user_cache(environ, platform)


def path(name: str, root: str | os.PathLike[str] | None = None, *, sets: Mapping[str, KnownSet] = SETS) -> Path:
    """The folder of a data set that has been fetched.

    Parameters
    ----------
    name : str
        One of `SETS`.
    root : str or path, optional
        By default `root_folder()`.
    sets : mapping of str to KnownSet
        The sets to choose from.

    Returns
    -------
    Path
        It holds all files of the set. They were checked when they were fetched; `fetch` checks them again.

    Raises
    ------
    FileError
        For an unknown name, and where a file is missing; names the command that fetches it.

    Examples
    --------
    >>> path("mnist", root="nowhere")
    Traceback (most recent call last):
    minprune.errors.FileError: mnist is not complete in nowhere...mnist: fetch it with `minprune data mnist`
    """
    folder = _folder(name, root, sets)
    if not all((folder / content.name).is_file() for remote in sets[name].remotes for content in remote.contents):
        raise FileError(f"{name} is not complete in {folder}: fetch it with `minprune data {name}`")
    return folder


def fetch(
    name: str,
    root: str | os.PathLike[str] | None = None,
    progress: bool = True,
    *,
    sets: Mapping[str, KnownSet] = SETS,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> Path:
    """Fetch a known data set from its home; what is there already and right is left alone.

    An interrupted download stays as a `.part` file and is continued the next time. A file gets its name only after
    its SHA-256 was found right; what is found wrong is deleted.

    Parameters
    ----------
    name : str
        One of `SETS`: "mnist", "fashion-mnist", "sms-spam", "tic-tac-toe", "movielens-small".
    root : str or path, optional
        By default `root_folder()`; the set gets a folder of its own below it.
    progress : bool
        Show a bar per file.
    sets : mapping of str to KnownSet
        The sets to choose from.
    timeout : float
        Seconds without an answer after which an attempt is given up.
    pause : float
        Seconds before an address is asked a second time; twice as many before the third.

    Returns
    -------
    Path
        The set's folder.

    Raises
    ------
    FileError
        For an unknown name, a folder that cannot be written, and when no address delivers the right bytes; says why.

    Examples
    --------
    >>> fetch("imagenet")
    Traceback (most recent call last):
    minprune.errors.FileError: unknown data set 'imagenet'; known are mnist, fashion-mnist, sms-spam, ...
    """
    folder = _folder(name, root, sets)
    missing = [r for r in sets[name].remotes if not all(_is_right(folder / c.name, c) for c in r.contents)]
    if missing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(
                f"cannot make the folder {folder}: {error.strerror}; set MINPRUNE_DATA to another"
            ) from None
    for remote in missing:
        _obtain(remote, folder, progress, timeout, pause)
    return folder


def _folder(name: str, root: str | os.PathLike[str] | None, sets: Mapping[str, KnownSet]) -> Path:
    if name not in sets:
        raise FileError(f"unknown data set {name!r}; known are {', '.join(sets)}")
    return (root_folder() if root is None else Path(root)) / name.replace("-", "_")


def _obtain(remote: Remote, folder: Path, progress: bool, timeout: float, pause: float) -> None:
    """Try the addresses in turn until one delivers what is expected."""
    reasons = []
    for url in remote.urls:
        # Each address has its own part: two mirrors may have gzipped the same content to different bytes.
        part = folder / f"{_file_name(url)}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"
        try:
            _download(url, part, sum(c.size for c in remote.contents) + SLACK, progress, timeout, pause)
            return _accept(part, url, remote, folder)
        except FileError as error:
            reasons.append(str(error))
        except NETWORK as error:
            kept = "; run it again to go on where it stopped" if part.exists() else ""
            reasons.append(f"{url}: {_reason(error)}{kept}")
    raise FileError("; ".join(reasons))


def _download(url: str, part: Path, limit: int, progress: bool, timeout: float, pause: float) -> None:
    for attempt in range(ATTEMPTS):
        try:
            return _transfer(url, part, limit, progress, timeout)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the part is no beginning of what the server has now
                part.unlink(missing_ok=True)
            elif error.code not in AGAIN or attempt == ATTEMPTS - 1:
                raise
        except NETWORK:
            if attempt == ATTEMPTS - 1:
                raise
        time.sleep(pause * (attempt + 1))
    raise FileError(f"{url}: refuses to deliver from the start")


def _transfer(url: str, part: Path, limit: int, progress: bool, timeout: float) -> None:
    """One attempt: ask for what the part still lacks, and append it; a server that starts over is followed."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "minprune", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
        if not (answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")):
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdecimal() else None
        with (
            part.open("ab" if have else "wb") as file,
            bar(_file_name(url), total, show=progress, unit="bytes") as advance,
        ):
            advance(have)
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                have += len(chunk)
                advance(len(chunk))
                if have > limit:
                    break
    if have > limit:
        part.unlink()
        raise FileError(f"{url}: delivers more than the {limit} bytes that this file can have; it has changed")
    if total is not None and have < total:
        raise ConnectionError(f"the connection ended after {have} of {total} bytes")


def _accept(part: Path, url: str, remote: Remote, folder: Path) -> None:
    """Give the delivered file its name, or unpack it, if its content is right; delete it otherwise."""
    try:
        if _file_name(url).endswith(".zip"):
            for content in remote.contents:
                _extract(part, content, folder)
            part.unlink()
        else:
            (content,) = remote.contents
            _check(part, content)
            os.replace(part, folder / content.name)
    except (
        FileError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        EOFError,
        zlib.error,
        KeyError,
        NotImplementedError,
    ) as error:
        part.unlink(missing_ok=True)
        raise FileError(f"{url}: not the expected file, deleted: {error}") from None


def _extract(archive: Path, content: Content, folder: Path) -> None:
    """One member of a .zip, found by the last part of its name and written under ours: no path of its own counts."""
    with zipfile.ZipFile(archive) as members:
        found = [m for m in members.infolist() if PurePosixPath(m.filename).name == content.name]
        if not found:
            raise FileError(f"the archive holds no {content.name}")
        with members.open(found[0]) as source, atomic_write(folder / content.name) as target:
            _compare(source, content, target)


def _check(file: Path, content: Content) -> None:
    if content.unpacked:
        with gzip.open(file) as stream:
            _compare(stream, content)
    else:
        with file.open("rb") as stream:
            _compare(stream, content)


def _compare(source: IO[bytes] | gzip.GzipFile, content: Content, target: BinaryIO | None = None) -> None:
    """Hold the stream against the expected size and SHA-256; it is read no further than that size."""
    digest, size = hashlib.sha256(), 0
    while size <= content.size and (chunk := source.read(CHUNK)):
        size += len(chunk)
        digest.update(chunk)
        if target is not None:
            target.write(chunk)
    if size != content.size:
        more = "more than that" if size > content.size else f"{size}"
        raise FileError(f"{content.name} must hold {content.size} bytes, got {more}")
    if digest.hexdigest() != content.sha256:
        raise FileError(f"{content.name} must have SHA-256 {content.sha256}, got {digest.hexdigest()}")


def _is_right(file: Path, content: Content) -> bool:
    try:
        _check(file, content)
    except (FileError, OSError, EOFError, zlib.error):
        return False
    return True


def _file_name(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name


def _reason(error: BaseException) -> str:
    """What went wrong, in words: URLError wraps the error that says it."""
    return str(getattr(error, "reason", None) or error) or type(error).__name__
