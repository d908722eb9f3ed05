"""``calibkit predict``."""

from typing import Any

import click

from calibkit.cli.checkpoints import NETWORK, say_part
from calibkit.cli.options import OF_ROWS, ROWS, check_paths, model_names, with_options


@click.command("predict", short_help="Predictions of a saved network for labelled rows, as a file.")
@click.option("--checkpoint", required=True, metavar="FILE", help="Weights (.safetensors, .pt, .pth), or a run folder.")
@click.option("--model", metavar="FACTORY", help="package.module:factory that makes the network; not for a run folder.")
@with_options(NETWORK)
@click.option("--split", default="test", show_default=True, help="Of the data that trained a run: test or val.")
@with_options(ROWS)
@click.option("-o", "--output", required=True, metavar="FILE", help="Predictions file to write: .npz.")
@click.option("--name", help="What results call these predictions; by default the name of the checkpoint.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def predict_command(checkpoint: str, output: str, name: str | None, *, force: bool, **options: Any) -> None:
    """Predictions of a saved network for labelled rows, as a file for evaluate, plot and compare.

    FACTORY is a function without arguments, or a class, that makes the network. The rows are those of a loader of
    (inputs, labels) of yours, or x and y of an .npz file: given as float32, as they are or divided by --divide-by; a
    run folder scales them as it was trained. What is imported from your code is said on standard error before it is.
    """
    from calibkit.files import save
    from calibkit.render import sanitise
    from calibkit.training import predict_checkpoint

    if options["data"] is None:
        raise click.UsageError("give the rows to predict with --data")
    check_paths((checkpoint, options["data"]), output, {})
    _check_output(output, force=force)
    name = model_names([checkpoint])[0] if name is None else name
    given = {key: value for key, value in options.items() if key not in OF_ROWS or value is not None}
    predictions = predict_checkpoint(checkpoint, name=name, **given)
    say_part(predictions)
    save(predictions, output)
    click.echo(f"wrote {sanitise(output)}: {len(predictions):,} rows, {predictions.n_classes} classes")


def _check_output(output: str, *, force: bool) -> None:
    """Refuse, before the network runs, an output that could not be saved or is there already."""
    from pathlib import Path

    from calibkit.errors import OutputError
    from calibkit.files.contents import shown

    path = Path(output)
    if path.suffix.lower() != ".npz":
        raise OutputError(f"{shown(output)}: predictions are saved as .npz; give a name that ends so")
    if not path.parent.is_dir():
        raise OutputError(f"{shown(output)}: there is no folder {shown(str(path.parent))}")
    if not force and path.exists():
        raise OutputError(f"{shown(output)}: is there already; pass overwrite=True to replace it, or give another name")
