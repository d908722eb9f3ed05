"""URLs by fsspec: `memory://` and local ones; what the others need is said in one sentence."""

import io
import re
import socket
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from calibkit import load, scan, state_of_files
from calibkit.errors import DataError, InputFormatError, MissingExtraError
from calibkit.files import expand
from calibkit.files.urls import is_url, place_of, reason, without_secrets
from tests.files.samples import EXTRAS, LABELS, LOGITS, WRITERS

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory():
    """The file system of this process's memory, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def put(system, path, name="net.npz", **arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **(arrays or {"labels": LABELS, "logits": LOGITS}))
    system.pipe(f"{path}/{name}", buffer.getvalue())


@pytest.mark.parametrize("extension", WRITERS)
def test_every_format_from_a_url(tmp_path, memory, extension):
    for package in {EXTRAS.get(extension), "safetensors" if extension == ".safetensors" else None} - {None}:
        pytest.importorskip(package)
    path = tmp_path / f"net{extension}"
    WRITERS[extension](path, {"labels": LABELS, "logits": LOGITS})
    memory.pipe(f"/run/net{extension}", path.read_bytes())
    url = f"memory://run/net{extension}"
    assert load(url) == load(path) == load(path.as_uri())
    assert load(url).name == "net"
    blocks = [*scan(url, block_rows=3)]
    assert [len(block) for block in blocks] == [3, 1]
    np.testing.assert_array_equal(np.concatenate([block.logits for block in blocks]), load(path).logits)


def test_labels_of_another_url(memory):
    for name, array in (("logits", LOGITS), ("truth", LABELS)):
        buffer = io.BytesIO()
        np.save(buffer, array)
        memory.pipe(f"/run/{name}.npy", buffer.getvalue())
    read = load("memory://run/logits.npy", labels_file="memory://run/truth.npy")
    np.testing.assert_array_equal(read.labels, LABELS)
    put(memory, "/run", "truth.npz", y=LABELS, other=LABELS)
    assert load("memory://run/logits.npy", labels_file="memory://run/truth.npz:y") == read


def test_a_missing_or_empty_file_and_a_folder(memory):
    put(memory, "/run")
    memory.pipe("/run/empty.npz", b"")
    for url, said in (
        ("memory://run/none.npz", "cannot be opened"),
        ("memory://run", "is a folder"),
        ("memory://run/empty.npz", r"the file is empty \(0 bytes\)"),
    ):
        with pytest.raises(InputFormatError, match=f"^{url}: {said}"):
            load(url)


def test_a_file_that_changes_while_it_is_read(memory):
    put(memory, "/run")
    blocks = scan("memory://run/net.npz", block_rows=2)
    next(blocks)
    memory.pipe("/run/net.npz", memory.cat("/run/net.npz"))
    with pytest.raises(DataError, match=r"^memory://run/net\.npz: changed while it was read"):
        list(blocks)


def test_without_fsspec(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match=r'reading URLs needs fsspec: pip install "calibkit\[urls\]"'):
        load("s3://bucket/net.npz")


def test_a_storage_whose_package_is_not_installed(monkeypatch):
    for module in ("s3fs", "aiobotocore"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"^s3://bucket/net\.npz: .*s3fs") as caught:
        load("s3://bucket/net.npz")
    assert len(str(caught.value).splitlines()) == 1


def test_an_unknown_scheme():
    with pytest.raises(InputFormatError, match=r"^what://host/net\.npz: cannot be opened: .*what"):
        load("what://host/net.npz")


def test_secrets_are_not_shown():
    url = "what://me:pass@host/net.npz?signature=abc"
    with pytest.raises(InputFormatError) as caught:
        load(url)
    assert re.search("pass|signature|abc", str(caught.value)) is None
    assert without_secrets(url) != without_secrets(url + "d")
    assert place_of(url) == "/net.npz"


def test_what_is_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:" / "bucket").mkdir(parents=True)
    (tmp_path / "s3:" / "bucket" / "net.npz").touch()
    assert is_url("simplecache::s3://bucket/other.npz")
    assert not is_url("s3://bucket/net.npz")
    assert not is_url("C:/net.npz")


def test_patterns_of_urls(memory):
    for number in (3, 1, 2):
        put(memory, "/run", f"shard-{number}.npz")
    names = [f"shard-{number}.npz" for number in (1, 2, 3)]
    found = expand("memory://run/shard-*.npz")
    assert [name.rpartition("/")[2] for name in found] == names
    assert all(len(load(url)) == 4 for url in found)
    with pytest.raises(InputFormatError, match="no file matches"):
        expand("memory://run/none-*.npz")


class Quiet(SimpleHTTPRequestHandler):
    """Serves whole files, as the simplest servers do."""

    def log_message(self, *_):
        pass


class Pieces(Quiet):
    """Serves parts of files that are asked for, as most servers do; notes how many bytes it sent."""

    protocol_version = "HTTP/1.1"
    sent = 0

    def end_headers(self):
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def do_GET(self):
        path, asked = (
            Path(self.translate_path(self.path)),
            re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")),
        )
        if asked is None or not path.is_file():
            return super().do_GET()
        values = path.read_bytes()
        start, last = int(asked[1]), min(int(asked[2] or len(values)), len(values) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{last}/{len(values)}")
        self.send_header("Content-Length", str(last + 1 - start))
        self.end_headers()
        Pieces.sent += last + 1 - start
        return self.wfile.write(values[start : last + 1])


@pytest.fixture(params=[Quiet, Pieces])
def web(request, tmp_path):
    """A web server of a folder: its address."""
    pytest.importorskip("aiohttp")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(request.param, directory=str(tmp_path)))
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    Pieces.sent = 0
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    assert (Pieces.sent > 0) == issubclass(request.param, Pieces)


def test_the_web(web, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(2):
        arrays = {"labels": rng.integers(0, 50, 2_000), "logits": rng.normal(size=(2_000, 50)).astype(np.float32)}
        np.savez(tmp_path / f"shard-{number}.npz", **arrays)
    url = f"{web}/shard-0.npz"
    assert load(url) == load(tmp_path / "shard-0.npz")
    assert [len(block) for block in scan(url, block_rows=1_500)] == [1_500, 500]
    assert expand(f"{web}/shard-*.npz") == (url, f"{web}/shard-1.npz")
    with pytest.raises(InputFormatError, match=rf"^{web}/none\.npz: cannot be opened: "):
        load(f"{web}/none.npz")


def test_lists_from_the_web(web, tmp_path):
    """Files of the web have no readline of a limited length, by which lists of text are read."""
    lines = [f'{{"label": {i % 2}, "logits": [{i}, {i // 3}]}}' for i in range(3_000)]
    (tmp_path / "net.jsonl").write_text("\n".join(lines))
    assert load(f"{web}/net.jsonl") == load(tmp_path / "net.jsonl")
    state = state_of_files(f"{web}/net.jsonl", block_rows=100, threads=2)
    assert state.digest == state_of_files(tmp_path / "net.jsonl").digest


def nowhere():
    """The address of a server that is gone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://me:pass@127.0.0.1:{free.getsockname()[1]}"


def test_a_server_that_is_not_there():
    pytest.importorskip("aiohttp")
    for name in ("net.npz?signature=a%2Fb%3D", "net-*.npz"):
        with pytest.raises(InputFormatError, match="cannot be opened: Cannot connect to host") as caught:
            list(map(load, expand(f"{nowhere()}/{name}")))
        assert re.search("pass|signature|a/b|a%2Fb", str(caught.value)) is None


class Forgetful(Pieces):
    """Serves the first bytes, and then lets nobody in any more."""

    def do_GET(self):
        if Pieces.sent:
            return self.send_error(403)
        return super().do_GET()


@pytest.mark.parametrize("web", [Forgetful], indirect=True)
def test_what_is_no_longer_served_is_told_without_the_secrets(web, tmp_path):
    # The web's package writes the query in another way than it was given.
    np.savez(tmp_path / "net.npz", labels=np.zeros(400_000, int), logits=np.zeros((400_000, 10)))
    with pytest.raises(InputFormatError, match=r"no longer served.*403, message='Forbidden'") as caught:
        list(scan(f"{web}/net.npz?signature=a%2Fb%3D", block_rows=10_000))
    assert re.search("signature|a/b|a%2Fb", str(caught.value)) is None


def test_the_reason_is_told():
    name = "https://host/run/net.npz?token=a%2Fb"
    missing = FileNotFoundError(name)
    assert reason(missing, name) == reason(FileNotFoundError("/run/net.npz"), name) == "no such file"
    missing.__cause__ = OSError("404, message='File not found', url='https://host/run/net.npz?token=a/b'")
    assert reason(missing, name) == "404, message='File not found'"
    assert reason(OSError(), name) == "OSError"
    assert reason(PermissionError("no key for https://host/run/net.npz?token=a/b here"), name) == "no key for here"
