"""Paths and patterns to files, each once."""

from pathlib import Path

import pytest

from calibkit.errors import DataError, InputFormatError
from calibkit.files import expand


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.npz", "a.npz", "c.csv", "deep/er/a.npz", "odd[1].npz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_one_path_and_several():
    assert expand("b.npz") == expand(Path("b.npz")) == expand(b"b.npz") == ("b.npz",)
    assert expand(["b.npz", Path("a.npz"), "-"]) == ("b.npz", "a.npz", "-")
    assert expand("none.npz") == ("none.npz",)  # whoever opens it says that it is not there


def test_patterns(folder):
    assert expand("?.npz") == ("a.npz", "b.npz")
    assert expand(f"{folder}/[ab].npz") == (f"{folder}/a.npz", f"{folder}/b.npz")
    assert expand(["c.*", "**/a.npz"]) == ("c.csv", "a.npz", str(Path("deep", "er", "a.npz")))


@pytest.mark.usefixtures("folder")
def test_the_name_of_a_file_is_no_pattern():
    assert expand("odd[1].npz") == ("odd[1].npz",)


@pytest.mark.usefixtures("folder")
def test_nothing():
    with pytest.raises(InputFormatError, match=r"^x\*\.npz: no file matches"):
        expand("x*.npz")
    with pytest.raises(InputFormatError, match="no files are given"):
        expand([])


def test_a_file_given_twice(folder):
    with pytest.raises(DataError, match=r"^a\.npz: is given twice; each of its rows"):
        expand(["a.npz", "a.npz"])
    (folder / "link.npz").symlink_to(folder / "a.npz")
    with pytest.raises(DataError, match=r"^link\.npz: is given twice, also as \./a\.npz;.*allow_duplicates=True"):
        expand(["./a.npz", "link.npz"])
    with pytest.raises(DataError, match="is given twice"):
        expand(["s3://bucket/a.npz", "s3://bucket/a.npz"])
    assert len(expand(["a.npz", "a.npz"], allow_duplicates=True)) == 2
