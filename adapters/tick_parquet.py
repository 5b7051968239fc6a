"""Records of the market as Parquet: the columns of each kind, and the same bytes for the same rows."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pyarrow
from pyarrow import parquet

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


def read(data: bytes) -> list[dict[str, Any]]:
    """Return the rows of a file, columns by name. Times are integers, nanoseconds UTC."""
    table = parquet.read_table(io.BytesIO(data))
    plain = pyarrow.schema([(field.name, WHOLE if field.type == TIME else field.type) for field in table.schema])
    rows: list[dict[str, Any]] = table.cast(plain).to_pylist()
    return rows


def _reader(name: str) -> Callable[[ArchiveRow], Any]:
    return _READERS.get(name) or (lambda row: getattr(row.value, name))
