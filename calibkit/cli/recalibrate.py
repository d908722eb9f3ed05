"""``calibkit recalibrate fit | apply | cross-fit``."""

from typing import TYPE_CHECKING, Any

import click

from calibkit.cli.options import READING, READING_NAMES, check_paths, load_rows, model_names, naming_files, with_options

if TYPE_CHECKING:
    from calibkit.calibrators import Calibrator
    from calibkit.predictions import Predictions

FITTING = (
    click.option(
        "--method",
        default="temperature",
        show_default=True,
        help="temperature, ensemble-temperature, vector, dirichlet, platt, beta, isotonic or histogram.",
    ),
    click.option("--loss", help="What is made small: nll or brier (temperature, ensemble-temperature, vector)."),
    click.option("--penalty", type=float, help="Strength of the penalty (vector, dirichlet, beta)."),
    click.option("--bias-penalty", type=float, help="Strength of the penalty on the offsets (dirichlet)."),
    click.option("--maps", help="classwise or shared (platt, beta, isotonic, histogram)."),
    click.option("--bins", "n_bins", type=int, help="Bins of each map (histogram)."),
)
OPTIONS = ("loss", "penalty", "bias_penalty", "maps", "n_bins")


@click.group("recalibrate", short_help="Fit a calibrator on validation rows and apply it to other rows.")
def recalibrate_group() -> None:
    """Map forecasts to better calibrated ones: fit on validation rows, apply to others.

    Scores of the very rows of the fit would look better than they are: apply refuses those rows, and cross-fit
    calibrates each row by a fit on the other folds.
    """


@recalibrate_group.command("fit", short_help="Fit a calibrator; writes JSON.")
@click.argument("file", metavar="FILE")
@click.option("-o", "--output", required=True, metavar="OUT.json", help="Calibrator to write.")
@with_options(FITTING)
@with_options(READING)
def fit_command(file: str, output: str, *, method: str, **options: Any) -> None:
    """Fit a calibrator on the rows of FILE, which are used for nothing else, and write it as JSON."""
    from calibkit.calibrators import fit_calibrator

    predictions = _rows(file, output, options)
    with naming_files(_held_by(file)):
        calibrator = fit_calibrator(method, predictions, **_given(options))
    calibrator.save(output)
    click.echo(f"wrote {_shown(output)}: {_summary(calibrator, method)}")


@recalibrate_group.command("apply", short_help="Apply a calibrator to other rows; writes .npz.")
@click.argument("file", metavar="FILE")
@click.argument("calibrator", metavar="CALIBRATOR.json")
@click.option("-o", "--output", required=True, metavar="OUT.npz", help="Predictions file to write.")
@with_options(READING)
def apply_command(file: str, calibrator: str, output: str, **options: Any) -> None:
    """Write the predictions of FILE, calibrated.

    Rows that the calibrator was fitted on are refused, for their scores would look better than they are.
    """
    from calibkit.calibrators import calibrate, load_calibrator
    from calibkit.files import save

    check_paths((file, calibrator), output, _reading(options))
    if file.endswith(".json") and not calibrator.endswith(".json"):
        raise click.UsageError(f"FILE comes first: calibkit recalibrate apply {calibrator} {file}")
    fitted = load_calibrator(calibrator)
    with naming_files(_held_by(file)):
        calibrated = calibrate(fitted, _rows(file, output, options))
    save(calibrated, output)
    click.echo(f"wrote {_shown(output)}: {len(calibrated):,} rows, {calibrated.notes[-1]}")


@recalibrate_group.command("cross-fit", short_help="Calibrate rows by fits on their other folds; writes .npz.")
@click.argument("file", metavar="FILE")
@click.option("-o", "--output", required=True, metavar="OUT.npz", help="Predictions file to write.")
@click.option("--folds", "n_folds", default=5, show_default=True, type=int, help="Folds; groups stay whole.")
@click.option("--seed", "rng", default=0, show_default=True, type=int, help="Seed of the folds.")
@with_options(FITTING)
@with_options(READING)
def cross_fit_command(file: str, output: str, *, method: str, n_folds: int, rng: int, **options: Any) -> None:
    """Write the predictions of FILE, each row calibrated by a fit on the folds that it is not in.

    For want of validation rows: it shows what the method does, and gives no calibrator to use elsewhere.
    """
    from calibkit.calibrators import cross_calibrate
    from calibkit.files import save

    predictions = _rows(file, output, options)
    with naming_files(_held_by(file)):
        calibrated = cross_calibrate(method, predictions, n_folds=n_folds, rng=rng, **_given(options))
    save(calibrated, output)
    click.echo(f"wrote {_shown(output)}: {len(calibrated):,} rows, {calibrated.notes[-1]}")


def _reading(options: dict[str, Any]) -> dict[str, Any]:
    """The options for reading that were given."""
    return {name: options[name] for name in READING_NAMES if options.get(name) is not None}


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options of the method that were given."""
    return {name: options[name] for name in OPTIONS if options[name] is not None}


def _rows(file: str, output: str, options: dict[str, Any]) -> "Predictions":
    """The predictions of a file, which is not the output."""
    reading = _reading(options)
    check_paths((file,), output, reading)
    return load_rows(file, model_names((file,))[0], reading)


def _held_by(file: str) -> dict[str, str]:
    """The file by what complaints call its predictions."""
    return {model_names((file,))[0]: file}


def _summary(calibrator: "Calibrator", method: str) -> str:
    """What was fitted, in one line."""
    from calibkit.render import format_interval, format_number

    words = [method]
    temperature = getattr(calibrator, "temperature_", None)
    if temperature is not None:
        words.append(f"T = {format_number(temperature)}")
        interval = getattr(calibrator, "temperature_interval_", None)
        words += [] if interval is None else [f"95% interval {format_interval(*interval)}"]
    return ", ".join([*words, f"fitted on {calibrator.fitted_on_.n_rows:,} rows"])


def _shown(path: str) -> str:
    """A path that no name in it can turn into a terminal's command."""
    from calibkit.render import sanitise

    return sanitise(path)
