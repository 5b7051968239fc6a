"""Records of the market as Parquet: the columns of each kind, and the same bytes for the same rows."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pyarrow
from pyarrow import compute, parquet

from domain.archive.market_rows import BOOKS, FACTS, QUOTES, TRADES
from domain.archive.ports import ArchiveRow

NUMBER: Final = pyarrow.decimal128(38, 18)
TEXT: Final = pyarrow.string()
WHOLE: Final = pyarrow.int64()
TIME: Final = pyarrow.timestamp("ns", tz="UTC")
LEVELS: Final = pyarrow.list_(pyarrow.struct([("price", NUMBER), ("size", NUMBER)]))
_ORIGIN: Final = [("epoch", WHOLE), ("n", WHOLE), ("i", pyarrow.int32())]
_COMMON: Final = [("at", TIME), ("received", TIME), ("venue", TEXT), ("symbol", TEXT), ("seq", WHOLE), ("flags", TEXT)]
_TOUCH: Final = [("bid", NUMBER), ("bid_size", NUMBER), ("ask", NUMBER), ("ask_size", NUMBER)]
SCHEMAS: Final[Mapping[str, pyarrow.Schema]] = {
    QUOTES: pyarrow.schema([*_ORIGIN, *_COMMON, *_TOUCH]),
    TRADES: pyarrow.schema([*_ORIGIN, *_COMMON, ("trade_id", TEXT), ("price", NUMBER), ("quantity", NUMBER), ("side", TEXT)]),
    BOOKS: pyarrow.schema(
        [*_ORIGIN, *_COMMON, ("kind", TEXT), ("bids", LEVELS), ("asks", LEVELS), ("prev", WHOLE), ("checked", pyarrow.bool_())]
    ),
    FACTS: pyarrow.schema(
        [*_ORIGIN, ("at", TIME), ("venue", TEXT), ("symbol", TEXT), ("fact", TEXT), ("from", WHOLE), ("to", WHOLE), ("detail", TEXT)]
    ),
}
_READERS: Final[Mapping[str, Callable[[ArchiveRow], Any]]] = {
    "epoch": lambda row: row.epoch,
    "n": lambda row: row.n,
    "i": lambda row: row.i,
    "flags": lambda row: " ".join(row.value.flags),
    "from": lambda row: row.value.from_,
    "kind": lambda row: row.value.kind.value,
    "side": lambda row: row.value.side.value,
    "fact": lambda row: row.value.fact.value,
}


def written(table: str, rows: Sequence[ArchiveRow]) -> bytes:
    """Return the file with these rows. It has no time of writing: the same rows are the same bytes with one version of pyarrow."""
    schema = SCHEMAS[table]
    columns = [pyarrow.array(map(_reader(field.name), rows), field.type, size=len(rows)) for field in schema]
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_arrays(columns, schema=schema), file, compression="zstd")
    return file.getvalue()


def read(data: bytes, begin: int | None = None, end: int | None = None) -> list[dict[str, Any]]:
    """Return the rows of a file, columns by name; with a begin and an end only those of the venue's time from it until before the end.

    Times are integers, nanoseconds UTC.
    """
    table = parquet.read_table(io.BytesIO(data))
    plain = table.cast(pyarrow.schema([(field.name, WHOLE if field.type == TIME else field.type) for field in table.schema]))
    if begin is not None and end is not None:
        plain = plain.filter((compute.field("at") >= begin) & (compute.field("at") < end))
    rows: list[dict[str, Any]] = plain.to_pylist()
    return rows


def span(data: bytes) -> tuple[int, int] | None:
    """Return the venue's first and last time in a file, nanoseconds UTC; None if it has no row."""
    found = compute.min_max(parquet.read_table(io.BytesIO(data), columns=["at"]).column("at").cast(WHOLE)).as_py()
    return None if found["min"] is None else (found["min"], found["max"])


def _reader(name: str) -> Callable[[ArchiveRow], Any]:
    return _READERS.get(name) or (lambda row: getattr(row.value, name))
