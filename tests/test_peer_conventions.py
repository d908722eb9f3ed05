"""ECE by other packages' conventions: their own numbers, their published defects, and independent loops."""

import numpy as np
import pytest

import calibkit as ck
from calibkit.errors import OptionError, ShapeError
from calibkit.peer_conventions import peer_error

CONVENTIONS = ("torchmetrics", "netcal", "sklearn", "guo")

# Confidences on edges, at 0 and at 1, in general position otherwise.
P_EVENT = np.array([0, 1, 1, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.85, 0.9, 0.33])
EVENT = np.array([0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 0])
FIRST = np.array([1, 1, 0.4, 0.6, 0.8, 0.9, 0.7, 0.5, 0.95, 0.35, 1, 0.8])
PROBS = np.stack([FIRST, (1 - FIRST) * 0.75, (1 - FIRST) * 0.25], axis=1)
LABELS = np.array([0, 1, 0, 2, 0, 0, 1, 0, 0, 1, 0, 0])

# What torchmetrics 1.9.0, netcal 1.4.0, calibration_curve of scikit-learn 1.9.1 and Guo's published loss said of these
# rows: (dtype, bins, convention, input) -> ECE.
THEIRS = {
    ("float32", 5, "torchmetrics", "top"): 0.28437501192092896,
    ("float32", 5, "torchmetrics", "binary"): 0.2016666680574417,
    ("float32", 5, "netcal", "top"): 0.19270830353101098,
    ("float32", 5, "netcal", "binary"): 0.15999998835225898,
    ("float32", 5, "sklearn", "binary"): 0.15999999828636646,
    ("float32", 5, "guo", "top"): 0.09895833333333334,
    ("float32", 10, "torchmetrics", "top"): 0.28437501192092896,
    ("float32", 10, "torchmetrics", "binary"): 0.3733333647251129,
    ("float32", 10, "netcal", "top"): 0.2535416414340337,
    ("float32", 10, "netcal", "binary"): 0.31916665554874474,
    ("float32", 10, "sklearn", "binary"): 0.3066666691253583,
    ("float32", 10, "guo", "top"): 0.27604166666666663,
    ("float64", 5, "torchmetrics", "top"): 0.28437501192092896,
    ("float64", 5, "torchmetrics", "binary"): 0.20166666666666663,
    ("float64", 5, "netcal", "top"): 0.09895833333333329,
    ("float64", 5, "netcal", "binary"): 0.22666666666666663,
    ("float64", 5, "sklearn", "binary"): 0.215,
    ("float64", 5, "guo", "top"): 0.09895833333333327,
    ("float64", 10, "torchmetrics", "binary"): 0.3233333333333333,
    ("float64", 10, "netcal", "top"): 0.17604166666666662,
    ("float64", 10, "netcal", "binary"): 0.30666666666666664,
    ("float64", 10, "sklearn", "binary"): 0.31833333333333336,
    ("float64", 10, "guo", "top"): 0.1927083333333333,
    ("float64", 15, "torchmetrics", "top"): 0.359375,
    ("float64", 15, "netcal", "top"): 0.3510416666666666,
    ("float64", 49, "guo", "top"): 0.359375,
}


def ece(labels, probs, n_bins, convention):
    return ck.expected_calibration_error(labels, probs, n_bins=n_bins, convention=convention)


@pytest.mark.parametrize(("case", "theirs"), THEIRS.items(), ids=["-".join(map(str, case)) for case in THEIRS])
def test_the_number_is_the_peers_own(case, theirs):
    dtype, n_bins, convention, kind = case
    labels, probs = (EVENT, P_EVENT) if kind == "binary" else (LABELS, PROBS)
    in_float32 = dtype == "float32" or (convention == "torchmetrics" and kind == "top")
    tolerance = 2e-7 if in_float32 else 1e-14
    assert ece(labels, probs.astype(dtype), n_bins, convention) == pytest.approx(theirs, abs=tolerance)


@pytest.mark.parametrize("seed", range(20))
def test_sklearn_by_its_calibration_curve(seed):
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(seed)
    probs, n_bins = rng.integers(0, 21, 60) / 20, int(rng.integers(2, 21))
    labels = np.r_[0, 1, rng.random(58) < 0.5].astype(int)
    true, said = calibration_curve(labels, probs, n_bins=n_bins)
    sizes = np.bincount(np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], probs))
    expected = np.sum(sizes[sizes > 0] * np.abs(true - said)) / 60
    assert ece(labels, probs, n_bins, "sklearn") == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(10))
def test_torchmetrics_itself_where_it_is_installed(dtype, seed):
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchmetrics.functional.classification", reason="torchmetrics is not installed")
    rng = np.random.default_rng(seed)
    n_bins = int(rng.integers(1, 21))
    probs = np.where(rng.random(80) < 0.5, rng.integers(0, n_bins + 1, 80) / n_bins, rng.random(80)).astype(dtype)
    labels = (rng.random(80) < 0.5).astype(int)
    theirs = functional.binary_calibration_error(torch.from_numpy(probs), torch.from_numpy(labels), n_bins=n_bins)
    assert ece(labels, probs, n_bins, "torchmetrics") == pytest.approx(float(theirs), abs=2e-6)


def test_torchmetrics_gives_a_confidence_of_1_a_bin_of_its_own():
    probs = np.array([[0.95, 0.05], [1.0, 0.0]])
    assert ece([0, 1], probs, 10, "torchmetrics") == pytest.approx(0.525, abs=1e-7)
    assert ck.expected_calibration_error([0, 1], probs, n_bins=10) == pytest.approx(0.475, abs=1e-14)


def test_guo_loses_rows_of_confidence_0():
    # Only 1-D input has them: the published loss has no such case, its top label is at least 1 / k.
    said = ck.Predictions.from_top1([0, 0], [1, 0], [0.0, 0.9], n_classes=2)
    assert peer_error(said, n_bins=10, convention="guo") == pytest.approx(0.1 / 2, abs=1e-14)
    assert ck.evaluate(said, n_bins=10)["ece"].value == pytest.approx(0.1 / 2, abs=1e-14)
    sure = ck.Predictions.from_top1([1, 0], [1, 0], [0.0, 0.9], n_classes=2)
    assert peer_error(sure, n_bins=10, convention="guo") == pytest.approx(0.1 / 2, abs=1e-14)  # the miss of 1 is lost
    assert ck.evaluate(sure, n_bins=10)["ece"].value == pytest.approx(1.1 / 2, abs=1e-14)


def test_netcal_takes_two_columns_for_a_binary_problem():
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.45, 0.55]])
    labels = [0, 1, 1, 1]
    two, one = ece(labels, probs, 10, "netcal"), ece(labels, probs[:, 1], 10, "netcal")
    assert two == one
    assert two != pytest.approx(ck.expected_calibration_error(labels, probs, n_bins=10))


def test_netcal_counts_and_averages_over_different_bins_in_float32():
    probs = np.array(
        [0.7, 0.75], dtype=np.float32
    )  # float32(.7) is below the edge .7 of float64 and on that of float32
    # Counted: .7 in bin 6, .75 in bin 7. Averaged: both in bin 7, none in bin 6.
    assert ece([1, 1], probs, 10, "netcal") == pytest.approx(0.5 * (0.3 + 0.25) / 2, abs=1e-6)
    assert ece([1, 1], probs.astype(np.float64), 10, "netcal") == pytest.approx((0.3 + 0.25) / 2, abs=1e-6)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_away_from_edges_all_agree(convention):
    rng = np.random.default_rng(3)
    p = (rng.integers(0, 10, 200) + rng.uniform(0.1, 0.9, 200)) / 10
    y = rng.integers(0, 2, 200)
    usual = ck.expected_calibration_error(y, p, n_bins=10)
    probs, view = (np.stack([1 - p, p], axis=1), "top-label") if convention == "guo" else (p, "positive")
    if convention == "guo":
        usual = ck.expected_calibration_error(y, probs, n_bins=10, view=view)
    assert ece(y, probs, 10, convention) == pytest.approx(usual, abs=1e-14)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_no_rows_and_what_is_refused(convention):
    probs = np.empty((0, 3)) if convention == "guo" else np.empty(0)
    assert np.isnan(ece(np.empty(0, dtype=int), probs, 10, convention))
    with pytest.raises(OptionError, match="n_bins"):
        ece(EVENT, P_EVENT, 0, convention)


def test_what_a_convention_decides_is_not_given_beside_it():
    with pytest.raises(OptionError, match=r"decides weights, edges itself"):
        ck.expected_calibration_error(EVENT, P_EVENT, convention="guo", edges="left", weights=np.ones(len(EVENT)))
    with pytest.raises(OptionError, match="convention='torch'"):
        ck.expected_calibration_error(EVENT, P_EVENT, convention="torch")
    with pytest.raises(ShapeError):
        ck.expected_calibration_error(LABELS, PROBS, convention="sklearn")
