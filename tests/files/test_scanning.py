"""Blocks put together are what `load` gives, bit for bit, from every format; and memory holds one block."""

import csv
import re
import tracemalloc

import numpy as np
import pytest

from calibkit import load, scan
from calibkit.errors import DataError, InputFormatError, LabelError, OptionError, ShapeError
from calibkit.predictions import Predictions
from calibkit.scores import score_rows
from tests.bad_inputs.formats import WRITERS as EVERY_FORMAT
from tests.bad_inputs.samples import LABELS as FOUR_LABELS
from tests.files.samples import EXTRAS, WRITERS, write_csv, write_jsonl

N = 23
FIELDS = ("labels", "logits", "probs", "predicted", "confidence", "correct", "ids", "weights", "groups")


def general(n=N, k=3, seed=5):
    """Arrays of every role in general position."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)).astype(np.float32)
    odds = np.exp(logits.astype(np.float64))
    return {
        "labels": rng.integers(0, k, n),
        "logits": logits,
        "probs": odds / odds.sum(axis=1, keepdims=True),
        "predicted": rng.integers(0, k, n),
        "confidence": rng.uniform(size=n).round(6),
        "correct": rng.uniform(size=n) < 0.7,
        "id": rng.permutation(n) + 100,
        "weight": rng.uniform(0.5, 2.0, n),
        "group": rng.integers(0, 6, n),
    }


def some(*names, **options):
    return {name: values for name, values in general(**options).items() if name in names}


KINDS = {
    "logits": some("labels", "logits", "id", "weight", "group"),
    "probs": some("labels", "probs"),
    "top1": some("labels", "predicted", "confidence"),
    "correct": some("correct", "confidence", "id"),
    "one class": {"labels": general()["labels"] % 2, "prob": general()["confidence"]},
}


def write(path, arrays):
    for package in {EXTRAS.get(path.suffix), "safetensors" if path.suffix == ".safetensors" else None} - {None}:
        pytest.importorskip(package)
    WRITERS[path.suffix](path, arrays)
    return path


def check_blocks(path, block_rows, **reading):
    """Every block is the same rows of the whole file."""
    whole, start = load(path, **reading), 0
    for block in scan(path, block_rows=block_rows, **reading):
        rows = np.arange(start, start + len(block))
        assert block == whole.take(rows)
        assert [type(getattr(block, key)) for key in FIELDS] == [type(getattr(whole, key)) for key in FIELDS]
        assert block.values.dtype == whole.values.dtype
        assert block.first_row == start
        assert len(block) == min(block_rows, len(whole) - start)
        start += len(block)
    assert start == len(whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("extension", WRITERS)
@pytest.mark.parametrize("block_rows", [1, 4, N, 1000])
def test_blocks_are_the_rows_of_load(tmp_path, extension, kind, block_rows):
    check_blocks(write(tmp_path / f"net{extension}", KINDS[kind]), block_rows)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("compress", [np.savez, np.savez_compressed])
def test_either_order_of_npz_and_npy(tmp_path, order, compress):
    arrays = KINDS["logits"] | {"logits": np.asarray(KINDS["logits"]["logits"], order=order)}
    compress(tmp_path / "net.npz", **arrays)
    check_blocks(tmp_path / "net.npz", 5)
    np.save(tmp_path / "logits.npy", arrays["logits"])
    np.save(tmp_path / "truth.npy", arrays["labels"].astype(">i4"))
    check_blocks(tmp_path / "logits.npy", 5, labels_file=str(tmp_path / "truth.npy"))


def test_labels_of_another_file_in_another_format(tmp_path):
    np.save(tmp_path / "logits.npy", KINDS["logits"]["logits"])
    write_csv(tmp_path / "truth.csv", {"y": KINDS["logits"]["labels"]})
    check_blocks(tmp_path / "logits.npy", 7, labels_file=str(tmp_path / "truth.csv"))


def test_bfloat16_and_nested_tensors(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    logits, labels = torch.from_numpy(KINDS["logits"]["logits"]), torch.from_numpy(KINDS["logits"]["labels"])
    probs = torch.softmax(logits, 1).bfloat16()
    save_file({"labels": labels, "probs": probs}, tmp_path / "net.safetensors")
    torch.save({"test": {"labels": labels, "probs": probs.t().contiguous().t()}}, tmp_path / "net.pt")
    check_blocks(tmp_path / "net.safetensors", 4)
    check_blocks(tmp_path / "net.pt", 4, labels="test.labels", probs="test.probs")


@pytest.mark.parametrize("writer", [write_csv, write_jsonl])
def test_what_text_holds_is_decided_by_all_its_rows(tmp_path, writer):
    """Ids that are text in the last row alone, labels that are 1.0, and few decimals in the first rows."""
    probs = np.array([[0.1, 0.9]] * 3 + [[0.123456, 0.876544]] * 4)
    path = tmp_path / f"net.{'csv' if writer is write_csv else 'jsonl'}"
    ids = np.array(["7", "8", "9", "10", "11", "12", "013"])
    writer(path, {"label": np.array([0, 1, 0, 1, 1, 0, 1.0]), "probs": probs, "id": ids})
    for block_rows in (1, 3, 7):
        check_blocks(path, block_rows)
    assert next(scan(path, block_rows=1)).sum_tolerance == load(path).sum_tolerance == pytest.approx(64 * 2**-23)


def test_csv_labels_that_become_names(tmp_path):
    path = tmp_path / "net.csv"
    path.write_text("y,probs_0,probs_1\n7,0.25,0.75\n7,0.5,0.5\ncat,0.25,0.75\n")
    check_blocks(path, 1, class_names=["7", "cat"])


@pytest.mark.parametrize("block_rows", [1, 5, 100])
@pytest.mark.parametrize(
    ("arrays", "options"),
    [
        (KINDS["probs"], {"clip": 0.1}),
        (KINDS["probs"] | {"probs": KINDS["probs"]["probs"] * 0.5}, {"renormalize": True}),
        (KINDS["probs"] | {"probs": np.log(KINDS["probs"]["probs"])}, {"log_probs": True}),
        (KINDS["probs"] | {"labels": KINDS["probs"]["labels"] + 1}, {"label_base": 1}),
        (KINDS["logits"], {"class_names": ["a", "b", "c"], "name": "net"}),
        (KINDS["logits"], {"weights": "", "groups": ""}),
        ({"labels": KINDS["one class"]["labels"], "logits": KINDS["logits"]["logits"][:, :1]}, {"binary": True}),
    ],
)
def test_opt_ins(tmp_path, arrays, options, block_rows):
    np.savez(tmp_path / "net.npz", **arrays)
    check_blocks(tmp_path / "net.npz", block_rows, **options)


def test_rows_left_out(tmp_path):
    arrays = KINDS["logits"] | {"logits": KINDS["logits"]["logits"].copy(), "weight": np.ones(N)}
    arrays["logits"][[2, 9], 1] = np.nan
    arrays["weight"][5:11] = 0
    np.savez(tmp_path / "net.npz", **arrays)
    whole = load(tmp_path / "net.npz", invalid="drop", ignore_index=1)
    for block_rows in (1, 3, N):
        blocks = [*scan(tmp_path / "net.npz", block_rows=block_rows, invalid="drop", ignore_index=1)]
        np.testing.assert_array_equal(np.concatenate([block.logits for block in blocks]), whole.logits)
        np.testing.assert_array_equal(np.concatenate([block.ids for block in blocks]), whole.ids)


def test_weights_that_are_all_zero(tmp_path):
    np.savez(tmp_path / "net.npz", **KINDS["probs"], weight=np.zeros(N))
    with pytest.raises(DataError, match="all 23 weights are 0"):
        load(tmp_path / "net.npz")
    blocks = scan(tmp_path / "net.npz", block_rows=20)
    with pytest.raises(DataError, match=r"net.npz: weights: all 23 weights are 0"):
        list(blocks)


@pytest.mark.parametrize("extension", [".npz", ".parquet", ".csv", ".safetensors"])
def test_files_without_rows(tmp_path, extension):
    path = write(tmp_path / f"net{extension}", some("labels", "logits", n=0))
    blocks = [*scan(path)]
    assert len(blocks) == 1
    assert blocks[0] == load(path)
    assert (len(blocks[0]), blocks[0].n_classes) == (0, 3)


def spoiled(name, row, value):
    arrays = {key: values.copy() for key, values in KINDS["probs" if name == "probs" else "logits"].items()}
    arrays[name][row] = value
    return arrays


FAULTS = [
    (spoiled("labels", 17, 9), LabelError, "labels row 17: value is 9"),
    (spoiled("logits", 17, np.nan), DataError, "logits row 17, class 0: value is NaN"),
    (spoiled("probs", 17, [0.5, 0.5, 1.0]), DataError, "probs row 17: the row sums to 2.0"),
    (spoiled("probs", 17, [0.5, 0.6, -0.1]), DataError, "probs row 17, class 2: value is -0.1"),
    (spoiled("weight", 17, -1.0), DataError, "weights row 17: weight is -1.0"),
]


@pytest.mark.parametrize(("arrays", "error", "said"), FAULTS)
@pytest.mark.parametrize("options", [{}, {"ignore_index": 0}])
def test_complaints_name_the_row_of_the_file(tmp_path, arrays, error, said, options):
    arrays["labels"][[3, 12]] = 0  # some of which are left out
    np.savez(tmp_path / "net.npz", **arrays)
    with pytest.raises(error, match=re.escape(said)):
        score_rows(load(tmp_path / "net.npz", **options))
    for block_rows in (1, 5, 17, N):
        scored = map(score_rows, scan(tmp_path / "net.npz", block_rows=block_rows, **options))
        for _ in range(17 // block_rows):
            next(scored)
        with pytest.raises(error, match=re.escape(said)):
            next(scored)


def test_complaints_about_text_name_the_line(tmp_path):
    lines = ["label,prob", *["1,0.75"] * 9, "1,x", "0,0.5"]
    (tmp_path / "net.csv").write_text("\n".join(lines))
    with pytest.raises(InputFormatError, match=r"net\.csv line 11"):
        list(scan(tmp_path / "net.csv", block_rows=2))


def test_shapes_that_do_not_fit_are_known_before_any_block(tmp_path):
    np.savez(tmp_path / "net.npz", labels=np.zeros(5, int), logits=np.zeros((6, 3)))
    with pytest.raises(ShapeError, match=r"net.npz: logits has 6 rows \(shape \(6, 3\)\) but labels has 5") as expected:
        load(tmp_path / "net.npz")
    with pytest.raises(ShapeError) as found:
        next(scan(tmp_path / "net.npz"))
    assert str(found.value) == str(expected.value)
    np.savez(tmp_path / "net.npz", labels=np.zeros(5, int), probs_0=np.full(5, 0.5), probs_1=np.full(6, 0.5))
    for read in (load, lambda path: next(scan(path))):
        with pytest.raises(ShapeError, match=r"probs_1 \(6,\) float64 and probs_0 \(5,\) float64 are columns"):
            read(tmp_path / "net.npz")


@pytest.mark.parametrize("n_labels", [20, 26])
def test_labels_of_another_length_in_a_text_file(tmp_path, n_labels):
    np.save(tmp_path / "logits.npy", KINDS["logits"]["logits"])
    write_csv(tmp_path / "truth.csv", {"y": np.zeros(n_labels, int)})
    blocks = scan(tmp_path / "logits.npy", block_rows=5, labels_file=str(tmp_path / "truth.csv"))
    with pytest.raises(ShapeError, match=rf"logits.npy has 23 rows but .*truth.csv.* has {n_labels}"):
        list(blocks)


@pytest.mark.parametrize("options", [{"block_rows": 0}, {"split": ""}, {"dtype": "int8"}, {"labels": 3}])
def test_options_are_checked_at_once(options):
    with pytest.raises(OptionError):
        scan("there is no such file.npz", **options)


def test_an_unknown_keyword():
    with pytest.raises(OptionError, match="'logit' is not read from files"):
        scan("net.npz", logit="out")


@pytest.mark.parametrize("name", EVERY_FORMAT)
def test_a_truncated_file_never_ends_well(tmp_path, name):
    path = tmp_path / name
    EVERY_FORMAT[name](path)
    np.save(tmp_path / "labels.npy", FOUR_LABELS)
    options = {"logits": "array", "labels_file": str(tmp_path / "labels.npy")} if path.suffix == ".npy" else {}
    check_blocks(path, 2, **options)
    data = path.read_bytes()
    for length in sorted({1, 8, 63, len(data) // 3, len(data) // 2, len(data) - 9, len(data) - 1}):
        path.write_bytes(data[:length])
        with pytest.raises(InputFormatError, match=re.escape(f"{path}")):
            list(scan(path, block_rows=1, **options))


@pytest.mark.parametrize("extension", WRITERS)
def test_a_file_that_changes_while_it_is_read(tmp_path, extension):
    path = write(tmp_path / f"net{extension}", KINDS["probs"])
    blocks = scan(path, block_rows=2)
    next(blocks)
    with path.open("ab") as file:
        file.write(b" ")
    with pytest.raises(DataError, match="changed while it was read"):
        list(blocks)


@pytest.mark.parametrize("extension", [".npy", ".npz", ".safetensors"])
def test_a_file_that_is_cut_short_while_it_is_read(tmp_path, extension):
    """Mapped, it would end the process."""
    pytest.importorskip("safetensors")
    arrays, options = some("labels", "logits", n=100_000, k=10), {}
    path = tmp_path / f"net{extension}"
    if extension == ".npy":
        np.save(path, arrays["logits"])
        np.save(tmp_path / "truth.npy", arrays["labels"])
        options = {"logits": "array", "labels_file": str(tmp_path / "truth.npy")}
    else:
        np.savez(path, **arrays) if extension == ".npz" else WRITERS[extension](path, arrays)
    blocks = scan(path, block_rows=10, **options)
    next(blocks)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(DataError, match="changed while it was read"):
        list(blocks)


def test_a_bit_flipped_in_an_npz_is_found_at_its_end(tmp_path):
    path = tmp_path / "net.npz"
    arrays = some("labels", "logits", n=20_000)
    np.savez(path, **arrays)
    data = bytearray(path.read_bytes())
    data[data.index(arrays["logits"].tobytes()) + 200_000] ^= 1
    path.write_bytes(data)
    blocks = scan(path, block_rows=1000)
    next(blocks)
    with pytest.raises(InputFormatError, match="CRC"):
        list(blocks)


def test_a_file_that_is_left_early_is_closed(tmp_path):
    path = write(tmp_path / "net.npz", KINDS["probs"])
    blocks = scan(path, block_rows=2)
    next(blocks)
    blocks.close()
    path.unlink()


def sparse(path, dtype, shape):
    """A .npy of zeros that takes no room on the disk."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    array.flush()


def peak_bytes(path, **options):
    tracemalloc.start()
    try:
        n = sum(len(block) for block in scan(path, **options))
        return n, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_holds_one_block(tmp_path):
    n = 1_000_000
    sparse(tmp_path / "logits.npy", np.float32, (n, 50))  # 200 MB
    sparse(tmp_path / "truth.npy", np.int64, (n,))
    truth = {"labels_file": str(tmp_path / "truth.npy")}
    assert (tmp_path / "logits.npy").stat().st_size == 200_000_128
    rows, peak = peak_bytes(tmp_path / "logits.npy", block_rows=10_000, **truth)
    assert (rows, peak < 3 * 10_000 * (50 * 4 + 8)) == (n, True)
    rows, peak = peak_bytes(tmp_path / "logits.npy", **truth)
    assert (rows, peak < 3 * 2**25) == (n, True)


@pytest.mark.parametrize("extension", [".npz", ".parquet", ".safetensors", ".arrow"])
def test_memory_of_other_formats(tmp_path, extension):
    arrays = {"labels": np.zeros(200_000, np.int64), "logits": np.zeros((200_000, 20), np.float32)}  # 18 MB
    path = tmp_path / f"net{extension}"
    if extension == ".arrow":
        pyarrow = pytest.importorskip("pyarrow")
        columns = {f"logits_{j}": arrays["logits"][:, j] for j in range(20)}
        table = pyarrow.table({"labels": arrays["labels"]} | columns)
        with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=1000)
    else:
        write(path, arrays)
    rows, peak = peak_bytes(path, block_rows=1000)
    assert (rows, peak < 6_000_000) == (200_000, True)


@pytest.mark.parametrize("writer", [write_csv, write_jsonl])
@pytest.mark.parametrize("kind", ["logits", "probs"])
def test_printed_float32_as_float32(tmp_path, writer, kind):
    arrays = some("labels", kind) | {kind: general()[kind].astype(np.float32)}
    path = tmp_path / f"net.{'csv' if writer is write_csv else 'jsonl'}"
    writer(path, arrays)
    assert load(path).values.dtype == np.float64
    again = load(path, dtype="float32")
    assert again.values.dtype == np.float32
    np.testing.assert_array_equal(again.values, arrays[kind])
    check_blocks(path, 4, dtype="float32")


def test_the_type_of_an_array_is_not_an_option(tmp_path):
    np.savez(tmp_path / "net.npz", **KINDS["probs"])
    for read in (load, lambda path, **options: list(scan(path, **options))):
        with pytest.raises(OptionError, match=r"dtype='float32' is for CSV and JSON lines; .*net\.npz is npz"):
            read(tmp_path / "net.npz", dtype="float32")


def test_a_csv_larger_than_the_readers_blocks(tmp_path):
    """Three blocks of pyarrow, of which the last has labels that are floats."""
    path, rng = tmp_path / "net.csv", np.random.default_rng(2)
    probs = rng.uniform(size=400_000).round(9)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "prob"])
        writer.writerows(zip([*rng.integers(0, 2, 399_999), 1.0], probs, strict=True))
    assert path.stat().st_size > 4_500_000
    whole, blocks = load(path), [*scan(path, block_rows=50_000)]
    assert len(blocks) == 8
    np.testing.assert_array_equal(np.concatenate([block.labels for block in blocks]), whole.labels)
    np.testing.assert_array_equal(np.concatenate([block.probs for block in blocks]), whole.probs)
    assert all(isinstance(block, Predictions) for block in blocks)
