"""``calibkit evaluate FILE...``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

from calibkit.cli.options import (
    JUDGING,
    READING,
    check_one,
    check_outputs,
    check_paths,
    load_rows,
    model_names,
    naming_files,
    split_options,
    with_options,
)
from calibkit.cli.progress import ProgressLine
from calibkit.cli.sizes import number_of_bytes
from calibkit.cli.together import Together, name_together

if TYPE_CHECKING:
    from calibkit.evaluation import Evaluation

OUTPUT = (
    click.option(
        "--all", "everything", is_flag=True, help="Add every metric that is computed on request, by question."
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON of schema calibkit.evaluation/1."),
    click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table."),
    click.option("--table", metavar="OUT.csv", help="Write the per-bin table as CSV."),
)


@click.command("evaluate", short_help="Accuracy, NLL, Brier score and ECE of saved predictions, with intervals.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--together", is_flag=True, help="FILEs are parts of one test set: one evaluation of all their rows.")
@click.option("--save-state", metavar="OUT.ckst", help="The same, and save its state, for calibkit merge.")
@click.option("--resume", is_flag=True, help="Go on from what --save-state has saved: skip the FILEs that it holds.")
@click.option("--jobs", type=int, metavar="N", help="Processes that read the FILEs of --together.")
@click.option(
    "--scheduler", metavar="ADDRESS", help="Dask reads the FILEs of --together: tcp://HOST:PORT, or local (--jobs N)."
)
@click.option("--allow-duplicates", is_flag=True, help="Allow that FILEs of --together hold the same rows.")
@click.option(
    "--max-memory",
    callback=number_of_bytes,
    metavar="SIZE",
    help="Read a larger FILE block by block into a state; default 4GiB.",
)
@with_options(OUTPUT)
@with_options(JUDGING)
@with_options(READING)
def evaluate_command(
    files: tuple[str, ...],
    together: bool,
    save_state: str | None,
    resume: bool,
    jobs: int | None,
    scheduler: str | None,
    allow_duplicates: bool,
    max_memory: int | None,
    everything: bool,
    as_json: bool,
    as_markdown: bool,
    table: str | None,
    **options: Any,
) -> None:
    """Accuracy, NLL, Brier score, ECE and more of saved predictions, each with its interval and its convention.

    FILE is .npz, .npy, .safetensors, .pt, .csv, .parquet, .arrow, .feather or .jsonl, or a URL; - reads CSV or JSON
    lines from standard input. Arrays and columns named labels, logits, probs, prob, pred, conf, correct, id, weight
    and group are recognised; calibkit inspect FILE shows what would be read.

    Each FILE is a model of its own, unless --together or --save-state say that they are parts of one test set. Then it
    may also be a pattern in quotes, such as 'shards/*.parquet'.
    """
    check_output(as_json=as_json, as_markdown=as_markdown)
    reading, judging = split_options(options)
    metrics: Literal["standard", "all"] = "all" if everything else "standard"
    whole = Together(
        save_state=save_state, resume=resume, jobs=jobs, scheduler=scheduler, allow_duplicates=allow_duplicates
    )
    whole.check(files)
    for path in (table, save_state):
        check_paths(files, path, reading)
    check_outputs(save_state, table, flag="--save-state")
    if together or save_state is not None:
        results = [_of_all(files, whole, reading, judging | {"metrics": metrics})]
    else:
        for flag, value in (("--jobs", jobs), ("--scheduler", scheduler), ("--allow-duplicates", allow_duplicates)):
            if value:
                raise click.UsageError(f"{flag} is for --together or --save-state")
        names = model_names(files)
        with naming_files(dict(zip(names, files, strict=True))):
            judged = zip(names, files, strict=True)
            results = [
                _of_one(path, name, max_memory, reading, judging | {"metrics": metrics}) for name, path in judged
            ]
    print_results([result.to_dict() for result in results], as_json=as_json, as_markdown=as_markdown, table=table)


def check_output(*, as_json: bool, as_markdown: bool) -> None:
    """Refuse two outputs at once."""
    if as_json and as_markdown:
        raise click.UsageError("--json and --markdown are two outputs: give one of them")


def print_results(results: Sequence[dict[str, Any]], *, as_json: bool, as_markdown: bool, table: str | None) -> None:
    """Print evaluations as they were asked for, and write their bin tables."""
    from rich.console import Console

    from calibkit import render
    from calibkit.files import write_text

    whole = results[0] if len(results) == 1 else {"schema": "calibkit.evaluations/1", "evaluations": [*results]}
    if table is not None:
        write_text(table, render.bin_table_csv([*results]))
    if as_json:
        click.echo(render.to_json(whole))
    elif as_markdown:
        click.echo(render.markdown(whole))
    else:
        render.print_evaluations([*results], Console())


def _of_one(
    path: str, name: str, max_memory: int | None, reading: dict[str, Any], judging: dict[str, Any]
) -> "Evaluation":
    """The evaluation of one file, by the way that fits it."""
    from calibkit.evaluating import MAX_MEMORY, evaluate
    from calibkit.evaluation import evaluate_predictions
    from calibkit.files.size import bytes_in_memory

    check_one(path)
    limit = MAX_MEMORY if max_memory is None else max_memory
    if bytes_in_memory(path, **reading) <= limit:
        return evaluate_predictions(load_rows(path, name, reading), **judging)
    with ProgressLine() as line:
        return evaluate([path], name=name, max_memory=limit, progress=line.show, **reading, **judging)


def _of_all(files: Sequence[str], whole: Together, reading: dict[str, Any], judging: dict[str, Any]) -> "Evaluation":
    """The one evaluation of several files, from their state."""
    from calibkit.files import expand

    settings = {key: judging[key] for key in ("view", "n_bins", "binning", "edges", "threads")}
    state = whole.state_of(files, reading, **settings)
    name = name_together(state, expand(files, allow_duplicates=whole.allow_duplicates))
    options = {key: judging[key] for key in ("confidence_level", "rng", "metrics")}
    try:
        return state.evaluation(name=name, **options)
    except KeyboardInterrupt as stop:
        if whole.save_state is None:
            raise
        raise KeyboardInterrupt(f"all files were read: calibkit merge {whole.save_state} evaluates them") from stop
