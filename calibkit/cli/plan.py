"""``calibkit plan``."""

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


@click.command("plan", short_help="How many rows a test set needs, or what its rows can show.")
@click.option("--ece", type=float, metavar="E", help="A true ECE that shall be detected: its interval lies above 0.")
@click.option("--width", type=float, metavar="W", help="Intervals shall reach W to either side, on average.")
@click.option("--difference", type=float, metavar="D", help="A true difference of two models that shall be detected.")
@click.option("--rows", type=int, metavar="N", help="Instead of --width and --difference: what N rows can show.")
@click.option("--power", default=0.8, show_default=True, type=float, help="How often what is there shall be found.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="ece, nll, brier or accuracy; by default all. Repeatable.",
)
@click.option(
    "--like", multiple=True, metavar="FILE", help="A pilot with rows like those to come; twice for two models of them."
)
@click.option(
    "--correlation", default=0.5, show_default=True, type=float, help="What two models share, where no two pilots tell."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON of schema calibkit.plan/1.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
@with_options(JUDGING)
@with_options(READING)
def plan_command(
    metrics: tuple[str, ...], like: tuple[str, ...], as_json: bool, as_markdown: bool, **options: Any
) -> None:
    """How many rows a test set needs to detect an ECE or a difference, or what the rows that there are can show.

    Without --like a population is assumed: top labels of ten classes, mean confidence .88. --ece beside --width,
    --difference or --rows is also the ECE of the model, or of the reference of two. --like takes every file that
    calibkit evaluate takes.
    """
    from rich.console import Console

    from calibkit import render
    from calibkit.planning import plan

    if as_json and as_markdown:
        raise click.UsageError("--json and --markdown are two outputs: give one of them")
    if len(like) > 2:
        raise click.UsageError("--like takes one pilot, or two of the same rows")
    reading, settings = split_options(options)
    if reading and not like:
        raise click.UsageError(f"--{next(iter(reading)).replace('_', '-')} is about a pilot: give its file with --like")
    check_paths(like, None, reading)
    asked = {name: options[name] for name in ("ece", "width", "difference", "rows", "power", "correlation")}
    with naming_files(dict(zip(model_names(like), like, strict=True))):
        pilots = list(load_all(like, reading).values())
        result = plan(**asked, **settings, metrics=metrics or None, like=pilots or None).to_dict()
    if as_json:
        click.echo(render.to_json(result))
    elif as_markdown:
        click.echo(render.markdown(result))
    else:
        render.print_plan(result, Console())
