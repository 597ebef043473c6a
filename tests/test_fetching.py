"""Fetching: against a server on this machine that can be told to misbehave."""

import gzip
import hashlib
import io
import os
import re
import socket
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from minprune import fetching, progress
from minprune.datasets.known import SETS, Content, KnownSet, Remote
from minprune.errors import FileError

BODY = bytes(range(256)) * 1000


class Server(ThreadingHTTPServer):
    """Serves `files`; `ranges` says whether it can resume, `cut` after how many bytes it hangs up, each time once."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.ranges, self.cut, self.answers, self.requests = {}, True, [], [], []
        self.length = True

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server, body = self.server, self.server.files.get(self.path[1:])
        wanted = self.headers.get("Range")
        server.requests.append((self.path[1:], wanted))
        code = server.answers.pop(0) if server.answers else (200 if body is not None else 404)
        if code != 200:
            self.send_error(code)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and server.ranges else 0
        if start and start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if server.length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : start + server.cut.pop(0)] if server.cut else body[start:])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def content(name="a.bin", body=BODY, **kwargs):
    return Content(name, len(body), hashlib.sha256(body).hexdigest(), **kwargs)


def known(*remotes):
    return {"toy-set": KnownSet("a toy", "here", "none", remotes)}


@pytest.fixture
def fetch(tmp_path):
    def fetch(*remotes, **kwargs):
        return fetching.fetch("toy-set", tmp_path, progress=False, sets=known(*remotes), pause=0, **kwargs)

    return fetch


@pytest.fixture
def remote(server):
    server.files["a.bin"] = BODY
    return Remote((server.url("a.bin"),), (content(),))


def part_of(remote, folder):
    url = remote.urls[0]
    folder.mkdir(exist_ok=True)
    return folder / f"{url.rsplit('/', 1)[1]}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"


def names(folder):
    return sorted(p.name for p in folder.iterdir())


# what goes well ------------------------------------------------------------------------------------------------------


def test_a_file_is_fetched_into_the_sets_own_folder(fetch, remote, tmp_path):
    folder = fetch(remote)
    assert folder == tmp_path / "toy_set"
    assert (folder / "a.bin").read_bytes() == BODY
    assert names(folder) == ["a.bin"]
    assert fetching.path("toy-set", tmp_path, sets=known(remote)) == folder


def test_a_good_file_is_not_fetched_again_and_a_damaged_one_is(fetch, remote, server):
    folder = fetch(remote)
    fetch(remote)
    assert len(server.requests) == 1
    (folder / "a.bin").write_bytes(BODY[:-1])
    fetch(remote)
    assert len(server.requests) == 2
    assert (folder / "a.bin").read_bytes() == BODY


def test_a_partial_download_is_resumed_where_it_stopped(fetch, remote, server, tmp_path):
    part_of(remote, tmp_path / "toy_set").write_bytes(BODY[:100_000])
    assert (fetch(remote) / "a.bin").read_bytes() == BODY
    assert server.requests == [("a.bin", "bytes=100000-")]


def test_a_server_without_ranges_restarts_cleanly(fetch, remote, server, tmp_path):
    server.ranges = False
    part_of(remote, tmp_path / "toy_set").write_bytes(b"old" * 1000)
    assert (fetch(remote) / "a.bin").read_bytes() == BODY


def test_a_part_longer_than_the_file_is_dropped(fetch, remote, server, tmp_path):
    part_of(remote, tmp_path / "toy_set").write_bytes(BODY + b"more")
    assert (fetch(remote) / "a.bin").read_bytes() == BODY
    assert [wanted for _, wanted in server.requests] == [f"bytes={len(BODY) + 4}-", None]


def test_a_connection_that_breaks_is_taken_up_again(fetch, remote, server):
    server.cut = [1000, 70_000]
    assert (fetch(remote) / "a.bin").read_bytes() == BODY
    assert [wanted for _, wanted in server.requests] == [None, "bytes=1000-", "bytes=71000-"]


def test_a_busy_server_is_asked_again(fetch, remote, server):
    server.answers = [503, 429]
    assert (fetch(remote) / "a.bin").read_bytes() == BODY


def test_a_server_that_states_no_length_is_read_to_its_end(fetch, remote, server):
    server.length = False
    assert (fetch(remote) / "a.bin").read_bytes() == BODY


def test_a_mirror_steps_in_where_the_home_fails(fetch, server):
    server.files = {"wrong/a.bin": b"x" * len(BODY), "right/a.bin": BODY}
    urls = tuple(server.url(f"{place}/a.bin") for place in ("gone", "wrong", "right"))
    folder = fetch(Remote(urls, (content(),)))
    assert (folder / "a.bin").read_bytes() == BODY
    assert names(folder) == ["a.bin"]


def test_a_gzip_file_is_checked_by_what_is_inside(fetch, server):
    packed = gzip.compress(BODY, compresslevel=1)
    server.files["a.gz"] = packed
    folder = fetch(Remote((server.url("a.gz"),), (content("a.gz", unpacked=True),)))
    assert (folder / "a.gz").read_bytes() == packed


def archive(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, body in members.items():
            file.writestr(f"../inner/{name}", body)
    return buffer.getvalue()


def test_members_are_taken_out_of_an_archive_under_our_names_only(fetch, server, tmp_path):
    server.files["set.zip"] = archive(one=b"1" * 50, two=b"2" * 60, three=b"3")
    remote = Remote((server.url("set.zip"),), (content("one", b"1" * 50), content("two", b"2" * 60)))
    folder = fetch(remote)
    assert names(folder) == ["one", "two"]
    assert names(tmp_path) == ["toy_set"]
    fetch(remote)
    assert len(server.requests) == 1


def test_progress_is_drawn_on_stderr_when_asked_for_and_then_wiped(remote, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich draws to what it takes for a terminal
    monkeypatch.setattr(progress, "PATIENCE", 0.0)  # however quick the fetching is
    fetching.fetch("toy-set", tmp_path, sets=known(remote))
    captured = capsys.readouterr()
    assert "a.bin" in captured.err
    assert captured.out == ""


# what goes wrong -----------------------------------------------------------------------------------------------------


def test_a_wrong_checksum_deletes_the_file_and_names_both_sums(fetch, remote, server, tmp_path):
    server.files["a.bin"] = BODY[::-1]
    got = hashlib.sha256(BODY[::-1]).hexdigest()
    with pytest.raises(FileError, match=f"deleted: a.bin must have SHA-256 {content().sha256}, got {got}"):
        fetch(remote)
    assert names(tmp_path / "toy_set") == []


@pytest.mark.parametrize(
    ("body", "match"), [(BODY[:-1], "must hold 256000 bytes, got 255999"), (BODY + b"x", "256000 bytes, got more")]
)
def test_a_wrong_size_is_refused(fetch, remote, server, body, match):
    server.files["a.bin"] = body
    with pytest.raises(FileError, match=match):
        fetch(remote)


def test_a_body_that_stays_truncated_keeps_the_part_for_the_next_time(fetch, remote, server, tmp_path):
    server.cut = [10, 10, 10]
    with pytest.raises(FileError, match="connection ended after 30 of 256000 bytes; run it again to go on"):
        fetch(remote)
    assert part_of(remote, tmp_path / "toy_set").read_bytes() == BODY[:30]
    assert not (tmp_path / "toy_set" / "a.bin").exists()
    assert (fetch(remote) / "a.bin").read_bytes() == BODY


def test_an_endless_delivery_is_cut_off(fetch, remote, server, tmp_path):
    server.files["a.bin"] = bytes(len(BODY) + 2**20 + 2**17)
    with pytest.raises(FileError, match="delivers more than the 1304576 bytes"):
        fetch(remote)
    assert names(tmp_path / "toy_set") == []


def test_a_missing_page_is_asked_for_once(fetch, server):
    with pytest.raises(FileError, match=r"/gone: Not Found$"):
        fetch(Remote((server.url("gone"),), (content(),)))
    assert len(server.requests) == 1


def test_a_server_that_always_fails_is_given_up(fetch, remote, server):
    server.answers = [500] * 9
    with pytest.raises(FileError, match="Internal Server Error"):
        fetch(remote)
    assert len(server.requests) == fetching.ATTEMPTS


def test_a_server_that_refuses_every_range_is_given_up(fetch, remote, server):
    server.answers = [416] * 9
    with pytest.raises(FileError, match="refuses to deliver from the start"):
        fetch(remote)


def test_a_refused_connection_is_named(fetch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a.bin"
    with pytest.raises(FileError, match=f"{re.escape(url)}: .*refused"):
        fetch(Remote((url,), (content(),)))


def test_a_server_that_never_answers_is_given_up_after_the_timeout(fetch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.bin"
        with pytest.raises(FileError, match="timed out"):
            fetch(Remote((url,), (content(),)), timeout=0.05)


@pytest.mark.parametrize(
    "body",
    [b"no gzip", gzip.compress(BODY)[:-20], gzip.compress(b"other"), gzip.compress(BODY * 2)],
    ids=["foreign", "truncated", "other", "longer"],
)
def test_a_damaged_gzip_file_is_deleted(fetch, server, tmp_path, body):
    server.files["a.gz"] = body
    with pytest.raises(FileError, match="not the expected file, deleted"):
        fetch(Remote((server.url("a.gz"),), (content("a.gz", unpacked=True),)))
    assert names(tmp_path / "toy_set") == []


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"no zip", "not a zip file"),
        (archive(two=b"2"), "holds no one"),
        (archive(one=b"other"), "one must hold 50 bytes"),
        (archive(one=b"2" * 50), "one must have SHA-256"),
    ],
    ids=["foreign", "member missing", "wrong size", "wrong sum"],
)
def test_a_damaged_archive_leaves_nothing_behind(fetch, server, tmp_path, body, match):
    server.files["set.zip"] = body
    with pytest.raises(FileError, match=match):
        fetch(Remote((server.url("set.zip"),), (content("one", b"1" * 50),)))
    assert names(tmp_path / "toy_set") == []


def test_a_folder_that_cannot_be_made_is_named(remote, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError, match=r"cannot make the folder .*toy_set: .*; set MINPRUNE_DATA"):
        fetching.fetch("toy-set", tmp_path / "file", progress=False, sets=known(remote))


def test_unknown_names_are_answered_with_the_known_ones(tmp_path):
    for function in (fetching.fetch, fetching.path):
        with pytest.raises(FileError, match="unknown data set 'minst'; known are mnist, fashion-mnist"):
            function("minst", tmp_path)


def test_path_names_the_command_while_a_file_is_missing(fetch, remote, server, tmp_path):
    server.files["b.bin"] = b"b"
    other = Remote((server.url("b.bin"),), (content("b.bin", b"b"),))
    fetch(remote)
    with pytest.raises(FileError, match=r"toy-set is not complete in .*: fetch it with `minprune data toy-set`"):
        fetching.path("toy-set", tmp_path, sets=known(remote, other))


# where, and what -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "platform", "folder"),
    [
        ({"MINPRUNE_DATA": "/sets", "XDG_CACHE_HOME": "/c"}, "linux", "/sets"),
        ({"MINPRUNE_DATA": "", "XDG_CACHE_HOME": "/c"}, "linux", "/c/minprune"),
        ({}, "linux", "~/.cache/minprune"),
        ({}, "darwin", "~/Library/Caches/minprune"),
        ({"LOCALAPPDATA": "/local"}, "win32", "/local/minprune"),
        ({}, "win32", "~/AppData/Local/minprune"),
    ],
)
def test_the_root_folder_is_where_the_system_keeps_such_things(environ, platform, folder):
    assert fetching.root_folder(environ, platform) == Path(folder).expanduser()


def test_the_environment_is_asked_when_no_root_is_given(monkeypatch, tmp_path):
    monkeypatch.setenv("MINPRUNE_DATA", str(tmp_path))
    with pytest.raises(FileError, match=re.escape(str(tmp_path / "fashion_mnist"))):
        fetching.path("fashion-mnist")


@pytest.mark.parametrize("name", list(SETS))
def test_every_known_set_is_stated_completely(name):
    known = SETS[name]
    assert known.title
    assert known.licence
    assert known.home.startswith("http")
    for remote in known.remotes:
        plain = [url for url in remote.urls if not url.endswith(".zip")]
        assert len(remote.contents) == 1 or not plain
        for url in remote.urls:
            assert re.match(r"https?://", url)
        for c in remote.contents:
            assert re.fullmatch("[0-9a-f]{64}", c.sha256)
            assert c.size > 0
            assert Path(c.name).name == c.name


@pytest.mark.data
def test_the_sums_of_mnist_are_those_of_the_real_files():
    root = os.environ.get("MINPRUNE_DATA")
    if root is None or not (Path(root) / "mnist").is_dir():
        pytest.skip("MINPRUNE_DATA holds no mnist")
    unreachable = {
        "mnist": KnownSet("", "", "", tuple(Remote((), remote.contents) for remote in SETS["mnist"].remotes))
    }
    assert fetching.fetch("mnist", root, progress=False, sets=unreachable) == Path(root) / "mnist"
