"""Options, array-likes, and the words for values that cannot be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from calibkit import _checks
from calibkit._checks import Source, bad_values
from calibkit.errors import DataError, InputFormatError, LabelError, LimitError, OptionError, ShapeError


def column(values, name="weights"):
    return _checks.read_column(values, name, Source())


# ---------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("n_bins", [1, 15, 100_000, np.int64(20), np.uint8(7)])
def test_46_a_number_of_bins_is_a_whole_number(n_bins):
    assert _checks.check_n_bins(n_bins) == int(n_bins)
    assert type(_checks.check_n_bins(n_bins)) is int


@pytest.mark.parametrize("n_bins", [0, -1, 10**9, 2.5, 2.0, "ten", True, np.True_, None, [15]])
def test_46_other_numbers_of_bins_are_refused(n_bins):
    with pytest.raises(OptionError, match=r"n_bins=.*expected a whole number of at least 1 and at most 100,000"):
        _checks.check_n_bins(n_bins)


def test_a_choice_is_returned_or_the_nearest_one_is_named():
    assert _checks.check_choice("left", ("right", "left"), option="edges") == "left"
    with pytest.raises(
        OptionError, match=r"binning='quantil': expected one of 'uniform', 'quantile'. Did you mean 'qua"
    ):
        _checks.check_choice("quantil", ("uniform", "quantile"), option="binning")
    with pytest.raises(OptionError, match=r"'left'\.$"):
        _checks.check_choice(3, ("right", "left"), option="edges")


def test_long_words_and_lists_are_cut():
    assert _checks.quoted("ab") == "'ab'"
    assert _checks.quoted("x" * 500) == "'" + "x" * 79 + "..."
    assert _checks.listed(["a", 1]) == "'a', 1"
    assert _checks.listed(range(1_500)).endswith("18, 19, ... (1,500 in all)")


@pytest.mark.parametrize("level", [0.0, 1.0, 95, -0.1, float("nan"), "0.95", True])
def test_a_confidence_level_lies_inside_zero_and_one(level):
    with pytest.raises(OptionError, match=r"confidence_level=.*between 0 and 1"):
        _checks.check_level(level)


def test_a_confidence_level_may_be_none():
    assert _checks.check_level(None) is None
    assert _checks.check_level(np.float32(0.5)) == 0.5


def test_threads_and_seeds():
    assert _checks.check_threads(None) is None
    assert _checks.check_threads(3) == 3
    with pytest.raises(OptionError, match=r"threads=0: expected a whole number of at least 1\."):
        _checks.check_threads(0)
    with pytest.raises(OptionError, match="CALIBKIT_THREADS='many'"):
        _checks.check_threads("many", option="CALIBKIT_THREADS")
    with pytest.raises(OptionError, match="seed=-1"):
        _checks.check_seed(-1)


def test_a_seed_makes_a_new_generator_and_a_generator_stays():
    generator = np.random.default_rng(3)
    assert _checks.check_rng(generator) is generator
    assert _checks.check_rng(7).random() == np.random.default_rng(7).random()
    with pytest.raises(OptionError, match=r"rng=0.5"):
        _checks.check_rng(0.5)


# ------------------------------------------------------------------------------------------------------ value errors


def complaint(kind="probs", **changes):
    facts = {"row": 17, "column": 2, "value": 0.0, "count": 1, "n_rows": 50_000, "problem": "nan"} | changes
    with pytest.raises(DataError) as caught:
        bad_values(kind, array_name=changes.pop("array_name", kind), **facts)
    return str(caught.value)


def test_01_nan_says_what_where_how_many_and_the_fix():
    assert complaint(value=float("nan"), name="preds.npz") == (
        "preds.npz: probs row 17, class 2: value is NaN (1 of 50,000 rows have NaN or inf). "
        'Drop them with invalid="drop" or fix the model output.'
    )


def test_02_04_05_infinities():
    assert "probs row 17, class 2: value is -inf (3 of" in complaint(problem="inf", value=-np.inf, count=3)
    assert "value is inf, for which softmax is undefined" in complaint("logits", problem="inf", value=np.inf)
    assert "row 17: every logit is -inf" in complaint("logits", problem="all -inf", column=None, value=-np.inf)


def test_07_08_09_13_values_outside_zero_and_one_get_the_hint_that_fits():
    logits, log_probs = np.array([-0.3, 1.9, 0.2]), np.log([0.2, 0.7, 0.1])
    negative = {"problem": "negative", "value": -0.3, "count": 12}
    assert "value is -0.3, below 0 (12 of 50,000 rows have such values)" in complaint(**negative)
    assert "looks like logits" in complaint(**negative)
    assert "log_probs=True" in complaint(**negative)
    assert complaint(**negative, row_values=logits).endswith("It looks like logits: pass it as logits.")
    sums = complaint(**negative, row_values=np.array([-4.1, -3.2, -6.0]))
    assert sums.endswith(
        "It looks like logits: pass it as logits; logs of probabilities that sum to 1 need log_probs=True."
    )
    assert complaint(**negative, row_values=log_probs).endswith("log-probabilities: pass log_probs=True.")
    above = {"problem": "above one", "value": 62.5}
    assert "value is 62.5, above 1" in complaint(**above)
    assert "percentages? Divide by 100." in complaint(**above, row_values=np.array([62.5, 30.0, 7.5]))
    assert "renormalize=True" in complaint(problem="above one", value=1.01, row_values=np.array([1.01, 0.0]))
    assert complaint(problem="negative", value=-0.01, row_values=np.array([1.0, -0.01])).endswith("model output.")


def test_11_row_sums_name_the_opt_in():
    off = complaint(problem="row sum", column=None, value=0.93, count=37)
    assert off.startswith("probs row 17: the row sums to 0.93, not 1 (37 of 50,000 rows are off).")
    assert "renormalize=True" in off
    assert "Divide by 100" in complaint(problem="row sum", column=None, value=100.0)
    assert "token log-likelihoods, are logits: pass it as logits" in complaint(
        "log_probs", problem="row sum", column=None, value=3.0
    )


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 7), st.integers(2, 5)), elements=st.floats(-2, 2, width=16)),
    st.sampled_from([np.nan, np.inf, -np.inf]),
    st.data(),
)
def test_the_pass_finds_what_a_plain_search_finds(values, bad, data):
    row = data.draw(st.integers(0, len(values) - 1))
    class_ = data.draw(st.integers(0, values.shape[1] - 1))
    values[row, class_] = bad
    np.testing.assert_array_equal(_checks.unusable_rows("probs", values), ~np.isfinite(values).all(axis=1))
    usable = np.isfinite(values).any(axis=1) & ~np.isnan(values).any(axis=1) & (values.max(axis=1) < np.inf)
    np.testing.assert_array_equal(_checks.unusable_rows("logits", values), ~usable)
    with pytest.raises(DataError, match=rf"probs row {row}, class {class_}: value is {str(bad).replace('nan', 'NaN')}"):
        _checks.check_matrix("probs", values, array_name="probs", source=Source(), tolerance=1e-6, slack=1e-6)


def test_faults_are_counted_over_blocks_and_the_worst_row_sum_is_named():
    k = 700
    values = np.full((1_500, k), 1 / k)  # several blocks of rows
    values[[3, 900, 1_400], 5] += [0.1, 0.4, 0.2]
    with pytest.raises(DataError, match=r"row 900: the row sums to 1\.4\d*, not 1 \(3 of 1,500 rows"):
        _checks.check_matrix("probs", values, array_name="probs", source=Source(), tolerance=1e-9, slack=1e-9)
    values[[700, 1_200], 9] = -0.2
    with pytest.raises(DataError, match=r"row 700, class 9: value is -0.2, below 0 \(2 of 1,500"):
        _checks.check_matrix("probs", values, array_name="probs", source=Source(), tolerance=1e-9, slack=1e-9)


# -------------------------------------------------------------------------------------------------------- array-likes


def test_rows_are_named_as_the_user_counts_them():
    source = Source(name="a.npz", rows=np.array([2, 5, 9]))
    assert source.at("probs", 1, 3) == "a.npz: probs row 5, class 3"
    assert Source().at("labels", 1) == "labels row 1"


@pytest.mark.parametrize("values", ["0.1, 0.2", b"ab", {0.1}, {"a": 1}, 3.5, None, object(), (x for x in [1.0])])
def test_what_is_no_array_is_refused(values):
    with pytest.raises(InputFormatError, match="weights: expected an array or a list, got"):
        column(values)


def test_unequal_rows_are_refused():
    with pytest.raises(InputFormatError, match=r"probs cannot be read as an array.*equal lengths"):
        column([[0.1, 0.9], [1.0]], "probs")


def test_one_value_is_no_column():
    with pytest.raises(ShapeError, match=r"probs is one value \(0\.5\)"):
        column(np.array(0.5), "probs")


def test_24_native_arrays_stay_views_and_foreign_byte_order_is_turned():
    base = np.arange(12.0).reshape(4, 3)
    for view in (base, base.T, base[::2], np.asfortranarray(base)):
        assert np.shares_memory(column(view).values, view)
    turned = column(base.astype(">f8")).values
    assert turned.dtype.isnative
    np.testing.assert_array_equal(turned, base)


def test_torch_tensors_are_read_through_their_array_interface():
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([0.25, 0.75])
    assert np.shares_memory(column(tensor).values, tensor.numpy())
    with pytest.raises(InputFormatError, match=r"requires grad.*\.detach\(\)\.cpu\(\), .*integrations\.torch"):
        column(tensor.requires_grad_())
    with pytest.raises(InputFormatError, match=r"requires grad|BFloat16"):
        column(tensor.to(torch.bfloat16))


@pytest.mark.parametrize("package", ["torch", "ml_dtypes"])
@pytest.mark.parametrize("step", [1, 2])
def test_bfloat16_is_widened_exactly_and_keeps_its_precision(package, step):
    torch, module = pytest.importorskip("torch"), pytest.importorskip(package)
    values = np.array([[0.1, -3.0, np.inf], [1e-40, np.nan, 7e30]], dtype=np.float32)
    half = torch.from_numpy(values).to(torch.bfloat16)[:, ::step]
    found = column(half if package == "torch" else values.astype(module.bfloat16)[:, ::step])
    assert found.values.dtype == np.float32
    assert found.epsilon == 2.0**-7
    np.testing.assert_array_equal(found.values, half.float().numpy())
    assert column(values).epsilon is None


# ------------------------------------------------------------------------------------------------------------- labels


def codes(values, **options):
    given_ = {"n_classes": 3, "class_names": None, "label_base": 0, "source": Source()} | options
    return _checks.label_codes(column(values, "labels"), **given_)[0].tolist()


@settings(deadline=None)
@given(st.lists(st.integers(0, 126), min_size=1), st.sampled_from(["i1", "u1", "<i2", ">i4", "u8", "f2", "f4", ">f8"]))
def test_39_labels_of_every_dtype_are_the_same_numbers(labels, dtype):
    assert codes(np.array(labels, dtype=dtype), n_classes=127) == labels
    assert codes(np.array(labels, dtype=dtype) + 1, n_classes=127, label_base=1) == labels


@pytest.mark.parametrize("value", [2**63, 2**64 - 1])
def test_39_labels_beyond_int64_do_not_wrap(value):
    for n_classes in (3, None):
        with pytest.raises(LabelError, match=f"labels row 1: value is {value}"):
            codes(np.array([0, value], np.uint64), n_classes=n_classes)


def test_39_int8_labels_do_not_overflow_above_127_classes():
    assert codes(np.array([127, 5], np.int8), n_classes=300) == [127, 5]
    with pytest.raises(LabelError, match="value is -128"):
        codes(np.array([127, -128], np.int8), n_classes=300)


def test_37_float_labels_must_be_whole():
    assert codes([1.0, 2.0, -0.0]) == [1, 2, 0]
    for bad, shown in ((1.5, "1.5"), (np.nan, "NaN"), (np.inf, "inf"), (1e300, "1e.300")):
        with pytest.raises(LabelError, match=rf"labels row 1: value is {shown} \(1 of 3 rows"):
            codes([1.0, bad, 2.0], n_classes=None)


def test_38_names_are_mapped_and_the_nearest_is_named():
    names = ("cat", "dog", "horse")
    for dtype in ("U", "S", object, np.dtypes.StringDType()):
        assert codes(np.array(["dog", "cat", "horse", "dog"], dtype=dtype), class_names=names) == [1, 0, 2, 1]
    with pytest.raises(
        LabelError, match=r"labels row 2: 'hrose' is not one of the 3 class names. Did you mean 'horse'"
    ):
        codes(["dog", "cat", "hrose"], class_names=names)
    with pytest.raises(LabelError, match="labels row 0: 'dog' is a name; pass class_names="):
        codes(["dog", "cat"])
    for labels, shown in ((["dog", 3], "row 1: 3"), ([4, "dog", None], "row 2: None"), ([0, 1, None], "row 2: None")):
        with pytest.raises(InputFormatError, match=f"labels {shown} in an array of Python objects"):
            codes(np.array(labels, dtype=object), class_names=names)
    with pytest.raises(InputFormatError, match="not UTF-8"):
        codes(np.array([b"\xff\xfe"]), class_names=names)


def test_34_one_hot_labels_are_read_and_soft_ones_refused():
    rows = np.eye(3)[[2, 0, 1]]
    for dtype in (float, int, bool):
        assert codes(rows.astype(dtype)) == [2, 0, 1]
    with pytest.raises(LabelError, match=r"labels row 1: \(0\.9, 0\.1, 0\.0\) is not one-hot\. Soft labels are not"):
        codes([[0, 1, 0], [0.9, 0.1, 0]])
    for bad in ([[0, 0, 0]], [[1, 1, 0]], [[0, 2, 0]], [[np.nan, 1, 0]]):
        with pytest.raises(LabelError, match="row 0"):
            codes(bad)
    with pytest.raises(InputFormatError, match="labels has dtype <U1"):
        codes([["a", "b", "c"]])
    with pytest.raises(ShapeError, match="4 one-hot columns but there are 3 classes"):
        codes(np.eye(4))
    with pytest.raises(ShapeError, match=r"labels\[:, 0\]"):
        codes([[0], [1]])


def test_bool_labels_are_two_classes():
    assert codes([True, False], n_classes=2) == [1, 0]
    with pytest.raises(LabelError, match="True or False but there are 3 classes"):
        codes([True, False])


def test_35_36_40_hints_for_labels_outside_the_range():
    with pytest.raises(
        LabelError, match=r"row 1: value is 3 \(1 of 3 rows\); expected 0 to 2 for 3 classes. Labels that"
    ):
        codes([1, 3, 2])
    with pytest.raises(LabelError, match=r"Pass label_base=1 \(but 0 occurs too: is a class column absent\?\)"):
        codes([0, 3, 2])
    with pytest.raises(LabelError, match=r"value is 9 .*for 3 classes\.$"):
        codes([0, 9])
    with pytest.raises(LabelError, match=r"value is -100 .*pass ignore_index=-100"):
        codes([0, -100])
    with pytest.raises(LabelError, match=r"-1 and \+1: pass \(labels \+ 1\) // 2"):
        codes([1, -1, 1], n_classes=2)
    with pytest.raises(LabelError, match="expected 1 to 3 for 3 classes"):
        codes([0, 1], label_base=1)


def test_labels_of_other_kinds_are_refused():
    for values in (np.array([1j]), np.array(["2020-01-01"], "M8[D]")):
        with pytest.raises(InputFormatError, match="labels has dtype"):
            codes(values)


# ------------------------------------------------------------------------------------------- weights, ids, correctness


@pytest.mark.parametrize(("bad", "shown"), [(-0.5, "-0.5"), (np.nan, "NaN"), (np.inf, "inf")])
def test_47_bad_weights(bad, shown):
    with pytest.raises(DataError, match=rf"weights row 2: weight is {shown} \(2 of 4 rows\)"):
        _checks.check_weights(column([1.0, 0.5, bad, bad]), Source())


def test_47_all_weights_zero():
    with pytest.raises(DataError, match="weights: all 3 weights are 0"):
        _checks.check_weights(column([0, 0, 0]), Source())


@settings(deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9), st.booleans())
def test_48_the_first_repeated_id_is_named(ids, as_text):
    keys = [f"q{i}" for i in ids] if as_text else ids
    array = _checks.check_keys(column(keys, "ids"), Source())
    seen = {}
    again = next((row for row, key in enumerate(keys) if seen.setdefault(key, row) != row), None)
    if again is None:
        _checks.check_unique(array, "ids", Source())
    else:
        with pytest.raises(DataError, match="belong in groups") as caught:
            _checks.check_unique(array, "ids", Source())
        assert f"ids row {again}: {keys[again]!r} is already the id of row {seen[keys[again]]} " in str(caught.value)


def test_ids_are_whole_numbers_or_text():
    assert _checks.check_keys(column([3.0, 1.0], "ids"), Source()).tolist() == [3, 1]
    for values in ([True, False], np.array(["2020-01-01"], "M8[D]")):
        with pytest.raises(InputFormatError, match=r"ids has dtype .*expected whole numbers or text"):
            _checks.check_keys(column(values, "ids"), Source())
    for bad, shown in ((0.5, "0.5"), (np.nan, "NaN"), (2.0**53, "9007199254740992")):
        with pytest.raises(DataError, match=rf"ids row 1: value is {shown}.* not whole numbers"):
            _checks.check_keys(column([1.0, bad], "ids"), Source())
    with pytest.raises(DataError, match="ids row 1: 18446744073709551615 is above"):
        _checks.check_keys(column(np.array([1, 2**64 - 1], np.uint64), "ids"), Source())


def test_one_huge_id_does_not_take_the_memory_of_all():
    ids = np.array(["a"] * 5_000 + ["x" * 1_000_000], dtype=object)
    with pytest.raises(LimitError, match="ids row 5000: a text of 1,000,000 characters"):
        _checks.check_keys(column(ids, "ids"), Source())


def test_correctness_is_true_or_false():
    for values in ([True, False], [1, 0], [1.0, 0.0]):
        assert _checks.check_correct(column(values, "correct"), Source()).tolist() == [True, False]
    with pytest.raises(DataError, match=r"correct row 1: value is 4 .*from_top1"):
        _checks.check_correct(column([1, 4], "correct"), Source())
    with pytest.raises(InputFormatError, match="weights has dtype <U1; expected numbers"):
        _checks.check_weights(column(["1", "2"]), Source())
    with pytest.raises(InputFormatError, match="correct has dtype"):
        _checks.check_correct(column(["yes", "no"], "correct"), Source())


def test_class_names_are_distinct_text_one_per_class():
    assert _checks.check_class_names(["a", "b"], 2, Source()) == ("a", "b")
    for names, error in (("ab", InputFormatError), ([1, 2], InputFormatError), (5, InputFormatError)):
        with pytest.raises(error, match="class_names: expected"):
            _checks.check_class_names(names, 2, Source())
    with pytest.raises(ShapeError, match="class_names has 3 names but there are 2 classes"):
        _checks.check_class_names(["a", "b", "c"], 2, Source())
    with pytest.raises(ShapeError, match="1 names; a classifier has at least 2"):
        _checks.check_class_names(["a"], None, Source())
    with pytest.raises(DataError, match="'a' names class 0 and class 2"):
        _checks.check_class_names(["a", "b", "a"], None, Source())
