"""Tables of three libraries give the same predictions as the arrays they were made from."""

import subprocess
import sys

import numpy as np
import pytest

from calibkit.errors import DataError, InputFormatError, LabelError, ShapeError
from calibkit.predictions import Predictions

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")

LOGITS = np.random.default_rng(21).normal(size=(4, 3)).astype(np.float32)
P = [0.12, 0.93, 0.55, 0.71]
MAKERS = {
    "pandas": pandas.DataFrame,
    "pandas on arrow": lambda columns: pyarrow.table(columns).to_pandas(types_mapper=pandas.ArrowDtype),
    "polars": polars.DataFrame,
    "arrow": pyarrow.table,
}
tables = pytest.mark.parametrize("table", MAKERS.values(), ids=MAKERS.keys())


def columns(prefix="logits", names=("0", "1", "2"), values=LOGITS):
    return {f"{prefix}_{name}": values[:, place] for place, name in enumerate(names)}


@tables
def test_a_prefix_names_one_column_a_class(table):
    frame = table({"y": [2, 0, 1, 1], **columns(), "n": [7, 8, 9, 10], "w": [1.0, 2.0, 0.5, 1.0], "g": list("aabb")})
    made = Predictions.from_frame(frame, labels="y", logits="logits", ids="n", weights="w", groups="g", name="net")
    assert made == Predictions.from_logits(
        [2, 0, 1, 1], LOGITS, ids=[7, 8, 9, 10], weights=[1, 2, 0.5, 1], groups=list("aabb"), name="net"
    )


@tables
def test_numbered_columns_are_put_in_order_and_none_may_be_absent(table):
    wide = np.arange(24.0).reshape(2, 12)
    named = columns(names=[str(c) for c in range(12)], values=wide)
    frame = table({"y": [11, 3]} | dict(sorted(named.items())))  # logits_10 before logits_2
    np.testing.assert_array_equal(Predictions.from_frame(frame, labels="y", logits="logits").logits, wide)
    del named["logits_7"]
    with pytest.raises(InputFormatError, match=r"logits='logits': the columns 'logits_0', .* without a gap"):
        Predictions.from_frame(table({"y": [11, 3]} | named), labels="y", logits="logits")


@tables
def test_columns_by_class_name_name_the_classes(table):
    frame = table({"y": ["dog", "cat", "emu", "cat"], **columns(names=["cat", "dog", "emu"])})
    made = Predictions.from_frame(frame, labels="y", logits="logits")
    assert made == Predictions.from_logits([1, 0, 2, 0], LOGITS, class_names=["cat", "dog", "emu"])
    turned = Predictions.from_frame(frame, labels="y", logits="logits", class_names=["emu", "cat", "dog"])
    assert turned == Predictions.from_logits([2, 1, 0, 1], LOGITS[:, [2, 0, 1]], class_names=["emu", "cat", "dog"])
    with pytest.raises(InputFormatError, match="nor one per class name"):
        Predictions.from_frame(frame, labels="y", logits="logits", class_names=["cat", "cow"])


@tables
def test_a_list_of_columns_is_taken_in_its_order(table):
    frame = table({"y": [2, 0, 1, 1], **columns("z", "abc")})
    made = Predictions.from_frame(frame, labels="y", logits=["z_c", "z_a", "z_b"])
    assert made == Predictions.from_logits([2, 0, 1, 1], LOGITS[:, [2, 0, 1]])


@tables
def test_a_list_column_holds_the_rows(table):
    frame = table({"y": [2, 0, 1, 1], "z": LOGITS.tolist()})
    made = Predictions.from_frame(frame, labels="y", logits="z")
    np.testing.assert_array_equal(made.logits, LOGITS.astype(np.float64))
    ragged = table({"y": [2, 0], "z": [[0.1, 0.2, 0.3], [0.1, 0.2]]})
    with pytest.raises(InputFormatError, match="logits='z': row 1 has 2 entries but row 0 has 3"):
        Predictions.from_frame(ragged, labels="y", logits="z")


def test_fixed_size_lists_keep_their_dtype():
    array = polars.Series("z", LOGITS.tolist(), dtype=polars.Array(polars.Float32, 3))
    frame = polars.DataFrame({"y": [2, 0, 1, 1]}).with_columns(array)
    for table in (frame, frame.to_arrow()):
        assert Predictions.from_frame(table, labels="y", logits="z") == Predictions.from_logits([2, 0, 1, 1], LOGITS)


@tables
def test_vectors_top1_and_correctness(table):
    frame = table({"y": [0, 1, 0, 1], "yhat": [0, 1, 1, 1], "p": P, "right": [True, True, False, True]})
    assert Predictions.from_frame(frame, labels="y", probs="p") == Predictions.from_probs([0, 1, 0, 1], P)
    assert Predictions.from_frame(frame, labels="y", predicted="yhat", confidence="p") == Predictions.from_top1(
        [0, 1, 0, 1], [0, 1, 1, 1], P
    )
    assert Predictions.from_frame(frame, correct="right", confidence="p") == Predictions.from_correct(
        [True, True, False, True], P
    )


@tables
def test_nulls_are_missing_entries(table):
    frame = table({"y": [0, None, 0, 1], "p": P, "right": [True, None, False, True], "n": ["a", "b", None, "d"]})
    for keys, row in (
        ({"labels": "y", "probs": "p"}, "labels row 1"),
        ({"correct": "right", "confidence": "p"}, "correct row 1"),
        ({"correct": "right", "confidence": "p", "ids": "n"}, "correct row 1"),
    ):
        with pytest.raises(DataError, match=rf"{row}: value is (missing|NaN)"):
            Predictions.from_frame(frame, **keys)
    made = Predictions.from_frame(frame, correct="right", confidence="p", ids="n", invalid="drop")
    assert made == Predictions.from_correct([True, True], [0.12, 0.71], ids=["a", "d"])
    assert Predictions.from_frame(frame, labels="y", probs="p", invalid="drop").labels.tolist() == [0, 0, 1]


@tables
def test_nulls_in_class_columns_and_list_rows(table):
    frame = table(
        {"y": [0, 1, 1], "q_0": [0.2, None, 0.5], "q_1": [0.8, 0.3, 0.5], "q": [[0.2, 0.8], None, [0.5, 0.5]]}
    )
    kept = Predictions.from_probs([0, 1], [[0.2, 0.8], [0.5, 0.5]])
    for probs in (["q_0", "q_1"], "q"):
        assert Predictions.from_frame(frame, labels="y", probs=probs, invalid="drop") == kept
    with pytest.raises(DataError, match="probs row 1, class 0: value is missing"):
        Predictions.from_frame(frame, labels="y", probs="q")


def test_39_nullable_integers_are_not_rounded():
    frame = polars.DataFrame({"right": [True, None, True], "p": [0.2, 0.4, 0.3], "n": [2**60 + 1, 5, None]})
    for table in (frame, frame.to_arrow()):
        made = Predictions.from_frame(table, correct="right", confidence="p", ids="n", invalid="drop")
        assert made.ids.tolist() == [2**60 + 1]


@tables
def test_an_absent_column_is_named_with_what_the_table_holds(table):
    frame = table({"label": [0, 1], "prob": [0.2, 0.7]})
    with pytest.raises(
        InputFormatError, match=r"labels='lable': no such column. The table has 'label', 'prob'. Did you"
    ):
        Predictions.from_frame(frame, labels="lable", probs="prob")
    with pytest.raises(InputFormatError, match=r"probs='probs': no such column.*Did you mean 'prob'"):
        Predictions.from_frame(frame, labels="label", probs="probs")
    with pytest.raises(InputFormatError, match="logits='z': no such column"):
        Predictions.from_frame(frame, labels="label", logits=["prob", "z"])


def test_columns_must_make_up_one_forecast():
    frame = pandas.DataFrame({"y": [0, 1], "p": [0.2, 0.7]})
    sets = "expected one of these sets: labels and logits; labels and probs; confidence and labels and predicted"
    for keys in ({}, {"labels": "y"}, {"probs": "p"}, {"labels": "y", "probs": "p", "logits": "p"}):
        with pytest.raises(InputFormatError, match=sets):
            Predictions.from_frame(frame, **keys)


def test_columns_of_one_name_are_refused():
    frame = pandas.DataFrame([[0, 0.2, 0.3]], columns=["y", "p", "p"])
    with pytest.raises(InputFormatError, match="probs='p': the table has 2 columns of this name"):
        Predictions.from_frame(frame, labels="y", probs="p")


def test_other_things_are_no_tables():
    with pytest.raises(InputFormatError, match=r"got ndarray\. Arrays go to from_logits"):
        Predictions.from_frame(LOGITS, labels="y", probs="p")
    with pytest.raises(InputFormatError, match=r"got LazyFrame\. Collect the lazy frame first"):
        Predictions.from_frame(polars.LazyFrame({"y": [0]}), labels="y", probs="p")


def test_complaints_of_the_constructor_come_through():
    frame = pandas.DataFrame({"y": [0, 9], "p_a": [0.2, 0.7], "t": ["0.1", "0.2"]})
    with pytest.raises(LabelError, match="labels row 1: value is 9"):
        Predictions.from_frame(frame, labels="y", probs="p_a")
    with pytest.raises(ShapeError, match=r"probs has 1 column"):
        Predictions.from_frame(frame, labels="y", probs="p")
    with pytest.raises(InputFormatError, match="probs has dtype"):
        Predictions.from_frame(frame, labels="y", probs="t")
    with pytest.raises(TypeError, match="clip"):
        Predictions.from_frame(frame, labels="y", logits="p_a", clip=0.1)


def test_pandas_categories_and_integer_column_names():
    frame = pandas.DataFrame({"y": pandas.Categorical(["b", "a"]), 0: [0.1, 0.6], 1: [0.9, 0.4]})
    made = Predictions.from_frame(frame, labels="y", probs=[0, 1], class_names=["a", "b"])
    assert made == Predictions.from_probs([1, 0], [[0.1, 0.9], [0.6, 0.4]], class_names=["a", "b"])


def test_reading_a_table_imports_no_other_library():
    code = (
        "import sys, polars\nfrom calibkit.predictions import Predictions\n"
        "Predictions.from_frame(polars.DataFrame({'y': [0, 1], 'p': [.2, .7]}), labels='y', probs='p')\n"
        "print({'pandas', 'pyarrow', 'torch', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
