"""Reading a tally: bin tables and moments as floats, each rounded once. Floor 2."""

import numpy as np

from calibkit._numerics import Integers
from calibkit.binning import BinTable
from calibkit.class_tables import ClassTables
from calibkit.exact import ExactSums
from calibkit.tally.moments import SCALE, UNWEIGHTED, WEIGHTED, WEIGHTS, Moments, minus_outcome, moments_of
from calibkit.tally.tally import Tally


def table_of_bins(tally: Tally) -> BinTable:
    """The bin table of the tally's cells: what the rows themselves would give, each sum rounded once.

    Examples
    --------
    >>> from calibkit.binning import Binning
    >>> from calibkit.tally import Cells, empty_tally
    >>> table_of_bins(empty_tally(Cells(binning=Binning(n_bins=2)), n_classes=None, proper=False)).count
    array([0, 0])
    """
    bins, b, m = tally.cells.bins(), tally.cells.binning.n_bins, tally.cells.count
    both = np.concatenate([bins, bins])
    count = _by_bin(tally.count, both, b)
    confidence = tally.sums["forecast"].merged(both, b).to_float()
    if not tally.weighted:
        weight, hits = count.astype(np.float64), _by_bin(tally.count[m:], bins, b).astype(np.float64)
        squares = weight
    else:
        weight = tally.sums["weight"].merged(both, b).to_float()
        hits = tally.sums["weight"].at(slice(m, None)).merged(bins, b).to_float()
        squares = tally.sums["weight_squared"].merged(both, b).to_float() * SCALE**2
    return BinTable(
        edges=tally.cells.edges,
        count=count,
        weight=weight,
        weight_squared=squares,
        confidence_sum=confidence,
        outcome_sum=hits,
        weighted=tally.weighted,
    )


def class_tables(tally: Tally) -> ClassTables:
    """The bin tables of views of many pairs a row: one a class, or in view flattened one."""
    assert tally.class_counts is not None
    shape = (-1, tally.cells.binning.n_bins)
    count, hits = (counts.reshape(shape) for counts in tally.class_counts)
    weight = count.astype(np.float64)
    return ClassTables(
        stacked=BinTable(
            edges=tally.cells.edges,
            count=count,
            weight=weight,
            weight_squared=weight,
            confidence_sum=tally.sums["class_forecast"].to_float().reshape(shape),
            outcome_sum=hits.astype(np.float64),
        )
    )


def score_moments(tally: Tally, name: str) -> Moments:
    """Moments of a score of all rows: "log_score" or "brier"."""
    weights = _outcome_sums(tally.sums["weights"], len(WEIGHTS), None) if tally.weighted else None
    return moments_of(tally.sums[name], tally.facts.n, weights=weights)


def forecast_moments(tally: Tally) -> Moments:
    """Moments of the forecast of all rows."""
    return _forecasts(tally, None)


def gap_moments(tally: Tally) -> Moments:
    """Moments of forecast minus outcome."""
    return minus_outcome(_forecasts(tally, 0), _forecasts(tally, 1))


def _forecasts(tally: Tally, outcome: int | None) -> Moments:
    """Moments of the forecasts of rows with one outcome, or of all."""
    m = tally.cells.count
    n = tally.facts.n if outcome is None else int(tally.count[outcome * m : (outcome + 1) * m].sum())
    powers = WEIGHTED if tally.weighted else UNWEIGHTED
    weights = _outcome_sums(tally.sums["weights"], len(WEIGHTS), outcome) if tally.weighted else None
    return moments_of(_outcome_sums(tally.sums["forecasts"], len(powers), outcome), n, weights=weights)


def _outcome_sums(sums: ExactSums, n_powers: int, outcome: int | None) -> ExactSums:
    """Of sums by power and outcome, those of one outcome, or of both together."""
    if outcome is None:
        return sums.merged(np.arange(2 * n_powers) // 2, n_powers)
    return sums.at(2 * np.arange(n_powers) + outcome)


def _by_bin(count: Integers, bins: Integers, b: int) -> Integers:
    total = np.zeros(b, dtype=np.int64)
    np.add.at(total, bins, count)
    return total
