"""``calibkit train`` and ``calibkit demo``."""

import json
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
@click.option("--batch-size", default=64, show_default=True, type=int, help="Rows per batch.")
@click.option("--lr", default=2e-3, show_default=True, type=float, help="Learning rate of AdamW.")
@click.option("--weight-decay", default=0.01, show_default=True, type=float, help="Weight decay of AdamW.")
@click.option(
    "--schedule", default="constant", show_default=True, help="Of the learning rate: constant, or cosine down to 0."
)
@click.option("--warmup-steps", default=0, show_default=True, type=int, help="Steps over which the rate first rises.")
@click.option("--accumulate", default=1, show_default=True, type=int, help="Batches per step.")
@click.option("--clip-norm", type=float, help="Largest norm of a step's gradients.")
@click.option("--ema", type=float, help="Decay of a moving average of the weights, such as 0.999; it is kept.")
@click.option(
    "--precision", default="float32", show_default=True, help="In training: float32, bfloat16, float16 (CUDA)."
)
@click.option("--deterministic", is_flag=True, help="Refuse operations that do not repeat bit for bit.")
@click.option(
    "--hidden", default="512,512", show_default=True, callback=widths, metavar="WIDTHS", help="Hidden layers' widths."
)
@click.option(
    "--criterion", default="nll", show_default=True, help="Which epoch's weights are kept: nll, accuracy or last."
)
@click.option("--patience", type=int, help="Stop after so many epochs without a better one by the criterion.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:0, mps.")
@click.option("--out", required=True, metavar="DIR", help="Run folder to write.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, from its last checkpoint.")
@click.option("--force", is_flag=True, help="Replace a run that is in the folder.")
def train_command(out: str, *, force: bool, **options: Any) -> None:
    """Train a multilayer perceptron with hard or smoothed labels.

    The rows are split by the seed into train, selection, calibration and test (60/10/10/20). Runs that differ in
    smoothing alone are twins: same rows, same initial weights, same batches. The folder gets a checkpoint after every
    epoch, weights.safetensors and resume.pt; then val.npz (the calibration rows, which selected nothing), test.npz and
    run.json. A run that was stopped goes on with the same command and --resume.
    """
    from calibkit.render import sanitise
    from calibkit.training import train_run

    folder = train_run(out, overwrite=force, **options)
    click.echo(f"wrote {sanitise(str(folder))}: weights.safetensors, run.json, val.npz, test.npz, resume.pt")
    if options["patience"] is not None:
        click.echo(json.loads((folder / "run.json").read_text())["ended"])


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
