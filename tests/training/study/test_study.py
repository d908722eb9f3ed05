"""A whole study: its files, going on where it stopped, and what is refused before any run."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from calibkit.errors import DataError, LabelError, LimitError, OptionError, OutputError
from calibkit.training import run_study
from calibkit.training.study import one_run, running, study
from calibkit.training.study.cells import Cell, Shared, Task
from tests.training.study.conftest import TINY


def rows(table):
    with table.open(newline="") as file:
        found = list(csv.DictReader(file))
    for row in found:
        row.pop("seconds")
    return found


@pytest.fixture
def copied(tiny, tmp_path):
    """A copy of the tiny study, to change."""
    return Path(shutil.copytree(tiny.folder, tmp_path / "study"))


@pytest.fixture
def runs_done(monkeypatch):
    """Names of the runs that are done from here on."""
    done = []
    real = running.run_task

    def watched(task):
        done.append(task.cell.name)
        return real(task)

    monkeypatch.setattr(running, "run_task", watched)
    return done


def test_the_files_of_a_study(tiny):
    assert sorted(path.name for path in tiny.folder.iterdir()) == [
        "digits",
        "images",
        "runs.csv",
        "what-smoothing-does.md",
    ]
    assert tiny.page.read_text().startswith("# What smoothing does")
    assert all(figure.read_bytes().startswith(b"\x89PNG") for figure in tiny.figures)
    held = {path.stem for path in (tiny.folder / "digits" / "runs").iterdir()}
    assert len(held) == tiny.n_runs
    assert len(tiny.summary) == 14


def test_the_table_has_a_row_a_run_and_kind_of_test_labels(tiny):
    table = rows(tiny.table)
    assert sum(row["labels"] == "clean" for row in table) == tiny.n_runs
    assert {row["labels"] for row in table if row["noise"] == "0.0"} == {"clean"}
    twice = [row for row in table if row["noise"] == "0.2"]
    assert sum(row["labels"] == "noisy" for row in twice) * 2 == len(twice)
    wanted = {"ece", "scaled_ece", "nll", "scaled_nll", "brier", "temperature", "aurc", "confidence_auroc"}
    wanted |= {"accuracy", "train_accuracy_given_labels", "train_accuracy_true_labels", "seed", "smoothing", "loss"}
    assert wanted <= set(table[0])


def test_a_finished_study_runs_nothing_and_writes_the_same_page(copied, tiny, runs_done):
    again = run_study(copied, **TINY)
    assert runs_done == []
    assert again.page.read_bytes() == tiny.page.read_bytes()
    assert again.table.read_bytes() == tiny.table.read_bytes()
    assert again.figures[0].read_bytes() == tiny.figures[0].read_bytes()


def test_runs_that_are_missing_torn_or_of_another_cell_are_done_again(copied, tiny, runs_done):
    runs = copied / "digits" / "runs"
    names = [Cell(seed=seed, smoothing=0.1).name for seed in range(2)]
    names.append(Cell(seed=1, smoothing=0.2).name)
    (runs / f"{names[0]}.json").unlink()
    (runs / f"{names[1]}.json").write_text('{"cell": {"seed"')
    shutil.copy(runs / f"{Cell(seed=0).name}.json", runs / f"{names[2]}.json")
    again = run_study(copied, **TINY)
    assert runs_done == names
    assert rows(again.table) == rows(tiny.table)


def test_an_interrupted_study_keeps_what_is_finished_and_goes_on(tmp_path, tiny, monkeypatch):
    done = []

    def interrupted(task):
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(task.cell.name)
        return one_run.run_task(task)

    with monkeypatch.context() as patch:
        patch.setattr(running, "run_task", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_study(tmp_path, **TINY)
    assert sorted(path.stem for path in (tmp_path / "digits" / "runs").iterdir()) == sorted(done)
    monkeypatch.setattr(running, "run_task", lambda task: done.append(task.cell.name) or one_run.run_task(task))
    again = run_study(tmp_path, **TINY)
    assert len(done) == len(set(done)) == again.n_runs
    assert rows(again.table) == rows(tiny.table)


def group_lives(number):
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills a process group")
def test_a_killed_study_leaves_whole_runs_and_no_process_and_goes_on(tmp_path):
    settings = {"seeds": 2, "epochs": 5, "hidden": (4,), "noises": ()}
    words = ["--seeds", "2", "--epochs", "5", "--hidden", "4", "--noise", "0", "--jobs", "2", "--out"]
    root = str(Path(study.__file__).resolve().parents[3])
    killed = subprocess.Popen(
        [sys.executable, "-m", "calibkit", "study", *words, str(tmp_path / "killed")],
        cwd=root,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    runs = tmp_path / "killed" / "digits" / "runs"
    while not (runs.exists() and len(list(runs.glob("*.json"))) >= 3):
        assert killed.poll() is None
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    deadline = time.monotonic() + 120
    while group_lives(killed.pid):  # the processes that it started see its end, and leave
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = {path: path.read_bytes() for path in runs.glob("*.json")}
    assert all("rows" in json.loads(text) for text in before.values())
    again = run_study(tmp_path / "killed", **settings, jobs=1)
    assert all(path.read_bytes() == text for path, text in before.items())
    assert rows(again.table) == rows(run_study(tmp_path / "whole", **settings, jobs=1).table)


def test_more_seeds_and_smoothings_add_to_what_is_there(copied, runs_done):
    run_study(copied, **{**TINY, "seeds": 3, "smoothings": (0.3,)})
    assert {name.split("-")[0] for name in runs_done if "smoothing0.3" not in name} == {"seed2"}
    assert sum("smoothing0.3" in name for name in runs_done) == 3 * 2


def test_two_processes_give_what_one_gives(tmp_path):
    shared = Shared(epochs=1, hidden=(4,), batch_size=64, lr=2e-3, train_rows=100, device="cpu")
    cells = [Cell(seed=seed, smoothing=0.1) for seed in range(2)]

    def tasks(folder):
        (tmp_path / folder).mkdir()
        return [Task(data="digits", shared=shared, cell=c, path=str(tmp_path / folder / c.name)) for c in cells]

    one, two = tasks("one"), tasks("two")
    running.run_all(one, jobs=1, progress=False, title="digits")
    running.run_all(two, jobs=2, progress=False, title="digits")
    for a, b in zip(one, two, strict=True):
        left, right = (json.loads(Path(task.path).read_text())["rows"][0] for task in (a, b))
        assert left.pop("seconds") > 0
        assert right.pop("seconds") > 0
        assert left == right


def test_a_process_that_is_killed_is_an_error_that_says_how_to_go_on(tmp_path, monkeypatch):
    class Broken:
        def __init__(self, *_, **__):
            pass

        def submit(self, *_):
            raise running.BrokenProcessPool("killed")

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(running, "ProcessPoolExecutor", Broken)
    with pytest.raises(LimitError, match="what is finished is kept"):
        run_study(tmp_path, **{**TINY, "jobs": 2})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 3}, "made with epochs=1, and epochs=3 was asked for"),
        ({"hidden": (8,)}, "made with hidden=4, and hidden=8"),
        ({"train_rows": 100}, "train_rows=2000"),
    ],
)
def test_a_changed_setting_is_noticed(copied, runs_done, change, said):
    before = sorted(path.name for path in copied.rglob("*"))
    with pytest.raises(OptionError, match=said):
        run_study(copied, **{**TINY, **change})
    assert runs_done == []
    assert sorted(path.name for path in copied.rglob("*")) == before


def test_other_data_under_the_same_name_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "run_all", lambda *_, **__: None)
    monkeypatch.setattr(study, "measured_cost", lambda *_: {})
    monkeypatch.setattr(study, "_write", lambda *_, **__: None)
    rng = np.random.default_rng(0)
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        np.savez(tmp_path / place / "d.npz", x=rng.normal(size=(60, 3)), y=np.arange(60) % 3)
    run_study(tmp_path / "out", data=[tmp_path / "a" / "d.npz"], **TINY)
    with pytest.raises(OptionError, match="data_sha256"):
        run_study(tmp_path / "out", data=[tmp_path / "b" / "d.npz"], **TINY)


def test_a_file_that_is_written_again_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "_write", lambda *_, **__: None)
    monkeypatch.setattr(study, "measured_cost", lambda *_: {})
    path, y = tmp_path / "d.npz", np.arange(60) % 2
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.normal(size=(60, 3)), y=y)
    run_study(tmp_path / "out", data=[path], **TINY)
    np.savez(path, x=rng.normal(size=(60, 4)), y=y)
    with pytest.raises(OptionError, match="data_sha256"):
        run_study(tmp_path / "out", data=[path], **TINY)


def test_a_file_that_is_changed_while_it_is_studied_stops_the_study(tmp_path, monkeypatch):
    path = save(tmp_path / "d.npz", np.arange(60) % 2)
    real = running.run_task

    def changing(task):
        done = real(task)
        np.savez(path, x=np.ones((60, 5)), y=np.arange(60) % 2)
        return done

    monkeypatch.setattr(running, "run_task", changing)
    with pytest.raises(DataError, match="was changed while it was studied"):
        run_study(tmp_path / "out", data=[path], **TINY)


def save(path, y, n=60):
    np.savez(path, x=np.random.default_rng(0).normal(size=(n, 3)), y=y)
    return path


@pytest.mark.parametrize(
    ("y", "n", "error", "said"),
    [
        (np.full(60, 3), 60, LabelError, "every label of y is 3"),
        (np.zeros(60, int), 60, LabelError, "every label of y is 0"),
        (np.array(["cat", "dog"] * 30), 60, Exception, "y"),
        (np.arange(20) % 2, 20, DataError, "has 20 rows; a study .* takes at least 30"),
    ],
)
def test_data_that_cannot_be_studied_are_refused_before_anything_is_written(tmp_path, y, n, error, said):
    path = save(tmp_path / "d.npz", y, n)
    with pytest.raises(error, match=said):
        run_study(tmp_path / "out", data=[path], **TINY)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"seeds": 1}, "seeds=1"),
        ({"smoothings": (1.5,)}, r"smoothing=1\.5"),
        ({"noises": (2.0,)}, r"noise=2\.0"),
        ({"jobs": 0}, "jobs=0"),
        ({"table": "xlsx"}, "table='xlsx'"),
        ({"page": "page.html"}, "end its name in .md"),
        ({"data": ()}, "at least one data set"),
        ({"data": ("digits", "digits")}, "digits is there twice"),
        ({"device": "gpu"}, "device='gpu'"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_written(tmp_path, wrong, said):
    with pytest.raises(OptionError, match=said):
        run_study(tmp_path / "out", **{**TINY, **wrong})
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(OutputError, match="is not empty and holds no study"):
        run_study(tmp_path, **TINY)
    with pytest.raises(OutputError, match=r"thesis\.tex"):
        run_study(tmp_path / "thesis.tex", **TINY)
    (tmp_path / "out" / "digits").mkdir(parents=True)
    (tmp_path / "out" / "digits" / "mine").touch()
    with pytest.raises(OutputError, match="holds no study"):
        run_study(tmp_path / "out", **TINY)


def test_parquet_holds_what_csv_holds(copied, tiny):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(run_study(copied, **TINY, table="parquet").table)
    expected = rows(tiny.table)
    assert table.num_rows == len(expected)
    assert table["ece"].to_pylist() == [float(row["ece"]) for row in expected]
    assert table["loss"].to_pylist() == [row["loss"] for row in expected]


@pytest.mark.cuda
def test_the_same_study_on_cuda(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    done = run_study(tmp_path, **{**TINY, "device": "cuda", "jobs": 1})
    assert len(rows(done.table)) == done.n_runs
