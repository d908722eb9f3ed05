"""`__all__`, what can be imported, and the reference page name the same things."""

import inspect
import re
from pathlib import Path

import pytest

import calibkit as ck
import calibkit.integrations.torch
import calibkit.training

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference.md"


def documented(heading: str) -> set[str]:
    """Names that start a row of the tables under one second-level heading of the reference page."""
    section = re.split(r"^## ", REFERENCE.read_text(), flags=re.M)
    text = next(s for s in section if s.startswith(heading))
    return set(re.findall(r"^\| `(\w+)`", text, flags=re.M))


def test_every_public_name_can_be_imported_and_is_listed_once():
    assert len(set(ck.__all__)) == len(ck.__all__)
    assert set(ck.__all__) == set(ck._ROOM_OF)
    assert set(ck.__all__) <= set(dir(ck))
    for name in ck.__all__:
        assert getattr(ck, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'ece'"):
        _ = ck.ece


def test_the_reference_page_lists_the_public_names():
    assert documented("calibkit\n") == set(ck.__all__)
    assert documented("calibkit.training\n") == set(calibkit.training.__all__)
    assert documented("calibkit.integrations.torch\n") == set(calibkit.integrations.torch.__all__)


def public_objects():
    for module in (ck, calibkit.training, calibkit.integrations.torch):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield pytest.param(thing, id=f"{module.__name__}.{name}")


@pytest.mark.parametrize("thing", list(public_objects()))
def test_every_public_name_has_a_docstring(thing):
    text = inspect.getdoc(thing) or ""
    assert text.splitlines()[0].endswith((".", "?"))
    if inspect.isfunction(thing) and thing.__module__.startswith("calibkit"):
        assert "Examples" in text
        assert "Raises" in text or "Returns" in text


@pytest.mark.parametrize("thing", list(public_objects()))
def test_options_are_keyword_only(thing):
    calls = (
        [thing]
        if inspect.isfunction(thing)
        else [m for name, m in inspect.getmembers(thing, inspect.ismethod) if name[0] != "_"]
    )
    if inspect.isclass(thing) and not issubclass(thing, Exception):
        calls.append(thing)
    for call in calls:
        optional = [
            p.name
            for p in inspect.signature(call).parameters.values()
            if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and p.default is not inspect.Parameter.empty
        ]
        assert not optional, call
