"""Rows 1 to 24: numbers that cannot be, and numbers that can although they look strange."""

import json
import math

import numpy as np
import pytest

import calibkit as ck
from calibkit.binning import BinTable, merge_tables
from calibkit.errors import DataError, InputFormatError, OptionError
from tests.bad_inputs.samples import (
    LABELS,
    LOGITS,
    PROBS,
    WIN,
    WON,
    is_refusal,
    python,
    refused,
    softmax_nll,
    with_entry,
)

from_probs, from_logits = ck.Predictions.from_probs, ck.Predictions.from_logits


def judged(predictions, **options):
    return ck.evaluate(predictions, **{"confidence_level": None, **options})


def noted(evaluation, *parts):
    return any(all(part in note for part in parts) for note in evaluation.notes)


# 1 to 5: not numbers, and infinities


@pytest.mark.parametrize(("make", "values"), [(from_probs, PROBS), (from_logits, LOGITS)])
def test_row_01_nan(make, values):
    values = with_entry(with_entry(values, 2, 1, np.nan), 3, 0, np.nan)
    with refused(DataError, "row 2, class 1: value is NaN", "2 of 4 rows", 'invalid="drop"'):
        ck.evaluate(make(LABELS, values))
    with refused(DataError, "test: ", "row 2, class 1"):
        ck.evaluate(make(LABELS, values, name="test"))
    kept = make(LABELS, values, invalid="drop")
    assert (len(kept), kept.notes) == (2, ('invalid="drop": 2 of 4 rows left out',))


@pytest.mark.parametrize("entry", [np.nan, np.inf, -np.inf])
def test_row_01_nan_in_one_dimension(entry):
    for make in (from_probs, from_logits):
        with refused(DataError, "row 3", "1 of 4 rows", 'invalid="drop"'):
            make(WON, [0.15, 0.62, 0.81, entry])
    with refused(DataError, "confidence row 3", "1 of 4 rows"):
        ck.Predictions.from_top1(LABELS, LABELS, [0.15, 0.62, 0.81, entry])


def test_row_01_on_the_command_line(run, tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, labels=LABELS, probs=with_entry(PROBS, 2, 1, np.nan))
    is_refusal(run("evaluate", path), 4, f"{path}: probs row 2, class 1: value is NaN", "--invalid drop")
    done = run("evaluate", path, "--invalid", "drop")
    assert (done.code, done.err) == (0, "")
    assert "1 of 4 rows left out" in done.out


def test_row_01_a_signalling_nan_gives_no_warning():
    logits = np.array(LOGITS, dtype=np.float32)
    logits.view(np.uint32)[1, 2] = 0x7F800001
    with refused(DataError, "row 1, class 2: value is NaN"):
        ck.evaluate(from_logits(LABELS, logits))


@pytest.mark.parametrize("entry", [np.inf, -np.inf])
def test_row_02_infinite_probability(entry):
    with refused(DataError, f"row 1, class 0: value is {entry}", "1 of 4 rows"):
        ck.evaluate(from_probs(LABELS, with_entry(PROBS, 1, 0, entry)))


def test_row_03_minus_infinity_masks_a_class():
    masked = with_entry(LOGITS, 2, 1, -np.inf)
    assert judged(from_logits(LABELS, masked))["nll"].value == pytest.approx(softmax_nll(masked, LABELS), rel=1e-14)
    impossible = judged(from_logits([0, 1, 1, 0], masked))
    assert impossible["nll"].value == math.inf
    assert noted(impossible, "1 rows", "p = 0", "NLL is inf")
    assert math.isfinite(impossible["brier"].value)
    assert math.isfinite(impossible["ece"].value)


def test_row_04_plus_infinity():
    with refused(DataError, "row 2, class 1: value is inf, for which softmax is undefined", "1 of 4 rows"):
        ck.evaluate(from_logits(LABELS, with_entry(LOGITS, 2, 1, np.inf)))


def test_row_05_every_logit_minus_infinity():
    with refused(DataError, "row 1: every logit is -inf", "1 of 4 rows", 'invalid="drop"'):
        ck.evaluate(from_logits(LABELS, with_entry(LOGITS, 1, slice(None), -np.inf)))


@pytest.mark.parametrize(
    ("size", "dtype", "label", "nll"),
    [
        (1e4, np.float16, 1, 20000.0),
        (1e4, np.float64, 1, 20000.0),
        (1e38, np.float32, 1, 2 * float(np.float32(1e38))),
        (3e38, np.float32, 1, 2 * float(np.float32(3e38))),
        (1e308, np.float64, 2, 1e308),
        (1e308, np.float64, 1, math.inf),
        (1e308, np.float64, 0, 0.0),
    ],
)
def test_row_06_enormous_logits(size, dtype, label, nll):
    logits = np.array([[size, -size, 0.0]]).astype(dtype)
    result = judged(from_logits([label], logits))["nll"].value
    assert result == nll
    assert math.copysign(1, result) == 1


# 7 to 9: given as what they are not


def test_row_07_logits_given_as_probs(run, tmp_path):
    with refused(DataError, "row 0, class 1: value is -0.4, below 0", "4 of 4 rows", "looks like logits"):
        ck.evaluate(from_probs(LABELS, LOGITS))
    np.savez(tmp_path / "net.npz", labels=LABELS, probs=LOGITS)
    is_refusal(
        run("evaluate", tmp_path / "net.npz"), 4, "net.npz: probs row 0, class 1", "looks like logits", "--logits"
    )
    named = run("evaluate", tmp_path / "net.npz", "--logits", "probs", "--json")
    assert json.loads(named.out)["metrics"]["nll"]["value"] == pytest.approx(softmax_nll(LOGITS, LABELS), rel=1e-14)
    with refused(DataError, "row 2: value is 2.1, outside [0, 1]", "2 of 4 rows", "log-odds"):
        from_probs(WON, [0.3, 0.8, 2.1, -1.7])


def test_row_08_log_probs_given_as_probs(run, tmp_path):
    with refused(DataError, "row 0, class 0: value is -0.35", "log_probs=True"):
        ck.evaluate(from_probs(LABELS, np.log(PROBS)))
    with refused(DataError, "log_probs=True"):
        from_probs(WON, np.log(WIN))
    np.savez(tmp_path / "net.npz", labels=LABELS, probs=np.log(PROBS))
    is_refusal(run("evaluate", tmp_path / "net.npz"), 4, "--log-probs")
    expected = judged(from_probs(LABELS, PROBS))["nll"].value
    named = json.loads(run("evaluate", tmp_path / "net.npz", "--log-probs", "--json").out)
    assert named["metrics"]["nll"]["value"] == pytest.approx(expected, rel=1e-14)


def test_row_09_percentages():
    with refused(DataError, "row 0, class 0: value is 70.0", "Rows sum to 100", "Divide by 100"):
        ck.evaluate(from_probs(LABELS, 100 * PROBS))
    with refused(DataError, "row 0: value is 15.0", "percentages? Divide by 100"):
        from_probs(WON, 100 * WIN)


# 10 to 17: rounding, and the ends of [0, 1]


def test_row_10_sums_off_by_rounding_are_taken_as_they_are():
    probs = PROBS.astype(np.float32)
    probs[1] = [0.1, 0.6, 0.3000004]
    result = judged(from_probs(LABELS, probs))
    stored = probs.astype(np.float64)
    assert result["nll"].value == pytest.approx(-np.log(stored[range(4), LABELS]).mean(), rel=1e-14)
    deviation = abs(stored.sum(axis=1) - 1).max()
    assert noted(result, f"at most {deviation:.1e}", "nothing was renormalised")


def test_row_11_sums_off_by_more(run, tmp_path):
    probs = np.array(PROBS)
    probs[1] *= 1.01
    probs[3] *= 1.02
    with refused(DataError, "row 3: the row sums to 1.02", "2 of 4 rows are off", "renormalize=True"):
        ck.evaluate(from_probs(LABELS, probs))
    made = from_probs(LABELS, probs, renormalize=True)
    assert "2 of 4 rows" in made.notes[0]
    assert judged(made)["nll"].value == pytest.approx(judged(from_probs(LABELS, PROBS))["nll"].value, rel=1e-14)
    np.savez(tmp_path / "net.npz", labels=LABELS, probs=probs)
    is_refusal(run("evaluate", tmp_path / "net.npz"), 4, "probs row 3", "--renormalize")
    assert "2 of 4 rows" in run("evaluate", tmp_path / "net.npz", "--renormalize").out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_row_12_a_few_eps_outside(dtype):
    eps = float(np.finfo(dtype).eps)
    probs = np.array([[1 + 4 * eps, -4 * eps, 0], [0.25, 0.5, 0.25]], dtype=dtype)
    result = judged(from_probs([0, 1], probs))
    assert result["nll"].value == pytest.approx(math.log(2) / 2, rel=1e-15)
    assert noted(result, "2 values", "4 eps")
    one_sided = from_probs([1, 0], np.array([1 + 4 * eps, 0.25], dtype=dtype))
    assert (one_sided.probs.max(), "1 of 2" in one_sided.notes[0]) == (1, True)


@pytest.mark.parametrize("entry", [1 + 1e-9, 1.2, -1e-9, -0.1])
def test_row_13_outside_beyond_rounding(entry):
    with refused(DataError, f"row 2, class 1: value is {entry}", "1 of 4 rows"):
        ck.evaluate(from_probs(LABELS, with_entry(PROBS, 2, 1, entry)))
    with refused(DataError, f"row 1: value is {entry}, outside [0, 1]", "1 of 2 rows"):
        from_probs([0, 1], [0.4, entry])


def test_row_14_minus_zero_is_zero(tmp_path):
    pairs = {"plus": np.array([[0.0, 1.0], [0.4, 0.6]]), "minus": np.array([[-0.0, 1.0], [0.4, 0.6]])}
    results = {name: judged(from_probs([1, 0], probs, name="net")).to_dict() for name, probs in pairs.items()}
    assert json.dumps(results["plus"]) == json.dumps(results["minus"])
    for name, probs in pairs.items():
        ck.save(from_probs([1, 0], probs, name="net"), tmp_path / f"{name}.npz")
    assert (tmp_path / "plus.npz").read_bytes() == (tmp_path / "minus.npz").read_bytes()
    curve = judged(from_probs([0, 0], [-0.0, 0.4])).reliability
    assert (curve.count[0], math.copysign(1, curve.confidence[0])) == (1, 1)


@pytest.mark.parametrize(
    ("p", "dtype", "nll"), [(1e-310, np.float64, 713.8013788281542), (1e-45, np.float32, 103.27892990343185)]
)
def test_row_15_subnormal_probability(p, dtype, nll):
    assert judged(from_probs([0], np.array([[p, 1]], dtype=dtype)))["nll"].value == pytest.approx(nll, rel=1e-15)
    assert judged(from_probs([1], np.array([p], dtype=dtype)))["nll"].value == pytest.approx(nll, rel=1e-15)


def test_row_15_a_processor_that_flushes_subnormals_is_noticed():
    torch = pytest.importorskip("torch")
    matrix, vector = np.array([[1e-310, 1], [0.3, 0.7]]), np.array([0.4, 1e-45], dtype=np.float32)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        with refused(DataError, "row 0, class 0", "subnormal", "set_flush_denormal"):
            ck.evaluate(from_probs([0, 1], matrix))
        with refused(DataError, "row 1", "subnormal"):
            ck.evaluate(from_probs([0, 1], vector))
        assert math.isfinite(judged(from_probs(LABELS, PROBS))["nll"].value)
    finally:
        torch.set_flush_denormal(False)


def test_row_16_true_class_impossible():
    probs = np.array([[1.0, 0.0], [0.25, 0.75]])
    result = ck.evaluate(from_probs([1, 1], probs))
    assert (result["nll"].value, result["nll"].low) == (math.inf, None)
    assert noted(result, "1 rows", "p = 0")
    assert result["brier"].value == pytest.approx((2 + 2 * 0.0625) / 2, rel=1e-15)
    assert result["ece"].value == pytest.approx(0.625, rel=1e-15)
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["metrics"]["nll"]["value"] == "inf"
    clipped = judged(from_probs([1, 1], probs, clip=1e-6))
    assert clipped["nll"].value == pytest.approx((-math.log(1e-6 / (1 + 1e-6)) - math.log(0.75)) / 2, rel=1e-14)
    assert noted(clipped, "clip=1e-06", "1 of 2 rows")
    with refused(OptionError, "clip=0"):
        from_probs([1, 1], probs, clip=0)


def test_row_17_certain_and_right():
    for predictions in (from_probs([1, 0], np.array([[0.0, 1.0], [1.0, 0.0]])), from_probs([1, 0], [1.0, 0.0])):
        result = judged(predictions, view="top-label")
        for metric in ("nll", "brier", "ece"):
            assert result[metric].value == 0
            assert math.copysign(1, result[metric].value) == 1
        assert list(result.reliability.count)[-1] == 2


# 18 to 21: bins


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("p", "right", "left"), [(0.0, 0, 0), (0.25, 0, 1), (0.5, 1, 2), (0.75, 2, 3), (1.0, 3, 3)])
def test_row_18_on_an_edge(dtype, p, right, left):
    predictions = from_probs([1], np.array([p], dtype=dtype))
    for edges, place in (("right", right), ("left", left)):
        curve = judged(predictions, n_bins=4, edges=edges).reliability
        assert list(np.flatnonzero(curve.count)) == [place]


def test_row_19_edges_are_float64():
    narrow, wide = np.array([1 / 15], dtype=np.float32), np.array([1 / 15])
    assert float(narrow[0]) > 1 / 15
    for probs, place in ((narrow, 1), (wide, 0)):
        curve = judged(from_probs([1], probs)).reliability
        assert list(np.flatnonzero(curve.count)) == [place]


def test_row_20_half_precision_is_widened():
    probs = np.tile(np.array([0.9, 0.1], dtype=np.float16), (5000, 1))
    result = judged(from_probs(np.arange(5000) % 2, probs))
    assert result["ece"].value == pytest.approx(float(np.float16(0.9)) - 0.5, rel=1e-12)
    rows = PROBS.astype(np.float16)
    assert judged(from_probs(LABELS, rows))["nll"].value == pytest.approx(
        -np.log(rows.astype(np.float64)[range(4), LABELS]).mean(), rel=1e-14
    )
    with refused(DataError, "the row sums to"):
        ck.evaluate(from_probs(LABELS, rows.astype(np.float32)))


def test_row_20_bfloat16_has_a_tolerance_of_its_own(tmp_path):
    torch = pytest.importorskip("torch")
    probs = torch.tensor(PROBS).to(torch.bfloat16)
    torch.save({"labels": torch.tensor(LABELS), "probs": probs}, tmp_path / "net.pt")
    widened = probs.double().numpy()
    assert abs(widened.sum(axis=1) - 1).max() > 1e-4
    result = judged(ck.load(tmp_path / "net.pt"))
    assert result["nll"].value == pytest.approx(-np.log(widened[range(4), LABELS]).mean(), rel=1e-14)


def test_row_21_ten_milliard_rows_in_one_bin():
    count = np.array([0, 10**8])
    sums = {"weight": count, "weight_squared": count, "confidence_sum": 0.75 * count, "outcome_sum": 0.5 * count}
    part = BinTable(edges=np.array([0, 0.5, 1]), count=count, **{key: 1.0 * value for key, value in sums.items()})
    whole = merge_tables([part] * 100)
    assert (whole.count.dtype, list(whole.count)) == (np.int64, [0, 10**10])
    assert (whole.confidence[1], whole.accuracy[1]) == (0.75, 0.5)


# 22 to 24: how the numbers are stored


@pytest.mark.parametrize("dtype", [np.longdouble, complex, bool, object, str, "datetime64[s]"])
def test_row_22_dtypes_that_are_refused(dtype):
    with refused(InputFormatError, "probs has dtype", "expected float16, float32 or float64"):
        from_probs(LABELS, PROBS.astype(np.int64).astype(dtype))


def test_row_23_integers_are_exact_probabilities():
    result = judged(from_probs([0, 1, 1], np.array([[1, 0], [0, 1], [1, 0]])))
    assert result["accuracy"].value == pytest.approx(2 / 3)
    assert result["brier"].value == pytest.approx(2 / 3)
    with refused(DataError, "row 1, class 0: value is 2"):
        ck.evaluate(from_probs([0, 1], np.array([[1, 0], [2, 1]])))


def variants(array, folder):
    yield "big-endian", array.astype(array.dtype.newbyteorder(">"))
    yield "Fortran", np.asfortranarray(array)
    yield "strided", np.repeat(array, 2, axis=0)[::2]
    yield "backwards", array[::-1].copy()[::-1]
    read_only = array.copy()
    read_only.flags.writeable = False
    yield "read-only", read_only
    yield "masked", np.ma.MaskedArray(array, mask=False)
    np.save(folder / "array.npy", array)
    yield "memmap", np.load(folder / "array.npy", mmap_mode="r")


@pytest.mark.parametrize("values", [LOGITS, LOGITS.astype(np.float32), LOGITS[:, 0]])
def test_row_24_memory_layout_changes_no_bit(values, tmp_path):
    labels = LABELS if values.ndim == 2 else WON
    expected = json.dumps(ck.evaluate(from_logits(labels, values)).to_dict())
    for name, variant in variants(values, tmp_path):
        assert json.dumps(ck.evaluate(from_logits(labels, variant)).to_dict()) == expected, name
    for _, variant in variants(labels, tmp_path):
        assert json.dumps(ck.evaluate(from_logits(variant, values)).to_dict()) == expected


def test_row_24_masked_entries():
    masked = np.ma.MaskedArray(PROBS, mask=PROBS == 0.6)
    with refused(DataError, "probs row 1, class 1: value is missing", "1 of 4 rows", 'invalid="drop"'):
        from_probs(LABELS, masked)
    assert len(from_probs(LABELS, masked, invalid="drop")) == 3
    with refused(DataError, "labels row 3: value is missing"):
        from_probs(np.ma.MaskedArray(LABELS, mask=[0, 0, 0, 1]), PROBS)


def test_numpy_set_to_raise_changes_nothing():
    code = (
        "import numpy as np, calibkit as ck\n"
        "np.seterr(all='raise')\n"
        "logits = np.random.default_rng(0).normal(size=(300, 3)) * 300\n"
        "model = ck.Predictions.from_logits(np.arange(300) % 3, logits)\n"
        "other = ck.Predictions.from_logits(np.arange(300) % 3, logits / 9)\n"
        "ck.evaluate(model); ck.compare({'a': model, 'b': other})\n"
        "ck.evaluate(ck.Predictions.from_probs([1, 0, 1], [1e-310, 0.5, 1.0]))\n"
        "ck.evaluate(ck.Predictions.from_probs([1, 1], [[1.0, 0.0], [0.3, 0.7]]))\n"
    )
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")
