"""The door of the annex: without torch it says what to install."""

import subprocess
import sys

import calibkit.training


def test_without_torch_the_message_holds_the_command():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from calibkit.errors import MissingExtraError\n"
        "try:\n    import calibkit.training.smoothing\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "calibkit[train]"' in done.stdout


def test_every_public_name_is_there():
    assert len(set(calibkit.training.__all__)) == len(calibkit.training.__all__)
    for name in calibkit.training.__all__:
        assert getattr(calibkit.training, name).__doc__


def test_importing_it_needs_no_more_than_torch():
    code = "import sys, calibkit.training; print({'sklearn', 'matplotlib', 'safetensors', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
