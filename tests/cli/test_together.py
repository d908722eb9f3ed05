"""evaluate --together, --save-state and --resume, and merge: one evaluation of many files, on one machine or many."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import calibkit as ck
from calibkit.cli.progress import ProgressLine, line
from calibkit.cli.together import Together
from calibkit.shards import Progress
from tests.test_shards import N, cut, rows


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, part in enumerate(cut(rows(), 3)):
        np.savez(f"shard-{number}.npz", **part)
    return tmp_path


SHARDS = ("shard-0.npz", "shard-1.npz", "shard-2.npz")


@pytest.mark.usefixtures("folder")
def test_several_files_are_several_models_unless_together(run):
    several = json.loads(run("evaluate", *SHARDS, "--json").out)
    assert [one["n"] for one in several["evaluations"]] == [1000] * 3
    assert {one["settings"]["rows"] for one in several["evaluations"]} == {"in memory"}
    one = run("evaluate", *SHARDS, "--together", "--json")
    assert one.code == 0
    assert json.loads(one.out) == ck.evaluate("shard-*.npz").to_dict()
    assert one.err == ""
    assert run("evaluate", "shard-*.npz", "--together", "--json").out == one.out  # where no shell expands it


def test_states_of_parts_merge_to_the_state_of_all(run, folder):
    whole = run("evaluate", *SHARDS, "--save-state", "all.ckst", "--json")
    for number, names in enumerate((SHARDS[2:], SHARDS[:2])):
        assert run("evaluate", *names, "--save-state", f"part-{number}.ckst").code == 0
    merged = run("merge", "part-1.ckst", "part-0.ckst", "-o", "merged.ckst", "--json")
    assert merged.code == 0
    assert json.loads(merged.out) == json.loads(whole.out) | {"name": "merged"}
    assert (folder / "merged.ckst").read_bytes() == (folder / "all.ckst").read_bytes()
    assert "RMSCE" in run("merge", "part-*.ckst").out
    everything = json.loads(run("merge", "all.ckst", "--all", "--json").out)
    assert (
        everything["metrics"]["smooth_ece"]
        == json.loads(run("evaluate", *SHARDS, "--together", "--all", "--json").out)["metrics"]["smooth_ece"]
    )
    quantile = run("evaluate", *SHARDS, "--together", "--binning", "quantile", "--json")
    assert json.loads(quantile.out) == ck.evaluate("shard-*.npz", binning="quantile").to_dict()
    assert run("merge", "all.ckst", "--markdown", "--table", "bins.csv").out.startswith("**merged**")
    assert len((folder / "bins.csv").read_text().splitlines()) == 16
    assert json.loads(run("merge", "all.ckst", "--json", "--confidence-level", 0).out)["metrics"]["ece"]["low"] is None


def test_what_merge_refuses(run, folder):
    run("evaluate", *SHARDS[:2], "--save-state", "a.ckst")
    run("evaluate", *SHARDS[1:], "--save-state", "b.ckst")
    run("evaluate", SHARDS[2], "--save-state", "c.ckst", "--bins", 10)
    done = run("merge", "a.ckst", "b.ckst", "-o", "out.ckst")
    assert (done.code, done.out) == (4, "")
    assert "b.ckst: shard-1.npz (1,000 rows) is given twice" in done.err
    assert "pass --allow-duplicates" in done.err
    done = run("merge", "a.ckst", "c.ckst", "-o", "out.ckst")
    assert done.code == 4
    assert "c.ckst: n_bins differs: 10 in the other, 15 in this state" in done.err
    assert run("merge", "a.ckst", "a.ckst").code == 4
    assert run("merge", "a.ckst", "-o", "a.ckst").code == 5
    assert run("merge", "none.ckst").code == 4
    assert run("merge", "shard-0.npz").code == 4
    assert run("merge", "a.ckst", "--json", "--markdown").code == 2
    assert not (folder / "out.ckst").exists()
    for states in (["a.ckst", "b.ckst"], ["a.ckst", "a.ckst"]):
        twice = run("merge", *states, "--allow-duplicates", "--json")
        assert json.loads(twice.out)["n"] == 4000


@pytest.mark.usefixtures("folder")
def test_usage(run):
    for flags, said in (
        (["--resume"], "--save-state"),
        (["--jobs", 2], "--together"),
        (["--together", "--jobs", 0], "at least 1"),
        (["--max-memory", -1], "max-memory"),
        (["--max-memory", "9" * 400], "is no size: give a number of bytes"),
        (["--max-memory", "4 pounds"], "'4 pounds' is no size: give a number of bytes, or such as 500MB or 4GiB."),
        (["--allow-duplicates"], "--together"),
        (["-", "--together", "--jobs", 2], "standard input (-) is read by one process"),
        (["-", "--save-state", "a.ckst", "--resume"], "--resume needs files"),
        (["--save-state", "shard-9.npz"], "the name of a state ends in .ckst"),
        (["--save-state", "a.ckst", "--table", "./a.ckst"], "is the state of --save-state too"),
        (["--together", "--table", "shard-9.npz"], "is written as CSV"),
    ):
        done = run("evaluate", *SHARDS, *flags)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
    assert run("evaluate", *SHARDS, "--save-state", "shard-0.npz").code == 5
    assert run("evaluate", *SHARDS, "--save-state", "none/a.ckst").code == 5
    assert run("evaluate", *SHARDS, "shard-0.npz", "--together").code == 4


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("flag", ["--save-state", "--table"])
def test_a_flag_without_its_value_does_not_cost_a_file_of_predictions(run, folder, flag):
    before = (folder / "shard-0.npz").read_bytes()
    assert run("evaluate", "--together", flag, "shard-0.npz", "shard-1.npz").code == 2  # the first is taken for OUT
    assert run("evaluate", "shard-1.npz", "--save-state", "a.ckst").code == 0
    assert run("merge", "-o" if flag == "--save-state" else flag, "shard-0.npz", "a.ckst").code == 2
    assert run("merge", "a.ckst", "-o", "b.ckst", "--table", folder / "b.ckst").code == 2
    assert (folder / "shard-0.npz").read_bytes() == before


def test_resume_from_a_state_of_other_files_or_other_rows(run, folder):
    assert run("evaluate", *SHARDS[:2], "--save-state", "a.ckst").code == 0
    done = run("evaluate", *SHARDS[1:], "--save-state", "a.ckst", "--resume", "--json")
    assert (done.code, done.out) == (4, "")
    assert "a.ckst: holds shard-0.npz (1,000 rows), which is not among the files that are given" in done.err
    resumed = run("evaluate", *SHARDS, "--save-state", "a.ckst", "--resume", "--json")
    assert json.loads(resumed.out)["n"] == 3000
    done = run("evaluate", *SHARDS, "--save-state", "a.ckst", "--resume", "--bins", 10)
    assert "a.ckst: n_bins differs: 15 in the other, 10 in this state" in done.err
    later = (folder / "a.ckst").stat().st_mtime + 10
    os.utime("shard-0.npz", (later, later))  # copied anew, say, with the same rows
    assert run("evaluate", *SHARDS, "--save-state", "a.ckst", "--resume", "--json").out == resumed.out
    part = dict(np.load("shard-1.npz"))
    np.savez("shard-1.npz", **{name: values[::-1][:999] for name, values in part.items()})
    later = (folder / "a.ckst").stat().st_mtime + 10
    os.utime("shard-1.npz", (later, later))
    before = (folder / "a.ckst").read_bytes()
    done = run("evaluate", *SHARDS, "--save-state", "a.ckst", "--resume", "--json")
    assert (done.code, done.out) == (4, "")
    assert "shard-1.npz: has other rows than a.ckst holds of it: the file has changed since" in done.err
    assert "Leave out --resume" in done.err
    assert (folder / "a.ckst").read_bytes() == before
    assert run("evaluate", *SHARDS, "--save-state", "a.ckst").code == 0
    assert ck.CalibrationState.load("a.ckst").n == 2999


def test_a_full_disk_does_not_hide_what_went_wrong_first(run, folder, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def interrupted(_, progress):
        if progress.files == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", full)
    (folder / "shard-1.npz").write_bytes(b"damaged")
    done = run("evaluate", *SHARDS, "--save-state", "a.ckst")
    assert (done.code, done.out) == (4, "")
    assert "shard-1.npz" in done.err
    monkeypatch.setattr(ProgressLine, "show", interrupted)
    done = run("evaluate", SHARDS[0], SHARDS[2], "--save-state", "a.ckst")
    assert done.code == 130
    assert "interrupted: 1 of 2 files were read to their end, 1,000 rows; they are not saved: " in done.err
    assert "No space left on device" in done.err
    assert list(folder.glob("a.ckst*")) == []


@pytest.mark.usefixtures("folder")
def test_labels_of_one_file_are_not_taken_for_several(run):
    done = run("evaluate", *SHARDS, "--together", "--labels-file", "shard-0.npz:labels")
    assert (done.code, done.out) == (2, "")
    assert "--labels-file shard-0.npz:labels holds the labels of one file, and 3 files are given" in done.err
    one = run("evaluate", SHARDS[0], "--together", "--labels-file", "shard-0.npz:labels", "--json")
    assert json.loads(one.out)["n"] == 1000


def test_what_is_no_executor():
    with pytest.raises(ck.OptionError, match=r"give a concurrent\.futures\.Executor"):
        ck.state_of_files(["a.npz"], executor=3)


@pytest.mark.usefixtures("folder")
def test_files_twice_when_that_is_meant(run):
    twice = ("evaluate", "shard-0.npz", "./shard-0.npz", "shard-0.npz", "--together")
    assert "If that is meant, pass --allow-duplicates" in run(*twice).err
    thrice = run(*twice, "--allow-duplicates", "--save-state", "a.ckst", "--json").out
    assert json.loads(thrice)["n"] == 3000
    assert run("evaluate", "shard-0.npz", "--save-state", "b.ckst").code == 0
    state = ck.state_of_files(["shard-0.npz"] * 2, into=ck.CalibrationState.load("b.ckst"), allow_duplicates=True)
    assert (state.n, len(state.sources)) == (2000, 2)  # one was held, the other was not


@pytest.mark.usefixtures("folder")
def test_standard_input_has_no_name_by_which_other_rows_would_be_refused(run, monkeypatch):
    def piped(text, state):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        return run("evaluate", "-", "--save-state", state)

    assert piped("label,prob\n1,0.7\n", "a.ckst").code == 0
    assert piped("label,prob\n0,0.35\n", "b.ckst").code == 0
    assert json.loads(run("merge", "a.ckst", "b.ckst", "--json").out)["n"] == 2


@pytest.mark.usefixtures("folder")
def test_a_file_above_the_limit_is_read_into_a_state(run):
    done = json.loads(run("evaluate", *SHARDS, "--max-memory", 0, "--json").out)
    assert [one["settings"]["rows"] for one in done["evaluations"]] == ["state"] * 3
    assert [one["name"] for one in done["evaluations"]] == ["shard-0", "shard-1", "shard-2"]
    done = json.loads(run("evaluate", *SHARDS, "--max-memory", "1 MB", "--json").out)
    assert [one["settings"]["rows"] for one in done["evaluations"]] == ["in memory"] * 3


@pytest.mark.usefixtures("folder")
def test_no_rows(run):
    np.savez("empty-0.npz", labels=np.zeros(0, int), logits=np.zeros((0, 4)))
    done = run("evaluate", "empty-0.npz", "--together")
    assert (done.code, done.out) == (4, "")
    assert "empty-0: the files hold no rows" in done.err


def test_a_bad_file_leaves_what_was_whole_for_later(run, folder):
    whole = run("evaluate", *SHARDS, "--save-state", "whole.ckst", "--json").out
    good = (folder / "shard-1.npz").read_bytes()
    (folder / "shard-1.npz").write_bytes(good[:-40])
    done = run("evaluate", *SHARDS, "--save-state", "a.ckst", "--resume")
    assert (done.code, done.out) == (4, "")
    assert "shard-1.npz" in done.err
    assert not (folder / "a.ckst").exists()
    assert ck.CalibrationState.load("a.ckst.partial").n == 1000
    (folder / "shard-1.npz").write_bytes(good)
    (folder / "shard-0.npz").unlink()  # it need not be read again
    assert run("evaluate", *SHARDS, "--save-state", "a.ckst", "--resume", "--json").out == whole
    assert not (folder / "a.ckst.partial").exists()
    assert (folder / "a.ckst").read_bytes() == (folder / "whole.ckst").read_bytes()
    # What is saved whole is gone on from too: there is nothing left to read.
    (folder / "shard-1.npz").unlink()
    assert run("evaluate", *SHARDS, "--save-state", "a.ckst", "--resume", "--json").out == whole
    done = run("evaluate", *SHARDS, "--save-state", "a.ckst", "--resume", "--bins", 10)
    assert done.code == 4
    assert "n_bins differs" in done.err


def opened_once_it_is_read(name, process):
    """The writing end of a pipe that the process has opened."""
    while process.poll() is None:
        try:
            return os.open(name, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            time.sleep(0.01)
    raise AssertionError(process.communicate())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize(("saving", "jobs"), [(True, 1), (False, 1), (True, 2)])
def test_ctrl_c(run, folder, saving, jobs):
    """The second file is a pipe that never ends: it is being read when Ctrl-C comes, by whichever process."""
    good = (folder / "shard-1.npz").rename(folder / "kept.npz")
    os.mkfifo("shard-1.npz")
    flags = [*(["--save-state", "a.ckst"] if saving else ["--together"]), "--jobs", str(jobs)]
    code = (  # a shell's background job ignores Ctrl-C, and so would its children
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from calibkit.cli import main\n"
        "if __name__ == '__main__': main(sys.argv[1:])"
    )
    (folder / "run.py").write_text(code)
    command = [sys.executable, "run.py", "evaluate", *SHARDS, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        pipe = opened_once_it_is_read("shard-1.npz", process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        os.close(pipe)
    assert (process.returncode, out) == (130, "")
    err = err.strip()
    assert len(err.splitlines()) == 1
    assert " of 3 files were read to their end, " in err
    if jobs == 1:
        assert err.startswith("interrupted: 1 of 3 files were read to their end, 1,000 rows; ")
        assert not saving or "saved in a.ckst.partial: go on with --resume" in err
    assert not (folder / "a.ckst").exists()
    if not saving:
        assert "nothing was saved (--save-state FILE" in err
        return
    good.replace(folder / "shard-1.npz")
    done = run("evaluate", *SHARDS, "--save-state", "a.ckst", "--resume", "--json")
    assert json.loads(done.out) == ck.evaluate("shard-*.npz").to_dict()


def test_ctrl_c_before_the_first_file(run, folder, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("calibkit.shards.files.state_of_shard", interrupted)
    done = run("evaluate", *SHARDS, "--save-state", "a.ckst")
    assert done.code == 130
    assert "0 of 3 files were read to their end, 0 rows; there was nothing to save" in done.err
    assert [*folder.glob("a.ckst*")] == []


@pytest.mark.usefixtures("folder")
def test_processes(run):
    done = run("evaluate", *SHARDS, "--together", "--jobs", 2, "--json")
    assert done.code == 0
    assert json.loads(done.out) == ck.evaluate("shard-*.npz").to_dict()


def test_what_is_whole_is_saved_now_and_then(folder, monkeypatch):
    """A process that is killed has no time to."""
    monkeypatch.setattr("calibkit.cli.together.SECONDS_BETWEEN_SAVES", -1.0)
    saved = []
    save = ck.CalibrationState.save

    def noted(state, path):
        saved.append((path, state.n))
        save(state, path)

    monkeypatch.setattr(ck.CalibrationState, "save", noted)
    together = Together(save_state="a.ckst")
    together.state_of(SHARDS, {}, n_bins=15, threads=1)
    assert saved == [("a.ckst.partial", 1000), ("a.ckst.partial", 2000), ("a.ckst.partial", N), ("a.ckst", N)]
    assert not (folder / "a.ckst.partial").exists()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(seconds, share=0.5):
    return Progress(rows=1_234_567, files=1, n_files=2, share=share, seconds=seconds)


def test_the_progress_line(monkeypatch):
    clock = iter([0.0, 0.05, 0.2])
    monkeypatch.setattr("calibkit.cli.progress.time.monotonic", lambda: next(clock))
    terminal = Terminal()
    with ProgressLine(terminal) as shown:
        for _ in range(3):
            shown.show(told(4.0))
    text = "1,234,567 rows, 308,642 a second; 1 of 2 files; 50 %, 0:04 left"
    assert terminal.getvalue() == f"{text}\r{text}\r{' ' * len(text)}\r"


def test_no_progress_line_where_nobody_looks():
    stream = io.StringIO()
    with ProgressLine(stream) as shown:
        shown.show(told(4.0))
    assert stream.getvalue() == ""


def test_long_times_and_a_share_of_nothing():
    assert line(told(36_000.0, share=0.25)).endswith("25 %, 30:00:00 left")
    assert line(told(0.0, share=0.0)) == "1,234,567 rows, 0 a second; 1 of 2 files"
