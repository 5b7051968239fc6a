"""Events of order journals as Parquet: a file for each shard and day of a range, one row an event."""

import io
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

import pyarrow
from pyarrow import parquet

from adapters.chain import is_foreign
from adapters.journalcopy import Copied
from domain.archive.event_rows import ArchivedEvent, EventColumns, rows_of
from domain.archive.misfit import absurd
from domain.market.file_times import DAY_NS
from domain.ports import Corrupt

NUMBER: Final = pyarrow.decimal128(38, 18)
"""20 digits before the point and 18 behind it: every order's price and quantity. What does not fit is null, and its column is named in
`beyond`; the event's text always has it.
"""
TEXT: Final = pyarrow.string()
MISFITS: Final = (pyarrow.ArrowException, ValueError)
NUMBERS: Final = ("quantity", "price", "stop_price", "fee")
SCHEMA: Final = pyarrow.schema(
    [
        pyarrow.field("seq", pyarrow.int64(), nullable=False),
        pyarrow.field("n", pyarrow.int64(), nullable=False),
        pyarrow.field("index", pyarrow.int32(), nullable=False),
        *(
            pyarrow.field("at", pyarrow.timestamp("ns", tz="UTC"), nullable=False)
            if name == "at"
            else pyarrow.field(name, NUMBER if name in NUMBERS else TEXT)
            for name in EventColumns.__struct_fields__
        ),
        pyarrow.field("beyond", TEXT),
        pyarrow.field("event", TEXT, nullable=False),
    ]
)


class Partition(NamedTuple):
    """The folder of a file. `day` is the UTC day at which an event was decided."""

    shard: str
    day: str


def tables_of(messages: Iterable[Copied]) -> dict[Partition, pyarrow.Table]:
    """Return the rows of all commits among the messages. A foreign message has none."""
    found: dict[Partition, list[tuple[int, ArchivedEvent]]] = {}
    days: dict[int, str] = {}
    for message in messages:
        if is_foreign(message.id, message.chain):
            continue
        shard = message.subject.rpartition(".")[2]
        for event in rows_of(message.payload):
            number = event.columns.at // DAY_NS
            day = days.get(number) or days.setdefault(number, _day(number))
            found.setdefault(Partition(shard, day), []).append((message.seq, event))
    return {partition: _table(rows) for partition, rows in sorted(found.items())}


def written(table: pyarrow.Table) -> bytes:
    """Return the Parquet file of a table."""
    file = io.BytesIO()
    parquet.write_table(table, file, compression="zstd", write_page_checksum=True)
    return file.getvalue()


def read(data: bytes) -> pyarrow.Table:
    """Return the table of a Parquet file. Corrupt."""
    try:
        return parquet.read_table(io.BytesIO(data), page_checksum_verification=True)
    except (OSError, pyarrow.ArrowException) as error:
        raise Corrupt(f"it is no complete Parquet file: {next(iter(str(error).splitlines()), '')}") from error


def _day(number: int) -> str:
    """Return a day since 1970 as text."""
    return datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()


def _table(rows: list[tuple[int, ArchivedEvent]]) -> pyarrow.Table:
    columns: dict[str, Any] = {
        "seq": [seq for seq, _ in rows],
        "n": [event.n for _, event in rows],
        "index": [event.place for _, event in rows],
        "event": [event.text for _, event in rows],
    }
    for name in EventColumns.__struct_fields__:
        columns[name] = [getattr(event.columns, name) for _, event in rows]
    beyond: dict[int, list[str]] = {}
    for name in NUMBERS:
        columns[name] = _numbers(name, columns[name], beyond)
    columns["beyond"] = [",".join(beyond[place]) if place in beyond else None for place in range(len(rows))]
    arrays = [pyarrow.array(columns[field.name], field.type) for field in SCHEMA]
    return pyarrow.Table.from_arrays(arrays, schema=SCHEMA)


def _numbers(name: str, values: list[Decimal | None], beyond: dict[int, list[str]]) -> pyarrow.Array:
    """Return the column; a number that does not fit is null, and noted in `beyond` by its row."""
    try:
        return _array(values)
    except MISFITS:
        fits = [_fits(value) for value in values]
    for place in (place for place, good in enumerate(fits) if not good):
        beyond.setdefault(place, []).append(name)
    return _array([value if good else None for value, good in zip(values, fits, strict=True)])


def _fits(value: Decimal | None) -> bool:
    try:
        _array([value])
    except MISFITS:
        return False
    return True


def _array(values: list[Decimal | None]) -> pyarrow.Array:
    """Return a column of numbers. Raises one of MISFITS if a number does not fit."""
    if any(value is not None and absurd(value) for value in values):
        raise ValueError("a number has an absurd exponent")
    return pyarrow.array(values, NUMBER)
