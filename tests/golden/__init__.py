"""Journals of every release, kept as they were written: each must replay to the states that were recorded with it, forever.

`python -m tests.golden --write NAME` makes one from the scenes; a journal that is there is never written again. `--record` renews the
states beside all journals, for when a fold was meant to change: what changed is then in the commit, where it is seen.
Orders are here; `access` and `controls` are risk's two journals, with whole states instead of hashes: risk_journals.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import FieldInfo

from adapters.chain import GENESIS, following
from adapters.codec import ORDER_COMMITS
from domain.audit.state_hash import orders_state, positions_state, state_hash
from domain.execution.projection import Executions
from domain.order.events import ALGO_EVENTS, EVENTS, OrderEvent
from domain.order.index import Orders
from domain.order.lifecycle import State
from domain.position.position import PositionBook
from tests.domain.risk.scene import GOLDEN, new_risk

HOME: Final = Path(__file__).parent
EXCUSED: Final = {
    "JournalAccepted.order_id": "it belongs to no order",
    "JournalAccepted.status": "it belongs to no order",
    "JournalAccepted.skipped": "it names messages that are no commits, and a journal here has none: tests/faults/test_foreign.py",
    "ShardTaken.order_id": "it belongs to no order",
    "ShardTaken.status": "it belongs to no order",
    "ShardReleased.order_id": "it belongs to no order",
    "ShardReleased.status": "it belongs to no order",
    "ShardHeld.order_id": "it belongs to no order",
    "ShardHeld.status": "it belongs to no order",
} | {f"{kind.__name__}.status": "it belongs to no order" for kind in ALGO_EVENTS}
"""What is in no journal, and why."""


class Recorded(msgspec.Struct, frozen=True):
    """What is written beside a journal: its last chain value, and each fold's hash after every commit."""

    chain: str
    hashes: dict[str, list[str]]


def names() -> list[str]:
    return sorted(file.stem for file in HOME.glob("*.jsonl"))


def payloads(name: str) -> list[bytes]:
    """The commits, byte for byte."""
    return (HOME / f"{name}.jsonl").read_bytes().splitlines()


def recorded(name: str) -> Recorded:
    return msgspec.json.decode((HOME / f"{name}.json").read_bytes(), type=Recorded)


def replayed(journal: Sequence[bytes]) -> Recorded:
    """What today's code makes of it."""
    folds, head = Folds(), GENESIS
    hashes: dict[str, list[str]] = {}
    for seq, payload in enumerate(journal, 1):
        head = msgspec.structs.replace(head, seq=seq, n=seq, chain=following(head, payload))
        folds.apply(ORDER_COMMITS.decode(payload).events, seq)
        for fold, state in folds.states().items():
            hashes.setdefault(fold, []).append(state_hash(state))
    return Recorded(head.chain, hashes)


class Folds:
    """All folds that make a state of the order journal."""

    def __init__(self) -> None:
        self.orders = Orders()
        self.positions = PositionBook()
        self.risk = new_risk(GOLDEN).fold
        self.executions = Executions()

    def apply(self, events: Sequence[OrderEvent], seq: int) -> None:
        for event in events:
            self.orders.apply(event)
            self.positions.apply(event, seq)
            self.risk.apply(event, seq)
            self.executions.apply(event)

    def states(self) -> dict[str, Any]:
        return {
            "orders": (orders_state(self.orders.by_id.values()), self.orders.report_seqs),
            "positions": positions_state(self.positions.positions.values()),
            "risk": self.risk.state(),
            "executions": self.executions.state(),
        }


# What the journals together have shown


def never_seen() -> set[str]:
    """Fields of events that have nothing in them in any of the journals (all of a kind that is in none), and states that are in none."""
    events = [event for name in names() for payload in payloads(name) for event in ORDER_COMMITS.decode(payload).events]
    return unseen(EVENTS, events) | {f"the state {state}" for state in State if state not in {event.status for event in events}}


def unseen(expected: Iterable[type[msgspec.Struct]], events: Sequence[msgspec.Struct]) -> set[str]:
    """Fields of these kinds, and of structs in events, that have nothing in them in any of the events."""
    seen = {(type(part), field) for event in events for part in _structs(event) for field in _filled_in(part)}
    kinds = {*expected, *(type(part) for event in events for part in _structs(event))}
    return {f"{kind.__name__}.{field.name}" for kind in kinds for field in msgspec.structs.fields(kind) if (kind, field.name) not in seen}


def _structs(value: Any) -> Iterator[msgspec.Struct]:
    """It and every struct in it."""
    if isinstance(value, msgspec.Struct):
        yield value
        for field in value.__struct_fields__:
            yield from _structs(getattr(value, field))
    elif isinstance(value, tuple):
        for item in value:
            yield from _structs(item)


def _filled_in(part: msgspec.Struct) -> list[str]:
    """Fields that say something: those without a default, and those that differ from it."""
    return [field.name for field in msgspec.structs.fields(part) if getattr(part, field.name) != _default(field)]


def _default(field: FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
