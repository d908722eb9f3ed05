"""Questions with unlike numbers of choices: how they are filled up, and what is refused."""

import pickle

import numpy as np
import pytest

from calibkit._checks import BFloat16Array
from calibkit.errors import DataError, InputFormatError, LabelError, ShapeError
from calibkit.predictions import Predictions

ROWS = [[0.7, 0.3], [1.0], [0.2, 0.5, 0.3]]
LABELS = [0, 0, 2]


def ragged(labels=LABELS, rows=ROWS, **options):
    return Predictions.from_probs(labels, rows, ragged=True, **options)


def test_rows_are_filled_up_with_what_is_impossible():
    made = ragged(name="net")
    assert made.probs.tolist() == [[0.7, 0.3, 0.0], [1.0, 0.0, 0.0], [0.2, 0.5, 0.3]]
    assert (made.n_choices.tolist(), made.n_classes, made.sum_tolerance) == ([2, 1, 3], None, None)
    assert not made.probs.flags.writeable
    assert not made.n_choices.flags.writeable
    logits = Predictions.from_logits(LABELS, ROWS, ragged=True).logits
    assert logits.tolist() == [[0.7, 0.3, -np.inf], [1.0, -np.inf, -np.inf], [0.2, 0.5, 0.3]]
    logs = ragged(rows=[np.log(row) for row in ROWS], log_probs=True)
    assert logs.kind == "logits"
    assert logs.logits[0].tolist() == [np.log(0.7), np.log(0.3), -np.inf]


def test_logarithms_are_told_in_spite_of_what_fills_them_up():
    with pytest.raises(DataError, match=r"row 0, class 0: value is -0\.35.*log-probabilities: pass log_probs=True"):
        ragged(rows=[np.log(row) for row in ROWS])


def test_nothing_is_ragged_by_itself():
    with pytest.raises(InputFormatError, match=r"probs cannot be read .* Rows need equal lengths .*ragged=True"):
        Predictions.from_probs(LABELS, ROWS)
    assert Predictions.from_probs([0, 1], [[0.7, 0.3], [0.2, 0.8]]).n_choices is None


@pytest.mark.parametrize(
    "rows",
    [
        [tuple(row) for row in ROWS],
        [np.array(row) for row in ROWS],
        [np.array([0.7, 0.3]), [1], (0.2, 0.5, 0.3)],
        np.array([np.array(row) for row in ROWS], dtype=object),
        np.ma.MaskedArray(np.array([np.array(row) for row in ROWS], dtype=object), mask=[False] * 3),
        iter(ROWS),
    ],
    ids=["tuples", "arrays", "mixed", "objects", "masked", "iterator"],
)
def test_rows_in_any_dress(rows):
    assert ragged(rows=rows) == ragged()


def test_rows_of_tensors_and_of_float32():
    torch = pytest.importorskip("torch")
    made = ragged(rows=[torch.tensor(row, dtype=torch.float32) for row in ROWS])
    assert made.probs.dtype == np.float32
    assert made == ragged(rows=[np.float32(row) for row in ROWS])
    short = [torch.tensor(row, dtype=torch.bfloat16) for row in ROWS]
    logits = Predictions.from_logits(LABELS, short, ragged=True).logits
    assert logits[0, 0] == short[0][0].item()
    made = ragged(rows=short)  # the rows sum to 1 by the rounding of bfloat16
    assert (type(made.probs), made.sum_tolerance) == (BFloat16Array, 8 * 2.0**-7)
    np.testing.assert_array_equal(made.probs[2], short[2].float())
    assert made.probs[1].tolist() == [1.0, 0.0, 0.0]
    assert np.isneginf(logits[1, 1:]).all()
    whole = torch.tensor([[0.7, 0.3], [0.2, 0.8]], dtype=torch.bfloat16)
    made = ragged([0, 1], whole)
    assert (made.n_choices.tolist(), made.sum_tolerance) == ([2, 2], 8 * 2.0**-7)
    with pytest.raises(InputFormatError, match=r"^probs row 1 cannot be read .*tensor.detach"):
        ragged([0, 0], [[1.0], torch.ones(1, requires_grad=True)])


def test_a_matrix_has_rows_of_one_length():
    probs = np.array([[0.7, 0.3], [0.2, 0.8]])
    made = ragged([0, 1], probs)
    assert (made.n_choices.tolist(), made.n_classes) == ([2, 2], None)
    assert np.shares_memory(made.probs, probs)
    assert ragged([0, 0], [[1.0], [1.0]]).probs.tolist() == ragged([0, 0], np.ones((2, 1))).probs.tolist()
    assert ragged([0, 0], [[1.0], [1.0]]).probs.shape == (2, 2)  # a lone choice has a place beside it


@pytest.mark.parametrize("rows", [[], np.empty((0, 3)), np.empty(0, dtype=object)])
def test_no_rows(rows):
    made = ragged([], rows)
    assert (len(made), made.n_choices.shape, made.probs.ndim) == (0, (0,), 2)


def test_a_label_is_below_the_number_of_choices_of_its_row():
    with pytest.raises(LabelError, match=r"^net: labels row 0: value is 2 \(1 of 3 rows\); expected 0 to 1 for 2 choi"):
        ragged([2, 0, 2], name="net")
    with pytest.raises(LabelError, match=r"labels row 1: value is 1 .* 0 to 0 for 1 choice of this row"):
        ragged([0, 1, 2])
    with pytest.raises(
        LabelError, match=r"row 1: value is 1 .2 of 3 rows.*Labels that count from 1\? Pass label_base=1\."
    ):
        ragged([1, 1, 3])
    assert ragged([1, 1, 3], label_base=1).labels.tolist() == [0, 0, 2]
    with pytest.raises(LabelError, match=r"row 0: value is 3 .*expected 1 to 2 for 2 choices of this row\.$"):
        ragged([3, 1, 3], label_base=1)
    with pytest.raises(LabelError, match=r"value is -100 .*ignore_index=-100"):
        ragged([0, -100, 2])
    assert ragged([0, 7, 2], weights=[1, 0, 1]).n_choices.tolist() == [2, 3]  # a row of weight 0 is absent
    assert ragged([0, 7, 2], ignore_index=7).n_choices.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        (
            [[0.7, 0.3], [], [1.0]],
            DataError,
            r"probs row 1: the list is empty \(1 of 3 rows\); a question has at least",
        ),
        ([[0.7, 0.3], [np.nan, 1], [1.0]], DataError, r"probs row 1, class 0: value is NaN"),
        ([[0.7, 0.3], [1.2, -0.2], [1.0]], DataError, r"probs row 1, class 1: value is -0.2, below 0"),
        ([[0.7, 0.3], [0.5], [1.0]], DataError, r"probs row 1: the row sums to 0.5, not 1"),
        ([[0.7, 0.3], ["a"], [1.0]], InputFormatError, r"probs row 1: \['a'\] holds something else than numbers"),
        ([[0.7, 0.3], [None, 1], [1.0]], InputFormatError, r"row 1: \[None, 1\] holds .* missing is NaN"),
        ([[0.7, 0.3], [[1.0]], [1.0]], InputFormatError, r"probs row 1: \[\[1.0\]\] holds something else"),
        ([[0.7, 0.3], "ab", [1.0]], ShapeError, r"probs row 1: 'ab' is no list of choices"),
        ([0.7, 0.3, 1.0], ShapeError, r"probs row 0: 0.7 is no list of choices; .*leave ragged=True out"),
        (np.array([0.7, 0.3, 1.0]), ShapeError, r"probs row 0: 0.7 is no list"),
        ("abc", InputFormatError, r"probs: expected a list of choices for each row, got str"),
        (0.5, InputFormatError, r"probs: expected a list of choices for each row, got float"),
        ([[1.0], [1.0]], ShapeError, r"probs has 2 rows"),
        (np.ones((3, 2, 2)), ShapeError, r"probs row 0: an array of shape \(2, 2\) is no list"),
    ],
)
def test_bad_rows_are_named(rows, error, words):
    with pytest.raises(error, match=words):
        ragged([0, 0, 0], rows)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[0.7, 0.3], [np.inf, 1.0], [2.0]], r"logits row 1, class 0: value is inf, for which softmax is undefined"),
        ([[0.7, 0.3], [-np.inf], [2.0]], r"row 1: every logit is -inf, which leaves no class"),
        ([[np.nan], [1.0], [2.0]], r"logits row 0, class 0: value is NaN"),
    ],
)
def test_logits_are_checked_at_once(rows, words):
    with pytest.raises(DataError, match=words):
        Predictions.from_logits([0, 0, 0], rows, ragged=True)


def test_invalid_rows_are_dropped():
    made = ragged([0, 0, 0, 1], [[0.7, 0.3], [], [np.nan, 1.0], [0.1, 0.9]], invalid="drop", ids=list("abcd"))
    assert (made.ids.tolist(), made.n_choices.tolist()) == (["a", "d"], [2, 2])
    assert made.notes == ('invalid="drop": 2 of 4 rows left out',)
    masked = np.ma.MaskedArray(np.array([np.array([0.7, 0.3]), None, np.array([1.0])], dtype=object), mask=[0, 1, 0])
    assert ragged([0, 5, 0], masked, invalid="drop").n_choices.tolist() == [2, 1]
    with pytest.raises(DataError, match="probs row 1, class 0: value is missing"):
        ragged([0, 0, 0], masked)
    entry = [np.ma.MaskedArray([0.7, 0.3], mask=[0, 1]), np.array([1.0])]
    with pytest.raises(DataError, match="probs row 0, class 1: value is missing"):
        ragged([0, 0], entry)


def test_labels_are_read_by_the_names_of_the_choices():
    for labels in (["A", "A", "C"], [b"A", b"A", b"C"], np.array(["A", "A", "C"], dtype=object), LABELS):
        made = ragged(labels, class_names=["A", "B", "C"], name="net")
        assert (made.class_names, made.n_classes) == (None, None)  # choices are no classes
        assert made == ragged(name="net")
    short = ragged(["B", "A", "A"], class_names=["A", "B"])  # fewer names than the longest row has choices
    assert short.labels.tolist() == [1, 0, 0]
    logits = Predictions.from_logits(["A", "A", "C"], ROWS, ragged=True, class_names=["A", "B", "C"], label_base=1)
    assert logits.labels.tolist() == LABELS  # names do not count from anything


@pytest.mark.parametrize(
    ("labels", "names", "words"),
    [
        (
            ["C", "A", "C"],
            "ABC",
            r"^labels row 0: value is 'C' \(1 of 3 rows\); expected 'A' to 'B' for 2 choi",
        ),
        (["B", "B", "B"], "ABC", r"row 1: value is 'B' .* expected 'A' to 'A' for 1 choice of this row\.$"),
        (["A", "A", "D"], "ABC", r"row 2: 'D' is not one of the 3 class names"),
        ([2, 0, 2], "ABC", r"row 0: value is 2 \(1 of 3 rows\); expected 0 to 1 for 2 choices"),
        (
            ["A", "A", "C"],
            None,
            r"row 0: 'A' is a name; pass class_names=\[\.\.\.\], the names of a row's first",
        ),
    ],
)
def test_names_that_are_no_choice_of_their_row(labels, names, words):
    with pytest.raises(LabelError, match=words):
        ragged(labels, class_names=names and list(names))
    with pytest.raises(DataError, match="'A' names class 0 and class 1"):
        ragged(["A", "A", "C"], class_names=["A", "A", "C"])


def test_each_row_has_the_tolerance_of_its_own_number_of_choices():
    eps = np.finfo(np.float64).eps
    wide = np.full(200, 1 / 200)
    wide[0] += 150 * eps
    assert len(ragged([0, 0], [wide, [1.0]])) == 2
    with pytest.raises(DataError, match=r"probs row 1: the row sums to"):
        ragged([0, 0], [wide, [0.5, 0.5 + 150 * eps]])
    assert len(ragged([0, 0], [wide, [0.5, 0.5 + 150 * eps]], sum_tolerance=1e-9)) == 2


def test_opt_ins_leave_the_places_alone_that_a_row_does_not_have():
    made = ragged([0, 0, 2], [[0.7, 0.0], [1.0], [0.2, 0.5, 0.4]], renormalize=True, clip=1e-3)
    alone = Predictions.from_probs([0], [[0.7, 0.0]], renormalize=True, clip=1e-3).probs[0]
    three = Predictions.from_probs([2], [[0.2, 0.5, 0.4]], renormalize=True, clip=1e-3).probs[0]
    assert made.probs.tolist() == [[*alone, 0.0], [1.0, 0.0, 0.0], three.tolist()]
    assert made.notes[1] == "clip=0.001: 1 values in 1 of 3 rows raised to 0.001"


def test_sums_that_divide_do_not_depend_on_what_rows_are_filled_up_to():
    rng = np.random.default_rng(5)
    rows = [rng.random(k) for k in (3, 9, 70, 130, 9)]
    made = ragged([0] * 5, rows, renormalize=True)
    for row, given in zip(made.probs, rows, strict=True):
        alone = Predictions.from_probs([0], given[None], renormalize=True).probs[0]
        assert row[: len(given)].tobytes() == alone.tobytes()


def test_choices_go_along_with_their_rows():
    made = ragged(ids=["a", "b", "c"], weights=[1.0, 2.0, 3.0])
    cut = made.take([2, 0])
    assert (cut.n_choices.tolist(), cut.ids.tolist()) == ([3, 2], ["c", "a"])
    assert pickle.loads(pickle.dumps(made)) == made
    assert ragged([0, 0, 0], [[1.0, 0.0], [1.0], [0.2, 0.5, 0.3]]) != ragged(
        [0, 0, 0], [[1.0], [1.0], [0.2, 0.5, 0.3]]
    )  # the same matrix


def test_frames():
    polars = pytest.importorskip("polars")
    pandas = pytest.importorskip("pandas")
    arrow = pytest.importorskip("pyarrow")
    columns = {"y": LABELS, "p": ROWS}
    for table in (polars.DataFrame(columns), pandas.DataFrame(columns), arrow.table(columns)):
        assert Predictions.from_frame(table, labels="y", probs="p", ragged=True) == ragged()
        with pytest.raises(InputFormatError, match=r"row 1 has 1 entries .*ragged=True"):
            Predictions.from_frame(table, labels="y", probs="p")
    null = arrow.table({"y": [0, 0, 1], "p": [[0.7, 0.3], None, [0.4, 0.6]]})
    dropped = Predictions.from_frame(null, labels="y", probs="p", ragged=True, invalid="drop")
    assert dropped.n_choices.tolist() == [2, 2]
