"""``calibkit compare A B...``."""

from typing import TYPE_CHECKING, Any

import click

from calibkit.cli.options import (
    JUDGING,
    READING,
    check_paths,
    load_all,
    load_rows,
    model_names,
    naming_files,
    split_options,
    with_options,
)

if TYPE_CHECKING:
    from calibkit.predictions import Predictions


@click.command("compare", short_help="Paired differences between models on the same rows, before and after scaling.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--reference", metavar="FILE", help="The file (or its name) to compare with; by default the first.")
@click.option(
    "--calibrate-on",
    multiple=True,
    metavar="FILE",
    help="Calibration rows of each FILE, in the order of the files.",
)
@click.option("--calibrate-split", metavar="PREFIX", help="Calibration rows are this split of each FILE, e.g. val.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON of schema calibkit.comparison/1.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown tables.")
@click.option("--figure", metavar="FILE", help="Write the comparison's figure: .png, .svg or .pdf.")
@with_options(JUDGING)
@with_options(READING)
def compare_command(
    files: tuple[str, ...],
    reference: str | None,
    calibrate_on: tuple[str, ...],
    calibrate_split: str | None,
    as_json: bool,
    as_markdown: bool,
    figure: str | None,
    **options: Any,
) -> None:
    """Paired differences between models on the same rows, as saved and after temperature scaling.

    Without calibration rows the temperature of each model is cross-fitted over 5 folds of the same rows. One FILE
    alone is shown before and after scaling.
    """
    from rich.console import Console

    from calibkit import render
    from calibkit.comparison import compare
    from calibkit.plots import comparison_figure, save_figure

    reading, judging = split_options(options)
    check_paths((*files, *calibrate_on), figure, reading)
    names = model_names(files)
    if reference in files:
        reference = names[files.index(reference)]
    calibration = _calibration_rows(files, names, calibrate_on, calibrate_split, reading)
    with naming_files(_held_by(files, names, calibrate_on, calibrate_split)):
        result = compare(load_all(files, reading), reference=reference, calibrate_on=calibration, **judging)
    if figure is not None:
        save_figure(comparison_figure(result), figure)
    if as_json:
        click.echo(render.to_json(result.to_dict()))
    elif as_markdown:
        click.echo(render.markdown(result.to_dict()))
    else:
        render.print_comparison(result.to_dict(), Console())


def _calibration_rows(
    files: tuple[str, ...],
    names: list[str],
    calibrate_on: tuple[str, ...],
    calibrate_split: str | None,
    reading: dict[str, Any],
) -> "dict[str, Predictions] | None":
    """Calibration rows of each model: a file each, or a split of the model's own file."""
    if calibrate_on and calibrate_split:
        raise click.UsageError("give --calibrate-on or --calibrate-split, not both")
    if calibrate_on and len(calibrate_on) != len(files):
        raise click.UsageError(
            f"{len(files)} files need {len(files)} --calibrate-on, one each in their order; got {len(calibrate_on)}"
        )
    if calibrate_split:
        reading = reading | {"split": calibrate_split}
        return {name: load_rows(path, name, reading) for name, path in zip(names, files, strict=True)}
    if calibrate_on:
        reading = {key: value for key, value in reading.items() if key != "split"}
        return {name: load_rows(path, name, reading) for name, path in zip(names, calibrate_on, strict=True)}
    return None


def _held_by(
    files: tuple[str, ...], names: list[str], calibrate_on: tuple[str, ...], calibrate_split: str | None
) -> dict[str, str]:
    """The files that hold the evaluated and the calibration rows, by what complaints call them."""
    where = calibrate_on or tuple(f"{path} (split {calibrate_split})" for path in files)
    calibration = {f"{name} (calibration rows)": path for name, path in zip(names, where, strict=True)}
    return calibration | dict(zip(names, files, strict=True))
