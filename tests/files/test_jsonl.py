import numpy as np
import pytest

from calibkit import inspect, load
from calibkit.errors import InputFormatError, LabelError, LimitError
from calibkit.files import jsonl


@pytest.fixture
def read(tmp_path):
    """Write text as a JSON lines file and load it."""

    def load_text(text, **options):
        path = tmp_path / "net.jsonl"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(path, **options)

    return load_text


GOOD = '{"label": 1, "probs": [0.3, 0.7]}\n'


@pytest.mark.parametrize(
    "text",
    [
        GOOD + '{"probs": [1, 0], "label": 0}\n',
        GOOD + '\n  \r\n{"probs": [1, 0], "label": 0}',
        "\ufeff" + GOOD + '{"label": 0.0, "probs": [1.0, 0e5], "more": {"a": [null]}}\r\n',
    ],
    ids=["plain", "blank lines, no last newline", "byte order mark, other keys"],
)
def test_objects(read, text):
    predictions = read(text)
    assert predictions.labels.tolist() == [1, 0]
    assert predictions.probs.tolist() == [[0.3, 0.7], [1.0, 0.0]]


def test_columns_are_keys_too(read):
    predictions = read('{"label": "cat", "probs_dog": 0.25, "probs_cat": 0.75, "id": "007", "group": 3}\n')
    assert predictions.class_names == ("dog", "cat")
    assert predictions.labels.tolist() == [1]
    assert predictions.ids.tolist() == ["007"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"label": 1, "probs": [0.3, 0.7]', "Expecting ',' delimiter at character 33; the last line is not complete"),
        ('{"label": 1, "probs": [0.3, NaN]}', "NaN is not a JSON number"),
        ('{"label": 1, "probs": [0.3, -Infinity]}', "-Infinity is not a JSON number"),
        ('{"label": 1, "probs": [0.3, 1e999]}', "holds a number that float64 cannot"),
        ('{"label": 1, "probs": [0.3, 1' + "0" * 400 + "]}", "holds a number that float64 cannot"),
        ('{"label": 1, "probs": [0.3, 1' + "0" * 9000 + "]}", "line 2"),
        ('{"label": 1, "probs": [0.3, "0.7"]}', "'probs' holds text, not numbers"),
        ('{"label": 1, "probs": [0.3, true]}', "'probs' holds true or false, not numbers"),
        ('{"label": 1, "probs": [0.3, null]}', "'probs' holds null, not numbers"),
        ('{"label": 1, "probs": [[0.3], 0.7]}', "'probs' holds a list, not numbers"),
        ('{"label": 1, "probs": [0.3, 0.3, 0.4]}', "'probs' has 3 values; the lines before have 2"),
        ('{"label": 1, "probs": []}', "'probs' has 0 values"),
        ('{"label": 1, "probs": 0.7}', "'probs' is a number, but a list before"),
        ('{"label": "1", "probs": [0.3, 0.7]}', "'label' is text, but a number before"),
        ('{"label": null, "probs": [0.3, 0.7]}', "'label' is null"),
        ('{"label": true, "probs": [0.3, 0.7]}', "'label' is true or false, but a number before"),
        ('{"label": {}, "probs": [0.3, 0.7]}', "'label' is an object"),
        ('{"label": 1}', "'probs' is missing"),
        ('{"label": 1, "label": 0, "probs": [0.3, 0.7]}', "the key 'label' occurs twice"),
        ("[1, 0.3, 0.7]", "a list; expected an object"),
        ("7", "a number; expected an object"),
        ("label,prob", "Expecting value at character 1"),
        ("[" * 10_000, "nested too deeply"),
        ('{"a":' * 10_000, "nested too deeply"),
    ],
)
def test_faults_are_named_by_line(read, line, complaint):
    with pytest.raises(InputFormatError) as caught:
        read(GOOD + line)
    assert "net.jsonl line 2: " in str(caught.value)
    assert complaint in str(caught.value)


def test_bytes_that_are_not_utf8(read):
    with pytest.raises(InputFormatError, match="line 2: byte 11 is not UTF-8"):
        read(GOOD.encode() + b'{"label": "\xff", "probs": [0.3, 0.7]}\n')


def test_one_array_of_objects_is_explained(read):
    with pytest.raises(InputFormatError, match="One array of objects is not JSON lines"):
        read('[{"label": 1, "prob": 0.7}]')


def test_a_scalar_forecast_is_a_number(read):
    with pytest.raises(InputFormatError, match="line 1: 'prob' is text, not a number"):
        read('{"label": 1, "prob": "0.7"}\n')
    with pytest.raises(InputFormatError, match="line 2: 'prob' holds a number that float64 cannot"):
        read('{"label": 1, "prob": 0.7}\n{"label": 1, "prob": 1e400}\n')


def test_labels_beyond_every_integer_type(read):
    with pytest.raises(InputFormatError):
        read('{"label": 1180591620717411303424, "prob": 0.7}\n')
    with pytest.raises(LabelError):
        read('{"label": 9223372036854775808, "prob": 0.7}\n')


def test_a_line_without_end(read, monkeypatch):
    monkeypatch.setattr(jsonl, "LONGEST_LINE", 1000)
    with pytest.raises(LimitError, match="line 2: longer than 1,000 bytes"):
        read(GOOD + '{"label": 1, "note": "' + "x" * 2000)


def test_blank_lines_alone(read):
    with pytest.raises(InputFormatError, match="blank lines only"):
        read("\n \n")


def test_float32_lists_keep_their_values_and_their_tolerance(read):
    import json

    rng = np.random.default_rng(11)
    probs = rng.dirichlet(np.ones(7), size=50).astype(np.float32)
    predictions = read("".join(json.dumps({"y": 3, "probs": row}) + "\n" for row in probs.tolist()))
    np.testing.assert_array_equal(predictions.probs, probs)
    assert predictions.sum_tolerance == 64 * np.finfo(np.float32).eps


def test_inspect_shows_the_first_line(tmp_path):
    (tmp_path / "net.jsonl").write_text(GOOD * 3)
    contents = inspect(tmp_path / "net.jsonl")
    assert [str(entry) for entry in contents.entries] == ["label (3,) number", "probs (3, 2) number"]
    assert contents.reading == "probs of 3 rows and 2 classes from probs; labels from label"
