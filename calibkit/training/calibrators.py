"""Fitted calibrators as torch modules: the last layer of a network that ships calibrated. Annex."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from calibkit.calibrators import Calibrator

_WITHOUT_FLOAT64 = {"mps"}  # types of devices


class CalibratorModule(nn.Module):
    """A fitted calibrator as a module: forecasts in, calibrated probabilities out.

    ``module(forecast)`` is what ``calibrator.predict_proba(forecast)`` is, up to the rounding of ``dtype``.

    Parameters
    ----------
    calibrator : Calibrator
        Fitted, or loaded by `calibkit.load_calibrator`.
    dtype : torch.dtype, optional
        Of the result; default: torch's default. The forecast may be of any type.

    Raises
    ------
    InputFormatError
        If it is no calibrator.

    Notes
    -----
    The fitted numbers are buffers: they move with ``to`` and are in ``state_dict``, and no optimiser changes them.
    They are float64, as is all that is computed, and only the result is rounded to ``dtype``: in float32 a forecast
    of 1 - 1e-9 would be 1, and two thresholds could be one. ``to(dtype)``, ``half()`` and their like change the type
    of the result alone. A device without float64 (MPS) holds and computes in float32.
    Gradients flow to the forecast; they are 0 on the flat parts of `IsotonicCalibration`, and there are none through
    `HistogramBinning`, which is flat throughout. Values are not
    checked, which would hold up a GPU: NaN in, NaN out. `log_probs` gives logarithms without a detour, for a loss.

    Examples
    --------
    >>> import numpy as np, torch
    >>> import calibkit as ck
    >>> logits = np.array([[4.0, 0.0], [5.0, 1.0], [0.0, 4.0], [2.0, 6.0]])
    >>> fitted = ck.TemperatureScaling(input="logits").fit(logits, [0, 0, 1, 0])
    >>> calibrated = torch.nn.Sequential(torch.nn.Identity(), CalibratorModule(fitted))
    >>> calibrated(torch.tensor([[4.0, 0.0]]))
    tensor([[0.7500, 0.2500]])
    """

    def __init__(self, calibrator: "Calibrator", *, dtype: torch.dtype | None = None) -> None:
        from sklearn.utils.validation import check_is_fitted

        from calibkit.calibrators import Calibrator
        from calibkit.calibrators.methods import method_of
        from calibkit.errors import InputFormatError

        super().__init__()
        if not isinstance(calibrator, Calibrator):
            raise InputFormatError(f"calibrator: expected a calibrator, got {type(calibrator).__name__}.")
        check_is_fitted(calibrator)
        self.method = method_of(calibrator)
        self.input = calibrator.input
        self.clip = getattr(calibrator, "clip", None)
        self.has_baseline = len(calibrator.classes_) > max(2, calibrator.n_features_in_)
        self.dtype = torch.get_default_dtype() if dtype is None else dtype
        self.map = _MAPS[self.method](calibrator)

    def forward(self, forecast: Tensor) -> Tensor:
        """Calibrated probabilities (n, k) of logits or probabilities (n, k) or (n,), as was fitted."""
        found = self._mapped(forecast)
        return (found.exp() if isinstance(self.map, _OfScores) else found).to(self.dtype)

    def log_probs(self, forecast: Tensor) -> Tensor:
        """Logarithms of the calibrated probabilities."""
        found = self._mapped(forecast)
        return (found if isinstance(self.map, _OfScores) else found.log()).to(self.dtype)

    def extra_repr(self) -> str:
        """What it is, for ``print``."""
        return f"method={self.method!r}, input={self.input!r}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: FBT001, FBT002
        """Move the numbers; a cast is one of the result."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.dtype = fn(torch.empty(0, dtype=self.dtype, device=next(self.buffers()).device)).dtype
        return self

    def _mapped(self, forecast: Tensor) -> Tensor:
        """What the map makes of a forecast, in the wider type of both."""
        values = forecast.to(torch.promote_types(forecast.dtype, self.map.dtype))
        if self.input == "probs":
            values = values.clamp(0, 1)  # a forecast that is off by its own rounding
            if self.clip is not None:
                values = _clipped(values, self.clip)
        if isinstance(self.map, _OfProbs) and self.input == "probs":
            found: Tensor = self.map(torch.stack([1 - values, values], dim=1) if values.ndim == 1 else values)
        else:
            scores = self._scores(values)
            found = self.map(scores.softmax(dim=1) if isinstance(self.map, _OfProbs) else scores)
        return found

    def _scores(self, values: Tensor) -> Tensor:
        """Logits as they are, probabilities as logarithms; (n, k), a 1-D forecast as that of two classes."""
        if self.input == "probs":
            return torch.stack([torch.log1p(-values), values.log()], dim=1) if values.ndim == 1 else values.log()
        if values.ndim == 1:
            return torch.stack([torch.zeros_like(values), values], dim=1)
        return nn.functional.pad(values, (1, 0)) if self.has_baseline else values


def _clipped(probs: Tensor, clip: float) -> Tensor:
    """Probabilities raised to at least `clip`, rows so changed divided by their sum."""
    if probs.ndim == 1:
        return probs.clamp(clip, 1 - clip)
    raised = probs.clamp(min=clip)
    changed = (probs < clip).any(dim=1, keepdim=True)
    return torch.where(changed, raised / raised.sum(dim=1, keepdim=True), raised)


class _Map(nn.Module):
    """Fitted numbers as buffers, in float64 where the device has it."""

    def __init__(self, **numbers: object) -> None:
        super().__init__()
        for name, value in numbers.items():
            self.register_buffer(name, torch.as_tensor(np.asarray(value, dtype=np.float64)))

    @property
    def dtype(self) -> torch.dtype:
        """The type of its numbers."""
        return next(self.buffers()).dtype

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: FBT001, FBT002
        """Move the numbers, and cast them only for a device that has no float64."""
        del recurse  # there are no modules in it
        for name, number in self.named_buffers():
            device = fn(torch.empty(0, dtype=torch.float32, device=number.device)).device
            kept = number.float() if device.type in _WITHOUT_FLOAT64 else number
            moved = fn(kept)
            self.register_buffer(name, moved if moved.dtype == kept.dtype else kept.to(device))
        return self


class _OfScores(_Map):
    """A map to log-probabilities."""


class _Temperature(_OfScores):
    temperature: Tensor

    def __init__(self, calibrator: "Calibrator") -> None:
        super().__init__(temperature=calibrator.temperature_)

    def forward(self, scores: Tensor) -> Tensor:
        return (scores / self.temperature).log_softmax(dim=1)


class _Vector(_OfScores):
    weights: Tensor
    biases: Tensor

    def __init__(self, calibrator: "Calibrator") -> None:
        super().__init__(weights=calibrator.weights_, biases=calibrator.biases_)

    def forward(self, scores: Tensor) -> Tensor:
        return (scores * self.weights + self.biases).log_softmax(dim=1)


class _Dirichlet(_OfScores):
    weights: Tensor
    biases: Tensor

    def __init__(self, calibrator: "Calibrator") -> None:
        super().__init__(weights=calibrator.weights_, biases=calibrator.biases_)

    def forward(self, scores: Tensor) -> Tensor:
        return nn.functional.linear(scores.log_softmax(dim=1), self.weights, self.biases).log_softmax(dim=1)


class _Ensemble(_OfScores):
    temperature: Tensor
    log_weights: Tensor

    def __init__(self, calibrator: "Calibrator") -> None:
        with np.errstate(divide="ignore"):
            super().__init__(temperature=calibrator.temperature_, log_weights=np.log(calibrator.weights_))

    def forward(self, scores: Tensor) -> Tensor:
        plain = scores.log_softmax(dim=1)
        uniform = torch.full_like(plain, -float(np.log(plain.shape[1])))
        members = torch.stack([(scores / self.temperature).log_softmax(dim=1), plain, uniform], dim=2)
        return (members + self.log_weights).logsumexp(dim=2)


class _OneVersusRest(_Map):
    """A map of each class's probability, or one that all share; then each row is divided by its sum."""

    def mapped(self, given: Tensor) -> Tensor:
        """Mapped probability of every class (n, k)."""
        raise NotImplementedError

    def forward(self, given: Tensor) -> Tensor:
        mapped = self.mapped(given)
        if mapped.shape[1] == 2:
            return torch.stack([1 - mapped[:, 1], mapped[:, 1]], dim=1)
        sums = mapped.sum(dim=1, keepdim=True)
        empty = sums <= 0
        return torch.where(empty, 1 / mapped.shape[1], mapped / torch.where(empty, 1.0, sums))


class _Platt(_OneVersusRest):
    slopes: Tensor
    intercepts: Tensor

    def __init__(self, calibrator: "Calibrator") -> None:
        super().__init__(slopes=calibrator.slopes_, intercepts=calibrator.intercepts_)

    def mapped(self, given: Tensor) -> Tensor:
        log_p, log_rest = _log_odds(given)
        return torch.sigmoid(self.slopes * (log_p - log_rest) + self.intercepts)


class _Beta(_OneVersusRest):
    a: Tensor
    b: Tensor
    c: Tensor

    def __init__(self, calibrator: "Calibrator") -> None:
        a, b, c = calibrator.coefficients_.T
        super().__init__(a=a, b=b, c=c)

    def mapped(self, given: Tensor) -> Tensor:
        log_p, log_rest = _log_odds(given)
        return torch.sigmoid(_times(self.a, log_p) - _times(self.b, log_rest) + self.c)


class _OfProbs(_OneVersusRest):
    """Maps of probabilities that are known at some places, a pair of buffers for each."""

    def __init__(self, places: list[np.ndarray], values: list[np.ndarray]) -> None:
        numbered = {f"places_{i}": x for i, x in enumerate(places)} | {f"values_{i}": x for i, x in enumerate(values)}
        super().__init__(**numbered)
        self.n_maps = len(places)

    def mapped(self, given: Tensor) -> Tensor:
        numbers = [0 if self.n_maps == 1 else j for j in range(given.shape[1])]
        columns = [
            self.one(given[:, j].contiguous(), getattr(self, f"places_{i}"), getattr(self, f"values_{i}"))
            for j, i in enumerate(numbers)
        ]
        return torch.where(given.isnan(), given, torch.stack(columns, dim=1))

    def one(self, probs: Tensor, places: Tensor, values: Tensor) -> Tensor:
        """Mapped probability of one class (n,)."""
        raise NotImplementedError


class _Isotonic(_OfProbs):
    def __init__(self, calibrator: "Calibrator") -> None:
        super().__init__(calibrator.thresholds_, calibrator.values_)

    def one(self, probs: Tensor, places: Tensor, values: Tensor) -> Tensor:
        if len(places) == 1:
            return values.expand_as(probs)
        places, values = places.to(probs.dtype), values.to(probs.dtype)
        right = torch.searchsorted(places, probs.detach()).clamp(1, len(places) - 1)
        left = right - 1
        width = places[right] - places[left]
        apart = width > 0  # in float32 two places may be one
        inside = torch.minimum(torch.maximum(probs, places[0]), places[-1])
        share = torch.where(apart, (inside - places[left]) / torch.where(apart, width, 1.0), 0.0)
        return values[left] + share * (values[right] - values[left])


class _Histogram(_OfProbs):
    def __init__(self, calibrator: "Calibrator") -> None:
        super().__init__([edges[1:-1] for edges in calibrator.edges_], calibrator.values_)

    def one(self, probs: Tensor, places: Tensor, values: Tensor) -> Tensor:
        return values[torch.searchsorted(places.to(probs.dtype), probs.detach())]


def _times(factor: Tensor, logs: Tensor) -> Tensor:
    """Product, 0 where a factor of 0 meets the logarithm of 0."""
    return factor * logs.masked_fill((factor == 0) & logs.isinf(), 0.0)


def _log_odds(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Log p and log(1 - p) of every class, with no cancellation where p is close to 1."""
    log_p = scores.log_softmax(dim=1)
    top = nn.functional.one_hot(log_p.argmax(dim=1), log_p.shape[1]).bool()
    of_top = log_p.masked_fill(top, -torch.inf).logsumexp(dim=1, keepdim=True)
    others = torch.log1p(-log_p.masked_fill(top, -1.0).exp())  # the top one aside, whose gradient would be infinite
    return log_p, torch.where(top, of_top, others)


_MAPS: dict[str, Callable[["Calibrator"], _Map]] = {
    "temperature": _Temperature,
    "ensemble-temperature": _Ensemble,
    "vector": _Vector,
    "dirichlet": _Dirichlet,
    "platt": _Platt,
    "beta": _Beta,
    "isotonic": _Isotonic,
    "histogram": _Histogram,
}
