"""The group of commands, and the one table from errors to exit codes."""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from calibkit import __version__
from calibkit.cli.compare import compare_command
from calibkit.cli.evaluate import evaluate_command
from calibkit.cli.flags import in_flags
from calibkit.cli.inspect import inspect_command
from calibkit.cli.plot import plot_command
from calibkit.cli.train import demo_command, train_command
from calibkit.errors import CalibkitError, MissingExtraError, OptionError, OutputError

# First match wins: from the particular to the general.
EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (click.UsageError, 2),
    (OptionError, 2),
    (MissingExtraError, 3),
    (OutputError, 5),
    (CalibkitError, 4),
    (click.Abort, 130),
    (KeyboardInterrupt, 130),
)
BUG = 70


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="calibkit", message="%(prog)s %(version)s")
def cli() -> None:
    """Measure whether a classifier's probabilities can be trusted.

    Evaluate saved predictions, draw reliability diagrams, compare checkpoints on the same rows before and after
    temperature scaling, and train a network with and without label smoothing.

    Exit codes: 0 fine, 2 usage, 3 a missing optional dependency, 4 bad input, 5 output not written, 70 a bug.
    """


for _command in (
    evaluate_command,
    plot_command,
    compare_command,
    inspect_command,
    train_command,
    demo_command,
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code; a user's error is one message on standard error, never a traceback."""
    try:
        code = cli.main(
            args=None if arguments is None else list(arguments), prog_name="calibkit", standalone_mode=False
        )
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away (`| head`): nothing to say, and nothing may be said by the interpreter at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except BaseException as error:
        sys.exit(exit_code(error))
    sys.exit(code if isinstance(code, int) else 0)


def exit_code(error: BaseException) -> int:
    """Say what went wrong on standard error, and give the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0
    if isinstance(error, click.ClickException):
        error.show()
    for kind, code in EXIT_CODES:
        if isinstance(error, kind):
            if code == 130:
                click.echo("interrupted", err=True)
            elif not isinstance(error, click.ClickException):
                click.echo(f"calibkit: error: {in_flags(str(error))}", err=True)
            return code
    traceback.print_exception(error)
    click.echo(f"calibkit {__version__}: this is a bug in calibkit, not in your data; please report it.", err=True)
    return BUG
