import os
import socket
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from calibkit import inspect, load
from calibkit.errors import DataError, InputFormatError, LimitError
from calibkit.files.formats import open_contents
from calibkit.files.source import naming_causes, open_source
from tests.files.samples import LABELS, LOGITS


@pytest.fixture
def path(tmp_path):
    np.savez(tmp_path / "net.npz", labels=LABELS, logits=LOGITS)
    return tmp_path / "net.npz"


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/urandom", "/dev/tty"])
def test_devices_are_refused_at_once(device):
    if not Path(device).exists():
        pytest.skip(f"the system has no {device}")
    with pytest.raises(InputFormatError, match="is a device"):
        load(device)


def test_sockets_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket may only be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("net.npz")
        with pytest.raises(InputFormatError, match="device or socket"):
            load("net.npz")


def test_folders_missing_files_and_empty_files(tmp_path):
    with pytest.raises(InputFormatError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(InputFormatError, match=r"nowhere\.npz: cannot be opened: No such file"):
        load(tmp_path / "nowhere.npz")
    with pytest.raises(InputFormatError, match="cannot be opened"):
        load("a\0b.npz")
    with pytest.raises(InputFormatError, match="cannot be opened"):
        load("x" * 5000)
    (tmp_path / "net.npz").write_bytes(b"")
    with pytest.raises(InputFormatError, match=r"empty \(0 bytes\)"):
        load(tmp_path / "net.npz")


def test_a_file_without_permission(path):
    if os.geteuid() == 0:
        pytest.skip("the administrator may read every file")
    path.chmod(0)
    with pytest.raises(InputFormatError, match="Permission denied"):
        load(path)


def test_links_are_followed_and_circles_are_not(tmp_path, path):
    (tmp_path / "link.npz").symlink_to(path)
    assert len(load(tmp_path / "link.npz")) == 4
    (tmp_path / "circle.npz").symlink_to(tmp_path / "circle.npz")
    with pytest.raises(InputFormatError, match="cannot be opened"):
        load(tmp_path / "circle.npz")


def rewritten(path):
    path.write_bytes(path.read_bytes() + b"more")


def replaced(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def touched(path):
    os.utime(path, (1, 1))


@pytest.mark.parametrize("change", [rewritten, replaced, touched, Path.unlink])
def test_a_file_that_changes_while_it_is_read(path, change):
    def read():
        with open_contents(path) as (_, contents):
            contents.read({"labels": "class"})
            change(path)

    with pytest.raises(DataError, match=r"net\.npz: (changed|disappeared) while it was read"):
        read()


def test_a_file_that_is_still_being_written_is_said_to_change(path):
    whole = path.read_bytes()

    def read():
        with open_contents(path) as (_, contents):
            path.write_bytes(whole[: len(whole) // 2])
            contents.read({"logits": "number"})

    with pytest.raises(DataError, match="changed while it was read"):
        read()


def test_the_limit_of_a_stream(monkeypatch):
    class Piped:
        buffer = BytesIO(b'{"label": 1, "prob": 0.7}\n' * 100)

    monkeypatch.setattr(sys, "stdin", Piped)
    with pytest.raises(LimitError, match="standard input: holds more than the limit of 100 bytes"):
        load("-", max_bytes=100)
    assert Piped.buffer.tell() == 101


@pytest.mark.parametrize(
    "error", [KeyError("x"), EOFError(), IndexError(3), NotImplementedError("no\nway"), RecursionError()]
)
def test_whatever_a_reader_raises_names_the_file(path, error):
    with open_source(path) as source, pytest.raises(InputFormatError) as caught, naming_causes(source, "npz"):
        raise error
    assert f"{path}: cannot be read as npz" in str(caught.value)
    assert type(error).__name__ in str(caught.value)
    assert "\n" not in str(caught.value)


def test_want_of_memory_is_a_limit(path):
    with open_source(path) as source, pytest.raises(LimitError), naming_causes(source, "npz"):
        raise MemoryError


def test_an_interruption_goes_through(path):
    with open_source(path) as source, pytest.raises(KeyboardInterrupt), naming_causes(source, "npz"):
        raise KeyboardInterrupt


def test_inspect_opens_files_the_same_way(tmp_path):
    with pytest.raises(InputFormatError, match="is a folder"):
        inspect(tmp_path)
