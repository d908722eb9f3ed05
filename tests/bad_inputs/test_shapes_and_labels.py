"""Rows 25 to 47: how many rows and classes, labels of every dress, bins and weights."""

import json
import math
import time
import tracemalloc

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import DataError, InputFormatError, LabelError, OptionError, ShapeError
from tests.bad_inputs.samples import LABELS, PROBS, WIN, WON, is_refusal, refused

from_probs, from_logits = ck.Predictions.from_probs, ck.Predictions.from_logits
REFERENCE_NLL = -np.log(PROBS[range(4), LABELS]).mean()


def judged(predictions, **options):
    return ck.evaluate(predictions, **{"confidence_level": None, **options})


def noted(result, *parts):
    return any(all(part in note for part in parts) for note in result.notes)


# 25 to 30: how much there is (26, one empty shard of many, is about merging)


@pytest.mark.parametrize("probs", [np.empty((0, 3)), np.empty(0)])
def test_row_25_no_rows(probs):
    for level in (0.95, None):
        result = ck.evaluate(from_probs([], probs), confidence_level=level)
        assert result.n == 0
        assert all(math.isnan(estimate.value) for estimate in result.metrics.values())
        assert all(estimate.low is None for estimate in result.metrics.values())
        assert noted(result, "No rows", "nan")
        assert json.dumps(result.to_dict(), allow_nan=False)
        assert "0 rows" in str(result)


@pytest.mark.parametrize(
    ("name", "text", "flags", "why"),
    [
        ("a.csv", "label,probs_0,probs_1\n", [], "holds no rows"),
        ("a.csv", "label,p\n-100,0.4\n-100,0.3\n", ["--ignore-index", "-100"], "2 of 2 rows left out"),
        ("a.csv", "label,p\n1,nan\n", ["--invalid", "drop"], "1 of 1 rows left out"),
    ],
)
def test_row_25_no_rows_on_the_command_line(run, tmp_path, name, text, flags, why):
    path = tmp_path / name
    path.write_text(text)
    for command in (["evaluate"], ["compare"], ["plot", "-o", tmp_path / "a.png"]):
        is_refusal(run(*command, path, *flags), 4, f"{path}: holds no rows", why)
    assert not (tmp_path / "a.png").exists()


def test_row_27_one_row():
    result = ck.evaluate(from_probs([0], PROBS[:1]))
    assert result["nll"].value == pytest.approx(-math.log(0.7), rel=1e-15)
    assert result["brier"].value == pytest.approx(0.3**2 + 0.2**2 + 0.1**2, rel=1e-14)
    assert result["ece"].value == pytest.approx(0.3, rel=1e-15)
    for metric in ("nll", "brier", "ece"):
        assert (result[metric].low, result[metric].high) == (None, None)
        assert noted(result, "No interval", metric.upper() if metric == "ece" else metric, "single row")


def test_row_28_one_column(run, tmp_path):
    with refused(ShapeError, "probs has 1 column (shape (4, 1))", "binary?", "probs[:, 0]"):
        from_probs(WON, WIN[:, None])
    np.savez(tmp_path / "net.npz", labels=WON, probs=WIN[:, None])
    is_refusal(run("evaluate", tmp_path / "net.npz"), 4, "net.npz", "1 column", "--binary")
    done = run("evaluate", tmp_path / "net.npz", "--binary", "--json")
    assert json.loads(done.out)["metrics"] == judged_json(from_probs(WON, WIN))


def judged_json(predictions):
    return json.loads(json.dumps(ck.evaluate(predictions).to_dict()))["metrics"]


def test_row_29_two_columns_or_one():
    one, two = from_probs(WON, WIN), from_probs(WON, np.stack([1 - WIN, WIN], axis=1))
    ours, theirs = judged(one), judged(two)
    assert ours["nll"].value == pytest.approx(theirs["nll"].value, rel=1e-15)
    assert 2 * ours["brier"].value == pytest.approx(theirs["brier"].value, rel=1e-15)
    assert (ours.settings["brier_scale"], theirs.settings["brier_scale"]) == (
        "(p - y)^2, 0 to 1",
        "sum over classes, 0 to 2",
    )
    assert (ours.view, theirs.view) == ("positive", "top-label")
    assert judged(two, view="positive")["ece"].value == pytest.approx(ours["ece"].value, rel=1e-14)
    assert judged(one, view="top-label")["ece"].value == pytest.approx(theirs["ece"].value, rel=1e-14)


def test_row_30_a_hundred_thousand_classes():
    k = 100_000
    logits = np.zeros((40, k), dtype=np.float32)
    logits[range(40), range(40)] = 14.0
    names = [f"class {number}" for number in range(k)]
    began = time.process_time()
    tracemalloc.start()
    result = judged(from_logits([names[number] for number in range(40)], logits, class_names=names))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result["nll"].value == pytest.approx(math.log1p((k - 1) * math.exp(-14)), rel=1e-6)
    assert peak < 80e6
    assert time.process_time() - began < 10
    with refused(LabelError, "'clas 7' is not one of the 100000 class names", "Did you mean 'class 7'?"):
        from_logits(["clas 7"] * 40, logits, class_names=names)


def test_row_30_more_cells_than_memory():
    probs = np.full((2, 4000), 1 / 4000)
    for view in ("classwise", "flattened"):
        with refused(OptionError, "n_bins", "4,000 classes"):
            ck.evaluate(from_probs([0, 1], probs), view=view, n_bins=100_000)


# 31 to 33: shapes


def test_row_31_other_number_of_labels(run, tmp_path):
    with refused(ShapeError, "probs has 4 rows", "labels has 3"):
        from_probs(LABELS[:3], PROBS)
    np.savez(tmp_path / "net.npz", labels=LABELS[:3], probs=PROBS)
    is_refusal(run("evaluate", tmp_path / "net.npz"), 4, "net.npz", "4 rows", "3")


def test_row_32_transposed():
    with refused(ShapeError, "probs has 3 rows (shape (3, 4))", "transposed", "probs.T"):
        from_probs(LABELS, PROBS.T)


def test_row_33_more_than_two_dimensions():
    with refused(ShapeError, "(4, 3, 2, 2)", "class axis last", "np.moveaxis(probs, 1, -1).reshape(-1, 3)"):
        from_probs(LABELS, np.full((4, 3, 2, 2), 1 / 3))
    with refused(ShapeError, "probs is one value"):
        from_probs(LABELS, np.float64(0.4))


# 34 to 42: labels


def test_row_34_one_hot_and_soft_labels(run, tmp_path):
    one_hot = from_probs(np.eye(3)[LABELS], PROBS)
    assert list(one_hot.labels) == list(LABELS)
    assert one_hot.notes == ("labels: one-hot rows read as class numbers",)
    with refused(LabelError, "labels row 0: (0.7, 0.2, 0.1) is not one-hot", "one class number per row"):
        from_probs(PROBS, PROBS)
    np.savez(tmp_path / "net.npz", labels=PROBS, probs=PROBS)
    is_refusal(run("evaluate", tmp_path / "net.npz"), 4, "net.npz", "labels row 0", "Soft labels are not read")


@pytest.mark.parametrize("label", [3, 4, 10**6])
def test_row_35_label_too_large(label):
    with refused(LabelError, f"labels row 2: value is {label} (1 of 4 rows)", "expected 0 to 2 for 3 classes"):
        from_probs([0, 1, label, 0], PROBS)


def test_row_35_labels_from_one(run, tmp_path):
    with refused(LabelError, "labels row 2: value is 3", "count from 1? Pass label_base=1"):
        from_probs(LABELS + 1, PROBS)
    assert judged(from_probs(LABELS + 1, PROBS, label_base=1))["nll"].value == pytest.approx(REFERENCE_NLL)
    np.savez(tmp_path / "net.npz", labels=LABELS + 1, probs=PROBS)
    is_refusal(run("evaluate", tmp_path / "net.npz"), 4, "net.npz: labels row 2", "--label-base 1")
    assert run("evaluate", tmp_path / "net.npz", "--label-base", "1").code == 0


@pytest.mark.parametrize("label", [-1, -100])
def test_row_36_label_to_ignore(run, tmp_path, label):
    labels = np.array([0, label, 2, 0])
    with refused(LabelError, f"labels row 1: value is {label}", f"ignore_index={label}"):
        from_probs(labels, PROBS)
    kept = from_probs(labels, PROBS, ignore_index=label)
    assert kept.notes == (f"ignore_index={label}: 1 of 4 rows left out",)
    assert judged(kept)["nll"].value == pytest.approx(-np.log([0.7, 0.45, 0.85]).mean(), rel=1e-14)
    np.savez(tmp_path / "net.npz", labels=labels, probs=PROBS)
    is_refusal(run("evaluate", tmp_path / "net.npz"), 4, f"--ignore-index {label}")
    assert "1 of 4 rows left out" in run("evaluate", tmp_path / "net.npz", "--ignore-index", label).out


@pytest.mark.parametrize("label", [1.5, np.nan, np.inf, -np.inf, 2.0**53])
def test_row_37_float_labels(label):
    assert list(from_probs(LABELS.astype(float), PROBS).labels) == list(LABELS)
    shown = "NaN" if np.isnan(label) else str(label)
    with refused(LabelError, f"labels row 1: value is {shown}", "1 of 4", "whole numbers"):
        from_probs([0.0, label, 2.0, 0.0], PROBS)


def test_row_38_names_as_labels(run, tmp_path):
    names = ["ant", "bee", "cat"]
    assert list(from_probs(["ant", "bee", "cat", "ant"], PROBS, class_names=names).labels) == list(LABELS)
    with refused(LabelError, "labels row 2: 'cqt' is not one of the 3 class names", "Did you mean 'cat'?"):
        from_probs(["ant", "bee", "cqt", "ant"], PROBS, class_names=names)
    with refused(LabelError, "labels row 0: 'ant' is a name", "class_names"):
        from_probs(["ant", "bee", "cat", "ant"], PROBS)
    (tmp_path / "a.csv").write_text("label,probs_ant,probs_bee\nbee,0.2,0.8\nwasp,0.6,0.4\n")
    is_refusal(run("evaluate", tmp_path / "a.csv"), 4, "a.csv: labels row 1: 'wasp'")
    (tmp_path / "b.csv").write_text("label,probs_0,probs_1\nbee,0.2,0.8\n")
    is_refusal(run("evaluate", tmp_path / "b.csv"), 4, "b.csv: labels row 0: 'bee'", "name the columns")


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (np.array([0, 1, 2**63 + 5, 0], dtype=np.uint64), "9223372036854775813"),
        (np.array([0, 1, 2**64 - 1, 0], dtype=np.uint64), "18446744073709551615"),
        (np.array([0, 1, -(2**63), 0], dtype=np.int64), "-9223372036854775808"),
    ],
)
def test_row_39_labels_that_would_wrap(labels, shown):
    with refused(LabelError, f"labels row 2: value is {shown}", "expected 0 to 2"):
        from_probs(labels, PROBS)


def test_row_39_labels_that_have_wrapped():
    probs = np.full((2, 200), 1 / 200)
    with refused(LabelError, "labels row 1: value is -56", "0 to 199", "int8 ends at 127", "int64"):
        from_probs(np.array([100, 200]).astype(np.int8), probs)
    assert list(from_probs(np.array([100, 199], dtype=np.uint8), probs).labels) == [100, 199]


def test_row_40_minus_one_and_one():
    for probs in (WIN, np.stack([1 - WIN, WIN], axis=1)):
        with refused(LabelError, "labels row 0: value is -1", "Labels are -1 and +1: pass (labels + 1) // 2"):
            from_probs(2 * WON - 1, probs)


@pytest.mark.parametrize("view", ["top-label", "positive", "classwise", "flattened"])
def test_row_41_only_one_class_occurs(view):
    for probs in (WIN, np.stack([1 - WIN, WIN], axis=1)):
        result = ck.evaluate(from_probs([1, 1, 1, 1], probs), view=view)
        assert result["nll"].value == pytest.approx(-np.log(WIN).mean(), rel=1e-14)
        assert all(math.isfinite(estimate.value) for estimate in result.metrics.values())
        assert noted(result, "Every label is class 1")


def test_row_42_a_class_that_never_occurs():
    result = judged(from_probs([0, 1, 1, 0], PROBS), view="classwise")
    by_hand = judged(from_probs([0, 0, 0, 0], PROBS[:, 2]), view="positive")["ece"].value
    others = [judged(from_probs(np.array(c) == [0, 1, 1, 0], PROBS[:, c]), view="positive") for c in (0, 1)]
    assert result["ece"].value == pytest.approx((by_hand + sum(one["ece"].value for one in others)) / 3, rel=1e-12)
    assert noted(result, "1 of 3 classes never occur (2)", "frequency is 0")


# 43 to 45: ties


def test_row_43_ties():
    result = judged(from_probs([1, 0, 0], [[0.4, 0.4, 0.2], [0.25, 0.25, 0.5], [0.375, 0.25, 0.375]]))
    assert result["accuracy"].value == pytest.approx(1 / 3)
    assert result["mean_confidence"].value == pytest.approx((0.4 + 0.5 + 0.375) / 3)
    assert noted(result, "2 rows tie", "lowest class index")
    halves = judged(from_probs([1, 0], [0.5, 0.5]), view="top-label")
    assert halves["accuracy"].value == 0.5
    assert noted(halves, "2 rows tie", "class 0")


@pytest.mark.parametrize("binning", ["uniform", "quantile"])
def test_row_44_all_confidences_equal(binning):
    result = ck.evaluate(from_probs([1, 0, 0], [0.3, 0.3, 0.3]), binning=binning)
    assert result["ece"].value == pytest.approx(1 / 3 - 0.3, rel=1e-12)
    assert sum(result.reliability.count > 0) == 1
    assert len(result.reliability.count) == (15 if binning == "uniform" else 1)


def test_row_45_ties_are_never_split():
    rng = np.random.default_rng(5)
    probs = rng.choice([0.1, 0.2, 0.35, 0.35, 0.7, 0.9], size=200)
    labels = rng.integers(0, 2, 200)
    first = judged(from_probs(labels, probs), binning="quantile", n_bins=10)
    for _ in range(5):
        order = rng.permutation(200)
        again = judged(from_probs(labels[order], probs[order]), binning="quantile", n_bins=10)
        assert list(again.reliability.edges) == list(first.reliability.edges)
        assert list(again.reliability.count) == list(first.reliability.count)
        assert again["ece"].value == pytest.approx(first["ece"].value, rel=1e-13)
    assert list(first.reliability.count) == [(probs == value).sum() for value in (0.1, 0.2, 0.35, 0.7, 0.9)]


# 46 and 47: bins and weights


@pytest.mark.parametrize("n_bins", [0, -1, 10**9, 100_001, 2.5, "ten", None, True, np.nan])
def test_row_46_numbers_of_bins(run, tmp_path, n_bins):
    with refused(OptionError, "n_bins=", "whole number of at least 1 and at most 100,000"):
        ck.evaluate(from_probs(LABELS, PROBS), n_bins=n_bins)
    with refused(OptionError, "n_bins="):
        ck.expected_calibration_error(LABELS, PROBS, n_bins=n_bins)
    np.savez(tmp_path / "net.npz", labels=LABELS, probs=PROBS)
    done = run("evaluate", tmp_path / "net.npz", "--bins", n_bins)
    assert (done.code, done.out) == (2, "")
    assert "--bins" in done.err
    assert "Traceback" not in done.err


def test_row_46_more_bins_than_rows():
    curve = judged(from_probs(LABELS, PROBS), n_bins=100_000).reliability
    assert (len(curve.count), curve.count.sum()) == (100_000, 4)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf, -np.inf, 1e300, 1e-300, 5e-324])
def test_row_47_weights(weight):
    for make, values in ((from_probs, PROBS), (from_logits, PROBS)):
        with refused(DataError, f"weights row 2: weight is {'NaN' if np.isnan(weight) else weight}", "1 of 4 rows"):
            make(LABELS, values, weights=[1, 2, weight, 1])


def test_row_47_no_weight_at_all():
    with refused(DataError, "all 4 weights are 0"):
        from_probs(LABELS, PROBS, weights=[0, 0, 0, 0])
    with refused(ShapeError, "weights has 3 rows"):
        from_probs(LABELS, PROBS, weights=[1, 1, 1])
    with refused(InputFormatError, "weights has dtype"):
        from_probs(LABELS, PROBS, weights=["a"] * 4)


def test_row_47_rows_of_weight_zero_are_absent():
    wrong = np.array(PROBS)
    wrong[1] = np.nan
    weighted = judged(from_probs([0, 77, 2, 0], wrong, weights=[2, 0, 2, 2]))
    without = judged(from_probs(LABELS[[0, 2, 3]], PROBS[[0, 2, 3]]))
    assert weighted.n == 3
    for metric in without.metrics:
        assert weighted[metric].value == pytest.approx(without[metric].value, rel=1e-14)
    assert noted(weighted, "weight 0: 1 of 4 rows left out")


@pytest.mark.parametrize("scale", [1e-90, 1.0, 1e90])
def test_row_47_the_scale_of_weights_does_not_matter(scale):
    weights = np.array([1.0, 2.5, 0.5, 3.0])
    expected = ck.evaluate(from_probs(LABELS, PROBS, weights=weights))
    result = ck.evaluate(from_probs(LABELS, PROBS, weights=scale * weights))
    for metric, estimate in expected.metrics.items():
        assert result[metric].value == pytest.approx(estimate.value, rel=1e-12)
        if estimate.low is not None:
            assert result[metric].low == pytest.approx(estimate.low, rel=1e-9)
