"""Rows 55, 56, 62, 66 and 67: files that are cut short, are none, are misnamed, damaged or changing."""

import os
from contextlib import suppress

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import DataError, InputFormatError
from tests.bad_inputs.formats import WRITERS, read, write_npz
from tests.bad_inputs.samples import LABELS, LOGITS, is_refusal, needs_permissions, python, refused


@pytest.fixture
def written(tmp_path):
    def written_(name):
        WRITERS[name](tmp_path / name)
        np.save(tmp_path / "labels.npy", LABELS)
        return tmp_path / name

    return written_


@pytest.mark.parametrize("name", WRITERS)
def test_row_55_truncated_anywhere(written, name):
    path = written(name)
    data = path.read_bytes()
    assert read(path).values.tolist() == LOGITS.tolist()
    lengths = sorted({1, 7, 8, 9, 63, 64, len(data) // 3, len(data) // 2, len(data) - 9, len(data) - 1})
    for length in lengths:
        path.write_bytes(data[:length])
        with pytest.raises(InputFormatError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}")
        assert str(caught.value).isprintable()


def test_row_55_truncated_gzip(tmp_path, run):
    (tmp_path / "net.csv").write_bytes(b"\x1f\x8b\x08" + b"\0" * 40)
    is_refusal(run("evaluate", tmp_path / "net.csv"), 4, "net.csv: is gzip", "gunzip")


@pytest.mark.parametrize("command", ["evaluate", "evaluate --together", "compare", "inspect", "plot", "plan --like"])
def test_row_62_a_state_is_no_predictions_file_and_the_other_way_round(run, tmp_path, command):
    state = ck.CalibrationState()
    state.update(ck.Predictions.from_logits(LABELS, LOGITS))
    for name in ("a.ckst", "a.npz"):
        state.save(tmp_path / name)
        if (command, name) == ("plot", "a.ckst"):  # is drawn
            continue
        flags = {"plot": ["-o", tmp_path / "a.png"], "plan --like": ["--ece", 0.02]}.get(command, [])
        is_refusal(run(*command.split(), tmp_path / name, *flags), 4, f"{name}: is a state of", "calibkit merge")
    write_npz(tmp_path / "net.npz")
    is_refusal(
        run("merge", tmp_path / "net.npz"), 4, "net.npz: is not a file of a calibkit state", "--save-state OUT.ckst"
    )


@pytest.mark.parametrize("command", ["evaluate", "compare", "inspect", "plot"])
def test_row_56_what_is_no_file(run, tmp_path, command):
    flags = ["-o", tmp_path / "a.png"] if command == "plot" else []
    empty, folder = tmp_path / "empty.npz", tmp_path / "folder"
    empty.touch()
    folder.mkdir()
    is_refusal(run(command, empty, *flags), 4, f"{empty}: the file is empty (0 bytes)")
    is_refusal(run(command, folder, *flags), 4, f"{folder}: is a folder")
    is_refusal(run(command, tmp_path / "none.npz", *flags), 4, "none.npz: cannot be opened: No such file")
    is_refusal(run(command, folder / "x" / "y.npz", *flags), 4, "cannot be opened")
    is_refusal(run(command, empty / "y.npz", *flags), 4, "Not a directory")
    is_refusal(run(command, "/dev/zero", *flags), 4, "/dev/zero: is a device")
    is_refusal(run(command, "x" * 300 + ".npz", *flags), 4, "File name too long")
    is_refusal(run(command, "", *flags), 4)
    assert not (tmp_path / "a.png").exists()
    (tmp_path / "loop.npz").symlink_to(tmp_path / "loop.npz")
    is_refusal(run(command, tmp_path / "loop.npz", *flags), 4, "loop.npz")


def test_row_56_labels_file_that_is_none(run, tmp_path, written):
    path = written("net.npy")
    for labels in (tmp_path / "none.npy", "x" * 300, f"{'x' * 300}:y", tmp_path, "/dev/zero", f"{path}:no", ":"):
        is_refusal(run("evaluate", path, "--logits", "array", "--labels-file", labels), 4)


@needs_permissions
def test_row_56_no_permission(run, written):
    path = written("net.npz")
    path.chmod(0)
    is_refusal(run("evaluate", path), 4, "net.npz: cannot be opened: Permission denied")


def test_row_56_a_pipe_is_read(tmp_path):
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    code = (
        "import os, sys, threading, calibkit as ck\n"
        "def feed():\n"
        "    with open(sys.argv[1], 'wb') as pipe: pipe.write(b'label,p\\n1,0.75\\n0,0.5\\n')\n"
        "threading.Thread(target=feed, daemon=True).start()\n"
        "print(ck.load(sys.argv[1]).probs.tolist())"
    )
    done = python(code, fifo)
    assert (done.stdout, done.stderr) == ("[0.75, 0.5]\n", "")


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("suffix", [".npz", ".npy", ".safetensors", ".pt", ".csv", ".parquet", ".feather", ".jsonl"])
def test_row_62_the_extension_must_agree(written, name, suffix):
    path = written(name)
    same = {".npz": {".npz"}, ".feather": {".feather", ".arrows"}}.get(suffix, {suffix})
    renamed = path.with_suffix(suffix)
    path.rename(renamed)
    if path.suffix in same:
        assert read(renamed).values.tolist() == LOGITS.tolist()
        return
    with refused(InputFormatError, f"{renamed}"):
        read(renamed)


@pytest.mark.parametrize("suffix", ["", ".txt", ".json", ".dat"])
def test_row_62_unknown_extensions(run, tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    path.write_text("label,p\n1,0.5\n")
    is_refusal(run("evaluate", path), 4, f"{path}: the extension", ".npz", ".csv")


@pytest.mark.parametrize("name", ["own.npz", "net.npz", "packed.npz", "net.parquet"])
def test_row_66_a_flipped_bit_never_changes_a_number(written, name):
    path = written(name)
    data, expected = path.read_bytes(), read(path)
    rng = np.random.default_rng(66)
    ends = np.arange(max(0, len(data) - 400), len(data))  # directories and footers stand at the end
    for place in {*rng.choice(len(data), size=100).tolist(), *ends[::3].tolist()}:
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        with suppress(InputFormatError):
            found = read(path)
            assert found == expected, place


def test_row_67_a_file_that_changes_while_it_is_read(written, monkeypatch):
    path = written("net.npz")
    from calibkit.files import reading

    choose = reading.choose

    def meddle(*arguments, **options):
        with path.open("ab") as file:
            file.write(b"more")
        return choose(*arguments, **options)

    monkeypatch.setattr(reading, "choose", meddle)
    with refused(DataError, f"{path}: changed while it was read"):
        ck.load(path)


def test_row_67_a_file_that_is_replaced_or_removed_while_it_is_read(written, monkeypatch):
    from calibkit.files import reading

    choose = reading.choose
    for meddle, said in ((lambda path: path.unlink(), "disappeared"), (write_npz, "changed")):
        path = written("packed.npz")

        def meddling(*arguments, path=path, meddle=meddle, **options):
            os.utime(path, ns=(1, 1))
            meddle(path)
            return choose(*arguments, **options)

        monkeypatch.setattr(reading, "choose", meddling)
        with refused(DataError, f"{path}: {said} while it was read"):
            ck.load(path)
