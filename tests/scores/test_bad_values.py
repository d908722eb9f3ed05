import numpy as np
import pytest

from calibkit import Predictions
from calibkit.errors import DataError, OptionError, ShapeError
from calibkit.scores import score_rows
from tests.scores.reference import random_logits, softmax


def spoiled(kind, n_classes, row, column, value):
    _, logits = random_logits(50, n_classes)
    values = logits if kind == "logits" else softmax(logits)
    if column is None:
        values[row] = value
    else:
        values[row, column] = value
    make = Predictions.from_logits if kind == "logits" else Predictions.from_probs
    return make(np.zeros(50, np.int64), values, name="net")


@pytest.mark.parametrize("n_classes", [5, 90])
@pytest.mark.parametrize(
    ("kind", "value"),
    [(kind, value) for kind in ("logits", "probs") for value in (np.nan, np.inf)]
    + [("probs", -np.inf), ("probs", 1.5), ("probs", -0.1)],
)
@pytest.mark.parametrize("temperature", [None, 2.0])
def test_a_bad_value_is_named_by_row_and_class(n_classes, kind, value, temperature):
    rows = spoiled(kind, n_classes, 17, 3, value)
    with pytest.raises(DataError, match=rf"net: {kind} row 17, class 3.*1 of 50 rows"):
        score_rows(rows, temperature=temperature)


@pytest.mark.parametrize("n_classes", [5, 90])
def test_a_row_without_any_class_is_named(n_classes):
    with pytest.raises(DataError, match="net: logits row 17: every logit is -inf"):
        score_rows(spoiled("logits", n_classes, 17, None, -np.inf))


@pytest.mark.parametrize("n_classes", [5, 90])
@pytest.mark.parametrize("temperature", [None, 2.0])
def test_a_row_that_does_not_sum_to_1_is_named(n_classes, temperature):
    with pytest.raises(DataError, match=r"net: probs row 17: the row sums to 0\.5"):
        score_rows(spoiled("probs", n_classes, 17, None, 0.5 / n_classes), temperature=temperature)


def test_what_the_values_look_like_is_said():
    labels, logits = random_logits(6, 4)
    for values, hint in ((logits, "logits"), (100 * softmax(logits), "percent"), (np.log(softmax(logits)), "log")):
        with pytest.raises(DataError, match=hint):
            score_rows(Predictions.from_probs(labels, values))


def test_a_visitor_is_never_shown_bad_rows():
    rows = spoiled("logits", 5, 17, 3, np.nan)
    with pytest.raises(DataError):
        score_rows(rows, visit=lambda start, block: pytest.fail(f"saw {len(block)} rows from {start}"))


@pytest.mark.parametrize("temperature", [0, -1.0, np.nan, np.inf, "2", True])
def test_a_temperature_must_be_positive(temperature):
    with pytest.raises(OptionError, match="temperature"):
        score_rows(Predictions.from_logits(*random_logits(3, 4)), temperature=temperature)


def test_temperatures_must_fit_the_rows():
    rows = Predictions.from_logits(*random_logits(3, 4))
    with pytest.raises(ShapeError, match="temperature has shape"):
        score_rows(rows, temperature=np.ones(4))
    with pytest.raises(OptionError, match="row 1"):
        score_rows(rows, temperature=np.array([1.0, -2.0, 1.0]))
