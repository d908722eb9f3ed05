"""Notes on parts add up to the notes on the whole, however the rows were parted."""

import itertools

import numpy as np
import pytest

from calibkit import Predictions
from calibkit._intake.notes import summed_notes

N = 60


def arrays():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3) / 4, N)
    probs[::9] *= 0.8
    probs[4] = np.nan
    labels = rng.integers(0, 3, N)
    labels[::7] = -100
    return labels, probs


def notes_of(rows, make):
    return make(*(array[rows] for array in arrays())).notes


MAKERS = {
    "drop and clip": lambda y, p: Predictions.from_probs(
        y, p, invalid="drop", ignore_index=-100, clip=1e-5, renormalize=True
    ),
    "renormalize": lambda y, p: Predictions.from_probs(y, p, invalid="drop", ignore_index=-100, renormalize=True),
    "one event": lambda _, p: Predictions.from_probs(
        np.ones(len(p), int), np.nan_to_num(p[:, 0]).clip(0, 1), clip=0.01
    ),
    "log odds": lambda _, p: Predictions.from_probs(
        np.ones(len(p), int), np.log(np.nan_to_num(p[:, 0]).clip(0.1, 0.9)), log_probs=True
    ),
    "one-hot": lambda y, p: Predictions.from_logits(np.eye(3, dtype=int)[np.maximum(y, 0)], np.nan_to_num(p)),
    "almost 1": lambda y, p: Predictions.from_correct(y > 0, np.where(np.nan_to_num(p[:, 0]) > 0.6, 1 + 2e-16, 0.5)),
    "weights": lambda y, p: Predictions.from_logits(
        np.maximum(y, 0), np.nan_to_num(p), weights=np.arange(len(p)) % 3 + (len(p) == N)
    ),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_notes_add_up(maker):
    make = MAKERS[maker]
    if maker == "weights":  # a part knows its own rows of weight 0 alone
        parts = [make(*(array[rows] for array in arrays())).notes for rows in np.split(np.arange(N), [11, 30])]
        assert summed_notes(itertools.chain(*parts)) == ("weight 0: 21 rows left out",)
        return
    whole = summed_notes(notes_of(slice(None), make))
    assert whole
    parts = [notes_of(rows, make) for rows in np.split(np.random.default_rng(1).permutation(N), [1, 13, 40])]
    for order in itertools.permutations(parts):
        total = ()
        for part in order:
            total = summed_notes((*total, *part))
        assert total == whole
    assert summed_notes(whole) == whole


def test_other_notes_are_kept_once():
    assert summed_notes(["b: 4 eps", "a", "b: 4 eps"]) == ("a", "b: 4 eps")
    assert summed_notes([]) == ()
    assert summed_notes(["x: 1,999 of 2,000 rows off (at most 0.5)", "x: 2 of 2 rows off (at most 2)"]) == (
        "x: 2,001 of 2,002 rows off (at most 2)",
    )
