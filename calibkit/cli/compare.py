"""``calibkit compare A B...``."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from calibkit.cli.checkpoints import NETWORK, Networks, load_calibration, load_models
from calibkit.cli.options import (
    JUDGING,
    READING,
    check_paths,
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
@click.option("--all-pairs", is_flag=True, help="Compare every pair of FILEs as well.")
@click.option("--unpaired", is_flag=True, help="FILEs hold different test sets: differences of independent samples.")
@click.option("--margin", type=float, metavar="X", help="Name differences whose interval lies inside ±X equivalent.")
@click.option(
    "--calibrate-on",
    multiple=True,
    metavar="FILE",
    help="Calibration rows of each FILE, in the order of the files; with --data one for all, as --data takes them.",
)
@click.option("--calibrate-split", metavar="PREFIX", help="Calibration rows are this split of each FILE, e.g. val.")
@click.option(
    "--model",
    multiple=True,
    metavar="FACTORY",
    help="package.module:factory of the network whose weights a FILE holds; one for all, or one each.",
)
@with_options(NETWORK)
@click.option("--json", "as_json", is_flag=True, help="Print JSON of schema calibkit.comparison/1.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown tables.")
@click.option("--figure", metavar="FILE", help="Write the comparison's figure: .png, .svg or .pdf.")
@with_options(JUDGING)
@with_options(READING)
def compare_command(
    files: tuple[str, ...],
    reference: str | None,
    all_pairs: bool,
    unpaired: bool,
    margin: float | None,
    calibrate_on: tuple[str, ...],
    calibrate_split: str | None,
    as_json: bool,
    as_markdown: bool,
    figure: str | None,
    model: tuple[str, ...],
    data: str | None,
    divide_by: float | None,
    batch_size: int | None,
    device: str,
    **options: Any,
) -> None:
    """Paired differences between models on the same rows, as saved and after temperature scaling.

    FILE is a file of predictions; a run folder of calibkit train; or, with --model, weights in .safetensors, .pt or
    .pth. Networks are asked about the rows of --data. Run folders without --data stand for the predictions that they
    hold: test.npz, and val.npz for the temperatures.

    Without calibration rows the temperature of each model is cross-fitted over 5 folds of the same rows. One FILE
    alone is shown before and after scaling.
    """
    from rich.console import Console

    from calibkit import render
    from calibkit.comparison import compare
    from calibkit.plots import comparison_figure, save_figure

    reading, judging = split_options(options)
    networks = Networks(model=model, data=data, divide_by=divide_by, batch_size=batch_size, device=device)
    networks.check(files, reading)
    check_paths((*files, *calibrate_on, *([] if data is None else [data])), figure, reading)
    named = dict(zip(model_names(files), files, strict=True))
    if reference in files:
        reference = list(named)[files.index(reference)]
    calibration = _calibration_rows(named, networks, calibrate_on, calibrate_split, reading)
    with naming_files(_held_by(named, networks, calibrate_on, calibrate_split)):
        models = load_models(named, networks, reading)
        result = compare(
            models,
            reference=reference,
            pairs="all" if all_pairs else "reference",
            paired=not unpaired,
            margin=margin,
            calibrate_on=calibration,
            **judging,
        )
    if figure is not None:
        save_figure(comparison_figure(result), figure)
    if as_json:
        click.echo(render.to_json(result.to_dict()))
    elif as_markdown:
        click.echo(render.markdown(result.to_dict()))
    else:
        render.print_comparison(result.to_dict(), Console())


def _calibration_rows(
    files: Mapping[str, str],
    networks: Networks,
    calibrate_on: tuple[str, ...],
    calibrate_split: str | None,
    reading: dict[str, Any],
) -> "dict[str, Predictions] | None":
    """Calibration rows of each model: a file each, a split of the model's own file, or rows that networks predict."""
    if calibrate_on and calibrate_split:
        raise click.UsageError("give --calibrate-on or --calibrate-split, not both")
    if calibrate_split:
        network = next((path for path in files.values() if networks.is_network(path)), None)
        if network is not None:
            raise click.UsageError(f"--calibrate-split is for files of predictions; for {network} give --calibrate-on")
        reading = reading | {"split": calibrate_split}
        return {name: load_rows(path, name, reading) for name, path in files.items()}
    reading = {key: value for key, value in reading.items() if key != "split"}
    return load_calibration(files, networks, reading, calibrate_on)


def _held_by(
    files: Mapping[str, str], networks: Networks, calibrate_on: tuple[str, ...], calibrate_split: str | None
) -> dict[str, str]:
    """The files that hold the evaluated and the calibration rows, by what complaints call them."""
    if len(calibrate_on) == len(files) and networks.data is None:
        where = calibrate_on
    else:
        where = tuple(f"{path} (split {calibrate_split})" if calibrate_split else path for path in files.values())
    calibration = {f"{name} (calibration rows)": path for name, path in zip(files, where, strict=True)}
    return calibration | dict(files)
