"""`python -m apps.tools.history.orders SEQ LIMIT number|string ACCOUNT...`: orders at a sequence as JSON, with desk's configuration."""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import msgspec

from adapters import bus
from adapters.codec import ORDER_COMMITS, decoder
from adapters.snapshots import FileSnapshots
from apps.connections import journals
from apps.desk.fold import STATE_VERSION, DeskFold, DeskState
from apps.desk.rows import NUMBERS, TEXTS, Formats
from apps.runtime import helper_process, program_logs
from apps.runtime.exit_codes import Exit
from config.loading import load_desk
from config.settings import DeskSettings
from domain.audit.state_hash import shape_of
from domain.ports import Corrupt, Head, Journal, Snapshots, Unavailable
from domain.values import use_exact_arithmetic

CLOSED_MAX: Final = 1_000_000
"""Closed orders that one query may hold."""

_SCHEMA: Final = shape_of(DeskState, STATE_VERSION)
_STATE: Final = decoder(DeskState)


def main(seq: int, limit: int, form: str, accounts: Sequence[str]) -> NoReturn:
    """Print the orders. Exit codes: 0 with the answer on stdout, 1 if the journal does not verify, 3 if it cannot be read."""
    helper_process.become_helper()
    use_exact_arithmetic()
    program_logs.only()
    code = Exit.DONE
    try:
        sys.stdout.buffer.write(asyncio.run(_orders(load_desk(), seq, limit, TEXTS if form == "string" else NUMBERS, accounts)))
    except Corrupt as damage:
        code = _failed(damage, Exit.REFUSED)
    except Unavailable as trouble:
        code = _failed(trouble, Exit.UNREACHABLE)
    sys.exit(code)


def _failed(trouble: Exception, code: Exit) -> Exit:
    print(trouble, file=sys.stderr)
    return code


async def _orders(settings: DeskSettings, seq: int, limit: int, formats: Formats, accounts: Sequence[str]) -> bytes:
    client = await bus.connect(settings.nats.url, "past orders", closed=lambda: None, timeout_s=float(settings.nats.connect_timeout_sec))
    try:
        directory = settings.service.data_dir
        saved = FileSnapshots(directory / journals.SNAPSHOTS) if directory is not None else None
        fold = await fold_at(await journals.order_journal(client), seq, saved)
    finally:
        await client.close()
    return encoded(fold, seq, limit, formats, accounts)


async def fold_at(journal: Journal, seq: int, saved: Snapshots | None = None) -> DeskFold:
    """Return the fold of all orders as of `seq`, from the newest snapshot of desk before it that verifies. Corrupt, Unavailable."""
    fold = DeskFold(CLOSED_MAX, 1)
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
                fold.apply([(entry.head.seq, ORDER_COMMITS.read(entry)) for entry in batch])
    return fold


def encoded(fold: DeskFold, seq: int, limit: int, formats: Formats, accounts: Sequence[str]) -> bytes:
    """Return the answer: the rows of these accounts, the number of all their orders, and the counts by state."""
    shown = [fold.account(name) for name in accounts]
    rows = [row for each in shown for row in each.newest(limit)][:limit]
    states: dict[str, int] = {}
    for each in shown:
        for state, count in each.states.items():
            states[str(state)] = states.get(str(state), 0) + count
    parts = {"as_of_seq": seq, "total": sum(states.values()), "states": {state: count for state, count in states.items() if count}}
    return msgspec.json.encode({**parts, "orders": [msgspec.Raw(row.encoded(formats)) for row in rows]})


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
