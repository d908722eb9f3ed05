"""The door: exit codes, flags in messages, help, version."""

import subprocess
import sys

import click
import pytest

import calibkit
from calibkit import errors
from calibkit.cli.flags import in_flags
from calibkit.cli.main import cli, exit_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.UsageError("x"), 2),
        (errors.OptionError("x"), 2),
        (errors.MissingExtraError("x"), 3),
        (errors.InputFormatError("x"), 4),
        (errors.LabelError("x"), 4),
        (errors.ShapeError("x"), 4),
        (errors.LimitError("x"), 4),
        (errors.OutputError("x"), 5),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (RuntimeError("x"), 70),
    ],
)
def test_every_error_has_its_exit_code(error, code, capsys):
    assert exit_code(error) == code
    said = capsys.readouterr().err
    assert ("Traceback" in said or "RuntimeError" in said) == (code == 70)
    assert said


def test_every_error_is_a_value_error():
    for name in dir(errors):
        kind = getattr(errors, name)
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert issubclass(kind, errors.CalibkitError)
            assert issubclass(kind, ValueError)


@pytest.mark.parametrize(
    ("message", "flags"),
    [
        ('Drop them with invalid="drop".', "Drop them with --invalid drop."),
        ("labels start at 1: pass label_base=1?", "labels start at 1: pass --label-base 1?"),
        ("or ignore_index=-100", "or --ignore-index -100"),
        ("n_bins=0: expected", "--bins 0: expected"),
        ("renormalize=True divides", "--renormalize divides"),
        ("clip=1e-12 bounds", "--clip 1e-12 bounds"),
    ],
)
def test_keywords_become_flags(message, flags):
    assert in_flags(message) == flags


def test_help_lists_every_command(run):
    done = run("--help")
    assert done.code == 0
    assert set(cli.commands) == {
        "evaluate",
        "plot",
        "compare",
        "recalibrate",
        "merge",
        "plan",
        "inspect",
        "predict",
        "train",
        "study",
        "demo",
    }
    for command in cli.commands:
        assert command in done.out
        assert run(command, "--help").code == 0


def test_version_and_module(run):
    assert run("--version").out == f"calibkit {calibkit.__version__}\n"
    done = subprocess.run([sys.executable, "-m", "calibkit", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"calibkit {calibkit.__version__}\n"


def test_a_reader_that_goes_away_is_no_error(pair):
    command = f"{sys.executable} -m calibkit evaluate {pair['sharp']} --json | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
