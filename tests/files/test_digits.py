import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibkit.files.digits import printed_tolerance

EPS64, EPS32, EPS16 = (float(np.finfo(kind).eps) for kind in (np.float64, np.float32, np.float16))


def softmax(n, k, seed=1):
    return np.random.default_rng(seed).dirichlet(np.full(k, 0.4), size=n)


def parsed(probs, form):
    return np.array([[float(form % p) for p in row] for row in probs])


@pytest.mark.parametrize("decimals", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("k", [3, 17])
def test_fixed_decimals(decimals, k):
    expected = max(0.5 * k * 10.0**-decimals, max(64, k) * EPS32)
    assert printed_tolerance(parsed(softmax(200, k), f"%.{decimals}f")) == pytest.approx(expected)


@pytest.mark.parametrize("digits", [3, 5, 12, 14])
def test_significant_digits(digits):
    probs = parsed(softmax(200, 6), f"%.{digits}g")
    floor = 64 * (EPS32 if digits <= 9 else EPS64)
    assert printed_tolerance(probs) == pytest.approx(max(5 * 10.0**-digits, floor))


def test_every_digit_of_float64():
    assert printed_tolerance(softmax(200, 6)) == 64 * EPS64
    assert printed_tolerance(softmax(200, 30)) == 64 * EPS64


@pytest.mark.parametrize(("kind", "eps"), [(np.float32, EPS32), (np.float16, EPS16)])
def test_shorter_floats_printed_in_full(kind, eps):
    probs = softmax(200, 11).astype(kind)
    shortest = np.array([[float(str(p)) for p in row] for row in probs])
    assert printed_tolerance(probs.astype(np.float64)) == (64 if kind is np.float32 else 11) * eps
    assert printed_tolerance(shortest) >= 11 * min(eps, EPS32)


def test_certain_rows():
    assert printed_tolerance(np.eye(4)) == pytest.approx(2.0)  # no decimals were printed at all


def test_logarithms_are_off_by_half_a_unit_whatever_the_number_of_classes():
    logs = np.round(np.log(softmax(50, 40)), 3)
    assert printed_tolerance(logs, logarithms=True) == pytest.approx(0.0005)


def test_values_that_are_no_probabilities_do_no_harm():
    strange = np.array([[np.nan, np.inf], [-1e308, 5e-324], [0.0, -0.0]])
    assert printed_tolerance(strange) == 64 * EPS64


def test_one_long_value_among_short_ones_decides():
    probs = np.full((10_000, 2), 0.5)
    probs[9_999] = [1 / 3, 2 / 3]
    assert printed_tolerance(probs) == 64 * EPS64


@given(st.integers(2, 9), st.integers(2, 12), st.sampled_from(["f", "g", "e"]), st.integers(0, 99))
def test_what_was_printed_is_accepted(digits, k, form, seed):
    probs = parsed(softmax(20, k, seed), f"%.{digits}{form}")
    assert abs(probs.sum(axis=1) - 1).max() <= printed_tolerance(probs)
