"""The group of commands, and the one table from errors to exit codes."""

import os
import sys
import traceback
from collections.abc import Sequence
from io import StringIO
from typing import NoReturn

import click

from calibkit import __version__
from calibkit.cli.compare import compare_command
from calibkit.cli.evaluate import evaluate_command
from calibkit.cli.flags import in_flags
from calibkit.cli.inspect import inspect_command
from calibkit.cli.merge import merge_command
from calibkit.cli.plan import plan_command
from calibkit.cli.plot import plot_command
from calibkit.cli.predict import predict_command
from calibkit.cli.recalibrate import recalibrate_group
from calibkit.cli.study import study_command
from calibkit.cli.train import demo_command, train_command
from calibkit.errors import CalibkitError, LimitError, MissingExtraError, OptionError, OutputError

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
    temperature scaling, recalibrate them, plan how many rows a test set needs, make predictions of a saved network, and
    train one with and without label smoothing.

    Exit codes: 0 fine, 2 usage, 3 a missing optional dependency, 4 bad input, 5 output not written, 70 a bug,
    130 interrupted.
    """


for _command in (
    evaluate_command,
    merge_command,
    plot_command,
    compare_command,
    recalibrate_group,
    plan_command,
    inspect_command,
    predict_command,
    train_command,
    study_command,
    demo_command,
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code; a user's error is one message on standard error, never a traceback."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if sys.stderr is None:
        # Closed by whoever started us; libraries that are imported later write to it.
        sys.stderr = StringIO()
    try:
        _make_printable()
        code = cli.main(args=given, prog_name="calibkit", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        # The reader went away (`| head`): nothing to say, and nothing may be said by the interpreter at exit. Nobody
        # but click and rich exits in there, and they do it for this reason alone.
        _discard_output()
        sys.exit(0)
    except BaseException as error:
        sys.exit(exit_code(error, given))
    sys.exit(code if isinstance(code, int) else 0)


def exit_code(error: BaseException, arguments: Sequence[str] = ()) -> int:
    """Say what went wrong on standard error, and give the exit code."""
    if isinstance(error, click.ClickException):
        text = StringIO()
        error.show(text)
        click.echo("\n".join(map(_harmless, text.getvalue().rstrip("\n").split("\n"))), err=True)
    if isinstance(error, MemoryError):
        error = LimitError(f"not enough memory ({error}); give fewer rows, or store them as float32")
    if _is_of_output(error):
        _discard_output()
        error = OutputError(f"standard output: cannot be written: {getattr(error, 'strerror', None) or error}")
    for kind, code in EXIT_CODES:
        if isinstance(error, kind):
            if code == 130:
                # click puts an Abort of its own in the place of a KeyboardInterrupt, which may say where it stopped.
                said = in_flags(str(error) or str(error.__cause__ or ""), arguments=arguments)
                click.echo(f"interrupted{': ' * bool(said)}{_harmless(said)}", err=True)
            elif not isinstance(error, click.ClickException):
                said = in_flags(str(error), arguments=arguments)
                click.echo(f"calibkit: error: {_harmless(said)}", err=True)
            return code
    traceback.print_exception(error)
    click.echo(f"calibkit {__version__}: this is a bug in calibkit, not in your data; please report it.", err=True)
    return BUG


def _make_printable() -> None:
    """Let a terminal that cannot show a character show its number instead."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _is_of_output(error: BaseException) -> bool:
    """Whether writing to standard output failed: errors of files name their file, or are CalibkitErrors."""
    return isinstance(error, OSError) and not isinstance(error, CalibkitError) and error.filename is None


def _discard_output() -> None:
    """Send what is still to be printed nowhere, or the interpreter would complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _harmless(message: str) -> str:
    """One line that no name in it can turn into a terminal's command."""
    from calibkit.render.names import SENTENCE_LENGTH, sanitise

    return sanitise(message, limit=2 * SENTENCE_LENGTH)
