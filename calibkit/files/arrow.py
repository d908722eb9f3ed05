"""Arrow tables: Parquet, Arrow IPC and Feather, batch by batch, every batch validated. Floor 2."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from calibkit.errors import InputFormatError, MissingExtraError
from calibkit.files.contents import AnyArray, Batches, Contents, Entry, Look, Need, Shape, Wanted, shown
from calibkit.files.ragged import are_rows, flat, rows_of
from calibkit.files.source import Source
from calibkit.files.stepping import joined

INSTALL = 'pip install "calibkit[arrow]"'
BATCH_ROWS = 1 << 16
LIST_BATCH_ROWS = 1 << 12
NUMBER_BYTES = 8
RAGGED = "Questions with unlike numbers of choices are read by ragged=True."


def pyarrow_or_hint(source: Source) -> Any:
    """Import pyarrow, or say which command installs it."""
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError(
            f"{source.shown}: reading {source.suffix or 'CSV'} files needs pyarrow: {INSTALL}"
        ) from error
    return pyarrow


def parquet_contents(source: Source) -> Contents:
    """The columns of a Parquet file; page checksums are compared where the file has them."""
    pyarrow_or_hint(source)
    from pyarrow import parquet

    file = parquet.ParquetFile(source.file, page_checksum_verification=True)
    n_rows, schema = file.metadata.num_rows, file.schema_arrow

    def stream(wanted: Wanted, block_rows: int, _: Look | None = None) -> Batches:
        """Read the columns that are wanted, if the rows that the footer declares are within the limit."""
        # The footer's number of values in each column would say more, but a hostile footer makes pyarrow abort the
        # process when it is asked (ColumnChunkMetaData throws through Cython). Rows of lists come in small batches.
        source.check_bytes(n_rows * len(wanted) * NUMBER_BYTES, what=", ".join([*wanted][:3]))
        lists = any(_inner_shape(schema.field(name).type) for name in wanted)
        rows = min(block_rows, LIST_BATCH_ROWS if lists else BATCH_ROWS)
        found = 0
        for arrays in _batches(source, file.iter_batches(batch_size=rows, columns=[*wanted]), wanted):
            found += len(next(iter(arrays.values())))
            yield arrays
        if found != n_rows:
            raise InputFormatError(f"{source.shown}: the footer declares {n_rows:,} rows, the columns have others")

    def read(wanted: Wanted) -> dict[str, AnyArray]:
        """Read the columns that are wanted."""
        return _joined(stream(wanted, BATCH_ROWS), wanted)

    entries = _entries(schema, n_rows)
    return Contents(format="parquet", entries=entries, read=read, stream=stream, table=True)


def ipc_contents(source: Source) -> Contents:
    """The columns of an Arrow IPC file (which Feather is) or stream."""
    pyarrow = pyarrow_or_hint(source)
    from pyarrow import ipc

    open_reader = ipc.open_file if source.start(6) == b"ARROW1" else ipc.open_stream
    with open_reader(pyarrow.PythonFile(source.file, mode="r")) as reader:
        schema = reader.schema

    def stream(wanted: Wanted, block_rows: int, _: Look | None = None) -> Batches:  # noqa: ARG001 - batches as written
        """Read the columns that are wanted, in the batches in which they were written."""
        source.file.seek(0)
        fields = [number for number, name in enumerate(schema.names) if name in wanted]
        options = ipc.IpcReadOptions(included_fields=fields)
        with open_reader(pyarrow.PythonFile(source.file, mode="r"), options=options) as reader:
            yield from _batches(source, _record_batches(reader), wanted)

    def read(wanted: Wanted) -> dict[str, AnyArray]:
        """Read the columns that are wanted."""
        return _joined(stream(wanted, BATCH_ROWS), wanted)

    return Contents(format="arrow", entries=_entries(schema, None), read=read, stream=stream, table=True)


def _record_batches(reader: Any) -> Iterator[Any]:
    """Batches of a file reader (by number) or a stream reader (in turn)."""
    if hasattr(reader, "num_record_batches"):
        return (reader.get_batch(number) for number in range(reader.num_record_batches))
    return iter(reader)


def _entries(schema: Any, n_rows: int | None) -> tuple[Entry, ...]:
    """An entry for each column; a list column is 2-D."""
    return tuple(
        Entry(name=field.name, shape=(n_rows, *_inner_shape(field.type)), dtype=_type_name(field.type))
        for field in schema
    )


def _inner_shape(kind: Any) -> Shape:
    """What a column's type adds to its shape."""
    from pyarrow import types

    if types.is_fixed_size_list(kind):
        return (kind.list_size,)
    return (None,) if types.is_list(kind) or types.is_large_list(kind) else ()


def _type_name(kind: Any) -> str:
    """Name a column's type as Arrow does; of a list, the type of its values."""
    return str(kind.value_type) if _inner_shape(kind) else str(kind)


def _batches(source: Source, batches: Iterable[Any], wanted: Wanted) -> Batches:
    """Batches as one array a column, each validated, refusing more bytes than the limit as they come."""
    shapes: dict[str, tuple[int, ...]] = {}
    n_rows = n_bytes = 0
    for batch in batches:
        batch.validate(full=True)
        arrays = {name: _array(source, batch.column(name), name, n_rows, need) for name, need in wanted.items()}
        n_bytes += sum(flat(array).nbytes if are_rows(array) else array.nbytes for array in arrays.values())
        n_rows += batch.num_rows
        source.check_bytes(n_bytes, what="the table")
        for name, array in arrays.items():
            if len(array) and shapes.setdefault(name, array.shape[1:]) != array.shape[1:]:
                raise InputFormatError(f"{source.shown}:{shown(name)}: the lists are not all of one length. {RAGGED}")
        yield arrays


def _joined(batches: Batches, wanted: Wanted) -> dict[str, AnyArray]:
    """One array a column of all batches."""
    pieces: dict[str, list[AnyArray]] = {name: [] for name in wanted}
    for arrays in batches:
        for name, array in arrays.items():
            pieces[name].append(array)
    return {name: joined(parts) for name, parts in pieces.items()}


def _array(source: Source, column: Any, name: str, first_row: int, need: Need) -> AnyArray:
    """One column of one batch: a vector, or from lists a matrix or rows of any lengths; missing values are masked."""
    where = f"{source.shown}:{shown(name)}"
    column = _plain(column)
    null = column.is_null().to_numpy(zero_copy_only=False)
    of_lists = _rows if need == "choices" else _matrix
    read = of_lists if _inner_shape(column.type) else _vector
    valid = read(column.drop_null(), where, first_row)
    if not null.any():
        return valid
    full = np.zeros((len(null), *valid.shape[1:]), dtype=valid.dtype)
    if are_rows(full):
        full[:] = None
    full[~null] = valid
    mask = np.zeros(full.shape, dtype=np.bool_)
    mask[null] = True
    mask[~null] |= np.ma.getmaskarray(valid)
    return np.ma.MaskedArray(full, mask=mask)


def _vector(column: Any, where: str, first_row: int) -> AnyArray:  # noqa: ARG001 - the same call as _matrix
    """Numbers or text of a column without nulls."""
    from pyarrow import types

    kind = column.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return np.array(column.to_pylist(), dtype=np.str_)
    if types.is_decimal(kind):
        column = column.cast("float64")
    elif not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        raise InputFormatError(f"{where}: the column holds {kind}, neither numbers nor text")
    values: AnyArray = column.to_numpy(zero_copy_only=False)
    return values


def _matrix(column: Any, where: str, first_row: int) -> AnyArray:
    """A list column without null lists as a matrix: lists of one length; a null in a list is masked."""
    from pyarrow import compute

    lengths = compute.list_value_length(column).to_numpy(zero_copy_only=False)
    ragged = np.flatnonzero(lengths != lengths[:1])
    if ragged.size:
        raise InputFormatError(
            f"{where}: lists of {lengths[0]} and of {lengths[ragged[0]]} values among the rows from row {first_row}; "
            f"every row needs one per class. {RAGGED}"
        )
    values = _numbers(column, where)
    shape = (len(lengths), int(lengths[0]) if len(lengths) else 0)
    null = values.is_null().to_numpy(zero_copy_only=False)
    matrix: AnyArray = values.fill_null(0).to_numpy(zero_copy_only=False).reshape(shape)
    return np.ma.MaskedArray(matrix, mask=null.reshape(shape)) if null.any() else matrix


def _rows(column: Any, where: str, first_row: int) -> AnyArray:  # noqa: ARG001 - the same call as _matrix
    """A list column without null lists as rows of any lengths; a null in a list is NaN."""
    from pyarrow import compute

    lengths = compute.list_value_length(column).to_numpy(zero_copy_only=False)
    values = _numbers(column, where)
    if values.null_count:
        values = values.cast("float64").fill_null(float("nan"))
    return rows_of(values.to_numpy(zero_copy_only=False), lengths)


def _numbers(column: Any, where: str) -> Any:
    """The values of all lists, one after the other."""
    from pyarrow import types

    values = _plain(column.flatten())
    if not (types.is_floating(values.type) or types.is_integer(values.type)):
        raise InputFormatError(f"{where}: the lists hold {values.type}, not numbers")
    return values


def _plain(column: Any) -> Any:
    """A column without its wrapping: extension types to their storage, dictionaries to their values."""
    from pyarrow import BaseExtensionType, types

    if isinstance(column.type, BaseExtensionType):
        column = column.storage
    return column.dictionary_decode() if types.is_dictionary(column.type) else column
