"""Claims on rows whose effects are known: each verdict follows from what was put in."""

import math

import numpy as np
import pytest

from calibkit.training.study.grid import all_cells
from calibkit.training.study.lines import Evidence
from calibkit.training.study.other_claims import CLAIMS

GRID, NOISES, PAIRS, SEEDS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4), (0.0, 0.2, 0.4), ("0-1", "2-3"), 4
MEASURES = [
    "accuracy",
    "gap",
    "ece",
    "nll",
    "brier",
    "aurc",
    "confidence_auroc",
    "scaled_ece",
    "scaled_nll",
    "scaled_brier",
    "scaled_aurc",
    "scaled_confidence_auroc",
    "log_temperature",
    "train_accuracy_given_labels",
]


def row_of(cell, labels, moves, rng):
    """A row near .5 in every measure; moves say how far a measure is moved in which cells."""
    row = {**cell.to_dict(), "labels": labels, "data": "made", "seconds": 1.0}
    row |= {"n_train": 10, "n_calibration": 10, "n_test": 10}
    row |= {"train_loss": 0.6, "train_loss_floor": 0.5, "least_loss_above_floor": 0.1}
    for measure in MEASURES:
        row[measure] = 0.5 + 0.1 * cell.seed + rng.normal(0, 1e-4)
        row[measure] += sum(by for name, by, applies in moves if name == measure and applies(cell))
    return row


def evidence_of(moves=(), *, pairs=PAIRS, n_classes=10, cost=None, change=lambda rows: rows):
    rng = np.random.default_rng(0)
    cells = all_cells(seeds=SEEDS, smoothings=GRID, noises=NOISES, pairs=pairs)
    kinds = [(c, k) for c in cells for k in (("clean", "noisy") if c.noise else ("clean",))]
    return Evidence(
        data="made",
        n_rows=30,
        n_classes=n_classes,
        rows=change([row_of(cell, kind, moves, rng) for cell, kind in kinds]),
        smoothings=GRID,
        noises=NOISES,
        pairs=pairs,
        shared={},
        cost=cost or {},
    )


def verdicts(moves=(), **options):
    evidence = evidence_of(moves, **options)
    return {claim.number: claim.verdict for claim in (make(evidence) for make in CLAIMS)}


def smoothed(cell):
    return cell.smoothing > 0


def test_without_any_effect_claims_of_none_hold():
    found = verdicts()
    assert list(found) == ["1", "2", "3", "4", "5a", "5b", "6", "7", "8a", "8b", "9", "10", "11", "12"]
    assert (found["6"], found["10"], found["12"], found["9"]) == ("supported", "supported", "supported", "unclear")


@pytest.mark.parametrize(
    ("moves", "number"),
    [
        ([("accuracy", 0.03, smoothed)], "1"),
        ([("gap", -0.03, smoothed)], "2"),
        ([("ece", -0.03, smoothed)], "3"),
        ([("scaled_ece", -0.03, smoothed), ("scaled_nll", -0.03, smoothed)], "4"),
        ([("accuracy", 0.03, smoothed), ("scaled_nll", -0.03, smoothed)], "5a"),
        ([("accuracy", -0.03, smoothed), ("scaled_nll", 0.03, smoothed)], "5b"),
        (
            [
                ("accuracy", 0.03, lambda c: c.smoothing in (0.05, 0.1, 0.2)),
                ("scaled_nll", -0.03, lambda c: c.smoothing in (0.05, 0.1, 0.2)),
            ],
            "7",
        ),
        ([("scaled_nll", -0.03, smoothed)], "8a"),
        ([("scaled_nll", 0.03, lambda c: c.regularisation != "none")], "8b"),
        ([("confidence_auroc", -0.03, smoothed), ("aurc", 0.03, smoothed)], "11"),
    ],
)
def test_an_effect_as_claimed_supports_and_its_mirror_is_the_opposite(moves, number):
    assert verdicts(moves)[number] == "supported"
    assert verdicts([(name, -by, where) for name, by, where in moves])[number] == "opposite"


def test_a_claim_of_two_measures_needs_both():
    assert verdicts([("scaled_ece", -0.03, smoothed), ("scaled_nll", 0.03, smoothed)])["4"] == "not supported"


def test_noise_claims_look_at_noise_alone_and_robustness_at_every_rate():
    better = [("accuracy", 0.03, lambda c: smoothed(c) and c.noise == 0.2)]
    better += [("scaled_nll", -0.03, lambda c: smoothed(c) and c.noise == 0.2)]
    worse = [(name, -by, lambda c: smoothed(c) and c.noise == 0.4) for name, by, _ in better]
    found = verdicts(better + worse)
    assert (found["5a"], found["5b"]) == ("not supported", "supported")


def test_two_classes_are_judged_on_two_class_runs_alone():
    only_all = [("gap", -0.1, lambda c: smoothed(c) and c.classes == "all")]
    assert verdicts(only_all)["6"] == "supported"
    only_two = [(m, -0.1, lambda c: smoothed(c) and c.classes != "all") for m in ("gap", "ece", "nll", "accuracy")]
    assert verdicts(only_two)["6"] == "opposite"


def test_data_of_two_classes_answer_the_binary_claim_with_their_grid():
    claim = CLAIMS[6](evidence_of(pairs=(), n_classes=2))
    assert claim.number == "6"
    assert claim.verdict == "supported"
    assert claim.remarks == ("The data have two classes.",)
    none = CLAIMS[6](evidence_of(pairs=(), n_classes=40))
    assert (none.verdict, none.deciding) == ("unclear", ())


@pytest.mark.parametrize(
    ("time", "memory", "verdict"),
    [
        ([1.0, 1.01, 0.99, 1.0], [1.02], "supported"),
        ([1.2, 1.21, 1.19, 1.2], [1.5], "opposite"),
        ([1.0, 1.01, 0.99, 1.0], [1.5], "not supported"),
        ([0.8, 1.3, 0.9, 1.4], [1.0], "unclear"),
    ],
)
def test_cost_is_judged_by_training_and_not_by_the_loss_alone(time, memory, verdict):
    cost = {"training, wall time": time, "training, peak memory of a step": memory, "the loss alone, time": [9.0, 9.1]}
    assert verdicts(cost=cost)["9"] == verdict


def test_a_gain_of_small_models_beyond_the_margin_is_the_opposite_of_little():
    small = [("accuracy", 0.05), ("ece", -0.05), ("scaled_nll", -0.05)]
    moves = [(name, by, lambda c: smoothed(c) and c.network != "mlp") for name, by in small]
    assert verdicts(moves)["10"] == "opposite"
    assert verdicts([(name, -by, where) for name, by, where in moves])["10"] == "supported"


def test_one_run_below_its_floor_refutes_the_floor():
    def below(rows):
        victim = next(row for row in rows if row["smoothing"] == 0.2 and row["noise"] == 0 and row["seed"] == 3)
        victim["least_loss_above_floor"] = -0.01
        return rows

    assert verdicts(change=below)["12"] == "not supported"


def test_seeds_without_a_temperature_are_left_out_and_counted():
    def without(rows):
        for row in rows:
            if row["seed"] == 2 and row["smoothing"] == 0.1:
                row |= {name: None for name in row if name.startswith("scaled_") or name == "log_temperature"}
        return rows

    claim = CLAIMS[3](evidence_of([("scaled_nll", -0.03, smoothed)], change=without))
    assert {line.difference.n for line in claim.deciding} == {SEEDS - 1}


def test_levels_are_those_of_the_seeds_that_are_compared():
    claim = CLAIMS[0](evidence_of([("accuracy", 0.03, smoothed)]))
    for line in claim.lines:
        assert math.isclose(line.after.value - line.before.value, line.difference.value, abs_tol=1e-12)
