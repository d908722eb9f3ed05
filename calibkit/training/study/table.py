"""Every run of a study as one tidy table: CSV, or Parquet. Annex: training."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from calibkit._checks import check_choice
from calibkit.errors import MissingExtraError
from calibkit.files.atomic import atomic_write, write_text

Table = Literal["csv", "parquet"]
TABLES: tuple[Table, ...] = ("csv", "parquet")


def check_table(table: Table) -> Table:
    """Return a known format that can be written here."""
    if check_choice(table, TABLES, option="table") == "parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise MissingExtraError('Parquet needs pyarrow: pip install "calibkit[arrow]"') from error
    return table


def write_table(rows: Sequence[dict[str, Any]], stem: Path, *, table: Table) -> Path:
    """Write one row a run and kind of test labels; the file."""
    path = stem.with_suffix(f".{table}")
    if table == "csv":
        write_text(path, table_csv(rows))
        return path
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = [{name: _number(value) for name, value in row.items()} for row in rows]
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(plain), stream)
    with atomic_write(path) as file:
        file.write(stream.getvalue())
    return path


def table_csv(rows: Sequence[dict[str, Any]]) -> str:
    r"""Rows as CSV; what is not defined is an empty cell.

    Examples
    --------
    >>> table_csv([{"data": "digits", "seed": 0, "temperature": None}])
    'data,seed,temperature\ndigits,0,\n'
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=[*rows[0]] if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _number(value: Any) -> Any:
    """Infinities as numbers, which Parquet can hold and JSON cannot."""
    return float(value) if value in ("inf", "-inf") else value
