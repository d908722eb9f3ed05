"""``calibkit inspect FILE``."""

from typing import Any

import click

from calibkit.cli.flags import in_flags
from calibkit.cli.options import READING, READING_NAMES, with_options


@click.command("inspect", short_help="What a file holds, and what would be read from it.")
@click.argument("file", metavar="FILE")
@with_options(READING)
def inspect_command(file: str, **options: Any) -> None:
    """Arrays or columns of FILE with their shapes and types, and what calibkit would read from it."""
    from rich.console import Console

    from calibkit import render
    from calibkit.files import inspect

    given = {name: options[name] for name in READING_NAMES if options[name] is not None}
    contents = inspect(file, **given).to_dict()
    said = {key: in_flags(contents[key]) for key in ("reading", "problem") if contents[key] is not None}
    render.print_contents(contents | said, Console())
