"""Many files as one evaluation: whole files alone, whoever reads them, and one state whatever the way."""

import io
import os
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import calibkit as ck
from calibkit import shards
from calibkit.errors import CalibkitError, DataError, InputFormatError, LabelError, OptionError
from calibkit.evaluating import common_name

N, K = 3_000, 4


def rows(seed=1, n=N):
    rng = np.random.default_rng(seed)
    logits = (2 * rng.normal(size=(n, K))).astype(np.float32)
    return {"labels": rng.integers(0, K, n), "logits": logits}


def cut(arrays, n_shards):
    parts = (np.array_split(values, n_shards) for values in arrays.values())
    return [dict(zip(arrays, part, strict=True)) for part in zip(*parts, strict=True)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Five shards of the rows, whole.npz, and the state of all rows."""
    monkeypatch.chdir(tmp_path)
    np.savez("whole.npz", **rows())
    for number, part in enumerate(cut(rows(), 5)):
        np.savez(f"shard-{number}.npz", **part)
    return tmp_path


@pytest.fixture
def expected(folder):
    state = ck.CalibrationState()
    state.update(ck.load(folder / "whole.npz"))
    return state


def test_shards_are_the_rows(expected):
    state = ck.state_of_files("shard-*.npz")
    assert state.digest == expected.digest
    assert [(source.name, source.n) for source in state.sources] == [(f"shard-{i}.npz", 600) for i in range(5)]
    several = ck.state_of_files([Path("shard-3.npz"), "shard-[0124].npz"], block_rows=7, threads=1)
    assert several.digest == expected.digest
    assert several == state


def test_a_state_travels(expected):
    state = shards.state_of_shard("whole.npz")
    assert pickle.loads(pickle.dumps(state)) == state
    assert state.digest == expected.digest


def test_an_executor(expected):
    with ThreadPoolExecutor(3) as executor:
        assert ck.state_of_files("shard-*.npz", executor=executor).digest == expected.digest


def test_what_was_read_is_not_read_again(folder, expected):
    state = ck.state_of_files(["shard-0.npz", "shard-3.npz"])
    for number in (0, 3):
        (folder / f"shard-{number}.npz").write_bytes(b"gone")
    again = ck.state_of_files("shard-*.npz", into=state)
    assert again is state
    assert again.digest == expected.digest


@pytest.mark.usefixtures("folder")
def test_a_split_is_a_shard_of_its_own():
    np.savez("two.npz", **rows(), **{f"val_{key}": values for key, values in rows(2).items()})
    state = ck.state_of_files("two.npz", split="val")
    assert [source.name for source in state.sources] == ["two.npz (split val)"]
    assert ck.state_of_files("two.npz", into=state).n == 2 * N


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(1)])
def test_a_bad_file_leaves_whole_files_alone(executor):
    spoiled = cut(rows(), 5)[3]
    spoiled["logits"][417, 2] = np.nan
    np.savez("shard-3.npz", **spoiled)
    state = ck.CalibrationState()
    with pytest.raises(DataError, match=r"^shard-3\.npz: logits row 417, class 2: value is NaN"):
        ck.state_of_files("shard-*.npz", into=state, block_rows=100, executor=executor)
    assert [source.name for source in state.sources] == ["shard-0.npz", "shard-1.npz", "shard-2.npz"]
    assert state.n == 1800


@pytest.mark.usefixtures("folder")
def test_labels_are_told_by_their_file():
    np.savez("shard-9.npz", labels=[0, K], logits=np.zeros((2, K)))
    with pytest.raises(LabelError, match=r"^shard-9\.npz: labels row 1: value is 4"):
        ck.state_of_files("shard-*.npz")


@pytest.mark.usefixtures("folder")
def test_a_file_that_is_still_written_is_called_that(monkeypatch):
    """Its bad values are not the cause."""
    spoiled = rows()
    spoiled["logits"][2500] = np.nan
    np.savez("whole.npz", **spoiled)
    update = ck.CalibrationState.update

    def meddling(state, block, **options):
        os.utime("whole.npz", ns=(1, 1))
        update(state, block, **options)

    monkeypatch.setattr(ck.CalibrationState, "update", meddling)
    with pytest.raises(DataError, match=r"^whole\.npz: changed while it was read"):
        ck.state_of_files("whole.npz", block_rows=1000)


@pytest.mark.usefixtures("folder")
def test_a_shard_given_twice():
    with pytest.raises(DataError, match=r"^shard-1\.npz: is given twice; .*allow_duplicates=True"):
        ck.state_of_files(["shard-*.npz", "shard-1.npz"])
    np.savez("copy.npz", **cut(rows(), 5)[2])
    with pytest.raises(DataError, match=r"^copy\.npz: copy\.npz \(600 rows\) and shard-2\.npz .* hold the same rows"):
        ck.state_of_files(["shard-*.npz", "copy.npz"])
    assert ck.state_of_files(["shard-*.npz", "copy.npz", "copy.npz"], allow_duplicates=True).n == N + 1200


@pytest.mark.usefixtures("folder")
def test_shards_that_do_not_fit_each_other():
    np.savez("shard-5.npz", labels=[0, 1], logits=np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"^shard-5\.npz: n_classes differs: 3"):
        ck.state_of_files("shard-*.npz")


def test_empty_shards(folder, expected):
    pq = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    np.savez("shard-5.npz", labels=np.zeros(0, int), logits=np.zeros((0, K), np.float32))
    empty = {"labels": pa.array([], pa.int64()), "logits": pa.array([], pa.list_(pa.float32()))}
    pq.write_table(pa.table(empty), folder / "part-6.parquet")  # which cannot tell how many classes there are
    assert list(ck.scan("part-6.parquet")) == []
    state = ck.state_of_files(["part-6.parquet", "shard-*.npz"])
    assert state.digest == expected.digest
    assert len(state.sources) == 7
    assert ck.evaluate(["part-6.parquet", "shard-*.npz"]).n == N


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(2)])
def test_progress(executor):
    told = []
    ck.state_of_files("shard-*.npz", block_rows=100, progress=told.append, executor=executor)
    assert len(told) == (5 if executor else 5 * 6 + 5)
    assert (told[-1].rows, told[-1].files, told[-1].n_files, told[-1].share) == (N, 5, 5, 1.0)
    assert told[-1].seconds_left == 0
    for quantity in ("rows", "files", "share", "seconds"):
        values = [getattr(progress, quantity) for progress in told]
        assert values == sorted(values)
    if executor is None:
        assert told[2].rows == 300
        assert told[2].share == pytest.approx(0.1)


@pytest.mark.parametrize("extension", ["csv", "jsonl"])
def test_progress_through_text_is_that_of_its_bytes(folder, extension):
    from tests.files.samples import write_csv, write_jsonl

    (write_csv if extension == "csv" else write_jsonl)(folder / f"rows.{extension}", rows())
    told = []
    ck.state_of_files(f"rows.{extension}", block_rows=1000, progress=told.append)
    assert 0 < told[0].share <= told[1].share <= told[2].share <= 1


class Broken(Executor):
    """An executor whose second task is lost."""

    def __init__(self):
        self.tasks = []

    def submit(self, function, /, *given, **named):
        task = Future()
        self.tasks.append(task)
        if len(self.tasks) == 1:
            task.set_result(function(*given, **named))
        elif len(self.tasks) == 2:
            task.set_exception(BrokenExecutor("lost"))
        return task


@pytest.mark.usefixtures("folder")
def test_a_worker_that_dies():
    state, executor = ck.CalibrationState(), Broken()
    with pytest.raises(CalibkitError, match=r"^a worker of Broken ended abruptly \(killed, or out of memory\)"):
        ck.state_of_files("shard-*.npz", into=state, executor=executor)
    assert [task.cancelled() for task in executor.tasks[2:]] == [True] * 3
    assert {source.n for source in state.sources} <= {600}


# evaluate


@pytest.mark.usefixtures("folder")
def test_one_file_that_fits_is_loaded():
    in_memory = ck.evaluate(ck.load("whole.npz"))
    assert ck.evaluate("whole.npz") == ck.evaluate([Path("whole.npz")]) == ck.evaluate("wh*.npz") == in_memory
    assert in_memory.settings["rows"] == "in memory"
    n_bytes = N * (8 + 4 * K)
    assert ck.evaluate("whole.npz", max_memory=n_bytes).settings["rows"] == "in memory"
    assert ck.evaluate("whole.npz", max_memory=n_bytes - 1).settings["rows"] == "state"


@pytest.mark.usefixtures("folder")
def test_several_files_are_read_into_a_state():
    in_memory, state = ck.evaluate("whole.npz"), ck.evaluate("shard-*.npz")
    assert (state.settings["rows"], state.name, state.n) == ("state", "shard", N)
    for metric, estimate in in_memory.metrics.items():
        np.testing.assert_allclose(
            [state[metric].value, state[metric].low or 0], [estimate.value, estimate.low or 0], rtol=1e-7
        )
    for way in (iter(["shard-0.npz", "shard-[1-4].npz"]), ("shard-*.npz",)):
        assert ck.evaluate(way) == state
    with ThreadPoolExecutor(2) as executor:
        assert ck.evaluate("shard-*.npz", executor=executor) == state
    assert ck.evaluate("shard-*.npz", name="net").name == "net"
    assert ck.evaluate("shard-*.npz", metrics="all", view="classwise") == ck.state_of_files(
        "shard-*.npz", view="classwise"
    ).evaluation(name="shard", metrics="all")
    assert ck.evaluate("whole.npz", max_memory=0, block_rows=7).metrics == state.metrics


@pytest.mark.usefixtures("folder")
def test_the_keywords_of_load():
    np.savez("odd.npz", truth=rows()["labels"] + 1, out=rows()["logits"])
    keys = {"labels": "truth", "logits": "out", "label_base": 1}
    assert ck.evaluate("odd.npz", **keys)["nll"] == ck.evaluate("whole.npz")["nll"]
    assert ck.evaluate("odd.npz", **keys, max_memory=0).metrics == ck.evaluate("whole.npz", max_memory=0).metrics


def test_urls(folder):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for number in range(5):
        memory.pipe(f"/run/shard-{number}.npz", (folder / f"shard-{number}.npz").read_bytes())
    assert ck.evaluate("memory://run/shard-*.npz") == ck.evaluate("shard-*.npz")
    assert ck.evaluate("memory://run/shard-0.npz") == ck.evaluate("shard-0.npz")


def test_standard_input_is_loaded(monkeypatch):
    text = io.TextIOWrapper(io.BytesIO(b"label,prob\n1,0.75\n0,0.5\n"))
    monkeypatch.setattr("sys.stdin", text)
    evaluation = ck.evaluate("-", max_memory=0)
    assert (evaluation.n, evaluation.settings["rows"]) == (2, "in memory")


@pytest.mark.usefixtures("folder")
def test_what_is_refused():
    with pytest.raises(InputFormatError, match="expected Predictions, got ndarray"):
        ck.evaluate(np.zeros((2, 3)))
    with pytest.raises(InputFormatError, match="expected Predictions, got list"):
        ck.evaluate([0.5, 0.7])
    with pytest.raises(InputFormatError, match="no files are given"):
        ck.evaluate([])
    with pytest.raises(OptionError, match="max_memory=-1"):
        ck.evaluate("whole.npz", max_memory=-1)
    with pytest.raises(TypeError, match=r"^evaluate\(\) has no keyword 'bins'. Did you mean 'n_bins'\?$"):
        ck.evaluate(ck.load("whole.npz"), bins=10)
    with pytest.raises(OptionError, match="split='val' is for reading files"):
        ck.evaluate(ck.load("whole.npz"), split="val")
    with pytest.raises(OptionError, match='binning="quantile": a state of view classwise holds bins of equal width'):
        ck.evaluate("shard-*.npz", binning="quantile", view="classwise")
    with pytest.raises(InputFormatError, match="is a folder"):
        ck.evaluate(".")
    with pytest.raises(DataError, match="is given twice"):
        ck.evaluate(["whole.npz", "whole.npz"])


@pytest.mark.usefixtures("folder")
def test_bins_of_equal_count_of_many_files_are_within_their_bound_of_those_of_the_rows():
    found = ck.evaluate("shard-*.npz", binning="quantile", n_bins=10)
    rows = ck.evaluate("whole.npz", binning="quantile", n_bins=10)
    assert (found.settings["rows"], found.settings["binning"]) == ("state", "quantile")
    assert abs(found["ece"].value - rows["ece"].value) <= min(found.settings["error_bounds"]["ece"], 1e-4)
    assert found.reliability.edges == pytest.approx(rows.reliability.edges, abs=1e-3)
    state = ck.CalibrationState(binning="quantile", n_bins=10)
    assert ck.state_of_files("shard-*.npz", into=state) is state
    assert state == ck.state_of_files("shard-*.npz", binning="quantile", n_bins=10)


def test_common_name():
    assert common_name(["s3://bucket/run/part-00.parquet", "s3://bucket/run/part-01.parquet"]) == "part"
    assert common_name(["run1.npz", "run10.npz"]) == "run"
    assert common_name(["gpt4-a.npz", "gpt4-b.npz"]) == "gpt4"
    assert common_name(["net7.npz"]) == "net7"


@pytest.mark.usefixtures("folder")
def test_blocks_of_a_file_are_worked_on_side_by_side(expected, monkeypatch):
    side_by_side, update = threading.Barrier(2), ck.CalibrationState.update

    def meeting(state, block, *, threads):
        assert threads == (2 if block.first_row == 0 else 1)
        if block.first_row in {1000, 2000}:
            side_by_side.wait(timeout=30)
        update(state, block, threads=threads)

    monkeypatch.setattr(ck.CalibrationState, "update", meeting)
    assert shards.state_of_shard("whole.npz", block_rows=1000, threads=2).digest == expected.digest


@pytest.mark.usefixtures("folder")
def test_blocks_do_not_pile_up_while_whoever_is_told_of_them_is_slow(monkeypatch):
    """As where a terminal was stopped by Ctrl-S: the rows of all blocks but the last ones are let go."""
    logits, last_taken, held, update = [], threading.Event(), [], ck.CalibrationState.update

    def watched(state, block, *, threads):
        update(state, block, threads=threads)
        logits.append(weakref.ref(block.logits))
        if block.first_row == N - 100:
            last_taken.set()

    def slow(rows_read, _):
        if rows_read == 200:
            assert last_taken.wait(timeout=30)
            held.append(sum(array() is not None for array in logits))

    monkeypatch.setattr(ck.CalibrationState, "update", watched)
    assert shards.state_of_shard("whole.npz", block_rows=100, threads=2, seen=slow).n == N
    assert held[0] <= 4  # the first one, and those in the hands of two threads


@pytest.mark.usefixtures("folder")
def test_the_first_block_that_is_refused_is_told(monkeypatch):
    """Whichever thread is done first; and no further block is read."""
    second_failed, taken, update = threading.Event(), [], ck.CalibrationState.update

    def refusing(state, block, *, threads):
        taken.append(block.first_row)
        if block.first_row == 500:
            assert second_failed.wait(timeout=30)
            raise DataError("whole: the first")
        if block.first_row == 1000:
            second_failed.set()
            raise DataError("whole: the second")
        update(state, block, threads=threads)

    monkeypatch.setattr(ck.CalibrationState, "update", refusing)
    with pytest.raises(DataError, match=r"^whole\.npz: the first$"):
        shards.state_of_shard("whole.npz", block_rows=500, threads=2)
    assert sorted(taken) == [0, 500, 1000]


@pytest.mark.usefixtures("folder")
def test_a_block_that_is_read_while_another_is_refused_is_the_last(monkeypatch):
    reading, stopped, stop, read = threading.Event(), threading.Event(), shards.spread._Reader.stop, []

    def blocks():
        for number, block in enumerate(ck.scan("whole.npz", block_rows=500)):
            if number == 1:
                reading.set()
                assert stopped.wait(timeout=30)
            read.append(number)
            yield block

    def take(block):
        if block.first_row == 0:
            assert reading.wait(timeout=30)
            raise DataError("no")

    def stopping(reader):
        stop(reader)
        stopped.set()

    monkeypatch.setattr(shards.spread._Reader, "stop", stopping)
    with pytest.raises(DataError, match=r"^no$"):
        list(shards.spread.spread(blocks(), [take, take]))
    assert read == [0, 1]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("failing", [0, 1000])
def test_what_is_no_complaint_of_ours_is_raised_as_it_is(monkeypatch, failing):
    def running_out(_, block, **__):
        if block.first_row == failing:
            raise MemoryError

    monkeypatch.setattr(ck.CalibrationState, "update", running_out)
    with pytest.raises(MemoryError):
        shards.state_of_shard("whole.npz", block_rows=1000, threads=2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("calibkit-block")]


@pytest.mark.usefixtures("folder")
def test_large_states_are_fewer(expected, monkeypatch):
    seen = set()
    update = ck.CalibrationState.update

    def counting(state, block, *, threads):
        seen.add((id(state), threads))
        update(state, block, threads=threads)

    monkeypatch.setattr(ck.CalibrationState, "update", counting)
    monkeypatch.setattr(shards.shard, "MOST_BYTES", 2 * expected.tally.nbytes)
    assert shards.state_of_shard("whole.npz", block_rows=100, threads=6).digest == expected.digest
    assert {threads for _, threads in seen} == {6, 3}  # the first block, and those of two states side by side
    assert len({state for state, _ in seen}) <= 2


def test_peak_memory_of_a_process_does_not_grow_with_the_file(tmp_path):
    """200 MB of rows, in blocks of 4 MB."""
    pytest.importorskip("resource")
    n = 1_000_000
    for name, dtype, shape in (("logits", np.float32, (n, 50)), ("truth", np.int64, (n,))):
        np.lib.format.open_memmap(tmp_path / f"{name}.npy", mode="w+", dtype=dtype, shape=shape).flush()
    code = (
        "import resource, numpy as np, calibkit as ck\n"
        "np.save('few.npy', np.zeros((40_000, 50), np.float32)); np.save('some.npy', np.zeros(40_000, int))\n"
        "def read(values, truth):\n"
        "    options = {'logits': 'array', 'labels_file': truth, 'block_rows': 20_000, 'threads': 1}\n"
        "    n = ck.state_of_files(values, **options).n\n"
        "    return n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "_, before = read('few.npy', 'some.npy')\n"
        "n, after = read('logits.npy', 'truth.npy')\n"
        "print(n, after - before)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(ck.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    rows_read, growth = map(int, done.stdout.split())
    unit = 1 if sys.platform == "darwin" else 1024
    assert (rows_read, growth * unit < 20_000_000) == (n, True)
