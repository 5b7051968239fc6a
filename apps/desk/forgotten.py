"""Orders that left memory and changed again, such as by a late fill: their events are searched in the journal."""

import contextlib
from collections.abc import Collection

import structlog

from adapters.codec import ORDER_COMMITS
from apps.desk.fold import Commits, DeskFold
from domain.order.events import OrderEvent
from domain.order.order import evolved
from domain.ports import Head, Journal

log = structlog.get_logger()


async def remember(fold: DeskFold, journal: Journal, commits: Commits) -> None:
    """Take the orders that these commits change back into the fold. Corrupt, Unavailable.

    The journal is read from its beginning, and only commits that name one of the orders are decoded.
    """
    missing = fold.not_in_memory(commits)
    if not missing:
        return
    log.info("orders that are no longer in memory change: the journal is searched for them", orders=len(missing))
    until = commits[0][0] - 1
    events, seqs = await _search(journal, missing, until)
    for order_id, found in events.items():
        order = evolved(found)
        assert order is not None, f"the journal has no event of order {order_id}"
        fold.adopt(order, seqs[order_id])


async def _search(journal: Journal, order_ids: Collection[str], until: int) -> tuple[dict[str, list[OrderEvent]], dict[str, int]]:
    """Return the events of each order that the journal has, and the sequence of its last one."""
    events: dict[str, list[OrderEvent]] = {}
    seqs: dict[str, int] = {}
    named = {order_id: order_id.encode() for order_id in order_ids}
    async with contextlib.aclosing(journal.follow(Head(), until=until)) as batches:
        async for batch in batches:
            for recorded in batch:
                if not any(name in recorded.payload for name in named.values()):
                    continue
                for event in ORDER_COMMITS.read(recorded).events:
                    if event.order_id in named:
                        events.setdefault(event.order_id, []).append(event)
                        seqs[event.order_id] = recorded.head.seq
    return events, seqs
