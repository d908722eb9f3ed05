"""Other rows are refused with the first difference; the same rows in another order are aligned."""

import numpy as np
import pytest

from calibkit import DataError, Predictions
from calibkit.alignment import align

RNG = np.random.default_rng(4)
LOGITS = RNG.normal(size=(6, 3)) * 2
LABELS = np.array([2, 0, 1, 1, 0, 2])


def model(order=None, **options):
    order = np.arange(6) if order is None else np.asarray(order)
    return Predictions.from_logits(LABELS[order], LOGITS[order], **options)


def test_the_same_ids_in_another_order_are_aligned_and_noted():
    order = [3, 1, 5, 0, 4, 2]
    ids = np.array(["a", "b", "c", "d", "e", "f"])
    aligned, notes = align({"A": model(ids=ids), "B": model(order, ids=ids[order])}, "A")
    assert np.array_equal(aligned["B"].logits, LOGITS)
    assert list(aligned["B"].ids) == list(ids)
    assert any("another order" in note for note in notes)


def test_ids_that_are_numbers_in_one_file_and_text_in_the_other():
    n = 30
    logits = np.random.default_rng(1).normal(size=(n, 3))
    a = Predictions.from_logits(np.zeros(n, int), logits, ids=np.arange(n))
    for order in (np.arange(n), np.random.default_rng(2).permutation(n)):
        b = Predictions.from_logits(np.zeros(n, int), logits[order], ids=[str(i) for i in order])
        aligned, _ = align({"A": a, "B": b}, "A")
        assert np.array_equal(aligned["B"].logits, logits)


def test_without_ids_row_order_is_trusted_and_noted():
    aligned, notes = align({"A": model(), "B": model()}, "A")
    assert np.array_equal(aligned["B"].labels, LABELS)
    assert any("trusted" in note for note in notes)


def test_the_first_missing_id_is_named():
    with pytest.raises(DataError, match=r"B lacks id 12, which is row 2 of A \(1 of 6 ids are missing\)"):
        align({"A": model(ids=np.arange(10, 16)), "B": model(ids=[10, 11, 99, 13, 14, 15])}, "A")


def test_another_number_of_rows_is_refused_with_both_numbers():
    with pytest.raises(DataError, match="A has 6 rows and B has 4"):
        align({"A": model(), "B": model([0, 1, 2, 3])}, "A")


def test_the_first_different_label_is_named():
    other = Predictions.from_logits([2, 0, 0, 1, 0, 1], LOGITS)
    with pytest.raises(DataError, match=r"labels differ first at row 2: A has 1, B has 0 \(2 of 6 rows differ\)"):
        align({"A": model(), "B": other}, "A")


def test_classes_in_another_order_are_aligned_by_name():
    columns = [2, 0, 1]
    names = ("cat", "dog", "eel")
    moved = Predictions.from_logits(
        np.argsort(columns)[LABELS], LOGITS[:, columns], class_names=[names[c] for c in columns]
    )
    aligned, notes = align({"A": model(class_names=names), "B": moved}, "A")
    assert np.array_equal(aligned["B"].logits, LOGITS)
    assert np.array_equal(aligned["B"].labels, LABELS)
    assert any("by name" in note for note in notes)


def test_binary_forecasts_of_the_other_class_are_turned():
    probs = np.array([0.2, 0.7, 0.95])
    one = Predictions.from_probs([0, 1, 1], probs, class_names=["no", "yes"])
    other = Predictions.from_probs([1, 0, 0], 1 - probs, class_names=["yes", "no"])
    aligned, _ = align({"A": one, "B": other}, "A")
    assert aligned["B"].probs == pytest.approx(probs)
    assert list(aligned["B"].labels) == [0, 1, 1]


def test_other_classes_are_refused():
    with pytest.raises(DataError, match="'cow' is in one of them alone"):
        align({"A": model(class_names=["cat", "dog", "eel"]), "B": model(class_names=["cat", "dog", "cow"])}, "A")
    with pytest.raises(DataError, match="A has 3 classes and B has 4"):
        align({"A": model(), "B": Predictions.from_logits(LABELS, RNG.normal(size=(6, 4)))}, "A")


def test_weights_must_agree():
    weights = np.array([1.0, 2, 1, 1, 3, 1])
    with pytest.raises(DataError, match="B has no weights"):
        align({"A": model(weights=weights), "B": model()}, "A")
    with pytest.raises(DataError, match=r"weights differ first at row 4: A has 3.0, B has 2.0"):
        align({"A": model(weights=weights), "B": model(weights=[1, 2, 1, 1, 2, 1])}, "A")


def test_groups_of_one_file_count_for_all():
    groups = np.array([0, 0, 1, 1, 2, 2])
    aligned, notes = align({"A": model(), "B": model(groups=groups)}, "A")
    assert np.array_equal(aligned["A"].groups, aligned["B"].groups)
    assert any("groups" in note for note in notes)
    align({"A": model(groups=groups), "B": model(groups=["x", "x", "z", "z", "y", "y"])}, "A")
    with pytest.raises(DataError, match="group their rows differently"):
        align({"A": model(groups=groups), "B": model(groups=[0, 1, 1, 1, 2, 2])}, "A")


def test_predictions_without_labels_are_trusted_and_said_so():
    a = Predictions.from_correct([True, False, True], [0.9, 0.4, 0.6])
    b = Predictions.from_correct([False, True, True], [0.8, 0.5, 0.7])
    _, notes = align({"A": a, "B": b}, "A")
    assert any("labels" in note for note in notes)
