"""Run a command as a user would, in this process; how many examples Hypothesis looks at."""

import sys

import pytest
from hypothesis import HealthCheck, settings

from calibkit.cli import main

# An example takes as long as it takes: the machine may be busy.
PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", max_examples=200, **PATIENT)
settings.register_profile("nightly", max_examples=10_000, **PATIENT)
settings.load_profile("ci")  # --hypothesis-profile=nightly takes the other


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


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """Write a module of a user's in the current folder; its name. What its import changes is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)

    def write(source, name=None):
        name = f"user_code_{len(list(tmp_path.rglob('*.py')))}" if name is None else name
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return name

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or tmp_path).startswith(str(tmp_path)):
            del sys.modules[name]
