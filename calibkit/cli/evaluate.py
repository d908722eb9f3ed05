"""``calibkit evaluate FILE...``."""

from typing import Any, Literal

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


@click.command("evaluate", short_help="Accuracy, NLL, Brier score and ECE of saved predictions, with intervals.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON of schema calibkit.evaluation/1.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--all", "everything", is_flag=True, help="Add every metric that is computed on request, by question.")
@click.option("--table", metavar="OUT.csv", help="Write the per-bin table as CSV.")
@with_options(JUDGING)
@with_options(READING)
def evaluate_command(
    files: tuple[str, ...], as_json: bool, as_markdown: bool, everything: bool, table: str | None, **options: Any
) -> None:
    """Accuracy, NLL, Brier score, ECE and more of saved predictions, each with its interval and its convention.

    FILE is .npz, .npy, .safetensors, .pt, .csv, .parquet, .arrow, .feather or .jsonl; - reads CSV or JSON lines
    from standard input. Arrays and columns named labels, logits, probs, prob, pred, conf, correct, id, weight and
    group are recognised; calibkit inspect FILE shows what would be read.
    """
    from rich.console import Console

    from calibkit import render
    from calibkit.evaluation import evaluate
    from calibkit.files import write_text

    if as_json and as_markdown:
        raise click.UsageError("--json and --markdown are two outputs: give one of them")
    reading, judging = split_options(options)
    metrics: Literal["standard", "all"] = "all" if everything else "standard"
    check_paths(files, table, reading)
    with naming_files(dict(zip(model_names(files), files, strict=True))):
        results = [evaluate(p, metrics=metrics, **judging).to_dict() for p in load_all(files, reading).values()]
    whole = results[0] if len(results) == 1 else {"schema": "calibkit.evaluations/1", "evaluations": results}
    if table is not None:
        write_text(table, render.bin_table_csv(results))
    if as_json:
        click.echo(render.to_json(whole))
    elif as_markdown:
        click.echo(render.markdown(whole))
    else:
        render.print_evaluations(results, Console())
