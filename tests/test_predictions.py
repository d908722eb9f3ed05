"""Predictions: what each constructor keeps, what the opt-ins do and count, what is refused and how it is said."""

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibkit.errors import DataError, InputFormatError, LabelError, OptionError, ShapeError
from calibkit.predictions import Predictions

RNG = np.random.default_rng(20)
LOGITS = RNG.normal(size=(6, 3)).astype(np.float32)
PROBS = RNG.dirichlet([1.3, 0.8, 2.1], size=6)
LABELS = [2, 0, 1, 1, 0, 2]
P = [0.12, 0.93, 0.55, 0.71, 0.08, 0.37]
Y = [0, 1, 0, 1, 0, 1]
EXTRAS = {"ids": list("abcdef"), "weights": [1, 2, 0.5, 3, 1.5, 1], "groups": [4, 4, 7, 7, 7, 9], "name": "net"}


def every_kind(**extras):
    return {
        "logits": Predictions.from_logits(LABELS, LOGITS, class_names=["x", "y", "z"], **extras),
        "log-odds": Predictions.from_logits(Y, LOGITS[:, 0], **extras),
        "probs": Predictions.from_probs(LABELS, PROBS, provenance={"epochs": 3}, **extras),
        "P(y = 1)": Predictions.from_probs(Y, P, **extras),
        "top1": Predictions.from_top1(LABELS, [2, 1, 1, 0, 0, 2], P, n_classes=3, **extras),
        "correct": Predictions.from_correct(Y, P, **extras),
    }


KINDS = every_kind(**EXTRAS)
kinds = pytest.mark.parametrize("predictions", KINDS.values(), ids=KINDS.keys())


# ---------------------------------------------------------------------------------------------------- what is kept


def test_each_constructor_says_what_it_holds():
    held = {name: (p.kind, p.n_classes, p.is_binary, p.values.shape, len(p)) for name, p in KINDS.items()}
    assert held == {
        "logits": ("logits", 3, False, (6, 3), 6),
        "log-odds": ("logits", 2, True, (6,), 6),
        "probs": ("probs", 3, False, (6, 3), 6),
        "P(y = 1)": ("probs", 2, True, (6,), 6),
        "top1": ("top1", 3, False, (6,), 6),
        "correct": ("correct", None, False, (6,), 6),
    }
    assert KINDS["top1"].correct.tolist() == [True, False, True, False, True, True]
    assert KINDS["correct"].correct.tolist() == [False, True, False, True, False, True]
    assert KINDS["correct"].labels is None
    assert repr(KINDS["logits"]) == "Predictions(kind='logits', n=6, n_classes=3, dtype=float32, name='net')"


@kinds
def test_arrays_are_read_only_and_fields_frozen(predictions):
    arrays = [getattr(predictions, one.name) for one in fields(predictions)]
    arrays = [array for array in arrays if isinstance(array, np.ndarray)]
    assert len(arrays) >= 5
    assert not any(array.flags.writeable for array in arrays)
    with pytest.raises(FrozenInstanceError):
        predictions.name = "other"
    with pytest.raises(TypeError):
        hash(predictions)


def test_24_users_arrays_are_viewed_and_left_as_they_were(tmp_path):
    np.save(tmp_path / "logits.npy", LOGITS)
    on_disk = np.load(tmp_path / "logits.npy", mmap_mode="r")
    for logits in (LOGITS, np.asfortranarray(LOGITS), LOGITS[::-1], on_disk, LOGITS.astype(np.float16)):
        labels, before, writeable = np.array(LABELS), logits.copy(), logits.flags.writeable
        made = Predictions.from_logits(labels, logits)
        assert np.shares_memory(made.logits, logits)
        assert np.shares_memory(made.labels, labels)
        assert labels.flags.writeable
        assert logits.flags.writeable == writeable
        np.testing.assert_array_equal(logits, before)
        assert made.logits.dtype == logits.dtype
    assert Predictions.from_logits(LABELS, LOGITS.astype(">f4")) == Predictions.from_logits(LABELS, LOGITS)


def test_opt_ins_never_write_into_the_users_array():
    probs = PROBS.copy()
    Predictions.from_probs(LABELS, probs, clip=0.05, renormalize=True)
    np.testing.assert_array_equal(probs, PROBS)


@pytest.mark.parametrize(("dtype", "eps"), [("f2", 2**-10), ("f4", 2**-23), ("f8", 2**-52)])
def test_10_20_the_row_sum_tolerance_is_that_of_the_stored_dtype(dtype, eps):
    terms = 8 if dtype == "f2" else 64
    assert Predictions.from_probs(LABELS, PROBS.astype(dtype)).sum_tolerance == terms * eps
    wide = np.full((2, 80), 0.0125, dtype)
    assert Predictions.from_probs([0, 1], wide).sum_tolerance == 80 * eps
    assert Predictions.from_probs([0, 1], wide, sum_tolerance=1e-3).sum_tolerance == 1e-3
    assert Predictions.from_probs(Y, P).sum_tolerance is None


def test_23_integers_are_exact_probabilities():
    made = Predictions.from_probs([0, 1], [[1, 0], [0, 1]])
    assert made.probs.dtype == np.float64
    assert Predictions.from_probs([0, 1, 1], np.array([0, 1, 1], np.uint8)).probs.tolist() == [0.0, 1.0, 1.0]


def test_25_no_rows_are_predictions_too():
    for made in (
        Predictions.from_logits([], np.zeros((0, 4))),
        Predictions.from_probs([], [], ids=[], weights=[], groups=[]),
        Predictions.from_top1([], [], []),
        Predictions.from_correct([], []),
    ):
        assert len(made) == 0
        assert made == made.take([])


# ----------------------------------------------------------------------------------------------- taking and equality


@settings(deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.permutations(range(6)), st.integers(0, 6))
def test_take_carries_everything_along(kind, order, count):
    predictions, rows = KINDS[kind], order[:count]
    taken = predictions.take(rows)
    for one in fields(predictions):
        before, after = getattr(predictions, one.name), getattr(taken, one.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(after, before[rows])
            assert after.dtype == before.dtype
            assert not after.flags.writeable
        else:
            assert after == before
    mask = np.isin(np.arange(6), rows)
    assert predictions.take(mask) == predictions.take(sorted(rows))
    assert predictions.take(order).take(np.argsort(order)) == predictions


def test_take_refuses_rows_that_are_not_there():
    unnamed = Predictions.from_probs(Y, P)
    assert unnamed.take([5, 5, -1]).probs.tolist() == [0.37, 0.37, 0.37]
    with pytest.raises(DataError, match="ids row 1: 'f' is already the id of row 0"):
        KINDS["probs"].take([5, 5])
    with pytest.raises(ShapeError, match="index entry 1 is 6 but there are 6 rows"):
        unnamed.take([0, 6])
    with pytest.raises(ShapeError, match="a mask of 2 entries but there are 6 rows"):
        unnamed.take([True, False])
    with pytest.raises(InputFormatError, match="index has dtype float64"):
        unnamed.take([0.5])


def test_equality_compares_everything_but_the_notes():
    base = {"labels": Y, "probs": P, "ids": list("abcdef"), "groups": [1] * 6, "provenance": {"seed": 3}}
    same = Predictions.from_probs(**base)
    assert same == Predictions.from_probs(**base, invalid="drop")
    changes = [
        {"labels": [1, *Y[1:]]},
        {"probs": np.array(P, np.float32)},
        {"probs": [*P[:5], 0.38]},
        {"ids": list("abcdeg")},
        {"ids": None},
        {"groups": [1] * 5 + [2]},
        {"weights": [1.0] * 6},
        {"class_names": ["no", "yes"]},
        {"name": "net"},
        {"provenance": {"seed": 4}},
    ]
    for change in changes:
        assert same != Predictions.from_probs(**(base | change)), change
    assert same != "predictions"
    assert same.with_name("net") == Predictions.from_probs(**base, name="net")


def test_ids_are_equal_whatever_their_width():
    wide = Predictions.from_probs(Y, P, ids=["a", "b", "c", "d", "e", "a long one"]).take(range(5))
    assert wide == Predictions.from_probs(Y[:5], P[:5], ids=list("abcde"))


def test_provenance_is_kept_as_json_reads_it_back():
    made = Predictions.from_probs(Y, P, provenance={"sizes": (512, 512), "source": {"epochs": 3}})
    assert made.provenance == {"sizes": [512, 512], "source": {"epochs": 3}}
    for bad in ({"a": {1, 2}}, {"a": float("nan")}, [1]):
        with pytest.raises(InputFormatError, match="provenance"):
            Predictions.from_probs(Y, P, provenance=bad)


# ------------------------------------------------------------------------------------------------ shapes and dtypes


@pytest.mark.parametrize("dtype", [np.longdouble, complex, bool, object])
def test_22_other_dtypes_are_refused(dtype):
    for make in (Predictions.from_probs, Predictions.from_logits, Predictions.from_correct):
        with pytest.raises(InputFormatError, match=r"has dtype .*expected float16, float32 or float64\. "):
            make([0, 1], np.array([0, 1]).astype(dtype))
    with pytest.raises(InputFormatError, match="Text is not read as numbers"):
        Predictions.from_probs([0, 1], ["0.1", "0.2"])


def test_28_one_column():
    with pytest.raises(ShapeError, match=r"probs has 1 column.*binary\? Pass .* 1-D P\(y = 1\): probs\[:, 0\]"):
        Predictions.from_probs(Y, np.reshape(P, (6, 1)))
    with pytest.raises(ShapeError, match=r"logits has 1 column.*log-odds of class 1: logits\[:, 0\]"):
        Predictions.from_logits(Y, np.reshape(P, (6, 1)))
    with pytest.raises(ShapeError, match="no columns"):
        Predictions.from_logits(Y, np.zeros((6, 0)))


def test_31_lengths_are_both_named():
    with pytest.raises(ShapeError, match=r"net: probs has 6 rows \(shape \(6, 3\)\) but labels has 5"):
        Predictions.from_probs(LABELS[:5], PROBS, name="net")
    for extra in ("ids", "weights", "groups"):
        with pytest.raises(ShapeError, match=f"{extra} has 2 rows .* but labels has 6"):
            Predictions.from_probs(LABELS, PROBS, **{extra: [1, 2]})
    with pytest.raises(ShapeError, match=r"confidence has 3 rows .* but correct has 2"):
        Predictions.from_correct([1, 0], [0.1, 0.2, 0.3])


def test_32_transposed():
    with pytest.raises(ShapeError, match=r"has 3 rows .* but labels has 6; .*transposed: pass probs\.T"):
        Predictions.from_probs(LABELS, PROBS.T)


def test_33_images():
    with pytest.raises(ShapeError, match=r"shape \(2, 3, 4, 5\).*np\.moveaxis\(probs, 1, -1\)\.reshape\(-1, 3\)"):
        Predictions.from_probs(np.zeros((2, 4, 5), int), np.zeros((2, 3, 4, 5)))


def test_vectors_are_one_dimensional():
    with pytest.raises(ShapeError, match=r"confidence has shape \(2, 1\); expected \(n,\)\. Pass confidence\.ravel"):
        Predictions.from_correct([1, 0], [[0.1], [0.2]])


def test_34_one_hot_labels_are_noted():
    made = Predictions.from_logits(np.eye(3)[LABELS], LOGITS)
    assert made == Predictions.from_logits(LABELS, LOGITS)
    assert made.notes == ("labels: one-hot rows read as class numbers",)


def test_swapped_arguments_are_guessed():
    with pytest.raises(LabelError, match=r"labels row 0.*The truth comes first: \(labels, probs\)"):
        Predictions.from_probs(np.c_[P, P], np.array(Y))


def test_35_labels_beyond_two_classes_meet_the_question_what_the_vector_is():
    for labels in ([1, 7, 3], [1, 2, 0]):
        with pytest.raises(LabelError, match=r"labels row 1: .*1-D probs are P\(y = 1\).*Predictions.from_top1"):
            Predictions.from_probs(labels, [0.4, 0.5, 0.6])
    with pytest.raises(LabelError, match="label_base=1"):
        Predictions.from_probs([1, 2, 1], [0.4, 0.5, 0.6])


def test_38_names_of_top_1_classes():
    made = Predictions.from_top1(["dog", "cat"], ["cat", "cat"], [0.6, 0.7], class_names=["cat", "dog"])
    assert (made.predicted.tolist(), made.labels.tolist(), made.n_classes) == ([0, 0], [1, 0], 2)
    with pytest.raises(LabelError, match="predicted row 1: 'cow' is not one of the 2 class names"):
        Predictions.from_top1(["dog", "cat"], ["cat", "cow"], [0.6, 0.7], class_names=["cat", "dog"])


def test_top1_classes_are_checked_where_their_number_is_known():
    assert Predictions.from_top1([12, 3], [12, 4], [0.6, 0.7]).n_classes is None
    with pytest.raises(LabelError, match=r"predicted row 0: value is 12 .*expected 0 to 9"):
        Predictions.from_top1([1, 3], [12, 4], [0.6, 0.7], n_classes=10)
    with pytest.raises(LabelError, match=r"labels row 1: value is -2 .*expected 0 or more"):
        Predictions.from_top1([1, -2], [1, 4], [0.6, 0.7])
    with pytest.raises(OptionError, match="n_classes=1: expected a whole number of at least 2"):
        Predictions.from_top1([0], [0], [0.6], n_classes=1)


def test_41_one_class_alone_is_fine():
    assert Predictions.from_logits([1] * 6, LOGITS).n_classes == 3


def test_48_duplicate_ids():
    with pytest.raises(DataError, match=r"ids row 3: 'b' is already the id of row 1 \(1 of 6 rows"):
        Predictions.from_probs(Y, P, ids=list("abcbef"))


def test_two_dimensional_values_are_not_read_without_need():
    logits = LOGITS.copy()
    logits[2, 1] = np.nan
    assert np.isnan(Predictions.from_logits(LABELS, logits).logits[2, 1])


def test_what_a_constructor_needs_must_be_there():
    for make in (Predictions.from_logits, Predictions.from_probs, Predictions.from_correct):
        for arrays in ((None, P), (Y, None)):
            with pytest.raises(InputFormatError, match="expected an array or a list, got NoneType"):
                make(*arrays)


def test_a_name_is_text():
    with pytest.raises(InputFormatError, match="name: expected text, got int"):
        Predictions.from_probs(Y, P, name=3)
