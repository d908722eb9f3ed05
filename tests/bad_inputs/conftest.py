"""The command line in process, as the tests of the command line run it."""

from tests.cli.conftest import run  # noqa: F401 - a fixture
