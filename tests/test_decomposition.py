"""Score decompositions against rational arithmetic, R's reliabilitydiag, model-diagnostics, and simulation."""

import math
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss

import calibkit as ck
from calibkit.decomposition import discrimination_of, miscalibration_by_chance, miscalibration_of
from calibkit.pairs import Pairs, pool_ties, read_pairs
from tests.real_data import real_data
from tests.sequences import sequence
from tests.test_isotonic import best_of_all_partitions

PARTS = ("score", "miscalibration", "discrimination", "uncertainty")

# model-diagnostics 1.5.0, decompose(y, p, scoring_function=SquaredError() or LogLoss()), rows sorted by forecast.
MODEL_DIAGNOSTICS = {
    ((1000, 1.0, 2), "brier"): (0.16649849999999997, 0.0014971131831146012, 0.0849976131831146, 0.24999899999999997),
    ((1000, 1.0, 2), "log"): (0.4980022533638084, 0.006445968275980762, 0.20158889547078446, 0.6931451805586121),
    ((1000, 1.5), "brier"): (0.16225089830469266, 0.014891044518387409, 0.09203114621369476, 0.23939100000000002),
    ((1000, 1.5), "log"): (0.48942259952305095, 0.04338981632567529, 0.22574372272545412, 0.6717765059228298),
    ((20000, 1.02), "brier"): (0.16614090251053093, 0.0001795113037921514, 0.08401459879326123, 0.24997599),
    ((20000, 1.02), "log"): (0.4984870736187075, 0.0007369608153409701, 0.19534904698790895, 0.6930991597912755),
}


def values(parts):
    return [getattr(parts, name) for name in PARTS]


def sample(n, seed, digits=17):
    rng = np.random.default_rng(seed)
    probs = rng.beta(0.8, 1.3, n).round(digits)
    return (rng.random(n) < probs**1.3).astype(int), probs


def r_uniforms(seed, n):
    """R's set.seed(seed); runif(n): its Mersenne twister is seeded by another congruence than NumPy's."""
    words = []
    for _ in range(50 + 625):
        seed = (69069 * seed + 1) % 2**32
        words.append(seed)
    twister = np.random.MT19937()
    twister.state = {
        "bit_generator": "MT19937",
        "state": {"key": np.array(words[51:], dtype=np.uint32), "pos": 624},
    }
    return twister.random_raw(n) * 2.3283064365386963e-10


def test_the_example_of_reliabilitydiag():
    """R: set.seed(42); X <- runif(100); Y <- rbinom(100, 1, X); reliabilitydiag(X, y = Y), as its README shows it."""
    uniforms = r_uniforms(42, 200)
    assert uniforms[0] == pytest.approx(0.914806, abs=1e-6)  # what runif(1) is known to give
    x, u = uniforms[:100], uniforms[100:]
    # rbinom(1, p) inverts: one of the more likely outcome if u is below its probability
    y = np.where(x > 0.5, u < x, u >= 1 - x).astype(int)
    parts = ck.decompose(y, x, n_draws=0)
    assert [f"{value:.3g}" for value in values(parts)] == ["0.153", "0.0242", "0.12", "0.249"]


@pytest.mark.parametrize(("case", "score"), list(MODEL_DIAGNOSTICS))
def test_parts_equal_those_of_model_diagnostics_where_its_rows_are_sorted(case, score):
    labels, probs = sequence(*case)
    probs = np.clip(probs, 1e-12, 1 - 1e-12)
    parts = ck.decompose(labels, probs, score=score, n_draws=0)
    np.testing.assert_allclose(values(parts), MODEL_DIAGNOSTICS[case, score], rtol=0, atol=2e-15)


@pytest.mark.parametrize("score", ["brier", "log"])
def test_model_diagnostics_decomposition_depends_on_row_order(score):
    """model-diagnostics 1.5.0 gives another, even a negative, miscalibration for the same rows in another order."""
    labels, probs = np.array([0, 0, 1, 0, 1, 1]), np.array([0.05, 0.1, 0.35, 0.35, 0.6, 0.97])
    seen = {
        tuple(values(ck.decompose(labels[list(order)], probs[list(order)], score=score, n_draws=0)))
        for order in permutations(range(6))
    }
    assert len(seen) == 1
    assert min(seen.pop()) >= 0


def test_scoringrules_miscalibration_without_pooling_ties_depends_on_row_order():
    """In scoringrules 0.10.0 four forecasts of .5 have a miscalibration of .25 or 0, as the rows happen to lie."""
    for labels in ([0, 0, 1, 1], [1, 1, 0, 0]):
        assert values(ck.decompose(labels, [0.5] * 4, n_draws=0)) == [0.25, 0.0, 0.0, 0.25]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.integers(1, 3)), min_size=1, max_size=7))
def test_the_brier_parts_are_right_in_rational_arithmetic(rows):
    rows = sorted(rows)
    forecasts = [Fraction(step, 8) for step, _, _ in rows]
    distinct = sorted(set(forecasts))
    weight = [sum(w for (_, _, w), f in zip(rows, forecasts, strict=True) if f == level) for level in distinct]
    hits = [sum(w for (_, y, w), f in zip(rows, forecasts, strict=True) if f == level and y) for level in distinct]
    fitted = dict(zip(distinct, best_of_all_partitions(hits, weight), strict=True))
    total = sum(weight)
    base = Fraction(sum(hits), total)

    def score(of):
        return sum(w * (of(f) - y) ** 2 for (_, y, w), f in zip(rows, forecasts, strict=True)) / total

    exact = [
        score(lambda f: f),
        score(lambda f: f) - score(lambda f: fitted[f]),
        score(lambda _: base) - score(lambda f: fitted[f]),
        score(lambda _: base),
    ]
    assert exact[0] == exact[1] - exact[2] + exact[3]
    assert min(exact) >= 0
    labels, weights = [int(y) for _, y, _ in rows], [w for _, _, w in rows]
    parts = ck.decompose(labels, [float(f) for f in forecasts], weights=weights, n_draws=0)
    np.testing.assert_allclose(values(parts), [float(part) for part in exact], rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("digits", [1, 3, 17])
@pytest.mark.parametrize("score", ["brier", "log"])
@pytest.mark.parametrize("seed", range(3))
def test_parts_equal_scikit_learns_scores_of_its_own_isotonic_fit(seed, score, digits, weighted):
    labels, probs = sample(400, seed, digits)
    if score == "log":
        probs = np.clip(probs, 0.01, 0.99)
    weights = np.random.default_rng(seed).exponential(size=400) if weighted else None
    peer = brier_score_loss if score == "brier" else lambda y, p, **options: log_loss(y, np.clip(p, 0, 1), **options)
    fit = IsotonicRegression().fit(probs, labels, sample_weight=weights).predict(probs)
    base = np.full(400, np.average(labels, weights=weights))
    raw, recalibrated, constant = (peer(labels, p, sample_weight=weights) for p in (probs, fit, base))
    parts = ck.decompose(labels, probs, score=score, weights=weights, n_draws=0)
    expected = [raw, raw - recalibrated, constant - recalibrated, constant]
    np.testing.assert_allclose(values(parts), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("score", ["brier", "log"])
@pytest.mark.parametrize("seed", range(5))
def test_the_sum_is_exact_and_no_part_is_negative(score, seed):
    labels, probs = sample(1000, seed, digits=2)
    parts = ck.decompose(labels, np.clip(probs, 0.01, 0.99), score=score, n_draws=0)
    assert parts.miscalibration - parts.discrimination + parts.uncertainty == parts.score
    assert min(values(parts)) >= 0


def test_the_log_score_of_certainties():
    right = ck.decompose([0, 1, 1], [0.0, 1.0, 1.0], score="log")
    assert right.score == right.miscalibration == 0
    assert right.discrimination == right.uncertainty == pytest.approx(stats.entropy([1 / 3, 2 / 3]))
    wrong = ck.decompose([0, 1, 0], [0.0, 0.4, 1.0], score="log")
    assert wrong.score == wrong.miscalibration == math.inf
    assert math.isfinite(wrong.discrimination)
    assert wrong.chance.p_value == 1 / 1001
    assert math.isfinite(wrong.chance.p95)


@pytest.mark.parametrize("score", ["brier", "log"])
def test_degenerate_samples(score):
    empty = ck.decompose(np.empty(0, dtype=int), np.empty(0), score=score)
    assert all(map(math.isnan, values(empty)))
    assert math.isnan(empty.chance.mean)
    one_class = ck.decompose([1, 1, 1], [0.3, 0.6, 0.9], score=score)
    assert one_class.uncertainty == one_class.discrimination == 0
    assert one_class.score == one_class.miscalibration > 0
    single = ck.decompose([0], [0.3], score=score)
    assert single.score == single.miscalibration == pytest.approx(0.09 if score == "brier" else -math.log(0.7))
    constant = ck.decompose([0, 1, 1, 0], [0.5] * 4, score=score)
    assert (constant.miscalibration, constant.discrimination) == (0.0, 0.0)


@pytest.mark.parametrize("score", ["brier", "log"])
def test_recalibrated_forecasts_have_no_miscalibration_left(score):
    labels, probs = sample(300, 8)
    curve = ck.corp_curve(labels, probs, confidence_level=None)
    again = ck.decompose(labels, curve.rate[np.searchsorted(curve.last, probs)], score=score, n_draws=0)
    before = ck.decompose(labels, probs, score=score, n_draws=0)
    assert again.miscalibration == pytest.approx(0, abs=1e-15)
    assert again.discrimination == pytest.approx(before.discrimination, abs=1e-15)


@pytest.mark.parametrize("score", ["brier", "log"])
def test_any_increasing_function_of_the_forecast_discriminates_alike(score):
    labels, probs = sample(500, 9)
    one, other = (ck.decompose(labels, p, score=score, n_draws=0) for p in (probs, probs**3 / 2))
    assert one.discrimination == other.discrimination


def test_the_top_label_view_is_that_of_confidence_and_correctness():
    rng = np.random.default_rng(10)
    probs = rng.dirichlet(np.full(4, 0.5), 300)
    labels = (probs.cumsum(axis=1) < rng.random((300, 1))).sum(axis=1)
    parts = ck.decompose(labels, probs)
    assert parts.view == "top-label"
    correct = (probs.argmax(axis=1) == labels).astype(int)
    assert values(parts) == values(ck.decompose(correct, probs.max(axis=1), n_draws=0))
    with pytest.raises(ck.ShapeError):
        ck.decompose(labels, probs, view="positive")


def test_a_calibrated_top_label_shows_miscalibration_by_chance():
    """Confidence .1 + .9 (.75 Beta(20, .6) + .25 Beta(2, 1.5)), calibrated, n = 10,000: a log score of .0021."""
    rng = np.random.default_rng(11)
    confidence = 0.1 + 0.9 * (0.75 * rng.beta(20, 0.6, 10_000) + 0.25 * rng.beta(2, 1.5, 10_000))
    pairs = Pairs(view="top-label", forecast=confidence, outcome=rng.random(10_000) < confidence)
    chance = miscalibration_by_chance(pool_ties(pairs), "log", n_draws=300, rng=np.random.default_rng(0))
    assert chance.mean == pytest.approx(0.0021, abs=0.0001)


@pytest.mark.parametrize("score", ["brier", "log"])
@pytest.mark.parametrize("digits", [2, 17])
def test_chance_is_what_calibrated_models_show(score, digits):
    _, probs = sample(600, 12, digits)
    rng = np.random.default_rng(13)
    shown = []
    for _ in range(300):
        outcome = rng.random(600) < probs
        shown.append(miscalibration_of(Pairs(view="positive", forecast=probs, outcome=outcome), score))
    chance = ck.decompose(np.zeros(600, dtype=int), probs, score=score).chance
    assert chance.mean == pytest.approx(np.mean(shown), abs=4 * np.std(shown) / math.sqrt(300))
    assert np.mean(np.array(shown) > chance.p95) == pytest.approx(0.05, abs=0.04)


@pytest.mark.parametrize("score", ["brier", "log"])
def test_chance_in_cells_is_that_of_all_forecasts_in_mean_and_percentile(score):
    rng = np.random.default_rng(14)
    probs = rng.beta(5, 0.6, 20_000)
    shown = []
    for _ in range(400):
        outcome = rng.random(20_000) < probs
        shown.append(miscalibration_of(Pairs(view="positive", forecast=probs, outcome=outcome), score))
    pairs = pool_ties(Pairs(view="positive", forecast=probs, outcome=rng.random(20_000) < probs))
    chance = miscalibration_by_chance(pairs, score, n_draws=1000, rng=np.random.default_rng(0))
    # A quantile of a normal sample varies twice as much as its mean, at 95 %.
    noise = 3 * np.std(shown) / math.sqrt(400)
    assert chance.mean == pytest.approx(np.mean(shown), rel=0.01, abs=noise)
    assert chance.p95 == pytest.approx(np.quantile(shown, 0.95), rel=0.01, abs=2.1 * noise)


def test_p_values_of_calibrated_models_are_uniform():
    rng = np.random.default_rng(15)
    p_values = []
    for _ in range(150):
        probs = rng.beta(2, 1, 200)
        labels = (rng.random(200) < probs).astype(int)
        p_values.append(ck.decompose(labels, probs, n_draws=99).chance.p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_the_single_parts_are_those_of_the_whole():
    labels, probs = sample(200, 16)
    parts = ck.decompose(labels, probs, score="log", n_draws=0)
    pairs = read_pairs(labels, probs)
    assert miscalibration_of(pairs, "log") == parts.miscalibration
    assert discrimination_of(pairs, "log") == parts.discrimination
    assert parts.chance is None


def test_the_same_seed_gives_the_same_chance():
    labels, probs = sample(300, 17)
    one, same, other = (ck.decompose(labels, probs, rng=rng).chance for rng in (3, np.random.default_rng(3), 4))
    assert one == same != other
    assert ck.decompose(labels, probs, rng=3).to_dict()["chance"]["mean"] == one.mean


@pytest.mark.parametrize("wrong", [{"score": "nll"}, {"view": "flattened"}, {"n_draws": -1}, {"rng": 1.5}])
def test_options_are_checked(wrong):
    with pytest.raises(ck.OptionError, match=next(iter(wrong))):
        ck.decompose([0, 1], [0.2, 0.7], **wrong)


def test_a_published_network_by_an_independent_route():
    with np.load(real_data("multiclass/cifar10_resnet50_ce.npz")) as file:
        logits, labels = file["logits"].astype(float), file["labels"]
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    parts = ck.decompose(labels, probs, n_draws=200)
    confidence, correct = probs.max(axis=1), probs.argmax(axis=1) == labels
    fit = IsotonicRegression().fit(confidence, correct).predict(confidence)
    assert parts.score == pytest.approx(np.mean((confidence - correct) ** 2), abs=1e-14)
    assert parts.miscalibration == pytest.approx(parts.score - np.mean((fit - correct) ** 2), abs=1e-13)
    assert parts.uncertainty == pytest.approx(0.9505 * 0.0495, abs=1e-14)
    assert parts.miscalibration > 3 * parts.chance.p95
