import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibkit.files.strict_json import strict_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_the_standard_allows_is_read(value):
    assert strict_json(json.dumps(value, allow_nan=False)) == value
    assert strict_json(json.dumps(value, allow_nan=False).encode()) == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("NaN", "NaN is not"),
        ("[-Infinity]", "-Infinity is not"),
        ('{"a": {"b": 1, "b": 2}}', "'b' occurs twice"),
        ("[" * 100_000, "nested too deeply"),
        (b'"\xff"', "byte 1 is not UTF-8"),
        ("[1,", "at character 4"),
        ("", "at character 1"),
        ("1 2", "Extra data"),
        ("9" * 5000, "limit"),
    ],
)
def test_the_rest_is_a_value_error(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        strict_json(text)
