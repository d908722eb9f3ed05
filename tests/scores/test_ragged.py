"""A row of a ragged matrix has the scores of its own number of choices, to the last bit."""

from math import exp, fsum, log

import numpy as np
import pytest

from calibkit.errors import DataError, ShapeError
from calibkit.predictions import Predictions
from calibkit.scores import score_rows

COUNTS = (1, 2, 3, 5, 63, 64, 65, 130, 300)
VECTORS = ("confidence", "correct", "log_score", "brier")


def rows_of(kind, dtype, *, n=90, seed=3):
    rng = np.random.default_rng(seed)
    counts = np.resize(COUNTS, n)
    rng.shuffle(counts)
    rows = [rng.normal(size=k) * 3 for k in counts]
    for row in rows[::7]:
        row[:2] = row.max()  # ties
    for row in rows[::5]:
        row[-1] = -np.inf if len(row) > 2 else row[-1]
    labels = [int(rng.integers(max(1, len(row) - 1))) for row in rows]
    if kind == "probs":
        rows = [np.exp(row - row.max()) / np.exp(row - row.max()).sum() for row in rows]
    return labels, [row.astype(dtype) for row in rows]


def make(kind, labels, rows, **options):
    return getattr(Predictions, f"from_{kind}")(labels, rows, **options)


@pytest.mark.parametrize("temperature", [None, 1.7, "of rows"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("kind", ["logits", "probs"])
def test_the_bits_of_each_row_alone(kind, dtype, temperature):
    labels, rows = rows_of(kind, dtype)
    scales = np.linspace(0.5, 2, len(rows))
    given = scales if temperature == "of rows" else temperature
    found = score_rows(make(kind, labels, rows, ragged=True), temperature=given, threads=2)
    for number, (label, row) in enumerate(zip(labels, rows, strict=True)):
        if len(row) == 1:  # certain and right
            assert [getattr(found, name)[number] for name in VECTORS] == [1, True, 0, 0]
            continue
        own = scales[number : number + 1] if temperature == "of rows" else temperature
        alone = score_rows(make(kind, [label], row[None]), temperature=own)
        for name in VECTORS:
            assert getattr(found, name)[number] == getattr(alone, name)[0], (number, name)
    assert found.positive is None


def test_against_plain_arithmetic():
    labels, rows = rows_of("logits", np.float64)
    found = score_rows(make("logits", labels, rows, ragged=True))
    for number, (label, row) in enumerate(zip(labels, rows, strict=True)):
        terms = [exp(z - max(row)) for z in row]
        probs = [term / fsum(terms) for term in terms]
        brier = fsum((p - (j == label)) ** 2 for j, p in enumerate(probs))
        expected = {"confidence": max(probs), "log_score": -log(probs[label]), "brier": brier}
        for name, value in expected.items():
            assert getattr(found, name)[number] == pytest.approx(value, rel=1e-13, abs=1e-15), (number, name)
        assert found.correct[number] == (probs.index(max(probs)) == label)


def test_counts_of_what_was_seen():
    scores = score_rows(Predictions.from_probs([0, 0, 1], [[0.5, 0.5], [1.0], [1.0, 0.0, 0.0]], ragged=True))
    assert (scores.n_ties, scores.n_zero, scores.max_sum_deviation) == (1, 1, 0.0)
    assert scores.log_score.tolist() == [np.log(2), 0.0, np.inf]


def test_no_rows():
    scores = score_rows(Predictions.from_probs([], [], ragged=True))
    assert (len(scores.confidence), scores.n_ties, scores.max_sum_deviation) == (0, 0, 0.0)
    assert score_rows(Predictions.from_logits([], [], ragged=True)).max_sum_deviation is None


def test_what_fills_rows_up_is_not_read():
    labels, rows = rows_of("logits", np.float64)
    made = make("logits", labels, rows, ragged=True)
    strange = np.where(np.arange(300) >= np.maximum(made.n_choices, 2)[:, None], np.nan, made.logits)
    told = {"kind": "logits", "labels": made.labels, "n_choices": made.n_choices}
    found = score_rows(Predictions(logits=strange, **told))
    assert found.log_score.tobytes() == score_rows(made).log_score.tobytes()


def test_faults_that_no_constructor_saw_have_the_numbers_of_their_rows():
    told = {"labels": np.array([0, 0, 0]), "n_choices": np.array([3, 2, 3])}
    with pytest.raises(DataError, match=r"^logits row 2, class 1: value is NaN"):
        score_rows(Predictions(kind="logits", logits=np.array([[1, 2, 3], [1, 2, -np.inf], [1, np.nan, 0.0]]), **told))
    with pytest.raises(DataError, match=r"^probs row 1: the row sums to 0.9, not 1"):
        score_rows(Predictions(kind="probs", probs=np.array([[0.5, 0.5, 0], [0.5, 0.4, 0], [1, 0, 0.0]]), **told))


def test_no_visitor():
    with pytest.raises(ShapeError, match="ragged rows have no block"):
        score_rows(Predictions.from_probs([0], [[1.0]], ragged=True), visit=lambda _start, _block: None)
