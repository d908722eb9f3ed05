"""Lists of unlike lengths in files: JSON lines, Parquet and Arrow, a filled matrix, calibkit's own file."""

import json
import tracemalloc

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import CalibkitError, DataError, InputFormatError, LabelError, LimitError, OptionError, ShapeError
from calibkit.files import inspect, load, save, scan
from calibkit.predictions import Predictions

ROWS = [[0.7, 0.3], [1.0], [0.2, 0.5, 0.3], [0.25, 0.75], [0.1, 0.2, 0.3, 0.4]]
LABELS = [0, 0, 2, 1, 3]
EXTENSIONS = [".jsonl", ".parquet", ".arrow"]


def write(path, rows=ROWS, labels=LABELS, key="probs", **columns):
    columns = {"label": labels, key: rows, **columns}
    if path.suffix == ".jsonl":
        lines = (dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True))
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path
    pa = pytest.importorskip("pyarrow")
    table = pa.table(columns)
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            for batch in table.to_batches(max_chunksize=2):  # batches whose longest lists differ
                writer.write_batch(batch)
    return path


def joined(path, **reading):
    """What the blocks of a file hold, filled up again."""
    blocks = [*scan(path, **reading)]
    rows = [row[:k] for b in blocks for row, k in zip(b.values, b.n_choices, strict=True)]
    make = Predictions.from_logits if blocks[0].kind == "logits" else Predictions.from_probs
    labels = np.concatenate([b.labels for b in blocks])
    return make(labels, rows, ragged=True, name=blocks[0].name, sum_tolerance=blocks[0].sum_tolerance)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_lists_are_read_when_asked_for(tmp_path, extension):
    path = write(tmp_path / f"choices{extension}", ids=list("abcde"), weights=[1.0, 2.0, 1.0, 3.0, 1.0])
    made = load(path, ragged=True)
    expected = Predictions.from_probs(LABELS, ROWS, ragged=True, ids=list("abcde"), weights=[1, 2, 1, 3, 1])
    assert made.probs.tolist() == expected.probs.tolist()
    assert made.n_choices.tolist() == [2, 1, 3, 2, 4]
    assert (made.ids.tolist(), made.weights.tolist(), made.name) == (list("abcde"), [1, 2, 1, 3, 1], "choices")
    with pytest.raises(InputFormatError, match=r"unlike numbers of choices are read by ragged=True"):
        load(path)
    with pytest.raises(InputFormatError, match=r"unlike numbers of choices are read by ragged=True"):
        [*scan(path, block_rows=1)]


@pytest.mark.parametrize("block_rows", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_blocks_are_the_rows_of_load(tmp_path, extension, block_rows):
    path = write(tmp_path / f"choices{extension}")
    assert joined(path, ragged=True, block_rows=block_rows) == replace_tolerance(load(path, ragged=True))
    widths = [block.probs.shape[1] for block in scan(path, ragged=True, block_rows=2)]
    assert widths == [2, 3, 4]  # each is filled up by itself


def replace_tolerance(made):
    lists = [row[:k] for row, k in zip(made.values, made.n_choices, strict=True)]
    return Predictions.from_probs(made.labels, lists, ragged=True, name=made.name, sum_tolerance=made.sum_tolerance)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_logits_and_logarithms(tmp_path, extension):
    path = write(tmp_path / f"a{extension}", key="logits")
    assert load(path, ragged=True).logits[1].tolist() == [1.0, -np.inf, -np.inf, -np.inf]
    if extension == ".jsonl":  # the others say themselves of what type their numbers are
        assert load(path, ragged=True, dtype="float32").logits.dtype == np.float32
    logs = write(tmp_path / f"b{extension}", rows=[np.log(row).tolist() for row in ROWS])
    made = load(logs, ragged=True, log_probs=True)
    assert (made.kind, made.logits[0, 2]) == ("logits", -np.inf)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_labels_that_are_letters(tmp_path, extension):
    letters = ["ABCD"[label] for label in LABELS]
    path = write(tmp_path / f"a{extension}", labels=letters)
    numbers = write(tmp_path / f"b{extension}")
    asked = {"ragged": True, "class_names": list("ABCDE")}
    assert load(path, **asked, name="net") == load(numbers, ragged=True, name="net")
    assert joined(path, **asked, block_rows=2).labels.tolist() == LABELS
    states = [ck.CalibrationState() for _ in range(2)]
    for block in scan(path, **asked, block_rows=2):
        states[0].update(block)
    states[1].update(load(numbers, ragged=True))
    assert states[0].evaluation().to_dict() == states[1].evaluation().to_dict()
    bad = write(tmp_path / f"c{extension}", labels=["A", "A", "C", "D", "D"])
    for read in (load, lambda *args, **options: [*scan(*args, block_rows=2, **options)]):
        with pytest.raises(LabelError, match=r"labels row 3: value is 'D' .* expected 'A' to 'B' for 2 choices"):
            read(bad, **asked)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_lists_of_one_length_are_ragged_too(tmp_path, extension):
    path = write(tmp_path / f"a{extension}", rows=[[0.7, 0.3]] * 5, labels=[0, 1, 1, 0, 0])
    assert load(path, ragged=True).n_choices.tolist() == [2] * 5
    assert load(path).n_choices is None


def test_a_matrix_is_ragged_if_asked_for(tmp_path):
    probs = np.array([[0.7, 0.3, 0.0], [0.2, 0.5, 0.3]])
    np.savez(tmp_path / "a.npz", labels=[0, 2], probs=probs)
    assert load(tmp_path / "a.npz", ragged=True).n_choices.tolist() == [3, 3]
    np.savez(tmp_path / "b.npz", labels=[0, 2], probs=probs, n_choices=[2, 3])
    assert load(tmp_path / "b.npz", ragged=True).n_choices.tolist() == [2, 3]
    assert load(tmp_path / "b.npz").n_choices is None  # a name alone says nothing
    (tmp_path / "c.csv").write_text("label,probs_0,probs_1,probs_2,n_choices\n0,0.7,0.3,0,2\n2,0.2,0.5,0.3,3\n")
    assert load(tmp_path / "c.csv", ragged=True).n_choices.tolist() == [2, 3]
    for counts, words in (
        ([1, 3], "row 0, class 1: value is 0.3, and the row's n_choices is 1; expected 0"),
        ([2, 4], "row 1: value is 4"),
    ):
        np.savez(tmp_path / "d.npz", labels=[0, 2], probs=probs, n_choices=counts)
        with pytest.raises(ShapeError, match=words):
            load(tmp_path / "d.npz", ragged=True)
    np.savez(tmp_path / "e.npz", labels=[0, 2], probs=probs, n_choices=[2.5, 3])
    with pytest.raises(ShapeError, match="a whole number for each of its rows"):
        load(tmp_path / "e.npz", ragged=True)


@pytest.mark.parametrize("kind", ["logits", "probs"])
def test_calibkits_own_file_says_it_itself(tmp_path, kind):
    make = Predictions.from_logits if kind == "logits" else Predictions.from_probs
    made = make(LABELS, ROWS, ragged=True, ids=list("abcde"), name="net")
    path = tmp_path / "net.npz"
    for rows in (made, made.take([0, 1]), made.take([1])):  # the matrix may be wider than its rows
        save(rows, path)
        assert load(path) == rows
        assert load(path, ragged=True) == rows
        assert [block.n_choices.tolist() for block in scan(path, block_rows=9)] == [rows.n_choices.tolist()]
    with np.load(path, allow_pickle=False) as arrays:
        assert json.loads(arrays["calibkit"].item())["convention"].startswith(
            f"{'softmax(' * (kind == 'logits')}{kind}[i"
        )
    told = inspect(path).reading
    assert told.startswith(f"{kind} of 1 rows of up to 4 choices from {kind}; labels from labels")
    assert told.endswith("ids from ids; n_choices from n_choices")


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_what_is_wrong_is_named_by_its_row(tmp_path, extension):
    path = write(tmp_path / f"a{extension}", labels=[0, 0, 2, 2, 3])
    for read in (load, lambda *args, **options: [*scan(*args, block_rows=2, **options)]):
        with pytest.raises(LabelError, match=r"labels row 3: value is 2 .* expected 0 to 1 for 2 choices of this row"):
            read(path, ragged=True)
    empty = write(tmp_path / f"b{extension}", rows=[[0.7, 0.3], [], [1.0], [1.0], [1.0]], labels=[0] * 5)
    with pytest.raises(DataError, match=r"probs row 1: the list is empty \(1 of 5 rows\)"):
        load(empty, ragged=True)
    assert len(load(empty, ragged=True, invalid="drop")) == 4
    off = write(tmp_path / f"c{extension}", rows=[[0.7, 0.3], [0.5], [1.0], [1.0], [1.0]], labels=[0] * 5)
    with pytest.raises(DataError, match=r"probs row 1: the row sums to 0.5"):
        load(off, ragged=True)


def test_lists_with_nulls(tmp_path):
    rows = [[0.7, 0.3], None, [0.5, None], [1.0], [1.0]]
    for extension in (".parquet", ".arrow"):
        path = write(tmp_path / f"a{extension}", rows=rows, labels=[0] * 5)
        assert load(path, ragged=True, invalid="drop").n_choices.tolist() == [2, 1, 1]
        with pytest.raises(DataError, match="probs row 1, class 0: value is missing"):
            load(path, ragged=True)
    with pytest.raises(InputFormatError, match="line 3: 'probs' holds null, not numbers"):
        load(write(tmp_path / "a.jsonl", rows=[[1.0], [1.0], [None], [1.0], [1.0]]), ragged=True)


def test_json_lines_that_are_no_lists(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"label": 1, "prob": 0.7}\n{"label": 0, "prob": 0.2}\n')
    with pytest.raises(ShapeError, match=r"probs row 0: 0.7 is no list of choices"):
        load(path, ragged=True)
    path.write_text('{"label": 0, "probs": [1.0]}\n{"label": 0, "probs": 0.2}\n')
    with pytest.raises(InputFormatError, match="line 2: 'probs' is a number, but a list before"):
        load(path, ragged=True)
    path.write_text('{"label": 0, "probs": [1.0]}\n{"label": 0, "probs": [0.5, 1e999]}\n')
    with pytest.raises(InputFormatError, match="line 2: 'probs' holds a number that float64 cannot"):
        load(path, ragged=True)
    path.write_text('{"label": 0, "probs": []}\n')
    with pytest.raises(DataError, match="the list is empty"):
        load(path, ragged=True)


def test_options_that_do_not_go_together(tmp_path):
    path = write(tmp_path / "a.jsonl")
    with pytest.raises(OptionError, match="ragged=True reads lists of choices and binary=True a single column"):
        load(path, ragged=True, binary=True)
    path.write_text('{"correct": true, "confidence": 0.7}\n')
    with pytest.raises(OptionError, match=r"ragged=True is for logits or probs; .* would be read as correct"):
        load(path, ragged=True)


def test_printed_digits_are_those_of_the_whole_file(tmp_path):
    rng = np.random.default_rng(0)
    rows = [np.round(rng.dirichlet(np.ones(k)), 3).tolist() for k in (9, 2, 3, 9, 4, 9)]
    path = write(tmp_path / "a.jsonl", rows=rows, labels=[0] * 6)
    made = load(path, ragged=True)
    assert made.sum_tolerance == pytest.approx(0.5 * 9 * 1e-3)
    assert {block.sum_tolerance for block in scan(path, ragged=True, block_rows=2)} == {made.sum_tolerance}


def test_rows_that_fill_up_to_more_than_the_limit(tmp_path):
    path = write(tmp_path / "a.jsonl", rows=[[1.0]] * 999 + [[0.001] * 1000], labels=[0] * 1000)
    with pytest.raises(LimitError, match="a matrix of the largest number of choices"):
        load(path, ragged=True, max_bytes=1_000_000)
    assert sum(len(block) for block in scan(path, ragged=True, max_bytes=1_000_000, block_rows=100)) == 1000


def test_a_scan_takes_memory_for_a_block(tmp_path):
    path = write(tmp_path / "a.jsonl", rows=ROWS * 4000, labels=LABELS * 4000)
    peaks = []
    for block_rows in (200, 20_000):
        tracemalloc.start()
        for _ in scan(path, ragged=True, block_rows=block_rows):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert 10 * peaks[0] < peaks[1]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_inspect_says_that_lists_are_ragged(tmp_path, extension):
    path = write(tmp_path / f"a{extension}")
    said = inspect(path)
    assert (said.reading, said.n) == ("nothing", None)
    assert "the lists of probs hold 1 to 4 choices: ragged rows" in said.problem
    assert said.problem.endswith("They are read by ragged=True.")
    said = inspect(path, ragged=True)
    assert (said.reading, said.problem, said.n) == (
        "probs of 5 rows of 1 to 4 choices from probs; labels from label",
        None,
        5,
    )
    assert [entry.shape for entry in said.entries] == [(5,), (5, None)]
    path = write(path, rows=[[0.7, 0.3]] * 5, labels=[0] * 5)
    assert inspect(path).reading == "probs of 5 rows and 2 classes from probs; labels from label"
    assert inspect(path, ragged=True).reading == "probs of 5 rows of 2 choices from probs; labels from label"


def test_evaluations_of_files(tmp_path):
    first, second = write(tmp_path / "s-0.jsonl"), write(tmp_path / "s-1.parquet", rows=[[0.4, 0.6]], labels=[1])
    whole = Predictions.from_probs([*LABELS, 1], [*ROWS, [0.4, 0.6]], ragged=True)
    found = ck.evaluate([first, second], ragged=True)
    assert found.settings["rows"] == "state"
    assert found["nll"].value == pytest.approx(ck.evaluate(whole)["nll"].value, rel=1e-15)
    assert found.settings["choices"] == [1, 4]
    one = ck.evaluate(first, ragged=True)
    assert one.settings["rows"] == "in memory"
    state = ck.evaluate(first, ragged=True, max_memory=0)
    assert one["nll"].value == pytest.approx(state["nll"].value, rel=1e-15)
    with pytest.raises(CalibkitError, match="ragged=True"):
        ck.evaluate(first)
