"""The working set of a pass over a long journal: open orders in memory, closed ones in a private temporary file."""

import heapq
import sqlite3
from collections.abc import Iterator, MutableMapping
from typing import Final

import msgspec

from domain.audit.journal_audit import ObservedOrder

CLOSED_MAX: Final = 10_000
"""How many closed orders are kept in memory."""

TABLE: Final = "CREATE TABLE lines (order_id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID"
PUT: Final = "INSERT OR REPLACE INTO lines VALUES (?, ?)"
FIND: Final = "SELECT body FROM lines WHERE order_id = ?"
SAME: Final = "SELECT 1 FROM lines WHERE order_id = ?"
DROP: Final = "DELETE FROM lines WHERE order_id = ?"
ALL: Final = "SELECT order_id, body FROM lines ORDER BY order_id"
NAMES: Final = "SELECT order_id FROM lines"

_DECODER: Final = msgspec.msgpack.Decoder(ObservedOrder)


class ScratchLines(MutableMapping[str, ObservedOrder]):
    """Lines by order_id. A returned line may be changed in place until the next `settle`."""

    def __init__(self, closed_max: int = CLOSED_MAX) -> None:
        self._closed_max = closed_max
        self._near: dict[str, ObservedOrder] = {}
        self._far = sqlite3.connect("", isolation_level=None)  # the empty name: a private file, deleted on close
        self._far.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {TABLE};")
        self._touched: dict[str, None] = {}

    def settle(self) -> None:
        """Move closed lines to the file if there are too many. No caller may hold a line now. Lines loaded back are written again."""
        if len(self._touched) <= self._closed_max:
            return
        closed = [order_id for order_id in self._touched if self._near[order_id].order.closed]
        self._far.execute("BEGIN")
        self._far.executemany(PUT, ((order_id, msgspec.msgpack.encode(self._near.pop(order_id))) for order_id in closed))
        self._far.execute("COMMIT")
        self._touched = {}

    def close(self) -> None:
        self._far.close()

    def items_in_order(self) -> Iterator[tuple[str, ObservedOrder]]:
        """Yield all lines by order_id, one at a time. The mapping must not be used meanwhile."""
        near = ((order_id, self._near[order_id]) for order_id in sorted(self._near))
        far = ((order_id, _DECODER.decode(body)) for order_id, body in self._far.execute(ALL) if order_id not in self._near)
        return heapq.merge(near, far, key=lambda item: item[0])

    def __getitem__(self, order_id: str) -> ObservedOrder:
        line = self._near.get(order_id)
        if line is None:
            found = self._far.execute(FIND, (order_id,)).fetchone()
            if found is None:
                raise KeyError(order_id)
            line = self._near[order_id] = _DECODER.decode(found[0])
        self._touched[order_id] = None
        return line

    def __setitem__(self, order_id: str, line: ObservedOrder) -> None:
        self._near[order_id] = line
        self._touched[order_id] = None

    def __delitem__(self, order_id: str) -> None:
        if order_id not in self:
            raise KeyError(order_id)
        self._near.pop(order_id, None)
        self._touched.pop(order_id, None)
        self._far.execute(DROP, (order_id,))

    def __contains__(self, order_id: object) -> bool:
        return order_id in self._near or self._far.execute(SAME, (order_id,)).fetchone() is not None

    def __iter__(self) -> Iterator[str]:
        yield from self._near
        yield from (order_id for (order_id,) in self._far.execute(NAMES) if order_id not in self._near)

    def __len__(self) -> int:
        return sum(1 for _ in self)
