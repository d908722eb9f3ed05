"""The door of the pass: scores of every row. Floor 1."""

from calibkit._checks import Source, check_subnormals
from calibkit._checks.scaling import check_temperature, refuse_scaling
from calibkit._numerics import Floats
from calibkit.errors import ShapeError
from calibkit.predictions import Predictions
from calibkit.scores.binary import score_binary
from calibkit.scores.blocks import thread_count
from calibkit.scores.matrix import Visit, score_matrix
from calibkit.scores.ragged import score_ragged
from calibkit.scores.row_scores import RowScores
from calibkit.scores.row_sums import Temperature


def score_rows(
    predictions: Predictions,
    *,
    temperature: float | Floats | None = None,
    threads: int | None = None,
    visit: Visit | None = None,
) -> RowScores:
    """Score every row: confidence, correctness, log score and Brier score.

    Larger confidence is not better; both scores are: the smaller, the better, the log score in nats.

    Parameters
    ----------
    predictions : Predictions
        Of n rows; (n, k) values are read once.
    temperature : float or ndarray of shape (n,), optional
        Divides logits before the softmax, one for all rows or one a row. Probabilities enter as log p, 1-D
        probabilities as log-odds.
    threads : int, optional
        Default: CALIBKIT_THREADS, else the available cores. The result does not depend on it.
    visit : callable, optional
        ``visit(start, block)`` is given the probabilities (r, k) of the rows from `start` on. The block is valid
        during the call only, which may come from several threads, in any order. 1-D predictions do not call it,
        ragged ones refuse it.

    Returns
    -------
    RowScores
        Vectors of shape (n,) and counts.

    Raises
    ------
    DataError
        If a logit is NaN or +inf or a row has none above -inf; if a probability is NaN or outside [0, 1] by more
        than 4 eps of the stored dtype, or a row sum is further from 1 than ``predictions.sum_tolerance``; if
        top-1 predictions are given a temperature.
    OptionError
        If the temperature is not positive, or the number of threads is not.

    Notes
    -----
    With m the largest logit, r = sum of exp((z_j - m)/T) over all classes but one that reaches m, and y the label::

        log score = (m - z_y)/T + log1p(r),  confidence = 1/(1 + r),  Brier = sum_j (p_j - [j = y])^2

    r is never found as a sum minus 1, so a confident correct row keeps its relative precision: for float64 logits
    the log score is good to 4 units in the last place. Differences to m are taken in float64; the sum over
    classes runs in float32 for float32 logits, in float64 for every other dtype.

    Probabilities are taken as stored: log score -log p_y, no normalisation. Within 4 eps of the stored dtype
    outside [0, 1], a value counts as 0 or 1 and is counted; inside [0, 1] every value is itself, however small.
    A logit may be -inf (p = 0); the log score is inf where that is the label.

    Ragged rows are scored each over its own choices: a lone choice has confidence 1, log score 0 and Brier score 0.

    Ties: the lowest class index is the prediction; for 1-D predictions p = 0.5 predicts class 0.

    References
    ----------
    Good 1952, "Rational decisions", section 4 (log score). Brier 1950, "Verification of forecasts expressed in
    terms of probability", equation 2. Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural
    networks", section 4.2 (temperature).

    Examples
    --------
    >>> import numpy as np
    >>> from calibkit import Predictions
    >>> rows = Predictions.from_probs(np.array([1, 0]), np.array([[0.2, 0.7, 0.1], [0.3, 0.6, 0.1]]))
    >>> scores = score_rows(rows)
    >>> scores.confidence, scores.correct
    (array([0.7, 0.6]), array([ True, False]))
    >>> scores.log_score.round(4), scores.brier.round(4)
    (array([0.3567, 1.204 ]), array([0.14, 0.86]))
    """
    n_threads = thread_count(threads)
    divisor = _check_temperature(temperature, predictions)
    if predictions.kind in ("top1", "correct"):
        assert predictions.confidence is not None
        assert predictions.correct is not None
        return RowScores(confidence=predictions.confidence, correct=predictions.correct)
    if predictions.kind == "probs":
        check_subnormals(predictions.values, "probs", Source(name=predictions.name, first_row=predictions.first_row))
    if predictions.is_binary:
        return score_binary(predictions, divisor)
    if predictions.n_choices is not None:
        if visit is not None:
            raise ShapeError("ragged rows have no block of probabilities to visit: go by their number of choices.")
        return score_ragged(predictions, divisor, n_threads)
    return score_matrix(predictions, divisor, n_threads, visit)


def _check_temperature(temperature: float | Floats | None, predictions: Predictions) -> Temperature:
    """Return a positive temperature, or one a row, or None."""
    if temperature is None:
        return None
    if predictions.kind in ("top1", "correct"):
        refuse_scaling(predictions.kind, predictions.name)
    return check_temperature(temperature, n_rows=len(predictions))
