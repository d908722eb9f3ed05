"""The formulas from which the intervals of differences and of groups come: published ends, and where they fall short.

The interval of one model is theirs to the digit (test_bracket.py). Those of a difference and of dependent rows were
replaced, for docs/coverage.md showed cells that the first formulas do not cover. Both are here, on the same data.
"""

from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from calibkit.bracket import bracket_interval, paired_bracket
from tests.real_data import real_data
from tests.test_bracket import network, rows_of

Z = NormalDist().inv_cdf(0.975)


def beta(gap, error):
    ratio = np.divide(gap, error, out=np.full_like(gap, np.inf), where=error > 0)
    return 2 * error * stats.norm.pdf(ratio) - 2 * gap * stats.norm.cdf(-ratio)


def first_parts(rows, errors=0.0, se=0.0):
    """Theta, its standard error, and the upper and lower bound of its bias; errors of groups where they are larger."""
    table = rows.table
    filled, n = table.count > 0, table.count.sum()
    count, said, seen = table.count[filled], table.confidence_sum[filled], table.outcome_sum[filled]
    d, p = (said - seen) / n, (seen + 2 * said / count) / (count + 2)
    s = np.sqrt(count * p * (1 - p)) / n
    theta = np.abs(d).sum()
    by_rows = np.sqrt((s**2).sum() + max(0, n * (d**2 / count).sum() - theta**2) / n)
    s = np.maximum(s, np.broadcast_to(errors, filled.shape)[filled])
    tau = np.sqrt(max(1.0, np.log(filled.sum() / 5.5)))
    return theta, max(by_rows, se), beta(np.maximum(abs(d) - tau * s, 0), s).sum(), beta(abs(d), s).sum()


def signed(rows):
    return np.sign(rows.table.confidence_sum - rows.table.outcome_sum)[rows.index] * rows.gap


def first_paired(model, reference):
    """Half distances of the biases and standard errors, both less what the rows' signed gaps share."""
    (theta, se, high, low), (other, other_se, other_high, other_low) = map(first_parts, (model, reference))
    rho = np.corrcoef(signed(model), signed(reference))[0, 1]
    h, other_h = (high - low) / 2, (other_high - other_low) / 2
    m = theta - other - (high + low) / 2 + (other_high + other_low) / 2
    reach = np.sqrt(h**2 + other_h**2 - 2 * rho * h * other_h) + Z * np.sqrt(
        se**2 + other_se**2 - 2 * rho * se * other_se
    )
    return m - reach, m + reach


def first_of_groups(rows):
    """CR3 errors, t with G_eff - 1 degrees of freedom."""
    _, code = np.unique(rows.groups, return_inverse=True)
    size, n = np.bincount(code), len(rows.gap)
    n_groups, signs = len(size), np.sign(rows.table.confidence_sum - rows.table.outcome_sum)

    def jackknife(values):
        return np.bincount(code, values - values.mean()) / (n - size)

    factor = (n_groups - 1) / n_groups
    errors = [np.sqrt(factor * (jackknife((rows.index == b) * rows.gap) ** 2).sum()) for b in range(len(signs))]
    se = np.sqrt(factor * (jackknife(signs[rows.index] * rows.gap) ** 2).sum())
    theta, se, high, low = first_parts(rows, np.array(errors), se)
    effective = n**2 / (size**2).sum()
    t = stats.t.ppf(0.975, effective - 1)
    return effective, theta - high - t * se, theta - low + t * se


def test_published_differences():
    one, two = network("ce"), network("flsd53")
    assert first_paired(one, two) == pytest.approx((0.0242, 0.0331), abs=6e-5)
    ours = paired_bracket(one, two, level=0.95)
    assert ours.low < 0.0242 < 0.0331 < ours.high
    assert ours.high - ours.low < 1.1 * (0.0331 - 0.0242)
    scaled = network("ce", 2.49752), network("flsd53", 1.06262)
    assert first_paired(*scaled) == pytest.approx((-0.0002, 0.0095), abs=6e-5)
    ours = paired_bracket(*scaled, level=0.95)
    assert ours.low < -0.0002 < 0.0095 < ours.high


def test_published_groups():
    data = np.load(real_data("binary/538_governors_elections.npz"))
    rows = rows_of(data["prob"], data["outcome"] == 1, groups=data["group"])
    effective, low, high = first_of_groups(rows)
    assert effective == pytest.approx(180, abs=0.5)
    assert (low, high) == pytest.approx((0.0116, 0.0445), abs=1e-4)
    ours = bracket_interval(rows, level=0.95)
    assert ours[0] < 0.0116 < 0.0445 < ours[1]


def test_the_first_difference_does_not_cover_a_model_and_its_recalibration():
    rng, held = np.random.default_rng(4), []
    for _ in range(300):
        confidence = rng.uniform(0.5, 0.85, 1_000)
        right = rng.random(1_000) < confidence
        shifted, calibrated = rows_of(confidence + 0.03, right, 5), rows_of(confidence, right, 5)
        first, ours = first_paired(shifted, calibrated), paired_bracket(shifted, calibrated, level=0.95)
        held.append([first[0] <= 0.03 <= first[1], ours.low <= 0.03 <= ours.high])
    first, ours = np.mean(held, axis=0)
    assert first < 0.88
    assert ours > 0.93
