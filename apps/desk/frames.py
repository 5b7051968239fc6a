"""The messages of a stream (server-sent events), composed from the fold at one sequence of the journal."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from apps.desk import algos
from apps.desk.fold import AccountRows, DeskFold, Recorded
from apps.desk.kinds import ALGOS, CONTROLS, EVENTS, LISTS, ORDERS, POSITIONS
from apps.desk.query import CHAIN_DIGITS, StreamQuery
from apps.desk.rows import Formats, Row, position_row
from apps.http.app import with_decimals
from apps.http.order_view import event_view
from domain.narrative import OwnerOf
from domain.order.fix import exec_type, terms_tags
from domain.ports import Clock, Head
from domain.position.position import Position
from domain.risk.controls import Controls
from domain.values import rfc3339

VERSION: Final = 1
"""Of the protocol."""
EVENTS_BYTES_MAX: Final = 512 * 1024
"""Of the events in one message; the rest follows in the next one."""
_PERSONAL: Final = "account:"
_OF_ACCOUNTS: Final = frozenset((ORDERS, EVENTS, POSITIONS, LISTS, ALGOS))


def message(event: str, data: bytes, id_: str = "") -> bytes:
    """Return one server-sent event. `data` is one line of JSON."""
    name = f"id: {id_}\nevent: {event}\ndata: " if id_ else f"event: {event}\ndata: "
    return name.encode() + data + b"\n\n"


def id_of(head: Head) -> str:
    """Return the id of a message at a commit: its sequence and the begin of the chain value there."""
    return f"{head.seq}.{head.chain[:CHAIN_DIGITS].ljust(CHAIN_DIGITS, '0')}"


class Cursor:
    """What one stream has sent: the sequence of its last message, and those up to which it has all orders and all positions."""

    def __init__(self, seq: int) -> None:
        self.at(seq)
        self.controls_version = 0

    def at(self, seq: int) -> None:
        self.seq = self.rows_seq = self.positions_seq = seq


class Frames:
    """Composes messages. Nothing here waits, so each message is of one sequence."""

    def __init__(self, fold: DeskFold, head: Callable[[], Head], controls: Controls, clock: Clock, owner_of: OwnerOf) -> None:
        self.fold = fold
        self.head = head
        self._controls = controls
        self._clock = clock
        self._owner_of = owner_of

    def hello(self, query: StreamQuery, seq: int, resumed: bool, frame_ms: int, heartbeat_ms: int) -> bytes:
        data = {
            "v": VERSION,
            "seq": seq,
            "resumed": resumed,
            "proved": resumed and query.resume is not None and bool(query.resume.chain),
            "accounts": list(query.accounts),
            "kinds": sorted(query.kinds),
            "frame_ms": frame_ms,
            "heartbeat_ms": heartbeat_ms,
        }
        return b"retry: 1000\n\n" + message("hello", msgspec.json.encode(data))

    def reset(self, query: StreamQuery, reason: str, rows: int) -> bytes:
        total = sum(sum(each.states.values()) for each in self.accounts(query)) if ORDERS in query.kinds else 0
        data = {"reason": reason, "seq": self.head().seq, "orders_total": total, "orders_sent": rows}
        return message("reset", msgspec.json.encode(data))

    @staticmethod
    def snapshot(query: StreamQuery, rows: Iterable[Row]) -> bytes:
        return message("snapshot", b'{"orders":' + array(row.encoded(query.formats) for row in rows) + b"}")

    def snapshot_end(self, query: StreamQuery, cursor: Cursor) -> bytes:
        head = self.head()
        cursor.at(head.seq)
        parts = {"seq": b"%d" % head.seq}
        if POSITIONS in query.kinds:
            parts["positions"] = _positions((p for each in self.accounts(query) for p in each.positions.values()), query.formats)
        if LISTS in query.kinds:
            parts["lists"] = msgspec.json.encode([row for name in query.accounts for row in self.fold.lists.newest(name)])
        if ALGOS in query.kinds:
            parts["algos"] = algos.encoded([row for name in query.accounts for row in self.fold.algos.newest(name)], query.formats)
        if ORDERS in query.kinds:
            parts["states"] = self._states(query)
        if CONTROLS in query.kinds:
            parts["controls"] = self._controls_for(query, cursor)
        return message("snapshot_end", _object(parts), id_of(head))

    def changed(self, query: StreamQuery, cursor: Cursor) -> bool:
        """Return whether a frame is due: something of the filter changed behind the cursor."""
        if not query.kinds.isdisjoint(_OF_ACCOUNTS) and any(each.seq > cursor.seq for each in self.accounts(query)):
            return True
        return CONTROLS in query.kinds and cursor.controls_version != self._controls.version

    def rows_behind(self, query: StreamQuery, seq: int) -> Iterator[Row]:
        """Yield the rows of the filter that changed after a sequence."""
        for each in self.accounts(query):
            yield from each.rows_since(seq)

    def frame(self, query: StreamQuery, cursor: Cursor, at: Head, events: bytes | None = None, *, more: bool = False) -> bytes:
        """Return the frame from the cursor to the commit `at`, which is the last one, or earlier if `more` events follow.

        Orders and positions are states, so they come with the last of several frames.
        """
        parts = {"prev_seq": b"%d" % cursor.seq, "seq": b"%d" % at.seq, "at": self._now()}
        if more:
            parts["more"] = b"true"
        if ORDERS in query.kinds:
            rows = () if more else self.rows_behind(query, cursor.rows_seq)
            parts["orders"] = array(row.encoded(query.formats) for row in rows)
        if EVENTS in query.kinds:
            parts["events"] = events or b"[]"
        if POSITIONS in query.kinds:
            moved = () if more else (p for each in self.accounts(query) for p in each.positions_since(cursor.positions_seq))
            parts["positions"] = _positions(moved, query.formats)
        if LISTS in query.kinds:
            lists = [] if more else [row for name in query.accounts for row in self.fold.lists.since(name, cursor.positions_seq)]
            parts["lists"] = msgspec.json.encode(lists)
        if ALGOS in query.kinds:
            moving = [] if more else [row for name in query.accounts for row in self.fold.algos.since(name, cursor.positions_seq)]
            parts["algos"] = algos.encoded(moving, query.formats)
        if ORDERS in query.kinds:
            parts["states"] = self._states(query)
        if CONTROLS in query.kinds and cursor.controls_version != self._controls.version:
            parts["controls"] = self._controls_for(query, cursor)
        if more:
            cursor.seq = at.seq
        else:
            cursor.at(at.seq)
        return message("frame", _object(parts), id_of(at))

    def heartbeat(self, cursor: Cursor, end: int, lag_ms: int) -> bytes:
        head = self.head()
        parts = {"prev_seq": b"%d" % cursor.seq, "seq": b"%d" % head.seq, "at": self._now(), "head": b"%d" % end, "lag_ms": b"%d" % lag_ms}
        cursor.at(head.seq)
        return message("heartbeat", _object(parts), id_of(head))

    def event(self, recorded: Recorded, formats: Formats) -> bytes:
        """Return one event as the timeline has it, with its place in the commit."""
        event = recorded.event
        view = event_view(event, recorded.seq, self._owner_of)
        own: dict[str, Any] = {"index": recorded.place}
        if event.order_id:  # events about the journal itself belong to no order
            own |= {"order_id": event.order_id, "account": recorded.account, "status": event.status}
        fix: dict[str, Any] = {"exec_type": exec_type(event)} | ({"ord_status": recorded.fix_status} if recorded.fix_status else {})
        if tags := terms_tags(event):
            fix["fix_terms"] = tags
        return msgspec.json.encode(with_decimals({"seq": recorded.seq, **own, **view, **fix}, formats.number))

    def accounts(self, query: StreamQuery) -> list[AccountRows]:
        return [self.fold.account(name) for name in query.accounts]

    def _states(self, query: StreamQuery) -> bytes:
        found: Counter[str] = Counter()
        for each in self.accounts(query):
            found.update({str(state): count for state, count in each.states.items()})
        return msgspec.json.encode({state: count for state, count in found.items() if count})

    def _controls_for(self, query: StreamQuery, cursor: Cursor) -> bytes:
        """Return what is forbidden, without the scopes of accounts that the stream does not show."""
        controls = self._controls
        cursor.controls_version = controls.version
        own = {f"{_PERSONAL}{account}" for account in query.accounts}
        killed = [scope for scope in controls.kills if query.every_account or not scope.startswith(_PERSONAL) or scope in own]
        return msgspec.json.encode({"version": controls.version, "killed": killed, "blocked_symbols": sorted(controls.blocks)})

    def _now(self) -> bytes:
        return b'"%s"' % rfc3339(self._clock.now_ns()).encode()


def array(items: Iterable[bytes]) -> bytes:
    """Return a JSON array of values that are encoded."""
    return b"[" + b",".join(items) + b"]"


def _object(parts: Mapping[str, bytes]) -> bytes:
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), value) for name, value in parts.items()) + b"}"


def _positions(positions: Iterable[Position], formats: Formats) -> bytes:
    return msgspec.json.encode([position_row(position, formats) for position in positions])
