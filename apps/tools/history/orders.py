"""`python -m apps.tools.history.orders SEQ LIMIT number|string ACCOUNT...`: orders and positions at a sequence as JSON."""

import contextlib
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import msgspec
from nats.aio.client import Client

from adapters.codec import ORDER_COMMITS, decoder
from adapters.snapshots import FileSnapshots
from apps.connections import journals
from apps.desk.fold import STATE_VERSION, DeskFold, DeskState
from apps.desk.forgotten import remember
from apps.desk.rows import NUMBERS, TEXTS, Formats, position_row
from apps.tools.history.program import answer
from config.loading import load_desk
from config.settings import DeskSettings
from domain.audit.state_hash import shape_of
from domain.order.lifecycle import State
from domain.ports import Head, Journal, Snapshots

POSITIONS_MAX: Final = 5000
"""Positions in one answer, those that changed last."""

_SCHEMA: Final = shape_of(DeskState, STATE_VERSION)
_STATE: Final = decoder(DeskState)


def main(seq: int, limit: int, form: str, accounts: Sequence[str]) -> NoReturn:
    """Print the orders: of the closed ones those that desk would have had in memory at that sequence."""

    async def orders(settings: DeskSettings, client: Client) -> bytes:
        directory = settings.service.data_dir
        saved = FileSnapshots(directory / journals.SNAPSHOTS) if directory is not None else None
        fold = await fold_at(await journals.order_journal(client), seq, settings.stream.closed_orders_max, saved)
        return encoded(fold, seq, limit, TEXTS if form == "string" else NUMBERS, accounts)

    answer(load_desk, "past orders", orders)


async def fold_at(journal: Journal, seq: int, closed_max: int, saved: Snapshots | None = None) -> DeskFold:
    """Return the fold of all orders as of `seq`, from the newest snapshot of desk before it that verifies. Corrupt, Unavailable."""
    fold = DeskFold(closed_max, 1)
    head = Head()
    for found, body in saved.kept("desk", _SCHEMA) if saved is not None else ():
        recorded = await journal.read(found.seq) if found.seq <= seq else None
        if recorded is not None and recorded.head == found:
            fold.restore(_STATE.decode(body))
            head = found
            break
    if head.seq < seq:
        async with contextlib.aclosing(journal.follow(head, until=seq)) as batches:
            async for batch in batches:
                commits = [(entry.head.seq, ORDER_COMMITS.read(entry)) for entry in batch]
                await remember(fold, journal, commits)
                fold.apply(commits)
    return fold


def encoded(fold: DeskFold, seq: int, limit: int, formats: Formats, accounts: Sequence[str]) -> bytes:
    """Return the answer: the orders and positions of these accounts, the numbers of all of them, and the counts by state."""
    shown = [fold.account(name) for name in accounts]
    rows = [row for each in shown for row in each.newest(limit)][:limit]
    counts = {str(state): sum(each.states[state] for each in shown) for state in State}
    states = {state: count for state, count in counts.items() if count}
    positions = [position for each in shown for position in each.positions_since(0)]
    parts = {
        "as_of_seq": seq,
        "total": sum(states.values()),
        "states": states,
        "orders": [msgspec.Raw(row.encoded(formats)) for row in rows],
        "positions_total": len(positions),
        "positions": [position_row(each, formats) for each in positions[:POSITIONS_MAX]],
    }
    return msgspec.json.encode(parts)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
