"""`python -m apps.tools.history.changes FROM TO LIMIT number|string ACCOUNT...`: what changed between two sequences, as JSON."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, NoReturn

import msgspec
from nats.aio.client import Client

from adapters.codec import ORDER_COMMITS
from adapters.snapshots import FileSnapshots
from apps.connections import journals
from apps.desk.fold import Commits, DeskFold
from apps.desk.forgotten import remember
from apps.desk.rows import NUMBERS, TEXTS, Formats, OrderRow, PositionRow, order_row, position_row
from apps.tools.history.orders import fold_at
from apps.tools.history.program import answer
from config.loading import load_desk
from config.settings import DeskSettings
from domain.access.scopes import EVERY_ACCOUNT
from domain.order.events import OrderSubmitted
from domain.order.lifecycle import State
from domain.ports import Journal, JournalEntry, Snapshots

COMMITS_MAX: Final = 100_000
"""Commits that one difference covers, from its beginning on. The answer says how far it reached."""
NOT_COMPARED: Final = frozenset(("seq", "updated_at"))
"""Fields that change with every event."""


def main(first: int, last: int, limit: int, form: str, accounts: Sequence[str]) -> NoReturn:
    """Print the difference."""

    async def changes(settings: DeskSettings, client: Client) -> bytes:
        directory = settings.service.data_dir
        saved = FileSnapshots(directory / journals.SNAPSHOTS) if directory is not None else None
        journal, closed_max = await journals.order_journal(client), settings.stream.closed_orders_max
        difference = Difference(TEXTS if form == "string" else NUMBERS, accounts)
        await difference.read(journal, first, last, closed_max, saved)
        return msgspec.json.encode(difference.view(limit))

    answer(load_desk, "past changes", changes)


class Difference:
    """What is different at one sequence from what was so at an earlier one. Of what did not change nothing is kept."""

    def __init__(self, formats: Formats, accounts: Sequence[str]) -> None:
        self._formats = formats
        self._accounts = frozenset(accounts)
        self._first = self._last = self._reached = 0
        self._new = 0
        self._states: dict[str, int] = {}
        self._orders: dict[str, OrderRow] = {}
        """Orders that changed, as they were: at most those that were open, and the few that changed after their end."""
        self._positions: dict[tuple[str, str], PositionRow | None] = {}

    async def read(self, journal: Journal, first: int, last: int, closed_max: int, saved: Snapshots | None = None) -> None:
        """Read from `first` to `last`, or as far as the bound allows. Corrupt, Unavailable."""
        self._first, self._last, self._reached = first, last, min(last, first + COMMITS_MAX)
        self._fold = fold = await fold_at(journal, first, closed_max, saved)
        self._states = self._counted()
        begin = await journal.read(first)
        assert begin is not None, f"the journal lost sequence {first}"
        if self._reached == first:
            return
        async with contextlib.aclosing(journal.follow(begin.head, until=self._reached)) as batches:
            async for batch in batches:
                await self._apply(fold, journal, batch)

    async def _apply(self, fold: DeskFold, journal: Journal, batch: Sequence[JournalEntry]) -> None:
        commits: Commits = [(entry.head.seq, ORDER_COMMITS.read(entry)) for entry in batch]
        await remember(fold, journal, commits)
        for _, commit in commits:
            for event in commit.events:
                self._before(fold, event)
        fold.apply(commits)

    def _before(self, fold: DeskFold, event: Any) -> None:
        """Keep how the order of an event, and the position that it may move, were at the beginning."""
        row = fold.find(event.order_id)
        if row is None:
            if type(event) is OrderSubmitted and self._shown(event.account):
                self._new += 1
                self._position_before(fold, event.account, event.symbol)
            return
        order = row.order
        if not self._shown(order.account):
            return
        if row.seq <= self._first and order.order_id not in self._orders:
            self._orders[order.order_id] = order_row(order, row.seq, self._formats)
        self._position_before(fold, order.account, order.symbol)

    def _position_before(self, fold: DeskFold, account: str, symbol: str) -> None:
        if (account, symbol) not in self._positions:
            position = fold.everything.positions.get((account, symbol))
            self._positions[account, symbol] = None if position is None else position_row(position, self._formats)

    def _shown(self, account: str) -> bool:
        return EVERY_ACCOUNT in self._accounts or account in self._accounts

    def _counted(self) -> dict[str, int]:
        shown = [self._fold.account(name) for name in self._accounts]
        counts = {str(state): sum(each.states[state] for each in shown) for state in State}
        return {state: count for state, count in counts.items() if count}

    def view(self, limit: int) -> dict[str, Any]:
        """Return at most `limit` orders and as many positions, those that changed last first, and the numbers of all."""
        changed = len(self._orders) + self._new
        orders = list(islice(self._changed_orders(), limit))
        moved = [each for name in sorted(self._accounts) for each in self._fold.account(name).positions_since(self._first)]
        moved.sort(key=lambda position: position.seq, reverse=True)
        return {
            "from_seq": self._first,
            "to_seq": self._reached,
            "asked_to_seq": self._last,
            "complete": self._reached == self._last,
            "states_before": self._states,
            "states_after": self._counted(),
            "orders_new": self._new,
            "orders_changed": changed,
            "orders": orders,
            "positions_changed": len(moved),
            "positions": [
                {"before": self._positions.get((each.account, each.symbol)), "after": position_row(each, self._formats)}
                for each in moved[:limit]
            ],
        }

    def _changed_orders(self) -> Iterator[dict[str, Any]]:
        rows = [row for name in self._accounts for row in self._fold.account(name).rows_since(self._first)]
        rows.sort(key=lambda row: row.seq, reverse=True)
        for row in rows:
            before, after = self._orders.get(row.order.order_id), order_row(row.order, row.seq, self._formats)
            yield {"before": before, "after": after, "changed": [] if before is None else _different(before, after)}


def _different(before: OrderRow, after: OrderRow) -> list[str]:
    names = (name for name in before.__struct_fields__ if name not in NOT_COMPARED)
    return [name for name in names if getattr(before, name) != getattr(after, name)]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5:])
