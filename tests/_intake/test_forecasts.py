"""Probabilities and confidences: clip, renormalize, log_probs, and values at the rim of [0, 1]."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logsumexp

from calibkit.errors import DataError, OptionError
from calibkit.predictions import Predictions
from calibkit.scores import score_rows

RNG = np.random.default_rng(20)
LOGITS = RNG.normal(size=(6, 3)).astype(np.float32)
PROBS = RNG.dirichlet([1.3, 0.8, 2.1], size=6)
LABELS = [2, 0, 1, 1, 0, 2]
P = [0.12, 0.93, 0.55, 0.71, 0.08, 0.37]
Y = [0, 1, 0, 1, 0, 1]


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda row: sum(row) > 1e-3), min_size=1))
def test_11_renormalized_rows_sum_to_one_in_their_proportions(rows):
    made = Predictions.from_probs([0] * len(rows), rows, renormalize=True)
    exact = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(made.probs, exact, rtol=1e-15)
    assert (abs(made.probs.sum(axis=1) - 1) <= made.sum_tolerance).all()
    off = sum(abs(sum(row) - 1) > made.sum_tolerance for row in rows)
    assert made.notes[0].startswith(f"renormalize: {off} of {len(rows)} rows were off")


def test_11_renormalize_refuses_rows_of_zeros_negative_values_and_vectors():
    with pytest.raises(DataError, match="probs row 1: the row sums to 0, so renormalize=True"):
        Predictions.from_probs([0, 1], [[0.2, 0.7], [0, 0]], renormalize=True)
    with pytest.raises(DataError, match=r"probs row 1, class 0: value is -0.5"):
        Predictions.from_probs([0, 1], [[0.2, 0.7], [-0.5, 2.5]], renormalize=True)
    with pytest.raises(OptionError, match="these are 1-D"):
        Predictions.from_probs(Y, P, renormalize=True)


def test_16_clip_raises_what_is_below_and_counts_it():
    probs = [[0.0, 0.3, 0.7], [0.2, 0.3, 0.5], [0.0, 1.0, 0.0]]
    made = Predictions.from_probs([0, 1, 2], probs, clip=0.01)
    expected = np.array([[0.01, 0.3, 0.7], [0.2, 0.3, 0.5], [0.01, 1.0, 0.01]])
    np.testing.assert_allclose(made.probs, expected / expected.sum(axis=1, keepdims=True), rtol=1e-15)
    assert made.notes == ("clip=0.01: 3 values in 2 of 3 rows raised to 0.01",)
    binary = Predictions.from_probs([0, 1, 1], np.array([0, 0.25, 1], np.float32), clip=1e-12)
    assert binary.probs.tolist() == [1e-12, 0.25, 1 - 1e-12]
    assert binary.notes == ("clip=1e-12: 2 of 3 values moved into [eps, 1 - eps]",)


def test_bfloat16_rows_may_be_off_by_their_own_rounding():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    probs = torch.from_numpy(rng.dirichlet(np.ones(30), 50)).to(torch.bfloat16)
    labels, widened = rng.integers(0, 30, 50), probs.float().numpy()
    made = Predictions.from_probs(labels, probs)
    assert made.sum_tolerance == 30 * 2.0**-7
    np.testing.assert_array_equal(made.probs, widened)
    assert score_rows(made).max_sum_deviation > 1e-4
    with pytest.raises(DataError, match="the row sums to"):
        score_rows(Predictions.from_probs(labels, widened))
    logits = torch.randn(50, 30, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    one, other = (score_rows(Predictions.from_logits(labels, x)) for x in (logits, logits.float().numpy()))
    np.testing.assert_array_equal(one.log_score, other.log_score)


@pytest.mark.parametrize("clip", [0, -0.1, 0.5, 1.5, "0.1", np.nan, 1e-17])
def test_16_clip_is_a_small_positive_number(clip):
    with pytest.raises(OptionError, match="clip="):
        Predictions.from_probs(Y, P, clip=clip)


def test_clip_that_the_dtype_cannot_hold_is_refused():
    with pytest.raises(OptionError, match="clip=1e-09 is lost in rounding here"):
        Predictions.from_probs(LABELS, PROBS.astype(np.float16), clip=1e-9)


def test_clip_does_not_hide_rows_that_are_no_distribution():
    with pytest.raises(DataError, match=r"row 1: the row sums to 0.75"):
        Predictions.from_probs([0, 1], [[0.5, 0.5], [0.25, 0.5]], clip=0.01)


def test_08_log_probs_become_logits():
    log_probs = LOGITS - logsumexp(LOGITS, axis=1, keepdims=True)
    made = Predictions.from_probs(LABELS, log_probs, log_probs=True)
    assert made.kind == "logits"
    assert np.shares_memory(made.logits, log_probs)
    assert made.notes == ("log_probs: 6 rows kept as logits",)
    with pytest.raises(DataError, match=r"row \d: the row sums to .*Scores that do not, .* are logits: pass it"):
        Predictions.from_probs(LABELS, LOGITS, log_probs=True)
    with pytest.raises(OptionError, match=r"log_probs=True does not go with clip=0\.1; pass np\.exp"):
        Predictions.from_probs(LABELS, log_probs, log_probs=True, clip=0.1)
    with pytest.raises(OptionError, match=r"renormalize=True does not go with it\. Sums of token .* pass it as logits"):
        Predictions.from_probs(LABELS, log_probs, log_probs=True, renormalize=True)
    with np.errstate(divide="ignore"):
        masked = np.log([[0.0, 0.25, 0.75]])
    assert Predictions.from_probs([1], masked, log_probs=True).logits[0, 0] == -np.inf


@settings(deadline=None)
@given(st.floats(-40, 40))
def test_08_logarithms_of_one_probability_become_its_log_odds(log_odds):
    log_p = -np.logaddexp(0, -log_odds)
    made = Predictions.from_probs([1], [log_p], log_probs=True)
    assert made.is_binary
    rounding = 2 * np.spacing(abs(log_p)) / -np.expm1(log_p)  # what the last digit of log p leaves open
    assert abs(made.logits[0] - log_odds) <= rounding + 8 * np.spacing(abs(log_odds))
    assert abs(expit(made.logits[0]) - np.exp(log_p)) < 1e-15


def test_08_certain_forecasts_have_no_log_odds():
    for bad in (0.0, -np.inf, 0.2):
        with pytest.raises(DataError, match=r"probs row 1: value is .*pass np\.exp of them as probs"):
            Predictions.from_probs([0, 1], [-0.3, bad], log_probs=True)


def test_12_values_within_four_eps_count_as_zero_or_one():
    for dtype in (np.float16, np.float32, np.float64):
        eps = np.finfo(dtype).eps
        p = np.array([0.3, 1 + 4 * eps, -4 * eps, 1.0], dtype)
        made = Predictions.from_probs([0, 1, 0, 1], p)
        assert made.probs.tolist() == [p[0], 1.0, 0.0, 1.0]
        assert made.probs.dtype == dtype
        assert made.notes == ("probs: 2 of 4 values within 4 eps outside [0, 1] count as 0 or 1",)
        assert Predictions.from_correct([0, 1, 0, 1], p).confidence.tolist() == [p[0], 1.0, 0.0, 1.0]
        for bad in (1 + 5 * eps, -5 * eps):
            with pytest.raises(DataError, match=r"probs row 1: value is .*, outside \[0, 1\] \(1 of 2 rows\)"):
                Predictions.from_probs([0, 1], np.array([0.3, bad], dtype))


def test_14_minus_zero_is_zero():
    assert not np.signbit(Predictions.from_probs([0, 1], [-0.0, 0.4]).probs).any()
    assert not np.signbit(Predictions.from_correct([0, 1], [0.4, -0.0]).confidence).any()


def test_15_denormal_probabilities_are_kept():
    assert Predictions.from_probs([0, 1], [5e-324, 0.4]).probs[0] == 5e-324


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_01_02_04_vectors_are_finite(bad):
    shown = str(bad).replace("nan", "NaN")
    for make, labels in ((Predictions.from_probs, Y), (Predictions.from_logits, Y), (Predictions.from_correct, Y)):
        with pytest.raises(
            DataError, match=rf'row 4: value is {shown} \(1 of 6 rows have NaN or inf\).*invalid="drop"'
        ):
            make(labels, [*P[:4], bad, P[5]])


def test_07_08_09_hints_for_vectors():
    for p, hint in (
        ([-1.2, 0.4, 3.0], "log-odds, pass them as logits"),
        ([62.0, 99.5, 7.0], r"up to 99.5: percentages\? Divide by 100"),
        ([-0.1, -2.3, -0.7], r"log-probabilities\? Then pass log_probs=True\. Log-odds are logits\."),
    ):
        with pytest.raises(DataError, match=f"probs row 0: .*{hint}"):
            Predictions.from_probs([0, 1, 1], p)
    with pytest.raises(DataError, match=r"confidence row 0: .*pass np\.exp of them"):
        Predictions.from_top1([0], [1], [-0.3])
    with pytest.raises(DataError, match=r"confidence row 1: .*probability of the predicted class"):
        Predictions.from_top1([0, 0], [1, 0], [0.3, 1.2])


def test_the_exponential_of_logits_less_their_logsumexp_is_a_row_of_probabilities():
    logits = np.random.default_rng(2).normal(size=(5000, 10)) * 12 + 30
    for dtype in (np.float32, np.float64):
        narrow = logits.astype(dtype)
        probs = np.exp(narrow - logsumexp(narrow, axis=1, keepdims=True))
        assert probs.dtype == dtype
        assert np.abs(probs.sum(axis=1, dtype=np.float64) - 1).max() > 10 * np.finfo(dtype).eps
        score_rows(Predictions.from_probs(logits.argmax(1), probs))
