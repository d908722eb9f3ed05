"""One tiny study that the tests share, and rows whose effects are known."""

import pytest

from calibkit.training.study import cost, run_study

TINY = {"seeds": 2, "epochs": 1, "hidden": (4,), "noises": (0.0, 0.2), "jobs": 1, "progress": False}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A study of two seeds, made once; look, but do not change its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "REPEATS", 3)
        return run_study(tmp_path_factory.mktemp("study"), **TINY)


@pytest.fixture(autouse=True)
def few_repeats(monkeypatch):
    monkeypatch.setattr(cost, "REPEATS", 3)
