"""Rows 71 to 73 and 75: what is written is whole, in its place, and the same everywhere."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import OutputError
from tests.bad_inputs.samples import (
    LABELS,
    LOGITS,
    REPOSITORY,
    in_shell,
    is_refusal,
    needs_permissions,
    python,
    refused,
)

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full and limits of Linux")


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, labels=LABELS, logits=LOGITS)
    return path


def everything(folder):
    """Every path below a folder with its content."""
    return {path: path.is_file() and path.read_bytes() for path in sorted(folder.rglob("*"))}


WRITE = [
    ("evaluate", "--table", "bins.csv"),
    ("plot", "-o", "a.svg"),
    ("compare", "--figure", "a.svg"),
]


# 71: where nothing can be written


@pytest.mark.parametrize(("command", "flag", "name"), WRITE)
def test_row_71_outputs_that_cannot_be(run, net, tmp_path, command, flag, name):
    folder = tmp_path / f"folder.{name}"
    folder.mkdir()
    extension = f".{name.rpartition('.')[2]}"
    before = everything(tmp_path)
    is_refusal(run(command, net, flag, folder), 5, f"{folder}: is a folder")
    is_refusal(run(command, net, flag, tmp_path / "none" / name), 5, name, "there is no folder")
    is_refusal(run(command, net, flag, net / name), 5, name, "Not a directory")
    is_refusal(run(command, net, flag, "x" * 300 + extension), 5, "File name too long")
    assert everything(tmp_path) == before


@pytest.mark.parametrize(("command", "flag", "name"), WRITE)
def test_row_71_an_output_that_exists_is_replaced(run, net, tmp_path, command, flag, name):
    target = tmp_path / name
    target.write_text("old")
    assert run(command, net, flag, target).code == 0
    assert target.stat().st_size > 100
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["net.npz", name])


@needs_permissions
@pytest.mark.parametrize(("command", "flag", "name"), WRITE)
def test_row_71_read_only(run, net, tmp_path, command, flag, name):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    is_refusal(run(command, net, flag, folder / name), 5, name, "Permission denied")
    target = tmp_path / name
    target.write_text("old")
    target.chmod(0o444)
    is_refusal(run(command, net, flag, target), 5, name, "read-only")
    assert target.read_text() == "old"


def limited(size):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@linux
@pytest.mark.parametrize(("command", "flag", "name"), WRITE)
def test_row_71_a_full_disk(net, tmp_path, command, flag, name):
    target = tmp_path / name
    target.write_text("old")
    before = everything(tmp_path)
    done = in_shell(command, net, flag, target, preexec_fn=limited(700), text=True)
    assert done.returncode == 5, done.stderr
    assert f"{target}: cannot be written: File too large; nothing there was changed" in done.stderr
    assert "Traceback" not in done.stderr
    assert everything(tmp_path) == before


@linux
@pytest.mark.parametrize(
    "arguments", [["--json"], [], ["--version"]], ids=lambda arguments: " ".join(arguments) or "table"
)
def test_row_71_standard_output_is_full(net, arguments):
    command = arguments if "--version" in arguments else ["evaluate", net, *arguments]
    with Path("/dev/full").open("w") as full:
        done = in_shell(*command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 5
    assert done.stderr == "calibkit: error: standard output: cannot be written: No space left on device\n"


@pytest.mark.parametrize("command", [["evaluate"], ["evaluate", "--json"], ["--help"]])
def test_row_71_a_reader_that_goes_away(net, command):
    reader, writer = os.pipe()
    os.close(reader)
    files = [net] if command != ["--help"] else []
    done = in_shell(*command, *files, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_row_71_standard_streams_that_are_closed(net):
    line = f'"{sys.executable}" -m calibkit evaluate "$0"'
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    for stream, code in ((">&-", 0), ("2>&-", 0), ("- <&-", 4)):
        done = subprocess.run(
            ["bash", "-c", f"{line} {stream}", net], capture_output=True, env=environment, check=False
        )
        assert done.returncode == code
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_row_71_no_space_at_any_step(net, tmp_path, monkeypatch, step):
    target = tmp_path / "out.npz"
    target.write_bytes(b"old")
    before = everything(tmp_path)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    place = {"write": "calibkit.files.saving._write_member", "fsync": "os.fsync", "replace": "pathlib.Path.replace"}
    monkeypatch.setattr(place[step], full)
    with refused(OutputError, f"{target}: cannot be written: No space left on device; nothing there was changed"):
        ck.save(ck.load(net), target)
    assert everything(tmp_path) == before


def test_row_71_what_cannot_be_saved_leaves_the_old_file(net, tmp_path):
    target = tmp_path / "out.npz"
    target.write_bytes(b"old")
    broken = ck.Predictions.from_logits(LABELS, np.where(LOGITS > 3, np.nan, LOGITS))
    with pytest.raises(ck.errors.DataError):
        ck.save(broken, target)
    with refused(OutputError, "out.csv: predictions are saved as .npz"):
        ck.save(ck.load(net), "out.csv")
    assert target.read_bytes() == b"old"


# 72: input and output


def test_row_72_an_output_that_is_an_input(run, net, tmp_path):
    np.save(tmp_path / "labels.npy", LABELS)
    np.save(tmp_path / "logits.npy", LOGITS)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.svg").symlink_to(net)
    (tmp_path / "hard.svg").hardlink_to(net)
    before = everything(tmp_path)
    by_other_names = [net, tmp_path / "link.svg", tmp_path / "hard.svg", tmp_path / "folder" / ".." / "net.npz"]
    for output in by_other_names:
        is_refusal(run("evaluate", net, "--table", output), 5, f"{output}: is the input {net}")
        is_refusal(run("plot", net, "-o", output), 5, f"{output}: is the input {net}")
        is_refusal(run("compare", net, "--figure", output), 5, f"{output}: is the input {net}")
    labels, values = tmp_path / "labels.npy", tmp_path / "logits.npy"
    for given in (labels, f"{labels}:array"):
        done = run("evaluate", values, "--logits", "array", "--labels-file", given, "--table", labels)
        is_refusal(done, 5, f"{labels}: is the input")
    np.savez(tmp_path / "val.npz", labels=LABELS, logits=2 * LOGITS)
    before = everything(tmp_path)
    is_refusal(run("compare", net, "--calibrate-on", tmp_path / "val.npz", "--figure", tmp_path / "val.npz"), 5)
    assert everything(tmp_path) == before


def test_row_72_an_output_that_is_a_link_writes_what_it_points_to(run, net, tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    (tmp_path / "dangling.csv").symlink_to("new.csv")
    for link, target in (("link.csv", "real.csv"), ("dangling.csv", "new.csv")):
        assert run("evaluate", net, "--table", tmp_path / link).code == 0
        assert (tmp_path / link).is_symlink()
        assert (tmp_path / target).read_text().startswith("name,view")


# 73: ends in the middle

SAVE_FOREVER = """
import sys, numpy as np, calibkit as ck
rng = np.random.default_rng(0)
logits, labels = rng.normal(size=(20_000, 10)), rng.integers(0, 10, 20_000)
models = [ck.Predictions.from_logits(labels, factor * logits, name="net") for factor in (1.0, 2.0)]
print("ready", flush=True)
while True:
    for model in models:
        ck.save(model, sys.argv[1])
"""


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_row_73_killed_while_saving(tmp_path, kill):
    target = tmp_path / "net.npz"
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(20_000, 10)), rng.integers(0, 10, 20_000)
    whole = [ck.Predictions.from_logits(labels, factor * logits, name="net") for factor in (1.0, 2.0)]
    ck.save(whole[0], target)
    for delay in np.linspace(0, 0.12, 4):
        with subprocess.Popen(
            [sys.executable, "-c", SAVE_FOREVER, target],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        ) as writer:
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(delay)
            writer.send_signal(kill)
            assert writer.wait(timeout=60) == -kill
        assert ck.load(target) in whole
        assert len(list(tmp_path.iterdir())) <= 2  # the file, and at most one unfinished one, which is used again
    ck.save(whole[1], target)
    assert [path.name for path in tmp_path.iterdir()] == ["net.npz"]


def test_row_73_interrupted(tmp_path):
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "calibkit", "evaluate", fifo, "--table", tmp_path / "bins.csv"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as done:
        pipe = os.open(fifo, os.O_WRONLY)  # returns once the command waits for its input
        time.sleep(0.1)
        done.send_signal(signal.SIGINT)
        out, err = done.communicate(timeout=60)
        os.close(pipe)
    assert done.returncode == 130
    assert out == b""
    assert err.decode().strip() == "interrupted"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe"]


@linux
def test_row_73_out_of_memory(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, labels=np.zeros(3_000_000, dtype=np.int8), logits=np.zeros((3_000_000, 2)))
    code = (
        "import resource, sys\n"
        "import scipy.stats, calibkit.evaluation, calibkit.files, rich.console\n"
        "from calibkit.cli import main\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]),) * 2)\n"
        "main(['evaluate', sys.argv[1], '--threads', '1', '--json'])\n"
    )
    for room in (20_000_000, 90_000_000):
        done = python(code, path, str(room))
        assert done.returncode == 4, done.stderr
        assert "memory" in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""


def test_row_73_two_writers_and_a_reader(tmp_path):
    target = tmp_path / "net.npz"
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(20_000, 10)), rng.integers(0, 10, 20_000)
    whole = [ck.Predictions.from_logits(labels, factor * logits, name="net") for factor in (1.0, 2.0)]
    ck.save(whole[0], target)
    code = SAVE_FOREVER.replace("        ck.save(model, sys.argv[1])", TOLERANT_SAVE)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    writers = [
        subprocess.Popen([sys.executable, "-c", code, target], stdout=subprocess.PIPE, env=environment)
        for _ in range(2)
    ]
    try:
        assert [writer.stdout.readline() for writer in writers] == [b"ready\n"] * 2
        ends = time.monotonic() + 1.0
        seen = 0
        while time.monotonic() < ends:
            try:
                assert ck.load(target) in whole
            except ck.errors.DataError as error:
                assert "changed while it was read" in str(error)  # noqa: PT017 - either outcome is right
            seen += 1
        assert seen > 3
        assert all(writer.poll() is None for writer in writers)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stdout.close()
    assert ck.load(target) in whole


TOLERANT_SAVE = """        try: ck.save(model, sys.argv[1])
        except ck.errors.OutputError as error: assert "another process" in str(error), error"""


# 75: the same bytes everywhere

EVERYTHING = """
import hashlib, sys, calibkit as ck
from calibkit import render
from calibkit.plots import comparison_figure, reliability_figure, save_figure
path, out = sys.argv[1:]
models = {"one": ck.load(path), "two": ck.load(path, logits="other")}
single = ck.evaluate(models["one"])
pair = ck.compare(models)
classwise = ck.evaluate(models["two"], view="classwise")
texts = [render.to_json(r.to_dict()) for r in (single, pair, classwise)] + [str(single), str(pair)]
texts.append(render.markdown(pair.to_dict()))
texts.append(render.bin_table_csv([single.to_dict()]))
ck.save(models["one"], f"{out}/saved.npz")
save_figure(comparison_figure(pair), f"{out}/a.svg")
save_figure(reliability_figure([single]), f"{out}/a.png")
files = [open(f"{out}/{name}", "rb").read() for name in ("saved.npz", "a.svg", "a.png")]
print([hashlib.sha256(part).hexdigest() for part in (*(text.encode() for text in texts), *files)])
"""


def test_row_75_the_same_bytes_whatever_the_environment(tmp_path):
    rng = np.random.default_rng(75)
    labels, logits = rng.integers(0, 12, 4000), rng.normal(size=(4000, 12)).astype(np.float32)
    np.savez(tmp_path / "net.npz", labels=labels, logits=logits, other=2 * logits + rng.normal(size=(4000, 12)))
    environments = [
        {"PYTHONHASHSEED": "0", "CALIBKIT_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C", "TZ": "UTC"},
        {
            **{"PYTHONHASHSEED": "1", "CALIBKIT_THREADS": "7", "OMP_NUM_THREADS": "4", "LC_ALL": "de_DE.UTF-8"},
            **{"TZ": "Asia/Kathmandu", "COLUMNS": "40", "PYTHONUTF8": "0"},
        },
    ]
    printed = set()
    for number, environment in enumerate(environments):
        out = tmp_path / str(number)
        out.mkdir()
        done = python(EVERYTHING, tmp_path / "net.npz", out, env=environment)
        assert (done.returncode, done.stderr) == (0, "")
        printed.add(done.stdout)
    assert len(printed) == 1


def test_row_75_a_locale_with_a_decimal_comma(net, run):
    import locale

    before = locale.setlocale(locale.LC_ALL)
    for name in ("de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"):
        try:
            locale.setlocale(locale.LC_ALL, name)
        except locale.Error:
            continue
        break
    else:
        pytest.skip("no locale with a decimal comma is installed")
    try:
        in_it = run("evaluate", net, "--json").out
    finally:
        locale.setlocale(locale.LC_ALL, before)
    assert json.loads(in_it) == json.loads(run("evaluate", net, "--json").out)
