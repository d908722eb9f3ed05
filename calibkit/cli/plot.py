"""``calibkit plot FILE... -o reliability.png``."""

from typing import Any

import click

from calibkit.cli.options import (
    JUDGING,
    READING,
    check_paths,
    load_all,
    model_names,
    naming_files,
    split_options,
    with_options,
)


@click.command("plot", short_help="Reliability diagrams of saved predictions.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("-o", "--output", required=True, metavar="FILE", help="Picture to write: .png, .svg or .pdf.")
@click.option("--overlay", is_flag=True, help="Draw all models into one diagram instead of side by side.")
@click.option(
    "--corp",
    is_flag=True,
    help="Draw the curve without bins (CORP), and the band of calibrated models unless rows are grouped.",
)
@click.option(
    "--band",
    type=click.Choice(["consistency", "confidence"]),
    help="Draw the curve without bins with a band: where curves of calibrated models lie (consistency, as --corp), or "
    "where the true curve is (confidence).",
)
@with_options(JUDGING)
@with_options(READING)
def plot_command(
    files: tuple[str, ...], output: str, overlay: bool, corp: bool, band: str | None, **options: Any
) -> None:
    """Reliability diagrams with per-bin intervals and the confidence histogram, side by side or overlaid."""
    from calibkit.corp import curve_of_predictions
    from calibkit.evaluating import evaluate
    from calibkit.plots import reliability_figure, save_figure
    from calibkit.plots.words import refuse_classwise
    from calibkit.render import sanitise

    reading, judging = split_options(options)
    check_paths(files, output, reading)
    refuse_classwise(judging["view"])
    with naming_files(dict(zip(model_names(files), files, strict=True))):
        models = list(load_all(files, reading).values())
        results = [evaluate(p, **judging) for p in models]
        drawn = {name: judging[name] for name in ("view", "rng")} | {"level": judging["confidence_level"]}
        drawn |= {"band": band} if band else {}
        curves = [curve_of_predictions(p, **drawn) for p in models] if corp or band else None
    save_figure(reliability_figure(results, overlay=overlay, corp=curves), output)
    click.echo(f"wrote {sanitise(output)}")
