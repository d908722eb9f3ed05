"""Which temperature scales each row: fitted on calibration rows, or cross-fitted on the rows themselves. Floor 3."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from calibkit._numerics import Floats
from calibkit.errors import DataError, OptionError
from calibkit.one_pass import Settings
from calibkit.predictions import Predictions
from calibkit.recalibration import Temperature, cross_fit_temperature, fit_temperature
from calibkit.same_rows import hold_the_same_rows

FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """The temperature of each model and of each of its rows, and where they come from."""

    temperatures: dict[str, Temperature] = field(default_factory=dict)
    of_rows: dict[str, float | Floats] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def cross_fitted(models: Mapping[str, Predictions], settings: Settings) -> Scaling:
    """Temperatures fitted on the other folds of the same rows; none, with the reason, where that is impossible."""
    temperatures: dict[str, Temperature] = {}
    of_rows: dict[str, float | Floats] = {}
    for name, model in models.items():
        try:
            fitted, of_rows[name] = cross_fit_temperature(
                model,
                n_folds=FOLDS,
                rng=settings.seed,
                confidence_level=settings.level_or_default,
                threads=settings.threads,
            )
        except DataError as error:
            return Scaling(notes=(f"No temperature scaling: {error}",))
        temperatures[name] = _as_asked(fitted, settings)
    sources = dict.fromkeys(fitted.source for fitted in temperatures.values())
    note = (
        f"No calibration rows were given: temperatures are {' or '.join(sources)}; each row is scaled by a "
        "temperature fitted on the other folds."
    )
    return Scaling(temperatures=temperatures, of_rows=of_rows, notes=(note,))


def fitted_on(calibration: Mapping[str, Predictions], models: Mapping[str, Predictions], settings: Settings) -> Scaling:
    """Temperatures fitted on each model's calibration rows."""
    if set(calibration) != set(models):
        raise OptionError(
            f"calibrate_on names {', '.join(calibration)}, but the models are {', '.join(models)}: "
            "each model needs its own calibration rows"
        )
    notes = ["After scaling, each temperature is held fixed as fitted on its calibration rows; the test rows vary."]
    temperatures: dict[str, Temperature] = {}
    for name, model in models.items():
        rows = calibration[name]
        _check_calibration_rows(rows, model, name)
        fitted = fit_temperature(
            rows.with_name(f"{name} (calibration rows)"),
            confidence_level=settings.level_or_default,
            threads=settings.threads,
        )
        temperatures[name] = _as_asked(fitted, settings)
        if 5 * len(rows) < len(model):
            notes.append(
                f"{name}: {len(rows):,} calibration rows for {len(model):,} test rows: the fitted temperature is "
                "itself uncertain; see its interval."
            )
    return Scaling(
        temperatures=temperatures, of_rows={name: t.value for name, t in temperatures.items()}, notes=tuple(notes)
    )


def _as_asked(fitted: Temperature, settings: Settings) -> Temperature:
    """Without an interval where none was asked for."""
    return fitted if settings.confidence_level is not None else replace(fitted, low=None, high=None)


def _check_calibration_rows(rows: Predictions, model: Predictions, name: str) -> None:
    if None not in (rows.n_classes, model.n_classes) and rows.n_classes != model.n_classes:
        raise DataError(
            f"{name}: the calibration rows have {rows.n_classes} classes and the evaluated rows have "
            f"{model.n_classes}. Give calibration rows of the same model."
        )
    if model.kind in ("logits", "probs") and (rows.n_choices is None) != (model.n_choices is None):
        raise DataError(
            f"{name}: of the calibration rows and the evaluated rows only one was read as ragged rows of choices. Read "
            "both with ragged=True, or both without it."
        )
    if hold_the_same_rows(rows, model):
        raise DataError(
            f"{name}: the calibration rows are the evaluated rows, or most of them. Give other rows, or leave "
            "calibrate_on out: temperatures are then cross-fitted."
        )
