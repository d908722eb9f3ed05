"""The user's code is imported by name, said before it is, and told by file and line when it fails."""

import sys

import pytest
from torch import nn

from calibkit.errors import CalibkitError, DataError, InputFormatError, OptionError
from calibkit.training.user_code import is_reference, load_attribute, make_loader, make_model, name_of, told_by_line

NETS = """
import sys
from torch import nn

print("as it is imported")
sys.stderr.write("nets speaks\\n")

def build():
    print("as it is built")
    return nn.Linear(3, 2)

class Net(nn.Linear):
    def __init__(self):
        super().__init__(3, 2)

class Zoo:
    @staticmethod
    def small():
        return nn.Linear(3, 2)

def fails():
    return 1 / 0

def wants(width):
    return nn.Linear(width, 2)

def leaves():
    sys.exit(3)

def gives_text():
    return "nn.Linear"

made = nn.Linear(3, 2)
number = 7
"""


@pytest.mark.parametrize(
    ("text", "whether"),
    [
        ("nets:build", True),
        ("package.nets:Zoo.small", True),
        ("netze.größe:über", True),
        ("nets", False),
        (":build", False),
        ("nets:", False),
        ("./nets:build", False),
        ("C:\\rows.npz", False),
        ("nets:build:more", False),
        ("nets:build()", False),
        ("nets.:build", False),
        (7, False),
    ],
)
def test_what_names_an_attribute(text, whether):
    assert is_reference(text) is whether


@pytest.mark.parametrize("path", ["build", "Net", "Zoo.small"])
def test_a_factory_is_a_function_or_a_class(user_module, capsys, path):
    name = user_module(NETS)
    model = make_model(f"{name}:{path}")
    assert isinstance(model, nn.Linear)
    captured = capsys.readouterr()
    assert captured.out == ""  # what the user's code prints must not end up in JSON
    said, spoken = captured.err.splitlines()[:2]
    assert said == f"importing {path} from {name} (file {sys.modules[name].__file__})"
    assert spoken == "as it is imported"  # after it was said


def test_an_import_is_said_once(user_module, capsys):
    name = user_module(NETS)
    for _ in range(2):
        make_model(f"{name}:build")
    assert capsys.readouterr().err.count("importing") == 1


def test_a_package_in_the_current_folder(user_module):
    user_module("", "zoo.__init__")
    assert isinstance(make_model(f"{user_module(NETS, 'zoo.nets')}:build"), nn.Linear)


def test_nothing_is_imported_in_looking_for_a_module(user_module):
    user_module("raise RuntimeError('imported')", "loud.__init__")
    user_module(NETS, "loud.nets")
    with pytest.raises(OptionError, match=r"there is no module loud\.nest in .*loud, .* Did you mean nets\?"):
        load_attribute("loud.nest:build", option="model", example="factory")
    assert "loud" not in sys.modules


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("bild", OptionError, r"model='NAME:bild': NAME has no bild\. Did you mean build\?"),
        ("Zoo.large", OptionError, r"NAME has no large\. Did you mean small"),
        ("number", OptionError, "is of type int; expected a function without arguments"),
        ("made", OptionError, "is of type Linear; expected a function without arguments"),
        ("fails", InputFormatError, r"making the network: .*NAME\.py, line 22, in fails: ZeroDivisionError: division"),
        ("wants", InputFormatError, r"making the network: TypeError: wants\(\) missing 1 required .* 'width'"),
        ("leaves", InputFormatError, r"NAME\.py, line 28, in leaves: it ends the program \(SystemExit: 3\)"),
        ("gives_text", InputFormatError, r"returned str; expected a torch\.nn\.Module"),
    ],
)
def test_factories_that_are_none(user_module, path, error, message):
    name = user_module(NETS)
    with pytest.raises(error, match=message.replace("NAME", name)):
        make_model(f"{name}:{path}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import torch\nimport no_such_thing\n", r"\.py, line 2, in <module>: ModuleNotFoundError: No module named"),
        ("x = 1\ndef build(:\n    pass\n", r"\.py, line 2: SyntaxError: invalid syntax"),
        ("raise KeyError('width')\n", r"\.py, line 1, in <module>: KeyError: 'width'"),
        ("import sys\nsys.exit('usage: nets.py DATA')\n", r'put that under if __name__ == "__main__":'),
    ],
)
def test_modules_that_cannot_be_imported(user_module, source, message):
    with pytest.raises(InputFormatError, match=message):
        make_model(f"{user_module(source)}:build")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nets", r"model='nets': expected package\.module:factory"),
        ("nets.py:build", r"Write nets, without \.py"),
        ("nets.deeper:build", "nets is a module, not a package; it holds no module deeper"),
        ("nets_of_mine:build", "there is no module nets_of_mine"),
    ],
)
def test_references_that_lead_nowhere(user_module, reference, message):
    user_module(NETS, "nets")
    with pytest.raises(OptionError, match=message):
        make_model(reference)


LOADERS = """
batches = [([[1.0, 2.0]], [0])]

def loader():
    return batches

def fails():
    return open("absent.txt")

number = 3
"""


def test_a_loader_is_an_iterable_or_a_function_that_returns_one(user_module):
    name = user_module(LOADERS)
    assert make_loader(f"{name}:batches") is make_loader(f"{name}:loader") is sys.modules[name].batches
    with pytest.raises(InputFormatError, match=r"data='.*:number': gave int; expected an iterable"):
        make_loader(f"{name}:number")
    with pytest.raises(InputFormatError, match=r"line 8, in fails: FileNotFoundError"):
        make_loader(f"{name}:fails")


def test_names_for_provenance():
    assert name_of("nets:build") == "nets:build"
    assert name_of(nn.Linear) == "torch.nn.modules.linear:Linear"
    assert name_of([1, 2]) == "builtins:list"


def test_own_errors_and_interruptions_pass():
    for error in (DataError("row 3"), MemoryError(), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, told_by_line("predicting"):
            raise error
        assert caught.value is error


def test_an_error_without_a_line_of_the_users():
    with pytest.raises(CalibkitError, match=r"^predicting: .*ValueError: invalid literal"), told_by_line("predicting"):
        int("twelve")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # torch forks its workers
def test_an_error_in_a_worker_of_a_loader(user_module):
    """Torch raises it again in this process, with the worker's lines in its message."""
    name = user_module(
        "from torch.utils.data import DataLoader, Dataset\n\nclass Rows(Dataset):\n    def __len__(self):\n"
        "        return 4\n\n    def __getitem__(self, row):\n        return {}['label']\n\n"
        "def loader():\n    return DataLoader(Rows(), num_workers=1)\n"
    )
    loader = make_loader(f"{name}:loader")
    with pytest.raises(InputFormatError) as caught, told_by_line("predicting"):
        next(iter(loader))
    assert str(caught.value) == f"predicting: {sys.modules[name].__file__}, line 8, in __getitem__: KeyError: 'label'"
