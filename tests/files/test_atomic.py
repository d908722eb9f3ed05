import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from calibkit.errors import OutputError
from calibkit.files import atomic, atomic_write, write_text


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_new_file_and_nothing_beside_it(tmp_path):
    write_text(tmp_path / "out.csv", "größe\n")
    assert (tmp_path / "out.csv").read_bytes() == "größe\n".encode()
    assert names(tmp_path) == ["out.csv"]


def test_the_old_file_stands_until_the_block_ends(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "out.csv"
    path.write_text("old")

    def write():
        with atomic_write(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_full_disk_at_any_step(tmp_path, monkeypatch, step):
    path = tmp_path / "out.csv"
    path.write_text("old")

    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    if step != "write":
        monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[step], full)

    def write():
        with atomic_write(path) as file:
            file.write(b"new")
            if step == "write":
                full()

    with pytest.raises(OutputError, match=r"out\.csv: cannot be written: No space left"):
        write()
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.csv"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_devices_are_not_replaced():
    for device in ("/dev/full", "/dev/null"):
        before = Path(device).stat()
        with pytest.raises(OutputError, match="device or pipe"):
            write_text(device, "x")
        assert Path(device).stat().st_ino == before.st_ino


def test_folders_and_missing_folders(tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        write_text(tmp_path, "x")
    with pytest.raises(OutputError, match="there is no folder"):
        write_text(tmp_path / "no" / "out.csv", "x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        write_text(tmp_path / "file" / "out.csv", "x")
    with pytest.raises(OutputError):
        write_text("a\0b", "x")
    assert names(tmp_path) == ["file"]


def test_a_read_only_file_is_not_replaced(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("the administrator may write every file")
    path = tmp_path / "out.csv"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(OutputError, match="read-only"):
        write_text(path, "new")
    assert path.read_text() == "old"


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "out.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real/out.csv")
    write_text(tmp_path / "link.csv", "new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real" / "out.csv").read_text() == "new"


def test_permissions_are_kept_and_new_files_have_the_usual_ones(tmp_path):
    path = tmp_path / "out.csv"
    write_text(path, "one")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    path.chmod(0o600)
    write_text(path, "two")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_stray_file_of_a_killed_process_is_used_again(tmp_path):
    path = tmp_path / "out.csv"
    stray = atomic._temporary(path)
    stray.write_bytes(b"x" * 10_000)
    write_text(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["out.csv"]


def test_a_link_under_the_temporary_name_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    atomic._temporary(tmp_path / "out.csv").symlink_to(victim)
    with pytest.raises(OutputError):
        write_text(tmp_path / "out.csv", "new")
    assert victim.read_text() == "precious"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_a_second_writer_is_refused_and_the_first_goes_on(tmp_path):
    path = tmp_path / "out.csv"
    with atomic_write(path) as file:
        file.write(b"first")
        with pytest.raises(OutputError, match="another process is writing it"):
            write_text(path, "second")
    assert path.read_text() == "first"
    write_text(path, "second")
    assert path.read_text() == "second"


@pytest.mark.parametrize("another", [False, True], ids=["one", "two"])
def test_a_writer_that_finishes_while_the_next_one_opens_leaves_it_its_turn(tmp_path, monkeypatch, another):
    path, locked, waiting = tmp_path / "out.txt", atomic._lock, [True]

    def finishing_first(descriptor):
        if waiting.pop() if waiting else False:
            (temporary,) = tmp_path.glob(".calibkit-*.tmp")
            temporary.replace(path)  # the first writer's last step
            if another:
                temporary.write_text("a third writer, killed")
        locked(descriptor)

    monkeypatch.setattr(atomic, "_lock", finishing_first)
    write_text(path, "the second")
    assert path.read_text() == "the second"
    assert [other.name for other in tmp_path.iterdir()] == ["out.txt"]


@pytest.mark.parametrize("code", ["ENOLCK", "ENOSYS", "EOPNOTSUPP", "ENOTSUP"])
def test_a_file_system_without_locks_is_written_to(tmp_path, monkeypatch, code):
    fcntl = pytest.importorskip("fcntl", reason="Windows has no such locks")
    refuse_locks(monkeypatch, fcntl, getattr(errno, code))
    write_text(tmp_path / "out.csv", "new")
    assert (tmp_path / "out.csv").read_text() == "new"
    assert names(tmp_path) == ["out.csv"]


def test_any_other_error_of_the_lock_is_one(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="Windows has no such locks")
    refuse_locks(monkeypatch, fcntl, errno.EIO)
    with pytest.raises(OutputError, match=r"out\.csv: cannot be written"):
        write_text(tmp_path / "out.csv", "new")
    assert not (tmp_path / "out.csv").exists()


def refuse_locks(monkeypatch, fcntl, code):
    def flock(*_arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_name_of_255_bytes(tmp_path):
    path = tmp_path / ("x" * 255)
    write_text(path, "new")
    assert path.read_text() == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_process_leaves_the_old_file_or_the_new(tmp_path):
    path = tmp_path / "out.csv"
    old, new = "a" * 200_000, "b" * 200_000
    script = f"""
from calibkit.files import write_text
print("go", flush=True)
while True:
    write_text({str(path)!r}, "b" * 200_000)
    write_text({str(path)!r}, "a" * 200_000)
"""
    write_text(path, old)
    for wait in (0.0, 0.003, 0.011, 0.02):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            try:
                process.wait(timeout=wait)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        assert path.read_text() in (old, new)
        assert len(names(tmp_path)) <= 2
