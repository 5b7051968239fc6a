"""The rows that people query: one for each event of an order journal, with the event's own text beside the columns."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Final, NamedTuple

import msgspec

UNREADABLE: Final = "unreadable"
"""The type of the row of a commit, or an event, that this program cannot read. Its text is kept."""

Counted = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class EventColumns(msgspec.Struct, frozen=True, gc=False):
    """The fields of events that have a column. A field that an event does not have is None.

    Only the names matter, so events of earlier and later versions are read too.
    """

    type: str = UNREADABLE
    at: Counted = 0
    order_id: str | None = None
    status: str | None = None
    account: str | None = None
    client_order_id: str | None = None
    symbol: str | None = None
    side: str | None = None
    order_type: str | None = None
    time_in_force: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    fee: Decimal | None = None
    liquidity: str | None = None
    venue: str | None = None
    route_id: str | None = None
    exec_id: str | None = None
    source: str | None = None
    reason: str | None = None
    by: str | None = None


class ArchivedEvent(NamedTuple):
    """One event: its commit's number, its place in the commit, its columns, and its text as the journal has it."""

    n: int
    place: int
    columns: EventColumns
    text: str


class _Envelope(msgspec.Struct, frozen=True, gc=False):
    n: Counted
    events: tuple[msgspec.Raw, ...]


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_COLUMNS: Final = msgspec.json.Decoder(EventColumns)
_NO_COLUMNS: Final = EventColumns()


def rows_of(payload: bytes) -> Iterator[ArchivedEvent]:
    """Yield the events of one commit. A commit that cannot be read is one row of type `unreadable`."""
    try:
        envelope = _ENVELOPE.decode(payload)
    except (ValueError, RecursionError):
        yield ArchivedEvent(0, 0, _NO_COLUMNS, payload.decode(errors="replace"))
        return
    for place, raw in enumerate(envelope.events):
        yield ArchivedEvent(envelope.n, place, _columns(raw), bytes(raw).decode(errors="replace"))


def _columns(raw: msgspec.Raw) -> EventColumns:
    try:
        return _COLUMNS.decode(raw)
    except (ValueError, RecursionError):
        return _NO_COLUMNS
