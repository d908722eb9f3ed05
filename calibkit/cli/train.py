"""``calibkit train`` and ``calibkit demo``."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from calibkit.comparison import Comparison


def widths(_context: click.Context, _option: click.Parameter, value: str) -> tuple[int, ...]:
    """Layer widths from text such as 512,512."""
    try:
        return tuple(int(width) for width in value.split(",") if width.strip())
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of widths such as 512,512") from None


@click.command("train", short_help="Train a small network with label smoothing; writes a run folder.")
@click.option("--smoothing", default=0.0, show_default=True, type=float, help="Label smoothing e, in [0, 1).")
@click.option("--data", default="digits", show_default=True, help="digits, or an .npz file with x and y.")
@click.option("--noise", default=0.0, show_default=True, type=float, help="Fraction of train labels to flip.")
@click.option("--seed", default=0, show_default=True, type=int, help="Seed of split, noise, weights and batches.")
@click.option("--epochs", default=100, show_default=True, type=int, help="Passes over the training rows.")
@click.option(
    "--hidden", default="512,512", show_default=True, callback=widths, metavar="WIDTHS", help="Hidden layers' widths."
)
@click.option(
    "--criterion", default="nll", show_default=True, help="Which epoch's weights are kept: nll, accuracy or last."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:0, mps.")
@click.option("--out", required=True, metavar="DIR", help="Run folder to write.")
@click.option("--force", is_flag=True, help="Replace a run that is in the folder.")
def train_command(out: str, *, force: bool, **options: Any) -> None:
    """Train a multilayer perceptron with hard or smoothed labels.

    The rows are split by the seed into train, selection, calibration and test (60/10/10/20). Runs that differ in
    smoothing alone are twins: same rows, same initial weights, same batches. The folder gets weights.safetensors,
    run.json, val.npz (the calibration rows, which selected nothing) and test.npz.
    """
    from calibkit.render import sanitise
    from calibkit.training import train_run

    folder = train_run(out, overwrite=force, **options)
    click.echo(f"wrote {sanitise(str(folder))}: weights.safetensors, run.json, val.npz, test.npz")


@click.command("demo", short_help="Train hard and smoothed twins on digits and print the verdict.")
@click.option("--out", default="calibkit-demo", show_default=True, metavar="DIR", help="Folder to write.")
@click.option("--seed", default=0, show_default=True, type=int, help="Seed of split, noise, weights and batches.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:0, mps.")
@click.option("--force", is_flag=True, help="Replace the runs of an earlier demo.")
def demo_command(out: str, *, seed: int, device: str, force: bool) -> None:
    """Train the same network with hard and with smoothed labels, and compare what they say.

    Uses scikit-learn's digits (no download) with a tenth of the training labels flipped, takes under a minute, and
    writes run folders, predictions files and figures.
    """
    from rich.console import Console

    from calibkit import render
    from calibkit.training import train_twins

    click.echo("Training the same network twice on 1,080 digits: hard labels, then smoothing 0.1 ...", err=True)
    folders = train_twins(out, seed=seed, device=device, overwrite=force)
    comparison = _compare_runs(folders)
    figures = _write_figures(Path(out), comparison)
    render.print_comparison(comparison.to_dict(), Console())
    click.echo(f"\nWrote {', '.join(render.sanitise(str(path)) for path in (*folders, *figures))}")
    test, val = ([f"{folder}/{part}.npz" for folder in folders] for part in ("test", "val"))
    calibration = [word for path in val for word in ("--calibrate-on", path)]
    command = shlex.join(["calibkit", "compare", *test, *calibration])
    click.echo(f"The same again: {render.sanitise(command, limit=len(command))}")
    click.echo("Your own file:  calibkit evaluate FILE")


def _compare_runs(folders: tuple[Path, ...]) -> "Comparison":
    from calibkit.comparison import compare
    from calibkit.files import load

    return compare(
        {folder.name: load(folder / "test.npz", name=folder.name) for folder in folders},
        calibrate_on={folder.name: load(folder / "val.npz", name=folder.name) for folder in folders},
    )


def _write_figures(out: Path, comparison: "Comparison") -> list[Path]:
    from calibkit.plots import comparison_figure, reliability_figure, save_figure

    figures = [out / "comparison.png", out / "reliability.png"]
    save_figure(comparison_figure(comparison), figures[0])
    save_figure(reliability_figure(list(comparison.models.values())), figures[1])
    return figures
