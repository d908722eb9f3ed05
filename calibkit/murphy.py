"""Murphy's decomposition of the Brier score over bins, with the two terms that bins leave out. Floor 2."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from calibkit._numerics import Floats, sums_by
from calibkit.binning import Binning, assign_bins, bin_edges
from calibkit.pairs import PairView, TiedPairs, pool_ties, read_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class BinnedDecomposition:
    """The Brier score of binary forecasts in five parts over bins.

    score = reliability - resolution + uncertainty + within_bin_variance - within_bin_covariance.

    Attributes
    ----------
    view : {"top-label", "positive"}
        Which event is forecast: the predicted class is right, or y = 1.
    n : int
        Rows.
    score : float
        Mean (f - y)^2, in [0, 1].
    reliability : float
        Mean squared gap of the bins, the square of `RMSCE`; at least 0, smaller is better.
    resolution : float
        Variance of the bins' event rates; at least 0, larger is better.
    uncertainty : float
        Variance of the outcomes.
    within_bin_variance : float
        Variance of the forecasts within their bins; at least 0.
    within_bin_covariance : float
        Twice the covariance of forecasts and outcomes within bins; of either sign.

    Examples
    --------
    >>> from calibkit import binned_decomposition
    >>> parts = binned_decomposition([0, 1, 0, 1], [0.2, 0.3, 0.6, 0.9], n_bins=2)
    >>> round(parts.within_bin_variance, 4), round(parts.within_bin_covariance, 4)
    (0.0125, 0.1)
    """

    view: PairView
    n: int
    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bin_variance: float
    within_bin_covariance: float

    @property
    def generalized_resolution(self) -> float:
        """Resolution with the within-bin terms: score = reliability - generalized resolution + uncertainty."""
        return self.resolution - self.within_bin_variance + self.within_bin_covariance

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self) | {"generalized_resolution": self.generalized_resolution}


def binned_decomposition(
    labels: ArrayLike,
    probs: ArrayLike,
    *,
    view: PairView | None = None,
    n_bins: int = 15,
    binning: Literal["uniform", "quantile"] = "uniform",
    edges: Literal["right", "left"] = "right",
    weights: ArrayLike | None = None,
) -> BinnedDecomposition:
    """Murphy's reliability, resolution and uncertainty of the Brier score, with what bins leave out.

    All in the unit of (f - y)^2. Without the within-bin terms the three parts miss the score by what bins blur; with
    them the sum is exact for any bins. Reliability and resolution are both biased upward, more so for many bins.

    Parameters
    ----------
    labels : array_like of shape (n,)
        True classes 0..k-1.
    probs : array_like of shape (n, k) or (n,)
        Probabilities; 1-D is P(y = 1).
    view : {"top-label", "positive"}, optional
        Which event is forecast: by default "positive" for 1-D probabilities, else "top-label".
    n_bins, binning, edges
        As in `expected_calibration_error`.
    weights : array_like of shape (n,), optional
        Row weights; equal integers act as repetition.

    Returns
    -------
    BinnedDecomposition
        NaN without rows.

    Raises
    ------
    DataError, LabelError, ShapeError
        If the arrays are not what they are said to be, or have no such view.
    OptionError
        If an option has a value that is not allowed.

    Notes
    -----
    For bin b with weight W_b, mean forecast f_b and event rate y_b, and W = sum W_b, y = overall rate:
    reliability = sum W_b / W (f_b - y_b)^2, resolution = sum W_b / W (y_b - y)^2, uncertainty = y (1 - y),
    within-bin variance = sum w (f - f_b)^2 / W, within-bin covariance = 2 sum w (f - f_b)(y - y_b) / W.
    `decompose` needs no bins and no such terms: prefer it, unless a binned number is to be compared with others.

    References
    ----------
    Murphy 1973, "A new vector partition of the probability score", eq. 12.
    Stephenson, Coelho, Jolliffe 2008, "Two extra components in the Brier score decomposition", eq. 7.

    Examples
    --------
    Two bins, (.2, .3) with rate 1/2 and (.6, .9) with rate 1/2: the bins resolve nothing, the forecasts do.

    >>> from calibkit import binned_decomposition
    >>> parts = binned_decomposition([0, 1, 0, 1], [0.2, 0.3, 0.6, 0.9], n_bins=2)
    >>> round(parts.reliability, 4), parts.resolution, parts.uncertainty, round(parts.generalized_resolution, 4)
    (0.0625, 0.0, 0.25, 0.0875)
    """
    bins = Binning(n_bins=n_bins, strategy=binning, edges=edges)
    pairs = read_pairs(labels, probs, view=view, weights=weights)
    return _decomposed(pool_ties(pairs), bins, view=pairs.view, n=len(pairs))


def _decomposed(tied: TiedPairs, binning: Binning, *, view: PairView, n: int) -> BinnedDecomposition:
    forecast, weight, happened = tied.forecast, tied.weight, tied.happened
    cells = bin_edges(forecast, binning, weight)
    index = assign_bins(forecast, cells, binning.edges)
    total = sums_by(index, weight, len(cells) - 1)
    filled = total > 0

    def means(values: Floats) -> Floats:
        """Mean over the rows of each bin; 0 where it is empty, which no row asks for."""
        return np.divide(sums_by(index, values, len(total)), total, out=np.zeros_like(total), where=filled)

    f_bin, y_bin = means(weight * forecast), means(happened)
    all_weight = weight.sum() if n else np.nan
    base = happened.sum() / all_weight
    spread = forecast - f_bin[index]
    terms = {
        "reliability": total * (f_bin - y_bin) ** 2,
        "resolution": np.where(filled, total * (y_bin - base) ** 2, 0.0),
        "within_bin_variance": weight * spread**2,
        "within_bin_covariance": 2 * spread * (happened - weight * y_bin[index]),
    }
    parts = {name: float(values.sum() / all_weight) for name, values in terms.items()}
    # w (f - y)^2 over the rows of a forecast, without cancellation near 0 and 1.
    score = ((weight - happened) * forecast**2 + happened * (1 - forecast) ** 2).sum() / all_weight
    return BinnedDecomposition(view=view, n=n, score=float(score), uncertainty=float(base * (1 - base)), **parts)
