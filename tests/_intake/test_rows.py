"""Which rows count: dropped, ignored, of weight 0; and that those left keep their numbers in messages."""

import numpy as np
import pytest

from calibkit.errors import DataError, LabelError, OptionError
from calibkit.predictions import Predictions

RNG = np.random.default_rng(20)
LOGITS = RNG.normal(size=(6, 3)).astype(np.float32)
PROBS = RNG.dirichlet([1.3, 0.8, 2.1], size=6)
LABELS = [2, 0, 1, 1, 0, 2]
P = [0.12, 0.93, 0.55, 0.71, 0.08, 0.37]
Y = [0, 1, 0, 1, 0, 1]


def test_01_03_04_05_drop_leaves_out_what_is_not_a_number_and_counts_it():
    logits = LOGITS.copy()
    logits[0, 1], logits[2], logits[3, 0], logits[4, :2] = np.nan, -np.inf, np.inf, -np.inf
    made = Predictions.from_logits(LABELS, logits, invalid="drop", ids=list("abcdef"))
    assert made.ids.tolist() == ["b", "e", "f"]
    assert made.notes == ('invalid="drop": 3 of 6 rows left out',)
    probs = PROBS.copy()
    probs[1, 0], probs[4, 2] = -np.inf, np.nan
    assert Predictions.from_probs(LABELS, probs, invalid="drop").labels.tolist() == [2, 1, 1, 2]
    dropped = Predictions.from_probs([0, 1, np.nan], [0.2, np.inf, 0.4], invalid="drop")
    assert dropped.notes == ('invalid="drop": 2 of 3 rows left out',)
    assert Predictions.from_probs(Y, P, invalid="drop").notes == ('invalid="drop": 0 of 6 rows left out',)


def test_drop_does_not_excuse_numbers_that_cannot_be():
    with pytest.raises(DataError, match=r"probs row 2: value is 1.3"):
        Predictions.from_probs([0, 1, 1], [np.nan, 0.4, 1.3], invalid="drop")
    with pytest.raises(DataError, match=r"probs row 2, class 1: value is 1.3"):
        Predictions.from_probs([0, 1, 1], [[np.nan, 1], [0.4, 0.6], [0.0, 1.3]], invalid="drop")


def test_invalid_is_error_or_drop():
    with pytest.raises(OptionError, match=r"invalid='dorp': expected one of 'error', 'drop'. Did you mean 'drop'\?"):
        Predictions.from_probs(Y, P, invalid="dorp")


def test_24_masked_entries_are_an_error_unless_dropped():
    probs = np.ma.MaskedArray(PROBS, mask=np.zeros(PROBS.shape, bool))
    assert Predictions.from_probs(LABELS, probs) == Predictions.from_probs(LABELS, PROBS)
    probs[3, 1] = np.ma.masked
    labels = np.ma.MaskedArray(LABELS, mask=[0, 0, 0, 0, 0, 1])
    with pytest.raises(DataError, match=r'probs row 3, class 1: value is missing .*1 of 6 rows.* invalid="drop"'):
        Predictions.from_probs(LABELS, probs)
    with pytest.raises(DataError, match="labels row 5: value is missing"):
        Predictions.from_probs(labels, PROBS)
    weights = np.ma.MaskedArray(np.ones(6), mask=[1, 0, 0, 0, 0, 0])
    with pytest.raises(DataError, match="weights row 0: value is missing"):
        Predictions.from_probs(LABELS, PROBS, weights=weights)
    made = Predictions.from_probs(labels, probs, weights=weights, invalid="drop")
    assert made.notes == ('invalid="drop": 3 of 6 rows left out',)
    np.testing.assert_array_equal(made.probs, PROBS[[1, 2, 4]])


def test_36_ignored_labels_are_left_out_and_counted():
    labels = [2, -100, 1, -100, 0, 2]
    made = Predictions.from_logits(labels, LOGITS, ignore_index=-100)
    assert made.labels.tolist() == [2, 1, 0, 2]
    assert made.notes == ("ignore_index=-100: 2 of 6 rows left out",)
    assert Predictions.from_logits(np.array(labels) + 1, LOGITS, ignore_index=-99, label_base=1) == made
    with pytest.raises(OptionError, match="ignore_index=0 works on integer labels; labels has dtype <U1"):
        Predictions.from_probs(list("ab"), [0.1, 0.2], class_names=["a", "b"], ignore_index=0)


def test_47_rows_of_weight_zero_are_absent():
    p, weights, ids = [0.4, np.nan, 0.7, 7.0], [1, 0, 2, 0], [5, 5, 6, 6]
    made = Predictions.from_probs([1, -3, 0, 9], p, weights=weights, ids=ids)
    assert made == Predictions.from_probs([1, 0], [0.4, 0.7], weights=[1, 2], ids=[5, 6])
    assert made.notes == ("weight 0: 2 of 4 rows left out",)


def test_rows_keep_their_numbers_in_messages_when_others_are_left_out():
    probs, logits = PROBS.copy(), LOGITS.copy()
    probs[4, 0] = -0.2
    logits[5, 1] = np.nan
    labels = [-1, 0, -1, 1, 0, 2]
    with pytest.raises(DataError, match=r"m: probs row 4, class 0: value is -0.2, below 0 \(1 of 4 rows"):
        Predictions.from_probs(labels, probs, ignore_index=-1, name="m")
    with pytest.raises(DataError, match="logits row 5, class 1: value is NaN"):
        Predictions.from_logits(labels, logits, ignore_index=-1)
    with pytest.raises(LabelError, match="labels row 5: value is 2"):
        Predictions.from_probs(labels, P, ignore_index=-1)
    with pytest.raises(DataError, match="ids row 5: 9 is already the id of row 1"):
        Predictions.from_probs(labels, PROBS, ignore_index=-1, ids=[1, 9, 1, 2, 3, 9])
