"""Rows 53, 54 and 63, and the text half of 55: CSV and JSON lines."""

import json
import time

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import DataError, InputFormatError, LabelError, LimitError
from tests.bad_inputs.samples import is_refusal, refused

pytest.importorskip("pyarrow")
HEADER = "label,logits_0,logits_1\n"


@pytest.fixture
def read(tmp_path):
    """Write a text under a name, and load it."""

    def read_(text, name="a.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return ck.load(path)

    return read_


@pytest.mark.parametrize(
    "text",
    [
        "label,logits_0,logits_1\n1,0.25,-1.5\n",
        "\ufefflabel,logits_0,logits_1\r\n1,0.25,-1.5\r\n",
        'label,"logits_0",logits_1\n"1","0.25","-1.5"\n',
        "label;logits_0;logits_1\n1;0,25;-1,5\n",
        "label\tlogits_0\tlogits_1\n1\t0.25\t-1.5",
        " label , logits_0 , logits_1 \n 1 , 0.25 , -1.5 \n",
        "label,logits_0,logits_1\n1,2.5e-1,-15E-1\n\n\n",
        "logits_1,note,label,logits_0\n-1.5,a b,1.0,.25\n",
    ],
)
def test_row_53_csv_that_is_read(read, text):
    made = read(text)
    assert made.values.tolist() == [[0.25, -1.5]]
    assert made.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (HEADER + "0,1,2\n1,3\n", ["line 3", "2 cells", "3 columns"]),
        (HEADER + "0,1,2\n1,3,4,5\n", ["line 3", "4 cells"]),
        (HEADER + "0,1,2\n1,,4\n", ["line 3, column logits_0", "empty"]),
        (HEADER + '0,"1,234.5",2\n', ["line 2, column logits_0", "'1,234.5' is not a number"]),
        ("label;logits_0;logits_1\n0;1.234,5;2\n", ["line 2, column logits_0", "'1.234,5' is not a number"]),
        (HEADER + "0,1 000,2\n", ["line 2, column logits_0", "'1 000'"]),
        (HEADER + "0,0x1F,2\n", ["line 2, column logits_0"]),
        (HEADER + "0,1_000,2\n", ["line 2, column logits_0"]),
        (HEADER + "0,\u0661,2\n", ["line 2, column logits_0"]),
        (HEADER + "0,1,2\n0,3,4\n1,null,4\n", ["line 4, column logits_0", "'null'"]),
        (HEADER + '0,"1,2\n1,3,4\n', ["quotation mark is never closed"]),
        (HEADER + '\n\n"0","1","multi\nline"\n0,x,2\n', ["line 6, column logits_0"]),
        (HEADER.encode() + b"0,1,2\n0,\xe9,4\n", ["line 3", "not UTF-8"]),
        (HEADER.encode("utf-16"), ["UTF-16"]),
        (b"label,caf\xe9\n0,1\n", ["line 1", "not UTF-8"]),
        ("label,logits_0,logits_1\r0,1,2\r", ["CR"]),
        (HEADER.encode() + b"0,1,2\n" * 20 + b"0,1\0,2\n", ["line 22, column logits_0", "U+0000"]),
        (b"\0" + HEADER.encode() + b"0,1,2\n", ["neither text nor any format"]),
    ],
)
def test_row_53_csv_that_is_refused(read, text, parts):
    with refused(InputFormatError, "a.csv", *parts):
        read(text)


@pytest.mark.parametrize(
    ("cells", "parts"),
    [
        ("inf,2", ["row 0, class 0: value is inf"]),
        (" NaN,2", ["row 0, class 0: value is NaN"]),
        ("1,Infinity", ["row 0, class 1: value is inf"]),
        ("1,1e400", ["row 0, class 1: value is inf"]),
        ("-inf,-inf", ["row 0: every logit is -inf"]),
    ],
)
def test_row_53_csv_with_numbers_that_are_none(read, cells, parts):
    with refused(DataError, *parts):
        ck.evaluate(read(f"{HEADER}0,{cells}\n"))


def test_row_53_on_the_command_line(run, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "0,1,2\n1,1.5.2,4\n")
    is_refusal(run("evaluate", path), 4, f"{path} line 3, column logits_0: '1.5.2' is not a number")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("0,.4,.6\n1,.2,.8\n", ["line 1", "numbers only", "names the columns"]),
        ("label,probs_0,probs_0\n0,.4,.6\n", ["probs_0", "rename"]),
        ("label,label,p\n0,1,.6\n", ["label", "rename"]),
        ("\n", ["line 1", "names the columns"]),
        (
            "a,b,c\n0,1,2\n",
            [
                "no labels with logits, probs or predictions are recognised",
                "The file holds column a; column b; column c.",
                "labels=",
            ],
        ),
    ],
)
def test_row_54_headers(read, text, parts):
    with refused(InputFormatError, "a.csv", *parts):
        read(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"label": 0, "probs": [0.4, 0.6]}\n{"label": 1, "pro', ["line 2", "truncated"]),
        ('{"label": 0, "probs": [0.4, 0.6]}\n{"label": 1}\n', ["line 2", "'probs' is missing"]),
        ('{"label": 0, "probs": null}\n', ["line 1", "null"]),
        ('{"label": 0, "probs": [null, 1]}\n', ["line 1", "null"]),
        ('{"label": 0, "probs": ["0.4", 0.6]}\n', ["line 1", "text"]),
        ('{"label": 0, "label": 1, "probs": [0.4, 0.6]}\n', ["line 1", "occurs twice"]),
        ('[{"label": 0, "probs": [0.4, 0.6]}]\n', ["line 1", "one object a line"]),
        ('{"label": 0, "prob": 0.4}\n{"label": 0, "prob": "0.4"}\n', ["line 2", "text"]),
        ('{"label": 0, "prob": {"a": 1}}\n', ["line 1", "an object"]),
        ("{}\n", ["no labels with logits, probs or predictions"]),
        ('{"label": 0, "prob": 0.4} {"label": 0, "prob": 0.4}\n', ["line 1"]),
    ],
)
def test_row_55_json_lines_at_fault(read, text, parts):
    with refused(InputFormatError, "a.jsonl", *parts):
        read(text, "a.jsonl")


def test_row_55_a_csv_that_ends_within_a_line(read):
    with refused(InputFormatError, "a.csv line 3", "2 cells"):
        read(HEADER + "0,1,2\n1,3")


@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-Infinity", "1e999", "[" * 10_000 + "]" * 10_000, '{"a":' * 10_000, "9" * 5000, "9" * 400],
    ids=["NaN", "Infinity", "-Infinity", "1e999", "deep lists", "deep objects", "5000 digits", "400 digits"],
)
@pytest.mark.parametrize("line", ['{{"label": 0, "prob": {}}}\n', '{{"label": 0, "probs": [0.5, {}]}}\n'])
def test_row_63_json_that_is_none(read, value, line):
    with refused(InputFormatError, "a.jsonl line 1"):
        read(line.format(value), "a.jsonl")


@pytest.mark.parametrize("label", ["9" * 30, "-" + "9" * 30, "1" + "0" * 400])
def test_row_63_labels_beyond_64_bits(read, label):
    with pytest.raises(InputFormatError, match=r"a\.jsonl") as caught:
        read(f'{{"label": 0, "prob": 0.7}}\n{{"label": {label}, "prob": 0.4}}\n', "a.jsonl")
    assert "line 2" in str(caught.value)


def test_row_63_a_line_of_a_hundred_megabytes(read):
    began = time.process_time()
    with refused(LimitError, "a.jsonl line 2", "longer than"):
        read('{"label": 0, "prob": 0.4}\n{"label": 0, "prob": 0.4, "note": "' + "a" * 100_000_000, "a.jsonl")
    assert time.process_time() - began < 10


def test_names_of_a_megabyte(read, tmp_path, run):
    name = "x" * 1_000_000
    began = time.process_time()
    made = read(f"label,probs_{name}a,probs_{name}b\n{name}b,0.25,0.75\n")
    assert made.class_names == (f"{name}a", f"{name}b")
    with refused(LabelError, "labels row 0"):
        read(f"label,probs_{name}a,probs_{name}b\n{name}c,0.25,0.75\n")
    done = run("evaluate", tmp_path / "a.csv")
    is_refusal(done, 4, "labels row 0")
    assert len(done.err) < 2000
    with refused(InputFormatError, "a.csv"):
        read(f"{name},{name}y\n0.25,0.75\n")
    assert time.process_time() - began < 10


def test_a_thousand_columns_are_folded(run, tmp_path):
    path = tmp_path / "wide.csv"
    header = ",".join(["truth", *(f"out_{number}" for number in range(1000))])
    path.write_text(f"{header}\n{','.join(['0'] * 1001)}\n")
    is_refusal(run("evaluate", path), 4, "column truth; columns out_0 .. out_999.", "--logits out")
    assert run("evaluate", path, "--labels", "truth", "--logits", "out").code == 0


def test_standard_input(run, monkeypatch):
    import io
    import sys

    def piped(data, *arguments):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return run("evaluate", "-", *arguments)

    assert json.loads(piped(b"label,p\n1,0.75\n0,0.5\n", "--json").out)["n"] == 2
    is_refusal(piped(b""), 4, "standard input", "0 bytes")
    is_refusal(piped(b"\0" * 5000), 4, "neither text nor any format")
    is_refusal(piped(b"label,p\n1,0.75\n0\n"), 4, "line 3")
    is_refusal(piped(b"label,p\n" + b"1,0.75\n" * 1000, "--max-bytes", "100"), 4, "--max-bytes")
    done = run("compare", "-", "-")
    assert (done.code, done.out) == (2, "")
    assert "can be read only once" in done.err
    assert run("evaluate", "-", "--labels-file", "-").code == 2


def test_numbers_are_read_exactly(read):
    rng = np.random.default_rng(4)
    values = rng.normal(size=(50, 2)) * 10.0 ** rng.integers(-30, 30, size=(50, 1))
    text = "".join(f"0,{a!r},{b!r}\n" for a, b in values.tolist())
    assert read(HEADER + text).values.tolist() == values.tolist()
    lines = "".join(f'{{"label": 0, "logits": {row}}}\n' for row in values.tolist())
    assert read(lines, "a.jsonl").values.tolist() == values.tolist()
