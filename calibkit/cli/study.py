"""``calibkit study``."""

from typing import Any

import click

from calibkit.cli.train import widths


@click.command("study", short_help="Test on your data what is said about label smoothing; writes a page of verdicts.")
@click.option(
    "--data", multiple=True, default=("digits",), show_default=True, help="digits, or an .npz with x and y; repeatable."
)
@click.option("--out", required=True, metavar="DIR", help="Folder of the runs; an earlier study in it goes on.")
@click.option("--page", metavar="FILE.md", help="The page; by default what-smoothing-does.md in the folder.")
@click.option("--seeds", default=10, show_default=True, type=int, help="Number of seeds, at least 2.")
@click.option("--smoothing", "smoothings", multiple=True, type=float, help="One more smoothing; repeatable.")
@click.option(
    "--noise",
    "noises",
    multiple=True,
    default=(0.0, 0.2, 0.4),
    show_default=True,
    type=float,
    help="A fraction of labels to flip; repeatable.",
)
@click.option("--epochs", default=100, show_default=True, type=int, help="Passes over the training rows.")
@click.option(
    "--hidden", default="128,128", show_default=True, callback=widths, metavar="WIDTHS", help="Hidden layers' widths."
)
@click.option("--train-rows", default=2000, show_default=True, type=int, help="Most rows to train on.")
@click.option("--jobs", type=int, help="Runs at a time; by default CALIBKIT_THREADS or all cores.")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda, cuda:0, mps.")
@click.option("--table", default="csv", show_default=True, help="Format of the table of runs: csv or parquet.")
def study_command(out: str, **options: Any) -> None:
    """Test on your own data what textbooks say about label smoothing.

    Trains a small network many times: smoothings, label noise, other losses, two classes, other regularisation, small
    networks, each with every seed. Writes a table of all runs, a figure, and a page that gives each of twelve claims
    a verdict by written rules. A run that is finished is not done again: stop it whenever you like, and give the same
    command to go on.
    """
    from calibkit.render import sanitise
    from calibkit.training import run_study

    study = run_study(out, **options)
    for sentence in study.summary:
        click.echo(sanitise(sentence, limit=len(sentence)))
    files = ", ".join(sanitise(str(path)) for path in (study.page, study.table, *study.figures))
    click.echo(f"\n{study.n_runs:,} runs. Wrote {files}")
