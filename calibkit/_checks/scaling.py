"""What is said of temperatures, and of predictions that no temperature can scale. Floor 0."""

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from calibkit._checks.arrays import Source, some_of
from calibkit._checks.options import check_real
from calibkit.errors import DataError, OptionError, ShapeError


def check_temperature(temperature: object, *, n_rows: int) -> float | NDArray[np.float64]:
    """Return a positive temperature, or one for each row in float64."""
    if not isinstance(temperature, np.ndarray) or temperature.ndim == 0:
        value = temperature.item() if isinstance(temperature, np.ndarray) else temperature
        return check_real(value, option="temperature", low=0.0, high=float("inf"))
    if temperature.shape != (n_rows,):
        raise ShapeError(f"temperature has shape {temperature.shape}; expected ({n_rows},), one for each row.")
    bad = ~(np.isfinite(temperature) & (temperature > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise OptionError(f"temperature row {row}: value is {temperature[row]}; expected a finite number above 0.")
    return temperature.astype(np.float64, copy=False)


def refuse_scaling(kind: str, name: str | None) -> NoReturn:
    """Raise for predictions without logits or probabilities of all classes."""
    raise DataError(
        f"{Source(name=name).of('predictions')} of kind {kind!r} hold one confidence a row, not logits: no temperature "
        "can scale them. Save logits or the probabilities of all classes."
    )


def refuse_impossible_labels(impossible: NDArray[np.bool_], array_name: str, name: str | None) -> NoReturn:
    """Raise for rows whose true class has p = 0, which no temperature mends."""
    row = int(np.argmax(impossible))
    rows = some_of(int(impossible.sum()), len(impossible))
    raise DataError(
        f"{Source(name=name).at(array_name, row)}: the true class has p = 0 ({rows}), so that the log score is inf "
        "at every temperature. Leave such rows out; probabilities can be raised with clip=1e-6."
    )


def refuse_too_few(what: str, count: int, name: str | None) -> NoReturn:
    """Raise for predictions with fewer than the two units that a fit needs."""
    where = Source(name=name).of("predictions")
    raise DataError(f"{where}: too few {what} to fit a temperature ({count}); at least 2 are needed.")
