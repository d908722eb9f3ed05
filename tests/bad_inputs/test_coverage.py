"""Every row of the table of bad inputs has its test, or a reason why it has none yet."""

import re
from pathlib import Path

N_ROWS = 76
NOT_YET: set[int] = set()


def test_every_row_has_a_test_or_a_reason():
    text = "\n".join(path.read_text() for path in sorted(Path(__file__).parent.glob("test_*.py")))
    tested = {int(number) for number in re.findall(r"^def test_row_(\d\d)_", text, flags=re.MULTILINE)}
    assert tested.isdisjoint(NOT_YET)
    assert tested | NOT_YET == set(range(1, N_ROWS + 1))
