"""Run a command as a user would, in this process."""

import pytest

from calibkit.cli import main


@pytest.fixture
def run_command(capsys):
    """Run ``calibkit`` with these arguments, which must succeed; what it printed."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert end.value.code == 0, captured.err
        return captured.out

    return run
