import numpy as np
import pytest

from calibkit import inspect, load
from calibkit.errors import DataError, InputFormatError, LabelError, LimitError

pytest.importorskip("pyarrow")


@pytest.fixture
def read(tmp_path):
    """Write text as a CSV file and load it."""

    def load_text(text, name="net.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(path, **options)

    return load_text


@pytest.mark.parametrize(
    "text",
    [
        "label,prob\n1,0.25\n0,1e-3\n",
        "label,prob\r\n1,0.25\r\n0,1e-3\r\n",
        "\ufefflabel,prob\n1,0.25\n0,0.001",
        '"label","prob"\n"1","0.25"\n"0","1E-3"\n',
        "label;prob\n1;0,25\n0;0,001\n",
        "label;prob\n1;0.25\n0;1e-3\n",
        "label\tprob\n1\t0.25\n0\t0,001\n",
        " label , prob \n 1 , 0.25\n0,  .001 \n",
        "label,prob\n\n1,0.25\n\n0,1e-3\n\n\n",
        'note,label,prob\n"a, b\nc",1,0.25\n,0,1e-3\n',
        ",label,prob\n0,1,0.25\n1,0,1e-3\n",
        "label,prob,\n1,0.25,\n0,1e-3,\n",
    ],
    ids=[
        "plain",
        "crlf",
        "bom",
        "quoted",
        "semicolon",
        "semicolon-point",
        "tab",
        "blanks",
        "empty-lines",
        "newline-in-cell",
        "unnamed-index",
        "trailing",
    ],
)
def test_dialects(read, text):
    predictions = read(text)
    assert predictions.labels.tolist() == [1, 0]
    assert predictions.probs.tolist() == [0.25, 0.001]


def test_a_tsv(read):
    assert read("label\tprob\n1\t0.25\n", name="net.tsv").probs.tolist() == [0.25]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("label,prob\n1,0.25\n0,\n", "line 3, column prob: the cell is empty"),
        ("label,prob\n1,0.25\n,0.5\n", "line 3, column label: the cell is empty"),
        ("label,prob\n1,0.25\n0,high\n", "line 3, column prob: 'high' is not a number"),
        ("label,prob\n1,0.25\n\n0,0x10\n", "line 4, column prob: '0x10' is not a number"),
        ('label,prob\n1,0.25\n0,"1,234"\n', "line 3, column prob: '1,234' is not a number"),
        ("label;prob\n1;0,25\n0;1.234,5\n", "line 3, column prob: '1.234,5' is not a number"),
        ("label,prob\n1,0.25\n0,1_0\n", "line 3, column prob: '1_0' is not a number"),
        ("label,prob\n1,0.25\n0\n", "line 3: 1 cells; the header names 2 columns"),
        ("label,prob\n1,0.25\n0,0.5,7\n", "line 3: 3 cells; the header names 2 columns"),
        ("label,prob\n1,0,25\n", "line 2: 3 cells; the header names 2 columns"),
        ("label,prob\n1,0.25\n0.5", "line 3: 1 cells"),
        ("1,0.25\n0,0.5\n", "line 1: holds numbers only"),
        ("1;0,25\n0;0,5\n", "line 1: holds numbers only"),
        ("label,prob,prob\n1,0.25,0.5\n", "columns are named 'prob'"),
        ("\n1,0.25\n", "line 1: empty"),
        ('label,prob,note\n1,0.25,"a\n0,0.5,b\n1,0.75,c\n', "a quotation mark is never closed"),
        ("label,prob\r1,0.25\r", "end in CR alone"),
        ("label,prob\n1,0.25\n0,0.5\n".encode("utf-16"), "UTF-16"),
        (b"label,pr\xffb\n1,0.25\n", "byte 8 is not UTF-8"),
        (b"label,prob\n1,0.25\n0,\xff\n", "net.csv"),
        ('note,label,prob\n"x\ny",1,0.25\nz,0,no\n', "line 4, column prob: 'no' is not a number"),
    ],
)
def test_faults_are_named_by_line_and_column(read, text, complaint):
    with pytest.raises(InputFormatError) as caught:
        read(text)
    assert complaint in str(caught.value)


def test_a_fault_far_down_is_found_by_its_line(read):
    rows = ["0,0.5"] * 900_000
    rows[700_000] = "0,half"
    with pytest.raises(InputFormatError, match="line 700002, column prob: 'half'"):
        read("label,prob\n" + "\n".join(rows) + "\n")


def test_nan_and_inf_are_numbers_and_then_refused_as_values(read):
    with pytest.raises(DataError, match=r"probs row 1.*NaN"):
        read("label,prob\n1,0.25\n0, NaN\n")
    with pytest.raises(DataError, match=r"probs row 0.*inf"):
        read("label,prob\n1,inf\n0,0.5\n")
    assert read("label,prob\n1,0.25\n0,nan\n", invalid="drop").probs.tolist() == [0.25]


def test_labels_as_they_are_written(read):
    assert read("label,prob\n1.0,0.25\n0.0,0.5\n").labels.tolist() == [1, 0]
    with pytest.raises(LabelError, match=r"1.5"):
        read("label,prob\n1.5,0.25\n0,0.5\n")
    with pytest.raises(LabelError):
        read("label,prob\nyes,0.25\nno,0.5\n")


def test_ids_keep_their_zeros_and_their_digits(read):
    assert read("id,label,prob\n007,1,0.25\n7,0,0.5\n").ids.tolist() == ["007", "7"]
    long = "123456789012345678901234567890"
    assert read(f"id,label,prob\n{long},1,0.25\n").ids.tolist() == [long]
    assert read("id,label,prob\n12,1,0.25\n-3,0,0.5\n").ids.tolist() == [12, -3]


def test_the_header_alone_is_no_rows(read):
    assert len(read("label,prob\n")) == len(read("label,prob")) == 0


def test_an_empty_line_in_a_single_column_is_a_missing_cell(tmp_path):
    np.save(tmp_path / "prob.npy", [0.25, 0.5, 0.75])
    (tmp_path / "y.csv").write_text("label\n1\n\n0\n")
    with pytest.raises(InputFormatError, match="line 3, column label: the cell is empty"):
        load(tmp_path / "prob.npy", labels_file=str(tmp_path / "y.csv"))


def test_lines_longer_than_a_block(read):
    k = 60_000
    names = ",".join(f"logits_{j}" for j in range(k))
    values = np.random.default_rng(3).normal(size=(3, k))
    rows = "".join(f"{j}," + ",".join(map(repr, row)) + "\n" for j, row in enumerate(values.tolist()))
    predictions = read(f"label,{names}\n{rows}")
    np.testing.assert_array_equal(predictions.logits, values)


@pytest.mark.parametrize("printed", ["%.3f", "%.4g", "%.2e"])
def test_rows_may_be_off_by_what_printing_rounds_away(read, printed):
    from calibkit.scores import score_rows

    rng = np.random.default_rng(7)
    probs = rng.dirichlet(np.ones(10) * 0.3, size=300)
    rows = "".join(f"{j % 10}," + ",".join(printed % p for p in row) + "\n" for j, row in enumerate(probs))
    predictions = read("label," + ",".join(f"probs_{j}" for j in range(10)) + "\n" + rows)
    assert abs(predictions.probs.sum(axis=1) - 1).max() > 1e-5
    score_rows(predictions)


def test_rows_that_are_off_by_more_are_refused(read):
    from calibkit.scores import score_rows

    predictions = read("label,probs_0,probs_1\n1,0.250,0.745\n0,0.123,0.877\n")
    assert predictions.sum_tolerance == 0.001
    with pytest.raises(DataError, match=r"row 0.*0.995"):
        score_rows(predictions)


def test_the_limit(read):
    with pytest.raises(LimitError, match="max_bytes"):
        read("label,prob\n" + "1,0.25\n" * 100, max_bytes=100)


def test_names_with_terminal_escapes_are_shown_harmless(read):
    with pytest.raises(InputFormatError) as caught:
        read("la\x1b[31mbel,prob\n1,0.25\n")
    assert "\x1b" not in str(caught.value)
    assert "laU+001B[31mbel" in str(caught.value)


def test_inspect_counts_rows(tmp_path):
    (tmp_path / "net.csv").write_text("label,probs_0,probs_1,note\n1,0.3,0.7,a\n0,0.4,0.6,b\n")
    contents = inspect(tmp_path / "net.csv")
    assert contents.n == 2
    assert contents.reading == "probs of 2 rows and 2 classes from probs_0 .. probs_1; labels from label"
