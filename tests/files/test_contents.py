import pytest

from calibkit.files.contents import Entry, described, folded, shown


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("naïve 模型", "naïve 模型"),
        ("a\x1b]0;x\x07b", "aU+001B]0;xU+0007b"),
        ("a\nb\0", "aU+000AbU+0000"),
        ("abc\u202edef", "abcU+202Edef"),
        ("\udcff.npz", "U+DCFF.npz"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_text_of_a_file_is_harmless(text, harmless):
    assert shown(text) == harmless


def column(name, dtype="double", shape=(7,)):
    return Entry(name=name, shape=shape, dtype=dtype)


def test_only_runs_of_equal_columns_are_folded():
    entries = [
        column("y"),
        *(column(f"p_{j}") for j in (0, 1, 2)),
        column("p_4"),
        column("p_5", "float"),
        column("q_0"),
    ]
    assert [str(entry) for entry in folded(entries)] == [
        "y (7,) double",
        "p_0 .. p_2 (7, 3) double",
        "p_4 (7,) double",
        "p_5 (7,) float",
        "q_0 (7,) double",
    ]


def test_matrices_are_not_folded():
    assert len(folded([column("w_0", shape=(7, 2)), column("w_1", shape=(7, 2))])) == 2


def test_nothing_is_called_so():
    assert described([]) == "nothing"
