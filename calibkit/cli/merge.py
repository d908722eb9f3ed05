"""``calibkit merge STATE...``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from calibkit.cli.evaluate import OUTPUT, check_output, print_results
from calibkit.cli.options import check_outputs, check_paths, with_options

if TYPE_CHECKING:
    from calibkit.one_pass import Which


@click.command("merge", short_help="One evaluation from saved states of parts of the rows.")
@click.argument("states", nargs=-1, required=True, metavar="STATE...")
@click.option("-o", "--output", metavar="OUT.ckst", help="Write the merged state.")
@click.option("--allow-duplicates", is_flag=True, help="Allow that two states hold the same file, or the same rows.")
@click.option("--confidence-level", default=0.95, show_default=True, type=float, help="Level of intervals; 0 for none.")
@click.option("--seed", "rng", default=0, show_default=True, type=int, help="Seed of what is drawn at random.")
@with_options(OUTPUT)
def merge_command(
    states: tuple[str, ...],
    output: str | None,
    allow_duplicates: bool,
    confidence_level: float,
    rng: int,
    everything: bool,
    as_json: bool,
    as_markdown: bool,
    table: str | None,
) -> None:
    """One evaluation from the states that calibkit evaluate --save-state left, in any order, on any machine.

    The result does not depend on how the rows were shared out. A file that two states hold is refused, and so are
    states of other settings or of another version.
    """
    from calibkit.files import expand
    from calibkit.shards import merge_states
    from calibkit.state import CalibrationState

    check_output(as_json=as_json, as_markdown=as_markdown)
    paths = expand(states, allow_duplicates=allow_duplicates)
    check_paths(paths, output, {})
    check_paths(paths, table, {})
    check_outputs(output, table, flag="--output")
    named = ((path, CalibrationState.load(path)) for path in paths)
    state = merge_states(named, allow_duplicates=allow_duplicates)
    if output is not None:
        state.save(output)
    name = Path(output).stem if output else "merged"
    level = None if confidence_level == 0 else confidence_level
    metrics: Which = "all" if everything else "standard"
    result = state.evaluation(name=name, confidence_level=level, rng=rng, metrics=metrics)
    print_results([result.to_dict()], as_json=as_json, as_markdown=as_markdown, table=table)
