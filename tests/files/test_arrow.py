import sys

import numpy as np
import pytest

from calibkit import inspect, load
from calibkit.errors import DataError, InputFormatError, LabelError, LimitError, MissingExtraError
from tests.files.samples import LABELS, LOGITS, PROBS, arrow_table

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
ROWS = {"label": LABELS, "logits": LOGITS}


def write_ipc(path, table, **options):
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, **options) as writer:
        writer.write_table(table, max_chunksize=3)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.large_list(pa.float64()),
        pa.list_(pa.float32(), 3),
        pa.list_(pa.float16()),
        pa.fixed_shape_tensor(pa.float32(), [3]),
    ],
    ids=str,
)
def test_list_columns_of_every_kind_are_matrices(tmp_path, kind):
    storage = getattr(kind, "storage_type", kind)
    values = LOGITS.astype(np.float16) if "halffloat" in str(kind) else LOGITS
    column = pa.array([*values], type=storage)
    column = pa.ExtensionArray.from_storage(kind, column) if storage != kind else column
    write_ipc(tmp_path / "net.arrow", pa.table({"label": LABELS, "logits": column}))
    np.testing.assert_array_equal(load(tmp_path / "net.arrow").logits, values)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_compressed_batches(tmp_path, compression):
    write_ipc(
        tmp_path / "net.feather",
        arrow_table(ROWS, lists=False),
        options=pa.ipc.IpcWriteOptions(compression=compression),
    )
    np.testing.assert_array_equal(load(tmp_path / "net.feather").logits, LOGITS)


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_parquet_in_row_groups(tmp_path, compression):
    pq.write_table(arrow_table(ROWS, lists=True), tmp_path / "net.parquet", row_group_size=3, compression=compression)
    np.testing.assert_array_equal(load(tmp_path / "net.parquet").logits, LOGITS)


def test_many_batches_keep_their_order(tmp_path):
    n = 150_000
    pq.write_table(pa.table({"y": np.arange(n) % 2, "prob": np.arange(n) / n}), tmp_path / "net.parquet")
    np.testing.assert_array_equal(load(tmp_path / "net.parquet").probs, np.arange(n) / n)


@pytest.mark.parametrize("encode", [False, True])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_text_and_dictionaries(tmp_path, kind, encode):
    words = pa.array(["dog", "cat", "dog"], type=kind)
    ids = pa.array(["a", "b\u00e9", "c"], type=kind)
    table = pa.table(
        {
            "label": words.dictionary_encode() if encode else words,
            "probs_cat": [0.3, 0.8, 0.4],
            "probs_dog": [0.7, 0.2, 0.6],
            "id": ids,
        }
    )
    pq.write_table(table, tmp_path / "net.parquet")
    predictions = load(tmp_path / "net.parquet")
    assert predictions.labels.tolist() == [1, 0, 1]
    assert predictions.ids.tolist() == ["a", "bé", "c"]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.float32(), pa.bool_(), pa.decimal128(5, 2)], ids=str)
def test_labels_of_every_number_type(tmp_path, kind):
    labels = pa.array([1, 0, 1], type=pa.int8()).cast(kind)
    pq.write_table(pa.table({"label": labels, "prob": [0.7, 0.2, 0.6]}), tmp_path / "net.parquet")
    assert load(tmp_path / "net.parquet").labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize("missing", [[[0.1, 0.9], None], [[0.1, 0.9], [None, 0.4]]], ids=["list", "value"])
def test_missing_entries_of_a_matrix(tmp_path, missing):
    pq.write_table(pa.table({"label": [1, 0], "probs": missing}), tmp_path / "net.parquet")
    with pytest.raises(DataError, match=r"probs row 1.*missing"):
        load(tmp_path / "net.parquet")
    predictions = load(tmp_path / "net.parquet", invalid="drop")
    assert predictions.probs.tolist() == [[0.1, 0.9]]


def test_missing_labels_in_one_batch_of_two(tmp_path):
    write_ipc(tmp_path / "net.arrow", pa.table({"label": [1, 0, 1, None], "prob": [0.7, 0.2, 0.6, 0.5]}))
    with pytest.raises(DataError, match=r"labels row 3.*missing"):
        load(tmp_path / "net.arrow")
    assert load(tmp_path / "net.arrow", invalid="drop").labels.tolist() == [1, 0, 1]


def test_a_missing_text_label(tmp_path):
    table = pa.table({"label": ["dog", None], "probs_cat": [0.3, 0.8], "probs_dog": [0.7, 0.2]})
    pq.write_table(table, tmp_path / "net.parquet")
    with pytest.raises(DataError, match="missing"):
        load(tmp_path / "net.parquet")


@pytest.mark.parametrize("rows", [[[0.1, 0.9], [0.2, 0.3, 0.5]], [[0.1, 0.9], []]])
def test_ragged_lists(tmp_path, rows):
    pq.write_table(pa.table({"label": [1, 0], "probs": rows}), tmp_path / "net.parquet")
    with pytest.raises(InputFormatError, match=r"lists of 2 and of \d values"):
        load(tmp_path / "net.parquet")


def test_ragged_lists_in_different_batches(tmp_path):
    table = pa.table({"label": [1, 0, 1, 1], "probs": [[0.1, 0.9]] * 3 + [[0.2, 0.3, 0.5]]})
    write_ipc(tmp_path / "net.arrow", table)
    with pytest.raises(InputFormatError, match="not all of one length"):
        load(tmp_path / "net.arrow")


@pytest.mark.parametrize(
    "column", [[["a", "b"]], [{"a": 1}], [[[0.2, 0.8]]]], ids=["text lists", "structs", "lists of lists"]
)
def test_columns_that_are_no_numbers(tmp_path, column):
    pq.write_table(pa.table({"label": [1], "probs": column}), tmp_path / "net.parquet")
    with pytest.raises(InputFormatError, match=r"net\.parquet:probs"):
        load(tmp_path / "net.parquet")


def test_text_where_numbers_are_meant(tmp_path):
    pq.write_table(pa.table({"label": [1], "prob": ["0.7"]}), tmp_path / "net.parquet")
    with pytest.raises(InputFormatError, match="Text is not read as numbers"):
        load(tmp_path / "net.parquet")
    pq.write_table(pa.table({"label": ["yes"], "prob": [0.7]}), tmp_path / "net.parquet")
    with pytest.raises(LabelError):
        load(tmp_path / "net.parquet")


def test_a_parquet_bomb_is_stopped_by_what_its_footer_declares(tmp_path):
    path, n = tmp_path / "net.parquet", 4_000_000
    pq.write_table(pa.table({"label": np.zeros(n, np.int8), "prob": np.full(n, 0.25)}), path)
    assert path.stat().st_size < 100_000
    with pytest.raises(LimitError, match="max_bytes=64000000"):
        load(path, max_bytes=10**6)


def test_an_arrow_bomb_is_stopped_by_what_comes(tmp_path):
    path, n = tmp_path / "net.arrow", 400_000
    table = pa.table({"label": np.zeros(n, np.int64), "prob": np.full(n, 0.25)})
    with pa.OSFile(str(path), "wb") as sink:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_file(sink, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=10_000)
    with pytest.raises(LimitError, match="the table unpacks to 1,120,000 bytes"):
        load(path, max_bytes=10**6)


def test_columns_that_are_not_wanted_count_for_nothing(tmp_path):
    path = tmp_path / "net.parquet"
    pq.write_table(pa.table({"label": [1, 0], "prob": [0.7, 0.4], "text": ["x" * 10_000] * 2}), path)
    assert len(load(path, max_bytes=1000)) == 2


def test_a_flipped_bit_under_a_page_checksum(tmp_path):
    path = tmp_path / "net.parquet"
    table = pa.table({"label": LABELS, "prob": [0.7, 0.2, 0.6, 0.3]})
    pq.write_table(
        table, path, compression="none", use_dictionary=False, write_page_checksum=True, write_statistics=False
    )
    data = bytearray(path.read_bytes())
    position = data.index(np.float64(0.6).tobytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputFormatError, match=r"damaged or truncated.*CRC"):
        load(path, labels="label")


def test_text_that_is_not_utf8_is_found_by_validation(tmp_path):
    bad = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 2, 4], np.int32)), pa.py_buffer(b"ab\xff\xfe")]
    )
    write_ipc(tmp_path / "net.arrow", pa.table({"label": [1, 0], "prob": [0.7, 0.4], "id": bad}))
    with pytest.raises(InputFormatError, match="UTF8"):
        load(tmp_path / "net.arrow")


@pytest.mark.parametrize("name", ["net.parquet", "net.arrow", "net.feather"])
def test_truncated_files(tmp_path, name):
    path = tmp_path / name
    if name == "net.parquet":
        pq.write_table(arrow_table(ROWS, lists=False), path)
    else:
        write_ipc(path, arrow_table(ROWS, lists=False))
    data = path.read_bytes()
    for n_bytes in range(1, len(data), 61):
        path.write_bytes(data[:n_bytes])
        with pytest.raises(InputFormatError, match=name):
            load(path)


def test_a_truncated_stream_is_not_taken_for_a_short_one(tmp_path):
    path = tmp_path / "net.arrow"
    table = pa.table({"label": [1, 0], "prob": [0.7, 0.4]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    data = path.read_bytes()
    assert len(load(path)) == 2
    for n_bytes in range(1, len(data) - 8, 13):
        path.write_bytes(data[:n_bytes])
        with pytest.raises(InputFormatError):
            load(path)


def test_entries_tell_types_and_shapes(tmp_path):
    pq.write_table(
        pa.table({"label": [1, 0], "probs": [[0.3, 0.7], [0.4, 0.6]], "when": [None, None]}), tmp_path / "net.parquet"
    )
    assert [str(entry) for entry in inspect(tmp_path / "net.parquet").entries] == [
        "label (2,) int64",
        "probs (2, 2) double",
        "when (2,) null",
    ]


def test_two_columns_of_one_name(tmp_path):
    table = pa.table([pa.array([1, 0]), pa.array([0.7, 0.4]), pa.array([0.1, 0.2])], names=["label", "prob", "prob"])
    write_ipc(tmp_path / "net.arrow", table)
    with pytest.raises(InputFormatError, match="two arrays or columns are named 'prob'"):
        load(tmp_path / "net.arrow")


def test_a_footer_that_counts_other_rows(tmp_path, monkeypatch):
    from calibkit.files import arrow

    pq.write_table(arrow_table(ROWS, lists=False), tmp_path / "net.parquet")
    whole = arrow._array
    monkeypatch.setattr(arrow, "_array", lambda *given: whole(*given)[:3])
    with pytest.raises(InputFormatError, match="declares 4 rows"):
        load(tmp_path / "net.parquet")


def test_no_rows(tmp_path):
    table = pa.table({"label": pa.array([], pa.int64()), "prob": pa.array([], pa.float64())})
    pq.write_table(table, tmp_path / "net.parquet")
    write_ipc(tmp_path / "net.arrow", table)
    assert len(load(tmp_path / "net.parquet")) == len(load(tmp_path / "net.arrow")) == 0


def test_polars_and_pandas_files(tmp_path):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"label": LABELS, "probs": PROBS, "id": ["a", "b", "c", "d"]})
    frame.write_parquet(tmp_path / "net.parquet")
    frame.write_ipc(tmp_path / "net.arrow")
    first, second = load(tmp_path / "net.parquet"), load(tmp_path / "net.arrow")
    np.testing.assert_array_equal(first.probs, PROBS)
    assert first == second


def test_without_pyarrow(tmp_path, monkeypatch):
    pq.write_table(arrow_table(ROWS, lists=False), tmp_path / "net.parquet")
    (tmp_path / "net.csv").write_text("label,prob\n1,0.7\n")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name in ("net.parquet", "net.csv"):
        with pytest.raises(MissingExtraError, match=r'pip install "calibkit\[arrow\]"'):
            load(tmp_path / name)
